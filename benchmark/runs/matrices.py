"""The matrices of codes and factors: mutual information, and DCI's importance."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from disbench import metrics
from disbench.benchmark.datasets import Dataset, manifest
from disbench.benchmark.protocols import MetricChoice, choose_metrics
from disbench.benchmark.runs import store
from disbench.benchmark.runs.store import CellFile
from disbench.benchmark.scoring import scoring
from disbench.errors import UsageError
from disbench.leaderboards.report import Matrix

PARTS = {"mi": ("mig", "mutual_information"), "dci": ("dci", "importance")}
QUICK = {"mi": "mig", "dci": "dci:eastwood2018_forest"}  # what is computed where no score is kept


def matrix(
    target: Path, kind: str, metric: str = "", device: str = "auto", data_dir: Path | None = None
) -> Matrix:
    """The mutual information ("mi") or DCI's importance ("dci") of codes and factors.

    Args:
        target: a seed's folder or its checkpoint.pt, or an .npz with `codes` (n, d) and `factors` (n, k). Of
            a seed, what its scores hold is taken, else it is computed from the codes that were kept, else
            from the model.
        metric: another preset than that of the scores, such as "dci:ibgan".

    Raises:
        UsageError: it is neither, or the codes and factors allow no such matrix.
    """
    name, part = PARTS[kind]
    choice = choose_metrics(metric or QUICK[kind])[0]
    if choice.name != name:
        raise UsageError(
            f"--kind {kind} draws a part of {name}; give --metric {name}:PRESET or leave it out."
        )
    if target.suffix == ".npz":
        return _of_file(target, choice, part, data_dir)
    folder = target if target.is_dir() else target.parent
    kept_matrix = stored(folder, kind, metric)
    if kept_matrix is not None:
        return kept_matrix
    codes, checkpoint = folder / "codes.npz", folder / "checkpoint.pt"
    if codes.exists():
        return _of_file(codes, choice, part, data_dir)
    if not checkpoint.exists():
        raise UsageError(
            f"--kind {kind} draws one trained model; {target} is neither a seed's folder (such as "
            "RUN/betavae-1a2b3c4d/seed-0) nor an .npz with codes and factors."
        )
    return _of_model(checkpoint, choice, part, device, data_dir)


def stored(folder: Path, kind: str, metric: str = "") -> Matrix | None:
    """The matrix that a seed's scores hold, of any preset or of the one named; None where they hold none."""
    name, part = PARTS[kind]
    preset = choose_metrics(metric)[0].preset if metric else None
    file, entries = CellFile.read(folder), store.scores(folder)
    if file is None or entries is None:
        return None
    cell = file.cell
    for entry in entries:
        wanted = preset is None or (entry.preset, entry.changed) == (preset, {})
        if entry.metric == name and wanted and entry.parts.get(part):
            values = np.array(entry.parts[part], float)
            factors = _factor_names(cell.dataset.name, entry.dropped_factors)
            title = f"{cell.method}, seed {cell.seed} ({entry.label})"
            return _labelled(values, factors, title)
    return None


def _of_file(path: Path, choice: MetricChoice, part: str, data_dir: Path | None) -> Matrix:
    """Of codes with their factors, or of codes with the rows of a data set, as `codes.npz` has them."""
    try:
        with np.load(path, allow_pickle=False) as file:
            codes = file["codes"]
            if "factors" in file.files:
                factors = file["factors"]
                about = None
            else:
                about = file["rows"], str(file["dataset"]), int(file["size"]), str(file["sha256"])
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise UsageError(f"{path} is no .npz with arrays codes (n, d) and factors (n, k): {error}") from None
    title = f"{path.parent.name if path.name == 'codes.npz' else path.name} ({choice.preset})"
    if about is None:
        return _measured(choice, part, codes, factors, (), title)
    from disbench.benchmark import datasets

    rows, dataset, size, sha256 = about
    data = datasets.load(dataset, size=size, data_dir=data_dir)
    if sha256 != data.sha256:
        raise UsageError(
            f"{path} holds codes of another {dataset} (sha256 {sha256[:12]}...) than the one here "
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
    rows = scoring.distinct(len(data), scoring.table_rows(data))
    codes = scoring.Trained(method, data, where, data_dir).codes(rows)
    title = f"{loaded.method}, seed {loaded.seed} ({choice.preset})"
    return _of_rows(data, rows, codes, choice, part, title)


def _of_rows(
    data: Dataset,
    rows: NDArray[np.integer[Any]],
    codes: NDArray[Any],
    choice: MetricChoice,
    part: str,
    title: str,
) -> Matrix:
    """Measured on the rows of a table metric, of those (ascending) that have codes."""
    wanted = scoring.table_rows(data, having=rows)
    looked_up = scoring.Codes(rows, codes, len(data))(wanted)
    return _measured(choice, part, looked_up, data.factors(wanted), data.factor_names, title)


def _measured(
    choice: MetricChoice,
    part: str,
    codes: NDArray[Any],
    factors: NDArray[Any],
    names: Sequence[str],
    title: str,
) -> Matrix:
    measured = metrics.get(choice.name)
    extra: dict[str, Any] = {"rng": scoring.generator(choice)} if measured.takes("rng") else {}
    found = measured(codes, factors, preset=choice.preset, **choice.settings, **extra)
    kept_names = [name for i, name in enumerate(names) if i not in found.dropped_factors]
    return _labelled(np.asarray(found.parts[part], float), kept_names, title)


def _labelled(values: NDArray[np.float64], factors: Sequence[str], title: str) -> Matrix:
    d, k = values.shape
    named = list(factors) if len(factors) == k else [f"factor {i}" for i in range(k)]
    return Matrix(values, [f"code {i}" for i in range(d)], named, title)


def _factor_names(dataset: str, dropped: Sequence[int]) -> list[str]:
    if dataset not in manifest.names():
        return []
    return [name for i, name in enumerate(manifest.read(dataset).factors) if i not in dropped]
