"""A data set from its name: from the cache, or else made from files; then the options after the colons."""

import hashlib
import math
import os
from dataclasses import replace
from pathlib import Path

import numpy as np

from disbench import plugins
from disbench.benchmark.datasets import cache, derived, fetching, folders, manifest, pixels, readers, streams
from disbench.benchmark.datasets.dataset import Dataset, FileStorage
from disbench.benchmark.datasets.naming import expanded, is_own, split_name
from disbench.errors import UsageError, argument
from disbench.metrics.arrays import Array
from disbench.metrics.factors import Factors, other_numbers, raw, titles, understood
from disbench.metrics.factors import labels as read_labels
from disbench.ranges import LARGEST_SIDE
from disbench.texts import short

LARGE = 2**32  # bytes: pictures of a folder that take more are stored compressed
INFLATED_FROM = 64  # pixels: of smaller images, inflating an image takes over a twentieth of a training step


def load(name: str, *, size: int | None = None, data_dir: str | os.PathLike[str] | None = None) -> Dataset:
    """See `disbench.datasets.load`."""
    folder = cache.folder(data_dir)
    check_size(size)
    several = expanded(name)
    if len(several) > 1:
        raise UsageError(
            f"{name!r} names {len(several)} data sets, and one is needed here; give {several[0]}."
        )
    base, options = split_name(several[0])
    if base.endswith(".npz"):
        dataset, facts = from_npz(Path(base), size, folder), None
    elif is_own(base):
        dataset, facts = from_folder(Path(base), size, folder), None
    else:
        facts = manifest.read(base)
        dataset = from_manifest(facts, size, folder)
    for option in options:
        dataset = derived.derive(dataset, option, facts)
    if len(dataset) < 2:
        raise UsageError(f"{name} has {len(dataset)} image; at least two are needed to tell anything apart.")
    return dataset


def check_size(size: int | None, facts: manifest.Manifest | None = None) -> None:
    """Raises UsageError for a size that no images have, or at which a data set is not on offer.

    Args:
        size: in pixels; None for the data set's own.
        facts: its manifest; None for images of the user's, which are resized to any size.
    """
    if size is not None and not 1 <= size <= LARGEST_SIDE:
        raise UsageError(
            f"{argument('size')} {size} was given, but must be a whole number of pixels from 1 to "
            f"{LARGEST_SIDE:,}; leave it out for the size of the data set."
        )
    if facts is not None and size is not None and size not in facts.sizes:
        offered = ", ".join(map(str, facts.sizes))
        raise UsageError(f"data set {facts.name!r} has no size {size}; choose from: {offered}")


def usual_size(name: str, size: int | None) -> int | None:
    """A protocol's image size if the data set is offered at it, or else None, for the data set's own.

    Images of the user's are resized to any size.
    """
    base, _ = split_name(name)
    return size if is_own(base) or size in manifest.read(base).sizes else None


def from_manifest(facts: manifest.Manifest, size: int | None, folder: Path) -> Dataset:
    """A data set by its manifest, without options.

    Raises:
        UsageError: another size than those on offer; files that were not fetched or are wrong.
    """
    check_size(size, facts)
    size = size or facts.sizes[0]
    if facts.wrapper is not None:
        return _styled(facts, facts.wrapper, size, folder)
    path = facts.path(size, folder)
    stored = cache.obtain(
        path,
        facts.recipe(size),
        lambda: _content(facts, size, folder),
        facts.store if size >= INFLATED_FROM else "mapped",
        facts.content_sha256.get(size),
    )
    return _dataset(facts.name, stored, tuple(facts.factors), tuple(facts.factors.values()), facts.classes)


