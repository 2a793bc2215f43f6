"""From one row per seed and metric to one row per method and metric."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from disbench.errors import UsageError, unknown
from disbench.leaderboards import labels, statistics

BY = [*labels.TRAINING, "metric", "preset"]
SEED = [  # of one seed, beside `BY`
    "seed",
    "score",
    "state",
    "reason",
    "higher_is_better",
    "seconds",
    "data_sha256",
    "metric_settings",
    "config",
    "changed",
    "version",
    "plugin",
    "run",
    "folder",
]
COLUMNS = [  # of one row of the leaderboard, beside `BY`
    "n",
    "failed",
    "unscored",
    "mean",
    "mean_low",
    "mean_high",
    "std",
    "median",
    "iqm",
    "iqm_low",
    "iqm_high",
    "best",
    "worst",
    "seconds",
    "higher_is_better",
    "reason",
]
DDOF = 1
FEWEST = 4  # scores of which an interquartile mean leaves any out


def scores(rows: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    """The per-seed frame: one row per (cell, metric).

    Each row holds `BY` and `SEED`: seed, score (NaN where there is none), state ("done", "failed", ...),
    reason why there is no score, higher_is_better, seconds of wall time for the whole cell, data_sha256,
    metric_settings (every setting of the metric, as JSON), config (name of the method's config), changed
    (what was changed in it by hand, as JSON), version of disbench, plugin (where a
    plug-in's method comes from, with a SHA-256), run and folder.
    """
    frame = pd.DataFrame(list(rows), columns=[*BY, *SEED])
    for column in ("score", "seconds"):
        frame[column] = pd.to_numeric(frame[column]).astype(float)
    return ordered(frame)


def ordered(frame: pd.DataFrame) -> pd.DataFrame:
    """Sorted by what it is of."""

    def key(column: pd.Series[Any]) -> pd.Series[Any]:
        if pd.api.types.is_numeric_dtype(column):
            return column
        texts = column.astype(str)
        return texts.map({text: labels.by_value(text) for text in texts.unique()})

    return frame.sort_values([*BY, "seed", "run"], kind="stable", ignore_index=True, key=key)


def deduplicated(frame: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """A seed that several runs trained under equal settings counts once; beside the frame, what was left out.

    Raises:
        UsageError: its scores differ between the runs.
    """
    identity = [*BY, "seed"]
    frame = frame.assign(name=labels.names(frame))
    repeated: dict[tuple[str, str], list[Any]] = {}
    for key, group in frame[frame.duplicated(identity, keep=False)].groupby(
        identity, dropna=False, sort=False
    ):
        found = dict(zip(identity, key, strict=True))
        runs = " and ".join(group["run"])
        told = [f"{score:g}" if np.isfinite(score) else str(state) for score, state in _outcomes(group)]
        name = group["name"].iloc[0]
        if len(set(told)) > 1 or group["score"].nunique(dropna=False) > 1:
            raise UsageError(
                f"{name} seed {found['seed']} is in {runs}, with different {found['metric']} "
                f"({' and '.join(told)}); give one of them."
            )
        repeated.setdefault((name, runs), []).append(found["seed"])
    notes = [
        f"{name} is in {runs} with equal scores and counts once: seed {_listed(seeds)}"
        for (name, runs), seeds in repeated.items()
    ]
    return frame.drop(columns="name").drop_duplicates(identity, ignore_index=True), notes


def _outcomes(group: pd.DataFrame) -> Iterable[tuple[float, str]]:
    return zip(group["score"], group["state"], strict=True)


def differences(frame: pd.DataFrame) -> list[str]:
    """What keeps the rows of a frame from being compared, each as part of a sentence; none if they may be.

    Data sets and metrics may be several, since every row of a leaderboard has one of each. What may not
    differ: the protocol, the content of a data set, the settings behind a metric's preset, the presets of a
    metric from method to method, and the version of disbench.
    """
    found = []

    def values(column: str, group: pd.DataFrame) -> list[str]:
        return sorted({str(v) for v in group[column].dropna() if str(v)})

    protocols = values("protocol", frame)
    if len(protocols) > 1:
        found.append(f"protocols {' and '.join(protocols)}")
    for dataset, group in frame.groupby("dataset"):
        hashes = values("data_sha256", group)
        if len(hashes) > 1:
            found.append(f"data sets {dataset} with sha256 {' and '.join(h[:12] for h in hashes)}")
    for key, group in frame.groupby(["dataset", "metric", "preset"]):
        judged = ":".join(map(str, key[1:]))
        settings = [json.loads(text) for text in values("metric_settings", group)]
        for one, other in itertools.combinations(settings, 2):
            names = [name for name in {**one, **other} if one.get(name) != other.get(name)]
            told = ", ".join(f"{name} {one.get(name)} and {other.get(name)}" for name in names)
            found.append(f"settings of {judged} ({told})")
    seeds = ["dataset", "cell", "seed"]
    # a failed seed has rows for all that it should have been scored by, and none of them compares anything
    scored = frame[frame.groupby(seeds)["score"].transform("count") > 0]
    for metric, group in scored.groupby("metric"):
        presets = {tuple(sorted(set(cell["preset"]))) for _, cell in group.groupby(seeds)}
        if len(presets) > 1 and len(protocols) <= 1:
            named = " and ".join(", ".join(names) for names in sorted(presets))
            found.append(f"presets of {metric} ({named})")
    versions = values("version", frame)
    if len(versions) > 1:
        found.append(f"versions {' and '.join(versions)} of disbench")
    return list(dict.fromkeys(found))


def check_comparable(frame: pd.DataFrame) -> None:
    """Raises UsageError where rows may not stand in one table; names what differs."""
    found = differences(frame)
    if found:
        raise UsageError(
            f"these results have different {'; '.join(found)}, which one table would compare; "
            "give runs that agree, choose with --where column=value, or add --mixed to see them together."
        )


def chosen(frame: pd.DataFrame, where: Mapping[str, str]) -> pd.DataFrame:
    """The rows whose columns have the given values.

    Raises:
        UsageError: no such column, or no row is left.
    """
    for column, value in where.items():
        if column not in (*BY, "seed"):
            raise unknown("column", column, [*BY, "seed"])
        kept = frame[frame[column].astype(str) == value]
        if kept.empty:
            raise unknown(column, value, {str(known) for known in frame[column]})
        frame = kept
    return frame.reset_index(drop=True)


def leaderboard(frame: pd.DataFrame, by: Sequence[str] = tuple(BY)) -> pd.DataFrame:
    """One row per data set, protocol, method, variant, settings, metric and preset; or per `by`.

    n counts the seeds that have a score, failed those that never will, unscored those that were trained but
    whose score is not a number. Only the n enter the statistics: mean, std (divided by n - `DDOF`, NaN below
    two), median, interquartile mean (NaN below `FEWEST`), best and worst; mean_low to mean_high and iqm_low
    to iqm_high are 95 % BCa bootstrap intervals of the mean and of the interquartile mean, NaN where there
    is none, and reason says why. Seeds still to come are in no count. seconds is the mean of the n.

    Args:
        by: columns that a row has one value of; over the others it pools. Always with metric and preset.
    """
    for column in by:
        if column not in BY:
            raise unknown("column", column, BY)
    if not {"metric", "preset"} <= set(by):
        raise UsageError(
            f"--by {','.join(by)} would average different metrics; it must name metric and preset."
        )
    by = [column for column in BY if column in by]
    rows = []
    for key, group in frame.groupby(by, sort=False, dropna=False):
        found = group[group["score"].notna()]
        values = found["score"].to_numpy()
        higher = bool(group["higher_is_better"].iloc[0])
        of_mean = statistics.interval(values)
        of_iqm = statistics.interval(values, statistics.iqm)
        n = len(values)
        rows.append(
            {
                **dict(zip(by, key, strict=True)),
                "n": n,
                "failed": int((group["state"] == "failed").sum()),
                "unscored": int(((group["state"] == "done") & group["score"].isna()).sum()),
                "mean": np.mean(values) if n else np.nan,
                "mean_low": of_mean.low,
                "mean_high": of_mean.high,
                "std": np.std(values, ddof=DDOF) if n > DDOF else np.nan,
                "median": np.median(values) if n else np.nan,
                "iqm": statistics.iqm(values) if n >= FEWEST else np.nan,
                "iqm_low": of_iqm.low,
                "iqm_high": of_iqm.high,
                "best": (values.max() if higher else values.min()) if n else np.nan,
                "worst": (values.min() if higher else values.max()) if n else np.nan,
                "seconds": found["seconds"].mean(),
                "higher_is_better": higher,
                "reason": of_mean.reason,
            }
        )
    return pd.DataFrame(rows, columns=[*by, *COLUMNS])


def _listed(seeds: Iterable[Any]) -> str:
    return ", ".join(str(seed) for seed in sorted(set(seeds)))


def improvements(frame: pd.DataFrame) -> pd.DataFrame:
    """Each two methods, named by `labels.names`: how probably a run of one beats one of the other.

    One row per protocol, metric, preset and two methods: n_first and n_second scores, the probability
    P(first > second) + P(equal) / 2, averaged over the data sets that have both, its interval low to high,
    and the reason where there is none.
    """
    rows = []
    data = frame.assign(who=labels.names(frame))
    data = data[data["score"].notna()]
    for (protocol, metric, preset), group in data.groupby(["protocol", "metric", "preset"], sort=False):
        sign = 1.0 if group["higher_is_better"].iloc[0] else -1.0
        values = {
            key: sign * part["score"].to_numpy()
            for key, part in group.groupby(["who", "dataset"], sort=False)
        }
        for first, second in itertools.combinations(dict.fromkeys(group["who"]), 2):
            pairs = [
                (values[first, dataset], values[second, dataset])
                for dataset in dict.fromkeys(group["dataset"])
                if (first, dataset) in values and (second, dataset) in values
            ]
            if not pairs:
                continue
            found = statistics.improvement_interval(pairs)
            rows.append(
                {
                    "protocol": protocol,
                    "metric": metric,
                    "preset": preset,
                    "first": first,
                    "second": second,
                    "datasets": len(pairs),
                    "n_first": sum(len(x) for x, _ in pairs),
                    "n_second": sum(len(y) for _, y in pairs),
                    "probability": statistics.improvement(pairs),
                    "low": found.low,
                    "high": found.high,
                    "reason": found.reason,
                }
            )
    columns = ["protocol", "metric", "preset", "first", "second", "datasets", "n_first", "n_second"]
    return pd.DataFrame(rows, columns=[*columns, "probability", "low", "high", "reason"])


def ranks(frame: pd.DataFrame) -> list[tuple[str, statistics.Ranks, list[str]]]:
    """Of each protocol, metric and preset that has several data sets: its name, the methods' ranks by their
    mean scores, and the data sets that were left out because some method has no score there."""
    found = []
    data = frame.assign(who=labels.names(frame))
    for key, group in data.groupby(["protocol", "metric", "preset"], sort=False):
        if group["dataset"].nunique() < 2:
            continue
        means = group.pivot_table(
            index="dataset", columns="who", values="score", aggfunc="mean", dropna=False, sort=False
        )
        whole = means.dropna()
        missing = [str(name) for name in means.index if name not in whole.index]
        higher = bool(group["higher_is_better"].iloc[0])
        found.append((" ".join(map(str, key)), statistics.ranks(whole, higher), missing))
    return found
