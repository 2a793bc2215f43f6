"""Array types, and the arithmetic on arrays that metrics share.

- A constant code carries no information and never wins a vote: it is masked by `varying`, not divided by.
- Mutual information of 1e-12 nats or less is 0. Counting leaves about 1e-17 where the truth is 0, and a
  score that divides by the largest entry of such a row turns that into 1.
"""

from __future__ import annotations

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


@runtime_checkable
class Tensor(Protocol):
    """A torch tensor, known by its methods: torch is not imported."""

    def detach(self) -> Self: ...

    def cpu(self) -> Self: ...

    def numpy(self) -> Array: ...


def as_array(values: object) -> Array:
    """A numpy array of an array, a list or a tensor."""
    return values.detach().cpu().numpy() if isinstance(values, Tensor) else np.asarray(values)


def varying(columns: Array) -> Bools:
    """(d,) True for the columns with more than one value."""
    mask: Bools = (columns != columns[:1]).any(axis=0)
    return mask


def relabel(factors: Array) -> Ints:
    """Each column's values replaced by their rank 0, 1, ... among the values that occur; same shape."""
    return np.stack([np.unique(v, return_inverse=True)[1] for v in factors.T], axis=1)


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


def standardise(codes: Array, rows: Ints) -> Floats:
    """Codes with mean 0 and standard deviation 1 over `rows`, in float64; a code constant there becomes 0."""
    z = codes.astype(np.float64)
    part = z[rows]
    centred = z - part.mean(axis=0)
    return np.where(varying(part), ratio(centred, part.std(axis=0)), 0.0)
