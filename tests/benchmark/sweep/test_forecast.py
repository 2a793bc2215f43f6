"""What is said before a sweep, and the limits that it is given."""

import json
import sys
import zipfile
from dataclasses import replace

import numpy as np
import pytest
import torch

from disbench.benchmark import protocols
from disbench.benchmark.datasets.reference import DataRef
from disbench.benchmark.runs import store
from disbench.benchmark.runs.store import Status
from disbench.benchmark.scoring import plans, scoring
from disbench.benchmark.sweep import forecast, plan
from disbench.errors import UsageError
from disbench.files import write_json

RUN = ["run", "--methods", "betavae", "--protocol", "smoke"]
QUICK = ["--set", "betavae.steps=6", "--set", "betavae.batch=4"]
ON_LINUX = pytest.mark.skipif(sys.platform != "linux", reason="memory is read from Linux' /proc")


def cells(*seeds, steps=6):
    about = DataRef("dsprites", 32, "0")
    return [store.Cell("betavae", "", "mini", {"steps": steps}, about, "smoke", seed) for seed in seeds]


def leave(run, cell, **status):
    write_json(run / cell.folder / "status.json", {"steps": 6, **status})


def test_the_cost_of_finished_seeds_by_hand(tmp_path):
    """(12 + 24) s / 2 of training for 6 steps, (3 + 1) s / 2 after it; the larger of the peaks."""
    a, b, c = cells(0, 1, 2)
    leave(tmp_path, a, state="done", training=12.0, seconds=15.0, peak_private_mb=300)
    leave(tmp_path, b, state="done", training=24.0, seconds=25.0, peak_private_mb=200)
    leave(tmp_path, c, state="running", training=1.0, seconds=99.0, peak_private_mb=900)
    cost = forecast.of_finished(tmp_path / a.folder.parent)
    assert cost == forecast.Cost(step=3.0, after=2.0, private=300 * 2**20, measured=False)
    assert forecast.of_finished(tmp_path / "nothing") is None


def test_the_seconds_that_are_left_by_hand(tmp_path):
    """A seed from the start: 6 steps of 3 s and 2 s; one saved at step 4: 2 steps; a trained one: 2 s."""
    done, fresh, saved, trained, failed = cells(0, 1, 2, 3, 4)
    leave(tmp_path, done, state="done", training=18.0, seconds=20.0)
    for cell, name in ((saved, "state.pt"), (trained, "checkpoint.pt")):
        leave(tmp_path, cell, state="stopped", step=4)
        (tmp_path / cell.folder / name).touch()
    leave(tmp_path, failed, state="failed")
    setting = protocols.get("smoke")
    scored = [{"metric": m.name, "preset": m.preset, "changed": m.settings} for m in setting.metrics]
    # the least file that is not cut short
    zipfile.ZipFile(tmp_path / done.folder / "checkpoint.pt", "w").close()
    write_json(tmp_path / done.folder / "scores.json", scored)
    all_ = [done, fresh, saved, trained, failed]
    found = forecast.estimate(tmp_path, all_, setting, plan.Options(), 1)
    assert [found.seconds[cell] for cell in all_] == [0, 20, 8, 2, 0]
    assert found.until_done(1, 1) == 30
    assert found.until_done(2, 1) == 20
    again = forecast.estimate(tmp_path, all_, setting, plan.Options(retry_failed=True), 1)
    assert again.seconds[failed] == 20


def of_gpu(*seeds, fits, gib=8):
    """Seconds of a step of 100, in a group of `fits` seeds that takes so many GiB of a GPU."""
    all_ = cells(*seeds)
    cost = forecast.Cost(100.0, 0.0, None, True, on_gpu=gib << 30, fits=fits)
    return forecast.Estimate({all_[0].training: cost}, dict.fromkeys(all_, 600.0))


def test_a_group_without_room_goes_on_in_parts_which_takes_as_much_longer():
    assert of_gpu(*range(8), fits=8).until_done(1, 8) == 600
    assert of_gpu(*range(8), fits=4).until_done(1, 8) == 1200
    assert of_gpu(*range(6), fits=4).until_done(1, 4) == 1200


def test_as_many_seeds_as_the_memory_of_a_gpu_has_room_for():
    """Of 8 GiB for 8 seeds each takes one."""
    found = of_gpu(*range(8), fits=8)
    assert [found.width_within(limit << 30, 8) for limit in (1, 3, 100)] == [1, 3, 8]
    with pytest.raises(UsageError, match=r"one seed needs about 1.0 GiB of the GPU, more than the 512 MiB"):
        found.width_within(1 << 29, 8)


def test_a_trial_that_finds_no_room_tries_half(monkeypatch):
    tried = []

    def measured(cell, protocol, options, data, device, fuse):
        tried.append(fuse)
        if fuse > 2:
            raise torch.OutOfMemoryError("no room")
        return fuse

    monkeypatch.setattr(forecast, "measured", measured)
    monkeypatch.setattr(DataRef, "load", lambda about, folder: None)
    assert forecast.trial(cells(0)[0], protocols.get("smoke"), plan.Options(), 9) == 2
    assert tried == [9, 5, 3, 2]


