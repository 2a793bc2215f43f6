"""Scores against something else: a setting, a quantity of training, or the other side of the model."""

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
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator
from numpy.typing import NDArray

from disbench.errors import UsageError
from disbench.leaderboards import labels, published, sides, titles
from disbench.leaderboards.plots.figure import (
    COLOURS,
    DOTTED,
    INCHES,
    INK,
    QUIET,
    Floats,
    Panel,
    Width,
    axis_label,
    blank,
    by_panel,
    grid,
    in_lines,
    legend_below,
    limits,
    missing_seeds,
    panel_titles,
    small_type,
    style_of,
    styled,
    title_of,
    which_is_better,
)

# The line of chance.
CHANCE: Any = {"color": QUIET, "linestyle": DOTTED}


@styled
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
    missing = missing_seeds(frame)
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
    panels = by_panel(frame)
    names = list(dict.fromkeys(frame["title"]))
    columns = 1 if width == "column" else min(2, len(panels))
    rows = math.ceil(len(panels) / columns)
    each = 3.3 if width == "screen" else 1.9
    figure = blank(width, 4.8 * columns + 1.2, each * rows + 0.4)
    logarithmic = numeric and is_logarithmic(order)
    size = float(mpl.rcParams["lines.markersize"])
    axes, by_chance = grid(figure, len(panels), columns), False
    for axis, group, title in zip(axes, panels.values(), panel_titles(panels, width), strict=True):
        higher = bool(group["higher_is_better"].iloc[0])
        for i, name in enumerate(names):
            mine = group[group["title"] == name]
            if mine.empty:
                continue
            style = style_of(i)
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
            texts = [f"{value:g}" if numeric else in_lines(str(value), 14) for value in order]
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
        logged = axis_label(quantity) if alone else titles.quantity(quantity)[1]
        axis.set_ylabel(in_lines(logged, 28) if quantity else f"score\n{which_is_better(higher)}")
        axis.grid()
    wrap = 40 if width != "column" else 24
    joined = frame.groupby("title")["joined"].all()
    looks = [
        style_of(i)._asdict() | ({} if joined[name] else {"linestyle": "none"})
        for i, name in enumerate(names)
    ]
    handles = [
        Line2D([], [], **look, markersize=0.67 * size, label=in_lines(name, wrap))
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
    legend_below(figure, handles, 2 if width == "column" else 3)
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
            label = in_lines(", ".join([source, *filter(None, remarks)]), wrap, 5)
            handles.setdefault(label, Line2D([], [], **look, label=label))
    return list(handles.values())


@styled
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
    missing = missing_seeds(frame)
    frame = frame[frame["score"].notna() & frame["quantity"].notna()]
    if frame["point"].nunique() < 2:
        raise UsageError(
            f"{title} has fewer than two settings with scores and {quantity}, so there is no frontier."
        )
    panels = by_panel(frame)
    columns = 1 if width == "column" else min(2, len(panels))
    rows = math.ceil(len(panels) / columns)
    figure = blank(width, 4.8 * columns + 0.6, (3.5 if width == "screen" else 2.2) * rows + 0.5)
    size = float(mpl.rcParams["lines.markersize"])
    order = frame.groupby("point")["quantity"].mean().sort_values().index
    numbers = {str(point): i for i, point in enumerate(order, start=1)}
    n, by_chance = frame.groupby("point")["seed"].nunique(), False
    counted = f"{n.min()}" if n.nunique() == 1 else f"{n.min()} to {n.max()}"
    seeds = f"{counted} seed{'' if counted == '1' else 's'}"
    about = f"{titles.quantity(quantity)[0]} against scores"
    told = f"{title_of(frame, title)}: {about}, {len(n)} settings of {seeds}"
    figure.suptitle(in_lines(told, 56 if width == "column" else 110))
    for axis, group, name in zip(
        grid(figure, len(panels), columns), panels.values(), panel_titles(panels, width), strict=True
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
            name_of = in_lines(str(point), 18) if width == "screen" else str(numbers[str(point)])
            place = (4 if side == "left" else -4, height)
            look: Any = {"xytext": place, "textcoords": "offset points", "fontsize": 7, "ha": side}
            axis.annotate(name_of, (x, y), **look)
        axis.set_title(name, loc="left")
        axis.set_xlabel(f"{axis_label(quantity)}, lower is better")
        axis.set_ylabel(f"score, {which_is_better(higher)}")
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
    legend_below(figure, handles, {"column": 1 if max(map(len, numbers)) > 20 else 2}.get(width, 3))
    return figure


@styled
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
    panels = by_panel(pairs)
    columns = min(1 if width == "column" else 3, len(panels))
    side = 3.9 if width == "screen" else 0.9 * INCHES[width] / columns + 0.3
    figure = blank(width, 3.9 * columns, side * math.ceil(len(panels) / columns) + 0.8)
    told = "Both sides of the models: large marks are means, small ones seeds"
    figure.suptitle(in_lines(told, 40 if width == "column" else 110))
    # narrow panels have narrow titles
    named_panels = panel_titles(panels, "column" if width == "page" else width)
    size = float(mpl.rcParams["lines.markersize"])
    named = pairs.drop_duplicates("name")
    looks = {name: style_of(i) for i, name in enumerate(named["name"])}
    for axis, group, title in zip(
        grid(figure, len(panels), columns), panels.values(), named_panels, strict=True
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
            0.03,
            0.97,
            _ranks(sides.agreement(group)),
            va="top",
            fontsize=small_type(),
            transform=axis.transAxes,
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
    handles += missing_seeds(frame[frame["metric"].isin(pairs["metric"])])
    legend_below(figure, handles, {"column": 2, "page": 4}.get(width, 4))
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
