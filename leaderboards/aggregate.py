"""From one row per seed and metric to one row per method and metric."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral

import numpy as np
import pandas as pd

from disbench.errors import UsageError, argument, unknown
from disbench.leaderboards import labels, statistics

# The columns of every frame here.
BY = [*labels.TRAINING, "metric", "preset"]
# What is known about one score; NaN where it is not.
MEASURED = ["spread", "chance", "perfect", "beside", "beside_live"]
# Beside `BY`, the columns of a per-seed frame.
SEED = [
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
    "trained",
    "kernels",
    "plugin",
    "run",
    "folder",
    "chosen_by",
    "health",
    *MEASURED,
    "digest",
]
# Beside `BY`, the columns of a leaderboard.
COLUMNS = [
    "n",
    "failed",
    "unscored",
    "mean",
    "mean_low",
    "mean_high",
    "std",
    "spread",
    "chance",
    "beside",
    "beside_live",
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
UNRECORDED = "unrecorded"
# With fewer scores, the interquartile mean leaves none out.
FEWEST = 4


@dataclass(frozen=True)
class Repeated:
    """Seeds of one training that several runs hold with equal scores.

    Attributes:
        name: the training's name.
        runs: the runs, joined by "and".
        seeds: the seeds.
    """

    name: str
    runs: str
    seeds: list[int]


def scores(rows: Iterable[Mapping[str, object]]) -> pd.DataFrame:
    """The per-seed frame: one row per (cell, metric).

    Each row holds `BY` and `SEED`: seed, score (NaN where there is none), state ("done", "failed", ...),
    reason why there is no score, higher_is_better, seconds of wall time for the whole cell, data_sha256,
    metric_settings (every setting of the metric, as JSON), config (name of the method's config), changed
    (settings that differ from that config, as JSON), version of disbench, trained (how seeds trained
    together, "" if that was not recorded), kernels (of the CPU: "portable" or "native", with what the user
    has set; None on a GPU), plugin (the file of a plug-in's method, with a SHA-256), run, folder,
    chosen_by: where this model was chosen without labels, by which metrics and of how many models, as JSON
    such as {"udr:dlib": 8}, else {}; and digest: of everything that decides the score beside the seed, "" if
    that was not recorded. Of the score are known: spread, its standard deviation over draws of the metric;
    chance, the mean score of the same codes with shuffled factors; perfect, the score of perfect codes;
    beside, the score with other codes, and beside_live, how many codes count there.
    """
    frame = pd.DataFrame(list(rows), columns=[*BY, *SEED])
    for column in ("score", "seconds", *MEASURED):
        frame[column] = pd.to_numeric(frame[column]).astype(float)
    frame["trained"] = [text if isinstance(text, str) else "" for text in frame["trained"]]
    frame["digest"] = [text if isinstance(text, str) else "" for text in frame["digest"]]
    frame["chosen_by"] = [text if isinstance(text, str) else "{}" for text in frame["chosen_by"]]
    frame["health"] = [text if isinstance(text, str) else "[]" for text in frame["health"]]
    return ordered(frame)


def ordered(frame: pd.DataFrame) -> pd.DataFrame:
    """Sorted by `BY`, seed and run."""

    def key(column: pd.Series) -> pd.Series:
        if pd.api.types.is_numeric_dtype(column):
            return column
        texts = column.astype(str)
        return texts.map({text: labels.by_value(text) for text in texts.unique()})

    return frame.sort_values([*BY, "seed", "run"], kind="stable", ignore_index=True, key=key)


def set_apart(frame: pd.DataFrame) -> pd.DataFrame:
    """The frame with the digests of scores in `cell` where rows that agree in `BY` have several.

    Scores of different digests are then never averaged: nothing else would tell their rows apart. Scores
    of a metric in several versions are set apart too, whatever else differs.

    Args:
        frame: a per-seed frame, perhaps of several runs.
    """
    scored = frame["score"].notna()
    digests = frame["digest"].where(scored)
    several = digests.groupby([frame[column] for column in BY], dropna=False).transform("nunique") > 1
    versions = pd.Series([_version(text) for text in frame["metric_settings"]], index=frame.index)
    versions = versions.where(scored)
    mixed = versions.groupby([frame["metric"], frame["preset"]]).transform("nunique") > 1
    marks = [
        ", ".join(
            [*([digest[:8] or UNRECORDED] if one else []), *([f"version {version:g}"] if other else [])]
        )
        for digest, version, one, other in zip(
            frame["digest"], versions, several & scored, mixed & scored, strict=True
        )
    ]
    cells = [
        cell + (labels.APART + mark if mark else "") for cell, mark in zip(frame["cell"], marks, strict=True)
    ]
    return frame.assign(cell=cells)


def _version(metric_settings: object) -> int:
    """The version of the metric behind a score, which its settings name from the second on."""
    found = json.loads(metric_settings) if isinstance(metric_settings, str) else {}
    return int(found.get("version", 1))


def deduplicated(frame: pd.DataFrame) -> tuple[pd.DataFrame, list[Repeated]]:
    """The frame with each seed once, and the seeds that several runs trained under equal settings.

    Raises:
        UsageError: the scores of a seed differ between the runs.
    """
    identity = [*BY, "seed"]
    frame = frame.assign(name=labels.names(frame))
    repeated: dict[tuple[str, str], list[int]] = {}
    for _, group in frame[frame.duplicated(identity, keep=False)].groupby(identity, dropna=False, sort=False):
        name, seed, metric = group[["name", "seed", "metric"]].iloc[0]
        runs = " and ".join(group["run"])
        outcomes = [f"{score:g}" if np.isfinite(score) else str(state) for score, state in _outcomes(group)]
        if len(set(outcomes)) > 1 or group["score"].nunique(dropna=False) > 1:
            kernels = list(dict.fromkeys(group["kernels"].dropna()))
            why = f" because of their kernels, {' and '.join(kernels)}" if len(kernels) > 1 else ""
            raise UsageError(
                f"{name} seed {seed} is in {runs}, with different {metric} "
                f"({' and '.join(outcomes)}){why}; give one of them."
            )
        repeated.setdefault((name, runs), []).append(int(seed))
        # One run may know of a choice that another does not.
        chosen = {by: n for text in group["chosen_by"] for by, n in json.loads(text).items()}
        frame.loc[group.index, "chosen_by"] = json.dumps(chosen, sort_keys=True)
    unique = frame.drop(columns="name").drop_duplicates(identity, ignore_index=True)
    return unique, [Repeated(name, runs, sorted(set(seeds))) for (name, runs), seeds in repeated.items()]


def _outcomes(group: pd.DataFrame) -> Iterable[tuple[float, str]]:
    return zip(group["score"], group["state"], strict=True)


def differences(frame: pd.DataFrame) -> list[str]:
    """The differences that make the rows of a frame not comparable, each as part of a sentence.

    Rows may differ in data set and metric, since every row of a leaderboard has one of each. They may not
    differ in the protocol, the content of a data set, the settings behind a metric's preset, the presets of
    a metric from method to method, and the version of disbench.
    """
    different = []

    def values(column: str, group: pd.DataFrame) -> list[str]:
        return sorted({str(v) for v in group[column].dropna() if str(v)})

    protocols = values("protocol", frame)
    if len(protocols) > 1:
        different.append(f"protocols {' and '.join(protocols)}")
    for dataset, group in frame.groupby("dataset"):
        hashes = values("data_sha256", group)
        if len(hashes) > 1:
            different.append(f"data sets {dataset} with sha256 {' and '.join(h[:12] for h in hashes)}")
    for key, group in frame.groupby(["dataset", "metric", "preset"]):
        judged = ":".join(map(str, key[1:]))
        settings = [json.loads(text) for text in values("metric_settings", group)]
        for one, other in itertools.combinations(settings, 2):
            names = [name for name in {**one, **other} if one.get(name) != other.get(name)]
            values_of = ", ".join(f"{name} {one.get(name)} and {other.get(name)}" for name in names)
            different.append(f"settings of {judged} ({values_of})")
    apart = frame[frame["cell"].str.contains(labels.APART, regex=False)]
    for label, group in apart.groupby(labels.labels(apart)):
        marks = sorted({cell.partition(labels.APART)[2] for cell in group["cell"]})
        different.append(f"digests of {label} ({' and '.join(marks)})")
    seeds = ["dataset", "cell", "seed"]
    # A failed seed has a row for every metric of its protocol, without a score that could be compared.
    scored = frame[frame.groupby(seeds)["score"].transform("count") > 0]
    for metric, group in scored.groupby("metric"):
        if group["preset"].nunique() < 2:
            continue
        presets = {tuple(sorted(set(cell["preset"]))) for _, cell in group.groupby(seeds)}
        # a preset that all have is in rows of its own
        if not set.intersection(*map(set, presets)) and len(protocols) <= 1:
            named = " and ".join(", ".join(names) for names in sorted(presets))
            different.append(f"presets of {metric} ({named})")
    versions = values("version", frame)
    if len(versions) > 1:
        different.append(f"versions {' and '.join(versions)} of disbench")
    return list(dict.fromkeys(different))


def check_comparable(frame: pd.DataFrame) -> None:
    """Raises UsageError where the rows of a frame are not comparable; names the differences."""
    different = differences(frame)
    if different:
        raise UsageError(
            f"these results are not comparable: different {'; '.join(different)}. Give runs that agree, "
            f"select with {argument('where')} column=value, or add {argument('mixed')} to show them anyway."
        )


def comparable(
    frame: pd.DataFrame, where: Mapping[str, str] | None = None, mixed: bool = False
) -> tuple[pd.DataFrame, list[str]]:
    """The rows that are asked for, which may stand in one table.

    Args:
        frame: a per-seed frame, perhaps of several runs.
        where: column to value, as `chosen` takes them.
        mixed: list differences instead of refusing them.

    Returns:
        The rows, and if `mixed` a sentence for each difference.

    Raises:
        UsageError: no such column, no row is left, or they are not comparable.
    """
    frame = chosen(frame, where or {})
    if mixed:
        return frame, [f"not comparable: {difference}" for difference in differences(frame)]
    check_comparable(frame)
    return frame, []


def chosen(frame: pd.DataFrame, where: Mapping[str, str]) -> pd.DataFrame:
    """The rows whose columns have the given values.

    Args:
        frame: a per-seed frame.
        where: column to value, such as {"method": "ibgan"}; a seed may be a number.

    Raises:
        UsageError: no such column, no row is left, or several values.
    """
    named = argument("where")
    if not isinstance(where, Mapping):
        raise UsageError(
            f'{named} {where!r} is no mapping; give column to value, such as {{"method": "ibgan"}}.'
        )
    for column, value in where.items():
        if column not in (*BY, "seed"):
            raise unknown("column", str(column), [*BY, "seed"])
        if not isinstance(value, str | Integral):
            raise UsageError(
                f"{named} {column} {value!r} is not one value; give a text, or the number of a seed."
            )
        rows = frame[frame[column].astype(str) == str(value)]
        if rows.empty:
            raise unknown(column, str(value), {str(known) for known in frame[column]})
        frame = rows
    return frame.reset_index(drop=True)


def leaderboard(
    frame: pd.DataFrame, by: Sequence[str] = tuple(BY), iqm_interval: bool = True
) -> pd.DataFrame:
    """One row per data set, protocol, method, variant, settings, metric and preset; or per `by`.

    n counts the seeds with a score, failed the failed seeds, unscored the trained seeds whose score is not a
    number. Only the n enter the statistics: mean, std (divided by n - `DDOF`, NaN below two), median,
    interquartile mean (NaN below `FEWEST`), best and worst; mean_low to mean_high and iqm_low to iqm_high
    are 95 % BCa bootstrap intervals of the mean and of the interquartile mean, NaN where there is none, as
    of a row that pools several trainings; reason says why the mean has none. Unfinished seeds are in no
    count. seconds is the mean over the n.

    Of single scores, not of seeds, are spread, the root mean square of the standard deviations over draws,
    chance and beside, the means over those of the n that know them, and beside_live, the mean number of
    codes.

    Args:
        frame: per-seed rows, see `scores`.
        by: columns to group by, always with metric and preset; the other columns are pooled. Beside `BY`, a
            column that the frame has in addition, such as a setting.
        iqm_interval: whether iqm_low and iqm_high are computed, which takes most of the time; False for what
            does not show them, as no form for people does.

    Raises:
        UsageError: an unknown column, or metrics that would be averaged.
    """
    known = [*BY, *(str(column) for column in frame if column not in (*BY, *SEED))]
    for column in by:
        if column not in known:
            raise unknown("column", column, known)
    if not {"metric", "preset"} <= set(by):
        raise UsageError(
            f"{argument('by')} {','.join(by)} would average different metrics; "
            "it must name metric and preset."
        )
    frame = frame.reset_index(drop=True)
    trainings = frame[list(labels.TRAINING)]
    if "cell" not in by:
        # digests are not pooled with the trainings
        marks = [cell.partition(labels.APART)[2] for cell in frame["cell"]]
        by, frame = ([*by, "cell"], frame.assign(cell=marks)) if any(marks) else (by, frame)
    by = [column for column in known if column in by]
    rows = []
    for key, group in frame.groupby(by, sort=False, dropna=False):
        scored = group[group["score"].notna()]
        values = scored["score"].to_numpy()
        higher = bool(group["higher_is_better"].iloc[0])
        # those of several data sets may be of one method, as over splits
        pooled = trainings.loc[group.index].drop_duplicates().value_counts(["dataset", "protocol"]).max()
        if pooled == 1:
            of_mean = statistics.interval(values)
            of_iqm = statistics.interval(values, statistics.iqm) if iqm_interval else statistics.Interval()
        else:
            # seeds of several trainings are no sample of one distribution, and often the same seeds again
            of_mean = of_iqm = statistics.Interval(reason=f"no interval over {pooled} trainings")
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
                "std": _std(values),
                "spread": float(np.sqrt((scored["spread"] ** 2).mean())),
                **{name: scored[name].mean() for name in ("chance", "beside", "beside_live")},
                "median": np.median(values) if n else np.nan,
                "iqm": statistics.iqm(values) if n >= FEWEST else np.nan,
                "iqm_low": of_iqm.low,
                "iqm_high": of_iqm.high,
                "best": (values.max() if higher else values.min()) if n else np.nan,
                "worst": (values.min() if higher else values.max()) if n else np.nan,
                "seconds": scored["seconds"].mean(),
                "higher_is_better": higher,
                "reason": of_mean.reason,
            }
        )
    return pd.DataFrame(rows, columns=[*by, *COLUMNS])


def _std(values: statistics.Floats) -> float:
    """NaN of too few scores; of equal ones exactly 0, which their rounded mean would hide."""
    if len(values) <= DDOF:
        return float("nan")
    return float(np.std(values, ddof=DDOF)) if np.ptp(values) else 0.0


def unended(frame: pd.DataFrame) -> pd.DataFrame:
    """The rows of a per-seed frame without a score whose seeds have neither ended nor failed."""
    ended = frame["state"].isin(["done", "failed"]) | frame["state"].isna()
    return frame[frame["score"].isna() & ~ended]


def adjusted(frame: pd.DataFrame) -> pd.DataFrame:
    """The per-seed frame with (score - chance) / (perfect - chance) for each score, by its own chance.

    Presets say "adjusted". A score without a known chance or perfect value is missing, and its reason says
    so.
    """
    room = frame["perfect"] - frame["chance"]
    room = room.where(room != 0)
    known = room.notna() & frame["score"].notna()
    reason = frame["reason"].astype(object)
    lost = frame["score"].notna() & ~known
    return frame.assign(
        score=(frame["score"] - frame["chance"]) / room,
        beside=(frame["beside"] - frame["chance"]) / room,
        spread=frame["spread"] / room.abs(),
        chance=frame["chance"].where(~known, 0.0),
        perfect=frame["perfect"].where(~known, 1.0),
        higher_is_better=True,
        preset=[f"{preset}, adjusted" for preset in frame["preset"]],
        reason=reason.where(~lost, "its chance or its perfect value is not known"),
    )


def improvements(frame: pd.DataFrame) -> pd.DataFrame:
    """Of each pair of methods, the probability that a run of the first scores better than one of the second.

    One row per protocol, metric, preset and pair of methods, which are named by `labels.names`: n_first and
    n_second scores, the probability P(first > second) + P(equal) / 2, averaged over the data sets that have
    both, its interval low to high, and the reason where there is none.
    """
    rows = []
    data = frame.assign(name=labels.names(frame))
    data = data[data["score"].notna()]
    for (protocol, metric, preset), group in data.groupby(["protocol", "metric", "preset"], sort=False):
        sign = 1.0 if group["higher_is_better"].iloc[0] else -1.0
        values = {
            key: sign * part["score"].to_numpy()
            for key, part in group.groupby(["name", "dataset"], sort=False)
        }
        for first, second in itertools.combinations(dict.fromkeys(group["name"]), 2):
            pairs = [
                (values[first, dataset], values[second, dataset])
                for dataset in dict.fromkeys(group["dataset"])
                if (first, dataset) in values and (second, dataset) in values
            ]
            if not pairs:
                continue
            interval = statistics.improvement_interval(pairs)
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
                    "low": interval.low,
                    "high": interval.high,
                    "reason": interval.reason,
                }
            )
    columns = ["protocol", "metric", "preset", "first", "second", "datasets", "n_first", "n_second"]
    return pd.DataFrame(rows, columns=[*columns, "probability", "low", "high", "reason"])


def ranks(frame: pd.DataFrame) -> list[tuple[str, statistics.Ranks, list[str]]]:
    """Ranks of the methods over data sets, for each protocol, metric and preset with several data sets.

    Returns:
        Of each, its name, the ranks by mean score, and the data sets that are left out because a method has
        no score there.
    """
    ranked = []
    data = frame.assign(name=labels.names(frame))
    for key, group in data.groupby(["protocol", "metric", "preset"], sort=False):
        if group["dataset"].nunique() < 2:
            continue
        means = group.pivot_table(
            index="dataset", columns="name", values="score", aggfunc="mean", dropna=False, sort=False
        )
        whole = means.dropna()
        missing = [str(name) for name in means.index if name not in whole.index]
        higher = bool(group["higher_is_better"].iloc[0])
        ranked.append((" ".join(map(str, key)), statistics.ranks(whole, higher), missing))
    return ranked


def rank_correlation(frame: pd.DataFrame) -> tuple[pd.DataFrame, int]:
    """Spearman's correlation of each pair of metrics over trained models, and the number of models.

    A model is one seed of one method on one data set; only models with a score in every metric count. A
    metric that fewer than half of the models have, or that does not vary, is left out. The sign of metrics
    for which lower is better is turned, so that +1 always means that two metrics prefer the same models.

    Raises:
        UsageError: fewer than two metrics or three models.
    """
    sign = np.where(frame["higher_is_better"], 1.0, -1.0)
    data = frame.assign(signed=frame["score"] * sign, name=_metric_names(frame))
    table = data.pivot_table(
        index=["dataset", "protocol", "cell", "seed"], columns="name", values="signed", sort=False
    )
    table = table.loc[:, 2 * table.notna().sum() >= len(table)].dropna()
    table = table.loc[:, table.nunique() > 1]
    if table.shape[1] < 2 or len(table) < 3:
        raise UsageError(
            "a rank correlation of metrics needs two metrics and three models with scores in both; there are "
            f"{table.shape[1]} metrics that vary over {len(table)} such models."
        )
    return table.corr(method="spearman"), len(table)


def _metric_names(frame: pd.DataFrame) -> list[str]:
    """Names of the metrics, with the preset if a metric has several."""
    presets = frame.groupby("metric")["preset"].nunique()
    pairs = zip(frame["metric"], frame["preset"], strict=True)
    return [labels.metric(metric, preset) if presets[metric] > 1 else str(metric) for metric, preset in pairs]


def representatives(frame: pd.DataFrame) -> list[tuple[str, pd.Series]]:
    """The rows of the best, the median and the worst seed, each under "best", "median" or "worst".

    Of an even number of seeds, the median is the better of the middle two. Two seeds are the best and the
    worst, a single one is "only".

    Args:
        frame: per-seed rows of one method with one metric.
    """
    scored = frame[frame["score"].notna()]
    higher = bool(frame["higher_is_better"].iloc[0]) if len(frame) else True
    ranked = scored.sort_values(["score", "seed"], ascending=[not higher, True], kind="stable")
    n = len(ranked)
    places = {"best": 0, "median": (n - 1) // 2, "worst": n - 1}
    if n < 2:
        places = {"only": 0} if n else {}
    elif n == 2:
        del places["median"]
    return [(place, ranked.iloc[i]) for place, i in places.items()]
