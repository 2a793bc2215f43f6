"""`disbench score` of what disbench did not train: an encoder has the same numbers in every form."""

import dataclasses
import io
import json
import re
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from disbench import metrics
from disbench.benchmark import datasets, protocols
from disbench.benchmark.protocols import choose_metrics
from disbench.benchmark.scoring import draws, interface, sources
from disbench.benchmark.scoring.encoders import Network
from disbench.benchmark.scoring.interface import Interface
from disbench.benchmark.scoring.sources import SourceOptions as Options
from disbench.benchmark.scoring.sources import Wanted, choose, open_source
from disbench.errors import UsageError
from disbench.leaderboards import wide
from disbench.metrics import Grid, registry

SIZES = (3, 4, 5)
GRID = Grid(SIZES, ("shape", "scale", "x"))
FACTORS = GRID.factors(np.arange(len(GRID)))
METRICS = "factor_vae,beta_vae,mig,sap"


@pytest.fixture
def score(disbench, home, tmp_path_factory, monkeypatch):
    """`score("file", "--option", ...)` gives what `--json` prints, of one draw unless `certain`."""
    monkeypatch.chdir(home)

    def call(*arguments, dataset="grid.npz", certain=False):
        data = ["--dataset", home / dataset] if dataset else []
        draws = () if certain else ("--repeats", "1")
        code, out, err = disbench("score", *arguments, *data, *draws, "--data-dir", home / "cache", "--json")
        assert code == 0, err
        return json.loads(out)["details"][0]

    return call


@pytest.fixture(scope="module")
def direct(home):
    """The scores by calling the metrics on the codes, without any of this."""
    codes, scores = np.load(home / "order.npy"), []
    data = datasets.load(str(home / "grid.npz"), data_dir=home / "cache")
    for choice in choose_metrics(METRICS):
        metric = metrics.get(choice.name)
        rows = draws.table_rows(data, held_out=draws.holds_out(choice))
        extra = {"rng": draws.generator(choice)} if metric.takes("rng") else {}
        if metric.takes("split"):
            extra["split"] = (np.arange(40), np.arange(40, 60))
        given = (codes, GRID) if metric.kind == "sampling" else (codes[rows], FACTORS[rows])
        scores.append(metric(*given, **extra).score)
    return scores


def scores(found):
    return [entry["score"] for entry in found["scores"]]


@pytest.mark.parametrize(
    "form",
    [
        ("free.pt2",),
        ("traced.pt",),
        ("scripted.pt",),
        ("state.pt", "--factory", "stranger:make"),
        ("nested.pt", "--factory", "stranger:make"),
        ("model.onnx",),
    ],
    ids=lambda form: form[0],
)
def test_every_form_of_an_encoder_has_the_scores_of_its_codes(score, home, direct, form):
    """Counts and votes do not change with the last digits of float32 codes; SAP's accuracies may by a row."""
    if not (home / form[0]).exists():
        pytest.skip("onnx or onnxruntime is not installed")
    found = score(*form, "--metrics", METRICS)
    assert scores(found) == pytest.approx(direct, abs=2e-4)
    assert found["dataset"]["size"] == 16
    assert any("(mean, logvar)" in line or "'mean'" in line for line in found["assumed"])


@pytest.mark.parametrize(
    "file",
    [
        "order.npy",
        "columns.npy",
        "rows.npz",
        "factors.npz",
        "codes.h5",
        "codes.parquet",
        "codes.arrow",
        "codes.mat",
        "codes.pt",
        "codes.safetensors",
        "named.csv",
        "rows.csv",
        "bare.csv",
    ],
)
def test_every_form_of_the_codes_has_their_scores(score, direct, file):
    # float32 has nine decimal digits, so even text gives the very same numbers
    found = score(file, "--metrics", "factor_vae,mig")
    assert scores(found) == [direct[0], direct[2]]


def test_codes_that_name_their_data_need_no_option(score, direct):
    assert scores(score("says.npz", "--metrics", METRICS, dataset=None)) == direct


