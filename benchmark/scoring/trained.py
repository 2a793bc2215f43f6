"""A trained method as a source: its codes of images, and its generated images counted by class."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from disbench.benchmark.datasets import Dataset
from disbench.benchmark.scoring.classifier import load_classifier
from disbench.benchmark.scoring.scoring import Progress
from disbench.benchmark.training.seeds import stream
from disbench.errors import UsageError
from disbench.metrics import ContingencyTable
from disbench.models import Method

Ints = NDArray[np.integer[Any]]
Floats = NDArray[np.float32]
CHUNK = 256  # images encoded at a time: what a layer gives for them fits into a core's cache


@dataclass(frozen=True)
class Trained:
    """The codes of a trained method."""

    method: Method
    data: Dataset
    device: torch.device
    data_dir: Path | None = None

    @property
    def rows(self) -> Ints | None:
        return None

    def codes(self, rows: Ints, progress: Progress | None = None) -> Floats:
        self.method.eval()

        def represent(images: Tensor) -> Tensor:
            return self.method.represent(images.to(self.device, memory_format=torch.channels_last))

        return encode(represent, self.data, rows, progress)

    def contingency(self) -> tuple[ContingencyTable, str] | str:
        return contingency(self.method, self.data, self.device, self.data_dir)


def encode(
    represent: Callable[[Tensor], Tensor], data: Dataset, rows: Ints, progress: Progress | None = None
) -> Floats:
    """The codes (len(rows), d) of images, from a function of images (b, c, h, w) to codes (b, d).

    Raises:
        UsageError: a code is not a number, or some images have more codes than others.
    """
    codes: Floats = np.empty((0, 0), np.float32)
    with torch.no_grad():
        for start in range(0, len(rows), CHUNK):
            found = represent(data.images(rows[start : start + CHUNK])).float().cpu().numpy()
            if (
                start == 0
            ):  # one array for all: kept apart, the parts would keep a network's memory from reuse
                codes = np.empty((len(rows), *found.shape[1:]), np.float32)
            if found.shape[1:] != codes.shape[1:]:
                raise UsageError(
                    f"the encoder gave codes of shape {codes.shape[1:]} for the first images and of shape "
                    f"{found.shape[1:]} from row {rows[start]:,} on; it must give the same for all."
                )
            codes[start : start + CHUNK] = found
            if progress:
                progress("encoding", min(start + CHUNK, len(rows)), len(rows))
    if not np.isfinite(codes).all():
        bad = int((~np.isfinite(codes)).any(1).sum())
        raise UsageError(f"{bad} of {len(codes)} codes hold NaN or infinite values; the model has diverged.")
    return codes


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
