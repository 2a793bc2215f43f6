"""Scores codes, whoever made them: `plan` says which rows each metric asks for, `score` has every image that
any metric asks for encoded once, and then each metric reads its rows.

Where a source has a posterior, the KL of each code is measured on the rows of a table metric, whatever is
scored, and says which codes have collapsed. Which codes count is a rule of `metrics.live`: the one asked for,
or else that of the metric's preset.

What has codes is a `Source`: a trained method (`trained`), a file of codes (`tables`), or an encoder that
someone trained elsewhere (`interface`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Protocol

import numpy as np

from disbench import metrics
from disbench.benchmark.datasets import Dataset
from disbench.benchmark.protocols import MetricChoice, need_classifier
from disbench.benchmark.scoring.draws import distinct, generator, holds_out, lacking, split, table_rows
from disbench.benchmark.scoring.entries import Beside, Draws, ScoreEntry
from disbench.benchmark.training.seeds import StoppedError
from disbench.errors import UsageError, argument, unknown
from disbench.files import disk_is_full, plain
from disbench.metrics import ContingencyTable
from disbench.metrics.arrays import Bools, Floats, Ints, varying
from disbench.metrics.live import KL, RULES, by_std, kl_of_codes
from disbench.metrics.registry import of_numbers
from disbench.texts import short

PATIENCE = 120.0  # CPU seconds that a metric takes without a word before
Progress = Callable[[str, int, int], None]  # called with the kind of work, how much is done, of how much


@dataclass(frozen=True)
class Encoded:
    """The codes of some rows.

    Attributes:
        codes: (n, d); the means, where there is a posterior.
        logvar: (n, d), natural log of the variances; None where there is no posterior, or it was not kept.
    """

    codes: Floats
    logvar: Floats | None = None


class Source(Protocol):
    """Whatever has codes of a data set's images: a trained method, someone's encoder, a file of codes."""

    @property
    def rows(self) -> Ints | None:
        """The rows (m,) that it has codes of, ascending; None for all."""
        ...

    @property
    def no_posterior(self) -> str:
        """Why there are no log-variances of its codes, in words; "" if there are."""
        ...

    def encoded(self, rows: Ints, progress: Progress | None = None, need: bool = False) -> Encoded:
        """The codes (len(rows), d) of distinct rows, finite numbers, with their log-variances.

        Args:
            rows: row numbers, ascending.
            progress: called while a model encodes.
            need: whether the log-variances are needed; else those that would have to be made anew may lack.
        """
        ...

    def contingency(self) -> tuple[ContingencyTable, str] | str:
        """Counts of generated images, and the classifier in words; or the reason why there are none."""
        ...


class Codes:
    """Codes of some rows of a data set, looked up by row number.

    Args:
        rows: (m,) distinct row numbers.
        codes: (m, d), one line per row.
        n: number of rows of the data set.
        logvar: (m, d), their log-variances, if they are known.
    """

    def __init__(self, rows: Ints, codes: Floats, n: int, logvar: Floats | None = None) -> None:
        self.codes, self.logvar = codes, logvar
        self.position = np.full(n, -1, np.int32)
        self.position[rows] = np.arange(len(rows))

    def __call__(self, rows: Ints) -> Floats:
        """The codes (len(rows), d) of these rows, in their order."""
        codes: Floats = self.codes[self.position[rows]]
        return codes

    def posterior(self, rows: Ints) -> tuple[Floats, Floats]:
        """Their means and log-variances (len(rows), d) each, which must be known."""
        # whoever asks for them has them encoded
        assert self.logvar is not None
        place = self.position[rows]
        return self.codes[place], self.logvar[place]


@dataclass
class Plan:
    """What one metric will be computed on, or why it cannot be.

    Attributes:
        choice: the metric with its preset and settings.
        draws: the rows that each draw asks for.
        error: why there can be no score; else None.
        notes: sentences for the entry's warnings.
    """

    choice: MetricChoice
    draws: list[Ints] = field(default_factory=list)
    error: Exception | SystemExit | None = None
    notes: tuple[str, ...] = ()


def plan(choice: MetricChoice, source: Source, data: Dataset, draws: int) -> Plan:
    """The rows that a metric asks for, draw by draw, of those that the source has."""
    try:
        return _plan(choice, source, data, draws)
    except (Exception, SystemExit) as error:
        # such as an error of a plug-in
        return Plan(choice, error=error)


def _plan(choice: MetricChoice, source: Source, data: Dataset, draws: int) -> Plan:
    metric, having = metrics.get(choice.name), source.rows
    if metric.kind == "clustering":
        return Plan(choice, [np.empty(0, np.int64)])
    if metric.kind == "posterior" and (why := source.no_posterior):
        raise UsageError(
            f"{choice.name} needs the posterior of the codes, mean and log-variance, and {why}; give codes "
            "with logvar of their shape, or an encoder with an output logvar"
        )
    if metric.kind in ("table", "posterior"):
        _check_kinds(choice, data)
    if metric.kind in ("table", "unsupervised", "posterior"):
        held_out = holds_out(choice)
        rows = [table_rows(data, having, draw, held_out=held_out) for draw in range(draws)]
        notes = []
        if having is not None and lacking(table_rows(data, held_out=held_out), having):
            notes.append(f"on {len(rows[0]):,} of the {len(having):,} rows that have codes")
        everything = len(rows[0]) == (len(data) if having is None else len(having))
        if draws > 1 and everything and not (held_out or metric.takes("rng")):
            notes.append(f"each draw has all {len(rows[0]):,} rows, so that the draws do not differ")
        return Plan(choice, rows, notes=tuple(notes))
    if metric.kind == "models":
        raise UsageError(
            f"{choice.name} compares several models: `disbench leaderboard RUN --select {choice.name}`"
        )
    if metric.kind != "sampling":
        raise UsageError(f"{choice.name} needs more than the codes of one model: call it from Python")
    if data.factor_sizes is None:
        raise UsageError(f"{choice.name} needs a complete factor grid, which {data.name} does not have")
    rows = [
        metric.rows(data.grid, generator(choice, draw), choice.preset, **choice.settings)
        for draw in range(draws)
    ]
    missing = [lacking(asked, having) for asked in rows]
    if missing[0]:
        raise UsageError(
            f"{choice.name} draws {len(rows[0]):,} images from the whole grid, and {missing[0]:,} of them "
            "have no code"
        )
    whole = [asked for asked, lack in zip(rows, missing, strict=True) if not lack]
    lost = draws - len(whole)
    return Plan(choice, whole, notes=(f"{lost} of {draws} draws ask for rows without codes",) if lost else ())


def expected_seconds(planned: Plan, data: Dataset, d: int) -> float:
    """CPU seconds that a metric is known to take, roughly, for d codes; 0 where they are few."""
    metric = metrics.get(planned.choice.name)
    if planned.error is not None or metric.seconds is None or metric.kind not in ("table", "posterior"):
        return 0.0
    settings = metric.settings(planned.choice.preset, **planned.choice.settings)
    rows = planned.draws[0]
    factors = data.factor_values(rows).table(True)
    values = sum(len(np.unique(column)) for column in factors.T)
    return len(planned.draws) * metric.seconds(len(rows), d, values, settings)


def _check_kinds(choice: MetricChoice, data: Dataset) -> None:
    """Refuses continuous factors for a metric that needs values."""
    table, metric = data.factor_table, metrics.get(choice.name)
    if table is None:
        return
    settings = metric.settings(choice.preset, **choice.settings)
    if refused := metric.refused(table.kept(varying(table.numbers)), settings):
        raise UsageError(
            f"{choice.name} needs factors whose values occur again and again, and {refused} is continuous; "
            f"give {argument('bins')}, such as 20, or take a metric of numbers: {', '.join(of_numbers())}"
        )


def score(
    source: Source,
    data: Dataset,
    choices: Sequence[MetricChoice],
    progress: Progress | None = None,
    jobs: int = 1,
    draws: int = 1,
    stop: Callable[[], bool] = lambda: False,
    tell: Callable[[str], None] | None = None,
    live: str = "",
    beside: bool = False,
) -> list[ScoreEntry]:
    """One entry per metric.

    A metric that this source or data set cannot have (a voting metric without a factor grid, a clustering
    metric without a categorical code, too few rows) is an entry with score None and the reason, and so is a
    metric that fails; the others stand.

    Args:
        source: has the codes.
        data: has the factors.
        choices: the metrics, with presets.
        progress: called during long work.
        jobs: processes for the metrics that can use several, -1 for one per core; no score depends on it.
        draws: independent draws of each metric. The entry is that of the first; of several, `draws` holds
            all scores with their mean, std (n - 1), min and max.
        stop: is called before each metric.
        tell: is called with a sentence for each metric that will take minutes, before any is computed.
        live: the rule by which codes count, one of `metrics.live.RULES`; "" for that of each preset.
        beside: whether to score once more where some codes have collapsed by their KL: without them a metric
            that counts them, and with them one that does not.

    Raises:
        StoppedError: `stop` returned True.
        OSError: the disk is full.
        UsageError: an unknown rule, or "kl" without a posterior.
    """
    check_rule(live, source)
    plans = [plan(choice, source, data, draws) for choice in choices]
    table: tuple[ContingencyTable, str] | str = ""
    if need_classifier(choices):
        table = source.contingency()
    codes, which = _encode(source, data, plans, live, progress)
    material = _Material(data, codes, table, progress, jobs, which)
    if tell is not None and codes is not None:
        for planned in plans:
            seconds = expected_seconds(planned, data, codes.codes.shape[1])
            if beside and material.other_rule(planned.choice):
                seconds *= 2
            if seconds > PATIENCE:
                tell(
                    f"{planned.choice.name} will take about {seconds / 60:,.0f} minutes on one core, for "
                    f"{len(planned.draws[0]):,} rows and {codes.codes.shape[1]:,} codes; Ctrl-C stops it"
                )

    entries = []
    for planned in plans:
        if stop():
            raise StoppedError
        try:
            entries.append(material.entry(planned, draws, beside))
        except (Exception, SystemExit) as error:
            if _ends_all(error):
                raise
            # of this metric and not of the others
            entries.append(ScoreEntry.failed(planned.choice, error))
    return entries


def _ends_all(error: BaseException) -> bool:
    """Whether after an error of one metric nothing can go on."""
    return isinstance(error, StoppedError) or disk_is_full(error)


def rows(source: Source, data: Dataset, choices: Sequence[MetricChoice]) -> Ints:
    """The rows (n,) of the data set whose codes `score` asks the source for, ascending."""
    return _rows([plan(choice, source, data, 1) for choice in choices], data)


def _rows(plans: Sequence[Plan], data: Dataset) -> Ints:
    return distinct(len(data), *(drawn for planned in plans for drawn in planned.draws))


def check_rule(live: str, source: Source) -> None:
    """Refuses a rule by which codes count that there is not, or that these codes cannot have.

    Args:
        live: the rule, or "" for that of each preset.
        source: has the codes.

    Raises:
        UsageError: an unknown rule, or "kl" without a posterior.
    """
    if live and live not in RULES:
        raise unknown(f"value of {argument('live')}", live, RULES)
    if live == "kl" and (why := source.no_posterior):
        raise UsageError(
            f"{argument('live')} kl needs the posterior of the codes, mean and log-variance, and {why}; give "
            f"codes with logvar of their shape, or take {argument('live')} std."
        )


@dataclass(frozen=True)
class _Which:
    """Which codes count.

    Attributes:
        asked: the rule that was asked for, or "" for that of each preset.
        kl: (d,) of each code, in nats; None without a posterior.
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

    def mask(self, rule: str) -> Bools | None:
        """(d,) The codes that are live by a rule; None for ""."""
        if rule == "kl" and self.kl is not None:
            return self.kl >= KL
        return {"std": self.std, "none": np.ones(self.d, bool)}.get(rule)


