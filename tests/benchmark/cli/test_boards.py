"""`disbench leaderboard` and `disbench table` on runs that were written down instead of trained."""

import ast
import html
import json
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import typer
from rich.console import Console

from disbench import leaderboards
from disbench.benchmark import api, protocols
from disbench.benchmark.cli import run as run_command
from disbench.benchmark.cli.main import app
from disbench.benchmark.cli.terminal import table
from disbench.benchmark.datasets import loading, naming
from disbench.benchmark.datasets.reference import DataRef
from disbench.benchmark.runs import commands, provenance, store
from disbench.benchmark.runs.rows import score_rows
from disbench.benchmark.scoring.entries import ScoreEntry
from disbench.benchmark.sweep import plan, progress, request
from disbench.errors import UsageError
from disbench.files import write_json
from disbench.leaderboards import aggregate, statistics, tables
from disbench.leaderboards import results as kept

MINI = len(protocols.get("mini").metrics)  # columns of the usual run here


def make_run(
    path,
    protocol="mini",
    method="vae",
    changes=None,
    seeds=range(2),
    score=0.5,
    failed=(),
    variants=(),
    plugin="",
    dataset="",
):
    """A run as `disbench run` leaves it, without weights; scores rise by a hundredth from seed to seed."""
    setting = protocols.get(protocol)
    store.open_run(path)
    for entry in plan.entries(setting, [method], {method: changes or {}}, variants):
        for seed in seeds:
            data = DataRef(dataset or setting.dataset, setting.size, "d" * 64)
            cell = store.Cell(
                *(entry.method, entry.variant, entry.config_name, entry.config),
                *(data, protocol, seed, plugin, entry.changed),
            )
            folder = path / cell.folder
            told = {"cell": cell.plain(), "environment": {"disbench": "0.1.0", "device": "a cpu"}}
            write_json(folder / "cell.json", told)
            if seed in failed:
                error = {"message": "loss.kl is not finite at step 7"}
                write_json(folder / "status.json", {"state": "failed", "error": error, "seconds": 5.0})
                continue
            write_json(folder / "status.json", {"state": "done", "seconds": 10.0})
            entries = [
                {
                    **ScoreEntry.pending(choice).plain(),
                    "score": score + 0.01 * seed,
                    "settings": {"votes": 800},
                    "higher_is_better": True,
                }
                for choice in setting.metrics
            ]
            write_json(folder / "scores.json", entries)
    return path


def test_several_runs_make_one_table(disbench, tmp_path):
    one, two = make_run(tmp_path / "one"), make_run(tmp_path / "two", method="betavae", failed=[1])
    out = tmp_path / "board.csv"
    code, _, err = disbench("leaderboard", one, two, "--out", out)
    assert code == 0, err
    board = pd.read_csv(out).set_index(["method", "metric", "preset"])
    assert board.loc[("vae", "factor_vae", "dlib"), "n"] == 2
    assert board.loc[("betavae", "factor_vae", "dlib"), ["n", "failed"]].tolist() == [1, 1]
    seeds = pd.read_csv(tmp_path / "board-scores.csv")
    assert len(seeds) == 4 * MINI
    assert not (one / "leaderboard.csv").exists()  # of several runs, none owns the table


def test_nothing_is_written_over_what_a_run_or_a_saved_result_consists_of(disbench, tmp_path):
    run, saved = make_run(tmp_path / "run"), tmp_path / "results"
    options = ("--results", saved, "--data-dir", tmp_path)
    assert disbench("leaderboard", run, "--keep", "kept", *options)[0] == 0
    (scores, *_) = sorted(run.glob("*/seed-0/scores.json"))
    before = {path: path.read_bytes() for path in (*run.rglob("*"), *saved.rglob("*")) if path.is_file()}
    table = ("table", "ibgan")
    for command in (
        ("leaderboard", run, "--out", run / "run.json"),
        ("leaderboard", run, "--out", scores),
        (*table, run, "--out", scores),
        ("leaderboard", saved / "kept", "--out", saved / "kept" / "scores.csv"),
        ("leaderboard", saved / "kept", "--out", saved / "kept" / "provenance.json"),
        (*table, "--results", saved, "--out", saved / "kept" / "scores.csv"),
        ("compare", run, "--with", saved / "kept", "--out", saved / "kept" / "scores.csv"),
        ("compare", run, "--with", "kept", "--results", saved, "--out", saved / "kept" / "pairs.csv"),
    ):
        code, _, error = disbench(*command)
        assert (code, error.count("\n")) == (2, 1), error
        assert "would be written over" in error
    assert {path: path.read_bytes() for path in before} == before
    # what can be made again may be
    for _ in range(2):
        assert disbench("leaderboard", run, "--out", run / "board.json")[0] == 0
        assert disbench("leaderboard", saved / "kept", "--out", saved / "kept" / "board.csv")[0] == 0


