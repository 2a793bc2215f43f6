"""Bad input gets one clear sentence and exit code 2; nothing is left half written."""

import contextlib
import dataclasses
import errno
import os
import pickle
import zipfile

import numpy as np
import pytest
import torch

from disbench.benchmark.runs import store
from disbench.models.checkpoint import Checkpoint, digest

QUICK = ["--protocol", "smoke", "--jobs", "1", "--set", "betavae.steps=2", "--set", "betavae.batch=4"]


def refused(answer, *words):
    code, out, err = answer
    assert code == 2, (code, out, err)
    sentence = err.strip()
    assert sentence.startswith("disbench: ")
    assert len(sentence.splitlines()) == 1
    assert "Traceback" not in out + err
    for word in words:
        assert word in sentence, sentence


RUN = ["run", "--methods", "betavae", "--protocol", "smoke"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["run", "--methods", "betavea"], ["'betavea'", "'betavae'"]),
        (["run", "--methods", "zzzz"], ["choose from", "ibgan"]),
        (["run", "--methods", ","], ["--methods is empty", "commas"]),
        ([*RUN, "--dataset", "dsprite"], ["'dsprite'", "'dsprites'"]),
        (["run", "--methods", "vae", "--protocol", "smok"], ["'smok'", "'smoke'"]),
        ([*RUN, "--seeds", "0"], ["--seeds must be at least 1", "not 0"]),
        ([*RUN, "--seeds", "-3"], ["--seeds must be at least 1", "not -3"]),
        ([*RUN, "--seeds", "3,-1"], ["negative"]),
        ([*RUN, "--seeds", "100001"], ["--seeds must be at most 100,000", "not 100001"]),
        ([*RUN, "--seeds", "x"], ["'x'", "how many"]),
        ([*RUN, "--jobs", "-1"], ["--jobs -1"]),
        ([*RUN, "--device", "gpu"], ["'gpu'", "'cpu'"]),
        ([*RUN, "--device", "cpu", "--precision", "half"], ["'half'", "float32"]),
        ([*RUN, "--device", "cpu", "--precision", "bf16"], ["bf16", "cpu", "GPU"]),
        ([*RUN, "--device", "cpu", "--cuda-graph"], ["CUDA graph", "cpu"]),
        ([*RUN, "--set", "betavae.bata=3"], ["'bata'", "'beta'"]),
        ([*RUN, "--set", "betavae.beta=much"], ["betavae.beta", "'much'", "float"]),
        ([*RUN, "--set", "betavae.steps=0"], ["steps=0"]),
        ([*RUN, "--set", "beta=3"], ["method.field=value"]),
        (
            [*RUN, "--set", "betavae.beta=3", "--set", "betavae.beta=4"],
            ["--set betavae.beta was given twice"],
        ),
        ([*RUN, "--grid", "betavae.beta=3", "--grid", "betavae.beta=4"], ["all its values at once"]),
        ([*RUN, "--seeds", "3", "--seeds", "7"], ["--seeds was given twice"]),
        ([*RUN, "--cuda-graph", "--no-cuda-graph"], ["--cuda-graph was given twice"]),
        ([*RUN, "--set", "vae.lr=3"], ["'vae'", "--methods"]),
        ([*RUN, "--variants", "red"], ["variant of betavae"]),
        ([*RUN, "--max-memory", "much"], ["--max-memory 'much'"]),
        ([*RUN, "--max-seconds", "-1"], ["--max-seconds -1"]),
        ([*RUN, "--metrics", "mig,sap:"], ["'sap:' names no preset"]),
        (["list", "method"], ["'method'", "'methods'"]),
        (["leaderboard", "/nonexistent"], ["/nonexistent", "not a disbench run"]),
        (["score", "/nonexistent.pt"], ["/nonexistent.pt", "No such file"]),
        (["traverse", "/nonexistent.pt"], ["No such file"]),
    ],
)
def test_wrong_words(disbench, tmp_path, monkeypatch, arguments, words):
    monkeypatch.chdir(tmp_path)
    refused(disbench(*arguments), *words)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "arguments",
    [
        ["run", "--methods", "betavae", "--metrics", ""],
        ["run", "--methods", "betavae", "--out="],
        ["run", "--methods", "betavae", "--dataset", "digits", "--dataset", " "],
        ["score", "codes.npz", "--preset", ""],
        ["score", "codes.npz", "--factors", ""],
        ["data", "list", "--data-dir", ""],
        ["bench", "metrics", "--metrics", ""],
        ["list", "--plugin", ""],
        ["status", ""],
        ["leaderboard", "run", ""],
    ],
)
def test_an_empty_value_is_not_taken_for_none(disbench, tmp_path, monkeypatch, arguments):
    # as of `--metrics "$METRICS"` where the variable is not set
    monkeypatch.chdir(tmp_path)
    named = [word.rstrip("=") for word in arguments if word.startswith("--")] or [""]
    refused(disbench(*arguments), f"{named[-1]} is empty", "variable", "give a value")
    assert list(tmp_path.iterdir()) == []