def _encode(
    source: Source, data: Dataset, plans: Sequence[Plan], live: str, progress: Progress | None
) -> tuple[Codes | None, _Which]:
    """The codes of all rows that any metric asks for, and which of them count."""
    wanted = _rows(plans, data)
    if not len(wanted):
        return None, _Which()
    chosen = [(metrics.get(p.choice.name), p.choice) for p in plans if p.error is None]
    posterior = any(metric.kind == "posterior" for metric, _ in chosen)
    by_kl = any(m.asks_for_kl(m.settings(c.preset, **c.settings)) for m, c in chosen)
    need = posterior or live == "kl" or (by_kl and not live)
    encoded = source.encoded(wanted, progress, need)
    d, logvar = encoded.codes.shape[1], encoded.logvar
    if logvar is None and live != "std":
        return Codes(wanted, encoded.codes, len(data)), _Which(live, d=d)
    # The KL of a model does not depend on what else is scored, and no batch of the other rows changes.
    rows = distinct(len(data), table_rows(data, source.rows))
    there = np.isin(rows, wanted)
    own = np.searchsorted(wanted, rows[there])
    parts = [Encoded(encoded.codes[own], None if logvar is None else logvar[own])]
    if not there.all():
        parts.append(source.encoded(rows[~there], progress, need))
    z, kl = np.concatenate([part.codes for part in parts]), None
    if logvar is not None:
        kl = kl_of_codes(z, np.concatenate([part.logvar for part in parts if part.logvar is not None]))
    which = _Which(live, kl, by_std(z), d)
    return Codes(wanted, encoded.codes, len(data), logvar if posterior else None), which


