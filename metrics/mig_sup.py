"""MIG-sup: Li, Murkute, Gyawali & Wang 2020, arXiv:2002.10549.

    MIG-sup = 1/D sum_j (I(z_j; v_a) - I(z_j; v_b)),    v_a, v_b: the two factors best for z_j, I normalised

It is the counterpart of MIG: a gap between factors for each code, so that it punishes one code of two factors
and not two codes of one factor.

Deviations: constant codes are left out of the mean. `ubisoft` normalises by the code's entropy, as that
library does, not by the factor's.

Traps:

- A noise code counts in the mean with its small gap, so unused codes that are not constant lower the score.
- Copies of a code do no harm: it measures modularity. Read it beside `mig`.
"""

from disbench.errors import unknown
from disbench.metrics import arrays, information
from disbench.metrics.arrays import Floats, Ints
from disbench.metrics.registry import Score, metric
from disbench.ranges import Count


@metric(
    paper="arXiv:2002.10549",
    perfect=1.0,
    default="li2020",
    presets={"li2020": {}, "ubisoft": {"bins": 10, "divide_by": "code"}},
    chance="0",
    seconds=arrays.each(80),
)
def mig_sup(
    codes: Floats,
    factors: Ints,
    *,
    preset: str = "li2020",
    bins: Count = 20,
    binning: str = "width",
    divide_by: str = "factor",
) -> Score:
    """Mean gap between the two factors that a code knows most about (MIG-sup, binned codes).

    Args:
        codes: (n, d), one row per image.
        factors: (n, k), index of each factor's value.
        bins: number of bins of each code.
        binning: "width" or "quantile", see `information.histogram`.
        divide_by: the entropy of the "factor" or of the "code".
    """
    binned = information.histogram(codes, bins, binning)
    mi = information.mutual_information(binned, factors)  # (d, k)
    if divide_by == "factor":
        share: Floats = mi / information.entropy(factors)
    elif divide_by == "code":
        share = arrays.ratio(mi, information.entropy(binned)[:, None])
    else:
        raise unknown("divide_by of mig_sup", divide_by, ("factor", "code"))
    gaps = information.gap(share.T)  # (d,)
    live = arrays.varying(codes)
    notes = () if live.any() else ("all codes are constant and inform about nothing",)
    return Score(
        gaps[live].mean() if live.any() else 0.0,
        parts={"gap": gaps, "mutual_information": mi},
        live=live,
        warnings=notes,
    )
