"""Plots of a run, colour-blind safe (Okabe & Ito), as SVG and PNG."""

from __future__ import annotations

import math
from collections.abc import Sequence

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

Floats = NDArray[np.float64]

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#F0E442")
BOUNDS = {"I_upper": "I_lower", "H_categorical": "L_I_categorical"}  # what is drawn dashed, into whose panel
PANEL = (4.2, 2.8)  # inches

mpl.rcParams["svg.hashsalt"] = "disbench"  # equal input, equal file


def curves(frame: pd.DataFrame, title: str) -> Figure:
    """Training curves of one method: a panel per quantity, the median over seeds, a band from least to most.

    A quantity with a value per latent has one line per rank: latents bear no relation from seed to seed, so
    each seed's are sorted by their last value, largest first, before seeds are compared.

    Args:
        frame: long, one row per (seed, step, quantity, index, value).
    """
    panels = [str(q) for q in frame["quantity"].unique() if q not in BOUNDS]
    columns = min(3, len(panels))
    rows = math.ceil(len(panels) / columns)
    figure = Figure(figsize=(PANEL[0] * columns, PANEL[1] * rows), layout="constrained")
    figure.suptitle(f"{title}, {frame['seed'].nunique()} seeds")
    axes = figure.subplots(rows, columns, squeeze=False)
    for axis, panel in zip(axes.flat, panels, strict=False):
        _panel(axis, frame[frame["quantity"] == panel], "-")
        for bound, home in BOUNDS.items():
            if home == panel and (frame["quantity"] == bound).any():
                _panel(axis, frame[frame["quantity"] == bound], "--")
                panel = f"{panel} (dashed: {bound})"
        axis.set_title(panel, fontsize=9)
        axis.set_xlabel("step", fontsize=8)
        axis.tick_params(labelsize=8)
        axis.grid(alpha=0.3)
    for axis in axes.flat[len(panels) :]:
        axis.set_visible(False)
    return figure


def compared(frame: pd.DataFrame, quantity: str) -> Figure:
    """One quantity of several methods or variants in one panel: median over seeds, band from least to most.

    Args:
        frame: as for `curves`, with a column `name` that tells the lines apart.
    """
    figure = Figure(figsize=(6.4, 4.0), layout="constrained")
    axis = figure.subplots()
    bound = next((b for b, home in BOUNDS.items() if home == quantity), None)
    for i, (name, group) in enumerate(frame.groupby("name", sort=False)):
        _panel(axis, group[group["quantity"] == quantity], "-", COLOURS[i % len(COLOURS)], str(name))
    if bound is not None and (frame["quantity"] == bound).any():
        _panel(axis, frame[frame["quantity"] == bound].assign(seed=0), "--", "#000000", bound)
    axis.set_xlabel("step")
    axis.set_ylabel(quantity)
    axis.grid(alpha=0.3)
    axis.legend(frameon=False)
    return figure


def _panel(axis: Axes, frame: pd.DataFrame, style: str, one: str = "", label: str = "") -> None:
    """All lines of a quantity, in one colour or in a colour per rank."""
    steps, values = ranked(frame)
    for rank, line in enumerate(np.moveaxis(values, 2, 0)):  # (seeds, steps)
        colour = one or COLOURS[rank % len(COLOURS)]
        named = label if rank == 0 and label else None
        axis.plot(steps, np.median(line, axis=0), style, color=colour, linewidth=1.2, label=named)
        if len(line) > 1:
            axis.fill_between(steps, line.min(0), line.max(0), color=colour, alpha=0.2, linewidth=0)


def ranked(frame: pd.DataFrame) -> tuple[Floats, Floats]:
    """Steps (t,) that all seeds logged, and values (seeds, t, ranks), sorted by each seed's last ones."""
    table = frame.pivot_table(index="step", columns=["seed", "index"], values="value").dropna()
    seeds = table.columns.get_level_values("seed").unique()
    per_seed: Sequence[Floats] = [table[seed].to_numpy() for seed in seeds]
    sorted_ = [values[:, np.argsort(-values[-1], kind="stable")] for values in per_seed]
    return table.index.to_numpy(dtype=float), np.stack(sorted_)
