"""Scores a trained method: every image that any metric asks for is encoded once, then each metric reads its
rows."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from disbench import metrics
from disbench.benchmark.datasets import Dataset
from disbench.benchmark.datasets.classifier import load_classifier
from disbench.benchmark.protocols import MetricChoice
from disbench.benchmark.store import plain
from disbench.benchmark.trainer import stream
from disbench.errors import UsageError
from disbench.metrics import ContingencyTable, Grid
from disbench.models import Method

Ints = NDArray[np.integer[Any]]
Floats = NDArray[np.float32]
TRAIN_ROWS, TEST_ROWS = 10_000, 5_000  # of a table metric, as in disentanglement_lib
CHUNK = 1_024  # images encoded at a time
Told = Callable[[str, int, int], None]  # hears of long work: what, how much is done, of how much


def encode(
    method: Method,
    data: Dataset,
    rows: Ints,
    device: torch.device,
    progress: Told | None = None,
) -> Floats:
    """The codes (len(rows), d) of images, in evaluation mode.

    Raises:
        UsageError: a code is not a number.
    """
    method.eval()
    found = []
    with torch.no_grad():
        for start in range(0, len(rows), CHUNK):
            images = data.images(rows[start : start + CHUNK]).to(device, memory_format=torch.channels_last)
            found.append(method.represent(images).float().cpu().numpy())
            if progress:
                progress("encoding", min(start + CHUNK, len(rows)), len(rows))
    codes = np.concatenate(found) if found else np.empty((0, 0), np.float32)
    if not np.isfinite(codes).all():
        bad = int((~np.isfinite(codes)).any(1).sum())
        raise UsageError(f"{bad} of {len(codes)} codes hold NaN or infinite values; the model has diverged.")
    return codes


class Codes:
    """Codes of some rows of a data set, looked up by row number."""

    def __init__(self, rows: Ints, codes: Floats, n: int) -> None:
        self.codes = codes
        self.position = np.full(n, -1, np.int32)
        self.position[rows] = np.arange(len(rows))

    def __call__(self, rows: NDArray[np.integer[Any]]) -> Floats:
        found: Floats = self.codes[self.position[rows]]
        return found


def generator(choice: MetricChoice) -> np.random.Generator:
    """The draws of a metric: its own, the same for every checkpoint."""
    return np.random.default_rng(stream(0, f"{choice.name}/{choice.preset}"))


def table_rows(data: Dataset) -> Ints:
    """Rows of a table metric: drawn with replacement from a grid, without from a labelled set."""
    rng = np.random.default_rng(stream(0, "table"))
    wanted = TRAIN_ROWS + TEST_ROWS
    if data.factor_sizes is not None:
        return rng.integers(len(data), size=wanted)
    return rng.permutation(len(data))[:wanted]


def check_classifier(data: Dataset, choices: Sequence[MetricChoice], data_dir: Path | None) -> None:
    """Raises UsageError before any training where a metric will need a classifier that is not there yet."""
    if data.labels is not None and any(metrics.get(c.name).kind == "clustering" for c in choices):
        load_classifier(data.name, size=data.shape[1], data_dir=data_dir)


def contingency(
    method: Method, data: Dataset, device: torch.device, data_dir: Path | None
) -> tuple[ContingencyTable, str] | str:
    """Counts of 1,000 generated images of each category by the class that the frozen classifier gives them.

    Categories are hard one-hot codes, all with the same noise (Ojha et al. 2020). Beside the table, what
    names the classifier; instead of both, the reason why there can be none.
    """
    if data.labels is None:
        return f"{data.name} has no classes"
    generator = torch.Generator(device).manual_seed(stream(0, "categories"))
    method.eval()
    with torch.no_grad():
        drawn = [method.categories(method.noise(100, generator)) for _ in range(10)]
    rounds = [found[1] for found in drawn if found is not None]  # (categories, 100, c, h, w) each
    if not rounds:
        return "the method has no categorical code"
    classifier = load_classifier(data.name, size=data.shape[1], data_dir=data_dir)
    k, classes = len(rounds[0]), len(classifier.classes)
    counts = np.zeros((k, classes), np.int64)
    for pictures in rounds:
        for category, row in enumerate(pictures.cpu()):
            counts[category] += np.bincount(classifier(row).numpy(), minlength=classes)
    prior = method.class_prior()
    latent_prior = np.full(k, 1 / k) if prior is None else prior.detach().cpu().double().numpy()
    table = ContingencyTable(counts, latent_prior / latent_prior.sum(), data.class_prior)
    named = f"{classifier.data}, {classifier.accuracy:.2%} right, sha256 {classifier.sha256[:12]}"
    return table, named


def score(
    method: Method,
    data: Dataset,
    choices: Sequence[MetricChoice],
    device: torch.device,
    data_dir: Path | None = None,
    progress: Told | None = None,
    jobs: int = 1,
) -> list[dict[str, Any]]:
    """One entry per metric: name, preset, score and everything that a `Score` carries, as plain values.

    `jobs` is the number of processes for the metrics that can use several, -1 for one per core; no score
    depends on it.

    A metric that this method or data set cannot have (a voting metric without a factor grid, a clustering
    metric without a categorical code) is an entry with score None and the reason.
    """
    table: tuple[ContingencyTable, str] | str | None = None
    grid: Grid | None = data.grid if data.factor_sizes is not None else None
    asked: list[Ints | str] = []
    for choice in choices:
        metric = metrics.get(choice.name)
        if metric.kind == "sampling":
            if grid is None:
                asked.append(f"{choice.name} needs a complete factor grid, which {data.name} has not")
            else:
                asked.append(metric.rows(grid, generator(choice), choice.preset, **choice.settings))
        elif metric.kind in ("table", "unsupervised"):
            asked.append(table_rows(data))
        elif metric.kind == "clustering":
            table = table or contingency(method, data, device, data_dir)
            asked.append(f"{choice.name}: {table}" if isinstance(table, str) else np.empty(0, np.int64))
        else:
            asked.append(f"{choice.name} needs more than the codes of one model and is called from Python")
    needed = [rows for rows in asked if not isinstance(rows, str)]
    rows = np.unique(np.concatenate([np.empty(0, np.int64), *needed]))
    codes = Codes(rows, encode(method, data, rows, device, progress), len(data))

    entries = []
    for choice, wanted in zip(choices, asked, strict=True):
        if isinstance(wanted, str):
            entries.append(pending(choice, wanted))
            continue
        metric = metrics.get(choice.name)
        extra: dict[str, Any] = {"rng": generator(choice)} if metric.takes("rng") else {}
        if metric.takes("n_jobs"):
            extra["n_jobs"] = jobs
        if progress and metric.takes("progress"):
            extra["progress"] = partial(progress, choice.name)
        started = time.perf_counter()
        if metric.kind == "sampling":
            arguments: tuple[Any, ...] = (codes, grid)
        elif metric.kind == "table":
            arguments = (codes(wanted), data.factors(wanted))
            if metric.takes("split"):
                cut = len(wanted) * TRAIN_ROWS // (TRAIN_ROWS + TEST_ROWS)
                extra["split"] = (np.arange(cut), np.arange(cut, len(wanted)))
        elif metric.kind == "clustering":
            assert isinstance(table, tuple)  # a reason was refused above
            arguments = (table[0],)
        else:
            arguments = (codes(wanted),)
        found = metric(*arguments, preset=choice.preset, **choice.settings, **extra)
        entries.append(
            {
                **_head(choice),
                "score": plain(found.score),
                "label": found.preset,
                "reason": None if np.isfinite(found.score) else "; ".join(found.warnings),
                "higher_is_better": metric.higher_is_better,
                "chance": metric.chance,
                "parts": plain(found.parts),
                "settings": plain(found.settings),
                "live": plain(found.live),
                "dropped_factors": plain(found.dropped_factors),
                "warnings": plain(found.warnings),
                "n_encoded": found.n_encoded,
                "classifier": table[1] if metric.kind == "clustering" and table else None,
                "seconds": round(time.perf_counter() - started, 3),
            }
        )
    return entries


def _head(choice: MetricChoice) -> dict[str, Any]:
    return {"metric": choice.name, "preset": choice.preset, "changed": plain(choice.settings)}


def pending(choice: MetricChoice, reason: str | None = None) -> dict[str, Any]:
    """An entry without a score: what was asked, and why there is none."""
    changes = [f"{name}={value}" for name, value in choice.settings.items()]
    label = ", ".join([str(choice.preset), *changes])
    return {**_head(choice), "score": None, "label": label, "reason": reason}


def answers(entries: Any, choices: Sequence[MetricChoice]) -> bool:
    """Whether stored scores are those of exactly these metrics, presets and settings."""
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        return False
    found = [{key: entry.get(key) for key in ("metric", "preset", "changed")} for entry in entries]
    return found == [_head(choice) for choice in choices]
