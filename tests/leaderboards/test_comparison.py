"""Mine beside others: which is better by hand, what is assumed of published numbers, what is left out."""

import math
from decimal import Decimal

import numpy as np
import pytest

from disbench import leaderboards
from disbench.leaderboards import comparison, formats
from disbench.leaderboards.published import Number

PHI = 0.8413447460685429  # of 1


def rows(method, scores, metric="mig", higher=True, run="mini", preset="dlib"):
    return [
        {
            "dataset": "dsprites-32",
            "protocol": "mini-v2",
            "method": method,
            "variant": "",
            "settings": "mini",
            "cell": method,
            "metric": metric,
            "preset": preset,
            "seed": seed,
            "score": score,
            "state": "done",
            "higher_is_better": higher,
            "changed": "{}",
            "run": run,
            "spread": 0.01,
        }
        for seed, score in enumerate(scores)
    ]


def frame(*parts):
    return leaderboards.scores([row for part in parts for row in part])


def number(value=".50", spread=None, kind=None, n=None, **changed):
    about = {
        "source_id": "x/one",
        "paper": "X",
        "authors": "A",
        "venue": "V 2020",
        "arxiv": "1111.11111",
        "url": "",
        "table": "Table 1",
        "row": "One",
        "dataset": "dsprites",
        "size": 32,
        "method": None,
        "settings": {},
        "metric": "mig",
        "preset": "dlib",
        "statistic": "mean",
        "source": "s",
        "certainty": "seen",
        "note": "",
    }
    printed = value if spread is None else f"{value}±{spread}"
    spread = None if spread is None else Decimal(spread)
    known = {"value": Decimal(value), "spread": spread, "spread_kind": kind, "n": n, "printed": printed}
    return Number(**{**about, **known, **changed})


def test_how_probably_mine_is_better_by_hand():
    """(.3 beats .1, .2 of .1, .2, .4) and (.2 beats .1, ties .2): (2 + 1.5) / 6."""
    found = comparison.compare(frame(rows("mine", [0.3, 0.2])), frame(rows("vae", [0.1, 0.2, 0.4])), [])
    (pair,) = found.pairs.to_dict("records")
    assert pair["probability"] == pytest.approx(3.5 / 6)
    assert (pair["n_mine"], pair["n_other"]) == (2, 3)
    assert "no interval below 10 seeds" in pair["reason"]


def test_rows_with_too_few_seeds_for_an_interval_are_named():
    """Two seeds of mine, ten of one other and three of the next: mine and the last have too few."""
    ten, three = rows("ten", np.linspace(0, 1, 10)), rows("three", [0.1, 0.2, 0.4])
    found = comparison.compare(frame(rows("mine", [0.3, 0.2])), frame(ten, three), [])
    assert comparison.notes(found)[-1] == "no interval below 10 seeds: mine, three"
    enough = comparison.compare(frame(rows("mine", np.linspace(0, 1, 11))), frame(ten, three), [])
    assert comparison.notes(enough)[-1] == "no interval below 10 seeds: three"


def test_where_low_is_good_mine_is_better_below():
    low = {"metric": "prior_rmse", "higher": False}
    found = comparison.compare(
        frame(rows("mine", [0.1, 0.3], **low)), frame(rows("a", [0.2, 0.2], **low)), []
    )
    assert found.pairs["probability"].tolist() == [0.5]
    assert found.frame["name"].tolist() == ["mine", "a"]  # equal means, in their order
    found = comparison.compare(
        frame(rows("mine", [0.3, 0.3], **low)), frame(rows("a", [0.2, 0.2], **low)), []
    )
    assert found.pairs["probability"].tolist() == [0.0]
    assert found.frame["name"].tolist() == ["a", "mine"]  # the best first


def test_ten_seeds_have_an_interval():
    rng = np.random.default_rng(0)
    mine, other = rows("mine", rng.normal(0.6, 0.1, 12)), rows("vae", rng.normal(0.5, 0.1, 12))
    (pair,) = comparison.compare(frame(mine), frame(other), []).pairs.to_dict("records")
    assert pair["low"] < pair["probability"] < pair["high"]


