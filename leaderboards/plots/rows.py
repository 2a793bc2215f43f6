"""Scores along a row: of each seed, and of each setting with those that were chosen."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from disbench import units
from disbench.errors import UsageError
from disbench.leaderboards import labels, titles
from disbench.leaderboards.plots.figure import (
    COLOURS,
    INK,
    QUIET,
    Floats,
    Width,
    blank,
    by_panel,
    grid,
    in_lines,
    legend,
    legend_below,
    limits,
    panel_titles,
    styled,
    which_is_better,
)
from disbench.leaderboards.tuning import Tuned


@styled
def strip(frame: pd.DataFrame, board: pd.DataFrame, *, width: Width = "screen", zoom: bool = False) -> Figure:
    """Every seed's score as a dot, a row per method, best first, and a panel per data set and metric.

    Under the dots are the mean and, if there is one, its 95 % interval. Where they are known, a line through
    a dot is as long as twice the spread over draws, and a grey line is at the chance of the row's models.

    Args:
        frame: per-seed rows.
        board: the leaderboard of the same rows (see `aggregate`).
        width: of the figure.
        zoom: cut the axes to the scores.

    Raises:
        UsageError: no seed has a score.
    """
    if not frame["score"].notna().any():
        raise UsageError("no seed has a score yet, so there is nothing to draw; train and score some first.")
    # a report has named the rows among all that it shows, not among these alone
    if "name" not in board:
        board = board.assign(name=labels.names(board, of=frame))
        frame = frame.assign(name=labels.names(frame))
    board = board.assign(title=titles.rows(board))
    dots, boards = by_panel(frame), by_panel(board)
    panels = [panel for panel, group in dots.items() if group["score"].notna().any()]
    shown = pd.concat([boards[panel] for panel in panels])
    # said once where all rows have as many seeds, which a paper has no room to repeat
    lost = shown[["failed", "unscored"]].to_numpy().any()
    once = width != "screen" and shown["n"].nunique() == 1 and not lost
    columns = 1 if width == "column" else min(2, len(panels))
    row, head = (0.5, 0.95) if width == "screen" else (0.24 if once else 0.33, 0.5)
    height = row * max(len(boards[panel]) for panel in panels) + head
    figure = blank(
        width, 6.4 if columns == 1 else 5.6 * columns, height * math.ceil(len(panels) / columns) + 0.3
    )
    for axis, panel, title in zip(
        grid(figure, len(panels), columns), panels, panel_titles(panels, width), strict=True
    ):
        _strip(axis, dots[panel], boards[panel], once, zoom)
        axis.set_title(title, loc="left")
    legend(
        figure, _marks(shown, int(shown["n"].iloc[0]) if once else 0), {"column": 2, "page": 4}.get(width, 5)
    )
    return figure


@styled
def tuned(
    found: Sequence[Tuned], by: str, without: str, *, width: Width = "screen", zoom: bool = False
) -> Figure:
    """The mean score of every setting as a dot, a row per method and a panel per metric.

    Marked are the setting that a metric chose, the one that was chosen without labels, and the mean.

    Args:
        found: the settings of each method, ranked.
        by: title of the metric that chose.
        without: what chose without labels.
        width: of the figure.
        zoom: cut the axes to the scores.

    Raises:
        UsageError: no method has several settings with scores.
    """
    if not found:
        raise UsageError("no method has several settings with scores, so there is no choice to draw.")
    worth = pd.concat([each.worth for each in found], ignore_index=True)
    panels = list(dict.fromkeys(zip(worth["metric"], worth["preset"], strict=True)))
    columns = 1 if width == "column" else min(2, len(panels))
    row, head = (0.5, 0.95) if width == "screen" else (0.3, 0.5)
    height = (row * len(found) + head) * math.ceil(len(panels) / columns)
    figure = blank(width, 6.4 if columns == 1 else 5.6 * columns, height + 0.5)
    several = len({tuple(each.table[["dataset", "protocol"]].iloc[0]) for each in found}) > 1
    rows = [_row_of_settings(each, several) for each in found]
    for axis, (metric, preset) in zip(grid(figure, len(panels), columns), panels, strict=True):
        pair = (worth["metric"] == metric) & (worth["preset"] == preset)
        higher = bool(worth.loc[pair, "higher_is_better"].iloc[0])
        _settings(axis, found, rows, labels.metric(metric, preset), higher, zoom)
        title = titles.measure(metric, preset)
        axis.set_title(in_lines(title, {"column": 28, "page": 36}.get(width, 60), 4), loc="left")
    size = float(mpl.rcParams["lines.markersize"])
    free = any(each.unlabelled for each in found)
    handles = [
        Line2D([], [], label="a setting, mean over its seeds", **_dot(size)),
        Line2D([], [], label=f"chosen by {by}", **_ring(size)),
        *([Line2D([], [], label=f"chosen without labels, by {without}", **_diamond(size))] if free else []),
        Line2D([], [], label="mean of all settings", **_tick(size)),
    ]
    legend_below(figure, handles, {"column": 1, "page": 2}.get(width, 4))
    return figure


def _row_of_settings(found: Tuned, several: bool) -> str:
    first = found.table.iloc[0]
    place = f"{first['dataset']}, {first['protocol']}: " if several else ""
    name = titles.training(first["method"], first["variant"])
    failed = int(found.table["failed"].sum())
    lost = f", {units.count(failed, 'failed seed')}" if failed else ""
    return f"{in_lines(place + name)}\n{len(found.table)} settings{lost}"


def _dot(size: float) -> dict[str, Any]:
    look = {"color": COLOURS[0], "markersize": 0.7 * size, "alpha": 0.75, "markeredgewidth": 0}
    return {"marker": "o", "linestyle": "none", **look}


def _ring(size: float) -> dict[str, Any]:
    look = {"color": INK, "markersize": 1.5 * size, "markerfacecolor": "none", "markeredgewidth": 1.2}
    return {"marker": "o", "linestyle": "none", **look}


def _diamond(size: float) -> dict[str, Any]:
    look = {"color": COLOURS[1], "markersize": 0.8 * size, "markeredgewidth": 0}
    return {"marker": "D", "linestyle": "none", **look}


def _tick(size: float) -> dict[str, Any]:
    look = {"color": INK, "markersize": 1.6 * size, "markeredgewidth": 1.2}
    return {"marker": "|", "linestyle": "none", **look}


def _settings(
    axis: Axes, found: Sequence[Tuned], rows: Sequence[str], column: str, higher: bool, zoom: bool
) -> None:
    """One panel of `tuned`: a metric's column of the tables."""
    # a pool may lack a metric
    columns: list[Floats] = [
        each.table.reindex(columns=[column])[column].to_numpy(np.float64) for each in found
    ]
    every = np.concatenate(columns)
    first, last = limits(every[np.isfinite(every)], higher, zoom)
    size = float(mpl.rcParams["lines.markersize"])
    for place, (each, scores) in enumerate(zip(found, columns, strict=True)):
        order = np.argsort(scores, kind="stable")[: np.isfinite(scores).sum()]
        if not len(order):
            continue
        ascending: Floats = scores[order]
        lifted = np.full(len(scores), np.nan)
        lifted[order] = place - swarm(ascending, (last - first) / 70, 0.1, 0.3)
        axis.plot(scores, lifted, **_dot(size))
        axis.plot([np.nanmean(scores)], [place], **_tick(size))
        axis.plot(scores[each.unlabelled], lifted[each.unlabelled], **_diamond(size))
        axis.plot(scores[each.chosen], lifted[each.chosen], **_ring(size))
    _rows(axis, rows, (first, last), higher)


