"""The oracle of a data set: what reads its pictures, and how they are made ready for it.

dsprites and the published files     all images are known, bit by bit
color_dsprites                       the colour is unknown: a pixel's largest channel, relative to the
                                     picture's largest, is how white it is
noisy_dsprites                       white is 1 in all channels, noise hardly ever: the smallest channel;
                                     what is below `NOISE` is background
scream_dsprites                      refused: a sprite shows the inverse of a patch of a picture at an
                                     unknown place in unknown colours, and no pixel alone says which
other grids                          the nearest of all images by squared differences of grey levels or
                                     colours; all images are read once for it
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from disbench.benchmark.datasets import dsprites
from disbench.benchmark.datasets.dataset import ArrayStorage, Dataset, FileStorage, Storage
from disbench.benchmark.datasets.derived import Styled
from disbench.errors import UsageError
from disbench.metrics.arrays import Floats, Ints
from disbench.metrics.oracle import Bits, Levels, Oracle, Reading

Pictures = NDArray[np.float32]

# Smallest channel from which a pixel of a noisy picture is a sprite's: of noise, .1 % of the pixels reach it.
NOISE = 0.9


@dataclass(frozen=True)
class DataOracle:
    """The oracle of a data set's pictures.

    Attributes:
        oracle: of all images.
        ready: from the data set's pictures (n, c, h, w) to those that the oracle takes.
        threshold: above it a pixel is white.
        note: how pictures are read, in words.
    """

    oracle: Oracle
    ready: Callable[[Pictures], Pictures]
    threshold: float
    note: str

    @property
    def names(self) -> tuple[str, ...]:
        """What each factor is called."""
        given = self.oracle.given
        return given.names or tuple(f"factor_{k}" for k in range(len(given.sizes)))

    def read(self, pictures: Pictures, progress: Callable[[int, int], None] | None = None) -> Reading:
        """Reads pictures (n, c, h, w) in [0, 1] by Hamming distance; see `Oracle.read`."""
        return self.oracle.read(self.ready(pictures), threshold=self.threshold, progress=progress)


def check(data: Dataset) -> None:
    """Refuses a data set that has no oracle.

    Raises:
        UsageError: it has no factor grid, or its pictures cannot be read back.
    """
    if data.factor_sizes is None:
        raise UsageError(
            f"{data.name} is no complete grid of factors in row-major order, so that no picture can be read "
            "back to factors; take a data set that is, such as dsprites"
        )
    if _style(data) == "scream":
        raise UsageError(
            f"{data.name}: a sprite shows the inverse of an unknown patch in unknown colours, so that no "
            "picture can be read back; take dsprites, color_dsprites or noisy_dsprites"
        )


def _style(data: Dataset) -> str:
    return data.storage.style if isinstance(data.storage, Styled) else ""


@functools.lru_cache(maxsize=1)
def of_data(data: Dataset) -> DataOracle:
    """The oracle of a data set; the last one is kept.

    Raises:
        UsageError: see `check`.
    """
    check(data)
    storage, grid, style = data.storage, data.grid, _style(data)
    symmetry = dsprites.symmetry(grid.names, grid.sizes)
    base = storage.base if isinstance(storage, Styled) else storage
    packed = _packed(base)
    if packed is None:
        stored = Levels(len(data), int(np.prod(data.shape)), functools.partial(_levels, base))
        return DataOracle(
            Oracle(stored, grid, data.shape, symmetry), _same, 0.5, "nearest by squared differences"
        )
    oracle = Oracle(Bits(packed), grid, (1, *data.shape[1:]), symmetry)
    if style == "color":
        return DataOracle(oracle, brightest, 0.5, "white is half of the picture's largest channel")
    if style == "noisy":
        return DataOracle(oracle, darkest, NOISE, f"white is {NOISE} or more in all channels")
    return DataOracle(oracle, _same, 0.5, "white is a value above .5")


def _packed(storage: Storage) -> NDArray[np.uint8] | None:
    """Binary images (n, bytes), packed; None if they have grey levels."""
    if isinstance(storage, FileStorage) and storage.stored.packed:
        return storage.mapped.reshape(len(storage.mapped), -1)
    if isinstance(storage, ArrayStorage) and storage.shape[1] == 1 and np.isin(storage.array, (0, 255)).all():
        flat = storage.array.reshape(len(storage.array), -1)
        return np.packbits(flat > 0, axis=1) if flat.shape[1] % 8 == 0 else None
    return None


def _levels(storage: Storage, rows: Ints) -> Pictures:
    levels: Pictures = np.rint(storage.read(rows) * 255).reshape(len(rows), -1)
    return levels


def _same(pictures: Pictures) -> Pictures:
    return pictures


def brightest(pictures: Pictures) -> Pictures:
    """(n, 1, h, w) The largest channel of each pixel, relative to the largest of the picture."""
    most = pictures.max(axis=1, keepdims=True)
    top: Floats = most.max(axis=(2, 3), keepdims=True)
    relative: Pictures = np.divide(most, top, out=np.zeros_like(most), where=top > 0)
    return relative


def darkest(pictures: Pictures) -> Pictures:
    """(n, 1, h, w) The smallest channel of each pixel."""
    least: Pictures = pictures.min(axis=1, keepdims=True)
    return least
