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
        output.txt         what code of a plug-in printed
        damaged/           files that could not be read and were set aside

A cell is done when its whole checkpoint is there and its scores answer what the protocol asks.

Whoever reads a run reads it here, as it may come from a newer version, from a stranger or from a broken disk:
`records` gives the seeds that can be read, and a sentence for each file that cannot be.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import os
import re
import shutil
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from disbench.benchmark.datasets.reference import DataRef
from disbench.benchmark.scoring.entries import ScoreEntry, answer, read_entries
from disbench.errors import UsageError, argument
from disbench.files import (
    LARGEST,
    Json,
    fits,
    is_cut,
    is_temporary,
    lapsed,
    locked,
    not_linked,
    parse_json,
    plain,
    read_json,
    read_text,
    replacing,
    unwritable,
    write_json,
)
from disbench.leaderboards import labels
from disbench.texts import short

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from disbench.benchmark.protocols import Protocol

T = TypeVar("T")
S = TypeVar("S")

# The file that says that a folder is a run, and what stands in it.
MARKER, KIND = "run.json", "disbench run"
# of the folder, and of each cell.json in it
FORMAT = 1
DAMAGED, LOCK = "damaged", ".lock"
# What a seed's folder consists of: training goes on from the state, and the others are made from the
# checkpoint. Its pictures may be drawn again, and other files there are the user's.
OF_STATE = ("state.pt", "metrics.jsonl")
OF_CHECKPOINT = ("checkpoint.pt", "codes.npz", "scores.json")
OF_SEED = ("cell.json", "status.json", *OF_STATE, *OF_CHECKPOINT)
# What the fields of the files may be: a run may come from anyone.
NOTHING = type(None)
OF_CELL = {
    **dict.fromkeys(("method", "variant", "config_name", "protocol", "plugin"), (str,)),
    "config": (dict,),
    "dataset": (dict,),
    "seed": (int,),
    "changed": (dict, NOTHING),
}
# the end of sentences about files of a cell
RETRY = "`disbench run --retry-failed` sets it aside and trains this seed again"
# Fields that a cell from before they were recorded lacks.
LATER = {"plugin", "changed"}
OF_FILE = {**dict.fromkeys(("cell", "environment"), (dict,)), "together": (int,)}
OF_FILE |= {**dict.fromkeys(("device", "digest"), (str,)), "asked": (list,)}
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
# The names of folders that a sweep makes.
PLACE_OF_TRAINING, PLACE_OF_SEED = re.compile(r".+-[0-9a-f]{8}"), re.compile(r"seed-(0|[1-9]\d*)")
MADE_AGAIN = "`disbench run` sets it aside and writes it again"
STATES = ("queued", "running", "stopped", "failed", "done")


@dataclass(frozen=True)
class Cell:
    """One (method, settings, seed) on one data set under one protocol: everything that decides the result.

    Attributes:
        method: its name.
        variant: the method's variant, or "".
        config_name: name of the method's config that `config` started from.
        config: field to value, as `models.Config.written` has them.
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
        asked: what the model is to be scored by, entries without a score as JSON; empty as `digest` is.
    """

    cell: Cell
    environment: Mapping[str, str | None] = field(default_factory=dict)
    device: str = "cpu"
    together: int = 1
    digest: str = ""
    asked: list[Json] = field(default_factory=list)

    @classmethod
    def read(cls, folder: Path) -> CellFile | None:
        """Of a cell's folder; None if there is no such file.

        Raises:
            UsageError: it is damaged, or describes no cell of this version.
        """
        path = folder / "cell.json"
        values = read_json(path, RETRY)
        if values is None:
            return None
        _check_cell(path, values)
        known = {f.name: values[f.name] for f in fields(cls) if f.name in values}
        try:
            file = cls(**{**known, "cell": Cell.read(values["cell"])})
        except UsageError as error:
            raise UsageError(f"{path}: {error.marked}") from None
        _check_place(path, file.cell)
        return file

    def write(self, folder: Path) -> None:
        """Into a cell's folder."""
        write_json(folder / "cell.json", {"format": FORMAT, **asdict(self)})


def _check_cell(path: Path, values: Any) -> None:
    """Raises UsageError for the JSON of a cell.json that is of another form than this version writes."""
    # before the field was written there was one format
    written = values.get("format", 1) if isinstance(values, dict) else FORMAT
    if written != FORMAT:
        raise UsageError(
            f"{path} has format {short(written, 20)}, this disbench reads {FORMAT}; use the version that "
            "wrote it."
        )
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
    if values.get("together", 1) < 1 or cell["config"]["steps"] < 0:
        raise UsageError(f"{path} counts fewer seeds or steps than there can be; remove the folder.")


