"""The files of data sets in the data folder: which are present, and whether they are undamaged."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from disbench.benchmark.datasets import cache, fetching, manifest
from disbench.benchmark.datasets.manifest import Manifest
from disbench.errors import UsageError


@dataclass(frozen=True)
class Verdict:
    """The result of checking one file.

    Attributes:
        sentence: what was found.
        damaged: whether the file is damaged.
    """

    sentence: str
    damaged: bool = False


def state(facts: Manifest, folder: Path) -> str:
    """Whether a data set is ready, or what it needs to become so, in a few words."""
    if any(facts.path(size, folder).exists() for size in facts.sizes):
        return "ready"
    needed = [file for file in facts.files if not file.optional]
    installed = [file for file in needed if file.installed and Path(file.installed).exists()]
    missing = [f for f in needed if f not in installed and not fetching.place(f, folder).exists()]
    if missing:
        return "fetch it" if all(file.urls for file in missing) else "needs a file of yours"
    return state(manifest.read(facts.wrapper.base), folder) if facts.wrapper else "made on first use"


def verify(facts: Manifest, folder: Path) -> Iterator[Verdict]:
    """Checks every file of a data set that is present, downloaded and converted ones."""
    for file in facts.files:
        path = fetching.place(file, folder)
        if path.exists():
            try:
                yield Verdict(f"{facts.name}: {path} is right, checked by {fetching.check(file, path)}")
            except UsageError as error:
                yield Verdict(f"{facts.name}: {error}", damaged=True)
    for size in facts.sizes:
        path = facts.path(size, folder)
        if path.exists():
            try:
                stored = cache.verify(path)
                expected = facts.content_sha256.get(size, stored.sha256)
                if stored.sha256 != expected:
                    raise cache.UnusableError(f"{path} holds {stored.sha256}, expected {expected}")
                yield Verdict(f"{facts.name}: {path} is whole, content sha256 {stored.sha256}")
            except cache.UnusableError as error:
                yield Verdict(f"{facts.name}: {error}; delete it and it is made again", damaged=True)
