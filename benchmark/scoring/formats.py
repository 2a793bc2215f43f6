"""Files of numbers as named arrays, or as the named columns of one table: one function per format.

Nothing is unpickled, and what a file declares is compared with `files.LIMIT` before it is unpacked. Which
array or column holds the codes is decided by `tables`. A new format needs its first bytes in
`files.FIRST_BYTES`, a function here and an entry in `READERS`.
"""

from __future__ import annotations

import contextlib
import csv
import io
import re
import struct
import warnings
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from torch import Tensor

from disbench.benchmark.datasets.streams import npy_header
from disbench.benchmark.scoring import exports
from disbench.benchmark.scoring.files import LIMIT, Kind, members, open_zip
from disbench.errors import UsageError
from disbench.files import reading
from disbench.metrics.arrays import Array
from disbench.metrics.conversion import arrow_places, as_array, check_distinct, raw
from disbench.models.checkpoint import load_tensors
from disbench.texts import short

TEXT = 2**29  # bytes of a CSV file: its numbers take up to four times as much when read
LINE = 2**20  # bytes of its first line
SEPARATORS = {";": "semicolons", "|": "vertical bars"}  # of a CSV file, said where they are unusual
LISTS = ("codes", "rows", "factors", "factor_names")  # what a torch file may hold as a list
MOST_NAMES = 10_000  # arrays in an HDF5 file
INTEGERS = tuple(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64))
MATLAB_TYPES = ("double", "single", "logical", "sparse", "char", *INTEGERS)


@dataclass(frozen=True)
class Content:
    """The arrays of a file, read one by one.

    Attributes:
        names: of its arrays or columns; ("",) for a file of one array, which has no name.
        read: gives the array of a name, of numbers.
        columns: whether each is a column (n,) of one table.
        notes: sentences for the user about how the file was read.
        matlab: whether MATLAB wrote it, which knows no vectors and counts from 1.
        unread: names of what it holds beside arrays of numbers, such as cells and structures.
        text: gives the array of a name, of numbers or of text; None where `read` does.
    """

    names: tuple[str, ...]
    read: Callable[[str], Array]
    columns: bool = False
    notes: tuple[str, ...] = ()
    matlab: bool = False
    unread: tuple[str, ...] = ()
    text: Callable[[str], Array] | None = None

    def raw(self, name: str) -> Array:
        """The array of a name, of numbers or of text, as factors may be."""
        return (self.text or self.read)(name)


def of_arrays(
    arrays: Mapping[str, object], path: Path, columns: bool = False, unread: tuple[str, ...] = ()
) -> Content:
    """The content of what is in memory already: tensors, arrays, lists and single words, by name."""

    def read(name: str) -> Array:
        value = arrays[name]
        return (
            np.asarray(value)
            if isinstance(value, str | int)
            else as_array(value, f"{path}: {name or 'codes'}")
        )

    def text(name: str) -> Array:
        value = arrays[name]
        return np.asarray(value) if isinstance(value, str | int) else raw(value, f"{path}: {name}")

    return Content(tuple(arrays), read, columns, unread=unread, text=text)


@contextlib.contextmanager
def opened(path: Path, kind: Kind) -> Iterator[Content]:
    """What a file holds; it may be read until the end of the block.

    Raises:
        UsageError: unreadable, damaged or too large.
    """
    with READERS[kind](path) as content:
        yield content


@contextlib.contextmanager
def _npz(path: Path) -> Iterator[Content]:
    with open_zip(path) as archive:
        sizes = {entry.filename: entry.file_size for entry in archive.infolist()}

        def read(name: str) -> Array:
            with reading(path, "npz"), archive.open(f"{name}.npy") as member:
                return _npy_array(path, name, member, sizes[f"{name}.npy"])

        yield Content(tuple(name.removesuffix(".npy") for name in sizes if name.endswith(".npy")), read)


@contextlib.contextmanager
def _npy(path: Path) -> Iterator[Content]:
    with reading(path, "npy"), open(path, "rb") as file:
        array = _npy_array(path, "the array", file, path.stat().st_size)
    yield Content(("",), lambda name: array)


