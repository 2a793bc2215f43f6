"""Protocols on data of any kind: what they score is known before training, and nothing else is missing."""

import io
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from disbench import Request, metrics, score
from disbench.benchmark import protocols
from disbench.benchmark.datasets import manifest, solids
from disbench.benchmark.runs import store
from disbench.benchmark.scoring import classifier
from disbench.benchmark.sweep.cell import run_group
from disbench.errors import UsageError

FEW = {"votes": 100, "eval_votes": 50}
RNG = np.random.default_rng(0)


def quick(protocol):
    """The protocol with fewer votes; the plan of what is defined stays its own."""
    chosen = tuple(
        c.model_copy(
            update={
                **({"settings": FEW} if metrics.get(c.name).kind == "sampling" else {}),
                **({"pictures": 100} if c.pictures else {}),
            }
        )
        for c in protocol.metrics
    )
    return protocol.model_copy(update={"metrics": chosen})


def trained(prepared, out):
    """The entries of the one seed that was asked for, by metric and preset, trained in this process."""
    store.open_run(out)
    protocol = quick(prepared.protocol)
    (cell,) = prepared.cells
    assert run_group(out, [cell], protocol, prepared.options) == ["done"]
    assert store.is_done(out / cell.folder, protocol)
    assert {"traversal.png", "traversal.gif"} <= {path.name for path in (out / cell.folder).iterdir()}
    return store.scores(out / cell.folder)


def request(method, dataset, tmp_path, protocol="mini", **settings):
    return Request(
        method,
        protocol=protocol,
        dataset=dataset,
        settings={method: {"steps": 2, "batch": 4, **settings}},
        data_dir=tmp_path,
        out=tmp_path / "run",
        jobs=1,
    )


def save(path, images, **more):
    np.savez(path, images=images, **more)
    return str(path)


def sampled(n=120, continuous=False):
    factors = np.column_stack([RNG.integers(0, 3, n), RNG.integers(0, 4, n), RNG.integers(0, 2, n)])
    return {"factors": factors + (RNG.random((n, 3)) if continuous else 0)}


def pixels(n, h, w, c=()):
    return RNG.integers(0, 255, (n, h, w, *c), dtype=np.uint8)


GRID = np.stack(np.unravel_index(np.arange(96), (2, 2, 3, 2, 2, 2)), axis=1)
OWN = {
    "three factors, sampled": lambda: (pixels(120, 28, 28, (3,)), sampled()),
    "six factors, a grid": lambda: (pixels(96, 32, 32), {"factors": GRID}),
    "continuous factors": lambda: (pixels(120, 48, 64), sampled(continuous=True)),
    "classes": lambda: (pixels(60, 96, 96), {"labels": np.arange(60) % 3}),
    "no labels": lambda: (pixels(60, 28, 28), {}),
}
DEFINED = {
    "three factors, sampled": "beta_vae factor_vae factor_vae:ibgan mig sap dci:eastwood2018_forest",
    "six factors, a grid": "beta_vae factor_vae factor_vae:ibgan mig sap dci:eastwood2018_forest",
    "continuous factors": "dci:eastwood2018_forest",
    "classes": "mig sap dci:eastwood2018_forest",
    "no labels": "active_units gaussian_total_correlation reconstruction",
}


@pytest.mark.parametrize("method", ["betavae", "infogan"])
@pytest.mark.parametrize("kind", OWN)
def test_what_has_no_score_was_said_before_training(kind, method, tmp_path):
    images, more = OWN[kind]()
    prepared = request(method, save(tmp_path / "mine.npz", images, **more), tmp_path).prepare()
    said = [s for s in prepared.advice if ": no score of " in s]
    announced = {
        name
        for sentence in said
        for name in sentence.partition("no score of ")[2].partition(": ")[0].split(", ")
    }
    entries = trained(prepared, tmp_path / "run")
    choices = {
        protocols.MetricChoice(
            name=entry.metric, preset=entry.preset, pictures=entry.pictures
        ).shown: entry.score
        for entry in entries
    }
    missing = {name for name, score in choices.items() if score is None}
    # after two steps a generator may draw one image of a grid again and again
    drawn = {name for name in choices if name.endswith(protocols.OF_GENERATOR)} if "grid" in kind else set()
    assert missing - drawn <= announced
    lacking = {"reconstruction"} & set(choices) if method == "infogan" else set()
    assert set(choices) - missing - drawn == set(DEFINED[kind].split()) - lacking


