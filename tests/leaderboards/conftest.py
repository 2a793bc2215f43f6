import shutil
import sys

import numpy as np
import pytest
from PIL import Image

from disbench import models
from disbench.benchmark.cli import main as program
from disbench.benchmark.datasets.reference import DataRef
from disbench.benchmark.protocols import MetricChoice
from disbench.benchmark.runs import store
from disbench.benchmark.runs.store import Cell
from disbench.benchmark.scoring.entries import ScoreEntry
from disbench.files import plain, write_json

HOSTILE = "<script>window.hacked = 1</script>\" onerror='alert(1)' $x^2 &amp; \\frac{"


class Maker:
    """Writes run folders as training would leave them, without training."""

    def __init__(self, path):
        self.path = store.open_run(path)

    def cell(self, method, seed, variant="", protocol="mini", dataset="dsprites", **changed):
        config = vars(models.configure(method, "mini", changed))
        data = DataRef(dataset, 32, "ab" * 32)
        made = Cell(method, variant, "mini", plain(dict(config)), data, protocol, seed)
        environment = {"disbench": "0.1.0", "python": "3.11", "device": "a processor", "commit": "c0ffee"}
        folder = self.path / made.folder
        folder.mkdir(parents=True)
        write_json(folder / "cell.json", {"cell": made.plain(), "environment": environment})
        return folder

    def done(self, method, seed, scores, picture=True, parts=None, **rest):
        """scores: by metric. parts: by metric."""
        folder = self.cell(method, seed, **rest)
        entries = []
        for name, value in scores.items():
            entry = ScoreEntry.pending(MetricChoice(name=name).resolved()).plain()
            settings = {"votes": 100}
            told = {"score": value, "parts": (parts or {}).get(name, {}), "settings": settings}
            entries.append({**entry, **told, "higher_is_better": True, "dropped_factors": []})
        write_json(folder / "scores.json", entries)
        self.status(folder, state="done", step=100, seconds=12.5)
        lines = [{"step": t, "terms": {"loss.kl": t / 50 + seed}, "monitor": {}} for t in (50, 100)]
        journal = store.Journal(folder / "metrics.jsonl", 0)
        for line in lines:
            journal.append(line)
        if picture:
            rng = np.random.default_rng(seed)
            pixels = rng.integers(0, 256, (66, 200, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / "traversal.png")
        return folder

    def failed(self, method, seed, message, **rest):
        folder = self.cell(method, seed, **rest)
        self.status(folder, state="failed", step=7, seconds=2.0, error={"type": "E", "message": message})
        return folder

    def status(self, folder, **values):
        write_json(folder / "status.json", {"steps": 100, "updated": "2030-01-02T03:04:05", **values})


@pytest.fixture
def maker(tmp_path):
    return Maker(tmp_path / "other")


@pytest.fixture(scope="session")
def made_once(tmp_path_factory):
    """Two beta-VAEs that differ in beta, an IB-GAN with a failed seed, hostile words, pictures; and the
    report of it all. Not to be written to."""
    maker = Maker(tmp_path_factory.mktemp("made") / "run")
    rng = np.random.default_rng(0)
    for seed in range(3):
        for beta in (2.0, 4.0):
            scores = {"factor_vae": 0.5 + rng.uniform(-0.1, 0.1), "beta_vae": 0.7 + rng.uniform(-0.1, 0.1)}
            maker.done("betavae", seed, scores, beta=beta)
    parts = {"mig": {"mutual_information": rng.uniform(size=(3, 5)).tolist()}}
    parts["dci"] = {"importance": rng.uniform(size=(3, 5)).tolist()}
    scores = {"factor_vae": 0.8, "beta_vae": 0.9, "mig": 0.1, "dci": 0.2}
    maker.done("ibgan", 0, scores, parts=parts)
    maker.failed("ibgan", 1, HOSTILE)
    before = sys.argv
    sys.argv = ["disbench", "report", str(maker.path)]
    with pytest.raises(SystemExit) as end:
        program.main()
    sys.argv = before
    assert not end.value.code
    return maker.path


@pytest.fixture
def made_run(made_once, tmp_path):
    """A copy of it, without the report."""
    copy = shutil.copytree(made_once, tmp_path / "run")
    (copy / "report.html").unlink()
    return copy


@pytest.fixture
def hostile():
    return HOSTILE
