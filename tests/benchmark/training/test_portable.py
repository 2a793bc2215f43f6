"""Portable arithmetic: the bits that it promises to every x86-64 with AVX2, and who may not have it.

The promised bits are in tests/golden/portable.json, for one version of each library; tests/golden/README.md
says how they are renewed.
"""

import dataclasses
import importlib.metadata
import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

import disbench
from disbench.benchmark.runs import commands, provenance, store
from disbench.benchmark.runs.store import CellFile, Status
from disbench.benchmark.sweep import dask, plan, workers
from disbench.benchmark.training import portable
from disbench.errors import UsageError

PROGRAM = Path(__file__).with_name("portable_digests.py")
GOLDEN = json.loads((Path(__file__).parents[2] / "golden" / "portable.json").read_text("utf-8"))
CLEAN = {k: v for k, v in os.environ.items() if k not in (*portable.VARIABLES, *portable.OTHERS)}


def as_golden(*packages):
    """Skips the test, with the reason, where the bits are promised to nobody or were not recorded."""
    if portable.lack():
        pytest.skip(f"no bits are promised here: this processor {portable.lack()}")
    for name in packages:
        here, there = importlib.metadata.version(name), GOLDEN["versions"][name]
        if here != there:
            pytest.skip(f"the bits were recorded with {name} {there}, this is {here}; record them again")


def computed(**variables):
    """What the program prints with these variables."""
    threads = dict.fromkeys(workers.THREADS, "1")
    done = subprocess.run(
        [sys.executable, PROGRAM],
        env={**CLEAN, **threads, "PYTHONPATH": os.pathsep.join(sys.path), **variables},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def here():
    return computed(**portable.VARIABLES)


def test_every_method_has_the_same_weights_on_every_machine(request):
    as_golden("torch")
    found = request.getfixturevalue("here")["weights"]
    assert {name: found.get(name) for name in GOLDEN["weights"]} == GOLDEN["weights"]


def test_scores_are_the_same_on_every_machine(request):
    as_golden(*GOLDEN["versions"])
    found = request.getfixturevalue("here")
    assert found["scores"] == GOLDEN["scores"]
    assert found["functions"] == GOLDEN["functions"]


def program():
    spec = importlib.util.spec_from_file_location("portable_digests", PROGRAM)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_run_trains_in_portable_arithmetic_and_says_so(tmp_path, monkeypatch):
    """Even one seed at a time, in this process, which has loaded torch long ago with kernels of its own."""
    as_golden("torch")
    for name in (*portable.VARIABLES, *portable.OTHERS):
        monkeypatch.delenv(name, raising=False)
    digests = program()
    factors = np.stack(np.unravel_index(np.arange(60), (3, 4, 5)), 1)
    np.savez(tmp_path / "toy.npz", images=digests.pixels()[:, 0], factors=factors)
    run = disbench.run(
        "vae",
        protocol="smoke",
        dataset=str(tmp_path / "toy.npz"),
        settings={"vae": {"steps": digests.STEPS, "batch": digests.BATCH}},
        jobs=1,
        device="cpu",
        portable=True,
        out=tmp_path / "r",
    )
    assert run.outcomes == {"done": 1}
    (folder,) = (path.parent for path in run.checkpoints())
    weights = torch.load(folder / "checkpoint.pt", weights_only=True)["weights"]
    assert digests.sha256(weights) == GOLDEN["weights"]["vae"]
    assert CellFile.read(folder).environment["kernels"] == "portable"


PORTABLE = {**portable.VARIABLES, "HOME": "/home/x"}


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        (PORTABLE, "portable"),
        ({"HOME": "/home/x"}, "native"),
        ({"MKL_CBWR": "AVX2"}, "native, MKL_CBWR=AVX2"),
        ({**PORTABLE, "MKL_CBWR": "AVX2"}, None),
        ({**PORTABLE, "DNNL_MAX_CPU_ISA": "SSE41"}, None),
        ({k: v for k, v in PORTABLE.items() if k != "OPENBLAS_CORETYPE"}, None),
    ],
)
def test_kernels_are_portable_if_all_variables_were_set_and_no_other(variables, words):
    found = portable.kernels(variables)
    assert found == words if words else found.startswith("native, ATEN_CPU_CAPABILITY=avx2")


def test_variables_that_are_set_too_late_do_not_count(monkeypatch):
    """Libraries read them when they are loaded; a record must not claim what they have not read."""
    before = portable.kernels()
    for name, value in {**portable.VARIABLES, "MKL_CBWR": "AVX512"}.items():
        monkeypatch.setenv(name, value)
    assert portable.kernels() == before


def test_a_variable_of_the_user_is_neither_overwritten_nor_ignored(monkeypatch):
    monkeypatch.setattr(portable, "lack", str)
    for name in (*portable.VARIABLES, *portable.OTHERS):
        monkeypatch.delenv(name, raising=False)
    portable.check("cpu")
    monkeypatch.setenv("ATEN_CPU_CAPABILITY", "avx2")  # as it is wanted
    portable.check("cpu")
    for name, value in (("ATEN_CPU_CAPABILITY", "default"), ("NPY_ENABLE_CPU_FEATURES", "AVX2")):
        monkeypatch.setenv(name, value)
        with pytest.raises(UsageError, match=f"{name}={value} is set in the environment; unset it, or omit"):
            portable.check("cpu")
        monkeypatch.delenv(name)


def test_a_gpu_is_refused():
    for device in ("cuda", "cuda:1"):
        with pytest.raises(UsageError, match=f"the device is {device}; omit it, or give device cpu"):
            portable.check(device)


