import json
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from disbench.benchmark import datasets
from disbench.benchmark.datasets.reference import DataRef
from disbench.benchmark.runs import codes as kept
from disbench.benchmark.runs import figures, findings, matrices, meant, rows, store
from disbench.benchmark.scoring.sources import SourceOptions
from disbench.leaderboards import sheets


@pytest.fixture
def plot(disbench):
    """`disbench plot ...`: (exit code, lines printed, what stands in standard error)."""

    def call(*arguments):
        code, out, error = disbench("plot", *arguments)
        return code, out.splitlines(), error

    return call


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        ("strip", ["strip"]),
        ("sweep", ["sweep-beta"]),
        ("correlation", ["correlation"]),
        ("curves", None),
        ("traversals", ["traversals-betavae-mini-beta-2-0", "traversals-betavae-mini", "traversals-ibgan"]),
    ],
)
def test_each_kind_of_a_run_is_drawn_as_three_files(kind, names, made_run, plot, tmp_path):
    code, lines, error = plot(made_run, "--kind", kind, "--out", tmp_path / "p")
    assert (code, error) == (0, "")
    assert len(lines) == 3 * (len(names) if names else 3)
    if names:
        expected = {f"{name}.{ending}" for name in names for ending in ("png", "svg", "pdf")}
        assert {path.name for path in (tmp_path / "p").iterdir()} == expected
    for line in lines:
        if line.endswith(".png"):
            Image.open(line).verify()
        elif line.endswith(".svg"):
            ElementTree.parse(line)
        else:
            assert Path(line).read_bytes().startswith(b"%PDF-")


@pytest.mark.parametrize("name", ["a.png", "b.JPG", "c.pdf", "d.svg"])
def test_the_name_of_a_picture_makes_no_folder(name, made_run, plot, tmp_path):
    code, _, error = plot(made_run, "--kind", "strip", "--out", tmp_path / name)
    assert code == 2
    assert f"give a folder, such as {tmp_path / name[0]}" in error
    assert not (tmp_path / name).exists()


def test_pictures_of_a_saved_result_are_not_written_over_those_that_it_keeps(
    made_run, plot, disbench, tmp_path, monkeypatch
):
    options = ("--results", tmp_path / "results", "--data-dir", tmp_path)
    assert disbench("leaderboard", made_run, "--keep", "run", *options)[0] == 0
    kept, here = tmp_path / "results" / "run", tmp_path / "here"
    before = {path: path.read_bytes() for path in kept.iterdir()}
    here.mkdir()
    monkeypatch.chdir(here)
    command = (kept, "--kind", "strip", "--metric", "factor_vae")
    assert plot(*command)[:2] == (0, ["strip.png", "strip.svg", "strip.pdf"])
    code, _, error = plot(*command, "--out", kept)
    assert code == 2
    assert "strip.png belongs to what is drawn and would be written over" in error
    assert {path: path.read_bytes() for path in kept.iterdir()} == before


def test_a_saved_result_shows_no_picture_of_a_run_that_is_called_alike(
    made_run, plot, disbench, tmp_path, monkeypatch
):
    options = ("--results", tmp_path / "results", "--data-dir", tmp_path)
    assert disbench("leaderboard", made_run, "--keep", "run", *options)[0] == 0
    monkeypatch.chdir(tmp_path)
    kept = tmp_path / "results" / "run"
    code, _, error = plot(kept, "--kind", "traversals")
    assert code == 2
    assert "no seed with a score has a traversal.png" in error
    code, lines, _ = plot("run", "--kind", "traversals", "--out", tmp_path / "p")
    assert (code, len(lines)) == (0, 9)
    frame, _ = rows.gather([kept])
    judged = meant.judge(frame, "factor_vae")
    assert findings.traversals(frame, *judged) == findings.matrices(frame, *judged) == {}


def test_mutual_information_that_the_scores_hold_is_drawn_without_the_model(maker, plot, tmp_path):
    values = [[0.0, 1.0, 0.0, 0.0, 0.0], [0.5, 0.0, 0.0, 0.0, 0.2]]
    folder = maker.done("vae", 0, {"mig": 0.3}, parts={"mig": {"mutual_information": values}})
    code, lines, error = plot(folder, "--kind", "mi", "--out", tmp_path)
    assert (code, error) == (0, "")
    assert "mi.svg" in lines[1]


