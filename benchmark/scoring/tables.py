"""Codes that someone computed: a table (n, d) in a file or in memory, and which images it is of.

An array file holds `codes` and, unless they are in the order of the data set, `rows` (n,) or `factors`
(n, k); it may name its data set in `dataset` and `size`, and hold the log-variances of the codes in `logvar`
(n, d). A table file has one column per code, and the column
`row` or one column per factor, named as in the data set or `factor_...`. What was taken for codes is always
said; a column or array that could be something else, such as labels, is never taken in silence.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from disbench.benchmark import datasets
from disbench.benchmark.datasets import manifest
from disbench.benchmark.datasets.dataset import Dataset, Pixels
from disbench.benchmark.datasets.naming import is_own, split_name
from disbench.benchmark.scoring.encoded import Encoded, Progress
from disbench.benchmark.scoring.files import without_data
from disbench.benchmark.scoring.formats import Content
from disbench.errors import UsageError, argument
from disbench.metrics import ContingencyTable
from disbench.metrics.arrays import EXACT, Array, Bools, Floats, Ints, varying
from disbench.metrics.checks import check_both, check_codes
from disbench.metrics.conversion import (
    CODE_NAMES,
    as_array,
    check_finite,
    chosen_columns,
    code_columns,
    is_other_thing,
    stacked,
)
from disbench.metrics.factors import Factors, other_numbers, raw, titles, understood
from disbench.metrics.live import check_logvar, no_gaussian
from disbench.texts import short

WORDS = ("dataset", "protocol", "sha256")  # single words that may stand beside the codes
# What people call row numbers and factors.
ROWS_ALIKE = re.compile(r"rows?|row_?(ids?|numbers?|index|indices)|(image_?)?(index|indices|idxs?|ids?)")
FACTORS_ALIKE = re.compile(r"factors?|factor_?values?|latents?_(values|classes)|gt_?factors?")
KNOWN = ("rows", "factors", "factor_names", "size", "logvar", *WORDS)


@dataclass(frozen=True)
class CodesTable:
    """What a file of codes holds; None or () for what it does not have.

    Attributes:
        codes: (n, d), of any type until they are `checked`.
        logvar: (n, d), natural log of the variance of each code, of any type until it is `checked`.
        rows: (n,), the row of the data set that each code is of.
        factors: (n, k) factor values, of any type until they are `checked`: a table, or columns by name.
        factor_names: one per column of a table without names of its own.
        dataset: name of the data set.
        size: of its images, in pixels.
        protocol: under which the model was trained.
        sha256: of the data set's content.
        columns: names of the codes, in a table file.
        origin: name of the file of the factors, if it is another one.
        beside: whether the factors were given beside the codes, to be paired line by line.
        assumed: sentences for the user.
    """

    codes: Array
    rows: Array | None = None
    factors: object = None
    logvar: Array | None = None
    factor_names: tuple[str, ...] = ()
    dataset: str | None = None
    size: int | None = None
    protocol: str | None = None
    sha256: str | None = None
    columns: tuple[str, ...] = ()
    origin: str = ""
    beside: bool = False
    assumed: tuple[str, ...] = ()

    @property
    def known(self) -> Factors | None:
        """The factors, once they are `checked`."""
        return self.factors if isinstance(self.factors, Factors) else None


# --- Which array or columns are the codes ---


def of_content(
    content: Content, path: Path, wanted: str = "", factor_names: Sequence[str] = ()
) -> CodesTable:
    """The codes among what a file holds, and what says which images they are of; not yet `checked`.

    Args:
        content: of the file, or of a frame or an array in memory.
        path: of the file, or what errors call it.
        wanted: the array that holds the codes, or the columns, as names or patterns; "" to find out.
        factor_names: of the data set, which columns may have.

    Raises:
        UsageError: it is left open which are the codes.
    """
    if content.columns:
        table = _of_columns(content, path, wanted, factor_names)
    else:
        table = _of_arrays(content, path, wanted)
    return replace(table, assumed=(*content.notes, *table.assumed))


def _of_arrays(content: Content, path: Path, wanted: str) -> CodesTable:
    """The array `codes`, or the only one that has none of the known names."""
    if content.names == ("",):
        if wanted:
            raise UsageError(f"{path} holds one array, without a name; omit {argument('array')}.")
        codes = content.read("")
        return CodesTable(codes, assumed=(f"the codes are its array {_shape(codes)}",))
    name = _codes_among(content, path, wanted)
    group = name.rpartition("/")[0]

    def beside(known: str) -> Array | None:
        """The array of a known name in the codes' group, or else in none."""
        for place in dict.fromkeys((f"{group}/{known}".lstrip("/"), known)):
            if place in content.unread or any(name.startswith(f"{place}/") for name in content.names):
                way = (
                    "write numbers, such as those that MATLAB's grp2idx gives"
                    if content.matlab and known == "factors"
                    else "write an array"
                )
                raise UsageError(
                    f"{path}: {short(place, 60)!r} is no plain array, but perhaps a cell, group or link; "
                    f"{way}."
                )
            if place in content.names:
                array = content.raw(place)
                vector = known in (*WORDS, "rows", "size", "factor_names") or 1 in array.shape
                return _vector(array) if content.matlab and vector else array
        return None

    codes, rows, factors = content.read(name), beside("rows"), beside("factors")
    words = {word: _word(path, word, array) for word in WORDS if (array := beside(word)) is not None}
    size, named = beside("size"), beside("factor_names")
    if size is not None and (size.shape != () or not _is_whole(size)):
        raise UsageError(f"{path}: size {size.shape} of {size.dtype} must be one whole number, in pixels.")
    assumed = [f"the codes are its array {short(name, 60)!r} {_shape(codes)}"]
    if name.rpartition("/")[2] != "codes" and not wanted:
        assumed[0] += ", the only one of no other meaning"
    left = [other for other in content.names if other != name and other.rpartition("/")[2] not in KNOWN]
    left += content.unread
    for known, alike, beside_it in (("rows", ROWS_ALIKE, rows), ("factors", FACTORS_ALIKE, factors)):
        odd = next((other for other in left if alike.fullmatch(other.rpartition("/")[2].lower())), "")
        if odd and beside_it is None and not wanted:
            raise UsageError(
                f"{path} holds {short(odd, 40)!r} beside its codes: call it {known!r} if it says which "
                f"images they are of, and otherwise leave it out or name the codes with {argument('array')}."
            )
    if left:
        assumed.append(f"left out: {short(', '.join(left))}")
    logvar = beside("logvar")
    if logvar is not None:
        assumed.append(f"their log-variances are its array 'logvar' {_shape(logvar)}")
    if content.matlab and rows is not None:
        assumed.append("its rows count from 0, not from 1 as MATLAB does")
    return CodesTable(
        codes,
        rows,
        factors,
        logvar,
        dataset=words.get("dataset"),
        protocol=words.get("protocol"),
        sha256=words.get("sha256"),
        size=None if size is None else int(size),
        factor_names=() if named is None else titles(named, f"{path}: factor_names"),
        assumed=tuple(assumed),
    )


