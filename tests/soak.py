"""A soak: sweeps under random kills, full disks, odd files and readers, compared with one left alone.

    python tests/soak.py --minutes 30 [--seed 0] [--out FOLDER]

trains tiny models by the command line, two at a time, in rounds. A round is one run: its command is started
again and again in a process group of its own, and each start meets a trouble that is drawn at random:

- a signal (SIGKILL, SIGTERM, SIGINT, or SIGSTOP and after some seconds SIGCONT) to the program, to one of its
  processes or to the whole group,
- a limit on the size of a file, or a small disk that is full (a tmpfs, where it may be mounted),
- before the start, odd files in the folders of seeds: cut, empty, folders, wrong JSON, other bytes,
- beside it, a reader: status, leaderboard or report.

Then the command with --retry-failed is left alone until it says that all is done, and weights, scores, codes
and journals must be those of an undisturbed run bit for bit. Prints a table; the exit code is 1 if anything
printed a traceback, ended with a code that is not documented, hung, differed or was lost. The draws follow
from the seed, the moments at which they meet the program do not. Needs Linux. Not collected by pytest.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch

METHODS, SEEDS, STEPS = ("betavae", "factorvae", "infogan"), 2, 60
SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGSTOP)
TARGETS = ("program", "process", "group")
FILES = ("status.json", "scores.json", "codes.npz", "state.pt", "checkpoint.pt", "metrics.jsonl", "cell.json")
# the documented exit codes of `run`
CODES = {0, 1, 2, 69, 75, 130}
TROUBLED = 5  # starts of a round that meet a trouble
OFTEN = 0.6  # share of the starts that meet odd files, and of those that have a reader
ALONE = 4  # starts with --retry-failed that a round has to end in
CHANGES = 20  # most changes of files until a signal
HANGS = 600.0  # seconds after which a program hangs
STOPPED = 8.0  # most seconds between SIGSTOP and SIGCONT
ORPHANS = 60.0  # seconds within which the processes of a killed program end
DISK = 64 << 20  # bytes of the small disk


def damage(path: Path, rng: random.Random) -> str:
    """Makes a file odd; returns how."""
    content = path.read_bytes() if path.is_file() else b""
    how = rng.choice(["cut", "empty", "folder", "wrong JSON", "other bytes"])
    if path.is_dir():
        shutil.rmtree(path)
    path.unlink(missing_ok=True)
    if how == "folder":
        path.mkdir()
    else:
        odd = {
            "cut": content[: len(content) // 2],
            "empty": b"",
            "wrong JSON": b'[{"state": ["done"]}, 1e999]',
        }
        path.write_bytes(odd.get(how, rng.randbytes(max(1, len(content)))))
    return how


def changes(run: Path) -> set[tuple[str, int]]:
    """The files of seeds, each with the moment of its last change."""
    found = set()
    for path in run.glob("*/seed-*/*"):
        # a file may go meanwhile
        with contextlib.suppress(OSError):
            found.add((str(path), path.stat().st_mtime_ns))
    return found


def processes(group: int) -> list[int]:
    """The living processes of a group."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        # a process may end meanwhile
        with contextlib.suppress(OSError):
            state, _, member = path.read_text().rpartition(")")[2].split()[:3]
            if int(member) == group and state != "Z":
                found.append(int(path.parent.name))
    return found


@contextlib.contextmanager
def small_disk(folder: Path) -> Iterator[bool]:
    """A tmpfs of `DISK` bytes at the folder; False where it may not be mounted."""
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={DISK}", "tmpfs", str(folder)]
    mounted = not subprocess.run(command, capture_output=True, check=False).returncode
    try:
        yield mounted
    finally:
        if mounted:
            subprocess.run(["umount", "--lazy", str(folder)], check=True)


