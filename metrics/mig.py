"""Mutual information gap on binned codes: Chen et al. 2018, arXiv:1802.04942, eq. 6.

    MIG = 1/K sum_k (I(z_a; v_k) - I(z_b; v_k)) / H(v_k),    z_a, z_b: the two codes best for v_k

The codes are posterior means in equal-width bins, as in disentanglement_lib. Counting overestimates each I by
about (bins-1)(n_k-1)/2n nats.

Deviations: the information is that of binned codes, not the paper's own estimate, which is `mig_chen`. With
one code the gap is its information. `ubisoft` divides each I by the *code's* entropy, as that library does.

Variants:

Chen et al. estimate densities of posterior samples; disentanglement_lib and most later work bin posterior
means. **The two do not agree**: .30 binned and .38 to .39 by density on the same reference codes. Published
MIGs are comparable within one family only. `mig` is the binned one, `mig_chen` the paper's.

Traps:

- **A perfect score may be out of reach.** With 20 bins a perfect code of a factor with 32 or 40 values cannot
  distinguish all of them: a perfect code of dSprites scores .896.
- Equal-width bins depend on the extreme rows; one outlier merges all the others into few bins. The preset
  `quantile` is immune.
- Evenly spaced codes of one level more than bins, 21 for instance, lie on the edges of the bins, where
  rounding decides: a perfect one scores .98 in double precision, and .87 to .98 in single, by its unit.
- It measures compactness: perfect codes given twice score 0, while one code that holds two factors loses
  little (.89). `mig_sup` is its counterpart.
- Some libraries divide by the entropy of the code, not of the factor (`ubisoft`), and one well-known
  evaluator reshapes where it should transpose and reports about 0.001 for good models: see docs/wrong.md.
- Whether dSprites' shape counts differs among papers.
"""

from disbench.errors import unknown
from disbench.metrics import arrays, information
from disbench.metrics.arrays import Floats, Ints
from disbench.metrics.registry import Score, metric
from disbench.ranges import Count


@metric(
    paper="arXiv:1802.04942",
    perfect=1.0,
    chance="0",
    presets={
        "dlib": {},
        "infogan_cr": {},
        "ubisoft": {"bins": 10, "divide_by": "code"},
        # the same with bins of equal frequency, for codes with outliers
        "quantile": {"binning": "quantile"},
    },
    seconds=arrays.each(90),
)
def mig(
    codes: Floats,
    factors: Ints,
    *,
    preset: str = "dlib",
    bins: Count = 20,
    binning: str = "width",
    divide_by: str = "factor",
) -> Score:
    """Mean gap between the two codes that know most about a factor, over its entropy (MIG, binned codes).

    Args:
        codes: (n, d), one row per image.
        factors: (n, k), index of each factor's value.
        bins: number of bins of each code.
        binning: "width" or "quantile", see `information.histogram`.
        divide_by: the entropy of the "factor" (the definition) or of the "code".

    Examples:
        Codes that are the factors, and codes that hold both factors at once:

        >>> import numpy as np
        >>> from disbench.metrics import mig
        >>> factors = np.stack(np.unravel_index(np.arange(16), (4, 4)), axis=1)
        >>> round(mig(factors, factors).score, 3)
        1.0
        >>> mixed = factors @ [[1, 1], [1, -1]]
        >>> round(mig(mixed, factors).score, 3)
        0.0
    """
    binned = information.histogram(codes, bins, binning)
    mi = information.mutual_information(binned, factors)  # (d, k)
    h = information.entropy(factors)  # (k,)
    if divide_by == "factor":
        share: Floats = mi / h
    elif divide_by == "code":
        share = arrays.ratio(mi, information.entropy(binned)[:, None])
    else:
        raise unknown("divide_by of mig", divide_by, ("factor", "code"))
    gaps = information.gap(share)
    return Score(
        gaps.mean(),
        parts={"gap": gaps, "mutual_information": mi, "factor_entropy": h},
        live=arrays.varying(codes),
    )
