"""The run store: one folder per (method, settings, seed), and nothing that two workers write.

    RUN/run.json                                 says that this folder is a disbench run
    RUN/<method>[-<variant>]-<hash>/seed-<s>/
        cell.json          what is trained: method, settings, data, protocol, seed, versions
        status.json        its state and progress; replaced as a whole
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
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from disbench.benchmark.datasets.reference import DataRef
from disbench.benchmark.scoring.entries import ScoreEntry, answer, read_entries
from disbench.errors import UsageError, argument
from disbench.files import (
    Json,
    fits,
    is_temporary,
    locked,
    not_linked,
    parse_json,
    plain,
    read_json,
    replacing,
    unwritable,
    write_json,
)
from disbench.leaderboards import labels
from disbench.texts import short

if TYPE_CHECKING:
    from disbench.benchmark.protocols import Protocol

KIND = "disbench run"
FORMAT = 1
# What the fields of the files may be: a run may come from anyone.
NOTHING = type(None)
OF_CELL = {
    **dict.fromkeys(("method", "variant", "config_name", "protocol", "plugin"), (str,)),
    "config": (dict,),
    "dataset": (dict,),
    "seed": (int,),
    "changed": (dict, NOTHING),
}
# Fields that a cell from before they were recorded lacks.
LATER = {"plugin", "changed"}
OF_FILE = {**dict.fromkeys(("cell", "environment"), (dict,)), "together": (int,)}
OF_FILE |= dict.fromkeys(("device", "digest"), (str,))
OF_FAILURE = {
    **dict.fromkeys(("type", "message"), (str,)),
    **dict.fromkeys(("term", "traceback"), (str, NOTHING)),
    "step": (int, NOTHING),
}
OF_STATUS = {
    **dict.fromkeys(("state", "phase", "leader", "updated"), (str,)),
    **dict.fromkeys(("step", "steps"), (int,)),
    **dict.fromkeys(("seconds", "training"), (float, NOTHING)),
    **dict.fromkeys(("process", "peak_private_mb"), (int, NOTHING)),
    "error": (dict, NOTHING),
}
OF_LINE = {"step": (int,), "terms": (dict,), "monitor": (dict,)}
OF_VALUE = (float, list, NOTHING)
STATES = ("queued", "running", "stopped", "failed", "done")


@dataclass(frozen=True)
class Cell:
    """One (method, settings, seed) on one data set under one protocol: everything that decides the result.

    Attributes:
        method: its name.
        variant: the method's variant, or "".
        config_name: name of the method's config that `config` started from.
        config: field to value, complete.
        dataset: the data set.
        protocol: name and version of the protocol, such as "mini-v2"; without a version from before there
            were any.
        seed: the seed.
        plugin: file of the plug-in that holds the method, with a SHA-256; "" for a built-in method.
        changed: the fields of `config` that differ from the named config, the protocol's changes and the
            variant; None where that was not recorded.
    """

    method: str
    variant: str
    config_name: str
    config: Json
    dataset: DataRef
    protocol: str
    seed: int
    plugin: str = ""
    changed: Json | None = field(default=None, compare=False)

    @classmethod
    def read(cls, values: Json) -> Cell:
        """From the values of a cell.json."""
        return cls(**{**values, "dataset": DataRef.read(values["dataset"])})

    def plain(self) -> dict[str, object]:
        """As JSON."""
        return asdict(self)

    @property
    def label(self) -> str:
        """The method's short name, with its variant."""
        return labels.label(self.method, self.variant)

    def __hash__(self) -> int:
        return hash(self.folder)

    @functools.cached_property
    def folder(self) -> Path:
        """Relative to the run: equal for the seeds of one method under equal settings."""
        identity = self.plain()
        # `changed` follows from the rest.
        del identity["seed"], identity["changed"]
        # A run from before there were plug-ins, or versions of protocols, keeps its folders.
        if not self.plugin:
            del identity["plugin"]
        identity["protocol"] = self.protocol.removesuffix("-v1")
        digest = hashlib.sha256(json.dumps(identity, sort_keys=True, default=list).encode()).hexdigest()[:8]
        return Path(labels.folder(self.label, digest)) / f"seed-{self.seed}"

    @property
    def training(self) -> str:
        """The name of the folder of all seeds of this training, within the run."""
        return self.folder.parts[0]

    @property
    def digest(self) -> str:
        """The hash in the folder's name: of all but the seed."""
        return labels.split_folder(self.training)[1]

    @property
    def steps(self) -> int:
        """Number of training steps."""
        return int(str(self.config["steps"]))


