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
import errno
import functools
import hashlib
import json
import math
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from disbench.errors import UsageError
from disbench.leaderboards import labels
from disbench.models.checkpoint import is_temporary, write_atomically

KIND = "disbench run"
FORMAT = 1


@dataclass(frozen=True)
class Cell:
    """One (method, settings, seed) on one data set under one protocol: everything that decides the result.

    Attributes:
        config_name: which of the method's named configs `config` started from.
        config: field to value, complete.
        dataset: name, size and sha256.
        plugin: where the method comes from, with a SHA-256, if from a plug-in; else "".
    """

    method: str
    variant: str
    config_name: str
    config: Mapping[str, Any]
    dataset: Mapping[str, Any]
    protocol: str
    seed: int
    plugin: str = ""

    @property
    def label(self) -> str:
        return labels.label(self.method, self.variant)

    def __hash__(self) -> int:
        return hash(self.folder)

    @functools.cached_property
    def folder(self) -> Path:
        """Relative to the run: equal for the seeds of one method under equal settings."""
        identity = asdict(self)
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


def read_json(path: Path) -> Any:
    """The content, or None where there is no such file or not a whole one (then it is made again)."""
    try:
        return json.loads(path.read_text("utf-8"))
    except (FileNotFoundError, NotADirectoryError, json.JSONDecodeError, UnicodeDecodeError):
        return None


def write_json(path: Path, values: Any) -> None:
    """Strict JSON: a NaN is written as null by the caller or not at all."""
    text = json.dumps(values, indent=1, allow_nan=False, default=list) + "\n"
    write_atomically(path, lambda temporary: temporary.write_text(text, "utf-8"))


def plain(value: Any) -> Any:
    """Numbers, texts, lists and dicts of anything numpy; not-a-number and infinities become None."""
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def check_free(path: Path) -> None:
    """Raises UsageError where the path is neither a run nor a place for one."""
    if path.exists() and not path.is_dir():
        raise UsageError(f"{path} is a file; give --out a folder, a new one or that of an earlier run.")
    if (path / "run.json").exists():
        check_run(path)
    # another process may just be making the marker, or one was killed at it
    elif path.is_dir() and not all(map(is_temporary, path.iterdir())):
        raise UsageError(
            f"{path} holds other files and is not a disbench run; give --out a new or empty folder."
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


def unwritable(path: Path, error: OSError) -> UsageError:
    if error.errno == errno.ENOSPC:
        return UsageError(f"the disk that holds {path} is full; free some space and try again.")
    return UsageError(f"cannot write to {path}: {error.strerror}; give a folder that you may write to.")


def cells(run: Path) -> list[tuple[Cell, Path]]:
    """Every cell of a run with its folder, sorted by method and seed."""
    check_run(run)
    found = []
    for path in run.glob("*/seed-*/cell.json"):
        values = read_json(path)
        if isinstance(values, dict):
            found.append((Cell(**values["cell"]), path.parent))
    return sorted(found, key=lambda entry: (entry[0].label, str(entry[1].parent), entry[0].seed))


def status(folder: Path) -> dict[str, Any]:
    return read_json(folder / "status.json") or {"state": "queued"}


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[bool]:
    """Holds the cell against other processes; yields False where another one holds it already.

    The lock is the operating system's and vanishes with its process, however that ends.
    """
    import fcntl

    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / ".lock", "a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield True


def tidy(folder: Path) -> None:
    """Removes what a killed process had begun to write. For who holds the cell's lock."""
    for path in filter(is_temporary, folder.iterdir()):
        path.unlink()


class Journal:
    """Appends lines to metrics.jsonl; on resuming, lines after the saved step are taken back first."""

    def __init__(self, path: Path, step: int) -> None:
        self.path = path
        kept = [line for line in read_lines(path) if line["step"] <= step]
        text = "".join(json.dumps(line) + "\n" for line in kept)
        write_atomically(path, lambda temporary: temporary.write_text(text, "utf-8"))

    def append(self, line: Mapping[str, Any]) -> None:
        with open(self.path, "a", encoding="utf-8") as file:
            file.write(json.dumps(plain(line), allow_nan=False) + "\n")


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The whole lines of a metrics.jsonl; a last one that a kill cut short is left out.

    Raises:
        UsageError: another line is damaged.
    """
    if not path.exists():
        return []
    lines = []
    for number, text in enumerate(path.read_text("utf-8").split("\n")[:-1], start=1):
        try:
            lines.append(json.loads(text))
        except json.JSONDecodeError:
            raise UsageError(
                f"line {number} of {path} is damaged; "
                "delete the folder that it lies in to train that seed anew."
            ) from None
    return lines


def now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S%z")


def disk_is_full(error: BaseException) -> bool:
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
