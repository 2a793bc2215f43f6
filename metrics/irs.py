"""Interventional robustness score: Suter, Miladinovic, Scholkopf & Bauer 2019, arXiv:1811.00007.

    symbol      here         shape     meaning
    EMPIDA_jk   deviation    (d, k)    mean over values of v_k of the largest |z_j - E[z_j | v_k]| in its rows
    EMPIDA_j    largest      (d,)      the same with no factor held: the largest |z_j - E[z_j]|

    IRS_j = max_k 1 - deviation_jk / largest_j,    IRS = sum_j largest_j IRS_j / sum_j largest_j

A code that its own factor determines, whatever the other factors are, scores 1.

Deviations: exactly constant codes are left out, and codes far from 0 are moved there first, since single
precision would lose them. `dlib` puts factors of more than 20 values into 20 bins, as that library does,
perhaps by mistake; factors of fewer values keep each value, where that library may merge two of them.

Variants:

In EMPIDA_jk `dlib` takes the .99 quantile instead of the largest, and bins factors of more than 20 values;
`suter2019` takes the largest.

Traps:

- Chance is far from 0 and depends on the quantile and on n: random codes get .35 to .39 with the .99 quantile
  and .14 with the maximum.
- Codes are weighted by their largest deviation, so the score depends on their units and a single outlier can
  weigh most.
- With few rows for each value of a factor the conditional mean is noise, and near it lie the rows of any
  code: random codes get .8 with two rows a value. A warning says so below 10.
"""

from typing import Annotated

import numpy as np

from disbench.errors import unknown
from disbench.metrics import arrays, information
from disbench.metrics.arrays import Array, Floats, Ints
from disbench.metrics.registry import Score, metric
from disbench.ranges import CountOrNone, Range

# Rows for each value of a factor, on average, below which deviations from their mean are told to be small.
FEW = 10


@metric(
    paper="arXiv:1811.00007",
    perfect=1.0,
    presets={
        "dlib": {},
        "suter2019": {"quantile": 1.0, "factor_bins": 0, "precision": "double"},
        "ubisoft": {"quantile": 1.0, "factor_bins": 0, "precision": "double"},
    },
    depends_on=("scale",),
    integer_factors=lambda settings: not settings["factor_bins"],
    seconds=arrays.each(230),
)
def irs(
    codes: Floats,
    factors: Ints,
    *,
    preset: str = "dlib",
    quantile: Annotated[float, Range(0, 1)] = 0.99,
    factor_bins: CountOrNone = 20,
    precision: str = "given",
) -> Score:
    """How firmly one factor determines each code while the others vary, codes weighted by their range (IRS).

    Args:
        codes: (n, d), one row per image.
        factors: (n, k), index of each factor's value, or with `factor_bins` any numbers; or a Grid for codes
            of every point of it.
        quantile: of the deviations at one value of a factor, the one that counts as the largest.
        factor_bins: number of equal-width bins for the factors; 0 for none.
        precision: compute in the precision "given" by the codes, as disentanglement_lib does, or in
            "double". The score is a ratio of small differences: a perfect code in single precision scores
            about 0.99999.
    """
    if precision not in ("given", "double"):
        raise unknown("precision of irs", precision, ("given", "double"))
    live = arrays.varying(codes)
    if not live.any():
        return Score(0.0, live=live, warnings=("all codes are constant, so nothing can be robust",))
    z, e = arrays.conditioned(codes[:, live], together=True)
    if precision == "given":
        z = z.astype(codes.dtype)
        # a code of a far smaller unit than the others may have become 0
        kept = arrays.varying(z)
        live[live], z, e = kept, z[:, kept], e[kept]
    v = np.stack([_grouped(column, factor_bins) for column in factors.T], axis=1)
    deviation = np.stack([_deviation(z, column, quantile) for column in v.T], axis=1)  # (d, k)
    largest = np.abs(z - z.mean(axis=0)).max(axis=0)
    robust = 1 - deviation / largest[:, None]
    per_code = robust.max(axis=1)
    return Score(
        float(np.average(per_code, weights=largest)),
        parts={
            "codes": per_code,
            "parents": robust.argmax(axis=1),
            "weights": np.ldexp(largest.astype(np.float64), e),
            "matrix": robust,
        },
        live=live,
        warnings=_about_groups(v),
    )


def _about_groups(v: Ints) -> tuple[str, ...]:
    """The warning about factors (n, k) whose values, or bins, have few rows each, or none."""
    rows = [len(v) / len(np.unique(column)) for column in v.T]
    few = [k for k, each in enumerate(rows) if each < FEW]
    if not few:
        return ()
    return (
        f"{', '.join(f'factor {k}' for k in few)}: {min(rows):.1f} rows for each value are few, so that any "
        "code lies near their mean and seems robust",
    )


def _grouped(v: Array, bins: int) -> Ints:
    """(n,) The values of a factor, numbered; in bins of equal width if there are more of them than bins."""
    if bins and len(np.unique(v)) > bins:
        return information.histogram(v[:, None], bins)[:, 0]
    return arrays.relabel(v[:, None])[:, 0]


def _deviation(z: Floats, v: Ints, quantile: float) -> Floats:
    """(d,) The quantile of |z - mean| among the rows of each value of v, averaged over the values."""
    groups = [z[v == value] for value in np.unique(v)]
    spread: Floats = np.mean(
        [np.quantile(np.abs(rows - rows.mean(axis=0)), quantile, axis=0) for rows in groups], axis=0
    )
    return spread
