import numpy as np
import pytest

from disbench.errors import UsageError
from disbench.metrics import sap
from disbench.metrics.sap import squared_correlation

V = np.tile([[0, 0], [0, 1], [1, 0], [1, 1]], (10, 1))
ALL = (np.arange(40), np.arange(40))


def test_squared_correlations_by_hand():
    """The sum of two independent factors of equal variance shares half of its variance with each."""
    codes = np.column_stack([V[:, 0], V.sum(axis=1), -3.0 * V[:, 1], np.full(40, 0.7)])
    np.testing.assert_allclose(
        squared_correlation(codes, V), [[1, 0], [0.5, 0.5], [0, 1], [0, 0]], atol=1e-12
    )


def test_continuous_by_hand():
    """Factor 0: 1 by its code, .5 by the sum. Factor 1: .5 by the sum, 0 by the other."""
    codes = np.column_stack([V[:, 0], V.sum(axis=1)]).astype(float)
    for settings in ({"preset": "dlib_continuous", "split": ALL}, {"preset": "ubisoft"}):
        s = sap(codes, V, **settings)
        assert s.parts["gap"] == pytest.approx([0.5, 0.5])
        assert s.score == pytest.approx(0.5)


def test_codes_so_small_that_they_count_as_constant_are_told():
    """The same codes score .5 in another unit, and 0 in this one. One small code beside others is dead."""
    codes = np.column_stack([V[:, 0], V.sum(axis=1), np.full(40, 3.0)])
    usual, small = (sap(codes * unit, V, preset="ubisoft") for unit in (1.0, 1e-7))
    assert (usual.score, small.score) == (pytest.approx(0.5), 0)
    assert not any("count as constant" in note for note in usual.warnings)
    assert any(note.startswith("2 of the 3 codes vary by") for note in small.warnings)
    one = sap(codes * [1.0, 1e-7, 1.0], V, preset="ubisoft")
    assert not any("count as constant" in note for note in one.warnings)


def test_discrete_by_hand():
    """Each code tells its factor of two values (accuracy 1) and nothing of the other (1/2)."""
    s = sap(V.astype(float), V, split=ALL)
    np.testing.assert_allclose(s.parts["predictability"], [[1, 0.5], [0.5, 1]])
    assert s.score == pytest.approx(0.5)


def test_a_line_cannot_put_many_classes_in_order(rng):
    """A perfect code of a factor of 10 values scores far from 1 as discrete, and 1 as continuous."""
    v = np.tile(np.arange(10), 60)[:, None]
    z = np.column_stack([v[:, 0] - 4.5, rng.normal(size=600)])
    split = (np.arange(400), np.arange(400, 600))
    assert sap(z, v, split=split).score < 0.5
    assert sap(z, v, split=split, continuous=True).score > 0.98


def test_the_kind_may_differ_by_factor():
    codes = V.astype(float)
    s = sap(codes, V, split=ALL, continuous=(True, False))
    np.testing.assert_allclose(s.parts["predictability"], [[1, 0.5], [0, 1]], atol=1e-12)
    with pytest.raises(
        UsageError, match=r"made for the 5 factors shape, .*, but here 2 factors vary; take .*dlib"
    ):
        sap(codes, V, preset="infogan_cr")


def test_redundant_codes_have_no_gap():
    codes = np.hstack([V, V]).astype(float)
    assert sap(codes, V, split=ALL).score == pytest.approx(0)


def test_units_matter_unless_codes_are_standardised():
    """The penalty of the support vector machine keeps a code of tiny unit at guessing."""
    v = np.repeat([0, 1], 30)[:, None]
    tiny = 1e-4 * np.where(v == 1, 5.0, 1.0)
    split = (np.arange(60), np.arange(60))
    plain = sap(tiny, v, split=split, C=1e-3)
    assert sap(tiny, v, split=split, C=1e-3, standardise=True).score == 1
    assert plain.score < 1


def test_a_factor_without_variation_in_the_fitted_rows_is_named():
    s = sap(V.astype(float), V, split=(np.array([0, 1]), np.arange(4)))
    assert "factor 0 has one value in the rows to fit on" in s.warnings[0]
    assert np.isfinite(s.score)


def test_codes_whose_size_a_solver_cannot_handle_are_refused(table, rng):
    """Beyond about 1e60 the solver never comes to an end."""
    with pytest.raises(UsageError, match=r"sap: the codes reach 4e\+30, .* or set standardise=True"):
        sap(1e30 * table, table, held_out=False)
    # a power of two, so that nothing is rounded
    assert sap(2.0**664 * table, table, held_out=False, standardise=True).score == pytest.approx(
        sap(table, table, held_out=False, standardise=True).score
    )
    # a correlation has no unit
    assert (
        sap(2.0**664 * table, table, preset="ubisoft").score == sap(table, table, preset="ubisoft").score <= 1
    )


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda z: z + 1e5, "3 of the 3 codes lie 1,000 or more standard deviations from 0"),
        (lambda z: z * 1e-9, "the codes vary by 1e-09 at most, and this score depends on their unit"),
        (lambda z: z, None),
    ],
)
def test_an_origin_or_a_unit_that_decides_the_score_is_told(table, change, sentence):
    s = sap(change(1.0 * table), table, held_out=False)
    told = [note for note in s.warnings if "depends" in note]
    assert [sentence in note for note in told] == ([True] if sentence else [])
    # a correlation minds neither
    assert not any("depends" in note for note in sap(change(1.0 * table), table, preset="ubisoft").warnings)
