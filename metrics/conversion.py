"""Input from outside becomes a numpy array here, for the metrics, for `disbench.score` and for files.

Arrays of torch, JAX, TensorFlow, CuPy and scipy, frames of pandas, polars and Arrow, and lists are known by
their methods, so that none of these libraries is imported. Numbers keep their values: a small float
(bfloat16, float8) becomes float32, a quantised tensor the numbers that it stands for, a sparse one its dense
table. What is no table of numbers, or could be read in two ways, is refused in a sentence: missing and masked
values, records, Python objects, ragged lists, text, and columns of a frame of which one may be a label.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from fnmatch import fnmatchcase
from typing import Any, Protocol, Self, cast, runtime_checkable

import numpy as np

from disbench.errors import UsageError
from disbench.metrics.arrays import Array, Bools
from disbench.texts import short

DENSE = 2**31  # bytes that a sparse table may take when it is written out
SCALARS = (bool, int, float, str, bytes, complex, np.generic, type(None))
# How ml_dtypes calls the small types that JAX and TensorFlow give to numpy, which calls their kind "void".
SMALL_FLOATS = re.compile(r"bfloat16|float[468]_\w+")
SMALL_INTEGERS = re.compile(r"u?int[1-8]")
KINDS = {
    "O": "Python objects",
    "c": "complex numbers",
    "U": "text",
    "T": "text",
    "S": "text",
    "M": "dates",
    "m": "durations",
}


@runtime_checkable
class Tensor(Protocol):
    """A torch tensor, known by its methods: torch is not imported."""

    def detach(self) -> Self: ...

    def cpu(self) -> Self: ...

    def numpy(self) -> Array: ...


def as_array(values: object, what: str) -> Array:
    """A numpy array of real numbers, in this machine's byte order, of whatever holds some.

    Args:
        values: an array or tensor of any library and device, a frame, or a list.
        what: what errors call it, such as "mig: codes".

    Returns:
        Of bool, an integer type, float16, float32 or float64.

    Raises:
        UsageError: it holds something else than real numbers, or values are masked or missing.
    """
    named = columns(values, what)
    if named is None:
        return numbers(raw(values, what), what)
    return stacked(named, what)


def raw(values: object, what: str) -> Array:
    """An array of any type, of anything but a frame."""
    if isinstance(values, np.ma.MaskedArray):
        return _unmasked(values.data, np.ma.getmaskarray(values), what)
    if isinstance(values, np.ndarray):
        return np.asarray(values)
    if isinstance(values, str | bytes | bytearray | Mapping | set | frozenset) or values is None:
        raise _no_table(values, what)
    if isinstance(values, list | tuple | range):
        return _of_list(values, what)
    for fits, convert in CONVERSIONS:
        if fits(values):
            try:
                return convert(values, what)
            except UsageError:
                raise
            except Exception as error:
                raise _unreadable(values, what, error) from None
    raise _no_table(values, what)


def _no_table(values: object, what: str) -> UsageError:
    return UsageError(f"{what} must be a table of numbers, but {kind(values)} was given; pass an array.")


def _unreadable(values: object, what: str, error: Exception) -> UsageError:
    """The sentence for what another library raised, which may be anything."""
    return UsageError(
        f"{what}: {kind(values)} cannot be made an array ({short(error)}); pass a numpy array of numbers."
    )


def kind(values: object) -> str:
    """The type of a value, with the library that it is from."""
    own = type(values)
    library = own.__module__.partition(".")[0]
    return own.__qualname__ if library == "builtins" else f"{library} {own.__qualname__}"


def _unmasked(data: object, mask: object, what: str) -> Array:
    hidden = np.asarray(mask, bool)
    if hidden.any():
        raise UsageError(
            f"{what}: {places(hidden)} masked; leave out these rows, of codes and factors alike."
        )
    return raw(data, what)


def _of_list(values: Sequence[object], what: str) -> Array:
    parts = list(values)
    if _all_scalars(parts):
        return _of_scalars(parts, parts)
    lists = set(map(type, parts)) <= {list, tuple} and all(
        map(_all_scalars, cast("list[list[object]]", parts))
    )
    if lists and len(set(map(len, cast("list[list[object]]", parts)))) == 1:
        return _of_scalars(parts, [value for part in cast("list[list[object]]", parts) for value in part])
    # rows may be tensors or masked arrays, whose own conversion numpy would leave out
    rows = [as_array(part, what) if hasattr(part, "columns") else raw(part, what) for part in parts]
    shapes = {row.shape for row in rows}
    if len(shapes) > 1:
        sizes = ", ".join(str(shape) for shape in sorted(shapes)[:3])
        raise UsageError(f"{what} are a ragged list, whose parts have the shapes {sizes}; all must be equal.")
    return np.stack(rows)


def _of_scalars(parts: list[object], values: list[object]) -> Array:
    """The array of a list of values, of numbers, or a table of them; texts beside others stay what they are.

    numpy would write the others out: a missing value would become the text "nan".
    """
    texts = [issubclass(kind, str | bytes) for kind in set(map(type, values))]
    return np.array(parts, object) if any(texts) and not all(texts) else np.asarray(parts)


def _all_scalars(parts: Sequence[object]) -> bool:
    return all(issubclass(kind, SCALARS) for kind in set(map(type, parts)))


def _of_tensor(values: Any, what: str) -> Array:
    """A torch tensor: with a gradient, on any device, of any layout and type."""
    tensor = values.detach()
    if getattr(tensor, "is_nested", False):
        raise UsageError(f"{what} are a nested tensor, whose rows may differ in length; pass a dense one.")
    if getattr(tensor, "is_quantized", False):
        tensor = tensor.dequantize()
    if str(getattr(tensor, "layout", "torch.strided")) != "torch.strided":
        _check_dense(tensor.shape, what)
        tensor = tensor.to_dense()
    tensor = tensor.cpu()
    # numpy has no bfloat16 or float8
    if callable(getattr(tensor, "is_floating_point", None)) and tensor.is_floating_point():
        tensor = tensor.float() if tensor.element_size() < 4 else tensor
    # lazy views: real numbers out of a complex tensor
    for resolve in ("resolve_conj", "resolve_neg"):
        tensor = getattr(tensor, resolve, lambda same=tensor: same)()
    return _of_its_kind(values, tensor.numpy(), what)


def _of_masked_tensor(values: Any, what: str) -> Array:
    # torch's mask is True where a value counts
    return _unmasked(values.get_data(), ~raw(values.get_mask(), what).astype(bool), what)


def _of_sparse(values: Any, what: str) -> Array:
    _check_dense(values.shape, what)
    dense = values.toarray() if hasattr(values, "toarray") else values.todense()
    return raw(dense, what)


def _check_dense(shape: Iterable[int], what: str) -> None:
    sizes = tuple(int(size) for size in shape)
    if np.prod(sizes, dtype=float) * 8 > DENSE:
        raise UsageError(
            f"{what} {sizes} are sparse and would take more than {DENSE:,} bytes; pass fewer rows or columns."
        )


def _of_series(values: Any, what: str) -> Array:
    """A column of pandas, polars or Arrow."""
    if hasattr(values, "to_pylist") and hasattr(values, "null_count"):
        places = arrow_places(values)
        # Arrow copies texts, truth values and what is missing only when told to
        return np.asarray(values.to_numpy(zero_copy_only=False)) if places is None else places
    if getattr(values.dtype, "ordered", False) and values.cat.categories.dtype.kind not in "iuf":
        # the order that pandas was told, where the alphabet would have another
        places = values.cat.codes.to_numpy()
        return np.where(places < 0, np.nan, places) if (places < 0).any() else places
    return np.asarray(values.to_numpy())


def arrow_places(column: Any) -> Array | None:
    """(n,) The place of each text of an ordered category of Arrow, in the order that it was told; else None.

    Such a column is what a frame's ordered category becomes in Parquet and Arrow.
    """
    if not getattr(column.type, "ordered", False):
        return None
    whole = column.combine_chunks() if hasattr(column, "combine_chunks") else column
    words = whole.dictionary.to_pylist()
    if not all(isinstance(word, str) for word in words):
        return None
    # NaN where there is none
    return np.asarray(whole.indices.to_numpy(zero_copy_only=False))


def _of_protocol(values: Any, what: str) -> Array:
    """By numpy's protocol, a copy from the device, or DLPack: the first that works."""
    ways: list[Callable[[], object]] = []
    if hasattr(values, "__array__") or hasattr(values, "__array_interface__"):
        ways.append(lambda: np.asarray(values))
    # CuPy and Numba copy to the host only when asked
    ways += [
        getattr(values, name) for name in ("get", "copy_to_host") if _on_gpu(values) and hasattr(values, name)
    ]
    if hasattr(values, "__dlpack__"):
        ways += [lambda: np.from_dlpack(values), lambda: np.from_dlpack(values, device="cpu")]
    if callable(getattr(values, "numpy", None)):
        ways.append(values.numpy)
    if not ways:
        ways.append(lambda: np.asarray(memoryview(values)))
    why: Exception | None = None
    for way in ways:
        try:
            array = way()
        except Exception as error:
            # another library raises what it likes; the first refusal says most
            why = why or error
            continue
        return _of_its_kind(values, array if isinstance(array, np.ndarray) else raw(array, what), what)
    raise ValueError(short(why))