def _codes_among(content: Content, path: Path, wanted: str) -> str:
    """The name of the array of codes."""
    names = content.names
    if wanted:
        if wanted not in names:
            raise UsageError(
                f"{path} has no array {wanted!r} for {argument('array')}; it holds {short(sorted(names))}."
            )
        return wanted
    last = {name: name.rpartition("/")[2] for name in names}
    if "codes" in names:
        return "codes"
    others = [name for name in names if last[name] not in KNOWN and not is_other_thing(last[name])]
    for fits in ([name for name in names if last[name] == "codes"], others):
        if len(fits) == 1:
            return fits[0]
    unread = f" (and {short(', '.join(content.unread), 60)}, no plain arrays)" if content.unread else ""
    raise UsageError(
        f"{path} holds {short(sorted(names))}{unread}; say which of them is the codes with "
        f"{argument('array')} "
        "NAME, or name the table (n, d) 'codes', and beside it 'rows' (n,) or 'factors' (n, k)."
    )


def holds_codes(content: Content, wanted: str) -> bool:
    """Whether a file of tensors, which may as well be weights, holds codes: by name, or by what is beside."""
    last = [name.rpartition("/")[2] for name in content.names]
    others = [name for name in last if name not in KNOWN]
    one = len(others) == 1 and (others[0] in ("", *CODE_NAMES) or "rows" in last or "factors" in last)
    return bool(wanted) or "codes" in last or one


def _shape(array: Array) -> str:
    return f"({', '.join(map(str, array.shape))})"


