"""What every data set is: compact images, read by row, and what is known about each row."""

from __future__ import annotations

import functools
import os
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

import h5py
import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from disbench.benchmark.datasets import cache
from disbench.errors import UsageError, argument
from disbench.metrics.arrays import Array, Ints, varying
from disbench.metrics.conversion import as_array
from disbench.metrics.factors import Factors
from disbench.metrics.occurring import Occurring
from disbench.metrics.registry import Grid, Space
from disbench.models.method import DataInfo

Pixels = NDArray[np.float32]


class Storage(Protocol):
    """Where the images lie. A storage pickles as its path, so it travels to worker processes at no cost."""

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(n, c, h, w)."""
        ...

    def read(self, rows: Ints) -> Pixels:
        """Images of the given rows (b,), in that order: (b, c, h, w) in [0, 1], a fresh array."""
        ...


class ArrayStorage:
    """Images in memory; pickles with its array.

    Args:
        array: (n, c, h, w) of uint8.

    Raises:
        UsageError: another shape or type.
    """

    def __init__(self, array: NDArray[np.uint8]) -> None:
        if array.dtype != np.uint8 or array.ndim != 4:
            raise UsageError(f"images {array.shape} of {array.dtype} must be (n, c, h, w) of uint8")
        self.array = array

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(n, c, h, w)."""
        n, c, h, w = self.array.shape
        return n, c, h, w

    def read(self, rows: Ints) -> Pixels:
        """See `Storage`."""
        return np.divide(self.array[rows], np.float32(255), dtype=np.float32)