def _of_its_kind(values: Any, array: Array, what: str) -> Array:
    """The array, unless it holds the bits of small floats as integers, as some libraries give them."""
    if "float" in str(getattr(values, "dtype", "")).lower() and array.dtype.kind in "iub":
        raise UsageError(
            f"{what} are {values.dtype}, which comes out as {array.dtype}; pass them as float32."
        )
    return array


def _on_gpu(values: object) -> bool:
    return hasattr(values, "__cuda_array_interface__")


def _is_buffer(values: object) -> bool:
    try:
        memoryview(cast(Any, values))
    except TypeError:
        return False
    return True


def _has(*names: str) -> Callable[[object], bool]:
    return lambda values: all(hasattr(values, name) for name in names)


CONVERSIONS: Sequence[tuple[Callable[[object], bool], Callable[[Any, str], Array]]] = (
    (_has("get_data", "get_mask"), _of_masked_tensor),
    (lambda values: isinstance(values, Tensor), _of_tensor),
    (_has("toarray", "shape"), _of_sparse),
    (_has("todense", "shape"), _of_sparse),
    (_has("to_numpy"), _of_series),
    (_has("__array__"), _of_protocol),
    (_has("__array_interface__"), _of_protocol),
    (_has("__dlpack__"), _of_protocol),
    (_has("__cuda_array_interface__"), _of_protocol),
    (_is_buffer, _of_protocol),
)


