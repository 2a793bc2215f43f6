"""`import disbench`: the functions behind the commands."""

import inspect
import shutil
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
import typer.main

import disbench
from disbench.benchmark.cli import main as program
from disbench.benchmark.datasets.reference import DataRef
from disbench.benchmark.runs import store
from disbench.benchmark.runs.store import Status
from disbench.errors import UsageError


@pytest.fixture
def command(request):
    """The program, under another name than the package's."""
    return request.getfixturevalue("disbench")


# What `finished_run` was made with.
SAME = {
    "protocol": "smoke",
    "jobs": 1,
    "settings": {"betavae": {"steps": 6, "batch": 4}},
}


@pytest.mark.parametrize(
    ("use", "absent"),
    [
        ("", {"torch", "numpy", "pandas", "sklearn", "typer"}),
        ("disbench.metrics.mig; disbench.plugins.files()", {"torch", "disbench.models"}),
        ("disbench.datasets.names(); dir(disbench); disbench.UsageError", {"torch", "pandas", "matplotlib"}),
    ],
)
def test_a_name_loads_what_it_needs_and_no_more(use, absent):
    code = f"import sys, disbench; {use}\nprint(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert not absent & set(loaded.split())


def test_every_public_name_is_there():
    assert all(getattr(disbench, name) is not None for name in disbench.__all__)
    with pytest.raises(AttributeError, match="nonesuch"):
        disbench.nonesuch  # noqa: B018


def test_the_same_run_by_function_and_by_command(quick_run):
    """Settings as numbers make the cells that settings as texts made, so there is nothing left to do."""
    before = {path: path.stat().st_mtime_ns for path in quick_run.rglob("checkpoint.pt")}
    assert len(before) == 2
    run = disbench.run("betavae", seeds=2, out=quick_run, **SAME)
    assert dict(run.outcomes) == {"done": 2}
    assert not run.interrupted
    assert before == {path: path.stat().st_mtime_ns for path in quick_run.rglob("checkpoint.pt")}


def test_what_a_run_tells(finished_run):
    run = disbench.Run(finished_run)
    assert list(run.status()["state"]) == ["done", "done"]
    assert [path.parent.name for path in run.checkpoints()] == ["seed-0", "seed-1"]
    scores, board = run.scores(), run.leaderboard()
    assert set(scores["metric"]) == {"beta_vae", "factor_vae"}
    voted = scores[scores["metric"] == "factor_vae"]["score"]
    shown = board[board["metric"] == "factor_vae"].iloc[0]
    assert shown["n"] == 2
    assert shown["mean"] == pytest.approx(np.mean(list(voted)))


def test_a_run_is_opened_by_a_text_and_asked_as_the_command_asks(finished_run):
    run = disbench.Run(str(finished_run))
    assert run == disbench.Run(finished_run)
    assert run.checkpoints() == disbench.Run(finished_run).checkpoints()
    assert run.leaderboard(where={"seed": 1}).equals(run.leaderboard(where={"seed": "1"}))
    with pytest.raises(UsageError, match=r"^jobs -1 was given"):
        run.rescore("mig", jobs=-1)


def test_a_loaded_method_encodes_and_draws(finished_run):
    method = disbench.load(disbench.Run(finished_run).checkpoints()[0])
    data = disbench.datasets.load("dsprites", size=32)
    with torch.no_grad():
        codes = method.represent(data.images([0, 1, 2]))
        images = method.generate(codes)
    assert codes.shape[0] == 3
    assert images.shape == (3, 1, 32, 32)
    assert not method.training


