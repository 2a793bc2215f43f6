"""Plots of scores, training and codes, for screen and paper: colour-blind safe, equal files of equal input.

Every function takes a frame or an array and returns a `Figure`; nothing here touches pyplot. If there is too
little to draw, it raises a UsageError of one sentence. With `width` "column" or "page" a figure is as wide as
one or both columns of a paper, and its type has 7 to 8 points there. Methods and metrics have their titles.
An axis of scores runs from 0 to 1, unless `zoom` cuts it to the scores.
"""

from __future__ import annotations

import functools
import io
import math
import re
import textwrap
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any, Literal, NamedTuple, ParamSpec

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from matplotlib.text import Text
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator
from numpy.typing import NDArray

from disbench import units
from disbench.errors import UsageError
from disbench.leaderboards import aggregate, journals, labels, published, sides, titles
from disbench.leaderboards.sheets import Pixels, Sheet
from disbench.leaderboards.tuning import Tuned
from disbench.texts import clean, clean_lines

Floats = NDArray[np.float64]
P = ParamSpec("P")
Width = Literal["screen", "column", "page"]
Kind = Literal["png", "svg", "pdf"]

# Text and marks, secondary text, and lines in the background.
INK, QUIET, GRID = "#222222", "#6b6b6b", "#d9d9d9"
MARKERS = "osD^vPX"
# Okabe & Ito 2008, without yellow.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", INK)
# Colours that a page replaces by its CSS variables.
VARIABLES = {
    INK: "--ink",
    QUIET: "--quiet",
    GRID: "--rule",
    COLOURS[0]: "--blue",
    COLOURS[5]: "--sky",
}
LineStyle = str | tuple[int, tuple[float, float]]
DASHED: LineStyle = (0, (4, 1.5))
DOTTED: LineStyle = (0, (1, 1.2))
# The line of chance.
CHANCE: Any = {"color": QUIET, "linestyle": DOTTED}
# Lines beyond the last colour begin with the first colour again, in other dashes.
DASHES: tuple[LineStyle, ...] = ("-", DASHED, DOTTED)
# Colour maps of amounts, and of values on both sides of zero.
SHADES, OPPOSED = "Blues", "RdBu"
# Numbers within a shade.
ON_LIGHT, ON_DARK = "#111111", "#ffffff"
# Quantities that are drawn dashed, and the panel that they are drawn into.
BOUNDS = {"I_upper": "I_lower", "H_categorical": "L_I_categorical"}
# Inches of one panel of curves on a screen, and of a figure as wide as one or both columns of a paper.
PANEL = (4.2, 2.8)
INCHES: dict[Width, float] = {"column": 3.3, "page": 6.9}
# Points of a line; a longer one shows every k-th logged step.
MOST_POINTS = 400
DPI, PAPER_DPI = 150, 300
# Least part of an axis of scores that `zoom` shows, so that nearly equal scores look nearly equal.
LEAST_SPAN = 0.1
STYLE: Any = {
    # Equal input gives an equal file.
    "svg.hashsalt": "disbench",
    # A dollar sign in a name is a dollar sign.
    "text.parse_math": False,
    "text.color": INK,
    "axes.edgecolor": QUIET,
    "axes.labelcolor": INK,
    "axes.titlecolor": INK,
    "xtick.color": QUIET,
    "ytick.color": QUIET,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.labelsize": 9,
    "axes.titlesize": 10,
    "xtick.labelsize": 8.5,
    "ytick.labelsize": 8.5,
    "legend.fontsize": 8.5,
    "legend.frameon": False,
    "figure.titlesize": 11,
    "grid.color": GRID,
    "grid.linewidth": 0.6,
    "lines.linewidth": 1.3,
    "lines.markersize": 6,
    "path.simplify": True,
    # Type 42 fonts, which publishers accept.
    "pdf.fonttype": 42,
}
# What differs in a figure for a paper: type of 7 to 8 points at the width of the figure, and thinner marks.
PAPER: Any = {
    "font.size": 7,
    "axes.labelsize": 7.5,
    "axes.titlesize": 8,
    "axes.linewidth": 0.6,
    "axes.titlepad": 3,
    "axes.labelpad": 2,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.major.pad": 2,
    "ytick.major.pad": 2,
    "legend.fontsize": 7,
    "legend.handlelength": 1.6,
    "legend.columnspacing": 1.0,
    "figure.titlesize": 8,
    "figure.constrained_layout.h_pad": 0.03,
    "figure.constrained_layout.w_pad": 0.03,
    "grid.linewidth": 0.4,
    "lines.linewidth": 1.0,
    "lines.markersize": 4.4,
}


def _styled(draw: Callable[P, Figure]) -> Callable[P, Figure]:
    """Draws under `STYLE`, and under `PAPER` as well where the keyword `width` asks for it."""

    @functools.wraps(draw)
    def drawn(*args: P.args, **kwargs: P.kwargs) -> Figure:
        paper = kwargs.get("width", "screen") != "screen"
        with mpl.rc_context({**STYLE, **PAPER} if paper else STYLE):
            return draw(*args, **kwargs)

    return drawn


def _figure(width: Width, inches: float, height: float) -> Figure:
    """A figure of a height; as wide as `width` says, or so many inches on a screen."""
    size = (INCHES.get(width, inches), height)
    return Figure(figsize=size, dpi=DPI if width == "screen" else PAPER_DPI, layout="constrained")


def _small() -> float:
    """Points of the smallest type: of numbers in cells and of names at points."""
    return min(8.0, float(mpl.rcParams["legend.fontsize"]))


def render(figure: Figure, kind: Kind) -> bytes:
    """The content of an image file, without date and library version, so that equal plots are equal files.

    Args:
        figure: the plot.
        kind: format of the file.
    """
    _clean(figure)
    buffer = io.BytesIO()
    metadata: dict[Kind, dict[str, str | None]] = {
        "png": {"Software": None},
        "svg": {"Date": None, "Creator": None},
        "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
    }
    with mpl.rc_context(STYLE):
        figure.savefig(buffer, format=kind, dpi="figure", metadata=metadata[kind])
    return buffer.getvalue()


@mpl.rc_context({**STYLE, "svg.fonttype": "none"})
def inline(figure: Figure, name: str, alt: str) -> str:
    """An `<svg>` element for a page: its text in the page's font, its colours as the page's `VARIABLES`.

    Args:
        figure: the plot.
        name: prefix of every id, unique in the page.
        alt: what the picture shows, in words.
    """
    _clean(figure)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    text = buffer.getvalue().decode("utf-8")
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>{name}-", text)
    text = re.sub(r"font: ([^;\"]*?)'[^;\"]*", r"font: \1inherit-family", text)
    text = text.replace("inherit-family", "var(--sans)")
    for colour, variable in VARIABLES.items():
        text = text.replace(colour.lower(), f"var({variable})")
    width = round(figure.get_figwidth() * 96)
    text = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", text, count=1)
    text = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", text, count=1)
    return text.replace("<svg", f'<svg role="img" aria-label="{_attribute(alt)}" style="width:{width}px"', 1)


