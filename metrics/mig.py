"""Mutual information gap on binned codes: Chen et al. 2018, arXiv:1802.04942, eq. 6.

    MIG = 1/K sum_k (I(z_a; v_k) - I(z_b; v_k)) / H(v_k),    z_a, z_b: the two codes best for v_k

The codes are posterior means in equal-width bins, as in disentanglement_lib; this does not agree with the
paper's own estimator, which is `mig_chen`. The number depends on `bins` and on the number of rows: a
perfect code of a factor with more values than bins scores below 1, and counting overestimates each I by
about (bins-1)(n_k-1)/2n nats.

Deviations: with one code the gap is its information. `ubisoft` divides each I by the *code's* entropy, as
that library does.

Variants:

Chen et al. estimate densities of posterior samples; disentanglement_lib and most later work bin posterior
means. **The two do not agree**: .30 binned and .38 to .39 by density on the same reference codes. Published
MIGs are comparable within one family only. `mig` is the binned one, `mig_chen` the paper's.

Traps:

- **A perfect score may be out of reach.** With 20 bins a perfect code of a factor with 32 or 40 values cannot
  tell all of them apart: a perfect code of dSprites scores .896.
- Equal-width bins depend on the extreme rows; one outlier merges all the others into few bins. `quantile` is
  immune.
- Copies are punished to nothing (0 for perfect codes given twice), while one code that holds two factors
  hardly is (.89): it measures compactness. `mig_sup` is its counterpart.
- Some libraries divide by the entropy of the code, not of the factor (`ubisoft`), and one well-known
  evaluator reshapes where it should transpose and reports about 0.001 for good models: see docs/wrong.md.
- Whether dSprites' shape counts differs among papers.
"""

from disbench.errors import unknown
from disbench.metrics import arrays, information
from disbench.metrics.arrays import Floats, Ints
from disbench.metrics.registry import Score, metric


@metric(
    paper="arXiv:1802.04942",
    chance="0",
    presets={
        "dlib": {},
        "infogan_cr": {},
        "ubisoft": {"bins": 10, "divide_by": "code"},
        "quantile": {"binning": "quantile"},  # the same with bins of equal frequency, for codes with outliers
    },
)
def mig(
    codes: Floats,
    factors: Ints,
    *,
    preset: str = "dlib",
    bins: int = 20,
    binning: str = "width",
    divide_by: str = "factor",
) -> Score:
    """Mean gap between the two codes that know most about a factor, over its entropy (MIG, binned codes).

    Args:
        codes: (n, d). factors: (n, k).
        bins, binning: how codes become integers, see `information.histogram`.
        divide_by: the entropy of the "factor" (the definition) or of the "code".
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
