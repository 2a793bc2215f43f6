"""The logged values of trainings: one row per (training, seed, step, quantity, index)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

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
    mine = journals[(journals["quantity"] == quantity) & journals["value"].notna()]
    keys = [*labels.TRAINING, "seed"]
    last = mine.groupby(keys, dropna=False)["step"].transform("max")
    ends = mine[mine["step"] > 0.9 * last]
    return ends.groupby(keys, dropna=False, sort=False)["value"].mean().reset_index()


def by_rank(journals: pd.DataFrame) -> tuple[Floats, Floats]:
    """The logged values of a quantity, with the latents of each seed sorted by their last values.

    Args:
        journals: rows of one quantity of one training.

    Returns:
        Steps (t,) that all seeds logged, and values (seeds, t, ranks), the largest last value first.
    """
    table = journals.pivot_table(index="step", columns=["seed", "index"], values="value").dropna()
    seeds = table.columns.get_level_values("seed").unique()
    per_seed: Sequence[Floats] = [table[seed].to_numpy() for seed in seeds]
    ranked = [values[:, np.argsort(-values[-1], kind="stable")] for values in per_seed]
    return table.index.to_numpy(dtype=float), np.stack(ranked)