@pytest.mark.parametrize(
    ("spread", "kind", "n", "probability", "why"),
    [
        (".10", "sd", 25, PHI, ""),
        (".02", "se", 25, PHI, ""),  # .02 * sqrt(25) = .1
        (".10", "unknown", 25, None, "unknown kind"),
        (".10", "range", 25, None, "is a range"),
        (".10", "sd", None, None, "of how many runs"),
        (None, None, 25, None, "prints no spread"),
    ],
)
def test_a_published_row_has_a_probability_only_where_its_runs_are_known(spread, kind, n, probability, why):
    found = comparison.compare(frame(rows("mine", [0.6] * 12)), frame(), [number(".50", spread, kind, n)])
    (pair,) = found.pairs.to_dict("records")
    if probability is None:
        assert math.isnan(pair["probability"])
        assert any(why in sentence for sentence in comparison.remarks(found))
    else:
        assert pair["probability"] == pytest.approx(probability)
        assert pair["assumption"] == comparison.NORMAL
        assert any("normal" in sentence for sentence in comparison.remarks(found))
    assert comparison.texts(found)["mine is better"].tolist()[1][:4] == (
        "–" if probability is None else "0.84"
    )


def test_a_published_row_of_a_metric_where_low_is_good():
    one = number(".50", ".10", "sd", 25, metric="prior_rmse")
    mine = rows("mine", [0.4] * 12, metric="prior_rmse", higher=False)
    (pair,) = comparison.compare(frame(mine), frame(), [one]).pairs.to_dict("records")
    assert pair["probability"] == pytest.approx(PHI)


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"size": 64}, "dsprites-64"),
        ({"dataset": "shapes3d"}, "shapes3d-32"),
        ({"preset": None}, "not known"),
        ({"preset": "chen"}, "has the preset chen"),
        ({"statistic": "best"}, "are the best"),
    ],
)
def test_a_number_that_was_measured_otherwise_is_left_out_and_said_to_be(changed, why):
    found, said = comparison.alike([number(**changed)], "dsprites-32", [("mig", "dlib")])
    assert found == []
    assert why in said[0]
    assert comparison.alike([number()], "dsprites-32", [("mig", "dlib")]) == ([number()], [])
    assert comparison.alike([number()], "dsprites-32", [("sap", "dlib")]) == ([], [])


def test_the_paper_form_has_mine_the_others_and_the_published_in_one_ranking():
    others = frame(rows("vae", [0.4, 0.4]), rows("vae", [0.9, 0.9], metric="sap"))
    mine = frame(rows("mine", [0.6, 0.6], run="a"), rows("mine", [0.8, 0.8], metric="sap", run="a"))
    found = comparison.compare(mine, others, [number(".70", ".1", "sd", 5)])
    table, caption, remarks = comparison.paper(found)
    assert table.text.to_numpy().tolist() == [
        ["One", "x, Table 1", "5", ".70 ± .1", "–"],
        ["mine", "", "2", ".60 ± .00", ".80 ± .00"],
        ["VAE", "mini", "2", ".40 ± .00", ".90 ± .00"],
    ]
    assert table.marks["MIG ↑"].tolist() == ["best", "second", ""]
    assert table.marks["SAP ↑"].tolist() == ["", "second", "best"]
    assert "presets: dlib (MIG, SAP)" in caption
    assert "mine better than VAE (mini): MIG 1.00, SAP 0.00" in remarks
    # in the words of that sentence, since this form has no column of pairs
    assert not any(remark.startswith("mine is better") for remark in remarks)
    assert any(remark.startswith("better: probability that a run of the first") for remark in remarks)
    assert r"$\mathbf{.70 \pm .1}$" in formats.latex(table, caption, remarks)


def test_what_others_only_report_is_said_to_be():
    found = comparison.compare(frame(rows("mine", [0.6])), frame(), [number(certainty="secondary")])
    assert found.frame["from"].tolist()[1] == "x, Table 1, secondary"


def test_several_rows_of_mine_have_pairs_of_their_own():
    mine = frame(rows("a", [0.6, 0.6]), rows("b", [0.2, 0.2]))
    found = comparison.compare(mine, frame(rows("vae", [0.4, 0.4])), [])
    assert found.pairs.set_index("mine")["probability"].to_dict() == {"a": 1.0, "b": 0.0}
    assert "mine is better" not in comparison.texts(found)
    assert list(comparison.pairs_as_texts(found)["mine is better"]) == ["1.00", "0.00"]


def test_a_row_without_a_score_has_no_probability():
    failed = [{**row, "score": None, "state": "failed", "reason": "diverged"} for row in rows("vae", [0.1])]
    found = comparison.compare(frame(rows("mine", [0.3, 0.3])), frame(failed), [])
    assert "vae: 1 failed seed, in no average" in comparison.remarks(found)
    assert math.isnan(found.pairs["probability"].iloc[0])
    assert comparison.texts(found)["n"].tolist() == ["2", "0"]
