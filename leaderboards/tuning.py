"""A choice among the settings of a method: by a metric, which needs labels, and by agreement, which does not.

Seeds of one setting that learn the same axes agree with each other, and the setting with the greatest
agreement can be chosen where there are no labels (Duan et al. 2020, section 5). Here both choices stand side
by side, with what each is worth by every metric.

    symbol     here          meaning
    y_ks       scores        score of setting k with seed s
    k*         chosen        argmax_k mean_s y_ks, or argmin where less is better
    k*_-s      held_out      the same without seed s: mean_s of y at (k*_-s, s)
    u_ks       agreement     agreement of seed s with the other seeds of setting k, such as UDR
    k*_u       unlabelled    argmax_k mean_s u_ks

The mean of the setting that is best on some seeds owes part of its lead to these seeds, and 8 settings that
differ in nothing have a best one, too. What was chosen on all seeds but one and scored on that one does not.

A pool is a method with a variant and several settings, on one data set under one protocol.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from disbench.leaderboards import labels, selection, statistics
from disbench.leaderboards.selection import MODEL

Floats = NDArray[np.float64]
PLACE = ["dataset", "protocol", "method", "variant"]
# With fewer settings there is nothing to choose.
FEWEST = 2
WORTH = ["chosen", "held_out", "unlabelled", "mean", "best"]


@dataclasses.dataclass(frozen=True)
class Tuned:
    """The settings of one pool, ranked.

    Attributes:
        table: a row per setting, the best first: `labels.TRAINING`, a column for each setting that varies,
            and rank, n (seeds with a score), failed (seeds), score (mean of the metric that chooses), std,
            agreement (mean over its seeds), and the mean of each metric, such as "mig · dlib".
        fields: the settings that vary.
        fewer: the metrics of which a setting has fewer scores than trained seeds, so that its mean is over
            these alone.
        worth: a row per metric: what each choice scores, see `compared`.
    """

    table: pd.DataFrame
    fields: list[str]
    fewer: list[str]
    worth: pd.DataFrame = dataclasses.field(default_factory=pd.DataFrame)

    @property
    def label(self) -> str:
        """The method with its variant."""
        return labels.label(self.table["method"][0], self.table["variant"][0])

    def named(self, place: int) -> str:
        """The setting in one row of the table, such as "beta=4, lr=0.0005"."""
        return ", ".join(f"{field}={_text(self.table[field][place])}" for field in self.fields)

    @property
    def chosen(self) -> list[int]:
        """The rows that are best by the metric: one, or several that are equal."""
        return _first(self.table["rank"] == 1)

    @property
    def unlabelled(self) -> list[int]:
        """The rows with the greatest agreement; none where it is not known."""
        agreement = _settled(self.table["agreement"])
        return _first(agreement == agreement.max())


def _settled(means: pd.Series) -> pd.Series:
    return pd.Series(statistics.settled(means), means.index)


def _first(true: pd.Series) -> list[int]:
    return [int(place) for place in np.flatnonzero(true)]


def pools(frame: pd.DataFrame, fewest: int = FEWEST) -> Iterator[pd.DataFrame]:
    """The rows of each pool.

    Args:
        frame: per-seed rows.
        fewest: settings of a pool.
    """
    for _, group in frame.groupby(PLACE, sort=False):
        if group["cell"].nunique() >= fewest:
            yield group.reset_index(drop=True)


def several(frame: pd.DataFrame) -> bool:
    """Whether there is a pool."""
    return next(pools(frame), None) is not None


def tuned(
    frame: pd.DataFrame, fields: Sequence[str], metric: str, preset: str, agreement: pd.DataFrame
) -> list[Tuned]:
    """The settings of every pool, ranked; a pool without a score of the metric that chooses is left out.

    Args:
        frame: per-seed rows with a column for each of `fields`.
        fields: names of settings; those that do not vary within a pool are not shown with it.
        metric: the metric that chooses.
        preset: its preset.
        agreement: columns run, folder and score, of the models whose agreement is known.
    """
    ranked = []
    for pool in pools(frame):
        judged = pool[(pool["metric"] == metric) & (pool["preset"] == preset)]
        if judged["score"].notna().any():
            varying = [field for field in fields if pool[field].map(str).nunique() > 1]
            found = Tuned(_table(pool, judged, varying, agreement), varying, _fewer(pool))
            ranked.append(dataclasses.replace(found, worth=_worth(pool, judged, found)))
    return ranked


def _by_seed(rows: pd.DataFrame) -> pd.DataFrame:
    """The scores of one metric, a row per setting (its cell) and a column per seed; NaN for none."""
    return rows.pivot_table(index="cell", columns="seed", values="score", dropna=False, sort=False)


def _table(
    pool: pd.DataFrame, judged: pd.DataFrame, fields: Sequence[str], agreement: pd.DataFrame
) -> pd.DataFrame:
    scores, higher = _by_seed(judged), bool(judged["higher_is_better"].iloc[0])
    mean = scores.mean(axis=1)
    models = pool.drop_duplicates(MODEL)[[*MODEL, "cell"]].merge(agreement, on=MODEL)
    failed = pool[pool["state"] == "failed"].groupby("cell")["seed"].nunique()
    settings = pool.drop_duplicates("cell").set_index("cell", drop=False).rename_axis(None)
    table = settings[[*labels.TRAINING, *fields]].assign(
        rank=_settled(mean).rank(method="min", ascending=not higher),
        n=scores.notna().sum(axis=1),
        failed=failed,
        score=mean,
        std=scores.std(axis=1, ddof=1),
        agreement=models.groupby("cell")["score"].mean(),
    )
    table = table.fillna({"n": 0, "failed": 0}).astype({"n": int, "failed": int})
    for (metric, preset), group in pool.groupby(["metric", "preset"], sort=False):
        table[labels.metric(metric, preset)] = group.groupby("cell")["score"].mean()
    return table.sort_values("rank", kind="stable", na_position="last", ignore_index=True)


def _fewer(pool: pd.DataFrame) -> list[str]:
    trained = pool[pool["state"] == "done"]
    every = trained.groupby("cell")["seed"].nunique()
    found = []
    for (metric, preset), group in trained.groupby(["metric", "preset"], sort=False):
        scored = group.groupby("cell")["score"].count().reindex(every.index, fill_value=0)
        # a setting without any has no mean
        if ((scored > 0) & (scored < every)).any():
            found.append(labels.metric(metric, preset))
    return found


def held_out(judged: Floats, scored: Floats) -> float:
    """What a choice by labels scores with a seed that had no part in it, averaged over seeds.

    Args:
        judged: (settings, seeds) the scores by which a setting is chosen, the higher the better; NaN for
            none.
        scored: (settings, seeds) those that count.

    Returns:
        NaN where no choice has a score with the seed that was left out, as where there is one seed. Equal
        choices score their mean.
    """
    found = []
    for seed in range(judged.shape[1]):
        others = np.delete(judged, seed, axis=1)
        known = np.isfinite(others)
        sums, counts = np.where(known, others, 0).sum(axis=1), known.sum(axis=1)
        if counts.any():
            means = statistics.settled(np.where(counts > 0, sums / np.maximum(counts, 1), -np.inf))
            best = scored[means == means.max(), seed]
            found += [best[np.isfinite(best)].mean()] if np.isfinite(best).any() else []
    return float(np.mean(found)) if found else math.nan


def _worth(pool: pd.DataFrame, judged: pd.DataFrame, found: Tuned) -> pd.DataFrame:
    """What the choices score by each metric; equal choices score their mean.

    Columns: `PLACE`; metric, preset; settings (how many have a score); chosen, held_out, unlabelled, mean
    (over the settings, so of one at random) and best, see the head of this module; spearman (rank correlation
    of metric and agreement over settings, +1 if both prefer the same ones; NaN where one does not vary);
    compared (the settings that have both); higher_is_better.
    """
    by, sign = _by_seed(judged), 1.0 if judged["higher_is_better"].iloc[0] else -1.0
    table, agreed = found.table, found.table["agreement"]
    rows = []
    for (metric, preset), group in pool.groupby(["metric", "preset"], sort=False):
        values = table[labels.metric(metric, preset)]
        known = values.notna()
        if not known.any():
            continue
        higher, both = bool(group["higher_is_better"].iloc[0]), known & agreed.notna()
        ranked, by_agreement = _settled(values[both]), _settled(agreed[both])
        varies = ranked.nunique() > 1 and by_agreement.nunique() > 1
        scored = _by_seed(group).reindex(index=by.index, columns=by.columns)
        rows.append(
            {
                **{name: table[name][0] for name in PLACE},
                "metric": metric,
                "preset": preset,
                "settings": int(known.sum()),
                "chosen": values[found.chosen].mean(),
                "held_out": held_out(sign * by.to_numpy(float), scored.to_numpy(float)),
                "unlabelled": values[found.unlabelled].mean(),
                "mean": values.mean(),
                "best": values.max() if higher else values.min(),
                "spearman": stats.spearmanr(by_agreement, (1 if higher else -1) * ranked)[0]
                if varies
                else math.nan,
                "compared": int(both.sum()),
                "higher_is_better": higher,
            }
        )
    return pd.DataFrame(rows)


def shown(found: Tuned, by: str, without: str) -> pd.DataFrame:
    """The settings of a pool as texts.

    Args:
        found: the pool.
        by: the heading of the metric that chooses, such as "mig · dlib".
        without: the heading of the agreement, such as "udr:dlib".
    """
    table = found.table
    text = pd.DataFrame({"rank": ["–" if pd.isna(rank) else f"{rank:.0f}" for rank in table["rank"]]})
    for field in found.fields:
        text[field] = [_text(value) for value in table[field]]
    text["n"] = table["n"].astype(str)
    if table["failed"].any():
        text["failed"] = table["failed"].astype(str)
    text[by] = [
        f"{mean:.3f}" + (f" ± {std:.3f}" if np.isfinite(std) else "") if np.isfinite(mean) else "–"
        for mean, std in zip(table["score"], table["std"], strict=True)
    ]
    if table["agreement"].notna().any():
        text[without] = selection.decimals(table["agreement"])
    for column in table.columns[list(table.columns).index("agreement") + 1 :]:
        if column != by and table[column].notna().any():
            text[column] = selection.decimals(table[column])
    return text


def shown_worth(worth: pd.DataFrame) -> pd.DataFrame:
    """What the choices score, as texts."""
    text = pd.DataFrame({"method": labels.labels(worth)})
    for column in ("dataset", "protocol"):
        if worth[column].nunique() > 1:
            text[column] = worth[column]
    text["metric"], text["preset"] = worth["metric"], worth["preset"]
    text["settings"] = worth["settings"].astype(str)
    idle = [column for column in (*WORTH, "spearman") if worth[column].isna().all()]
    for column in (*WORTH, "spearman"):
        if column not in idle:
            text[column.replace("_", " ")] = selection.decimals(worth[column])
    return text


def notes(found: Tuned, by: str, without: str) -> list[str]:
    """The sentences that name the choices of a pool, and those that are equal to it."""
    told = [f"chosen by {by}: {found.label} {_named(found, found.chosen)}, of {len(found.table)} settings"]
    if found.unlabelled:
        same = found.unlabelled == found.chosen and len(found.chosen) < len(found.table)
        which = ", the same" if same else f" {_named(found, found.unlabelled)}"
        known = int(found.table["agreement"].notna().sum())
        which += f", of {known} whose agreement is known" if known < len(found.table) else ""
        told.append(f"chosen without labels by {without}: {found.label}{which}")
    if found.fewer:
        told.append(
            f"the mean of some setting is over fewer scores than trained seeds: {', '.join(found.fewer)}"
        )
    return told


def _named(found: Tuned, places: Sequence[int]) -> str:
    if len(places) == len(found.table):
        return "none, since all settings are equal"
    return " and, equal to it, ".join(f"({found.named(place)})" for place in places)


def notes_on_worth(worth: pd.DataFrame, by: str, without: str) -> list[str]:
    """The sentences below `shown_worth`: what the columns are, and what the choice without labels loses."""
    sentences = [
        f"chosen: mean of the setting that is best by {by}, by the seeds that chose it; held out: chosen on "
        "all seeds but one, scored on that one; mean and best: over all settings"
    ]
    if worth["unlabelled"].isna().all():
        return sentences
    sentences.append(f"unlabelled: mean of the setting that is best by {without}")
    few = worth["compared"][worth["spearman"].notna()]
    if len(few):
        n, most = int(few.min()), int(few.max())
        accident = (
            f"one in twenty independent rankings exceeds ±{selection.by_accident(n):.2f}"
            if n > 4
            else "independent rankings often reach ±1.00"
        )
        of = f"{n}" if n == most else f"{n} to {most}"
        sentences[-1] += (
            f"; spearman: rank correlation of each metric with that, of {of} settings: {accident}"
        )
    pairs = zip(worth["metric"], worth["preset"], strict=True)
    judged = worth[[labels.metric(*pair) == by for pair in pairs]]
    whole = judged.dropna(subset=["held_out", "unlabelled"])
    if len(whole) > 1:
        held, free, any_ = (whole[name].mean() for name in ("held_out", "unlabelled", "mean"))
        sentences.append(
            f"{by}, averaged over {len(whole)} methods: {held:.3f} by labels (held out), {free:.3f} without "
            f"labels, {any_:.3f} of a setting at random"
        )
    return sentences


def _text(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
