"""Axis alignment: how far the best code of a factor leads over all the others together.

    AAM = 1/K sum_k max(0, I(z_a; v_k) - sum_{j != a} I(z_j; v_k)) / H(v_k),    z_a: the code best for v_k

It is stricter than MIG: a factor that is spread thinly over many codes loses here, while MIG compares with
the second-best code only.

Deviations: the name is in use, but we know of no paper that defines it. The codes are binned as for MIG.

Traps:

- Each useless code takes its plug-in information, about (bins-1)(n_k-1)/2n nats, off the lead: with many
  codes and few rows even a good representation sinks towards 0. Compare at equal n and equal d.
- A factor that two codes share evenly scores 0, however well the two together know it.
"""

import numpy as np

from disbench.metrics import arrays, information
from disbench.metrics.arrays import Floats, Ints
from disbench.metrics.registry import Score, metric
from disbench.ranges import Count


@metric(
    paper="no paper",
    perfect=1.0,
    default="bins20",
    presets={"bins20": {}},
    chance="0",
    seconds=arrays.each(95),
)
def aam(
    codes: Floats,
    factors: Ints,
    *,
    preset: str = "bins20",
    bins: Count = 20,
    binning: str = "width",
) -> Score:
    """Lead of the best code of a factor over all other codes together, over the factor's entropy (AAM).

    Args:
        codes: (n, d), one row per image.
        factors: (n, k), index of each factor's value.
        bins: number of bins of each code.
        binning: "width" or "quantile", see `information.histogram`.
    """
    mi = information.mutual_information(information.histogram(codes, bins, binning), factors)  # (d, k)
    lead = np.maximum(0.0, 2 * mi.max(axis=0) - mi.sum(axis=0)) / information.entropy(factors)
    return Score(lead.mean(), parts={"factors": lead, "mutual_information": mi}, live=arrays.varying(codes))
