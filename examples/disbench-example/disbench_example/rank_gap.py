"""Rank gap: an example of a metric of one's own. No paper.

    1/K sum_k (|rho(z_a; v_k)| - |rho(z_b; v_k)|),    z_a, z_b: the two codes best for v_k

with Spearman's rank correlation rho, so that a monotone warp of a code changes nothing. A code that moves
with its factor but not in its order (a cycle, say) is not seen.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from disbench.metrics import Score, metric


@metric(paper="none", default="own", presets={"own": {}}, chance="0")
def rank_gap(codes: NDArray[Any], factors: NDArray[Any], *, preset: str = "own") -> Score:
    """Mean gap between the two codes of highest |rank correlation| with a factor.

    Args:
        codes: (n, d). factors: (n, k).
    """
    ranks = rankdata(np.hstack([codes, factors]), axis=0)
    centred = ranks - ranks.mean(0)
    length = np.linalg.norm(centred, axis=0)
    unit = centred / np.where(length > 0, length, 1.0)  # a constant code correlates with nothing
    d = codes.shape[1]
    rho = np.abs(unit[:, :d].T @ unit[:, d:])  # (d, k)
    best = np.sort(np.vstack([np.zeros(rho.shape[1]), rho]), axis=0)  # with one code the gap is its own rho
    gap = best[-1] - best[-2]
    return Score(gap.mean(), parts={"gap": gap, "rho": rho}, live=length[:d] > 0)
