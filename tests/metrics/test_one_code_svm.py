import numpy as np
import pytest
from sklearn.svm import LinearSVC

from disbench.metrics import one_code_svm


def solved(z, y, C):
    """(w, b) in units of z."""
    centre, unit = z.mean(), z.std() or 1.0
    w, a = one_code_svm.solve((z - centre) / unit, y, centre, unit, C)
    return w / unit, a - w / unit * centre


def test_two_rows_by_hand():
    """z = -1, 1 and C = 1/2: f = w^2 / 2 + (1 - w)^2 by symmetry (b = 0), least at w = 2/3."""
    w, b = solved(np.array([-1.0, 1.0]), np.array([0, 1]), 0.5)
    assert (w[0], b[0]) == (pytest.approx(2 / 3), pytest.approx(0))


def test_a_constant_code_by_hand():
    """The weights are part of the answer.

    Values 0, 0, 0, 1 have the weights 2/3 and 2, so 2 on each side: b = 0. Of values 0, 0, 1, 2 machine k has
    4/3 in all on its n_k rows, and 1 on each of the 4 - n_k others; f = b^2 / 2 + C 4/3 (1 - b)^2 +
    C (4 - n_k) (1 + b)^2 is least at b = 2 C (4/3 - (4 - n_k)) / (1 + 2 C (4/3 + 4 - n_k)).
    """
    w, b = solved(np.zeros(4), np.array([0, 0, 0, 1]), 0.3)
    assert (w[0], b[0]) == (0, pytest.approx(0))
    w, b = solved(np.zeros(4), np.array([0, 0, 1, 2]), 0.5)
    others = np.array([2, 3, 3])
    np.testing.assert_allclose(b, (4 / 3 - others) / (1 + 4 / 3 + others))
    assert w.tolist() == [0, 0, 0]


@pytest.mark.parametrize("values", [2, 3, 12])
@pytest.mark.parametrize(("origin", "unit"), [(0.0, 1.0), (3.0, 0.2), (-50.0, -4.0), (0.0, 1e-3)])
def test_the_machines_are_those_of_liblinear(values, origin, unit):
    rng = np.random.default_rng(values)
    y = rng.permuted(np.arange(300) % values)
    # and values that occur more often than others
    y[:40] = 0
    z = origin + unit * (y / values + rng.normal(0, 0.3, 300))
    model = LinearSVC(C=0.01, class_weight="balanced", dual=False, tol=1e-9, max_iter=10_000)
    model.fit(z[:, None], y)
    w, b = solved(z, y, 0.01)
    scale = np.abs(model.coef_).max(), np.abs(model.intercept_).max()
    np.testing.assert_allclose(w, model.coef_[:, 0], atol=1e-4 * scale[0])
    np.testing.assert_allclose(b, model.intercept_, atol=1e-4 * scale[1])
    guessed = one_code_svm.accuracy(z[:200], y[:200], z[200:], y[200:], 0.01)
    again = LinearSVC(C=0.01, class_weight="balanced", dual=False, tol=1e-9, max_iter=10_000)
    assert guessed == again.fit(z[:200, None], y[:200]).score(z[200:, None], y[200:])


def test_ties_and_few_values_of_the_code():
    """Rows at the point from which on there is no loss have none, whichever side they are counted on."""
    z = np.repeat([-1.0, 0.0, 1.0, 1.0], 5)
    y = np.repeat([0, 0, 1, 0], 5)
    model = LinearSVC(C=2, class_weight="balanced", dual=False, tol=1e-9).fit(z[:, None], y)
    w, b = solved(z, y, 2)
    assert (w[0], b[0]) == (pytest.approx(model.coef_[0, 0]), pytest.approx(model.intercept_[0]))


def test_values_are_any_numbers_and_new_ones_are_never_guessed():
    z = np.array([0.0, 0, 1, 1])
    assert one_code_svm.accuracy(z, np.array([7, 7, -2, -2]), z, np.array([7, 7, -2, 9]), 10) == 0.75


@pytest.mark.parametrize("unit", [1e-300, 1e-90, 1e60])
def test_a_code_of_any_unit_gives_finite_machines(unit):
    z, y = unit * np.array([0.0, 1, 2, 3]), np.array([0, 0, 1, 1])
    assert one_code_svm.accuracy(z, y, z, y, 0.01) >= 0.5
