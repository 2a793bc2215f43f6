"""`disbench data` as a person types it, and the benchmark of the storages."""

import subprocess
import sys

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from disbench.benchmark.cli import data as cli
from disbench.benchmark.datasets import load, names, sample
from disbench.benchmark.datasets.speed import bench
from disbench.errors import UsageError


def type_in(*words, code=0, columns=80):
    result = CliRunner().invoke(cli.app, [str(word) for word in words], env={"COLUMNS": str(columns)})
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == code, result.output
    return result.output


@pytest.fixture
def own(tmp_path):
    np.savez(
        tmp_path / "own.npz",
        images=np.broadcast_to(np.arange(24, dtype=np.uint8)[:, None, None] * 10, (24, 8, 8)),
        factors=np.stack(np.unravel_index(np.arange(24), (2, 1, 12)), axis=1),
        factor_names=["a", "b", "c"],
    )
    return str(tmp_path / "own.npz")


def test_list_names_every_data_set_and_its_state(tmp_path):
    narrow = type_in("list", "--data-dir", tmp_path)
    output = type_in("list", "--data-dir", tmp_path, columns=200)
    for name in names():
        assert name in output
        assert name in narrow
    assert "737,280" in output
    assert "made on first use" in output
    assert "fetch it" in output
    assert "needs a file of yours" in output
    load("digits", data_dir=tmp_path)
    assert "ready" in type_in("list", "--data-dir", tmp_path)


def test_info_of_what_is_not_here_needs_no_download(tmp_path):
    output = type_in("info", "shapes3d", "--data-dir", tmp_path)
    assert "0a0f6ed98baff276a50f3a081a7434d788da63cb135a98189b2a5b5769be1785" in output
    assert "267,573,662 bytes" in output
    assert "factor scale: 8 values" in output
    assert "state: fetch it" in output
    assert "md5 4e866a7919c1beedf53964e6f7a23686" in type_in("info", "cars3d", "--data-dir", tmp_path)
    assert "no checksum" in type_in("info", "chairs3d", "--data-dir", tmp_path)


def test_info_lists_the_class_sizes_of_a_split():
    output = type_in("info", "digits:imbalanced-3")
    dataset = load("digits:imbalanced-3")
    for k, count in enumerate(np.bincount(dataset.labels)):
        assert f"class {k} ({k}): {count} images" in output


def test_info_of_an_own_file(own, tmp_path):
    assert "24 images of (1, 8, 8)" in type_in("info", own, "--data-dir", tmp_path)


def test_fetch_of_a_picture_makes_scream_dsprites(tmp_path, data_dir):
    Image.new("RGB", (100, 90), (9, 99, 199)).save(tmp_path / "mine.png")
    load("dsprites", size=32)
    output = type_in("fetch", "scream_dsprites", "--size", 32, "--from", tmp_path / "mine.png")
    assert "checked by nothing, no checksum is published" in output
    assert "737,280 images of (3, 32, 32)" in output
    assert load("scream_dsprites", size=32).images([0]).shape == (1, 3, 32, 32)
    (data_dir / "downloads" / "scream-picture").unlink()


def test_fetch_of_what_needs_no_download(tmp_path):
    output = type_in("fetch", "digits", "--data-dir", tmp_path)
    assert "digits needs no download" in output
    assert "1,797 images of (1, 28, 28)" in output


def test_fetch_of_what_is_ones_own(own, tmp_path):
    (tmp_path / "pictures").mkdir()
    for shade in (0, 9):
        Image.new("L", (8, 8), shade).save(tmp_path / "pictures" / f"{shade}.png")
    for name, n in ((own, 24), (f"{tmp_path}/pictures/", 2)):
        output = type_in("fetch", name, "--data-dir", tmp_path / "data", columns=300)
        assert "needs no download" in output
        assert f"is ready: {n} images of (1, 8, 8)" in output