def _npy_array(path: Path, name: str, source: IO[bytes], size: int) -> Array:
    """One array of numpy's format, never unpickled, its declared shape compared with the bytes there."""
    shape, by_column, dtype = npy_header(source, f"{path}: {name}")
    count = 1
    for length in shape:
        count *= length
    content = source.read(size)
    if min(shape, default=0) < 0 or count * dtype.itemsize != len(content):
        raise ValueError(f"{name} {shape} of {dtype} does not fit into its {len(content):,} bytes")
    return np.frombuffer(content, dtype).reshape(shape, order="F" if by_column else "C")


@contextlib.contextmanager
def _hdf5(path: Path) -> Iterator[Content]:
    """Arrays in groups are named by their paths. MATLAB (7.3) writes HDF5 with the axes in reverse."""
    import h5py

    with contextlib.ExitStack() as stack:
        with reading(path, "HDF5"):
            file = stack.enter_context(h5py.File(path, "r"))
            if "keras_version" in file.attrs:
                raise exports.keras(path)
            matlab = any("MATLAB_class" in file[name].attrs for name in _hard_links(file))
            links: list[str] = []
            names = tuple(_arrays_in(file, links))

        def read(name: str) -> Array:
            with reading(path, "HDF5"):
                return _hdf5_array(path, name, file[name])

        def text(name: str) -> Array:
            stored = file[name]
            with reading(path, "HDF5"):
                words = h5py.check_string_dtype(stored.dtype) is not None and stored.shape
                return np.asarray(stored.asstr()[()]) if words else _hdf5_array(path, name, stored)

        yield Content(names, read, matlab=matlab, unread=tuple(links), text=text)


def _hard_links(group: Any) -> list[str]:
    """The names in a group that lead to no other file; MATLAB's own begin with #."""
    import h5py

    return [
        name
        for name in group
        if not name.startswith("#") and isinstance(group.get(name, getlink=True), h5py.HardLink)
    ]


def _arrays_in(file: Any, links: list[str]) -> Iterator[str]:
    """The paths of all arrays, each group entered once; to `links` those of links are added."""
    import h5py

    left, seen, found = [("", file)], {file.id}, 0
    while left:
        prefix, group = left.pop(0)
        hard = _hard_links(group)
        links += [f"{prefix}{name}" for name in group if not name.startswith("#") and name not in hard]
        for name in hard:
            found += 1
            if found > MOST_NAMES:
                raise ValueError(f"it has more than {MOST_NAMES:,} entries")
            entry = group[name]
            if isinstance(entry, h5py.Dataset):
                yield f"{prefix}{name}"
            elif isinstance(entry, h5py.Group) and entry.id not in seen:
                seen.add(entry.id)
                left.append((f"{prefix}{name}/", entry))


def _hdf5_array(path: Path, name: str, stored: Any) -> Array:
    if stored.is_virtual or stored.external:
        raise UsageError(f"{path}: {name} lies in other files, which are not read; write one whole file.")
    import h5py

    if stored.shape is None:
        raise UsageError(f"{path}: {name} is empty; write a table (n, d) of numbers.")
    if h5py.check_string_dtype(stored.dtype) is not None:
        # text of any length
        return np.asarray(stored.asstr()[()]) if stored.shape == () else np.empty(stored.shape, "U1")
    if stored.dtype.hasobject:
        raise UsageError(
            f"{path}: {name} holds lists of any length or references; write a table (n, d) of numbers."
        )
    if stored.size * stored.dtype.itemsize > LIMIT:
        raise UsageError(f"{path}: {name} {stored.shape} is larger than the {LIMIT:,} bytes that are read.")
    array: Array = np.asarray(stored[()])
    kind = stored.attrs.get("MATLAB_class")
    if kind is None:
        return array
    if kind == b"char":
        return _lines(["".join(map(chr, row)) for row in array.T.tolist()])
    return array.T