def numbers(array: Array, what: str) -> Array:
    """The array in a type of numpy's own and in this machine's byte order; refuses all but real numbers."""
    kind, name = array.dtype.kind, array.dtype.name
    if kind == "V" and SMALL_FLOATS.fullmatch(name):
        return array.astype(np.float32)
    if kind == "V" and SMALL_INTEGERS.fullmatch(name):
        return array.astype(np.int8 if name.startswith("i") else np.uint8)
    if array.dtype.names is not None:
        raise UsageError(
            f"{what} are records of {short(', '.join(array.dtype.names), 80)}; pass the fields that count as "
            "one table, such as np.column_stack([x[name] for name in names])."
        )
    if kind == "V":
        raise UsageError(
            f"{what} {array.shape} are {array.dtype.itemsize} bytes each of no type that numpy knows, as "
            "bfloat16 is written; write them as float32."
        )
    if kind == "O":
        gone = missing(array)
        if gone.any():
            raise UsageError(f"{what}: {places(gone)} missing; fill them in, or leave out these rows.")
    if kind not in "fiub":
        raise UsageError(
            f"{what} {array.shape} must be real numbers, but they are {KINDS.get(kind, array.dtype)}"
            f"{_example(array) if kind == 'O' else '; pass a plain array of floats'}."
        )
    if kind == "f" and array.dtype.itemsize > 8:
        return array.astype(np.float64)
    return array.astype(array.dtype.newbyteorder("="), copy=False)