def test_factors_that_make_a_grid_need_no_data_set(score, direct):
    found = score("factors.npz", "--metrics", METRICS, dataset=None)
    assert scores(found) == direct
    assert "complete grid of 3 x 4 x 5" in " ".join(found["assumed"])


def test_a_note_names_the_option_or_the_argument(score, home):
    """`--input-range` on the command line, `input_range` in Python."""
    options = Options(dataset=str(home / "grid.npz"), data_dir=home / "cache")
    assert any("(input_range)" in sentence for sentence in open_source(home / "traced.pt", options).assumed)
    assert any("(--input-range)" in line for line in score("traced.pt", "--metrics", "mig")["assumed"])


def test_a_refusal_that_quotes_another_names_arguments_too(home, tmp_path):
    torch.jit.trace(Double(), torch.rand(2, 1, 16, 16)).save(str(tmp_path / "double.pt"))
    wanted = Wanted(output="mu")
    options = Options(dataset=str(home / "grid.npz"), wanted=wanted, data_dir=home / "cache")
    with pytest.raises(UsageError) as refused:
        open_source(tmp_path / "double.pt", options)
    sentence = str(refused.value)
    assert ": output mu is not a table" in sentence
    assert sentence.endswith("see size, layout and output)")
    assert sentence.isprintable()
    assert ": --output mu is not a table" in refused.value.told(lambda name: f"--{name}")


def test_the_codes_are_those_of_the_module(home):
    """TorchScript and torch.export run the module's own kernels; ONNX has others, equal to rounding."""
    codes, rows = np.load(home / "order.npy"), np.arange(59)  # no multiple of a fixed batch of 4
    forms = ["free.pt2", "fixed.pt2", "traced.pt", "scripted.pt"]
    for file in [*forms, "model.onnx"] if (home / "model.onnx").exists() else forms:
        options = Options(dataset=str(home / "grid.npz"), data_dir=home / "cache")
        found = open_source(home / file, options).source.codes(rows)
        rounding = 1e-6 if file in ("model.onnx", "fixed.pt2") else 0  # others add in another order
        np.testing.assert_allclose(found, codes[rows], rtol=0, atol=rounding, err_msg=file)


def older(home, path, folders):
    """The exported program as torch 2.6 and 2.7 wrote it, or with folders as torch 2.8 did."""
    with zipfile.ZipFile(home / "free.pt2") as archive:
        kept = ("models/model.json", "serialized_exported_program.json")  # here, or by torch 2.6 and 2.7
        (graph,) = (archive.read(name) for name in archive.namelist() if name.endswith(kept))
    tensors = [io.BytesIO(), io.BytesIO()]
    torch.save(torch.load(home / "state.pt", weights_only=True), tensors[0])
    torch.save({}, tensors[1])
    flat = ("serialized_exported_program.json", "serialized_state_dict.pt", "serialized_constants.pt")
    deep = ("p/models/model.json", "p/data/weights/model.pt", "p/data/constants/model.pt")
    with zipfile.ZipFile(path, "w") as archive:
        contents = (graph, *(tensor.getvalue() for tensor in tensors))
        for name, content in zip(deep if folders else flat, contents, strict=True):
            archive.writestr(name, content)
        archive.writestr(*(("p/archive_format", "pt2") if folders else ("version", "8.0")))


@pytest.mark.parametrize("folders", [False, True], ids=["torch 2.6", "torch 2.8"])
def test_the_layouts_of_older_versions_of_torch(home, tmp_path, folders):
    older(home, tmp_path / "older.pt2", folders)
    options = Options(dataset=str(home / "grid.npz"), data_dir=home / "cache")
    found = open_source(tmp_path / "older.pt2", options).source.codes(np.arange(len(GRID)))
    assert np.array_equal(found, np.load(home / "order.npy"))


