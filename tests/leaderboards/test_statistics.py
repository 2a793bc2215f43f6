"""Every statistic against numbers worked out by hand or in closed form."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from disbench.leaderboards import statistics
from disbench.leaderboards.statistics import Interval

SKEWED = np.array([0.2, 0.35, 0.5, 0.55, 0.57, 0.58, 0.6, 0.61, 0.62, 0.62, 0.63, 0.64])


def test_interquartile_mean_by_hand():
    # of eight, two are cut at either end: (0.3 + 0.5 + 0.6 + 0.8) / 4
    values = np.array([9.0, 0.3, -7.0, 0.5, 0.6, 0.8, 0.1, 1.0])
    assert statistics.iqm(values) == pytest.approx(0.55)
    # of ten, again two: floor(10 / 4)
    assert statistics.iqm(np.arange(10.0) ** 2) == pytest.approx((4 + 9 + 16 + 25 + 36 + 49) / 6)


def test_the_interval_of_the_mean_of_normal_scores_is_near_students():
    values = stats.norm.ppf((np.arange(200) + 0.5) / 200)  # quantiles: mean 0, and no draw to be unlucky with
    found = statistics.interval(values)
    half = 1.96 * values.std(ddof=1) / np.sqrt(200)
    assert found.reason == ""
    assert found.low == pytest.approx(-half, rel=0.05)
    assert found.high == pytest.approx(half, rel=0.05)


def test_the_interval_is_bca():
    """The definition (Efron 1987, eqs. 2.3 and 6.6), worked out beside scipy's, on resamples of our own."""
    rng = np.random.default_rng(5)
    theta = SKEWED.mean()
    drawn = np.sort(rng.choice(SKEWED, (100_000, len(SKEWED))).mean(1))
    z0 = stats.norm.ppf((drawn < theta).mean())
    left_out = (SKEWED.sum() - SKEWED) / (len(SKEWED) - 1)
    d = left_out.mean() - left_out
    a = (d**3).sum() / (6 * (d**2).sum() ** 1.5)
    z = z0 + stats.norm.ppf([0.025, 0.975])
    low, high = np.quantile(drawn, stats.norm.cdf(z0 + z / (1 - a * z)))
    found = statistics.interval(SKEWED)
    assert found.low == pytest.approx(low, abs=0.004)
    assert found.high == pytest.approx(high, abs=0.004)
    plain = np.quantile(drawn, [0.025, 0.975])  # a percentile interval lies elsewhere
    assert abs(plain[0] - found.low) > 0.01


def test_the_interval_does_not_depend_on_the_order_of_seeds_or_on_global_draws():
    found = statistics.interval(SKEWED)
    np.random.seed(1)  # noqa: NPY002
    assert statistics.interval(SKEWED[::-1]) == found
    assert statistics.interval(np.roll(SKEWED, 5)) == found


def test_the_interval_of_the_interquartile_mean_minds_the_tail_less():
    mean, middle = statistics.interval(SKEWED), statistics.interval(SKEWED, statistics.iqm)
    assert middle.low > mean.low


def test_below_ten_scores_there_is_no_interval_and_the_reason_is_given():
    found = statistics.interval(np.linspace(0, 1, 9))
    assert np.isnan(found.low)
    assert found.reason == "no interval below 10 seeds"
    assert np.isfinite(statistics.interval(np.linspace(0, 1, 10)).low)


def test_equal_scores_have_no_interval_instead_of_one_without_width():
    found = statistics.interval(np.ones(32))
    assert np.isnan(found.low)
    assert found.reason == "all 32 scores are equal"
    middle = statistics.interval(np.array([0.5, *[1.0] * 31]), statistics.iqm)  # equal after trimming
    assert np.isnan(middle.high)
    assert "equal" in middle.reason


def test_improvement_by_hand():
    # 0.5 beats 0.4 only; 0.6 beats 0.4, and 0.6 is equal: (1 + 1 + 0.5) / 6
    assert statistics.improvement([([0.5, 0.6], [0.4, 0.6, 0.9])]) == pytest.approx(2.5 / 6)


def test_improvement_counts_a_tie_as_one_half_and_both_directions_add_to_one():
    x, y = [0.5, 0.5, 0.7], [0.5, 0.9]
    assert statistics.improvement([(x, x)]) == 0.5
    assert statistics.improvement([(x, y)]) + statistics.improvement([(y, x)]) == pytest.approx(1)
    u = stats.mannwhitneyu(x, y).statistic
    assert statistics.improvement([(x, y)]) == pytest.approx(u / 6)