def missing(array: Array) -> Bools:
    """True where a value is missing: None, NaN, or what pandas has for these; same shape."""
    if array.dtype.kind == "f":
        return cast(Bools, np.isnan(array))
    if array.dtype.kind != "O":
        return np.zeros(array.shape, bool)
    return np.array([_is_missing(value) for value in array.ravel().tolist()], bool).reshape(array.shape)


def _is_missing(value: object) -> bool:
    if type(value).__name__ in ("NoneType", "NAType", "NaTType", "MaskedConstant"):
        return True
    if isinstance(value, Decimal):
        return value.is_nan()
    return isinstance(value, float | np.generic) and bool(value != value)


def check_finite(what: str, array: Array) -> None:
    """Refuses missing values and infinities; says how many there are and where the first is."""
    for where, adjective in ((missing(array), "missing (NaN)"), (~np.isfinite(array), "infinite")):
        if where.any():
            raise UsageError(f"{what}: {places(where)} {adjective}; leave out these rows, of codes as well.")


def places(where: Bools) -> str:
    """`3 of 40 values are`, and where the first of them is, up to the verb's adjective."""
    count = int(where.sum())
    first = tuple(int(i) for i in np.argwhere(where)[0]) if where.ndim else ()
    place = (
        f" (the first in row {first[0]}{f', column {first[1]}' if len(first) > 1 else ''})" if first else ""
    )
    return f"{count:,} of {where.size:,} values{place} {'is' if count == 1 else 'are'}"


def _example(array: Array) -> str:
    """What the objects are, and how they become numbers."""
    values = array.ravel().tolist()
    value = next((v for v in values if not isinstance(v, bool | int | float)), values[0] if values else None)
    way = (
        "np.stack(list(x))" if hasattr(value, "__len__") and not isinstance(value, str) else "x.astype(float)"
    )
    return f", the first of type {kind(value)}; if they are numbers, pass {way}"


# --- Frames: tables with named columns ---

# The stem of a column's name, its number, and the rest.
NUMBERED = re.compile(r"(.*?)(\d+)(\D*)", re.DOTALL)
CODE_NAMES = (
    *("z", "mu", "mean", "loc", "z_mean", "code", "codes", "latent", "latents", "embedding", "embeddings"),
    *("representation", "representations", "features"),
)
# Stems of columns that are numbered and yet no codes.
OTHER_THINGS = re.compile(
    r"label|target|categor|factor|logvar|log_var|"
    r"(?<![a-z])(class(es)?|index|idx|split|fold|epoch|batch|seed|step|std|sigma|var|variance|attr|y|ids?|rows?|"
    r"gt|truth|weights?)(?![a-z])"
)


def columns(values: object, what: str) -> dict[str, Array] | None:
    """The columns (n,) of a frame of pandas, polars or Arrow by name, of any type; None for anything else.

    Raises:
        UsageError: two columns have one name, or one cannot be read.
    """
    is_frame = hasattr(values, "columns") and hasattr(values, "__getitem__")
    # an array of xarray has its coordinates as attributes, of which one may be called columns
    if (
        isinstance(values, np.ndarray)
        or not is_frame
        or (hasattr(values, "dims") and hasattr(values, "coords"))
    ):
        return None
    frame: Any = values
    if hasattr(frame, "column_names"):
        # Arrow's `columns` are the columns themselves
        names, column = list(frame.column_names), frame.column
    else:
        names = list(frame.columns)
        column = (lambda i: frame.iloc[:, i]) if hasattr(frame, "iloc") else (lambda i: frame[names[i]])
    titles = [str(name) for name in names]
    check_distinct(titles, what)
    read = {}
    for i, title in enumerate(titles):
        try:
            read[title] = raw(column(i), f"{what}: column {title!r}")
        except UsageError:
            raise
        except Exception as error:
            raise _unreadable(values, what, error) from None
    return read


