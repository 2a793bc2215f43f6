"""Plots of scores, training and codes, for screen and paper: colour-blind safe, equal files of equal input.

Every function takes a frame or an array and returns a `Figure`; nothing here touches pyplot. If there is too
little to draw, it raises a UsageError of one sentence.
"""

from __future__ import annotations

import io
import math
import re
import textwrap
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any, Literal, NamedTuple

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from matplotlib.text import Text
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator
from numpy.typing import NDArray

from disbench.errors import UsageError
from disbench.leaderboards import aggregate, journals, labels, published
from disbench.texts import clean, clean_lines

Floats = NDArray[np.float64]

# Text and marks, secondary text, and lines in the background.
INK, QUIET, GRID = "#222222", "#6b6b6b", "#d9d9d9"
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
# Lines beyond the last colour begin with the first colour again, in other dashes.
DASHES: tuple[LineStyle, ...] = ("-", DASHED, (0, (1, 1.2)))
# Colour maps of amounts, and of values on both sides of zero.
SHADES, OPPOSED = "Blues", "RdBu"
# Numbers within a shade.
ON_LIGHT, ON_DARK = "#111111", "#ffffff"
# Quantities that are drawn dashed, and the panel that they are drawn into.
BOUNDS = {"I_upper": "I_lower", "H_categorical": "L_I_categorical"}
# Inches.
PANEL = (4.2, 2.8)
# Points of a line; a longer one shows every k-th logged step.
MOST_POINTS = 400
DPI = 150
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
    "path.simplify": True,
}


@mpl.rc_context(STYLE)
def render(figure: Figure, kind: Literal["png", "svg"]) -> bytes:
    """The content of an image file, without date and library version, so that equal plots are equal files.

    Args:
        figure: the plot.
        kind: format of the file.
    """
    _clean(figure)
    buffer = io.BytesIO()
    metadata: dict[str, str | None] = {"Software": None} if kind == "png" else {"Date": None, "Creator": None}
    figure.savefig(buffer, format=kind, dpi=DPI, metadata=metadata)
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


def _titles(panels: Iterable[Panel]) -> list[str]:
    """Metric and preset; data set and protocol before them if these are several."""
    known = list(panels)
    several = len({(panel.dataset, panel.protocol) for panel in known}) > 1
    return [
        (f"{panel.dataset}, {panel.protocol}: " if several else "")
        + labels.metric(panel.metric, panel.preset)
        for panel in known
    ]


def _grid(figure: Figure, n: int, columns: int) -> list[Axes]:
    """Axes of n panels."""
    axes = figure.subplots(math.ceil(n / columns), columns, squeeze=False)
    for axis in axes.flat[n:]:
        axis.set_visible(False)
    return list(axes.flat[:n])


def _wrapped(name: str, width: int = 26, lines: int = 2) -> str:
    return "\n".join(textwrap.wrap(name, width, max_lines=lines, placeholder=" …"))


@mpl.rc_context(STYLE)
def strip(frame: pd.DataFrame, board: pd.DataFrame) -> Figure:
    """Every seed's score as a dot, a row per method and a panel per data set and metric.

    Under the dots are the mean and, if there is one, its 95 % interval. Where they are known, a line through
    a dot is as long as twice the spread over draws, and a grey line is at the chance of the row's models.

    Args:
        frame: per-seed rows.
        board: the leaderboard of the same rows (see `aggregate`).

    Raises:
        UsageError: no seed has a score.
    """
    if not frame["score"].notna().any():
        raise UsageError("no seed has a score yet, so there is nothing to draw; train and score some first.")
    # a report has named the rows among all that it shows, not among these alone
    if "name" not in board:
        board = board.assign(name=labels.names(board, of=frame))
        frame = frame.assign(name=labels.names(frame))
    dots, boards = _groups(frame), _groups(board)
    panels = [panel for panel, group in dots.items() if group["score"].notna().any()]
    columns = min(2, len(panels))
    height = 0.5 * max(len(boards[panel]) for panel in panels) + 0.95
    width = 6.4 if columns == 1 else 5.6 * columns
    figure = Figure(figsize=(width, height * math.ceil(len(panels) / columns)), layout="constrained")
    for axis, panel, title in zip(_grid(figure, len(panels), columns), panels, _titles(panels), strict=True):
        _strip(axis, dots[panel], boards[panel])
        axis.set_title(title, loc="left")
    return figure


