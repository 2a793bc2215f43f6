"""The run store: one folder per (method, settings, seed), and nothing that two workers write.

    RUN/run.json                                 says that this folder is a disbench run
    RUN/<method>[-<variant>]-<hash>/seed-<s>/
        cell.json          what is trained: method, settings, data, protocol, seed, versions
        status.json        where it stands; replaced as a whole
        metrics.jsonl      one line per logged step: terms of the losses, monitored quantities
        state.pt           weights and optimisers of the last saved step; gone when trained
        checkpoint.pt      the trained method
        codes.npz          the codes that were scored, for further metrics
        scores.json        one entry per metric
        traversal.png/gif  pictures

A cell is done when its checkpoint is there and its scores answer what the protocol asks.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from disbench.benchmark.datasets.reference import DataRef
from disbench.benchmark.protocols import Protocol
from disbench.benchmark.scoring.entries import ScoreEntry, answer, read_entries
from disbench.errors import UsageError, argument
from disbench.files import (
    is_temporary,
    locked,
    plain,
    read_json,
    replacing,
    unwritable,
    write_json,
)
from disbench.leaderboards import labels

KIND = "disbench run"
FORMAT = 1


@dataclass(frozen=True)
class Cell:
    """One (method, settings, seed) on one data set under one protocol: everything that decides the result.

    Attributes:
        method: its name.
        variant: the method's variant, or "".
        config_name: which of the method's named configs `config` started from.
        config: field to value, complete.
        dataset: the data.
        protocol: its name.
        seed: the seed.
        plugin: where the method comes from, with a SHA-256, if from a plug-in; else "".
    """

    method: str
    variant: str
    config_name: str
    config: Mapping[str, Any]
    dataset: DataRef
    protocol: str
    seed: int
    plugin: str = ""

    @classmethod
    def read(cls, values: Mapping[str, Any]) -> Cell:
        """From a cell.json."""
        return cls(**{**values, "dataset": DataRef.read(values["dataset"])})

    def plain(self) -> dict[str, Any]:
        return asdict(self)

    @property
    def label(self) -> str:
        return labels.label(self.method, self.variant)

    def __hash__(self) -> int:
        return hash(self.folder)

    @functools.cached_property
    def folder(self) -> Path:
        """Relative to the run: equal for the seeds of one method under equal settings."""
        identity = self.plain()
        del identity["seed"]
        if not self.plugin:  # a run from before there were plug-ins keeps its folders
            del identity["plugin"]
        digest = hashlib.sha256(json.dumps(identity, sort_keys=True, default=list).encode()).hexdigest()[:8]
        return Path(labels.folder(self.label, digest)) / f"seed-{self.seed}"

    @property
    def training(self) -> str:
        """The folder of all seeds of this training, within the run."""
        return self.folder.parts[0]

    @property
    def digest(self) -> str:
        """The hash in the folder's name: of all but the seed."""
        return labels.split_folder(self.training)[1]

    @property
    def steps(self) -> int:
        """How many steps it trains."""
        return int(self.config["steps"])


@dataclass(frozen=True)
class CellFile:
    """A cell.json: the cell, and what trains it.

    Attributes:
        cell: what is trained.
        environment: versions and hardware, see `environment`; empty before the training begins.
        device: "cpu" or "cuda".
        together: how many seeds share its time.
    """

    cell: Cell
    environment: Mapping[str, str | None] = field(default_factory=dict)
    device: str = "cpu"
    together: int = 1

    @classmethod
    def read(cls, folder: Path) -> CellFile | None:
        """Of a cell's folder; None where there is no such file or not a whole one."""
        values = read_json(folder / "cell.json")
        if not isinstance(values, dict):
            return None
        known = {f.name: values[f.name] for f in fields(cls) if f.name in values}
        return cls(**{**known, "cell": Cell.read(values["cell"])})

    def write(self, folder: Path) -> None:
        write_json(folder / "cell.json", asdict(self))


@dataclass(frozen=True)
class Failure:
    """Why a cell failed.

    Attributes:
        type: name of the exception.
        message: a sentence.
        step: of a loss that is not finite.
        term: that loss.
        traceback: of an error that nobody foresaw.
    """

    type: str = ""
    message: str = ""
    step: int | None = None
    term: str | None = None
    traceback: str | None = None

    @classmethod
    def read(cls, values: Mapping[str, Any]) -> Failure:
        return cls(**{f.name: values[f.name] for f in fields(cls) if f.name in values})

    def plain(self) -> dict[str, Any]:
        return {name: value for name, value in asdict(self).items() if value is not None}