def _check_place(path: Path, cell: Cell) -> None:
    """Raises UsageError for a cell.json in a folder whose name is that of another seed, or of other settings.

    A name that no sweep gives, such as "seed-3 (copy)" or "betavae-best", is the user's and says nothing.
    """
    training, seed = path.parts[-3:-1] if len(path.parts) > 2 else ("", path.parent.name)
    other = PLACE_OF_SEED.fullmatch(seed) and seed != cell.folder.name
    if other or (PLACE_OF_TRAINING.fullmatch(training) and training != cell.training):
        raise UsageError(
            f"{path} describes {cell.folder}, which is not what its folder is named after; undo what was "
            "changed of the two, or remove the folder."
        )


def check_described(folder: Path) -> None:
    """Checks that a cell's folder tells what was trained there, if something was.

    Raises:
        UsageError: its cell.json cannot be read, or is missing beside what was made under it.
    """
    if CellFile.read(folder) is not None:
        return
    left = [name for name in ("checkpoint.pt", "state.pt", "scores.json") if (folder / name).exists()]
    if left:
        raise UsageError(
            f"{folder / 'cell.json'} is missing, and without it nobody knows what {left[0]} beside it is of; "
            f"copy it again from where the run comes from, or {RETRY}."
        )


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
        """Of a cell's folder; "queued" if the file is missing or damaged, for a sweep that writes it anew."""
        return told(lambda: cls.load(folder), cls())[0]

    @classmethod
    def load(cls, folder: Path) -> Status:
        """Of a cell's folder; "queued" if there is no such file.

        Raises:
            UsageError: it is damaged or of another version.
        """
        own = cls._whole(folder)
        if not own.leader or own.state != "running":
            return own
        led = told(lambda: cls._whole(folder.parent / own.leader), cls())[0]
        if (led.state, led.process) != (own.state, own.process):
            return own
        shared = ("phase", "step", "seconds", "training", "peak_private_mb", "updated")
        return replace(own, **{name: getattr(led, name) for name in shared})

    @classmethod
    def _whole(cls, folder: Path) -> Status:
        path = folder / "status.json"
        values = read_json(path, MADE_AGAIN)
        if values is None:
            return cls()
        status = cls.of(values)
        if status is None:
            raise UsageError(f"{path} holds no status as this version of disbench writes it; {MADE_AGAIN}.")
        return status

    @classmethod
    def of(cls, values: Any) -> Status | None:
        """From the values of a status.json; None if they are of other kinds than this version writes."""
        if not isinstance(values, dict):
            return None
        known = {f.name: values[f.name] for f in fields(cls) if f.name in values}
        if not fits(known, OF_STATUS) or known.get("state", "queued") not in STATES:
            return None
        if not re.fullmatch(r"(seed-\d+)?", known.get("leader", "")):
            return None
        if any((known.get(name) or 0) < 0 for name in ("step", "steps", "seconds", "training")):
            return None
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


def has_begun(folder: Path) -> bool:
    """Whether a cell has taken a step, by what a step leaves and by its status."""
    # one that was lost is written anew from step 0, whatever is trained already
    if any((folder / name).exists() for name in ("checkpoint.pt", "state.pt")):
        return True
    return Status.read(folder).step > 0


def check_free(path: Path) -> None:
    """Raises UsageError if the path is neither a run nor a new or empty folder."""
    out = argument("out")
    if path.exists() and not path.is_dir():
        raise UsageError(f"{path} is a file; give {out} a folder, a new one or that of an earlier run.")
    if (path / MARKER).exists():
        check_run(path)
    # Another process may be writing run.json at this moment, or was killed at it.
    elif path.is_dir() and not all(map(is_temporary, path.iterdir())):
        if (path / MARKER).exists():
            # it was written between the two looks
            check_run(path)
            return
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
        if not (path / MARKER).exists():
            write_json(path / MARKER, {"kind": KIND, "format": FORMAT})
    except OSError as error:
        raise unwritable(path, error) from None
    check_writable(path)
    return path


