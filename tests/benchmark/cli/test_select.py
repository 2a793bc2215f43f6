"""`disbench leaderboard --select` on runs that were written down instead of trained."""

import errno

import numpy as np
import pandas as pd
import pytest

import disbench as library
from disbench.benchmark import protocols
from disbench.benchmark.cli.leaderboard import written_leaderboard
from disbench.benchmark.datasets.reference import DataRef
from disbench.benchmark.runs import codes, store
from disbench.benchmark.sweep import plan
from disbench.files import write_json

# the codes of the last seed are no others' in another order
MIXES = [np.eye(3), np.eye(3)[::-1], -np.eye(3), np.array([[1.0, 1, 0], [1, -1, 0], [0, 1, 1]])]


def make_run(path, protocol="mini", method="vae", changes=None, seeds=4):
    """Seeds with scores that rise by a tenth, and with the codes of `MIXES`."""
    setting = protocols.get(protocol)
    store.open_run(path)
    (entry,) = plan.entries(setting, [method], {method: changes or {}}, ())
    numbers = np.random.default_rng(0).normal(size=(500, 3))
    for seed in range(seeds):
        data = DataRef(setting.dataset, setting.size, "d" * 64)
        cell = store.Cell(entry.method, "", entry.config_name, entry.config, data, protocol, seed)
        folder = path / cell.folder
        store.CellFile(cell, {"disbench": "0.1.0"}).write(folder)
        store.Status(state="done", seconds=1.0).write(folder)
        entries = [
            {"metric": m.name, "preset": m.preset, "changed": {}, "label": m.preset, "score": 0.1 * seed}
            for m in setting.metrics
        ]
        write_json(folder / "scores.json", [{**e, "settings": {"votes": 800}} for e in entries])
        codes.write(folder / "codes.npz", data, np.arange(500), numbers @ MIXES[seed])
    return path


def test_the_terminal_names_the_choice_and_what_it_scores(disbench, tmp_path):
    run = make_run(tmp_path / "r")
    code, out, err = disbench("leaderboard", run, "--select", "udr:dlib_spearman")
    assert code == 0, err
    told = "chosen without labels by udr:dlib_spearman: vae seed 0, of 4 models"
    assert told in out
    assert "equal to it: vae seed 1, vae seed 2" in out
    assert "one in twenty" not in out  # of four models, nothing can be told
    assert "with 4 of them, independent rankings often reach ±1.00" in out
    (kept,) = run.glob("choice-*.json")
    assert f"written: {kept}" in out
    assert not (run / "leaderboard.csv").exists()


def test_a_saved_result_is_ranked_as_its_run_was(disbench, tmp_path):
    run = make_run(tmp_path / "r", "smoke")
    code, _, err = disbench(
        "leaderboard", run, "--keep", "first", "--results", tmp_path, "--data-dir", tmp_path
    )
    assert code == 0, err
    (_, of_run, _), (code, of_kept, err) = (
        disbench("leaderboard", path, "--select", "udr") for path in (run, tmp_path / "first")
    )
    assert code == 0, err
    said, _, written = of_run.partition("written:")
    assert written
    assert of_kept == said
    assert not [*(tmp_path / "first").glob("choice-*")]


@pytest.mark.parametrize(
    ("ending", "sign"), [("md", "| method"), ("tex", r"\toprule"), ("html", "<table"), ("txt", "┃ method")]
)
def test_every_format_is_written_with_the_pairs_and_the_comparison_beside_it(
    disbench, tmp_path, ending, sign
):
    run = make_run(tmp_path / "r")
    assert disbench("leaderboard", run, "--select", "udr", "--out", tmp_path / f"s.{ending}")[0] == 0
    for name in (f"s.{ending}", f"s-chosen.{ending}"):
        assert sign in (tmp_path / name).read_text("utf-8")
    assert len(pd.read_csv(tmp_path / "s-pairs.csv")) == 12
    assert not list(run.glob("choice-*.json"))