def test_a_metric_named_twice_is_one(disbench, tmp_path):
    np.savez(tmp_path / "c.npz", codes=np.eye(60, 3), factors=np.indices((60, 2))[0] // 30)
    code, out, _ = disbench("score", tmp_path / "c.npz", "--metrics", "mig,mcc,mig:dlib,mig", "--format=csv")
    assert code == 0
    assert (out.count(",mig,"), out.count(",mcc,")) == (1, 1)


def test_one_of_several_metrics_is_not_drawn_alone(disbench, tmp_path):
    np.savez(tmp_path / "c.npz", codes=np.eye(60, 3), factors=np.indices((60, 2))[0] // 30)
    command = ["plot", tmp_path / "c.npz", "--kind", "mi", "--out", tmp_path / "pictures"]
    refused(disbench(*command, "--metric", "mig,dci"), "'mig,dci' names 2 metrics")
    assert not (tmp_path / "pictures").exists()


def test_a_switch_may_be_given_twice(disbench):
    assert disbench("list", "--json", "--json")[0] == 0


@pytest.mark.parametrize("command", ["traverse", "samples"])
@pytest.mark.parametrize("folder", [".", "/"])
def test_a_folder_without_a_name_as_model(disbench, command, folder):
    refused(disbench(command, folder), f"{folder} is a directory; give a file")


@pytest.mark.parametrize(
    ("command", "option", "value"),
    [
        ("cores", "--cores", "-1"),
        ("cores", "--seconds", "0"),
        ("host", "--seconds", "-1"),
        ("data", "--batch", "0"),
    ],
)
def test_a_measurement_of_nothing(disbench, command, option, value):
    code, out, err = disbench("bench", command, option, value)
    assert (code, out) == (2, "")
    assert f"Invalid value for '{option}'" in err


def test_a_classifier_that_was_not_trained_is_asked_for_before_training(disbench, tmp_path):
    arguments = ("run", "--methods", "elastic_infogan", "--protocol", "elastic-mini", "--out", tmp_path / "r")
    refused(disbench(*arguments), "disbench data classifier digits")
    assert not (tmp_path / "r").exists()


def test_a_file_that_is_missing_is_asked_for_where_it_was_looked_for(disbench, tmp_path):
    place = tmp_path / "my data"
    code, _, err = disbench("data", "sample", "shapes3d", "--out", tmp_path / "s.png", "--data-dir", place)
    assert code == 2
    assert f"run `disbench data fetch shapes3d --data-dir '{place}'`" in err


def test_a_command_that_is_told_can_be_typed(disbench, tmp_path):
    run = store.open_run(tmp_path / "my run")
    for command in (("leaderboard", run), ("rescore", run, "--metrics", "mig")):
        refused(disbench(*command), f"`disbench run --out '{run}'`")


def test_cuda_where_there_is_none(disbench, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    refused(disbench(*RUN, "--out", tmp_path / "r", "--device", "cuda"), "no CUDA device")


def test_a_folder_with_other_things_in_it(disbench, tmp_path):
    (tmp_path / "thesis.tex").write_text("mine")
    refused(disbench(*RUN, "--out", tmp_path), "holds other files")
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_file_as_folder(disbench, tmp_path):
    (tmp_path / "r").write_text("mine")
    refused(disbench(*RUN, "--out", tmp_path / "r"), "is a file")


def test_a_folder_below_a_file(disbench, tmp_path):
    (tmp_path / "r").write_text("mine")
    refused(disbench(*RUN, "--out", tmp_path / "r" / "s"), "cannot write")


def test_a_folder_that_may_not_be_written(disbench, tmp_path, monkeypatch):
    def denied(*arguments, **options):
        raise PermissionError(errno.EACCES, "Permission denied", str(tmp_path))

    monkeypatch.setattr("disbench.files.os.replace", denied)
    refused(disbench(*RUN, "--out", tmp_path / "r"), "Permission denied")


def test_a_run_of_a_newer_format(disbench, tmp_path):
    (tmp_path / "run.json").write_text('{"kind": "disbench run", "format": 99}')
    refused(disbench(*RUN, "--out", tmp_path), "99")


def test_an_empty_run_has_no_leaderboard(disbench, tmp_path):
    (tmp_path / "run.json").write_text('{"kind": "disbench run", "format": 1}')
    refused(disbench("leaderboard", tmp_path), "no seeds yet")


@pytest.fixture
def checkpoint(quick_run):
    (path,) = quick_run.glob("betavae-*/seed-0/checkpoint.pt")
    return path


def test_unknown_metrics_and_presets(disbench, checkpoint):
    refused(disbench("score", checkpoint, "--metrics", "factor_vea"), "'factor_vae'")
    refused(disbench("score", checkpoint, "--metrics", "factor_vae:kim2081"), "'kim2018'")
    refused(disbench("score", checkpoint, "--metrics", ","), "no metric")


def test_a_traversal_of_one_step_of_no_row_or_of_no_range(disbench, checkpoint):
    refused(disbench("traverse", checkpoint, "--steps", "1"), "--steps 1")
    refused(disbench("traverse", checkpoint, "--start", "-1"), "--start -1", "the rows 0 to")
    for ends in ("2", "2,-2", "a,b", "1,nan", "1,2,3", "0,1e300", "-3e38,3e38"):
        refused(disbench("traverse", checkpoint, f"--range={ends}"), repr(ends), "-2,2", "at most 1e+30")


def test_pictures_of_a_checkpoint_with_what_belongs_to_other_files(disbench, checkpoint):
    for prior in ("uniform", "normal"):
        for command in (["samples"], ["score", "--generator"], ["traverse"]):
            refused(disbench(*command, checkpoint, "--prior", prior), "--prior belongs to a decoder")
    refused(disbench("traverse", checkpoint, "--config", "dlib"), "--config", "--method")
    for command in ("samples", "traverse"):
        refused(disbench(command, checkpoint, "--out", "."), "--out . is a folder")


def test_a_checkpoint_cut_short(disbench, checkpoint):
    whole = checkpoint.read_bytes()
    for length in (0, 1, 100, len(whole) // 2, len(whole) - 1):
        checkpoint.write_bytes(whole[:length])
        refused(disbench("score", checkpoint), "checkpoint.pt")


def test_other_files_in_place_of_a_checkpoint(disbench, checkpoint):
    checkpoint.write_text("epoch,loss\n1,0.3\n")
    refused(disbench("score", checkpoint), "may be no codes: epoch, loss")
    with zipfile.ZipFile(checkpoint, "w") as file:
        file.writestr("readme.txt", "hello")
    refused(disbench("score", checkpoint))
    torch.save({"state_dict": {}}, checkpoint)
    refused(disbench("score", checkpoint), "not a disbench checkpoint")
    torch.save([1, 2], checkpoint)
    refused(disbench("score", checkpoint), "not a disbench checkpoint")


def test_a_folder_in_place_of_a_checkpoint(disbench, tmp_path):
    refused(disbench("score", tmp_path), "directory")


class Hostile:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch {self.path}",)


@pytest.mark.parametrize("how", ["torch", "pickle"])
def test_a_hostile_checkpoint_is_not_executed(disbench, checkpoint, tmp_path, how):
    trap = tmp_path / "ran"
    if how == "torch":
        torch.save({"kind": "disbench checkpoint", "weights": Hostile(trap)}, checkpoint)
    else:
        checkpoint.write_bytes(pickle.dumps(Hostile(trap)))
    refused(disbench("score", checkpoint), "could run code")
    assert not trap.exists()


def changed(checkpoint, **values):
    """The same checkpoint with other entries and, where it can be computed, their digest."""
    found = {**torch.load(checkpoint, weights_only=True), **values}
    fields = {f.name: found[f.name] for f in dataclasses.fields(Checkpoint) if f.name in found}
    with contextlib.suppress(AttributeError):
        found["digest"] = digest(fields)
    torch.save(found, checkpoint)


@pytest.mark.parametrize(
    ("values", "word"),
    [
        ({"format": 7}, "format 7"),
        ({"method": "noname"}, "'noname'"),
        ({"weights": {}}, "weights do not fit"),
        ({"weights": "none"}, "wrong types"),
        ({"shape": [1, 32]}, "wrong types"),
        ({"config": {"beta": 3.0}}, "settings do not fit"),
        ({"dataset": {"name": "dsprites", "size": 32, "sha256": "0" * 64}}, "would not be comparable"),
        ({"dataset": {"name": "nowhere", "size": 32, "sha256": "0" * 64}}, "'nowhere'"),
        ({"protocol": "nowhere"}, "'nowhere'"),
    ],
)
def test_checkpoints_that_do_not_fit(disbench, checkpoint, values, word):
    changed(checkpoint, **values)
    refused(disbench("score", checkpoint), word)


def test_weights_of_the_wrong_shape(disbench, checkpoint):
    weights = torch.load(checkpoint, weights_only=True)["weights"]
    first = next(iter(weights))
    changed(checkpoint, weights={**weights, first: torch.zeros(1)})
    refused(disbench("score", checkpoint), "weights do not fit")


def test_weights_that_are_not_numbers(disbench, checkpoint):
    weights = torch.load(checkpoint, weights_only=True)["weights"]
    changed(checkpoint, weights={name: torch.full_like(t, float("nan")) for name, t in weights.items()})
    refused(disbench("score", checkpoint), "NaN")


def test_a_full_disk(disbench, tmp_path, monkeypatch):
    """Every write into the seed's folder fails as on a full disk."""
    real = os.fsync

    def full(handle):
        if "seed-" in os.readlink(f"/proc/self/fd/{handle if isinstance(handle, int) else handle.fileno()}"):
            raise OSError(errno.ENOSPC, "No space left on device")
        real(handle)

    monkeypatch.setattr("disbench.files.os.fsync", full)
    refused(disbench("run", "--methods", "betavae", "--out", tmp_path / "r", *QUICK), "is full")
    left = [path.name for path in (tmp_path / "r").rglob("*") if path.is_file()]
    assert set(left) <= {"run.json", ".lock"}


def test_a_flipped_bit_in_the_weights(disbench, checkpoint):
    whole = bytearray(checkpoint.read_bytes())
    whole[len(whole) // 2] ^= 1
    checkpoint.write_bytes(bytes(whole))
    refused(disbench("score", checkpoint), "checkpoint.pt")


def test_too_little_memory_anywhere_is_a_sentence(disbench, tmp_path, monkeypatch):
    np.savez(tmp_path / "c.npz", codes=np.zeros((9, 2)), factors=np.arange(9))

    def check(*_):
        raise MemoryError("Unable to allocate 71.1 PiB for an array with shape (9,)")

    monkeypatch.setattr("disbench.benchmark.scoring.tables.check_codes", check)
    code, _, err = disbench("score", tmp_path / "c.npz", "--metrics", "mig")
    assert code == 2
    assert err.splitlines()[-1].startswith("disbench: there is too little memory (71.1 PiB more were asked")