def test_the_images_of_a_file_get_the_size_of_the_protocol_and_that_is_said(tmp_path):
    path = save(tmp_path / "mine.npz", pixels(20, 48, 64), labels=np.arange(20) % 2)
    prepared = request("betavae", path, tmp_path).prepare()
    assert prepared.cells[0].dataset.size == 32
    assert "the images of mine.npz, 48x64, are resized to 32x32 pixels (bilinear, all of each image)" in (
        prepared.advice
    )


def test_a_size_that_a_net_cannot_take_is_refused_with_one_that_it_can(tmp_path):
    path = save(tmp_path / "mine.npz", pixels(20, 28, 28), labels=np.arange(20) % 2)
    asked = Request("betavae", dataset=path, size=28, data_dir=tmp_path, out=tmp_path / "r")
    with pytest.raises(UsageError, match=r"images are 28x28, .* multiple of 8; give size 32, or another net"):
        asked.prepare()
    gan = Request("gan", dataset=path, size=28, config="paper", data_dir=tmp_path, out=tmp_path / "r")
    with pytest.raises(UsageError, match=r"images are 28x28, .* give size 32, or another base"):
        gan.prepare()


@pytest.mark.parametrize(("metrics", "free"), [((), False), (("mig",), False), (("active_units",), True)])
def test_only_metrics_that_need_no_labels_are_said_to_need_none(metrics, free, tmp_path):
    path = save(tmp_path / "mine.npz", pixels(60, 32, 32), labels=np.arange(60) % 3)
    asked = Request(["betavae"], metrics=metrics, dataset=str(path), data_dir=tmp_path / "data")
    advice = asked.prepare().advice
    assert any("by what needs no labels (active_units)" in sentence for sentence in advice) == free


def test_a_protocol_without_a_metric_for_the_data_is_refused(tmp_path, monkeypatch):
    nothing = protocols.get("paper").model_copy(update={"unlabelled": ()})
    monkeypatch.setattr(protocols, "get", lambda name: nothing)
    path = save(tmp_path / "mine.npz", pixels(20, 64, 64))
    with pytest.raises(
        UsageError, match=r"protocol paper has no metric that is defined on these data: .*only"
    ):
        request("betavae", path, tmp_path, protocol="paper").prepare()


def test_a_metric_that_the_method_cannot_have_is_said_too(tmp_path, monkeypatch):
    """A VAE has no categories whose images could be counted, whatever it learns."""
    monkeypatch.setattr(classifier, "check_classifier", lambda *asked: None)
    path = save(tmp_path / "mine.npz", pixels(60, 32, 32), labels=np.arange(60) % 3)
    asked = Request(
        "betavae", protocol="elastic-mini", dataset=path, size=32, data_dir=tmp_path, out=tmp_path / "r"
    )
    said = asked.prepare().advice
    assert f"betavae on {path}: no score of ent, nmi, prior_rmse: the method has no categorical code" in said


