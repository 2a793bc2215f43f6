import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression, LogisticRegressionCV
from sklearn.model_selection import KFold

from disbench.metrics import logistic


def table(values, n=300, d=4, unit=1.0, origin=0.0):
    rng = np.random.default_rng(values)
    v = rng.permuted(np.arange(n) % values)
    z = rng.normal(size=(n, d))
    z[:, 0] += v
    return origin + unit * z, v


def test_two_values_by_hand():
    """Rows z = -1, 1 and C = 1: b = 0 by symmetry; w^2 / 2 + 2 log(1 + e^-w) least at w = 2 / (1 + e^w)."""
    model = logistic.Problem(np.array([[-1.0], [1.0]]), np.array([5, 7])).solve()
    w, b = model.w[0]
    assert b == pytest.approx(0, abs=1e-6)
    assert w * (1 + np.exp(w)) == pytest.approx(2, abs=1e-3)
    p = 1 / (1 + np.exp(w))
    np.testing.assert_allclose(model.probabilities(np.array([[-1.0]])), [[1 - p, p]], atol=1e-6)
    assert model.accuracy(np.array([[-3.0], [3.0], [2.0]]), np.array([5, 7, 5])) == pytest.approx(2 / 3)


def test_without_codes_the_lines_are_the_log_odds_of_the_values():
    """b is without penalty: values 0, 0, 1, 2, 2, 2, 2, 2 have 2/8, 1/8 and 5/8, and balanced 1/3 each."""
    v = np.repeat([0, 1, 2], [2, 1, 5])
    z = np.zeros((8, 1))
    np.testing.assert_allclose(
        logistic.Problem(z, v).solve(max_iter=20).probabilities(z[:1]), [[2 / 8, 1 / 8, 5 / 8]], atol=1e-3
    )
    balanced = logistic.Problem(z, v, balanced=True).solve().probabilities(z[:1])
    np.testing.assert_allclose(balanced, [[1 / 3] * 3], atol=1e-3)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("values", [2, 3, 12])
@pytest.mark.parametrize(
    ("settings", "unit", "origin"),
    [
        ({"max_iter": 20}, 1.0, 0.0),
        ({"balanced": True, "C": np.inf, "max_iter": 20}, 1.0, 0.0),
        ({"C": 1e4, "max_iter": 7}, 0.2, 3.0),
        ({"max_iter": 30}, 1e3, 0.0),
    ],
)
def test_the_lines_are_those_of_scikit_learn(values, settings, unit, origin):
    """Also where a fit stops before it has converged, and where exponentials would overflow."""
    z, v = table(values, unit=unit, origin=origin)
    v[:5] = 0  # values of unequal frequency
    known = dict(settings)
    weight = "balanced" if known.pop("balanced", False) else None
    theirs = LogisticRegression(class_weight=weight, **known).fit(z, v)
    ours = logistic.Problem(z, v, weight is not None).solve(**known)
    scale = np.abs(theirs.coef_).max()
    np.testing.assert_allclose(ours.w[:, :-1], theirs.coef_, atol=1e-4 * scale)
    np.testing.assert_allclose(ours.w[:, -1], theirs.intercept_, atol=1e-4 * max(1, scale * unit))
    np.testing.assert_allclose(ours.probabilities(z), theirs.predict_proba(z), atol=1e-4)
    assert ours.accuracy(z, v) == theirs.score(z, v)


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("values", [2, 5])
def test_c_is_chosen_as_by_scikit_learn(values):
    z, v = table(values, n=200)
    grid, folds = tuple(np.logspace(-4, 4, 10)), list(KFold(5).split(z))
    theirs = LogisticRegressionCV(Cs=10, cv=folds, scoring="accuracy").fit(z, v)
    ours = logistic.fit_by_folds(z, v, grid, folds, 100)
    np.testing.assert_allclose(ours.w[:, :-1], theirs.coef_, atol=1e-5 * np.abs(theirs.coef_).max())
    assert ours.accuracy(z, v) == theirs.score(z, v)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_rows_in_parts_are_rows_at_once(monkeypatch):
    z, v = table(12)
    whole = logistic.Problem(z, v).solve(max_iter=20)
    monkeypatch.setattr(logistic, "CHUNK", 100)
    np.testing.assert_allclose(logistic.Problem(z, v).solve(max_iter=20).w, whole.w, atol=1e-9)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("values", [2, 3])
def test_exponents_that_are_moved_are_those_that_are_not(monkeypatch, values):
    z, v = table(values)
    usual = logistic.Problem(z, v).solve(max_iter=20)
    monkeypatch.setattr(logistic, "LARGEST", 0)
    np.testing.assert_allclose(logistic.Problem(z, v).solve(max_iter=20).w, usual.w, atol=1e-9)


def test_a_fit_that_stops_early_and_values_as_many_as_rows_are_told():
    z, v = table(12)
    with pytest.warns(ConvergenceWarning, match="ended after 2 iterations"):
        logistic.Problem(z, v).solve(max_iter=2)
    z, v = table(30, n=40)
    with pytest.warns(UserWarning, match="number of unique classes"):
        logistic.Problem(z, v)
