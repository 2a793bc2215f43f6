"""Which kind a file is of, by its content, and archives read without trusting what they declare.

A stranger's file may be cut short, damaged or made to harm. So sizes are checked against `LIMIT` before
anything is allocated, every member of an archive against its checksum, and whatever a library says about a
file that it cannot read becomes one sentence (`files.reading` of disbench).
"""

from __future__ import annotations

import contextlib
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Literal

from disbench.benchmark.scoring import exports
from disbench.errors import UsageError, argument
from disbench.files import reading

LIMIT = 2**31  # bytes that a file may hold or unpack to: 1.8 million codes of 150 numbers; any encoder here

Kind = Literal[
    "npz",
    "npy",
    "hdf5",
    "mat",
    "parquet",
    "arrow",
    "csv",
    "torch",
    "safetensors",
    "torchscript",
    "pt2",
    "onnx",
]
TENSORS: tuple[Kind, ...] = ("torch", "safetensors")  # named tensors: weights or codes
ENCODERS: tuple[Kind, ...] = ("torchscript", "pt2", "onnx")


HDF5 = b"\x89HDF\r\n\x1a\n"
FIRST_BYTES: Mapping[Kind, bytes | tuple[bytes, ...]] = {
    "npy": b"\x93NUMPY",
    "hdf5": HDF5,
    "mat": b"MATLAB 5.0 MAT-file",
    "parquet": b"PAR1",
    # a file, or a stream
    "arrow": (b"ARROW1", b"\xff\xff\xff\xff"),
    # a pickle: the way torch saved before it used archives
    "torch": b"\x80",
}


def recognise(path: Path) -> Kind:
    """The kind of a file, from its first bytes or the names of its members.

    Raises:
        UsageError: no file, an empty one, one above `LIMIT`, or not of a supported kind.
    """
    if path.is_dir():
        raise exports.folder(path)
    if path.exists() and not path.is_file():
        # it would be waited for, and can be read only once
        raise UsageError(f"{path} is a pipe or a device; write what it gives into a file, and give that.")
    with reading(path, "a file"), open(path, "rb") as file:
        head = file.read(4096)
        size = file.seek(0, 2)
    if not size:
        raise UsageError(f"{path} is empty; give a checkpoint, codes or an encoder.")
    if size > LIMIT:
        raise UsageError(
            f"{path} has {size:,} bytes, more than the {LIMIT:,} that are read; is it the right file?"
        )
    if head.startswith(b"PK"):
        return _archive(path)
    if head[8:9] == b"{" and int.from_bytes(head[:8], "little") < size:
        return "safetensors"
    for kind, first in FIRST_BYTES.items():
        if head.startswith(first):
            return kind
    # behind a block of the user's own, as MATLAB writes it
    if any(head[start:].startswith(HDF5) for start in (512, 1024, 2048)):
        return "hdf5"
    if (why := exports.refusal(path, head)) is not None:
        raise why
    if _is_text(head):
        return "csv"
    # field 1 of a protobuf, a number: an ONNX model's version
    if head[0] == 0x08:
        return "onnx"
    raise UsageError(
        f"{path} is not of a supported kind (it begins with {head[:8]!r}); give a disbench checkpoint, codes "
        "(npz, npy, HDF5, MATLAB 5 to 7.3, CSV, Parquet, Arrow, .pt, safetensors) or an encoder "
        "(TorchScript, "
        "torch.export, ONNX, a state dict)."
    )


def check(path: Path, dataset: str, factors: bool) -> None:
    """Refuses a file of which the first look shows that it cannot be scored, before torch is imported.

    Args:
        path: of the file.
        dataset: the data set that the user named; "" for none.
        factors: whether the user gave the factor values.

    Raises:
        UsageError: see `recognise`, pickled objects, or nothing says which images an encoder or codes are of.
    """
    kind = recognise(path)
    if kind == "torch" and exports.holds_objects(path):
        raise exports.pickled(path)
    if dataset:
        return
    if kind in ENCODERS:
        raise without_images(path)
    if factors:
        return
    if kind == "npy":
        raise without_data(path)
    if kind == "npz":
        with open_zip(path) as archive:
            names = {name.removesuffix(".npy").rpartition("/")[2] for name in archive.namelist()}
        if not {"dataset", "factors"} & names:
            raise without_data(path)


