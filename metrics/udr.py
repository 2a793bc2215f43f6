"""Unsupervised disentanglement ranking: Duan et al. 2020, arXiv:1905.12614.

Trainings of one method that learn the same axes agree with each other up to order and sign; entangled ones do
not. For each ordered pair of models (a, b), with R_ij the strength of the link of code i of a to code j of b:

    UDR_ab = 1/2 (mean_j max_i R_ij^2 / sum_i R_ij + mean_i max_j R_ij^2 / sum_j R_ij)

over informative codes i, j. The score of model b is the median of UDR_ab over the other models a. R is |Lasso
coefficient| or |Spearman correlation|. The headline is the mean over models; `parts` has the score of each.

Deviations: without KLs, a code is informative if its standard deviation reaches `std`. A code without any
link contributes 0; the published Spearman form then returns 0 for the whole pair. As in the authors' code,
each direction is a mean over its own codes; one sum of both over the number of all codes would differ where
one model has more informative codes than the other.

Traps:

- A model's score is a median over the pool of models: three aligned models in a pool with two rotated ones
  and one of noise score .34, not .9. Compare within one pool only.
- It rewards agreement: a method that learns the same entangled axes each time scores high.
- Over 32 seeds each of eleven methods on 32x32 dSprites, its rank correlation with MIG is from -.21
  (GAN) to .83 (JointVAE), and FactorVAE's chosen seed is one of the worst: see docs/seeds.md.
- Numbers of categories have no order, and two models number alike classes otherwise: pass a column per
  category. Of the settings of an Elastic-InfoGAN, the score of numbers ranks by NMI with a correlation of
  -.60, and that of columns with .88. A choice among trained models does so by itself.
- Lasso links have a direction, so (a, b) and (b, a) differ.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from scipy.stats import rankdata
from sklearn.linear_model import Lasso

from disbench.errors import UsageError, unknown
from disbench.metrics import arrays
from disbench.metrics.arrays import Bools, Floats
from disbench.metrics.conversion import as_array
from disbench.metrics.live import by_kl
from disbench.metrics.registry import Score, metric
from disbench.ranges import NotNegative

# Nats. Codes up to it are set to 0 in any case, as in the published code.
KL_MASK = 0.01


def relative_strength(r: Floats) -> float:
    """UDR_ab of link strengths r (codes of a, codes of b), which are not negative; 0 for an empty table."""
    if 0 in r.shape:
        return 0.0
    sides = [arrays.ratio(r.max(axis=axis) ** 2, r.sum(axis=axis)).mean() for axis in (0, 1)]
    return float(np.mean(sides))


@metric(
    kind="models",
    paper="arXiv:1905.12614",
    presets={
        "dlib": {},
        "dlib_spearman": {"similarity": "spearman"},
        "dlib_unfiltered": {"filter_low_kl": False},
    },
    depends_on=("scale", "common scale"),
)
def udr(
    codes: Sequence[Floats],
    *,
    kl: Sequence[Floats] | None = None,
    preset: str = "dlib",
    similarity: str = "lasso",
    alpha: NotNegative = 0.1,
    filter_low_kl: bool = True,
    kl_threshold: NotNegative = 0.01,
    std: NotNegative = 0.05,
    progress: Callable[[int, int], None] | None = None,
) -> Score:
    """How well models of one method agree on their codes (UDR; parts has each model's score).

    Args:
        codes: of each model, (n, d) over the same n rows; d may differ.
        kl: of each model, (d,) mean KL of each code's posterior to its prior, in nats; NaN for a code that is
            no Gaussian, which counts by `std`.
        similarity: "lasso" or "spearman".
        alpha: weight of the lasso's penalty.
        filter_low_kl: leave out codes with a KL up to `kl_threshold`; otherwise they count as codes without
            links.
        kl_threshold: in nats.
        std: without a KL, the least standard deviation of an informative code.
        progress: called with (models done, models in all).
    """
    if len(codes) < 2:
        raise UsageError(f"udr: compares models with each other, so it needs 2 or more, but got {len(codes)}")
    if len({len(z) for z in codes}) != 1:
        raise UsageError(
            f"udr: all models must encode the same rows, but the row counts are {[*map(len, codes)]}"
        )
    if similarity not in ("lasso", "spearman"):
        raise unknown("similarity of udr", similarity, ("lasso", "spearman"))
    known, kept = _informative(codes, kl, kl_threshold, std)
    rows = np.arange(len(codes[0]))
    z = [arrays.standardise(c, rows) * mask for c, mask in zip(codes, known, strict=True)]
    if similarity == "spearman":
        z = [arrays.standardise(rankdata(c, axis=0), rows) for c in z]
    m = len(z)
    pairwise = np.zeros((m, m))
    for a in range(m):
        for b in range(m):
            if a == b:
                continue
            r = _links(z[a], z[b], similarity, alpha)
            pairwise[a, b] = relative_strength(r[kept[a]][:, kept[b]] if filter_low_kl else r)
        if progress is not None:
            progress(a + 1, m)
    models = np.array([np.median(np.delete(pairwise[:, b], b)) for b in range(m)])
    empty = [b for b in range(m) if not kept[b].any()]
    return Score(
        models.mean(),
        parts={"models": models, "pairwise": pairwise, "best": int(models.argmax()), "informative": kept},
        warnings=(f"models {empty} have no informative code and agree with none",) if empty else (),
    )


def _informative(
    codes: Sequence[Floats], kl: Sequence[Floats] | None, threshold: float, std: float
) -> tuple[list[Bools], list[Bools]]:
    """For each model, two masks (d,): the codes that are not set to 0, and those that are not left out."""
    alive = [arrays.varying(z) & (arrays.deviation(z) >= std) for z in codes]
    if kl is None:
        return alive, alive
    given = [as_array(values, "udr: kl") for values in kl]
    if [len(values) for values in given] != [z.shape[1] for z in codes]:
        raise UsageError("udr: kl must give one value for each code of each model")

    def above(least: float) -> list[Bools]:
        return [
            by_kl(values, np.nextafter(least, np.inf), live)
            for values, live in zip(given, alive, strict=True)
        ]

    return above(KL_MASK), above(threshold)


def _links(a: Floats, b: Floats, similarity: str, alpha: float) -> Floats:
    """(codes of a, codes of b) Strength of the link between standardised codes."""
    if similarity == "spearman":
        return np.abs(a.T @ b) / len(a)
    coefficients = np.atleast_2d(Lasso(alpha=alpha).fit(a, b).coef_)  # (codes of b, codes of a)
    strength: Floats = np.abs(coefficients.T)
    return strength
