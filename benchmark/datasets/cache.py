"""One HDF5 file per data set on the user's disk, made once, read by every process.

    images    uint8, whole: (n, c, h, w), or bit-packed (n, h, w / 8) for one-channel black and white
    labels    (n,) int64, where the data set has classes
    factors   (n, k) int64, or float64 if some are fractions, where the factors are a table and not a grid

`images` is either one contiguous block, which processes map into memory and thus share, or compressed in
chunks of one image. The file appears by an atomic rename, complete or not at all; its attributes name the
format, the recipe that made it and the sha256 of its content.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shlex
import shutil
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import h5py
import numpy as np
import platformdirs
from numpy.typing import NDArray

from disbench import files
from disbench.errors import UsageError, argument
from disbench.texts import short

if TYPE_CHECKING:
    # disbench.metrics takes long to load, and manifests need none of it
    from disbench.metrics.arrays import Array, Ints

FORMAT = "disbench data"
VERSION = 1

Bytes = NDArray[np.uint8]
Store = Literal["mapped", "compressed"]


class UnusableError(Exception):
    """A cache file that is missing, damaged, or not ours; the text says which."""


@dataclass(frozen=True)
class Content:
    """What a reader delivers.

    Attributes:
        shape: of all stored images: (n, c, h, w), or (n, h, w / 8) if packed.
        blocks: the images in order, as arrays of any number of whole images. Consumed once.
        packed: eight pixels a byte, `np.packbits` along columns.
        labels: (n,) classes.
        factors: (n, k) factor values, for what is not known beforehand to be a grid.
        factor_names: of the columns of `factors`.
        classes: names of the classes 0, 1, ... where they are called something else.
        notes: sentences about how the images, labels and factors were read.
    """

    shape: tuple[int, ...]
    blocks: Iterable[Bytes]
    packed: bool = False
    labels: Ints | None = None
    factors: Array | None = None
    factor_names: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Stored:
    """A checked cache file.

    Attributes:
        path: of the file.
        sha256: of its content.
        shape: of the images as they are stored, see `Content`.
        packed: eight pixels a byte.
        offset: where the images begin in the file, in bytes; None if they are compressed.
        labels: (n,) classes.
        factors: (n, k) factor values that form no known grid.
        factor_names: of the columns of `factors`.
        classes: names of the classes, if they are stored.
        notes: sentences about how the images, labels and factors were read.
    """

    path: Path
    sha256: str
    shape: tuple[int, ...]
    packed: bool
    offset: int | None
    labels: Ints | None
    factors: Array | None
    factor_names: tuple[str, ...]
    classes: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def folder(data_dir: str | os.PathLike[str] | None = None) -> Path:
    """Folder of the data sets: the argument, or else $DISBENCH_DATA, or else the user's cache folder."""
    chosen = data_dir or os.environ.get("DISBENCH_DATA") or platformdirs.user_cache_dir("disbench")
    return Path(chosen).expanduser().absolute()


def placed(command: str, within: Path) -> str:
    """A command that a sentence tells, with the folder of the data sets where that is not the usual one.

    Args:
        command: "`disbench data ...`".
        within: the folder.
    """
    if within == folder():
        return command
    words = command.removeprefix("`disbench data ").removesuffix("`")
    return f"`disbench data {words} --data-dir {shlex.quote(str(within))}`"


def obtain(
    path: Path,
    recipe: str,
    make: Callable[[], Content],
    store: Store = "mapped",
    expected: str | None = None,
) -> Stored:
    """A cache file, made if it is missing, damaged, of another recipe or of other content.

    Processes that arrive together wait for the one that makes it.

    Args:
        path: of the file.
        recipe: names everything that its content depends on.
        make: gives the content.
        store: how the images are stored.
        expected: sha256 of the content; None if it is not known.

    Raises:
        UsageError: it cannot be written, or the content has another sha256.
    """
    with contextlib.suppress(UnusableError):
        return inspect(path, recipe, expected)
    _make_folder(path.parent)
    with _lock(path):
        try:
            # made by another process meanwhile
            return inspect(path, recipe, expected)
        except UnusableError as why:
            if path.exists():
                warnings.warn(f"{why}; making it again", stacklevel=2)
        write(path, recipe, make(), store, expected)
    return inspect(path, recipe, expected)


