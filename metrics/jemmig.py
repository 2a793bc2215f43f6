"""JEMMIG: Do & Tran 2020, arXiv:1908.09961.

    JEMMIG_k = H(z_a, v_k) - I(z_a; v_k) + I(z_b; v_k),    z_a, z_b: the best and the second-best code for v_k

is 0 for a code that is nothing but the factor, and grows with everything else in it. The score is the mean of
1 - JEMMIG_k / (H(v_k) + log bins), which is 1 for that code and 0 for a code of random bins.

Deviations: codes are binned, while the paper integrates over posteriors; with one code I(z_b; v_k) is 0. Of
codes with equal information, z_a is the one with the least joint entropy. A factor that no code has
information about scores 0; by the formula constant codes, which hold nothing else either, would score well.

Traps:

- It divides by H(v) + log bins, so it depends on the bins twice.
- It punishes a useful code of fine resolution for its other information. That is its purpose, but it makes
  continuous codes score lower than rounded ones.
"""

import math

import numpy as np

from disbench.metrics import arrays, information
from disbench.metrics.arrays import Floats, Ints
from disbench.metrics.registry import Score, metric
from disbench.ranges import Count


@metric(
    paper="arXiv:1908.09961",
    perfect=1.0,
    default="ubisoft",
    presets={"ubisoft": {}, "bins20": {"bins": 20}},
    seconds=arrays.each(90),
)
def jemmig(
    codes: Floats,
    factors: Ints,
    *,
    preset: str = "ubisoft",
    bins: Count = 10,
    binning: str = "width",
) -> Score:
    """Gap of information, less what else the best code holds (JEMMIG, scaled to 1 for a perfect code).

    Args:
        codes: (n, d), one row per image.
        factors: (n, k), index of each factor's value.
        bins: number of bins of each code.
        binning: "width" or "quantile", see `information.histogram`.
    """
    binned = information.histogram(codes, bins, binning)
    mi = information.mutual_information(binned, factors)  # (d, k)
    joint = information.joint_entropy(binned, factors)  # (d, k)
    tied = mi >= mi.max(axis=0) - 1e-9
    raw = np.where(tied, joint, np.inf).min(axis=0) - information.gap(mi)  # (k,) nats
    scaled = 1 - raw / (information.entropy(factors) + math.log(bins))
    per_factor = np.where(mi.max(axis=0) > 0, scaled, 0.0)
    return Score(
        per_factor.mean(),
        parts={"factors": per_factor, "unscaled": raw, "mutual_information": mi},
        live=arrays.varying(codes),
    )