def _vector(array: Array) -> Array:
    """What MATLAB stores as (n, 1), (1, n) or (1, 1) as (n,) or a single number."""
    flat = array.reshape(-1) if array.ndim == 2 and 1 in array.shape else array
    return flat.reshape(()) if flat.shape == (1,) and flat.dtype.kind != "U" else flat


def _is_whole(number: Array) -> bool:
    return number.dtype.kind in "iuf" and bool(number == np.rint(number))


def _word(path: Path, name: str, array: Array) -> str:
    if array.shape != () or array.dtype.kind != "U" or not isinstance(array.item(), str):
        raise UsageError(f"{path}: {name} {array.shape} of {array.dtype} must be one text.")
    return str(array.item())


def _of_columns(content: Content, path: Path, wanted: str, factor_names: Sequence[str]) -> CodesTable:
    """Named columns: `row`, factors as the data set or `factor_...` call them, and one per code."""
    names = content.names
    _check_titles(names, path)
    row = [name for name in names if name in ("row", "rows")]
    prefixed = [name for name in names if name.startswith("factor_")]
    here = [name for name in factor_names if name in names]
    others = [name for name in names if name not in (*row, *prefixed, *here)]
    if not others or len(row) > 1 or (prefixed and here):
        raise UsageError(
            f"{path} has the columns {short(list(names))}; expected one per code, at most one named 'row', "
            "and "
            "factors under one kind of names."
        )
    codes = chosen_columns(others, wanted) if wanted else code_columns(others)
    left = [name for name in others if name not in codes]
    if wanted and not codes:
        raise UsageError(f"{path} has no column {wanted!r} for {argument('array')}; it has {short(others)}.")
    if left and not wanted:
        raise UsageError(
            f"{path} has columns that may be no codes: {short(', '.join(left), 80)}. Codes have one stem and "
            f"numbers, as z0, z1; name the codes with {argument('array')} {_pattern(codes, others)}, and "
            "call "
            "others row or factor_NAME, or drop them."
        )
    assumed = [
        f"the codes are its {_listed(codes)}",
        *([f"left out: {short(', '.join(left))}"] if left else []),
    ]
    factors = prefixed or here
    return CodesTable(
        stacked({name: content.read(name) for name in codes}, f"{path}: codes"),
        rows=content.read(row[0]) if row else None,
        factors={name.removeprefix("factor_"): content.raw(name) for name in factors} if factors else None,
        columns=tuple(codes),
        assumed=tuple(assumed),
    )


def _check_titles(names: Sequence[str], path: Path) -> None:
    for name in names:
        if not name or name.startswith(("Unnamed: ", "__index_level")):
            raise UsageError(
                f"{path} has a column without a name (the index of a frame?); write it with index=False."
            )


def _pattern(codes: Sequence[str], others: Sequence[str]) -> str:
    """A short text that chooses these columns, for a sentence."""
    stem = codes[0].rstrip("0123456789") if codes else "z"
    whole = not codes or chosen_columns(others, f"{stem}*") == tuple(codes)
    return ascii(short(f"{stem}*" if whole else ",".join(codes), 60))


def _listed(names: Sequence[str]) -> str:
    """`3 columns z0, z1, z2`, or the first and the last of many."""
    shown = ", ".join(names) if len(names) <= 6 else f"{names[0]}, {names[1]}, ... {names[-1]}"
    return f"{len(names)} column{'s' * (len(names) > 1)} {short(shown, 80)}"


def factors_in(content: Content, path: Path) -> tuple[object, tuple[str, ...]]:
    """The factors of a file that holds factors alone, not yet `checked`, and what was assumed, in sentences.

    Raises:
        UsageError: it is left open which they are, or says which rows they are of: lines are paired by place.
    """
    last = {name: name.rpartition("/")[2] for name in content.names}
    own = [name for name in content.names if content.columns and name.startswith("factor_")]
    others = [name for name in content.names if name not in own]
    # where all columns count, one that tells rows apart is found by its values
    keys = others if own or not content.columns else [name for name in others if name in ("row", "rows")]
    if key := next((name for name in keys if ROWS_ALIKE.fullmatch(last[name].lower())), ""):
        raise UsageError(
            f"{path} has {short(key, 40)!r} beside its factors, which are paired with the codes line by "
            f"line; put both into that order, and leave {short(key, 40)!r} out."
        )
    if content.columns:
        _check_titles(content.names, path)
        codes = code_columns(others) if own else ()
        stray = [name for name in others if own and name not in codes]
        if stray:
            raise UsageError(
                f"{path} has {own[0]!r} and other columns that may be factors, "
                f"{short(', '.join(stray), 60)}; call all factors factor_NAME, or none, and leave out what "
                "is none."
            )
        left = (f"left out of {path.name}: its {_listed(codes)}",) if codes else ()
        named = own or others
        return {name.removeprefix("factor_"): content.raw(name) for name in named}, (*content.notes, *left)
    for fits in ([n for n in last if last[n] == "factors"], list(last)):
        if len(fits) == 1:
            rest = short(", ".join(name for name in content.names if name != fits[0]))
            said = (f"left out of {path.name}: {rest}",) if rest else ()
            return content.raw(fits[0]), (*content.notes, *said)
    raise UsageError(f"{path} holds {short(sorted(last))}; name the table (n, k) of factors 'factors'.")