@dataclass(frozen=True)
class Status:
    """A status.json: where a cell stands.

    Attributes:
        state: "queued", "running", "stopped", "failed" or "done".
        phase: of a running one: "preparing", "training" or "scoring".
        process: number of the process that is at it.
        error: of a failed one.
        step: steps taken.
        steps: steps in all.
        seconds: wall time of all starts together; None before the first.
        training: that of training alone.
        peak_private_mb: most memory that the process had to itself, in MiB; None where it is not known.
        updated: when the file was written.
    """

    state: str = "queued"
    phase: str = ""
    process: int | None = None
    error: Failure | None = None
    step: int = 0
    steps: int = 0
    seconds: float | None = None
    training: float | None = None
    peak_private_mb: int | None = None
    updated: str = ""

    @classmethod
    def read(cls, folder: Path) -> Status:
        """Of a cell's folder; "queued" where there is no such file or not a whole one."""
        values = read_json(folder / "status.json")
        return cls.of(values) if isinstance(values, dict) else cls()

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Status:
        """From plain values."""
        known = {f.name: values[f.name] for f in fields(cls) if f.name in values}
        if known.get("error") is not None:
            known["error"] = Failure.read(known["error"])
        return cls(**known)

    def write(self, folder: Path) -> None:
        write_json(folder / "status.json", self.plain())

    def plain(self) -> dict[str, Any]:
        """A phase, a process and an error are there where there are any."""
        said: dict[str, object] = {"state": self.state}
        said |= {name: value for name in ("phase", "process") if (value := getattr(self, name))}
        said |= {"error": self.error.plain()} if self.error else {}
        rest = ("step", "steps", "seconds", "training", "peak_private_mb", "updated")
        return {**said, **{name: getattr(self, name) for name in rest}}

    @property
    def why(self) -> str:
        """The message of its error, or ""."""
        return self.error.message if self.error else ""


def check_free(path: Path) -> None:
    """Raises UsageError where the path is neither a run nor a place for one."""
    out = argument("out")
    if path.exists() and not path.is_dir():
        raise UsageError(f"{path} is a file; give {out} a folder, a new one or that of an earlier run.")
    if (path / "run.json").exists():
        check_run(path)
    # another process may just be making the marker, or one was killed at it
    elif path.is_dir() and not all(map(is_temporary, path.iterdir())):
        raise UsageError(
            f"{path} holds other files and is not a disbench run; give {out} a new or empty folder."
        )


def open_run(path: Path) -> Path:
    """Makes or finds a run folder.

    Raises:
        UsageError: it cannot be written, or holds other things than a run.
    """
    try:
        check_free(path)
        if not (path / "run.json").exists():
            write_json(path / "run.json", {"kind": KIND, "format": FORMAT})
        with contextlib.suppress(FileExistsError):  # two runs at once may both probe
            probe = path / ".writable"
            probe.touch(exist_ok=False)
            probe.unlink(missing_ok=True)
    except OSError as error:
        raise unwritable(path, error) from None
    return path


def is_run(path: Path) -> bool:
    found = read_json(path / "run.json")
    return isinstance(found, dict) and found.get("kind") == KIND


def check_run(path: Path) -> None:
    """Raises UsageError where the folder is no run of a format this version reads."""
    found = read_json(path / "run.json")
    if not isinstance(found, dict) or found.get("kind") != KIND:
        raise UsageError(f"{path} is not a disbench run; give the folder that `disbench run --out` wrote.")
    if found.get("format") != FORMAT:
        raise UsageError(
            f"{path} has run format {found.get('format')!r}, this disbench reads {FORMAT}; "
            "use the version that wrote it."
        )


def cells(run: Path) -> list[tuple[Cell, Path]]:
    """Every cell of a run with its folder, sorted by method and seed."""
    check_run(run)
    files = [(CellFile.read(path.parent), path.parent) for path in run.glob("*/seed-*/cell.json")]
    found = [(file.cell, folder) for file, folder in files if file is not None]
    return sorted(found, key=lambda entry: (entry[0].label, str(entry[1].parent), entry[0].seed))


def scores(folder: Path) -> list[ScoreEntry] | None:
    """The entries of a cell's scores.json; None where there are none."""
    return read_entries(read_json(folder / "scores.json"))


def write_scores(folder: Path, entries: list[ScoreEntry]) -> None:
    write_json(folder / "scores.json", [entry.plain() for entry in entries])


def is_done(folder: Path, protocol: Protocol) -> bool:
    """Whether a cell is trained and scored with the metrics of its protocol."""
    return (folder / "checkpoint.pt").is_file() and answer(scores(folder), protocol.metrics)


def hold(folder: Path) -> contextlib.AbstractContextManager[bool]:
    """Holds a cell against other processes; False where another one holds it already."""
    return locked(folder / ".lock")


def tidy(folder: Path) -> None:
    """Removes what a killed process had begun to write. For the process that holds the cell."""
    for path in filter(is_temporary, folder.iterdir()):
        path.unlink()


class Journal:
    """Appends lines to metrics.jsonl; on resuming, lines after the saved step are taken back first."""

    def __init__(self, path: Path, step: int) -> None:
        self.path = path
        kept = [line for line in read_lines(path) if line["step"] <= step]
        with replacing(path) as temporary:
            temporary.write_text("".join(json.dumps(line) + "\n" for line in kept), "utf-8")

    def append(self, line: Mapping[str, Any]) -> None:
        with open(self.path, "a", encoding="utf-8") as file:
            file.write(json.dumps(plain(line), allow_nan=False) + "\n")


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The whole lines of a metrics.jsonl; a last one that a kill cut short is left out.

    Raises:
        UsageError: another line is damaged.
    """
    return list(_lines(path)) if path.exists() else []


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    for number, text in enumerate(path.read_text("utf-8").split("\n")[:-1], start=1):
        try:
            yield json.loads(text)
        except json.JSONDecodeError:
            raise UsageError(
                f"line {number} of {path} is damaged; "
                "delete the folder that it lies in to train that seed anew."
            ) from None
