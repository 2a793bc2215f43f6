"""Curves for TensorBoard: each logged value once, also after a sweep was stopped, with the real library."""

import sys
from pathlib import Path

import pytest

import disbench
from disbench.benchmark.runs import store
from disbench.benchmark.sweep import tensorboard
from disbench.errors import UsageError

QUICK = {"protocol": "smoke", "jobs": 1, "settings": {"betavae": {"steps": 4, "batch": 4}}}


@pytest.fixture
def accumulator():
    module = "tensorboard.backend.event_processing.event_accumulator"
    return pytest.importorskip(module).EventAccumulator


def test_a_line_has_a_tag_for_each_of_its_numbers():
    line = {"step": 3, "terms": {"loss.kl": 1}, "monitor": {"kl": [0.5, None], "d": None, "u": 2.0}}
    assert tensorboard.scalars(line) == {"terms/loss.kl": 1.0, "monitor/kl/0": 0.5, "monitor/u": 2.0}


def test_without_the_library_it_is_a_sentence_before_anything_starts(monkeypatch, tmp_path):
    monkeypatch.setattr(tensorboard.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r'pip install "disbench\[tensorboard\]"'):
        disbench.run("betavae", out=tmp_path / "r", tensorboard=True, **QUICK)
    assert not (tmp_path / "r").exists()


class FakeCell:
    folder = Path("betavae-1/seed-0")


def points(accumulator, folder):
    """(step, value) by tag, over all event files."""
    read = accumulator(str(folder), size_guidance={"scalars": 0})
    read.Reload()
    return {tag: [(e.step, e.value) for e in read.Scalars(tag)] for tag in read.Tags()["scalars"]}


def test_each_step_is_written_once_whoever_goes_on(accumulator, tmp_path):
    cell, folder = FakeCell(), tmp_path / FakeCell.folder
    folder.mkdir(parents=True)
    journal = store.Journal(folder / "metrics.jsonl", 0)
    first = tensorboard.Mirror(tmp_path, [cell])
    for step in (1, 2, 3):
        journal.append({"step": step, "terms": {"loss": step / 2}, "monitor": {"kl": [step, 0.0]}})
        first.look()
        first.look()
    first.close()
    # it goes on from step 2, whose later lines are written again
    journal = store.Journal(folder / "metrics.jsonl", 2)
    second = tensorboard.Mirror(tmp_path, [cell])
    for step in (3, 4):
        journal.append({"step": step, "terms": {"loss": step / 2}, "monitor": {"kl": [step, 0.0]}})
        second.look()
    second.close()
    found = points(accumulator, tmp_path / "tensorboard" / cell.folder)
    assert found == {
        "terms/loss": [(1, 0.5), (2, 1.0), (3, 1.5), (4, 2.0)],
        "monitor/kl/0": [(1, 1.0), (2, 2.0), (3, 3.0), (4, 4.0)],
        "monitor/kl/1": [(1, 0.0), (2, 0.0), (3, 0.0), (4, 0.0)],
    }


def test_a_run_has_the_curves_of_its_journals_and_a_second_call_adds_none(accumulator, tmp_path):
    out = tmp_path / "r"
    for _ in range(2):
        run = disbench.run("betavae", out=out, tensorboard=True, **QUICK)
    (folder,) = (out / "tensorboard").glob("*/seed-0")
    found = points(accumulator, folder)
    lines = store.read_lines(next(out.glob("betavae-*/seed-0/metrics.jsonl")))
    assert [step for step, _ in found["terms/loss.reconstruction"]] == [line["step"] for line in lines]
    values = [line["terms"]["loss.reconstruction"] for line in lines]
    assert [value for _, value in found["terms/loss.reconstruction"]] == pytest.approx(values)
    # a run sees no seed among the event files
    assert len(run.status()) == 1
    assert "tensorflow" not in sys.modules