@pytest.mark.parametrize(
    ("machine", "flags", "lacks"),
    [
        ("x86_64", "fpu sse2 avx2 fma", ""),
        ("AMD64", "fpu sse2 avx2 fma avx512f", ""),
        ("x86_64", "fpu sse2 avx", "has no AVX2 and no FMA"),
        ("aarch64", "fp asimd", "is no x86-64 (aarch64)"),
    ],
)
def test_what_a_processor_lacks_is_said(monkeypatch, machine, flags, lacks):
    monkeypatch.setattr(portable.platform, "machine", lambda: machine)
    monkeypatch.setattr(Path, "read_text", lambda *_: f"processor\t: 0\nflags\t\t: {flags}\n")
    assert portable.lack() == lacks
    if lacks:
        with pytest.raises(UsageError, match=r"this processor (has no AVX2|is no x86-64 \(aarch64\))"):
            portable.check("cpu")


@pytest.fixture
def begun(quick_run):
    """A run with two seeds, and what writes down with which kernels the first was trained."""
    cells = [cell for cell, _ in store.cells(quick_run)]
    folder = quick_run / cells[0].folder

    def with_kernels(kernels):
        file = CellFile.read(folder)
        environment = {k: v for k, v in file.environment.items() if k != "kernels"}
        environment |= {"kernels": kernels} if kernels else {}
        dataclasses.replace(file, environment=environment).write(folder)

    return quick_run, cells, folder, with_kernels


@pytest.mark.parametrize(
    ("before", "now", "advice"),
    [
        ("portable", False, "give portable"),
        ("native", True, "omit portable"),
        (None, True, "omit portable"),  # from before kernels were recorded
    ],
)
def test_seeds_of_one_training_are_all_portable_or_none(begun, before, now, advice):
    run, cells, folder, with_kernels = begun
    with_kernels(before)
    said = f"seed-0 was begun with {before or 'native'} kernels, and with others a seed is another draw; "
    with pytest.raises(UsageError, match=f"{said}{advice}, or give another folder with out"):
        plan.check_kernels(run, cells[1:], plan.Options(portable=now))
    status = dataclasses.replace(Status.read(folder), step=0)
    status.write(folder)
    (folder / "checkpoint.pt").unlink()
    with_kernels("native" if now else "portable")
    (run / cells[1].folder / "cell.json").unlink()
    plan.check_kernels(run, cells, plan.Options(portable=now))  # no step was taken with the others


def test_a_seed_goes_on_with_its_kernels_alone(begun):
    _, _, folder, with_kernels = begun
    with_kernels("native")
    plan.check_continued(folder, "native")
    plan.check_continued(folder, None)
    with pytest.raises(UsageError, match=r"begun with native kernels.*set the same variables"):
        plan.check_continued(folder, "native, MKL_CBWR=AVX2")


def test_the_command_says_what_it_refuses_in_its_own_words(disbench, begun, monkeypatch):
    run, _, _, with_kernels = begun
    with_kernels("portable")
    words = ("run", "--methods", "betavae", "--seeds", "2", "--protocol", "smoke", "--out", run)
    changes = ("--set", "betavae.steps=6", "--set", "betavae.batch=4")
    code, _, told = disbench(*words, *changes)
    assert code == 2
    assert "give --portable, or give another folder with --out" in told
    monkeypatch.setenv("MKL_CBWR", "AVX")
    code, _, told = disbench(*words, *changes, "--portable")
    assert code == 2
    assert told.count("\n") == 1


def test_a_worker_of_a_cluster_with_other_kernels_is_refused():
    dask.check_kernels({"tcp://a:1": "portable"})
    with pytest.raises(UsageError, match=r"the worker tcp://b:1 has native kernels; start the .*'AVX512F "):
        dask.check_kernels({"tcp://a:1": "portable", "tcp://b:1": "native"})


def test_the_commands_of_a_portable_run_are_portable(begun):
    run, _, _, with_kernels = begun
    with_kernels("portable")
    first, second = provenance._commands(store.records(run), "runs/x")
    assert "--seeds 1, " in first
    assert "--portable" not in first
    assert "--seeds 1 " in second
    assert second.endswith("--portable --out runs/x")
    recipes = provenance.recipes(cell for cell, _ in store.cells(run))
    assert commands.commands(recipes, "runs/x", ["--portable"])[0].count("--portable") == 1


@pytest.mark.parametrize(
    ("device", "environment", "options"),
    [
        ("cpu", {"kernels": "native"}, ""),
        ("cpu", {"kernels": "portable"}, "--portable "),
        ("cuda:1", {"precision": "float32"}, "--device cuda "),
        ("cuda", {"precision": "tf32"}, "--device cuda --precision tf32 "),
    ],
)
def test_the_commands_of_a_run_name_what_computed_it(begun, device, environment, options):
    run, *_ = begun
    (record, *_) = store.records(run)
    file = dataclasses.replace(record.file, device=device, environment=environment)
    (line,) = provenance._commands([dataclasses.replace(record, file=file)], "runs/x")
    assert line.endswith(f" {options}--out runs/x")


def test_what_a_gpu_trained_is_scored_on_a_core():
    def made(device, together):
        status = Status(state="done", seconds=100.0, training=64.0)
        return SimpleNamespace(status=status, file=SimpleNamespace(device=device, together=together))

    assert provenance._cost([made("cuda:0", 32)] * 32) == (32 * 36.0, 64.0)
    assert provenance._cost([made("cpu", 1), made("cpu", 2), made("cuda:0", 1)]) == (150.0 + 36.0, 64.0)
