import numpy as np
import pytest

from disbench.errors import UsageError
from disbench.metrics import dci
from disbench.metrics.dci import completeness, disentanglement

LN = np.log


def test_importance_matrices_by_hand():
    """A code that matters to two of four factors alike has D = 1 - ln 2 / ln 4; a dead one has no weight."""
    assert disentanglement(np.eye(4))[0] == pytest.approx(1)
    assert disentanglement(np.ones((3, 4)))[0] == pytest.approx(0)
    r = np.array([[1.0, 1.0, 0.0, 0.0], [0.0, 0.0, 2.0, 0.0], [0.0, 0.0, 0.0, 0.0]])
    D, per_code, rho = disentanglement(r)
    assert per_code == pytest.approx([0.5, 1, 0])
    assert rho == pytest.approx([0.5, 0.5, 0])
    assert pytest.approx(0.75) == D


def test_where_a_dead_code_stands_does_not_matter():
    """One library stops at the first code without importance, and loses all that follow."""
    alive = np.array([[3.0, 1.0], [0.0, 2.0]])
    first, last = (np.insert(alive, row, 0, axis=0) for row in (0, 2))
    assert disentanglement(first)[0] == pytest.approx(disentanglement(last)[0])
    assert disentanglement(first)[0] == pytest.approx(disentanglement(alive)[0])


def test_completeness_by_hand_and_its_two_means():
    """Factor 0 in one code: 1. Factor 1 in two alike: 0. Importances 4 and 2."""
    r = np.array([[4.0, 1.0], [0.0, 1.0]])
    assert completeness(r, weighted=False)[0] == pytest.approx(1 / 2)
    assert completeness(r, weighted=True)[0] == pytest.approx(4 / 6)
    assert completeness(np.zeros((2, 2)), weighted=False)[0] == 0
    # a factor in two codes of ten
    assert completeness(np.array([[1.0]] * 2 + [[0.0]] * 8), weighted=False)[0] == pytest.approx(
        1 - LN(2) / LN(10)
    )


def test_a_lasso_on_orthogonal_codes_has_a_closed_form(rng, table):
    """Standardised and orthogonal, each coefficient is 1 - alpha, and alpha z is left: R^2 = 1 - alpha^2."""
    everything = np.arange(60)
    s = dci(table, table, rng=rng, split=(everything, everything), preset="eastwood2018_lasso", n_jobs=1)
    np.testing.assert_allclose(s.parts["importance"], 0.98 * np.eye(3), atol=1e-3)
    assert s.score == pytest.approx(1)
    assert s.parts["informativeness_test"] == pytest.approx(1 - 0.02**2, abs=1e-4)


def test_ubisoft_scores_the_error_of_a_lasso_on_unit_ranges(rng, table):
    s = dci(table, table, rng=rng, preset="ubisoft", n_jobs=1)
    assert s.score == pytest.approx(1, abs=0.01)
    assert s.parts["informativeness_test"] == pytest.approx(1, abs=1e-3)
    noise = dci(rng.normal(size=(60, 3)), table, rng=rng, preset="ubisoft", n_jobs=1)
    assert noise.parts["informativeness_test"] < 0.2


@pytest.mark.parametrize("preset", ["eastwood2018_lasso", "eastwood2018_forest"])
def test_shares_of_noise_are_told(rng, table, preset):
    """One coefficient above the penalty is all importance there is, and so D is 1, of noise as well."""
    v = np.tile(table, (5, 1))
    noise, real = (
        dci(z, v, rng=np.random.default_rng(0), preset=preset, n_jobs=1)
        for z in (rng.normal(size=v.shape), v)
    )
    assert any("shares of noise" in note for note in noise.warnings)
    assert not any("shares of noise" in note for note in real.warnings)


def test_boosted_trees_find_perfect_codes(rng, table):
    v = np.tile(table, (5, 1))
    s = dci(v + 0.01 * rng.normal(size=v.shape), v, rng=rng, trees=10, n_jobs=1)
    assert s.score > 0.97
    assert s.parts["completeness"] > 0.97
    assert s.parts["informativeness_test"] > 0.97


def test_forests_have_a_depth_per_factor(rng, table):
    with pytest.raises(
        UsageError, match=r"made for the 5 factors shape, scale, .*, but here 3 factors vary; take"
    ):
        dci(table, table, rng=rng, preset="ibgan", n_jobs=1)
    v = np.tile(table, (5, 1))
    shallow, deep = (
        dci(v, v, rng=np.random.default_rng(0), preset="ibgan", depths=(1, 1, depth), n_jobs=1).parts
        for depth in (1, 4)
    )
    a, b = shallow["factors_informativeness"], deep["factors_informativeness"]
    assert a[:2] == pytest.approx(b[:2])
    assert a[2] < b[2]


def test_processes_change_nothing_and_progress_is_told(rng, table):
    told = []
    scores = [
        dci(
            table,
            table,
            rng=np.random.default_rng(0),
            trees=2,
            n_jobs=jobs,
            progress=lambda done, all_: told.append((done, all_)),
        ).score
        for jobs in (1, 2)
    ]
    assert scores[0] == scores[1]
    assert told == [(1, 3), (2, 3), (3, 3)] * 2


def test_a_factor_without_variation_in_the_fitted_rows_is_named(rng, table):
    s = dci(table, table, rng=rng, split=(np.arange(20), np.arange(60)), trees=2, n_jobs=1)
    assert "factor 0 has one value in the rows to fit on" in s.warnings[0]
    assert s.parts["importance"][:, 0].tolist() == [0, 0, 0]


def test_unknown_choices_are_refused(rng, table):
    with pytest.raises(UsageError, match="unknown model of dci 'svm'"):
        dci(table, table, rng=rng, model="svm", n_jobs=1)
    with pytest.raises(UsageError, match="unknown scale of dci"):
        dci(table, table, rng=rng, model="lasso", scale="log", n_jobs=1)
    with pytest.raises(UsageError, match="9 rows are too few, at least 10 are needed to choose alpha"):
        dci(table[::7], table[::7], rng=rng, preset="ubisoft", n_jobs=1)