def test_the_plots_of_a_saved_result_do_not_replace_its_own(made_run, plot, disbench, tmp_path, monkeypatch):
    saved = tmp_path / "results" / "run"
    options = ("--results", saved.parent, "--data-dir", tmp_path)
    assert disbench("leaderboard", made_run, "--keep", "run", *options)[0] == 0
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    before = {path.name: path.read_bytes() for path in saved.iterdir()}
    assert "strip.png" in before
    assert plot(saved, "--kind", "strip")[:2] == (0, ["strip.png", "strip.svg", "strip.pdf"])
    assert {path.name: path.read_bytes() for path in saved.iterdir()} == before


@pytest.mark.parametrize("kind", ["mi", "dci"])
def test_codes_of_anyone(kind, plot, tmp_path):
    rng = np.random.default_rng(0)
    factors = np.stack([rng.integers(0, 3, 300), rng.integers(0, 4, 300)], axis=1)
    np.savez(tmp_path / "mine.npz", codes=factors + rng.normal(0, 0.1, factors.shape), factors=factors)
    with joblib.parallel_config(backend="threading"):  # no processes for so little
        code, lines, error = plot(tmp_path / "mine.npz", "--kind", kind)
    assert code == 0, error
    assert lines[0] == str(tmp_path / f"mine-{kind}.png")


@pytest.fixture
def grid(tmp_path):
    """A small grid of images of the user's own, and its factors."""
    factors = np.stack(np.unravel_index(np.arange(60), (3, 4, 5)), axis=1)
    images = np.zeros((60, 8, 8), np.uint8)
    images[:, 0, 0] = np.arange(60) * 4
    np.savez(tmp_path / "grid.npz", images=images, factors=factors, factor_names=["shape", "scale", "x"])
    return tmp_path / "grid.npz", factors


@pytest.mark.parametrize("form", ["npy", "npz", "csv"])
def test_codes_of_rows_of_a_named_data_set_in_every_form(form, grid, plot, tmp_path):
    """Codes are the factors: each knows log 3, log 4 and log 5 nats of its own and nothing of the others."""
    data, factors = grid
    file = tmp_path / f"codes.{form}"
    if form == "npy":
        np.save(file, factors.astype(float))
    elif form == "npz":
        np.savez(file, codes=factors[::-1].astype(float), rows=np.arange(60)[::-1])
    else:
        pd.DataFrame(factors, columns=["z0", "z1", "z2"]).assign(row=range(60)).to_csv(file, index=False)
    said = SourceOptions(dataset=str(data))
    found, notes = matrices.matrix(file, "mi", "", said)
    assert found.factors == ["shape", "scale", "x"]
    np.testing.assert_allclose(found.values, np.diag(np.log([3, 4, 5])), atol=1e-9)
    code, lines, error = plot(file, "--kind", "mi", "--dataset", data)
    assert code == 0, error
    assert lines[0] == str(tmp_path / "codes-mi.png")
    assert notes


def test_a_matrix_is_the_one_that_score_prints(grid, plot, tmp_path, disbench):
    data, factors = grid
    codes = np.random.default_rng(0).normal(size=(60, 2)) + factors[:, :2]
    np.save(tmp_path / "c.npy", codes)
    found, _ = matrices.matrix(tmp_path / "c.npy", "mi", "", SourceOptions(dataset=str(data)))
    printed = disbench("score", tmp_path / "c.npy", "--dataset", data, "--metrics", "mig", "--json")[1]
    (entry,) = json.loads(printed)["details"][0]["scores"]
    np.testing.assert_allclose(found.values, entry["parts"]["mutual_information"])


def test_options_of_a_file_belong_to_plots_of_models(made_run, plot, grid):
    given = (("--dataset", grid[0]), ("--size", 32), ("--factors", grid[0]), ("--array", "z*"))
    # codes are too few rows for differences
    kinds = ("mi, dci, differences", "mi, dci, differences", "mi, dci", "mi, dci")
    for (option, value), own in zip(given, kinds, strict=True):
        code, _, error = plot(made_run, "--kind", "strip", option, value)
        assert code == 2
        assert f"{option} belongs to {own}, not to strip" in error
    np.save(grid[0].with_name("c.npy"), grid[1])
    code, _, error = plot(grid[0].with_name("c.npy"), "--kind", "mi")
    assert code == 2
    assert "name the data set with --dataset" in error