def test_the_terminal_names_failed_seeds_and_the_reason(disbench, tmp_path):
    run = make_run(tmp_path / "r", failed=[1])
    code, out, _ = disbench("leaderboard", run)
    assert code == 0
    assert "vae failed with seed 1: loss.kl is not finite at step 7" in out
    assert "no interval below 10 seeds" in out
    assert {"leaderboard.csv", "leaderboard.md", "scores.csv"} <= {path.name for path in run.iterdir()}


def test_runs_of_different_protocols_are_refused_unless_mixed(disbench, tmp_path):
    one, two = make_run(tmp_path / "one"), make_run(tmp_path / "two", protocol="smoke")
    code, _, err = disbench("leaderboard", one, two)
    assert code == 2
    assert "protocols mini and smoke" in err
    code, out, _ = disbench("leaderboard", one, two, "--mixed")
    assert code == 0
    assert "not comparable: protocols mini and smoke" in out
    assert disbench("leaderboard", one, two, "--where", "protocol=mini")[0] == 0


def test_a_seed_in_two_runs_counts_once_or_is_refused(disbench, tmp_path):
    one, same = make_run(tmp_path / "one"), make_run(tmp_path / "same")
    code, out, _ = disbench("leaderboard", one, same, "--format", "markdown")
    assert code == 0
    assert re.search(r"vae appears in \S*one and \S*same with equal scores; counted once: seed 0, 1", out)
    other = make_run(tmp_path / "other", score=0.7)
    code, _, err = disbench("leaderboard", one, other)
    assert code == 2
    assert "give one of them" in err


def test_python_refuses_to_average_what_the_command_refuses(disbench, tmp_path):
    """Two seeds that were scored by two versions of a metric."""
    run = make_run(tmp_path / "r")
    path = next(run.glob("*/seed-1/scores.json"))
    entries = json.loads(path.read_text())
    write_json(path, [{**entry, "version": 2} for entry in entries])
    code, _, err = disbench("leaderboard", run)
    assert code == 2
    assert "version" in err
    opened = api.Run(run)
    with pytest.raises(UsageError, match=r"not comparable.*version"):
        opened.leaderboard()
    shown = opened._repr_html_()
    assert "not comparable" in shown
    assert "<td>done</td>" in shown
    with pytest.warns(UserWarning, match="not comparable"):
        board = opened.leaderboard(mixed=True)
    assert board["n"].tolist() == [1] * 2 * MINI
    assert aggregate.leaderboard(opened.scores())["n"].tolist() == [1] * 2 * MINI
    with pytest.raises(UsageError, match=r"'mgi'.*'mig'"):
        opened.leaderboard(where={"metric": "mgi"})


@pytest.mark.parametrize(
    ("ending", "sign"), [("md", "| method"), ("tex", r"\toprule"), ("html", "<table"), ("txt", "┃ method")]
)
def test_every_format_is_written_with_the_seeds_beside_it(disbench, tmp_path, ending, sign):
    run = make_run(tmp_path / "r")
    assert disbench("leaderboard", run, "--out", tmp_path / f"b.{ending}")[0] == 0
    assert sign in (tmp_path / f"b.{ending}").read_text("utf-8")
    assert (tmp_path / "b-scores.csv").exists()


def test_parquet_reads_back_as_the_same_frame(disbench, tmp_path):
    run = make_run(tmp_path / "r")
    for ending in ("parquet", "csv"):
        assert disbench("leaderboard", run, "--out", tmp_path / f"b.{ending}")[0] == 0
    board, seeds = pd.read_parquet(tmp_path / "b.parquet"), pd.read_parquet(tmp_path / "b-scores.parquet")
    assert board["mean"].tolist() == pd.read_csv(tmp_path / "b.csv")["mean"].tolist()
    assert len(seeds) == 2 * MINI


def test_compare_tells_which_method_beats_which(disbench, tmp_path):
    one, two = make_run(tmp_path / "one"), make_run(tmp_path / "two", method="betavae", score=0.6)
    code, out, _ = disbench("leaderboard", one, two, "--compare", "--out", tmp_path / "b.csv")
    assert code == 0, out
    pairs = pd.read_csv(tmp_path / "b-pairs.csv")
    assert pairs["probability"].tolist() == [1.0] * MINI
    assert pairs["first"].tolist() == ["betavae"] * MINI