def test_a_program_reads_the_same_numbers(disbench, tmp_path):
    run = make_run(tmp_path / "r")
    for ending in ("parquet", "csv"):
        assert disbench("leaderboard", run, "--select", "udr", "--out", tmp_path / f"s.{ending}")[0] == 0
    table, same = pd.read_parquet(tmp_path / "s.parquet"), pd.read_csv(tmp_path / "s.csv")
    assert table["score"].tolist() == pytest.approx(same["score"].tolist(), rel=1e-15)
    assert table["seed"].tolist()[-1] == 3
    assert table["mig · dlib"].tolist() == pytest.approx([0.1 * seed for seed in table["seed"]])
    chosen = pd.read_parquet(tmp_path / "s-chosen.parquet")
    assert chosen["chosen"].nunique() == 1
    assert chosen["mean"].tolist() == pytest.approx([0.15] * len(chosen))
    python = library.Run(run).select("udr")
    assert python["score"].tolist() == table["score"].tolist()
    assert python.columns.tolist() == table.columns.drop("by").tolist()


def test_two_tables_on_standard_output_are_two(disbench, tmp_path):
    run = make_run(tmp_path / "r")
    out = disbench("leaderboard", run, "--select", "udr", "--format", "markdown")[1]
    assert "\n\n**What the choice by udr:dlib scores**\n\n| method" in out


def test_a_paper_s_table_shows_the_choice_of_a_run(disbench, tmp_path):
    """Before, its note says which command makes one; after another seed, that the choice is outdated."""
    run, out = make_run(tmp_path / "r", "tables-v1", "factorvae", {"gamma": 10.0}), tmp_path / "t.csv"
    row = ("FactorVAE, by UDR (Spearman)", "MIG")

    def entry():
        assert disbench("table", "infogan-cr", run, "--out", out)[0] == 0
        return pd.read_csv(out).set_index(["row", "column"]).loc[row]

    note = "`disbench leaderboard RUN --select udr:dlib_spearman --where method=factorvae`"
    assert note in entry()["ours_note"]
    assert (
        disbench("leaderboard", run, "--select", "udr:dlib_spearman", "--where", "method=factorvae")[0] == 0
    )
    found = entry()
    assert (found["theirs"], found["ours"], found["statistic"]) == (0.40, 0.0, "selected")
    assert bool(found["comparable"])
    told = "ours is one model (paper, gamma=10.0), chosen among 4 by udr:dlib_spearman"
    assert found["ours_note"] == told
    make_run(run, "tables-v1", "factorvae", {"gamma": 20.0})
    assert note in entry()["ours_note"]
    text = disbench("leaderboard", run)[1]
    assert "choice-factorvae-udr-dlib_spearman.json was made of other models than there are now" in text


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["RUN", "--select", "mig"], "to choose among several without labels, give model_centrality or udr"),
        (["RUN", "--select", "centrality"], "did you mean 'model_centrality'"),
        (["RUN", "--select", "udr:x"], "unknown preset of udr 'x'"),
        (["RUN", "--select", "udr", "--by", "method,metric,preset"], "give it without --by"),
        (["RUN", "--select", "udr", "--compare"], "--compare"),
        (["RUN", "--select", "udr", "--keep", "x"], "--keep"),
        (["--select", "udr", "--readme"], "--readme"),
        (["RUN", "--device", "cpu"], "--device belongs to --select"),
        (["RUN", "--select", "model_centrality", "--device", "gpu"], "unknown device 'gpu'"),
        (["RUN", "--select", "model_centrality"], "there is no checkpoint.pt of vae seed 0"),
        (["RUN", "--select", "udr", "--where", "seed=1"], "vae has 1 trained"),
        (["RUN", "--select", "udr", "--format", "pdf"], "unknown format 'pdf'"),
        (["--select", "udr"], "no run was given"),
        (["RUN", "OTHER", "--select", "udr"], "protocols mini and smoke"),
        (["RUN", "OTHER", "--select", "udr", "--mixed", "--format", "parquet"], "add --out FILE"),
    ],
)
def test_bad_input_is_one_sentence(disbench, tmp_path, arguments, told):
    run, other = make_run(tmp_path / "r"), make_run(tmp_path / "other", "smoke")
    words = {"RUN": run, "OTHER": other}
    code, out, err = disbench("leaderboard", *[words.get(word, word) for word in arguments])
    assert code == 2, out
    assert told in err
    assert len(err.strip().splitlines()) == 1