def _clean(figure: Figure) -> None:
    """Cleans every text of a figure, those of its ticks included."""
    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            ticks = axis.get_major_formatter()
            # names; all others write numbers
            if isinstance(ticks, FuncFormatter):
                ticks.func = partial(_clean_tick, ticks.func)
    for artist in figure.findobj(Text):
        if isinstance(artist, Text):
            artist.set_text(clean_lines(artist.get_text()))


def _clean_tick(name: Callable[[float, int | None], str], value: float, place: int | None = None) -> str:
    return clean_lines(name(value, place))


def _attribute(text: str) -> str:
    text = clean(text)
    for character, entity in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ('"', "&quot;")):
        text = text.replace(character, entity)
    return text


class Panel(NamedTuple):
    """The rows of one panel share these columns."""

    dataset: str
    protocol: str
    metric: str
    preset: str


PANELS = list(Panel._fields)


def _groups(frame: pd.DataFrame) -> dict[Panel, pd.DataFrame]:
    return {Panel(*map(str, key)): group for key, group in frame.groupby(PANELS, sort=False)}


def _titles(panels: Iterable[Panel], width: Width) -> list[str]:
    """Metric and preset; data set and protocol before them if these are several. No wider than a panel."""
    known = list(panels)
    several = len({(panel.dataset, panel.protocol) for panel in known}) > 1
    wrap = {"column": 28, "page": 36}.get(width, 60)
    places = [f"{panel.dataset}, {panel.protocol}: " if several else "" for panel in known]
    measures = [titles.measure(panel.metric, panel.preset) for panel in known]
    return [_wrapped(place + name, wrap, 4) for place, name in zip(places, measures, strict=True)]


def _grid(figure: Figure, n: int, columns: int) -> list[Axes]:
    """Axes of n panels."""
    axes = figure.subplots(math.ceil(n / columns), columns, squeeze=False)
    for axis in axes.flat[n:]:
        axis.set_visible(False)
    return list(axes.flat[:n])


def _wrapped(name: str, width: int = 26, lines: int = 2) -> str:
    wrapped = textwrap.wrap(name, width, max_lines=lines, placeholder=" …", break_on_hyphens=False)
    return "\n".join(wrapped)


def _legend(figure: Figure, handles: Sequence[Artist], most: int) -> None:
    """A legend below the panels, in rows of equal length where that is possible."""
    rows = math.ceil(len(handles) / most)
    figure.legend(
        handles=list(handles), loc="outside lower center", ncols=max(1, math.ceil(len(handles) / rows))
    )


def _below(figure: Figure, handles: Sequence[Artist], most: int) -> None:
    """A legend for which the figure becomes higher, however many lines it has, so that panels keep theirs."""
    lines = sum(1 + str(handle.get_label()).count("\n") for handle in handles) / most
    more = max(0.0, math.ceil(lines) - 2) * 1.6 * float(mpl.rcParams["legend.fontsize"]) / 72
    figure.set_figheight(figure.get_figheight() + more)
    _legend(figure, handles, most)


def _missing(frame: pd.DataFrame) -> list[Line2D]:
    """The entry of a legend for the seeds that have no dot in some panel; none where all have.

    Args:
        frame: per-seed rows, those without a score among them; of a logged quantity, which has no states,
            there is no entry.
    """
    if "state" not in frame:
        return []
    drawn = frame.groupby(["metric", "preset"])["score"].transform("count") > 0
    lost = frame[drawn & frame["score"].isna()].drop_duplicates(["dataset", "protocol", "cell", "seed"])
    failed, unscored = ((lost["state"] == state).sum() for state in ("failed", "done"))
    told = [units.count(failed, "failed seed")] if failed else []
    told += [f"{units.count(unscored, 'seed')} without a score"] if unscored else []
    return [Line2D([], [], linestyle="none", label=f"missing: {', '.join(told)}")] if told else []


def _better(higher: object) -> str:
    return "higher is better" if higher else "lower is better"


def limits(values: Floats, higher: bool, zoom: bool = False) -> tuple[float, float]:
    """The part of an axis of scores that is shown.

    Scores within [0, 1] of which higher is better have all of it, other values everything from 0 on, so that
    twice the length is twice the value.

    Args:
        values: (n,) finite, all that is drawn.
        higher: whether higher is better.
        zoom: show the values alone, at least `LEAST_SPAN` of scores within [0, 1] and a tenth of others.
    """
    low, high = float(values.min()), float(values.max())
    if zoom:
        within = low >= 0 and high <= 1
        span = max(high - low, LEAST_SPAN if within else 0.1 * max(abs(low), abs(high)))
        middle = (low + high) / 2
        first = max(0.0, middle - 0.56 * span) if low >= 0 else middle - 0.56 * span
        return first, first + 1.12 * span
    low, high = min(0.0, low), (1.0 if higher and high <= 1 else max(0.0, high))
    margin = 0.02 * ((high - low) or 1.0)
    return low - margin, high + margin


@_styled
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
    dots, boards = _groups(frame), _groups(board)
    panels = [panel for panel, group in dots.items() if group["score"].notna().any()]
    shown = pd.concat([boards[panel] for panel in panels])
    # said once where all rows have as many seeds, which a paper has no room to repeat
    lost = shown[["failed", "unscored"]].to_numpy().any()
    once = width != "screen" and shown["n"].nunique() == 1 and not lost
    columns = 1 if width == "column" else min(2, len(panels))
    row, head = (0.5, 0.95) if width == "screen" else (0.24 if once else 0.33, 0.5)
    height = row * max(len(boards[panel]) for panel in panels) + head
    figure = _figure(
        width, 6.4 if columns == 1 else 5.6 * columns, height * math.ceil(len(panels) / columns) + 0.3
    )
    for axis, panel, title in zip(
        _grid(figure, len(panels), columns), panels, _titles(panels, width), strict=True
    ):
        _strip(axis, dots[panel], boards[panel], once, zoom)
        axis.set_title(title, loc="left")
    _legend(
        figure, _marks(shown, int(shown["n"].iloc[0]) if once else 0), {"column": 2, "page": 4}.get(width, 5)
    )
    return figure


