"""The facts about each data set: `data_manifests/<name>.toml`, checked when read."""

import hashlib
import json
import tomllib
from importlib.resources import files
from typing import Annotated, Self

import numpy as np
from pydantic import Field, ValidationError, model_validator

from disbench.benchmark.datasets.cache import Store
from disbench.benchmark.datasets.readers import Reader, Strict
from disbench.errors import UsageError, unknown

FOLDER = files("disbench.data_manifests")
Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class Manifest(Strict):
    """One data set.

    Attributes:
        name: also the file's name.
        title, paper, licence, notes: for people. A licence that is not known is absent.
        count: number of images.
        shape: (c, h, w) of one image at the first of `sizes`.
        sizes: pixels a side on offer, the default first.
        factors: name and number of values of each factor of a complete grid, in row-major order.
        reader: how the images are made from the files.
        store: `mapped` (uncompressed, shared by all processes) or `compressed` (for what would fill a disk).
        content_sha256: of the stored content by size, where it has been established.
    """

    name: str
    title: str
    paper: str
    licence: str | None = None
    notes: str = ""
    count: Annotated[int, Field(gt=0)]
    shape: tuple[int, int, int]
    sizes: Annotated[tuple[int, ...], Field(min_length=1)]
    factors: dict[str, int] = {}
    reader: Reader
    store: Store = "mapped"
    content_sha256: dict[int, Sha256] = {}

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.factors and np.prod(list(self.factors.values())) != self.count:
            raise ValueError(f"factors {self.factors} do not make {self.count} images")
        if self.shape[1] != self.sizes[0]:
            raise ValueError(f"shape {self.shape} is not of the first size {self.sizes[0]}")
        return self

    def recipe(self, size: int) -> str:
        """Names everything that determines the stored content; a cache file of another recipe is made again."""
        facts = json.dumps(self.reader.model_dump(mode="json"), sort_keys=True)
        return f"{self.name} {size} {hashlib.sha256(facts.encode()).hexdigest()[:16]}"


def names() -> list[str]:
    """Every data set that has a manifest, sorted."""
    return sorted(entry.name.removesuffix(".toml") for entry in FOLDER.iterdir() if entry.name.endswith(".toml"))


def read(name: str) -> Manifest:
    """The manifest of a data set. Raises UsageError for an unknown name or a manifest with a mistake."""
    known = names()
    if name not in known:
        raise unknown("data set", name, known)
    return parse(name, (FOLDER / f"{name}.toml").read_text(encoding="utf-8"))


def parse(name: str, text: str) -> Manifest:
    """A manifest from its text; `name` is the name of its file."""
    try:
        manifest = Manifest.model_validate(tomllib.loads(text))
    except (tomllib.TOMLDecodeError, ValidationError) as error:
        raise UsageError(f"the manifest {name}.toml has a mistake: {error}") from error
    if manifest.name != name:
        raise UsageError(f"the manifest {name}.toml calls itself {manifest.name!r}; the two must be equal")
    return manifest
