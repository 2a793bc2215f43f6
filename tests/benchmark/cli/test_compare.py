"""`disbench compare` on codes, encoders and runs, with kept results that were written down for the test."""

import json
import re
import shutil

import numpy as np
import pandas as pd
import pytest

import disbench
from disbench import datasets, leaderboards, metrics
from disbench.benchmark.runs import comparing
from disbench.files import plain
from disbench.leaderboards import formats, published

JUDGED = (("mig", "dlib"), ("sap", "dlib"))


def kept(folder, name, dataset, sha256, scores, judged=JUDGED, **changed):
    """A saved result of one method, whose score is the same for all metrics."""
    rows = [
        {
            "dataset": dataset,
            "protocol": "mini-v3",
            "method": "vae",
            "variant": "",
            "settings": "mini",
            "cell": "aaaa",
            "metric": metric,
            "preset": preset,
            "seed": seed,
            "score": score,
            "state": "done",
            "higher_is_better": True,
            "seconds": 1.0,
            "data_sha256": sha256,
            "metric_settings": json.dumps(plain(metrics.get(metric).settings(preset)), sort_keys=True),
            "config": "mini",
            "changed": "{}",
            "version": "0.1.0",
            **changed,
        }
        for metric, preset in judged
        for seed, score in enumerate(scores)
    ]
    path = folder / name
    path.mkdir(parents=True)
    (path / "scores.csv").write_text(formats.csv(leaderboards.scores(rows)))
    facts = {"commands": ["disbench run"], "protocols": {}, "seconds": {"total": 1}, "environments": []}
    (path / "provenance.json").write_text(json.dumps(facts))
    return path


@pytest.fixture
def results(home, tmp_path):
    """A folder of kept results on the small grid, and the arguments that name it."""
    data = datasets.load(str(home / "grid.npz"))
    kept(tmp_path / "results", "small", "grid.npz-16", data.sha256, [0.0, 0.1, 0.2])
    return tmp_path / "results"


@pytest.fixture
def compare(disbench, home, results):
    """`compare("order.npy", "--with", "small")` on the small grid."""

    def call(*arguments, data=True):
        given = [home / each if str(each).endswith(".npy") else each for each in arguments]
        about = ["--dataset", home / "grid.npz"] if data else []
        return disbench("compare", *given, *about, "--results", results)

    return call


def refused(answer, *words):
    code, out, err = answer
    assert code == 2, (out, err)
    assert "Traceback" not in out + err
    sentence = err.strip().splitlines()[-1]
    for word in words:
        assert word in sentence, sentence


def test_mine_stands_beside_the_kept_result_with_the_scores_of_score(compare, disbench, home):
    code, out, err = compare("order.npy", "--with", "small", "--json")
    assert code == 0, err
    values = json.loads(out)
    assert (values["schema"], values["command"]) == ("disbench-1", "compare")
    table, pairs = values["tables"]
    rows = {(row["metric"], row["name"]): row for row in table["rows"]}
    code, out, _ = disbench(
        "score", home / "order.npy", "--dataset", home / "grid.npz", "--metrics", "mig,sap", "--json"
    )
    for entry in json.loads(out)["details"][0]["scores"]:
        row = rows[entry["metric"], "mine"]
        assert row["mean"] == pytest.approx(entry["score"], abs=1e-12)
        assert row["n"] == 1
        assert row["chance"] == pytest.approx(entry["shuffled"]["mean"])
        above = np.mean([(entry["score"] > y) + (entry["score"] == y) / 2 for y in (0.0, 0.1, 0.2)])
        (pair,) = [pair for pair in pairs["rows"] if pair["metric"] == entry["metric"]]
        assert pair["probability"] == pytest.approx(above)
        assert pair["n_other"] == 3
    assert rows["mig", "vae"]["mean"] == pytest.approx(0.1)
    assert rows["mig", "vae"]["from"] == "small"


def test_a_metric_named_twice_is_one_column(compare):
    code, out, err = compare("order.npy", "--with", "small", "--metrics", "mig,mig:dlib,mig", "--format=csv")
    assert code == 0, err
    assert [line.split(",")[1] for line in out.splitlines()[1:]] == ["mine", "vae"]


