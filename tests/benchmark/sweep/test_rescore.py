"""Further metrics of what is trained: of runs from their codes, of saved results from the codes they keep."""

import json

import numpy as np
import pandas as pd
import pytest

from disbench import metrics
from disbench.benchmark.runs import codes, kept_codes, store
from disbench.benchmark.runs.rows import score_rows
from disbench.benchmark.runs.store import Status
from disbench.benchmark.scoring import draws
from disbench.leaderboards import results
from disbench.leaderboards.results import FOLDER


def scored(run, metric):
    return {row["seed"]: row["score"] for row in score_rows(run).rows if row["metric"] == metric}


def by_hand(folder, cell):
    """MIG of the kept codes on the rows of a table metric."""
    rows, values = codes.read(folder / "codes.npz", cell.dataset)
    data = cell.dataset.load(None)
    drawn = draws.table_rows(data)
    return metrics.mig(values[np.searchsorted(rows, drawn)], data.factors(drawn)).score


def test_codes_are_enough_and_the_scores_join_the_others(disbench, quick_run):
    for _, folder in store.cells(quick_run):
        (folder / "checkpoint.pt").unlink()
    before = {(row["seed"], row["metric"]): row["score"] for row in score_rows(quick_run).rows}
    statuses = [(folder / "status.json").read_bytes() for _, folder in store.cells(quick_run)]
    code, out, err = disbench("rescore", quick_run, "--metrics", "mig,active_units", "--jobs", "1")
    assert code == 0, err
    assert "2 seeds scored, 0 had these scores already" in out
    assert scored(quick_run, "mig") == {
        cell.seed: pytest.approx(by_hand(folder, cell)) for cell, folder in store.cells(quick_run)
    }
    after = {(row["seed"], row["metric"]): row["score"] for row in score_rows(quick_run).rows}
    assert {key: after[key] for key in before} == before
    assert {metric for _, metric in after} == {"beta_vae", "factor_vae", "mig", "active_units"}
    assert [(folder / "status.json").read_bytes() for _, folder in store.cells(quick_run)] == statuses
    assert "mig" in (quick_run / "leaderboard.md").read_text()
    code, out, _ = disbench("rescore", quick_run, "--metrics", "mig", "--jobs", "1")
    assert "0 seeds scored, 2 had these scores already" in out
    assert disbench("plot", quick_run, "--kind", "strip", "--metric", "mig")[0] == 0


def test_where_codes_are_missing_the_model_encodes_again(disbench, quick_run):
    (cell, folder), _ = store.cells(quick_run)
    wanted = by_hand(folder, cell)
    (folder / "codes.npz").unlink()
    assert disbench("rescore", quick_run, "--metrics", "mig", "--jobs", "1")[0] == 0
    assert scored(quick_run, "mig")[0] == pytest.approx(wanted)


def test_without_codes_and_model_the_reason_is_told_and_the_seed_stays_done(disbench, quick_run):
    _, folder = store.cells(quick_run)[0]
    kept = (folder / "codes.npz").read_bytes()
    (folder / "codes.npz").unlink()
    (folder / "checkpoint.pt").unlink()
    code, out, err = disbench("rescore", quick_run, "--metrics", "mig", "--jobs", "1")
    assert code == 0, err
    assert "betavae seed 0, without a score" in " ".join(out.split())
    assert Status.read(folder).state == "done"
    assert set(scored(quick_run, "beta_vae")) == {0, 1}
    (folder / "codes.npz").write_bytes(kept)
    assert disbench("rescore", quick_run, "--metrics", "mig", "--jobs", "1")[0] == 0
    assert all(np.isfinite(score) for score in scored(quick_run, "mig").values())


def test_a_run_by_other_metrics_keeps_the_scores_that_are_there(disbench, quick_run):
    words = ("run", "--methods", "betavae", "--seeds", "2", "--protocol", "smoke", "--jobs", "1", "--out")
    words = (*words, quick_run, "--set", "betavae.steps=6", "--set", "betavae.batch=4")
    weights = [(folder / "checkpoint.pt").read_bytes() for _, folder in store.cells(quick_run)]
    code, _, err = disbench(*words, "--metrics", "mig")
    assert code == 0, err
    first = scored(quick_run, "mig")
    assert set(scored(quick_run, "factor_vae")) == set(first) == {0, 1}
    assert disbench(*words)[0] == 0
    assert scored(quick_run, "mig") == first
    assert [(folder / "checkpoint.pt").read_bytes() for _, folder in store.cells(quick_run)] == weights


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--metrics", "mg"), "did you mean 'mig'"),
        (("--metrics", "udr"), "--select udr"),
        (("--metrics", ","), "no metric in ','"),
        (("--jobs", "-1"), "--jobs -1"),
    ],
)
def test_what_cannot_be_scored_is_refused_before_anything_starts(disbench, finished_run, words, said):
    code, _, err = disbench("rescore", finished_run, *words)
    assert code == 2
    assert said in err
    assert disbench("run", "--methods", "vae", *words, "--out", "nowhere")[0] == 2