@pytest.mark.parametrize(
    ("first", "second", "names"),
    [
        (
            {"changes": {"codes": 4}},
            {"changes": {"codes": 5}},
            ["vae (mini, codes=4)", "vae (mini, codes=5)"],
        ),
        (
            {"plugin": "vae.py, sha256 1111111111111111"},
            {"plugin": "vae.py, sha256 2222222222222222"},
            ["vae (plug-in 11111111)", "vae (plug-in 22222222)"],
        ),
    ],
    ids=["another setting", "another code"],
)
def test_two_trainings_of_one_method_are_never_one(disbench, tmp_path, first, second, names):
    """Everywhere that methods are compared: the low one always loses against beta-VAE, the high one wins."""
    run = make_run(tmp_path / "r", method="betavae", seeds=range(3), score=0.5)
    make_run(run, seeds=range(3), score=0.1, **first)
    make_run(run, seeds=range(3), score=0.8, **second)
    low, high = names

    def is_right(pairs):
        mig = pairs[pairs["metric"] == "mig"].set_index(["first", "second"])
        assert mig["probability"].to_dict() == {
            ("betavae", low): 1.0,
            ("betavae", high): 0.0,
            (low, high): 0.0,
        }
        assert (mig[["n_first", "n_second"]] == 3).all(axis=None)

    code, _, err = disbench("leaderboard", run, "--compare", "--out", tmp_path / "b.csv")
    assert code == 0, err
    is_right(pd.read_csv(tmp_path / "b-pairs.csv"))

    results = tmp_path / "leaderboards" / "results"
    readme(tmp_path / "README.md")
    assert disbench("leaderboard", run, "--keep", "two", "--results", results)[0] == 0
    is_right(pd.read_csv(results / "two" / "pairs.csv"))
    is_right(aggregate.improvements(kept.scores(results / "two")))
    assert disbench("leaderboard", "--readme", "--results", results)[0] == 0
    rows = [
        line for line in (tmp_path / "README.md").read_text("utf-8").split("\n") if line.startswith("| VAE")
    ]
    assert len(set(rows)) == 2

    other = tmp_path / "other"
    shutil.copytree(run, other)
    for cell, folder in store.cells(other):
        moved = replace(cell, dataset=replace(cell.dataset, name="other"))
        shutil.copytree(folder, other / moved.folder)
        shutil.rmtree(folder)
        store.CellFile(moved, {"disbench": "0.1.0", "device": "a cpu"}).write(other / moved.folder)
    code, out, err = disbench("leaderboard", run, other, "--compare", "--where", "metric=mig")
    assert code == 0, err
    ranked = dict(re.findall(r"│ ((?:vae|betavae)[^│]*?) +│ +(\d\.\d\d) │", out[out.index("mean rank") :]))
    assert ranked == {high: "1.00", "betavae": "2.00", low: "3.00"}

    assert disbench("report", run)[0] == 0
    page = (run / "report.html").read_text("utf-8")
    table = page[page.index("Which method beats which") :]
    beaten = re.findall(r"<t[dh][^>]*>(.*?)</t[dh]>", table[: table.index("</table>")], re.S)
    for name in names:
        assert any(html.unescape(text).strip() == name for text in beaten)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([], "no run was given"),
        (["RUN", "--by", "method"], "must name metric and preset"),
        (["RUN", "--by", "colour,metric,preset"], "unknown column 'colour'"),
        (["RUN", "--where", "method"], "not of the form column=value"),
        (["RUN", "--where", "seed=0", "--where", "seed =1"], "--where seed was given twice; omit one"),
        (["RUN", "--format", "pdf"], "unknown format 'pdf'"),
        (["RUN", "--format", "parquet"], "add --out FILE"),
        (["RUN", "--out", "x.docx"], "add --format"),
        (["RUN", "--by", "method,metric,preset", "--compare"], "whatever --by groups; give one of them"),
        (["RUN", "--data-dir", "data"], "--data-dir belongs to --keep"),
        (["RUN", "--check"], "--check belongs to --readme"),
        (["RUN", "--readme"], "without runs"),
        (["RUN", "--keep", "../x"], "is not a valid name"),
        (["RUN", "--keep", "x", "--mixed"], "without --mixed"),
        (["RUN", "--keep", "x", "--adjusted"], "and --adjusted"),
        (["RUN", "--select", "udr", "--adjusted"], "without --select"),
        (["nowhere"], "nowhere is not a disbench run"),
    ],
)
def test_bad_input_is_one_sentence(disbench, tmp_path, arguments, told):
    run = make_run(tmp_path / "r")
    code, _, err = disbench("leaderboard", *[run if word == "RUN" else word for word in arguments])
    assert code == 2
    assert told in err
    assert len(err.strip().splitlines()) == 1


