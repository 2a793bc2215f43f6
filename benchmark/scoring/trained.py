"""A trained method as a source: its codes of images, and its generated images counted by class."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from disbench.benchmark.datasets import Dataset
from disbench.benchmark.scoring.classifier import load_classifier
from disbench.benchmark.scoring.scoring import Progress
from disbench.benchmark.training.seeds import stream
from disbench.errors import UsageError
from disbench.metrics import ContingencyTable
from disbench.metrics.arrays import Floats, Ints
from disbench.metrics.conversion import as_array
from disbench.models import Method

# images encoded at a time: what a layer gives for them fits into a core's cache, or fills a GPU
CHUNK, CHUNK_ON_GPU = 256, 4096


@dataclass(frozen=True)
class Trained:
    """A trained method on a data set, as a `scoring.Source`.

    Attributes:
        method: the method, on `device`.
        data: the data set whose images it encodes.
        device: where it encodes them.
        data_dir: folder of the data sets, and of the classifiers of generated images.
        images: from row numbers to images, where the device has them already.
    """

    method: Method
    data: Dataset
    device: torch.device
    data_dir: Path | None = None
    images: Callable[[Ints], Tensor] | None = None

    @property
    def rows(self) -> Ints | None:
        """None: it has codes of all images."""
        return None

    def codes(self, rows: Ints, progress: Progress | None = None) -> Floats:
        """The codes (len(rows), d) that `represent` gives in evaluation mode."""
        images, chunk = self.images or self.data.images, CHUNK_ON_GPU if self.device.type == "cuda" else CHUNK
        return encode(representation(self.method, self.device), images, rows, progress, chunk)

    def contingency(self) -> tuple[ContingencyTable, str] | str:
        """See `contingency`."""
        return contingency(self.method, self.data, self.device, self.data_dir)


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """One thread for torch within the block: the last digits of codes depend on how many there are."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def representation(method: Method, device: torch.device) -> Callable[[Tensor], Tensor]:
    """`represent` of a method on a device, in evaluation mode, for images (b, c, h, w) from anywhere."""
    method.eval()
    return lambda images: method.represent(images.to(device, memory_format=torch.channels_last))


def encode(
    represent: Callable[[Tensor], Tensor],
    images: Callable[[Ints], Tensor],
    rows: Ints,
    progress: Progress | None = None,
    chunk: int = 0,
) -> Floats:
    """The codes (len(rows), d) of the images in these rows.

    Args:
        represent: from images (b, c, h, w) to codes (b, d).
        images: from row numbers (b,) to images.
        rows: (n,) row numbers.
        progress: called after each part.
        chunk: images at a time; 0 for `CHUNK`.

    Raises:
        UsageError: a code is not a number, or some images have more codes than others.
    """
    # One array for all: the parts, kept one by one, would keep a network's memory from being used again.
    codes: Floats = np.empty((0, 0), np.float32)
    chunk = chunk or CHUNK
    with torch.no_grad():
        for start in range(0, len(rows), chunk):
            given = represent(images(rows[start : start + chunk]))
            part = as_array(given, "the encoder's codes").astype(np.float32, copy=False)
            if start == 0:
                codes = np.empty((len(rows), *part.shape[1:]), np.float32)
            if part.shape[1:] != codes.shape[1:]:
                raise UsageError(
                    f"the encoder gave codes of shape {codes.shape[1:]} for the first images and of shape "
                    f"{part.shape[1:]} from row {rows[start]:,} on; it must give the same for all."
                )
            codes[start : start + chunk] = part
            if progress:
                progress("encoding", min(start + chunk, len(rows)), len(rows))
    if not np.isfinite(codes).all():
        bad = int((~np.isfinite(codes)).any(1).sum())
        raise UsageError(f"{bad} of {len(codes)} codes hold NaN or infinite values; the model has diverged.")
    return codes


def contingency(
    method: Method, data: Dataset, device: torch.device, data_dir: Path | None
) -> tuple[ContingencyTable, str] | str:
    """Counts of 1,000 generated images of each category by the class that the frozen classifier gives them.

    Categories are hard one-hot codes, all with the same noise (Ojha et al. 2020).

    Returns:
        The counts, and the classifier with its accuracy and hash in words; or the reason why the method or
        the data set cannot have them.

    Raises:
        UsageError: the classifier of this data set is not there.
    """
    if data.labels is None:
        return f"{data.name} has no classes"
    generator = torch.Generator(device).manual_seed(stream(0, "categories"))
    method.eval()
    with torch.no_grad():
        generated = [method.categories(method.noise(100, generator)) for _ in range(10)]
    # (categories, 100, c, h, w) each
    rounds = [named[1] for named in generated if named is not None]
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
    return table, f"{classifier.data}, {classifier.accuracy:.2%} right, sha256 {classifier.sha256[:12]}"
