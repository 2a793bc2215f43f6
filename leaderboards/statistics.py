"""The statistics of leaderboards: robust means, bootstrap intervals, probability of improvement, ranks.

Values are per-seed scores without NaN. Nothing here draws from global randomness: each resampling starts
from the same generator and reads its values in sorted order, so that equal scores give equal tables, in
whatever order the seeds come.

Sources: Efron 1987 (BCa); Agarwal et al. 2021, arXiv:2108.13264 (IQM, probability of improvement, stratified
bootstrap); Demsar 2006, JMLR 7 (Friedman's test and Holm's correction over data sets).
"""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

Floats = NDArray[np.float64]
# A statistic of values along an axis: (values, axis=...) -> values without that axis.
Statistic = Callable[..., Any]
# Scores that an interval needs; with five, a 95 % interval covers some 85 %, whatever the method.
LEAST = 10
TOO_FEW = f"no interval below {LEAST} seeds"
LEVEL = 0.95
RESAMPLES = 9_999
# Of more scores, the percentile interval of `FEWER` resamplings: BCa leaves out each score in turn, which
# grows with their square, to correct for a skewness that they no longer have.
MANY, FEWER = 1_000, 999
# Bits of a mean that rounding leaves alone.
SETTLED = 40


@dataclass(frozen=True)
class Interval:
    """An interval of a statistic at `LEVEL`.

    Attributes:
        low: lower end; NaN if there is no interval.
        high: upper end; NaN if there is no interval.
        reason: why there is no interval, else "".
    """

    low: float = np.nan
    high: float = np.nan
    reason: str = ""


def settled(values: Any) -> Floats:
    """Values (...) to 40 bits of the largest, so that those that differ by rounding alone are equal.

    The mean of equal scores depends on how many there are, and the mean of any on their order: 0.1, 0.1 and
    0.1 have the mean 0.10000000000000002. Before means are ranked, or called equal, they are settled.
    """
    given = np.asarray(values, float)
    known = np.abs(given[np.isfinite(given)])
    places = SETTLED - int(np.frexp(known.max())[1]) if known.size else 0
    # in two steps, since the whole power may be beyond the range of numbers
    half, rest = places // 2, places - places // 2
    rounded: Floats = np.ldexp(np.ldexp(np.rint(np.ldexp(np.ldexp(given, half), rest)), -rest), -half)
    return rounded


def iqm(values: Floats, axis: int = -1) -> np.float64 | Floats:
    """Interquartile mean: the mean without the lowest and the highest quarter of the values.

    Of n values, floor(n / 4) are cut at either end, as in Agarwal et al. 2021.

    Args:
        values: (..., n, ...).
        axis: the axis of the n values.
    """
    return stats.trim_mean(values, 0.25, axis=axis)


def _bootstrap(samples: Sequence[Floats], statistic: Statistic, resamples: int) -> Interval:
    """BCa interval, of `MANY` scores the percentile one; each of the samples is resampled on its own."""
    many = max(map(len, samples)) > MANY
    with warnings.catch_warnings(), np.errstate(divide="ignore", invalid="ignore"):
        warnings.simplefilter("ignore", stats.DegenerateDataWarning)
        ends = stats.bootstrap(
            tuple(np.sort(sample) for sample in samples),
            statistic,
            n_resamples=min(resamples, FEWER) if many else resamples,
            batch=100 if many else 500,
            vectorized=True,
            paired=False,
            confidence_level=LEVEL,
            method="percentile" if many else "BCa",
            rng=np.random.default_rng(0),
        ).confidence_interval
    if not (np.isfinite(ends.low) and np.isfinite(ends.high)):
        return Interval(reason="too many scores are equal for a bootstrap interval")
    return Interval(float(ends.low), float(ends.high))


def interval(values: Floats, statistic: Statistic = np.mean, resamples: int = RESAMPLES) -> Interval:
    """95 % BCa bootstrap interval of a statistic.

    Args:
        values: (n,).
        statistic: (values, axis=...) -> values; the mean, or `iqm`.
        resamples: number of resamplings.

    Returns:
        No interval, and the reason, of fewer than `LEAST` values and of equal values: an interval without
        width would claim a certainty that n seeds cannot give.
    """
    if len(values) < LEAST:
        return Interval(reason=TOO_FEW)
    if np.ptp(values) == 0:
        return Interval(reason=f"all {len(values)} scores are equal")
    return _bootstrap([np.asarray(values, float)], statistic, resamples)


def _wins(x: Floats, y: Floats) -> Floats:
    """(..., n), (..., m) -> (...): share of pairs with x > y; pairs with x == y count one half."""
    left, right = x[..., :, None], y[..., None, :]
    wins: Floats = 0.5 * ((left > right).mean((-2, -1)) + (left >= right).mean((-2, -1)))
    return wins


def improvement(pairs: Sequence[tuple[Floats, Floats]]) -> float:
    """P(X > Y) + P(X = Y) / 2 for a run of X and a run of Y, averaged over data sets.

    Args:
        pairs: scores of X (n,) and of Y (m,) on each data set, higher is better.
    """
    return float(np.mean([_wins(np.asarray(x, float), np.asarray(y, float)) for x, y in pairs]))


