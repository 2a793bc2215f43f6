"""The pictures of runs, saved results and models that `disbench plot` draws, each under its name."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from disbench.benchmark.runs import findings, matrices, settings
from disbench.benchmark.runs.rows import MOST_TOLD, gather, no_seeds
from disbench.benchmark.runs.store import told
from disbench.benchmark.scoring.sources import SourceOptions
from disbench.errors import UsageError, argument, unknown
from disbench.leaderboards import aggregate, journals, labels, plots

RECONSTRUCTION = "loss.reconstruction"
# by the names of their files, and sentences about what they do not show
Drawn = tuple[dict[str, Figure], list[str]]


def curves(runs: Sequence[Path], quantity: str) -> Drawn:
    """Training curves by name of the picture: one per training, or one of a quantity for all.

    Args:
        runs: folders of runs.
        quantity: one logged quantity; "" for all of each training.

    Raises:
        UsageError: nothing is logged yet, or there is no such quantity.
    """
    frame, odd = findings.journals(runs)
    if frame.empty:
        raise no_seeds(runs[0], odd, "logged steps")
    if not quantity:
        drawn = {
            labels.folder(group["label"].iloc[0], group["cell"].iloc[0]): plots.curves(group, title)
            for title, group in journals.trainings(frame)
        }
        return drawn, odd
    known = sorted(set(frame["quantity"]))
    if quantity not in known:
        raise unknown("quantity", quantity, known)
    return {quantity: plots.compared(journals.named(frame), quantity)}, odd


def of_scores(runs: Sequence[Path], kind: str, field: str, metric: str, quantity: str = "") -> Drawn:
    """The pictures of scores of one kind, by their names.

    Args:
        runs: folders of runs or of saved results.
        kind: "strip", "sweep", "frontier", "correlation" or "traversals".
        field: of a sweep, the setting; "" for the only one that varies.
        metric: the only metric that is drawn, or the one that picks the seeds of traversals.
        quantity: of a sweep and a frontier, the logged quantity that is drawn too.

    Raises:
        UsageError: results that are not comparable, or too few of them for this picture.
    """
    frame, notes = gather(runs)
    aggregate.check_comparable(frame)
    if kind == "traversals":
        drawn, unreadable = _traversals(frame, metric)
        return drawn, notes + unreadable
    if metric:
        name, preset = findings.judge(frame, metric)
        exact = (frame["metric"] == name) & ((frame["preset"] == preset) | (":" not in metric))
        frame = frame[exact].reset_index(drop=True)
    if kind == "strip":
        return {"strip": plots.strip(frame, aggregate.leaderboard(frame))}, notes
    if kind == "sweep":
        return _sweeps(runs, frame, field, quantity), notes
    if kind == "frontier":
        return _frontiers(runs, frame, quantity), notes
    return {"correlation": plots.correlation(frame)}, notes


def _sweeps(runs: Sequence[Path], frame: pd.DataFrame, field: str, quantity: str) -> dict[str, Figure]:
    """Scores against a setting, and a logged quantity against it where it is logged."""
    configs = settings.settings(runs)
    rows, field = settings.swept(frame, configs, field)
    figures = {f"sweep-{field}": plots.sweep(rows, field)}
    logged = _logged(runs, quantity)
    if logged.empty:
        return figures
    # one panel for each method, as terms of losses may have units of their own
    logged = logged.assign(
        metric=quantity or RECONSTRUCTION,
        preset="logged, " + logged["method"],
        score=logged["value"],
        higher_is_better=False,
    )
    lines, _ = settings.swept(logged, configs, field)
    if lines["value"].map(str).nunique() > 1:
        figures[f"sweep-{field}-{quantity or RECONSTRUCTION}"] = plots.sweep(lines, field, "value")
    return figures


def _frontiers(runs: Sequence[Path], frame: pd.DataFrame, quantity: str) -> dict[str, Figure]:
    """For each method of several settings, a logged quantity against the scores."""
    configs, logged = settings.settings(runs), _logged(runs, quantity)
    quantity = quantity or RECONSTRUCTION
    if logged.empty:
        raise UsageError(f"no method of these runs logs {quantity}; choose another {argument('quantity')}.")
    ends = logged.rename(columns={"value": "quantity"})
    keys = [*labels.TRAINING, "seed"]
    rows = frame.assign(base=frame["cell"], cell=frame["cell"].map(labels.cell_of)).merge(ends, on=keys)
    rows = rows.assign(point=settings.points(rows, configs), cell=rows["base"])
    rows = rows[rows["point"] != ""]
    if rows.empty:
        raise UsageError(
            "no method has several settings, so there is no frontier to draw; train some with "
            f"{argument('grid')}."
        )
    return {
        f"frontier-{label}": plots.frontier(group, quantity, str(label))
        for label, group in rows.groupby(labels.labels(rows), sort=False)
    }


def _logged(runs: Sequence[Path], quantity: str) -> pd.DataFrame:
    """The last values of a logged quantity; no row where none of the runs has the usual one.

    Raises:
        UsageError: another quantity, which is not logged, or has a value for each latent.
    """
    frame, _ = findings.journals(runs)
    single = [] if frame.empty else [values.shape[1] == 1 for values in frame["values"]]
    known = set(frame[single]["quantity"]) if single else set()
    if quantity and quantity not in known:
        raise unknown("quantity", quantity, known)
    if (quantity or RECONSTRUCTION) not in known:
        return pd.DataFrame()
    return journals.last_values(frame, quantity or RECONSTRUCTION)


def _traversals(frame: pd.DataFrame, metric: str) -> Drawn:
    """The best, median and worst seed of each training beside each other."""
    name, preset = findings.judge(frame, metric)
    by_training = findings.traversals(frame, name, preset)
    if not by_training:
        raise UsageError(
            "no seed with a score has a traversal.png; `disbench traverse CHECKPOINT` draws one."
        )
    figures, unreadable = {}, []
    for label, shown in by_training.items():
        pictures = []
        for one in shown:
            picture, sentence = told(partial(findings.pixels, one.path), None)
            if picture is not None:
                pictures.append((f"{one.place}: seed {one.seed}, {one.score:.3f}", picture))
            unreadable += [sentence] if sentence else []
        if not pictures:
            continue
        stem = re.sub(r"\W+", "-", label).strip("-")
        figures[f"traversals-{stem}"] = plots.side_by_side(
            pictures, f"{label} by {labels.metric(name, preset)}"
        )
    if not figures:
        raise UsageError(f"no traversal can be read: {' '.join(unreadable[:MOST_TOLD])}")
    return figures, unreadable


def of_models(targets: Sequence[Path], kind: str, metric: str, options: SourceOptions) -> Drawn:
    """The matrix of one model, by the name of its picture, and what was assumed of it.

    Args:
        targets: one folder of a seed, or one file that `disbench score` takes.
        kind: "mi" or "dci".
        metric: another preset than that of the scores, such as "dci:ibgan".
        options: what the user said about the file.

    Raises:
        UsageError: several targets, or no matrix can be had of this one.
    """
    if len(targets) > 1:
        raise UsageError(
            f"{argument('kind')} {kind} draws one model at a time; give one of the {len(targets)} paths."
        )
    matrix, notes = matrices.matrix(targets[0], kind, metric, options)
    draw = plots.information if kind == "mi" else plots.importance
    # beside the pictures of a seed it has a name of its own anyway
    of_seed = targets[0].is_dir() or targets[0].name == matrices.CHECKPOINT
    stem = kind if of_seed else f"{targets[0].stem}-{kind}"
    return {stem: draw(matrix.values, matrix.codes, matrix.factors, matrix.title)}, notes
