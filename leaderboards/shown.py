"""Leaderboards in words: tables of texts for people, and the sentences that stand below them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd

from disbench.errors import UsageError
from disbench.leaderboards import labels, statistics
from disbench.leaderboards.aggregate import BY, DDOF, _listed


def pooled(frame: pd.DataFrame, by: Sequence[str]) -> list[str]:
    """What the rows of a leaderboard by these columns pool, as sentences.

    Raises:
        UsageError: protocols, whose scores do not mean the same.
    """
    notes = []
    for column in (column for column in BY if column not in by and column != "cell"):
        several = frame.groupby(list(by), dropna=False)[column].nunique(dropna=False).max()
        if several > 1:
            if column == "protocol":
                raise UsageError(
                    "--by without protocol would average scores of different protocols; add it to --by."
                )
            notes.append(f"a row pools up to {several} values of {column}; its n counts them all")
    if "cell" not in by and any(labels.crowded(frame)):
        notes.append("a row pools trainings of another code or data under equal settings; add cell to --by")
    return notes


def shown(board: pd.DataFrame) -> pd.DataFrame:
    """As texts for people: three decimals, "–" for what there is not, columns that tell nothing left out."""
    text = pd.DataFrame(index=board.index)
    for column in [column for column in BY if column in board]:
        text[column] = [str(value) if str(value) else "–" for value in board[column]]
    for column in ("n", "failed", "unscored"):
        text[column] = board[column].astype(str)
    for column in ("mean", "95 %", "std", "median", "iqm", "best", "worst"):
        if column == "95 %":
            text[column] = between(board["mean_low"], board["mean_high"])
        else:
            text[column] = [f"{value:.3f}" if np.isfinite(value) else "–" for value in board[column]]
    idle = [c for c in ("dataset", "protocol", "variant") if c in text and text[c].nunique() <= 1]
    idle += [c for c in ("95 %", "iqm") if (text[c] == "–").all()]
    idle += ["unscored"] if (board["unscored"] == 0).all() else []
    return text.drop(columns=[*idle, *labels.needless(board)])


def between(low: Iterable[float], high: Iterable[float]) -> list[str]:
    """Intervals as texts."""
    ends = zip(low, high, strict=True)
    return [f"{a:.3f} to {b:.3f}" if np.isfinite(a) else "–" for a, b in ends]


def notes(frame: pd.DataFrame, board: pd.DataFrame) -> list[str]:
    """What a reader of the leaderboard must know, as sentences: definitions, failed seeds, missing scores."""
    found = [f"std is divided by n - {DDOF}"]
    if board["iqm"].notna().any():
        found.append("iqm is the mean without the lowest and the highest quarter")
    if board["mean_low"].notna().any():
        found.append("95 % is the BCa bootstrap interval of the mean")
    found += [f"{reason}" for reason in dict.fromkeys(board["reason"]) if reason]
    named = frame.assign(name=labels.names(frame))
    missing = named[named["score"].isna()].astype({"reason": object})
    missing = missing.fillna({"reason": "no reason was recorded"})
    for (state, reason), group in missing.groupby(["state", "reason"], sort=False):
        cells = group.drop_duplicates(["dataset", "protocol", "cell", "seed"])
        if state == "failed":
            for name, seeds in cells.groupby("name", sort=False):
                found.append(f"{name} failed with seed {_listed(seeds['seed'])}: {reason}")
        elif state == "done":
            named_cells = ", ".join(dict.fromkeys(cells["name"]))
            found.append(f"–: no {', '.join(dict.fromkeys(group['metric']))} of {named_cells}: {reason}")
    return found


def shown_improvements(pairs: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """As texts for people, columns that tell nothing left out; beside them, what a reader must know."""
    text = pairs.drop(columns=["low", "high", "reason"]).astype(str)
    text["probability"] = [f"{value:.3f}" for value in pairs["probability"]]
    text["95 %"] = between(pairs["low"], pairs["high"])
    idle = [column for column in ("protocol", "preset") if text[column].nunique() <= 1]
    idle += [column for column in ("datasets",) if (text[column] == "1").all()]
    told = ["probability that a run of the first beats one of the second, equal scores counted as one half"]
    if pairs["low"].notna().any():
        told.append("95 % is its stratified BCa bootstrap interval")
    else:
        idle.append("95 %")
    return text.drop(columns=idle), [*told, *(reason for reason in dict.fromkeys(pairs["reason"]) if reason)]


def shown_ranks(found: statistics.Ranks, missing: Sequence[str]) -> tuple[pd.DataFrame, list[str]]:
    """As texts for people; beside them the tests, and the data sets that were left out."""
    listed = found.mean.sort_values()
    text = pd.DataFrame({"method": listed.index, "mean rank": [f"{rank:.2f}" for rank in listed]})
    told = [f"ranks by mean score over {found.n} data sets, 1 is best"]
    if missing:
        told.append(f"left out, since not every method has a score there: {', '.join(missing)}")
    if found.reason:
        return text, [*told, f"no test: {found.reason}"]
    told.append(f"Friedman: chi-squared {found.statistic:.2f}, p = {found.p:.3g}")
    told += [
        f"{row.first} and {row.second}: z = {row.z:.2f}, p = {row.p:.3g}, after Holm {row.holm:.3g}"
        for row in found.pairs.itertuples()
    ]
    return text, told
