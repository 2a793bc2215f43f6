"""The report in a real browser: Chromium, driven by playwright. Where either is missing, skipped by name."""

import csv
import shutil

import numpy as np
import pytest

from disbench.leaderboards import aggregate, report
from disbench.leaderboards.provenance import Provenance
from disbench.leaderboards.report import Findings, Traversal

playwright = pytest.importorskip(
    "playwright.sync_api", reason="the Python package playwright is not installed"
)
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here: apt-get install chromium")


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as driver:
        # Tests may run as root, for whom Chromium has no sandbox; it only opens our own file.
        running = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield running
        running.close()


@pytest.fixture(scope="module")
def wide(made_once, tmp_path_factory):
    """A report with nine methods, six metrics, long names, and a seed that failed for many words."""
    rng = np.random.default_rng(0)
    rows = []
    for i, method in enumerate(["elastic_infogan", *"abcdefgh"]):
        for metric in ("m" + str(k) * 12 for k in range(6)):
            for seed in range(3):
                lost = (i, seed) == (2, 1)
                rows.append(
                    {
                        "dataset": "d",
                        "protocol": "p",
                        "method": method,
                        "variant": "auxiliary_q" * (i == 0),
                        "settings": "mini",
                        "cell": method,
                        "metric": metric,
                        "preset": "dlib, votes=200",
                        "seed": seed,
                        "score": np.nan if lost else rng.uniform(),
                        "state": "failed" if lost else "done",
                        "reason": "word " * 40 + "x" * 300 if lost else None,
                        "higher_is_better": True,
                        "seconds": 1.0,
                        "config": "mini",
                        "changed": "{}",
                    }
                )
    picture = next(made_once.glob("*/seed-*/traversal.png"))
    shown = {"a": [Traversal(what, 0, 0.5, picture) for what in ("best", "median", "worst")]}
    source = Provenance("r", commands=["disbench run " + "--set x=1 " * 40], data_sha256={"d": "f" * 64})
    frame = aggregate.scores(rows)
    findings = Findings(
        ["r"], frame, {"p": ("s", False)}, judge=("m", "p"), traversals=shown, provenance=[source]
    )
    path = tmp_path_factory.mktemp("wide") / "wide.html"
    path.write_text(report.render(findings), "utf-8")
    return path


@pytest.fixture
def visit(browser):
    """Opens a page; afterwards nothing may have been complained of or asked from the network."""
    complaints, opened = [], []

    def go(path, width=1400, **settings):
        context = browser.new_context(viewport={"width": width, "height": 900}, **settings)
        page = context.new_page()
        opened.append(context)
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("dialog", lambda dialog: (complaints.append(dialog.message), dialog.dismiss()))
        page.on(
            "request",
            lambda asked: (
                complaints.append(asked.url) if not asked.url.startswith(("file:", "data:")) else None
            ),
        )
        page.goto(path.as_uri())
        return page

    yield go
    for context in opened:
        context.close()
    assert complaints == []


def column(page, name, table):
    """The texts of a column of the table with this caption; what the browser shows now."""
    return page.evaluate(
        """([name, caption]) => {
            const table = [...document.querySelectorAll("table")].find(
                t => t.caption.textContent === caption);
            const i = [...table.tHead.rows[0].cells].findIndex(c => c.textContent === name);
            return [...table.tBodies[0].rows].map(row => row.cells[i].textContent);
        }""",
        [name, table],
    )


def test_columns_sort_both_ways_and_say_so(made_once, visit):
    page = visit(made_once / "report.html")
    caption = "Scores of every seed"
    page.get_by_text("Scores of 8 seeds", exact=True).click()
    table = page.get_by_role("table", name=caption)
    head = table.get_by_role("columnheader", name="factor_vae · dlib ↑")
    button = head.get_by_role("button")
    button.click()
    assert head.get_attribute("aria-sort") == "descending"
    falling = column(page, "factor_vae · dlib ↑", caption)
    assert falling[-1] == "–"  # the failed seed
    assert [float(text) for text in falling[:-1]] == sorted(map(float, falling[:-1]), reverse=True)
    button.focus()
    page.keyboard.press("Enter")
    assert head.get_attribute("aria-sort") == "ascending"
    rising = column(page, "factor_vae · dlib ↑", caption)
    assert rising == [*falling[-2::-1], "–"]  # what is missing stays last
    method = table.get_by_role("columnheader", name="method")
    method.get_by_role("button").click()
    assert head.get_attribute("aria-sort") is None
    names = column(page, "method", caption)
    assert {name: names.count(name) for name in names} == {names[0]: 3, names[3]: 3, "ibgan": 2}
    assert names[6:] == ["ibgan"] * 2
    method.get_by_role("button").click()
    assert column(page, "method", caption) == names[::-1]