def from_npz(path: Path, size: int | None, folder: Path) -> Dataset:
    """A file of the user's: `images`, and perhaps `labels` or `factors` with `factor_names`.

    Images are (n, h, w), (n, h, w, c) or (n, c, h, w), see `pixels` for their numbers; labels (n,) and
    factors (n, k) are whatever `metrics.factors` reads. Factors that run through a complete grid in row-major
    order are recognised as one. Without a size images stay as they are; with one they become squares of that
    side, which is said. Nothing is cut off: an image that is no square is stretched.

    Raises:
        UsageError: no such file, or other arrays in it.
    """
    if not path.is_file():
        raise UsageError(f"the data file {str(path)!r} does not exist; give the path of an npz file")
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    keys = streams.npz_keys(path)
    if "images" not in keys:
        raise UsageError(f"{path} holds {sorted(keys)}; expected 'images', and perhaps 'labels' or 'factors'")
    images = pixels.own_images(path)
    # asked for by their side, as a run records it, or not at all: the same images, converted once
    if images.shape[2:] == (size, size):
        size = None
    own = size or "own"
    stored = cache.obtain(
        folder / f"file-{digest[:16]}-{own}.h5",
        f"own 4 {digest} {own}",
        lambda: _npz_content(images, keys, size),
    )
    dataset = _dataset(str(path), stored, stored.factor_names, (), ())
    if size is None:
        return dataset
    given = "x".join(map(str, images.shape[2:]))
    return replace(dataset, notes=(*dataset.notes, folders.resized(path.name, given, size)))


def from_folder(path: Path, size: int | None, folder: Path) -> Dataset:
    """A folder of the user's pictures, see `folders`. Its name ends with a slash.

    Raises:
        UsageError: no such folder, no picture in it, or one that cannot be taken.
    """
    pictures = folders.find(path)
    own = size or "own"

    def content() -> cache.Content:
        return pictures.content(size)

    n_bytes = 3 * len(pictures.names) * (size or 0) ** 2
    stored = cache.obtain(
        folder / f"folder-{pictures.digest[:16]}-{own}.h5",
        f"pictures 1 {pictures.digest} {own}",
        content,
        "compressed" if n_bytes > LARGE else "mapped",
    )
    return _dataset(f"{str(path).rstrip('/')}/", stored, (), (), ())


def _npz_content(images: pixels.OwnImages, keys: set[str], size: int | None) -> cache.Content:
    path = images.path
    blocks, notes = images.converted()
    n = images.shape[0]
    content = readers.sized(blocks, images.shape, size or 0)
    if "labels" in keys:
        given = streams.npz_array(path, "labels", n)
        labels, classes, said = read_labels(given, f"{path}: labels")
        content, notes = replace(content, labels=labels, classes=classes), (*notes, *said)
    if "factors" in keys:
        table = raw(streams.npz_array(path, "factors", n), f"{path}: factors")
        words: tuple[str, ...] = ()
        if "factor_names" in keys:
            words = titles(streams.npz_array(path, "factor_names"), f"{path}: factor_names")
        factors = understood(table, f"{path}: factors", words)
        if words and not factors.names:
            raise UsageError(
                f"{path}: {len(words)} factor names for factors {table.shape}; give one per column"
            )
        names = factors.names or tuple(f"factor_{k}" for k in range(factors.numbers.shape[1]))
        content = replace(content, factors=factors.numbers, factor_names=names)
        notes = (*notes, *factors.said, *factors.notes())
    if others := sorted(keys - {"images", "labels", "factors", "factor_names"}):
        notes = (
            *notes,
            "left out of the file, of which images, labels, factors and factor_names are read: "
            f"{short(', '.join(others), 80)}",
        )
    return replace(content, notes=notes)


def _content(facts: manifest.Manifest, size: int, folder: Path) -> cache.Content:
    # a manifest has a reader or a wrapper
    assert facts.reader is not None
    files = fetching.verified(facts, folder)
    if isinstance(facts.reader, readers.PluginReader):
        content = _of_plugin(facts, facts.reader, files, size)
    else:
        content = facts.reader.content(files, size)
    if facts.count is not None and content.shape[0] != facts.count:
        raise UsageError(
            f"the files of {facts.name!r} hold {content.shape[0]} images, expected {facts.count}; "
            "they are of another version, fetch them again with "
            + cache.placed(f"`disbench data fetch {facts.name} --again`", folder)
        )
    return content


