"""The matrices of codes and factors: mutual information, DCI's importance, differences where one is held."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from disbench import metrics, models
from disbench.benchmark.datasets import manifest
from disbench.benchmark.protocols import MetricChoice, choose_metric
from disbench.benchmark.runs.store import Record
from disbench.benchmark.scoring import encoders, files, sources
from disbench.benchmark.scoring.sources import SourceOptions
from disbench.errors import UsageError, argument
from disbench.files import LARGEST, not_linked
from disbench.leaderboards import titles
from disbench.leaderboards.report import Matrix

CODES, CHECKPOINT = "codes.npz", "checkpoint.pt"
# Of each kind of matrix, the metric and the part of its score.
PARTS = {
    "mi": ("mig", "mutual_information"),
    "dci": ("dci", "importance"),
    "differences": ("beta_vae", "differences"),
}
# The metric that is computed if no score holds the matrix.
QUICK = {"mi": "mig", "dci": "dci:eastwood2018_forest", "differences": "beta_vae"}
# Votes of a metric that is measured for its matrix: means of 80 points of each of five factors are enough.
VOTES = {"votes": 400, "eval_votes": 200}


def matrix(
    target: Path, kind: str, metric: str = "", options: SourceOptions | None = None
) -> tuple[Matrix, list[str]]:
    """The mutual information ("mi") or DCI's importance ("dci") of codes and factors, or the mean difference
    of each code in pairs of images that share a factor ("differences").

    The matrix of a seed is taken from its scores, or else computed from its codes.npz, or else from the
    trained model. Whatever else `disbench score` takes is opened and measured as it is there.

    Args:
        target: a seed's folder, or a file: checkpoint, codes, encoder or state dict.
        kind: "mi", "dci" or "differences".
        metric: the metric with another preset than that of the scores, such as "dci:ibgan".
        options: what the user said about the file.

    Returns:
        The matrix, and sentences about what was assumed, before their arguments are spelled.

    Raises:
        UsageError: the target is of no such kind, or codes and factors have no such matrix.
    """
    name, part = PARTS[kind]
    choice = choose_metric(metric or QUICK[kind])
    if choice.name != name or choice.pictures:
        raise UsageError(
            f"{argument('kind')} {kind} draws a part of {name}; "
            f"give {argument('metric')} {name}:PRESET or omit it."
        )
    said = options or SourceOptions()
    holds = metrics.get(name).kind == "sampling"
    if holds:
        if target.is_file() and files.recognise(target) not in (*files.TENSORS, *encoders.FORMATS):
            raise UsageError(
                f"{argument('kind')} {kind} holds factors fixed, for which a file of codes has too few rows; "
                "give a seed's folder, its checkpoint.pt, or an encoder."
            )
        # its own preset has more votes than a mean needs
        choice = choice.model_copy(update={"settings": {**choice.settings, **VOTES}})
    # what was said of the model is for whoever opens it, and its scores were measured without
    unsaid = said == SourceOptions(device=said.device, data_dir=said.data_dir)
    if unsaid and (target.is_dir() or target.name == CHECKPOINT):
        folder = target if target.is_dir() else target.parent
        record = Record.read(folder)
        scored = None if record is None else stored(record, kind, metric)
        if scored is not None:
            return scored, []
    if not target.is_dir():
        title = target.parent.name if target.name in (CODES, CHECKPOINT) else target.name
        return _of_file(target, choice, part, said, title)
    for file in (CODES, CHECKPOINT):
        path = not_linked(target / file)
        if path.exists() and not (file == CODES and holds):
            return _of_file(path, choice, part, said, target.name)
    raise UsageError(
        f"{argument('kind')} {kind} draws one model; {target} is neither a seed's folder (such as "
        "RUN/betavae-1a2b3c4d/seed-0) nor a file that `disbench score` takes."
    )


def stored(record: Record, kind: str, metric: str = "") -> Matrix | None:
    """The matrix that the scores of a seed hold; None if they hold none, or one that is no finite table.

    Args:
        record: the seed.
        kind: "mi" or "dci".
        metric: the metric with its preset; any preset by default.
    """
    name, part = PARTS[kind]
    preset = choose_metric(metric).preset if metric else None
    cell = record.cell
    for entry in record.entries or ():
        # of the encoder: a generator's codes are others
        wanted = entry.pictures is None
        wanted &= preset is None or (entry.preset, entry.changed) == (preset, {})
        if entry.metric == name and wanted and entry.parts.get(part):
            try:
                values = np.array(entry.parts[part], float)
            except (ValueError, TypeError, OverflowError):
                continue
            if values.ndim != 2 or not np.isfinite(values).all() or np.abs(values).max() > LARGEST:
                continue
            factors = _factor_names(cell.dataset.name, entry.dropped_factors)
            name_of = titles.training(cell.method, cell.variant)
            title = f"{name_of}, seed {cell.seed} ({titles.preset(entry.label)})"
            return _labelled(values, factors, title)
    return None


def _of_file(
    path: Path, choice: MetricChoice, part: str, options: SourceOptions, title: str
) -> tuple[Matrix, list[str]]:
    """Measured as `disbench score` does, on the rows of a table metric."""
    opened = sources.open_source(path, options)
    ((entry,),) = sources.score([opened], [choice])
    if entry.score is None and not entry.parts.get(part):
        raise UsageError(f"{path}: {entry.reason}")
    about = opened.head
    if "checkpoint" in about:
        saved = models.load_checkpoint(path)
        title = f"{titles.training(saved.method, saved.variant)}, seed {saved.seed}"
    factors = [n for i, n in enumerate(opened.data.factor_names) if i not in entry.dropped_factors]
    found = _labelled(
        np.asarray(entry.parts[part], float), factors, f"{title} ({titles.preset(str(choice.preset))})"
    )
    notes = [] if "checkpoint" in about else list(opened.notes)
    return found, [*notes, *(f"{entry.metric}: {warning}" for warning in entry.warnings)]


def _labelled(values: NDArray[np.float64], factors: Sequence[str], title: str) -> Matrix:
    d, k = values.shape
    named = list(factors) if len(factors) == k else [f"factor {i}" for i in range(k)]
    return Matrix(values, [f"code {i}" for i in range(d)], named, title)


def _factor_names(dataset: str, dropped: Sequence[int]) -> list[str]:
    if dataset not in manifest.names():
        return []
    return [name for i, name in enumerate(manifest.read(dataset).factors) if i not in dropped]
