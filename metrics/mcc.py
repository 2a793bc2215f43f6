"""Mean correlation coefficient: Hyvarinen & Morioka 2016, arXiv:1605.06336, a measure of identifiability.

    MCC = 1/K max over one-to-one assignments k -> j(k) of sum_k |corr(z_j(k), v_k)|

Deviations: with fewer codes than factors, factors left over count 0; constant codes have correlation 0.

Traps:

- Factors are taken as numbers: a code of a cyclic factor or of a shape cannot correlate well.
- One code per factor: copies cost nothing, and other content of a code only lowers its correlation.
- Random codes score above 0, the more so the fewer the rows, since the best of many assignments is taken.
"""

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.stats import rankdata

from disbench.errors import unknown
from disbench.metrics import arrays
from disbench.metrics.arrays import Floats
from disbench.metrics.registry import Score, metric


@metric(
    paper="arXiv:1605.06336",
    perfect=1.0,
    default="pearson",
    presets={"pearson": {}, "spearman": {"correlation": "spearman"}},
    integer_factors=False,
    depends_on=("values",),
    seconds=arrays.each(100),
)
def mcc(codes: Floats, factors: Floats, *, preset: str = "pearson", correlation: str = "pearson") -> Score:
    """Mean absolute correlation of factors and codes under the best one-to-one assignment (MCC).

    Args:
        codes: (n, d), one row per image.
        factors: (n, k), any numbers; their order matters.
        correlation: "pearson", or "spearman" for ranks, which sees any monotone code as perfect.
    """
    if correlation not in ("pearson", "spearman"):
        raise unknown("correlation of mcc", correlation, ("pearson", "spearman"))
    live = arrays.varying(codes)
    z, v = codes, factors
    if correlation == "spearman":
        z, v = rankdata(z, axis=0), rankdata(v, axis=0)
    rows = np.arange(len(z))
    # up to 1 but for rounding
    r = np.minimum(
        np.abs(arrays.standardise(z, rows).T @ arrays.standardise(v, rows)) / len(rows), 1
    )  # (d, k)
    assigned, matched = linear_sum_assignment(r, maximize=True)
    per_factor = np.zeros(v.shape[1])
    per_factor[matched] = r[assigned, matched]
    code_of = np.full(v.shape[1], -1)
    code_of[matched] = assigned
    note = (
        f"{len(z.T)} codes cannot be matched to {len(per_factor)} factors one to one; those left over count 0"
    )
    return Score(
        per_factor.mean(),
        parts={"factors": per_factor, "assignment": code_of, "correlation": r},
        live=live,
        warnings=(note,) if z.shape[1] < v.shape[1] else (),
    )