def test_a_new_seed_is_trained_and_a_failed_one_does_not_raise(quick_run):
    run = disbench.run(["betavae"], seeds=[5], out=str(quick_run), **SAME)
    assert dict(run.outcomes) == {"done": 1}
    assert sorted(run.status()["seed"]) == [0, 1, 5]
    wild = {"betavae": {"steps": 6, "batch": 4, "lr": 1e30}}
    run = disbench.run("betavae", seeds=1, out=quick_run, protocol="smoke", jobs=1, settings=wild)
    assert run.outcomes["failed"] == 1
    assert list(run.status()["error"].str.len() > 0).count(True) == 1


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"methods": "betavea"}, "betavae"),
        ({"seeds": 0}, "^seeds must be at least 1, .* not 0"),
        ({"seeds": []}, r"^seeds \[\] is empty"),
        ({"seeds": "x"}, "^seeds 'x' is not a number"),
        ({"seeds": [-1]}, "negative"),
        ({"jobs": -1}, "^jobs -1 was given; give 1 or more"),
        ({"fuse": -1}, "^fuse -1 was given"),
        ({"methods": []}, "^methods is empty"),
        ({"max_memory": "much"}, "^max_memory 'much'"),
        ({"max_seconds": -1}, "^max_seconds -1 was given"),
        ({"scheduler": "tcp://x:1", "max_memory": "6G"}, "^max_memory limits .* with scheduler .* with jobs"),
        ({"settings": {"vae": {"beta": 1}}}, "^settings names the method 'vae', .* methods betavae"),
        ({"protocol": "smok"}, "smoke"),
        ({"settings": {"betavae": {"gamma": 1}}}, "gamma"),
        ({"settings": {"beta": 4}}, "^settings .*beta.* is not method to setting to value"),
        ({"settings": "betavae.beta=4"}, "^settings betavae.beta=4 is not method to setting"),
        ({"grid": {"beta": [4]}}, "^grid .*beta.* is not method to setting"),
        ({"device": "tpu"}, "device"),
        ({"plugin": "nowhere.py"}, "no Python file"),
    ],
)
def test_what_does_not_fit_is_a_sentence_before_anything_is_written(tmp_path, wrong, sentence):
    given = {"methods": "betavae", "protocol": "smoke", "out": tmp_path / "r", **wrong}
    with pytest.raises(UsageError, match=sentence):
        disbench.run(given.pop("methods"), **given)
    assert not (tmp_path / "r").exists()


def test_images_that_are_no_squares_need_a_size(tmp_path):
    """A run records one number for their size, and every net takes squares."""
    file = tmp_path / "wide.npz"
    np.savez(file, images=np.zeros((4, 16, 32), np.uint8), labels=np.arange(4))
    words = {"protocol": "smoke", "dataset": str(file), "data_dir": tmp_path, "out": tmp_path / "run"}
    prepared = disbench.Request("vae", **words).prepare()
    assert prepared.cells[0].dataset.size == 32
    assert "the images of wide.npz, 16x32, are resized to 32x32 pixels (bilinear, all of each image)" in (
        prepared.advice
    )
    with pytest.raises(UsageError, match=r"16x32 pixels, and a run needs squares; .* with size,"):
        disbench.datasets.load(str(file), data_dir=tmp_path).side("a run")
    (cell,) = disbench.Request("vae", size=16, **words).prepare().cells
    assert cell.dataset.load(tmp_path).shape == (1, 16, 16)


def test_a_file_of_images_is_converted_once(tmp_path):
    """Loaded as it is, and again by the size that a run records."""
    file = tmp_path / "square.npz"
    np.savez(file, images=np.zeros((4, 16, 16), np.uint8), labels=np.arange(4))
    data = disbench.datasets.load(str(file), data_dir=tmp_path)
    assert DataRef.of(data).load(tmp_path).shape == (1, 16, 16)
    assert len(list(tmp_path.glob("*.h5"))) == 1


def test_the_arguments_of_a_run_are_those_of_a_request():
    for function in (disbench.run, disbench.forecast):
        signature = inspect.signature(function)
        assert signature.parameters == inspect.signature(disbench.Request).parameters
        assert signature.parameters["seeds"].default == 1
        assert signature.parameters["seeds"].kind is inspect.Parameter.KEYWORD_ONLY
        assert "Request" in function.__doc__
        with pytest.raises(TypeError, match="seed"):
            function("betavae", seed=1)


