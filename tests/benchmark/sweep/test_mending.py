"""Damaged files of a seed: what is made again at once, what fails that seed alone, and what a retry mends."""

import dataclasses
import errno
import os
import shutil
import warnings

import pytest
import torch

from disbench.benchmark.protocols import MetricChoice
from disbench.benchmark.runs import store
from disbench.benchmark.runs.store import CellFile, Status
from disbench.benchmark.sweep import mending, plan, workers
from disbench.errors import UsageError


def cut(path, part=2):
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) / part)])


def folder_in_place(path):
    path.unlink(missing_ok=True)
    path.mkdir()


def untrained(folder):
    """As if it had been stopped before its first saved state."""
    for name in ("checkpoint.pt", "codes.npz", "scores.json"):
        (folder / name).unlink()
    Status("stopped", steps=3).write(folder)


def saved(folder, **values):
    untrained(folder)
    whole = {"kind": "disbench training state", "step": 1, "weights": {}, "optimizers": []}
    torch.save({**whole, **values}, folder / "state.pt")


def flipped(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 255
    path.write_bytes(content)
    for name in ("codes.npz", "scores.json"):
        (path.parent / name).unlink()


def cut_lines(folder):
    path = folder / "metrics.jsonl"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:2]))


def of_another(folder):
    shutil.copy(folder.parent / "seed-1" / "checkpoint.pt", folder)
    for name in ("codes.npz", "scores.json"):
        (folder / name).unlink()


def damaged_journal(folder):
    saved(folder)
    (folder / "metrics.jsonl").write_text('{"step": 1}\n{"st\n{"step": 2}\n')


# name: damage, and whether the seed fails until it is tried again
DAMAGES = {
    "a cut checkpoint beside whole scores": (lambda f: cut(f / "checkpoint.pt"), True),
    "a checkpoint without its last bytes": (lambda f: cut(f / "checkpoint.pt", 1.001), True),
    "an empty checkpoint": (lambda f: (f / "checkpoint.pt").write_bytes(b""), True),
    "a folder as checkpoint": (lambda f: folder_in_place(f / "checkpoint.pt"), True),
    "a checkpoint with a flipped bit": (lambda f: flipped(f / "checkpoint.pt"), True),
    "a checkpoint of another seed": (of_another, True),
    "an empty state": (lambda f: [untrained(f), (f / "state.pt").write_bytes(b"")], True),
    "a cut state": (lambda f: [saved(f), cut(f / "state.pt")], True),
    "a folder as state": (lambda f: [untrained(f), (f / "state.pt").mkdir()], True),
    "a state of another kind": (lambda f: saved(f, step="x"), True),
    "a state that does not fit": (saved, True),
    "a pipe as state": (lambda f: [untrained(f), os.mkfifo(f / "state.pt")], True),
    "a damaged journal": (damaged_journal, True),
    "a journal that ends before the state": (lambda f: [saved(f, step=3), cut_lines(f)], True),
    "a state without a journal": (lambda f: [saved(f), (f / "metrics.jsonl").unlink()], True),
    "a folder as cell": (lambda f: folder_in_place(f / "cell.json"), True),
    "a cell of a newer version": (lambda f: (f / "cell.json").write_text('{"format": 2}'), True),
    "a cell that is empty": (lambda f: (f / "cell.json").write_bytes(b""), True),
    "no cell": (lambda f: (f / "cell.json").unlink(), True),
    "no cell beside scores alone": (
        lambda f: [(f / n).unlink() for n in ("cell.json", "checkpoint.pt")],
        True,
    ),
    "a cut status": (lambda f: cut(f / "status.json"), False),
    "a folder as status": (lambda f: folder_in_place(f / "status.json"), False),
    "a folder as scores": (lambda f: folder_in_place(f / "scores.json"), False),
    "cut scores": (lambda f: cut(f / "scores.json"), False),
    "cut scores and codes": (lambda f: [cut(f / "scores.json"), cut(f / "codes.npz")], False),
    "a folder as state beside a checkpoint": (
        lambda f: [(f / "scores.json").unlink(), (f / "state.pt").mkdir()],
        False,
    ),
    "a folder as codes": (lambda f: [(f / "scores.json").unlink(), folder_in_place(f / "codes.npz")], False),
    "a folder as picture": (
        lambda f: [(f / "scores.json").unlink(), folder_in_place(f / "traversal.png")],
        False,
    ),
    "a temporary name that is a folder": (
        lambda f: [(f / "scores.json").unlink(), (f / ".scores.json.7-0123abcd").mkdir()],
        False,
    ),
}


@pytest.fixture
def trained(tiny_plan, tmp_path):
    """Two trained seeds of a beta-VAE, of three steps: the run, the protocol, the cells and their options."""
    setting, cells = tiny_plan(range(2))
    run, options = store.open_run(tmp_path / "r"), plan.Options(data_dir=tmp_path / "data")
    assert list(dict(workers.sweep(run, cells, setting, options, 1)).values()) == ["done", "done"]
    return run, setting, cells, options