@contextlib.contextmanager
def _mat(path: Path) -> Iterator[Content]:
    """MATLAB, version 5: numbers alone; cells, structures and objects are not read."""
    from scipy.io import loadmat, whosmat

    with reading(path, "a MATLAB file"):
        _check_unpacked(path)
        listed = whosmat(path)
    check_distinct([name for name, _, _ in listed], str(path))
    shapes = {name: shape for name, shape, kind in listed if kind in MATLAB_TYPES}
    sparse = {name for name, _, kind in listed if kind == "sparse"}

    def read(name: str) -> Array:
        # the size of a sparse one is checked where it is written out
        if name not in sparse and np.prod(shapes[name], dtype=float) > LIMIT:
            raise UsageError(
                f"{path}: {name} {shapes[name]} is larger than the {LIMIT:,} bytes that are read."
            )
        with reading(path, "a MATLAB file"), warnings.catch_warnings():
            warnings.simplefilter("error")
            array = loadmat(path, variable_names=[name])[name]
        if getattr(array, "dtype", np.dtype(float)).kind == "U":
            return _lines(array.ravel().tolist())
        return as_array(array, f"{path}: {name}")

    unread = tuple(name for name, _, _ in listed if name not in shapes)
    yield Content(tuple(shapes), read, matlab=True, unread=unread)


def _lines(rows: list[str]) -> Array:
    """The text of a row of characters, or the texts (n,) of several, which MATLAB fills up with spaces."""
    return np.asarray(rows[0] if len(rows) == 1 else [row.rstrip(" ") for row in rows], str)


def _check_unpacked(path: Path) -> None:
    """Refuses a MATLAB file whose compressed variables unpack to more than `LIMIT` bytes."""
    left = LIMIT
    with open(path, "rb") as file:
        head = file.read(128)
        order = "<" if head[126:128] == b"IM" else ">"
        while len(tag := file.read(8)) == 8:
            kind, size = struct.unpack(f"{order}II", tag)
            # miCOMPRESSED; of any other type the file itself has the bytes
            if kind != 15:
                file.seek(size, 1)
                continue
            unpacked = zlib.decompressobj()
            packed = file.read(size)
            while packed and left >= 0:
                left -= len(unpacked.decompress(packed, 2**24))
                packed = unpacked.unconsumed_tail
            if left < 0:
                raise UsageError(f"{path} unpacks to more than the {LIMIT:,} bytes that are read.")


@contextlib.contextmanager
def _torch(path: Path) -> Iterator[Content]:
    """A tensor, or dictionaries of tensors, whose paths are their names."""
    if zipfile.is_zipfile(path):
        # compares the checksums, which torch does not
        members(path, "a torch file")
    yield of_tensors(load_tensors(path), path)


def of_tensors(values: object, path: Path) -> Content:
    """The tensors in what a torch file holds, and the words and numbers beside them."""
    found: list[tuple[str, object]] = []
    left = [("", values)]
    while left:
        name, value = left.pop(0)
        if isinstance(value, Tensor):
            found.append((name, value))
        elif isinstance(value, Mapping):
            left += [(f"{name}/{key}" if name else str(key), part) for key, part in value.items()]
        elif name:
            found.append((name, value))
    check_distinct([name for name, _ in found], str(path))
    arrays = {name: value for name, value in found if _is_array(name, value)}
    unread = tuple(name for name, _ in found if name not in arrays)
    return of_arrays(arrays, path, unread=unread)


def _is_array(name: str, value: object) -> bool:
    """Whether a value is read: tensors and words, and lists where they may say what the codes are of."""
    lists = isinstance(value, list | tuple) and name.rpartition("/")[2] in LISTS
    return isinstance(value, Tensor | str | int) or lists


@contextlib.contextmanager
def _safetensors(path: Path) -> Iterator[Content]:
    yield of_arrays(load_safetensors(path), path)


def load_safetensors(path: Path) -> dict[str, Any]:
    """The tensors in a safetensors file, by name: a header and numbers, nothing that could run.

    Raises:
        UsageError: damaged.
    """
    from safetensors import safe_open

    with reading(path, "safetensors"), safe_open(path, framework="pt") as file:
        names = list(file.keys())
        return {name: file.get_tensor(name) for name in names}