def test_a_file_that_torch_2_6_wrote(home):
    """A convolution of stride 4, ReLU and a linear layer; weight number i of each is (i mod 7 - 3) / 8."""
    images = datasets.load(str(home / "grid.npz"), data_dir=home / "cache").images(np.arange(len(GRID)))
    kernels, offsets, weights, bias = (
        ((np.arange(np.prod(shape)) % 7 - 3) / 8).reshape(shape) for shape in [(2, 16), (2,), (3, 32), (3,)]
    )
    patches = images.numpy().astype(float).reshape(-1, 4, 4, 4, 4).swapaxes(2, 3).reshape(-1, 16, 16)
    hidden = np.maximum(patches @ kernels.T + offsets, 0)  # (images, places, channels)
    expected = hidden.swapaxes(1, 2).reshape(-1, 32) @ weights.T + bias
    options = Options(dataset=str(home / "grid.npz"), data_dir=home / "cache")
    found = open_source(Path(__file__).with_name("torch-2.6.pt2"), options).source.codes(np.arange(len(GRID)))
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


def test_some_of_the_rows_score_what_they_can(disbench, home, tmp_path):
    codes = np.load(home / "order.npy")
    rows = np.arange(5, 45)
    np.savez(tmp_path / "some.npz", codes=codes[rows], rows=rows)
    code, out, err = disbench(
        "score", tmp_path / "some.npz", "--dataset", home / "grid.npz", "--data-dir", home / "cache",
        "--metrics", "factor_vae,mig", "--json",
    )  # fmt: skip
    assert code == 0, err
    voting, table = json.loads(out)["details"][0]["scores"]
    assert voting["score"] is None
    assert "have no code" in voting["reason"]
    assert table["score"] == pytest.approx(metrics.mig(codes[rows], FACTORS[rows]).score)
    assert "on 40 of the 40 rows" in " ".join(table["warnings"])


def test_factors_without_a_grid(score, home, tmp_path):
    codes = np.load(home / "order.npy")
    np.savez(tmp_path / "table.npz", codes=codes[:50], factors=FACTORS[:50])
    found = score(tmp_path / "table.npz", "--metrics", "mig,factor_vae", dataset=None)
    assert found["scores"][0]["score"] == pytest.approx(metrics.mig(codes[:50], FACTORS[:50]).score)
    assert found["scores"][1]["score"] is not None
    assert found["scores"][1]["label"] == "dlib, values that occur"


def test_repeats_are_independent_draws_and_the_first_is_the_usual_score(score, direct):
    (entry,) = score("order.npy", "--metrics", "factor_vae", "--repeats", "4", certain=True)["scores"]
    drawn = entry["draws"]["scores"]
    assert entry["score"] == drawn[0] == direct[0]
    assert len(set(drawn)) > 1
    assert entry["draws"]["mean"] == pytest.approx(np.mean(drawn))
    assert entry["draws"]["std"] == pytest.approx(np.std(drawn, ddof=1))
    assert (entry["draws"]["min"], entry["draws"]["max"]) == (min(drawn), max(drawn))


def test_one_preset_for_all_that_have_it(score):
    found = score("order.npy", "--metrics", "factor_vae,mig,beta_vae:dlib", "--preset", "kim2018")["scores"]
    assert [entry["preset"] for entry in found] == ["kim2018", "dlib", "dlib"]


def test_several_make_a_table(disbench, home, direct, quick_run):
    arguments = ["--dataset", home / "grid.npz", "--data-dir", home / "cache", "--metrics", "mig,factor_vae"]
    code, out, _ = disbench("score", home / "order.npy", home / "traced.pt", *arguments)
    assert code == 0
    assert "order.npy" in out
    assert "traced.pt" in out
    assert out.count(f"{direct[2]:.4f}") == 2
    code, out, _ = disbench("score", home / "order.npy", home / "traced.pt", *arguments, "--json")
    assert [found["file"].split("/")[-1] for found in json.loads(out)["details"]] == [
        "order.npy",
        "traced.pt",
    ]


