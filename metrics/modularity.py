"""Modularity: Ridgeway & Mozer 2018, arXiv:1802.05312.

    modularity_j = 1 - sum_{k != k*} I(z_j; v_k)^2 / (I(z_j; v_k*)^2 (K - 1)),    k* the factor best for z_j

and the mean over codes. `parts` has the score of each code, and a mean weighted by each code's information.

Deviations: a code without information scores 0 and counts in the mean, as in disentanglement_lib;
`over="live"` leaves it out.

Traps:

- **Random codes score .5 to .7**: the score of a useless code is noise divided by noise. It pulls a good
  model with noise codes towards that (.76 for perfect codes with five of noise), and dead codes count 0
  (.62). The mean weighted by information, in `parts`, is free of this.
- Rounding once changed it from .62 to .92: information of 1e-17 instead of 0 makes a dead code "modular".
  Here anything up to 1e-12 nats is 0.
"""

from disbench.errors import unknown
from disbench.metrics import arrays, information
from disbench.metrics.arrays import Floats, Ints
from disbench.metrics.registry import Score, metric
from disbench.ranges import Count


@metric(
    paper="arXiv:1802.05312",
    perfect=1.0,
    presets={"dlib": {}, "infogan_cr": {}, "ubisoft": {"bins": 10, "over": "live"}},
    seconds=arrays.each(80),
)
def modularity(
    codes: Floats,
    factors: Ints,
    *,
    preset: str = "dlib",
    bins: Count = 20,
    binning: str = "width",
    over: str = "all",
) -> Score:
    """Whether each code informs about one factor only (Ridgeway & Mozer's modularity, binned codes).

    Args:
        codes: (n, d), one row per image.
        factors: (n, k), index of each factor's value.
        bins: number of bins of each code.
        binning: "width" or "quantile", see `information.histogram`.
        over: take the mean over "all" codes, with 0 for those without information, or over the "live" ones.
    """
    mi = information.mutual_information(information.histogram(codes, bins, binning), factors)  # (d, k)
    best = mi.max(axis=1)
    live = best > 0
    others = mi.shape[1] - 1
    spill = arrays.ratio((mi**2).sum(axis=1) - best**2, best**2 * max(others, 1))
    per_code = live * (1 - spill)
    if over not in ("all", "live"):
        raise unknown("over of modularity", over, ("all", "live"))
    notes = []
    if not others:
        notes.append("with one factor every code that informs about it is modular")
    if not live.any():
        notes.append("no code informs about any factor")
    counted = live if over == "live" and live.any() else live | True
    return Score(
        per_code[counted].mean(),
        parts={
            "codes": per_code,
            "weighted": float((per_code * best).sum() / best.sum()) if live.any() else 0.0,
            "mutual_information": mi,
        },
        live=live,
        warnings=tuple(notes),
    )
