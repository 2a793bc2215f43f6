"""The facts about each data set: `data_manifests/<name>.toml`, checked when read."""

import hashlib
import json
import tomllib
from importlib.resources import files
from pathlib import Path, PurePosixPath
from typing import Annotated, Literal, Self

import numpy as np
from pydantic import Field, InstanceOf, SerializeAsAny, ValidationError, field_validator, model_validator

from disbench import plugins
from disbench.benchmark.datasets.cache import Store
from disbench.benchmark.datasets.naming import as_in_tables, is_own, of_a_table
from disbench.benchmark.datasets.readers import PluginReader, Reader
from disbench.errors import UsageError, unknown
from disbench.strict import Strict

FOLDER = files("disbench.data_manifests")
Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
Md5 = Annotated[str, Field(pattern="^[0-9a-f]{32}$")]
Url = Annotated[str, Field(pattern="^https?://")]


class File(Strict):
    """One published file. What is not known is absent.

    Attributes:
        role: what the reader calls it.
        name: path below the folder of downloads; manifests may share a file by sharing its name.
        urls: tried in this order; none where a person has to get the file.
        bytes: length of the file as published.
        sha256: of the file as published.
        md5: of the file as published.
        unpacked_sha256: of the content of a gzip file, which another compressor does not change.
        installed: where a Linux distribution's package puts it; needs `unpacked_sha256`.
        optional: the reader does without it.
    """

    role: str = "data"
    name: str
    urls: tuple[Url, ...] = ()
    bytes: Annotated[int, Field(gt=0)] | None = None
    sha256: Sha256 | None = None
    md5: Md5 | None = None
    unpacked_sha256: Sha256 | None = None
    installed: str | None = None
    optional: bool = False

    @field_validator("name")
    @classmethod
    def _inside(cls, name: str) -> str:
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts:
            raise ValueError(f"{name!r} leaves the folder of downloads")
        return name

    @model_validator(mode="after")
    def _checkable(self) -> Self:
        if self.installed is not None and self.unpacked_sha256 is None:
            raise ValueError(f"{self.name}: an installed file needs unpacked_sha256")
        return self


class Wrapper(Strict):
    """A data set drawn from another one image by image: see `derived`.

    Attributes:
        base: name of the other data set.
        style: what is drawn on its images.
    """

    base: str
    style: Literal["color", "noisy", "scream"]


class ClassifierFacts(Strict):
    """How the classifier of generated images is trained.

    Attributes:
        epochs: passes over the training images.
        accuracy: the least on unseen images with which it is saved; None for any.
    """

    epochs: Annotated[int, Field(gt=0)] = 10
    accuracy: Annotated[float, Field(gt=0, lt=1)] | None = None


class Manifest(Strict):
    """One data set.

    Attributes:
        name: also the file's name.
        title: for people.
        paper: who published it, for people.
        licence: for people; absent if it has not been established.
        notes: for people.
        count: number of images; absent where it is not known beforehand.
        channels: 1 or 3.
        sizes: image sizes on offer, in pixels, the default first.
        factors: name and number of values of each factor of a complete grid, in row-major order.
        classes: names of the classes 0, 1, ...
        splits: name and (first, last plus one) row.
        files: what `reader` needs.
        reader: how the images are made from the files. Either this or `wrapper`.
        wrapper: how the images are drawn from those of another data set.
        store: `mapped` (uncompressed, shared by all processes), or `compressed` for a data set that would
            fill a disk at 64 pixels and more.
        classifier: for a labelled data set.
        content_sha256: of the stored content by size, where it has been established.
    """

    name: str
    title: str
    paper: str
    licence: str | None = None
    notes: str = ""
    count: Annotated[int, Field(gt=0)] | None = None
    channels: Literal[1, 3]
    sizes: Annotated[tuple[Annotated[int, Field(gt=0)], ...], Field(min_length=1)]
    factors: dict[str, Annotated[int, Field(gt=0)]] = Field(default_factory=dict)
    classes: tuple[str, ...] = ()
    splits: dict[str, tuple[int, int]] = Field(default_factory=dict)
    files: tuple[File, ...] = ()
    reader: Reader | SerializeAsAny[InstanceOf[PluginReader]] | None = None
    wrapper: Wrapper | None = None
    store: Store = "mapped"
    classifier: ClassifierFacts | None = None
    content_sha256: dict[int, Sha256] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.factors and np.prod(list(self.factors.values())) != self.count:
            raise ValueError(f"factors {self.factors} do not make {self.count} images")
        if (self.reader is None) == (self.wrapper is None):
            raise ValueError("give either a reader or a wrapper")
        if self.wrapper is not None and self.wrapper.base == self.name:
            raise ValueError("it is drawn from itself; the base of a wrapper is another data set")
        for name, (start, stop) in self.splits.items():
            if self.count is None or not 0 <= start < stop <= self.count:
                raise ValueError(f"split {name} = [{start}, {stop}] reaches outside the {self.count} images")
        if len({file.role for file in self.files}) != len(self.files):
            raise ValueError("two files have the same role")
        return self

    def path(self, size: int, folder: Path) -> Path:
        """Where the converted data set is stored."""
        return folder / f"{self.name}-{size}.h5"

    def recipe(self, size: int) -> str:
        """Names what determines the stored content; a cache file of another recipe is made again."""
        facts = self.model_dump(mode="json", include={"reader", "files", "factors", "count"})
        for file in facts["files"]:
            # where a file came from does not matter
            del file["urls"]
        digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
        return f"{self.name} {size} {digest[:16]}"


