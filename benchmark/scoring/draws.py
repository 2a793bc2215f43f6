"""Which rows a metric is computed on, and with which random numbers.

The draws of a metric come from streams named after it, the same for every model: `<metric>/<preset>` for
its random numbers, `table` for the rows of a table metric, `shared` for the rows that several models are
compared on. Further draws add `/draw-1`, `/draw-2`, ....
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np

from disbench.benchmark.datasets import Dataset
from disbench.benchmark.protocols import MetricChoice
from disbench.benchmark.training.seeds import stream
from disbench.metrics.arrays import Ints

TRAIN_ROWS, TEST_ROWS = 10_000, 5_000  # of a table metric, as in disentanglement_lib


def generator(choice: MetricChoice, draw: int = 0) -> np.random.Generator:
    """The random numbers of a metric's draw: its own, the same for every model."""
    return np.random.default_rng(stream(0, f"{choice.name}/{choice.preset}{_suffix(draw)}"))


def _suffix(draw: int) -> str:
    return f"/draw-{draw}" if draw else ""


def table_rows(data: Dataset, having: Ints | None = None, draw: int = 0) -> Ints:
    """Rows of a table metric: drawn with replacement from a grid, without replacement from other data.

    Args:
        data: the data set; every row can be drawn.
        having: rows (m,) that have codes, ascending; None for all. If the draw asks for others, as many of
            these rows are drawn instead, without replacement.
        draw: number of the draw; 0 is the one whose score is reported.

    Returns:
        Row numbers (15,000,), or fewer if there are not as many.
    """
    rng = np.random.default_rng(stream(0, f"table{_suffix(draw)}"))
    count = TRAIN_ROWS + TEST_ROWS
    if data.factor_sizes is not None:
        drawn: Ints = rng.integers(len(data), size=count)
    else:
        drawn = rng.permutation(len(data))[:count]
    if having is None or not lacking(drawn, having):
        return drawn
    return rng.permutation(having)[:count]


def shared_rows(parts: Sequence[Ints]) -> Ints:
    """The rows that are in every part, or as many of them as a table metric draws; the same for equal parts.

    Args:
        parts: row numbers, each once and ascending, such as those of kept codes.

    Returns:
        Row numbers (15,000,), or fewer if there are not as many, ascending.
    """
    shared = functools.reduce(functools.partial(np.intersect1d, assume_unique=True), parts)
    rng = np.random.default_rng(stream(0, "shared"))
    return np.sort(rng.permutation(shared)[: TRAIN_ROWS + TEST_ROWS])


def lacking(rows: Ints, having: Ints | None) -> int:
    """How many of the rows are not among those (ascending) that have codes; None has all."""
    return 0 if having is None else int((~np.isin(rows, having)).sum())


def distinct(n: int, *parts: Ints) -> Ints:
    """The row numbers below n that are in any part, each once, ascending."""
    # not np.unique, which takes seconds for a million of them
    occurs = np.zeros(n, bool)
    for part in parts:
        occurs[part] = True
    return np.flatnonzero(occurs)
