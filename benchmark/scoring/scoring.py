"""Scores codes, whoever made them: every image that any metric asks for is encoded once, then each metric
reads its rows.

The draws of a metric come from streams named after it, the same for every model: `<metric>/<preset>` for
its random numbers, `table` for the rows of a table metric. Further draws add `/draw-1`, `/draw-2`, ....
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from disbench import metrics
from disbench.benchmark.datasets import Dataset
from disbench.benchmark.protocols import MetricChoice, need_classifier
from disbench.benchmark.scoring.classifier import load_classifier
from disbench.benchmark.scoring.entries import Draws, ScoreEntry
from disbench.benchmark.training.seeds import StoppedError, stream
from disbench.errors import UsageError
from disbench.metrics import ContingencyTable
from disbench.models import Method

Ints = NDArray[np.integer[Any]]
Floats = NDArray[np.float32]
TRAIN_ROWS, TEST_ROWS = 10_000, 5_000  # of a table metric, as in disentanglement_lib
CHUNK = 256  # images encoded at a time: what a layer gives for them fits into a core's cache
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


@dataclass(frozen=True)
class Trained:
    """The codes of a trained method."""

    method: Method
    data: Dataset
    device: torch.device
    data_dir: Path | None = None

    @property
    def rows(self) -> Ints | None:
        return None

    def codes(self, rows: Ints, progress: Progress | None = None) -> Floats:
        self.method.eval()

        def represent(images: Tensor) -> Tensor:
            return self.method.represent(images.to(self.device, memory_format=torch.channels_last))

        return encode(represent, self.data, rows, progress)

    def contingency(self) -> tuple[ContingencyTable, str] | str:
        return contingency(self.method, self.data, self.device, self.data_dir)


def encode(
    represent: Callable[[Tensor], Tensor], data: Dataset, rows: Ints, progress: Progress | None = None
) -> Floats:
    """The codes (len(rows), d) of images, from a function of images (b, c, h, w) to codes (b, d).

    Raises:
        UsageError: a code is not a number, or some images have more codes than others.
    """
    codes: Floats = np.empty((0, 0), np.float32)
    with torch.no_grad():
        for start in range(0, len(rows), CHUNK):
            found = represent(data.images(rows[start : start + CHUNK])).float().cpu().numpy()
            if (
                start == 0
            ):  # one array for all: kept apart, the parts would keep a network's memory from reuse
                codes = np.empty((len(rows), *found.shape[1:]), np.float32)
            if found.shape[1:] != codes.shape[1:]:
                raise UsageError(
                    f"the encoder gave codes of shape {codes.shape[1:]} for the first images and of shape "
                    f"{found.shape[1:]} from row {rows[start]:,} on; it must give the same for all."
                )
            codes[start : start + CHUNK] = found
            if progress:
                progress("encoding", min(start + CHUNK, len(rows)), len(rows))
    if not np.isfinite(codes).all():
        bad = int((~np.isfinite(codes)).any(1).sum())
        raise UsageError(f"{bad} of {len(codes)} codes hold NaN or infinite values; the model has diverged.")
    return codes


def distinct(n: int, *parts: Ints) -> Ints:
    """The row numbers below n that are in any part, each once, ascending."""
    there = np.zeros(n, bool)  # np.unique takes seconds for a million of them
    for part in parts:
        there[part] = True
    return np.flatnonzero(there)


class Codes:
    """Codes of some rows of a data set, looked up by row number."""

    def __init__(self, rows: Ints, codes: Floats, n: int) -> None:
        self.codes = codes
        self.position = np.full(n, -1, np.int32)
        self.position[rows] = np.arange(len(rows))

    def __call__(self, rows: NDArray[np.integer[Any]]) -> Floats:
        found: Floats = self.codes[self.position[rows]]
        return found


def generator(choice: MetricChoice, draw: int = 0) -> np.random.Generator:
    """The random numbers of a metric's draw: its own, the same for every model."""
    return np.random.default_rng(stream(0, f"{choice.name}/{choice.preset}{_of_draw(draw)}"))


def _of_draw(draw: int) -> str:
    return f"/draw-{draw}" if draw else ""


def table_rows(data: Dataset, having: Ints | None = None, draw: int = 0) -> Ints:
    """Rows of a table metric: drawn with replacement from a grid, without from a labelled set.

    Where only some rows have codes (`having`, ascending) and the draw asks for others, as many of those that
    there are, without replacement.
    """
    rng = np.random.default_rng(stream(0, f"table{_of_draw(draw)}"))
    wanted = TRAIN_ROWS + TEST_ROWS
    if data.factor_sizes is not None:
        drawn = rng.integers(len(data), size=wanted)
    else:
        drawn = rng.permutation(len(data))[:wanted]
    if having is None or not lacking(drawn, having):
        return drawn
    return rng.permutation(having)[:wanted]


def lacking(rows: Ints, having: Ints | None) -> int:
    """How many of the rows are not among those (ascending) that have codes; None has all."""
    return 0 if having is None else int((~np.isin(rows, having)).sum())


def check_classifier(data: Dataset, choices: Sequence[MetricChoice], data_dir: Path | None) -> None:
    """Raises UsageError before any training where a metric will need a classifier that is not there yet."""
    if data.labels is not None and need_classifier(choices):
        load_classifier(data.name, size=data.shape[1], data_dir=data_dir)


def contingency(
    method: Method, data: Dataset, device: torch.device, data_dir: Path | None
) -> tuple[ContingencyTable, str] | str:
    """Counts of 1,000 generated images of each category by the class that the frozen classifier gives them.

    Categories are hard one-hot codes, all with the same noise (Ojha et al. 2020). Beside the table, what
    names the classifier; instead of both, the reason why there can be none.
    """
    if data.labels is None:
        return f"{data.name} has no classes"
    generator = torch.Generator(device).manual_seed(stream(0, "categories"))
    method.eval()
    with torch.no_grad():
        drawn = [method.categories(method.noise(100, generator)) for _ in range(10)]
    rounds = [found[1] for found in drawn if found is not None]  # (categories, 100, c, h, w) each
    if not rounds:
        return "the method has no categorical code"
    classifier = load_classifier(data.name, size=data.shape[1], data_dir=data_dir)
    k, classes = len(rounds[0]), len(classifier.classes)
    counts = np.zeros((k, classes), np.int64)
    for pictures in rounds:
        for category, row in enumerate(pictures.cpu()):
            counts[category] += np.bincount(classifier(row).numpy(), minlength=classes)
    prior = method.class_prior()
    latent_prior = np.full(k, 1 / k) if prior is None else prior.detach().cpu().double().numpy()
    table = ContingencyTable(counts, latent_prior / latent_prior.sum(), data.class_prior)
    named = f"{classifier.data}, {classifier.accuracy:.2%} right, sha256 {classifier.sha256[:12]}"
    return table, named


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
