"""What breaks one seed leaves the others alone: it fails with its reason, and can be tried again."""

import contextlib
import dataclasses
import json
import os
import signal
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from joblib.externals.loky.backend.reduction import cloudpickle

from disbench import metrics
from disbench.benchmark import protocols
from disbench.benchmark.runs import store
from disbench.benchmark.runs.store import Status
from disbench.benchmark.scoring import measuring
from disbench.benchmark.sweep import plan, workers
from disbench.benchmark.sweep.cell import run_group
from disbench.benchmark.training import strategies
from disbench.errors import UsageError
from disbench.files import read_json
from disbench.metrics import registry

cloudpickle.register_pickle_by_value(sys.modules[__name__])  # a worker cannot import a test

QUICK = ["--protocol", "smoke", "--jobs", "1", "--set", "betavae.steps=2", "--set", "betavae.batch=4"]


def test_a_data_set_that_is_lost_between_planning_and_training(disbench, tmp_path, tiny_grid, monkeypatch):
    """The first of two data sets disappears when the run's folder is made."""
    lost, kept = (tiny_grid(tmp_path / name) for name in ("lost.npz", "kept.npz"))
    whole = (tmp_path / "lost.npz").read_bytes()
    open_run = store.open_run

    def lose(path):
        os.unlink(lost)
        return open_run(path)

    arguments = ["run", "--methods", "betavae", "--dataset", lost, "--dataset", kept, *QUICK]
    arguments += ["--out", tmp_path / "r", "--data-dir", tmp_path / "data"]
    with monkeypatch.context() as patch:
        patch.setattr(store, "open_run", lose)
        code, out, _ = disbench(*arguments)
    assert code == 1
    states = {
        os.path.basename(cell.dataset.name): Status.read(folder)
        for cell, folder in store.cells(tmp_path / "r")
    }
    assert states["kept.npz"].state == "done"
    assert states["lost.npz"].state == "failed"
    assert "lost.npz" in states["lost.npz"].error.message
    assert "1 seed failed; --retry-failed" in out
    (tmp_path / "lost.npz").write_bytes(whole)
    assert disbench(*arguments)[0] == 1
    assert disbench(*arguments, "--retry-failed")[0] == 0


@dataclass(frozen=True)
class Deadly(plan.Options):
    """The process that trains the victim gets SIGKILL at its first step, as from a kernel out of memory."""

    victim: str = ""

    def asked_to_stop(self):
        status = read_json(Path(self.victim) / "status.json") or {}
        if status.get("phase") == "training" and status.get("process") == os.getpid():
            os.kill(os.getpid(), signal.SIGKILL)
        return super().asked_to_stop()


@pytest.fixture
def planned(tiny_plan):
    return tiny_plan(range(3))


def test_a_seed_whose_process_dies_each_time_fails_alone(planned, tmp_path):
    setting, cells = planned
    run = store.open_run(tmp_path / "r")
    deadly = Deadly(data_dir=tmp_path / "data", victim=str(run / cells[0].folder))
    outcomes = list(workers.sweep(run, cells, setting, deadly, 2))
    assert len(outcomes) == 3
    assert dict(outcomes) == {cells[0]: "failed", cells[1]: "done", cells[2]: "done"}
    error = Status.read(run / cells[0].folder).error
    assert error.type == "WorkerDied"
    assert "killed 2 times" in error.message
    options = plan.Options(data_dir=tmp_path / "data")
    assert dict(workers.sweep(run, cells, setting, options, 2))[cells[0]] == "failed"
    again = plan.Options(data_dir=tmp_path / "data", retry_failed=True)
    assert set(dict(workers.sweep(run, cells, setting, again, 2)).values()) == {"done"}


def test_a_method_that_ends_the_program_fails_alone(planned, tmp_path, monkeypatch):
    setting, cells = planned
    compute = strategies.Single.compute

    def leaving(made, *arguments):
        if made.seeds == (1,):
            sys.exit("enough")
        return compute(made, *arguments)

    monkeypatch.setattr(strategies.Single, "compute", leaving)
    run = store.open_run(tmp_path / "r")
    options = plan.Options(data_dir=tmp_path / "data")
    found = dict(workers.sweep(run, cells, setting, options, jobs=1))
    assert [found[cell] for cell in cells] == ["done", "failed", "done"]
    assert "called sys.exit(enough)" in Status.read(run / cells[1].folder).why


