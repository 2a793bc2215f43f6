"""From a data set's own files to stored images: one class per format, named by `reader.kind` in a manifest.

Its fields are what the manifest's table `reader` sets, and its `content(files, size)` gives the images, from
the manifest's files by role. Each streams: memory stays at a few hundred megabytes however large the files
are. None unpickles, and none unpacks an archive onto the disk (`streams`). A file that a reader cannot make
sense of is a UsageError that names it.

A new format is a class here and its name in `Reader`; a plug-in brings a `PluginReader`.
"""

from __future__ import annotations

import io
import struct
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING, Annotated, Any, Literal

import h5py
import numpy as np
from pydantic import Field

from disbench.benchmark.datasets import dsprites, solids
from disbench.benchmark.datasets.cache import Bytes, Content
from disbench.benchmark.datasets.streams import (
    BLOCK,
    Archive,
    exactly,
    npz_blocks,
    plain_header,
    reading,
    steps,
    unzipped,
)
from disbench.errors import UsageError
from disbench.strict import Strict

if TYPE_CHECKING:
    from disbench.metrics.arrays import Array, Ints

MOST = 2**28  # bytes of images held at a time, whatever the layout asks for

Files = Mapping[str, Path]  # by role


class Renderer(Strict):
    """Draws the dSprites grid; reads no file."""

    kind: Literal["renderer"]

    def content(self, files: Files, size: int) -> Content:
        shape = (int(np.prod(dsprites.SIZES)), size, size // 8)
        return Content(shape, dsprites.render(size), packed=True)


class Solids(Strict):
    """Draws shaded solids; reads no file.

    Attributes:
        kind: "solids".
        view: one of `solids.VIEWS`, whose factors the manifest repeats.
    """

    kind: Literal["solids"]
    view: str

    def content(self, files: Files, size: int) -> Content:
        view = solids.VIEWS[self.view]
        return Content((int(np.prod(view.shape)), 3, size, size), solids.render(view, size))


class Digits(Strict):
    """The 8x8 digits that come with scikit-learn, 0 to 16, enlarged."""

    kind: Literal["digits"]

    def content(self, files: Files, size: int) -> Content:
        from sklearn.datasets import load_digits

        images, labels = load_digits(return_X_y=True)
        grey = np.rint(images.reshape(-1, 1, 8, 8) * (255 / 16)).astype(np.uint8)
        return sized([grey], grey.shape, size, labels=labels.astype(np.int64))


class Npz(Strict):
    """One array of an npz file, streamed. Others are never opened: the metadata of dSprites is a pickle.

    Attributes:
        kind: "npz".
        images: name of the array.
        packed: whether the images are black and white and stored as bits.
        file: role of the file.
    """

    kind: Literal["npz"]
    images: str
    packed: bool = False
    file: str = "data"

    def content(self, files: Files, size: int) -> Content:
        path = files[self.file]
        with reading(path), zipfile.ZipFile(path) as archive, archive.open(f"{self.images}.npy") as member:
            shape, _ = plain_header(member, f"{path}: {self.images}")
        return sized(npz_blocks(path, self.images), shape, size, packed=self.packed)


class Hdf5(Strict):
    """One array of an HDF5 file, read in slabs of whole chunks.

    Attributes:
        kind: "hdf5".
        images: name of the array.
        packed: whether the images are black and white and stored as bits.
        file: role of the file.
    """

    kind: Literal["hdf5"]
    images: str
    packed: bool = False
    file: str = "data"

    def content(self, files: Files, size: int) -> Content:
        path = files[self.file]
        with reading(path), h5py.File(path, "r") as source:
            shape = tuple(source[self.images].shape)
        return sized(self._blocks(path), shape, size, packed=self.packed)

    def _blocks(self, path: Path) -> Iterator[Bytes]:
        with reading(path), h5py.File(path, "r") as source:
            images = source[self.images]
            each = int(np.prod(images.shape[1:]))
            deep = images.chunks[0] if images.chunks else 1
            # Whole chunks, so that each is decompressed once, unless one row of chunks would fill the memory.
            step = min(deep * max(1, BLOCK // (deep * each)), max(1, MOST // each))
            for start in range(0, len(images), step):
                yield images[start : start + step]


class Idx(Strict):
    """Pairs of idx files, gzipped or not: magic 2051, big-endian sizes, pixels; magic 2049, size, labels.

    Attributes:
        kind: "idx".
        images: roles of the files of images, in order.
        labels: roles of the files of labels, in the same order.
    """

    kind: Literal["idx"]
    images: tuple[str, ...]
    labels: tuple[str, ...]

    def content(self, files: Files, size: int) -> Content:
        sizes = [_idx_sizes(files[role]) for role in self.images]
        labels = [self._labels(files[role]) for role in self.labels]
        shape = (sum(n for n, _, _ in sizes), 1, *sizes[0][1:])
        blocks = (block for role in self.images for block in self._blocks(files[role]))
        return sized(blocks, shape, size, labels=np.concatenate(labels))

    def _labels(self, path: Path) -> Ints:
        with reading(path), unzipped(path) as source:
            (n,) = _idx_header(source, 1)
            return np.frombuffer(exactly(source, n), np.uint8).astype(np.int64)

    def _blocks(self, path: Path) -> Iterator[Bytes]:
        with reading(path), unzipped(path) as source:
            n, h, w = _idx_header(source, 3)
            for start, stop in steps(n, h * w):
                raw = exactly(source, (stop - start) * h * w)
                yield np.frombuffer(raw, np.uint8).reshape(-1, 1, h, w)


class Mat(Strict):
    """MATLAB files, version 5: images (h, w, c, n), labels (n, 1).

    Attributes:
        kind: "mat".
        files: roles of the files, in order.
        images: name of the images' array.
        labels: name of the labels' array.
        zero: the label of class 0.
    """

    kind: Literal["mat"]
    files: tuple[str, ...]
    images: str
    labels: str
    zero: int

    def content(self, files: Files, size: int) -> Content:
        labels = np.concatenate([self._load(files[role], self.labels).ravel() for role in self.files])
        labels = np.where(labels == self.zero, 0, labels).astype(np.int64)
        shapes = [self._shape(files[role]) for role in self.files]
        h, w, c = shapes[0][:3]
        shape = (sum(s[3] for s in shapes), c, h, w)
        return sized(self._blocks(files), shape, size, labels=labels)

    def _load(self, path: Path, key: str) -> Array:
        from scipy.io import loadmat

        with reading(path):
            array: Array = loadmat(path, variable_names=[key])[key]
            return array

    def _shape(self, path: Path) -> tuple[int, ...]:
        from scipy.io import whosmat

        with reading(path):
            return {name: tuple(shape) for name, shape, _ in whosmat(path)}[self.images]

    def _blocks(self, files: Files) -> Iterator[Bytes]:
        for role in self.files:
            array = self._load(files[role], self.images).transpose(3, 2, 0, 1)
            for start, stop in steps(len(array), array[0].size):
                yield array[start:stop]


class Cars(Strict):
    """The car meshes of the visual-analogy data: per car `im` (128, 128, 3, 24 azimuths, 4 elevations).

    The grid is (elevation, azimuth, car), cars in the order of their names. All images are held at the size
    asked for (216 MB at 64x64), because the files come car by car and the car is the fastest factor.

    Attributes:
        kind: "cars3d".
        member: regular expression for the names of the cars' files in the archive.
        file: role of the archive.
    """

    kind: Literal["cars3d"]
    member: str
    file: str = "data"

    def content(self, files: Files, size: int) -> Content:
        from scipy.io import loadmat

        path = files[self.file]
        cars: dict[str, Bytes] = {}
        with Archive(path, self.member) as archive:
            for name in archive.sizes:
                with reading(path):
                    mesh = loadmat(_as_file(archive.read(name)), variable_names=["im"])["im"]
                    views = mesh.transpose(4, 3, 2, 0, 1)  # (elevation, azimuth, c, h, w)
                small = resize(views.reshape(-1, *views.shape[2:]), size)
                cars[name] = small.reshape(*views.shape[:2], *small.shape[1:])
        grid = np.stack([cars[name] for name in sorted(cars)], axis=2)  # (elevation, azimuth, car, c, h, w)
        images = grid.reshape(-1, *grid.shape[3:])
        return sized([images], images.shape, size)


class Norb(Strict):
    """SmallNORB, the first camera, sorted into the grid (category, instance, elevation, azimuth, lighting).

    Factor values become ranks: azimuths are even numbers and a part has only some of the ten instances. The
    images are held at the size asked for, 100 MB a part.

    Attributes:
        kind: "norb".
        parts: beginnings of roles; a part p has the files p_dat, p_cat and p_info.
    """

    kind: Literal["norb"]
    parts: tuple[str, ...]

    def content(self, files: Files, size: int) -> Content:
        images: list[Bytes] = []
        factors: list[Ints] = []
        for part in self.parts:
            category = _norb_matrix(files[f"{part}_cat"])
            info = _norb_matrix(files[f"{part}_info"])
            factors.append(np.column_stack([category, info]))
            images.extend(resize(block, size) for block in self._blocks(files[f"{part}_dat"]))
        table, grey = np.concatenate(factors), np.concatenate(images)
        ranks = np.stack([np.unique(column, return_inverse=True)[1] for column in table.T], axis=1)
        cells = np.prod(ranks.max(axis=0) + 1)
        if not len(grey) == len(ranks) == len(np.unique(ranks, axis=0)) == cells:
            raise UsageError(
                "the SmallNORB files make no complete grid; fetch them again, all of one version"
            )
        return sized([grey[np.lexsort(ranks.T[::-1])]], grey.shape, size)

    def _blocks(self, path: Path) -> Iterator[Bytes]:
        with reading(path), unzipped(path) as source:
            dtype, (n, cameras, h, w) = _norb_header(source)
            for start, stop in steps(n, cameras * h * w):
                raw = exactly(source, (stop - start) * cameras * h * w * dtype.itemsize)
                yield np.frombuffer(raw, dtype).reshape(-1, cameras, h, w)[:, :1]


class Pictures(Strict):
    """Pictures in a zip or tar archive, in the order of their names, cut to the central square and resized.

    Attributes:
        kind: "pictures".
        member: regular expression for the names of the pictures in the archive.
        mode: "L" for grey images, "RGB" for colours.
        crop: width of the square in pixels; None for as many as fit.
        table: role of a text file with attributes: a line of names, then a line per picture with its name and
            -1 or 1 for each. None if there is none.
        folders: names of two factors: the folder of a picture, and its place in that folder.
        file: role of the archive.
    """

    kind: Literal["pictures"]
    member: str
    mode: Literal["L", "RGB"]
    crop: int | None = None
    table: str | None = None
    folders: tuple[str, str] | None = None
    file: str = "data"

    def content(self, files: Files, size: int) -> Content:
        path = files[self.file]
        with Archive(path, self.member) as archive:
            names = sorted(archive.sizes)
        shape = (len(names), 1 if self.mode == "L" else 3, size, size)
        factors: Ints | None = None
        factor_names: tuple[str, ...] = ()
        if self.table is not None and self.table in files:
            factors, factor_names = self._attributes(files[self.table], names)
        elif self.folders is not None:
            factors, factor_names = _by_folder(names), self.folders
        return Content(shape, self._blocks(path, names, size), factors=factors, factor_names=factor_names)

    def _blocks(self, path: Path, names: list[str], size: int) -> Iterator[Bytes]:
        with Archive(path, self.member) as archive:
            for start, stop in steps(len(names), 3 * size * size):
                yield np.stack([self._picture(path, archive.read(name), size) for name in names[start:stop]])

    def _picture(self, path: Path, raw: bytes, size: int) -> Bytes:
        from PIL import Image

        with reading(path), Image.open(io.BytesIO(raw)) as picture:
            side = self.crop or min(picture.size)
            left, top = (picture.width - side) // 2, (picture.height - side) // 2
            square = picture.convert(self.mode).crop((left, top, left + side, top + side))
            pixels = np.asarray(square.resize((size, size), Image.Resampling.BILINEAR))
        return pixels.reshape(size, size, -1).transpose(2, 0, 1)

    def _attributes(self, path: Path, names: list[str]) -> tuple[Ints, tuple[str, ...]]:
        with reading(path):
            lines = [line.split() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
            header, rows = lines[1], {line[0]: line[1:] for line in lines[2:]}
            values = np.array([rows[PurePosixPath(name).name] for name in names], dtype=np.int64)
        if values.shape != (len(names), len(header)) or not np.isin(values, (-1, 1)).all():
            raise UsageError(
                f"{path}: {values.shape} values for {len(header)} attributes; expected one each, -1 or 1"
            )
        return (values > 0).astype(np.int64), tuple(header)


Reader = Annotated[
    Renderer | Solids | Digits | Npz | Hdf5 | Idx | Mat | Cars | Norb | Pictures, Field(discriminator="kind")
]


class PluginReader(Strict):
    """The base of a plug-in's own reader. Its fields are what the manifest's `reader` may set.

    These fields and the manifest's files decide whether a converted data set is made again.

    Attributes:
        version: to be raised whenever the images change.
    """

    version: int = 1

    def content(self, files: Files, size: int) -> Content:
        """Images (n, c, size, size) of uint8, from the manifest's files by role (none: draw them)."""
        raise NotImplementedError


def resize(images: Bytes, size: int) -> Bytes:
    """Images (b, c, h, w) at (b, c, size, size): bilinear, averaging over the source pixels when smaller."""
    from PIL import Image

    if images.shape[2:] == (size, size):
        return images
    out = np.empty((*images.shape[:2], size, size), np.uint8)
    for place in np.ndindex(images.shape[:2]):
        plane = Image.fromarray(np.ascontiguousarray(images[place]))
        out[place] = np.asarray(plane.resize((size, size), Image.Resampling.BILINEAR))
    return out


def sized(
    blocks: Iterable[Bytes],
    shape: tuple[int, ...],
    size: int,
    *,
    packed: bool = False,
    labels: Ints | None = None,
) -> Content:
    """Content at the size asked for, from blocks in any of the usual layouts.

    Args:
        blocks: (b, h, w), (b, h, w, c) or (b, c, h, w), c being 1 or 3.
        shape: of all images together, in the same layout.
        size: of the images, in pixels; 0 leaves them as they are.
        packed: whether the images are black and white and stored as bits.
        labels: (n,) classes.

    Raises:
        UsageError: images of another type, shape or range.
    """
    n = shape[0]
    _, c, h, w = _channels_first(np.empty((0, *shape[1:]), np.uint8)).shape
    keep = size == 0
    height, width = (h, w) if keep else (size, size)
    if packed and (c, h, w) != (1, height, width):
        raise UsageError(f"black and white images {(c, h, w)} cannot be offered at size {size}")

    def stored() -> Iterator[Bytes]:
        for block in blocks:
            if block.dtype != np.uint8:
                raise UsageError(f"images of {block.dtype}, expected uint8; another version?")
            images = _channels_first(block) if keep else resize(_channels_first(block), size)
            if packed and images.max() > 1:
                raise UsageError(
                    "black and white images hold other values than 0 and 1; another version of the file?"
                )
            yield np.packbits(images[:, 0], axis=-1) if packed else images

    whole = (n, height, width // 8) if packed else (n, c, height, width)
    return Content(whole, stored(), packed=packed, labels=labels)


def _channels_first(images: Array) -> Array:
    if images.ndim == 3:
        return images[:, None]
    if images.ndim == 4 and images.shape[-1] in (1, 3):
        return images.transpose(0, 3, 1, 2)
    if images.ndim == 4 and images.shape[1] in (1, 3):
        return images
    raise UsageError(f"images {images.shape} must be (n, h, w), (n, h, w, c) or (n, c, h, w) with c = 1 or 3")


def _idx_header(source: IO[bytes], dimensions: int) -> tuple[int, ...]:
    (kind,) = struct.unpack(">i", exactly(source, 4))
    if kind != 0x800 + dimensions:
        raise ValueError(f"it begins with {kind}, expected {0x800 + dimensions}")
    return struct.unpack(f">{dimensions}i", exactly(source, 4 * dimensions))


def _idx_sizes(path: Path) -> tuple[int, ...]:
    with reading(path), unzipped(path) as source:
        return _idx_header(source, 3)


def _as_file(raw: bytes) -> Any:
    """A file in memory; scipy reads it, though its type hints know only paths."""
    return io.BytesIO(raw)


def _norb_header(source: IO[bytes]) -> tuple[np.dtype[Any], tuple[int, ...]]:
    """Type and sizes. At least three sizes are stored; those beyond the number of dimensions are padding."""
    magic, dimensions = struct.unpack("<ii", exactly(source, 8))
    types: dict[int, np.dtype[Any]] = {
        0x1E3D4C55: np.dtype(np.uint8),
        0x1E3D4C54: np.dtype("<i4"),
    }
    if magic not in types or not 1 <= dimensions <= 4:
        raise ValueError(f"it begins with {magic:#x} and {dimensions} dimensions")
    stored = max(3, dimensions)
    return types[magic], struct.unpack(f"<{stored}i", exactly(source, 4 * stored))[:dimensions]


def _norb_matrix(path: Path) -> Ints:
    with reading(path), unzipped(path) as source:
        dtype, shape = _norb_header(source)
        raw = exactly(source, int(np.prod(shape)) * dtype.itemsize)
        return np.frombuffer(raw, dtype).reshape(shape).astype(np.int64)


def _by_folder(names: list[str]) -> Ints:
    """For sorted paths: (rank of the path without its last part, place within that folder), (n, 2)."""
    folders = [str(PurePosixPath(name).parent) for name in names]
    rank = np.unique(folders, return_inverse=True)[1]
    place = np.concatenate([np.arange(count) for count in np.bincount(rank)])
    order = np.argsort(rank, kind="stable")
    within = np.empty(len(names), np.int64)
    within[order] = place
    return np.stack([rank, within], axis=1)
