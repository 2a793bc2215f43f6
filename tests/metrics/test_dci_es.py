import numpy as np
import pytest
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor

from disbench.errors import UsageError
from disbench.metrics import dci_es
from disbench.metrics.dci_es import _curve, explicitness_of

V = np.stack(np.unravel_index(np.arange(600) % 24, (3, 8)), axis=1)
FEW = {"trees": 3, "n_jobs": 1}


@pytest.mark.parametrize(
    ("losses", "baseline", "score"),
    [
        ([1.0, 0.5, 0.0], 1.0, 0.0),  # a line from the baseline to 0
        ([0.0, 0.0, 0.0], 1.0, 1.0),  # told by the smallest probe
        ([1.0, 1.0, 0.0], 1.0, -0.5),  # 1 - 2 (5 + 2.5) / 10
        ([0.4, 0.1, 0.1], 0.5, 0.7),  # above .1 lies .3 5 / 2 = .75: 1 - 2 .75 / (10 .5)
        ([0.9, 0.9, 0.9], 1.0, 1.0),  # nothing to be had
    ],
)
def test_curves_by_hand(losses, baseline, score):
    assert explicitness_of(np.array([0, 5, 10]), np.array(losses), baseline) == pytest.approx(score)


def test_capacities_are_not_counted_but_measured():
    """Losses 1, 0, 0 at 1, 2, 11: an area of 1/2 of 10."""
    assert explicitness_of(np.array([1, 2, 11]), np.array([1.0, 0, 0]), 1.0) == pytest.approx(0.9)


def test_a_factor_of_eight_values_by_hand():
    """A perfect code: a tree of depth 1 halves the 8 values, and leaves groups of 4 with variance 15/12, of
    63/12 in all; depth 2 pairs with 3/12; depth 3 none. So the losses are 15/63, 3/63, 0 at depths 1, 2, 3,
    and E is 1 - 2 (18/63 + 3/63) / 2 / 2 = 5/6."""
    v = np.arange(8).repeat(50)[:, None]
    rows = np.arange(400)
    s = dci_es(
        v.astype(float),
        v,
        rng=np.random.default_rng(0),
        split=(rows, rows),
        depths=(1, 2, 3),
        trees=200,
        n_jobs=1,
    )
    np.testing.assert_allclose(s.parts["losses"][0], [15 / 63, 3 / 63, 0], atol=0.02)
    assert s.score == pytest.approx(5 / 6, abs=0.02)


def test_a_classifier_by_hand():
    """The value is 1 in the middle of three codes: depth 1 is right in 2/3 of the rows, depth 2 in all, and b
    is 1/2, so that E = 1 - 2 (1/3) / 2 / (1/2) = 1/3."""
    z = np.arange(3).repeat(50)[:, None]
    rows = np.arange(150)
    few = {"split": (rows, rows), "depths": (1, 2), "trees": 1, "n_jobs": 1}
    s = dci_es(z + 0.0, z == 1, rng=np.random.default_rng(0), continuous=False, **few)
    assert s.parts["losses"][0] == pytest.approx([1 / 3, 0])
    assert s.parts["baselines"].tolist() == [0.5]
    assert s.score == pytest.approx(1 / 3)


def test_size_disentanglement_and_completeness_of_a_code_per_factor():
    codes = np.hstack([V, np.zeros((600, 2))])
    s = dci_es(codes, V, rng=np.random.default_rng(0), **FEW)
    assert s.parts["size"] == 0.5
    assert s.parts["disentanglement"] == pytest.approx(1)
    assert s.parts["completeness"] == pytest.approx(1)
    assert s.parts["informativeness"] == pytest.approx(1)
    np.testing.assert_allclose(s.parts["importance"], np.eye(4, 2), atol=1e-9)


def test_what_lies_deep_scores_lower_and_noise_scores_high(rng):
    """The trap: noise has nothing to be read, so that its curve is flat."""
    scrambled = (V * [1, 3]) % [3, 8] + 0.0
    easy, hard = (dci_es(z, V, rng=np.random.default_rng(0), **FEW).score for z in (V + 0.0, scrambled))
    assert easy > hard + 0.01
    noise = dci_es(rng.normal(size=V.shape), V, rng=np.random.default_rng(0), **FEW)
    assert noise.score > 0.95
    assert noise.parts["informativeness"] < 0.1


@pytest.mark.parametrize("regress", [True, False])
def test_a_forest_read_at_a_depth_is_the_forest_of_that_depth(rng, regress):
    """With all codes at each node, of one code for the classifier, nothing is drawn but rows."""
    z = rng.normal(size=(300, 3 if regress else 1)).astype(np.float32)
    v = (4 * z.sum(axis=1) + rng.normal(size=300)).round().astype(int) % 5
    train, test = np.arange(200), np.arange(200, 300)
    depths = (1, 3, 6, 20)
    losses, importance, _ = _curve(z, v, train, test, regress, depths, 4, 7)
    kind = RandomForestRegressor if regress else RandomForestClassifier
    for i, depth in enumerate(depths):
        forest = kind(n_estimators=4, max_depth=depth, random_state=7).fit(z[train], v[train])
        assert losses[i] == pytest.approx(1 - forest.score(z[test], v[test]), abs=0.02 if depth > 3 else 1e-6)
        np.testing.assert_allclose(
            importance[i], forest.feature_importances_, atol=0.03 if depth > 3 else 1e-6
        )


def test_codes_that_are_constant_score_0(rng):
    s = dci_es(0 * V + 0.0, V, rng=rng, **FEW)
    assert s.score == 0
    assert s.warnings


def test_a_factor_that_no_row_to_test_on_varies_is_told(rng):
    order = np.argsort(V[:, 0], kind="stable")
    s = dci_es(V + 0.0, V, rng=rng, split=(order[:400], order[400:]), **FEW)
    assert s.parts["factors"][0] == 0
    assert any("factor 0 has one value" in note for note in s.warnings)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"depths": (4,)}, "two or more whole numbers that grow"),
        ({"depths": (4, 2)}, "two or more whole numbers that grow"),
        ({"depths": (0, 2)}, "depths=0,2 was given, but each number must be at least 1"),
        ({"trees": 0}, "trees=0 was given, but it must be at least 1"),
        ({"continuous": (True,)}, "continuous has 1 entries, but 2 factors vary"),
    ],
)
def test_bad_settings_are_refused(rng, settings, said):
    with pytest.raises(UsageError, match=said):
        dci_es(V + 0.0, V, rng=rng, **settings)