@dataclass(frozen=True)
class CellFile:
    """A cell.json: the cell, and the machine that trains it.

    Attributes:
        cell: what is trained.
        environment: versions and hardware, see `environment`; empty before the training begins.
        device: "cpu", "cuda" or "cuda:1".
        together: number of seeds that share the process and its time.
        digest: of what decides the trained model beside its seed, see `protocols.digests`; "" before the
            training begins, and of a seed that was begun before that was recorded.
    """

    cell: Cell
    environment: Mapping[str, str | None] = field(default_factory=dict)
    device: str = "cpu"
    together: int = 1
    digest: str = ""

    @classmethod
    def read(cls, folder: Path) -> CellFile | None:
        """Of a cell's folder; None if the file is missing or damaged.

        Raises:
            UsageError: it describes no cell of this version.
        """
        path = folder / "cell.json"
        values = read_json(path)
        if not isinstance(values, dict):
            return None
        _check_cell(path, values)
        known = {f.name: values[f.name] for f in fields(cls) if f.name in values}
        return cls(**{**known, "cell": Cell.read(values["cell"])})

    def write(self, folder: Path) -> None:
        """Into a cell's folder."""
        write_json(folder / "cell.json", asdict(self))


def _check_cell(path: Path, values: Json) -> None:
    """Raises UsageError for the JSON of a cell.json that is of another form than this version writes."""
    cell: Json = values["cell"] if fits(values, OF_FILE, ["cell"]) else {}
    needed = [f.name for f in fields(Cell) if f.name not in LATER]
    odd = sorted({*needed} ^ {*cell} - LATER)
    texts = [value for value in values.get("environment", {}).values() if value is not None] if cell else []
    steps = cell["config"].get("steps") if not odd and fits(cell, OF_CELL) else None
    if not fits({"steps": steps}, {"steps": (int,)}) or not all(isinstance(text, str) for text in texts):
        names = short(", ".join(odd), 60)
        what = f"its fields differ: {names}" if odd and cell else "its values are of other kinds"
        raise UsageError(
            f"{path} describes no seed as this version of disbench writes it ({what}); use the version that "
            "wrote it, or remove the folder."
        )
    if cell["seed"] < 0:
        raise UsageError(f"{path} has seed {cell['seed']}, which is negative; remove the folder.")


@dataclass(frozen=True)
class Failure:
    """Why a cell failed.

    Attributes:
        type: name of the exception.
        message: a sentence.
        step: step at which a loss was not finite.
        term: name of that loss.
        traceback: of an unexpected error.
    """

    type: str = ""
    message: str = ""
    step: int | None = None
    term: str | None = None
    traceback: str | None = None

    @classmethod
    def read(cls, values: Json) -> Failure:
        """From the values within a status.json; an empty one if they are of other kinds."""
        if not fits(values, OF_FAILURE):
            return cls()
        return cls(**{f.name: values[f.name] for f in fields(cls) if f.name in values})

    def plain(self) -> dict[str, object]:
        """As JSON, without the fields that are None."""
        return {name: value for name, value in asdict(self).items() if value is not None}