class Soak:
    """One soak in a folder; `counts` has what happened, `wrong` what must not."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.folder, self.rng = folder, random.Random(seed)
        self.counts: Counter[str] = Counter()
        self.wrong: Counter[str] = Counter()
        self.log = open(folder / "log.txt", "w", encoding="utf-8")  # noqa: SIM115 - open all the time
        self.number = 0
        factors = np.stack(np.unravel_index(np.arange(120), (4, 5, 6)), axis=1)
        images = np.zeros((120, 32, 32), np.uint8)
        for image, (size, x, y) in zip(images, factors, strict=True):
            image[4 * y : 4 * y + 3 + size, 5 * x : 5 * x + 3 + size] = 255
        np.savez(folder / "grid.npz", images=images, factors=factors)

    def note(self, line: str) -> None:
        self.log.write(line + "\n")
        self.log.flush()

    def bad(self, kind: str, line: str) -> None:
        self.wrong[kind] += 1
        self.note(f"WRONG, {kind}: {line}")

    def start(self, *arguments: object, most: int = 0) -> tuple[subprocess.Popen[bytes], Path]:
        """Starts the program in a group of its own, with a limit in bytes on its files; and its output."""
        self.number += 1
        output = self.folder / f"output-{self.number}.txt"

        def prepare() -> None:
            # a group and no session: a new session would leave a low priority of this one (autogroup)
            os.setpgid(0, 0)
            # whoever starts a job in the background may have it ignored
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            if most:
                resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))

        own = {"DISBENCH_DATA": str(self.folder / "data"), "OMP_NUM_THREADS": "1"}
        with open(output, "wb") as file:
            process = subprocess.Popen(
                [sys.executable, "-m", "disbench", *map(str, arguments)],
                stdout=file,
                stderr=file,
                env={**os.environ, **own},
                preexec_fn=prepare,
            )
        return process, output

    def command(self, run: Path) -> list[object]:
        steps = [word for name in METHODS for word in ("--set", f"{name}.steps={STEPS}")]
        arguments = ["run", "--methods", ",".join(METHODS), "--seeds", SEEDS, "--protocol", "smoke", *steps]
        return [
            *arguments,
            "--dataset",
            self.folder / "grid.npz",
            "--jobs",
            2,
            "--device",
            "cpu",
            "--out",
            run,
        ]

    def end(self, process: subprocess.Popen[bytes], output: Path, allowed: set[int]) -> int:
        """Waits for the program and for all that it started; its exit code."""
        try:
            code = process.wait(HANGS)
        except subprocess.TimeoutExpired:
            self.bad("hangs", f"{output.name} after {HANGS} s")
            os.killpg(process.pid, signal.SIGKILL)
            code = process.wait()
        deadline = time.monotonic() + ORPHANS
        while processes(process.pid) and time.monotonic() < deadline:
            time.sleep(0.2)
        if processes(process.pid):
            self.bad("orphans", f"{output.name}, processes {processes(process.pid)}")
            os.killpg(process.pid, signal.SIGKILL)
        text = output.read_text("utf-8", errors="replace")
        self.note(f"{output.name}: exit code {code}")
        if "Traceback (most recent call last)" in text:
            self.bad("tracebacks", f"in {output}")
        elif code not in allowed:
            self.bad("exit codes", f"{code}, {output}")
        else:
            output.unlink()
        return code

    def hit(self, process: subprocess.Popen[bytes], run: Path) -> set[int]:
        """Sends a signal at a random moment; the exit codes that it allows.

        The moment is counted in changes of files of seeds, so that it does not depend on the speed.
        """
        left, seen = self.rng.randint(0, CHANGES), changes(run)
        while left > 0 and process.poll() is None:
            time.sleep(0.02)
            now = changes(run)
            left, seen = left - len(now - seen), now
        time.sleep(self.rng.uniform(0, 1))
        number, target = self.rng.choice(SIGNALS), self.rng.choice(TARGETS)
        others = [one for one in processes(process.pid) if one != process.pid]
        if process.poll() is not None:
            return set()
        if target == "process" and not others:
            return set()
        to = {"group": -process.pid, "program": process.pid}.get(target) or self.rng.choice(others)
        # a process may end meanwhile
        with contextlib.suppress(ProcessLookupError):
            os.kill(to, number)
            if number == signal.SIGSTOP:
                time.sleep(self.rng.uniform(0, STOPPED))
                os.kill(to, signal.SIGCONT)
        self.counts[f"{number.name} to {target}"] += 1
        self.note(f"{number.name} to {target}")
        # before it listens to signals the program ends as any does
        return set() if target == "process" else {-number, 128 + number}

    def read(self, run: Path) -> tuple[subprocess.Popen[bytes], Path]:
        """Starts a reader of a run."""
        name = self.rng.choice(["status", "leaderboard", "report"])
        self.counts[f"reader {name}"] += 1
        more = ["--out", self.folder / "report.html"] if name == "report" else []
        process, output = self.start(name, run, *more)
        self.note(f"{output.name}: {name}")
        return process, output

    def make_odd(self, run: Path) -> None:
        """Damages up to three files of seeds."""
        folders = sorted(run.glob("*/seed-*"))
        for _ in range(self.rng.randint(1, 3) if folders else 0):
            path = self.rng.choice(folders) / self.rng.choice(FILES)
            if path.name == "metrics.jsonl" and (path.parent / "checkpoint.pt").exists():
                # nothing makes the curves of a trained seed again
                continue
            how = damage(path, self.rng)
            if path.name == "codes.npz":
                # codes are encoded again when something is scored, and a seed with scores needs nothing
                scores = path.parent / "scores.json"
                if not scores.is_dir():
                    scores.unlink(missing_ok=True)
            self.counts["odd files"] += 1
            self.note(f"{path.parent.parent.name}/{path.parent.name}/{path.name}: {how}")

    def fill(self, disk: Path) -> Path:
        """Leaves a random part of the small disk."""
        ballast, left = disk / "ballast", self.rng.randint(0, 1 << 20)
        with contextlib.suppress(OSError), open(ballast, "wb") as file:
            os.posix_fallocate(file.fileno(), 0, max(1, shutil.disk_usage(disk).free - left))
        return ballast

    def trouble(self, run: Path, disk: Path | None, done: bool) -> int:
        """One start of the command that meets trouble, odd files at least if all was done; its exit code."""
        what = self.rng.choice(["signal", "signal", "signal", "full"])
        if done or self.rng.random() < OFTEN:
            self.make_odd(run)
        retry = ["--retry-failed"] if self.rng.random() < 0.5 else []
        ballast, most = None, 0
        if what == "full":
            if disk and self.rng.random() < 0.7:
                ballast = self.fill(disk)
                self.counts["full disk"] += 1
            else:
                most = self.rng.randint(1 << 12, 1 << 18)
                self.counts["file-size limit"] += 1
            self.note(f"limit {most}" if most else "full disk")
        process, output = self.start(*self.command(run), *retry, most=most)
        self.note(f"{output.name}: run {' '.join(retry)}")
        self.counts["starts"] += 1
        reader = self.read(run) if self.rng.random() < OFTEN else None
        allowed = CODES | (self.hit(process, run) if what == "signal" else set())
        code = self.end(process, output, allowed)
        if reader:
            self.end(*reader, {0, 2})
        if ballast:
            ballast.unlink(missing_ok=True)
        return code

    def round(self, name: str, whole: Path, over: Callable[[], bool]) -> None:
        """One run: troubled starts, then starts left alone, then the comparison."""
        with small_disk(self.folder / f"{name}-disk") as mounted:
            disk = self.folder / f"{name}-disk" if mounted else None
            run = (disk or self.folder) / name
            code = -1
            for _ in range(TROUBLED):
                if over():
                    break
                code = self.trouble(run, disk, code == 0)
            for _ in range(ALONE):
                self.counts["restarts"] += 1
                if not self.end(*self.start(*self.command(run), "--retry-failed"), CODES):
                    break
            self.counts["rounds"] += 1
            before = sum(self.wrong.values())
            self.compare(whole, run)
            if sum(self.wrong.values()) > before:
                shutil.copytree(run, self.folder / f"kept-{name}")

    def compare(self, whole: Path, run: Path) -> None:
        """Whether each seed is that of the undisturbed run."""
        for seed in sorted(whole.glob("*/seed-*")):
            self.counts["seeds"] += 1
            other = run / seed.relative_to(whole)
            try:
                found, expected = result(other), result(seed)
            except (OSError, ValueError, KeyError, RuntimeError) as error:
                self.bad("lost seeds", f"{other}: {error}")
                continue
            for what, value in expected.items():
                if not same(found[what], value):
                    self.bad("differences", f"{what} of {other}")

    def table(self, minutes: float) -> str:
        """What happened and what went wrong, in Markdown."""
        kinds = ("tracebacks", "exit codes", "hangs", "orphans", "differences", "lost seeds")
        rows = [("minutes", f"{minutes:.1f}"), *sorted(self.counts.items())]
        rows += [(kind, self.wrong[kind]) for kind in kinds]
        return "\n".join(["| what | number |", "|---|---|", *(f"| {a} | {b} |" for a, b in rows)])


def result(seed: Path) -> dict[str, object]:
    """What a seed came to.

    Raises:
        OSError, ValueError, KeyError, RuntimeError: it is not done.
    """
    if json.loads((seed / "status.json").read_text("utf-8"))["state"] != "done":
        raise ValueError("it is not done")
    scores = json.loads((seed / "scores.json").read_text("utf-8"))
    for entry in scores:
        del entry["seconds"]
    with np.load(seed / "codes.npz") as codes:
        arrays = dict(codes)
    return {
        "weights": torch.load(seed / "checkpoint.pt", weights_only=True)["weights"],
        "scores": scores,
        "codes": arrays,
        "journal": (seed / "metrics.jsonl").read_text("utf-8").splitlines(),
    }


def same(a: object, b: object) -> bool:
    """Whether two results are equal, those of arrays bit for bit."""
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, torch.Tensor) and isinstance(b, torch.Tensor):
        return same(a.numpy(), b.numpy())
    if isinstance(a, np.ndarray) and isinstance(b, np.ndarray):
        return (a.dtype, a.shape, a.tobytes()) == (b.dtype, b.shape, b.tobytes())
    return bool(a == b)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--minutes", type=float, default=30.0, help="no start meets trouble after this time")
    parser.add_argument("--seed", type=int, default=0, help="of the draws")
    parser.add_argument("--out", type=Path, help="new folder for runs and log (default: a temporary one)")
    given = parser.parse_args()
    folder = given.out or Path(tempfile.mkdtemp(prefix="disbench-soak-"))
    folder.mkdir(parents=True, exist_ok=given.out is None)
    soak = Soak(folder.resolve(), given.seed)
    whole = soak.folder / "whole"
    if soak.end(*soak.start(*soak.command(whole)), CODES):
        print(f"the undisturbed run failed, see {folder / 'log.txt'}")
        return 1
    began = time.monotonic()
    end = began + 60.0 * float(given.minutes)

    def over() -> bool:
        return time.monotonic() > end

    number = 0
    while not over():
        number += 1
        soak.round(f"run-{number}", whole, over)
    print(soak.table((time.monotonic() - began) / 60))
    print(f"log: {soak.folder / 'log.txt'}")
    return 1 if sum(soak.wrong.values()) else 0


if __name__ == "__main__":
    raise SystemExit(main())