def inspect(path: Path, recipe: str | None = None, expected: str | None = None) -> Stored:
    """Checks attributes, shapes and length, but not every byte (that is `verify`). Raises UnusableError."""
    if not path.exists():
        raise UnusableError(f"{path} does not exist")
    try:
        with h5py.File(path, "r") as file:
            attributes = dict(file.attrs)
            if (attributes.get("format"), attributes.get("version")) != (FORMAT, VERSION):
                raise UnusableError(f"{path} is not a data file of this version")
            if recipe is not None and attributes.get("recipe") != recipe:
                raise UnusableError(f"{path} was made for {attributes.get('recipe')!r}, not for {recipe!r}")
            if expected is not None and attributes["sha256"] != expected:
                raise UnusableError(f"{path} holds content {attributes['sha256']}, expected {expected}")
            images = file["images"]
            packed, sha256 = bool(attributes["packed"]), str(attributes["sha256"])
            if images.dtype != np.uint8 or images.ndim != (3 if packed else 4) or len(sha256) != 64:
                raise UnusableError(f"{path} is damaged: its images or its checksum have the wrong form")
            offset = None if images.chunks else images.id.get_offset()
            if not images.chunks and (offset is None or path.stat().st_size < offset + images.nbytes):
                raise UnusableError(f"{path} is damaged: it is shorter than its images")
            labels = file["labels"][:] if "labels" in file else None
            factors = file["factors"][:] if "factors" in file else None
            factor_names = tuple(json.loads(attributes["factor_names"]))
            # files of earlier versions have none
            classes, notes = (tuple(json.loads(attributes.get(key, "[]"))) for key in ("classes", "notes"))
            return Stored(
                *(path, sha256, images.shape, packed, offset, labels, factors, factor_names, classes, notes)
            )
    except (OSError, RuntimeError, KeyError, json.JSONDecodeError) as error:
        raise UnusableError(f"{path} is damaged: {error}") from error


def verify(path: Path) -> Stored:
    """Reads every byte and compares the checksum. Raises UnusableError."""
    stored = inspect(path)
    digest = hashlib.sha256()
    step = max(1, 2**24 // int(np.prod(stored.shape[1:])))
    try:
        with h5py.File(path, "r") as file:
            for start in range(0, stored.shape[0], step):
                digest.update(np.ascontiguousarray(file["images"][start : start + step]).data)
    except OSError as error:
        # a damaged chunk does not decompress
        raise UnusableError(f"{path} is damaged: {error}") from error
    _update(digest.update, stored.labels, stored.factors)
    if digest.hexdigest() != stored.sha256:
        raise UnusableError(f"{path} is damaged: sha256 {digest.hexdigest()}, made as {stored.sha256}")
    return stored


def write(
    path: Path, recipe: str, content: Content, store: Store = "mapped", expected: str | None = None
) -> None:
    """Writes beside its place, then renames. On any failure nothing is left and an old file stays.

    Args:
        path: of the file.
        recipe: names everything that its content depends on.
        content: images, labels and factors.
        store: how the images are stored.
        expected: sha256 of the content; None if it is not known.

    Raises:
        UsageError: a full disk, other images than announced, or a sha256 other than expected.
    """
    n_bytes = int(np.prod(content.shape, dtype=np.int64))
    if store == "mapped":
        require_space(path.parent, n_bytes)
    with replacing(path) as temporary, _h5py_errors():
        with h5py.File(temporary, "w") as file:
            _create(file, recipe, content, store)
        digest = hashlib.sha256()
        if store == "mapped":
            # Plain file writes report a full disk as an OSError, where writing to a memory map crashes.
            with h5py.File(temporary, "r") as file:
                offset = file["images"].id.get_offset()
            with temporary.open("r+b") as raw:
                raw.seek(offset)
                for block in _counted(content):
                    digest.update(block.data)
                    raw.write(block.data)
        else:
            with h5py.File(temporary, "r+") as file:
                start = 0
                for block in _counted(content):
                    digest.update(block.data)
                    file["images"][start : start + len(block)] = block
                    start += len(block)
        _update(digest.update, content.labels, content.factors)
        if expected is not None and digest.hexdigest() != expected:
            raise UsageError(
                f"the content made for {path} has sha256 {digest.hexdigest()}, expected {expected}; "
                "it was not kept: this machine computes other images, please report it"
            )
        with h5py.File(temporary, "r+") as file:
            file.attrs["sha256"] = digest.hexdigest()


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """As `files.replacing`; an unwritable folder or a full disk becomes a UsageError."""
    try:
        with files.replacing(path) as temporary:
            yield temporary
    except OSError as error:
        raise UsageError(f"cannot write {path}: {_why(error)}; {_elsewhere()}") from error


@contextlib.contextmanager
def _h5py_errors() -> Iterator[None]:
    """h5py reports what does not fit on the disk as an OSError, or on closing a file as a RuntimeError."""
    try:
        yield
    except RuntimeError as error:
        raise OSError(str(error)) from error


def require_space(where: Path, n_bytes: int) -> None:
    """Raises UsageError where fewer bytes are free, before anything is written."""
    free = shutil.disk_usage(where).free
    if free < n_bytes:
        raise UsageError(
            f"{where} has {free / 1e6:,.0f} MB free and {n_bytes / 1e6:,.0f} MB are needed; {_elsewhere()}"
        )


def _why(error: OSError) -> str:
    """The words of the system, without a number and a temporary path; h5py has words of its own alone."""
    return error.strerror or short(error)


def _elsewhere() -> str:
    return f"free some space or choose another folder with DISBENCH_DATA or {argument('data_dir')}"


def _make_folder(path: Path) -> None:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"cannot make the data folder {path}: {_why(error)}; {_elsewhere()}") from error


