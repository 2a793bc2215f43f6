"""What the documentation's script and style do in Chromium."""

import shutil
from pathlib import Path

import pytest

playwright = pytest.importorskip(
    "playwright.sync_api", reason="the Python package playwright is not installed"
)
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here: apt-get install chromium")
DOCS = Path(__file__).resolve().parents[1] / "docs"
SHIM = DOCS / "js" / "iframe-worker.js"


def test_a_worker_answers_a_page_that_was_opened_from_a_folder(tmp_path):
    (tmp_path / "more.js").write_text("self.more = 2;", "utf-8")
    (tmp_path / "worker.js").write_text(
        "addEventListener('message', async (e) => {"
        " await importScripts('more.js'); postMessage(e.data * self.more); });",
        "utf-8",
    )
    (tmp_path / "page.html").write_text(
        f"<!doctype html><html><body><script>{SHIM.read_text('utf-8')}</script><script>"
        "const worker = new Worker('worker.js');"
        "worker.addEventListener('message', (e) => { document.title = 'answer ' + e.data; });"
        "worker.postMessage(21);</script></body></html>",
        "utf-8",
    )
    with playwright.sync_playwright() as driver:
        # tests may run as root, for whom Chromium has no sandbox; it only opens our own file
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page()
        page.goto((tmp_path / "page.html").as_uri())
        page.wait_for_function("document.title === 'answer 42'", timeout=10_000)
        browser.close()


def test_an_empty_heading_keeps_its_column_and_an_empty_head_is_not_shown(tmp_path):
    """Every heading after it stood one column to the left of its numbers."""
    style = (DOCS / "css" / "disbench.css").read_text("utf-8")
    (tmp_path / "page.html").write_text(
        f"<!doctype html><html><head><style>{style}</style></head>"
        "<body class='md-typeset'><table><thead><tr><th></th><th>CPU</th><th>H100</th></tr></thead>"
        "<tbody><tr><td>MIG</td><td>.043</td><td>.042</td></tr></tbody></table>"
        "<table><thead><tr><th></th><th></th></tr></thead>"
        "<tbody><tr><td>codes</td><td>numbers</td></tr></tbody></table></body></html>",
        "utf-8",
    )
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page()
        page.goto((tmp_path / "page.html").as_uri())
        heading, number = page.get_by_text("H100").bounding_box(), page.get_by_text(".042").bounding_box()
        assert heading["x"] == number["x"]
        assert page.locator("thead").nth(0).is_visible()
        assert not page.locator("thead").nth(1).is_visible()
        browser.close()


def test_a_docstring_of_several_paragraphs_has_them_below_each_other(tmp_path):
    """The first object of a generated page has a class of this name, as a box of the home page once had."""
    style = (DOCS / "css" / "disbench.css").read_text("utf-8")
    (tmp_path / "page.html").write_text(
        f"<!doctype html><html><head><style>{style}</style></head>"
        "<body class='md-typeset'><div class='doc doc-contents first'><p>One of several paragraphs</p>"
        f"<p>{'and another that is long ' * 20}</p></div></body></html>",
        "utf-8",
    )
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1200, "height": 800})
        page.goto((tmp_path / "page.html").as_uri())
        one, other = (page.locator("p").nth(i).bounding_box() for i in range(2))
        assert one["x"] == other["x"]
        assert one["width"] == other["width"] > 1000
        browser.close()
