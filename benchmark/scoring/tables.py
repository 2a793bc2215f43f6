"""Codes that someone computed: a table (n, d) in npz, npy, HDF5, CSV or Parquet, and which images it is of.

An array file holds `codes` and, unless they are in the order of the data set's grid, `rows` (n,) or `factors`
(n, k); it may name its data set in `dataset` and `size`. A table file has one column per code, and the column
`row` or one column per factor, named as in the data set or `factor_...`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO

import numpy as np

from disbench.benchmark import datasets
from disbench.benchmark.datasets import manifest
from disbench.benchmark.datasets.dataset import Dataset, Pixels
from disbench.benchmark.datasets.naming import split_name
from disbench.benchmark.datasets.streams import npy_header
from disbench.benchmark.scoring.files import LIMIT, Kind, open_zip
from disbench.benchmark.scoring.scoring import Progress
from disbench.errors import UsageError, argument
from disbench.files import reading
from disbench.metrics import ContingencyTable
from disbench.metrics.arrays import Array, Floats, Ints
from disbench.texts import short

WORDS = ("dataset", "protocol", "sha256")  # single words that may stand beside the codes
TEXT = 2**29  # bytes of a CSV file: its numbers take up to four times as much when read
LINE = 2**20  # bytes of its first line
KNOWN = ("rows", "factors", "factor_names", "size", *WORDS)


@dataclass(frozen=True)
class CodesTable:
    """What a file of codes holds; None or () for what it does not have.

    Attributes:
        codes: (n, d), of any type until they are `checked`.
        rows: (n,), the row of the data set that each code is of.
        factors: (n, k) factor values.
        factor_names: one per column of `factors`.
        dataset: name of the data set.
        size: of its images, in pixels.
        protocol: under which the model was trained.
        sha256: of the data set's content.
        columns: names of the codes, in a table file.
        assumed: sentences for the user.
    """

    codes: Array
    rows: Array | None = None
    factors: Array | None = None
    factor_names: tuple[str, ...] = ()
    dataset: str | None = None
    size: int | None = None
    protocol: str | None = None
    sha256: str | None = None
    columns: tuple[str, ...] = ()
    assumed: tuple[str, ...] = ()


def read(path: Path, kind: Kind) -> CodesTable:
    """The codes in a file, not yet compared with any data.

    Raises:
        UsageError: unreadable, damaged, too large, or without a table of real, finite numbers.
    """
    return checked(READERS[kind](path), path)


def checked(table: CodesTable, path: Path) -> CodesTable:
    """The table with real, finite codes, and whole numbers as rows and factors.

    Args:
        table: as read.
        path: what errors call it.

    Raises:
        UsageError: codes, rows or factors are of another kind or shape.
    """
    codes = _numbers(path, "codes", table.codes)
    if codes.ndim != 2 or 0 in codes.shape:
        raise UsageError(
            f"{path}: codes {codes.shape} must be a table (n, d), one row per image and one column per code."
        )
    if not np.isfinite(codes).all():
        bad = int((~np.isfinite(codes)).any(axis=1).sum())
        raise UsageError(
            f"{path}: {bad:,} of {len(codes):,} rows of codes hold NaN or infinity; the model has diverged, "
            "or these rows were never filled in."
        )
    if (codes == codes[:1]).all():
        raise UsageError(
            f"{path}: each of the {codes.shape[1]} codes is the same in all {len(codes):,} rows, so nothing "
            "can be scored; is it the right array?"
        )
    rows = None if table.rows is None else _whole(path, "rows", table.rows, 1)
    factors = None if table.factors is None else _whole(path, "factors", table.factors, 2)
    return replace(table, codes=codes, rows=rows, factors=factors)


def _numbers(path: Path, what: str, array: Array) -> Array:
    """Real numbers: float32 or float64, integers, for codes; others are named and refused."""
    if array.dtype.kind not in "fiub":
        kinds = {"O": "Python objects", "c": "complex numbers", "U": "text", "S": "text", "V": "records"}
        raise UsageError(
            f"{path}: {what} {array.shape} must be real numbers, but they are "
            f"{kinds.get(array.dtype.kind, array.dtype)}; write a plain float array."
        )
    if array.dtype.kind == "f" and array.dtype.itemsize in (4, 8):
        return array.astype(array.dtype.newbyteorder("="), copy=False)
    if what != "codes" and array.dtype.kind in "iu":
        return array
    return array.astype(np.float32 if array.dtype.itemsize < 4 else np.float64)


def _whole(path: Path, what: str, array: Array, dimensions: int) -> Ints:
    """Whole numbers (n,) or (n, k), as int64."""
    array = _numbers(path, what, array)
    if array.ndim != dimensions or (dimensions == 2 and not array.shape[1]):
        wanted = (
            "one number per code row, (n,)" if dimensions == 1 else "a table (n, k), one row per code row"
        )
        raise UsageError(f"{path}: {what} {array.shape} must be {wanted}.")
    with np.errstate(invalid="ignore"):
        whole = array.astype(np.int64)
    if not (whole == array).all():
        raise UsageError(
            f"{path}: {what} must be whole numbers (the index of each value, from 0), but some are fractions."
        )
    return whole


# --- Formats: one function each, listed in `READERS` ---


def _npz(path: Path) -> CodesTable:
    with open_zip(path) as archive:
        sizes = {entry.filename: entry.file_size for entry in archive.infolist()}

        def array(name: str) -> Array:
            with reading(path, "npz"), archive.open(f"{name}.npy") as member:
                return _npy_array(path, name, member, sizes[f"{name}.npy"])

        return _of_arrays(path, [name.removesuffix(".npy") for name in sizes if name.endswith(".npy")], array)


def _npy(path: Path) -> CodesTable:
    with reading(path, "npy"), open(path, "rb") as file:
        return CodesTable(_npy_array(path, "the array", file, path.stat().st_size))


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


def _hdf5(path: Path) -> CodesTable:
    import h5py

    with reading(path, "HDF5"), h5py.File(path, "r") as file:
        plain = [name for name in file if isinstance(file.get(name, getlink=True), h5py.HardLink)]
        names = [name for name in plain if isinstance(file[name], h5py.Dataset)]

        def array(name: str) -> Array:
            stored = file[name]
            if stored.is_virtual or stored.external:
                raise UsageError(
                    f"{path}: {name} lies in other files, which are not read; write one whole file."
                )
            # text of any length
            if stored.dtype.hasobject:
                return np.asarray(stored.asstr()[()]) if stored.shape == () else np.empty(stored.shape, "U1")
            if stored.size is None or stored.size * stored.dtype.itemsize > LIMIT:
                raise UsageError(
                    f"{path}: {name} {stored.shape} is larger than the {LIMIT:,} bytes that are read."
                )
            return np.asarray(stored[()])

        return _of_arrays(path, names, array)


def _of_arrays(path: Path, names: list[str], array: Callable[[str], Array]) -> CodesTable:
    """A table of named arrays: `codes`, or the only array that has none of the known names."""
    others = [name for name in names if name not in KNOWN]
    assumed: tuple[str, ...] = ()
    if "codes" in names:
        chosen = "codes"
    elif len(others) == 1:
        chosen = others[0]
        assumed = (f"the codes are its only other array, {chosen!r}",)
    else:
        raise UsageError(
            f"{path} holds {short(sorted(names))}; name the table (n, d) 'codes', and beside it 'rows' "
            "(n,) or 'factors' (n, k)."
        )
    words = {word: _word(path, word, array(word)) for word in WORDS if word in names}
    size = array("size") if "size" in names else None
    if size is not None and (size.shape != () or size.dtype.kind not in "iu"):
        raise UsageError(f"{path}: size {size.shape} of {size.dtype} must be one whole number, in pixels.")
    titles = array("factor_names") if "factor_names" in names else np.empty(0, "U1")
    return CodesTable(
        array(chosen),
        rows=array("rows") if "rows" in names else None,
        factors=array("factors") if "factors" in names else None,
        dataset=words.get("dataset"),
        protocol=words.get("protocol"),
        sha256=words.get("sha256"),
        size=None if size is None else int(size),
        factor_names=tuple(map(str, titles.ravel().tolist())) if titles.dtype.kind == "U" else (),
        assumed=assumed,
    )


def _word(path: Path, name: str, array: Array) -> str:
    if array.shape != () or array.dtype.kind != "U" or not isinstance(array.item(), str):
        raise UsageError(f"{path}: {name} {array.shape} of {array.dtype} must be one text.")
    return str(array.item())


def _csv(path: Path) -> CodesTable:
    import pandas as pd

    size = path.stat().st_size
    with reading(path, "CSV"), open(path, "rb") as file:
        first = file.readline(LINE).decode("utf-8-sig")
        if size > TEXT or (len(first) < size and not first.endswith("\n")):
            raise UsageError(
                f"{path} has {size:,} bytes of text, or a first line of more than {LINE:,}; up to {TEXT:,} "
                "are read: write the codes as npz."
            )
        separator = "," if "," in first else "\t" if "\t" in first else r"\s+"
        words = first.split(None if separator == r"\s+" else separator)
        # whether it was written without names
        bare = bool(pd.to_numeric(pd.Series(words), errors="coerce").notna().all())
        file.seek(0)
        try:
            frame = pd.read_csv(file, sep=separator, header=None if bare else 0, dtype=np.float64)
        except ValueError as error:
            if "convert string" not in str(error):
                raise
            raise UsageError(
                f"{path} holds text where numbers belong ({short(error)}); a CSV has one line of "
                "column names and then numbers."
            ) from None
    columns = [f"code_{i}" for i in range(frame.shape[1])] if bare else [str(name) for name in frame.columns]
    return _of_columns(path, {name: frame.iloc[:, i].to_numpy() for i, name in enumerate(columns)})


def _parquet(path: Path) -> CodesTable:
    import pyarrow as pa
    import pyarrow.parquet as pq

    with reading(path, "Parquet"):
        file = pq.ParquetFile(path)
        cells = file.metadata.num_rows * max(1, file.metadata.num_columns)
        if not 0 <= cells * 8 <= LIMIT:
            raise UsageError(
                f"{path} declares {cells:,} numbers, more than the {LIMIT // 8:,} that are read."
            )
        for column in file.schema_arrow:
            if not (pa.types.is_integer(column.type) or pa.types.is_floating(column.type)):
                raise UsageError(
                    f"{path}: column {short(column.name)!r} holds {column.type}, not numbers; write "
                    "numbers only."
                )
        table = file.read()
        columns = {name: table.column(i).to_numpy() for i, name in enumerate(table.column_names)}
    return _of_columns(path, columns)


def _of_columns(path: Path, columns: Mapping[str, Array]) -> CodesTable:
    """A table of named columns: `row`, `factor_...`, and one per code."""
    for name in columns:
        if not name or name.startswith(("Unnamed: ", "__index_level")):
            raise UsageError(
                f"{path} has a column without a name (the index of a frame?); write it with index=False."
            )
    row = [name for name in columns if name in ("row", "rows")]
    factors = [name for name in columns if name.startswith("factor_")]
    codes = [name for name in columns if name not in (*row, *factors)]
    if not codes or len(row) > 1:
        raise UsageError(
            f"{path} has the columns {short(list(columns))}; expected one per code, and at most one "
            "named 'row'."
        )
    return CodesTable(
        np.column_stack([columns[name] for name in codes]),
        rows=columns[row[0]] if row else None,
        factors=np.column_stack([columns[name] for name in factors]) if factors else None,
        factor_names=tuple(name.removeprefix("factor_") for name in factors),
        columns=tuple(codes),
    )


READERS: Mapping[Kind, Callable[[Path], CodesTable]] = {
    "npz": _npz,
    "npy": _npy,
    "hdf5": _hdf5,
    "csv": _csv,
    "parquet": _parquet,
}


# --- Which images the codes are of ---


@dataclass(frozen=True)
class Stored:
    """The codes of some rows of a data set, as a `scoring.Source`.

    Attributes:
        table: (m, d), one line per row.
        rows: (m,) ascending, each once.
    """

    table: Floats
    rows: Ints = field(repr=False)

    def codes(self, rows: Ints, progress: Progress | None = None) -> Floats:
        """The codes (len(rows), d) of these rows, all of which must be stored."""
        return self.table[np.searchsorted(self.rows, rows)]

    def contingency(self) -> tuple[ContingencyTable, str] | str:
        """The reason why there are no counts of generated images."""
        return "codes alone generate no images"


class NoImages:
    """The storage of a data set of which only the factors are needed.

    Args:
        n: number of rows.
    """

    def __init__(self, n: int) -> None:
        self.shape = (n, 0, 0, 0)

    def read(self, rows: Ints) -> Pixels:
        """Always refuses."""
        raise UsageError(
            f"these data have factors only and no images; name a data set with {argument('dataset')}."
        )


def place(
    table: CodesTable, path: Path, dataset: str | None, size: int | None, data_dir: Path | None
) -> tuple[Stored, Dataset, tuple[str, ...]]:
    """Finds out which image each code is of.

    Args:
        table: as checked.
        path: of its file, or what errors call it.
        dataset: what the user named; None for the data set that the table names.
        size: of its images, in pixels; None for the size that the table names, or else the usual one.
        data_dir: folder of the data sets.

    Returns:
        The source, the data, and sentences about what was assumed.

    Raises:
        UsageError: the rows, factors or number of codes do not fit the data set, or none is known.
    """
    named = dataset or table.dataset
    if named is None:
        if table.factors is None:
            raise UsageError(
                f"{path} does not say which data its codes are of; name the data set with "
                f"{argument('dataset')}."
            )
        _same_length(path, table)
        return _own_factors(table, path)
    data = _factors_of(named, size or table.size, data_dir)
    if table.sha256 and data.sha256 and table.sha256 != data.sha256:
        raise UsageError(
            f"{path} has codes of {named} with sha256 {short(table.sha256, 12)}, which is "
            f"{data.sha256[:12]}... here: scores would not be comparable; use the same data."
        )
    table = _named_factors(table, path, data)
    _same_length(path, table)
    n = len(table.codes)
    assumed = list(table.assumed)
    if table.rows is not None:
        rows = table.rows
        outside = (rows < 0) | (rows >= len(data))
        if outside.any():
            raise UsageError(
                f"{path}: row {rows[outside][0]} is outside the {len(data):,} images of {data.name} (0 to "
                f"{len(data) - 1:,}); are the rows of another data set?"
            )
        if table.factors is not None and not np.array_equal(
            _varying(path, table.factors, data), _varying(path, data.factors(rows), data)
        ):
            raise UsageError(
                f"{path}: the factors are not those that {data.name} has in the rows that it names."
            )
    elif table.factors is not None:
        if data.factor_sizes is None:
            return _own_factors(table, path, data)
        rows = _grid_rows(table.factors, path, data)
    elif n == len(data):
        rows = np.arange(n)
        assumed.append(f"its {n:,} codes are in the order of the grid, last factor fastest")
    else:
        raise UsageError(
            f"{path} has {n:,} codes, but {data.name} has {len(data):,} images; "
            + (
                "it looks transposed: write codes.T."
                if table.codes.shape[1] == len(data)
                else "give all in grid order, or say which they are with 'rows' or 'factors'."
            )
        )
    return _by_row(table.codes, rows, path), data, tuple(assumed)


def _factors_of(name: str, size: int | None, data_dir: Path | None) -> Dataset:
    """The data set of that name; of a published grid only the factors, so that no file needs to be there."""
    base, options = split_name(name)
    if not options and not base.endswith(".npz"):
        facts = manifest.read(base)
        if facts.factors and facts.count:
            known = facts.content_sha256.get(size or facts.sizes[0], "")
            names, sizes = tuple(facts.factors), tuple(facts.factors.values())
            return Dataset(name, known, NoImages(facts.count), names, sizes)
    return datasets.load(name, size=size, data_dir=data_dir)


def _named_factors(table: CodesTable, path: Path, data: Dataset) -> CodesTable:
    """With the columns that are named like the factors of the data taken from the codes."""
    here = [name for name in data.factor_names if name in table.columns]
    if not here:
        return table
    if table.factors is not None or len(here) == len(table.columns):
        raise UsageError(f"{path} has factors under two kinds of names, or no column of codes beside them.")
    named = [table.columns.index(name) for name in here]
    rest = [i for i in range(len(table.columns)) if i not in named]
    factors = _whole(path, "factors", table.codes[:, named], 2)
    return replace(table, codes=table.codes[:, rest], factors=factors, factor_names=tuple(here), columns=())


def _same_length(path: Path, table: CodesTable) -> None:
    for what, beside in (("rows", table.rows), ("factors", table.factors)):
        if beside is not None and len(beside) != len(table.codes):
            hint = "; the codes look transposed: write codes.T" if len(beside) == table.codes.shape[1] else ""
            raise UsageError(
                f"{path}: {len(table.codes):,} codes, but {len(beside):,} {what}: one each{hint}."
            )


def _varying(path: Path, factors: Ints, data: Dataset) -> Ints:
    """The columns of the data's factors that have more than one value; a table may omit the other columns."""
    sizes = np.array(data.factor_sizes if data.factor_sizes is not None else [2] * len(data.factor_names))
    if factors.shape[1] == len(sizes):
        return factors[:, sizes > 1]
    if factors.shape[1] == (sizes > 1).sum():
        return factors
    moving = (factors != factors[:1]).any(axis=0)
    if factors.shape[1] > len(sizes) and moving.sum() == (sizes > 1).sum():
        # a further column is constant, such as the colour of dSprites, which is always white
        return factors[:, moving]
    raise UsageError(
        f"{path} has {factors.shape[1]} factors, but {data.name} has {len(sizes)}: "
        f"{', '.join(data.factor_names)}; are they of another data set?"
    )


