"""Scores codes, whoever made them: every image that any metric asks for is encoded once, then each metric
reads its rows.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from disbench import metrics
from disbench.benchmark.datasets import Dataset
from disbench.benchmark.protocols import MetricChoice, need_classifier
from disbench.benchmark.scoring.draws import TEST_ROWS, TRAIN_ROWS, distinct, generator, lacking, table_rows
from disbench.benchmark.scoring.entries import Draws, ScoreEntry
from disbench.benchmark.training.seeds import StoppedError
from disbench.errors import UsageError
from disbench.metrics import ContingencyTable

Ints = NDArray[np.integer[Any]]
Floats = NDArray[np.float32]
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
        """Counts of generated images and what names the classifier; or the reason why there are none."""
        ...


class Codes:
    """Codes of some rows of a data set, looked up by row number."""

    def __init__(self, rows: Ints, codes: Floats, n: int) -> None:
        self.codes = codes
        self.position = np.full(n, -1, np.int32)
        self.position[rows] = np.arange(len(rows))

    def __call__(self, rows: NDArray[np.integer[Any]]) -> Floats:
        found: Floats = self.codes[self.position[rows]]
        return found


@dataclass
class Plan:
    """What one metric will be computed on: the rows of each draw, or the reason why it cannot be."""

    choice: MetricChoice
    draws: list[Ints] = field(default_factory=list)
    reason: str | None = None
    notes: tuple[str, ...] = ()


def plan(choice: MetricChoice, source: Source, data: Dataset, draws: int) -> Plan:
    """The rows that a metric asks for, draw by draw, of those that the source has."""
    metric, having = metrics.get(choice.name), source.rows
    if metric.kind == "clustering":
        return Plan(choice, [np.empty(0, np.int64)])
    if metric.kind in ("table", "unsupervised"):
        made = Plan(choice, [table_rows(data, having, draw) for draw in range(draws)])
        if having is not None and lacking(table_rows(data), having):
            made.notes = (f"on {len(made.draws[0]):,} of the {len(having):,} rows that have codes",)
        return made
    if metric.kind != "sampling":
        return Plan(
            choice, reason=f"{choice.name} needs more than the codes of one model: call it from Python"
        )
    if data.factor_sizes is None:
        return Plan(choice, reason=f"{choice.name} needs a complete factor grid, which {data.name} has not")
    asked = [
        metric.rows(data.grid, generator(choice, draw), choice.preset, **choice.settings)
        for draw in range(draws)
    ]
    missing = [lacking(rows, having) for rows in asked]
    if missing[0]:
        return Plan(
            choice,
            reason=f"{choice.name} draws {len(asked[0]):,} images from the whole grid, and {missing[0]:,} of "
            "them have no code",
        )
    whole = [rows for rows, lack in zip(asked, missing, strict=True) if not lack]
    lost = draws - len(whole)
    return Plan(choice, whole, notes=(f"{lost} of {draws} draws ask for rows without codes",) if lost else ())


def score(
    source: Source,
    data: Dataset,
    choices: Sequence[MetricChoice],
    progress: Progress | None = None,
    jobs: int = 1,
    draws: int = 1,
    stop: Callable[[], bool] = lambda: False,
) -> list[ScoreEntry]:
    """One entry per metric.

    `jobs` is the number of processes for the metrics that can use several, -1 for one per core; no score
    depends on it. With several `draws` each metric is computed on as many independent draws of its own; the
    entry is that of the first, and "draws" holds all scores with their mean, std (n - 1), min and max.

    A metric that this source or data set cannot have (a voting metric without a factor grid, a clustering
    metric without a categorical code, too few rows) is an entry with score None and the reason.

    Raises:
        StoppedError: `stop`, which is asked before each metric, said so.
    """
    plans = [plan(choice, source, data, draws) for choice in choices]
    table: tuple[ContingencyTable, str] | str = ""
    if need_classifier(choices):
        table = source.contingency()
    rows = distinct(len(data), *(rows for p in plans for rows in p.draws))
    codes = Codes(rows, source.codes(rows, progress), len(data)) if len(rows) else None

    entries = []
    for planned in plans:
        if stop():
            raise StoppedError
        choice = planned.choice
        found: list[ScoreEntry] = []
        if metrics.get(choice.name).kind == "clustering" and isinstance(table, str):
            planned.reason = f"{choice.name}: {table}"
        try:
            if planned.reason is None:
                for draw, wanted in enumerate(planned.draws):
                    found.append(_entry(choice, draw, wanted, codes, data, table, progress, jobs))
        except UsageError as error:  # too few rows, say: of this metric, not of the others
            planned.reason = str(error)
        if planned.reason is not None:
            entries.append(ScoreEntry.pending(choice, planned.reason))
            continue
        spread = Draws.of([entry.score for entry in found]) if draws > 1 else None
        entries.append(found[0].with_draws(spread, planned.notes))
    return entries


def _entry(
    choice: MetricChoice,
    draw: int,
    wanted: Ints,
    codes: Codes | None,
    data: Dataset,
    table: tuple[ContingencyTable, str] | str,
    progress: Progress | None,
    jobs: int,
) -> ScoreEntry:
    """One metric on one draw."""
    metric = metrics.get(choice.name)
    extra: dict[str, Any] = {"rng": generator(choice, draw)} if metric.takes("rng") else {}
    if metric.takes("n_jobs"):
        extra["n_jobs"] = jobs
    if progress and metric.takes("progress"):
        extra["progress"] = partial(progress, choice.name)
    started = time.perf_counter()
    if metric.kind == "clustering":
        arguments: tuple[Any, ...] = (table[0],)
    else:
        assert codes is not None  # whatever is no table of counts asked for rows
        if metric.kind == "sampling":
            arguments = (codes, data.grid)
        elif metric.kind == "table":
            arguments = (codes(wanted), data.factors(wanted))
            if metric.takes("split"):
                cut = len(wanted) * TRAIN_ROWS // (TRAIN_ROWS + TEST_ROWS)
                extra["split"] = (np.arange(cut), np.arange(cut, len(wanted)))
        else:
            arguments = (codes(wanted),)
    found = metric(*arguments, preset=choice.preset, **choice.settings, **extra)
    classifier = table[1] if metric.kind == "clustering" else None
    return ScoreEntry.measured(choice, found, classifier, time.perf_counter() - started)
