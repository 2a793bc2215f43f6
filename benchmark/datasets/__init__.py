"""Data sets by name: `load("dsprites")`."""

import os

from disbench.benchmark.datasets import cache, manifest
from disbench.benchmark.datasets.dataset import Dataset, FileStorage
from disbench.benchmark.datasets.manifest import names
from disbench.errors import UsageError

__all__ = ["Dataset", "load", "names"]


def load(name: str, *, size: int | None = None, data_dir: str | os.PathLike[str] | None = None) -> Dataset:
    """The data set of that name, made or converted on first use and opened lazily afterwards.

    Args:
        name: one of `names()`.
        size: pixels a side; the manifest's first size by default.
        data_dir: where data sets are kept; else $DISBENCH_DATA, else the user's cache folder.
    """
    facts = manifest.read(name)
    size = size or facts.sizes[0]
    if size not in facts.sizes:
        offered = ", ".join(map(str, facts.sizes))
        raise UsageError(f"data set {name!r} is not offered at size {size}; choose size from: {offered}")
    path = cache.folder(data_dir) / f"{name}-{size}.h5"
    stored = cache.obtain(path, facts.recipe(size), lambda: facts.reader.content({}, size), facts.store)
    expected = facts.content_sha256.get(size)
    if expected is not None and stored.sha256 != expected:
        raise UsageError(
            f"data set {name!r} was made with content {stored.sha256}, expected {expected}; delete {path} and try again, "
            "and if it stays so, this machine computes other images: report it"
        )
    return Dataset(
        name,
        stored.sha256,
        FileStorage(stored),
        factor_names=tuple(facts.factors),
        factor_sizes=tuple(facts.factors.values()) or None,
        labels=stored.labels,
        factor_table=stored.factors,
    )
