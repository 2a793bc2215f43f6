"""Results as papers print them: methods down, metrics across, "mean ± std", best bold and second underlined.

Every table of results of this project has this form in LaTeX, Markdown and HTML; the long form, one row per
method and metric, is for programs.

A column has two decimals, and a third one where its smallest spread would print as .00 with two. The marks
go by what is printed: numbers that print alike are marked alike, so that no reader sees two equal numbers of
which one is bold. A published number keeps the decimals that its source printed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from disbench.leaderboards import labels, titles

MISSING = "–"
BEST, SECOND = "best", "second"
LEGEND = "best bold, second underlined"
PRINTED = re.compile(r"[+−-]?\d*\.?\d+")


@dataclass(frozen=True)
class Cell:
    """One number of a table.

    Attributes:
        mean: the number; NaN where there is none.
        std: what stands behind its ±; NaN for nothing.
        printed: the text of a published number, such as ".80±.07"; "" for one of ours.
        after: what follows the number, such as the number of a note.
    """

    mean: float = np.nan
    std: float = np.nan
    printed: str = ""
    after: str = ""


@dataclass(frozen=True)
class Column:
    """A metric.

    Attributes:
        name: its heading.
        higher_is_better: False where small is good.
        decimals: how many its numbers have; None for as many as their spread needs.
    """

    name: str
    higher_is_better: bool = True
    decimals: int | None = None

    @property
    def head(self) -> str:
        """The heading with an arrow to the better end."""
        return f"{self.name} {'↑' if self.higher_is_better else '↓'}"


@dataclass(frozen=True)
class Line:
    """One row.

    Attributes:
        heads: the texts before the numbers, by their headings, such as {"method": "betavae", "n": "32"}.
        cells: the numbers, by the names of their columns; a column without one is missing.
        group: rows of one group are ranked among each other.
        ranked: False for a row that is in no ranking, such as chance.
    """

    heads: Mapping[str, str]
    cells: Mapping[str, Cell]
    group: str = ""
    ranked: bool = True


@dataclass(frozen=True)
class Wide:
    """A table as papers print it.

    Attributes:
        text: the headings and the numbers as texts.
        marks: of the same shape: "best", "second" or "".
        after: of the same shape: what follows a number and is not part of it.
    """

    text: pd.DataFrame
    marks: pd.DataFrame
    after: pd.DataFrame

    @property
    def legend(self) -> str:
        """What the marks are, as the end of a sentence; "" where nothing is marked."""
        return f"; {LEGEND}" if (self.marks == BEST).any(axis=None) else ""


def wide(columns: Sequence[Column], lines: Sequence[Line]) -> Wide:
    """The table of these rows.

    Args:
        columns: the metrics, each name once.
        lines: the rows, all with the same headings.
    """
    heads = list(lines[0].heads) if lines else ["method"]
    text = {head: [line.heads[head] for line in lines] for head in heads}
    marks: dict[str, list[str]] = {head: [""] * len(lines) for head in heads}
    after: dict[str, list[str]] = {head: [""] * len(lines) for head in heads}
    for column in columns:
        cells = [line.cells.get(column.name, Cell()) for line in lines]
        places = decimals(cells) if column.decimals is None else column.decimals
        texts = [number(cell, places) for cell in cells]
        text[column.head] = texts
        after[column.head] = [cell.after for cell in cells]
        marks[column.head] = [""] * len(lines)
        for group in {line.group for line in lines}:
            ranked = [i for i, line in enumerate(lines) if line.group == group and line.ranked]
            found = ranks([texts[i] for i in ranked], column.higher_is_better)
            for i, mark in zip(ranked, found, strict=True):
                marks[column.head][i] = mark
    return Wide(pd.DataFrame(text), pd.DataFrame(marks), pd.DataFrame(after))


def decimals(cells: Sequence[Cell]) -> int:
    """Two, or three where a spread would print as .00."""
    spreads = [cell.std for cell in cells if np.isfinite(cell.std) and cell.std > 0 and not cell.printed]
    return 3 if spreads and min(spreads) < 0.005 else 2


def number(cell: Cell, places: int) -> str:
    """The text of a number: ".64 ± .08", without the zero before the point, as the field prints it."""
    if cell.printed:
        return " ± ".join(part.strip() for part in cell.printed.split("±"))
    if not np.isfinite(cell.mean):
        return MISSING
    spread = f" ± {_short(cell.std, places)}" if np.isfinite(cell.std) else ""
    return f"{_short(cell.mean, places)}{spread}"


def _short(value: float, places: int) -> str:
    text = f"{value:.{places}f}"
    # what rounds to nothing has no sign
    negative = text.startswith("-") and float(text) != 0
    text = text.lstrip("-")
    return ("−" if negative else "") + (text[1:] if text.startswith("0.") else text)


def value(text: str) -> float:
    """The number that is printed before the ±; NaN where there is none."""
    found = PRINTED.match(text)
    return float(found[0].replace("−", "-")) if found else np.nan


def ranks(texts: Sequence[str], higher_is_better: bool) -> list[str]:
    """ "best", "second" or "" of each printed number, equal ones alike; nothing of fewer than two numbers."""
    values = [value(text) for text in texts]
    known = sorted({each for each in values if np.isfinite(each)}, reverse=higher_is_better)
    if sum(map(np.isfinite, values)) < 2:
        return [""] * len(texts)
    places = dict(zip(known, (BEST, SECOND), strict=False))
    return [places.get(each, "") for each in values]


def with_scores(board: pd.DataFrame) -> pd.DataFrame:
    """A leaderboard without the metrics that no trained seed has a score of; whole if there are no others.

    Rows with failed seeds stay.

    Args:
        board: of `aggregate.leaderboard`.
    """
    if not {"metric", "preset"} <= set(board):
        return board
    told = board["n"] + board["failed"] > 0
    known = told.groupby([board["metric"], board["preset"]]).transform("any")
    return board[known].reset_index(drop=True) if known.any() else board


def of_board(board: pd.DataFrame) -> tuple[Wide, str]:
    """A leaderboard in this form, the best row first, and what its caption says of the numbers.

    Rows are what the leaderboard was grouped by beside metric and preset; what tells no two rows apart is
    left out, and rows of one data set under one protocol are ranked among each other. A column n is there
    where the rows have different numbers of scores, and failed or unscored where some have. Metrics without
    any score are left out, as in `shown.leaderboard`.

    Args:
        board: of `aggregate.leaderboard`.
    """
    board = with_scores(board)
    by = [str(column) for column in board.columns[: board.columns.get_loc("n")]]
    keys = [column for column in by if column not in ("metric", "preset")]
    columns, named = columns_of(board), headings(board)
    heads, counts = _heads(board, keys), _counts(board)
    places = [column for column in ("dataset", "protocol") if column in heads]
    lines = []
    # a missing key, such as a setting that a method does not have, is one value
    for _, part in board.groupby(keys, sort=False, dropna=False):
        shown = {head: heads[head][part.index[0]] for head in heads}
        shown |= {name: _range(part[name]) for name in counts}
        cells = {
            named[metric, preset]: Cell(mean, std)
            for metric, preset, mean, std in part[["metric", "preset", "mean", "std"]].itertuples(index=False)
        }
        lines.append(Line(shown, cells, ", ".join(shown[place] for place in places)))
    lines.sort(key=lambda line: (line.group, _order(line, columns)))
    table = wide(columns, lines)
    n = "" if "n" in counts or board.empty else f" over n = {board['n'].iloc[0]}"
    return table, f"mean ± standard deviation (divided by n - 1){n}{table.legend}"


def _order(line: Line, columns: Sequence[Column]) -> float:
    """The first number of a row, the best first; a missing one comes last."""
    if not columns:
        return 0.0
    mean = line.cells.get(columns[0].name, Cell()).mean
    return np.inf if not np.isfinite(mean) else -mean if columns[0].higher_is_better else mean


def headings(board: pd.DataFrame) -> dict[tuple[str, str], str]:
    """The title of each metric under a preset; the preset is in it where the metric has several.

    Args:
        board: has the columns metric and preset.
    """
    pairs = list(dict.fromkeys(zip(board["metric"], board["preset"], strict=True)))
    metrics = [metric for metric, _ in pairs]
    return {
        (metric, preset): titles.metric(metric) + (f" ({preset})" if metrics.count(metric) > 1 else "")
        for metric, preset in pairs
    }


def columns_of(board: pd.DataFrame) -> list[Column]:
    """The columns of a leaderboard, in its order."""
    better = dict(
        zip(zip(board["metric"], board["preset"], strict=True), board["higher_is_better"], strict=True)
    )
    return [Column(name, bool(better[pair])) for pair, name in headings(board).items()]


def presets(board: pd.DataFrame) -> str:
    """The presets that no heading names, in words: "presets: dlib (mig, sap), ibgan (dci)"; "" for none."""
    of: dict[str, list[str]] = {}
    for (metric, preset), name in headings(board).items():
        if name == titles.metric(metric):
            of.setdefault(preset, []).append(name)
    listed = ", ".join(f"{preset} ({', '.join(metrics)})" for preset, metrics in of.items())
    return f"presets: {listed}" if listed else ""


def _heads(board: pd.DataFrame, keys: Sequence[str]) -> dict[str, list[str]]:
    """The texts that tell rows apart, by heading."""
    left_out = {*labels.needless(board), *(["variant"] if "method" in keys else [])}
    left_out |= {place for place in ("dataset", "protocol") if place in keys and board[place].nunique() <= 1}
    heads: dict[str, list[str]] = {}
    for key in keys:
        if key == "method":
            variants = board["variant"] if "variant" in board else [""] * len(board)
            heads["method"] = [
                titles.training(method, variant)
                for method, variant in zip(board["method"], variants, strict=True)
            ]
        elif key not in left_out:
            heads[key] = [shown_key(each) for each in board[key]]
    return heads


def shown_key(value: object) -> str:
    """What rows are grouped by, as a text; "–" for a value that is missing or empty."""
    if value is None or value != value or not str(value):
        return MISSING
    return f"{value:g}" if isinstance(value, float) else str(value)


def _counts(board: pd.DataFrame) -> list[str]:
    """Which of the counts are columns."""
    several = ["n"] if board["n"].nunique() > 1 else []
    return [*several, *(name for name in ("failed", "unscored") if board[name].any())]


def _range(counts: pd.Series[int]) -> str:
    low, high = counts.min(), counts.max()
    return f"{low}" if low == high else f"{low} to {high}"