def _strip(axis: Axes, frame: pd.DataFrame, board: pd.DataFrame) -> None:
    values, chance = frame["score"].dropna(), board["chance"].dropna().to_numpy(float)
    ends = np.concatenate([values, chance])
    span = float(ends.max() - ends.min()) or max(abs(float(ends.max())), 1.0) * 0.1
    ticks = []
    for place, (_, row) in enumerate(board.iterrows()):
        seeds = frame[(frame["name"] == row["name"]) & frame["score"].notna()].sort_values("score")
        scores, spread = seeds["score"].to_numpy(float), seeds["spread"].to_numpy(float)
        lifted = place - 0.16 - swarm(scores, span / 70, 0.1, 0.22)
        axis.hlines(lifted, scores - spread, scores + spread, color=COLOURS[0], alpha=0.4, linewidth=1)
        axis.plot(scores, lifted, "o", color=COLOURS[0], markersize=4.2, alpha=0.75, markeredgewidth=0)
        if np.isfinite(row["mean_low"]):
            axis.plot([row["mean_low"], row["mean_high"]], [place + 0.24] * 2, color=INK, linewidth=2)
        if np.isfinite(row["mean"]):
            axis.plot([row["mean"]], [place + 0.24], "D", color=INK, markersize=4.5)
        if np.isfinite(row["chance"]):
            axis.plot([row["chance"]] * 2, [place - 0.45, place + 0.45], color=QUIET, linewidth=1.2)
        lost = [f"{row[what]} {what}" for what in ("failed", "unscored") if row[what]]
        counted = f"n = {row['n']}" + "".join(f", {text}" for text in lost)
        ticks.append(f"{_wrapped(str(row['name']))}\n{counted}")
    axis.set_yticks(range(len(ticks)), ticks)
    axis.tick_params(axis="y", length=0)
    axis.set_ylim(len(ticks) - 0.4, -0.6)
    axis.set_xlim(float(ends.min()) - 0.06 * span, float(ends.max()) + 0.06 * span)
    axis.xaxis.set_major_locator(MaxNLocator(6))
    axis.grid(axis="x")
    axis.spines["left"].set_visible(False)
    better = "higher" if board["higher_is_better"].iloc[0] else "lower"
    marks = "dot: a seed · diamond: mean"
    if board["mean_low"].notna().any():
        marks += " · bar: its 95 % interval"
    if frame["spread"].notna().any():
        marks += " · line: spread over draws"
    if len(chance):
        marks += " · grey: chance"
    axis.set_xlabel(f"{better} is better · {marks}", color=QUIET, fontsize=8)


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