def test_several_files_are_seeds_of_one_row_and_rows_have_names(compare, home, tmp_path):
    rng = np.random.default_rng(0)
    for seed in range(3):
        np.save(tmp_path / f"b={seed}.npy", rng.normal(size=np.load(home / "order.npy").shape))
    row = f"beta=4={tmp_path}/b=*"
    arguments = ("order.npy", "columns.npy", "--name", "my VAE", "--row", row, "--with", "small")
    code, _, err = compare(*arguments, "--metrics", "mig", "--out", tmp_path / "t.csv")
    assert code == 0, err
    board = pd.read_csv(tmp_path / "t.csv").set_index("name")
    assert board["n"].to_dict() == {"my VAE": 2, "beta=4": 3, "vae": 3}
    assert len(pd.read_csv(tmp_path / "t-scores.csv")) == 8
    pairs = pd.read_csv(tmp_path / "t-pairs.csv")
    assert sorted(pairs["mine"]) == ["beta=4", "my VAE"]


@pytest.mark.parametrize(
    ("kind", "sign"), [("latex", r"\toprule"), ("markdown", "|:--"), ("html", "<table ")]
)
def test_papers_get_methods_down_and_metrics_across(compare, kind, sign):
    code, out, err = compare("order.npy", "--with", "small", "--format", kind, "--name", "a_b")
    assert code == 0, err
    assert sign in out
    assert len(re.findall("MIG.{0,20}(?:↑|uparrow)", out)) == 1
    assert ".10 ± .10" in out or r".10 \pm .10" in out
    assert "probability" in out
    if kind == "latex":
        assert r"a\_b" in out
        bare = re.sub(r"\\[{}]", "", out)
        assert bare.count("{") == bare.count("}")


def test_the_terminal_says_how_probably_mine_is_better(compare):
    code, out, err = compare("order.npy", "--with", "small", "--metrics", "mig")
    assert code == 0, err
    assert "mine is better" in out
    assert "no interval below 10 seeds" in out
    assert re.search(r"mig +│ dlib +│ vae +│ small +│ +3 │ 0\.100", out)


def test_a_run_that_is_called_mine_is_not_mine(compare, home, results):
    (results / "small").rename(results / "mine")
    code, out, _ = compare("order.npy", "--with", "mine", "--metrics", "mig", "--json")
    assert code == 0
    board = json.loads(out)["tables"][0]["rows"]
    assert sorted(row["from"] for row in board) == ["mine", "run mine"]
    _, out, _ = compare("order.npy", "--with", "mine", "--metrics", "mig")
    assert re.search(r"vae +│ run mine .* \d\.\d\d +│$", out, re.MULTILINE)


def test_python_gives_the_same(home, results):
    data = str(home / "grid.npz")
    codes = np.load(home / "order.npy")
    found = disbench.compare({"a": [codes, codes[:, ::-1]]}, "small", dataset=data, results=results)
    assert found.mine == ("a",)
    assert found.table().set_index(["name", "metric"]).loc[("a", "mig"), "n"] == 2
    assert found.pairs()["other"].unique().tolist() == ["vae"]
    assert any("order of the grid" in sentence for sentence in found.assumed)
    with pytest.raises(disbench.UsageError, match="others is empty"):
        disbench.compare(codes, [], dataset=data, results=results)


def test_an_encoder_and_a_run_compare_too(disbench, compare, home, results):
    run = kept(results.parent, "run", "grid.npz-16", datasets.load(str(home / "grid.npz")).sha256, [0.3, 0.4])
    code, out, err = compare(
        home / "free.pt2", "--with", "small", "--with", run, "--metrics", "mig", "--json"
    )
    assert code == 2  # two results that disagree about the seeds of one training
    assert "give one of them" in err
    code, out, err = disbench("compare", run, "--with", "small", "--results", results, "--json")
    assert code == 0, err
    assert {row["name"] for row in json.loads(out)["tables"][0]["rows"]} == {"mine", "vae"}
    code, out, err = compare(home / "free.pt2", "--with", run, "--metrics", "mig", "--json")
    assert code == 0, err
    assert json.loads(out)["tables"][0]["rows"][0]["metric"] == "mig"


# --- What does not compare ---


def test_other_data_are_refused_with_what_would_compare(disbench, compare, home, tmp_path, results):
    kept(results, "digits", "digits-28", "c" * 64, [0.1])
    refused(compare("order.npy", "--with", "digits"), "is scored on grid.npz-16", "digits-28", "small")
    images = np.load(home / "grid.npz")["images"]
    factors = np.load(home / "grid.npz")["factors"]
    other = tmp_path / "other" / "grid.npz"
    other.parent.mkdir()
    np.savez(other, images=255 - images, factors=factors)
    codes = home / "order.npy"
    refused(
        disbench("compare", codes, "--dataset", other, "--with", "small", "--results", results),
        "sha256",
        "do not compare",
    )
    refused(compare("order.npy", "--with", "published"), "dsprites-64", "small")


