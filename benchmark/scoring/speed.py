"""CPU time and memory of the metrics, see `disbench bench metrics`."""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np

from disbench import metrics
from disbench.benchmark.datasets.dsprites import SIZES as SIZES
from disbench.benchmark.scoring.draws import PICTURES
from disbench.benchmark.scoring.draws import TEST_ROWS as TEST_ROWS
from disbench.benchmark.scoring.draws import TRAIN_ROWS as TRAIN_ROWS
from disbench.metrics import boosted_trees, voting
from disbench.metrics.arrays import Ints
from disbench.metrics.model_centrality import Generator

CODES = 10
# tracing memory multiplies the time, so slower metrics are not traced
MOST_TRACED = 20.0  # seconds


@dataclass(frozen=True)
class Cost:
    """The cost of one call of a metric.

    Attributes:
        seconds: CPU time.
        peak: largest traced memory in bytes; None if it was not traced.
        score: the score.
    """

    seconds: float
    peak: int | None
    score: float


def measure(name: str) -> Cost:
    """Calls a metric with its default preset, and once more to trace its memory."""
    metric = metrics.get(name)
    arguments, options = inputs(name)
    if "library" in metric.settings():
        boosted_trees.prepare()
    started = time.process_time()
    score = metric(*arguments, **fresh(options)).score
    seconds = time.process_time() - started
    if seconds > MOST_TRACED:
        return Cost(seconds, None, score)
    tracemalloc.start()
    metric(*arguments, **fresh(options))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return Cost(seconds, peak, score)


def fresh(options: Mapping[str, object]) -> dict[str, object]:
    """The options, with a random generator at its beginning."""
    return {**options, **({"rng": np.random.default_rng(0)} if "rng" in options else {})}


def held_rows(grid: metrics.Grid, held: Ints, batch: int, rng: np.random.Generator) -> Ints:
    """A grid as the generator of a model whose codes are the factors, and whose images are row numbers."""
    rows = rng.integers(len(grid), size=(len(held), batch))
    return voting.hold(rows, grid, held[:, None], voting.value_of(rows[:, :1], grid, held[:, None])).ravel()


def inputs(name: str) -> tuple[tuple[object, ...], dict[str, object]]:
    """Arguments for a metric: noisy copies of the factors in half of the codes, noise in the others."""
    metric, grid = metrics.get(name), metrics.Grid(SIZES)
    rng = np.random.default_rng(0)
    options: dict[str, object] = {"rng": rng} if metric.takes("rng") else {}
    if metric.takes("n_jobs"):
        # the CPU time of worker processes is not measured
        options["n_jobs"] = 1
    rows = (
        np.arange(len(grid))
        if metric.kind == "sampling" or metric.takes("generators")
        else rng.integers(len(grid), size=TRAIN_ROWS + TEST_ROWS)
    )
    factors = grid.factors(rows)
    scaled = factors / np.array(SIZES)
    codes = rng.normal(0, 0.1, (len(rows), CODES)) + np.pad(scaled, ((0, 0), (0, CODES - len(SIZES))))
    if metric.kind == "sampling":
        return (codes, grid), options
    if metric.kind == "unsupervised":
        return (codes,), options
    if metric.takes("generators"):
        return ([codes.__getitem__] * 3, [Generator(len(SIZES), partial(held_rows, grid))] * 3), options
    if metric.kind == "models":
        return ([codes[:2000] + 0.01 * i for i in range(6)],), options
    if metric.kind == "reconstruction":
        images = rng.random((PICTURES, 1, 64, 64))
        return (images, images + rng.normal(0, 0.1, images.shape)), options
    if metric.kind == "clustering":
        prior = np.full(10, 0.1)
        return (metrics.ContingencyTable(rng.integers(1, 100, (10, 10)), prior, prior),), options
    if metric.takes("split"):
        options["split"] = (np.arange(TRAIN_ROWS), TRAIN_ROWS + np.arange(TEST_ROWS))
    if metric.kind == "posterior":
        return (codes, np.full(codes.shape, -4.0), factors), options
    return (codes, factors), options