# --- What counts as codes, rows and factors ---


def checked(table: CodesTable, path: Path) -> CodesTable:
    """The table with real, finite codes, whole numbers as rows, and factors that are understood.

    Args:
        table: as read.
        path: what errors call it.

    Raises:
        UsageError: codes, rows or factors are of another kind or shape.
    """
    codes = check_codes(str(path), table.codes)
    if len(codes) == 1:
        raise UsageError(f"{path} has codes of one image, so nothing can be compared; give those of many.")
    if (codes == codes[:1]).all():
        raise UsageError(
            f"{path}: each of the {codes.shape[1]} codes is the same in all {len(codes):,} rows, so nothing "
            "can be scored; is it the right array?"
        )
    logvar = None
    if table.logvar is not None:
        logvar = check_logvar(str(path), table.logvar, codes.shape, categories=True)
    rows = None if table.rows is None else _row_numbers(path, table.rows)
    if rows is not None:
        _same_length(path, codes, "rows", len(rows))
    factors = None
    if table.factors is not None:
        given = raw(table.factors, f"{path}: factors")
        # a first line of text is taken for names
        lost = bool(given.names) and len(given.columns[0]) == len(codes) - 1
        line = f"; its first line, {short(', '.join(given.names), 40)!r}, was taken for names" if lost else ""
        _same_length(path, codes, "factors", *given.shape, line if table.origin else "")
        check_both(f"{path}: codes {codes.shape} and factors {given.shape}", codes, *given.shape)
        factors = understood(given, f"{path}: factors", table.factor_names)
        if table.factor_names and not factors.names:
            raise UsageError(
                f"{path}: {len(table.factor_names)} factor names for factors {given.shape}; give one per "
                "column."
            )
    notes = _suspects(codes, table.columns or tuple(map(str, range(codes.shape[1]))))
    if factors is not None:
        notes += factors.said
    if logvar is not None and (odd := np.flatnonzero(no_gaussian(logvar)).tolist()):
        which = f"code {odd[0]}" if len(odd) == 1 else f"codes {', '.join(map(str, odd))}"
        notes.append(f"its logvar is NaN for {which}, counted from 0, which is taken for no Gaussian")
    if logvar is not None and not (logvar < 0).any():
        notes.append("its logvar is never negative, as variances are; is it the natural log of them?")
    assumed = (*table.assumed, *notes)
    return replace(table, codes=codes, rows=rows, factors=factors, logvar=logvar, assumed=assumed)


def _suspects(codes: Floats, names: Sequence[str]) -> list[str]:
    """Sentences about codes that look like a column of labels or row numbers among others."""
    moving = varying(codes)
    # of codes near the largest float a difference overflows, and is not 1
    with np.errstate(over="ignore"):
        counting = moving & (np.diff(codes, axis=0) == 1).all(axis=0)
    whole = moving & ~counting & (codes == np.rint(codes)).all(axis=0)
    notes = [
        f"code {short(names[i], 40)!r} counts the rows; is it an index?"
        for i in np.flatnonzero(counting).tolist()
    ]
    # where all are whole numbers, that is what these codes are
    if 2 * whole.sum() <= moving.sum():
        notes += [
            f"code {short(names[i], 40)!r} has whole numbers alone, unlike most; is it a label?"
            for i in np.flatnonzero(whole).tolist()
        ]
    return notes