@contextlib.contextmanager
def _lock(path: Path) -> Iterator[None]:
    """Holds `path`.lock, waiting for another process; removes what one that was killed had begun to write."""
    with contextlib.ExitStack() as held:
        try:
            held.enter_context(files.locked(path.with_name(f"{path.name}.lock"), wait=True))
        except OSError as error:
            raise UsageError(f"cannot write in {path.parent}: {_why(error)}; {_elsewhere()}") from error
        for stale in path.parent.glob(f".{path.name}.*"):
            if files.is_temporary(stale):
                stale.unlink(missing_ok=True)
        yield


def _create(file: h5py.File, recipe: str, content: Content, store: Store) -> None:
    if store == "mapped":
        layout = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        layout.set_layout(h5py.h5d.CONTIGUOUS)
        # so that the offset is known at once
        layout.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
        layout.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
        space = h5py.h5s.create_simple(content.shape)
        h5py.h5d.create(file.id, b"images", h5py.h5t.NATIVE_UINT8, space, layout)
    else:
        chunk = (1, *content.shape[1:])
        file.create_dataset("images", content.shape, np.uint8, chunks=chunk, compression="gzip")
    n = content.shape[0]
    for name, table in (("labels", content.labels), ("factors", content.factors)):
        if table is not None:
            if len(table) != n:
                raise UsageError(f"{n} images but {len(table)} {name}; there must be one for each image")
            file.create_dataset(name, data=table.astype(_stored_type(table)))
    file.attrs.update(format=FORMAT, version=VERSION, recipe=recipe, packed=content.packed)
    file.attrs["factor_names"] = json.dumps(content.factor_names)
    file.attrs["classes"] = json.dumps(content.classes)
    file.attrs["notes"] = json.dumps(content.notes)


def _counted(content: Content) -> Iterator[Bytes]:
    """The blocks, contiguous; refuses too many, too few, or images of another shape."""
    total = 0
    for block in content.blocks:
        total += len(block)
        if block.shape[1:] != content.shape[1:] or block.dtype != np.uint8 or total > content.shape[0]:
            raise UsageError(
                f"expected {content.shape[0]} uint8 images {content.shape[1:]}, got {block.dtype} images "
                f"{block.shape[1:]} up to number {total}; another version of the file?"
            )
        yield np.ascontiguousarray(block)
    if total != content.shape[0]:
        raise UsageError(f"expected {content.shape[0]} images, got {total}; another version of the file?")


def _stored_type(table: Array) -> str:
    """Of labels and factors: whole numbers as they are, fractions as floats."""
    return "<f8" if table.dtype.kind == "f" else "<i8"


def _update(update: Callable[[memoryview], object], labels: Ints | None, factors: Array | None) -> None:
    for table in (labels, factors):
        if table is not None:
            update(np.ascontiguousarray(table, dtype=_stored_type(table)).data)
