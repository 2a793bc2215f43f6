"""DCIMIG, also 3CharM: Sepliarskaia, Kiseleva & de Rijke 2019, arXiv:1910.05587.

Each code is given to the factor it knows most about, with its lead over the second factor; each factor
keeps the best code given to it:

    R_j = I(z_j; v_k*) - max_{k != k*} I(z_j; v_k),    DCIMIG = sum_k max_{j: k*(j) = k} R_j / sum_k H(v_k)

Deviations: none.

Traps:

- A factor that no code is given to adds nothing to the numerator but its entropy to the denominator: one lost
  factor of many values costs more than one of few.
- Two codes of one factor do no harm, since only the better one counts: the opposite of `mig`.
"""

import numpy as np

from disbench.metrics import arrays, information
from disbench.metrics.arrays import Floats, Ints
from disbench.metrics.registry import Score, metric
from disbench.ranges import Count


@metric(
    paper="arXiv:1910.05587",
    perfect=1.0,
    default="sepliarskaia2019",
    presets={"sepliarskaia2019": {}, "ubisoft": {"bins": 10}},
    chance="0",
    seconds=arrays.each(95),
)
def dcimig(
    codes: Floats,
    factors: Ints,
    *,
    preset: str = "sepliarskaia2019",
    bins: Count = 20,
    binning: str = "width",
) -> Score:
    """Information that factors find in a code of their own, over their entropy (DCIMIG, binned codes).

    Args:
        codes: (n, d), one row per image.
        factors: (n, k), index of each factor's value.
        bins: number of bins of each code.
        binning: "width" or "quantile", see `information.histogram`.
    """
    mi = information.mutual_information(information.histogram(codes, bins, binning), factors)  # (d, k)
    lead = information.gap(mi.T)  # (d,)
    owned = np.where(mi.argmax(axis=1)[:, None] == np.arange(mi.shape[1]), lead[:, None], 0.0)
    best = owned.max(axis=0)  # (k,)
    h = information.entropy(factors)
    return Score(
        best.sum() / h.sum(),
        parts={"factors": best / h, "lead": lead, "mutual_information": mi},
        live=arrays.varying(codes),
    )
