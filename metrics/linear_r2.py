"""Linear R^2: the share of each factor's variance that a linear map of all codes explains on fresh rows.

    R^2_k = 1 - sum_i (v_ik - w_k z_i - b_k)^2 / sum_i (v_ik - mean v_k)^2

It is the usual measure of identifiability up to linear maps. Below 0 the map does worse on fresh rows than
their mean.

Deviations: none.

Traps:

- It is blind to rotation and mixing: it says that a linear map finds the factors, not that they are separate.
- Factors are taken as numbers: for a shape or a class their order is arbitrary, and so is the score.
- With few rows for each code the fresh-row score falls below 0.
"""

import numpy as np

from disbench.metrics import arrays, checks
from disbench.metrics.arrays import Floats, Split
from disbench.metrics.registry import Score, metric


@metric(
    paper="no paper",
    perfect=1.0,
    default="ols",
    presets={"ols": {}, "in_sample": {"held_out": False}},
    integer_factors=False,
    depends_on=("values",),
    seconds=arrays.each(70, 0.15),
)
def linear_r2(
    codes: Floats,
    factors: Floats,
    *,
    rng: np.random.Generator | None = None,
    split: Split | None = None,
    preset: str = "ols",
    held_out: bool = True,
) -> Score:
    """Mean share of the factors' variance that a least-squares map of all codes explains (linear R^2).

    Args:
        codes: (n, d), one row per image.
        factors: (n, k), any numbers; their order matters.
        rng: draws the split if none is given.
        split: (rows to fit on, rows to test on).
        held_out: fit and test on separate rows; otherwise on all rows, without a split.
    """
    n, d = codes.shape
    everything = np.arange(n)
    train, test = checks.split_rows("linear_r2", n, split, rng) if held_out else (everything, everything)
    checks.need_rows("linear_r2", len(train), d + 2, f"to fit {d} codes and a constant")
    z = np.column_stack([arrays.standardise(codes, train), np.ones(n)])
    v, _ = arrays.conditioned(factors, train)
    weights = np.linalg.lstsq(z[train], v[train], rcond=None)[0]
    error = ((v[test] - z[test] @ weights) ** 2).sum(axis=0)
    total = ((v[test] - v[test].mean(axis=0)) ** 2).sum(axis=0)
    # the mean of equal numbers may differ from them in its last digit, so that `total` is not quite 0
    moves = arrays.varying(factors[test])
    per_factor = np.where(moves, 1 - arrays.ratio(error, total), 0.0)
    note = "a factor has one value in the rows to test on; its R^2 counts as 0"
    return Score(
        per_factor.mean(),
        parts={"factors": per_factor},
        live=arrays.varying(codes),
        warnings=() if moves.all() else (note,),
    )
