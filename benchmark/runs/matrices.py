"""The matrices of codes and factors: mutual information, DCI's importance, differences where one is held."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from disbench import metrics
from disbench.benchmark import datasets
from disbench.benchmark.datasets import Dataset, manifest
from disbench.benchmark.datasets.reference import DataRef
from disbench.benchmark.protocols import MetricChoice, choose_metrics
from disbench.benchmark.runs.store import Record
from disbench.benchmark.scoring import draws
from disbench.benchmark.scoring.encoded import Codes
from disbench.benchmark.scoring.trained import Trained
from disbench.errors import UsageError, argument
from disbench.files import LARGEST, not_linked
from disbench.leaderboards import titles
from disbench.leaderboards.report import Matrix
from disbench.metrics.arrays import Array, Floats, Ints, Split
from disbench.metrics.factors import Factors

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
    target: Path, kind: str, metric: str = "", device: str = "auto", data_dir: Path | None = None
) -> Matrix:
    """The mutual information ("mi") or DCI's importance ("dci") of codes and factors, or the mean difference
    of each code in pairs of images that share a factor ("differences").

    The matrix of a seed is taken from its scores, or else computed from its codes.npz, or else from the
    trained model.

    Args:
        target: a seed's folder or its checkpoint.pt, or an .npz with `codes` (n, d) and `factors` (n, k).
        kind: "mi", "dci" or "differences".
        metric: the metric with another preset than that of the scores, such as "dci:ibgan".
        device: "auto", "cpu" or "cuda", for a model.
        data_dir: folder of the data sets.

    Raises:
        UsageError: the target is of no such kind, or codes and factors have no such matrix.
    """
    name, part = PARTS[kind]
    choice = choose_metrics(metric or QUICK[kind])[0]
    if choice.name != name:
        raise UsageError(
            f"{argument('kind')} {kind} draws a part of {name}; "
            f"give {argument('metric')} {name}:PRESET or omit it."
        )
    holds = metrics.get(name).kind == "sampling"
    if target.suffix == ".npz":
        if holds:
            raise UsageError(
                f"{argument('kind')} {kind} holds factors fixed, for which a file of codes has too few rows; "
                "give a seed's folder or its checkpoint.pt."
            )
        return _of_file(target, choice, part, data_dir)
    folder = target if target.is_dir() else target.parent
    record = Record.read(folder)
    scored = None if record is None else stored(record, kind, metric)
    if scored is not None:
        return scored
    codes, checkpoint = folder / "codes.npz", folder / "checkpoint.pt"
    if target.is_dir():
        not_linked(codes)
        not_linked(checkpoint)
    if codes.exists() and not holds:
        return _of_file(codes, choice, part, data_dir)
    if not checkpoint.exists():
        raise UsageError(
            f"{argument('kind')} {kind} draws one trained model; {target} is neither a seed's folder "
            "(such as RUN/betavae-1a2b3c4d/seed-0) nor an .npz with codes and factors."
        )
    return _of_model(checkpoint, choice, part, device, data_dir)


def stored(record: Record, kind: str, metric: str = "") -> Matrix | None:
    """The matrix that the scores of a seed hold; None if they hold none, or one that is no finite table.

    Args:
        record: the seed.
        kind: "mi" or "dci".
        metric: the metric with its preset; any preset by default.
    """
    name, part = PARTS[kind]
    preset = choose_metrics(metric)[0].preset if metric else None
    cell = record.cell
    for entry in record.entries or ():
        wanted = preset is None or (entry.preset, entry.changed) == (preset, {})
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


def _of_file(path: Path, choice: MetricChoice, part: str, data_dir: Path | None) -> Matrix:
    """From an .npz of codes with factors, or of codes with rows of a data set, as in `codes.npz`."""
    try:
        with np.load(path, allow_pickle=False) as file:
            codes = file["codes"]
            factors = file["factors"] if "factors" in file.files else None
            if factors is None:
                rows, about = file["rows"], DataRef(*(file[n].item() for n in ("dataset", "size", "sha256")))
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise UsageError(f"{path} is not an .npz with arrays codes (n, d), factors (n, k): {error}") from None
    title = f"{path.parent.name if path.name == 'codes.npz' else path.name} ({choice.preset})"
    if factors is not None:
        return _measured(choice, part, codes, factors, (), title)
    data = datasets.load(about.name, size=about.size, data_dir=data_dir)
    if about.sha256 != data.sha256:
        raise UsageError(
            f"{path} holds codes of another {about.name} (sha256 {about.sha256[:12]}...) than the one here "
            f"({data.sha256[:12]}...); use the same data set."
        )
    order = np.argsort(rows)
    rows, codes = rows[order], codes[order]
    return _of_rows(data, rows, codes, choice, part, title)


def _of_model(
    checkpoint: Path, choice: MetricChoice, part: str, device: str, data_dir: Path | None
) -> Matrix:
    import torch

    from disbench import models
    from disbench.benchmark.scoring import sources

    loaded = models.load_checkpoint(checkpoint)
    method, data, where = sources.revive(loaded, device, data_dir)
    if where.type == "cpu":
        torch.set_num_threads(1)
    name = titles.training(loaded.method, loaded.variant)
    preset = titles.preset(choice.preset or metrics.get(choice.name).default_preset)
    title = f"{name}, seed {loaded.seed} ({preset})"
    trained = Trained(method, data, where, data_dir)
    if metrics.get(choice.name).kind == "sampling":
        return _of_pairs(data, trained, choice, part, title)
    rows = draws.every_table(data)
    codes = trained.codes(rows)
    return _of_rows(data, rows, codes, choice, part, title)


def _of_pairs(data: Dataset, trained: Trained, choice: MetricChoice, part: str, title: str) -> Matrix:
    """Of a metric that holds factors, with a few votes; each image that it asks for is encoded once."""
    metric, grid, changed = metrics.get(choice.name), data.grid, {**choice.settings, **VOTES}
    rows = np.unique(metric.rows(grid, draws.generator(choice), choice.preset, **changed))
    codes = Codes(rows, trained.codes(rows), len(data))
    score = metric(codes, grid, rng=draws.generator(choice), preset=choice.preset, **changed)
    names = [name for i, name in enumerate(data.factor_names) if i not in score.dropped_factors]
    return _labelled(np.asarray(score.parts[part], float), names, title)


def _of_rows(
    data: Dataset,
    rows: Ints,
    codes: Floats,
    choice: MetricChoice,
    part: str,
    title: str,
) -> Matrix:
    """Measured on the rows of a table metric; `codes` (m, d) are those of `rows` (m,), ascending."""
    wanted = draws.table_rows(data, having=rows, held_out=draws.holds_out(choice))
    looked_up = Codes(rows, codes, len(data))(wanted)
    split = draws.split(len(wanted))
    return _measured(choice, part, looked_up, data.factor_values(wanted), data.factor_names, title, split)


def _measured(
    choice: MetricChoice,
    part: str,
    codes: Floats,
    factors: Factors | Array,
    names: Sequence[str],
    title: str,
    split: Split | None = None,
) -> Matrix:
    metric = metrics.get(choice.name)
    extra: dict[str, object] = {"rng": draws.generator(choice)} if metric.takes("rng") else {}
    if metric.takes("split"):
        extra["split"] = split
    score = metric(codes, factors, preset=choice.preset, **choice.settings, **extra)
    names = [name for i, name in enumerate(names) if i not in score.dropped_factors]
    return _labelled(np.asarray(score.parts[part], float), names, title)


def _labelled(values: NDArray[np.float64], factors: Sequence[str], title: str) -> Matrix:
    d, k = values.shape
    named = list(factors) if len(factors) == k else [f"factor {i}" for i in range(k)]
    return Matrix(values, [f"code {i}" for i in range(d)], named, title)


def _factor_names(dataset: str, dropped: Sequence[int]) -> list[str]:
    if dataset not in manifest.names():
        return []
    return [name for i, name in enumerate(manifest.read(dataset).factors) if i not in dropped]
