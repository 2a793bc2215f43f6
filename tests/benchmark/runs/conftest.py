import pytest

from disbench import models
from disbench.benchmark import protocols
from disbench.benchmark.datasets.reference import DataRef
from disbench.benchmark.runs import store
from disbench.benchmark.runs.store import Cell, CellFile, Failure, Status
from disbench.benchmark.scoring.entries import ScoreEntry
from disbench.files import plain

ENVIRONMENT = {"disbench": "0.1.0", "device": "a cpu", "commit": None}


class Writer:
    """Writes the cells of a run with the classes of the store, without training."""

    def __init__(self, run):
        self.run = store.open_run(run)

    def cell(self, seed, method="vae", variant="", plugin="", dataset="dsprites", **changes):
        config = plain(models.configure(method, "mini", changes).written())
        data = DataRef(dataset, 32, "ab" * 32)
        return Cell(method, variant, "mini", config, data, "mini", seed, plugin)

    def begin(self, cell, state="queued", error=None):
        folder = self.run / cell.folder
        CellFile(cell, ENVIRONMENT).write(folder)
        Status(state=state, steps=cell.steps, seconds=10.0, error=error).write(folder)
        return folder

    def done(self, seed, score=0.5, **about):
        cell = self.cell(seed, **about)
        folder = self.begin(cell, "done")
        entries = []
        for choice in protocols.get(cell.protocol).metrics:
            asked = ScoreEntry.pending(choice).plain()
            entries.append(ScoreEntry.read({**asked, "score": score, "settings": {"votes": 800}}))
        store.write_scores(folder, entries)
        return folder

    def failed(self, seed, message, **about):
        return self.begin(self.cell(seed, **about), "failed", Failure("E", message))


@pytest.fixture
def writer(tmp_path):
    return Writer(tmp_path / "run")