def _row_numbers(path: Path, given: Array) -> Ints:
    """Whole numbers (n,) as int64."""
    what = f"{path}: rows"
    array = as_array(given, what)
    if array.ndim != 1:
        raise UsageError(f"{what} {array.shape} must be one number per code row, (n,).")
    if array.dtype.kind == "b":
        raise UsageError(f"{what} are truth values; pass the numbers of the rows, np.flatnonzero(mask).")
    check_finite(what, array)
    if not (np.rint(array) == array).all():
        raise UsageError(
            f"{what} must be whole numbers (the index of each image, from 0), but some are fractions."
        )
    # no data set has as many
    return np.clip(array, -EXACT, EXACT).astype(np.int64)


# --- Which images the codes are of ---


@dataclass(frozen=True)
class Stored:
    """The codes of some rows of a data set, as a `scoring.Source`.

    Attributes:
        table: (m, d), one line per row.
        rows: (m,) ascending, each once.
        logvar: (m, d), log-variances of the codes; None if they are not known.
    """

    table: Floats
    rows: Ints = field(repr=False)
    logvar: Floats | None = field(default=None, repr=False)

    @property
    def no_posterior(self) -> str:
        """Why there are no log-variances of these codes; "" if there are."""
        return "" if self.logvar is not None else "these codes come without their log-variances (`logvar`)"

    def codes(self, rows: Ints, progress: Progress | None = None) -> Floats:
        """The codes (len(rows), d) of these rows, all of which must be stored."""
        return self.table[np.searchsorted(self.rows, rows)]

    def encoded(self, rows: Ints, progress: Progress | None = None, need: bool = False) -> Encoded:
        """The same codes, with their log-variances where they are known."""
        place = np.searchsorted(self.rows, rows)
        return Encoded(self.table[place], None if self.logvar is None else self.logvar[place])

    def contingency(self) -> tuple[ContingencyTable, str] | str:
        """The reason why there are no counts of generated images."""
        return "codes alone generate no images"

    def reconstructed(self, rows: Ints) -> str:
        """The reason why no image can be decoded again."""
        return "codes alone decode no images"

    def generator(self) -> str:
        """The reason why no picture can be drawn."""
        return "codes alone draw no pictures; the model is needed"


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
        if table.known is None:
            raise without_data(path)
        if table.rows is not None and table.beside:
            raise UsageError(
                f"{path} says which rows its codes are of, and the factors are given line by line; name the "
                f"data set with {argument('dataset')}, or give codes and factors in one order, without rows."
            )
        if size is not None and table.size is None:
            raise UsageError(
                f"{argument('size')} {size} says which images of a data set the codes are of, and none is "
                f"named; name it with {argument('dataset')}, or omit {argument('size')}."
            )
        return _own_factors(table, path)
    data = factors_of(named, size or table.size, data_dir)
    known = bool(table.sha256 and data.sha256)
    for what, given, own in (("dataset", dataset, table.dataset), ("size", size, table.size)):
        # the content decides where it is known: a file of the user's may have moved
        if given and own and given != own and not known:
            raise UsageError(
                f"{path} says that its codes are of {what} {own}, so scores by {argument(what)} {given} "
                f"would be wrong; omit {argument(what)}, or correct the file."
            )
    if known and table.sha256 != data.sha256:
        raise UsageError(
            f"{path} has codes of {named} with sha256 {short(str(table.sha256), 12)}, which is "
            f"{data.sha256[:12]}... here: scores would not be comparable; use the same data."
        )
    n = len(table.codes)
    assumed = [*data.notes, *table.assumed]
    if table.rows is not None:
        rows = table.rows
        outside = (rows < 0) | (rows >= len(data))
        if outside.any():
            raise UsageError(
                f"{path}: row {rows[outside][0]} is outside the {len(data):,} images of {data.name} (0 to "
                f"{len(data) - 1:,}); are the rows of another data set?"
            )
        if table.known is not None and not _agree(table.known, path, data, rows):
            raise UsageError(
                f"{path}: the factors are not those that {data.name} has in the rows that it names."
            )
    elif table.known is not None:
        if data.factor_sizes is None:
            return _own_factors(table, path, data)
        index, said = _index(table.known, path, data)
        rows = data.grid.rows(index)
        assumed += said
    elif n == len(data):
        rows = np.arange(n)
        grid = "the grid, last factor fastest" if data.factor_sizes is not None else "the images there"
        assumed.append(f"its {n:,} codes are in the order of {grid}")
    else:
        raise UsageError(
            f"{path} has {n:,} codes, but {data.name} has {len(data):,} images; "
            + (
                "it looks transposed: write codes.T."
                if table.codes.shape[1] == len(data)
                else "give all in grid order, or say which they are with 'rows' or 'factors'."
            )
        )
    return _by_row(table, rows, path), data, tuple(assumed)


