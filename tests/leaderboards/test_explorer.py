"""What a page of scores holds for its script: all rows of a leaderboard, all seeds, and published numbers."""

import json

import numpy as np
import pytest

from disbench.benchmark.runs.findings import findings
from disbench.benchmark.runs.rows import gather
from disbench.leaderboards import aggregate, explorer, labels, published, report
from disbench.texts import clean_lines

from .conftest import Maker


def board_of(scores, dataset="dsprites-32", metric="factor_vae", preset="ibgan", method="ibgan", **more):
    rows = [
        {
            "dataset": dataset,
            "protocol": "p",
            "method": method,
            "variant": "",
            "settings": "mini",
            "cell": method,
            "metric": metric,
            "preset": preset,
            "seed": seed,
            "score": score,
            "state": "done" if np.isfinite(score) else "failed",
            "higher_is_better": True,
            **more,
        }
        for seed, score in enumerate(scores)
    ]
    frame = aggregate.scores(rows)
    frame = frame.assign(name=labels.names(frame))
    board = aggregate.leaderboard(frame)
    return explorer.board_rows(frame, board.assign(name=labels.names(board, of=frame)), "kept")


def test_a_row_has_its_seeds_and_says_who_and_what_it_is():
    (row,) = board_of([0.2, np.nan, 0.4], spread=0.01, chance=0.1)
    assert (row["title"], row["measure"]) == ("IB-GAN", "FactorVAE metric · IB-GAN")
    assert row["heading"] == ["FactorVAE metric", "IB-GAN"]
    assert (row["n"], row["failed"], row["source"]) == (2, 1, "kept")
    assert row["mean"] == pytest.approx(0.3)
    assert row["std"] == pytest.approx(0.141421)
    assert (row["seeds"], row["scores"]) == ([0, 1, 2], [0.2, None, 0.4])
    assert (row["spread"], row["chance"], row["low"]) == (0.01, 0.1, None)


def test_published_numbers_are_those_of_the_same_data_and_metric_with_their_own_preset():
    rows = board_of([0.2, 0.4])
    printed = explorer.printed_rows(rows)
    known = [n for name in published.names() for n in published.get(name)]
    assert len(printed) == sum((n.dataset, n.metric) == ("dsprites", "factor_vae") for n in known) > 5
    peak = next(row for row in printed if row["source"] == "ibgan/peak")
    assert (peak["dataset"], peak["mean"], peak["std"], peak["n"]) == ("dsprites-64", 0.826, None, 32)
    assert "best of 32 runs" in peak["note"]
    unknown = [row for row in printed if row["preset"] == "not stated"]
    assert unknown
    assert explorer.printed_rows(board_of([0.2], dataset="digits-28")) == []
    assert explorer.printed_rows(board_of([0.2], metric="mine")) == []


def test_a_published_number_is_as_good_as_its_metric_says():
    rows = board_of([0.2], higher_is_better=False)
    assert not any(row["higher"] for row in explorer.printed_rows(rows))


def test_too_many_seeds_are_counted_and_not_drawn(monkeypatch):
    monkeypatch.setattr(explorer, "MOST_DOTS", 2)
    (row,) = board_of([0.2, 0.3, 0.4])
    assert (row["seeds"], row["scores"], row["n"]) == ([], [], 3)
    assert "more than 2 seeds" in row["note"]


def test_names_end_no_script():
    rows = board_of([0.2], method="</script><b>&'\u2028")
    text = str(explorer.data(rows))
    assert not set("<>&'\u2028") & set(text)
    # what is invisible is shown as such
    assert json.loads(text)[0]["title"] == clean_lines(rows[0]["title"]) != rows[0]["title"]
    assert str(explorer.page_part(rows)).count("</script>") == 2


def test_scores_that_mean_nothing_stand_beside_no_published_number(tmp_path):
    page = {}
    for protocol in ("smoke", "mini"):
        maker = Maker(tmp_path / protocol)
        for seed in range(2):
            maker.done("betavae", seed, {"factor_vae": 0.5}, protocol=protocol, picture=False)
        runs = [tmp_path / protocol]
        page[protocol] = report.render(findings(runs, *gather(runs)))
    assert '"protocol":"published"' in page["mini"]
    assert '"protocol":"published"' not in page["smoke"]
    assert "Scores that mean nothing are not shown beside published ones." in page["smoke"]
