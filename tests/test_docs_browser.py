"""The script by which the search of the documentation works from a folder, in Chromium."""

import shutil
from pathlib import Path

import pytest

playwright = pytest.importorskip(
    "playwright.sync_api", reason="the Python package playwright is not installed"
)
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here: apt-get install chromium")
SHIM = Path(__file__).resolve().parents[1] / "docs" / "js" / "iframe-worker.js"


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