def test_the_command_can_ask_for_all_that_python_can_and_for_no_more():
    """The options of `disbench run` are the arguments of a request, but for what only one of them needs."""
    asked = set(inspect.signature(disbench.Request).parameters)
    options = {program.option(name) for name in asked - {"console"}} | {"--dry-run", "--json"}
    command = typer.main.get_command(program.app).commands["run"]
    assert {name for p in command.params for name in p.opts} == options


@pytest.mark.parametrize(
    ("seeds", "numbers"),
    [(3, (0, 1, 2)), ("3", (0, 1, 2)), ("7,3,3", (3, 7)), ("5,", (5,)), ([7, 3], (3, 7)), (range(2), (0, 1))],
)
def test_seeds_are_a_number_or_a_list_in_both_doors(seeds, numbers):
    assert disbench.Request("vae", seeds=seeds).seeds == numbers
    assert disbench.Request("vae", seeds=(seed for seed in numbers)).seeds == numbers


def test_methods_are_a_list_or_a_text_in_both_doors():
    for methods in ("vae, betavae,vae", ["vae", "betavae"], iter(["vae", "betavae"])):
        assert disbench.Request(methods).methods == ["vae", "betavae"]


def test_a_request_asks_the_same_each_time_whatever_becomes_of_what_it_was_given():
    """Requests of a loop that changes one dictionary would all train its last setting."""
    beta = {"beta": 1.0}
    given = {"protocol": "smoke", "metrics": iter(["mig"]), "dataset": iter(["dsprites"])}
    request = disbench.Request(
        "betavae", settings={"betavae": beta}, grid={"betavae": {"steps": iter([5, 6])}}, **given
    )
    beta["beta"] = 2.0
    first, second = request.prepare(), request.prepare()
    assert [(cell.config["beta"], cell.config["steps"]) for cell in first.cells] == [(1.0, 5), (1.0, 6)]
    assert second.cells == first.cells
    assert second.protocol.metrics == first.protocol.metrics
    assert [choice.name for choice in first.protocol.metrics] == ["mig"]


FAST = {"protocol": "smoke", "settings": {"betavae": {"steps": 6, "batch": 4}, "vae": {"steps": 6}}}


def test_a_forecast_tells_of_every_method_and_writes_nothing(tmp_path):
    request = disbench.Request(["betavae", "vae"], seeds=3, jobs=2, out=tmp_path / "r", **FAST)
    found = disbench.forecast(request)
    assert list(tmp_path.iterdir()) == []
    table = found.table()
    assert list(table["method"]) == ["betavae", "vae"]
    assert list(table["to_do"]) == [3, 3]
    assert list(table["done"]) == [0, 0]
    assert (table["seconds_per_seed"] > 0).all()
    assert table["seconds"].sum() == pytest.approx(3 * table["seconds_per_seed"].sum())
    # two at a time: at least half of the whole, at least the longest, never more than the whole
    assert table["seconds"].sum() / 2 <= found.seconds + 1e-9 < table["seconds"].sum()
    assert "6 of 6 seeds to do, 2 at a time: about" in str(found)
    assert all(name in str(found) for name in ("betavae", "a seed", "memory", "nothing was written"))


