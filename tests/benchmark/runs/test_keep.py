"""Saving the results of a run to a folder of results, from Python."""

import json

import pandas as pd
import pytest

from disbench.benchmark import protocols
from disbench.benchmark.runs import environment, provenance
from disbench.benchmark.runs.keep import keep
from disbench.benchmark.runs.rows import gather
from disbench.benchmark.runs.shelf import results_folder
from disbench.errors import UsageError
from disbench.leaderboards import results

FILES = [
    "codes.json",
    "leaderboard.csv",
    "leaderboard.md",
    "pairs.csv",
    "provenance.json",
    "scores.csv",
    "strip.png",
]


@pytest.fixture
def save(writer, tmp_path):
    """Saves the writer's run as it is now, under a name; gives the files."""

    def call(name, *runs):
        runs = runs or (writer.run,)
        frame, _ = gather(runs)
        return keep(name, runs, frame, tmp_path / "results")

    return call


def test_a_saved_result_is_these_files_and_reads_back(writer, save, tmp_path):
    for seed in range(3):
        writer.done(seed, 0.1 * seed)
    writer.failed(3, "loss.kl is not finite")
    files = save("first")
    folder = tmp_path / "results" / "first"
    assert files == [folder / name for name in FILES]
    assert list((tmp_path / "results").iterdir()) == [folder]
    assert results.names(tmp_path / "results") == ["first"]
    frame = gather([writer.run])[0]
    pd.testing.assert_frame_equal(results.scores(folder), frame.assign(run="first"), check_exact=True)
    source = results.provenance(folder)
    assert source.states == {"done": 3, "failed": 1}
    assert source.seconds.core == source.seconds.total == 40.0
    # the writer scores by the newest version
    first, newest = (
        [choice.resolved().shown for choice in protocols.get(name).metrics] for name in ("mini-v1", "mini")
    )
    further = ",".join(name for name in newest if name not in first)
    assert source.commands == [
        "disbench run --methods vae --protocol mini-v1 --seeds 4 --out runs/first",
        f"disbench rescore runs/first --metrics {further}",
    ]
    assert ",mig@generator" in source.commands[1]
    assert [each.seeds for each in source.environments] == [4]


@pytest.mark.parametrize("name", ["../x", "a b", "Mini", "", ".hidden", "-x", "a/b"])
def test_a_name_that_is_not_a_plain_word_is_refused(name, writer, save, tmp_path):
    writer.done(0)
    with pytest.raises(UsageError, match=r"keep .* is not a valid name; use lower-case letters"):
        save(name)
    assert not (tmp_path / "results").exists()


def test_a_folder_that_is_not_a_saved_result_is_left_alone(writer, save, tmp_path):
    writer.done(0)
    (tmp_path / "results" / "other").mkdir(parents=True)
    (tmp_path / "results" / "other" / "mine.txt").write_text("mine")
    with pytest.raises(UsageError, match="exists and is not a saved result; choose another name"):
        save("other")
    assert (tmp_path / "results" / "other" / "mine.txt").read_text() == "mine"


def test_a_saved_result_is_not_saved_again(writer, save, tmp_path):
    writer.done(0)
    save("first")
    with pytest.raises(UsageError, match=r"saves runs, but .*first is already a saved result"):
        save("second", tmp_path / "results" / "first")
    assert results.names(tmp_path / "results") == ["first"]


def test_a_saved_result_is_replaced_as_a_whole(writer, save, tmp_path):
    folder = tmp_path / "results" / "first"
    writer.done(0)
    save("first")
    (folder / "old.txt").touch()
    writer.done(1)
    assert [path.name for path in save("first")] == FILES
    assert set(pd.read_csv(folder / "leaderboard.csv")["n"]) == {2}
    assert list((tmp_path / "results").iterdir()) == [folder]


def test_a_failure_half_way_leaves_the_old_result(writer, save, tmp_path, monkeypatch):
    folder = tmp_path / "results" / "first"
    writer.done(0)
    save("first")
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    writer.done(1)

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(provenance, "describe", full)
    with pytest.raises(OSError, match="No space left"):
        save("first")
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert list((tmp_path / "results").iterdir()) == [folder]


def test_a_run_without_a_score_has_no_picture(writer, save):
    writer.failed(0, "loss.kl is not finite")
    assert [path.name for path in save("first")] == [name for name in FILES if name != "strip.png"]


def test_the_folder_of_results_is_the_given_one_or_that_of_the_checkout(tmp_path):
    assert results_folder(tmp_path) == tmp_path
    assert results_folder(None) == results.FOLDER


def test_a_provenance_file_has_these_keys_in_this_order(writer, save):
    writer.done(0)
    writer.done(0, method="betavae", beta=3.0)
    (path,) = [path for path in save("first") if path.name == "provenance.json"]
    values = json.loads(path.read_text())
    assert list(values) == [
        "name",
        "kept",
        "kept_by",
        "commands",
        "states",
        "seconds",
        "data_sha256",
        "protocols",
        "environments",
        "settings",
    ]
    assert list(values["seconds"]) == ["what", "core", "gpu", "total", "mean_by_method"]
    assert values["environments"] == [{"disbench": "0.1.0", "device": "a cpu", "commit": None, "seeds": 2}]
    assert [list(each) for each in values["settings"].values()] == [["method", "variant", "config"]] * 2
    assert [name.rpartition("-")[0] for name in values["settings"]] == ["betavae", "vae"]


@pytest.mark.parametrize("found", [None, object()])
def test_numba_is_among_the_versions_where_it_is(monkeypatch, found):
    """Then it grows the boosted trees of the metrics."""
    monkeypatch.setattr(environment.importlib.util, "find_spec", lambda name: found)
    monkeypatch.setattr(environment.importlib.metadata, "version", lambda name: f"{name} 1")
    # those of a process are looked up once
    monkeypatch.setattr(environment, "packages", environment.packages.__wrapped__)
    versions = environment.environment("cpu", "float32", "alone")
    assert versions.get("numba") == (None if found is None else "numba 1")
    assert versions["numpy"] == "numpy 1"
