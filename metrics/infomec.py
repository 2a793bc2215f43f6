"""InfoM, InfoE and InfoC: Hsu, Dorrell, Whittington, Wu & Finn 2023, arXiv:2305.18378.

    symbol   here                shape     meaning
    NMI_kj   nmi                 (k, d)    I(v_k; z_j) / H(v_k)
    D'       active              (d,)      the active codes, and their number
    Hq       losses              (k,)      log loss of a logistic regression from all codes to v_k
    H0       null                (k,)      the same without codes

    InfoM = (mean_j max_k NMI_kj / sum_k NMI_kj - 1/K) / (1 - 1/K)       j in D'
    InfoC = (mean_k max_j NMI_kj / sum_j NMI_kj - 1/D') / (1 - 1/D')     j in D'
    InfoE = mean_k (H0_k - Hq_k) / H0_k

The information of continuous codes is a nearest-neighbour estimate, clipped at 0. The headline is InfoM.

Deviations: H0 is ln n_k in closed form, the result of a regression with balanced classes on zeros. A code
without information about any factor counts as chance, 1/K; the published code has 0/0. An estimate above the
entropy of the factor or of the code is set to it.

Traps:

- Chance is not 0: the estimate for a useless code is noise, and a share of noise is not 0. Random codes get
  an InfoM of .3 to .7 and an InfoC of .3.
- A row that occurs twice is its own nearest neighbour. Draws with replacement from a small grid change the
  score of noise codes, from .32 to .05 on one table of ours; from dSprites' 737,280 rows they hardly matter.
- The neighbour estimate adds jitter to the codes, so it depends on the seed, here the argument `rng`.
- Which codes are active depends on their range, by a rule that differs among the authors' own releases. A
  noise code of normal range is active and lowers InfoM.
- InfoE is fitted and scored on the same rows, without a penalty.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.special import digamma
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.preprocessing import OneHotEncoder

from disbench.errors import UsageError, unknown
from disbench.metrics import arrays, checks, information, logistic
from disbench.metrics.arrays import Bools, Floats, Ints
from disbench.metrics.registry import Score, metric
from disbench.ranges import Count, NotNegative


def nearest_neighbour_information(z: Floats, y: Ints, neighbours: int) -> float:
    """I(z; y) in nats of a continuous z (n,) and labels y (n,) in 0..c-1, by Ross 2014 (PLoS ONE 9(2)).

    I = psi(n) + <psi(k)> - <psi(n_y)> - <psi(m)>: m counts the points within the distance to the k-th
    neighbour of the same label; clipped at 0. Labels with one row are left out. In one dimension the
    neighbours of a sorted point are a window around it, so sorting does the work of a tree.
    """
    size = np.bincount(y)[y]
    z, y, size = z[size > 1], y[size > 1], size[size > 1]
    k = np.minimum(neighbours, size - 1)
    radius = np.empty(len(z))
    for label in np.unique(y):
        rows = np.flatnonzero(y == label)
        radius[rows] = _kth_distance(z[rows], int(k[rows[0]]))
    m = _count_nearer(z, radius)
    estimate = digamma(len(z)) + digamma(k).mean() - digamma(size).mean() - digamma(m).mean()
    return max(0.0, float(estimate))


def _kth_distance(z: Floats, k: int) -> Floats:
    """(n,) Distance of each of z (n,), n > k, to its k-th nearest other."""
    order = np.argsort(z)
    ordered = z[order]
    padded = np.concatenate([np.full(k, -np.inf), ordered, np.full(k, np.inf)])
    # One window of k + 1 sorted points for each start `back` before the point; the tightest has the nearest.
    reach = [
        np.maximum(ordered - padded[k - back : len(z) + k - back], padded[2 * k - back :][: len(z)] - ordered)
        for back in range(k + 1)
    ]
    distance = np.empty(len(z))
    distance[order] = np.min(reach, axis=0)
    return distance


def _count_nearer(z: Floats, radius: Floats) -> Ints:
    """(n,) How many of z (n,) lie strictly nearer to each than radius (n,), itself included."""
    ordered = np.sort(z)
    below = np.searchsorted(ordered, z - radius, side="right")
    above = np.searchsorted(ordered, z + radius, side="left")
    # z - radius and z + radius are rounded, so the points at the two borders are compared by their distance.
    last = len(z) - 1
    below -= (below > 0) & (z - ordered[np.maximum(below - 1, 0)] < radius)
    below += z - ordered[np.minimum(below, last)] >= radius
    above += (above <= last) & (ordered[np.minimum(above, last)] - z < radius)
    above -= ordered[np.maximum(above - 1, 0)] - z >= radius
    return above - below


@metric(
    paper="arXiv:2305.18378",
    perfect=1.0,
    default="hsu2023",
    presets={
        "hsu2023": {},
        "hsu2023_discrete": {"estimator": "counts", "prune": "varying"},
        "tripod": {"prune": "iqr", "threshold": 0.1},
    },
    depends_on=("scale",),
    seconds=lambda n, d, values, settings: 0.6 * arrays.work(n, d, values),
)
def infomec(
    codes: Floats,
    factors: Ints,
    *,
    rng: np.random.Generator,
    preset: str = "hsu2023",
    estimator: str = "neighbours",
    neighbours: Count = 10,
    prune: str = "range",
    threshold: NotNegative = 0.05,
    max_iter: Count = 100,
    progress: Callable[[int, int], None] | None = None,
) -> Score:
    """Modularity (the score), explicitness and compactness as shares of information (InfoM, InfoE, InfoC).

    Args:
        codes: (n, d), one row per image.
        factors: (n, k), index of each factor's value.
        rng: draws the jitter of about 1e-10 that breaks ties between continuous codes.
        estimator: of the information: "neighbours" for continuous codes, "counts" for discrete ones.
        neighbours: k of the nearest-neighbour estimate.
        prune: a code is active if its "range" or "iqr" exceeds the share `threshold` of the largest one, or
            if it is "varying".
        threshold: of that rule.
        max_iter: steps of the logistic regression, which has no penalty.
        progress: called with (steps done, steps in all): the information of each factor, then its regression.
    """
    n, _ = codes.shape
    k = factors.shape[1]
    if estimator == "neighbours":
        checks.need_rows("infomec", n, 2 * neighbours, f"for {neighbours} neighbours")
    v = arrays.relabel(factors)
    active = _active(codes, prune, threshold)
    if not active.any():
        note = "no code is active, so all three scores are 0"
        return Score(0.0, parts={"infom": 0.0, "infoe": 0.0, "infoc": 0.0}, live=active, warnings=(note,))
    notes = _rare(v) if estimator == "neighbours" else []
    h = information.entropy(v)[:, None]
    # the estimate can exceed both, the latter for a code that has one value in nearly all rows
    most = np.minimum(h, information.entropy(arrays.relabel(codes)))
    told = progress or (lambda done, total: None)
    nmi = np.minimum(_information(codes, v, estimator, neighbours, rng, told), most) / h  # (k, d)
    if k == 1:
        notes.append("with one factor every code that informs about it is modular: InfoM is 1 by definition")
    if active.sum() == 1:
        notes.append("with one active code InfoC is 1 by definition")
    infom = _concentration(nmi[:, active], axis=0)
    infoc = _concentration(nmi[:, active], axis=1)
    infoe = _explicitness(codes, v, estimator, max_iter, told)
    return Score(
        infom,
        parts={
            "infom": infom,
            "infoe": float(infoe.mean()),
            "infoc": infoc,
            "nmi": nmi,
            "explicitness": infoe,
        },
        live=active,
        warnings=tuple(notes),
    )


def _rare(v: Ints) -> list[str]:
    """The warnings about values that occur once, of which a nearest neighbour says nothing.

    Raises:
        UsageError: every value of a factor does.
    """
    notes = []
    for factor, column in enumerate(v.T):
        counts = np.bincount(column)
        alone = int((counts == 1).sum())
        if alone == len(counts):
            raise UsageError(
                f"infomec: no value of factor {factor} occurs twice, so that nothing can be estimated about "
                "it; leave it out, or put its values into bins"
            )
        if alone:
            notes.append(f"factor {factor}: {alone} values occur once and are left out of the estimate")
    return notes


def _active(codes: Floats, prune: str, threshold: float) -> Bools:
    live = arrays.varying(codes)
    if prune == "varying":
        return live
    z, _ = arrays.conditioned(codes, together=True)
    if prune == "range":
        spread = np.ptp(z, axis=0)
    elif prune == "iqr":
        spread = np.subtract(*np.quantile(z, (0.75, 0.25), axis=0))
    else:
        raise unknown("prune rule of infomec", prune, ("range", "iqr", "varying"))
    active: Bools = live & (spread > threshold * spread.max())
    return active


def _information(
    codes: Floats,
    v: Ints,
    estimator: str,
    neighbours: int,
    rng: np.random.Generator,
    progress: Callable[[int, int], None],
) -> Floats:
    """(k, d) I(v_k; z_j) in nats."""
    if estimator == "counts":
        return information.mutual_information(arrays.relabel(codes), v).T
    if estimator != "neighbours":
        raise unknown("estimator of infomec", estimator, ("neighbours", "counts"))
    z = arrays.standardise(codes, np.arange(len(codes)))
    z += 1e-10 * np.maximum(1, np.abs(z).mean(axis=0)) * rng.standard_normal(z.shape)
    live = arrays.varying(codes)
    rows = []
    for y in v.T:
        rows.append([nearest_neighbour_information(c, y, neighbours) for c in z.T])
        progress(len(rows), 2 * v.shape[1])
    return np.where(live, arrays.floor(np.array(rows)), 0.0)


def _concentration(nmi: Floats, axis: int) -> float:
    """Mean share of the largest entry along the axis, rescaled so that an even spread is 0."""
    size = nmi.shape[axis]
    top, total = nmi.max(axis=axis), nmi.sum(axis=axis)
    share = np.where(total > 0, arrays.ratio(top, total), 1 / size)
    if size == 1:
        return float((total > 0).mean())
    return float((share.mean() - 1 / size) / (1 - 1 / size))


def _explicitness(
    codes: Floats, v: Ints, estimator: str, max_iter: int, progress: Callable[[int, int], None]
) -> Floats:
    """(k,) Share of ln n_k that a logistic regression without penalty saves, in sample."""
    everything = np.arange(len(codes))
    null = np.log(v.max(axis=0) + 1)
    # a table of all values of discrete codes is nearly empty, and kept so
    sparse = OneHotEncoder().fit_transform(arrays.relabel(codes)) if estimator == "counts" else None
    z = arrays.standardise(codes, everything)
    losses = []
    for y in v.T:
        if sparse is None:
            p = logistic.Problem(z, y, balanced=True).solve(np.inf, max_iter).probabilities(z)
        else:
            model = LogisticRegression(C=np.inf, class_weight="balanced", max_iter=max_iter)
            p = model.fit(sparse, y).predict_proba(sparse)
        losses.append(log_loss(y, p))
        progress(v.shape[1] + len(losses), 2 * v.shape[1])
    saved: Floats = (null - losses) / null
    return saved
