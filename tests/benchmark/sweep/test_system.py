"""What a disk, a limit or a missing folder of the system does to a run: a sentence, and nothing is lost."""

import errno
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from disbench import __main__ as start
from disbench.benchmark.runs import store
from disbench.benchmark.runs.store import Status
from disbench.benchmark.sweep import plan, workers
from disbench.benchmark.sweep.cell import run_group

QUICK = ("--protocol", "smoke", "--set", "betavae.steps=2", "--set", "betavae.batch=4")
# in the order in which a seed writes them
FILES = (
    "cell.json",
    "status.json",
    "metrics.jsonl",
    "checkpoint.pt",
    "codes.npz",
    "traversal.png",
    "scores.json",
)


def weights(folder):
    return torch.load(folder / "checkpoint.pt", weights_only=True)["weights"]


def equal(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


@pytest.fixture
def refusing(monkeypatch):
    """Makes the disk refuse the files of a name with an error."""
    real = os.replace

    def set_up(number, name):
        def replace(source, target):
            if name and Path(target).name == name:
                raise OSError(number, os.strerror(number), str(source))
            real(source, target)

        monkeypatch.setattr("disbench.files.os.replace", replace)

    return set_up


def test_a_disk_that_is_full_at_any_file_of_a_seed_costs_nothing_but_the_time(tiny_plan, tmp_path, refusing):
    """One after the other; each start comes as far as the next file."""
    setting, cells = tiny_plan(range(1))
    options = plan.Options(data_dir=tmp_path / "data", retry_failed=True)
    whole, run = (store.open_run(tmp_path / name) for name in ("whole", "r"))
    assert run_group(whole, cells, setting, options) == ["done"]
    folder = run / cells[0].folder
    for name in FILES:
        refusing(errno.ENOSPC, name)
        assert run_group(run, cells, setting, options) == ["full"], name
        assert not (folder / name).exists() or name == "status.json"
        assert not [path for path in folder.iterdir() if path.name.startswith(".") and path.name != ".lock"]
        if name != "status.json":
            assert Status.read(folder).state == "failed"
            assert f"the disk that holds {folder} is full" in Status.read(folder).why
    refusing(errno.ENOSPC, "")
    assert run_group(run, cells, setting, options) == ["done"]
    assert equal(weights(folder), weights(whole / cells[0].folder))
    assert {path.name for path in folder.iterdir()} == {p.name for p in (whole / cells[0].folder).iterdir()}


@dataclass(frozen=True)
class Stopping(plan.Options):
    """Stops after the first step."""

    run: Path = Path()

    def asked_to_stop(self):
        return any(Status.read(path).phase == "training" for path in self.run.glob("*/seed-*"))


def test_a_state_that_the_disk_refuses_is_told_and_a_moved_run_goes_on(tiny_plan, tmp_path, refusing):
    setting, cells = tiny_plan(range(1))
    options = plan.Options(data_dir=tmp_path / "data", retry_failed=True)
    whole, run = (store.open_run(tmp_path / name) for name in ("whole", "r"))
    assert run_group(whole, cells, setting, options) == ["done"]
    stopping = Stopping(data_dir=tmp_path / "data", retry_failed=True, run=run)
    refusing(errno.EDQUOT, "state.pt")
    assert run_group(run, cells, setting, stopping) == ["full"]
    refusing(errno.EDQUOT, "")
    assert run_group(run, cells, setting, stopping) == ["stopped"]
    assert (run / cells[0].folder / "state.pt").exists()
    moved = tmp_path / "elsewhere" / "of another name"
    moved.parent.mkdir()
    shutil.move(run, moved)
    # a clock that was set back leaves files of the future
    for path in moved.rglob("*"):
        os.utime(path, (4e9, 4e9))
    assert run_group(moved, cells, setting, options) == ["done"]
    assert equal(weights(moved / cells[0].folder), weights(whole / cells[0].folder))


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        (["leaderboard", "RUN", "--out", "TMP/x.csv"], "x.csv"),
        (["table", "ibgan", "--out", "TMP/t.md"], "t.md"),
        (["report", "RUN"], "report.html"),
        (["leaderboard", "RUN", "--keep", "x", "--results", "TMP/results"], "scores.csv"),
        (["rescore", "RUN", "--jobs", "1"], "scores.json"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_a_file_that_cannot_be_written_is_named(disbench, quick_run, tmp_path, refusing, arguments, name):
    """And not the temporary one."""
    refusing(errno.EROFS, name)
    for path in quick_run.glob("*/seed-*/scores.json") if arguments[0] == "rescore" else ():
        path.unlink()
    given = [word.replace("RUN", str(quick_run)).replace("TMP", str(tmp_path)) for word in arguments]
    code, _, err = disbench(*given)
    assert code == 2, err
    sentence = err.strip().splitlines()[-1]
    assert f"{name}: Read-only file system; give a folder that you may write to." in sentence
    assert f".{name}." not in sentence


@pytest.mark.parametrize(
    ("number", "advice"),
    [
        (errno.EROFS, "give a folder that you may write to"),
        (errno.EIO, "look whether the disk is sound"),
        (errno.EMFILE, "allow more open files, `ulimit -n`"),
        (errno.EFBIG, "allow larger files, `ulimit -f`"),
        (errno.EDQUOT, "free some space"),
    ],
)
def test_a_run_that_cannot_be_written_is_shown(disbench, quick_run, tmp_path, refusing, number, advice):
    """What nobody asked for is left out, and that is said; what was asked for is refused."""
    refusing(number, "leaderboard.csv")
    code, out, err = disbench("leaderboard", quick_run)
    assert (code, err) == (0, "")
    assert "factor_vae" in out
    assert "not written:" in out
    assert advice in " ".join(out.split())
    refusing(number, "x.csv")
    code, _, err = disbench("leaderboard", quick_run, "--out", tmp_path / "x.csv")
    assert code == 2
    assert advice in err


def test_an_error_that_is_no_refusal_keeps_its_traceback(disbench, quick_run, refusing):
    refusing(errno.ENOENT, "leaderboard.csv")
    with pytest.raises(FileNotFoundError):
        disbench("leaderboard", quick_run)


def test_a_machine_without_shared_memory_is_told_what_to_do(disbench, quick_run, tmp_path, monkeypatch):
    """As without /dev/shm, where the semaphores of processes are."""

    def refuse(*_, **__):
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(workers, "ProcessPoolExecutor", refuse)
    for arguments in (
        ["run", "--methods", "betavae", "--seeds", 2, *QUICK, "--jobs", 2, "--out", tmp_path / "r"],
        ["rescore", quick_run, "--metrics", "beta_vae:higgins2017", "--jobs", 2],
    ):
        code, _, err = disbench(*arguments)
        assert code == 2
        (sentence,) = err.strip().splitlines()
        assert "further processes cannot be started: Read-only file system; give them shared" in sentence
        assert "fewer --jobs" in sentence


def test_processes_for_which_there_are_no_files_left_are_told(disbench, tmp_path, monkeypatch):
    class Full:
        def submit(self, *_):
            raise OSError(errno.EMFILE, "Too many open files")

        def shutdown(self, **_):
            pass

    monkeypatch.setattr(workers, "ProcessPoolExecutor", lambda **_: Full())
    code, _, err = disbench(
        *("run", "--methods", "betavae", "--seeds", 2, *QUICK, "--jobs", 2, "--out", tmp_path / "r")
    )
    assert code == 2
    assert "further processes cannot be started: Too many open files" in err


@pytest.mark.parametrize("command", ["run", "score"])
def test_no_folder_for_temporary_files(disbench, home, tmp_path, monkeypatch, command):
    """All that there are, the current one included, are full or may not be written."""
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setattr(tempfile, "_candidate_tempdir_list", lambda: ["/nowhere"])
    arguments = {
        "run": ["run", "--methods", "betavae", *QUICK, "--out", tmp_path / "r"],
        "score": ["score", home / "traced.pt", "--dataset", home / "grid.npz"],
    }
    code, _, err = disbench(*arguments[command])
    assert code == 2
    (sentence,) = err.strip().splitlines()
    assert "no usable temporary directory found in ['/nowhere']; free some space" in sentence
    assert "TMPDIR" in sentence
    assert not (tmp_path / "r").exists()


def test_ctrl_c_while_the_program_is_loaded_is_a_sentence(monkeypatch, capsys):
    """Its modules take a second."""

    class Interrupting:
        def find_spec(self, name, path=None, target=None):
            if name == "disbench.benchmark.cli.main":
                raise KeyboardInterrupt

    monkeypatch.delitem(sys.modules, "disbench.benchmark.cli.main")
    monkeypatch.setattr(sys, "meta_path", [Interrupting(), *sys.meta_path])
    with pytest.raises(SystemExit) as end:
        start.main()
    assert end.value.code == 130
    assert capsys.readouterr().err == "disbench: interrupted\n"


@pytest.fixture
def no_thread(monkeypatch):
    """The n-th thread that a process starts is refused, as `ulimit -u` does; so are all after it."""

    def set_up(started):
        left, real = [started], threading.Thread.start

        def begin(thread):
            if not left[0]:
                raise RuntimeError("can't start new thread")
            left[0] -= 1
            real(thread)

        monkeypatch.setattr(threading.Thread, "start", begin)

    return set_up


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_a_program_that_may_start_no_thread_says_so(disbench, tmp_path, no_thread, jobs):
    no_thread(0)
    words = ("--methods", "betavae", "--out", tmp_path / "r", "--jobs", jobs, *QUICK)
    code, _, err = disbench("run", *words)
    assert code == 2
    *_, sentence = err.strip().splitlines()
    assert sentence.startswith("disbench: the system starts no further threads or processes")
    assert "give fewer --jobs" in sentence
    assert not list((tmp_path / "r").rglob("checkpoint.pt"))


def test_a_seed_whose_process_may_start_no_thread_fails_alone(tiny_plan, tmp_path, no_thread, monkeypatch):
    setting, cells = tiny_plan(range(1))
    no_thread(0)
    options = plan.Options(data_dir=tmp_path / "data", retry_failed=True)
    folder = tmp_path / "r" / cells[0].folder
    assert run_group(tmp_path / "r", cells, setting, options) == ["failed"]
    assert "the system starts no further threads" in str(Status.read(folder).error)
    monkeypatch.undo()
    assert run_group(tmp_path / "r", cells, setting, options) == ["done"]


IDLE = """
import os, time
from disbench.benchmark.sweep import workers
pool = workers.pool(1)
print(pool.submit(os.getpid).result(), flush=True)
time.sleep(600)
"""


def test_a_process_that_waits_for_work_ends_with_a_killed_program():
    with subprocess.Popen([sys.executable, "-c", IDLE], stdout=subprocess.PIPE, text=True) as program:
        worker = int(program.stdout.readline())
        assert alive(worker)
        program.kill()
    until = time.monotonic() + 30
    while alive(worker) and time.monotonic() < until:
        time.sleep(0.1)
    assert not alive(worker)


def alive(process):
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
