"""One metric on codes that are there: its score, spread and chance, and its score of other codes."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from disbench import metrics
from disbench.benchmark.datasets import Dataset
from disbench.benchmark.protocols import MetricChoice
from disbench.benchmark.scoring.certainty import (
    FEWEST,
    NEITHER,
    SHARE,
    Amount,
    Strangers,
    amount,
    part,
    part_of_counts,
    shuffled,
    shuffled_counts,
)
from disbench.benchmark.scoring.draws import generator, holds_out, split
from disbench.benchmark.scoring.encoded import Codes, Progress, Source
from disbench.benchmark.scoring.entries import Beside, Draws, ScoreEntry
from disbench.benchmark.scoring.plans import BY_COST, Plan, all_seconds, expected_seconds
from disbench.benchmark.training.seeds import StoppedError
from disbench.errors import UsageError, argument
from disbench.files import disk_is_full, plain
from disbench.metrics import ContingencyTable
from disbench.metrics.arrays import Bools, Floats, Ints
from disbench.metrics.live import by_kl
from disbench.metrics.occurring import Occurring
from disbench.metrics.registry import Metric, Space
from disbench.texts import short


def ends_all(error: BaseException) -> bool:
    """Whether after an error of one metric nothing can go on."""
    return isinstance(error, StoppedError) or disk_is_full(error)


@dataclass(frozen=True)
class Which:
    """Which codes count.

    Attributes:
        asked: the rule that was asked for, or "" for that of each preset.
        kl: (d,) of each code, in nats; NaN of a code that is no Gaussian, None without a posterior.
        std: (d,) True for the codes that are live by their standard deviation; None if nothing asks for it.
        d: number of codes.
    """

    asked: str = ""
    kl: Floats | None = None
    std: Bools | None = None
    d: int = 0

    def rule(self, choice: MetricChoice) -> str:
        """The rule that a metric gets; "" for none of these, but perhaps one of its own settings."""
        metric = metrics.get(choice.name)
        if not metric.takes_live:
            return ""
        by_kl = metric.asks_for_kl(metric.settings(choice.preset, **choice.settings))
        return self.asked or ("kl" if by_kl and self.kl is not None else "")

    def mask(self, rule: str, choice: MetricChoice) -> Bools | None:
        """(d,) The codes that are live by a rule, with the number of a metric's settings; None for ""."""
        if rule == "kl" and self.kl is not None and self.std is not None:
            return by_kl(self.kl, _least(choice), self.std)
        return {"std": self.std, "none": np.ones(self.d, bool)}.get(rule)


def _least(choice: MetricChoice) -> float:
    """KL in nats from which on a code is live."""
    metric = metrics.get(choice.name)
    return metric.least_kl(metric.settings(choice.preset, **choice.settings))