BEGIN = "<!-- leaderboards: begin; written by `disbench leaderboard --readme` -->"


def readme(path, section=""):
    path.write_text(f"# Title\n\n{BEGIN}\n{section}{kept.END}\n\nrest\n", "utf-8")


def test_a_kept_result_reads_back_and_fills_the_readme(disbench, tmp_path):
    run, results = (
        make_run(tmp_path / "r", seeds=range(12), failed=[3]),
        tmp_path / "leaderboards" / "results",
    )
    readme(tmp_path / "README.md")
    code, out, err = disbench("leaderboard", run, "--keep", "mini-test", "--results", results)
    assert code == 0, err
    folder = results / "mini-test"
    files = {"leaderboard.csv", "leaderboard.md", "scores.csv", "pairs.csv", "provenance.json", "strip.png"}
    files |= {"codes.json"}
    assert {path.name for path in folder.iterdir()} == files
    assert all(str(folder / name) in out for name in files)
    assert list(results.iterdir()) == [folder]  # no temporary folder is left
    frame = kept.scores(folder)
    assert len(frame) == 12 * MINI
    assert frame["score"].isna().sum() == MINI
    made = leaderboards.scores([{**row, "run": "mini-test"} for row in score_rows(run).rows])
    pd.testing.assert_frame_equal(frame, made, check_exact=True)

    facts = json.loads((folder / "provenance.json").read_text())
    assert facts["states"] == {"done": 11, "failed": 1}
    assert facts["seconds"]["total"] == 115.0
    assert facts["data_sha256"] == {"dsprites-32": "d" * 64}
    assert facts["protocols"]["mini"]["dataset"] == "dsprites"
    assert facts["environments"] == [{"disbench": "0.1.0", "device": "a cpu", "seeds": 12}]
    trained, scored = facts["commands"]
    assert trained == "disbench run --methods vae --protocol mini-v1 --seeds 12 --out runs/mini-test"
    # what a later version of the protocol has in addition
    assert scored.startswith("disbench rescore runs/mini-test --metrics dci:eastwood2018_forest,")

    check = ("leaderboard", "--readme", "--check", "--results", results)
    code, _, err = disbench(*check)
    assert code == 2
    assert "run `disbench leaderboard --readme`" in err
    assert disbench("leaderboard", "--readme", "--results", results)[0] == 0
    assert disbench(*check)[0] == 0
    text = (tmp_path / "README.md").read_text("utf-8")
    assert "### mini-test" in text
    assert "| VAE" in text
    assert "(leaderboards/results/mini-test/)" in text
    assert "(leaderboards/results/mini-test/strip.png)" in text
    assert text.startswith("# Title")
    assert text.endswith("rest\n")


def test_a_run_without_any_score_is_kept_without_a_picture(disbench, tmp_path):
    run, results = make_run(tmp_path / "r", seeds=range(2), failed=[0, 1]), tmp_path / "results"
    code, out, err = disbench("leaderboard", run, "--keep", "x", "--results", results)
    assert code == 0, err
    assert "strip.png" not in out + kept.readme(folder=results)


def test_keeping_again_replaces_the_folder_as_a_whole(disbench, tmp_path):
    results = tmp_path / "results"
    make_run(tmp_path / "r")
    assert disbench("leaderboard", tmp_path / "r", "--keep", "x", "--results", results)[0] == 0
    (results / "x" / "old.txt").touch()
    make_run(tmp_path / "r", seeds=range(3))
    assert disbench("leaderboard", tmp_path / "r", "--keep", "x", "--results", results)[0] == 0
    assert not (results / "x" / "old.txt").exists()
    assert set(pd.read_csv(results / "x" / "leaderboard.csv")["n"]) == {3}
    (results / "other").mkdir()
    (results / "other" / "mine.txt").touch()
    code, _, err = disbench("leaderboard", tmp_path / "r", "--keep", "other", "--results", results)
    assert code == 2
    assert "choose another name" in err


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("provenance.json", "{", "is damaged"),
        ("provenance.json", "{}", "lacks commands, environments, protocols, seconds"),
        ("scores.csv", "method\nvae\n", "lacks the columns dataset"),
    ],
)
def test_a_damaged_kept_result_is_one_sentence(disbench, tmp_path, name, text, told):
    results = tmp_path / "leaderboards" / "results"
    readme(tmp_path / "README.md")
    disbench("leaderboard", make_run(tmp_path / "r"), "--keep", "x", "--results", results)
    (results / "x" / name).write_text(text)
    code, _, err = disbench("leaderboard", "--readme", "--results", results)
    assert code == 2
    assert told in err