def test_factors_of_ones_own_are_not_those_of_a_data_set(disbench, tmp_path, results):
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "own.npz", codes=rng.normal(size=(50, 2)), factors=rng.integers(0, 3, (50, 2)))
    kept(results, "digits", "digits-28", "c" * 64, [0.1])
    kept(results, "other", "digits-32", "c" * 64, [0.1])
    given = ("compare", tmp_path / "own.npz", "--results", results, "--with")
    refused(disbench(*given, "digits"), "brings factors of its own", "digits", "'rows'")
    refused(disbench(*given, "digits", "--dataset", "digits", "--size", "28"), "brings factors of its own")
    # of several data sets none is assumed
    refused(disbench(*given, "digits,other"), "give --dataset and --size")


def test_another_image_size_is_refused(disbench, tmp_path):
    data = datasets.load("digits")
    codes = tmp_path / "codes.npy"
    np.save(codes, np.random.default_rng(0).normal(size=(len(data), 3)))
    where = kept(tmp_path / "results", "big", "digits-32", "", [0.1]).parent
    given = ("--with", "big", "--results", where, "--dataset", "digits")
    refused(disbench("compare", codes, *given, "--size", data.shape[1]), "digits-32", "they do not compare")


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"metric_settings": '{"bins": 7}'}, ["settings of mig:dlib differ", "bins 20 here and 7 there"]),
        ({"metric_settings": '{"bins": 20, "version": 2}'}, ["version 1 here", "by version 2"]),
        ({"metric_settings": '{"bins": 20, "strange": 1}'}, ["does not have here: strange"]),
        ({"preset": "nobody"}, ["no preset nobody"]),
        ({"metric": "gone"}, ["gone is not among the metrics here"]),
        ({"preset": "dlib, live=kl"}, ["mig of mine is dlib", "is dlib, live=kl"]),
    ],
)
def test_another_way_of_measuring_is_refused(compare, home, results, changed, words):
    sha256 = datasets.load(str(home / "grid.npz")).sha256
    kept(results, "other", "grid.npz-16", sha256, [0.1], judged=[("mig", "dlib")], **changed)
    refused(compare("order.npy", "--with", "other"), *words)


def test_settings_that_a_metric_got_later_are_what_it_did_before():
    """factor_vae had no `least_kl`, and .1 nats was its constant; a preset that sets it otherwise differs."""
    settings = plain(metrics.get("factor_vae").settings("dlib"))
    old = {name: value for name, value in settings.items() if name != "least_kl"}
    assert comparing.completed("factor_vae", old) == settings
    choice = comparing.choice_of("factor_vae", "dlib", old)
    assert (choice.name, choice.preset, choice.settings) == ("factor_vae", "dlib", {})
    later = {**plain(metrics.get("factor_vae").settings("dupont2018"))}
    assert comparing.choice_of("factor_vae", "dupont2018", later).settings == {}
    del later["least_kl"]  # then it was measured at .1, and not as the preset says today
    assert "least_kl 1.0 here and 0.1 there" in comparing.choice_of("factor_vae", "dupont2018", later)


def test_a_changed_setting_that_the_preset_names_is_measured_again(compare, home, results):
    sha256 = datasets.load(str(home / "grid.npz")).sha256
    settings = {"metric_settings": '{"bins": 7}'}
    kept(results, "seven", "grid.npz-16", sha256, [0.1], judged=[("mig", "dlib")])
    path = results / "seven" / "scores.csv"
    frame = pd.read_csv(path).assign(preset="dlib, bins=7", **settings)
    path.write_text(formats.csv(frame))
    code, out, err = compare("order.npy", "--with", "seven", "--json")
    assert code == 0, err
    (table, _) = json.loads(out)["tables"]
    assert [row["preset"] for row in table["rows"]] == ["dlib, bins=7"] * 2
    codes, factors = np.load(home / "order.npy"), np.load(home / "grid.npz")["factors"]
    (mine,) = [row for row in table["rows"] if row["from"] == "mine"]
    assert mine["mean"] == pytest.approx(metrics.mig(codes, factors, bins=7).score)


