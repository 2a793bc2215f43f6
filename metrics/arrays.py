"""Array types, and the arithmetic on arrays that metrics share.

- A constant code carries no information and never wins a vote: it is masked by `varying`, not divided by.
- Arithmetic on codes of any size and origin is that on codes near 1: they are moved and scaled first, without
  rounding, by `conditioned`. Single precision, an offset of 1e8 or a unit of 1e200 then lose nothing.
- Mutual information of 1e-12 nats or less is 0. Counting leaves about 1e-17 where the truth is 0, and a
  score that divides by the largest entry of such a row turns that into 1.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol, Self, runtime_checkable

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Floats = NDArray[np.floating[Any]]
Ints = NDArray[np.integer[Any]]
Bools = NDArray[np.bool_]
# Row numbers to fit on, and row numbers to test on.
Split = tuple[Ints, Ints]

MI_FLOOR = 1e-12  # nats

# Whole numbers up to it are exact in float64.
EXACT = 2**53

# Squares of numbers up to it are floats.
LARGEST = 1e150

# A column that lies further from 0 than this many times its range is moved. Numbers so close to each other
# have an exact difference.
FAR = 16


@runtime_checkable
class Tensor(Protocol):
    """A torch tensor, known by its methods: torch is not imported."""

    def detach(self) -> Self: ...

    def cpu(self) -> Self: ...

    def numpy(self) -> Array: ...


def as_array(values: object) -> Array:
    """A numpy array of an array, a list or a tensor."""
    return values.detach().cpu().numpy() if isinstance(values, Tensor) else np.asarray(values)


def work(n: int, d: int, values: int) -> float:
    """Size of a table beside that on which metrics are timed: 15,000 rows, 10 codes, dSprites' values."""
    return n / 15_000 * d / 10 * values / 113


def each(code: float, pair: float = 0.0) -> Callable[[int, int, int, Mapping[str, object]], float]:
    """The `seconds` of a metric that looks at each code, and each pair of codes, of each row once.

    Args:
        code: nanoseconds for a code of a row, the factors included.
        pair: nanoseconds for a pair of codes of a row.
    """
    return lambda n, d, values, settings: n * (code * d + pair * d * d) * 1e-9


def varying(columns: Array) -> Bools:
    """(d,) True for the columns with more than one value."""
    mask: Bools = (columns != columns[:1]).any(axis=0)
    return mask


def relabel(factors: Array) -> Ints:
    """Each column's values replaced by their rank 0, 1, ... among the values that occur; same shape."""
    ranks = np.empty(factors.shape, dtype=np.intp, order="F")
    for rank, v in zip(ranks.T, factors.T, strict=True):
        rank[:] = rank_of(v)
    return ranks


def rank_of(v: Array) -> Ints:
    """(n,) The rank 0, 1, ... of each value of a column among those that occur."""
    if v.dtype.kind in "iu" and int(v.max()) - int(v.min()) < len(v):
        # counting takes a tenth of the time of sorting; a difference of int8 is no int8
        wide = v.astype(np.int64) if v.dtype.kind == "i" else v
        above: Ints = (wide - wide.min()).astype(np.intp)
        rank: Ints = np.cumsum(np.bincount(above) > 0)[above] - 1
        return rank
    return np.unique(v, return_inverse=True)[1]


def floor(information: Floats) -> Floats:
    """Mutual information in nats, with rounding noise set to exactly 0."""
    return np.where(information > MI_FLOOR, information, 0.0)


def ratio(top: Floats, bottom: Floats) -> Floats:
    """top / bottom elementwise, and 0 where bottom is 0, as in an empty row or for a constant code."""
    shape = np.broadcast_shapes(np.shape(top), np.shape(bottom))
    return np.divide(top, bottom, out=np.zeros(shape), where=np.broadcast_to(bottom, shape) != 0)


def seed(rng: np.random.Generator) -> int:
    """A seed for an estimator that does not take a generator."""
    return int(rng.integers(2**31))


def conditioned(codes: Array, rows: Ints | None = None, together: bool = False) -> tuple[Floats, Ints]:
    """(z, e): codes in float64 near 1, whose squares neither overflow nor vanish, codes = 2^e z + constant.

    A column far from 0 for its range is moved to its first value; then each is multiplied by a power of two.
    Both are exact, so that results in other units are the same to the last digit.

    Args:
        codes: (n, d).
        rows: those that say how far and how large; None for all.
        together: one power of two for all columns, which keeps their sizes relative to each other.

    Returns:
        (n, d) with values up to 1 in these rows, and the exponents (d,).
    """
    z, e = _scaled(codes.astype(np.float64), rows, together)
    part = z if rows is None else z[rows]
    low, high = part.min(axis=0), part.max(axis=0)
    far = np.maximum(np.abs(low), np.abs(high)) > FAR * (high - low)
    if not far.any():
        return z, e
    z, again = _scaled(np.where(far, z - part[0], z), rows, together)
    return z, e + again


def _scaled(z: Floats, rows: Ints | None, together: bool) -> tuple[Floats, Ints]:
    size = np.abs(z if rows is None else z[rows]).max(axis=0)
    _, e = np.frexp(np.full_like(size, size.max()) if together else size)
    if rows is None:
        return np.ldexp(z, -e), e
    # a test row may be beyond what a float holds in the units of the others
    with np.errstate(over="ignore"):
        return np.clip(np.ldexp(z, -e), -LARGEST, LARGEST), e


def deviation(codes: Array, ddof: int = 0) -> Floats:
    """(d,) Standard deviation of each code, exactly 0 for a constant one."""
    z, e = conditioned(codes)
    spread: Floats = np.ldexp(np.where(varying(codes), z.std(axis=0, ddof=ddof), 0.0), e)
    return spread


def standardise(codes: Array, rows: Ints) -> Floats:
    """Codes with mean 0 and standard deviation 1 over `rows`, in float64; a code constant there becomes 0."""
    z, _ = conditioned(codes, rows)
    part = z[rows]
    centred = z - part.mean(axis=0)
    return np.where(varying(part), ratio(centred, part.std(axis=0)), 0.0)