class FileStorage:
    """Images in a cache file: mapped into memory and so shared by all processes, or compressed one by one.

    Args:
        stored: the file, checked.
    """

    def __init__(self, stored: cache.Stored) -> None:
        self.stored = stored

    def __reduce__(self) -> tuple[Callable[[Path, str], FileStorage], tuple[Path, str]]:
        return _reopen, (self.stored.path, self.stored.sha256)

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(n, c, h, w)."""
        if self.stored.packed:
            n, h, columns = self.stored.shape
            return n, 1, h, columns * 8
        n, c, h, w = self.stored.shape
        return n, c, h, w

    @functools.cached_property
    def mapped(self) -> NDArray[np.uint8]:
        """The stored bytes, in the stored shape, read as they are used. Not for compressed files."""
        if self.stored.offset is None:
            raise UsageError(f"{self.stored.path} is compressed, so it cannot be mapped; read it by rows")
        return np.memmap(self.stored.path, np.uint8, "r", self.stored.offset, self.stored.shape)

    def read(self, rows: Ints) -> Pixels:
        """See `Storage`."""
        if self.stored.packed:
            return np.unpackbits(self.mapped[rows], axis=-1).astype(np.float32)[:, None]
        raw = self._decompressed(rows) if self.stored.offset is None else self.mapped[rows]
        return np.divide(raw, np.float32(255), dtype=np.float32)

    def _decompressed(self, rows: Ints) -> NDArray[np.uint8]:
        # each image once, in the order of the file
        distinct, position = np.unique(rows, return_inverse=True)
        images = _open(self.stored.path, self.stored.sha256, os.getpid())["images"]
        raw = np.empty((len(distinct), *self.stored.shape[1:]), np.uint8)
        corner = (0,) * (len(self.stored.shape) - 1)
        for place, row in enumerate(distinct.tolist()):
            # a chunk is one image; taken as it lies in the file and inflated here, in half of h5py's time
            skipped, chunk = images.id.read_direct_chunk((row, *corner))
            pixels = chunk if skipped else zlib.decompress(chunk)
            raw[place] = np.frombuffer(pixels, np.uint8).reshape(self.stored.shape[1:])
        return raw[position]


@functools.lru_cache(maxsize=32)
def _open(path: Path, sha256: str, process: int) -> h5py.File:
    """One open file per content and process: a handle inherited through a fork must not be used."""
    return h5py.File(path, "r")


def _reopen(path: Path, sha256: str) -> FileStorage:
    try:
        stored = cache.inspect(path)
    except cache.UnusableError as why:
        raise UsageError(f"{why}; load the data set again in this process to make it") from why
    if stored.sha256 != sha256:
        raise UsageError(f"{path} changed: its content is {stored.sha256}, it was {sha256}; load it again")
    return FileStorage(stored)


@dataclass(frozen=True, eq=False)
class Dataset:
    """Images and what is known about them. Row i of a factor grid shows `np.unravel_index(i, factor_sizes)`.

    Attributes:
        name: what `load` finds it by, with its options.
        sha256: of the content: the stored image bytes, then labels and factor table as little-endian int64.
        storage: where the images lie.
        factor_names: one per factor; ("class",) for a labelled set; () where nothing is known.
        factor_sizes: number of values of each factor of a complete grid, else None.
        labels: (n,) classes 0, 1, ... of a labelled set, else None.
        factor_table: factor values (n, k) that form no grid, else None.
        factor_levels: of each factor of a grid the numbers (values,) of its values 0, 1, ..., where they have
            other numbers than these; else ().
        classes: names of the classes 0, 1, ... where they have any.
        notes: sentences about how the images, labels and factors of a user's file were read.
    """

    name: str
    sha256: str
    storage: Storage = field(repr=False)
    factor_names: tuple[str, ...] = ()
    factor_sizes: tuple[int, ...] | None = None
    labels: Ints | None = field(default=None, repr=False)
    factor_table: Factors | None = field(default=None, repr=False)
    factor_levels: tuple[Array, ...] = field(default=(), repr=False)
    classes: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        n = len(self)
        if self.factor_sizes is not None and len(self.grid) != n:
            raise UsageError(f"{self.name}: {n} images, but {self.factor_sizes} make {len(self.grid)}")
        for what, table in (("labels", self.labels), ("factor rows", self.factor_table)):
            if table is not None and len(table) != n:
                raise UsageError(f"{self.name}: {n} images, but {len(table)} {what}")

    def __len__(self) -> int:
        return self.storage.shape[0]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Dataset) and (self.name, self.sha256) == (other.name, other.sha256)

    def __hash__(self) -> int:
        return hash((self.name, self.sha256))

    @property
    def shape(self) -> tuple[int, int, int]:
        """(c, h, w) of one image."""
        return self.storage.shape[1:]

    def side(self, why: str) -> int:
        """Height and width of images that are squares.

        Args:
            why: what needs squares, such as "a run".

        Raises:
            UsageError: they are no squares.
        """
        _, height, width = self.shape
        if height != width:
            raise UsageError(
                f"the images of {self.name} have {height}x{width} pixels, and {why} needs squares; give "
                "their "
                f"side with {argument('size')}, and they are resized."
            )
        return height

    @property
    def grid(self) -> Grid:
        """The factor grid. Raises UsageError where the data set has none."""
        if self.factor_sizes is None:
            raise UsageError(
                f"data set {self.name!r} has no complete factor grid; choose one that has, such as 'dsprites'"
            )
        return Grid(self.factor_sizes, self.factor_names)

    def held_in(self, having: Ints | None = None) -> Space:
        """What metrics that hold a factor draw from: the complete grid, or the values that occur.

        Args:
            having: the only rows (m,) that can be drawn where there is no grid, ascending; None for all.

        Raises:
            UsageError: nothing is known about the factors, or fewer than two can be held.
        """
        if self.factor_sizes is not None:
            return self.grid
        if having is None or len(having) == len(self):
            return self._occurring
        return Occurring(self.factor_values(having), having)

    @functools.cached_property
    def _occurring(self) -> Occurring:
        return Occurring(self.factor_values(np.arange(len(self))))

    @functools.cached_property
    def varying_factors(self) -> Factors:
        """The factors of all rows that have two values or more; of a grid, only their names and number count.

        Raises:
            UsageError: nothing is known about the factors.
        """
        if self.factor_sizes is None:
            every = self.factor_values(np.arange(len(self)))
            return every.kept(varying(every.numbers))
        # two rows are enough to say which values a grid has
        corners = self.factor_values(np.array([0, len(self) - 1]))
        return corners.kept(np.array(self.factor_sizes) > 1)

    @property
    def known(self) -> bool:
        """Whether anything but the images is known: factors or classes."""
        return bool(self.factor_names)

    @property
    def info(self) -> DataInfo:
        """What a method is built from: shape, number of images, share of each class of a labelled set."""
        prior = None if self.labels is None else tuple(float(share) for share in self.class_prior)
        return DataInfo(self.shape, len(self), prior)

    @property
    def class_prior(self) -> NDArray[np.float64]:
        """Share of each class among the images, (classes,). Raises UsageError without labels."""
        if self.labels is None:
            raise UsageError(f"data set {self.name!r} has no labels; choose one that has, such as 'digits'")
        prior: NDArray[np.float64] = np.bincount(self.labels, minlength=len(self.classes)) / len(self)
        return prior

    def images(self, rows: ArrayLike) -> Tensor:
        """Images of the rows (b,), in that order: float32 (b, c, h, w) in [0, 1]."""
        return torch.from_numpy(self.storage.read(self._checked(rows)))

    def factors(self, rows: ArrayLike) -> Array:
        """Factor values (b, k) of the rows (b,); the class is the one factor of a labelled set.

        On a grid they are the index of each value. Elsewhere they are the numbers that were given, int64
        unless some are fractions.
        """
        checked = self._checked(rows)
        if self.factor_sizes is not None:
            return self.grid.factors(checked)
        return self.factor_values(checked).numbers

    def factor_values(self, rows: ArrayLike) -> Factors:
        """The factors of the rows (b,) as a metric takes them, with what is known about their kinds."""
        checked = self._checked(rows)
        if self.factor_sizes is not None:
            return Factors.of_index(self.grid.factors(checked), self.factor_levels, self.factor_names)
        if self.factor_table is not None:
            # what was said of the table is among the notes
            return replace(self.factor_table.take(checked), said=())
        if self.labels is not None:
            return Factors.whole(self.labels[checked][:, None], self.factor_names)
        raise UsageError(f"data set {self.name!r} has images only; nothing is known about its factors")

    def _checked(self, rows: ArrayLike) -> Ints:
        array = as_array(rows, "rows")
        if array.ndim != 1 or not (np.issubdtype(array.dtype, np.integer) or array.size == 0):
            raise UsageError(f"rows {array.shape} of {array.dtype} must be one-dimensional integers")
        array = array.astype(np.int64, copy=False)
        if array.size and (array.min() < 0 or array.max() >= len(self)):
            raise UsageError(
                f"rows {array.min()} to {array.max()} reach outside the {len(self)} images of {self.name!r}"
            )
        return array