def _of_plugin(
    facts: manifest.Manifest, reader: readers.PluginReader, files: readers.Files, size: int
) -> cache.Content:
    """What the reader of a plug-in delivers, if that is what its manifest announces.

    Raises:
        UsageError: it is not, or the reader's code failed.
    """
    offer = plugins.find("datasets", facts.name)
    origin = offer.origin if offer else facts.name
    try:
        content = reader.content(files, size)
    # anything may go wrong in foreign code
    except Exception as error:
        raise plugins.broken(origin, error) from error
    if not isinstance(content, cache.Content):
        raise plugins.broken(origin, f"its reader returned {type(content).__name__} and no Content")
    n, *image = content.shape
    wanted = [size, size // 8] if content.packed else [facts.channels, size, size]
    why = ""
    if image != wanted:
        why = f"its reader gives images {(n, *image)}, where the manifest announces {(n, *wanted)}"
    for name, table, axes in (("labels", content.labels, 1), ("factors", content.factors, 2)):
        array = None if table is None else np.asarray(table)
        if array is not None and not (array.ndim == axes and array.dtype.kind in "biuf" and array.size):
            why = (
                f"its reader gives {name} {array.shape} of {array.dtype}, which are no numbers for each image"
            )
        elif array is not None and not np.isfinite(array).all():
            why = f"its reader gives {name} that hold NaN or infinity"
    if not why and content.labels is not None:
        most = len(facts.classes) or math.inf
        classes = np.asarray(content.labels)
        if classes.dtype.kind == "f" or classes.min() < 0 or classes.max() >= most:
            why = f"its reader gives labels {classes.min()} to {classes.max()} ({classes.dtype}); they must "
            why += "be whole numbers from 0" + (
                f" to {most - 1}, one for each class" if facts.classes else ""
            )
    if not why and content.factors is not None and np.shape(content.factors)[1] != len(content.factor_names):
        why = f"its reader names {len(content.factor_names)} of {np.shape(content.factors)[1]} factors"
    if why:
        raise plugins.broken(origin, why)
    return content


def _dataset(
    name: str, stored: cache.Stored, names: tuple[str, ...], sizes: tuple[int, ...], classes: tuple[str, ...]
) -> Dataset:
    table: Factors | None = None
    levels: tuple[Array, ...] = ()
    notes = stored.notes
    if stored.factors is not None and not sizes:
        names = stored.factor_names
        table = Factors.of(stored.factors, names)
        sizes, levels, mixed = row_major(table)
        notes += mixed
    if stored.labels is not None and not names:
        names = ("class",)
    return Dataset(
        name,
        stored.sha256,
        FileStorage(stored),
        factor_names=names,
        factor_sizes=sizes or None,
        labels=stored.labels,
        factor_table=None if sizes else table,
        factor_levels=levels,
        classes=classes or stored.classes,
        notes=notes,
    )


def row_major(table: Factors) -> tuple[tuple[int, ...], tuple[Array, ...], tuple[str, ...]]:
    """Sizes of the complete grid that factors run through in order, and its values; () if they do not.

    The last is a sentence where the grid is complete, but in another order. Its rows stay where they are:
    codes and row numbers of other files go by the order of the images.
    """
    found = table.grid()
    if found is None:
        return (), (), ()
    rows, values = found
    sizes = tuple(map(len, values))
    if (rows == np.arange(len(table))).all():
        return sizes, other_numbers(values), ()
    if sum(size > 1 for size in sizes) < 2:
        return (), (), ()
    note = (
        f"the factors are a complete grid of {' x '.join(map(str, sizes))} in another order, and count as a "
        "sample; to have a grid, write images and factors with the last factor fastest (row-major)"
    )
    return (), (), (note,)


def _styled(facts: manifest.Manifest, wrapper: manifest.Wrapper, size: int, folder: Path) -> Dataset:
    base = from_manifest(manifest.read(wrapper.base), size, folder)
    picture, digest = None, hashlib.sha256(f"{wrapper.style} {base.sha256}".encode())
    if wrapper.style == "scream":
        picture = fetching.verified(facts, folder)["data"]
        derived.scene(picture, size)
        digest.update(picture.read_bytes())
    drawn = derived.Styled(base.storage, wrapper.style, picture)
    # labels and factors are those of the base
    return replace(base, name=facts.name, sha256=digest.hexdigest(), storage=drawn)
