"""Runs and kept results carry the protocol's version and a digest; a seed goes on only under its own."""

import dataclasses
import json

import pandas as pd
import pytest

from disbench import models
from disbench.benchmark import protocols
from disbench.benchmark.protocols import digests
from disbench.benchmark.runs import store
from disbench.benchmark.runs.rows import score_rows
from disbench.benchmark.runs.store import CellFile, Status
from disbench.benchmark.sweep import plan
from disbench.benchmark.sweep.cell import run_group
from disbench.files import read_json, write_json
from disbench.leaderboards import results


def test_every_seed_of_a_run_says_what_decided_it(finished_run):
    files = [CellFile.read(folder) for _, folder in store.cells(finished_run)]
    assert {file.cell.protocol for file in files} == {"smoke-v1"}
    (digest,) = {file.digest for file in files}
    cell = files[0].cell
    data = cell.dataset.load(None)
    config = models.configure("betavae", "mini", {"steps": 6, "batch": 4})
    assert digest == digests.of_training("betavae", config, data.info, data.sha256)
    rows = pd.DataFrame(score_rows(finished_run).rows)
    assert rows.groupby("metric")["digest"].nunique().tolist() == [1, 1]
    assert rows["digest"].nunique() == 2
    assert rows["digest"].str.fullmatch("[0-9a-f]{16}").all()


def test_a_kept_result_carries_version_and_digest(disbench, finished_run, tmp_path):
    words = ("leaderboard", finished_run, "--keep", "mine", "--results", tmp_path)
    code, _, err = disbench(*words)
    assert code == 0, err
    frame, facts = results.scores(tmp_path / "mine"), results.provenance(tmp_path / "mine")
    assert sorted(frame["digest"]) == sorted(row["digest"] for row in score_rows(finished_run).rows)
    kept = facts.protocols["smoke-v1"]
    assert (kept["version"], kept["digest"]) == (1, digests.of_all_methods(protocols.get("smoke")))
    assert facts.commands[0].startswith("disbench run --methods betavae --protocol smoke-v1 ")


@pytest.mark.parametrize("name", results.names())
def test_results_carry_a_version_and_a_digest_or_are_from_before_there_were_any(name):
    frame = results.scores(results.FOLDER / name)
    versions = {protocols.split(protocol)[1] for protocol in frame["protocol"]}
    if versions == {None}:
        assert set(frame["digest"]) == {""}
        assert all(protocols.find(protocol).version == 1 for protocol in frame["protocol"].unique())
    else:
        assert None not in versions
        assert frame["digest"].str.fullmatch("[0-9a-f]{16}").all()
        assert all(protocols.find(protocol) for protocol in frame["protocol"].unique())


def begun(run):
    """Seed 0 as if it had been stopped after its first step."""
    cell, folder = store.cells(run)[0]
    for name in ("checkpoint.pt", "scores.json", "codes.npz"):
        (folder / name).unlink()
    Status("stopped", step=1, steps=cell.steps).write(folder)
    return cell, folder


def test_a_seed_that_other_nets_began_does_not_go_on(quick_run):
    cell, folder = begun(quick_run)
    dataclasses.replace(CellFile.read(folder), digest="0" * 16).write(folder)
    assert run_group(quick_run, [cell], protocols.get("smoke"), plan.Options()) == ["failed"]
    assert "was begun with other nets" in Status.read(folder).why


def test_a_seed_from_before_there_were_digests_goes_on_without_one(quick_run):
    """It keeps its folder, and the protocol's name as it was."""
    cell, folder = begun(quick_run)
    old = read_json(folder / "cell.json")
    old["cell"]["protocol"] = "smoke"
    del old["digest"], old["cell"]["changed"]
    write_json(folder / "cell.json", old)
    assert store.cells(quick_run)[0][0].folder == cell.folder
    assert run_group(quick_run, [cell], protocols.get("smoke"), plan.Options()) == ["done"]
    file = CellFile.read(folder)
    assert (file.digest, file.cell.protocol) == ("", "smoke")
    rows = [row for row in score_rows(quick_run).rows if row["seed"] == 0]
    assert {row["digest"] for row in rows} == {""}
    assert json.loads(rows[0]["changed"]) == {"steps": 6, "batch": 4}