def _marks(board: pd.DataFrame, n: int) -> list[Line2D]:
    """What the marks of a strip are; with the number of seeds, where all rows have as many."""
    size = float(mpl.rcParams["lines.markersize"])
    seeds = f"a seed ({n} per row)" if n else "a seed"
    marks = [
        Line2D([], [], color=COLOURS[0], marker="o", markersize=0.7 * size, linestyle="none", label=seeds),
        Line2D([], [], color=INK, marker="D", markersize=0.75 * size, linestyle="none", label="mean"),
    ]
    if board["mean_low"].notna().any():
        marks.append(Line2D([], [], color=INK, linewidth=2, label="95 % interval"))
    if board["spread"].notna().any():
        marks.append(Line2D([], [], color=COLOURS[0], alpha=0.4, linewidth=1, label="spread over draws"))
    if board["chance"].notna().any():
        upright: Any = {"marker": "|", "markersize": 1.4 * size, "linestyle": "none"}
        marks.append(Line2D([], [], color=QUIET, markeredgewidth=1.2, label="chance", **upright))
    return marks


def _strip(axis: Axes, frame: pd.DataFrame, board: pd.DataFrame, once: bool, zoom: bool) -> None:
    higher = bool(board["higher_is_better"].iloc[0])
    board = board.sort_values("mean", ascending=not higher, kind="stable", na_position="last")
    values, chance = frame["score"].dropna(), board["chance"].dropna().to_numpy(float)
    first, last = limits(np.concatenate([values, chance]), higher, zoom)
    size = float(mpl.rcParams["lines.markersize"])
    ticks = []
    for place, (_, row) in enumerate(board.iterrows()):
        seeds = frame[(frame["name"] == row["name"]) & frame["score"].notna()].sort_values("score")
        scores, spread = seeds["score"].to_numpy(float), seeds["spread"].to_numpy(float)
        lifted = place - 0.16 - swarm(scores, (last - first) / 70, 0.1, 0.22)
        axis.hlines(lifted, scores - spread, scores + spread, color=COLOURS[0], alpha=0.4, linewidth=1)
        look: Any = {"color": COLOURS[0], "markersize": 0.7 * size, "alpha": 0.75, "markeredgewidth": 0}
        axis.plot(scores, lifted, "o", **look)
        if np.isfinite(row["mean_low"]):
            axis.plot([row["mean_low"], row["mean_high"]], [place + 0.24] * 2, color=INK, linewidth=2)
        if np.isfinite(row["mean"]):
            axis.plot([row["mean"]], [place + 0.24], "D", color=INK, markersize=0.75 * size)
        if np.isfinite(row["chance"]):
            axis.plot([row["chance"]] * 2, [place - 0.45, place + 0.45], color=QUIET, linewidth=1.2)
        lost = [f"{row[what]} {what}" for what in ("failed", "unscored") if row[what]]
        trainings = seeds["cell"].nunique()
        pooled = f" of {trainings} settings" if trainings > 1 else ""
        counted = "" if once else f"\nn = {row['n']}{pooled}" + "".join(f", {text}" for text in lost)
        ticks.append(f"{in_lines(str(row['title']))}{counted}")
    _rows(axis, ticks, (first, last), higher)