def test_codes_that_a_run_kept_need_no_model(maker, plot, tmp_path):
    """Code 1 is the factor scale, the others are noise: it knows everything about it, log 6 nats."""
    data = datasets.load("dsprites", size=32)
    folder = maker.done("vae", 0, {"mig": None})
    rng = np.random.default_rng(0)
    rows = np.sort(rng.choice(len(data), 4_000, replace=False))
    codes = rng.normal(size=(len(rows), 3)).astype(np.float32)
    codes[:, 1] = data.factors(rows)[:, list(data.factor_names).index("scale")]
    kept.write(folder / "codes.npz", DataRef("dsprites", 32, data.sha256), rows, codes)
    found, _ = matrices.matrix(folder, "mi")
    assert found.factors == ["shape", "scale", "orientation", "posX", "posY"]
    assert found.values[1, 1] == pytest.approx(np.log(6), abs=0.01)
    assert np.delete(found.values.ravel(), 6).max() < 0.5
    code, lines, error = plot(folder, "--kind", "mi", "--out", tmp_path)
    assert (code, len(lines)) == (0, 3)
    assert "on 4,000 of the" in error or "rows" in error
    kept.write(folder / "codes.npz", DataRef("dsprites", 32, "0" * 64), rows, codes)
    code, _, error = plot(folder, "--kind", "mi")
    assert code == 2
    assert "codes of dsprites with sha256 000000000" in error


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--kind", "pie"], "pie"),
        (["--kind", "mi"], "neither a seed's folder"),
        (["--kind", "sweep", "--field", "gamma"], "gamma"),
        (["--kind", "strip", "--metric", "nonsense"], "nonsense"),
        (["--kind", "correlation", "--metric", "factor_vae"], "needs two metrics and three models"),
        (["--quantity", "nonsense"], "nonsense"),
        (["--width", "colum"], "did you mean 'column'"),
        (["--kind", "mi", "--zoom"], "--zoom belongs to strip, sweep, frontier, tuned, sides, not to mi"),
        (["--field", "beta"], "--field belongs to sweep, not to curves"),
        (["--metric", "mig"], "not to curves"),
        (["--kind", "categories", "--metric", "mig"], "not to categories"),
        (["--kind", "strip", "--quantity", "nonsense"], "--quantity belongs to curves, sweep, frontier, not"),
        (["--kind", "strip", "--device", "gpu"], "--device belongs to mi, dci, differences, not to strip"),
        (["--kind", "strip", "--data-dir", "d"], "--data-dir belongs to mi, dci, differences, not to strip"),
    ],
)
def test_what_cannot_be_drawn_is_one_sentence(arguments, sentence, made_run, plot):
    code, lines, error = plot(made_run, *arguments)
    assert (code, lines) == (2, [])
    assert sentence in error
    assert error.count("\n") == 1


def test_a_run_in_which_nothing_varies_has_no_sweep(maker, plot):
    maker.done("vae", 0, {"mig": 0.3})
    code, _, error = plot(maker.path, "--kind", "sweep")
    assert code == 2
    assert "no setting varies" in error


def test_a_run_that_only_failed_has_nothing_to_draw(maker, plot):
    maker.failed("vae", 0, "out of memory")
    for kind in ("strip", "traversals", "correlation"):
        code, _, error = plot(maker.path, "--kind", kind)
        assert code == 2, kind
        assert error.startswith("disbench: ")


def test_several_settings_that_vary_must_be_chosen_from(maker, plot):
    maker.done("betavae", 0, {"mig": 0.3}, beta=2.0)
    maker.done("betavae", 0, {"mig": 0.4}, beta=3.0, steps=50)
    code, _, error = plot(maker.path, "--kind", "sweep")
    assert code == 2
    assert "beta, steps" in error


def test_samples_of_each_category_of_several_models_are_side_by_side(maker, plot, tmp_path):
    rng = np.random.default_rng(0)
    folders = [
        maker.done("elastic_infogan", 0, {"nmi": 0.5}, variant=v) for v in ("uniform", "gumbel", "elastic")
    ]
    for folder in folders:
        rows = rng.integers(0, 256, (10, 4, 28, 28, 3), dtype=np.uint8)
        sheet = sheets.Sheet(rows, [f"c = {i}" for i in range(10)])
        (folder / "categories.png").write_bytes(sheets.png(sheet))
    out = tmp_path / "p"
    code, lines, error = plot(*folders, "--kind", "categories", "--width", "page", "--out", out)
    assert (code, error) == (0, "")
    assert [Path(line).name for line in lines] == [f"categories.{kind}" for kind in ("png", "svg", "pdf")]
    # 6.9 inches at 300 pixels each
    assert Image.open(out / "categories.png").width == 2070


