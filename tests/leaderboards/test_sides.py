"""Scores of encoder and generator beside each other, by hand."""

import math

import pandas as pd
import pytest

from disbench import models
from disbench.errors import UsageError
from disbench.leaderboards import aggregate, labels, plots, report, sides
from disbench.leaderboards.report import Findings


def rows(method, encoder, generator, metric="mig", preset="dlib", seed=0):
    one = {
        "dataset": "dsprites-32",
        "protocol": "mini",
        "method": method,
        "variant": "",
        "settings": "mini",
        "cell": f"{method}-cell",
        "metric": metric,
        "metric_settings": "{}",
        "seed": seed,
        "state": "done",
        "reason": None,
        "higher_is_better": True,
        "run": "r",
        "folder": f"{method}/seed-{seed}",
    }
    drawn = f"{preset}{labels.OF_GENERATOR}"
    return [{**one, "preset": preset, "score": encoder}, {**one, "preset": drawn, "score": generator}]


def frame(*several):
    return aggregate.scores([row for some in several for row in some])


@pytest.mark.parametrize(
    ("label", "base", "drawn"),
    [
        ("dlib", "dlib", False),
        ("dlib, bins=10", "dlib", False),
        ("dlib@generator", "dlib", True),
        ("dlib@generator, values that occur", "dlib", True),
        ("ibgan@generator, 5,000 pictures, trees=9", "ibgan", True),
    ],
)
def test_a_rows_preset_has_its_side(label, base, drawn):
    assert labels.side_of(label) == (base, drawn)


def test_scores_of_one_model_and_one_preset_make_a_pair():
    more = rows("vae", 0.3, 0.4, metric="sap")[:1] + rows("vae", 0.1, 0.7, "sample_quality", "on")[1:]
    found = sides.paired(frame(rows("vae", 0.1, 0.2), rows("gan", 0.5, 0.6), rows("ibgan", 0.5, None), more))
    assert found[["method", "metric", "base", "encoder", "generator"]].to_numpy().tolist() == [
        ["gan", "mig", "dlib", 0.5, 0.6],
        ["vae", "mig", "dlib", 0.1, 0.2],
    ]


def test_settings_part_pairs_and_words_do_not():
    encoder = [
        *rows("vae", 0.1, None, "factor_vae")[:1],
        *rows("vae", 0.3, None, "factor_vae", "dlib, votes=9")[:1],
    ]
    drawn = [
        {**encoder[0], "preset": "dlib@generator, values that occur", "score": 0.2},
        {**encoder[0], "preset": "dlib@generator, votes=9, values that occur", "score": 0.4},
        {**encoder[0], "preset": "dlib@generator, votes=8", "score": 0.5},
    ]
    found = sides.paired(frame(encoder, drawn))
    assert found[["base", "encoder", "generator"]].to_numpy().tolist() == [
        ["dlib", 0.1, 0.2],
        ["dlib, votes=9", 0.3, 0.4],
    ]


def test_agreement_by_hand():
    """Means .2, .4, .6 have ranks 1, 2, 3, and .3, .2, .7 have 2, 1, 3: rho is 1 - 6 · 2 / (3 · 8) = .5."""
    given = [
        rows("a", 0.1, 0.1), rows("a", 0.3, 0.5, seed=1),
        rows("b", 0.4, 0.2), rows("b", 0.4, 0.2, seed=1),
        rows("c", 0.6, 0.7),
    ]  # fmt: skip
    found = sides.agreement(sides.paired(frame(*given)))
    assert found.trainings == pytest.approx(0.5)
    assert (found.n_trainings, found.n_models) == (3, 5)
    # ranks 1, 2, 3.5, 3.5, 5 against 1, 4, 2.5, 2.5, 5
    x, y = [1, 2, 3.5, 3.5, 5], [1, 4, 2.5, 2.5, 5]
    assert found.models == pytest.approx(pd.Series(x).corr(pd.Series(y)))


def test_too_few_or_equal_scores_have_no_correlation():
    two = sides.agreement(sides.paired(frame(rows("a", 0.1, 0.1), rows("b", 0.2, 0.2))))
    assert math.isnan(two.trainings)
    assert two.n_models == 2
    # means that differ by rounding alone
    chance = [
        rows(name, 0.1, s, seed=k)
        for name, n, s in (("a", 3, 0.1), ("b", 5, 0.2), ("c", 7, 0.4))
        for k in range(n)
    ]
    assert math.isnan(sides.agreement(sides.paired(frame(*chance))).trainings)
    equal = [rows(name, 0.5, score) for name, score in (("a", 0.1), ("b", 0.2), ("c", 0.3))]
    assert math.isnan(sides.agreement(sides.paired(frame(*equal))).models)


def test_a_panel_for_each_metric_with_both_sides_and_a_mark_for_each_method():
    given = frame(
        *(rows(name, x, y) for name, x, y in (("vae", 0.1, 0.3), ("gan", 0.2, 0.2), ("ibgan", 0.4, 0.9))),
        rows("vae", 0.2, 0.6, seed=1),
        rows("vae", 0.5, 0.6, "dci", "ibgan"),
        rows("vae", 0.5, 0.6, "sample_quality", "on")[1:],
    )
    figure = plots.two_sides(given)
    first, second = figure.axes
    assert (first.get_title(loc="left"), second.get_title(loc="left")) == (
        "MIG · disentanglement_lib",
        "DCI disentanglement · IB-GAN",
    )
    drawn = [line.get_xydata().round(3).tolist() for line in first.lines]
    assert [[0.1, 0.3], [0.2, 0.6]] in drawn
    assert [[0.15, 0.45]] in drawn
    assert "of 3 means" in first.texts[0].get_text()
    assert second.texts[0].get_text() == ""
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["GAN", "IB-GAN", "VAE", "both sides equal"]


def test_methods_beyond_the_colours_have_marks_of_their_own():
    methods = models.names()
    assert len(methods) > len(plots.figure.COLOURS)
    given = frame(*(rows(name, 0.1, i / 20) for i, name in enumerate(methods)))
    (legend,) = plots.two_sides(given).legends
    looks = {(line.get_color(), line.get_marker()) for line in legend.get_lines()[: len(methods)]}
    assert len(looks) == len(methods)


def test_a_picture_of_both_sides_counts_the_seeds_that_it_lacks():
    given = [rows("gan", 0.1, 0.3), rows("vae", 0.2, 0.4)]
    lost = [{**one, "score": None, "state": "failed"} for one in rows("gan", 0, 0, seed=1)]
    unscored = [{**one, "score": None} for one in rows("vae", 0, 0, seed=1)]
    (legend,) = plots.two_sides(frame(*given, lost, unscored)).legends
    assert legend.get_texts()[-1].get_text() == "missing: 1 failed seed, 1 seed without a score"


def test_without_both_sides_there_is_no_picture_and_no_section():
    one = frame(rows("vae", 0.1, 0.2)[:1], rows("gan", 0.1, 0.2)[:1])
    with pytest.raises(UsageError, match="rescore RUN --metrics mig,mig@generator"):
        plots.two_sides(one)
    heading = "Do encoder and generator agree?"
    assert heading not in report.render(Findings(["r"], one, {"mini": ("s", False)}))
    both = frame(rows("vae", 0.1, 0.2), rows("gan", 0.3, 0.2))
    assert heading in report.render(Findings(["r"], both, {"mini": ("s", False)}))