def _grid_rows(factors: Ints, path: Path, data: Dataset) -> Ints:
    """The row of the grid that each line of factors names."""
    varying = _varying(path, factors, data)
    full = np.zeros((len(factors), len(data.grid.sizes)), np.int64)
    full[:, data.grid.varying] = varying
    sizes = np.array(data.grid.sizes)
    outside = (full < 0) | (full >= sizes)
    if outside.any():
        line, k = np.argwhere(outside)[0]
        raise UsageError(
            f"{path}: factor {data.factor_names[k]} is {full[line, k]} in line {line}, but in {data.name} it "
            f"is 0 to {sizes[k] - 1}; are the factors of another data set?"
        )
    return data.grid.rows(full)


def _by_row(codes: Floats, rows: Ints, path: Path) -> Stored:
    """Sorted by row, each row once; a row given twice must have the same codes both times."""
    order = np.argsort(rows, kind="stable")
    codes, rows = codes[order], rows[order]
    again = np.flatnonzero(rows[1:] == rows[:-1]) + 1
    different = again[(codes[again] != codes[again - 1]).any(axis=1)]
    if len(different):
        raise UsageError(
            f"{path}: image {rows[different[0]]} occurs twice with different codes ({len(different):,} such "
            "images); give each image once, encoded in evaluation mode."
        )
    keep = np.ones(len(rows), bool)
    keep[again] = False
    return Stored(codes[keep], rows[keep])


