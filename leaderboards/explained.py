"""What explains the scores of a metric: the method, its setting, or the seed (Locatello et al. 2019, 5.4).

A training is a method under one setting. With n scores of T trainings of M methods, and mean squares around
the overall mean, the means of the methods and the means of the trainings,

    MS   = sum_i (y_i - mean)^2 / (n - 1)
    MS_m = sum_i (y_i - mean of its method)^2 / (n - M)
    MS_t = sum_i (y_i - mean of its training)^2 / (n - T)

the method explains 1 - MS_m / MS of the variance, the method and its setting 1 - MS_t / MS, and the seed the
rest. These are adjusted R^2: of scores that depend on nothing but the seed they are 0 on average, whereas the
plain R^2 of few seeds is far above 0. Below 0 they are set to 0.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from disbench.leaderboards import labels, statistics

Floats = NDArray[np.float64]
Numbers = NDArray[np.intp]
GROUP = ["dataset", "protocol", "metric", "preset"]
PARTS = ("method", "setting", "seed")


def explained(frame: pd.DataFrame) -> pd.DataFrame:
    """The share of the variance of each metric's scores that method, setting and seed explain.

    Metrics whose scores are of one training, of one seed each, or all equal are left out.

    Args:
        frame: per-seed rows.

    Returns:
        Columns dataset, protocol, metric, preset, n (scores), methods and trainings (how many), and the
        shares method, setting and seed, whose sum is 1. The setting's is NaN where every method has one, and
        the method's where there is one method.
    """
    rows = []
    for key, group in frame[frame["score"].notna()].groupby(GROUP, sort=False):
        scores = group["score"].to_numpy(float)
        methods = _numbered(labels.labels(group))
        trainings = _numbered(list(zip(methods, group["cell"], strict=True)))
        m, t, n = int(methods.max()) + 1, int(trainings.max()) + 1, len(scores)
        # trainings are told apart by the seeds of one
        if not 1 < t < n or np.ptp(statistics.settled(scores)) == 0:
            continue
        whole = _mean_square(scores, np.zeros(n, np.intp))
        by_method = max(0.0, 1 - _mean_square(scores, methods) / whole)
        by_training = max(by_method, 1 - _mean_square(scores, trainings) / whole)
        shares = (by_method if m > 1 else math.nan, by_training - by_method if t > m else math.nan)
        rows.append([*map(str, key), n, m, t, *shares, 1 - by_training])
    return pd.DataFrame(rows, columns=[*GROUP, "n", "methods", "trainings", *PARTS])


def _numbered(names: Sequence[Hashable]) -> Numbers:
    """(n,) The number 0, 1, ... of each name, in the order of their first occurrence."""
    order = {name: i for i, name in enumerate(dict.fromkeys(names))}
    return np.array([order[name] for name in names], np.intp)


def _mean_square(scores: Floats, groups: Numbers) -> float:
    """The variance of scores (n,) around the means of their groups (n,), which are numbered from 0."""
    means = np.bincount(groups, scores) / np.bincount(groups)
    return float(((scores - means[groups]) ** 2).sum() / (len(scores) - len(means)))
