"""Plots of scores, training and codes, for screen and paper: colour-blind safe, equal files of equal input.

Every function takes a frame or an array and returns a `Figure`; nothing here touches pyplot. If there is too
little to draw, it raises a UsageError of one sentence. With `width` "column" or "page" a figure is as wide as
one or both columns of a paper, and its type has 7 to 8 points there. Methods and metrics have their titles.
An axis of scores runs from 0 to 1, unless `zoom` cuts it to the scores.
"""

from disbench.leaderboards.plots.against import frontier, sweep, two_sides
from disbench.leaderboards.plots.figure import Kind, Width, inline, render
from disbench.leaderboards.plots.matrices import MATRICES, correlation
from disbench.leaderboards.plots.pictures import side_by_side
from disbench.leaderboards.plots.rows import strip, tuned
from disbench.leaderboards.plots.training import BOUNDS, compared, curves

__all__ = [
    "BOUNDS",
    "MATRICES",
    "Kind",
    "Width",
    "compared",
    "correlation",
    "curves",
    "frontier",
    "inline",
    "render",
    "side_by_side",
    "strip",
    "sweep",
    "tuned",
    "two_sides",
]