@dataclass(frozen=True)
class Status:
    """A status.json: state and progress of a cell.

    Attributes:
        state: "queued", "running", "stopped", "failed" or "done".
        phase: "preparing", "training" or "scoring" while it runs, else "".
        process: number of the process that runs it.
        error: the reason of a failure.
        step: number of steps that are done.
        steps: number of steps in all.
        seconds: wall time of all starts together; None before the first.
        training: wall time of training alone.
        peak_private_mb: peak of the memory that the process had to itself, in MiB; None if not known.
        updated: time of writing.
        leader: folder beside it, "seed-0", of the seed that it trains with and whose status has the progress
            of both; "" for its own.
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
    leader: str = ""

    @classmethod
    def read(cls, folder: Path) -> Status:
        """Of a cell's folder; "queued" if the file is missing or damaged."""
        own = cls.of(read_json(folder / "status.json"))
        if not own.leader or own.state != "running":
            return own
        if not re.fullmatch(r"seed-\d+", own.leader):
            return cls()
        led = cls.of(read_json(folder.parent / own.leader / "status.json"))
        if (led.state, led.process) != (own.state, own.process):
            return own
        shared = ("phase", "step", "seconds", "training", "peak_private_mb", "updated")
        return replace(own, **{name: getattr(led, name) for name in shared})

    @classmethod
    def of(cls, values: Any) -> Status:
        """From the values of a status.json; "queued" if they are of other kinds than this version writes."""
        if not isinstance(values, dict):
            return cls()
        known = {f.name: values[f.name] for f in fields(cls) if f.name in values}
        if not fits(known, OF_STATUS) or known.get("state", "queued") not in STATES:
            return cls()
        if known.get("error") is not None:
            known["error"] = Failure.read(known["error"])
        return cls(**known)

    def write(self, folder: Path) -> None:
        """Into a cell's folder; of a running one only as a hint, which a power failure may take."""
        write_json(folder / "status.json", self.plain(), lasting=self.state != "running")

    def plain(self) -> dict[str, object]:
        """As JSON, without phase, process, leader and error if there are none."""
        values: dict[str, object] = {"state": self.state}
        values |= {name: value for name in ("phase", "process", "leader") if (value := getattr(self, name))}
        values |= {"error": self.error.plain()} if self.error else {}
        rest = ("step", "steps", "seconds", "training", "peak_private_mb", "updated")
        return {**values, **{name: getattr(self, name) for name in rest}}

    @property
    def why(self) -> str:
        """The message of the error, or ""."""
        return self.error.message if self.error else ""


def check_free(path: Path) -> None:
    """Raises UsageError if the path is neither a run nor a new or empty folder."""
    out = argument("out")
    if path.exists() and not path.is_dir():
        raise UsageError(f"{path} is a file; give {out} a folder, a new one or that of an earlier run.")
    if (path / "run.json").exists():
        check_run(path)
    # Another process may be writing run.json at this moment, or was killed at it.
    elif path.is_dir() and not all(map(is_temporary, path.iterdir())):
        raise UsageError(
            f"{path} holds other files and is not a disbench run; give {out} a new or empty folder."
        )


def open_run(path: Path) -> Path:
    """The run's folder, made if it does not exist.

    Raises:
        UsageError: it cannot be written, or holds other files than a run.
    """
    try:
        check_free(path)
        if not (path / "run.json").exists():
            write_json(path / "run.json", {"kind": KIND, "format": FORMAT})
        probe = path / ".writable"
        # Two processes may probe at once.
        with contextlib.suppress(FileExistsError):
            probe.touch(exist_ok=False)
            probe.unlink(missing_ok=True)
    except OSError as error:
        raise unwritable(path, error) from None
    return path


def is_run(path: Path) -> bool:
    """Whether the folder is a run, of whatever format."""
    marker = read_json(path / "run.json")
    return isinstance(marker, dict) and marker.get("kind") == KIND


def check_run(path: Path) -> None:
    """Raises UsageError if the folder is not a run of the format that this version reads.

    The folder itself may be a link, as it is the user who named it.
    """
    if not _is_text(path):
        raise UsageError(f"the name of {path} is not text in UTF-8; rename the folder.")
    if not is_run(path):
        raise UsageError(f"{path} is not a disbench run; give the folder that `disbench run --out` wrote.")
    written = read_json(path / "run.json").get("format")
    if written != FORMAT:
        raise UsageError(
            f"{path} has run format {written!r}, this disbench reads {FORMAT}; use the version that wrote it."
        )


def abandoned(folder: Path) -> bool:
    """Whether a cell's status says "running" although no process holds it."""
    if Status.read(folder).state != "running":
        return False
    with hold(folder) as ours:
        return ours and Status.read(folder).state == "running"


@dataclass(frozen=True)
class Record:
    """A cell's folder, each of its files read once, when it is first needed.

    Attributes:
        folder: the folder.
        file: its cell.json.
    """

    folder: Path
    file: CellFile

    @property
    def cell(self) -> Cell:
        """What is trained there."""
        return self.file.cell

    @functools.cached_property
    def status(self) -> Status:
        """Its status.json; "stopped" if that says "running" although no process holds the cell."""
        status = Status.read(self.folder)
        if status.state == "running" and abandoned(self.folder):
            return replace(status, state="stopped")
        return status

    @functools.cached_property
    def entries(self) -> list[ScoreEntry] | None:
        """Its scores.json; None if the file is missing or damaged."""
        return scores(self.folder)

    @classmethod
    def read(cls, folder: Path) -> Record | None:
        """Of a cell's folder; None if its cell.json is missing or damaged."""
        file = CellFile.read(folder)
        return None if file is None else cls(folder, file)