@_styled
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
    figure = _figure(width, 6.4 if columns == 1 else 5.6 * columns, height + 0.5)
    several = len({tuple(each.table[["dataset", "protocol"]].iloc[0]) for each in found}) > 1
    rows = [_row_of_settings(each, several) for each in found]
    for axis, (metric, preset) in zip(_grid(figure, len(panels), columns), panels, strict=True):
        pair = (worth["metric"] == metric) & (worth["preset"] == preset)
        higher = bool(worth.loc[pair, "higher_is_better"].iloc[0])
        _settings(axis, found, rows, labels.metric(metric, preset), higher, zoom)
        title = titles.measure(metric, preset)
        axis.set_title(_wrapped(title, {"column": 28, "page": 36}.get(width, 60), 4), loc="left")
    size = float(mpl.rcParams["lines.markersize"])
    free = any(each.unlabelled for each in found)
    handles = [
        Line2D([], [], label="a setting, mean over its seeds", **_dot(size)),
        Line2D([], [], label=f"chosen by {by}", **_ring(size)),
        *([Line2D([], [], label=f"chosen without labels, by {without}", **_diamond(size))] if free else []),
        Line2D([], [], label="mean of all settings", **_tick(size)),
    ]
    _below(figure, handles, {"column": 1, "page": 2}.get(width, 4))
    return figure


def _row_of_settings(found: Tuned, several: bool) -> str:
    first = found.table.iloc[0]
    place = f"{first['dataset']}, {first['protocol']}: " if several else ""
    name = titles.training(first["method"], first["variant"])
    failed = int(found.table["failed"].sum())
    lost = f", {units.count(failed, 'failed seed')}" if failed else ""
    return f"{_wrapped(place + name)}\n{len(found.table)} settings{lost}"


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
        ticks.append(f"{_wrapped(str(row['title']))}{counted}")
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
    axis.set_xlabel(_better(higher), color=QUIET)


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


@_styled
def sweep(
    frame: pd.DataFrame,
    field: str,
    quantity: str = "",
    *,
    width: Width = "screen",
    zoom: bool = False,
) -> Figure:
    """The score against a setting: dots are seeds, lines join medians; a panel per data set and metric.

    No line joins dots between which other settings vary as well. Published numbers of these methods along
    this setting are stars, hollow if they were measured otherwise.

    Args:
        frame: per-seed rows with `name`, the name of the line, and `value`, the value of the setting; where
            `joined` is there and False, there is no line.
        field: name of the setting.
        quantity: the logged quantity that the scores are instead; "" for scores of metrics.
        width: of the figure.
        zoom: cut the axes to the scores.

    Raises:
        UsageError: no score, or one value only.
    """
    missing = _missing(frame)
    frame = frame[frame["score"].notna()]
    frame = frame if "joined" in frame else frame.assign(joined=True)
    if frame["value"].map(str).nunique() < 2:
        raise UsageError(f"{field} has fewer than two values with scores, so there is no curve to draw.")
    numeric = all(isinstance(v, int | float) and not isinstance(v, bool) for v in frame["value"])
    order = sorted(set(frame["value"]) if numeric else {str(v) for v in frame["value"]})
    if numeric:
        frame = frame.assign(x=frame["value"].astype(float))
    else:
        frame = frame.assign(x=[float(order.index(str(v))) for v in frame["value"]])
    frame = frame.assign(title=titles.rows(frame))
    panels = _groups(frame)
    names = list(dict.fromkeys(frame["title"]))
    columns = 1 if width == "column" else min(2, len(panels))
    rows = math.ceil(len(panels) / columns)
    each = 3.3 if width == "screen" else 1.9
    figure = _figure(width, 4.8 * columns + 1.2, each * rows + 0.4)
    logarithmic = numeric and is_logarithmic(order)
    size = float(mpl.rcParams["lines.markersize"])
    axes, by_chance = _grid(figure, len(panels), columns), False
    for axis, group, title in zip(axes, panels.values(), _titles(panels, width), strict=True):
        higher = bool(group["higher_is_better"].iloc[0])
        for i, name in enumerate(names):
            mine = group[group["title"] == name]
            if mine.empty:
                continue
            style = _style(i)
            middle = mine[mine["joined"]].groupby("x")["score"].median()
            axis.plot(middle.index, middle.to_numpy(), color=style.color, linestyle=style.linestyle)
            look: Any = {"color": style.color, "markersize": 0.67 * size, "alpha": 0.7}
            axis.plot(mine["x"], mine["score"], style.marker, **look)
        if logarithmic:
            axis.set_xscale("log")
            axis.xaxis.set_minor_locator(NullLocator())
        if not numeric or len(order) <= 8:
            places = [float(value) for value in order] if numeric else list(range(len(order)))
            axis.xaxis.set_major_locator(FixedLocator(places))
            texts = [f"{value:g}" if numeric else _wrapped(str(value), 14) for value in order]
            if numeric:
                at = np.log(places) if logarithmic else np.asarray(places)
                shown = readable(at.tolist(), 0.07 if columns < 2 and width != "column" else 0.14)
                texts = [text if i in shown else "" for i, text in enumerate(texts)]
            axis.set_xticklabels(texts)
        else:
            axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        if not quantity:
            chance = _chance(axis, group, "x")
            by_chance = by_chance or len(chance) > 0
            ends = np.concatenate([group["score"].to_numpy(float), chance])
            axis.set_ylim(*limits(ends, higher, zoom))
        axis.set_title(title, loc="left")
        axis.set_xlabel(f"{field} (logarithmic axis)" if logarithmic else field)
        # of several quantities in one panel, the unit alone
        alone = group["metric"].iloc[0] == titles.quantity(quantity)[0]
        logged = _axis(quantity) if alone else titles.quantity(quantity)[1]
        axis.set_ylabel(_wrapped(logged, 28) if quantity else f"score\n{_better(higher)}")
        axis.grid()
    wrap = 40 if width != "column" else 24
    joined = frame.groupby("title")["joined"].all()
    looks = [
        _style(i)._asdict() | ({} if joined[name] else {"linestyle": "none"}) for i, name in enumerate(names)
    ]
    handles = [
        Line2D([], [], **look, markersize=0.67 * size, label=_wrapped(name, wrap))
        for look, name in zip(looks, names, strict=True)
    ]
    if joined.any():
        handles.append(Line2D([], [], color=QUIET, label="median over seeds"))
    if not joined.all():
        handles.append(Line2D([], [], linestyle="none", label="without a line: other settings vary, too"))
    dot: Any = {"color": QUIET, "marker": "o", "markersize": 0.67 * size, "linestyle": "none"}
    handles.append(Line2D([], [], **dot, label="a seed"))
    if by_chance:
        handles.append(Line2D([], [], **CHANCE, label="chance"))
    handles += missing
    if numeric:
        handles += _published(axes, panels, field, 60 if width != "column" else 44)
    _below(figure, handles, 2 if width == "column" else 3)
    return figure