def improvement_interval(pairs: Sequence[tuple[Floats, Floats]], resamples: int = RESAMPLES) -> Interval:
    """95 % stratified BCa bootstrap interval of `improvement`: X and Y are resampled within each data set.

    Args:
        pairs: scores of X (n,) and of Y (m,) on each data set, higher is better.
        resamples: number of resamplings.
    """
    fewest = min(min(len(x), len(y)) for x, y in pairs)
    if fewest < LEAST:
        return Interval(reason=TOO_FEW)

    def statistic(*samples: Floats, axis: int = -1) -> Floats:
        wins = [_wins(samples[i], samples[i + 1]) for i in range(0, len(samples), 2)]
        mean: Floats = np.mean(wins, axis=0)
        return mean

    if improvement(pairs) in (0.0, 1.0):
        return Interval(reason="every score of one is above every score of the other")
    return _bootstrap([np.asarray(v, float) for pair in pairs for v in pair], statistic, resamples)


def improvement_on_normal(values: Floats, mean: float, std: float) -> float:
    """P(X > Y) for a run of X and a run of Y, of which only mean and standard deviation are known.

    Y is taken to be normal. Without a spread it is one number, and equal values count one half.

    Args:
        values: scores of X (n,), higher is better.
        mean: of Y.
        std: of Y, 0 or more.
    """
    return float(_above_normal(np.asarray(values, float), np.asarray(mean), np.asarray(std)))


def _above_normal(values: Floats, mean: Floats, std: Floats) -> Floats:
    """(..., n), (...,), (...,) -> (...): the mean of Phi((x - mean) / std)."""
    gap = values - mean[..., None]
    with np.errstate(divide="ignore", invalid="ignore"):
        z = gap / std[..., None]
    above: Floats = np.where(gap == 0, 0.5, stats.norm.cdf(z)).mean(-1)
    return above


def improvement_on_normal_interval(
    values: Floats, mean: float, std: float, n: int, resamples: int = RESAMPLES
) -> Interval:
    """95 % interval of `improvement_on_normal`.

    In each resampling the scores of X are drawn again with replacement, and mean and standard deviation of Y
    as n normal scores with the printed ones leave them uncertain: std sqrt((n - 1) / chi2_{n-1}), and around
    the mean with that divided by sqrt(n).

    Args:
        values: scores of X (m,), higher is better.
        mean: of Y.
        std: of Y.
        n: number of scores of Y.
        resamples: number of resamplings.
    """
    if len(values) < LEAST:
        return Interval(reason=TOO_FEW)
    if n < 2 or std <= 0:
        return Interval(reason="no interval of a published number without a spread over two runs or more")
    rng = np.random.default_rng(0)
    drawn = rng.choice(np.sort(np.asarray(values, float)), (resamples, len(values)))
    stds = std * np.sqrt((n - 1) / rng.chisquare(n - 1, resamples))
    means = rng.normal(mean, stds / np.sqrt(n))
    low, high = np.quantile(_above_normal(drawn, means, stds), [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(float(low), float(high))


def holm(p: Sequence[float]) -> list[float]:
    """Holm's adjusted p-values, in the given order.

    The i-th smallest of m p-values, counted from 0, is multiplied by m - i; adjusted values never decrease.
    """
    order = np.argsort(p, kind="stable")
    steps = np.asarray(p, float)[order] * np.arange(len(p), 0, -1)
    adjusted = np.empty(len(p))
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return [float(value) for value in adjusted]


@dataclass(frozen=True)
class Ranks:
    """Methods over data sets.

    Attributes:
        mean: average rank of each method, 1 for the best; ties share the mean of their ranks.
        n: number of data sets.
        statistic: Friedman's chi-squared; NaN if there is no test.
        p: its p-value; NaN if there is no test.
        pairs: one row per pair of methods: first, second, z, p, holm.
        reason: why there is no test, else "".
    """

    mean: pd.Series[float]
    n: int
    statistic: float
    p: float
    pairs: pd.DataFrame
    reason: str = ""


def ranks(scores: pd.DataFrame, higher_is_better: bool = True) -> Ranks:
    """Friedman's test over data sets, then each pair of methods by mean ranks with Holm's correction.

    Two methods differ by z = (R_i - R_j) / sqrt(k (k + 1) / (6 N)), normal for k methods over N data sets
    (Demsar 2006). Friedman's p-value is that of the chi-squared distribution, rough for few data sets.

    Args:
        scores: one row per data set, one column per method, no NaN; of means, see `settled`.
        higher_is_better: whether the best method has the highest score.
    """
    n, k = scores.shape
    means = [settled(row) for row in scores.to_numpy(float)]
    scores = pd.DataFrame(means, scores.index, scores.columns, dtype=float)
    mean = scores.rank(axis=1, ascending=not higher_is_better).mean()
    rows = []
    for first, second in itertools.combinations(scores.columns, 2) if n >= 2 and k >= 3 else ():
        z = (mean[first] - mean[second]) / np.sqrt(k * (k + 1) / (6 * n))
        rows.append({"first": first, "second": second, "z": z, "p": 2 * stats.norm.sf(abs(z))})
    pairs = pd.DataFrame(rows, columns=["first", "second", "z", "p"])
    pairs["holm"] = holm(list(pairs["p"]))
    if n < 2 or k < 3:
        reason = f"a rank test needs at least 3 methods and 2 data sets; there are {k} and {n}"
        return Ranks(mean, n, np.nan, np.nan, pairs, reason)
    if (scores.nunique(axis=1) == 1).all():
        return Ranks(mean, n, np.nan, np.nan, pairs, "all methods score the same on every data set")
    test = stats.friedmanchisquare(*(scores[column] for column in scores.columns))
    return Ranks(mean, n, float(test.statistic), float(test.pvalue), pairs)
