"""The logged values of trainings: one row per (training, seed, step, quantity, index)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from disbench.leaderboards import labels

Floats = NDArray[np.float64]


def trainings(journals: pd.DataFrame) -> Iterable[tuple[str, pd.DataFrame]]:
    """The logged values of each training, under its name; settings follow a name that is only a label."""
    named = journals.assign(name=labels.names(journals), label=labels.labels(journals))
    for _, group in named.groupby(["label", "cell"], sort=False):
        first = group.iloc[0]
        name = first["name"] if first["name"] != first["label"] else f"{first['label']} ({first['settings']})"
        yield str(name), group


def by_rank(frame: pd.DataFrame) -> tuple[Floats, Floats]:
    """Steps (t,) that all seeds logged, and values (seeds, t, ranks), sorted by each seed's last ones."""
    table = frame.pivot_table(index="step", columns=["seed", "index"], values="value").dropna()
    seeds = table.columns.get_level_values("seed").unique()
    per_seed: Sequence[Floats] = [table[seed].to_numpy() for seed in seeds]
    sorted_ = [values[:, np.argsort(-values[-1], kind="stable")] for values in per_seed]
    return table.index.to_numpy(dtype=float), np.stack(sorted_)
