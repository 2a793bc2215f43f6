"""Explicitness: Ridgeway & Mozer 2018, arXiv:1802.05312.

A logistic regression on all codes ranks the values of a factor. The score is the area under the ROC curve of
each value against the rest, averaged over values and then over factors.

Deviations: constant codes are left out (their standardisation is 0/0). A value that occurs only in the rows
to fit on, or only in those to test on, is left out, and a warning names the factor.

Traps:

- Chance is 0.5, not 0; `ubisoft` rescales it so that chance is 0.
- A rotation of the codes does not change it: it is 1.000 on the rotated reference codes, on which MIG falls
  from 1 to .20. It says nothing about disentanglement, only how well a linear model can read the factors.
- `infogan_cr` and `ubisoft` score the rows that were fitted.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.stats import rankdata

from disbench.errors import unknown
from disbench.metrics import arrays, checks, logistic
from disbench.metrics.arrays import Floats, Ints, Split
from disbench.metrics.registry import Score, metric
from disbench.ranges import Count


def areas(scores: Floats, y: Ints) -> Floats:
    """(c,) Area under the ROC curve of scores (n, c) for class c of y (n,) against the rest; ties count half.

    That is the share of pairs (one row of the class, one of the rest) in which the class scores higher. Each
    class 0..c-1 must occur in y, and none may be alone.
    """
    ranks = rankdata(scores, axis=0)
    own = y[:, None] == np.arange(scores.shape[1])
    inside = own.sum(axis=0)
    wins: Floats = (ranks * own).sum(axis=0) - inside * (inside + 1) / 2
    shares: Floats = wins / (inside * (len(y) - inside))
    return shares


@metric(
    paper="arXiv:1802.05312",
    perfect=1.0,
    chance="0.5",
    presets={
        "dlib": {},
        "infogan_cr": {"scale": "none", "held_out": False},
        "ubisoft": {
            "scale": "minmax",
            "held_out": False,
            "classes": "one_vs_rest",
            "balanced": True,
            "adjusted": True,
        },
    },
    seconds=lambda n, d, values, settings: 0.35 * arrays.work(n, d, values),
)
def explicitness(
    codes: Floats,
    factors: Ints,
    *,
    rng: np.random.Generator | None = None,
    split: Split | None = None,
    preset: str = "dlib",
    scale: str = "standard",
    held_out: bool = True,
    classes: str = "multinomial",
    balanced: bool = False,
    max_iter: Count = 100,
    adjusted: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Score:
    """Mean area under the ROC curve of a logistic regression from all codes to each factor's values.

    Args:
        codes: (n, d), one row per image.
        factors: (n, k), index of each factor's value.
        rng: draws the split if none is given.
        split: (rows to fit on, rows to test on).
        scale: "standard" (mean 0, deviation 1), "minmax" (0 to 1), both over the rows to fit on, or "none".
        held_out: fit and test on separate rows; otherwise on all rows, without a split.
        classes: one "multinomial" regression per factor, or one binary one per value ("one_vs_rest").
        balanced: weight values by the inverse of their frequency.
        max_iter: steps of each logistic regression.
        adjusted: rescale so that chance is 0.
        progress: called with (factors done, factors in all).
    """
    n = len(codes)
    everything = np.arange(n)
    train, test = checks.split_rows("explicitness", n, split, rng) if held_out else (everything, everything)
    live = arrays.varying(codes[train])
    if not live.any():
        note = "no code varies in the rows to fit on, so the score is chance"
        return Score(0.0 if adjusted else 0.5, live=live, warnings=(note,))
    z = _scaled(codes[:, live], train, scale)
    if classes not in ("multinomial", "one_vs_rest"):
        raise unknown("classes of explicitness", classes, ("multinomial", "one_vs_rest"))
    notes = []
    train_areas, test_areas = [], []
    for factor, column in enumerate(factors.T):
        if progress is not None:
            progress(factor, factors.shape[1])
        shared = np.intersect1d(column[train], column[test])
        if (lost := len(np.unique(column)) - len(shared)) > 0:
            notes.append(f"factor {factor}: {lost} values are missing on one side of the split and left out")
        if len(shared) < 2:
            notes.append(f"factor {factor}: no two values are on both sides of the split; counted as chance")
            train_areas.append(0.5)
            test_areas.append(0.5)
            continue
        fit, probe = (rows[np.isin(column[rows], shared)] for rows in (train, test))
        y = np.searchsorted(shared, column)
        scores = _probabilities(z, y, fit, classes == "one_vs_rest", balanced, max_iter)
        for rows, means in ((fit, train_areas), (probe, test_areas)):
            means.append(float(areas(scores[rows], y[rows]).mean()))
    per_factor, fitted = np.array(test_areas), np.array(train_areas)
    if adjusted:
        per_factor, fitted = 2 * per_factor - 1, 2 * fitted - 1
    return Score(
        per_factor.mean(),
        parts={"train": float(fitted.mean()), "factors": per_factor},
        live=live,
        warnings=(*notes, *(checks.about_units(codes) if scale == "none" else ())),
    )


def _probabilities(
    z: Floats, y: Ints, rows: Ints, one_vs_rest: bool, balanced: bool, max_iter: int
) -> Floats:
    """(n, c) Probability of each class of y (n,), fitted on some rows, for all of z (n, d)."""
    values = np.arange(y[rows].max() + 1)
    if not one_vs_rest or len(values) == 2:
        return logistic.Problem(z[rows], y[rows], balanced).solve(max_iter=max_iter).probabilities(z)
    each = [
        logistic.Problem(z[rows], y[rows] == value, balanced).solve(max_iter=max_iter).probabilities(z)[:, 1]
        for value in values
    ]
    own = np.stack(each, axis=1)
    return arrays.ratio(own, own.sum(axis=1, keepdims=True))


def _scaled(z: Floats, train: Ints, scale: str) -> Floats:
    if scale == "none":
        checks.check_size("explicitness", z, "scale='standard'")
        return z.astype(np.float64)
    if scale == "standard":
        return arrays.standardise(z, train)
    if scale == "minmax":
        z, _ = arrays.conditioned(z, train)
        low = z[train].min(axis=0)
        return arrays.ratio(z - low, z[train].max(axis=0) - low)
    raise unknown("scale of explicitness", scale, ("standard", "minmax", "none"))