@pytest.mark.parametrize("ending", ["tex", "md", "html", "csv", "json", "txt"])
def test_scores_are_written_in_every_form_with_the_same_numbers(disbench, home, tmp_path, ending):
    out = tmp_path / f"t.{ending}"
    given = ("score", home / "order.npy", home / "columns.npy", "--dataset", home / "grid.npz")
    code, _, err = disbench(*given, "--metrics", "mig,sap", "--out", out)
    assert code == 0, err
    (one, _) = json.loads(disbench(*given, "--metrics", "mig,sap", "--json")[1])["details"]
    mig, sap = one["scores"]
    text = out.read_text("utf-8")
    if ending == "csv":
        frame = pd.read_csv(out)
        assert frame["score"].tolist() == pytest.approx([mig["score"], sap["score"]] * 2)
        assert frame["chance"].tolist()[:2] == pytest.approx(
            [mig["shuffled"]["mean"], sap["shuffled"]["mean"]]
        )
    elif ending == "json":
        rows = json.loads(text)["tables"][0]["rows"]
        assert [row["score"] for row in rows] == [mig["score"], sap["score"]] * 2
    else:
        # equal codes print alike, and so both are best
        # nothing is drawn for the MIG of a whole grid, so that it has no spread
        cell = wide.Cell(mig["score"])
        either = "|".join(re.escape(wide.number(cell, places)) for places in (2, 3))
        # a number, and no part of a path such as /tmp/pytest-10
        assert len(re.findall(rf"(?<![\w-])({either})(?!\d)", text)) == 2
        assert "by chance" in text
        marks = {"tex": "mathbf|textbf", "md": r"\*\*[.\d]", "html": "<b>", "txt": "model"}
        assert re.search(marks[ending], text)


def test_a_generator_has_no_single_table_for_a_paper(disbench, quick_run):
    (checkpoint,) = quick_run.glob("betavae-*/seed-0/checkpoint.pt")
    for extra in (["--format", "latex"], ["--out", "x.csv"], ["--out", "x.txt"]):
        code, _, err = disbench("score", checkpoint, "--generator", *extra)
        assert code == 2
        assert "give --json" in err


def test_checkpoints_of_one_run_make_a_table_by_their_protocol(disbench, quick_run):
    checkpoints = sorted(quick_run.glob("betavae-*/seed-*/checkpoint.pt"))
    opened = [open_source(path, Options()) for path in checkpoints]
    assert choose(opened) == protocols.get("smoke").metrics
    code, out, err = disbench("score", *checkpoints, "--metrics", "mig", "--json")
    assert code == 0, err
    assert [(one["method"], one["seed"]) for one in json.loads(out)["details"]] == [
        ("betavae", 0),
        ("betavae", 1),
    ]


def test_a_method_of_disbench_from_its_state_dict(disbench, quick_run, tmp_path):
    """The state dict with --method scores what its checkpoint scores."""
    checkpoint = sorted(quick_run.glob("betavae-*/seed-0/checkpoint.pt"))[0]
    saved = torch.load(checkpoint, weights_only=True)
    torch.save(saved["weights"], tmp_path / "state.pt")
    options = ["--metrics", "mig", "--json"]
    expected = json.loads(disbench("score", checkpoint, *options)[1])["details"][0]
    code, out, err = disbench(
        "score", tmp_path / "state.pt", "--method", "betavae", "--config", "mini", "--dataset", "dsprites",
        "--size", "32", *options,
    )  # fmt: skip
    assert code == 0, err
    assert scores(json.loads(out)["details"][0]) == scores(expected)


class Upside(nn.Module):
    """Codes (3, as (b, 3, 1, 1)) of images (b, h, w, c) of uint8 among other outputs, in a dict."""

    def forward(self, x):
        return {"picture": x, "mu": x.float()[:, 3:15:4, 3:15:4, 0].sum(2)[:, :, None, None]}


def test_layout_type_and_the_dict_s_key_are_found(score, home, tmp_path):
    images = np.load(home / "grid.npz")["images"]
    free = ({0: torch.export.Dim("batch", max=4096)},)  # torch 2.6 does not export Upside without an end
    given = (torch.zeros(4, 16, 16, 1, dtype=torch.uint8),)
    torch.export.save(torch.export.export(Upside(), given, dynamic_shapes=free), tmp_path / "odd.pt2")
    found = score(tmp_path / "odd.pt2", "--metrics", "mig")
    codes = images[:, 3:15:4, 3:15:4].astype(np.float32).sum(2)
    assert scores(found) == pytest.approx([metrics.mig(codes, FACTORS).score], abs=1e-12)
    told = " ".join(found["assumed"])
    assert "nhwc" in told
    assert "uint8" in told
    assert "'mu'" in told