def records(run: Path) -> list[Record]:
    """Every cell of a run, sorted by method and seed.

    Raises:
        UsageError: the folder is not a run.
    """
    check_run(run)
    folders = [path.parent for path in run.glob("*/seed-*/cell.json")]
    for folder in folders:
        not_linked(folder.parent)
        if not _is_text(not_linked(folder)):
            raise UsageError(f"the name of {folder} is not text in UTF-8; remove the folder.")
    read = [Record.read(folder) for folder in folders]
    known = [record for record in read if record is not None]
    return sorted(known, key=lambda r: (r.cell.label, str(r.folder.parent), r.cell.seed))


def _is_text(path: Path) -> bool:
    """Whether a name is text, not any bytes that a file system takes."""
    with contextlib.suppress(UnicodeEncodeError):
        str(path).encode()
        return True
    return False


def cells(run: Path) -> list[tuple[Cell, Path]]:
    """Every cell of a run with its folder, sorted by method and seed."""
    return [(record.cell, record.folder) for record in records(run)]


def scores(folder: Path) -> list[ScoreEntry] | None:
    """The entries of a cell's scores.json; None if the file is missing or damaged."""
    return read_entries(read_json(folder / "scores.json"))


def write_scores(folder: Path, entries: list[ScoreEntry]) -> None:
    """Into a cell's folder."""
    write_json(folder / "scores.json", [entry.plain() for entry in entries])


def is_done(folder: Path, protocol: Protocol, retry_failed: bool = False) -> bool:
    """Whether a cell is trained, and scored by the metrics of its protocol.

    Args:
        folder: of the cell.
        protocol: its protocol.
        retry_failed: whether a metric that failed is to be computed again.
    """
    if not not_linked(folder / "checkpoint.pt").is_file():
        return False
    entries = scores(folder)
    # which of the two lists it is follows from the data set, and that is the cell's
    answered = any(answer(entries, choices) for choices in (protocol.metrics, protocol.unlabelled))
    return answered and not (retry_failed and failures(entries))


def failures(entries: list[ScoreEntry] | None) -> list[ScoreEntry]:
    """The entries of metrics that failed in a way that was not foreseen."""
    return [entry for entry in entries or () if entry.traceback]


def hold(folder: Path) -> contextlib.AbstractContextManager[bool]:
    """Locks a cell against other processes; yields False if another one holds it already."""
    return locked(not_linked(folder / ".lock"))


def tidy(folder: Path) -> None:
    """Removes the unfinished files of a killed process; for the process that holds the cell."""
    for path in filter(is_temporary, folder.iterdir()):
        path.unlink()


class Journal:
    """Appends lines to a metrics.jsonl.

    Args:
        path: the file.
        step: the step that training resumes from; lines after it are removed first.
    """

    def __init__(self, path: Path, step: int) -> None:
        self.path = path
        lines = [line for line in read_lines(path) if line["step"] <= step]
        with replacing(path) as temporary:
            temporary.write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")

    def append(self, line: Mapping[str, object]) -> None:
        """One line, of a logged step."""
        with open(self.path, "a", encoding="utf-8") as file:
            file.write(json.dumps(plain(line), allow_nan=False) + "\n")


def read_lines(path: Path) -> list[Json]:
    """The lines of a metrics.jsonl, without a last one that a kill cut short.

    Raises:
        UsageError: another line is damaged, or it is a link.
    """
    return list(_lines(path)) if not_linked(path).exists() else []


def _lines(path: Path) -> Iterator[Json]:
    for number, text in enumerate(path.read_text("utf-8").split("\n")[:-1], start=1):
        line = parse_json(text)
        if not _is_line(line):
            raise UsageError(
                f"line {number} of {path} is damaged; delete the folder of this seed to train it again."
            )
        yield line


def _is_line(line: object) -> bool:
    """Whether it has the numbers of a step by name, or lists of some."""
    if not isinstance(line, dict) or not fits(line, OF_LINE, ["step"]):
        return False
    values = {**line.get("terms", {}), **line.get("monitor", {})}
    lists = [value for value in values.values() if isinstance(value, list)]
    inner = {str(i): each for i, each in enumerate(each for value in lists for each in value)}
    return fits(values, dict.fromkeys(values, OF_VALUE)) and fits(
        inner, dict.fromkeys(inner, (float, NOTHING))
    )
