"""Scores codes, whoever made them: `plan` says which rows each metric asks for, `score` has every image that
any metric asks for encoded once, and then each metric reads its rows.

What has codes is a `Source`: a trained method (`trained`), a file of codes (`tables`), or an encoder that
someone trained elsewhere (`interface`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol

import numpy as np

from disbench import metrics
from disbench.benchmark.datasets import Dataset
from disbench.benchmark.protocols import MetricChoice, need_classifier
from disbench.benchmark.scoring.draws import distinct, generator, holds_out, lacking, split, table_rows
from disbench.benchmark.scoring.entries import Draws, ScoreEntry
from disbench.benchmark.training.seeds import StoppedError
from disbench.errors import UsageError, argument
from disbench.files import disk_is_full
from disbench.metrics import ContingencyTable
from disbench.metrics.arrays import Floats, Ints, varying
from disbench.metrics.registry import of_numbers

PATIENCE = 120.0  # CPU seconds that a metric takes without a word before
Progress = Callable[[str, int, int], None]  # called with the kind of work, how much is done, of how much


class Source(Protocol):
    """Whatever has codes of a data set's images: a trained method, someone's encoder, a file of codes."""

    @property
    def rows(self) -> Ints | None:
        """The rows (m,) that it has codes of, ascending; None for all."""
        ...

    def codes(self, rows: Ints, progress: Progress | None = None) -> Floats:
        """The codes (len(rows), d) of distinct rows, finite numbers."""
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
    """

    def __init__(self, rows: Ints, codes: Floats, n: int) -> None:
        self.codes = codes
        self.position = np.full(n, -1, np.int32)
        self.position[rows] = np.arange(len(rows))

    def __call__(self, rows: Ints) -> Floats:
        """The codes (len(rows), d) of these rows, in their order."""
        codes: Floats = self.codes[self.position[rows]]
        return codes


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
    if metric.kind == "table":
        _check_kinds(choice, data)
    if metric.kind in ("table", "unsupervised"):
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
    if planned.error is not None or metric.seconds is None or metric.kind != "table":
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

    Raises:
        StoppedError: `stop` returned True.
        OSError: the disk is full.
    """
    plans = [plan(choice, source, data, draws) for choice in choices]
    table: tuple[ContingencyTable, str] | str = ""
    if need_classifier(choices):
        table = source.contingency()
    wanted = _rows(plans, data)
    codes = Codes(wanted, source.codes(wanted, progress), len(data)) if len(wanted) else None
    material = _Material(data, codes, table, progress, jobs)
    if tell is not None and codes is not None:
        for planned in plans:
            seconds = expected_seconds(planned, data, codes.codes.shape[1])
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
            entries.append(material.entry(planned, draws))
        except (Exception, SystemExit) as error:
            # of this metric and not of the others, unless nothing can go on
            if isinstance(error, StoppedError) or disk_is_full(error):
                raise
            entries.append(ScoreEntry.failed(planned.choice, error))
    return entries


def rows(source: Source, data: Dataset, choices: Sequence[MetricChoice]) -> Ints:
    """The rows (n,) of the data set whose codes `score` asks the source for, ascending."""
    return _rows([plan(choice, source, data, 1) for choice in choices], data)


def _rows(plans: Sequence[Plan], data: Dataset) -> Ints:
    return distinct(len(data), *(drawn for planned in plans for drawn in planned.draws))


@dataclass(frozen=True)
class _Material:
    """What all metrics are computed from; the fields are the arguments of `score` and what came of them."""

    data: Dataset
    codes: Codes | None
    table: tuple[ContingencyTable, str] | str
    progress: Progress | None
    jobs: int

    def entry(self, planned: Plan, draws: int) -> ScoreEntry:
        """What a metric measures on the rows of all its draws, or raises why it cannot."""
        choice = planned.choice
        if planned.error is not None:
            raise planned.error
        if metrics.get(choice.name).kind == "clustering" and isinstance(self.table, str):
            raise UsageError(f"{choice.name}: {self.table}")
        measured = [self.measure(choice, draw, drawn) for draw, drawn in enumerate(planned.draws)]
        spread = Draws.of([entry.score for entry in measured]) if draws > 1 else None
        return measured[0].with_draws(spread, planned.notes)

    def measure(self, choice: MetricChoice, draw: int, rows: Ints) -> ScoreEntry:
        """One metric on the rows of one draw."""
        metric = metrics.get(choice.name)
        extra: dict[str, object] = {}
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
        return ScoreEntry.measured(choice, measured, classifier, time.perf_counter() - started)

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
        return (self.codes(rows),)