@mpl.rc_context(STYLE)
def sweep(frame: pd.DataFrame, field: str, what: str = "score") -> Figure:
    """The score against a setting: dots are seeds, lines join medians; a panel per data set and metric.

    Published numbers of these methods along this setting are stars, hollow if they were measured otherwise.

    Args:
        frame: per-seed rows with `name`, the name of the line, and `value`, the value of the setting.
        field: name of the setting.
        what: what the values on the y axis are.

    Raises:
        UsageError: no score, or one value only.
    """
    frame = frame[frame["score"].notna()]
    if frame["value"].map(str).nunique() < 2:
        raise UsageError(f"{field} has fewer than two values with scores, so there is no curve to draw.")
    numeric = all(isinstance(v, int | float) and not isinstance(v, bool) for v in frame["value"])
    order = sorted(set(frame["value"]) if numeric else {str(v) for v in frame["value"]})
    if numeric:
        frame = frame.assign(x=frame["value"].astype(float))
    else:
        frame = frame.assign(x=[float(order.index(str(v))) for v in frame["value"]])
    panels = _groups(frame)
    names = list(dict.fromkeys(frame["name"]))
    columns = min(2, len(panels))
    rows = math.ceil(len(panels) / columns)
    figure = Figure(figsize=(4.8 * columns + 1.2, 3.3 * rows + 0.4), layout="constrained")
    logarithmic = numeric and order[0] > 0 and order[-1] / order[0] >= 10
    axes = _grid(figure, len(panels), columns)
    for axis, group, title in zip(axes, panels.values(), _titles(panels), strict=True):
        for i, name in enumerate(names):
            mine = group[group["name"] == name]
            if mine.empty:
                continue
            style = _style(i)
            middle = mine.groupby("x")["score"].median()
            axis.plot(middle.index, middle.to_numpy(), color=style.color, linestyle=style.linestyle)
            axis.plot(mine["x"], mine["score"], style.marker, color=style.color, markersize=4, alpha=0.7)
        if logarithmic:
            axis.set_xscale("log")
            axis.xaxis.set_minor_locator(NullLocator())
        if not numeric or len(order) <= 8:
            places = [float(value) for value in order] if numeric else list(range(len(order)))
            axis.xaxis.set_major_locator(FixedLocator(places))
            texts = [f"{value:g}" if numeric else _wrapped(str(value), 14) for value in order]
            axis.set_xticklabels(texts)
        else:
            axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axis.set_title(title, loc="left")
        axis.set_xlabel(field)
        better = "higher" if group["higher_is_better"].iloc[0] else "lower"
        axis.set_ylabel(f"{what} ({better} is better)")
        axis.grid()
    handles = [
        Line2D([], [], **_style(i)._asdict(), markersize=4, label=_wrapped(name, 40))
        for i, name in enumerate(names)
    ]
    if numeric:
        handles += _published(axes, panels, field)
    figure.legend(handles=handles, loc="outside lower center", ncols=min(3, len(names)))
    return figure


def _published(axes: Sequence[Axes], panels: dict[Panel, pd.DataFrame], field: str) -> list[Line2D]:
    """Draws the published numbers along a setting into the panels; returns their entries in the legend."""
    handles: dict[str, Line2D] = {}
    for axis, (panel, group) in zip(axes, panels.items(), strict=True):
        for number in published.along(group["method"].unique(), field, panel.metric, panel.dataset):
            alike = (number.preset, f"{number.dataset}-{number.size}") == (panel.preset, panel.dataset)
            told = f"published: {number.method}, {number.preset or 'preset not stated'}, {number.size} pixels"
            source = f"{told} ({number.authors.partition(',')[0]} et al., {number.venue}, {number.table})"
            look: dict[str, Any] = {"color": INK, "marker": "*", "markersize": 9, "linestyle": "none"}
            look |= {"markerfacecolor": INK if alike else "none"}
            axis.plot([number.settings[field]], [float(number.value)], **look)
            label = _wrapped(source + ("" if alike else ", measured otherwise"), 60, 3)
            handles.setdefault(label, Line2D([], [], **look, label=label))
    return list(handles.values())