def test_a_folder_of_pictures_trains_and_is_scored_without_labels(tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    for i in range(40):
        Image.fromarray(pixels(1, 20, 30, (3,))[0]).save(folder / f"{i}.jpg")
    prepared = request("betavae", f"{folder}/", tmp_path).prepare()
    entries = {entry.metric: entry.score for entry in trained(prepared, tmp_path / "run")}
    assert set(entries) == set(protocols.LABEL_FREE)
    assert None not in entries.values()


# --- the further experiments of InfoGAN and IB-GAN, on files of the published layouts ---


def encoded(value, size, kind):
    raw = io.BytesIO()
    shade = np.full((*size[::-1], 3), value, np.uint8)
    shade[: size[1] // 2] = value // 2
    Image.fromarray(shade).save(raw, kind)
    return raw.getvalue()


def svhn(folder):
    for name, n in (("train", 30), ("test", 10)):
        labels = (np.arange(n) % 10 + 1).astype(np.uint8)
        savemat(folder / f"{name}_32x32.mat", {"X": pixels(32, 32, 3, (n,)), "y": labels[:, None]})
    return {"train": folder / "train_32x32.mat", "test": folder / "test_32x32.mat"}, 40


def celeba(folder):
    names = [f"Attribute_{j}" for j in range(40)]
    lines = ["60", " ".join(names)]
    with zipfile.ZipFile(folder / "img_align_celeba.zip", "w") as archive:
        archive.writestr("img_align_celeba/", b"")
        for i in range(60):
            archive.writestr(f"img_align_celeba/{i + 1:06}.jpg", encoded(4 * i, (178, 218), "JPEG"))
            signs = [" 1" if (i >> j % 6) & 1 else "-1" for j in range(40)]
            lines.append(f"{i + 1:06}.jpg {' '.join(signs)}")
    (folder / "list_attr_celeba.txt").write_text("\n".join(lines) + "\n")
    return {
        "data": folder / "img_align_celeba.zip",
        "attributes": folder / "list_attr_celeba.txt",
    }, 60


def chairs(folder):
    with tarfile.open(folder / "rendered_chairs.tar", "w") as tar:
        for chair in range(3):
            for view in range(6):
                raw = encoded(60 * chair + 10 * view, (600, 600), "PNG")
                name = f"image_{view:03}_p{20 + 10 * (view % 2):03}_t{view:03}_r096.png"
                entry = tarfile.TarInfo(f"rendered_chairs/chair{chair}/renders/{name}")
                entry.size = len(raw)
                tar.addfile(entry, io.BytesIO(raw))
    return {"data": folder / "rendered_chairs.tar"}, None


SMALL = solids.View({"shape": 2, "azimuth": 4, "elevation": 3, "lighting": 3, "width": 2})
EXPERIMENTS = {
    "infogan-svhn": ("infogan", svhn, {}, (32, 3)),
    "infogan-celeba": ("infogan", celeba, {}, (32, 3)),
    "infogan-faces": ("infogan", None, {}, (32, 3)),
    "infogan-chairs": ("infogan", chairs, {"categorical": (2, 2, 2)}, (64, 3)),
    "ibgan-celeba": ("ibgan", celeba, {"width": 4, "width_d": 4}, (64, 3)),
    "ibgan-chairs": ("ibgan", chairs, {"width": 4, "width_d": 4}, (64, 3)),
    "attributes": ("betavae", celeba, {}, (32, 3)),
}


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_an_experiment_runs_on_files_of_the_published_layout(name, tmp_path, monkeypatch):
    """Few images, and so other checksums and numbers of images; everything else is the manifest's."""
    method, layout, small, (size, channels) = EXPERIMENTS[name]
    real, protocol = manifest.read, protocols.get(name)

    def stand_in(wanted):
        facts = real(wanted)
        if layout is None:
            monkeypatch.setitem(solids.VIEWS, wanted, SMALL)
            return facts.model_copy(update={"factors": dict(SMALL.sizes), "count": 144})
        given, count = layout(downloads)
        unchecked = {"bytes": None, "sha256": None, "md5": None}
        files = tuple(
            f.model_copy(update={**unchecked, "name": given[f.role].relative_to(downloads).as_posix()})
            for f in facts.files
        )
        assert {Path(f.name).name for f in facts.files} == {p.name for p in given.values()}
        return facts.model_copy(update={"files": files, "count": count, "splits": {}})

    downloads = tmp_path / "downloads"
    downloads.mkdir()
    monkeypatch.setattr(manifest, "read", stand_in)
    prepared = request(method, None, tmp_path, protocol=name, **small).prepare()
    assert prepared.cells[0].dataset.name == protocol.dataset
    assert prepared.cells[0].config_name == protocol.config
    data = prepared.cells[0].dataset.load(tmp_path)
    assert data.shape == (channels, size, size)
    assert not [s for s in prepared.advice if "no score of" in s]
    entries = trained(prepared, tmp_path / "run")
    assert [(e.metric, e.preset) for e in entries] == [(c.name, c.preset) for c in protocol.metrics]
    assert None not in [entry.score for entry in entries]


def test_a_model_of_images_without_labels_is_scored_again_without_them(tmp_path):
    """Also from its codes alone, which have no decoder."""
    prepared = request("betavae", save(tmp_path / "mine.npz", pixels(60, 32, 32)), tmp_path).prepare()
    first = {e.metric: e.score for e in trained(prepared, tmp_path / "run")}
    folder = tmp_path / "run" / prepared.cells[0].folder
    again = score(folder / "checkpoint.pt", data_dir=tmp_path)
    assert {e.metric: e.score for e in again.scores} == pytest.approx(first)
    alone = score(folder / "codes.npz", data_dir=tmp_path)
    assert alone["active_units"] == first["active_units"]
    assert alone["reconstruction"] is None


def test_seeds_without_labels_are_ranked_at_the_end_of_a_run(disbench, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save(tmp_path / "mine.npz", pixels(60, 32, 32))
    few = ["--set", "betavae.steps=2", "--set", "betavae.batch=4", "--jobs", "1", "--out", "r"]
    words = ["run", "--methods", "betavae", "--seeds", "3", "--dataset", "mine.npz", "--data-dir", "d", *few]
    code, out, _ = disbench(*words)
    assert code == 0
    assert "mine.npz-32: no labels, so the seeds of each method are ranked by their agreement (udr)" in out
    assert "udr:dlib" in out