def test_a_size_is_looked_at_before_anything_is_done(own, tmp_path):
    for words in (("info", "shapes3d"), ("fetch", "mnist")):
        with pytest.raises(UsageError, match=f"data set '{words[1]}' has no size 99; choose from: "):
            type_in(*words, "--size", 99, "--data-dir", tmp_path)
    for name in (own, "digits", "shapes3d"):
        for size in (0, -3, 5000):
            with pytest.raises(UsageError, match=f"size {size} was given, but must be .* from 1 to 4,096"):
                type_in("info", name, "--size", size, "--data-dir", tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["own.npz"]


def test_options_without_a_use_or_a_meaning(own, tmp_path):
    for option in (("--from", own), ("--again",)):
        with pytest.raises(UsageError, match=r"'digits' needs no file, so that (sources|again) has no use"):
            type_in("fetch", "digits", *option, "--data-dir", tmp_path)
    with pytest.raises(UsageError, match=r"the images of '.*' are chosen by their factors; omit it"):
        type_in("sample", own, "--out", tmp_path / "x.png", "--seed", 1, "--data-dir", tmp_path)
    for words in (("sample", own, "--out", tmp_path / "x.png"), ("classifier", "digits")):
        type_in(*words, "--seed", -1, "--data-dir", tmp_path, code=2)
    # of images at random there are as many rows
    type_in("sample", own, "--out", tmp_path / "x.png", "--columns", 10**9, "--data-dir", tmp_path, code=2)


def test_fetch_of_a_wrong_file(tmp_path):
    (tmp_path / "3dshapes.h5").write_bytes(b"not it")
    with pytest.raises(
        UsageError, match="6 bytes, the published 3dshapes.h5 has 267,573,662".replace(".", r"\.")
    ):
        type_in("fetch", "shapes3d", "--from", tmp_path / "3dshapes.h5", "--data-dir", tmp_path / "data")
    assert not list((tmp_path / "data").rglob("*.h5"))


def test_verify_finds_damage(tmp_path):
    assert "0 files looked at, 0 damaged" in type_in("verify", "--data-dir", tmp_path)
    load("digits", data_dir=tmp_path)
    assert "1 files looked at, 0 damaged" in type_in("verify", "--data-dir", tmp_path)
    path = tmp_path / "digits-28.h5"
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 1
    path.write_bytes(raw)
    output = type_in("verify", "digits", "--data-dir", tmp_path, code=1)
    assert "damaged: sha256" in output
    (tmp_path / "downloads").mkdir()
    (tmp_path / "downloads" / "3dshapes.h5").write_bytes(b"not it")
    assert "1 files looked at, 1 damaged" in type_in("verify", "shapes3d", "--data-dir", tmp_path, code=1)


def test_sample_varies_one_factor_in_each_row(own, tmp_path):
    """Grid 2 x 1 x 12, middle (1, 0, 6): the first row varies a, the second c; b cannot. Image i is 10 i."""
    output = type_in("sample", own, "--out", tmp_path / "x.png", "--columns", 2, "--data-dir", tmp_path)
    assert "from the top: a, c" in output
    picture = np.asarray(Image.open(tmp_path / "x.png"))
    assert picture.shape == (18, 18, 3)
    shown = picture[4::9, 4::9, 0] // 10
    assert shown.tolist() == [[6, 18], [12, 23]]
    assert (picture[8] == 128).all()  # the line between


def test_sample_of_classes(tmp_path):
    dataset = load("digits")
    rows, what = sample.choose(dataset, 4, np.random.default_rng(0))
    assert np.array_equal(dataset.labels[rows], np.repeat(np.arange(10)[:, None], 4, axis=1))
    assert "one class in each row" in what


def test_sample_into_a_folder_that_cannot_be(own, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UsageError, match="cannot"):
        type_in("sample", own, "--out", tmp_path / "file" / "x.png", "--data-dir", tmp_path)
    (tmp_path / "x.png").mkdir()
    with pytest.raises(UsageError, match=r"cannot write to .*x\.png: .* folder that you may write to"):
        type_in("sample", own, "--out", tmp_path / "x.png", "--data-dir", tmp_path / "data")


@pytest.mark.parametrize("name", [".", "x", "x.gif"])
def test_a_sample_is_a_png(own, tmp_path, name):
    with pytest.raises(UsageError, match=r"the picture is a PNG; give a name that ends in \.png"):
        type_in("sample", own, "--out", tmp_path / name, "--data-dir", tmp_path)


def test_classifier_is_trained_and_kept(tmp_path):
    output = type_in("classifier", "digits:classes-0,1", "--epochs", 1, "--data-dir", tmp_path)
    assert "kept for digits:classes-0,1" in output
    assert len(list((tmp_path / "classifiers").iterdir())) == 1


def test_listing_names_does_not_load_torch():
    code = "import sys, disbench.benchmark.cli.data as cli; cli.list_(); print('torch' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert run.stdout.endswith("\nFalse\n")


def test_bench_measures_every_storage():
    rows = bench(["digits"], batch=8, seconds=0.01)
    assert [row.storage for row in rows] == ["as stored", "in memory", "compressed HDF5"]
    assert all(row.batches_per_second > 0 for row in rows)
    assert rows[0].milliseconds == pytest.approx(1000 / rows[0].batches_per_second)