@mpl.rc_context(STYLE)
def frontier(frame: pd.DataFrame, quantity: str, title: str) -> Figure:
    """Scores against a quantity of which less is better, such as the reconstruction; a panel per metric.

    A diamond is the mean over the seeds of a setting, with its name, and the dots are its seeds. A line joins
    the settings that no other one beats in both means.

    Args:
        frame: per-seed rows of one method with `quantity`, the value, and `point`, the name of the setting.
        quantity: name of the quantity.
        title: name of the method.

    Raises:
        UsageError: fewer than two settings with scores and the quantity.
    """
    frame = frame[frame["score"].notna() & frame["quantity"].notna()]
    if frame["point"].nunique() < 2:
        raise UsageError(
            f"{title} has fewer than two settings with scores and {quantity}, so there is no frontier."
        )
    panels = _groups(frame)
    columns = min(2, len(panels))
    rows = math.ceil(len(panels) / columns)
    figure = Figure(figsize=(4.8 * columns + 0.6, 3.5 * rows + 0.5), layout="constrained")
    n = frame.groupby("point")["seed"].nunique()
    seeds = f"{n.min()}" if n.nunique() == 1 else f"{n.min()} to {n.max()}"
    figure.suptitle(f"{title}: {quantity} against scores, {len(n)} settings of {seeds} seeds")
    for axis, group, name in zip(
        _grid(figure, len(panels), columns), panels.values(), _titles(panels), strict=True
    ):
        higher = bool(group["higher_is_better"].iloc[0])
        means = group.groupby("point", sort=False)[["quantity", "score"]].mean()
        best = undominated(means.to_numpy(float), higher)
        axis.plot(group["quantity"], group["score"], "o", color=COLOURS[0], markersize=3.5, alpha=0.35)
        colours = [COLOURS[1] if on else QUIET for on in best]
        axis.scatter(means["quantity"], means["score"], c=colours, marker="D", s=22, zorder=3)
        line = means[best].sort_values("quantity")
        axis.plot(line["quantity"], line["score"], color=COLOURS[1])
        # neighbours have their names in turns at the four corners
        for i, (point, (x, y)) in enumerate(means.sort_values("quantity").iterrows()):
            side, height = (("left", 4), ("right", -9), ("left", -9), ("right", 4))[i % 4]
            place, name_of = (4 if side == "left" else -4, height), _wrapped(str(point), 18)
            axis.annotate(name_of, (x, y), xytext=place, textcoords="offset points", fontsize=7, ha=side)
        axis.set_title(name, loc="left")
        axis.set_xlabel(f"{quantity} (lower is better)")
        axis.set_ylabel(f"score ({'higher' if higher else 'lower'} is better)")
        axis.xaxis.set_major_locator(MaxNLocator(5))
        axis.margins(0.12)
        axis.grid()
    handles = [
        Line2D([], [], color=COLOURS[0], marker="o", markersize=3.5, linestyle="none", label="a seed"),
        Line2D([], [], color=QUIET, marker="D", markersize=4.5, linestyle="none", label="mean of a setting"),
        Line2D([], [], color=COLOURS[1], marker="D", markersize=4.5, label="beaten by no other in both"),
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=3)
    return figure


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
    """The look of the i-th line; the first twenty-one differ."""
    dashes = DASHES[i // len(COLOURS) % len(DASHES)]
    return Style(COLOURS[i % len(COLOURS)], dashes, "osD^vPX"[i % 7])


@mpl.rc_context(STYLE)
def curves(frame: pd.DataFrame, title: str) -> Figure:
    """Training curves of one method: a panel per quantity, the median over seeds and their range.

    A quantity with a value per latent has one line per rank: latents of different seeds do not correspond,
    so the latents of each seed are sorted by their last value, largest first, before seeds are compared.

    Args:
        frame: one row per (seed, quantity), see `journals`.
        title: name of the method.
    """
    panels = [str(q) for q in frame["quantity"].unique() if q not in BOUNDS]
    columns = min(3, len(panels))
    rows = math.ceil(len(panels) / columns)
    figure = Figure(figsize=(PANEL[0] * columns, PANEL[1] * rows + 0.3), layout="constrained")
    n = frame["seed"].nunique()
    figure.suptitle(f"{title}, {n} seeds: median and range" if n > 1 else f"{title}, 1 seed")
    for axis, panel in zip(_grid(figure, len(panels), columns), panels, strict=True):
        ranks = _panel(axis, frame[frame["quantity"] == panel], "-")
        for bound, home in BOUNDS.items():
            if home == panel and (frame["quantity"] == bound).any():
                _panel(axis, frame[frame["quantity"] == bound], DASHED)
                panel = f"{panel} (dashed: {bound})"
        axis.set_title(panel if ranks == 1 else f"{panel}, largest first")
        axis.set_xlabel("step")
        _step_axis(axis)
        axis.grid()
    return figure


@mpl.rc_context(STYLE)
def compared(frame: pd.DataFrame, quantity: str) -> Figure:
    """One quantity of several methods or variants in one panel: the median over seeds and their range.

    Args:
        frame: as for `curves`, with the name of the line in a column `name`.
        quantity: the quantity.
    """
    figure = Figure(figsize=(7.2, 4.2), layout="constrained")
    axis = figure.subplots()
    bound = next((b for b, home in BOUNDS.items() if home == quantity), None)
    for i, (name, group) in enumerate(frame.groupby("name", sort=False)):
        mine = group[group["quantity"] == quantity]
        if not mine.empty:
            style = _style(i)
            _panel(axis, mine, style.linestyle, style.color, _wrapped(str(name)))
    if bound is not None and (frame["quantity"] == bound).any():
        _panel(axis, frame[frame["quantity"] == bound].assign(seed=0), DASHED, INK, bound)
    axis.set_xlabel("step")
    axis.set_ylabel(quantity)
    _step_axis(axis)
    axis.grid()
    figure.legend(loc="outside right upper")
    return figure


def _step_axis(axis: Axes) -> None:
    axis.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axis.xaxis.set_major_formatter(FuncFormatter(lambda step, _: f"{step:,.0f}"))


def _panel(axis: Axes, frame: pd.DataFrame, style: LineStyle, colour: str = "", label: str = "") -> int:
    """Draws all lines of a quantity, in one colour or in a colour per rank, and counts them."""
    steps, values = journals.by_rank(frame)
    every = max(1, math.ceil(len(steps) / MOST_POINTS))
    # Counted from the end, so that the last step is among them. A view: the values of many seeds are large.
    drawn = slice((len(steps) - 1) % every, None, every)
    steps, values = steps[drawn], values[:, drawn]
    # Each line is (seeds, steps).
    for rank, line in enumerate(np.moveaxis(values, 2, 0)):
        shade, name = colour or COLOURS[rank % len(COLOURS)], label if rank == 0 and label else None
        axis.plot(steps, np.median(line, axis=0), linestyle=style, color=shade, linewidth=1.2, label=name)
        if len(line) > 1:
            axis.fill_between(steps, line.min(0), line.max(0), color=shade, alpha=0.2, linewidth=0)
    return int(values.shape[2])


@mpl.rc_context(STYLE)
def correlation(frame: pd.DataFrame) -> Figure:
    """Heat map of `aggregate.rank_correlation`, with its numbers.

    Args:
        frame: per-seed rows.

    Raises:
        UsageError: fewer than two metrics or three models.
    """
    table, n = aggregate.rank_correlation(frame)
    names = [_wrapped(str(name), 22) for name in table.columns]
    size = 0.55 * len(names)
    figure = Figure(figsize=(max(size + 2.4, 4.4), max(size + 1.7, 3.0)), layout="constrained")
    axis = figure.subplots()
    _heat(axis, table.to_numpy(float), names, names, OPPOSED, -1.0, 1.0, "{:.2f}")
    title = f"Spearman's rank correlation of metrics\nover {n} trained models"
    axis.set_title(title, loc="left", pad=10)
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
) -> None:
    """A matrix as shades with its numbers in them, its first row at the top."""
    shades = mpl.colormaps[colours]
    scale = mpl.colors.Normalize(low, high)
    axis.pcolormesh(values, cmap=shades, norm=scale, edgecolors=ON_DARK, linewidth=1)
    for i, j in np.ndindex(*values.shape):
        red, green, blue, _ = shades(scale(values[i, j]))
        dark = 0.299 * red + 0.587 * green + 0.114 * blue < 0.5
        text, colour = form.format(values[i, j]), ON_DARK if dark else ON_LIGHT
        axis.text(j + 0.5, i + 0.5, text, ha="center", va="center", fontsize=8, color=colour)
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