def test_a_metric_that_ends_the_program_is_without_a_score(planned, tmp_path, monkeypatch):
    setting, cells = planned
    monkeypatch.setattr(measuring.Material, "measure", lambda *of: sys.exit(3))
    run = store.open_run(tmp_path / "r")
    assert run_group(run, cells[:1], setting, plan.Options(data_dir=tmp_path / "data")) == ["done"]
    (entry,) = store.scores(run / cells[0].folder)
    assert entry.score is None
    assert "3" in entry.reason


def test_seeds_of_another_process_have_an_exit_code_of_their_own(disbench, tmp_path, tiny_grid):
    grid = tiny_grid(tmp_path / "grid.npz")
    arguments = ("run", "--methods", "betavae", "--protocol", "smoke", "--dataset", grid, "--seeds", 2)
    arguments += (
        "--jobs",
        1,
        "--out",
        tmp_path / "r",
        "--set",
        "betavae.steps=3",
        "--set",
        "betavae.batch=4",
    )
    assert disbench(*arguments)[0] == 0
    (folder,) = (tmp_path / "r").glob("*/seed-1")
    for name in ("status.json", "scores.json", "checkpoint.pt"):
        (folder / name).unlink()
    with store.hold(folder) as ours:
        assert ours
        code, out, _ = disbench(*arguments)
    assert code == 69
    assert "1 seed in the hands of another disbench process" in out
    assert disbench(*arguments)[0] == 0


@pytest.mark.parametrize(
    ("state", "whole", "outcome", "code"),
    [
        ("done", True, "done", 0),
        ("done", False, "busy", 69),
        ("failed", False, "failed", 1),
        ("running", False, "busy", 69),
    ],
)
def test_a_seed_that_another_process_ended_meanwhile_is_not_called_busy(
    disbench, quick_run, monkeypatch, state, whole, outcome, code
):
    """Seed 1 was another's when its turn came; when all is done, it is as the other left its files."""
    (folder,) = quick_run.glob("*/seed-1")
    held, lock = [], store.hold
    names = ("status.json", "checkpoint.pt", "scores.json")
    made = {name: (folder / name).read_bytes() for name in names[: 3 if whole else 2]}
    for name in names:
        (folder / name).unlink()
    again = ("run", "--methods", "betavae", "--seeds", 2, "--protocol", "smoke", "--jobs", 1)
    again += ("--set", "betavae.steps=6", "--set", "betavae.batch=4")

    @contextlib.contextmanager
    def hold(path):
        if path != folder:
            with lock(path) as ours:
                yield ours
            return
        held.append(path)
        for name, content in made.items():
            (folder / name).write_bytes(content)
        dataclasses.replace(Status.read(folder), state=state).write(folder)
        yield False

    monkeypatch.setattr(store, "hold", hold)
    found, out, err = disbench(*again, "--out", quick_run, "--json")
    assert held, out + err
    assert found == code, out + err
    assert json.loads(out)["details"]["outcomes"][outcome] == (2 if outcome == "done" else 1)


def test_a_worker_whose_parent_is_gone_stops(planned, tmp_path):
    """Its files are as those of any stopped seed."""
    setting, cells = planned
    run = store.open_run(tmp_path / "r")
    orphan = plan.Options(data_dir=tmp_path / "data", parent=os.getppid() + 1)
    assert run_group(run, cells[:1], setting, orphan) == ["stopped"]
    of_a_living_one = plan.Options(data_dir=tmp_path / "data", parent=os.getppid())
    assert run_group(run, cells[:1], setting, of_a_living_one) == ["done"]