def check_writable(run: Path) -> None:
    """Raises UsageError if nothing can be written to a run's folder."""
    probe = run / ".writable"
    try:
        # Two processes may probe at once.
        with contextlib.suppress(FileExistsError):
            probe.touch(exist_ok=False)
            probe.unlink(missing_ok=True)
    except OSError as error:
        raise unwritable(run, error) from None


def is_run(path: Path) -> bool:
    """Whether the folder is a run, of whatever format."""
    marker, _ = told(lambda: read_json(path / MARKER), None)
    return isinstance(marker, dict) and marker.get("kind") == KIND


def check_run(path: Path) -> None:
    """Raises UsageError if the folder is not a run of the format that this version reads.

    The folder itself may be a link, as it is the user who named it.
    """
    if not _is_text(path):
        raise UsageError(f"the name of {path} is not text in UTF-8; rename the folder.")
    again = f'write {{"kind": "{KIND}", "format": {FORMAT}}} into it if this is a run'
    marker = read_json(path / MARKER, again)
    if not isinstance(marker, dict) or marker.get("kind") != KIND:
        raise UsageError(f"{path} is not a disbench run; give the folder that `disbench run --out` wrote.")
    written = marker.get("format")
    if written != FORMAT:
        raise UsageError(
            f"{path} has run format {short(repr(written), 20)}, this disbench reads {FORMAT}; use the "
            "version that wrote it."
        )


def abandoned(folder: Path) -> bool:
    """Whether a cell's status says "running" although no process holds it."""
    if Status.read(folder).state != "running":
        return False
    # who may not write there cannot find out, and believes the status
    with contextlib.suppress(OSError, UsageError):
        if lapsed(folder / LOCK):
            return True
        with hold(folder) as ours:
            return ours and Status.read(folder).state == "running"
    return False


def told(read: Callable[[], T], otherwise: S) -> tuple[T | S, str]:
    """What `read()` returns and ""; or `otherwise` and the sentence of its UsageError."""
    try:
        return read(), ""
    except UsageError as error:
        return otherwise, str(error)


class Logged(NamedTuple):
    """The logged values of one quantity of a seed.

    Attributes:
        steps: (t,) ascending; float, as axes have them.
        values: (t, k), k the number of latents, or 1; NaN where a value is missing.
    """

    steps: NDArray[np.float64]
    values: NDArray[np.float64]


@dataclass(frozen=True)
class Record:
    """A cell's folder, each of its files read once, when it is first needed.

    A file that cannot be read counts as missing, and `sentences` says so.

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

    @property
    def status(self) -> Status:
        """Its status.json; "stopped" if that says "running" although no process holds the cell."""
        return self._status[0]

    @property
    def entries(self) -> list[ScoreEntry] | None:
        """Its scores.json; None if the file is missing or damaged."""
        return self._entries[0]

    @property
    def asked(self) -> list[ScoreEntry]:
        """What it is to be scored by, entries without a score; none where that was not recorded."""
        return read_entries(self.file.asked) or []

    def logged(self) -> tuple[Mapping[str, Logged], str]:
        """Its metrics.jsonl, and a sentence if that cannot be read; not kept, as it is large."""
        return told(lambda: logged(self.folder / "metrics.jsonl"), {})

    @property
    def sentences(self) -> list[str]:
        """A sentence for each file that cannot be read: status, scores, and a checkpoint that is cut."""
        _, cut = told(lambda: check_checkpoint(self.folder), None)
        return [each for each in (self._status[1], self._entries[1], cut) if each]

    @functools.cached_property
    def _status(self) -> tuple[Status, str]:
        status, odd = told(lambda: Status.load(self.folder), Status())
        if status.state == "running" and abandoned(self.folder):
            return replace(status, state="stopped"), odd
        return status, odd

    @functools.cached_property
    def _entries(self) -> tuple[list[ScoreEntry] | None, str]:
        return told(lambda: load_scores(self.folder), None)

    @classmethod
    def read(cls, folder: Path) -> Record | None:
        """Of a cell's folder; None if it has no cell.json.

        Raises:
            UsageError: its cell.json cannot be read.
        """
        file = CellFile.read(folder)
        return None if file is None else cls(folder, file)


class Records(list[Record]):
    """The cells of a run that can be read, sorted by method and seed.

    Attributes:
        odd: a sentence for each of the others.
    """

    def __init__(self, records: Iterable[Record], odd: Sequence[str]) -> None:
        super().__init__(sorted(records, key=lambda r: (r.cell.label, str(r.folder.parent), r.cell.seed)))
        self.odd = list(odd)

    @property
    def sentences(self) -> list[str]:
        """One for each cell, and each file of a cell, that cannot be read."""
        return [*self.odd, *(sentence for record in self for sentence in record.sentences)]


def records(run: Path) -> Records:
    """Every cell of a run that can be read, with a sentence for each that cannot.

    Raises:
        UsageError: the folder is not a run.
    """
    check_run(run)
    found: dict[Path, Record] = {}
    odd = []
    # the folder that has a cell's own name comes before copies of it
    for path in sorted(run.glob("*/seed-*/cell.json"), key=lambda path: (len(str(path)), str(path))):
        record, sentence = told(functools.partial(_record, path.parent), None)
        if record is not None and record.cell.folder in found:
            other = found[record.cell.folder].folder
            sentence = f"{record.folder} has the seed and the settings of {other}; remove one of them."
        elif record is not None:
            found[record.cell.folder] = record
        odd += [sentence] if sentence else []
    for folder in sorted(run.glob("*/seed-*")):
        if not (folder / "cell.json").exists() and not folder.is_symlink():
            sentence = told(functools.partial(check_described, folder), None)[1]
            odd += [sentence] if sentence else []
    return Records(found.values(), odd)


def _record(folder: Path) -> Record | None:
    if not _is_text(folder):
        raise UsageError(f"the name of {folder} is not text in UTF-8; remove the folder.")
    not_linked(folder.parent)
    return Record.read(not_linked(folder))


def _is_text(path: Path) -> bool:
    """Whether a name is text, not any bytes that a file system takes."""
    with contextlib.suppress(UnicodeEncodeError):
        str(path).encode()
        return True
    return False


def cells(run: Path) -> list[tuple[Cell, Path]]:
    """Every cell of a run that can be read with its folder, sorted by method and seed."""
    return [(record.cell, record.folder) for record in records(run)]


def scores(folder: Path) -> list[ScoreEntry] | None:
    """The entries of a cell's scores.json; None if the file is missing or damaged, and is written anew."""
    return told(lambda: load_scores(folder), None)[0]


