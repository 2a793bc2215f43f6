"""Gaussian total correlation of the codes: as reported by Locatello et al. 2019, arXiv:1811.12359.

    TC = KL(N(m, S) || prod_j N(m_j, S_jj)) = 1/2 (sum_j ln S_jj - ln det S) = -1/2 ln det R

with R the correlation matrix. In nats; 0 for uncorrelated codes.

Deviations: constant codes are left out, where the formula has ln 0.

Traps:

- Low is good, and it sees linear dependence only: 0 does not mean independent.
- Codes that are exact copies give infinity; tables show no score and the reason.
- It needs no factors, and says nothing about them: independent codes may still mix every factor.
"""

import numpy as np

from disbench.metrics import arrays, checks
from disbench.metrics.arrays import Floats
from disbench.metrics.registry import Score, metric

# Share of the largest eigenvalue below which the least one is measured anew.
LOST = 1e-8


@metric(
    kind="unsupervised",
    paper="arXiv:1811.12359",
    presets={"dlib": {}},
    higher_is_better=False,
    seconds=arrays.each(50, 0.1),
)
def gaussian_total_correlation(codes: Floats, *, preset: str = "dlib") -> Score:
    """Total correlation (nats) of the Gaussian that has the covariance of the codes.

    It is infinite, with a warning, for linearly dependent codes.

    Args:
        codes: (n, d), one row per image.
    """
    live = arrays.varying(codes)
    checks.need_rows(
        "gaussian_total_correlation", len(codes), int(live.sum()) + 1, "for a covariance of full rank"
    )
    if live.sum() < 2:
        return Score(0.0, live=live, warnings=("fewer than two codes vary, so nothing can be correlated",))
    z = arrays.standardise(codes[:, live], np.arange(len(codes)))
    spectrum = np.linalg.eigvalsh(z.T @ z / len(z))
    if spectrum[0] < LOST * spectrum[-1]:
        # products have lost the digits that tell nearly dependent codes from dependent ones
        spectrum = np.square(np.linalg.svd(z / np.sqrt(len(z)), compute_uv=False)[::-1])
    if np.sqrt(spectrum[0] / spectrum[-1]) < _rounding(codes[:, live], len(z)):
        note = "the codes are linearly dependent, so their total correlation is infinite"
        return Score(np.inf, parts={"spectrum": spectrum}, live=live, warnings=(note,))
    return Score(-0.5 * np.log(spectrum).sum(), parts={"spectrum": spectrum}, live=live)


def _rounding(codes: Floats, n: int) -> float:
    """The deviation of codes (n, d) in standard units that their rounding, or that of a sum, may make."""
    given = float(np.finfo(codes.dtype).eps) * float(
        (np.abs(codes).max(axis=0) / arrays.deviation(codes)).max()
    )
    return max(given, n * float(np.finfo(np.float64).eps))