def factors_of(name: str, size: int | None, data_dir: Path | None) -> Dataset:
    """The data set of that name; of a published grid only the factors, so that no file needs to be there."""
    base, options = split_name(name)
    if not options and not is_own(base):
        facts = manifest.read(base)
        if facts.factors and facts.count:
            known = facts.content_sha256.get(size or facts.sizes[0], "")
            names, sizes = tuple(facts.factors), tuple(facts.factors.values())
            return Dataset(name, known, NoImages(facts.count), names, sizes)
    return datasets.load(name, size=size, data_dir=data_dir)


def _same_length(path: Path, codes: Floats, what: str, n: int, k: int = 1, hint: str = "") -> None:
    """Refuses rows or a table (n, k) of factors beside another number of codes; `hint` ends the sentence."""
    if n == len(codes):
        return
    if k == len(codes) and k > n:
        hint = f"; the {what} look transposed: write {what}.T"
    elif codes.shape[1] == n:
        hint = "; the codes look transposed: write codes.T"
    raise UsageError(f"{path}: {len(codes):,} codes, but {n:,} {what}: one each{hint}.")


def _agree(factors: Factors, path: Path, data: Dataset, rows: Ints) -> bool:
    """Whether the factors are those that the data have in these rows."""
    if data.factor_sizes is not None:
        return np.array_equal(_index(factors, path, data)[0], data.factors(rows))
    own = data.factor_values(rows)
    if factors.numbers.shape != own.numbers.shape:
        return False
    return np.array_equal(factors.numbers, own.numbers) or np.array_equal(factors.ranks(), own.ranks())


def _index(factors: Factors, path: Path, data: Dataset) -> tuple[Ints, list[str]]:
    """The index (n, k) of each value in the grid of a data set, and sentences about how it was found.

    The table may omit factors of one value.
    """
    sizes = np.array(data.grid.sizes)
    factors, order = _by_name(factors, path, data)
    given = factors.kept(_columns(factors, path, data))
    names = [data.factor_names[j] for j in data.grid.varying]
    top, numbers = sizes[sizes > 1], given.numbers
    fractions = [
        index is not None or open_ for index, open_ in zip(given.index, given.continuous, strict=True)
    ]
    text = given.texts or (False,) * len(names)
    # Where one factor counts from 1, so do the others, even if their largest value is missing.
    from_one = not any(fractions) and (numbers.min(axis=0) >= 1).all()
    from_one = from_one and (numbers.max(axis=0) <= top).all() and (numbers.max(axis=0) == top).any()
    full = np.zeros((len(numbers), len(sizes)), np.int64)
    ranked = []
    for place, j in enumerate(data.grid.varying):
        column = numbers[:, place]
        values = np.unique(column)
        if from_one:
            full[:, j] = column - 1
        elif not (fractions[place] or text[place]) and values[0] >= 0 and values[-1] < sizes[j]:
            full[:, j] = column
        elif len(values) == sizes[j] and values[0] >= 0 and not text[place]:
            full[:, j] = np.searchsorted(values, column)
            ranked.append(f"{names[place]} ({values[0]:g} to {values[-1]:g})")
        else:
            # of texts the order is that of the alphabet, which need not be that of the data
            line = int(np.argmax((column < 0) | (column >= sizes[j]) | (column != np.rint(column))))
            shown = "text" if text[place] else f"{column[line]:g} in line {line}"
            raise UsageError(
                f"{path}: factor {names[place]} is {shown}, but in {data.name} it is 0 to {sizes[j] - 1}; "
                "are the factors of another data set?"
            )
    said = [*order, *(["its factors count from 1"] if from_one else [])]
    return full, said + ([f"taken in their order: the values of {', '.join(ranked)}"] if ranked else [])


