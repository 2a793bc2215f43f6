"""What plots and reports show beside scores: settings that vary, matrices of codes and factors, pictures."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from disbench import metrics
from disbench.benchmark import protocols
from disbench.benchmark.datasets import Dataset, manifest
from disbench.benchmark.protocols import MetricChoice, choose_metrics
from disbench.benchmark.runs import provenance, store
from disbench.benchmark.runs.rows import journal_rows
from disbench.benchmark.runs.store import CellFile
from disbench.benchmark.scoring import draws, scoring
from disbench.benchmark.scoring.trained import Trained
from disbench.errors import UsageError, unknown
from disbench.files import plain
from disbench.leaderboards import labels, plots, results
from disbench.leaderboards.report import Findings, Matrix, Traversal

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
    rows = draws.distinct(len(data), draws.table_rows(data))
    codes = Trained(method, data, where, data_dir).codes(rows)
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
    wanted = draws.table_rows(data, having=rows)
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
    extra: dict[str, Any] = {"rng": draws.generator(choice)} if measured.takes("rng") else {}
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


def settings(runs: Sequence[Path]) -> dict[tuple[str, str], Mapping[str, Any]]:
    """The config of every training, by its label and cell."""
    found: dict[tuple[str, str], Mapping[str, Any]] = {}
    for run in runs:
        if results.is_kept(run):
            for folder, told in results.provenance(run)["settings"].items():
                found[labels.split_folder(str(folder))] = told["config"]
            continue
        for cell, _ in store.cells(run):
            found[cell.label, cell.digest] = {k: plain(v) for k, v in cell.config.items()}
    return found


def swept(frame: pd.DataFrame, runs: Sequence[Path], field: str = "") -> tuple[pd.DataFrame, str]:
    """The rows of methods that have a setting with several values, for `plots.sweep`, and that setting.

    Methods with other settings that vary too are as many lines as those have values.

    Args:
        field: the setting; needed where several vary.

    Raises:
        UsageError: none varies, or several do, or not this one.
    """
    configs = settings(runs)
    fields = plots.varying(configs)
    if not fields:
        raise UsageError(
            "no setting varies within a method, so there is no curve over one; train some with, say, "
            "`disbench run --set betavae.beta=2` into the same folder."
        )
    if not field and len(fields) > 1:
        raise UsageError(f"several settings vary: {', '.join(fields)}; choose one with --field.")
    field = field or fields[0]
    if field not in fields:
        raise unknown("setting that varies", field, fields)
    own = {m: plots.varying({k: v for k, v in configs.items() if k[0] == m}) for m in {m for m, _ in configs}}
    others, values, drawn = [], [], []
    for label, cell in zip(labels.labels(frame), frame["cell"], strict=True):
        config = configs[label, cell]
        others.append(", ".join(f"{other}={config[other]}" for other in own[label] if other != field))
        values.append(config.get(field))
        drawn.append(field in own[label])
    frame = frame.assign(value=pd.Series(values, index=frame.index, dtype=object))
    lines = [
        ((place, str(value)), label, other, plugin, cell)
        for (place, label, _, plugin, cell), value, other in zip(
            labels.described(frame), values, others, strict=True
        )
    ]
    return frame.assign(name=labels.tell_apart(lines))[drawn], field


def judge(frame: pd.DataFrame, metric: str = "") -> tuple[str, str]:
    """The metric and preset by which seeds are told best from worst: the one asked for, else factor_vae's,
    else the first that has scores.

    Raises:
        UsageError: no such metric, or no score.
    """
    scored = frame[frame["score"].notna()]
    pairs = list(dict.fromkeys(zip(scored["metric"], scored["preset"], strict=True)))
    if not pairs:
        raise UsageError("no seed has a score yet, so none is the best; train and score some first.")
    wanted, _, preset = (metric or "factor_vae").partition(":")
    found = [pair for pair in pairs if pair[0] == wanted and preset in ("", pair[1])]
    if metric and not found:
        raise unknown("metric of this run", metric, [f"{name}:{label}" for name, label in pairs])
    return (found or pairs)[0]


def traversals(frame: pd.DataFrame, metric: str, preset: str) -> dict[str, list[Traversal]]:
    """By training, the pictures of its best, median and worst seed by a metric; a seed without a picture is
    left out."""
    found = {}
    for name, group in _trainings(frame, metric, preset):
        made = []
        for what, row in plots.representatives(group):
            path = Path(row["run"]) / row["folder"] / "traversal.png"
            if path.exists():
                made.append(Traversal(what, int(row["seed"]), float(row["score"]), path))
        if made:
            found[name] = made
    return found


def matrices(frame: pd.DataFrame, metric: str, preset: str) -> dict[str, dict[str, Matrix]]:
    """By training, the matrices by kind that the scores of its best seed hold."""
    found = {}
    for name, group in _trainings(frame, metric, preset):
        for _, row in plots.representatives(group)[:1]:
            folder = Path(row["run"]) / row["folder"]
            of_seed = {kind: made for kind in PARTS if (made := stored(folder, kind)) is not None}
            if of_seed:
                found[name] = of_seed
    return found


def _trainings(frame: pd.DataFrame, metric: str, preset: str) -> Iterator[tuple[str, pd.DataFrame]]:
    """The rows of each training with one metric, under its name; where needed, with data set and protocol."""
    named = frame.assign(name=labels.names(frame))
    mine = named[(named["metric"] == metric) & (named["preset"] == preset)]
    for (dataset, protocol, name), group in mine.groupby(["dataset", "protocol", "name"], sort=False):
        on = f" on {dataset}" if frame["dataset"].nunique() > 1 else ""
        under = f" under {protocol}" if frame["protocol"].nunique() > 1 else ""
        yield f"{name}{on}{under}", group


def pixels(path: Path) -> NDArray[np.uint8]:
    """A picture as (h, w, 3).

    Raises:
        UsageError: it cannot be read.
    """
    try:
        with Image.open(path) as image:
            return np.asarray(image.convert("RGB"))
    except (OSError, ValueError, Image.DecompressionBombError) as error:
        raise UsageError(f"{path} is no picture that can be read: {error}") from None


def journals(runs: Sequence[Path]) -> pd.DataFrame:
    """Every logged value of the runs, one row per (seed, step, quantity, index) of each cell; of kept results
    there are none."""
    return pd.DataFrame([row for run in runs if not results.is_kept(run) for row in journal_rows(run)])


def findings(runs: Sequence[Path], frame: pd.DataFrame, told: Sequence[str], metric: str = "") -> Findings:
    """Everything that a report of runs or kept results shows.

    Args:
        frame: their per-seed rows. told: what a reader must know about them.
        metric: by which the best seed is chosen, see `judge`.

    Raises:
        UsageError: there is no such metric.
    """
    known = set(protocols.names())
    named = {
        name: protocols.get(name) if name in known else None for name in dict.fromkeys(frame["protocol"])
    }
    scored = bool(frame["score"].notna().any())
    judged = judge(frame, metric) if scored or metric else None
    fields = plots.varying(settings(runs))
    curves = {field: swept(frame, runs, field)[0] for field in fields}
    enough = {f: rows for f, rows in curves.items() if rows[rows["score"].notna()]["value"].nunique() > 1}
    return Findings(
        runs=[run.resolve().name for run in runs],
        frame=frame,
        protocols={n: (p.summary, p.meaningful) if p else ("", True) for n, p in named.items()},
        told=told,
        journals=journals(runs),
        swept=enough,
        judge=judged,
        traversals=traversals(frame, *judged) if judged else {},
        matrices=matrices(frame, *judged) if judged else {},
        facts=[_facts(run, frame) for run in runs],
    )


def _facts(run: Path, frame: pd.DataFrame) -> dict[str, Any]:
    if results.is_kept(run):
        return results.provenance(run)
    return provenance.describe(run.resolve().name, [run], frame[frame["run"] == str(run)])
