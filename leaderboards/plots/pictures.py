"""Sheets of tiles, such as traversals, side by side."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from disbench.leaderboards.plots.figure import (
    DPI,
    INCHES,
    INK,
    PAPER_DPI,
    QUIET,
    Width,
    in_lines,
    styled,
)
from disbench.leaderboards.sheets import Pixels, Sheet


@styled
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
        note = in_lines(shown.note, max(10, int(panel / letter)), 4)
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