def _chance(axis: Axes, group: pd.DataFrame, x: str) -> Floats:
    """Draws the median chance of the models at each x, where it is known; returns all of it."""
    known = group[group["chance"].notna()] if "chance" in group else group.head(0)
    if known.empty:
        return np.zeros(0)
    middle = known.groupby(x)["chance"].median()
    axis.plot(middle.index, middle.to_numpy(), **CHANCE)
    return middle.to_numpy(float)


def readable(places: Sequence[float], least: float) -> list[int]:
    """Which of some places (n,) on an axis, ascending, can have a text without running into the one before.

    The first and the last always have one.

    Args:
        places: as they are on the axis, so logarithms for an axis of these.
        least: the least distance of two texts, as a share of the whole.
    """
    kept = [0]
    near = least * (places[-1] - places[0])
    for i in range(1, len(places)):
        while len(kept) > 1 and i == len(places) - 1 and places[i] - places[kept[-1]] < near:
            kept.pop()
        if i == len(places) - 1 or places[i] - places[kept[-1]] >= near:
            kept.append(i)
    return kept


def is_logarithmic(values: Sequence[float]) -> bool:
    """Whether values (n,), ascending, are better shown on an axis of logarithms.

    They are where they go by equal factors of 1.5 or more, as in 1, 2, 4, or span a factor of ten.
    """
    if values[0] <= 0:
        return False
    factors = np.asarray(values[1:], float) / np.asarray(values[:-1], float)
    by_factors = len(factors) > 1 and factors.min() >= 1.5 and factors.max() <= 1.01 * factors.min()
    return bool(by_factors or values[-1] / values[0] >= 10)


def _axis(quantity: str) -> str:
    """The label of an axis of a logged quantity."""
    title, unit = titles.quantity(quantity)
    return f"{title} ({unit})" if unit else title


def _published(
    axes: Sequence[Axes], panels: dict[Panel, pd.DataFrame], field: str, wrap: int
) -> list[Line2D]:
    """Draws the published numbers along a setting into the panels; returns their entries in the legend."""
    handles: dict[str, Line2D] = {}
    for axis, (panel, group) in zip(axes, panels.items(), strict=True):
        for number in published.along(group["method"].unique(), field, panel.metric, panel.dataset):
            alike = (number.preset, f"{number.dataset}-{number.size}") == (panel.preset, panel.dataset)
            preset = titles.preset(number.preset) if number.preset else "preset not stated"
            told = f"published: {titles.training(str(number.method), '')}, {preset}, {number.size} pixels"
            source = f"{told} ({number.authors.partition(',')[0]} et al., {number.venue}, {number.table})"
            look: dict[str, Any] = {"color": INK, "marker": "*", "linestyle": "none"}
            look |= {"markersize": 1.5 * float(mpl.rcParams["lines.markersize"])}
            look |= {"markerfacecolor": INK if alike else "none"}
            axis.plot([number.settings[field]], [float(number.value)], **look)
            remarks = [number.reported, "" if alike else "measured otherwise"]
            label = _wrapped(", ".join([source, *filter(None, remarks)]), wrap, 5)
            handles.setdefault(label, Line2D([], [], **look, label=label))
    return list(handles.values())


@_styled
def frontier(
    frame: pd.DataFrame, quantity: str, title: str, *, width: Width = "screen", zoom: bool = False
) -> Figure:
    """Scores against a quantity of which less is better, such as the reconstruction; a panel per metric.

    A diamond is the mean over the seeds of a setting, with its name, and the dots are its seeds. A line joins
    the settings that no other one beats in both means.

    Args:
        frame: per-seed rows of one method with `quantity`, the value, and `point`, the name of the setting.
        quantity: name of the quantity.
        title: name of the method.
        width: of the figure.
        zoom: cut the axes to the scores.

    Raises:
        UsageError: fewer than two settings with scores and the quantity.
    """
    missing = _missing(frame)
    frame = frame[frame["score"].notna() & frame["quantity"].notna()]
    if frame["point"].nunique() < 2:
        raise UsageError(
            f"{title} has fewer than two settings with scores and {quantity}, so there is no frontier."
        )
    panels = _groups(frame)
    columns = 1 if width == "column" else min(2, len(panels))
    rows = math.ceil(len(panels) / columns)
    figure = _figure(width, 4.8 * columns + 0.6, (3.5 if width == "screen" else 2.2) * rows + 0.5)
    size = float(mpl.rcParams["lines.markersize"])
    order = frame.groupby("point")["quantity"].mean().sort_values().index
    numbers = {str(point): i for i, point in enumerate(order, start=1)}
    n, by_chance = frame.groupby("point")["seed"].nunique(), False
    counted = f"{n.min()}" if n.nunique() == 1 else f"{n.min()} to {n.max()}"
    seeds = f"{counted} seed{'' if counted == '1' else 's'}"
    about = f"{titles.quantity(quantity)[0]} against scores"
    told = f"{_titled(frame, title)}: {about}, {len(n)} settings of {seeds}"
    figure.suptitle(_wrapped(told, 56 if width == "column" else 110))
    for axis, group, name in zip(
        _grid(figure, len(panels), columns), panels.values(), _titles(panels, width), strict=True
    ):
        higher = bool(group["higher_is_better"].iloc[0])
        means = group.groupby("point", sort=False)[["quantity", "score"]].mean()
        best = undominated(means.to_numpy(float), higher)
        axis.plot(
            group["quantity"], group["score"], "o", color=COLOURS[0], markersize=0.58 * size, alpha=0.35
        )
        colours = [COLOURS[1] if on else QUIET for on in best]
        axis.scatter(means["quantity"], means["score"], c=colours, marker="D", s=(0.78 * size) ** 2, zorder=3)
        line = means[best].sort_values("quantity")
        axis.plot(line["quantity"], line["score"], color=COLOURS[1])
        # neighbours have their names in turns at the four corners; on paper they are numbers
        for i, (point, (x, y)) in enumerate(means.sort_values("quantity").iterrows()):
            side, height = (("left", 4), ("right", -9), ("left", -9), ("right", 4))[i % 4]
            name_of = _wrapped(str(point), 18) if width == "screen" else str(numbers[str(point)])
            place = (4 if side == "left" else -4, height)
            look: Any = {"xytext": place, "textcoords": "offset points", "fontsize": 7, "ha": side}
            axis.annotate(name_of, (x, y), **look)
        axis.set_title(name, loc="left")
        axis.set_xlabel(f"{_axis(quantity)}, lower is better")
        axis.set_ylabel(f"score, {_better(higher)}")
        axis.xaxis.set_major_locator(MaxNLocator(5))
        axis.margins(0.12)
        chance = _chance(axis, group, "quantity")
        by_chance = by_chance or len(chance) > 0
        axis.set_ylim(*limits(np.concatenate([group["score"].to_numpy(float), chance]), higher, zoom))
        axis.grid()
    dot: Any = {"marker": "o", "markersize": 0.58 * size, "linestyle": "none"}
    diamond: Any = {"marker": "D", "markersize": 0.75 * size}
    handles = [
        Line2D([], [], color=COLOURS[0], **dot, label="a seed"),
        Line2D([], [], color=QUIET, **diamond, linestyle="none", label="mean of a setting"),
        Line2D([], [], color=COLOURS[1], **diamond, label="beaten by no other in both"),
    ]
    if by_chance:
        handles.append(Line2D([], [], **CHANCE, label="chance"))
    handles += missing
    if width != "screen":
        handles += [Line2D([], [], linestyle="none", label=f"{i}: {point}") for point, i in numbers.items()]
    _below(figure, handles, {"column": 1 if max(map(len, numbers)) > 20 else 2}.get(width, 3))
    return figure