@pytest.mark.parametrize("command", [("leaderboard",), ("table", "infogan-cr")])
@pytest.mark.parametrize(
    ("column", "text"),
    [
        ("changed", "{"),
        ("changed", ""),
        ("metric_settings", "[1]"),
        ("chosen_by", "null"),
        ("chosen_by", '{"udr:dlib": "x"}'),
        ("chosen_by", ""),
    ],
)
def test_a_kept_cell_that_should_be_json_and_is_not_is_one_sentence(
    disbench, tmp_path, column, text, command
):
    results = tmp_path / "results"
    disbench("leaderboard", make_run(tmp_path / "r"), "--keep", "x", "--results", results)
    path = results / "x" / "scores.csv"
    pd.read_csv(path, dtype=str, keep_default_na=False).assign(**{column: text}).to_csv(path, index=False)
    code, _, err = disbench(*command, results / "x")
    assert code == 2
    assert f"as {column}, which is no JSON object; save the result again" in err
    assert len(err.strip().splitlines()) == 1


def test_a_kept_result_is_a_run_to_the_other_commands(disbench, tmp_path):
    results = tmp_path / "results"
    make_run(tmp_path / "r")
    disbench("leaderboard", tmp_path / "r", "--keep", "x", "--results", results)
    code, out, _ = disbench("leaderboard", results / "x", "--format", "csv")
    assert code == 0
    assert out.count("vae") >= 2
    code, out, _ = disbench("table", "ibgan", "--results", results)
    assert code == 0
    assert "ours: x" in out
    code, out, _ = disbench("table", "jointvae", "--results", results)
    assert code == 0
    assert "ours: no saved result has a method of this table" in out
    assert disbench("leaderboard", results / "x", "--keep", "y", "--results", results)[0] == 2


@pytest.mark.parametrize("name", ["r.pdf", "r", "r.html.gz"])
def test_a_report_is_html(disbench, tmp_path, name):
    run = make_run(tmp_path / "run")
    code, _, err = disbench("report", run, "--out", tmp_path / "new" / name)
    assert code == 2
    assert "give a name that ends in .html or .htm" in err
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("text", ["no markers", f"{kept.END} {BEGIN}", f"{BEGIN}{BEGIN}{kept.END}"])
def test_a_readme_without_its_markers_is_refused(text, tmp_path):
    with pytest.raises(ValueError, match="needs one line"):
        kept.placed(text, tmp_path, "results")


def test_a_saved_result_is_called_by_its_name(disbench, tmp_path, monkeypatch):
    """A folder of that name comes first, and another name is no result."""
    monkeypatch.chdir(tmp_path)
    code, whole, _ = disbench("leaderboard", "mini", "--format", "csv")
    assert code == 0
    assert whole == disbench("leaderboard", kept.FOLDER / "mini", "--format", "csv")[1]
    assert disbench("leaderboard", "minni")[0] == 2
    make_run(tmp_path / "mini")
    code, own, _ = disbench("leaderboard", "mini", "--format", "csv")
    assert code == 0
    assert own != whole
    code, out, _ = disbench("list", "results")
    assert code == 0
    assert "betavae, factorvae, ibgan, infogan with 32 seeds on dsprites-32, protocol mini" in out


def test_names_are_not_broken_where_the_terminal_has_room():
    frame = pd.DataFrame(
        {"method": ["sparse_vae"], "metric": ["factor_vae"], "preset": ["values that occur"]}
    )
    frame[[f"column {i}" for i in range(9)]] = "0.333"
    # by hand: 13 frames and 12 more, names of 10, "values" or "preset", and nine times "column" or "0.333"
    needed = 1 + 3 * 12 + 2 * 10 + 6 + 9 * 6
    for width, whole in ((needed, True), (needed - 1, False)):
        console = Console(width=width)
        with console.capture() as found:
            console.print(table(frame, width))
        assert ("sparse_vae" in found.get() and "factor_vae" in found.get()) is whole
        # what does not fit is folded and not cut off
        assert "…" not in found.get()
        assert max(map(len, found.get().splitlines())) <= width


def test_the_readme_of_this_repository_is_current(disbench):
    code, _, err = disbench("leaderboard", "--readme", "--check")
    assert code == 0, err


def test_a_table_shows_theirs_without_any_result_of_ours(disbench, tmp_path):
    code, out, _ = disbench("table", "ibgan", "--results", tmp_path, "--format", "markdown")
    assert code == 0
    assert "| IB-GAN | theirs | .80 ± .07 [" in re.sub(" +", " ", re.sub("</?ins>|[*]", "", out))
    assert ".826" in out
    assert "no result of ibgan under the protocol tables-v1" in out