def test_a_row_moves_as_a_whole(made_once, visit):
    page = visit(made_once / "report.html")
    page.get_by_text("Scores of 8 seeds", exact=True).click()
    caption = "Scores of every seed"

    def pairs():
        names = ("method", "seed", "state", "beta_vae · dlib ↑")
        return set(zip(*(column(page, name, caption) for name in names), strict=True))

    before = pairs()
    page.get_by_role("table", name=caption).get_by_role("button", name="beta_vae · dlib ↑").click()
    assert pairs() == before


@pytest.mark.parametrize("width", [360, 1400])
def test_nothing_is_wider_than_the_window(width, wide, visit):
    page = visit(wide, width)
    page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
    assert page.evaluate("document.documentElement.scrollWidth") == width
    cut = page.evaluate(
        """[...document.querySelectorAll("h1, h2, h3, p, dd, li, summary")]
            .filter(e => e.getBoundingClientRect().right > innerWidth + 1 && !e.closest(".scroll, nav"))
            .map(e => e.textContent.slice(0, 60))"""
    )
    assert cut == []


@pytest.mark.parametrize("width", [360, 1400])
def test_pictures_are_shown(width, wide, visit):
    page = visit(wide, width)
    sizes = page.evaluate("[...document.images].map(i => [i.complete, i.naturalWidth, i.clientWidth])")
    assert len(sizes) == 3
    assert all(complete and natural > 0 and shown > 0 for complete, natural, shown in sizes)
    drawn = page.evaluate(
        """[...document.querySelectorAll("svg")].filter(s => s.checkVisibility())
            .map(s => s.getBoundingClientRect().height)"""
    )
    assert drawn
    assert min(drawn) > 50


def test_hostile_words_run_nothing(made_once, visit):
    page = visit(made_once / "report.html")
    assert page.evaluate("window.hacked") is None


def luminance(page, selector, what):
    """0 (black) to 255 of a computed colour."""
    text = page.evaluate("([s, w]) => getComputedStyle(document.querySelector(s))[w]", [selector, what])
    return np.mean([float(part) for part in text.strip("rgba()").split(",")[:3]])


@pytest.mark.parametrize(
    ("scheme", "media", "light"),
    [("light", "screen", True), ("dark", "screen", False), ("dark", "print", True)],
)
def test_light_dark_and_paper(scheme, media, light, made_once, visit):
    page = visit(made_once / "report.html", color_scheme=scheme)
    page.emulate_media(media=media, color_scheme=scheme)
    paper = luminance(page, "body", "backgroundColor")
    assert (paper > 200) == light
    for selector, what in (("td", "color"), ("svg text", "fill"), ("caption", "color"), ("summary", "color")):
        assert abs(luminance(page, selector, what) - paper) > 100, selector
    assert page.locator("nav").is_visible() == (media == "screen")


def test_it_prints_without_losing_columns(made_once, visit):
    page = visit(made_once / "report.html", 700)  # about A4 within its margins
    page.emulate_media(media="print")
    assert page.evaluate("document.documentElement.scrollWidth") <= 700
    assert page.pdf(format="A4").startswith(b"%PDF")


def test_tables_and_boxes_can_be_used_without_a_mouse_or_eyes(made_once, visit):
    page = visit(made_once / "report.html")
    page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
    wrong = page.evaluate(
        """[
            ...[...document.querySelectorAll("thead th")].filter(e => e.scope !== "col"),
            ...[...document.querySelectorAll("tbody th")].filter(e => e.scope !== "row" || !e.textContent),
            ...[...document.querySelectorAll("table")].filter(e => !e.caption.textContent),
            ...[...document.querySelectorAll("img")].filter(e => !e.alt),
            ...[...document.querySelectorAll("svg")].filter(e => e.getAttribute("role") !== "img"),
            ...[...document.querySelectorAll(".scroll")].filter(e => e.tabIndex !== 0),
            ...[...document.querySelectorAll(".sortable thead th")].filter(e => !e.querySelector("button")),
        ].map(e => e.outerHTML.slice(0, 80))"""
    )
    assert wrong == []
    ids = page.evaluate("[...document.querySelectorAll('[id]')].map(e => e.id)")
    assert len(ids) == len(set(ids))


