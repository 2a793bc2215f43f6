"""The pictures of runs, saved results and models that `disbench plot` draws, each under its name."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from disbench.benchmark.runs import findings, matrices, meant, pictures, settings, tuning
from disbench.benchmark.runs.rows import MOST_TOLD, gather, no_seeds
from disbench.benchmark.runs.store import Record, told
from disbench.benchmark.scoring.sources import SourceOptions
from disbench.errors import UsageError, argument, unknown
from disbench.leaderboards import aggregate, journals, labels, plots, sheets, titles
from disbench.leaderboards.plots import Width

RECONSTRUCTION = "loss.reconstruction"
# by the names of their files, and sentences about what they do not show
Drawn = tuple[dict[str, Figure], list[str]]


def curves(runs: Sequence[Path], quantity: str, width: Width = "screen") -> Drawn:
    """Training curves by name of the picture: one per training, or one of a quantity for all.

    Args:
        runs: folders of runs.
        quantity: one logged quantity; "" for all of each training.
        width: of the pictures.

    Raises:
        UsageError: nothing is logged yet, or there is no such quantity.
    """
    frame, odd = findings.journals(runs)
    if frame.empty:
        raise no_seeds(runs[0], odd, "logged steps")
    if not quantity:
        drawn = {
            labels.folder(group["label"].iloc[0], group["cell"].iloc[0]): plots.curves(
                group, title, width=width
            )
            for title, group in journals.trainings(frame)
        }
        return drawn, odd
    known = sorted(set(frame["quantity"]))
    if quantity not in known:
        raise unknown("quantity", quantity, known)
    return {quantity: plots.compared(journals.named(frame), quantity, width=width)}, odd


def of_scores(
    runs: Sequence[Path],
    kind: str,
    field: str,
    metric: str,
    quantity: str = "",
    width: Width = "screen",
    zoom: bool = False,
) -> Drawn:
    """The pictures of scores of one kind, by their names.

    Args:
        runs: folders of runs or of saved results.
        kind: "strip", "sweep", "frontier", "tuned", "sides", "correlation" or "traversals".
        field: of a sweep, the setting; "" for the only one that varies.
        metric: the only metric that is drawn, or the one that picks the seeds of traversals and settings.
        quantity: of a sweep and a frontier, the logged quantity that is drawn too.
        width: of the pictures.
        zoom: cut the axes of a strip, a sweep, a frontier and sides to the scores.

    Raises:
        UsageError: results that are not comparable, or too few of them for this picture.
    """
    if kind == "tuned":
        found = tuning.of_runs(runs, metric)
        by = titles.measure(found.metric, found.preset)
        return {"tuned": plots.tuned(found.pools, by, found.without, width=width, zoom=zoom)}, found.notes
    frame, notes = gather(runs)
    aggregate.check_comparable(frame)
    if kind == "traversals":
        drawn, unreadable = _traversals(frame, metric, width)
        return drawn, notes + unreadable
    if metric:
        # refuses what no row has
        meant.judge(frame, metric)
        pairs = zip(frame["metric"], frame["preset"], strict=True)
        exact = [meant.is_meant(name, preset, metric) for name, preset in pairs]
        frame = frame[exact].reset_index(drop=True)
    if kind == "strip":
        frame = labels.over_splits(frame)
        board = aggregate.leaderboard(frame, iqm_interval=False)
        return {"strip": plots.strip(frame, board, width=width, zoom=zoom)}, notes
    if kind == "sweep":
        return _sweeps(runs, frame, field, quantity, width, zoom), notes
    if kind == "frontier":
        return _frontiers(runs, frame, quantity, width, zoom), notes
    if kind == "sides":
        return {"sides": plots.two_sides(frame, width=width, zoom=zoom)}, notes
    return {"correlation": plots.correlation(frame, width=width)}, notes


def _sweeps(
    runs: Sequence[Path], frame: pd.DataFrame, field: str, quantity: str, width: Width, zoom: bool
) -> dict[str, Figure]:
    """Scores against a setting, and a logged quantity against it where it is logged."""
    configs = settings.settings(runs)
    rows, field = settings.swept(frame, configs, field)
    figures = {f"sweep-{field}": plots.sweep(rows, field, width=width, zoom=zoom)}
    logged = _logged(runs, quantity)
    if logged.empty:
        return figures
    shown = quantity or RECONSTRUCTION
    # a bound of the quantity is drawn into its panel
    journal = _single(runs)
    bounds = [bound for bound, home in plots.BOUNDS.items() if home == shown]
    lines = [
        _along(journals.last_values(journal, name), name, configs, field)
        for name in (shown, *bounds)
        if name in set(journal["quantity"])
    ]
    drawn = pd.concat(lines, ignore_index=True)
    if len(lines) > 1:
        drawn["name"] = drawn["name"] + ": " + drawn["metric"]
    # one panel for each method, as terms of losses may have units of their own
    names = [titles.quantity(name)[0] for name in (shown, *bounds) if name in set(journal["quantity"])]
    drawn["metric"] = " and ".join(names)
    if drawn["value"].map(str).nunique() > 1:
        figures[f"sweep-{field}-{shown}"] = plots.sweep(drawn, field, shown, width=width)
    return figures


def _along(logged: pd.DataFrame, quantity: str, configs: settings.Configs, field: str) -> pd.DataFrame:
    """The last values of a quantity as rows for `plots.sweep`."""
    rows = logged.assign(
        metric=titles.quantity(quantity)[0],
        preset=[f"logged, {titles.training(method, '')}" for method in logged["method"]],
        score=logged["value"],
        higher_is_better=False,
    )
    return settings.swept(rows, configs, field)[0]


def _frontiers(
    runs: Sequence[Path], frame: pd.DataFrame, quantity: str, width: Width, zoom: bool
) -> dict[str, Figure]:
    """For each method of several settings, a logged quantity against the scores."""
    configs, logged = settings.settings(runs), _logged(runs, quantity)
    quantity = quantity or RECONSTRUCTION
    if logged.empty:
        raise UsageError(f"no method of these runs logs {quantity}; choose another {argument('quantity')}.")
    ends = logged.rename(columns={"value": "quantity"})
    keys = [*labels.TRAINING, "seed"]
    # seeds that failed before they logged anything stay, of methods that log it
    rows = frame.assign(base=frame["cell"], cell=frame["cell"].map(labels.cell_of))
    rows = rows[np.isin(labels.labels(rows), labels.labels(ends))].merge(ends, how="left", on=keys)
    rows = rows.assign(point=settings.points(rows, configs), cell=rows["base"])
    rows = rows[rows["point"] != ""]
    if rows.empty:
        raise UsageError(
            "no method has several settings, so there is no frontier to draw; train some with "
            f"{argument('grid')}."
        )
    return {
        f"frontier-{label}": plots.frontier(group, quantity, str(label), width=width, zoom=zoom)
        for label, group in rows.groupby(labels.labels(rows), sort=False)
    }


def _logged(runs: Sequence[Path], quantity: str) -> pd.DataFrame:
    """The last values of a logged quantity; no row where none of the runs has the usual one.

    Raises:
        UsageError: another quantity, which is not logged, or has a value for each latent.
    """
    frame = _single(runs)
    known = set() if frame.empty else set(frame["quantity"])
    if quantity and quantity not in known:
        raise unknown("quantity", quantity, known)
    if (quantity or RECONSTRUCTION) not in known:
        return pd.DataFrame()
    return journals.last_values(frame, quantity or RECONSTRUCTION)


def _single(runs: Sequence[Path]) -> pd.DataFrame:
    """The logged quantities that have one value per step."""
    frame, _ = findings.journals(runs)
    return frame if frame.empty else frame[[values.shape[1] == 1 for values in frame["values"]]]


def _traversals(frame: pd.DataFrame, metric: str, width: Width) -> Drawn:
    """The best, median and worst seed of each training beside each other."""
    name, preset = meant.judge(frame, metric)
    by_training = findings.traversals(frame, name, preset)
    if not by_training:
        raise UsageError(
            "no seed with a score has a traversal.png; `disbench traverse CHECKPOINT` draws one."
        )
    places = list(zip(frame["dataset"], frame["protocol"], strict=True))
    named = frame.assign(name=labels.with_places(labels.names(frame), places))
    title_of = dict(zip(named["name"], titles.rows(named), strict=True))
    figures, unreadable = {}, []
    for label, shown in by_training.items():
        pictures = []
        for one in shown:
            picture, sentence = told(partial(sheets.read, one.path), None)
            if picture is not None:
                pictures.append((f"{one.place}: seed {one.seed}, {one.score:.3f}", picture))
            unreadable += [sentence] if sentence else []
        if not pictures:
            continue
        stem = re.sub(r"\W+", "-", label).strip("-")
        figures[f"traversals-{stem}"] = plots.side_by_side(
            pictures, f"{title_of[label]} by {titles.measure(name, preset)}", width=width
        )
    if not figures:
        raise UsageError(f"no traversal can be read: {' '.join(unreadable[:MOST_TOLD])}")
    return figures, unreadable


def sheet_of(target: Path) -> Path:
    """The samples of each category of a seed, which is given by its folder or its checkpoint."""
    return (target if target.is_dir() else target.parent) / pictures.CATEGORIES


def categories(targets: Sequence[Path], width: Width = "screen") -> dict[str, Figure]:
    """The samples of each category of several models, side by side.

    Args:
        targets: folders of seeds, or their checkpoints.
        width: of the picture.

    Raises:
        UsageError: a target is no seed's folder, has no such samples, or they cannot be read.
    """
    shown = []
    for target in targets:
        folder = target if target.is_dir() else target.parent
        record = Record.read(folder)
        if record is None:
            raise UsageError(
                f"{target} is neither a seed's folder nor its checkpoint; give some, such as "
                "runs/first/elastic_infogan-*/seed-0."
            )
        cell = record.cell
        path = sheet_of(target)
        if not path.is_file():
            raise UsageError(
                f"{folder} has no {pictures.CATEGORIES}: {titles.training(cell.method, cell.variant)} has no "
                "categorical code, or the run drew no pictures."
            )
        shown.append((f"{titles.training(cell.method, cell.variant)}, seed {cell.seed}", sheets.read(path)))
    title = "Samples: a category per row, the same noise in each column"
    return {"categories": plots.side_by_side(shown, title, width=width)}


def of_models(
    targets: Sequence[Path], kind: str, metric: str, options: SourceOptions, width: Width = "screen"
) -> Drawn:
    """The matrix of one model, by the name of its picture, and what was assumed of it.

    Args:
        targets: one folder of a seed, or one file that `disbench score` takes.
        kind: "mi", "dci" or "differences".
        metric: another preset than that of the scores, such as "dci:ibgan".
        options: what the user said about the file.
        width: of the picture.

    Raises:
        UsageError: several targets, or no matrix can be had of this one.
    """
    if len(targets) > 1:
        raise UsageError(
            f"{argument('kind')} {kind} draws one model at a time; give one of the {len(targets)} paths."
        )
    matrix, notes = matrices.matrix(targets[0], kind, metric, options)
    draw, _ = plots.MATRICES[kind]
    # beside the pictures of a seed it has a name of its own anyway
    of_seed = targets[0].is_dir() or targets[0].name == matrices.CHECKPOINT
    stem = kind if of_seed else f"{targets[0].stem}-{kind}"
    return {stem: draw(matrix.values, matrix.codes, matrix.factors, matrix.title, width=width)}, notes
