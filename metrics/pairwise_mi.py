"""Mean mutual information between codes: as reported by Locatello et al. 2019, arXiv:1811.12359.

    1 / (D (D - 1)) sum_{i != j} I(z_i; z_j),    codes in 20 equal-width bins, nats

0 for independent codes, except for the bias of counting.

Deviations: with one code it is 0, with a warning.

Traps:

- Low is good. Counting adds about (bins-1)^2/2n nats to each pair, so compare at equal n.
- It sees pairs only: three codes may depend on each other while each pair is independent.
"""

import numpy as np

from disbench.metrics import arrays, information
from disbench.metrics.arrays import Floats
from disbench.metrics.registry import Score, metric
from disbench.ranges import Count


@metric(
    kind="unsupervised",
    paper="arXiv:1811.12359",
    presets={"dlib": {}},
    higher_is_better=False,
    seconds=arrays.each(90, 1.5),
)
def pairwise_mi(codes: Floats, *, preset: str = "dlib", bins: Count = 20, binning: str = "width") -> Score:
    """Mean mutual information (nats) of pairs of codes, binned.

    Args:
        codes: (n, d), one row per image.
        bins: number of bins of each code.
        binning: "width" or "quantile", see `information.histogram`.
    """
    d = codes.shape[1]
    live = arrays.varying(codes)
    if d < 2:
        return Score(0.0, live=live, warnings=("there is one code only, so no pair",))
    binned = information.histogram(codes, bins, binning)
    mi = information.mutual_information(binned, binned)
    np.fill_diagonal(mi, 0.0)
    return Score(mi.sum() / (d * d - d), parts={"mutual_information": mi}, live=live)
