"""The two sides of a model: a metric's score of its encoder beside that of its generator."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import stats

from disbench.leaderboards import labels, statistics

KEYS = [*labels.TRAINING, "seed", "metric", "base"]
SIDES = ("encoder", "generator")
# Fewest points of which a rank correlation is told.
FEWEST = 3


class Agreement(NamedTuple):
    """Spearman's rank correlation of the two sides; NaN of too few points, or where a side is constant.

    Attributes:
        trainings: over the mean scores of trainings.
        n_trainings: how many these are.
        models: over the scores of single models.
        n_models: how many these are.
    """

    trainings: float
    n_trainings: int
    models: float
    n_models: int


def paired(frame: pd.DataFrame) -> pd.DataFrame:
    """The scores of both sides, for each model and metric that has both with one preset and its settings.

    Args:
        frame: per-seed rows.

    Returns:
        rows of `frame` of the encoder's scores, with `base`, the preset without its side, and the scores
        `encoder` and `generator`.
    """
    known = frame[frame["score"].notna()]
    sides = [labels.side_of(preset) for preset in known["preset"]]
    known = known.assign(
        base=[_base(preset) for preset in known["preset"]], drawn=[drawn for _, drawn in sides]
    )
    ours, theirs = known[~known["drawn"].astype(bool)], known[known["drawn"].astype(bool)]
    both = ours.merge(theirs[[*KEYS, "score"]], on=KEYS, suffixes=("", "_generator"))
    both = both.rename(columns={"score": SIDES[0], "score_generator": SIDES[1]})
    return both.drop(columns="drawn")


def _base(preset: str) -> str:
    """A row's preset with its settings, without its side and what a side adds in words."""
    base, _ = labels.side_of(preset)
    _, *rest = preset.split(",")
    return ",".join([base, *(part for part in rest if "=" in part)])


def agreement(pairs: pd.DataFrame) -> Agreement:
    """Whether both sides rank alike.

    Args:
        pairs: rows of `paired` of one metric.
    """
    means = pairs.groupby(list(labels.TRAINING))[list(SIDES)].mean()
    return Agreement(_spearman(means), len(means), _spearman(pairs), len(pairs))


def _spearman(points: pd.DataFrame) -> float:
    a, b = (statistics.settled(points[side]) for side in SIDES)
    if len(a) < FEWEST or len(np.unique(a)) < 2 or len(np.unique(b)) < 2:
        return float("nan")
    return float(stats.spearmanr(a, b)[0])
