"""Training curves: all quantities of one method, or one quantity of several."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from disbench.leaderboards import journals, titles
from disbench.leaderboards.plots.figure import (
    COLOURS,
    DASHED,
    INK,
    PAPER,
    Floats,
    LineStyle,
    Width,
    axis_label,
    blank,
    grid,
    in_lines,
    legend,
    small_type,
    style_of,
    styled,
    title_of,
)

# Quantities that are drawn dashed, and the panel that they are drawn into.
BOUNDS = {"I_upper": "I_lower", "H_categorical": "L_I_categorical"}
# Inches of one panel on a screen.
PANEL = (4.2, 2.8)
# Points of a line; a longer one shows every k-th logged step.
MOST_POINTS = 400


@styled
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
    figure = blank(width, PANEL[0] * columns, height * rows + 0.3)
    told = f"{title_of(frame, title)}: {_drawn(frame)}"
    figure.suptitle(in_lines(told, 56 if width == "column" else 110))
    for axis, panel in zip(grid(figure, len(panels), columns), panels, strict=True):
        name, unit = titles.quantity(panel)
        ranks = _panel(axis, frame[frame["quantity"] == panel], "-", end=True)
        for bound, home in BOUNDS.items():
            if home == panel and (frame["quantity"] == bound).any():
                _panel(axis, frame[frame["quantity"] == bound], DASHED, end=True)
                name = f"{name} (dashed: {titles.quantity(bound)[0]})"
        # no wider than its panel
        wrap = {"column": 18, "page": 30}.get(width, 44)
        told = in_lines(name if ranks == 1 else f"{name}, largest first", wrap, 3)
        axis.set_title(told, loc="left", fontsize=mpl.rcParams["axes.labelsize"])
        axis.set_xlabel("training step")
        axis.set_ylabel(unit)
        _step_axis(axis, 5 if width == "screen" else 3)
        axis.grid()
    return figure


def _drawn(frame: pd.DataFrame) -> str:
    """What a line and its band are, of so many seeds."""
    n = frame["seed"].nunique()
    if n == 1:
        return "1 seed"
    line = "mean" if n == 2 else "median"
    return f"{line} of {n} seeds, band from the lowest to the highest"


@styled
def compared(frame: pd.DataFrame, quantity: str, *, width: Width = "screen") -> Figure:
    """One quantity of several methods or variants in one panel: the median over seeds and their range.

    Args:
        frame: as for `curves`, with the name of the line in a column `name`.
        quantity: the quantity.
        width: of the figure.
    """
    frame = frame.assign(title=titles.rows(frame))
    figure = blank(width, 7.2, {"screen": 4.2, "page": 2.8}.get(width, 2.4))
    axis = figure.subplots()
    bound = next((b for b, home in BOUNDS.items() if home == quantity), None)
    # an upper bound belongs to its line; an entropy is one number for all
    both = bound == "I_upper" and bool((frame["quantity"] == bound).any())
    seeds = set()
    for i, (name, group) in enumerate(frame.groupby("title", sort=False)):
        mine = group[group["quantity"] == quantity]
        if mine.empty:
            continue
        style = style_of(i)
        seeds.add(_drawn(mine))
        label = f"{name}: {titles.quantity(quantity)[0]}" if both else str(name)
        _panel(axis, mine, style.linestyle, style.color, in_lines(label))
        if both:
            above = group[group["quantity"] == bound]
            label = f"{name}: {titles.quantity(str(bound))[0]}"
            _panel(axis, above, DASHED, style.color, in_lines(label))
    if bound == "H_categorical" and (frame["quantity"] == bound).any():
        entropy = frame[frame["quantity"] == bound].assign(seed=0)
        _panel(axis, entropy, DASHED, INK, titles.quantity(bound)[0])
    axis.set_xlabel("training step")
    axis.set_ylabel(in_lines(titles.quantity(quantity)[1] if both else axis_label(quantity), 30))
    axis.set_title(in_lines(" / ".join(sorted(seeds)), 44 if width == "column" else 90), loc="left")
    _step_axis(axis, 5)
    axis.grid()
    if width == "screen":
        figure.legend(loc="outside right upper")
    else:
        legend(figure, axis.get_legend_handles_labels()[0], 2 if width == "column" else 4)
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
        axis.annotate(name, (step, middle), fontsize=small_type(), color=shades[first], **place)


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
