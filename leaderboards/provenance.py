"""The provenance of a saved leaderboard: `provenance.json`, with one reader and one writer."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path

from disbench.errors import UsageError
from disbench.files import Json, not_linked, parse_json, write_text

FILE = "provenance.json"
NEEDED = ("commands", "environments", "protocols", "seconds")
COST = (
    "total and mean_by_method: wall seconds in which a seed was trained and scored; "
    "core, gpu: seconds of a core or GPU, those that seeds spent together counted once; what a GPU trained, "
    "cores scored"
)


@dataclass(frozen=True)
class Cost:
    """Seconds that the seeds took.

    Attributes:
        core: seconds of a core: of the training of seeds on a CPU, and of all scoring.
        gpu: seconds of a GPU; seconds that several seeds shared count once.
        total: wall time in which seeds were trained and scored, summed over seeds.
        mean_by_method: mean wall time of a seed, by method.
        what: the definition of these numbers, which the file repeats.
    """

    core: float = 0.0
    gpu: float = 0.0
    total: float = 0.0
    mean_by_method: Mapping[str, float] = field(default_factory=dict)
    what: str = COST

    def plain(self) -> dict[str, object]:
        """As JSON."""
        return {"what": self.what, **{name: value for name, value in vars(self).items() if name != "what"}}


@dataclass(frozen=True)
class Environment:
    """Versions and hardware of some of the seeds.

    Attributes:
        versions: by name, of Python and packages; also platform, device, precision and commit.
        seeds: number of seeds that were trained there.
    """

    versions: Mapping[str, str | None]
    seeds: int

    @classmethod
    def read(cls, values: Json) -> Environment:
        """From JSON."""
        return cls({name: value for name, value in values.items() if name != "seeds"}, values.get("seeds", 0))

    @property
    def packages(self) -> list[tuple[str, str | None]]:
        """Names and versions without device and commit."""
        return [item for item in self.versions.items() if item[0] not in ("device", "commit")]

    def plain(self) -> dict[str, str | int | None]:
        """As JSON."""
        return {**self.versions, "seeds": self.seeds}


@dataclass(frozen=True)
class Settings:
    """The settings of one training.

    Attributes:
        method: name of the method.
        variant: its variant, or "".
        config: field to value, complete.
        plugin: the file of a plug-in's method, with a SHA-256, or "".
    """

    method: str
    variant: str
    config: Mapping[str, object]
    plugin: str = ""

    def plain(self) -> dict[str, object]:
        """As JSON, without a plug-in if there is none."""
        return {name: value for name, value in vars(self).items() if name != "plugin" or value}


@dataclass(frozen=True)
class Provenance:
    """How a leaderboard was measured.

    Attributes:
        name: of the saved result or the run.
        kept: the time of saving.
        kept_by: version and commit of the disbench that saved it.
        commands: command lines that train and score the same again.
        states: number of seeds by state.
        seconds: their cost.
        data_sha256: SHA-256 of the content, by data set.
        protocols: every field of each protocol, by its name.
        environments: versions and hardware, with the number of seeds of each.
        settings: settings of each training, by its folder within the run.
    """

    name: str = ""
    kept: str = ""
    kept_by: Mapping[str, str | None] = field(default_factory=dict)
    commands: Sequence[str] = ()
    states: Mapping[str, int] = field(default_factory=dict)
    seconds: Cost = field(default_factory=Cost)
    data_sha256: Mapping[str, str] = field(default_factory=dict)
    protocols: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    environments: Sequence[Environment] = ()
    settings: Mapping[str, Settings] = field(default_factory=dict)

    @classmethod
    def read(cls, folder: Path) -> Provenance:
        """Of the folder of a saved result.

        Raises:
            UsageError: the file is damaged.
        """
        path = not_linked(folder / FILE)
        values = parse_json(path.read_text("utf-8", "replace"))
        if not isinstance(values, dict):
            raise UsageError(f"{path} is damaged; save the result again.")
        missing = sorted(set(NEEDED) - set(values))
        if missing:
            raise UsageError(f"{path} lacks {', '.join(missing)}; save the result again.")
        known = {f.name: values[f.name] for f in fields(cls) if f.name in values}
        try:
            known["seconds"] = Cost(**known["seconds"])
            known["environments"] = [Environment.read(each) for each in known["environments"]]
            known["settings"] = {name: Settings(**each) for name, each in known.get("settings", {}).items()}
        except (TypeError, AttributeError) as error:
            raise UsageError(f"{path} is damaged ({error}); save the result again.") from None
        return cls(**known)

    def write(self, folder: Path) -> None:
        """Into the folder of a saved result."""
        write_text(folder / FILE, json.dumps(self.plain(), indent=1, allow_nan=False) + "\n")

    def plain(self) -> dict[str, object]:
        """As JSON, in the order of the file."""
        return {
            **{f.name: getattr(self, f.name) for f in fields(self)},
            "seconds": self.seconds.plain(),
            "environments": [each.plain() for each in self.environments],
            "settings": {name: each.plain() for name, each in self.settings.items()},
        }
