"""Rows without a complete grid, for the metrics that hold a factor: the values that do occur are held.

On a grid a factor is held by moving an image to any of its values, whatever the other factors are. A sample
of attributes, or of continuous positions in bins, has no image for most combinations. Here an image with the
value that is held is drawn among the rows that have it, so the other factors are as they occur together with
that value, and not independent of it:

- the factor of a vote is uniform among those that can be held, as on a grid;
- a value that one row alone has is never held: a batch of that image again and again does not move;
- a factor can be held if two of its values have two rows or more each.

Where each combination occurs once, this is the grid: both draw alike.

Trap: factors that go together in the data cannot be told apart by votes. Where two are equal in every row,
perfect codes score one half of their votes.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from disbench.errors import UsageError, argument
from disbench.metrics.arrays import Ints
from disbench.metrics.factors import Factors

# A value is held by rows that share it, so that a batch shows more than one image.
SHARED = 2

# What a score of such draws says beside its preset.
LABEL = "values that occur"


@dataclass(frozen=True, eq=False)
class Occurring:
    """The rows of a data set by the values of their factors.

    Attributes:
        factors: the factors of n rows, none of them continuous.
        having: (n,) the numbers of these rows, where they are some of a larger data set; else None.

    Raises:
        UsageError: a continuous factor, or fewer than two factors that can be held.
    """

    factors: Factors
    having: Ints | None = None

    def __post_init__(self) -> None:
        if any(self.factors.continuous):
            j = self.factors.continuous.index(True)
            raise UsageError(
                f"a factor is held at values that occur again and again, and {self.factors.label(j)} is "
                f"continuous; give {argument('bins')}, such as 20, or take a metric of numbers"
            )
        if len(self.varying) < 2:
            raise UsageError(
                f"{len(self.varying)} of {len(self.sizes)} factors have two values that two rows or more "
                "share, and with fewer than two such factors there is nothing to tell apart"
            )

    def __len__(self) -> int:
        return len(self.factors)

    @property
    def names(self) -> tuple[str, ...]:
        """Of the factors, or none."""
        return self.factors.names

    @cached_property
    def sizes(self) -> tuple[int, ...]:
        """Number of values of each factor that can be held."""
        return tuple(len(counts) for counts in self._counts)

    @cached_property
    def varying(self) -> tuple[int, ...]:
        """Columns of the factors that can be held at one value and at another."""
        return tuple(k for k, n in enumerate(self.sizes) if n > 1)

    @cached_property
    def _ranks(self) -> Ints:
        """(n, k) Place of each value among those of its factor."""
        return self.factors.ranks()

    @cached_property
    def _counts(self) -> tuple[Ints, ...]:
        """Of each factor the number of rows (values,) of each value that can be held."""
        counts = [np.bincount(column) for column in self._ranks.T]
        return tuple(count[count >= SHARED] for count in counts)

    @cached_property
    def _order(self) -> tuple[Ints, ...]:
        """Of each factor the rows (m,) of the values that can be held, sorted by value."""
        orders = []
        for column in self._ranks.T:
            order = np.argsort(column, kind="stable")
            orders.append(order[np.bincount(column)[column[order]] >= SHARED])
        return tuple(orders)

    @property
    def dropped(self) -> tuple[int, ...]:
        """Columns of the factors that cannot be held."""
        return tuple(k for k in range(len(self.sizes)) if k not in self.varying)

    def said(self) -> tuple[str, ...]:
        """Sentences about the draws, for a score's warnings."""
        cannot = [f"{self.factors.label(k)} cannot be held and was left out" for k in self.dropped]
        single = [
            f"{self.factors.label(k)}: {lost:,} values that one row alone has are never held"
            for k in self.varying
            if (lost := int((np.bincount(self._ranks[:, k]) == 1).sum()))
        ]
        return (
            f"no complete grid in row-major order: a factor is held by drawing, of {len(self):,} rows, among "
            "those of one value",
            *cannot,
            *single,
        )

    def draw(self, rng: np.random.Generator, size: int | tuple[int, ...]) -> Ints:
        """Row numbers of that shape, uniform."""
        return self._numbered(rng.integers(len(self), size=size))

    def value(self, rng: np.random.Generator, factor: Ints) -> Ints:
        """The value of each factor (...) in a row drawn for it, uniform among rows of a value to hold."""
        values: Ints = np.empty(factor.shape, np.int64)
        for k in np.unique(factor).tolist():
            here = factor == k
            ends = np.cumsum(self._counts[k])
            values[here] = np.searchsorted(ends, rng.integers(ends[-1], size=here.sum()), side="right")
        return values

    def held(self, rng: np.random.Generator, factor: Ints, value: Ints) -> Ints:
        """A row number for each factor and value (...), uniform among the rows that have it."""
        rows: Ints = np.empty(factor.shape, np.int64)
        for k in np.unique(factor).tolist():
            here = factor == k
            counts, wanted = self._counts[k], value[here]
            starts = np.cumsum(counts) - counts
            rows[here] = self._order[k][starts[wanted] + rng.integers(counts[wanted])]
        return self._numbered(rows)

    def _numbered(self, rows: Ints) -> Ints:
        return rows if self.having is None else self.having[rows]
