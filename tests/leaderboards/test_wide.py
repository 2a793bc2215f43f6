"""The form in which papers print results: decimals, marks, ties, directions, captions."""

import json
import math
import re
from itertools import chain

import numpy as np
import pandas as pd
import pytest

from disbench import leaderboards
from disbench.leaderboards import formats, wide
from disbench.leaderboards.wide import Cell, Column, Line


def scores(*means, metric="mig", preset="dlib", higher=True, method="abc", spread=0.1):
    """Two seeds of each method around its mean."""
    return [
        {
            "dataset": "dsprites-32",
            "protocol": "mini-v2",
            "variant": "",
            "settings": "mini",
            "cell": name,
            "method": name,
            "metric": metric,
            "preset": preset,
            "seed": seed,
            "changed": "{}",
            "score": mean + sign * spread,
            "state": "done",
            "higher_is_better": higher,
            "seconds": 1.0,
        }
        for name, mean in zip(method, means, strict=True)
        for seed, sign in enumerate((-1, 1))
    ]


def table_of(*rows):
    return wide.of_board(leaderboards.leaderboard(leaderboards.scores(chain(*rows))))


@pytest.mark.parametrize(
    ("mean", "std", "places", "text"),
    [
        (0.642, 0.081, 2, ".64 ± .08"),
        (1.0, 0.0, 2, "1.00 ± .00"),
        (-0.034, math.nan, 2, "−.03"),
        (-0.004, math.nan, 2, ".00"),  # not −.00
        (12.345, 1.5, 1, "12.3 ± 1.5"),
        (math.nan, 0.1, 2, "–"),
    ],
)
def test_a_number_is_printed_as_the_field_prints_it(mean, std, places, text):
    assert wide.number(Cell(mean, std), places) == text


def test_a_third_decimal_where_a_spread_would_print_as_nothing():
    assert wide.decimals([Cell(0.5, 0.08), Cell(0.5, 0.005)]) == 2
    assert wide.decimals([Cell(0.5, 0.08), Cell(0.5, 0.0049)]) == 3
    assert wide.decimals([Cell(0.5, 0.0), Cell(0.5)]) == 2  # equal scores and a single one say nothing


@pytest.mark.parametrize(
    ("texts", "higher", "marks"),
    [
        ([".50 ± .10", ".70", ".60"], True, ["", "best", "second"]),
        ([".50 ± .10", ".70", ".60"], False, ["best", "", "second"]),
        ([".70 ± .10", ".70 ± .20", ".60", ".60"], True, ["best", "best", "second", "second"]),
        (["–", ".70", "–"], True, ["", "", ""]),  # one number is no ranking
        (["−.20", "−.10", "–"], True, ["second", "best", ""]),
        (["1.00", ".99", ".9"], True, ["best", "second", ""]),
    ],
)
def test_best_and_second_go_by_what_is_printed_ties_alike(texts, higher, marks):
    assert wide.ranks(texts, higher) == marks


def test_each_metric_is_ranked_in_its_own_direction():
    table, caption = table_of(scores(0.3, 0.5, 0.4), scores(0.3, 0.5, 0.4, metric="prior_rmse", higher=False))
    assert list(table.text) == ["method", "MIG ↑", "RMSE of the prior ↓"]
    marks = table.marks.set_index(table.text["method"])
    assert marks["MIG ↑"].to_dict() == {"b": "best", "c": "second", "a": ""}
    assert marks["RMSE of the prior ↓"].to_dict() == {"a": "best", "c": "second", "b": ""}
    assert list(table.text["method"]) == ["b", "c", "a"]  # by the first metric
    # two seeds at mean ± .1: their standard deviation, divided by n - 1, is .1 * sqrt(2)
    assert list(table.text["MIG ↑"]) == [".50 ± .14", ".40 ± .14", ".30 ± .14"]
    assert "over n = 2" in caption
    assert "best bold, second underlined" in caption


def test_methods_that_print_alike_are_both_best():
    table, _ = table_of(scores(0.501, 0.504, 0.4))
    assert list(table.marks["MIG ↑"]) == ["best", "best", "second"]


def test_a_preset_is_in_the_heading_only_where_it_tells_columns_apart():
    rows = [scores(0.3, 0.4, 0.5), scores(0.1, 0.2, 0.3, preset="chen"), scores(0.1, 0.2, 0.3, metric="sap")]
    board = leaderboards.leaderboard(leaderboards.scores(chain(*rows)))
    table, _ = wide.of_board(board)
    assert list(table.text) == ["method", "MIG (chen) ↑", "MIG (dlib) ↑", "SAP ↑"]
    assert wide.presets(board) == "presets: dlib (SAP)"


