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
from disbench.errors import UsageError, argument, unknown
from disbench.leaderboards import aggregate, journals, labels, plots

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


def of_scores(runs: Sequence[Path], kind: str, field: str, metric: str) -> Drawn:
    """The picture of scores of one kind, by its name.

    Args:
        runs: folders of runs or of saved results.
        kind: "strip", "sweep", "correlation" or "traversals".
        field: of a sweep, the setting; "" for the only one that varies.
        metric: the only metric that is drawn, or the one that picks the seeds of traversals.

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
        rows, field = settings.swept(frame, settings.settings(runs), field)
        return {f"sweep-{field}": plots.sweep(rows, field)}, notes
    return {"correlation": plots.correlation(frame)}, notes


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


def of_models(
    targets: Sequence[Path], kind: str, metric: str, device: str, data_dir: Path | None
) -> dict[str, Figure]:
    """The matrix of one model, by the name of its picture.

    Args:
        targets: one folder of a seed, or one .npz.
        kind: "mi" or "dci".
        metric: another preset than that of the scores, such as "dci:ibgan".
        device: "auto", "cpu" or "cuda".
        data_dir: folder of the data sets; None for the default.

    Raises:
        UsageError: several targets, or no matrix can be had of this one.
    """
    if len(targets) > 1:
        raise UsageError(
            f"{argument('kind')} {kind} draws one model at a time; give one of the {len(targets)} paths."
        )
    matrix = matrices.matrix(targets[0], kind, metric, device, data_dir)
    draw = plots.information if kind == "mi" else plots.importance
    stem = f"{targets[0].stem}-{kind}" if targets[0].suffix == ".npz" else kind
    return {stem: draw(matrix.values, matrix.codes, matrix.factors, matrix.title)}