@dataclass(frozen=True)
class _Material:
    """What all metrics are computed from; the fields are the arguments of `score` and what came of them."""

    data: Dataset
    codes: Codes | None
    table: tuple[ContingencyTable, str] | str
    progress: Progress | None
    jobs: int
    which: _Which

    def other_rule(self, choice: MetricChoice) -> str:
        """The rule of a second score: with the codes that have collapsed, or without; "" if none have."""
        kl, rule = self.which.kl, self.which.rule(choice)
        if kl is None or self.which.asked or not metrics.get(choice.name).takes_live or (kl >= KL).all():
            return ""
        return "none" if rule == "kl" else "kl"

    def entry(self, planned: Plan, draws: int, beside: bool) -> ScoreEntry:
        """What a metric measures on the rows of all its draws, or raises why it cannot."""
        choice = planned.choice
        if planned.error is not None:
            raise planned.error
        if metrics.get(choice.name).kind == "clustering" and isinstance(self.table, str):
            raise UsageError(f"{choice.name}: {self.table}")
        rule, other = self.which.rule(choice), self.other_rule(choice) if beside else ""
        measured = [self.measure(choice, draw, drawn, rule) for draw, drawn in enumerate(planned.draws)]
        spread = Draws.of([entry.score for entry in measured]) if draws > 1 else None
        entry = measured[0].with_draws(spread, planned.notes)
        if metrics.get(choice.name).takes_live:
            entry = replace(entry, kl=plain(self.which.kl))
        counted = self.which.mask(other)
        if counted is None:
            return entry
        try:
            again = [
                self.measure(choice, draw, drawn, other).score for draw, drawn in enumerate(planned.draws)
            ]
        except (Exception, SystemExit) as error:
            if _ends_all(error):
                raise
            # the first score stands
            note = f"no score of the {counted.sum()} codes that are live by the rule {other}: {short(error)}"
            return entry.with_draws(spread, [note])
        spread = Draws.of(again) if draws > 1 else None
        return replace(entry, beside=Beside(other, int(counted.sum()), self.which.d, again[0], spread))

    def measure(self, choice: MetricChoice, draw: int, rows: Ints, rule: str) -> ScoreEntry:
        """One metric on the rows of one draw, of the codes that are live by a rule."""
        metric = metrics.get(choice.name)
        mask = self.which.mask(rule)
        extra: dict[str, object] = {} if mask is None else {"live": mask}
        if metric.takes("rng"):
            extra["rng"] = generator(choice, draw)
        if metric.takes("n_jobs"):
            extra["n_jobs"] = self.jobs
        if self.progress and metric.takes("progress"):
            extra["progress"] = partial(self.progress, choice.name)
        if metric.kind == "table" and metric.takes("split"):
            extra["split"] = split(len(rows))
        started = time.perf_counter()
        measured = metric(
            *self._arguments(metric.kind, rows), preset=choice.preset, **choice.settings, **extra
        )
        classifier = self.table[1] if metric.kind == "clustering" else None
        return ScoreEntry.measured(choice, measured, classifier, time.perf_counter() - started, rule)

    def _arguments(self, kind: str, rows: Ints) -> tuple[object, ...]:
        """What a metric of this kind takes, see `metrics.registry`."""
        if kind == "clustering":
            return (self.table[0],)
        # every other kind asked for rows, so that codes were made
        assert self.codes is not None
        if kind == "sampling":
            return self.codes, self.data.grid
        if kind == "table":
            return self.codes(rows), self.data.factor_values(rows)
        if kind == "posterior":
            return *self.codes.posterior(rows), self.data.factor_values(rows)
        return (self.codes(rows),)
