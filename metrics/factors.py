"""What a factor is: every table of factor values that comes from outside is read here, once for all doors.

The functions of this package, `disbench.score`, files and data sets of one's own take the same tables, and
say the same about them:

- whole numbers of any start, with gaps, negative or as floats, and texts are values, told apart and put in
  their order;
- fractions that occur again and again, such as the positions of a grid, are values as well;
- other fractions are continuous: metrics of numbers take them, the others need bins;
- columns of 0 and 1 of which exactly one is 1 in every row (one-hot) are one factor;
- one vector (n,) is one factor;
- missing values, as texts as well, are counted, and the first is shown.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from disbench.errors import UsageError
from disbench.metrics import arrays, conversion, information
from disbench.metrics.arrays import EXACT, Array, Bools, Floats, Ints
from disbench.texts import short

# Fractions that occur this often, on average, are values and not continuous.
AGAIN = 10

# Texts that stand for a missing value, in any case: what programs write for one, and what CSV files have.
GONE = frozenset(
    ("", "nan", "-nan", "na", "n/a", "#n/a", "#na", "<na>", "nat", "none", "null", "nil", "missing", "?")
)

# Numbers that often mark a missing value: those of tables and labels, and what NaN becomes as an integer.
MARKS = (-1, -9, -99, -999, -9999, -(2**15), -(2**31), -(2**63))

# The two values of a one-hot column: as numbers, as signs, and as a mask in bytes.
PAIRS = ((0, 1), (-1, 1), (0, 255))

# Values as far apart as rounding leaves them, in units of the last digit, and how much farther others are.
ROUNDING = 16
CLEARLY = 100

# Names of columns that tell rows apart and images not.
ROW_NAMES = re.compile(
    r"(?<![a-z])(ids?|index|idx|rows?|number|no|key|uuid|hash|paths?|files?|filenames?|names?|images?|imgs?)(?![a-z])"
)

# The factors of dSprites, for which some papers give one setting each.
DSPRITES = ("shape", "scale", "orientation", "posX", "posY")

# So many columns of 0 and 1 of which one is 1 in every row are one-hot, whatever stands beside them; two may
# be attributes that happen to exclude each other.
SURE = 3


class Raw(NamedTuple):
    """Columns (n,) of any type, not yet understood.

    Attributes:
        columns: one for each factor.
        names: of the columns, or ().
        vector: whether one vector was given instead of a table.
    """

    columns: list[Array]
    names: tuple[str, ...]
    vector: bool

    @property
    def shape(self) -> tuple[int, int]:
        """(n, k)."""
        return len(self.columns[0]), len(self.columns)


@dataclass(frozen=True)
class Factors:
    """Factor values of n images, understood.

    Attributes:
        numbers: (n, k), int64 if all are whole; of a text, its place among the texts in alphabetical order.
        index: of each factor whose numbers are fractions and yet values, the place of each value in ascending
            order (n,); of a continuous factor that was put into bins, the bin; None for any other.
        continuous: of each factor, whether its numbers are continuous, and in no bins.
        names: of the factors, or ().
        said: a sentence for each way in which the values were taken for something else than their numbers.
        texts: of each factor, whether it is text, whose order is that of the alphabet; () if none is.
        columns: of each factor its number among all, where some were left out, or were one-hot; else ().
    """

    numbers: Array
    index: tuple[Ints | None, ...]
    continuous: tuple[bool, ...]
    names: tuple[str, ...] = ()
    said: tuple[str, ...] = ()
    texts: tuple[bool, ...] = ()
    columns: tuple[int, ...] = ()

    def __len__(self) -> int:
        return len(self.numbers)

    @classmethod
    def whole(cls, numbers: Ints, names: tuple[str, ...] = ()) -> Factors:
        """Of whole numbers (n, k)."""
        k = numbers.shape[1]
        return cls(numbers, (None,) * k, (False,) * k, names)

    @classmethod
    def of_index(cls, index: Ints, levels: tuple[Array, ...], names: tuple[str, ...] = ()) -> Factors:
        """Of the places (n, k) of values, and the number of each value (values,) of each factor, if known."""
        if not levels:
            return cls.whole(index, names)
        whole = [level.dtype.kind == "i" for level in levels]
        numbers = np.stack([level[i] for level, i in zip(levels, index.T, strict=True)], axis=1)
        places = tuple(None if w else i for w, i in zip(whole, index.T, strict=True))
        return cls(numbers, places, (False,) * len(levels), names)

    @classmethod
    def of(cls, numbers: Array, names: tuple[str, ...] = ()) -> Factors:
        """Of a table (n, k) of finite numbers that was read before, see `read`."""
        columns = [_Column(*_whole(column)) for column in numbers.T]
        return _classified(columns, names, ())

    def take(self, rows: Ints) -> Factors:
        """Those of some rows (m,), whose values keep their places among all."""
        index = tuple(None if i is None else i[rows] for i in self.index)
        return replace(self, numbers=self.numbers[rows], index=index)

    def kept(self, mask: Bools) -> Factors:
        """Some of the factors."""
        return self.ordered(np.flatnonzero(mask).tolist())

    def ordered(self, chosen: Sequence[int]) -> Factors:
        """These factors, in this order."""
        return replace(
            self,
            numbers=self.numbers[:, list(chosen)],
            index=tuple(self.index[j] for j in chosen),
            continuous=tuple(self.continuous[j] for j in chosen),
            names=tuple(self.names[j] for j in chosen) if self.names else (),
            texts=tuple(self.texts[j] for j in chosen) if self.texts else (),
            columns=tuple(self.columns[j] if self.columns else j for j in chosen),
        )

    def table(self, whole: bool | Sequence[bool]) -> Array:
        """(n, k) for a metric: int64 if every number in it is whole.

        Args:
            whole: for all or for each factor, whether it must be whole numbers, so that fractions are
                replaced by the places of the values; otherwise the numbers are those that were given.
        """
        k = len(self.index)
        wanted = [whole] * k if isinstance(whole, bool) else whole
        columns = [
            self.numbers[:, j] if index is None or not wanted[j] else index
            for j, index in enumerate(self.index)
        ]
        fractions = any(self.continuous[j] or (self.index[j] is not None and not wanted[j]) for j in range(k))
        return np.stack(columns, axis=1).astype(np.float64 if fractions else np.int64)

    def ranks(self) -> Ints:
        """(n, k) Place of each value among the values of its factor that occur."""
        return arrays.relabel(self.table(True))

    def label(self, j: int) -> str:
        """What sentences call a factor."""
        return _label(self.names, j, self.columns[j] if self.columns else j)

    def binned(self, bins: int) -> Factors:
        """With the continuous factors in bins of equal width, for the metrics that need values."""
        chosen = [j for j, continuous in enumerate(self.continuous) if continuous]
        index = list(self.index)
        for j in chosen:
            index[j] = information.histogram(self.numbers[:, j : j + 1], bins)[:, 0].astype(np.int64)
        note = (
            f"{_listed([self.label(j) for j in chosen])} {_are(chosen)} in {bins} bins of equal width, for "
            "metrics that need values; the others take the numbers"
        )
        said = (*self.said, note) if chosen else self.said
        return replace(self, index=tuple(index), continuous=(False,) * len(index), said=said)

    def grid(self) -> tuple[Ints, tuple[Array, ...]] | None:
        """The row of each line (n,) in the complete grid that the factors show, and each factor's values.

        None if they do not show every combination of their values once.
        """
        if any(self.continuous):
            return None
        ranks = self.ranks()
        rows = _grid_rows(ranks)
        if rows is None:
            return None
        values = [np.unique(self.numbers[:, j]) for j in range(len(self.index))]
        whole = [index is None for index in self.index]
        return rows, tuple(v.astype(np.int64) if w else v for v, w in zip(values, whole, strict=True))

    def notes(self) -> tuple[str, ...]:
        """What is ranked and what is continuous, for a user, beside what is `said`."""
        open_ = [
            f"{self.label(j)} ({len(np.unique(self.numbers[:, j])):,} different numbers)"
            for j, continuous in enumerate(self.continuous)
            if continuous
        ]
        own = [
            self.label(j)
            for j, continuous in enumerate(self.continuous)
            if not continuous and AGAIN <= len(self) == len(np.unique(self.numbers[:, j]))
        ]
        return (
            *self._ranked(),
            *([f"continuous: {_listed(open_)}"] if open_ else []),
            *([f"each row has its own value of {_listed(own)}; is it an index?"] if own else []),
            *filter(None, (self._marked(j) for j in range(len(self.index)))),
        )

    def _marked(self, j: int) -> str:
        """The question whether a lowest value marks missing ones; "" if it is none of those that do."""
        if self.continuous[j] or (self.texts and self.texts[j]):
            return ""
        values, counts = np.unique(self.numbers[:, j], return_counts=True)
        few = len(values) < (4 if values[0] == -1 else 2)
        if few or values[0] not in MARKS or values[1] < 0:
            return ""
        return (
            f"{self.label(j)} is {int(values[0])} in {counts[0]:,} of {len(self):,} rows; does that mark "
            "missing values?"
        )

    def _ranked(self) -> tuple[str, ...]:
        """The sentence that whole numbers are put in their order; none where all are 0, 1, 2, ... already."""
        found = []
        for j, index in enumerate(self.index):
            values = (
                np.unique(self.numbers[:, j]) if index is None and not self.continuous[j] else np.empty(0)
            )
            if len(values) > 1 and (values[0] != 0 or values[-1] != len(values) - 1):
                gaps = " with gaps" if values[-1] - values[0] >= len(values) else ""
                found.append(f"{self.label(j)} ({int(values[0])} to {int(values[-1])}{gaps})")
        return (f"ranked, and counted from 0: the values of {_listed(found)}",) if found else ()


def read(values: object, what: str, names: Sequence[str] = ()) -> Factors:
    """The factors in whatever holds a table (n, k) or a vector (n,) of them.

    Args:
        values: an array or tensor of any library, a frame, a list, or columns (n,) by name; numbers or texts.
        what: what errors call it, such as "mig: factors".
        names: of the factors, where the values bring none, one for each column.

    Raises:
        UsageError: no table of numbers or texts, or values are missing.
    """
    return understood(raw(values, what), what, names)


def labels(values: object, what: str) -> tuple[Ints, tuple[str, ...], tuple[str, ...]]:
    """Classes (n,) from 0 of whatever holds one label for each image; names of the classes; and notes.

    The names are the labels; none where these are 0, 1, 2, ... already.

    Raises:
        UsageError: no label for each image, or numbers that are no classes.
    """
    given = raw(values, what)
    read_ = understood(given, what, ("class",))
    classes = read_.ranks()[:, 0]
    if len(read_.index) != 1 or read_.continuous[0]:
        wrong = "continuous" if read_.continuous[0] else f"{len(read_.index)} columns"
        shape = f"({len(classes)},)" if given.vector else given.shape
        raise UsageError(f"{what} {shape} must be one class for each image, but are {wrong}; use 'factors'")
    if len(given.columns) > 1:
        return classes, (), read_.said
    first = np.unique(classes, return_index=True)[1]
    column = given.columns[0][first]
    names = tuple(str(number) for number in read_.numbers[first, 0].tolist())
    if column.dtype.kind in "OUS" and any(_is_text(value) for value in column.tolist()):
        names = tuple(
            v.decode("utf-8", "replace") if isinstance(v, bytes) else str(v) for v in column.tolist()
        )
    counted = names == tuple(map(str, range(len(names))))
    said = tuple(note for note in read_.said if "one vector" not in note)
    return classes, () if counted else names, (*said, *read_.notes())


def _is_text(value: object) -> bool:
    return isinstance(value, str | bytes)


def raw(values: object, what: str) -> Raw:
    """The columns of a table, or one vector, before their values are looked at; see `read`."""
    named = conversion.columns(values, what)
    if named is None and isinstance(values, Mapping):
        for column in values.values():
            conversion.check_aligned(what, column, values, "two columns")
        named = {
            str(name): conversion.raw(column, f"{what}: column {name!r}") for name, column in values.items()
        }
    if named is not None:
        columns = list(named.values())
        if not columns or any(column.shape != columns[0].shape for column in columns) or not columns[0].size:
            raise UsageError(
                f"{what} must be a table (n, k), one row per image, but have columns {short(list(named))}"
            )
        conversion.check_vectors(named, what)
        return Raw(columns, tuple(named), False)
    table = conversion.raw(values, what)
    if table.ndim not in (1, 2) or 0 in table.shape:
        raise UsageError(f"{what} {table.shape} must be a table (n, k), one row per image")
    if table.dtype.names is not None:
        # refused there, with what to do
        conversion.numbers(table, what)
    if table.dtype.kind == "T":
        # numpy's texts of any length, which may be missing, have no functions of their own
        table = table.astype(object)
    vector = table.ndim == 1
    return Raw([table] if vector else list(table.T), (), vector)


def understood(given: Raw, what: str, names: Sequence[str] = ()) -> Factors:
    """The factors in columns, see `read`."""
    called = given.names or (tuple(names) if len(names) == len(given.columns) else ())
    said = ["the factors are one vector, and so one factor"] if given.vector else []
    gone = np.stack([_missing(column) for column in given.columns], axis=1)
    if gone.any():
        where = gone[:, 0] if given.vector else gone
        row, j = np.argwhere(gone)[0]
        value = given.columns[j][row]
        word = f", as the text {_word(value)!r} says" if _is_text(value) and _word(value) else ""
        if isinstance(value, np.integer):
            word = f", as {value} says, which NaN becomes in {value.dtype}"
        other = ", or write it in another way if it is a value" if word else ""
        raise UsageError(
            f"{what}: {conversion.places(where)} missing{word}; leave out these rows, of codes as well"
            f"{other}."
        )
    parsed = []
    for j, column in enumerate(given.columns):
        title = _label(called, j, j)
        parsed.append(_parsed(column, f"{what}: {title}" if len(given.columns) > 1 else what, title))
    _check_row_names(parsed, given, what)
    said += [column.said for column in parsed if column.said]
    for what_is in dict.fromkeys(column.alike for column in parsed if column.alike):
        alike = [_label(called, j, j) for j, column in enumerate(parsed) if column.alike == what_is]
        said.append(f"{what_is}: {_listed(alike)}")
    groups = _groups(parsed)
    parsed, called, merged = _merged(parsed, called, groups)
    made = _classified(parsed, called, (*said, *merged))
    first = tuple(first for first, _ in groups)
    return made if len(parsed) == len(given.columns) else replace(made, columns=first)


def _check_row_names(parsed: Sequence[_Column], given: Raw, what: str) -> None:
    """Refuses a column that has the name of what tells rows apart, and a value of its own in each."""
    for name, column in zip(given.names, parsed, strict=False):
        n = len(column.numbers)
        if (
            len(parsed) > 1
            and n >= AGAIN
            and column.is_whole
            and ROW_NAMES.search(name.lower())
            and len(np.unique(column.numbers)) == n
        ):
            raise UsageError(
                f"{what}: column {short(repr(name), 40)} has its own value in each of the {n:,} rows, as an "
                "index or a file name has; leave it out, or give it another name if it is a factor."
            )


def titles(names: Array, what: str) -> tuple[str, ...]:
    """Names of factors out of an array of texts (k,) of any kind.

    Raises:
        UsageError: they are no texts, or two are the same.
    """
    words = names.ravel().tolist()
    if not all(map(_is_text, words)):
        raise UsageError(f"{what} of {names.dtype} must be texts, one per column of factors")
    found = tuple(map(_word, words))
    conversion.check_distinct(found, what)
    return found


def other_numbers(levels: tuple[Array, ...]) -> tuple[Array, ...]:
    """The values (values,) of each factor; () if all are 0, 1, 2, ..., as their places are."""
    return () if all(np.array_equal(v, np.arange(len(v))) for v in levels) else levels


def _label(names: Sequence[str], j: int, column: int) -> str:
    """What sentences call a factor: its name, or its number among all."""
    return (
        f"factor {short(names[j], 40)!r}" if names and names[j] != f"factor_{column}" else f"factor {column}"
    )


# --- One column ---


def _missing(column: Array) -> Bools:
    """(n,) Whether a value is missing; an empty text is, and one of those that stand for it."""
    gone = conversion.missing(column)
    if column.dtype.kind == "i" and column.dtype.itemsize >= 4:
        lowest = column == np.iinfo(column.dtype).min
        # NaN as a cast to integers leaves it, unless others are as far below 0
        gone |= lowest & bool((column[~lowest] >= -EXACT).all()) & bool((~lowest).any())
    if column.dtype.kind not in "OUS":
        return gone
    # what is no text keeps its place as one that is nothing's mark
    words = [_word(value) if isinstance(value, str | bytes) else "0" for value in column.tolist()]
    known = set(words)
    marks = {word for word in known if word.lower() in GONE}
    # among numbers alone, "-" and "." are no values
    signs = {word for word in known - marks if not any(map(str.isalnum, word))}
    if known - marks - signs and all(map(_is_number, known - marks - signs)):
        marks |= signs
    marked: Bools = gone | np.array([word in marks for word in words], bool)
    return marked


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def _word(text: str | bytes) -> str:
    return (text.decode("utf-8", "replace") if isinstance(text, bytes) else text).strip()


class _Column(NamedTuple):
    """One factor.

    Attributes:
        numbers: (n,), in int64 if they are whole.
        is_whole: whether they are.
        said: a sentence about this factor.
        alike: what is said in one sentence of all factors of which it is true.
        text: whether it is text.
    """

    numbers: Array
    is_whole: bool
    said: str = ""
    alike: str = ""
    text: bool = False


def _parsed(column: Array, what: str, title: str) -> _Column:
    """A column of any type as numbers, or a refusal."""
    if column.dtype.kind == "O":
        column = _typed(column, what)
    if column.dtype.kind == "S":
        column = np.char.decode(column, "utf-8", "replace")
    if column.dtype.kind == "U":
        return _of_text(column, what, title)
    if column.dtype.kind in "Mm":
        raise UsageError(
            f"{what}: {conversion.KINDS[column.dtype.kind]} were given; pass numbers such as days, or texts "
            "such as x.astype(str), which count in their order."
        )
    numbers = conversion.numbers(column, what)
    conversion.check_finite(what, numbers)
    if numbers.dtype.kind in "iu" and max(int(numbers.max()), -int(numbers.min())) > EXACT:
        places = np.unique(numbers, return_inverse=True)[1].astype(np.int64)
        return _Column(places, True, alike=f"numbers beyond {EXACT:,}, which count in their order")
    return _of_numbers(numbers, title)


def _of_numbers(numbers: Array, title: str, alike: str = "") -> _Column:
    """A column of finite numbers, without the differences that rounding makes."""
    rounded, said = _without_rounding(numbers, title)
    return _Column(*_whole(rounded), said, alike)


def _without_rounding(numbers: Array, title: str) -> tuple[Array, str]:
    """Fractions of which some differ in their last digits alone, as 0.3 and 3 * 0.1 do, as one value each.

    So they are where all others are clearly apart, as those of a continuous factor are not.

    Args:
        numbers: (n,), finite.
        title: what the sentence calls the factor.

    Returns:
        The numbers, each as that of its group which is written shortest; and a sentence, "" if none changed.
    """
    if numbers.dtype.kind != "f" or (np.rint(numbers) == numbers).all():
        return numbers, ""
    values, places = np.unique(numbers, return_inverse=True)
    low, high = values[:-1].astype(np.float64), values[1:].astype(np.float64)
    last = ROUNDING * float(np.finfo(numbers.dtype).eps)
    # around 0 rounding is that of the numbers of which the difference was taken
    around = (low <= 0) & (high >= 0) & (high - low <= last * float(np.abs(values).max()))
    near = last * np.maximum(np.abs(low), np.abs(high))
    same = (high - low <= near) | around
    group = np.concatenate([[0], np.cumsum(~same)])
    first = np.searchsorted(group, np.arange(group[-1] + 1))
    width = np.add.reduceat(np.append(np.where(same, high - low, 0), 0), first)
    chains = width > 2 * last * float(np.abs(values).max())
    if not same.any() or chains.any() or not (high - low > CLEARLY * near)[~same].all():
        return numbers, ""
    shortest = sorted(range(len(values)), key=lambda i: (len(repr(values[i].item())), i), reverse=True)
    chosen = np.empty(group[-1] + 1, numbers.dtype)
    chosen[group[shortest]] = values[shortest]
    i = int(np.argmax(same))
    one, other = repr(values[i].item()), repr(values[i + 1].item())
    return chosen[
        group[places]
    ], f"{title}: values such as {one} and {other} differ by rounding alone, and count as one"


def _of_text(column: Array, what: str, title: str) -> _Column:
    """Texts (n,) as the numbers that all of them are, or as values in alphabetical order."""
    words, places = np.unique(column, return_inverse=True)
    _check_spaces(words.tolist(), what)
    try:
        numbers = words.astype(np.float64)
    except ValueError:
        shown = short(", ".join(words[:5].tolist()), 60)
        more = ", ..." if len(words) > 5 else ""
        values = f"{len(words):,} values count" if len(words) > 1 else "one value counts"
        note = f"{title} is text; its {values} in alphabetical order: {shown}{more}"
        alike = _alike(words.tolist(), str.lower)
        if alike:
            note += f"; {short(repr(alike[0]), 30)} and {short(repr(alike[1]), 30)} are two"
        return _Column(places.astype(np.int64), True, note, text=True)
    conversion.check_finite(what, numbers[places])
    which, count = np.unique(numbers, return_counts=True)
    if (count > 1).any():
        one, two, *_ = words[numbers == which[count > 1][0]].tolist()
        raise UsageError(
            f"{what}: the texts {short(repr(one), 30)} and {short(repr(two), 30)} are one number in double "
            "precision; write each value in one way, or with a letter."
        )
    return _of_numbers(numbers[places], title, "text of numbers, taken as these")


def _check_spaces(words: list[str], what: str) -> None:
    """Refuses texts that differ in the spaces around them alone, which nobody sees."""
    alike = _alike(words, str.strip)
    if alike:
        raise UsageError(
            f"{what}: the texts {short(repr(alike[0]), 30)} and {short(repr(alike[1]), 30)} differ in spaces "
            "alone; write each value in one way."
        )


def _alike(words: list[str], reduced: Callable[[str], str]) -> tuple[str, str] | None:
    """The first two different texts of which the same remains; None if there are none."""
    seen: dict[str, str] = {}
    for word in words:
        if (before := seen.setdefault(reduced(word), word)) != word:
            return before, word
    return None


def _typed(column: Array, what: str) -> Array:
    """A column of Python objects as one of numbers or of texts."""
    values = column.tolist()
    texts = [isinstance(value, str) for value in values]
    if all(texts):
        return np.array(values, str)
    if all(isinstance(value, bytes) for value in values):
        return np.array([value.decode("utf-8", "replace") for value in values], str)
    if all(isinstance(value, bool | int | float | np.number | np.bool_) for value in values):
        numbers = np.array(values)
        if numbers.dtype.kind == "O" and all(isinstance(value, int) for value in values):
            # beyond 64 bits, where their order is all that counts
            return np.unique(numbers, return_inverse=True)[1] + EXACT + 1
        return numbers
    if any(texts):
        first = values[texts.index(not texts[0])]
        raise UsageError(
            f"{what}: text is mixed with other values, such as {short(repr(values[0]), 30)} and "
            f"{short(repr(first), 30)}; give one kind."
        )
    odd = next(v for v in values if not isinstance(v, bool | int | float | np.number | np.bool_))
    if hasattr(odd, "__len__") or hasattr(odd, "__float__"):
        # refused there, with an example
        return conversion.numbers(column, what)
    raise UsageError(
        f"{what}: Python objects were given, such as one of type {conversion.kind(odd)}; pass numbers, or "
        "texts such as x.astype(str), which count in their order."
    )


def _whole(numbers: Array) -> tuple[Array, bool]:
    """The numbers in int64 if they are whole, and otherwise in float64; and whether they are."""
    if numbers.dtype.kind in "biu":
        return numbers.astype(np.int64), True
    wide: Floats = numbers.astype(np.float64)
    is_whole = bool((np.rint(wide) == wide).all() and np.abs(wide).max() <= EXACT)
    return (wide.astype(np.int64), True) if is_whole else (wide, False)


# --- Several columns ---


def _classified(columns: list[_Column], names: tuple[str, ...], said: tuple[str, ...]) -> Factors:
    """Which columns of fractions are values, and which are continuous."""
    n = len(columns[0].numbers)
    places = [np.unique(c.numbers, return_inverse=True)[1] for c in columns if not c.is_whole]
    fractions = [j for j, c in enumerate(columns) if not c.is_whole]
    index: list[Ints | None] = [None] * len(columns)
    grid = bool(fractions) and _is_grid([c.numbers for c in columns])
    for j, place in zip(fractions, places, strict=True):
        if grid or AGAIN * (int(place.max()) + 1) <= n:
            index[j] = place.astype(np.int64)
    continuous = tuple(not c.is_whole and index[j] is None for j, c in enumerate(columns))
    whole = all(c.is_whole for c in columns)
    numbers = np.stack([c.numbers.astype(np.int64 if whole else np.float64) for c in columns], axis=1)
    texts = tuple(c.text for c in columns) if any(c.text for c in columns) else ()
    made = Factors(numbers, tuple(index), continuous, names, texts=texts)
    values = [
        f"{made.label(j)} ({int(place.max()) + 1} from {numbers[:, j].min():g} to {numbers[:, j].max():g})"
        for j, place in zip(fractions, places, strict=True)
        if index[j] is not None
    ]
    if values:
        said += (f"fractions that occur again and again are values, in their order: {_listed(values)}",)
    return replace(made, said=said)


def _is_grid(columns: list[Array]) -> bool:
    """Whether two or more columns that vary show every combination of their values once."""
    ranks = arrays.relabel(np.stack([column.astype(np.float64) for column in columns], axis=1))
    return _grid_rows(ranks) is not None and int((ranks.max(axis=0) > 0).sum()) > 1


def _grid_rows(ranks: Ints) -> Ints | None:
    """The row (n,) of each line of ranks (n, k) in their complete grid; None if they do not show it once."""
    sizes = tuple(int(top) + 1 for top in ranks.max(axis=0))
    if np.prod(sizes, dtype=float) != len(ranks):
        return None
    rows: Ints = np.ravel_multi_index(tuple(ranks.T), sizes)
    return rows if len(np.unique(rows)) == len(ranks) else None


def _merged(
    columns: list[_Column], names: tuple[str, ...], groups: list[tuple[int, int]]
) -> tuple[list[_Column], tuple[str, ...], list[str]]:
    """With each group of neighbouring one-hot columns as one factor; the names; and what is to be said."""
    kept: list[_Column] = []
    titles: list[str] = []
    said = _almost(columns, groups)
    for first, last in groups:
        group = columns[first:last]
        if last - first == 1:
            kept += group
            titles += names[first:last]
            continue
        places = np.argmax(np.stack([c.numbers for c in group], axis=1), axis=1)
        kept.append(_Column(places.astype(np.int64), True))
        titles += [_stem(names[first:last])] if names else []
        said.append(
            f"columns {first} to {last - 1} of the factors are one-hot, and so one factor of {last - first} "
            "values"
        )
    return kept, tuple(titles), said


def _is_binary(column: _Column, pair: tuple[int, int] = PAIRS[0]) -> bool:
    return column.is_whole and bool(np.isin(column.numbers, pair).all())


def _almost(columns: list[_Column], groups: list[tuple[int, int]]) -> list[str]:
    """A sentence for neighbouring factors of 0 and 1 that would be one-hot, had not some rows only zeros."""
    said = []
    run: list[int] = []
    # the last, which is none, ends a run
    for first, last in [*groups, (0, 0)]:
        if last - first == 1 and _is_binary(columns[first]) and columns[first].numbers.any():
            run.append(first)
            continue
        total = np.sum([columns[j].numbers for j in run], axis=0)
        if len(run) >= SURE and total.max() == 1:
            said.append(
                f"columns {run[0]} to {run[-1]} of the factors are never 1 together, yet all 0 in "
                f"{int((total == 0).sum()):,} rows, and so a factor each"
            )
        run = []
    return said


def _groups(columns: list[_Column]) -> list[tuple[int, int]]:
    """The first and last-plus-one column of each factor: several where they are one-hot, else one."""
    binary = [[_is_binary(column, pair) for column in columns] + [False] for pair in PAIRS]
    groups = []
    start = 0
    while start < len(columns):
        stop, (_, high) = max(
            ((flags.index(False, start), pair) for flags, pair in zip(binary, PAIRS, strict=True)),
            key=lambda found: found[0],
        )
        run = [(columns[j].numbers == high).astype(np.int64) for j in range(start, stop)]
        groups += [(start + first, start + last) for first, last in _blocks(run) or _sure_blocks(run)]
        if stop == start:
            groups.append((start, start + 1))
            stop += 1
        start = stop
    return groups


def _sure_blocks(columns: list[Ints]) -> list[tuple[int, int]]:
    """The one-hot groups of many columns of 0 and 1, beside columns that are factors of their own."""
    blocks = []
    start = 0
    while start < len(columns):
        stop, total = start, np.zeros_like(columns[start])
        while stop < len(columns) and (total == 0).any() and (total <= 1).all():
            total = total + columns[stop]
            stop += 1
        if not (total == 1).all() or stop - start < SURE:
            stop = start + 1
        while stop - start > 1 and stop < len(columns) and not columns[stop].any():
            # a value that no row has
            stop += 1
        blocks.append((start, stop))
        start = stop
    return blocks


def _blocks(columns: list[Ints]) -> list[tuple[int, int]] | None:
    """The one-hot groups into which columns of 0 and 1 fall; None if they do not all."""
    blocks: list[tuple[int, int]] = []
    first, total = 0, None
    for j, column in enumerate(columns):
        if total is None and blocks and not column.any():
            # a value that no row has
            blocks[-1] = (blocks[-1][0], j + 1)
            first = j + 1
            continue
        total = column if total is None else total + column
        if (total > 1).any():
            return None
        if (total == 1).all():
            blocks.append((first, j + 1))
            first, total = j + 1, None
    return blocks if total is None else None


def _stem(names: Sequence[str]) -> str:
    """What the names of one-hot columns begin with, such as shape of shape_heart and shape_square."""
    same = 0
    while len({name[: same + 1] for name in names}) == 1 and same < len(names[0]):
        same += 1
    return names[0][:same].rstrip("_-. =:") or names[0]


def _listed(parts: Sequence[str]) -> str:
    """`a, b and c`, or the first of many."""
    if len(parts) > 6:
        return f"{', '.join(parts[:5])} and {len(parts) - 5} others"
    return " and ".join(filter(None, [", ".join(parts[:-1]), *parts[-1:]]))


def _are(parts: Sequence[object]) -> str:
    return "is" if len(parts) == 1 else "are"