@contextlib.contextmanager
def _csv(path: Path) -> Iterator[Content]:
    """A line of names and then numbers, separated by commas, semicolons, tabs or spaces."""
    import pandas as pd

    size = path.stat().st_size
    with reading(path, "CSV"), open(path, "rb") as file:
        comments: list[str] = []
        start, first = 0, _line(file, path, size)
        if re.fullmatch("sep=.", first.strip()):
            # a word to Excel
            start, first = file.tell(), _line(file, path, size)
        while first.startswith("#") or (first and not first.strip()):
            comments += [first.lstrip("#").strip()] if first.strip() else []
            start, first = file.tell(), _line(file, path, size)
        separator, words = _words(first)
        bare, notes = _without_names(words), []
        if separator in SEPARATORS:
            notes.append(f"its columns are separated by {SEPARATORS[separator]}")
        if comments:
            notes.append("its lines that begin with # are left out")
        if bare and words == [str(i) for i in range(len(words))] and len(words) > 1:
            notes.append(f"its first line, 0 to {len(words) - 1}, is taken for names")
            bare = False
        elif (
            bare
            and comments
            and len(named := _words(comments[-1], separator)[1]) == len(words)
            and not (_without_names(named))
        ):
            notes = [*notes[:-1], "the names of its columns are those of its line that begins with #"]
            words = named
        elif bare:
            words = [f"code_{i}" for i in range(len(words))]
            notes.append("it has no line of names")
        file.seek(start if bare else file.tell())
        if file.tell() >= size:
            raise UsageError(f"{path} has a line of names and no other; write one line for each image.")
        # pandas would cut each line at a #, also within a value such as C#
        rows = io.BytesIO(b"".join(line for line in file if not line.startswith(b"#"))) if comments else file
        frame = pd.read_csv(rows, sep=separator, header=None, low_memory=False)
    if frame.shape[1] != len(words):
        raise UsageError(
            f"{path} has {len(words)} names for {frame.shape[1]} columns; write one name for each, and no "
            "names "
            "of rows (index=False, in R row.names=FALSE)."
        )
    check_distinct(words, str(path))

    def read(name: str) -> Array:
        column = frame.iloc[:, words.index(name)]
        if pd.api.types.is_numeric_dtype(column.dtype) or pd.api.types.is_bool_dtype(column.dtype):
            return column.to_numpy()
        words_in = [value for value in column if isinstance(value, str)]
        text = next((word for word in words_in if not _is_number(word)), words_in[0])
        hint = (
            "write numbers with a decimal point"
            if _is_number(text.replace(",", ".", 1))
            else "a CSV has one line of column names and then numbers"
        )
        raise UsageError(
            f"{path} holds text where numbers belong, in the column {short(name, 40)!r} {short(text, 40)!r}; "
            f"{hint}."
        )

    def text(name: str) -> Array:
        return frame.iloc[:, words.index(name)].to_numpy()

    yield Content(tuple(words), read, columns=True, notes=tuple(notes), text=text)


def _line(file: IO[bytes], path: Path, size: int) -> str:
    line = file.readline(LINE)
    if size > TEXT or (file.tell() < size and not line.endswith(b"\n")):
        raise UsageError(
            f"{path} has {size:,} bytes of text, or a line of more than {LINE:,}; up to {TEXT:,} are read: "
            "write "
            "the codes as npz."
        )
    if b"\r" in line.rstrip(b"\r\n"):
        raise UsageError(f"{path} has lines that end in CR alone, as on old Macs; write them with LF.")
    return line.decode("utf-8-sig")


def _words(line: str, separator: str = "") -> tuple[str, list[str]]:
    """The separator of a line, found out unless it is known, and what stands between."""
    chosen = separator or next((mark for mark in ";,\t|" if mark in line), r"\s+")
    words = line.split() if chosen == r"\s+" else next(csv.reader([line.strip("\r\n")], delimiter=chosen))
    return chosen, [word.strip().strip('"') for word in words]


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    # which Python allows within a number
    return "_" not in word