def check_distinct(names: Sequence[str], what: str) -> None:
    """Raises UsageError where two columns have one name."""
    name, count = Counter(names).most_common(1)[0] if names else ("", 0)
    if count > 1:
        raise UsageError(f"{what}: {count} columns are named {short(name, 40)!r}; give each its own name.")


def check_vectors(named: Mapping[str, Array], what: str) -> None:
    """Raises UsageError where a column holds more than one value for each row."""
    for name, column in named.items():
        if column.ndim != 1:
            raise UsageError(
                f"{what}: column {short(repr(name), 40)} {column.shape} must have one value for each "
                "row, (n,); give each of its parts a column of its own."
            )


def stacked(named: Mapping[str, Array], what: str) -> Array:
    """Columns (n,) of any type as one table (n, d) of real numbers, see `as_array`."""
    check_vectors(named, what)
    parts = [numbers(column, f"{what}: column {name!r}") for name, column in named.items()]
    return np.column_stack(parts) if parts else np.empty((0, 0))


def index(values: object) -> Array | None:
    """The labels (n,) of a pandas frame's or series' rows where they are not 0, 1, ...; else None."""
    own: Any = getattr(values, "index", None)
    if not hasattr(values, "iloc") or own is None:
        return None
    labels = np.asarray(own)
    counted = labels.dtype.kind in "iu" and np.array_equal(labels, np.arange(len(labels)))
    return None if counted else labels


def check_aligned(what: str, one: object, other: object, both: str = "codes and factors") -> None:
    """Refuses two frames whose rows are labelled differently: by position they would be paired wrongly.

    Args:
        what: what errors call the place of both.
        one: a frame or series of pandas; anything else has no labels.
        other: likewise, or columns by name, each of which counts.
        both: what errors call the two.
    """
    if isinstance(other, Mapping):
        for column in other.values():
            check_aligned(what, one, column, both)
    if not (hasattr(one, "iloc") and hasattr(other, "iloc")):
        return
    labels, others = index(one), index(other)
    if labels is None and others is None:
        return
    if labels is None or others is None or not np.array_equal(labels, others):
        raise UsageError(
            f"{what}: {both} are frames whose row labels (index) differ, and rows are paired by "
            "position; bring both into one order and pass frame.reset_index(drop=True)."
        )


def code_columns(names: Sequence[str]) -> tuple[str, ...]:
    """The columns of a table that are clearly its codes: one stem and a number each, such as z0, z1, z2.

    Args:
        names: of all columns that are not known to be something else.

    Returns:
        These columns in the order of the table; none where several stems, or no numbers, leave it open, and
        where the stem is that of something else, such as label_0.
    """
    stems: dict[str, list[str]] = {}
    for name in names:
        found = NUMBERED.fullmatch(name)
        if found:
            stems.setdefault(f"{found[1]}#{found[3]}", []).append(name)
    known = [name for name in names if name.lower() in CODE_NAMES]
    if len(stems) == 1 and not known:
        ((stem, group),) = stems.items()
        return () if is_other_thing(stem) else tuple(group)
    return tuple(known) if len(known) == 1 and not stems else ()


def is_other_thing(name: str) -> bool:
    """Whether a column or array has the name of labels, ids, variances and the like, and so is no code."""
    return OTHER_THINGS.search(name.lower()) is not None


def chosen_columns(names: Sequence[str], wanted: str) -> tuple[str, ...]:
    """The columns that a text names: names or patterns with * and ?, separated by commas."""
    patterns = [part.strip() for part in wanted.split(",") if part.strip()]
    return tuple(name for name in names if any(name == p or fnmatchcase(name, p) for p in patterns))
