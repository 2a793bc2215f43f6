"""Data sets by name, and what a plug-in needs to bring its own.

`load("dsprites")` gives a `Dataset`: images by row number, and the factors or the class of each row.
"""

from typing import TYPE_CHECKING, Any

from disbench.benchmark.datasets import load, names

if TYPE_CHECKING:
    from disbench.benchmark.datasets.cache import Content
    from disbench.benchmark.datasets.dataset import Dataset
    from disbench.benchmark.datasets.readers import Files, PluginReader

__all__ = ["Content", "Dataset", "Files", "PluginReader", "load", "names"]

_HOMES = {"Content": "cache", "Dataset": "dataset", "Files": "readers", "PluginReader": "readers"}


def __getattr__(name: str) -> Any:
    # So that a program that only names data sets loads neither torch nor h5py.
    if name in _HOMES:
        from importlib import import_module

        return getattr(import_module(f"disbench.benchmark.datasets.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