@_styled
def two_sides(frame: pd.DataFrame, *, width: Width = "screen", zoom: bool = False) -> Figure:
    """Scores of the generator against those of the encoder; a panel for each metric that has both.

    A small mark is a seed, a large one the mean of its row. On the line both sides have the same score. In a
    panel stands Spearman's rank correlation, of the means and of all seeds.

    Args:
        frame: per-seed rows.
        width: of the figure.
        zoom: cut the axes to the scores.

    Raises:
        UsageError: no model has scores of both sides.
    """
    pairs = sides.paired(frame.assign(name=labels.names(frame)))
    if pairs.empty:
        raise UsageError(
            "no model has a metric's scores of both sides; add them, for example with "
            "`disbench rescore RUN --metrics mig,mig@generator`."
        )
    panels = _groups(pairs)
    columns = min(1 if width == "column" else 3, len(panels))
    side = 3.9 if width == "screen" else 0.9 * INCHES[width] / columns + 0.3
    figure = _figure(width, 3.9 * columns, side * math.ceil(len(panels) / columns) + 0.8)
    told = "Both sides of the models: large marks are means, small ones seeds"
    figure.suptitle(_wrapped(told, 40 if width == "column" else 110))
    # narrow panels have narrow titles
    named_panels = _titles(panels, "column" if width == "page" else width)
    size = float(mpl.rcParams["lines.markersize"])
    named = pairs.drop_duplicates("name")
    looks = {name: _style(i) for i, name in enumerate(named["name"])}
    for axis, group, title in zip(
        _grid(figure, len(panels), columns), panels.values(), named_panels, strict=True
    ):
        both = group[list(sides.SIDES)].to_numpy(float)
        ends = limits(both.ravel(), bool(group["higher_is_better"].iloc[0]), zoom)
        axis.plot(ends, ends, color=QUIET, linewidth=0.8, zorder=1)
        for name, seeds in group.groupby("name", sort=False):
            look = looks[str(name)]
            x, y = (seeds[each].to_numpy(float) for each in sides.SIDES)
            dot: Any = {"color": look.color, "linestyle": "none", "markeredgewidth": 0}
            axis.plot(x, y, look.marker, **dot, markersize=0.6 * size, alpha=0.45)
            axis.plot(x.mean(), y.mean(), look.marker, **dot, markersize=1.25 * size, zorder=3)
        axis.set_title(title, loc="left")
        axis.text(
            0.03, 0.97, _ranks(sides.agreement(group)), va="top", fontsize=_small(), transform=axis.transAxes
        )
        axis.set_xlabel("encoder")
        axis.set_ylabel("generator")
        axis.set_xlim(*ends)
        axis.set_ylim(*ends)
        axis.set_aspect("equal")
        axis.xaxis.set_major_locator(MaxNLocator(5))
        axis.yaxis.set_major_locator(MaxNLocator(5))
        axis.grid()
    handles = [
        Line2D([], [], color=look.color, marker=look.marker, linestyle="none", label=title)
        for look, title in zip(looks.values(), titles.rows(named), strict=True)
    ]
    handles.append(Line2D([], [], color=QUIET, linewidth=0.8, label="both sides equal"))
    handles += _missing(frame[frame["metric"].isin(pairs["metric"])])
    _below(figure, handles, {"column": 2, "page": 4}.get(width, 4))
    return figure


def _ranks(found: sides.Agreement) -> str:
    """Rank correlations in words."""
    told = [
        f"{rho:.2f} of {n} {what}"
        for rho, n, what in (
            (found.trainings, found.n_trainings, "means"),
            (found.models, found.n_models, "seeds"),
        )
        if np.isfinite(rho)
    ]
    return "\n".join(["rank correlation", *told]) if told else ""


def undominated(points: Floats, higher: bool) -> NDArray[np.bool_]:
    """Whether no other point is as good in both coordinates and better in one.

    Args:
        points: (n, 2), less of the first is better.
        higher: whether more of the second is better.

    Returns:
        (n,)
    """
    cost = points * [1.0, -1.0 if higher else 1.0]
    no_worse = np.all(cost[None] <= cost[:, None], axis=2)
    better = np.any(cost[None] < cost[:, None], axis=2)
    return ~np.asarray(np.any(no_worse & better, axis=1), bool)


class Style(NamedTuple):
    """The look of a line."""

    color: str
    linestyle: LineStyle
    marker: str


def _style(i: int) -> Style:
    """The look of the i-th line or mark; the first 49 marks differ, and the first 21 lines without marks."""
    round_, place = divmod(i, len(COLOURS))
    # marks have no dashes: one that takes a colour again takes the next shape
    return Style(COLOURS[place], DASHES[round_ % len(DASHES)], MARKERS[(place + round_) % len(MARKERS)])


