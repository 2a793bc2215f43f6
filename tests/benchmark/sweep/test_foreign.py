"""Code of a plug-in may end its process, hang, print without end or raise anything: its seed fails alone."""

import os
import re

import pytest

from disbench import plugins
from disbench.benchmark.runs import store
from disbench.benchmark.runs.store import Status
from disbench.benchmark.sweep import output, plan, workers
from disbench.benchmark.sweep.cell import failure, run_group
from disbench.benchmark.sweep.workers import Watch

SOURCE = """
import os, sys, time
from disbench.models import betavae

class Odd(betavae.BetaVAE):
    def penalty(self, z, mu, logvar, step):
        terms = super().penalty(z, mu, logvar, step)
        if step == 1:
            {fault}
        return terms

METHOD = Odd
"""
# name of the method: what it does at its second step, and what is said of it
FAULTS = {
    "leaves": ("sys.exit(3)", r"called sys\.exit\(3\)"),
    "aborts": ("os.abort()", r"its process was killed 1 times, with .*SIGABRT"),
    "hangs": ("time.sleep(1e6)", "took no step and finished no metric for 6 seconds"),
    "interrupts": ("raise KeyboardInterrupt", "^$"),
    "walks": ("os.chdir('/')", None),
}


@pytest.fixture
def odd(tmp_path, monkeypatch):
    """The options that load a plug-in of each fault."""
    before = list(plugins._OFFERS)
    monkeypatch.setattr(plugins, "_FILES", dict(plugins._FILES))
    monkeypatch.setattr(plugins, "_OFFERS", before)
    for name, (fault, _) in FAULTS.items():
        path = tmp_path / "plugins" / f"{name}.py"
        path.parent.mkdir(exist_ok=True)
        path.write_text(SOURCE.format(fault=fault))
        plugins.load(path)
    return list(FAULTS)


def test_what_a_method_does_to_its_process_fails_its_seed_alone(odd, tiny_plan, tmp_path, monkeypatch):
    """With one group at a time; several are told apart in the same loop."""
    setting, (cell,) = tiny_plan(range(1))
    data = [cell.dataset.load(tmp_path / "data")]
    methods = [*odd, "betavae"]
    chosen = plan.entries(setting, methods, {name: {"steps": "3", "batch": "4"} for name in methods})
    cells = plan.plan(setting, chosen, [0], data)
    # each further process takes seconds to start
    monkeypatch.setattr(workers, "MOST_DEATHS", 1)
    monkeypatch.setattr(workers, "LOOK_EVERY", 0.1)
    run = store.open_run(tmp_path / "r")
    options = plan.Options(data_dir=tmp_path / "data", patience=6.0)
    found = {cell.method: outcome for cell, outcome in workers.sweep(run, cells, setting, options, jobs=1)}
    assert found == {**dict.fromkeys(odd, "failed"), "walks": "done", "betavae": "done"}
    for cell in cells:
        (_, words), status = FAULTS.get(cell.method, ("", None)), Status.read(run / cell.folder)
        if words:
            assert status.state == "failed"
            assert re.search(words, status.why), status
    (printed,) = run.glob("*/seed-*/output.txt")
    assert "Aborted" in printed.read_text()
    assert printed.parent.parent.name.startswith("aborts-")


def test_a_plug_in_that_is_edited_meanwhile(odd, tiny_plan, tmp_path):
    """A process that has it goes on with what was planned; a new one would train other code by that name."""
    setting, (cell,) = tiny_plan(range(1))
    data = [cell.dataset.load(tmp_path / "data")]
    chosen = plan.entries(setting, ["walks"], {"walks": {"steps": "1", "batch": "4"}})
    cells = plan.plan(setting, chosen, [0, 1], data)
    path = tmp_path / "plugins" / "walks.py"
    run, options = store.open_run(tmp_path / "r"), plan.Options(data_dir=tmp_path / "data")
    path.write_text(path.read_text() + "# edited")
    assert run_group(run, cells[:1], setting, options) == ["done"]
    # as in a new process
    del plugins._FILES[path]
    plugins._OFFERS[:] = [offer for offer in plugins._OFFERS if offer.name != "walks"]
    assert run_group(run, cells[1:], setting, options) == ["failed"]
    why = Status.read(run / cells[1].folder).why
    assert re.match(r"the plug-in of walks changed after the run began: it was walks\.py, sha256 ", why)


def test_a_group_is_watched_by_its_status_files_and_what_it_prints(tmp_path, monkeypatch):
    """Time in which nobody looked, as of a stopped process, counts as a few looks."""
    moments = iter(range(0, 10_000, 100))
    monkeypatch.setattr(workers.time, "monotonic", lambda: next(moments))
    monkeypatch.setattr(workers, "LOOK_EVERY", 1.0)
    monkeypatch.setattr(workers, "START", 30.0)
    folders = [tmp_path / "a", tmp_path / "b"]
    for folder in folders:
        folder.mkdir()
    watch = Watch(folders, 10.0)
    # 4 seconds each: 7 looks until the time that a process has to start is over, then 2
    assert [watch.look() for _ in range(7)] == [""] * 7
    Status("running", step=1).write(folders[1])
    assert [watch.look() for _ in range(3)] == [""] * 3
    Status("running", step=2).write(folders[1])
    assert [watch.look() for _ in range(3)] == [""] * 3
    assert watch.look().startswith("it took no step and finished no metric for 10 seconds, ")
    assert Watch(folders, 0.0).look() == ""
    slow = Watch(folders, 10.0)
    assert [slow.look() for _ in range(7)] == [""] * 7
    assert "took no step" in slow.look()
    (folders[0] / "output.txt").write_bytes(b"x" * 200)
    monkeypatch.setattr(output, "MOST", 199)
    assert "it printed more than 199 bytes; see" in Watch(folders, 10.0).look()


def test_what_is_printed_goes_to_a_file_that_has_an_end(tmp_path, monkeypatch, capfd):
    monkeypatch.setattr(output, "KEPT", 10)
    with output.captured(tmp_path):
        os.write(1, b"seen by nobody\n")
        os.write(2, b"nor this")
    os.write(1, b"after\n")
    assert capfd.readouterr() == ("after\n", "")
    kept = (tmp_path / "output.txt").read_text()
    assert kept == "seen by no\n[13 bytes more were printed]\n"
    (tmp_path / "output.txt").unlink()
    with output.captured(tmp_path):
        pass
    assert list(tmp_path.iterdir()) == []


class UnprintableError(Exception):
    def __str__(self):
        raise RuntimeError("no")


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (UnprintableError(), "UnprintableError, which cannot be printed"),
        (RuntimeError("x" * 10**6), "x" * 4000),
        (RuntimeError("a\ud800\x1b[2J\nb"), "a\\ud800\\x1b[2J\nb"),
    ],
    ids=["unprintable", "long", "hostile"],
)
def test_an_error_of_any_kind_is_written_and_read_back(error, message, tmp_path):
    Status("failed", error=failure(error)).write(tmp_path)
    assert Status.load(tmp_path).why == message
    assert (tmp_path / "status.json").stat().st_size < 60_000
