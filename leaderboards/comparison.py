"""Rows of one's own beside measured and published ones: which is better, and how probably.

All rows here compare: they are of the same data, under metrics with the same settings. Whoever calls has
found that out, see `benchmark.runs.comparing`.

The probability that a run of one row scores better than a run of another is that of `aggregate.improvements`
between measured rows. Of a published row only numbers are known. With mean, spread of a known kind and
number of runs, its scores are taken to be normal; without one of these there is no probability, and the
reason is said.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from disbench import units
from disbench.leaderboards import aggregate, labels, shown, statistics, titles, wide
from disbench.leaderboards.published import Number

MINE = "mine"
# Beside those of a leaderboard, the columns of a comparison.
COLUMNS = [
    *("from", "name", "title", "dataset", "protocol", "metric", "preset", "n", "failed", "unscored"),
    *("mean", "mean_low", "mean_high", "std", "spread", "chance", "printed", "higher_is_better", "reason"),
]
PAIRS = [
    *("mine", "other", "title", "from", "metric", "preset", "n_mine", "n_other"),
    *("probability", "low", "high", "assumption", "reason"),
]
NORMAL = "its runs are normal with the printed mean and spread"
# What a probability is, where the column is called so, and where a sentence names both rows.
BETTER = "mine is better: probability that a run of mine scores better than a run of the other"
BETTER_BY_NAME = "better: probability that a run of the first scores better than a run of the second"


@dataclass(frozen=True)
class Comparison:
    """Rows of one's own beside others.

    Attributes:
        frame: one row per row and metric, with `COLUMNS`; `from` is "mine", or where it was measured.
        pairs: for each row of mine and each other row, how probably mine is better, with `PAIRS`.
        scores: the per-seed rows behind them.
    """

    frame: pd.DataFrame
    pairs: pd.DataFrame
    scores: pd.DataFrame


def compare(mine: pd.DataFrame, others: pd.DataFrame, numbers: Sequence[Number]) -> Comparison:
    """Of each row of mine and each other row that has the same metric, how probably mine is better.

    Args:
        mine: per-seed rows, see `aggregate.scores`; rows of one method are seeds of one row.
        others: per-seed rows of kept results and runs; there may be none.
        numbers: published means of the same data and metrics.
    """
    boards = [_board(mine, MINE), *([_board(others, "")] if len(others) else [])]
    frame = pd.concat([*boards, *([_printed(numbers, boards[0])] if numbers else [])], ignore_index=True)
    order = {pair: i for i, pair in enumerate(zip(mine["metric"], mine["preset"], strict=True))}
    place = [order[pair] for pair in zip(frame["metric"], frame["preset"], strict=True)]
    sign = np.where(frame["higher_is_better"], -1.0, 1.0)
    frame = frame.assign(place=place, rank=sign * frame["mean"])
    frame = frame.sort_values(["place", "rank"], kind="stable", ignore_index=True)[COLUMNS]
    return Comparison(frame, _pairs(mine, others, numbers), pd.concat([mine, others], ignore_index=True))


def _board(rows: pd.DataFrame, source: str) -> pd.DataFrame:
    """The leaderboard of per-seed rows, by their names, and where they were measured."""
    named = rows.assign(name=labels.names(rows))
    board = aggregate.leaderboard(named, [*aggregate.BY, "name"], iqm_interval=False)
    runs = {
        key: ", ".join(dict.fromkeys(map(str, group["run"])))
        for key, group in named.groupby(["name", "dataset", "protocol"], sort=False)
    }
    keys = zip(board["name"], board["dataset"], board["protocol"], strict=True)
    places = [source or runs[key] for key in keys]
    # a name that the user gave is none of a method here
    people = list(board["name"]) if source else titles.rows(board)
    return board.assign(**{"from": places, "title": people, "printed": ""})[COLUMNS]


def source_of(number: Number) -> str:
    """Where a number was published: "infogan-cr, Table 1"; and whether others only report it."""
    reported = "" if number.certainty == "seen" else f", {number.certainty}"
    return f"{number.source_id.partition('/')[0]}, {number.table}{reported}"


def deviation(number: Number) -> tuple[float, str]:
    """The standard deviation over the runs of a published number; NaN and the reason if it is not known."""
    if number.spread is None:
        return math.nan, "its source prints no spread"
    if number.spread_kind not in ("sd", "se"):
        kind = "is a range" if number.spread_kind == "range" else "is of an unknown kind"
        return math.nan, f"its ± {kind}"
    if number.n is None:
        return math.nan, "its source does not say of how many runs"
    spread = float(number.spread)
    return spread * math.sqrt(number.n) if number.spread_kind == "se" else spread, ""


def _printed(numbers: Sequence[Number], board: pd.DataFrame) -> pd.DataFrame:
    better = dict(
        zip(zip(board["metric"], board["preset"], strict=True), board["higher_is_better"], strict=True)
    )
    rows = []
    for number in numbers:
        std, why = deviation(number)
        rows.append(
            {
                "from": source_of(number),
                "name": number.row,
                "title": number.row,
                "dataset": f"{number.dataset}-{number.size}",
                "protocol": "",
                "metric": number.metric,
                "preset": number.preset,
                "n": number.n,
                "mean": float(number.value),
                "std": std,
                "printed": number.printed,
                "higher_is_better": better[number.metric, number.preset],
                "reason": why,
            }
        )
    frame = pd.DataFrame(rows, columns=COLUMNS)
    missing = ("mean_low", "mean_high", "spread", "chance")
    return frame.astype(
        {"n": "Int64", "failed": "Int64", "unscored": "Int64", **dict.fromkeys(missing, float)}
    )


def _pairs(mine: pd.DataFrame, others: pd.DataFrame, numbers: Sequence[Number]) -> pd.DataFrame:
    rows = []
    named = others.assign(name=labels.names(others)) if len(others) else others
    if len(named):
        named = named.assign(title=titles.rows(named))
    for (name, metric, preset), group in mine.assign(name=labels.names(mine)).groupby(
        ["name", "metric", "preset"], sort=False
    ):
        sign = 1.0 if group["higher_is_better"].iloc[0] else -1.0
        values = sign * group["score"].dropna().to_numpy()
        head = {"mine": name, "metric": metric, "preset": preset, "n_mine": len(values)}
        same = named[(named["metric"] == metric) & (named["preset"] == preset)] if len(named) else named
        keys = ["name", "dataset", "protocol"]
        for (other, _, _), rest in same.groupby(keys, sort=False) if len(same) else ():
            theirs = sign * rest["score"].dropna().to_numpy()
            source = ", ".join(dict.fromkeys(map(str, rest["run"])))
            about = {"other": other, "title": rest["title"].iloc[0], "from": source}
            rows.append({**head, **about, **_measured(values, theirs)})
        for number in numbers:
            if (number.metric, number.preset) == (metric, preset):
                about = {"other": number.row, "title": number.row, "from": source_of(number)}
                rows.append({**head, **about, **_against_published(values, sign, number)})
    return pd.DataFrame(rows, columns=PAIRS)


def _measured(values: statistics.Floats, theirs: statistics.Floats) -> dict[str, object]:
    if not (len(values) and len(theirs)):
        return {"n_other": len(theirs), "probability": np.nan, "assumption": "", "reason": "no score"}
    interval = statistics.improvement_interval([(values, theirs)])
    return {
        "n_other": len(theirs),
        "probability": statistics.improvement([(values, theirs)]),
        "low": interval.low,
        "high": interval.high,
        "assumption": "",
        "reason": interval.reason,
    }


def _against_published(values: statistics.Floats, sign: float, number: Number) -> dict[str, object]:
    std, why = deviation(number)
    if why or not len(values):
        missing = {"n_other": number.n, "probability": np.nan, "assumption": ""}
        return {**missing, "reason": why or "no score"}
    mean, n = sign * float(number.value), number.n or 0
    interval = statistics.improvement_on_normal_interval(values, mean, std, n)
    return {
        "n_other": number.n,
        "probability": statistics.improvement_on_normal(values, mean, std),
        "low": interval.low,
        "high": interval.high,
        "assumption": NORMAL,
        "reason": interval.reason,
    }


def _probability(row: pd.Series) -> str:
    if not np.isfinite(row["probability"]):
        return wide.MISSING
    ends = f" ({row['low']:.2f} to {row['high']:.2f})" if np.isfinite(row["low"]) else ""
    return f"{row['probability']:.2f}{ends}"


def texts(found: Comparison) -> pd.DataFrame:
    """The long form for a terminal: every number of every row, the best first for each metric.

    With one row of mine, its last column says how probably mine is better.
    """
    frame = found.frame
    text = pd.DataFrame({"metric": frame["metric"], "preset": frame["preset"]})
    text["method"], text["from"] = frame["name"], frame["from"]
    for column in ("n", "failed", "unscored"):
        text[column] = [wide.MISSING if pd.isna(value) else f"{value:.0f}" for value in frame[column]]
    text["mean"] = [f"{value:.3f}" if np.isfinite(value) else wide.MISSING for value in frame["mean"]]
    text["95 %"] = shown.intervals(frame["mean_low"], frame["mean_high"])
    for column in ("std", "spread", "chance"):
        text[column] = [f"{value:.3f}" if np.isfinite(value) else wide.MISSING for value in frame[column]]
    if found.pairs["mine"].nunique() == 1:
        keys = ["other", "from", "metric", "preset"]
        known = {tuple(row[key] for key in keys): _probability(row) for _, row in found.pairs.iterrows()}
        rows = zip(frame["name"], frame["from"], frame["metric"], frame["preset"], strict=True)
        text["mine is better"] = ["" if row[1] == MINE else known.get(row, wide.MISSING) for row in rows]
    idle = [name for name in ("failed", "unscored") if not frame[name].fillna(0).any()]
    idle += [name for name in ("95 %", "std", "spread", "chance") if (text[name] == wide.MISSING).all()]
    return text.drop(columns=idle)


def pairs_as_texts(found: Comparison) -> pd.DataFrame:
    """Which row of mine beats which other row, for people."""
    pairs = found.pairs
    text = pairs[["mine", "other", "from", "metric", "preset"]].astype(str)
    text["n"] = [
        f"{mine} and {wide.MISSING if pd.isna(other) else int(other)}"
        for mine, other in zip(pairs["n_mine"], pairs["n_other"], strict=True)
    ]
    text["mine is better"] = [_probability(row) for _, row in pairs.iterrows()]
    return text


def notes(found: Comparison) -> list[str]:
    """The sentences below both forms: what the columns are, and why one is empty."""
    sentences = [f"std is divided by n - {aggregate.DDOF}"]
    if found.frame["mean_low"].notna().any():
        sentences.append("95 % is the BCa bootstrap interval of the mean")
    if found.frame["spread"].notna().any():
        sentences.append("spread is the standard deviation over draws of the metric, of one model")
    if found.frame["chance"].notna().any():
        sentences.append("chance is the mean score of the same codes with factors shuffled over the images")
    return sentences + remarks(found)


def remarks(found: Comparison, better: str = BETTER) -> list[str]:
    """Those of them that no form can do without: what a probability is, and why one is missing.

    Args:
        found: the comparison.
        better: what is said of a probability, in the words by which the form calls it.
    """
    sentences = []
    pairs = found.pairs
    if pairs["probability"].notna().any():
        ends = ", in brackets its 95 % stratified bootstrap interval" if pairs["low"].notna().any() else ""
        sentences.append(f"{better}; ties count one half{ends}")
    if (pairs["assumption"] != "").any():
        sentences.append(f"beside a published row, it is as if {NORMAL}")
    for reason, group in pairs[pairs["reason"] != ""].groupby("reason", sort=False):
        rows = _few(group) if reason == statistics.TOO_FEW else list(group["other"])
        of = ", ".join(dict.fromkeys(rows))
        # a reason why there is no interval begins with these words
        what = "no probability, " if group["probability"].isna().any() else ""
        sentences.append(f"{what}{reason}: {of}")
    scores = found.scores.assign(name=labels.names(found.scores))
    for name, group in scores[scores["state"] == "failed"].groupby("name", sort=False):
        failed = units.count(group["seed"].nunique(), "failed seed")
        sentences.append(f"{name}: {failed}, in no average")
    return sentences + shown.unfinished(scores)


def _few(pairs: pd.DataFrame) -> list[str]:
    """The rows of these pairs that have too few seeds for an interval."""
    mine = pairs["mine"][pairs["n_mine"] < statistics.LEAST]
    # of a published row the spread is known, however few its runs
    measured = pairs[pairs["assumption"] == ""]
    return [*mine, *measured["other"][measured["n_other"] < statistics.LEAST]]


def paper(found: Comparison) -> tuple[wide.Wide, str, list[str]]:
    """The comparison as papers print it, what its caption says of the numbers, and the sentences below.

    How probably mine is better stands in these sentences, one for each other row.
    """
    frame = found.frame
    named = wide.headings(frame)
    columns = wide.columns_of(frame)
    lines: dict[tuple[str, str], wide.Line] = {}
    for (name, source), rows in frame.groupby(["title", "from"], sort=False):
        counts = rows["n"].dropna()
        low, high = (counts.min(), counts.max()) if len(counts) else (0, 0)
        n = wide.MISSING if not len(counts) else f"{low:.0f}" if low == high else f"{low:.0f} to {high:.0f}"
        cells = {
            named[row["metric"], row["preset"]]: wide.Cell(row["mean"], row["std"], row["printed"])
            for _, row in rows.iterrows()
        }
        heads = {"method": str(name), "from": "" if source == MINE else str(source), "n": n}
        lines[str(name), str(source)] = wide.Line(heads, cells)
    first = columns[0]
    sign = -1.0 if first.higher_is_better else 1.0

    def place(line: wide.Line) -> float:
        mean = sign * line.cells.get(first.name, wide.Cell()).mean
        return mean if np.isfinite(mean) else np.inf

    table = wide.wide(columns, sorted(lines.values(), key=place))
    sentences = []
    for (mine, other, source), rows in found.pairs.groupby(["mine", "title", "from"], sort=False):
        known = rows[rows["probability"].notna()]
        if len(known):
            listed = ", ".join(
                f"{named[r['metric'], r['preset']]} {_probability(r)}" for _, r in known.iterrows()
            )
            sentences.append(f"{mine} better than {other} ({source}): {listed}")
    caption = (
        f"mean ± standard deviation (divided by n - {aggregate.DDOF}){table.legend}; {wide.presets(frame)}"
    )
    return table, caption, [*sentences, *remarks(found, BETTER_BY_NAME)]


def alike(
    numbers: Sequence[Number], dataset: str, judged: Sequence[tuple[str, str]]
) -> tuple[list[Number], list[str]]:
    """The published numbers that compare, and a sentence for those of these metrics that do not.

    Args:
        numbers: published ones.
        dataset: the data set with its size, such as "dsprites-64".
        judged: the metrics, each with its preset.
    """
    found: list[Number] = []
    reasons: dict[str, list[str]] = {}
    metrics = {metric for metric, _ in judged}
    for number in numbers:
        theirs = f"{number.dataset}-{number.size}"
        if number.metric not in metrics:
            continue
        presets = [preset for metric, preset in judged if metric == number.metric]
        if theirs != dataset:
            why = f"they are on {theirs}, and codes of these images would compare"
        elif number.preset is None:
            why = "the settings of their metric are not known"
        elif number.preset not in presets:
            why = f"their {number.metric} has the preset {number.preset}"
        elif number.statistic != "mean":
            why = f"they are the {number.statistic} of several runs and no mean"
        else:
            found.append(number)
            continue
        reasons.setdefault(why, []).append(number.source_id.partition("/")[0])
    sentences = [
        f"{len(sources)} published numbers are left out ({', '.join(dict.fromkeys(sources))}): {why}"
        for why, sources in reasons.items()
    ]
    return found, sentences
