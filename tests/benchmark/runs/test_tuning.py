"""Settings of runs and of saved results: whose agreement is measured, and what is kept."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from disbench import metrics
from disbench.benchmark.runs import choices, codes, keep, kept_agreement, rows, selection, store, tuning
from disbench.benchmark.runs.store import Record
from disbench.benchmark.training import gpu
from disbench.errors import UsageError
from disbench.leaderboards.tuning import pools
from disbench.metrics import Score

TURN = np.array([[1.0, 1, 0], [1, -1, 0], [0, 1, 1]])
# what each model makes of three numbers: those of the second setting agree
MIX = {(5, 0): np.eye(3), (5, 1): TURN, (6, 0): np.eye(3), (6, 1): -np.eye(3)[[1, 2, 0]]}
NUMBERS = np.random.default_rng(0).normal(size=(3000, 3))


def with_settings(writer, seeds=(0, 1)):
    """A run of two settings, of which the first has the higher scores."""
    for (size, seed), mix in MIX.items():
        if seed in seeds:
            folder = writer.done(seed, score=0.5 - 0.05 * size, codes=size)
            about = writer.cell(seed, codes=size).dataset
            codes.write(folder / "codes.npz", about, np.arange(3000), NUMBERS @ mix)
    return writer.run


def udr(size):
    models = [(NUMBERS @ MIX[size, seed]).astype(np.float32) for seed in (0, 1)]
    return metrics.udr(models).parts["models"].mean()


def test_the_agreement_is_that_of_the_seeds_of_one_setting(writer):
    found = tuning.of_runs([with_settings(writer)], "factor_vae:ibgan")
    (pool,) = found.pools
    assert (found.by, found.without, found.notes) == ("factor_vae · ibgan", "udr:dlib", [])
    assert pool.table["codes"].tolist() == [5, 6]
    assert pool.table["agreement"].tolist() == pytest.approx([udr(5), udr(6)], abs=1e-6)
    assert udr(6) > udr(5) + 0.2
    assert (pool.chosen, pool.unlabelled) == ([0], [1])


def test_a_saved_result_keeps_the_agreement(writer, tmp_path):
    run = with_settings(writer)
    frame, _ = rows.gather([run])
    keep.keep("tried", [run], frame, tmp_path / "results", tmp_path / "data")
    kept = tmp_path / "results" / "tried"
    assert set(kept_agreement.read((kept / kept_agreement.FILE).read_text())["by"]) == set(
        kept_agreement.KEPT
    )
    for by in ("udr", "udr:dlib_spearman"):
        of_run, of_kept = (tuning.of_runs([path], "mig", by) for path in (run, kept))
        pd.testing.assert_frame_equal(
            of_run.pools[0].worth, of_kept.pools[0].worth, check_exact=False, rtol=1e-12
        )
    (kept / kept_agreement.FILE).unlink()
    found = tuning.of_runs([kept], "mig")
    assert "keeps no agreement by udr:dlib" in found.notes[0]
    assert found.pools[0].unlabelled == []


def of_one_setting(writer, seeds=(0, 1, 2)):
    mixes = [np.eye(3), TURN, np.eye(3)[[2, 0, 1]], np.eye(3)]
    for seed in seeds:
        folder = writer.done(seed)
        codes.write(folder / "codes.npz", writer.cell(seed).dataset, np.arange(3000), NUMBERS @ mixes[seed])
    return writer.run


def kept_as(name, runs, tmp_path):
    frame, _ = rows.gather(runs)
    said = []
    keep.keep(name, runs, frame, tmp_path / "results", tmp_path / "data", said.append)
    return tmp_path / "results" / name, said


def ranked(runs, by="udr"):
    metric = selection.metric_of_models(by)
    frame, notes = selection.scored_rows(runs, {})
    found, further = selection.select(frame, metric, kept=selection.agreement(runs, metric))
    return found, notes + further


@pytest.mark.parametrize("by", ["udr", "udr:dlib_spearman"])
def test_a_saved_result_of_one_setting_ranks_its_seeds_as_the_run_did(writer, tmp_path, by):
    run = of_one_setting(writer)
    kept, _ = kept_as("one", [run], tmp_path)
    ((of_run,), _), ((of_kept,), notes) = ranked([run], by), ranked([kept], by)
    for column in ("seed", "rank", "score"):
        assert of_kept.pool[column].tolist() == pytest.approx(of_run.pool[column].tolist(), abs=1e-12)
    assert of_run.pool["seed"].iloc[-1] == 1
    assert (len(of_run.pairs()), len(of_kept.pairs()), notes) == (6, 0, [])
    with pytest.raises(UsageError, match="no method has several settings"):
        tuning.of_runs([kept])


def test_a_choice_of_the_run_is_kept_where_its_codes_are_gone(writer, tmp_path):
    run = of_one_setting(writer)
    (chosen,), _ = ranked([run])
    path = selection.keep(run, chosen)
    # where the codes are there, they are measured, and an old choice is nothing to that
    path.write_text(json.dumps(json.loads(path.read_text()) | {"scores": [0.9, 0.8, 0.7]}))
    (measured,), _ = ranked([kept_as("whole", [run], tmp_path)[0]])
    assert measured.pool["score"].tolist() == pytest.approx(chosen.pool["score"].tolist(), abs=1e-12)
    selection.keep(run, chosen)
    for path in run.glob("*/*/codes.npz"):
        path.unlink()
    assert choices.of_models(chosen.pool, "udr:dlib_spearman") is None
    assert choices.of_models(chosen.pool.iloc[:2], "udr:dlib") is None
    kept, said = kept_as("one", [run], tmp_path)
    # the other way to measure had none
    assert any("no agreement of the seeds of vae: there is no codes.npz" in sentence for sentence in said)
    # three seeds, one sentence
    assert "no codes are kept of 3 seeds, which codes.json names: its run has no codes.npz" in said
    (of_kept,), _ = ranked([kept])
    assert of_kept.pool["seed"].tolist() == chosen.pool["seed"].tolist()
    with pytest.raises(
        UsageError, match="one is a saved result that keeps no agreement by udr:dlib_spearman"
    ):
        ranked([kept], "udr:dlib_spearman")


def centrality(run, folders):
    """A choice by ModelCentrality among models of a run, the last of which is the most central."""
    scores = [0.1 * (i + 1) for i in range(len(folders))][::-1]
    pairwise = [[None if i == j else 0.5 for j in range(len(folders))] for i in range(len(folders))]
    choice = choices.Choice(
        method="vae",
        by="model_centrality:quick",
        settings={},
        folders=sorted(folders)[::-1],
        scores=scores,
        pairwise=pairwise,
    )
    return choice.write(run)


def test_a_choice_that_takes_checkpoints_is_kept_where_it_is_of_the_seeds_of_one_setting(writer, tmp_path):
    run = of_one_setting(writer)
    folders = {str(folder.relative_to(run)) for folder in run.glob("*/seed-*")}
    centrality(run, folders)
    (of_kept,), _ = ranked([kept_as("one", [run], tmp_path)[0]], "model_centrality:quick")
    assert of_kept.pool["seed"].tolist() == [2, 1, 0]
    assert of_kept.pool["score"].tolist() == pytest.approx([0.3, 0.2, 0.1])
    for of_others in (sorted(folders)[:2], [*folders, "vae/seed-9"]):
        centrality(run, of_others)
        with pytest.raises(UsageError, match="keeps no agreement by model_centrality:quick"):
            ranked([kept_as("other", [run], tmp_path)[0]], "model_centrality:quick")
        shutil.rmtree(tmp_path / "results" / "other")


def test_a_choice_among_models_of_several_settings_is_not_kept(writer, tmp_path):
    run = with_settings(writer)
    centrality(run, {str(folder.relative_to(run)) for folder in run.glob("*/seed-*")})
    kept, _ = kept_as("tried", [run], tmp_path)
    assert set(kept_agreement.read((kept / kept_agreement.FILE).read_text())["by"]) == set(
        kept_agreement.KEPT
    )


def test_models_that_were_not_compared_with_each_other_are_not_ranked(writer, tmp_path):
    kept, _ = kept_as("tried", [with_settings(writer)], tmp_path)
    with pytest.raises(UsageError, match="compared with their like alone; tuned ranks the settings"):
        ranked([kept])
    frame, _ = selection.scored_rows([kept], {})
    udr = selection.metric_of_models("udr")
    one = frame[frame["cell"] == frame["cell"].iloc[0]].copy()
    agreement = selection.agreement([kept], udr)
    known = agreement[agreement["folder"] == one["folder"].iloc[0]]
    further = pd.concat([one, one.assign(seed=one["seed"] + 2, folder=one["folder"] + "2")])
    with pytest.raises(UsageError, match="the saved result keeps no agreement of vae"):
        selection.select(further, udr, kept=known)
    with pytest.raises(UsageError, match="models of saved results beside others, and these were not"):
        selection.select(further.assign(run=[str(kept), "r"] * (len(further) // 2)), udr, kept=agreement)


def test_a_run_that_is_called_as_a_saved_result_is_not_taken_for_it(writer, tmp_path, monkeypatch):
    kept, _ = kept_as("tried", [with_settings(writer)], tmp_path)
    monkeypatch.chdir(tmp_path)
    run, seen = Path("tried"), []
    other = type(writer)(run)
    for size in (5, 6):
        for seed in (2, 3):
            folder = other.done(seed, codes=size)
            about = other.cell(seed, codes=size).dataset
            codes.write(folder / "codes.npz", about, np.arange(3000), NUMBERS @ MIX[size, seed - 2])

    def measured(pools, *_):
        seen.extend(pools)
        return pd.DataFrame(columns=["run", "folder", "score"]), []

    with pytest.raises(UsageError, match="models of saved results beside others, and these were not"):
        ranked([kept, run])
    monkeypatch.setattr(tuning, "agreement", measured)
    tuning.of_runs([kept, run], "mig")
    assert set(pd.concat(seen)["run"]) == {"tried"}
    assert set(pd.concat(seen)["seed"]) == {2, 3}


def test_few_seeds_of_one_setting_keep_none(writer, tmp_path):
    kept, said = kept_as("one", [of_one_setting(writer, [0])], tmp_path)
    assert not (kept / kept_agreement.FILE).exists()
    assert not [sentence for sentence in said if "agreement" in sentence]


def test_seeds_without_codes_and_settings_of_one_seed_are_told(writer):
    run = with_settings(writer, seeds=(0,))
    found = tuning.of_runs([run], "mig")
    assert found.notes == ["no agreement of 2 settings of vae with fewer than 2 trained seeds"]
    with_settings(writer)
    (run / writer.cell(1, codes=6).folder / "codes.npz").unlink()
    found = tuning.of_runs([run], "mig")
    (told,) = found.notes
    assert "there is no codes.npz of vae" in told
    assert found.pools[0].table["agreement"].isna().tolist() == [False, True]


def test_checkpoints_are_compared_where_there_is_a_device_and_three_of_them(writer, monkeypatch):
    """Two models always agree alike by what they draw; and "auto" is no device of torch."""
    seen = []

    def measurement(pool, by, device, progress):
        seen.append((len(pool.rows), by.name, device))
        return lambda: Score(0.5, parts={"models": np.arange(len(pool.rows))}, preset="quick")

    monkeypatch.setattr(selection, "measurement", measurement)
    run = with_settings(writer)
    found = tuning.of_runs([run], "mig", "model_centrality:quick", device="cpu")
    assert seen == []
    assert found.notes == ["no agreement of 2 settings of vae with fewer than 3 trained seeds"]
    writer.done(2, codes=6)
    found = tuning.of_runs([run], "mig", "model_centrality:quick")
    assert seen == [(3, "model_centrality", gpu.choose_device("auto"))]
    assert found.pools[0].table["agreement"].dropna().tolist() == [1.0]


def test_why_a_setting_cannot_be_measured_is_told(writer, monkeypatch):
    def fails():
        raise UsageError("the models differ")

    monkeypatch.setattr(selection, "measurement", lambda *given: fails)
    found = tuning.of_runs([with_settings(writer)], "mig")
    # each names its setting
    assert found.notes == [
        f"no agreement of the seeds of vae (mini, codes={codes}): the models differ" for codes in (5, 6)
    ]


def test_a_metric_that_no_method_of_several_settings_has_is_refused(writer):
    run = with_settings(writer)
    for codes_ in (5, 6):
        for seed in (0, 1):
            folder = run / writer.cell(seed, codes=codes_).folder
            store.write_scores(folder, [e for e in Record.read(folder).entries if e.metric != "sap"])
    writer.done(0, method="betavae")
    with pytest.raises(UsageError, match="no method with several settings has a score of sap:dlib"):
        tuning.of_runs([run], "sap")


@pytest.mark.parametrize(
    "damage", ["", "by,folder\na,b\n", "by,folder,score\na,b,much\n", "by,folder,score\na,b,\na,c,inf\n"]
)
def test_a_damaged_file_is_refused(damage):
    with pytest.raises(UsageError, match="holds no table of the columns by, folder, score"):
        kept_agreement.read(damage)


def test_only_metrics_of_several_models_choose_without_labels(writer):
    with pytest.raises(UsageError, match="scores one model at a time"):
        tuning.of_runs([with_settings(writer)], "mig", "dci")
    frame, _ = rows.gather([writer.run])
    found, _ = tuning.agreement(pools(frame), selection.metric_of_models("udr"))
    assert len(found) == 4