def test_improvement_is_averaged_over_data_sets_and_never_across_them():
    low, high = ([0.1], [0.2]), ([0.9], [0.8])
    assert statistics.improvement([low, high]) == 0.5
    assert statistics.improvement([low, low, high]) == pytest.approx(1 / 3)


def test_improvement_interval_holds_the_estimate_and_is_near_its_normal_one():
    rng = np.random.default_rng(0)
    x, y = rng.normal(0.5, 1, 60), rng.normal(0, 1, 60)
    p = statistics.improvement([(x, y)])
    found = statistics.improvement_interval([(x, y)], resamples=2_000)
    above = (x[:, None] > y).mean(1)  # Sen's standard error: var over x and over y of the shares
    below = (x[:, None] > y).mean(0)
    error = np.sqrt(above.var(ddof=1) / 60 + below.var(ddof=1) / 60)
    assert found.low == pytest.approx(p - 1.96 * error, abs=0.02)
    assert found.high == pytest.approx(p + 1.96 * error, abs=0.02)


def test_improvement_resamples_within_each_data_set():
    """Two data sets on different levels: within each, X always wins but for one run."""
    x, y = np.linspace(0.5, 0.6, 12), np.append(np.linspace(0.3, 0.4, 11), 0.55)
    one = statistics.improvement_interval([(x, y)], resamples=2_000)
    two = statistics.improvement_interval([(x, y), (x + 5, y + 5)], resamples=2_000)
    assert statistics.improvement([(x, y), (x + 5, y + 5)]) == statistics.improvement([(x, y)])
    assert two.low > one.low  # twice the evidence, a narrower interval; pooled levels would widen it


def test_complete_separation_has_no_improvement_interval_and_says_why():
    found = statistics.improvement_interval([(np.arange(10.0) + 20, np.arange(10.0))])
    assert np.isnan(found.low)
    assert "every score" in found.reason
    few = statistics.improvement_interval([(np.arange(10.0), np.arange(9.0))])
    assert few.reason == "no interval below 10 seeds"


def test_holm_by_hand():
    # sorted 0.01, 0.03, 0.04 times 3, 2, 1: 0.03, 0.06, and 0.04 which may not fall below 0.06
    assert statistics.holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert statistics.holm([0.5, 0.9]) == [1.0, 1.0]
    assert statistics.holm([]) == []


def test_friedman_and_holm_by_hand():
    scores = pd.DataFrame({"a": [0.9, 0.8, 0.7, 0.9], "b": [0.5, 0.6, 0.8, 0.4], "c": [0.1, 0.2, 0.3, 0.2]})
    found = statistics.ranks(scores)
    # ranks of a: 1, 1, 2, 1; of b: 2, 2, 1, 2; of c: 3 everywhere. Sums 5, 7, 12 over N = 4, k = 3:
    # 12 / (4 * 3 * 4) * (25 + 49 + 144) - 3 * 4 * 4 = 6.5, chi-squared with 2 degrees: p = exp(-6.5 / 2)
    assert dict(found.mean) == {"a": 1.25, "b": 1.75, "c": 3.0}
    assert found.statistic == pytest.approx(6.5)
    assert found.p == pytest.approx(np.exp(-3.25))
    # z = difference of mean ranks / sqrt(3 * 4 / (6 * 4)) = / 0.70711
    pairs = found.pairs.set_index(["first", "second"])
    assert pairs.loc[("a", "b"), "z"] == pytest.approx(-0.70711, abs=1e-5)
    assert pairs.loc[("a", "c"), "z"] == pytest.approx(-2.47487, abs=1e-5)
    assert pairs.loc[("a", "c"), "p"] == pytest.approx(0.013328, abs=1e-5)
    assert pairs.loc[("a", "c"), "holm"] == pytest.approx(3 * 0.013328, abs=1e-4)
    assert pairs.loc[("b", "c"), "holm"] == pytest.approx(2 * 0.0770999, abs=1e-4)


def test_ranks_share_ties_and_turn_with_the_direction():
    scores = pd.DataFrame({"a": [0.1, 0.2], "b": [0.1, 0.5], "c": [0.9, 0.9]})
    assert dict(statistics.ranks(scores).mean) == {"a": 2.75, "b": 2.25, "c": 1.0}
    assert dict(statistics.ranks(scores, higher_is_better=False).mean) == {"a": 1.25, "b": 1.75, "c": 3.0}


def test_too_few_methods_or_data_sets_have_ranks_but_no_test():
    two = statistics.ranks(pd.DataFrame({"a": [0.1, 0.2], "b": [0.3, 0.1]}))
    assert np.isnan(two.p)
    assert two.reason == "a rank test needs at least 3 methods and 2 data sets; there are 2 and 2"
    same = statistics.ranks(pd.DataFrame({"a": [0.1, 0.2], "b": [0.1, 0.2], "c": [0.1, 0.2]}))
    assert "same" in same.reason