def test_codes_of_fewer_rows_than_the_result_has_are_refused(disbench, tmp_path):
    rows = np.arange(14_999)
    np.savez(tmp_path / "few.npz", codes=np.random.default_rng(0).normal(size=(len(rows), 2)), rows=rows)
    where = kept(tmp_path / "results", "big", "dsprites-32", "", [0.1], judged=[("mig", "dlib")]).parent
    given = ("compare", tmp_path / "few.npz", "--with", "big", "--results", where)
    refused(disbench(*given), "14,999 rows", "15,000")


def test_what_a_file_does_not_say_is_taken_from_the_result_and_said(disbench, tmp_path):
    rows = np.sort(np.random.default_rng(0).choice(737_280, 15_000, replace=False))
    codes = np.stack(np.unravel_index(rows, (3, 6, 40, 32, 32)), axis=1).astype(float)
    np.savez(tmp_path / "mine.npz", codes=codes, rows=rows)
    where = kept(tmp_path / "results", "big", "dsprites-32", "", [0.1], judged=[("mig", "dlib")]).parent
    code, out, err = disbench("compare", tmp_path / "mine.npz", "--with", "big", "--results", where)
    assert code == 0, err
    assert "the data set is taken to be dsprites, that of big (--dataset)" in out
    assert "the image size is taken to be 32, that of big (--size)" in out
    refused(
        disbench("compare", tmp_path / "mine.npz", "--with", "big", "--results", where, "--size", "64"),
        "dsprites-64",
        "dsprites-32",
    )


def test_published_numbers_stand_beside_codes_of_their_images(disbench, tmp_path, monkeypatch):
    rows = np.sort(np.random.default_rng(0).choice(737_280, 15_000, replace=False))
    codes = np.stack(np.unravel_index(rows, (3, 6, 40, 32, 32)), axis=1).astype(float)
    np.savez(tmp_path / "mine.npz", codes=codes, rows=rows)
    given = ("compare", tmp_path / "mine.npz", "--with", "infogan-cr", "--metrics", "mig", "--json")
    code, out, err = disbench(*given)
    assert code == 0, err
    table, pairs = json.loads(out)["tables"]
    printed = [n for n in published.get("infogan-cr") if n.metric == "mig" and n.preset == "infogan_cr"]
    printed = [n for n in printed if n.statistic == "mean"]
    assert len(table["rows"]) == 1 + len(printed)
    assert {row["printed"] for row in table["rows"]} == {"", *(n.printed for n in printed)}
    assert [pair["probability"] for pair in pairs["rows"]] == [None] * len(printed)
    assert {pair["reason"] for pair in pairs["rows"]} == {"its ± is of an unknown kind"}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["order.npy"], ["--with is empty", "small"]),
        (["order.npy", "--with", "smal"], ["'smal'", "'small'"]),
        (["order.npy", "--with", "smoke"], ["no kept result is under the protocol smoke-v1", "small"]),
        (["order.npy", "--with", "small", "--metrics", "dci_es"], ["no dci_es", "mig:dlib"]),
        (["order.npy", "--with", "small", "--metrics", "migg"], ["'migg'", "'mig'"]),
        (["order.npy", "order.npy", "--with", "small"], ["given twice"]),
        (["--with", "small"], ["nothing to compare", "--row"]),
        (["--with", "small", "--name", "x"], ["--name"]),
        (["order.npy", "--with", "small", "--row", "x"], ["NAME=FILE"]),
        (["order.npy", "--with", "small", "--row", "x=/nonexistent*"], ["no file that is here"]),
        (["order.npy", "--with", "small", "--json", "--format", "csv"], ["--json and --format csv"]),
        (["order.npy", "--with", "small", "--format", "pdf"], ["'pdf'"]),
        (["order.npy", "--with", "small", "--out", "x.docx"], ["--out x.docx"]),
        (["/nonexistent.npz", "--with", "small"], ["No such file"]),
    ],
)
def test_wrong_words(compare, arguments, words):
    refused(compare(*arguments), *words)


def test_a_copy_of_a_file_is_no_further_seed(compare, home, tmp_path):
    """Nor one of another row: one of the two is not what it is called."""
    copy = tmp_path / "seed-1.npy"
    shutil.copy(home / "order.npy", copy)
    words = "order.npy and", "seed-1.npy are copies of one file", "a seed counts once"
    refused(compare("order.npy", copy, "--with", "small"), *words)
    refused(compare("order.npy", "--row", f"ours={copy}", "--with", "small"), *words)


def test_a_protocol_stands_for_the_results_under_it(compare):
    code, out, err = compare("order.npy", "--with", "mini", "--metrics", "mig")
    assert code == 0, err
    assert "│ small" in out
