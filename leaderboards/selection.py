"""Models that were ranked without labels: the table of them, and what the choice scores where labels are.

A pool is a frame with one row per trained model of one method, the choice first: `labels.TRAINING`, seed,
run, folder, rank, and `score`, the one that needed no label. The other scores come from a per-seed frame.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy import stats

from disbench.leaderboards import labels

MODEL = ["run", "folder"]
# The columns of a pool.
COLUMNS = [*labels.TRAINING, "seed", *MODEL, "rank", "score"]


def ranked(models: pd.DataFrame, scores: Sequence[float], higher_is_better: bool = True) -> pd.DataFrame:
    """A pool, the best first: equal scores share a rank, and the first of them in `models` comes first.

    Args:
        models: one row per model, with the first of `COLUMNS`.
        scores: of each model.
        higher_is_better: False if a low score is good.
    """
    order = pd.Series(scores, index=models.index, dtype=float)
    pool = models.assign(score=order, rank=order.rank(method="min", ascending=not higher_is_better))
    pool = pool.astype({"rank": int}).sort_values("rank", kind="stable", ignore_index=True)
    return pool[COLUMNS]


def with_scores(pool: pd.DataFrame, frame: pd.DataFrame) -> pd.DataFrame:
    """A pool with a column for each metric and preset of a per-seed frame, such as "mig · dlib"."""
    named = frame.assign(column=_metrics(frame))
    order = list(dict.fromkeys(named["column"]))
    wide = named.pivot_table(index=MODEL, columns="column", values="score", sort=False, dropna=False)
    return pool.merge(wide.reindex(columns=order).reset_index(), on=MODEL, how="left")


def tells_apart(pool: pd.DataFrame) -> bool:
    """Whether the models of a pool differ in their score, so that there is a choice."""
    return bool(pool["rank"].nunique() > 1)


def compared(pool: pd.DataFrame, frame: pd.DataFrame) -> pd.DataFrame:
    """What the choice scores beside its pool: one row per metric and preset that has scores of this pool.

    Columns: method, seed (the choice; missing where there is none), metric, preset, chosen (its score), mean,
    best and n of the models with a score, spearman (rank correlation of this metric with the score of the
    pool over these models, +1 if both prefer the same ones; NaN where one does not vary), and
    higher_is_better.
    """
    first, choice = pool.iloc[0], tells_apart(pool)
    columns = ["method", "seed", "metric", "preset", "chosen", "mean", "best", "n", "spearman"]
    rows = []
    for (metric, preset), group in frame.groupby(["metric", "preset"], sort=False):
        both = pool.merge(group[[*MODEL, "score"]], on=MODEL, suffixes=("", "_label"))
        both = both[both["score_label"].notna()]
        if both.empty:
            continue
        higher = bool(group["higher_is_better"].iloc[0])
        values, sign = both["score_label"], 1.0 if higher else -1.0
        own = both.loc[(both[MODEL] == first[MODEL]).all(axis=1), "score_label"]
        # The rank of the pool falls where its score rises.
        varies = tells_apart(both) and values.nunique() > 1
        rows.append(
            {
                "method": first["method"],
                "seed": first["seed"] if choice else None,
                "metric": metric,
                "preset": preset,
                "chosen": own.iloc[0] if choice and len(own) else np.nan,
                "mean": values.mean(),
                "best": values.max() if higher else values.min(),
                "n": len(values),
                "spearman": stats.spearmanr(-both["rank"], sign * values)[0] if varies else np.nan,
                "higher_is_better": higher,
            }
        )
    table = pd.DataFrame(rows, columns=[*columns, "higher_is_better"])
    return table.astype({"seed": "Int64"})


def by_accident(n: int) -> float:
    """The size of a rank correlation that one in twenty independent rankings of n models exceeds.

    It is counted over 20,000 random rankings, always the same ones. It is 1, which none exceeds, of three or
    four models: one ranking in three or in twelve reaches it, either way.
    """
    given = np.arange(n) - (n - 1) / 2
    others = np.random.default_rng(0).permuted(np.tile(given, (20_000, 1)), axis=1)
    return float(np.quantile(np.abs(others @ given) / (given @ given), 0.95, method="higher"))


def shown(table: pd.DataFrame, by: str) -> pd.DataFrame:
    """Pools, one below the other, as texts.

    Args:
        table: the frames of `with_scores`.
        by: the heading of the score that needed no label.
    """
    text = pd.DataFrame({"method": labels.labels(table)})
    needless = labels.needless(table)
    for column in ("settings", "cell"):
        if column not in needless:
            text[column] = table[column]
    if table["run"].nunique() > 1:
        text["run"] = table["run"]
    text["seed"], text["rank"] = table["seed"].astype(str), table["rank"].astype(str)
    text[by] = decimals(table["score"])
    for column in table.columns[len(COLUMNS) :]:
        text[column] = decimals(table[column])
    return text


def shown_comparison(table: pd.DataFrame) -> pd.DataFrame:
    """The rows of `compared` as texts."""
    text = table.drop(columns="higher_is_better").astype({"n": str})
    text["seed"] = ["–" if pd.isna(seed) else str(seed) for seed in table["seed"]]
    for column in ("chosen", "mean", "best", "spearman"):
        text[column] = decimals(table[column])
    return text


def notes(pool: pd.DataFrame, by: str) -> list[str]:
    """The sentences that name the choice, and those that share its rank."""
    named = labels.names(pool)
    first = pool.iloc[0]
    if not tells_apart(pool):
        return [
            f"no choice by {by}: the {len(pool)} models of {first['method']} all have {first['score']:.3f}"
        ]
    told = f"chosen without labels by {by}: {named[0]} seed {first['seed']}, of {len(pool)} models"
    if pool["run"].nunique() > 1:
        told += f", in {first['run']}"
    tied = [f"{named[i]} seed {pool['seed'][i]}" for i in range(1, len(pool)) if pool["rank"][i] == 1]
    return [told, *([f"equal to it: {', '.join(tied)}"] if tied else [])]


def notes_on_comparison(table: pd.DataFrame) -> list[str]:
    """The sentences below the rows of `compared`."""
    if table.empty:
        return []
    n = int(table["n"].min())
    of_accident = f"one in twenty independent rankings exceeds ±{by_accident(n):.2f}"
    return [
        "chosen: the score of the chosen seed; mean and best: over all models of its method with a score",
        "spearman: rank correlation of this metric with the score that needed no label, over these models; "
        f"with {n} of them, {of_accident if n > 4 else 'independent rankings often reach ±1.00'}",
    ]


def _metrics(frame: pd.DataFrame) -> list[str]:
    return [labels.metric(m, p) for m, p in zip(frame["metric"], frame["preset"], strict=True)]


def decimals(values: pd.Series) -> list[str]:
    """Numbers with three decimals, "–" for one that is missing."""
    return [f"{value:.3f}" if np.isfinite(value) else "–" for value in values]
