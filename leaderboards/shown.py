"""Leaderboards in words: tables of texts for people, and the sentences that stand below them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import pandas as pd

from disbench import units
from disbench.errors import UsageError, argument
from disbench.leaderboards import aggregate, labels, statistics, wide
from disbench.leaderboards.aggregate import BY, DDOF, Repeated
from disbench.leaderboards.explained import PARTS
from disbench.texts import as_ranges

# numbers of a sentence; digits of a name are none
NUMBER = re.compile(r"(?<![\w.])\d+(?:\.\d+)?(?!\w)")


def leaderboard(board: pd.DataFrame) -> pd.DataFrame:
    """A leaderboard as texts: three decimals, "–" for a missing number.

    Uninformative columns are left out, and metrics without any score, which `notes` names.
    """
    board = wide.with_scores(board)
    text = pd.DataFrame(index=board.index)
    # the columns that were grouped by come first
    for column in board.columns[: board.columns.get_loc("n")]:
        text[column] = [
            "–"
            if pd.isna(value) or not str(value)
            else f"{value:g}"
            if isinstance(value, float)
            else str(value)
            for value in board[column]
        ]
    for column in ("n", "failed", "unscored"):
        text[column] = board[column].astype(str)
    for column in (
        "mean",
        "95 %",
        "std",
        "spread",
        "chance",
        "other codes",
        "median",
        "iqm",
        "best",
        "worst",
    ):
        if column == "95 %":
            text[column] = intervals(board["mean_low"], board["mean_high"])
        elif column == "other codes":
            text[column] = list(map(beside, board["beside"], board["beside_live"]))
        else:
            text[column] = [f"{value:.3f}" if np.isfinite(value) else "–" for value in board[column]]
    idle = [c for c in ("dataset", "protocol", "variant") if c in text and text[c].nunique() <= 1]
    idle += [c for c in ("95 %", "iqm", "spread", "chance", "other codes") if (text[c] == "–").all()]
    idle += ["unscored"] if (board["unscored"] == 0).all() else []
    return text.drop(columns=[*idle, *labels.needless(board)])


def beside(score: float, live: float) -> str:
    """A mean score of other codes and how many of them count, "–" for NaN."""
    return f"{score:.3f} ({live:.3g})" if np.isfinite(score) else "–"


def intervals(low: Iterable[float], high: Iterable[float]) -> list[str]:
    """Intervals as texts, "–" for NaN."""
    ends = zip(low, high, strict=True)
    return [f"{a:.3f} to {b:.3f}" if np.isfinite(a) else "–" for a, b in ends]


def definitions(board: pd.DataFrame) -> list[str]:
    """What the columns of a leaderboard are, and why one is empty."""
    sentences = [f"std is divided by n - {DDOF}"]
    if board["iqm"].notna().any():
        sentences.append("iqm is the mean without the lowest and the highest quarter")
    if board["mean_low"].notna().any():
        sentences.append("95 % is the BCa bootstrap interval of the mean")
        if (board["n"] > statistics.MANY).any():
            sentences.append(f"of more than {statistics.MANY:,} scores it is the percentile interval")
    if board["spread"].notna().any():
        sentences.append(
            "spread is the standard deviation over draws of the metric, of one model (root mean square over "
            "seeds); std, over seeds, holds it"
        )
    if board["chance"].notna().any():
        sentences.append("chance is the mean score of the same codes with factors shuffled over the images")
    if board["beside"].notna().any():
        sentences.append(
            "other codes is the mean score where some codes have collapsed: without them if the metric "
            "counts them, with them if it does not; in brackets, how many codes count there"
        )
    return sentences + list(dict.fromkeys(reason for reason in board["reason"] if reason))


def caption(title: str, frame: pd.DataFrame, board: pd.DataFrame, numbers: str) -> str:
    """The caption of a leaderboard in a paper: title, protocol, data set, what the numbers are, presets.

    Args:
        title: its first words.
        frame: per-seed rows.
        board: the leaderboard of these rows.
        numbers: what they are, of `wide.of_board`.
    """
    places = [("protocol", "Protocol"), ("dataset", "on")]
    where = " ".join(f"{word} {', '.join(dict.fromkeys(frame[name]))}" for name, word in places)
    return f"{title}. {where}; {numbers}; {wide.presets(wide.with_scores(board))}"


def notes(frame: pd.DataFrame, board: pd.DataFrame) -> list[str]:
    """The sentences below a leaderboard: definitions, failed and unfinished seeds, missing scores.

    Args:
        frame: per-seed rows.
        board: the leaderboard of these rows.
    """
    sentences = definitions(board)
    sentences += kernels(frame)
    named = frame.assign(name=labels.names(frame))
    missing = named[named["score"].isna()].astype({"reason": object})
    missing = missing.fillna({"reason": "no reason was recorded"})
    absent: dict[tuple[str, str], list[str]] = {}
    for (state, reason), group in missing.groupby(["state", "reason"], sort=False):
        cells = group.drop_duplicates(["dataset", "protocol", "cell", "seed"])
        if state == "failed":
            for name, seeds in cells.groupby("name", sort=False):
                sentences.append(f"{name} failed with seed {_listed(seeds['seed'])}: {reason}")
        elif state == "done":
            names = ", ".join(dict.fromkeys(cells["name"]))
            for what, why in _reasons(frame, group, str(reason)):
                absent.setdefault((names, why), []).append(what)
    for (names, why), metrics in absent.items():
        sentences.append(f"{', '.join(dict.fromkeys(metrics))} missing for {names}: {why}")
    return sentences + unfinished(named) + _ways(named) + health(named)


def unfinished(named: pd.DataFrame) -> list[str]:
    """A sentence for each row with seeds that have not ended, which are in no count.

    Args:
        named: per-seed rows with a column name.
    """
    left = aggregate.unended(named)
    return [
        f"{name} has not finished seed {_listed(rows['seed'])} yet: {state}"
        for (name, state), rows in left.groupby(["name", "state"], sort=False)
    ]


def _reasons(frame: pd.DataFrame, group: pd.DataFrame, reason: str) -> Iterator[tuple[str, str]]:
    """Each metric that has no score in a group of rows, and why.

    A reason may begin with what it is of, such as "mig@generator: "; equal ones are then told once. The
    preset is named where the metric has several.

    Args:
        frame: per-seed rows.
        group: those without a score, for this reason.
        reason: of the group.
    """
    named, _, why = reason.partition(": ")
    for metric, preset in group[["metric", "preset"]].drop_duplicates().itertuples(index=False):
        several = frame["preset"][frame["metric"] == metric].nunique() > 1
        begins = bool(why) and re.split("[:@]", named)[0] == metric
        what = f"{metric}:{preset}" if several else named if begins else str(metric)
        yield what, why if begins else reason


def health(named: pd.DataFrame) -> list[str]:
    """What is wrong with trained models: a sentence for each kind and row, with the seeds.

    Verdicts of one kind differ in their numbers only, of which the sentence has all.
    """
    found: dict[tuple[str, tuple[str, ...]], dict[int, str]] = {}
    for row in named.drop_duplicates(["name", "seed"]).itertuples():
        for verdict in json.loads(str(row.health)):
            kind = tuple(NUMBER.split(verdict))
            found.setdefault((str(row.name), kind), {})[int(str(row.seed))] = verdict
    return [
        f"{name}: {_alike(kind, list(seeds.values()))}: seed {_listed(seeds)}"
        for (name, kind), seeds in found.items()
    ]


def _alike(kind: Sequence[str], verdicts: Sequence[str]) -> str:
    """One verdict for several of a kind: "6 to 8 of 10 codes", "2 categories share class 3, 7".

    Args:
        kind: what stands between their numbers.
        verdicts: the verdicts.
    """
    said, *parts = kind
    for texts, after in zip(zip(*map(NUMBER.findall, verdicts), strict=True), parts, strict=True):
        numbers = sorted(set(texts), key=float)
        # a whole number within a verdict names something, all others count or measure
        if said and all(number.isdecimal() for number in numbers):
            said += _listed(map(int, numbers))
        else:
            said += " to ".join(dict.fromkeys((numbers[0], numbers[-1])))
        said += after
    return said


def _ways(named: pd.DataFrame) -> list[str]:
    """A sentence for each row whose seeds trained in different ways: alone, with others, recorded or not.

    On other hardware they are more than that, see `kernels`.
    """
    seeds = named[named["trained"] != ""].drop_duplicates(["name", "seed"])
    sentences = []
    for (name, _), group in seeds.groupby(["name", "kernels"], sort=False, dropna=False):
        counts = group["trained"].value_counts()
        if len(counts) > 1:
            ways = "; ".join(f"{way}: {n}" for way, n in counts.items())
            sentences.append(f"{name}: its seeds trained in ways that are equal but for rounding ({ways})")
    return sentences


def kernels(frame: pd.DataFrame) -> list[str]:
    """The sentence that tells seeds of different kernels or hardware apart; none if all have the same."""
    named = frame.assign(name=labels.names(frame)).dropna(subset="kernels")
    kinds = {str(kind): ", ".join(dict.fromkeys(group["name"])) for kind, group in named.groupby("kernels")}
    if len(kinds) < 2:
        return []
    listed = "; ".join(f"{kind}: {names}" for kind, names in kinds.items())
    return [f"a seed is another draw with other kernels or on a GPU, which differ here ({listed})"]


def repeated(seeds: Iterable[Repeated]) -> list[str]:
    """A sentence for the trainings that the same runs hold, with the same seeds."""
    found: dict[tuple[str, str], list[str]] = {}
    for each in seeds:
        found.setdefault((each.runs, _listed(each.seeds)), []).append(each.name)
    return [
        f"{', '.join(names)} {'appear' if len(names) > 1 else 'appears'} in {runs} with equal scores; "
        f"counted once: seed {listed}"
        for (runs, listed), names in found.items()
    ]


def pooled(frame: pd.DataFrame, by: Sequence[str]) -> list[str]:
    """The sentences that say which columns a row of a leaderboard pools.

    Args:
        frame: per-seed rows.
        by: the columns that the leaderboard is grouped by.

    Raises:
        UsageError: rows would pool protocols, whose scores are not comparable.
    """
    sentences = []
    for column in (column for column in BY if column not in by and column != "cell"):
        several = frame.groupby(list(by), dropna=False)[column].nunique(dropna=False).max()
        if several > 1:
            if column == "protocol":
                raise UsageError(
                    f"{argument('by')} without protocol would average scores of different protocols; "
                    f"add it to {argument('by')}."
                )
            sentences.append(f"a row pools up to {several} values of {column}; its n counts them all")
    if "cell" not in by and any(labels.crowded(frame)):
        sentences.append(
            "a row pools trainings of another code or data under equal settings; group by cell as well"
        )
    return sentences


def improvements(pairs: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """`aggregate.improvements` as texts, uninformative columns left out, and the sentences below them."""
    text = pairs.drop(columns=["low", "high", "reason"]).astype(str)
    text["probability"] = [f"{value:.3f}" for value in pairs["probability"]]
    text["95 %"] = intervals(pairs["low"], pairs["high"])
    idle = [column for column in ("protocol", "preset") if text[column].nunique() <= 1]
    idle += [column for column in ("datasets",) if (text[column] == "1").all()]
    if pairs.empty:
        return text, [
            "no pair: no two methods have a score of one metric on one data set, under one protocol"
        ]
    sentences = [
        "probability that a run of the first method scores better than a run of the second; "
        "ties count one half"
    ]
    if pairs["low"].notna().any():
        sentences.append("95 % is its stratified BCa bootstrap interval")
    else:
        idle.append("95 %")
    sentences += [reason for reason in dict.fromkeys(pairs["reason"]) if reason]
    return text.drop(columns=idle), sentences


def ranks(ranked: statistics.Ranks, missing: Sequence[str]) -> tuple[pd.DataFrame, list[str]]:
    """Ranks of methods as texts, and the sentences below them.

    Args:
        ranked: the ranks, with their tests.
        missing: data sets that are not in them.
    """
    means = ranked.mean.sort_values()
    shown = [f"{rank:.2f}" if ranked.n else "–" for rank in means]
    text = pd.DataFrame({"method": means.index, "mean rank": shown})
    if not ranked.n:
        return text, ["no ranks: on no data set does every method have a score"]
    sentences = [f"ranks by mean score over {ranked.n} data sets, 1 is best"]
    if missing:
        sentences.append(f"left out, because a method has no score there: {', '.join(missing)}")
    if ranked.reason:
        return text, [*sentences, f"no test: {ranked.reason}"]
    sentences.append(f"Friedman: chi-squared {ranked.statistic:.2f}, p = {ranked.p:.3g}")
    sentences += [
        f"{row.first} and {row.second}: z = {row.z:.2f}, p = {row.p:.3g}, after Holm {row.holm:.3g}"
        for row in ranked.pairs.itertuples()
    ]
    return text, sentences


def explained(found: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """What explains the scores, as texts, and the sentences below.

    Args:
        found: of `explained.explained`.
    """
    keys = [name for name in ("dataset", "protocol") if found[name].nunique() > 1]
    text = found[[*keys, "metric", "preset"]].copy()
    for part in PARTS:
        if found[part].notna().any():
            text[part] = [
                f"{share:.0%}".replace("%", " %") if share == share else "–" for share in found[part]
            ]
    counts = found[["methods", "trainings", "n"]].drop_duplicates()
    told = []
    for methods, trainings, n in counts.itertuples(index=False):
        settings = f"{trainings} settings, " if trainings > methods else ""
        told.append(f"{units.count(methods, 'method')}, {settings}{n} scores")
    sentences = [
        f"share of the variance of single scores that each explains (adjusted R²); {'; '.join(told)}",
        "seed: what a single run may differ by for no reason",
    ]
    return text, sentences


def _listed(seeds: Iterable[int]) -> str:
    return as_ranges(sorted(set(seeds))).replace(",", ", ")