def _by_name(factors: Factors, path: Path, data: Dataset) -> tuple[Factors, list[str]]:
    """The factors in the order of a data set that has their names, and a sentence where that moves them."""
    known = _plain(data.factor_names)
    if len(factors.names) > len(known):
        # a further one may be constant, such as the colour of dSprites, which is always white
        named = [name in known for name in _plain(factors.names)]
        factors = factors.kept(varying(factors.numbers) | named)
    given = _plain(factors.names)
    if not given or given == known or all(re.fullmatch(r"(factor)?_?\d+", name) for name in given):
        return factors, []
    called, has = ", ".join(factors.names), ", ".join(data.factor_names)
    alike = [name for name in given if name in known]
    placed = len(given) == len(known) and all(known[given.index(name)] == name for name in alike)
    if placed and len(set(given)) == len(given):
        return factors, [f"its factors {called} are taken for {has}, in this order"]
    if len(set(given)) < len(given) or len(alike) < len(given):
        raise UsageError(
            f"{path} has the factors {short(called, 60)}, but {data.name} has {has}; call them so, or give "
            "them without names, in that order."
        )
    order = [given.index(name) for name in known if name in given]
    lacking = [data.factor_names[j] for j in data.grid.varying if known[j] not in given]
    if lacking:
        raise UsageError(f"{path} lacks the factor {lacking[0]} of {data.name}, which has {has}.")
    moved = order != sorted(order)
    said = [f"its factors {called} are put into the order of {data.name}: {has}"] if moved else []
    return factors.ordered(order), said


def _plain(names: Sequence[str]) -> list[str]:
    """Names without the differences that spelling makes: `Floor hue` is floor_hue."""
    return [re.sub(r"[\W_]+", "_", name).strip("_").casefold() for name in names]


def _columns(factors: Factors, path: Path, data: Dataset) -> Bools:
    """(k,) The columns of the factors that vary in the data."""
    sizes, k = np.array(data.grid.sizes), factors.numbers.shape[1]
    moving = varying(factors.numbers)
    if k == len(sizes):
        return sizes > 1
    if k == (sizes > 1).sum():
        return np.ones(k, bool)
    if k > len(sizes) and moving.sum() == (sizes > 1).sum():
        # a further column is constant, such as the colour of dSprites, which is always white
        return moving
    raise UsageError(
        f"{path} has {k} factors, but {data.name} has {len(sizes)}: {', '.join(data.factor_names)}; are they "
        "of another data set?"
    )


def _by_row(table: CodesTable, rows: Ints, path: Path) -> Stored:
    """Sorted by row, each row once; a row given twice must have the same codes both times."""
    order = np.argsort(rows, kind="stable")
    parts, rows = [part[order] for part in (table.codes, table.logvar) if part is not None], rows[order]
    again = np.flatnonzero(rows[1:] == rows[:-1]) + 1
    differs = np.any([(part[again] != part[again - 1]).any(axis=1) for part in parts], axis=0)
    different = again[differs]
    if len(different):
        images = np.unique(rows[different])
        raise UsageError(
            f"{path}: image {images[0]} occurs twice with different codes ({len(images):,} such "
            f"image{'s' * (len(images) > 1)}); give each image once, encoded in evaluation mode."
        )
    keep = np.ones(len(rows), bool)
    keep[again] = False
    codes, *logvar = (part[keep] for part in parts)
    return Stored(codes, rows[keep], logvar[0] if logvar else None)


def _own_factors(
    table: CodesTable, path: Path, data: Dataset | None = None
) -> tuple[Stored, Dataset, tuple[str, ...]]:
    """Codes with their own factors: a grid if these run through all combinations once, in any order."""
    factors = table.known
    # both callers looked
    assert factors is not None
    n, k = factors.numbers.shape
    names = factors.names or (data.factor_names if data is not None else ())
    if len(names) != k:
        names = tuple(f"factor_{j}" for j in range(k))
    factors = replace(factors, names=names, said=())
    given = () if data is None else (f"the factors are those given, not looked up in {data.name}",)
    title = data.name if data is not None else f"the factors in {table.origin or path.name}"
    storage, assumed, grid = NoImages(n), (*table.assumed, *given, *factors.notes()), factors.grid()
    if grid is not None:
        rows, levels = grid
        sizes = tuple(map(len, levels))
        own = Dataset(title, "", storage, names, sizes, factor_levels=other_numbers(levels))
        note = f"its factors are a complete grid of {' x '.join(map(str, sizes))}"
        return _by_row(table, rows, path), own, (*assumed, note)
    own = Dataset(title, "", storage, names, factor_table=factors)
    note = f"its {n:,} lines of factors form no complete grid"
    return Stored(table.codes, np.arange(n), table.logvar), own, (*assumed, note)