@pytest.mark.parametrize(
    ("layout", "span", "expected"),
    [
        ("nchw", "0,1", [[[[0.0, 0.2]], [[0.4, 0.6]], [[0.8, 1.0]]]]),
        ("nhwc", "0,1", [[[[0.0, 0.4, 0.8], [0.2, 0.6, 1.0]]]]),
        ("flat", "-1,1", [[-1.0, -0.6, -0.2, 0.2, 0.6, 1.0]]),
        ("nhwc", "uint8", [[[[0, 102, 204], [51, 153, 255]]]]),
    ],
)
def test_images_of_three_channels_by_hand(layout, span, expected):
    images = torch.linspace(0, 1, 6).reshape(1, 3, 1, 2)
    made = Interface(layout, 3, span).prepare(images, None)
    torch.testing.assert_close(made, torch.tensor(expected, dtype=made.dtype))
    assert (made.dtype == torch.uint8) == (span == "uint8")


@pytest.mark.parametrize(
    ("dtype", "span", "words"),
    [
        (torch.int64, "", "takes int64; export"),
        (torch.bool, "0,255", "takes bool; export"),
        (torch.uint8, "0,1", "input_range 0,1 was given, and it takes uint8"),
        (torch.uint8, "-1,1", "input_range -1,1 was given, and it takes uint8"),
    ],
)
def test_an_encoder_of_whole_numbers_gets_pixels_or_nothing(home, dtype, span, words):
    # as whole numbers nearly all of [0, 1] is 0
    network = Network(Path("it"), lambda images: images.float().flatten(1), (None, 1, 16, 16), dtype)
    with pytest.raises(UsageError, match=words):
        interface.fit(network, Wanted(span), str(home / "grid.npz"), None)


def test_grey_images_for_three_channels():
    made = Interface("nchw", 3, "0,1").prepare(torch.tensor([[[[0.25, 0.5]]]]), None)
    assert made.tolist() == [[[[0.25, 0.5]], [[0.25, 0.5]], [[0.25, 0.5]]]]


class Double(nn.Module):
    """Mean and log variance side by side, (b, 6), of pixels that it wants in [-1, 1]."""

    def forward(self, x):
        mean = x.flatten(1)[:, 192:204:4] ** 2
        return torch.cat([mean, -x.flatten(1)[:, :3]], dim=1)


@pytest.mark.parametrize(("span", "scale", "shift"), [("0,1", 1, 0), ("-1,1", 2, -1), ("0,255", 255, 0)])
def test_the_input_range_and_half_of_the_columns(home, tmp_path, span, scale, shift):
    torch.jit.trace(Double(), torch.rand(2, 1, 16, 16)).save(str(tmp_path / "double.pt"))
    wanted = Wanted(input_range=span, output="first-half")
    opened = open_source(
        tmp_path / "double.pt",
        Options(dataset=str(home / "grid.npz"), wanted=wanted, data_dir=home / "cache"),
    )
    pixels = np.load(home / "grid.npz")["images"].reshape(-1, 256)[:, 192:204:4] / 255
    expected = (scale * pixels + shift) ** 2
    found = opened.source.codes(np.arange(len(GRID)))
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_a_run_s_own_codes_file(disbench, home, tmp_path):
    """As the sweep writes it: some rows of a named data set; voting metrics find exactly their rows."""
    data = datasets.load(str(home / "grid.npz"), data_dir=home / "cache")
    codes, (choice,) = np.load(home / "order.npy"), choose_metrics("factor_vae")
    rows = np.unique(metrics.get("factor_vae").rows(data.grid, draws.generator(choice), choice.preset))
    values = {"codes": codes[rows], "rows": rows, "dataset": data.name, "size": 16, "sha256": data.sha256}
    np.savez(tmp_path / "codes.npz", **values)
    code, out, err = disbench(
        "score", tmp_path / "codes.npz", "--metrics", "factor_vae", "--data-dir", home / "cache", "--json"
    )
    assert code == 0, err
    expected = metrics.factor_vae(codes, data.grid, rng=draws.generator(choice)).score
    assert scores(json.loads(out)["details"][0]) == [expected]


