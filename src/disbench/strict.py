"""TOML files within a package, one per name, each checked against a model when it is read."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from importlib.resources import files
from typing import Generic, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from disbench.errors import UsageError, unknown


class Strict(BaseModel):
    """A model that refuses unknown fields, and whose values do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True)


M = TypeVar("M", bound=BaseModel)


@dataclass(frozen=True)
class Folder(Generic[M]):
    """A folder of TOML files.

    Attributes:
        kind: what one of the files is, for sentences, such as "table".
        model: what it holds; a field `name` is filled with the file's name.
        package: the package that holds the folder, such as "disbench.leaderboards".
        folder: its name within the package.
    """

    kind: str
    model: type[M]
    package: str
    folder: str

    def names(self) -> list[str]:
        """The files' names without extension, sorted."""
        entries = (files(self.package) / self.folder).iterdir()
        return sorted(entry.name.removesuffix(".toml") for entry in entries if entry.name.endswith(".toml"))

    def read(self, name: str) -> M:
        """The file of that name.

        Raises:
            UsageError: there is none (names the nearest), or it is not of the model.
        """
        if name not in self.names():
            raise unknown(self.kind, name, self.names())
        return self.parse(name, (files(self.package) / self.folder / f"{name}.toml").read_text("utf-8"))

    def parse(self, name: str, text: str) -> M:
        """A file's text as the model.

        Raises:
            UsageError: it is not TOML or not of the model; names the first field that is wrong.
        """
        given = {"name": name} if "name" in self.model.model_fields else {}
        try:
            return self.model.model_validate({**tomllib.loads(text), **given})
        except tomllib.TOMLDecodeError as error:
            raise UsageError(f"{self.kind} {name!r} is not TOML: {error}") from None
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"]))
            raise UsageError(f"{self.kind} {name!r}: {where}: {first['msg']}") from None
