"""What training would do on a GPU, seen on a CPU: devices, waits, uploads, memory, and the kernels of a step.

`fake_cuda/` has CUDA devices that compute nothing. One process trains all methods on them; the tests read
what it saw. What such devices cannot show: values, the capture of a graph, the kernels behind an operation.

After a change that is meant to alter the kernels of a step, keep the new numbers and look at the difference:

    python tests/benchmark/training/test_cuda_path.py
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

import filelock
import pytest
import torch

from disbench import models

FOLDER = Path(__file__).parent / "fake_cuda"
ROOT = Path(__file__).resolve().parents[3]
KEPT = FOLDER / "kept.json"
STRATEGIES = ("single", "stacked", "branches")
EVERY_WAY = [f"{name}, {strategy}" for name in models.names() for strategy in STRATEGIES]
# Another version of torch computes some steps with other operations.
TOLERANCE, OF_ANOTHER_TORCH = 0.03, 0.3


class MissingError(Exception):
    """Something that the fake device needs is not here."""


class BrokenError(Exception):
    """All is here, but the fake device could not be built or used."""


def examine(folder):
    """What the examination of all methods saw.

    Raises:
        MissingError: with what is missing.
        BrokenError: with what went wrong.
    """
    if sys.platform != "linux":
        raise MissingError(f"the fake CUDA device is for Linux, this is {sys.platform}")
    if torch.version.cuda or torch.version.hip:
        raise MissingError("this torch is built for real GPUs; use one for CPUs, or the tests marked gpu")
    if not (compiler := shutil.which("g++")):
        raise MissingError("there is no g++ to build the fake CUDA device")
    place = Path(torch.__file__).parent
    built, seen = folder / "device.so", folder / "seen.json"
    includes = [f"-I{place}/include", f"-I{place}/include/torch/csrc/api/include"]
    libraries = [f"-L{place}/lib", f"-Wl,-rpath,{place}/lib", "-Wl,--no-as-needed", "-lc10", "-ltorch_cpu"]
    options = ["-O0", "-std=c++20", "-shared", "-fPIC", "-w", *includes]
    run([compiler, *options, str(FOLDER / "device.cpp"), "-o", str(built), *libraries], "build")
    own = {"LD_PRELOAD": str(built), "PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "1"}
    run([sys.executable, "-W", "ignore", str(FOLDER / "examine.py"), str(seen)], "work", own)
    return json.loads(seen.read_text("utf-8"))


def run(command, what, own=None):
    done = subprocess.run(
        command, env={**os.environ, **(own or {})}, capture_output=True, text=True, check=False
    )
    if done.returncode:
        wrong = next(
            (line for line in done.stderr.splitlines() if "error" in line.lower()), "no reason given"
        )
        raise BrokenError(
            f"the fake CUDA device does not {what} with torch {torch.__version__}: {wrong}\n{done.stderr}"
        )


def counts(seen):
    """Kernels and megabytes of a recorded step, per seed, of every way."""
    found = {}
    for way, phases in seen["methods"].items():
        recorded, seeds = phases["recorded step"], seen["strategies"][way.split(", ")[1]]
        found[way] = {"kernels": recorded["kernels"] / seeds, "MB": recorded["bytes"] / seeds / 1e6}
    return found


def unseen(reason):
    """Skips a test, with a warning at the end of the run, which a skipped test alone does not leave."""
    warnings.warn(f"training on CUDA was not examined: {reason}", stacklevel=2)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def seen(tmp_path_factory, worker_id):
    """Examined once for all workers of pytest-xdist."""
    base = tmp_path_factory.getbasetemp()
    folder = (base if worker_id == "master" else base.parent) / "fake_cuda"
    folder.mkdir(exist_ok=True)
    with filelock.FileLock(folder / "lock"):
        result = folder / "result.json"
        if not result.exists():
            try:
                found = examine(folder)
            except (MissingError, BrokenError) as reason:
                found = {type(reason).__name__: str(reason)}
            result.write_text(json.dumps(found), "utf-8")
        found = json.loads(result.read_text("utf-8"))
    if reason := found.get("MissingError"):
        unseen(reason)
    if reason := found.get("BrokenError"):
        # with the torch that the numbers are kept of, it must work
        known = json.loads(KEPT.read_text("utf-8"))["torch"] == torch.__version__
        (pytest.fail if known else unseen)(reason)
    return found


def faults(phase):
    """What failed, waited or mixed types, and what the host computed but for the row numbers to upload."""
    found = {kind: phase[kind] for kind in ("error", "waits", "mixed")}
    found["host"] = [note for note in phase["host"] if " in upload: " not in note]
    return {kind: notes for kind, notes in found.items() if notes}


def test_all_methods_and_strategies_were_examined(seen):
    assert tuple(seen["strategies"]) == STRATEGIES
    assert set(seen["methods"]) == set(EVERY_WAY)
    assert set(seen["recordings"]) == set(STRATEGIES)


# Branches take a single seed's steps.
@pytest.mark.parametrize("way", [way for way in EVERY_WAY if not way.endswith("branches")])
def test_an_eager_step_in_bf16_waits_for_nothing_and_uploads_row_numbers_alone(seen, way):
    phase = seen["methods"][way]["eager step"]
    assert not faults(phase)
    ((upload, times),) = phase["uploads"].items()
    assert upload.startswith("torch.int64 (")
    assert times == 1
    assert "torch.bfloat16" in phase["products"]


@pytest.mark.parametrize("way", EVERY_WAY)
def test_a_recorded_step_never_meets_the_host(seen, way):
    phase = seen["methods"][way]["recorded step"]
    assert not faults(phase)
    assert not phase["host"]
    assert not phase["uploads"]
    assert set(phase["products"]) == {"torch.float32"}


@pytest.mark.parametrize("way", EVERY_WAY)
def test_a_replay_adds_one_upload_of_row_numbers(seen, way):
    phase = seen["methods"][way]["replay"]
    assert not faults(phase)
    assert sum(phase["uploads"].values()) == 1
    # the upload; the row numbers and the step's number are put in place, and the losses taken out
    assert phase["kernels"] == 4


@pytest.mark.parametrize("way", EVERY_WAY)
def test_a_state_is_kept_and_restored_and_a_monitor_looks(seen, way):
    errors = {name: phase["error"] for name, phase in seen["methods"][way].items()}
    assert errors.keys() >= {"restore", "recording", "recorded step", "replay", "monitor"}
    assert not any(errors.values()), errors


@pytest.mark.parametrize("name", models.names())
def test_codes_and_pictures_are_made_on_the_device(seen, name):
    assert not seen["methods"][f"{name}, single"]["pictures"]["error"]


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_step_is_recorded_after_its_warm_up(seen, strategy):
    phases = seen["recordings"][strategy]
    assert not phases["recording"]["error"]
    assert not faults(phases["recorded step"])
    known = seen["methods"][f"betavae, {strategy}"]["recorded step"]
    assert phases["recorded step"]["kernels"] == known["kernels"]


@pytest.mark.parametrize("way", EVERY_WAY)
def test_a_step_takes_the_kernels_and_bytes_that_were_kept(seen, way):
    kept = json.loads(KEPT.read_text("utf-8"))
    assert set(kept["a recorded step of a seed"]) == set(EVERY_WAY)
    tolerance = TOLERANCE if kept["torch"] == torch.__version__ else OF_ANOTHER_TORCH
    assert counts(seen)[way] == pytest.approx(kept["a recorded step of a seed"][way], rel=tolerance)


def compute(seen, fault):
    return seen["faults"][fault]["step"]


STACKED = ("single", "stacked")


@pytest.mark.parametrize("strategy", STACKED)
def test_a_tensor_of_the_host_in_a_loss_is_reported(seen, strategy):
    phase = compute(seen, f"TensorOfTheHost, {strategy}")
    assert "torch.ones(len(x))" in phase["error"]
    assert any("torch.ones(len(x))" in note for note in phase["host"])


@pytest.mark.parametrize("strategy", STACKED)
def test_a_number_of_the_host_in_a_kernel_is_reported(seen, strategy):
    phase = compute(seen, f"NumberOfTheHost, {strategy}")
    assert not phase["error"]
    assert any(note.startswith("aten::mul") and "torch.tensor(2.0)" in note for note in phase["host"])


@pytest.mark.parametrize("strategy", STACKED)
def test_a_number_that_is_read_is_reported(seen, strategy):
    phase = compute(seen, f"StepRead, {strategy}")
    assert not phase["error"]
    assert any("float(step)" in note for note in phase["waits"])


@pytest.mark.parametrize("strategy", STACKED)
def test_a_constant_that_is_uploaded_is_reported(seen, strategy):
    assert any(
        "from pageable memory" in note for note in compute(seen, f"UploadedConstant, {strategy}")["waits"]
    )


@pytest.mark.parametrize(
    ("fault", "what", "line"),
    [
        ("ToTheHostAndBack", "to the host", ".cpu()"),
        ("ToTheHostAndBack", "from pageable memory", ".cpu()"),
        ("Mask", "aten::index", "x[x > 0.5]"),
        ("Distinct", "aten::_unique2", "x.unique()"),
        ("WaitedUpload", "from pinned memory that is waited for", "pin_memory()"),
        ("Synchronised", "torch.cuda.synchronize", "torch.cuda.synchronize()"),
    ],
)
def test_a_wait_is_reported_with_its_line(seen, fault, what, line):
    waits = compute(seen, f"{fault}, single")["waits"]
    assert any(what in note and line in note for note in waits), waits


def test_an_upload_within_a_loss_is_reported(seen):
    (upload,) = compute(seen, "SecondUpload, single")["uploads"]
    assert "non_blocking=True" in upload


def test_a_product_of_two_types_is_reported(seen):
    (note,) = compute(seen, "TwoTypes, single")["mixed"]
    assert note.startswith("aten::mm of torch.bfloat16 and torch.float32, faults.py")


def test_a_generator_of_another_device_is_reported(seen):
    assert "a generator of cpu" in compute(seen, "OtherGenerator, single")["error"]


def test_a_loss_that_is_computed_twice_is_counted_twice(seen):
    once, twice = compute(seen, "NoFault, single"), compute(seen, "Twice, single")
    assert twice["kernels"] > 1.5 * once["kernels"]
    assert twice["bytes"] > 1.5 * once["bytes"]


def test_a_step_without_a_fault_has_none(seen):
    """The step that the faults are planted in is in order, so that each report is of its fault alone."""
    assert not faults(compute(seen, "NoFault, single"))
    assert not faults(compute(seen, "NoFault, stacked"))


NO_ROOM = "one seed of betavae needs more than the 1.0 GiB of the GPU (no room); give a smaller batch with "
BEYOND = "one seed needs about 3.0 GiB of the GPU, more than the 1.0 GiB of max_memory; raise it, or use a "


@pytest.mark.parametrize(
    ("room", "limit", "fuse", "sentence"),
    [
        (8, None, 8, "a group takes up to 24.0 GiB of the 25.0 GiB of the GPU"),
        (3, None, 8, "a group takes up to 6.0 GiB of the 10.0 GiB of the GPU"),
        (3, None, 8, "betavae: 2 seeds at a time, for 8 there is no room"),
        (8, "7G", 2, "2 instead of 8 seeds at a time: more would need more than 7.0 GiB of the GPU"),
        (0, None, 0, NO_ROOM + "settings, a smaller size, or precision bf16."),
        (8, "1G", 0, BEYOND + "smaller batch with settings."),
    ],
)
def test_a_forecast_knows_the_memory_of_the_second_card(seen, room, limit, fuse, sentence):
    """A seed takes 3 GiB of it, and all tensors are on that card."""
    found = seen["small card"][f"room for {room}, limit {limit}"]
    assert sentence in found["sentences"]
    assert found["fuse"] == fuse


def keep():
    with tempfile.TemporaryDirectory() as folder:
        table = counts(examine(Path(folder)))
    rows = [
        f"  {json.dumps(way)}: {json.dumps({name: round(value, 1) for name, value in table[way].items()})}"
        for way in sorted(table)
    ]
    # a line for each way, so that a change shows
    head = f' "torch": {json.dumps(torch.__version__)},\n "a recorded step of a seed": {{\n'
    KEPT.write_text("{\n" + head + ",\n".join(rows) + "\n }\n}\n", "utf-8")


if __name__ == "__main__":
    keep()
