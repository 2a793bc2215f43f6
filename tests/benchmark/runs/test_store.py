"""What a run's folder holds reads back as it was written, and folders have the names that they always had."""

import json
import math
from pathlib import Path

import pytest

from disbench.benchmark.datasets.reference import DataRef
from disbench.benchmark.runs import store
from disbench.benchmark.runs.store import Cell, CellFile, Failure, Record, Status
from disbench.errors import UsageError

DATA = DataRef("dsprites", 32, "ab" * 32)
SPLIT = DataRef("digits:imbalanced-3", 28, "0" * 64)
CELLS = [
    Cell("betavae", "", "mini", {"steps": 100, "beta": 4.0, "nets": "small"}, DATA, "mini", 3),
    Cell("elastic_infogan", "uniform", "paper", {"steps": 7, "channels": [1, 2]}, SPLIT, "elastic-mini", 0),
    Cell("mine", "", "default", {"steps": 5}, DATA, "smoke", 1, "mine.py, sha256 1111111111111111"),
]


@pytest.mark.parametrize(
    ("cell", "folder"),
    [
        (CELLS[0], "betavae-c02ad908/seed-3"),
        (CELLS[1], "elastic_infogan-uniform-deab898b/seed-0"),
        (CELLS[2], "mine-27cc7324/seed-1"),
    ],
)
def test_a_cells_folder_is_the_one_that_it_always_had(cell, folder):
    """Written down by running commit 68efe3a; under another name, finished cells would be trained again."""
    assert str(cell.folder) == folder
    assert f"{cell.training}/seed-{cell.seed}" == folder
    assert cell.training == f"{cell.label}-{cell.digest}"


def test_everything_but_the_seed_is_in_the_hash():
    about = CELLS[0].plain() | {"dataset": DATA}
    changes = [
        {"variant": "big"},
        {"config_name": "paper"},
        {"config": {**CELLS[0].config, "beta": 5.0}},
        {"dataset": DataRef("dsprites", 64, "ab" * 32)},
        {"protocol": "paper"},
        {"plugin": "mine.py, sha256 1"},
    ]
    digests = {Cell(**about).digest, *(Cell(**(about | change)).digest for change in changes)}
    assert len(digests) == 1 + len(changes)
    assert Cell(**(about | {"seed": 8})).digest == Cell(**about).digest


@pytest.mark.parametrize("cell", CELLS)
def test_a_cell_reads_back(cell, tmp_path):
    file = CellFile(cell, {"python": "3.11", "commit": None}, "cuda", 4)
    file.write(tmp_path)
    assert CellFile.read(tmp_path) == file
    assert CellFile.read(tmp_path).cell.folder == cell.folder
    assert json.loads((tmp_path / "cell.json").read_text())["cell"] == cell.plain()


def test_a_cell_file_from_before_there_were_plug_ins_is_read(tmp_path):
    values = CELLS[0].plain()
    del values["plugin"]
    (tmp_path / "cell.json").write_text(json.dumps({"cell": values, "environment": {}}))
    assert CellFile.read(tmp_path) == CellFile(CELLS[0])


def test_a_missing_cell_file_is_none_and_a_damaged_one_is_refused(tmp_path):
    assert CellFile.read(tmp_path) is None
    assert Record.read(tmp_path) is None
    (tmp_path / "cell.json").write_text('{"cell": {"met')
    with pytest.raises(UsageError, match=r"cell\.json is damaged: it holds no JSON; .*--retry-failed"):
        CellFile.read(tmp_path)


