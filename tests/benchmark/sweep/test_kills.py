"""A sweep that is killed at any moment and started again ends as one that was left alone, bit for bit."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from disbench.benchmark.runs import store
from disbench.benchmark.runs.store import Status

KILLS = 20


@pytest.fixture(scope="module")
def runs(tmp_path_factory, tiny_grid):
    """The folder of killed_sweep.py, and what its processes were doing at each kill."""
    folder = tmp_path_factory.mktemp("kills")
    tiny_grid(folder / "grid.npz")
    program = Path(__file__).with_name("killed_sweep.py")
    command = [sys.executable, str(program), str(folder), str(KILLS), "0"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=900, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return folder, ended.stdout.splitlines()


def test_the_kills_met_training_saving_and_what_comes_after(runs):
    _, moments = runs
    assert len(moments) == KILLS
    for word in ("step", "state.pt", "checkpoint.pt", "codes.npz", "traversal", "scores.json"):
        assert any(word in moment for moment in moments), moments


@pytest.mark.parametrize("name", ["killed", "pair"])
def test_the_results_are_those_of_a_sweep_left_alone(runs, name):
    folder, _ = runs
    cells = store.cells(folder / "whole")
    assert len(cells) == 4
    assert store.cells(folder / name) == [(cell, folder / name / cell.folder) for cell, _ in cells]
    for cell, whole in cells:
        other = folder / name / cell.folder
        a, b = (torch.load(path / "checkpoint.pt", weights_only=True) for path in (whole, other))
        assert a["weights"].keys() == b["weights"].keys()
        assert all(torch.equal(a["weights"][key], b["weights"][key]) for key in a["weights"])
        lines = store.read_lines(whole / "metrics.jsonl")
        assert len(lines) == 100
        assert store.read_lines(other / "metrics.jsonl") == lines
        assert scores(other) == scores(whole)
        assert Status.read(other).state == "done"
        for file in ("traversal.png", "traversal.gif", "codes.npz"):
            assert (whole / file).read_bytes() == (other / file).read_bytes()


def scores(folder):
    entries = json.loads((folder / "scores.json").read_text("utf-8"))
    assert entries
    for entry in entries:
        assert 0 <= entry["score"] <= 1
        del entry["seconds"]
    return entries


@pytest.mark.parametrize("name", ["killed", "pair"])
def test_nothing_half_written_is_left_in_the_cells(runs, name):
    folder, _ = runs
    found, expected = (
        {p.relative_to(folder / r) for p in (folder / r).glob("*/*/*")} for r in (name, "whole")
    )
    assert found == expected


def test_two_sweeps_at_once_share_the_cells(runs):
    """Both train some, none is trained twice."""
    folder, _ = runs
    lines = [line.split() for line in (folder / "pair.log").read_text().splitlines()]
    trained = {}
    for at, (word, process, cell) in enumerate(lines):
        trained.setdefault(cell, []).append((word, process, at))
    begun = {process for word, process, _ in lines if word == "begin"}
    assert len(begun) == 2
    assert len(trained) == 4
    for events in trained.values():
        assert [word for word, *_ in events] == ["begin", "end"]
        assert len({process for _, process, _ in events}) == 1
