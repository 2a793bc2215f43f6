"""Rank gap: an example of a metric of one's own. No paper.

    1/K sum_k (|rho(z_a; v_k)| - |rho(z_b; v_k)|),    z_a, z_b: the two codes best for v_k

with Spearman's rank correlation rho, so that a monotone map of a code changes nothing.

Deviations: none.

Traps:

- A code must follow the order of the factor's values: a cycle, say, has hardly any rank correlation.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from disbench.metrics import Score, metric


@metric(paper="none", default="own", presets={"own": {}}, chance="0", depends_on=("values",))
def rank_gap(codes: NDArray[np.float64], factors: NDArray[np.int64], *, preset: str = "own") -> Score:
    """Mean gap between the two codes of highest |rank correlation| with a factor.

    Args:
        codes: (n, d), one row per image.
        factors: (n, k), index of each factor's value.
    """
    ranks = rankdata(np.hstack([codes, factors]), axis=0)
    centred = ranks - ranks.mean(0)
    length = np.linalg.norm(centred, axis=0)
    # A constant code has length 0 and correlates with nothing.
    unit = centred / np.where(length > 0, length, 1.0)
    d = codes.shape[1]
    rho = np.abs(unit[:, :d].T @ unit[:, d:])  # (d, k)
    # With one code the gap is its own correlation.
    best = np.sort(np.vstack([np.zeros(rho.shape[1]), rho]), axis=0)
    gap = best[-1] - best[-2]
    return Score(gap.mean(), parts={"gap": gap, "rho": rho}, live=length[:d] > 0)