def test_a_forecast_of_a_run_goes_by_its_finished_seeds(quick_run, command):
    """Its numbers are those of `--dry-run`; the memory limit takes jobs away."""
    for _, folder in store.cells(quick_run):
        status = Status.read(folder)
        replace(status, training=6.0, seconds=8.0, peak_private_mb=300).write(folder)
    given = {"seeds": 5, "out": quick_run, **SAME, "jobs": 4}
    (row,) = disbench.forecast("betavae", **given).table().to_dict("records")
    assert (row["to_do"], row["done"]) == (3, 2)
    assert row["seconds_per_seed"] == 8.0
    assert row["memory_per_worker"] == 300 * 2**20
    assert row["seconds"] == 24.0
    assert disbench.forecast("betavae", **given).seconds == 8.0
    limited = disbench.forecast("betavae", max_memory="700M", **given)
    assert (limited.jobs, limited.seconds) == (2, 16.0)
    assert "2 instead of 4 at a time: each worker needs about 300 MiB" in str(limited)
    options = ["--protocol", "smoke", "--set", "betavae.steps=6", "--set", "betavae.batch=4", "--jobs", 4]
    run = ["run", "--methods", "betavae", "--seeds", 5, "--out", quick_run, *options]
    code, out, _ = command(*run, "--max-memory", "700M", "--dry-run")
    assert code == 0
    assert all(sentence in out for sentence in limited.sentences())


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"scheduler": "tcp://x:1"}, "^a forecast measures on this machine; omit scheduler"),
        ({"max_memory": "1M"}, "^one worker needs about .* of max_memory; .* with settings"),
    ],
)
def test_a_forecast_that_cannot_be_made(quick_run, wrong, sentence):
    with pytest.raises(UsageError, match=sentence):
        disbench.forecast("betavae", seeds=5, out=quick_run, **SAME, **wrong)


def test_a_forecast_refuses_a_folder_that_a_run_would(tmp_path):
    (tmp_path / "thesis.tex").write_text("mine")
    with pytest.raises(UsageError, match="give out a new or empty folder"):
        disbench.forecast("betavae", protocol="smoke", out=tmp_path)


def test_a_run_is_kept_as_the_command_keeps_it(quick_run, command, tmp_path):
    files = disbench.Run(quick_run).keep("mine", results=tmp_path / "one")
    code, out, err = command("leaderboard", quick_run, "--keep", "mine", "--results", tmp_path / "two")
    assert code == 0, err
    for path in files:
        twin = tmp_path / "two" / "mine" / path.name
        assert f"kept: {twin}" in out
        if path.suffix == ".csv":
            assert path.read_text() == twin.read_text()
    assert {"scores.csv", "leaderboard.csv", "provenance.json"} <= {path.name for path in files}
    assert disbench.Run(quick_run).keep("mine", results=tmp_path / "one") == files


def test_what_cannot_be_kept_is_a_sentence(quick_run, tmp_path):
    run = disbench.Run(quick_run)
    with pytest.raises(UsageError, match=r"'\.\./x'"):
        run.keep("../x", results=tmp_path)
    ((cell, folder),) = [(cell, folder) for cell, folder in store.cells(quick_run) if cell.seed == 1]
    other = replace(cell, dataset=replace(cell.dataset, sha256="0" * 64))
    shutil.copytree(folder, quick_run / other.folder)
    store.CellFile(other).write(quick_run / other.folder)
    with pytest.raises(UsageError, match="data"):
        run.keep("mine", results=tmp_path / "results")
    assert not (tmp_path / "results").exists()


def test_a_folder_that_is_no_run(tmp_path):
    with pytest.raises(UsageError, match="not a disbench run"):
        disbench.Run(tmp_path)


METRICS = ["mig", "sap:dlib_continuous", "linear_r2"]


def test_codes_in_memory_score_as_those_of_a_file(tmp_path):
    rng = np.random.default_rng(0)
    rows = np.unique(rng.integers(0, 737_280, 2_000))
    codes = disbench.datasets.load("dsprites", size=32).factors(rows) + rng.normal(0, 0.1, (len(rows), 5))
    np.savez(tmp_path / "codes.npz", codes=codes, rows=rows)
    here = disbench.score(codes, rows=rows, dataset="dsprites", size=32, metrics=METRICS)
    there = disbench.score(tmp_path / "codes.npz", dataset="dsprites", size=32, metrics=METRICS)
    assert here["mig"] == there["mig"]
    assert here["linear_r2"] == there["linear_r2"]
    assert here["linear_r2"] > 0.9
    assert list(here.table()["metric"]) == ["mig", "sap", "linear_r2"]
    assert "mig" in here
    assert {name: here[name] for name in here} == {e.name: e.score for e in here.scores}
    with pytest.raises(UsageError, match="metric of this score 'migg'"):
        here["migg"]