def _own_factors(
    table: CodesTable, path: Path, data: Dataset | None = None
) -> tuple[Stored, Dataset, tuple[str, ...]]:
    """Codes with their own factors: a grid if these run through all combinations once, in any order."""
    # both callers looked
    assert table.factors is not None
    factors, n = table.factors, len(table.codes)
    if factors.min() < 0:
        raise UsageError(f"{path}: factors must be the index of each value, from 0, but some are negative.")
    names = data.factor_names if data is not None else table.factor_names
    if len(names) != factors.shape[1]:
        names = tuple(f"factor_{k}" for k in range(factors.shape[1]))
    title = data.name if data is not None else f"the factors in {path.name}"
    sizes = tuple(int(top) + 1 for top in factors.max(axis=0))
    storage, assumed = NoImages(n), table.assumed
    if np.prod(sizes, dtype=float) == n:
        rows = np.ravel_multi_index(tuple(factors.T), sizes)
        if len(np.unique(rows)) == n:
            own = Dataset(title, "", storage, names, sizes)
            note = f"its factors are a complete grid of {' x '.join(map(str, sizes))}"
            return _by_row(table.codes, rows, path), own, (*assumed, note)
    own = Dataset(title, "", storage, names, factor_table=factors)
    note = f"its {n:,} lines of factors form no complete grid"
    return Stored(table.codes, np.arange(n)), own, (*assumed, note)