def without_images(path: Path) -> UsageError:
    """The sentence about an encoder of which nobody said what it encodes."""
    return UsageError(
        f"{path} does not say which images to encode; name the data set with {argument('dataset')}."
    )


def without_data(path: Path) -> UsageError:
    """The sentence about codes of which nobody said what they are of."""
    return UsageError(
        f"{path} does not say which data its codes are of; name the data set with "
        f"{argument('dataset')}, or give the factor values with {argument('factors')}."
    )


def _is_text(head: bytes) -> bool:
    with contextlib.suppress(UnicodeDecodeError):
        # without the last bytes, which may be half a letter
        text = head[:-3].decode() if len(head) == 4096 else head.decode()
        return all(letter.isprintable() or letter.isspace() for letter in text.removeprefix("\ufeff"))
    return False


def _archive(path: Path) -> Kind:
    """The kind of a zip file. Torch's have one folder around all members, of any name."""
    with open_zip(path) as archive:
        names = archive.namelist()
        inner = {name.partition("/")[2] for name in names}
        if "serialized_exported_program.json" in names:
            return "pt2"
        for name in names:
            if name.rpartition("/")[2] == "archive_format":
                with reading(path, "a torch.export archive"):
                    if archive.read(name) == b"pt2":
                        return "pt2"
        if "constants.pkl" in inner:
            return "torchscript"
        if ".data/extern_modules" in inner:
            raise UsageError(
                f"{path} is a torch.package, whose Python code would run when it is opened; export the "
                "encoder with torch.export.save or torch.jit.save."
            )
        if "data.pkl" in inner:
            return "torch"
        if any(name.endswith(".npy") for name in names):
            return "npz"
        if (why := exports.of_archive(path, names)) is not None:
            raise why
    raise UsageError(
        f"{path} is a zip archive of {len(names)} members that is neither npz nor a torch file: give the "
        "codes or the encoder itself."
    )


@contextlib.contextmanager
def open_zip(path: Path) -> Iterator[zipfile.ZipFile]:
    """A zip file whose members, by what it declares, fit into `LIMIT`.

    Raises:
        UsageError: damaged, encrypted, too large, or with two members of one name.
    """
    with contextlib.ExitStack() as stack:
        with reading(path, "a zip archive"):
            archive = stack.enter_context(zipfile.ZipFile(path))
        entries = archive.infolist()
        total = sum(entry.file_size for entry in entries)
        if total > LIMIT:
            raise UsageError(f"{path} unpacks to {total:,} bytes, more than the {LIMIT:,} that are read.")
        if len({entry.filename for entry in entries}) < len(entries):
            raise UsageError(
                f"{path} has two members of one name, so it is unclear what it holds; write it again."
            )
        if any(entry.flag_bits & 1 for entry in entries):
            raise UsageError(f"{path} is encrypted; give it as it was before.")
        yield archive


def members(path: Path, kind: str) -> dict[str, bytes]:
    """Name and content of every member of a zip file, checked against its checksum."""
    with open_zip(path) as archive, reading(path, kind):
        return {entry.filename: _whole(archive, entry) for entry in archive.infolist()}


def _whole(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> bytes:
    with archive.open(entry) as member:
        # what it declares, which was counted, and one byte that shows whether there are more
        content = member.read(entry.file_size + 1)
        # reaching the end makes zipfile compare the checksum
        member.read(1)
    if len(content) != entry.file_size:
        raise ValueError(f"{entry.filename!r} has {len(content)} bytes of {entry.file_size}")
    return content