def test_a_table_of_a_run_under_its_protocol_is_judged(disbench, tmp_path):
    run = make_run(tmp_path / "r", protocol="tables-v1", method="ibgan", seeds=range(32), score=0.65)
    out = tmp_path / "t.csv"
    assert disbench("table", "ibgan", run, "--out", out)[0] == 0
    found = pd.read_csv(out).set_index(["row", "column"])
    entry = found.loc[("IB-GAN", "FactorVAE metric")]
    assert entry["ours"] == pytest.approx(0.805)
    assert entry["difference"] == pytest.approx(0.005)
    assert bool(entry["inside"]) is True
    assert found.loc[("IB-GAN", "FactorVAE metric, peak"), "ours"] == pytest.approx(0.96)
    assert (tmp_path / "t-scores.csv").exists()


def test_a_table_on_another_data_set_has_its_rows_and_none_of_the_published_numbers(disbench, tmp_path):
    words = {"protocol": "tables-v1", "method": "ibgan", "seeds": range(2)}
    run = make_run(tmp_path / "r", dataset="shapes3d", score=0.4, **words)
    make_run(run, score=0.65, **words)
    out = tmp_path / "t.csv"
    code, printed, _ = disbench("table", "ibgan", run, "--dataset", "shapes3d", "--out", out)
    assert code == 0
    found = pd.read_csv(out).set_index(["row", "column"])
    entry = found.loc[("IB-GAN", "FactorVAE metric")]
    assert (entry["ours"], entry["ours_n"]) == (pytest.approx(0.405), 2)
    assert entry["ours_dataset"] == "shapes3d-64"
    assert found["theirs"].isna().all()
    assert set(pd.read_csv(tmp_path / "t-scores.csv")["dataset"]) == {"shapes3d-64"}
    (tmp_path / "none").mkdir()
    code, printed, _ = disbench("table", "ibgan", "--dataset", "cars3d", "--results", tmp_path / "none")
    told = " ".join(printed.split())
    assert "no published number on cars3d is known here" in told
    assert "no result of ibgan under the protocol tables-v1 on cars3d" in told
    code, printed, _ = disbench("table", "elastic-infogan-mini", "--dataset", "fashion_mnist", "--plan")
    assert "--dataset fashion_mnist:imbalanced-0..9" in printed
    assert printed.splitlines()[-1].endswith("runs/elastic-infogan-mini --dataset fashion_mnist")


@pytest.mark.parametrize(
    ("table", "dataset", "said"),
    [
        ("ibgan", "shapes3", "did you mean 'shapes3d'"),
        ("ibgan", "dsprites:foo", "unknown option 'foo'; choose from: classes-0,1, imbalanced-0"),
        ("ibgan", "shapes3d:imbalanced-x", "must end in a number"),
        ("elastic-infogan-mini", "dsprites", "28 pixels, and dsprites has 64, 32"),
        ("elastic-infogan-mini", "fashion_mnist:imbalanced-3", "give --dataset fashion_mnist"),
    ],
)
def test_a_table_on_a_data_set_that_it_cannot_have_is_refused(disbench, table, dataset, said):
    code, _, err = disbench("table", table, "--dataset", dataset)
    assert (code, said in err) == (2, True)


@pytest.mark.parametrize("given", [["run"], ["--results", "."]])
def test_a_plan_of_a_table_reads_no_results(disbench, given):
    code, out, err = disbench("table", "ibgan", *given, "--plan")
    assert (code, out) == (2, "")
    assert "omit the runs and --results" in err


def parsed(line):
    """What a `disbench run` command would train, found by the program's own parser and planner."""
    words = shlex.split(line)
    assert words[:2] == ["disbench", "run"]
    command = typer.main.get_command(app).commands["run"]
    given = command.make_context("run", words[2:]).params
    setting = protocols.get(given["protocol"])
    chosen = plan.entries(
        setting,
        request.names(given["methods"], "methods"),
        run_command.changes(given["set_"] or []),
        request.names(given["variants"], "variants") if given["variants"] else [],
        given["config"],
    )
    return {
        (
            setting.id,
            name,
            given["size"] or loading.usual_size(name, setting.size),
            *(entry.method, entry.variant, entry.config_name, json.dumps(entry.config, sort_keys=True)),
            seed,
        )
        for given_name in given["dataset"] or [setting.dataset]
        for name in naming.expanded(given_name)
        for entry in chosen
        for seed in request.seed_numbers(given["seeds"])
    }


