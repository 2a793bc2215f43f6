"""Which rows a metric is computed on, and with which random numbers.

The draws of a metric come from streams named after it, the same for every model: `<metric>/<preset>` for
its random numbers, `table` for the rows of a table metric. Further draws add `/draw-1`, `/draw-2`, ....
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from disbench.benchmark.datasets import Dataset
from disbench.benchmark.protocols import MetricChoice
from disbench.benchmark.training.seeds import stream

Ints = NDArray[np.integer[Any]]
TRAIN_ROWS, TEST_ROWS = 10_000, 5_000  # of a table metric, as in disentanglement_lib


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


def distinct(n: int, *parts: Ints) -> Ints:
    """The row numbers below n that are in any part, each once, ascending."""
    there = np.zeros(n, bool)  # np.unique takes seconds for a million of them
    for part in parts:
        there[part] = True
    return np.flatnonzero(there)