def load_scores(folder: Path) -> list[ScoreEntry] | None:
    """The entries of a cell's scores.json; None if there is no such file.

    Raises:
        UsageError: it is damaged or of another version.
    """
    path = folder / "scores.json"
    values = read_json(path, MADE_AGAIN)
    if values is None:
        return None
    entries = read_entries(values)
    if entries is None:
        raise UsageError(f"{path} holds no scores as this version of disbench writes them; {MADE_AGAIN}.")
    return entries


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
    if is_cut(not_linked(folder / "checkpoint.pt")):
        return False
    entries = scores(folder)
    # which of the two lists it is follows from the data set, and that is the cell's
    answered = any(answer(entries, choices) for choices in (protocol.metrics, protocol.unlabelled))
    return answered and not (retry_failed and failures(entries))


def ended_elsewhere(folder: Path, protocol: Protocol) -> str:
    """How a cell ended that another process had: "done" or "failed"; "busy" if it has not.

    Args:
        folder: of the cell.
        protocol: its protocol.
    """
    state = Status.read(folder).state
    return state if state == "failed" or (state == "done" and is_done(folder, protocol)) else "busy"


def check_checkpoint(folder: Path) -> None:
    """Raises UsageError where a cell's checkpoint, if it has one, is cut short; only its end is read."""
    path = not_linked(folder / "checkpoint.pt")
    if path.exists() and is_cut(path):
        raise UsageError(f"{path} is cut short or damaged; {RETRY}.")


def failures(entries: list[ScoreEntry] | None) -> list[ScoreEntry]:
    """The entries of metrics that failed in a way that was not foreseen."""
    return [entry for entry in entries or () if entry.traceback]


def hold(folder: Path) -> contextlib.AbstractContextManager[bool]:
    """Locks a cell against other processes; yields False if another one holds it already.

    Raises:
        UsageError: the folder of the cell is none, or its lock file is something else.
    """
    for path in (folder.parent, folder):
        if not_linked(path).exists() and not path.is_dir():
            raise UsageError(f"{path} is a file in place of a folder of seeds; move it away.")
    path = folder / LOCK
    if not_linked(path).is_dir():
        raise UsageError(f"{path} is a folder in place of a lock file; remove it.")
    return locked(path)


