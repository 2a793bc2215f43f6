import base64
import io
import json
import sys
from functools import partial
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from disbench.benchmark.cli import main as program
from disbench.leaderboards import aggregate, report
from disbench.leaderboards.provenance import Cost, Environment, Provenance, Settings
from disbench.leaderboards.report import Findings, Traversal


class Page(HTMLParser):
    """What a browser would make of a page: its elements with their attributes, and its texts."""

    VOID = ("meta", "link", "img", "br")

    def __init__(self, text):
        super().__init__()
        self.elements, self.texts, self.open = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, text):
        if not {"script", "style"} & set(self.open) and text.strip():
            self.texts.append(text.strip())

    def all(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture
def write(disbench):
    """`disbench report ...`: (exit code, standard output, standard error)."""
    return partial(disbench, "report")


@pytest.fixture(scope="module")
def page(made_once):
    return Page((made_once / "report.html").read_text("utf-8"))


def test_a_report_of_a_run_shows_what_it_found(page):
    assert not page.open  # every element is closed
    texts = "\n".join(page.texts)
    for expected in ("mini", "dsprites-32", "7 done, 1 failed", "abab", "c0ffee", "a processor"):
        assert expected in texts
    assert "disbench run --methods betavae" in texts
    assert "86 core-seconds" not in texts
    assert "90 core-seconds" in texts  # seven seeds of 12.5 s and a failed one of 2
    assert "best: seed" in texts
    assert "Score against beta" in texts
    matrices = [svg["aria-label"] for svg in page.all("svg") if "codes and factors" in svg["aria-label"]]
    assert [label.split(" of ")[0] for label in matrices] == ["Mutual information", "DCI's importance"]
    assert {"shape", "posY"} <= set(page.texts)
    assert "These scores mean nothing." not in texts
    assert "FactorVAE" in texts  # a paper's table with a row of ours
    assert len(page.all("img")) == 2 * 3 + 1
    assert all(image["alt"] for image in page.all("img"))
    assert all(svg["aria-label"] for svg in page.all("svg"))


def test_nothing_is_loaded_from_elsewhere(page):
    for tag, attributes in page.elements:
        for name in ("src", "href", "xlink:href", "action", "data", "srcset"):
            assert (attributes.get(name) or "#").startswith(("#", "data:")), (tag, attributes)


def test_hostile_words_of_a_run_stay_words(page, hostile):
    assert any(hostile in text for text in page.texts)  # the reason of the failed seed, as it was written
    assert [script.get("type") for script in page.all("script")] == ["application/json", None]
    for _, attributes in page.elements:
        assert not [name for name in attributes if name.startswith("on")]


def rows(method, scores, **other):
    return [
        {
            "dataset": "d",
            "protocol": "p",
            "method": method,
            "variant": "",
            "settings": "mini",
            "cell": method,
            "metric": "mig",
            "preset": "dlib",
            "seed": seed,
            "score": score,
            "state": "done" if np.isfinite(score) else "failed",
            "reason": None if np.isfinite(score) else "why not",
            "higher_is_better": True,
            "seconds": 1.0,
            "config": "mini",
            "changed": "{}",
            "run": "r",
            "folder": f"{method}/seed-{seed}",
            **other,
        }
        for seed, score in enumerate(scores)
    ]


def rendered(frame, **more):
    frame = aggregate.scores(frame.to_dict("records"))
    text = report.render(Findings(["r"], frame, {"p": ("summary", True)}, **more))
    return text, Page(text)


def test_nothing_in_a_frame_can_become_markup(hostile):
    frame = pd.DataFrame(rows(hostile, [0.1, np.nan, 0.3]) + rows("gan", [0.2, 0.4, 0.1], cell="c"))
    for column in (
        "variant",
        "settings",
        "dataset",
        "metric",
        "preset",
        "cell",
        "reason",
        "config",
        "folder",
    ):
        frame[column] = hostile + frame[column].where(frame[column].notna(), "")
    frame.loc[frame["score"].notna(), "reason"] = None
    text, page = rendered(frame, notes=[hostile], journals=journal(hostile), provenance=[provenance(hostile)])
    assert sum(hostile in text for text in page.texts) > 20
    assert "<script>window" not in text
    assert [script.get("type") for script in page.all("script")] == ["application/json", None]
    assert not page.open
    for _, attributes in page.elements:
        assert not [name for name in attributes if name.startswith("on")]


def journal(word):
    return pd.DataFrame(
        [
            {
                **dict.fromkeys(("dataset", "protocol", "method", "settings", "cell", "plugin"), word),
                "variant": "",
                "seed": 0,
                "quantity": word,
                "steps": np.array([1.0, 2.0]),
                "values": np.ones((2, 1)),
            }
        ]
    )


def provenance(word):
    return Provenance(
        name=word,
        commands=[word],
        data_sha256={word: word},
        environments=[Environment({"device": word, "commit": word, word: word}, 1)],
        protocols={word: {word: word}},
        settings={word: Settings(word, word, {word: word})},
        seconds=Cost(total=1.0),
    )


def test_the_table_of_a_metric_has_its_best_method_first_and_what_is_missing_last():
    frame = pd.DataFrame(rows("bad", [0.1, 0.2]) + rows("lost", [np.nan]) + rows("good", [0.8, 0.9]))
    _, page = rendered(frame)
    first = [t for t in page.texts if t in ("bad", "lost", "good")]
    assert first[3:6] == ["good", "bad", "lost"]  # after the overview, which keeps the order of the rows
    low = frame.assign(higher_is_better=False)
    first = [t for t in rendered(low)[1].texts if t in ("bad", "lost", "good")]
    assert first[3:6] == ["bad", "good", "lost"]


def test_a_picture_names_rows_as_the_table_beside_it_does():
    """The second data set alone has other settings, and these tell the rows of both apart."""
    other = rows("vae", [0.5, 0.6], dataset="e", settings="z=5", cell="other")
    frame = pd.DataFrame(rows("vae", [0.1, 0.2]) + rows("vae", [0.3, 0.4], dataset="e") + other)
    _, page = rendered(frame)
    shown = {text for text in page.texts if text.startswith("vae") and "," not in text}
    assert shown == {"vae (mini)", "vae (z=5)"}


def test_a_failed_seed_is_listed_with_its_reason():
    _, page = rendered(pd.DataFrame(rows("vae", [0.1, np.nan])))
    assert "why not" in page.texts
    assert "1 done, 1 failed" in page.texts
    assert any(
        text.startswith("None: every seed") for text in rendered(pd.DataFrame(rows("vae", [0.1])))[1].texts
    )


def test_a_run_without_any_score_still_has_its_report(maker, write):
    maker.failed("vae", 0, "out of memory")
    code, _, error = write(maker.path)
    assert (code, error) == (0, "")
    assert "out of memory" in (maker.path / "report.html").read_text("utf-8")


def test_numbers_are_written_for_people_and_sorted_as_numbers():
    assert report.number(-1234.5678, 2) == report.HtmlCell("−1,234.57", -1234.5678)
    assert report.number(float("nan")) == report.HtmlCell("–")
    table = report._of_texts(pd.DataFrame({"p": ["0.5 (0.1 to 0.9)", "–", "−2"], "q": ["a", "1", "2"]}), "t")
    assert [cell.number for row in table.rows for cell in row[:1]] == [0.5, None, -2.0]
    assert [numeric for _, numeric in table.columns] == [True, False]


def test_equal_runs_are_equal_reports(made_once, made_run, write):
    code, out, error = write(made_run)
    assert (code, error) == (0, "")
    assert str(made_run / "report.html") in out
    assert (made_run / "report.html").read_bytes() == (made_once / "report.html").read_bytes()


def test_pictures_are_shrunk_until_they_fit_and_the_page_says_so(tmp_path, monkeypatch):
    pixels = np.random.default_rng(0).integers(0, 256, (200, 300, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "t.png")
    data, width, height, shrunk = report.picture(tmp_path / "t.png", 60_000)
    assert (width, height, shrunk) == (150, 100, 2)
    image = Image.open(io.BytesIO(base64.b64decode(data)))
    assert image.size == (150, 100)
    assert image.getpixel((0, 0)) == pytest.approx(tuple(pixels[:2, :2].mean((0, 1))), abs=1)
    assert report.picture(tmp_path / "t.png", 10**6)[3] == 1
    monkeypatch.setattr(report, "PICTURE_BYTES", 60_000)
    shown = {"vae": [Traversal("only", 0, 0.1, tmp_path / "t.png")]}
    _, page = rendered(pd.DataFrame(rows("vae", [0.1])), judge=("mig", "dlib"), traversals=shown)
    assert any("Shown at 1/2 of their size" in text for text in page.texts)


def test_a_picture_that_cannot_be_read_is_named(tmp_path):
    (tmp_path / "t.png").write_text("no picture")
    shown = {"vae": [Traversal("only", 3, 0.1, tmp_path / "t.png")]}
    _, page = rendered(pd.DataFrame(rows("vae", [0.1])), judge=("mig", "dlib"), traversals=shown)
    assert any("t.png cannot be read as a picture" in text for text in page.texts)
    assert not page.all("img")


def test_curves_beyond_the_budget_are_left_out_by_name(monkeypatch):
    monkeypatch.setattr(report, "CURVE_BYTES", 10)
    both = pd.concat([journal("first"), journal("second")])
    _, page = rendered(pd.DataFrame(rows("vae", [0.1])), journals=both)
    assert any("small: second (second)" in text for text in page.texts)


def test_time_that_seeds_spent_together_on_a_gpu_counts_once(maker, write):
    for seed in range(4):
        folder = maker.done("vae", seed, {"mig": 0.1})
        cell = json.loads((folder / "cell.json").read_text())
        (folder / "cell.json").write_text(json.dumps({**cell, "device": "cuda", "together": 4}))
        status = json.loads((folder / "status.json").read_text())
        (folder / "status.json").write_text(json.dumps({**status, "training": 10.0}))
    write(maker.path)
    texts = "\n".join(Page((maker.path / "report.html").read_text("utf-8")).texts)
    # 10 s of training each, the same ones for all four; the other 2.5 s each scored it on a core
    assert "10 GPU-seconds" in texts
    assert "10 core-seconds" in texts


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["nowhere"], "not a disbench run"),
        (["RUN", "--metric", "nonsense"], "nonsense"),
        (["RUN", "--out", "RUN"], "a report is HTML; give a name that ends in .html or .htm"),
        (["RUN", "--out", "FOLDER"], "cannot write"),
    ],
)
def test_bad_input_is_one_sentence(arguments, sentence, maker, write, tmp_path):
    maker.done("vae", 0, {"mig": 0.1}, picture=False)
    (tmp_path / "folder.html").mkdir()
    places = {"RUN": str(maker.path), "FOLDER": str(tmp_path / "folder.html")}
    code, out, error = write(*(places.get(word, word) for word in arguments))
    assert (code, out) == (2, "")
    assert sentence in error
    assert error.count("\n") == 1


def test_runs_that_do_not_compare_need_mixed(made_run, maker, write, tmp_path):
    maker.done("vae", 0, {"factor_vae": 0.1}, protocol="smoke")
    code, _, error = write(made_run, maker.path, "--out", tmp_path / "r.html")
    assert code == 2
    assert "protocols mini and smoke" in error
    assert write(made_run, maker.path, "--out", tmp_path / "r.html", "--mixed")[0] == 0
    texts = Page((tmp_path / "r.html").read_text("utf-8")).texts
    assert any(text.startswith("not comparable: ") for text in texts)
    assert "These scores mean nothing." in texts


def test_kept_results_have_a_report_too(made_run, write, monkeypatch, tmp_path):
    words = ["disbench", "leaderboard", made_run, "--keep", "first", "--results", tmp_path / "results"]
    monkeypatch.setattr(sys, "argv", list(map(str, words)))
    with pytest.raises(SystemExit) as end:
        program.main()
    assert not end.value.code
    code, _, error = write(tmp_path / "results" / "first", "--out", tmp_path / "r.html")
    assert (code, error) == (0, "")
    page = Page((tmp_path / "r.html").read_text("utf-8"))
    assert "Score against beta" in page.texts
    assert "No seed with a score has a traversal beside it." in page.texts