def test_different_numbers_of_scores_and_failures_are_columns():
    rows = scores(0.3, 0.4, 0.5)[:-1]
    failed = {**rows[0], "method": "d", "cell": "d", "score": None, "state": "failed", "reason": "diverged"}
    table, caption = table_of(rows, [failed])
    shown = table.text.set_index("method")
    assert shown.loc["c", ["n", "failed"]].tolist() == ["1", "0"]
    assert shown.loc["d", ["n", "failed", "MIG ↑"]].tolist() == ["0", "1", "–"]
    assert "over n" not in caption


def test_rows_of_two_data_sets_are_ranked_apart():
    other = [{**row, "dataset": "digits-28"} for row in scores(0.1, 0.2, 0.9)]
    table, _ = table_of(scores(0.3, 0.5, 0.4), other)
    assert (table.marks == "best").sum().sum() == 2


def test_settings_and_keys_of_by_are_headings():
    rows = leaderboards.scores(scores(0.3, 0.4, 0.5)).assign(beta=[1.0, 1.0, 2.0, 2.0, np.nan, np.nan])
    table, _ = wide.of_board(leaderboards.leaderboard(rows, ["method", "beta", "metric", "preset"]))
    assert list(table.text) == ["method", "beta", "MIG ↑"]
    assert list(table.text["beta"]) == ["–", "2", "1"]


MARKED = wide.wide(
    [Column("M_1"), Column("low", higher_is_better=False)],
    [
        Line({"method": "a_b"}, {"M_1": Cell(0.5, 0.1), "low": Cell(0.2, after="[1]")}),
        Line({"method": "c"}, {"M_1": Cell(0.7, 0.1), "low": Cell(printed=".25±.1")}),
        Line({"method": "chance"}, {"M_1": Cell(0.9, 0.1)}, ranked=False),
    ],
)


def test_latex_has_one_formula_a_number_bold_or_underlined():
    text = formats.latex(MARKED, "50%", ["see_"])
    body = text[text.index(r"\midrule") + 9 : text.index(r"\bottomrule")].strip().splitlines()
    assert body == [
        r"a\_b & \underline{$.50 \pm .10$} & $\mathbf{.20}$ [1] \\",
        r"c & $\mathbf{.70 \pm .10}$ & \underline{$.25 \pm .1$} \\",
        r"chance & $.90 \pm .10$ & -- \\",
    ]
    head = re.search(r"\\toprule\n(.*)\n", text)[1]
    assert head == r"method & M\_1 $\uparrow$ & low $\downarrow$ \\"
    columns = re.search(r"\\begin{tabular}{(\w+)}", text)[1]
    assert {len(re.split(r"(?<!\\)&", line)) for line in [head, *body]} == {len(columns)}
    bare = re.sub(r"\\[{}]", "", text)
    assert bare.count("{") == bare.count("}")
    assert bare.count("$") % 2 == 0


def test_markdown_and_html_have_the_same_marks():
    lines = [re.sub(" +", " ", line) for line in formats.markdown(MARKED).splitlines()]
    assert lines[2] == "| a_b | <ins>.50 ± .10</ins> | **.20** [1] |"
    assert lines[4] == "| chance | .90 ± .10 | – |"
    page = formats.html(MARKED)
    assert '<td class="n"><b>.70 ± .10</b></td>' in page
    assert '<td class="n"><b>.20</b> <small>[1]</small></td>' in page
    assert "<u>.50 ± .10</u>" in page


def test_a_published_number_keeps_its_decimals_and_is_ranked():
    table = wide.wide(
        [Column("m")],
        [Line({"method": "a"}, {"m": Cell(printed=".6")}), Line({"method": "b"}, {"m": Cell(0.6)})],
    )
    assert list(table.text["m ↑"]) == [".6", ".60"]
    assert list(table.marks["m ↑"]) == ["best", "best"]


def test_a_table_without_rows_is_a_heading():
    empty = wide.wide([Column("m")], [])
    for kind in ("latex", "markdown", "html"):
        assert "m " in formats.render(kind, empty, "t", [])
    assert empty.legend == ""


def test_json_has_numbers_texts_and_null():
    frame = pd.DataFrame(
        {"n": [1, 2], "mean": [0.5, math.inf], "ok": [True, False], "text": ["a", None], "none": [pd.NA, 1]}
    )
    values = json.loads(
        formats.json("bench data", [formats.Tabled("t", frame, "T", ["note"])], {"x": np.int64(3)})
    )
    (table,) = values.pop("tables")
    assert values == {"schema": "disbench-1", "command": "bench data", "details": {"x": 3}}
    assert table["columns"] == ["n", "mean", "ok", "text", "none"]
    assert table["rows"] == [
        {"n": 1, "mean": 0.5, "ok": True, "text": "a", "none": None},
        {"n": 2, "mean": None, "ok": False, "text": None, "none": 1},
    ]
    assert table["notes"] == ["note"]
    assert type(table["rows"][0]["n"]) is int
