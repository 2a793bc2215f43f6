"""The logged values of trainings, in a frame with one row per (training, seed, quantity).

Each row holds `steps` (t,) and `values` (t, k) as arrays, k the number of latents or 1, NaN where a value is
missing: ten thousand seeds log tens of millions of values, which as rows of their own would not fit.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from disbench.errors import UsageError
from disbench.leaderboards import labels

Floats = NDArray[np.float64]


def named(journals: pd.DataFrame) -> pd.DataFrame:
    """The journals with the name of each training in a column `name`."""
    return journals.assign(name=labels.with_places(labels.names(journals), _places(journals)))


def trainings(journals: pd.DataFrame) -> Iterable[tuple[str, pd.DataFrame]]:
    """The logged values of each training, under its name; settings follow a name that is only a label."""
    columns = (labels.names(journals), labels.labels(journals), journals["settings"])
    titles = [
        f"{label} ({settings})" if name == label else name
        for name, label, settings in zip(*columns, strict=True)
    ]
    titled = journals.assign(title=labels.with_places(titles, _places(journals)), label=columns[1])
    for _, group in titled.groupby(["label", "cell"], sort=False):
        yield str(group["title"].iloc[0]), group


def _places(journals: pd.DataFrame) -> list[tuple[str, str]]:
    return list(zip(journals["dataset"], journals["protocol"], strict=True))


def last_values(journals: pd.DataFrame, quantity: str) -> pd.DataFrame:
    """The value of a quantity at the end of each training: the mean over the last tenth of its steps.

    One logged step is of one batch, and too noisy to compare.

    Args:
        journals: logged values.
        quantity: one with a single value per step.

    Returns:
        One row per seed: `labels.TRAINING`, seed, value.
    """
    keys, rows = [*labels.TRAINING, "seed"], []
    for key, group in journals[journals["quantity"] == quantity].groupby(keys, dropna=False, sort=False):
        steps = np.concatenate(group["steps"].to_list())
        values = np.concatenate([values[:, 0] for values in group["values"]])
        steps, values = steps[~np.isnan(values)], values[~np.isnan(values)]
        if len(steps):
            rows.append([*key, values[steps > 0.9 * steps.max()].mean()])
    return pd.DataFrame(rows, columns=[*keys, "value"])


def by_rank(journals: pd.DataFrame) -> tuple[Floats, Floats]:
    """The logged values of a quantity, with the latents of each seed sorted by their last values.

    Args:
        journals: rows of one quantity of one training; of several rows of a seed the mean counts.

    Returns:
        Steps (t,) that all seeds logged, and values (seeds, t, ranks), the largest last value first.

    Raises:
        UsageError: seeds log different numbers of latents.
    """
    kinds = {values.shape[1] for values in journals["values"]}
    if len(kinds) > 1:
        raise UsageError(f"the seeds log {' and '.join(map(str, sorted(kinds)))} values of one quantity.")
    whole = [~np.isnan(values).any(axis=1) for values in journals["values"]]
    logged = [steps[kept] for steps, kept in zip(journals["steps"], whole, strict=True)]
    common = functools.reduce(functools.partial(np.intersect1d, assume_unique=True), logged)
    seeds, place = np.unique(journals["seed"].to_numpy(), return_inverse=True)
    ranked = np.zeros((len(seeds), len(common), kinds.pop()))
    for i, steps, values in zip(place, journals["steps"], journals["values"], strict=True):
        ranked[i] += values[np.searchsorted(steps, common)]
    ranked /= np.bincount(place)[:, None, None]
    if len(common):
        for values in ranked:
            values[:] = values[:, np.argsort(-values[-1], kind="stable")]
    return common, ranked
