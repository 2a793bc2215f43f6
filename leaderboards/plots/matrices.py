"""Matrices of metrics, and of codes and factors, as shades with numbers or as squares."""

from __future__ import annotations

import math
from collections.abc import Sequence

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from disbench.leaderboards import aggregate, titles
from disbench.leaderboards.plots.figure import (
    COLOURS,
    GRID,
    INCHES,
    Floats,
    Width,
    blank,
    in_lines,
    small_type,
    styled,
)

# Colour maps of amounts, and of values on both sides of zero.
SHADES, OPPOSED = "Blues", "RdBu"
# Numbers within a shade.
ON_LIGHT, ON_DARK = "#111111", "#ffffff"


@styled
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
    names = [in_lines(str(name), 22, 3) for name in table.columns]
    size = 0.55 * len(names)
    inches = INCHES.get(width, max(size + 2.4, 4.4))
    figure = blank(width, inches, max(min(size + 1.7, inches), 2.4))
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
        axis.text(j + 0.5, i + 0.5, text, ha="center", va="center", fontsize=small_type(), color=colour)
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
        return blank(width, max(0.62 * columns + 1.9, 4.6), max(0.5 * rows + 1.9, 3.0))
    # squares of a quarter of an inch, in which a number of 7 points fits
    return blank(width, 0.0, 0.27 * rows + 1.1)


@styled
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
    told = f"{in_lines(title, 44)}\nmutual information, nats;\nframed: a factor's best code"
    figure.suptitle(told, x=0.02, ha="left")
    return figure


@styled
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
    figure.suptitle(f"{in_lines(title, 44)}\n{about}", x=0.02, ha="left")
    return figure


@styled
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
    told = f"{in_lines(title, 44)}\nDCI: area is the share of a code\nin the prediction of a factor"
    figure.suptitle(told, x=0.02, ha="left")
    return figure


# How each kind of matrix is drawn, and what it is.
MATRICES = {
    "mi": (information, "Mutual information"),
    "dci": (importance, "DCI's importance"),
    "differences": (differences, "Differences in pairs that share a factor,"),
}