def saved(disbench, run, results):
    code, _, err = disbench("leaderboard", run, "--keep", "mine", "--results", results)
    assert code == 0, err
    return results / "mine"


@pytest.fixture
def kept(disbench, quick_run, tmp_path, monkeypatch):
    """A saved result, whose codes lie in a folder that no other test has."""
    monkeypatch.setattr(kept_codes, "MOST_BESIDE", 0)
    monkeypatch.setattr(kept_codes, "OUTSIDE", str(tmp_path / "outside"))
    return saved(disbench, quick_run, tmp_path / "results")


def test_a_saved_result_is_scored_from_the_codes_that_it_keeps(disbench, kept, quick_run):
    about = kept_codes.Kept.read(kept)
    assert sorted(about.seeds) == sorted(str(cell.folder) for cell, _ in store.cells(quick_run))
    frame = results.scores(kept)
    code, _, err = disbench("rescore", kept, "--metrics", "mig")
    assert code == 0, err
    again = results.scores(kept)
    new = again[again["preset"] == "dlib, kept codes"].set_index("seed")
    assert list(new["metric"]) == ["mig", "mig"]
    for cell, folder in store.cells(quick_run):
        assert new.loc[cell.seed, "score"] == pytest.approx(by_hand(folder, cell), abs=0.005)
        assert json.loads(new.loc[cell.seed, "metric_settings"])["kept_codes"].startswith("float16, ")
    pd.testing.assert_frame_equal(again[again["metric"] != "mig"].reset_index(drop=True), frame)
    assert new["digest"].str.fullmatch("[0-9a-f]{16}").all()
    assert "kept codes" in (kept / "leaderboard.md").read_text()
    once = (kept / "scores.csv").read_bytes()
    assert disbench("rescore", kept, "--metrics", "mig")[0] == 0
    assert (kept / "scores.csv").read_bytes() == once
    assert disbench("leaderboard", kept)[0] == 0


def test_results_of_one_name_keep_their_own_codes(disbench, kept, quick_run, tmp_path):
    for cell, folder in store.cells(quick_run):
        rows, values = codes.read(folder / "codes.npz", cell.dataset)
        codes.write(folder / "codes.npz", cell.dataset, rows, values[:, ::-1])
    other = saved(disbench, quick_run, tmp_path / "others")
    for result in (kept, other):
        assert not (result / "codes").exists()
        assert disbench("rescore", result, "--metrics", "mig")[0] == 0
    digests = [
        {seed.sha256 for seed in kept_codes.Kept.read(result).seeds.values()} for result in (kept, other)
    ]
    assert digests[0].isdisjoint(digests[1])


def test_codes_that_are_others_or_missing_are_refused(disbench, kept, tmp_path):
    path = next((tmp_path / "outside").glob("*.npz"))
    content = path.read_bytes()
    path.write_bytes(content[:-1] + b"x")
    code, _, err = disbench("rescore", kept, "--metrics", "mig")
    assert (code, "is not the file that" in err) == (2, True)
    path.unlink()
    code, _, err = disbench("rescore", kept, "--metrics", "mig")
    assert (code, "lists the codes" in err) == (2, True)
    (kept / "codes.json").write_text("{}")
    code, _, err = disbench("rescore", kept, "--metrics", "mig")
    assert (code, "is damaged" in err) == (2, True)


def test_a_result_from_before_codes_were_kept_says_so(disbench):
    code, _, err = disbench("rescore", FOLDER / "mini", "--metrics", "mig")
    assert (code, "keeps no codes" in err) == (2, True)
    assert disbench("rescore", FOLDER / "mini")[0] == 2


def test_codes_too_large_for_float16_are_kept_as_float32(quick_run, tmp_path):
    cell, folder = store.cells(quick_run)[0]
    rows, values = codes.read(folder / "codes.npz", cell.dataset)
    codes.write(folder / "codes.npz", cell.dataset, rows, values + 1e6)
    kept_codes.write(tmp_path, store.records(quick_run)[:1], tmp_path / "data")
    (seed,) = kept_codes.Kept.read(tmp_path).seeds.values()
    assert seed.dtype == "float32"