@pytest.mark.parametrize("scale", [1.0, 2.0**-960, 2.0**960])
def test_means_that_differ_by_rounding_are_equal_at_any_scale(scale):
    """0.1 three, five and seven times; .1, .2 and .3 from either end."""
    of_equal = scale * np.array([np.mean([0.1] * n) for n in (3, 5, 7)])
    of_orders = scale * np.array([(0.1 + 0.2 + 0.3) / 3, (0.3 + 0.2 + 0.1) / 3])
    for means in (of_equal, of_orders):
        assert len(set(means)) == len(means)
        assert len(set(statistics.settled(means))) == 1
        assert statistics.settled(means) == pytest.approx(means, rel=1e-12)
    apart = scale * np.array([0.1, 0.1 + 1e-11])
    assert len(set(statistics.settled(apart))) == 2


def test_settled_values_keep_what_is_missing_and_none_are_none():
    assert statistics.settled([0.0, np.nan, -3.0]) == pytest.approx([0, np.nan, -3], nan_ok=True)
    assert statistics.settled([]).size == 0


def test_ranks_of_means_that_differ_by_rounding_are_shared():
    means = {name: [np.mean([0.1] * n)] * 3 for name, n in (("a", 3), ("b", 5), ("c", 7))}
    found = statistics.ranks(pd.DataFrame(means))
    assert dict(found.mean) == {"a": 2.0, "b": 2.0, "c": 2.0}
    assert "score the same" in found.reason


def test_an_interval_says_nothing_by_default():
    assert np.isnan(Interval().low)


def test_of_many_scores_the_interval_is_that_of_the_central_limit():
    """Of n normal values the mean is within 1.96 / sqrt(n); resampling 999 times leaves a tenth of that."""
    values = np.random.default_rng(1).normal(size=statistics.MANY + 1)
    found = statistics.interval(values)
    half = 1.96 * values.std() / np.sqrt(len(values))
    assert found.low == pytest.approx(values.mean() - half, abs=0.1 * half)
    assert found.high == pytest.approx(values.mean() + half, abs=0.1 * half)


def test_improvement_on_a_published_row_is_that_on_a_normal_one():
    # Phi(0) = 1/2; one standard deviation above: Phi(1); below: 1 - Phi(1)
    one = 0.8413447460685429
    assert statistics.improvement_on_normal(np.array([0.5]), 0.5, 0.1) == 0.5
    assert statistics.improvement_on_normal(np.array([0.6]), 0.5, 0.1) == pytest.approx(one)
    assert statistics.improvement_on_normal(np.array([0.4, 0.6, 0.7]), 0.5, 0.1) == pytest.approx(
        (1 - one + one + 0.9772498680518208) / 3
    )
    # without a spread it is one number
    assert statistics.improvement_on_normal(np.array([0.4, 0.5, 0.6]), 0.5, 0.0) == 0.5


def test_the_interval_on_a_published_row_is_as_wide_as_its_runs_leave_it():
    values = np.full(20, 0.6)  # no doubt about ours
    many = statistics.improvement_on_normal_interval(values, 0.5, 0.1, 1_000_000)
    assert many.low == pytest.approx(0.8413, abs=0.002)
    assert many.high == pytest.approx(0.8413, abs=0.002)
    few = statistics.improvement_on_normal_interval(values, 0.5, 0.1, 5)
    # five runs: mean ± t_4 sd / sqrt(5) alone reaches from 0.376 to 0.624
    assert few.low < 0.55
    assert few.high > 0.95
    assert statistics.improvement_on_normal_interval(values[:9], 0.5, 0.1, 5).reason.startswith("no interval")
    assert statistics.improvement_on_normal_interval(values, 0.5, 0.1, 1).reason.startswith("no interval")
    assert statistics.improvement_on_normal_interval(values, 0.5, 0.0, 5).reason.startswith("no interval")


def test_the_interval_on_a_published_row_holds_the_truth_as_often_as_it_says():
    """X ~ N(1, 1) and Y ~ N(0, 1), known by mean and deviation of 12 runs: P(X > Y) = Phi(1 / sqrt(2))."""
    truth, rng, held = stats.norm.cdf(1 / np.sqrt(2)), np.random.default_rng(3), 0
    for _ in range(200):
        x, y = rng.normal(1, 1, 15), rng.normal(0, 1, 12)
        found = statistics.improvement_on_normal_interval(x, y.mean(), y.std(ddof=1), 12, resamples=500)
        held += found.low <= truth <= found.high
    assert 0.88 <= held / 200 <= 0.99