@_styled
def curves(frame: pd.DataFrame, title: str, *, width: Width = "screen") -> Figure:
    """Training curves of one method: a panel per quantity, the median over seeds and their range.

    A quantity with a value per latent has one line per rank: latents of different seeds do not correspond,
    so the latents of each seed are sorted by their last value, largest first, before seeds are compared.

    Args:
        frame: one row per (seed, quantity), see `journals`.
        title: name of the method.
        width: of the figure.
    """
    panels = [str(q) for q in frame["quantity"].unique() if q not in BOUNDS]
    columns = min(2 if width == "column" else 3, len(panels))
    rows = math.ceil(len(panels) / columns)
    height = PANEL[1] if width == "screen" else 1.5
    figure = _figure(width, PANEL[0] * columns, height * rows + 0.3)
    told = f"{_titled(frame, title)}: {_drawn(frame)}"
    figure.suptitle(_wrapped(told, 56 if width == "column" else 110))
    for axis, panel in zip(_grid(figure, len(panels), columns), panels, strict=True):
        name, unit = titles.quantity(panel)
        ranks = _panel(axis, frame[frame["quantity"] == panel], "-", end=True)
        for bound, home in BOUNDS.items():
            if home == panel and (frame["quantity"] == bound).any():
                _panel(axis, frame[frame["quantity"] == bound], DASHED, end=True)
                name = f"{name} (dashed: {titles.quantity(bound)[0]})"
        # no wider than its panel
        wrap = {"column": 18, "page": 30}.get(width, 44)
        told = _wrapped(name if ranks == 1 else f"{name}, largest first", wrap, 3)
        axis.set_title(told, loc="left", fontsize=mpl.rcParams["axes.labelsize"])
        axis.set_xlabel("training step")
        axis.set_ylabel(unit)
        _step_axis(axis, 5 if width == "screen" else 3)
        axis.grid()
    return figure


def _titled(frame: pd.DataFrame, name: str) -> str:
    """The title of the training that the frame is of, whose name `labels` gave."""
    if not {"method", "variant"} <= set(frame):
        return name
    return titles.rows(frame.head(1).assign(name=name))[0]


def _drawn(frame: pd.DataFrame) -> str:
    """What a line and its band are, of so many seeds."""
    n = frame["seed"].nunique()
    if n == 1:
        return "1 seed"
    line = "mean" if n == 2 else "median"
    return f"{line} of {n} seeds, band from the lowest to the highest"


@_styled
def compared(frame: pd.DataFrame, quantity: str, *, width: Width = "screen") -> Figure:
    """One quantity of several methods or variants in one panel: the median over seeds and their range.

    Args:
        frame: as for `curves`, with the name of the line in a column `name`.
        quantity: the quantity.
        width: of the figure.
    """
    frame = frame.assign(title=titles.rows(frame))
    figure = _figure(width, 7.2, {"screen": 4.2, "page": 2.8}.get(width, 2.4))
    axis = figure.subplots()
    bound = next((b for b, home in BOUNDS.items() if home == quantity), None)
    # an upper bound belongs to its line; an entropy is one number for all
    both = bound == "I_upper" and bool((frame["quantity"] == bound).any())
    seeds = set()
    for i, (name, group) in enumerate(frame.groupby("title", sort=False)):
        mine = group[group["quantity"] == quantity]
        if mine.empty:
            continue
        style = _style(i)
        seeds.add(_drawn(mine))
        label = f"{name}: {titles.quantity(quantity)[0]}" if both else str(name)
        _panel(axis, mine, style.linestyle, style.color, _wrapped(label))
        if both:
            above = group[group["quantity"] == bound]
            label = f"{name}: {titles.quantity(str(bound))[0]}"
            _panel(axis, above, DASHED, style.color, _wrapped(label))
    if bound == "H_categorical" and (frame["quantity"] == bound).any():
        entropy = frame[frame["quantity"] == bound].assign(seed=0)
        _panel(axis, entropy, DASHED, INK, titles.quantity(bound)[0])
    axis.set_xlabel("training step")
    axis.set_ylabel(_wrapped(titles.quantity(quantity)[1] if both else _axis(quantity), 30))
    axis.set_title(_wrapped(" / ".join(sorted(seeds)), 44 if width == "column" else 90), loc="left")
    _step_axis(axis, 5)
    axis.grid()
    if width == "screen":
        figure.legend(loc="outside right upper")
    else:
        _legend(figure, axis.get_legend_handles_labels()[0], 2 if width == "column" else 4)
    return figure


def _step_axis(axis: Axes, most: int) -> None:
    axis.xaxis.set_major_locator(MaxNLocator(most, integer=True, steps=[1, 2, 5, 10]))
    axis.xaxis.set_major_formatter(FuncFormatter(lambda step, _: f"{step:,.0f}"))


def _panel(
    axis: Axes,
    frame: pd.DataFrame,
    style: LineStyle,
    colour: str = "",
    label: str = "",
    end: bool = False,
) -> int:
    """Draws all lines of a quantity, in one colour or in a shade per rank, and counts them.

    With `end`, ranks stand at the ends of their lines, those of lines that end close together as a range.
    """
    steps, values = journals.by_rank(frame)
    every = max(1, math.ceil(len(steps) / MOST_POINTS))
    # Counted from the end, so that the last step is among them. A view: the values of many seeds are large.
    drawn = slice((len(steps) - 1) % every, None, every)
    steps, values = steps[drawn], values[:, drawn]
    ranks = int(values.shape[2])
    shades = [colour or COLOURS[0]] if ranks == 1 else [_shade(i / (ranks - 1)) for i in range(ranks)]
    # Each line is (seeds, steps).
    for rank, line in enumerate(np.moveaxis(values, 2, 0)):
        shade, name = colour or shades[rank], label if rank == 0 and label else None
        axis.plot(steps, np.median(line, axis=0), linestyle=style, color=shade, label=name)
        if len(line) > 1:
            alpha = 0.2 if ranks == 1 else 0.1
            axis.fill_between(steps, line.min(0), line.max(0), color=shade, alpha=alpha, linewidth=0)
    if end and ranks > 1 and len(steps):
        _name_ranks(axis, float(steps[-1]), np.median(values[:, -1], axis=0), shades)
    return ranks


def _shade(part: float) -> str:
    """A colour between dark violet (0) and light green (1), light and dark for all readers."""
    return str(mpl.colors.to_hex(mpl.colormaps["viridis"](0.85 * part)))


def _name_ranks(axis: Axes, step: float, ends: Floats, shades: Sequence[str]) -> None:
    """Ranks 1, 2, ... at the ends of lines, "4–8" where several end close together."""
    low, high = axis.get_ylim()
    # the height of a line of type in a panel, about
    line = 0.08 if mpl.rcParams["font.size"] > PAPER["font.size"] else 0.14
    for first, last in together(ends, line * (high - low)):
        name = str(first + 1) if first == last else f"{first + 1}–{last + 1}"
        place: Any = {"xytext": (3, 0), "textcoords": "offset points", "va": "center"}
        middle = float(ends[first : last + 1].mean())
        axis.annotate(name, (step, middle), fontsize=_small(), color=shades[first], **place)