@dataclass(frozen=True)
class Material:
    """What all metrics are computed from; the fields are the arguments of `score` and what came of them."""

    source: Source
    data: Dataset
    codes: Codes | None
    table: tuple[ContingencyTable, str] | str
    progress: Progress | None
    jobs: int
    which: Which
    draws: int
    stop: Callable[[], bool]

    def seconds(self, planned: Plan, beside: bool) -> float:
        """CPU seconds that all computations of a metric take, roughly; 0 where they are few."""
        scores = 2 if beside and self.other_rule(planned.choice) else 1
        return all_seconds(planned, self.data, self.d, self.draws, scores)

    @property
    def d(self) -> int:
        """Number of codes, where any are known."""
        return 0 if self.codes is None else self.codes.codes.shape[1]

    def other_rule(self, choice: MetricChoice) -> str:
        """The rule of a second score: with the codes that have collapsed, or without; "" if none have."""
        live, rule = self.which.mask("kl", choice), self.which.rule(choice)
        if live is None or live.all() or self.which.asked or not metrics.get(choice.name).takes_live:
            return ""
        return "none" if rule == "kl" else "kl"

    def entry(self, planned: Plan, beside: bool) -> ScoreEntry:
        """What a metric measures on the rows of all its draws, or raises why it cannot."""
        choice = planned.choice
        if planned.error is not None:
            raise planned.error
        if metrics.get(choice.name).kind == "clustering" and isinstance(self.table, str):
            raise UsageError(f"{choice.name}: {self.table}")
        rule, other = self.which.rule(choice), self.other_rule(choice) if beside else ""
        entry = self.measure(choice, 0, planned.draws[0], rule)
        entry = self.with_certainty(entry, planned, rule)
        if metrics.get(choice.name).takes_live:
            entry = replace(entry, kl=plain(self.which.kl))
        counted = self.which.mask(other, choice)
        if counted is None:
            return entry
        try:
            again = self.scores(choice, planned.draws, other)
        except (Exception, SystemExit) as error:
            if ends_all(error):
                raise
            # the first score stands
            note = f"no score of the {counted.sum()} codes that are live by the rule {other}: {short(error)}"
            return entry.with_notes([note])
        spread = Draws.of(again) if self.draws > 1 else None
        return replace(entry, beside=Beside(other, int(counted.sum()), self.which.d, again[0], spread))

    def with_certainty(self, entry: ScoreEntry, planned: Plan, rule: str) -> ScoreEntry:
        """The entry of the first draw with its spread, and its chance if that was asked for."""
        choice, notes = planned.choice, list(planned.notes)
        if self.draws != BY_COST:
            if self.draws > 1:
                further = self.scores(choice, planned.draws[1:], rule, first=1)
                entry = replace(entry, draws=Draws.of([entry.score, *further]))
            return entry.with_notes(notes)
        seconds = expected_seconds(planned, self.data, self.d)
        often = amount(seconds)
        if often == NEITHER:
            notes.append(
                "neither its spread nor its chance was computed, since one draw takes about "
                f"{seconds / 60:,.0f} minutes on one core; {argument('repeats')} 2 draws twice"
            )
            return entry.with_notes(notes)
        found: dict[str, Draws | None] = {}
        for what, computed in (("spread", self.spread), ("chance", self.by_chance)):
            try:
                found[what] = computed(entry, planned, rule, often)
            except (Exception, SystemExit) as error:
                if ends_all(error):
                    raise
                # the score stands
                notes.append(f"no {what} of the score: {short(error)}")
        entry = replace(entry, draws=found.get("spread"), shuffled=found.get("chance"))
        return entry.with_notes(notes)

    def spread(self, entry: ScoreEntry, planned: Plan, rule: str, often: Amount) -> Draws | None:
        """The scores of further draws, or of parts of the rows; None if nothing is drawn."""
        choice, metric = planned.choice, metrics.get(planned.choice.name)
        if metric.kind == "clustering":
            parts = [self.counted(choice, part_of_counts(self.counts, draw)) for draw in range(often.draws)]
            return Draws.of_parts(parts, SHARE)
        if metric.kind == "sampling":
            # the metric draws its rows itself, among those that are encoded
            times = often.draws - 1 if metric.occurring else min(planned.further, often.draws - 1)
            further = self.scores(choice, [np.empty(0, np.int64)] * times, rule, first=1)
            return Draws.of([entry.score, *further]) if further else None
        rows, whole = planned.draws[0], len(planned.draws[0]) == len(self.data)
        if not whole or (self.data.factor_sizes is None and len(rows) >= FEWEST):
            if len(rows) < FEWEST:
                raise UsageError(
                    f"it is that of parts, and {len(rows)} rows are too few, {FEWEST} are needed"
                )
            parts_of_rows = [part(rows, draw) for draw in range(often.draws)]
            return Draws.of_parts(self.scores(choice, parts_of_rows, rule), SHARE)
        # nothing is drawn but which rows are held out
        if not (holds_out(choice) or metric.takes("rng")):
            return None
        again = [shuffled(rows, draw) for draw in range(1, often.draws)]
        return Draws.of([entry.score, *self.scores(choice, again, rule, first=1)])

    def by_chance(self, entry: ScoreEntry, planned: Plan, rule: str, often: Amount) -> Draws | None:
        """The scores of the same codes with factors that are shuffled; None for a metric without factors."""
        choice, kind = planned.choice, metrics.get(planned.choice.name).kind
        if kind in ("unsupervised", "reconstruction"):
            return None
        scores = []
        for draw in range(often.shuffles):
            if kind == "clustering":
                scores.append(self.counted(choice, shuffled_counts(self.counts, draw)))
            else:
                scores.append(self.measure(choice, 0, planned.draws[0], rule, by_chance=draw).score)
        return Draws.of(scores)

    @functools.cached_property
    def space(self) -> Space:
        """What further draws hold a factor in: the grid, or the rows that are encoded."""
        assert self.codes is not None
        rows = np.flatnonzero(self.codes.position >= 0)
        if self.data.factor_sizes is None or len(rows) == len(self.data):
            return self.data.held_in(self.source.rows)
        return Occurring(self.data.factor_values(rows), rows)

    @property
    def counts(self) -> ContingencyTable:
        """The counts of generated images, which must be there."""
        assert not isinstance(self.table, str)
        return self.table[0]

    def counted(self, choice: MetricChoice, table: ContingencyTable) -> float | None:
        """The score of a table of counts."""
        if self.stop():
            raise StoppedError
        score: float | None = plain(
            metrics.get(choice.name)(table, preset=choice.preset, **choice.settings).score
        )
        return score

    def scores(
        self, choice: MetricChoice, draws: Sequence[Ints], rule: str, first: int = 0
    ) -> list[float | None]:
        """The scores of several draws, the number of the first given."""
        return [self.measure(choice, draw, rows, rule).score for draw, rows in enumerate(draws, first)]

    def measure(
        self, choice: MetricChoice, draw: int, rows: Ints, rule: str, by_chance: int | None = None
    ) -> ScoreEntry:
        """One metric on the rows of one draw, of the codes that are live by a rule.

        Args:
            choice: the metric with its preset and settings.
            draw: number of the draw.
            rows: its rows.
            rule: the rule.
            by_chance: number of a random order of the factors; None for their own.
        """
        if self.stop():
            raise StoppedError
        metric = metrics.get(choice.name)
        mask = self.which.mask(rule, choice)
        extra: dict[str, object] = {} if mask is None else {"live": mask}
        if metric.takes("rng"):
            extra["rng"] = generator(choice, draw)
        if metric.takes("n_jobs"):
            extra["n_jobs"] = self.jobs
        if self.progress and metric.takes("progress"):
            what = f" (draw {draw + 1})" if draw else ""
            what = what if by_chance is None else f" (chance {by_chance + 1})"
            extra["progress"] = functools.partial(self.progress, choice.name + what)
        if metric.kind == "table" and metric.takes("split"):
            extra["split"] = split(len(rows))
        started = time.perf_counter()
        measured = metric(
            *self._arguments(metric, draw, rows, by_chance), preset=choice.preset, **choice.settings, **extra
        )
        classifier = self.table[1] if metric.kind == "clustering" else None
        return ScoreEntry.measured(choice, measured, classifier, time.perf_counter() - started, rule)

    def reconstructed(self, rows: Ints) -> tuple[Floats, Floats]:
        """The images in these rows, and what is made of their codes."""
        made = self.source.reconstructed(rows)
        if isinstance(made, str):
            raise UsageError(f"a decoder is needed, and {made}")
        return made

    def _arguments(self, metric: Metric, draw: int, rows: Ints, by_chance: int | None) -> tuple[object, ...]:
        """What a metric of this kind takes, see `metrics.registry`."""
        kind = metric.kind
        if kind == "clustering":
            return (self.counts,)
        if kind == "reconstruction":
            return self.reconstructed(rows)
        # every other kind asked for rows, so that codes were made
        assert self.codes is not None
        if kind == "sampling":
            codes: object = self.codes
            if by_chance is not None:
                codes = Strangers(self.codes.position, self.codes.codes, by_chance)
            # draws that were asked for have rows of their own
            among = metric.occurring and draw > 0 and self.draws == BY_COST
            return codes, self.space if among else self.data.held_in(self.source.rows)
        factors = rows if by_chance is None else shuffled(rows, by_chance)
        if kind == "table":
            return self.codes(rows), self.data.factor_values(factors)
        if kind == "posterior":
            return *self.codes.posterior(rows), self.data.factor_values(factors)
        return (self.codes(rows),)
