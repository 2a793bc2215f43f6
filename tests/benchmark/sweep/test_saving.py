import threading
import time

import pytest
import torch

from disbench.benchmark.runs.store import Status
from disbench.benchmark.sweep import cell, saving
from disbench.benchmark.sweep.cell import Report, Seldom, StatusFile, load_state
from disbench.benchmark.training.trainer import State


def state(value):
    return State(3, {"w": torch.full((2,), value)}, [])


def test_training_goes_on_while_states_are_written_and_less_often_the_longer_that_takes(
    tmp_path, monkeypatch
):
    write, go = saving.save_tensors, threading.Event()
    monkeypatch.setattr(saving, "save_tensors", lambda *of: go.wait(5) and write(*of))
    (tmp_path / "metrics.jsonl").touch()
    paths = [tmp_path / "a.pt", tmp_path / "b.pt"]
    saver = saving.Saver(paths, every=0.0)
    assert saver.due()
    saver.save({0: state(1.0), 1: state(2.0)})
    # one set at a time
    assert not saver.due()
    time.sleep(0.02)
    go.set()
    saver.wait()
    assert [load_state(path).weights["w"].tolist() for path in paths] == [[1, 1], [2, 2]]
    assert saver.took >= 0.02
    assert not saver.due()
    saver.begun -= 20 * saver.took
    assert saver.due()


def test_a_state_that_cannot_be_written_ends_the_training_at_the_next_one(tmp_path):
    (tmp_path / "file").write_text("")
    saver = saving.Saver([tmp_path / "file" / "state.pt"], every=0.0)
    saver.save({0: state(1.0)})
    with pytest.raises(OSError, match="file"):
        saver.save({0: state(1.0)})
    # told once
    saver.wait()


def test_a_group_writes_one_status_a_second_and_all_its_seeds_have_its_progress(tmp_path, monkeypatch):
    written = []
    write = Status.write
    monkeypatch.setattr(Status, "write", lambda s, folder: written.append(folder.name) or write(s, folder))
    folders = [tmp_path / f"seed-{i}" for i in range(3)]
    report = Report([StatusFile(folder, steps=9) for folder in folders])
    report.update(0)
    assert sorted(written) == ["seed-0", "seed-1", "seed-2"]
    report.update(5)
    assert len(written) == 3
    report.written -= cell.WRITE_EVERY
    report.update(6)
    assert written[3:] == ["seed-0"]
    found = [Status.read(folder) for folder in folders]
    assert [(s.state, s.phase, s.step, s.steps) for s in found] == [("running", "training", 6, 9)] * 3
    assert found[1].leader == "seed-0"
    report.update(8)
    report.end()
    for file in report.files:
        file.finish("stopped")
    assert [Status.read(folder).step for folder in folders] == [8, 8, 8]


@pytest.mark.parametrize("leader", ["../seed-0", "/seed-0", "seed-0/..", "seed-x"])
def test_a_leader_is_a_seed_beside_it(tmp_path, leader):
    Status("running", "training", 1, step=5).write(tmp_path / "seed-0")
    Status("running", "training", 1, step=2, leader=leader).write(tmp_path / "seed-1")
    assert Status.read(tmp_path / "seed-1") == Status()


def test_a_leader_that_ended_leads_no_more(tmp_path):
    Status("failed", step=5).write(tmp_path / "seed-0")
    Status("running", "training", 1, step=2, leader="seed-0").write(tmp_path / "seed-1")
    assert Status.read(tmp_path / "seed-1").step == 2


def test_the_disk_is_seldom_asked(monkeypatch):
    asked = []
    seldom = Seldom(lambda: bool(asked.append(1)) or len(asked) > 1)
    assert [seldom() for _ in range(5)] == [False] * 5
    assert len(asked) == 1
    seldom.asked -= cell.ASK_EVERY
    assert seldom()