def test_a_metric_with_two_presets_is_not_one_number():
    factors = np.stack(np.unravel_index(np.arange(60), (3, 4, 5)), axis=1)
    codes = factors + np.random.default_rng(0).normal(0, 0.3, factors.shape)
    both = disbench.score(codes, factors=factors, metrics=["mig", "mig:ubisoft", "mcc"])
    assert list(both) == ["mig:dlib", "mig:ubisoft", "mcc"]
    for name in both:
        assert both[name] == disbench.score(codes, factors=factors, metrics=name)[name]
    assert both["mig:dlib"] != both["mig:ubisoft"]
    with pytest.raises(UsageError, match="several scores of mig; choose from: mig:dlib, mig:ubisoft, mcc"):
        both["mig"]


def test_a_trained_method_in_memory_scores_as_its_checkpoint(finished_run):
    (path, _) = disbench.Run(finished_run).checkpoints()
    saved = disbench.score(path, metrics=METRICS)
    loaded = disbench.score(disbench.load(path), dataset="dsprites", metrics=METRICS)
    assert [saved[name] for name in ("mig", "sap")] == [loaded[name] for name in ("mig", "sap")]


def test_a_module_and_a_function_in_memory_score_alike():
    class Encoder(torch.nn.Module):
        def __init__(self):
            super().__init__()
            torch.manual_seed(0)
            self.linear = torch.nn.Linear(1024, 4)
            self.drop = torch.nn.Dropout()  # would make it unsteady if it were not put in evaluation mode

        def forward(self, images):
            return self.drop(self.linear(images.flatten(1)))

    module = Encoder()
    one = disbench.score(module, dataset="dsprites", size=32, metrics="mig,linear_r2")
    weight, bias = module.linear.weight, module.linear.bias
    two = disbench.score(
        lambda x: torch.nn.functional.linear(x.flatten(1), weight, bias),
        dataset="dsprites",
        size=32,
        metrics="mig,linear_r2",
    )
    assert one["mig"] == two["mig"]
    assert any("in [0, 1], which is assumed" in sentence for sentence in one.assumed)


@pytest.mark.parametrize(
    ("source", "given", "sentence"),
    [
        (np.zeros((10, 2)), {"dataset": "dsprites"}, "the array: each of the 2 codes is the same"),
        (np.full((10, 2), np.nan), {"dataset": "dsprites"}, "the array: 10 of 10 rows"),
        (np.eye(10), {}, "the array does not say which data"),
        (np.eye(10), {"dataset": "dsprites"}, "the array has 10 codes, but dsprites has 737,280"),
        ("nowhere.npz", {}, "nowhere.npz"),
        (torch.nn.Identity(), {"rows": [1]}, "rows belongs to codes, but the Identity is a model"),
        (np.eye(10), {"dataset": "dsprites", "rows": range(10), "repeats": 0}, "^repeats 0 was given"),
        (np.eye(10), {"dataset": "dsprites", "rows": range(10), "repeats": 2.5}, "^repeats 2.5 was given"),
        (torch.nn.Identity(), {}, "the Identity does not say which images"),
    ],
)
def test_a_source_that_cannot_be_scored_is_a_sentence(source, given, sentence):
    with pytest.raises(UsageError, match=sentence):
        disbench.score(source, **given)


def test_a_metric_that_cannot_be_had_has_its_reason_in_the_table():
    codes = np.random.default_rng(0).normal(size=(500, 3))
    scored = disbench.score(
        codes, rows=range(500), dataset="dsprites", size=32, metrics=["mig", "factor_vae"]
    )
    assert scored["factor_vae"] is None
    assert list(scored.table()["reason"].str.contains("whole grid")) == [False, True]