def _rows(axis: Axes, names: Sequence[str], ends: tuple[float, float], higher: bool) -> None:
    """An axis of scores with a row for each name, the first at the top."""
    axis.set_yticks(range(len(names)), names)
    axis.tick_params(axis="y", length=0)
    axis.set_ylim(len(names) - 0.4, -0.6)
    axis.set_xlim(*ends)
    axis.xaxis.set_major_locator(MaxNLocator(7, steps=[1, 2, 5, 10]))
    axis.grid(axis="x")
    axis.spines["left"].set_visible(False)
    axis.set_xlabel(which_is_better(higher), color=QUIET)


def swarm(values: Floats, near: float, step: float, most: float) -> Floats:
    """Offsets (n,) of dots, so that dots of near values are side by side and do not overlap.

    Args:
        values: (n,), ascending.
        near: dots whose values differ by less get different offsets.
        step: offsets are multiples of it.
        most: largest offset to either side; if all offsets are taken, dots overlap.
    """
    levels = [0.0]
    for i in range(1, math.floor(most / step + 1e-9) + 1):
        levels += [i * step, -i * step]
    # The last value at each offset.
    taken: dict[float, float] = {}
    offsets = np.zeros(len(values))
    for i, value in enumerate(values):
        free = [level for level in levels if value - taken.get(level, -math.inf) >= near]
        offsets[i] = free[0] if free else min(levels, key=lambda level: taken[level])
        taken[offsets[i]] = value
    return offsets
