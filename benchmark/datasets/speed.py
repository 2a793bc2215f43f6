"""How fast batches come from each kind of storage, for `disbench bench data`."""

import os
import tempfile
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from disbench.benchmark.datasets import cache, loading
from disbench.benchmark.datasets.dataset import ArrayStorage, Dataset, FileStorage, Storage

SUBSET = 8192  # images in memory and in the compressed file


@dataclass(frozen=True)
class Speed:
    """Batches per second of one storage.

    Attributes:
        data: name of the data set.
        storage: "as stored", "in memory" (uint8) or "compressed HDF5".
        size: of the images, in pixels.
        batch: number of random images that are read at a time.
        batches_per_second: how many such batches were read.
    """

    data: str
    storage: str
    size: int
    batch: int
    batches_per_second: float

    @property
    def milliseconds(self) -> float:
        """Time per batch."""
        return 1000 / self.batches_per_second


def bench(
    names: Iterable[str] = ("dsprites", "digits"),
    *,
    size: int | None = None,
    batch: int = 64,
    seconds: float = 1.0,
    data_dir: str | os.PathLike[str] | None = None,
) -> list[Speed]:
    """Batches per second of each data set as stored, in memory and from compressed HDF5.

    The last two hold only the first 8192 images; as stored, rows are drawn from the whole set, so that the
    disk is part of the measurement on a first run.

    Args:
        names: of the data sets.
        size: of the images, in pixels; None for the default.
        batch: number of images that are read at a time.
        seconds: time per measurement.
        data_dir: folder of the data sets.
    """
    rows = []
    for name in names:
        dataset = loading.load(name, size=size, data_dir=data_dir)
        rows.append(_speed(dataset, "as stored", dataset.storage, batch, seconds))
        first = np.arange(min(SUBSET, len(dataset)))
        pixels = np.rint(255 * dataset.images(first).numpy()).astype(np.uint8)
        rows.append(_speed(dataset, "in memory", ArrayStorage(pixels), batch, seconds))
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "bench.h5"
            cache.write(path, "bench", cache.Content(pixels.shape, [pixels]), "compressed")
            compressed = FileStorage(cache.inspect(path))
            rows.append(_speed(dataset, "compressed HDF5", compressed, batch, seconds))
    return rows


def _speed(dataset: Dataset, what: str, storage: Storage, batch: int, seconds: float) -> Speed:
    rng = np.random.default_rng(0)
    # opens the file
    storage.read(rng.integers(0, storage.shape[0], batch))
    count, start = 0, time.perf_counter()
    while count == 0 or time.perf_counter() - start < seconds:
        storage.read(rng.integers(0, storage.shape[0], batch))
        count += 1
    rate = count / (time.perf_counter() - start)
    return Speed(dataset.name, what, dataset.shape[1], batch, rate)
