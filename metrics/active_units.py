"""Active units: Burda, Grosse & Salakhutdinov 2016, arXiv:1509.00519.

    AU = number of codes j with Var_x(E_q[z_j | x]) > 0.01

Deviations: none.

Traps:

- The threshold of 0.01 is absolute and meant for posterior means under an N(0, I) prior: other units of the
  codes give another count.
- More is not better: a model that uses every latent may mix everything. It says how much is used, not how.
"""

import numpy as np

from disbench.metrics import arrays, checks
from disbench.metrics.arrays import Floats
from disbench.metrics.registry import Score, metric
from disbench.ranges import NotNegative


@metric(
    kind="unsupervised",
    paper="arXiv:1509.00519",
    default="burda2016",
    presets={"burda2016": {}},
    depends_on=("scale", "common scale"),
)
def active_units(codes: Floats, *, preset: str = "burda2016", threshold: NotNegative = 0.01) -> Score:
    """Number of codes whose posterior mean varies over the data by more than a threshold.

    Args:
        codes: (n, d) posterior means.
        threshold: least variance of an active code, in squared units of the codes.
    """
    checks.need_rows("active_units", len(codes), 2, "for a variance")
    spread = arrays.deviation(codes, ddof=1)
    live = arrays.varying(codes) & (spread > np.sqrt(threshold))
    with np.errstate(over="ignore"):
        variance = spread**2
    return Score(float(live.sum()), parts={"variance": variance, "share": float(live.mean())}, live=live)