def together(values: Floats, near: float) -> list[tuple[int, int]]:
    """First and last place of neighbours, merged until the means of no two groups are near each other.

    Args:
        values: (n,)
        near: the least distance of two means.
    """
    groups = [(i, i) for i in range(len(values))]
    while len(groups) > 1:
        means = np.array([values[first : last + 1].mean() for first, last in groups])
        apart = np.abs(np.diff(means))
        closest = int(apart.argmin())
        if apart[closest] >= near:
            break
        groups[closest : closest + 2] = [(groups[closest][0], groups[closest + 1][1])]
    return groups


@_styled
def correlation(frame: pd.DataFrame, *, width: Width = "screen") -> Figure:
    """Heat map of `aggregate.rank_correlation`, with its numbers.

    Args:
        frame: per-seed rows.
        width: of the figure.

    Raises:
        UsageError: fewer than two metrics or three models.
    """
    titled = frame.assign(
        metric=[titles.metric(name) for name in frame["metric"]],
        preset=[titles.preset(name) for name in frame["preset"]],
    )
    table, n = aggregate.rank_correlation(titled)
    names = [_wrapped(str(name), 22, 3) for name in table.columns]
    size = 0.55 * len(names)
    inches = INCHES.get(width, max(size + 2.4, 4.4))
    figure = _figure(width, inches, max(min(size + 1.7, inches), 2.4))
    axis = figure.subplots()
    _heat(axis, table.to_numpy(float), names, names, OPPOSED, -1.0, 1.0, "{:.2f}", short=width == "column")
    title = f"Spearman's rank correlation of metrics\nover {n} trained models"
    figure.suptitle(title, x=0.02, ha="left")
    return figure


def _heat(
    axis: Axes,
    values: Floats,
    rows: Sequence[str],
    columns: Sequence[str],
    colours: str,
    low: float,
    high: float,
    form: str,
    short: bool = False,
) -> None:
    """A matrix as shades with its numbers in them, its first row at the top; `short`: .82 for 0.82."""
    shades = mpl.colormaps[colours]
    scale = mpl.colors.Normalize(low, high)
    axis.pcolormesh(values, cmap=shades, norm=scale, edgecolors=ON_DARK, linewidth=1)
    for i, j in np.ndindex(*values.shape):
        red, green, blue, _ = shades(scale(values[i, j]))
        dark = 0.299 * red + 0.587 * green + 0.114 * blue < 0.5
        text, colour = form.format(values[i, j]), ON_DARK if dark else ON_LIGHT
        text = text.replace("0.", ".") if short else text
        axis.text(j + 0.5, i + 0.5, text, ha="center", va="center", fontsize=_small(), color=colour)
    _matrix_axes(axis, rows, columns, 0.5)


def _matrix_axes(axis: Axes, rows: Sequence[str], columns: Sequence[str], middle: float) -> None:
    axis.set_aspect("equal")
    axis.set_xlim(middle - 0.5, len(columns) + middle - 0.5)
    axis.set_ylim(len(rows) + middle - 0.5, middle - 0.5)
    long = max(map(len, columns)) > 5
    axis.set_xticks(np.arange(len(columns)) + middle, columns)
    axis.set_yticks(np.arange(len(rows)) + middle, rows)
    if long:
        for label in axis.get_xticklabels():
            label.set(rotation=40, ha="right", rotation_mode="anchor")
    axis.tick_params(length=0)
    for spine in axis.spines.values():
        spine.set_visible(False)


def _matrix_figure(rows: int, columns: int, width: Width) -> Figure:
    if width == "screen":
        return _figure(width, max(0.62 * columns + 1.9, 4.6), max(0.5 * rows + 1.9, 3.0))
    # squares of a quarter of an inch, in which a number of 7 points fits
    return _figure(width, 0.0, 0.27 * rows + 1.1)


@_styled
def information(
    values: Floats, codes: Sequence[str], factors: Sequence[str], title: str, *, width: Width = "screen"
) -> Figure:
    """Heat map of mutual information in nats, a row per code and a column per factor.

    In each column, the code with the most information about the factor is framed.

    Args:
        values: (d, k).
        codes: names of the d codes.
        factors: names of the k factors.
        title: the model and the metric.
        width: of the figure.
    """
    figure = _matrix_figure(len(values), len(factors), width)
    axis = figure.subplots()
    _heat(axis, values, codes, factors, SHADES, 0.0, max(float(values.max()), 1e-9), "{:.2f}")
    for factor, code in enumerate(values.argmax(axis=0)):
        frame = Rectangle(
            (factor, int(code)), 1, 1, fill=False, edgecolor=ON_LIGHT, linewidth=1.6, clip_on=False
        )
        axis.add_patch(frame)
    told = f"{_wrapped(title, 44)}\nmutual information, nats;\nframed: a factor's best code"
    figure.suptitle(told, x=0.02, ha="left")
    return figure


@_styled
def differences(
    values: Floats, codes: Sequence[str], factors: Sequence[str], title: str, *, width: Width = "screen"
) -> Figure:
    """What the beta-VAE metric sees: how much each code differs in pairs of images that share a factor.

    Each number is over the mean of its code, so that a code that moves less where a factor is held is below 1
    there. In each column, the code that moves least is framed.

    Args:
        values: (d, k), mean absolute differences.
        codes: names of the d codes.
        factors: names of the k factors that are held.
        title: the model and the metric.
        width: of the figure.
    """
    figure = _matrix_figure(len(values), len(factors), width)
    axis = figure.subplots()
    means = values.mean(axis=1, keepdims=True)
    shares = np.divide(values, means, out=np.ones_like(values, dtype=float), where=means > 0)
    _heat(axis, shares, codes, factors, f"{SHADES}_r", 0.0, max(float(shares.max()), 1e-9), "{:.2f}")
    for factor, code in enumerate(shares.argmin(axis=0)):
        corner = (factor, int(code))
        axis.add_patch(
            Rectangle(corner, 1, 1, fill=False, edgecolor=COLOURS[1], linewidth=1.6, clip_on=False)
        )
    about = "mean |difference| in pairs that share a factor,\nover the code's mean; framed: the least"
    figure.suptitle(f"{_wrapped(title, 44)}\n{about}", x=0.02, ha="left")
    return figure


@_styled
def importance(
    values: Floats, codes: Sequence[str], factors: Sequence[str], title: str, *, width: Width = "screen"
) -> Figure:
    """Hinton diagram of DCI's importance matrix.

    The area of a square is the share of a code in the prediction of a factor, the frame around it is 1.

    Args:
        values: (d, k), not negative.
        codes: names of the d codes.
        factors: names of the k factors.
        title: the model and the metric.
        width: of the figure.
    """
    figure = _matrix_figure(len(values), len(factors), width)
    axis = figure.subplots()
    total = values.sum(axis=0)
    shares = np.divide(values, total, out=np.zeros_like(values, dtype=float), where=total > 0)
    for (i, j), share in np.ndenumerate(shares):
        axis.add_patch(Rectangle((j - 0.46, i - 0.46), 0.92, 0.92, fill=False, edgecolor=GRID, linewidth=0.6))
        side = 0.92 * math.sqrt(float(share))
        axis.add_patch(Rectangle((j - side / 2, i - side / 2), side, side, color=COLOURS[0], linewidth=0))
    _matrix_axes(axis, codes, factors, 0.0)
    told = f"{_wrapped(title, 44)}\nDCI: area is the share of a code\nin the prediction of a factor"
    figure.suptitle(told, x=0.02, ha="left")
    return figure


