"""KL of a code and the rules by hand; what a collapsed code does to a score, and a mask against it."""

import numpy as np
import pytest

from disbench.errors import UsageError
from disbench.metrics import Grid, factor_vae, get, live, mig_chen, z_max_var
from disbench.metrics.voting import live_codes

GRID = Grid((3, 4, 5))
VALUES = np.tile(GRID.factors(np.arange(60)), (6, 1))
RNG = np.random.default_rng(0)
# The mean of the last code moves by at most .09 with the image, and its noise has the prior's variance, 1.
SMALL = 0.03 * (VALUES[:, :1] + VALUES[:, 1:2] / 2)
NOISY = VALUES - VALUES.mean(axis=0) + RNG.normal(0, 0.5, VALUES.shape)
MEAN = np.hstack([NOISY, SMALL - SMALL.mean()])
LOGVAR = np.hstack([np.full(VALUES.shape, -4.0), np.zeros_like(SMALL)])


def test_the_kl_of_a_code_by_hand():
    """1/2 (mu^2 + s^2 - ln s^2 - 1): N(1, 1) is 1/2, N(0, 4) is 3/2 - ln 2, N(0, 1) is 0; means over rows."""
    mean = np.array([[1, 0, 0, 1], [1, 0, 0, 0]], np.float32)
    logvar = np.log(np.array([[1, 4, 1, 1], [1, 4, 1, 4]], np.float32))
    expected = [0.5, 1.5 - np.log(2), 0, (0.5 + 1.5 - np.log(2)) / 2]
    assert live.kl_of_codes(mean, logvar) == pytest.approx(expected, abs=1e-6)


def test_the_kl_of_a_mean_that_has_no_square_is_infinite():
    assert live.kl_of_codes(np.full((2, 1), 1e200), np.zeros((2, 1))).tolist() == [np.inf]


def test_live_codes_by_their_deviation_by_hand():
    """Two values a and -a have the deviation a sqrt(2): .06 is live at a = .0425, .049 is not at .0346."""
    rows = np.array([[1.0], [-1.0]])
    assert live.by_std(rows * [0.0425, 0.0346, 0.0]).tolist() == [True, False, False]


@pytest.mark.parametrize("name", ["dci", "mig_sup", "aam"])
def test_a_collapsed_code_moves_the_score_and_its_mask_takes_it_out(name):
    settings = {"preset": "eastwood2018_lasso"} if name == "dci" else {}

    def measured(codes, **more):
        split = {"split": (np.arange(240), np.arange(240, 360))} if name == "dci" else {}
        drawn = {"rng": np.random.default_rng(0)} if get(name).takes("rng") else {}
        # in this process
        drawn |= {"n_jobs": 1} if get(name).takes("n_jobs") else {}
        return get(name)(codes, VALUES, **settings, **drawn, **split, **more)

    kl = live.kl_of_codes(MEAN, LOGVAR)
    assert kl[3] < 0.001
    assert kl[:3].min() > 1.5
    three = measured(MEAN[:, :3]).score
    assert abs(measured(MEAN).score - three) > 0.02
    counted = measured(MEAN, live=kl >= live.KL)
    assert counted.score == three
    assert counted.live.tolist() == [True, True, True, False]
    assert counted.warnings[0] == "1 of 4 codes were left out (live); the parts are of the others"


@pytest.mark.parametrize("metric", [factor_vae, z_max_var])
def test_votes_by_kl_take_the_mask_or_say_that_there_is_none(metric):
    votes = {"votes": 200, "eval_votes": 100, "batch": 16, "variance_rows": 200, "prune": "kl"}
    codes = np.hstack([VALUES[:60], 0.01 * VALUES[:60, :1]])

    def measured(**more):
        return metric(codes, GRID, rng=np.random.default_rng(0), **{**votes, **more})

    without = measured()
    assert without.score == measured(prune="std").score
    assert without.live.tolist() == [True, True, True, False]
    assert "no posterior was given" in without.warnings[0]
    given = measured(live=[True, True, False, True])
    assert given.live.tolist() == [True, True, False, True]
    assert not any("posterior" in warning for warning in given.warnings)


def test_the_presets_of_two_papers_are_by_kl_and_no_other_is():
    rules = {preset: used["prune"] for preset, used in get("factor_vae").presets.items()}
    assert [preset for preset, rule in rules.items() if rule == "kl"] == ["kim2018", "dupont2018"]
    least = {preset: get("factor_vae").least_kl(used) for preset, used in get("factor_vae").presets.items()}
    assert {preset for preset, kl in least.items() if kl != 0.1} == {"dupont2018"}
    assert least["dupont2018"] == 1
    assert all(used["prune"] != "kl" for used in get("z_max_var").presets.values())


def test_a_metric_without_masks_has_no_rule_by_kl():
    with pytest.raises(UsageError, match="unknown prune rule of model_centrality 'kl'"):
        live_codes("model_centrality", np.ones(3), "kl", 0.05, None, by_kl=False)


def test_a_code_that_is_no_gaussian_has_no_kl_and_counts_by_its_deviation():
    mean, logvar = np.array([[0.0, 1], [2, 0]]), np.array([[0.0, np.nan], [0, np.nan]])
    kl = live.kl_of_codes(mean, logvar)
    assert kl[0] == pytest.approx(1)
    assert np.isnan(kl[1])
    for moves in (True, False):
        assert live.by_kl(kl, 0.1, np.array([False, moves])).tolist() == [True, moves]


def test_a_log_variance_is_missing_for_a_whole_code_or_not_at_all():
    logvar = np.zeros((4, 3))
    logvar[:, 1] = np.nan
    assert live.check_logvar("x", logvar, (4, 3), categories=True) is logvar
    for where in (np.s_[2, 0], np.s_[:, :]):
        broken = logvar.copy()
        broken[where] = np.nan
        with pytest.raises(UsageError, match="rows of logvar hold NaN"):
            live.check_logvar("x", broken, (4, 3), categories=True)
    with pytest.raises(UsageError, match="4 of 4 rows of logvar hold NaN"):
        live.check_logvar("x", logvar, (4, 3))


@pytest.mark.parametrize(
    ("logvar", "words"),
    [
        (np.zeros((60, 2)), r"mean \(60, 3\) and logvar \(60, 2\) must match; give the natural log"),
        (np.full((60, 3), np.nan), "60 of 60 rows of logvar hold NaN or infinity; the model has diverged"),
        (
            np.full((60, 3), 1e4),
            "logvar reaches 1e.04, and no float holds the variance .* were variances passed",
        ),
    ],
    ids=["shape", "nan", "variances"],
)
def test_log_variances_that_are_none_are_refused(logvar, words):
    with pytest.raises(UsageError, match=words):
        mig_chen(VALUES[:60] + 0.0, logvar, VALUES[:60], rng=RNG)