def _matrix_figure(rows: int, columns: int) -> Figure:
    return Figure(figsize=(max(0.62 * columns + 1.9, 4.6), max(0.5 * rows + 1.9, 3.0)), layout="constrained")


@mpl.rc_context(STYLE)
def information(values: Floats, codes: Sequence[str], factors: Sequence[str], title: str) -> Figure:
    """Heat map of mutual information in nats, a row per code and a column per factor.

    In each column, the code with the most information about the factor is framed.

    Args:
        values: (d, k).
        codes: names of the d codes.
        factors: names of the k factors.
        title: the model and the metric.
    """
    figure = _matrix_figure(*values.shape)
    axis = figure.subplots()
    _heat(axis, values, codes, factors, SHADES, 0.0, max(float(values.max()), 1e-9), "{:.2f}")
    for factor, code in enumerate(values.argmax(axis=0)):
        frame = Rectangle(
            (factor, int(code)), 1, 1, fill=False, edgecolor=ON_LIGHT, linewidth=1.6, clip_on=False
        )
        axis.add_patch(frame)
    axis.set_title(f"{title}\nmutual information, nats; framed: a factor's best code", loc="left", pad=10)
    return figure


@mpl.rc_context(STYLE)
def importance(values: Floats, codes: Sequence[str], factors: Sequence[str], title: str) -> Figure:
    """Hinton diagram of DCI's importance matrix.

    The area of a square is the share of a code in the prediction of a factor, the frame around it is 1.

    Args:
        values: (d, k), not negative.
        codes: names of the d codes.
        factors: names of the k factors.
        title: the model and the metric.
    """
    figure = _matrix_figure(*values.shape)
    axis = figure.subplots()
    total = values.sum(axis=0)
    shares = np.divide(values, total, out=np.zeros_like(values, dtype=float), where=total > 0)
    for (i, j), share in np.ndenumerate(shares):
        axis.add_patch(Rectangle((j - 0.46, i - 0.46), 0.92, 0.92, fill=False, edgecolor=GRID, linewidth=0.6))
        side = 0.92 * math.sqrt(float(share))
        axis.add_patch(Rectangle((j - side / 2, i - side / 2), side, side, color=COLOURS[0], linewidth=0))
    _matrix_axes(axis, codes, factors, 0.0)
    axis.set_title(f"{title}\nDCI: share of each code in a factor's prediction (area)", loc="left", pad=10)
    return figure


@mpl.rc_context(STYLE)
def side_by_side(pictures: Sequence[tuple[str, NDArray[np.uint8]]], title: str) -> Figure:
    """Pictures side by side, pixel by pixel, each under its heading.

    Args:
        pictures: heading and picture (h, w, 3) of each.
        title: title of the whole.
    """
    gap, head, margin = 24, 30, 34
    width = sum(p.shape[1] for _, p in pictures) + gap * (len(pictures) + 1)
    height = max(p.shape[0] for _, p in pictures) + head + margin + gap
    figure = Figure(figsize=(width / DPI, height / DPI))
    figure.text(gap / width, 1 - 12 / height, title, fontsize=9, va="top")
    left = gap
    for heading, picture in pictures:
        h, w = picture.shape[:2]
        bottom = height - margin - head - h
        axis = figure.add_axes((left / width, bottom / height, w / width, h / height))
        axis.imshow(picture, interpolation="none", aspect="auto")
        axis.set_axis_off()
        figure.text(left / width, (bottom + h + 8) / height, heading, fontsize=8, va="bottom")
        left += w + gap
    return figure