def test_a_seed_stopped_while_it_is_scored_is_scored_when_run_again(planned, tmp_path):
    """The stop comes with the first metric: trained, not scored; the training is not done again."""
    setting, cells = planned
    run = store.open_run(tmp_path / "r")
    folder = run / cells[0].folder

    @dataclass(frozen=True)
    class Stopping(plan.Options):
        def asked_to_stop(self):
            return Status.read(folder).phase == "scoring"

    options = Stopping(data_dir=tmp_path / "data")
    assert run_group(run, cells[:1], setting, options) == ["stopped"]
    assert Status.read(folder).state == "stopped"
    assert not (folder / "scores.json").exists()
    trained = (folder / "checkpoint.pt").read_bytes(), (folder / "checkpoint.pt").stat().st_mtime_ns
    assert run_group(run, cells[:1], setting, plan.Options(data_dir=tmp_path / "data")) == ["done"]
    assert ((folder / "checkpoint.pt").read_bytes(), (folder / "checkpoint.pt").stat().st_mtime_ns) == trained


def test_a_run_goes_on_in_the_precision_that_it_began_with(planned, tmp_path):
    setting, cells = planned
    run = store.open_run(tmp_path / "r")
    run_group(run, cells[:1], setting, plan.Options(data_dir=tmp_path / "data"))
    plan.check_precision(run, cells, "float32")
    with pytest.raises(UsageError, match="was started with precision float32, but bf16 was given; give"):
        plan.check_precision(run, cells[1:], "bf16")  # another seed of that method


def test_a_damaged_line_of_a_journal_is_named(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 1}\n{"step": 2}\n{"st')
    assert [line["step"] for line in store.read_lines(path)] == [1, 2]
    path.write_text('{"step": 1}\n{"st\n{"step": 3}\n')
    with pytest.raises(UsageError, match=r"line 2 of .*metrics\.jsonl is damaged; delete the folder"):
        store.read_lines(path)


def test_a_metric_that_fails_is_a_reason_in_the_scores_of_its_seed(quick_run, monkeypatch, disbench):
    """The seed is done, its other scores stand, and the metric is computed again on demand."""
    protocol = protocols.get("smoke")
    cells = [cell for cell, folder in store.cells(quick_run)]
    before = {cell: store.scores(quick_run / cell.folder) for cell in cells}
    for cell in cells:
        (quick_run / cell.folder / "scores.json").unlink()

    def fails(*arguments, **settings):
        raise FloatingPointError("underflow")

    with monkeypatch.context() as patch:
        patch.setitem(registry._METRICS, "beta_vae", dataclasses.replace(metrics.get("beta_vae"), fn=fails))
        assert run_group(quick_run, cells[:1], protocol, plan.Options()) == ["done"]
    folder = quick_run / cells[0].folder
    failed, stands = store.scores(folder)
    assert failed.reason == "beta_vae failed: FloatingPointError: underflow"
    assert "in fails" in failed.traceback
    assert stands.score == before[cells[0]][1].score
    # a sweep that is started again leaves it alone, and computes it if it is asked to
    assert run_group(quick_run, cells[:1], protocol, plan.Options()) == ["done"]
    assert store.scores(folder)[0].score is None
    assert run_group(quick_run, cells[:1], protocol, plan.Options(retry_failed=True)) == ["done"]
    assert [entry.score for entry in store.scores(folder)] == [entry.score for entry in before[cells[0]]]


@pytest.mark.parametrize("labelled", [True, False])
def test_a_run_that_failed_as_a_whole_stands_in_the_rows_of_what_it_was_asked(
    disbench, tmp_path, tiny_grid, labelled
):
    """By --metrics mig it stood in the rows of the protocol's metrics, and so did one on images alone."""
    data = tiny_grid(tmp_path / "grid.npz")
    if not labelled:
        np.savez(data, images=np.load(data)["images"])
    asked = ["--metrics", "mig"] if labelled else []
    changes = [
        word for change in ("steps=5", "batch=4", "lr=1e30") for word in ("--set", f"betavae.{change}")
    ]
    places = ["--dataset", data, "--data-dir", tmp_path / "data", "--out", tmp_path / "r"]
    sweep = ["--protocol", "smoke", "--jobs", "1", "--seeds", "2", *changes]
    code, out, err = disbench("run", "--methods", "betavae", *sweep, *places, *asked)
    assert code == 1, (out, err)
    board = pd.read_csv(tmp_path / "r" / "leaderboard.csv")
    assert set(board["failed"]) == {2}
    assert set(board["metric"]) == ({"mig"} if labelled else set(protocols.LABEL_FREE))
