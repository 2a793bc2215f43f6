"""How sure a score is: its spread over draws, and what it would be by chance.

The spread is the standard deviation over draws. A metric that votes draws anew, among the rows that are
encoded for the first draws. A metric of a table draws parts of its rows: a part of the share
f, without replacement, differs from the whole by the variance s^2 (1/f - 1), where s^2 is that of the whole
over the data (Politis & Romano 1994, Ann. Stat. 22; delete-d jackknife, Shao & Wu 1989, Ann. Stat. 17). With
f = 1/4, the spread of the whole is that of the parts divided by the root of 3, and three of them cost less
than the whole. A score of a complete grid draws nothing, unless the metric holds rows out or draws itself.

The chance is the score of the same codes, of the same rows, with factors that are shuffled over the rows; of
counts, with latents and classes that are independent and as frequent. Rows that vote draw their codes from
those of all encoded rows.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from scipy.stats import random_table

from disbench.benchmark.scoring.draws import split
from disbench.benchmark.training.seeds import stream
from disbench.metrics import ContingencyTable
from disbench.metrics.arrays import Floats, Ints

SHARE = 0.25
# Rows of which parts are drawn.
FEWEST = 400


class Amount(NamedTuple):
    """How often a metric is computed besides its score.

    Attributes:
        draws: for its spread; of a metric that votes, the first included.
        shuffles: for its chance.
    """

    draws: int
    shuffles: int


CHEAP, DEAR, NEITHER = Amount(10, 5), Amount(3, 3), Amount(0, 0)
# CPU seconds of one draw, from which on a metric is dear, and too dear.
DEAR_FROM, TOO_DEAR_FROM = 2.0, 60.0


def amount(seconds: float) -> Amount:
    """How often a metric is computed that takes so many CPU seconds."""
    if seconds >= TOO_DEAR_FROM:
        return NEITHER
    return DEAR if seconds >= DEAR_FROM else CHEAP


def _generator(what: str, draw: int) -> np.random.Generator:
    """The same for every metric and model, so that they are compared on the same parts."""
    return np.random.default_rng(stream(0, f"{what}-{draw}"))


def part(rows: Ints, draw: int) -> Ints:
    """A part of the rows of a table, as large a share of those to fit on as of those to test on.

    Args:
        rows: (n,) row numbers, in the order of a metric: first those to fit on, see `draws.split`.
        draw: number of the part.

    Returns:
        (n / 4,) row numbers, in the same order of both.
    """
    rng, m = _generator("part", draw), math.floor(SHARE * len(rows))
    sides = zip(split(len(rows)), split(m), strict=True)
    drawn: Ints = rows[np.concatenate([rng.permutation(side)[: len(kept)] for side, kept in sides])]
    return drawn


def part_of_counts(table: ContingencyTable, draw: int) -> ContingencyTable:
    """The counts of a part of the images."""
    counts, rng = table.counts.astype(np.int64), _generator("part", draw)
    fewer = rng.multivariate_hypergeometric(counts.ravel(), math.floor(SHARE * counts.sum()))
    return replace(table, counts=fewer.reshape(counts.shape))


def shuffled(rows: Ints, draw: int) -> Ints:
    """The rows in a random order, to take their factors from."""
    order: Ints = _generator("shuffle", draw).permutation(rows)
    return order


def shuffled_counts(table: ContingencyTable, draw: int) -> ContingencyTable:
    """Counts of independent latents and classes, each as frequent as in the table."""
    counts = table.counts.astype(np.int64)
    latents, classes = counts.sum(axis=1), counts.sum(axis=0)
    random = random_table(latents, classes).rvs(random_state=_generator("shuffle", draw))
    return replace(table, counts=random)


class Strangers:
    """Codes of a grid, as a function of its rows, in which each row has the codes of another.

    Args:
        position: (N,) of each row of the grid, where its codes are.
        codes: (m, d).
        draw: number of the order.
    """

    def __init__(self, position: Ints, codes: Floats, draw: int) -> None:
        self.position, self.codes = position, codes
        self.order = _generator("shuffle", draw).permutation(len(codes))

    def __call__(self, rows: Ints) -> Floats:
        """The codes (len(rows), d)."""
        codes: Floats = self.codes[self.order[self.position[rows]]]
        return codes