def test_models_of_several_runs_are_one_pool(disbench, tmp_path):
    one, two = make_run(tmp_path / "one"), make_run(tmp_path / "two", changes={"codes": 5})
    code, out, err = disbench("leaderboard", one, two, "--select", "udr:dlib_spearman")
    assert code == 0, err
    assert "of 8 models" in out
    assert not [*one.glob("choice-*.json"), *two.glob("choice-*.json")]


def test_a_run_that_may_not_be_written_is_ranked_and_that_is_said(disbench, tmp_path, monkeypatch):
    run = make_run(tmp_path / "r")

    def denied(*arguments, **options):
        raise PermissionError(errno.EACCES, "Permission denied", str(run))

    monkeypatch.setattr("disbench.files.os.replace", denied)
    code, out, err = disbench("leaderboard", run, "--select", "udr")
    assert (code, err) == (0, "")
    assert f"not written: cannot write to {run}: Permission denied" in " ".join(out.split())
    assert not [*run.glob("choice-*.json")]


def make_settings(path):
    """A run of two settings with four seeds each."""
    for size in (3, 4):
        make_run(path, changes={"codes": size})
    return path


def test_settings_are_ranked_by_a_metric_and_without_labels(disbench, tmp_path):
    run = make_settings(tmp_path / "r")
    code, out, err = disbench("leaderboard", run, "--tuned", "mig", "--select", "udr:dlib_spearman")
    assert code == 0, err
    assert "chosen by mig · dlib: vae none, since all settings are equal" in out
    assert "chosen without labels by udr:dlib_spearman: vae" in out
    code, out, err = disbench("leaderboard", run, "--tuned", "mig", "--format", "markdown")
    assert "**Settings of vae**" in out
    assert f"**What the choices of {run.name} score**" in out
    assert disbench("leaderboard", run, "--tuned", "mig", "--out", tmp_path / "t.csv")[0] == 0
    table = pd.read_csv(tmp_path / "t.csv")
    python = library.Run(run).tuned("mig")
    assert table["agreement"].tolist() == pytest.approx(python["agreement"].tolist())
    assert table["codes"].tolist() == python["codes"].tolist() == [3, 4]
    worth = pd.read_csv(tmp_path / "t-worth.csv").set_index("metric")
    assert worth.loc["mig", ["chosen", "held_out", "mean"]].tolist() == pytest.approx([0.15] * 3)
    assert disbench("plot", run, "--kind", "tuned", "--metric", "mig", "--out", tmp_path / "p")[0] == 0
    assert (tmp_path / "p" / "tuned.png").is_file()


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--tuned", "mig", "--by", "method"), "--tuned ranks settings; give it without --by"),
        (("--tuned", "mig", "--adjusted"), "give it without --select, --tuned and --readme"),
        (("--tuned", "migg"), "unknown metric of this run 'migg'"),
        (("--tuned", "mig", "--select", "dci"), "'dci' scores one model at a time"),
        (("--device", "cpu"), "--device belongs to --select and --tuned"),
    ],
)
def test_a_choice_of_settings_that_cannot_be_is_refused(disbench, tmp_path, options, told):
    code, _, err = disbench("leaderboard", make_settings(tmp_path / "r"), *options)
    assert code == 2
    assert told in " ".join(err.split())


def test_a_run_of_several_settings_ends_with_a_row_for_each(tmp_path):
    run = make_settings(tmp_path / "r")
    shown = written_leaderboard(run)
    assert len(shown.text) == 2
    assert shown.text["MIG ↑"].tolist() == [".15 ± .13"] * 2
    assert len(shown.numbers) == 2 * shown.numbers[["metric", "preset"]].drop_duplicates().shape[0]
    assert any(f"`disbench leaderboard {run} --tuned METRIC`" in note for note in shown.notes)
    assert (run / "leaderboard.csv").is_file()


def test_settings_cannot_be_chosen_of_one(disbench, tmp_path):
    code, _, err = disbench("leaderboard", make_run(tmp_path / "r"), "--tuned", "mig")
    assert code == 2
    assert "no method has several settings, so there is none to choose" in " ".join(err.split())
