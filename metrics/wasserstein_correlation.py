"""Gaussian Wasserstein correlation of the codes: as reported by Locatello et al. 2019, arXiv:1811.12359.

The squared 2-Wasserstein distance of N(0, S) to the product of its marginals, D = diag(S):

    W = 2 tr S - 2 tr (D^1/2 S D^1/2)^1/2,    and normalised, W / tr S

0 for uncorrelated codes. W has the unit of the codes' variance; the normalised form has none.

Deviations: none. The root is of a symmetric matrix, so constant and dependent codes are no special case.

Traps:

- Low is good; it has the unit of the codes' variance unless normalised (`dlib_norm`).
- It sees second moments only, like `gaussian_total_correlation`.
"""

import numpy as np

from disbench.metrics import arrays, checks
from disbench.metrics.arrays import Floats
from disbench.metrics.registry import Score, metric


@metric(
    kind="unsupervised",
    paper="arXiv:1811.12359",
    presets={"dlib": {}, "dlib_norm": {"normalised": True}},
    higher_is_better=False,
    depends_on=("scale", "common scale"),
    seconds=arrays.each(30, 0.1),
)
def wasserstein_correlation(codes: Floats, *, preset: str = "dlib", normalised: bool = False) -> Score:
    """Squared Wasserstein distance of the codes' Gaussian to the product of its marginals.

    Args:
        codes: (n, d), one row per image.
        normalised: divide by the sum of the variances.
    """
    checks.need_rows("wasserstein_correlation", len(codes), 2, "for a covariance")
    z, e = arrays.conditioned(codes, together=True)
    s = np.atleast_2d(np.cov(z, rowvar=False))
    root = np.sqrt(np.diag(s))
    spectrum = np.linalg.eigvalsh(root[:, None] * s * root)
    trace = float(np.trace(s))
    w = max(0.0, 2 * trace - 2 * float(np.sqrt(np.maximum(spectrum, 0)).sum()))
    share = w / trace if trace else 0.0
    with np.errstate(over="ignore"):
        distance = float(np.ldexp(w, 2 * int(e.max())))
    notes = [] if trace else ["all codes are constant, so nothing can be correlated"]
    if not np.isfinite(distance) or (w and not distance):
        notes.append("no float holds the squared distance of codes of this size; take normalised=True")
    return Score(
        share if normalised else distance,
        parts={"distance": distance, "normalised": share},
        live=arrays.varying(codes),
        warnings=tuple(notes),
    )