@pytest.mark.parametrize("name", tables.names())
def test_the_plan_of_a_table_trains_each_of_its_rows(disbench, name):
    code, out, err = disbench("table", name, "--plan")
    assert code == 0, err
    cost, *lines, last = out.splitlines()
    assert last == f"disbench table {name} runs/{name}"
    assert max(map(len, lines)) < 400
    lines = [line for line in lines if not line.startswith("disbench data classifier")]
    choosing = [line for line in lines if line.startswith("disbench leaderboard")]
    lines = [line for line in lines if line not in choosing]
    trained = set().union(*map(parsed, lines))
    assert sum(len(parsed(line)) for line in lines) == len(trained)  # nothing twice
    spec = tables.read(name)
    setting = protocols.get(spec.protocol)
    wanted = set()
    for row in spec.rows:
        if row.method is None:
            continue
        if row.chosen_by:
            told = f"--select {row.chosen_by} --where method={row.method}"
            assert f"disbench leaderboard runs/{name} {told}" in choosing
            continue
        changes = {row.method: {key: str(value) for key, value in row.settings.items()}}
        variants = [row.variant] if row.variant else []
        (entry,) = plan.entries(setting, [row.method], changes, variants, row.config or spec.config)
        wanted |= {
            (
                spec.protocol,
                dataset,
                row.size or spec.size,
                *(entry.method, entry.variant, entry.config_name, json.dumps(entry.config, sort_keys=True)),
                seed,
            )
            for dataset in spec.datasets()
            for seed in range(spec.seeds)
        }
    assert trained == wanted
    # protocol, data set, size, method, variant, config, settings, seed
    steps = sum(json.loads(each[-2])["steps"] for each in wanted)
    assert cost.startswith(f"# {len(wanted):,} seeds, {steps:,} training steps in all")


@pytest.mark.parametrize("name", tables.names())
def test_the_protocol_of_a_table_measures_its_columns(name):
    spec = tables.read(name)
    measured = {(choice.name, choice.preset) for choice in protocols.get(spec.protocol).metrics}
    assert {(column.metric, column.preset) for column in spec.columns} <= measured


def test_the_commands_of_a_run_train_the_same_cells_again(tmp_path):
    run = make_run(tmp_path / "r", seeds=[1, 4])
    make_run(run, method="betavae", changes={"beta": "6"}, seeds=[1, 4])
    make_run(run, method="betavae", seeds=range(3))
    make_run(
        run, method="infogan", changes={"channels": "8,8"}, variants=["infogan", "auxiliary_q"], seeds=[3]
    )
    make_run(run, protocol="smoke", method="vae", seeds=[0])
    cells = [cell for cell, _ in store.cells(run)]
    lines = commands.commands(provenance.recipes(cells), "runs/x")
    trained = [found for line in lines for found in parsed(line)]
    assert len(trained) == len(set(trained)) == len(cells)
    assert set(trained) == {
        (
            protocols.of_record(cell.protocol).id,
            *(cell.dataset.name, cell.dataset.size),
            *(cell.method, cell.variant, cell.config_name, json.dumps(cell.config, sort_keys=True)),
            cell.seed,
        )
        for cell in cells
    }


def test_commands_hold_what_was_changed_alike_the_least_first(tmp_path):
    run = tmp_path / "r"
    for steps in ({}, {"steps": "18000"}, {"steps": "9000"}):
        make_run(run, method="vae", changes=steps, seeds=[0])
    for steps in ({}, {"steps": "30000"}, {"steps": "15000"}):
        make_run(run, method="betavae", changes=steps, seeds=[0])
    lines = commands.commands(provenance.recipes(cell for cell, _ in store.cells(run)), "runs/x")
    steps = [[word for word in line.split() if ".steps=" in word] for line in lines]
    assert steps == [
        [],
        ["betavae.steps=15000", "vae.steps=9000"],
        ["betavae.steps=30000", "vae.steps=18000"],
    ]


def test_the_classifiers_that_metrics_need_are_trained_first(disbench):
    _, out, _ = disbench("table", "elastic-infogan", "--plan")
    _, *lines = out.splitlines()
    wanted = [f"disbench data classifier mnist --size {size}" for size in (28, 32)]  # JointVAE's nets take 32
    assert lines[:2] == wanted
    assert all(line.startswith("disbench run") for line in lines[2:-1])
    _, out, _ = disbench("table", "ibgan", "--plan")
    assert "classifier" not in out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("table", "ibgan", "--results", "nowhere"), "nowhere does not exist"),
        (("table", "ibgan", "--results", "."), "holds no saved results"),
        (("table", "ibgan", "--results", "file"), "is a file"),
        (("table", "ibgan", "run", "--results", "."), "omit one of them"),
        (("leaderboard", "--readme", "--results", "nowhere"), "nowhere does not exist"),
        (("leaderboard", "--readme", "--results", "file"), "is a file"),
        (("leaderboard", "run", "--results", "."), "belongs to --keep and --readme"),
        (("leaderboard", "run", "--keep", "x", "--results", "file"), "is a file"),
    ],
)
def test_a_wrong_folder_of_results_is_refused(disbench, tmp_path, monkeypatch, words, said):
    monkeypatch.chdir(tmp_path)
    make_run(tmp_path / "run")
    (tmp_path / "file").touch()
    code, _, err = disbench(*words)
    assert (code, said in err) == (2, True), err


