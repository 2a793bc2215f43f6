"""What all plots share: style, figures of a width, panels, legends, axes of scores, and their files."""

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
from matplotlib.text import Text
from matplotlib.ticker import FuncFormatter
from numpy.typing import NDArray

from disbench import units
from disbench.leaderboards import titles
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
# Lines beyond the last colour begin with the first colour again, in other dashes.
DASHES: tuple[LineStyle, ...] = ("-", DASHED, DOTTED)
# Of a figure as wide as one or both columns of a paper.
INCHES: dict[Width, float] = {"column": 3.3, "page": 6.9}
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


def styled(draw: Callable[P, Figure]) -> Callable[P, Figure]:
    """Draws under `STYLE`, and under `PAPER` as well where the keyword `width` asks for it."""

    @functools.wraps(draw)
    def drawn(*args: P.args, **kwargs: P.kwargs) -> Figure:
        paper = kwargs.get("width", "screen") != "screen"
        with mpl.rc_context({**STYLE, **PAPER} if paper else STYLE):
            return draw(*args, **kwargs)

    return drawn


def blank(width: Width, inches: float, height: float) -> Figure:
    """A figure of a height; as wide as `width` says, or so many inches on a screen."""
    size = (INCHES.get(width, inches), height)
    return Figure(figsize=size, dpi=DPI if width == "screen" else PAPER_DPI, layout="constrained")


def small_type() -> float:
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


def by_panel(frame: pd.DataFrame) -> dict[Panel, pd.DataFrame]:
    """The rows of each panel, in the order of the frame."""
    return {Panel(*map(str, key)): group for key, group in frame.groupby(PANELS, sort=False)}


def panel_titles(panels: Iterable[Panel], width: Width) -> list[str]:
    """Metric and preset; data set and protocol before them if these are several. No wider than a panel."""
    known = list(panels)
    several = len({(panel.dataset, panel.protocol) for panel in known}) > 1
    wrap = {"column": 28, "page": 36}.get(width, 60)
    places = [f"{panel.dataset}, {panel.protocol}: " if several else "" for panel in known]
    measures = [titles.measure(panel.metric, panel.preset) for panel in known]
    return [in_lines(place + name, wrap, 4) for place, name in zip(places, measures, strict=True)]


def grid(figure: Figure, n: int, columns: int) -> list[Axes]:
    """Axes of n panels."""
    axes = figure.subplots(math.ceil(n / columns), columns, squeeze=False)
    for axis in axes.flat[n:]:
        axis.set_visible(False)
    return list(axes.flat[:n])


def in_lines(name: str, width: int = 26, lines: int = 2) -> str:
    """A name in so many lines at most, each of at most so many characters; what does not fit is cut."""
    wrapped = textwrap.wrap(name, width, max_lines=lines, placeholder=" …", break_on_hyphens=False)
    return "\n".join(wrapped)


def legend(figure: Figure, handles: Sequence[Artist], most: int) -> None:
    """A legend below the panels, in rows of equal length where that is possible."""
    rows = math.ceil(len(handles) / most)
    figure.legend(
        handles=list(handles), loc="outside lower center", ncols=max(1, math.ceil(len(handles) / rows))
    )


def legend_below(figure: Figure, handles: Sequence[Artist], most: int) -> None:
    """A legend for which the figure becomes higher, however many lines it has, so that panels keep theirs."""
    lines = sum(1 + str(handle.get_label()).count("\n") for handle in handles) / most
    more = max(0.0, math.ceil(lines) - 2) * 1.6 * float(mpl.rcParams["legend.fontsize"]) / 72
    figure.set_figheight(figure.get_figheight() + more)
    legend(figure, handles, most)


def missing_seeds(frame: pd.DataFrame) -> list[Line2D]:
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


def which_is_better(higher: object) -> str:
    """What an axis of scores says of its direction."""
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


def axis_label(quantity: str) -> str:
    """The label of an axis of a logged quantity."""
    title, unit = titles.quantity(quantity)
    return f"{title} ({unit})" if unit else title


class Style(NamedTuple):
    """The look of a line."""

    color: str
    linestyle: LineStyle
    marker: str


def style_of(i: int) -> Style:
    """The look of the i-th line or mark; the first 49 marks differ, and the first 21 lines without marks."""
    round_, place = divmod(i, len(COLOURS))
    # marks have no dashes: one that takes a colour again takes the next shape
    return Style(COLOURS[place], DASHES[round_ % len(DASHES)], MARKERS[(place + round_) % len(MARKERS)])


def title_of(frame: pd.DataFrame, name: str) -> str:
    """The title of the training that the frame is of, whose name `labels` gave."""
    if not {"method", "variant"} <= set(frame):
        return name
    return titles.rows(frame.head(1).assign(name=name))[0]
