"""From one row per seed and metric to one row per method and metric."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd

BY = ["dataset", "protocol", "method", "variant", "settings", "cell", "metric", "preset"]
COLUMNS = ["n", "failed", "mean", "std", "median", "best", "worst"]


def scores(rows: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    """The per-seed frame: one row per (cell, metric).

    Each row holds `BY`, seed, score (NaN where there is none), state ("done", "failed", ...), reason and
    higher_is_better.
    """
    frame = pd.DataFrame(
        list(rows), columns=[*BY, "seed", "score", "state", "reason", "higher_is_better", "folder"]
    )
    frame["score"] = pd.to_numeric(frame["score"]).astype(float)
    return frame.sort_values([*BY, "seed"], kind="stable", ignore_index=True)


def leaderboard(frame: pd.DataFrame) -> pd.DataFrame:
    """One row per data set, protocol, method, variant, metric and preset.

    n counts the seeds that have a score, failed those that never will; only the n enter mean, std (ddof = 1,
    NaN below two seeds), median, best and worst. Seeds still to come are in neither.
    """
    rows = []
    for key, group in frame.groupby(BY, sort=False, dropna=False):
        values = group["score"].dropna()
        higher = bool(group["higher_is_better"].iloc[0])
        found = dict(zip(BY, key, strict=True))
        rows.append(
            {
                **found,
                "n": len(values),
                "failed": int((group["state"] == "failed").sum()),
                "mean": values.mean(),
                "std": values.std(ddof=1),
                "median": values.median(),
                "best": (values.max() if higher else values.min()) if len(values) else np.nan,
                "worst": (values.min() if higher else values.max()) if len(values) else np.nan,
            }
        )
    return pd.DataFrame(rows, columns=[*BY, *COLUMNS])


def shown(frame: pd.DataFrame) -> pd.DataFrame:
    """As texts for people: three decimals, "–" for what there is not, columns that tell nothing left out."""
    text = frame.copy()
    for column in text.columns:
        if text[column].dtype.kind == "f":
            text[column] = [f"{value:.3f}" if np.isfinite(value) else "–" for value in text[column]]
        else:
            text[column] = [str(value) if str(value) else "–" for value in text[column]]
    idle = [c for c in ("dataset", "protocol", "variant") if text[c].nunique() <= 1]
    if (text.groupby(["method", "variant"])["settings"].nunique() <= 1).all():
        idle.append("settings")
    if (text.groupby(["dataset", "method", "variant", "settings"])["cell"].nunique() <= 1).all():
        idle.append("cell")
    return text.drop(columns=idle)


def markdown(frame: pd.DataFrame) -> str:
    return str(shown(frame).to_markdown(index=False, disable_numparse=True))