def outcomes(run, cells, setting, options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        found = dict(workers.sweep(run, cells, setting, options, 1))
    return [found[cell] for cell in cells]


@pytest.mark.parametrize("name", DAMAGES)
def test_a_damaged_file_fails_its_seed_alone_until_it_is_tried_again(trained, name):
    """In the end the seed is what it was, and what was damaged is not lost."""
    run, setting, cells, options = trained
    folder, (damage, fails) = run / cells[0].folder, DAMAGES[name]
    whole = {n: (folder / n).read_bytes() for n in ("checkpoint.pt", "metrics.jsonl")}
    scores = store.scores(folder)
    damage(folder)
    assert outcomes(run, cells, setting, options) == (["failed", "done"] if fails else ["done", "done"])
    if fails:
        why = Status.read(folder).why
        assert str(folder) in why
        assert "--retry-failed` sets it aside" in why or "use the version that wrote it" in why
        assert not (folder / "damaged").exists()
        again = dataclasses.replace(options, retry_failed=True)
        assert outcomes(run, cells, setting, again) == ["done", "done"]
    assert {n: (folder / n).read_bytes() for n in whole} == whole
    assert [entry.score for entry in store.scores(folder)] == [entry.score for entry in scores]
    records = store.records(run)
    assert (len(records), records.sentences) == (2, [])
    # a leftover is removed, and codes in a broken file are written over
    kept = [] if "temporary" in name else list((folder / "damaged").iterdir())
    assert kept or "temporary" in name


@pytest.mark.parametrize("lost", ["missing", "cut"])
def test_a_trained_seed_without_a_status_keeps_what_trained_it(trained, lost):
    """Its scores would lose the digest, and be in no row with those of the other seeds."""
    run, setting, cells, options = trained
    folder = run / cells[0].folder
    before = CellFile.read(folder)
    assert before.digest
    if lost == "cut":
        cut(folder / "status.json")
    else:
        (folder / "status.json").unlink()
    with pytest.raises(UsageError, match="was begun with native"):
        plan.check_kernels(run, cells[:1], dataclasses.replace(options, portable=True))
    further = setting.model_copy(update={"metrics": (MetricChoice(name="mig").resolved(),)})
    assert outcomes(run, cells[:1], further, options) == ["done"]
    assert CellFile.read(folder) == before
    assert {entry.metric for entry in store.scores(folder)} == {"factor_vae", "mig"}


def test_a_begun_seed_without_a_status_goes_on_under_its_own_digest_alone(trained):
    run, setting, cells, options = trained
    folder = run / cells[0].folder
    saved(folder)
    (folder / "status.json").unlink()
    dataclasses.replace(CellFile.read(folder), digest="0" * 16).write(folder)
    assert outcomes(run, cells[:1], setting, options) == ["failed"]
    assert "was begun with other nets" in Status.read(folder).why


def test_what_is_set_aside_is_named_and_never_written_over(tmp_path):
    for number in (1, 2, 3):
        (tmp_path / "state.pt").write_text(str(number))
        with pytest.warns(UserWarning, match=r"state\.pt was set aside as .*damaged.*: it is odd"):
            store.set_aside(tmp_path / "state.pt", "it is odd")
    store.set_aside(tmp_path / "state.pt", "it does not exist")
    kept = {path.name: path.read_text() for path in (tmp_path / "damaged").iterdir()}
    assert kept == {"state.pt": "1", "state.pt.2": "2", "state.pt.3": "3"}


@pytest.mark.parametrize("place", ["seed", "training"])
def test_a_file_in_place_of_a_folder_fails_what_is_in_it(trained, tiny_plan, place):
    run, setting, cells, options = trained
    folder = run / cells[0].folder if place == "seed" else run / cells[0].training
    shutil.rmtree(folder)
    folder.write_text("")
    found = outcomes(run, cells, setting, options)
    assert found == (["failed", "done"] if place == "seed" else ["failed", "failed"])
    assert f"{folder} is a file in place of a folder" in store.why_failed(run / cells[0].folder, full=False)


def test_a_seed_folder_that_is_a_link_fails(trained, tmp_path):
    run, setting, cells, options = trained
    folder = run / cells[0].folder
    folder.rename(tmp_path / "elsewhere")
    folder.symlink_to(tmp_path / "elsewhere")
    assert outcomes(run, cells, setting, options) == ["failed", "done"]


def test_a_file_in_place_of_the_folder_of_damaged_files_fails_the_seed(trained):
    run, setting, cells, options = trained
    folder = run / cells[0].folder
    (folder / "scores.json").write_text("")
    (folder / "damaged").write_text("")
    assert outcomes(run, cells, setting, options) == ["failed", "done"]
    assert "damaged is a file in place of a folder; move it away" in Status.read(folder).why


def test_a_file_that_cannot_be_opened_is_not_taken_for_damaged(trained, monkeypatch):
    """A right that is missing today says nothing about the content."""
    run, setting, cells, options = trained
    folder = run / cells[0].folder
    cut(folder / "checkpoint.pt")
    opened = open

    def refuse(path, *arguments, **named):
        if str(path).endswith("checkpoint.pt"):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return opened(path, *arguments, **named)

    with monkeypatch.context() as patch:
        patch.setattr(mending, "open", refuse, raising=False)
        again = dataclasses.replace(options, retry_failed=True)
        assert outcomes(run, cells, setting, again) == ["failed", "done"]
    assert (folder / "checkpoint.pt").exists()
    assert not (folder / "damaged").exists()