# How each kind of matrix is drawn, and what it is.
MATRICES = {
    "mi": (information, "Mutual information"),
    "dci": (importance, "DCI's importance"),
    "differences": (differences, "Differences in pairs that share a factor,"),
}


@_styled
def side_by_side(
    pictures: Sequence[tuple[str, Sheet | Pixels]], title: str, *, width: Width = "screen"
) -> Figure:
    """Sheets of tiles side by side, each under its heading; on the column of a paper one below the other.

    Names and values have type of their own. A picture that is no sheet is shown as it is.

    Args:
        pictures: heading, and sheet or picture (h, w, 3), of each.
        title: title of the whole.
        width: of the figure.
    """
    across = 1 if width == "column" else min(len(pictures), 3 if width == "page" else 4)
    gap = 0.08 if width != "screen" else 0.16
    panel = 4.8 if width == "screen" else (INCHES[width] - gap * (across + 1)) / across
    points = float(mpl.rcParams["legend.fontsize"])
    line = 1.5 * points / 72
    laid = [(heading, shown, _Laid.of(shown, panel, line, points)) for heading, shown in pictures]
    lines = [laid[i : i + across] for i in range(0, len(laid), across)]
    # above each sheet, where any has a heading
    head = 1.2 * line if any(heading for heading, _ in pictures) else 0.0
    highest = [max(each.height for *_, each in row) + head + gap for row in lines]
    whole = across * panel + (across + 1) * gap
    high = sum(highest) + 1.5 * line
    dpi = DPI if width == "screen" else PAPER_DPI
    figure = Figure(figsize=(whole, high), dpi=dpi)
    figure.text(gap / whole, 1 - 0.2 * line / high, title, fontsize=mpl.rcParams["axes.labelsize"], va="top")
    top = high - 1.5 * line
    for row, down in zip(lines, highest, strict=True):
        left = gap
        for heading, shown, each in row:
            figure.text(left / whole, top / high, heading, fontsize=points, va="top")
            bottom = top - head - each.height
            place = (left / whole, bottom / high, panel / whole, each.height / high)
            axis = figure.add_axes(place, xlim=(0, panel), ylim=(each.height, 0))
            axis.set_axis_off()
            _sheet(axis, shown, each, points)
            left += panel + gap
        top -= down
    return figure


class _Laid(NamedTuple):
    """Where the tiles of a sheet are, in inches from its upper left corner.

    Attributes:
        height: of the sheet.
        left: of the first tile.
        tile: width of a tile with the gap beside it.
        high: height of a tile with the gap below it.
        start: upper end of the picture that the rows start from.
        tops: upper ends of the rows.
        every: one head in so many is written, so that they stand apart.
        note: the note, in lines.
    """

    height: float
    left: float
    tile: float
    high: float
    start: float
    tops: list[float]
    every: int
    note: str

    @classmethod
    def of(cls, shown: Sheet | Pixels, panel: float, line: float, points: float) -> _Laid:
        """The places of a sheet in a panel of a width, with type of so many points."""
        if not isinstance(shown, Sheet):
            h, w = shown.shape[:2]
            return cls(panel * h / w, 0.0, panel, panel * h / w, 0.0, [], 1, "")
        # of a character, about
        letter = 0.6 * points / 72
        names = [*shown.labels, *(["start"] if shown.start is not None else [])]
        # a name of a stranger may be longer than the panel
        left = min(letter * max(map(len, names)) + 0.04, panel / 2)
        s, h, w = shown.rows.shape[1:4]
        tile = (panel - left) / s
        high = tile * h / w
        tops, y = [], high if shown.start is not None else 0.0
        for i in range(len(shown.rows)):
            y += line if shown.head_of(i) else 0.0
            tops.append(y)
            y += high
        widest = max((len(text) for head in shown.heads for text in head), default=0)
        note = _wrapped(shown.note, max(10, int(panel / letter)), 4)
        height = y + line * (note.count("\n") + 1 if note else 0)
        every = math.ceil((widest + 0.5) * letter / tile)
        return cls(height, left, tile, high, 0.0, tops, max(1, every), note)


def _sheet(axis: Axes, shown: Sheet | Pixels, laid: _Laid, points: float) -> None:
    """Draws a sheet at its places."""

    def tiles(pixels: Pixels, top: float) -> None:
        """(s, h, w, 3) side by side, with white between them."""
        wide = max(1, round(0.03 * pixels.shape[2]))
        gaps = np.full((len(pixels), pixels.shape[1], wide, 3), 255, np.uint8)
        row = np.concatenate(list(np.concatenate([pixels, gaps], axis=2)), axis=1)
        ends = (laid.left, laid.left + len(pixels) * laid.tile, top + 0.97 * laid.high, top)
        axis.imshow(row, extent=ends, interpolation="none", aspect="auto")

    limits_x, limits_y = axis.get_xlim(), axis.get_ylim()
    if not isinstance(shown, Sheet):
        ends = (0.0, laid.tile, laid.height, 0.0)
        axis.imshow(shown, extent=ends, interpolation="none", aspect="auto")
    else:
        look: Any = {"fontsize": points, "va": "center"}
        if shown.start is not None:
            tiles(shown.start[None], laid.start)
            axis.text(laid.left - 0.04, laid.start + laid.high / 2, "start", ha="right", **look)
        for i, (label, row) in enumerate(zip(shown.labels, shown.shown(), strict=True)):
            top = laid.tops[i]
            colour = QUIET if shown.is_dim(i) else INK
            tiles(row, top)
            axis.text(laid.left - 0.04, top + laid.high / 2, label, ha="right", color=colour, **look)
            for j, text in enumerate(shown.head_of(i)):
                if j % laid.every == 0:
                    middle = laid.left + (j + 0.485) * laid.tile
                    axis.text(middle, top - 0.8 * points / 72, text, ha="center", **look)
        if laid.note:
            axis.text(0, laid.height, laid.note, fontsize=points, va="bottom", color=QUIET)
    axis.set_xlim(limits_x)
    axis.set_ylim(limits_y)
