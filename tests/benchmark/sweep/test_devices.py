"""Groups on GPUs, as far as a machine without one can tell: who does what, and what is too large."""

import dataclasses

import pytest
import torch

from disbench import models
from disbench.benchmark.runs import rows, store
from disbench.benchmark.runs.store import CellFile, Status
from disbench.benchmark.sweep import plan, workers
from disbench.benchmark.sweep.cell import run_group
from disbench.benchmark.sweep.request import Request
from disbench.benchmark.training import gpu, strategies
from disbench.benchmark.training.gpu import Tuning
from disbench.errors import UsageError


@pytest.fixture
def planned(tmp_path, tiny_plan):
    return *tiny_plan(range(4)), plan.Options(data_dir=tmp_path / "data", tuning=Tuning(strategy="stacked"))


@pytest.fixture
def cards(monkeypatch):
    """A machine with three GPUs."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ("cuda", ("cuda:0", "cuda:1", "cuda:2")),
        ("auto", ("cuda:0", "cuda:1", "cuda:2")),
        ("cuda:1", ("cuda:1",)),
        ("cuda:2, cuda:0,cuda:2", ("cuda:2", "cuda:0")),
        ("cpu", ("cpu",)),
    ],
)
@pytest.mark.usefixtures("cards")
def test_devices_by_name(names, expected):
    assert gpu.choose_devices(names) == expected


@pytest.mark.parametrize(
    ("names", "sentence"),
    [
        ("cuda:3", "cuda:3 was given, but the CUDA devices here are cuda:0, cuda:1, cuda:2"),
        ("cpu,cuda:0", "names a CPU and a GPU; give one kind"),
        ("gpu", "unknown device 'gpu'"),
        # the nearest name, cuda, would be all of them
        ("cuda3", "did you mean 'cuda:3'"),
        ("GPU 2", "did you mean 'cuda:2'"),
        ("cuda:x", "unknown device"),
        ("cuda,", "unknown device ''"),
    ],
)
@pytest.mark.usefixtures("cards")
def test_devices_that_are_not_there(names, sentence):
    with pytest.raises(UsageError, match=sentence):
        gpu.choose_devices(names)


@pytest.mark.usefixtures("cards")
def test_one_device_where_one_is_needed():
    assert gpu.choose_device("cuda") == "cuda:0"
    with pytest.raises(UsageError, match="names 2 devices; give one"):
        gpu.choose_device("cuda:0,cuda:1")


def test_without_a_gpu():
    assert gpu.choose_devices("auto") == ("cpu",)
    with pytest.raises(UsageError, match="cuda:1 was given, but torch sees no CUDA device here"):
        gpu.choose_devices("cuda:1")


def test_on_a_gpu_steps_are_recorded_unless_that_is_refused():
    assert gpu.choose_tuning("cuda:1") == Tuning(resident=True, graph=True)
    assert not gpu.choose_tuning("cuda:1", graph=False).graph
    assert gpu.choose_tuning("cpu") == Tuning()
    for wanted in ({"graph": True}, {"precision": "bf16"}, {"deterministic": True}):
        with pytest.raises(UsageError, match="the device is cpu; omit it, or use a GPU"):
            gpu.choose_tuning("cpu", **wanted)
    with pytest.raises(UsageError, match="unknown strategy 'fast'"):
        gpu.choose_tuning("cpu", strategy="fast")


@pytest.mark.parametrize(
    ("asked", "trainings", "gpus", "width"),
    [
        ({}, 3, 0, 1),
        ({"strategy": "stacked"}, 3, 0, 8),
        ({"strategy": "branches", "fuse": 5}, 3, 0, 5),
        ({}, 3, 1, 32),
        ({}, 3, 2, 32),
        ({}, 1, 3, 11),
        ({}, 2, 3, 16),
        ({"strategy": "single"}, 1, 1, 1),
        ({"fuse": 4}, 1, 1, 4),
        ({"fuse": 64}, 1, 1, 32),
        ({"fuse": 10**11}, 3, 0, 32),
    ],
)
def test_how_many_seeds_train_together(asked, trainings, gpus, width):
    assert Request("betavae", seeds=32, **asked).width(trainings, gpus) == width


def test_what_was_begun_is_finished_first(tmp_path, planned):
    # on a GPU, a group whose first seeds are done came after every other method
    setting, cells, options = planned
    out = store.open_run(tmp_path / "run")
    assert plan.groups(cells, 2) == plan.groups(cells, 2, lambda cell: True) == [cells[:2], cells[2:]]
    assert plan.groups(cells, 2, lambda cell: cell.seed == 3) == [cells[2:], cells[:2]]
    Status(state="stopped", step=1, steps=3).write(out / cells[2].folder)
    (out / cells[1].folder).mkdir()
    (out / cells[1].folder / "status.json").write_text("not a status")
    with pytest.warns(UserWarning, match="is damaged"):
        done = [cell.seed for cell, _ in workers.sweep(out, cells, setting, options, 1)]
    assert done == [2, 0, 1, 3]


def test_single_seeds_are_not_fused():
    with pytest.raises(UsageError, match="single trains each seed on its own, but fuse 4 was given"):
        Request("betavae", strategy="single", fuse=4)


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_the_strategy_is_the_one_that_was_asked_for(device):
    for method in models.names():
        kinds = [
            strategies.choose(2, Tuning(strategy=s), method, device, 32) for s in ("stacked", "branches")
        ]
        assert kinds == [strategies.Fused, strategies.Branches]
        assert strategies.choose(1, Tuning(strategy="stacked"), method, device, 32) is strategies.Single


def test_where_none_was_asked_for_it_is_the_quickest_that_was_measured_for_the_method(monkeypatch):
    monkeypatch.setattr(strategies, "STACKED", {"cpu": {"gan": 1.2, "vae": 0.8}, "cuda": {"vae": 1.3}})
    monkeypatch.setattr(strategies, "UNMEASURED", {"cpu": 0.8, "cuda": 1.3})
    chosen = {
        (device, method): strategies.choose(8, Tuning(), method, device, 32)
        for device in ("cpu", "cuda")
        for method in ("gan", "vae", "own")
    }
    stacked = {key for key, kind in chosen.items() if kind is strategies.Fused}
    # those that were not measured there go the way of most
    assert stacked == {("cpu", "gan"), ("cuda", "gan"), ("cuda", "vae"), ("cuda", "own")}
    assert set(chosen.values()) == {strategies.Fused, strategies.Branches}
    # with larger images stacked seeds lose on a CPU, and win on a GPU
    assert strategies.choose(8, Tuning(), "gan", "cpu", 64) is strategies.Branches
    assert strategies.choose(8, Tuning(), "gan", "cuda", 64) is strategies.Fused


def test_every_method_was_measured_on_a_cpu():
    assert set(strategies.STACKED["cpu"]) == set(models.names())


def test_groups_train_on_the_gpus_in_turns_and_are_scored_beside_them(monkeypatch):
    monkeypatch.setattr("joblib.cpu_count", lambda: 8)
    options = plan.Options("cuda:0", tuning=Tuning(resident=True, graph=True))
    lanes = workers.lanes(options, 3, groups=9, cells=32, devices=("cuda:0", "cuda:1"))
    assert [(o.device, o.stage) for o in lanes["train"]] == [
        ("cuda:0", "train"),
        ("cuda:1", "train"),
        ("cuda:0", "train"),
    ]
    assert {(o.device, o.stage, o.tuning) for o in lanes["score"]} == {("cpu", "score", Tuning())}
    assert len(lanes["score"]) == 5
    assert list(workers.lanes(plan.Options(), 3, groups=2, cells=2)) == ["all"]


def test_what_one_process_trains_others_score(planned, tmp_path, monkeypatch):
    """Scores and codes are those of seeds that one process did from start to end."""
    setting, cells, options = planned
    whole, apart = store.open_run(tmp_path / "whole"), store.open_run(tmp_path / "apart")
    assert run_group(whole, cells, setting, options) == ["done"] * 4
    monkeypatch.setattr(workers, "is_gpu", lambda device: True)
    ended = dict(workers.sweep(apart, cells, setting, options, jobs=1, fuse=4, devices=("cpu",)))
    assert ended == dict.fromkeys(cells, "done")
    for cell in cells:
        a, b = whole / cell.folder, apart / cell.folder
        assert (a / "codes.npz").read_bytes() == (b / "codes.npz").read_bytes()
        (expected,), (found,) = store.scores(a), store.scores(b)
        assert found.score == expected.score
        assert Status.read(b).state == "done"
        assert CellFile.read(b).environment["training"] == "4 seeds stacked"


def test_a_group_too_large_for_the_memory_goes_on_in_halves(planned, tmp_path, monkeypatch):
    setting, cells, options = planned
    compute = strategies.Fused.compute

    def limited(made, *arguments):
        if len(made.seeds) > 2 and made.step:
            raise torch.OutOfMemoryError("no room")
        return compute(made, *arguments)

    monkeypatch.setattr(strategies.Fused, "compute", limited)
    run = store.open_run(tmp_path / "r")
    with pytest.warns(
        UserWarning, match="4 seeds of betavae need more than the memory; they go on 2 at a time"
    ):
        assert run_group(run, cells, setting, options) == ["done"] * 4
    assert [CellFile.read(run / cell.folder).together for cell in cells] == [2, 2, 2, 2]


def test_a_trained_seed_keeps_what_trained_it_wherever_it_is_scored(planned, tmp_path):
    # scores that were added on a CPU made a GPU's seed one of that CPU
    setting, cells, options = planned
    run = store.open_run(tmp_path / "r")
    assert run_group(run, cells, setting, options) == ["done"] * 4
    one = run / cells[0].folder
    by_gpu = {"device": "NVIDIA H100", "precision": "tf32", "training": "32 seeds stacked, graph"}
    before = dataclasses.replace(CellFile.read(one), environment=by_gpu, device="cuda:0", together=32)
    before.write(one)
    (one / "scores.json").unlink()
    assert run_group(run, cells[:1], setting, options) == ["done"]
    assert CellFile.read(one) == before
    frame, _ = rows.gather([run])
    first, *others = frame["kernels"]
    assert first == "NVIDIA H100"
    assert all(kernels.startswith("native") for kernels in others)
    # one that trains again is of the machine that trains it
    (one / "checkpoint.pt").unlink()
    assert run_group(run, cells[:1], setting, options) == ["done"]
    assert (CellFile.read(one).device, CellFile.read(one).together) == ("cpu", 1)


def test_one_seed_too_large_for_the_memory_says_what_to_change(planned, tmp_path, monkeypatch):
    setting, cells, options = planned

    def none(made, *arguments):
        raise torch.OutOfMemoryError("no room")

    monkeypatch.setattr(strategies.Single, "compute", none)
    run = store.open_run(tmp_path / "r")
    assert run_group(run, cells[:1], setting, dataclasses.replace(options)) == ["failed"]
    why = Status.read(run / cells[0].folder).why
    assert "one seed of betavae needs more than the memory (no room); give a smaller batch" in why