@pytest.mark.parametrize(
    ("status", "text"),
    [
        (
            Status(),
            {
                "state": "queued",
                "step": 0,
                "steps": 0,
                "seconds": None,
                "training": None,
                "peak_private_mb": None,
                "updated": "",
            },
        ),
        (
            Status("failed", error=Failure("Diverged", "loss.kl is nan", 7, "loss.kl"), step=7, steps=100),
            {
                "state": "failed",
                "error": {"type": "Diverged", "message": "loss.kl is nan", "step": 7, "term": "loss.kl"},
                "step": 7,
                "steps": 100,
                "seconds": None,
                "training": None,
                "peak_private_mb": None,
                "updated": "",
            },
        ),
        (
            Status("running", "training", 41, None, 3, 9, 2.5, 1.5, 300, "2030-01-02T03:04:05"),
            {
                "state": "running",
                "phase": "training",
                "process": 41,
                "step": 3,
                "steps": 9,
                "seconds": 2.5,
                "training": 1.5,
                "peak_private_mb": 300,
                "updated": "2030-01-02T03:04:05",
            },
        ),
    ],
    ids=["queued", "failed", "running"],
)
def test_a_status_reads_back_and_its_file_has_these_keys_in_this_order(status, text, tmp_path):
    status.write(tmp_path)
    written = json.loads((tmp_path / "status.json").read_text())
    assert list(written.items()) == list(text.items())
    assert Status.read(tmp_path) == status


def test_a_status_of_another_version_is_read_as_far_as_it_is_known(tmp_path):
    values = {"state": "failed", "mood": "bad", "error": {"message": "why", "mood": "bad"}}
    (tmp_path / "status.json").write_text(json.dumps(values))
    assert Status.read(tmp_path) == Status("failed", error=Failure(message="why"))
    assert Status.read(tmp_path).why == "why"
    assert Status.read(tmp_path / "nowhere") == Status()


def test_a_failure_leaves_out_what_it_does_not_have():
    assert Failure("E", "why").plain() == {"type": "E", "message": "why"}
    whole = Failure("E", "why", 3, "loss.kl", "Traceback")
    assert Failure.read(whole.plain()) == whole


def test_records_hold_every_cell_by_label_and_seed(writer):
    writer.done(1, method="vae")
    writer.failed(0, "loss.kl is not finite", method="vae")
    writer.done(0, method="betavae")
    records = store.records(writer.run)
    assert [(r.cell.label, r.cell.seed, r.status.state) for r in records] == [
        ("betavae", 0, "done"),
        ("vae", 0, "failed"),
        ("vae", 1, "done"),
    ]
    assert [r.folder for r in records] == [writer.run / r.cell.folder for r in records]
    assert records[1].status.why == "loss.kl is not finite"
    assert records[1].entries is None
    assert {entry.score for entry in records[2].entries} == {0.5}
    assert store.cells(writer.run) == [(r.cell, r.folder) for r in records]


def test_a_record_reads_each_file_once(writer):
    folder = writer.done(0)
    (record,) = store.records(writer.run)
    assert record.status.state == "done"
    scores = [entry.score for entry in record.entries]
    for name in ("status.json", "scores.json", "cell.json"):
        (folder / name).unlink()
    assert record.status.state == "done"
    assert [entry.score for entry in record.entries] == scores
    assert store.records(writer.run) == []


def test_a_cell_that_nobody_holds_is_not_running(writer):
    folder = writer.begin(writer.cell(0), "running")
    assert store.abandoned(folder)
    assert Record.read(folder).status == Status("stopped", steps=writer.cell(0).steps, seconds=10.0)
    with store.hold(folder) as ours:
        assert ours
        assert Status.read(folder).state == "running"


def test_a_journal_forgets_the_lines_after_the_step_that_it_resumes_from(tmp_path):
    path = tmp_path / "metrics.jsonl"
    journal = store.Journal(path, 0)
    for step in (1, 2, 3):
        journal.append({"step": step, "terms": {"kl": math.nan}, "monitor": {}})
    assert [line["step"] for line in store.read_lines(path)] == [1, 2, 3]
    assert store.read_lines(path)[0]["terms"] == {"kl": None}
    store.Journal(path, 2)
    assert [line["step"] for line in store.read_lines(path)] == [1, 2]


def test_a_run_that_another_process_makes_between_two_looks_is_one(tmp_path, monkeypatch):
    run = store.open_run(tmp_path / "r")
    (run / "odd").mkdir()
    exists, looks = Path.exists, []

    def late(path):
        if path.name == "run.json" and not looks:
            looks.append(path)
            return False
        return exists(path)

    monkeypatch.setattr(Path, "exists", late)
    store.check_free(run)
    assert looks