# --- Browsing scores ---


def shown(page, what="tbody tr > th button"):
    """The texts of the browsed table that are there now."""
    return page.locator(f".explorer table {what}").all_inner_texts()


@pytest.fixture(scope="module")
def browsed(tmp_path_factory):
    """Two data sets, two methods, two metrics; published numbers exist for the first data set."""
    rng, rows = np.random.default_rng(0), []
    for dataset, n in (("dsprites-32", 5), ("cars3d-64", 3)):
        for i, method in enumerate(["ibgan", "betavae"]):
            for metric, preset in (("factor_vae", "ibgan"), ("mig", "dlib")):
                for seed in range(n):
                    rows.append(
                        {
                            "dataset": dataset,
                            "protocol": "p",
                            "method": method,
                            "variant": "",
                            "settings": "=1+1",
                            "cell": method + dataset,
                            "metric": metric,
                            "preset": preset,
                            "seed": seed,
                            "score": 0.2 + 0.3 * ((metric == "mig") == bool(i)) + 0.01 * rng.uniform(),
                            "state": "done",
                            "higher_is_better": True,
                            "seconds": 1.0,
                            "config": "mini",
                            "changed": "{}",
                            "chance": 0.2,
                        }
                    )
    findings = Findings(["r"], aggregate.scores(rows), {"p": ("s", True)})
    path = tmp_path_factory.mktemp("browsed") / "report.html"
    path.write_text(report.render(findings), "utf-8")
    return path


def test_scores_are_filtered_sorted_and_found_again_by_their_address(browsed, visit):
    page = visit(browsed)
    # the data set with more seeds comes first; the published peak and row of IB-GAN have the same preset
    assert shown(page)[0] == "IB-GAN, peak"
    assert page.locator(".explorer tr.paper").count() == len(shown(page)) - 2 > 0
    page.get_by_label("published numbers").uncheck()
    assert shown(page) == ["IB-GAN", "beta-VAE"]
    page.locator(".explorer thead").get_by_role("button", name="MIG").click()
    assert shown(page) == ["beta-VAE", "IB-GAN"]
    assert page.locator(".explorer th[aria-sort=descending]").count() == 1
    page.locator(".explorer").get_by_label("Data set").select_option("cars3d-64")
    assert shown(page, "tbody td")[0] == "3"
    page.get_by_text("Methods (2 of 2)").click()
    page.get_by_role("checkbox", name="betavae").uncheck()
    assert shown(page) == ["IB-GAN"]
    # whoever gets the address sees the same
    again = visit(browsed)
    again.goto(page.url)
    again.reload()
    assert shown(again) == ["IB-GAN"]
    assert again.get_by_label("Data set").input_value() == "cars3d-64"
    page.get_by_role("button", name="reset").click()
    assert "#" not in page.url
    assert len(shown(page)) > 2


def test_seeds_open_by_keyboard_and_show_every_score(browsed, visit):
    page = visit(browsed, 390, color_scheme="dark")
    button = page.locator(".explorer tbody tr:not(.paper) > th button").first
    button.focus()
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.getAttribute('aria-expanded')") == "true"
    assert page.locator(".explorer .dots circle").count() == 2 * 5
    assert page.locator(".explorer .dots .chance").count() == 2
    assert "5 seeds" in page.locator(".explorer .dots").first.inner_text()
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    page.keyboard.press("Enter")
    assert page.locator(".explorer .dots").count() == 0


def test_rows_are_saved_as_csv(browsed, visit):
    page = visit(browsed)
    with page.expect_download() as download:
        page.get_by_role("button", name="CSV of these rows").click()
    lines = download.value.path().read_text("utf-8").splitlines()
    assert lines[0].startswith("source,dataset,protocol,method,title")
    assert sum(",IB-GAN," in line and ",p,ibgan," in line for line in lines) == 2
    # no spreadsheet computes a setting's text
    assert any(",'=1+1," in line for line in lines)
    # a published row's remark has commas and is still one field
    assert len(list(csv.reader(lines))[-1]) == len(lines[0].split(","))


def test_an_address_of_nothing_that_is_here_changes_nothing(browsed, visit):
    page = visit(browsed)
    usual = shown(page)
    page.goto(browsed.as_uri() + "#board?data=<img src=x>&metrics=none|of|these&sort=x&order=up&open=y")
    page.reload()
    assert shown(page) == usual