class Rows(nn.Module):
    """Three sums over parts of images of 16x24 pixels alone."""

    def forward(self, x):
        assert x.shape[2:] == (16, 24)
        return torch.stack([x[:, 0, :5].sum((1, 2)), x[:, 0, 5:].sum((1, 2)), x[:, 0, :, :9].sum((1, 2))], 1)


def test_the_scores_of_a_model_are_not_written_over_those_of_its_run(quick_run, disbench, monkeypatch):
    (folder,) = quick_run.glob("betavae-*/seed-0")
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    monkeypatch.chdir(folder)
    command = ("score", "codes.npz", "--metrics", "mig", "--json", "--out")
    for name in ("scores.json", "cell.json", "../../run.json"):
        code, _, err = disbench(*command, name)
        assert (code, f"--out {name} would be written over {name}, a part of" in err) == (2, True)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    # a file of the user's own is written again
    assert disbench(*command, "mine.json")[0] == disbench(*command, "mine.json")[0] == 0


def test_images_that_are_no_squares_are_scored_with_both_sides(disbench, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    images = np.random.default_rng(0).integers(0, 256, (len(GRID), 16, 24)).astype(np.uint8)
    np.savez("wide.npz", images=images, factors=FACTORS)
    x = images.astype(np.float32) / 255
    expected = np.stack([x[:, :5].sum((1, 2)), x[:, 5:].sum((1, 2)), x[:, :, :9].sum((1, 2))], 1)
    torch.jit.trace(Rows(), torch.rand(2, 1, 16, 24)).save("rows.pt")
    options = Options(dataset="wide.npz", data_dir=tmp_path)
    for opened in (open_source(Path("rows.pt"), options), sources.open_encoder(Rows(), options)):
        np.testing.assert_allclose(opened.source.codes(np.arange(len(GRID))), expected, rtol=1e-5)
        assert opened.dataset["size"] == (16, 24)
    code, out, err = disbench(
        "run", "--methods", "vae", "--dataset", "wide.npz", "--protocol", "smoke", "--out", "r", "--dry-run"
    )
    assert (code, err) == (0, "")
    assert "the images of wide.npz, 16x24, are resized to 32x32 pixels" in out
    np.savez("labels.npz", images=images, labels=np.arange(len(GRID)) % 3)
    code, _, err = disbench("data", "classifier", "labels.npz")
    assert (code, "a classifier needs squares" in err) == (2, True)


@pytest.mark.parametrize(("names", "expected"), [("mig,mcc", 0), ("mig", 1)])
def test_a_metric_that_fails_is_told_in_a_sentence(disbench, home, monkeypatch, names, expected):
    """The others stand; its traceback is in the JSON and nowhere else."""

    def fails(*arguments, **settings):
        raise ValueError("Too many bins")

    monkeypatch.setitem(registry._METRICS, "mig", dataclasses.replace(metrics.get("mig"), fn=fails))
    arguments = ["score", home / "factors.npz", "--metrics", names]
    code, out, err = disbench(*arguments)
    assert code == expected
    assert (
        "mig: no score: mig failed: ValueError: Too many bins; its traceback is in what --json prints" in out
    )
    assert "Traceback" not in out + err
    code, out, _ = disbench(*arguments, "--json")
    assert code == expected
    failed, *others = json.loads(out)["details"][0]["scores"]
    assert failed["traceback"].startswith("Traceback")
    assert all(entry["score"] is not None for entry in others)


def test_an_encoder_that_fails_slowly_is_not_tried_in_every_form(home, monkeypatch):
    shapes = []

    def encoder(images):
        shapes.append(tuple(images.shape))
        raise MemoryError("too much")

    options = Options(dataset=str(home / "grid.npz"), data_dir=home / "cache")
    with pytest.raises(UsageError, match="too much"):
        sources.open_encoder(encoder, options)
    many, shapes = shapes, []
    monkeypatch.setattr(interface, "TRYING", 0.0)
    with pytest.raises(UsageError, match="too much"):
        sources.open_encoder(encoder, options)
    assert len(shapes) == 1 < len(many)