def test_categories_are_not_written_over_the_samples_that_they_show(maker, plot, tmp_path, monkeypatch):
    folder = maker.done("elastic_infogan", 0, {"nmi": 0.5})
    pixels = np.zeros((10, 10, 3), np.uint8)
    Image.fromarray(pixels).save(folder / "categories.png")
    before = (folder / "categories.png").read_bytes()
    monkeypatch.chdir(tmp_path)
    for target in (folder, folder / "checkpoint.pt"):
        assert plot(target, "--kind", "categories")[1][0] == "categories.png"
        code, _, error = plot(target, "--kind", "categories", "--out", folder)
        assert code == 2
        assert "belongs to what is drawn" in error
    assert (folder / "categories.png").read_bytes() == before


def test_a_model_without_categories_and_a_folder_that_is_none_are_sentences(maker, plot, tmp_path):
    folder = maker.done("ibgan", 0, {"mig": 0.3})
    code, _, error = plot(folder, "--kind", "categories")
    assert code == 2
    assert "IB-GAN has no categorical code" in error
    code, _, error = plot(tmp_path, "--kind", "categories")
    assert code == 2
    assert "neither a seed's folder nor its checkpoint" in error


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--layout", "nhwc"], "--layout has no effect"),
        (["--config", "dlib"], "--config has no effect"),
        (["--dataset", "dsprites"], "scores by --dataset dsprites would be wrong"),
        (["--array", "z"], "has no array 'z'"),
    ],
)
def test_what_is_said_of_a_seed_is_not_left_unheard_where_its_scores_hold_the_matrix(
    options, words, maker, plot, grid, tmp_path
):
    data = datasets.load(str(grid[0]), data_dir=tmp_path)
    folder = maker.done("vae", 0, {"mig": 0.3}, parts={"mig": {"mutual_information": [[0.0, 1.0, 0.5]]}})
    kept.write(folder / "codes.npz", DataRef.of(data), np.arange(60), grid[1].astype(float))
    assert plot(folder, "--kind", "mi")[0] == 0
    code, _, error = plot(folder, "--kind", "mi", "--data-dir", tmp_path, *options)
    assert code == 2
    assert words in error


def test_both_bounds_of_the_information_are_drawn_against_a_setting(maker):
    """At beta 0.1 the bounds end at 1 and 3, at beta 0.2 at 1 and 2."""
    for beta, upper in ((0.1, 3.0), (0.2, 2.0)):
        folder = maker.done("ibgan", 0, {"mig": 0.3}, beta=beta)
        (folder / "metrics.jsonl").unlink()
        journal = store.Journal(folder / "metrics.jsonl", 0)
        for step in (50, 100):
            monitor = {"I_lower": step / 100, "I_upper": upper * step / 100}
            journal.append({"step": step, "terms": {"loss.kl": 1.0}, "monitor": monitor})
    drawn, _ = figures.of_scores([maker.path], "sweep", "beta", "", "I_lower")
    (axis,) = drawn["sweep-beta-I_lower"].axes
    assert axis.get_title(loc="left").startswith("lower bound Iᴸ and upper bound Iᵁ")
    assert axis.get_ylabel() == "nats"
    lines = [line.get_xydata().tolist() for line in axis.lines if line.get_linestyle() != "None"]
    assert lines == [[[0.1, 1.0], [0.2, 1.0]], [[0.1, 3.0], [0.2, 2.0]]]
    entries = [text.get_text() for text in drawn["sweep-beta-I_lower"].legends[0].get_texts()]
    assert entries[:2] == ["IB-GAN: lower bound Iᴸ", "IB-GAN: upper bound Iᵁ"]


def test_differences_that_the_scores_hold_are_drawn_without_the_model_and_codes_alone_have_none(
    maker, plot, tmp_path
):
    values = [[0.1, 1.0, 1.0, 1.0, 1.0], [1.0, 0.2, 1.0, 1.0, 1.0]]
    folder = maker.done("betavae", 0, {"beta_vae": 0.9}, parts={"beta_vae": {"differences": values}})
    code, lines, error = plot(folder, "--kind", "differences", "--out", tmp_path)
    assert (code, error) == (0, "")
    assert "differences.svg" in lines[1]
    np.savez(tmp_path / "mine.npz", codes=np.zeros((9, 2)), factors=np.zeros((9, 2), int))
    code, _, error = plot(tmp_path / "mine.npz", "--kind", "differences")
    assert code == 2
    assert "holds factors fixed" in error
