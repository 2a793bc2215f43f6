"""Files read piece by piece: what the readers share.

Nothing here unpickles, and nothing unpacks an archive onto the disk.
"""

from __future__ import annotations

import gzip
import math
import re
import stat
import tarfile
import zipfile
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING, Any, Self, cast

import numpy as np

from disbench import files
from disbench.errors import UsageError

if TYPE_CHECKING:
    from disbench.metrics.arrays import Array

BLOCK = 2**24  # bytes of images read at a time, where the file's own layout does not ask for more
MOST = 2**31  # bytes of one array that is held whole, whatever its header declares
MEMBER = 2**26  # bytes of one archive member: far above any image here, far below a decompression bomb


def reading(path: Path) -> AbstractContextManager[None]:
    """As `files.reading`, for images: of a published data set, or of a user's own."""
    return files.reading(path, again="fetch it or write it again")


def steps(n: int, each: int) -> Iterator[tuple[int, int]]:
    """First and last-plus-one of runs of items that hold about `BLOCK` bytes."""
    step = max(1, BLOCK // max(1, each))
    for start in range(0, n, step):
        yield start, min(n, start + step)


def exactly(source: IO[bytes], n: int) -> bytes:
    """The next n bytes; a read may deliver fewer than asked for before the end."""
    parts, missing = [], n
    while missing:
        part = source.read(missing)
        if not part:
            raise EOFError(f"it ends {missing} bytes early")
        parts.append(part)
        missing -= len(part)
    return b"".join(parts)


def unzipped(path: Path) -> IO[bytes]:
    """A file's content, unpacked if it is gzipped."""
    with path.open("rb") as file:
        zipped = file.read(2) == b"\x1f\x8b"
    return cast(IO[bytes], gzip.open(path)) if zipped else path.open("rb")


def npy_header(source: IO[bytes], where: str) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Reads the beginning of an array in numpy's format.

    Args:
        source: stands at the array's first byte, and afterwards at its first number.
        where: what errors call the array.

    Returns:
        The shape, whether the first axis is the fastest (Fortran's order), and the type.

    Raises:
        UsageError: it holds Python objects, which only a pickle can make.
        ValueError: it is not an array in numpy's format.
    """
    version = np.lib.format.read_magic(source)
    if version not in ((1, 0), (2, 0)):
        raise ValueError(f"format {version}")
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, by_column, dtype = read(source)
    if dtype.hasobject:
        raise UsageError(
            f"{where} holds Python objects, which could run code when loaded, and was not read; write plain "
            "numbers, with allow_pickle=False."
        )
    return shape, by_column, dtype


def plain_header(source: IO[bytes], where: str) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Shape and type, as `npy_header`; refuses what cannot be read along its first axis."""
    shape, by_column, dtype = npy_header(source, where)
    if by_column or not shape:
        raise UsageError(
            f"{where} of shape {shape} is not a plain row-major array; write "
            f"np.ascontiguousarray({where.rpartition(': ')[2]})."
        )
    return shape, dtype


def npz_blocks(path: Path, key: str) -> Iterator[Array]:
    """An array of an npz file in slabs along its first axis.

    Raises:
        UsageError: no such file or array, a damaged one, or one of Python objects.
    """
    with reading(path), zipfile.ZipFile(path) as archive, archive.open(f"{key}.npy") as member:
        shape, dtype = plain_header(member, f"{path}: {key}")
        each = int(np.prod(shape[1:])) * dtype.itemsize
        for start, stop in steps(shape[0], each):
            yield np.frombuffer(exactly(member, (stop - start) * each), dtype).reshape(-1, *shape[1:])
        # reaching the end makes zipfile compare its checksum
        member.read(1)


def npz_array(path: Path, key: str, n: int | None = None) -> Array:
    """A whole array of an npz file, without pickle.

    Args:
        path: of the file.
        key: name of the array.
        n: number of images that it describes, a row each.

    Raises:
        UsageError: as `npz_blocks`; by its header it has another number of rows, is empty, or is larger than
            `MOST`.
    """
    with reading(path), zipfile.ZipFile(path) as archive, archive.open(f"{key}.npy") as member:
        shape, dtype = plain_header(member, f"{path}: {key}")
    if n is not None and shape[0] != n:
        raise UsageError(f"{path}: {n:,} images but {shape[0]:,} {key}; there must be one for each image")
    if 0 in shape:
        raise UsageError(f"{path}: its {key} {shape} are empty; fill them, or leave {key} out of the file")
    if (size := math.prod(shape) * dtype.itemsize) > MOST:
        raise UsageError(
            f"{path}: its {key} {shape} of {dtype} are {size:,} bytes; at most {MOST:,} are read, "
            "such as one number a factor for each image"
        )
    return np.concatenate(list(npz_blocks(path, key)))


def npz_keys(path: Path) -> set[str]:
    """The names of the arrays in an npz file."""
    with reading(path), zipfile.ZipFile(path) as archive:
        return {name.removesuffix(".npy") for name in archive.namelist()}


class Archive:
    """A zip or tar file read in place; nothing is ever unpacked onto the disk.

    Only regular files whose names match are seen, in the archive's order. A matching name that leaves the
    archive, a matching link, and a member of more than `MEMBER` bytes are refused.

    Args:
        path: of the archive.
        pattern: regular expression that is searched in the members' names.

    Attributes:
        path: of the archive.
        sizes: length of each member that matches, in bytes, by name.

    Raises:
        UsageError: a damaged archive, none that matches, or a member that is refused.
    """

    path: Path
    sizes: dict[str, int]

    def __init__(self, path: Path, pattern: str) -> None:
        self.path, self.sizes = path, {}
        self._open: zipfile.ZipFile | tarfile.TarFile
        with reading(path):
            if zipfile.is_zipfile(path):
                self._open = zipfile.ZipFile(path)
                for entry in self._open.infolist():
                    link = stat.S_ISLNK(entry.external_attr >> 16)
                    self._see(entry.filename, entry.file_size, pattern, regular=not (link or entry.is_dir()))
            else:
                # closed by __exit__
                self._open = tarfile.open(path)  # noqa: SIM115
                for member in self._open.getmembers():
                    self._see(member.name, member.size, pattern, regular=member.isfile())
        if not self.sizes:
            raise UsageError(f"{path} holds no file like {pattern!r}; is it another archive?")

    def _see(self, name: str, size: int, pattern: str, *, regular: bool) -> None:
        if not re.search(pattern, name):
            return
        inside = not PurePosixPath(name).is_absolute() and ".." not in PurePosixPath(name).parts
        if not (regular and inside and size <= MEMBER):
            raise UsageError(
                f"{self.path}: {name!r} is not a plain file of at most {MEMBER >> 20} MiB inside the "
                "archive; this is another archive, fetch the published one"
            )
        self.sizes[name] = size

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._open.close()

    def read(self, name: str) -> bytes:
        """The content of a member."""
        with reading(self.path):
            if isinstance(self._open, zipfile.ZipFile):
                with self._open.open(name) as source:
                    return exactly(source, self.sizes[name])
            member = self._open.extractfile(name)
            if member is None:
                raise KeyError(name)
            with member:
                return exactly(member, self.sizes[name])
