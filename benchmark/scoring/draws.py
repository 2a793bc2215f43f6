"""Which rows a metric is computed on, and with which random numbers.

The draws of a metric come from streams named after it, the same for every model: `<metric>/<preset>` for
its random numbers, `table` for the rows of a table metric, `shared` for the rows that several models are
compared on. Further draws add `/draw-1`, `/draw-2`, ....
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np

from disbench import metrics
from disbench.benchmark.datasets import Dataset
from disbench.benchmark.protocols import MetricChoice
from disbench.benchmark.training.seeds import stream
from disbench.metrics.arrays import Ints, Split

TRAIN_ROWS, TEST_ROWS = 10_000, 5_000  # of a table metric, as in disentanglement_lib
PICTURES = 1_000  # images that are decoded again: 49 MB of 64x64 in colour


def generator(choice: MetricChoice, draw: int = 0) -> np.random.Generator:
    """The random numbers of a metric's draw: its own, the same for every model."""
    return np.random.default_rng(stream(0, f"{choice.name}/{choice.preset}{_suffix(draw)}"))


def _suffix(draw: int) -> str:
    return f"/draw-{draw}" if draw else ""


def holds_out(choice: MetricChoice) -> bool:
    """Whether the metric fits on some rows and tests on others, see `split`."""
    metric = metrics.get(choice.name)
    return (
        metric.takes("split")
        and metric.settings(choice.preset, **choice.settings).get("held_out", True) is True
    )


def table_rows(data: Dataset, having: Ints | None = None, draw: int = 0, *, held_out: bool = False) -> Ints:
    """Rows of a table metric: all in a random order, or 15,000 of them where there are more.

    From a larger grid they are drawn with replacement, as in disentanglement_lib; from other data without.

    Args:
        data: the data set; every row can be drawn.
        having: rows (m,) that have codes, ascending; None for all. If the draw asks for others, as many of
            these rows are drawn instead, without replacement.
        draw: number of the draw; 0 is the one whose score is reported.
        held_out: whether the metric tests on the rows behind the `split`. None of them is then among the rows
            before it: those drawn a second time are replaced by others, 1.3 % of them on dSprites.

    Returns:
        Row numbers (15,000,), or fewer if there are not as many.
    """
    rng = np.random.default_rng(stream(0, f"table{_suffix(draw)}"))
    count = TRAIN_ROWS + TEST_ROWS
    drawn: Ints
    if data.factor_sizes is not None and len(data) > count:
        drawn = rng.integers(len(data), size=count)
        if held_out:
            drawn = _disjoint(drawn, len(data), rng)
    else:
        drawn = rng.permutation(len(data))[:count]
    if having is None or not lacking(drawn, having):
        return drawn
    return rng.permutation(having)[:count]


def picture_rows(data: Dataset, draw: int = 0) -> Ints:
    """Rows (1,000,) whose images are decoded again, or fewer, ascending: the first of a table metric."""
    return np.unique(table_rows(data, draw=draw)[:PICTURES])


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


def _disjoint(drawn: Ints, n: int, rng: np.random.Generator) -> Ints:
    """The rows, with those to test on that are also among those to fit on replaced by rows that are not."""
    train, test = (drawn[part] for part in split(len(drawn)))
    fitted = np.zeros(n, bool)
    fitted[train] = True
    again = fitted[test]
    test[again] = rng.choice(np.flatnonzero(~fitted), size=again.sum())
    return np.concatenate([train, test])


def split(n: int) -> Split:
    """Which of a metric's n rows it fits on and which it tests on: two thirds and the rest."""
    cut = n * TRAIN_ROWS // (TRAIN_ROWS + TEST_ROWS)
    return np.arange(cut), np.arange(cut, n)


def every_table(data: Dataset) -> Ints:
    """The rows that any table metric asks for, ascending, each once."""
    return distinct(len(data), *(table_rows(data, held_out=held_out) for held_out in (False, True)))


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
