"""Results in a notebook: tables and sentences, with every text of strangers escaped."""

import xml.etree.ElementTree as ElementTree

import numpy as np
import pandas as pd
import pytest

import disbench
from disbench import html

HOSTILE = "<script>alert(1)</script>\x1b[31m&"


def cells(text):
    """Rows of the first table of a result, its heading among them."""
    root = ElementTree.fromstring(f"<div>{text}</div>")
    return [["".join(cell.itertext()) for cell in row] for row in next(root.iter("table")).iter("tr")]


def test_texts_are_escaped_and_cleaned_and_numbers_have_four_decimals():
    frame = pd.DataFrame({HOSTILE: [HOSTILE, ""], "x": [0.123456, np.nan], "n": [3, 4]})
    text = html.result(HOSTILE, [frame], [HOSTILE])
    assert "<script" not in text
    assert "\x1b" not in text
    shown = "<script>alert(1)</script>\\x1b[31m&"
    assert cells(text) == [[shown, "x", "n"], [shown, "0.1235", "3"], ["–", "–", "4"]]


def test_scores_show_themselves():
    rng = np.random.default_rng(0)
    factors = np.stack([rng.integers(0, 3, 300), rng.integers(0, 4, 300)], axis=1)
    codes = factors + rng.normal(0, 0.1, factors.shape)
    scored = disbench.score(codes, factors=factors, metrics="mig,sap", repeats=1)
    head, *rows = cells(scored._repr_html_())
    assert head == ["metric", "preset", "score"]
    assert [row[0] for row in rows] == ["mig", "sap"]
    assert float(rows[0][2]) == pytest.approx(scored["mig"], abs=1e-4)


def test_a_run_and_a_forecast_show_themselves(tmp_path):
    small = {"betavae": {"steps": 2, "batch": 4}}
    request = {"protocol": "smoke", "jobs": 1, "metrics": "sap", "settings": small, "out": tmp_path / "r"}
    forecast = disbench.forecast("betavae", **request)
    assert cells(forecast._repr_html_())[1][0] == "betavae"
    run = disbench.run("betavae", **request)
    head, row = cells(run._repr_html_())
    assert dict(zip(head, row, strict=True))["n"] == "1"
    assert "std is divided by n - 1" in run._repr_html_()