def _without_names(words: list[str]) -> bool:
    """Whether a line is one of numbers, some of which may be missing; pandas leaves an index without a "
    "name."""
    return all(_is_number(word) or (not word and i > 0) for i, word in enumerate(words))


@contextlib.contextmanager
def _parquet(path: Path) -> Iterator[Content]:
    import pyarrow.parquet as pq

    with reading(path, "Parquet"):
        file = pq.ParquetFile(path)
        cells = file.metadata.num_rows * max(1, file.metadata.num_columns)
        if not 0 <= cells * 8 <= LIMIT:
            raise UsageError(
                f"{path} declares {cells:,} numbers, more than the {LIMIT // 8:,} that are read."
            )
        schema = file.schema_arrow
        names = [field.name for field in schema]
        check_distinct(names, str(path))
        table = file.read(columns=[field.name for field in schema if _is_plain(field.type)])
    yield _of_table(path, names, schema, table, lambda name: file.read(columns=[name]))


@contextlib.contextmanager
def _arrow(path: Path) -> Iterator[Content]:
    """Arrow's own format, which Feather is as well; as a file or as a stream."""
    import pyarrow as pa

    with reading(path, "Arrow"), pa.OSFile(str(path)) as file:
        is_file = file.read(6) == b"ARROW1"
        file.seek(0)
        reader = pa.ipc.open_file(file) if is_file else pa.ipc.open_stream(file)
        schema = reader.schema
        names = [field.name for field in schema]
        check_distinct(names, str(path))
        batches, size = [], 0
        for batch in (reader.get_batch(i) for i in range(reader.num_record_batches)) if is_file else reader:
            size += batch.nbytes
            if size > LIMIT:
                raise UsageError(f"{path} unpacks to more than the {LIMIT:,} bytes that are read.")
            batches.append(batch)
        table = pa.Table.from_batches(batches, schema)
    yield _of_table(path, names, schema, table, lambda name: table)


def _is_plain(kind: Any) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind))


def _is_words(kind: Any) -> bool:
    """Whether a column holds texts, or categories of texts or numbers."""
    import pyarrow as pa

    categories = pa.types.is_dictionary(kind)
    words = kind.value_type if categories else kind
    texts = (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view)
    return any(is_text(words) for is_text in texts) or (categories and _is_plain(words))


def _of_table(path: Path, names: list[str], schema: Any, table: Any, whole: Callable[[str], Any]) -> Content:
    """The columns of an Arrow table; `whole` gives a table that has the column of a name, of any type."""
    import pyarrow as pa

    def read(name: str) -> Array:
        kind = schema.field(name).type
        if not _is_plain(kind):
            raise UsageError(
                f"{path}: column {short(name)!r} holds {kind}, not numbers; write one column of numbers per "
                "code."
            )
        with reading(path):
            return np.asarray(table.column(name).to_numpy())

    def text(name: str) -> Array:
        kind = schema.field(name).type
        if _is_plain(kind):
            return read(name)
        if not _is_words(kind):
            raise UsageError(
                f"{path}: column {short(name)!r} holds {kind}, neither numbers nor text; write it as one of "
                "these."
            )
        with reading(path):
            column = whole(name).column(name)
            places = arrow_places(column)
            if places is not None:
                return places
            if pa.types.is_string_view(kind):
                column = column.cast(pa.large_string())
            column = column.dictionary_encode().combine_chunks()
            # each text once, however many rows have it
            words = np.array([*column.dictionary.to_pylist(), None], object)
            places = column.indices.fill_null(len(words) - 1).to_numpy()
            found: Array = words[places]
            return found

    return Content(tuple(names), read, columns=True, text=text)


READERS: Mapping[Kind, Callable[[Path], contextlib.AbstractContextManager[Content]]] = {
    "npz": _npz,
    "npy": _npy,
    "hdf5": _hdf5,
    "mat": _mat,
    "torch": _torch,
    "safetensors": _safetensors,
    "csv": _csv,
    "parquet": _parquet,
    "arrow": _arrow,
}
