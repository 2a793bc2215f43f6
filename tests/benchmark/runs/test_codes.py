"""The codes that a cell keeps answer further metrics without its model."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from disbench.benchmark import datasets, protocols
from disbench.benchmark.datasets.reference import DataRef
from disbench.benchmark.protocols import MetricChoice
from disbench.benchmark.runs import codes as kept
from disbench.benchmark.runs import store
from disbench.benchmark.scoring import draws, scoring
from disbench.benchmark.scoring.trained import Trained
from disbench.benchmark.sweep import plan
from disbench.benchmark.sweep.cell import run_group
from disbench.models import load_checkpoint

ABOUT = DataRef("dsprites", 32, "ab")


def with_metrics(*names):
    added = tuple(MetricChoice(name=name).resolved() for name in names)
    setting = protocols.get("smoke")
    return setting.model_copy(update={"metrics": (*setting.metrics, *added)})


@pytest.fixture
def cell(quick_run):
    found, folder = store.cells(quick_run)[0]
    return quick_run, found, folder


def scores(folder):
    return {entry["metric"]: entry for entry in json.loads((folder / "scores.json").read_text("utf-8"))}


def test_the_file_holds_what_the_model_says_of_these_rows(cell):
    folder = cell[2]
    with np.load(folder / "codes.npz", allow_pickle=False) as file:
        values = {name: file[name] for name in file.files}
    data = datasets.load("dsprites", size=32)
    assert values["codes"].dtype == np.float32
    assert values["codes"].shape == (len(values["rows"]), 10)
    assert values["rows"].dtype == np.int64
    assert (np.diff(values["rows"]) > 0).all()
    assert {name: values[name].item() for name in ("dataset", "size", "sha256")} == {
        "dataset": "dsprites",
        "size": 32,
        "sha256": data.sha256,
    }
    assert np.isin(draws.table_rows(data), values["rows"]).all()
    method = load_checkpoint(folder / "checkpoint.pt").build()
    some = values["rows"][::997]
    with torch.no_grad():
        codes = method.represent(data.images(some)).numpy()
    np.testing.assert_allclose(values["codes"][::997], codes, rtol=1e-4, atol=1e-5)


def test_a_protocol_with_more_metrics_needs_no_model(cell):
    run, found, folder = cell
    before = scores(folder)
    expected = scoring.score(
        Trained(
            load_checkpoint(folder / "checkpoint.pt").build(),
            datasets.load("dsprites", size=32),
            torch.device("cpu"),
        ),
        datasets.load("dsprites", size=32),
        [MetricChoice(name="mig").resolved()],
    )
    # whole as a file, and no model: it is not read
    torch.save({}, folder / "checkpoint.pt")
    assert run_group(run, [found], with_metrics("mig"), plan.Options()) == ["done"]
    after = scores(folder)
    assert after["mig"]["score"] == pytest.approx(expected[0].score, abs=1e-6)
    for name in ("beta_vae", "factor_vae"):
        assert after[name]["score"] == before[name]["score"]


def test_rows_that_are_lacking_are_encoded_and_kept(cell):
    run, found, folder = cell
    with np.load(folder / "codes.npz") as file:
        rows, codes = file["rows"], file["codes"]
    before = scores(folder)
    for broken in ("fewer rows", "another data set", "cut short"):
        if broken == "fewer rows":
            kept.write(folder / "codes.npz", found.dataset, rows[:50], codes[:50])
        elif broken == "another data set":
            kept.write(folder / "codes.npz", replace(found.dataset, sha256="00"), rows, codes + 1)
        else:
            whole = (folder / "codes.npz").read_bytes()
            (folder / "codes.npz").write_bytes(whole[: len(whole) // 2])
        (folder / "scores.json").unlink()
        assert run_group(run, [found], protocols.get("smoke"), plan.Options()) == ["done"]
        with np.load(folder / "codes.npz") as file:
            np.testing.assert_array_equal(file["rows"], rows)
            np.testing.assert_array_equal(file["codes"], codes)
        assert scores(folder)["factor_vae"]["score"] == before["factor_vae"]["score"]


def test_codes_of_a_deleted_checkpoint_are_not_used_for_its_successor(cell):
    run, found, folder = cell
    with np.load(folder / "codes.npz") as file:
        rows, codes = file["rows"], file["codes"]
    kept.write(folder / "codes.npz", found.dataset, rows, np.zeros_like(codes))
    (folder / "checkpoint.pt").unlink()
    assert run_group(run, [found], protocols.get("smoke"), plan.Options()) == ["done"]
    with np.load(folder / "codes.npz") as file:
        np.testing.assert_array_equal(file["codes"], codes)


def test_what_was_written_is_read(tmp_path):
    path = tmp_path / "codes.npz"
    assert kept.read(path, ABOUT) is None
    kept.write(path, ABOUT, np.array([2, 5]), np.array([[1.5, 2], [3, 4]], np.float32))
    rows, codes = kept.read(path, ABOUT)
    assert rows.tolist() == [2, 5]
    assert codes.tolist() == [[1.5, 2], [3, 4]]
    assert kept.read(path, replace(ABOUT, size=64)) is None


def test_log_variances_that_were_written_are_read(tmp_path):
    path, rows = tmp_path / "codes.npz", np.array([2, 5])
    codes, logvar = np.array([[1.5, 2], [3, 4]], np.float32), np.array([[-1, 0.5], [-2, 0]], np.float32)
    kept.write(path, ABOUT, rows, codes, logvar)
    assert kept.read_logvar(path, ABOUT).tolist() == logvar.tolist()
    assert kept.read(path, ABOUT)[1].tolist() == codes.tolist()
    assert kept.read_logvar(path, replace(ABOUT, sha256="cd")) is None
    kept.write(path, ABOUT, rows, codes, logvar[:1])
    assert kept.read_logvar(path, ABOUT) is None
    kept.write(path, ABOUT, rows, codes)
    assert kept.read_logvar(path, ABOUT) is None


def test_a_run_keeps_the_posterior_of_its_codes(cell):
    folder = cell[2]
    with np.load(folder / "codes.npz") as file:
        rows, codes, logvar = file["rows"], file["codes"], file["logvar"]
    assert logvar.dtype == np.float32
    assert logvar.shape == codes.shape
    method = load_checkpoint(folder / "checkpoint.pt").build()
    with torch.no_grad():
        mean, expected = method.posterior(datasets.load("dsprites", size=32).images(rows[::997]))
    np.testing.assert_allclose(logvar[::997], expected.numpy(), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(codes[::997], mean.numpy(), rtol=1e-4, atol=1e-5)
    assert len(scores(folder)["factor_vae"]["kl"]) == codes.shape[1]


def test_codes_kept_without_a_posterior_are_encoded_again_where_a_metric_needs_it(cell):
    run, found, folder = cell
    with np.load(folder / "codes.npz") as file:
        rows, codes, logvar = file["rows"], file["codes"], file["logvar"]
    before = scores(folder)
    kept.write(folder / "codes.npz", found.dataset, rows, codes)
    assert run_group(run, [found], with_metrics("mig"), plan.Options()) == ["done"]
    assert kept.read_logvar(folder / "codes.npz", found.dataset) is None
    after = scores(folder)
    assert after["mig"]["kl"] is None
    assert after["factor_vae"]["score"] == before["factor_vae"]["score"]
    chen = MetricChoice(name="mig_chen", settings={"samples": 20}).resolved()
    needs = protocols.get("smoke").model_copy(update={"metrics": (chen,)})
    assert run_group(run, [found], needs, plan.Options()) == ["done"]
    assert np.array_equal(
        kept.read_logvar(folder / "codes.npz", found.dataset), logvar[np.isin(rows, there(folder))]
    )
    assert scores(folder)["mig_chen"]["score"] is not None


def there(folder):
    """The rows whose codes are kept."""
    with np.load(folder / "codes.npz") as file:
        return file["rows"]