def test_a_dry_run_tells_of_every_method_and_writes_nothing(disbench, tmp_path):
    out = tmp_path / "r"
    code, text, err = disbench(
        *RUN[:2], "betavae,vae", *RUN[3:], "--seeds", 3, "--jobs", 2, "--out", out, "--dry-run"
    )
    assert code == 0, err
    assert not out.exists()
    lines = [
        [word.strip() for word in line.strip("│").split("│")] for line in text.splitlines() if "│" in line
    ]
    assert [line[:5] for line in lines] == [
        ["betavae", "dsprites-32", "mini", "3", "0"],
        ["vae", "dsprites-32", "mini", "3", "0"],
    ]
    assert all(line[5] for line in lines)
    assert "6 of 6 seeds to do, 2 at a time: about" in text
    assert "from a few steps and images on this machine" in text
    if sys.platform == "linux":
        megabytes = [int(line[6].removesuffix(" MiB")) for line in lines]
        assert all(100 < number < 1000 for number in megabytes)


def test_a_dry_run_of_a_run_goes_by_its_finished_seeds(quick_run, disbench):
    before = {path: path.stat().st_mtime_ns for path in quick_run.rglob("*")}
    code, text, _ = disbench(*RUN, *QUICK, "--seeds", 5, "--out", quick_run, "--dry-run")
    assert code == 0
    assert {path: path.stat().st_mtime_ns for path in quick_run.rglob("*")} == before
    assert "3 of 5 seeds to do" in text
    assert "from the finished seeds of this run" in text


def test_a_dry_run_refuses_what_a_run_would(disbench, tmp_path):
    (tmp_path / "thesis.tex").write_text("mine")
    code, _, err = disbench(*RUN, "--out", tmp_path, "--dry-run")
    assert code == 2
    assert "holds other files" in err


@pytest.fixture
def heavy_run(quick_run):
    """A run whose finished seeds took 300 MiB."""
    for _, folder in store.cells(quick_run):
        replace(Status.read(folder), peak_private_mb=300).write(folder)
    return quick_run


def test_memory_limits_the_jobs(heavy_run, disbench):
    arguments = [*RUN, *QUICK, "--seeds", 9, "--jobs", 4, "--out", heavy_run, "--dry-run"]
    code, text, _ = disbench(*arguments, "--max-memory", "700M")
    assert code == 0
    assert "7 of 9 seeds to do, 2 at a time" in text
    assert "2 instead of 4 at a time: each worker needs about 300 MiB" in text
    code, text, _ = disbench(*arguments, "--max-memory", "6G")
    assert "7 of 9 seeds to do, 4 at a time" in text
    assert "instead" not in text


def test_memory_for_no_job_at_all(heavy_run, disbench):
    code, _, err = disbench(*RUN, *QUICK, "--seeds", 3, "--out", heavy_run, "--max-memory", "299M")
    assert code == 2
    assert "needs about 300 MiB" in err
    assert "299 MiB" in err
    assert not list(heavy_run.glob("*/seed-2"))


@pytest.mark.parametrize(
    ("option", "value"), [("--max-memory", "lots"), ("--max-seconds", "-1"), ("--max-seconds", "nan")]
)
def test_limits_that_are_none(disbench, tmp_path, option, value):
    code, _, err = disbench(*RUN, "--out", tmp_path / "r", option, value)
    assert code == 2
    assert option in err
    assert not (tmp_path / "r").exists()


def test_a_run_whose_time_is_up_goes_on_when_run_again(finished_run, disbench, tmp_path):
    arguments = [*RUN, *QUICK, "--jobs", 1, "--seeds", 2, "--out", tmp_path / "r"]
    code, text, _ = disbench(*arguments, "--max-seconds", 0.001)
    assert code == 75
    assert "stopped because the time limit was reached with" in text
    assert not list((tmp_path / "r").glob(".stop*"))
    assert disbench(*arguments, "--max-seconds", 1000)[0] == 0
    for cell, folder in store.cells(finished_run):
        whole, parts = (
            json.loads((path / "scores.json").read_text()) for path in (folder, tmp_path / "r" / cell.folder)
        )
        assert [entry["score"] for entry in whole] == [entry["score"] for entry in parts]


@ON_LINUX
def test_a_finished_seed_tells_its_time_and_memory(finished_run):
    for _, folder in store.cells(finished_run):
        status = Status.read(folder)
        assert 0 < status.training <= status.seconds
        assert 50 < status.peak_private_mb < 20_000


def test_the_rows_that_will_be_encoded_are_those_that_are(quick_run):
    cell, folder = store.cells(quick_run)[0]
    setting = protocols.get(cell.protocol)
    data = forecast.datasets.load("dsprites", size=32)
    source = forecast.Trained(None, data, None)
    with np.load(folder / "codes.npz") as file:
        rows = scoring.rows(source, data, setting.metrics, plans.BY_COST)
        np.testing.assert_array_equal(rows, file["rows"])