def built_in() -> list[str]:
    """Every data set whose manifest is in this package, sorted."""
    files_here = (entry.name for entry in FOLDER.iterdir())
    return sorted(name.removesuffix(".toml") for name in files_here if name.endswith(".toml"))


plugins.announce("datasets", plugins.Registry(built_in))


def names() -> list[str]:
    """Every data set that has a manifest, sorted, those of plug-ins included."""
    return sorted({*built_in(), *plugins.names("datasets")})


def usable() -> tuple[list[Manifest], list[str]]:
    """Every manifest, and a sentence for each name that cannot be used: a broken one hides no other."""
    manifests, sentences = [], []
    for name in names():
        try:
            manifests.append(read(name))
        except UsageError as error:
            sentences.append(str(error))
    return manifests, sentences


def read(name: str) -> Manifest:
    """The manifest of a data set.

    Raises:
        UsageError: no such data set; names the nearest one. A manifest with a mistake, or a plug-in that
        cannot be used.
    """
    offer = plugins.find("datasets", name)
    if offer is not None:
        module = offer.load()
        if not hasattr(module, "MANIFEST"):
            raise plugins.broken(offer.origin, "its module has no MANIFEST")
        reader = getattr(module, "READER", None)
        if reader is not None and not (isinstance(reader, type) and issubclass(reader, PluginReader)):
            raise plugins.broken(
                offer.origin,
                f"its READER must be a class derived from disbench.datasets.PluginReader, but is {reader!r}",
            )
        try:
            return parse(name, plugins.manifest_text(module), reader)
        except (ValueError, TypeError, OSError) as error:
            raise plugins.broken(offer.origin, error) from error
    if name not in built_in():
        label = as_in_tables(name)
        if label and (label[0] in names() or is_own(label[0])):
            raise of_a_table(name, *label)
        # an empty name is the path of the working folder
        if name and Path(name).is_dir():
            raise UsageError(
                f"there is no data set {name!r}; for the pictures in that folder, write '{name}/'."
            )
        if Path(name).is_file():
            raise UsageError(
                f"there is no data set {name!r}, and of files only npz are data sets; write "
                "np.savez('my.npz', images=images), with labels or factors if there are some."
            )
        raise unknown("data set", name, names())
    return parse(name, (FOLDER / f"{name}.toml").read_text(encoding="utf-8"))


def parse(name: str, text: str, reader: type[PluginReader] | None = None) -> Manifest:
    """A manifest from its text.

    Args:
        name: of its file, or of the plug-in's data set.
        text: TOML.
        reader: takes the place of the built-in readers.

    Raises:
        UsageError: a mistake in it.
    """
    try:
        values = tomllib.loads(text)
        if reader is not None:
            values["reader"] = reader.model_validate(values.get("reader", {}))
        manifest = Manifest.model_validate(values)
    except (tomllib.TOMLDecodeError, ValidationError) as error:
        raise UsageError(f"the manifest {name}.toml has a mistake: {error}") from error
    if manifest.name != name:
        raise UsageError(f"the manifest {name}.toml calls itself {manifest.name!r}; the two must be equal")
    return manifest