def why_failed(folder: Path, full: bool) -> str:
    """Why a cell failed, from its status or, where none could be written, from what is in its way."""
    if why := Status.read(folder).why:
        return why
    if full:
        return "the disk is full"
    with contextlib.ExitStack() as held:
        _, sentence = told(lambda: held.enter_context(hold(folder)), False)
    return sentence or f"nothing can be written to {folder}"


def tidy(folder: Path) -> None:
    """Removes the unfinished files of a killed process; for the process that holds the cell."""
    for path in filter(is_temporary, folder.iterdir()):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


def set_aside(path: Path, why: str) -> None:
    """Moves a file of a cell, whatever it is, into the folder "damaged" beside it, and warns.

    Args:
        path: the file; nothing happens if it does not exist.
        why: a sentence.

    Raises:
        UsageError: something else is in place of the folder.
    """
    if not os.path.lexists(path):
        return
    place = path.parent / DAMAGED
    if not_linked(place).exists() and not place.is_dir():
        raise UsageError(f"{place} is a file in place of a folder; move it away.")
    place.mkdir(exist_ok=True)
    number = 1
    while os.path.lexists(target := place / (f"{path.name}.{number}" if number > 1 else path.name)):
        number += 1
    os.rename(path, target)
    warnings.warn(f"{path} was set aside as {target}: {why}", stacklevel=2)


class Journal:
    """Appends lines to a metrics.jsonl.

    Args:
        path: the file.
        step: the step that training resumes from; lines after it are removed first.
    """

    def __init__(self, path: Path, step: int) -> None:
        self.path = path
        lines = [line for line in read_lines(path, RETRY) if line["step"] <= step]
        with replacing(path) as temporary:
            temporary.write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")

    def append(self, line: Mapping[str, object]) -> None:
        """One line, of a logged step."""
        with open(self.path, "a", encoding="utf-8") as file:
            file.write(json.dumps(plain(line), allow_nan=False) + "\n")


def read_lines(path: Path, again: str = "delete the folder of this seed to train it again") -> list[Json]:
    """The lines of a metrics.jsonl, without a last one that a kill cut short; none if there is no such file.

    Args:
        path: of the file.
        again: how to get a good file, the end of the sentence.

    Raises:
        UsageError: another line is damaged, or the file cannot be read.
    """
    return list(_lines(path, again))


def logged(path: Path) -> Mapping[str, Logged]:
    """The logged values of a metrics.jsonl by quantity, as arrays: a run of many seeds has millions of them.

    Raises:
        UsageError: as for `read_lines`, or a quantity has more values at one step than at another.
    """
    # numpy is loaded by what shows curves alone
    import numpy as np

    lines = {line["step"]: line for line in read_lines(path)}
    rows: dict[str, tuple[list[int], list[list[float | None]]]] = {}
    for step, line in sorted(lines.items()):
        for quantity, value in {**line.get("terms", {}), **line.get("monitor", {})}.items():
            steps, values = rows.setdefault(quantity, ([], []))
            steps.append(step)
            values.append(value if isinstance(value, list) else [value])
    for quantity, (_, values) in rows.items():
        if len({len(each) for each in values}) > 1:
            raise UsageError(f"{path} has more values of {short(quantity, 40)} at one step than at another.")
    # quantities that are logged together share their steps
    shared = {tuple(steps): np.array(steps, float) for steps, _ in rows.values()}
    return {
        quantity: Logged(shared[tuple(steps)], np.array(values, float))
        for quantity, (steps, values) in rows.items()
    }


def _lines(path: Path, again: str) -> Iterator[Json]:
    text = read_text(path, again)
    for number, each in enumerate((text or "").split("\n")[:-1], start=1):
        line = parse_json(each)
        if not _is_line(line):
            raise UsageError(f"line {number} of {path} is damaged; {again}.")
        yield line


def _is_line(line: object) -> bool:
    """Whether it has the numbers of a step by name, or lists of some."""
    if not isinstance(line, dict) or not fits(line, OF_LINE, ["step"]) or line["step"] < 0:
        return False
    values = [*line.get("terms", {}).values(), *line.get("monitor", {}).values()]
    numbers = [value for value in values if not isinstance(value, list)]
    numbers += [each for value in values if isinstance(value, list) for each in value]
    # one look at all of them, as there are millions of lines
    if not set(map(type, numbers)) <= {float, int, NOTHING}:
        return False
    return all(-LARGEST < number < LARGEST for number in numbers if number is not None)