def test_tables_are_listed(disbench):
    code, out, _ = disbench("list", "tables")
    assert code == 0
    assert [line.split()[0] for line in out.splitlines()] == tables.names()


def test_the_readme_averages_over_the_splits_of_a_data_set_and_puts_the_best_first(tmp_path):
    def row(split, score, method):
        return {
            "dataset": f"digits:imbalanced-{split}-28",
            "protocol": "elastic-mini",
            "method": method,
            "variant": "",
            "settings": "mini",
            "cell": f"{method}{split}",
            "metric": "ent",
            "preset": "elastic",
            "seed": 0,
            "score": score,
            "state": "done",
            "higher_is_better": False,
            "seconds": 1.0,
            "changed": "{}",
        }

    frame = leaderboards.scores([row(s, 0.1 * s + b, m) for s in (1, 2) for m, b in (("a", 0.5), ("b", 0.0))])
    folder = tmp_path / "x"
    folder.mkdir()
    frame.to_csv(folder / "scores.csv", index=False)
    facts = {"commands": ["disbench run"], "protocols": {}, "seconds": {"total": 7200}, "environments": []}
    (folder / "provenance.json").write_text(json.dumps(facts))
    text = kept.readme(folder=tmp_path)
    assert "digits:imbalanced-*-28, 2 scores a row" in text
    assert "2.0 hours" in text
    rows = [line.split("|")[1:-1] for line in text.splitlines() if line.startswith("| ")][1:]
    assert [[cell.strip() for cell in cells] for cells in rows] == [
        ["b", "**.15 ± .07**"],  # less is better
        ["a", "<ins>.65 ± .07</ins>"],
    ]
    frame[frame["dataset"] == "digits:imbalanced-1-28"].to_csv(folder / "scores.csv", index=False)
    assert "digits:imbalanced-1-28, 1 scores a row" in kept.readme(folder=tmp_path)  # of one split, its name


def test_status_and_progress_tell_two_trainings_of_one_method_apart(disbench, tmp_path):
    run = make_run(tmp_path / "r", plugin="vae.py, sha256 1111111111111111", failed=[1])
    make_run(run, plugin="vae.py, sha256 2222222222222222")
    code, out, _ = disbench("status", run)
    assert code == 0
    assert {"vae (plug-in 11111111)", "vae (plug-in 22222222)"} <= set(re.findall(r"vae \([^)]*\)", out))
    assert "vae (plug-in 11111111) seed 1 failed" in out
    line = progress.as_line(progress.Tally(run, [cell for cell, _ in store.cells(run)], 1), 1.0)
    assert line.count("vae (plug-in") == 2


@pytest.mark.parametrize(
    ("command", "heavy"), [("status", {"torch", "sklearn", "scipy"}), ("leaderboard", {"torch"})]
)
def test_what_only_reads_a_run_loads_no_more_than_it_needs(command, heavy, tmp_path):
    run = make_run(tmp_path / "r")
    code = "import sys; from disbench.benchmark.cli.main import app; app(sys.argv[1:], standalone_mode=False)"
    code += "; print(sorted(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", code, command, run], capture_output=True, text=True, check=True
    )
    loaded = set(ast.literal_eval(done.stdout.splitlines()[-1]))
    assert "disbench" in loaded
    assert not heavy & loaded


@pytest.mark.parametrize(
    ("form", "known"), [("latex", False), ("markdown", False), ("csv", True), ("json", True)]
)
def test_the_interval_of_the_iqm_is_computed_where_it_is_shown(disbench, tmp_path, monkeypatch, form, known):
    """It takes ten times as long as that of the mean, which is in every form."""
    run = make_run(tmp_path / "r", seeds=range(10))
    asked, interval = [], statistics.interval

    def spy(values, statistic=np.mean, **more):
        asked.append(statistic)
        return interval(values, statistic, **more)

    monkeypatch.setattr(statistics, "interval", spy)
    code, out, err = disbench("leaderboard", run, "--format", form, "--where", "metric=mig")
    assert code == 0, err
    assert (statistics.iqm in asked) == known
    assert "iqm_low" not in out or known
