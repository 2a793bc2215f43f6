"""Names become images, rows and factors: `load("dsprites")`, `load("mnist:imbalanced-7")`, `load("own.npz")`.

May import protocols.
"""

import os
from typing import TYPE_CHECKING

from disbench.arguments import typed

if TYPE_CHECKING:
    from disbench.benchmark.datasets.dataset import Dataset

__all__ = ["Dataset", "load", "names"]


@typed
def load(
    name: str | os.PathLike[str], *, size: int | None = None, data_dir: str | os.PathLike[str] | None = None
) -> "Dataset":
    """The data set of that name, made or converted on first use and opened lazily afterwards.

    Args:
        name: one of `names()`, or the path of an npz file with `images`, and perhaps `labels` or `factors`,
            or of a folder of PNG or JPEG pictures, with a slash at its end where it is a text; after a text,
            options such as `:train`, `:classes-0,1,6`, `:imbalanced-7` (see `derived`).
        size: of the images, in pixels; the manifest's first size, or that of the user's images, by default.
        data_dir: folder of the data sets (default: $DISBENCH_DATA, or else the user's cache folder).

    Raises:
        UsageError: an unknown name, size or option; files that were not fetched or are wrong; a full disk.
    """
    from disbench.benchmark.datasets import loading, naming

    return loading.load(naming.named(name), size=size, data_dir=data_dir)


def names() -> list[str]:
    """Every data set that has a manifest, sorted."""
    from disbench.benchmark.datasets import manifest

    return manifest.names()


def __getattr__(name: str) -> object:
    # So that a command line that only lists names does not load torch.
    if name == "Dataset":
        from disbench.benchmark.datasets.dataset import Dataset

        return Dataset
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
