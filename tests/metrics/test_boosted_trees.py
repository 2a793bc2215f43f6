import importlib.util
import sys

import numpy as np
import pytest
from sklearn.tree import DecisionTreeRegressor

from disbench.errors import UsageError
from disbench.metrics import boosted_trees, dci, downstream
from disbench.metrics.boosted_trees import Task, Tree, compiled

HAS_NUMBA = importlib.util.find_spec("numba") is not None
needs_numba = pytest.mark.skipif(not HAS_NUMBA, reason="needs the extra disbench[fast]")
either = pytest.mark.parametrize("name", [pytest.param("numba", marks=needs_numba), "scikit-learn"])
ROWS = np.arange(300)


def grown(z, residual, depth, seed=0):
    columns = np.ascontiguousarray(z.T, np.float32)
    order = np.argsort(columns, axis=1, kind="stable").astype(np.uint32)
    return Tree(*compiled(boosted_trees._grow)(columns, order, residual, depth, np.array([seed], np.uint64)))


@needs_numba
def test_a_stump_by_hand():
    """Of rows 0, 1 | 2, 3 the means are -1/2 and 1/2: gain 2 * 2 / 4 * 1. A step is sum r / sum 1/4."""
    residual = np.array([-0.5, -0.5, 0.5, 0.5])
    tree = grown(np.array([[0.0, 5], [1, 7], [3, 5], [7, 8]]), residual, 1)
    assert tree.feature.tolist() == [0, -1, -1]
    assert tree.cut[0] == 2
    assert tree.gain.tolist() == [1, 0, 0]
    assert tree.leaf.tolist() == [1, 1, 2, 2]
    values = compiled(boosted_trees._leaf_values)(residual, tree.leaf, 3)
    assert values.tolist() == [0, -2, 2]
    raw, fresh = np.zeros(2), np.array([[2, 0], [2.5, 0]], np.float32)
    compiled(boosted_trees._add_values)(fresh, tree.feature, tree.cut, tree.child, values, raw)
    # a value at the cut belongs to the first child
    assert raw.tolist() == [-2, 2]


@either
def test_one_round_by_hand(name):
    """Classes 0, 0, 1, 2 and stumps. Column 0 parts 2 | 2 rows, column 1 parts 3 | 1.

    Class 0, residuals 1/2, 1/2, -1/2, -1/2: gains 1 by column 0, 3/4 (1/6 + 1/2)^2 = 1/3 by column 1.
    Class 1, residuals -1/4, -1/4, 3/4, -1/4: gains 1 (1/2)^2 = 1/4 by column 0, 3/4 (1/3)^2 by column 1.
    Class 2, residuals -1/4, -1/4, -1/4, 3/4: gains 1/4 by column 0, 3/4 by column 1.
    A round moves the log odds of class 0 in rows 2, 3 from ln 1/2 by -.1 2/3 2, so it is the guess for all.
    """
    z, y, rows = np.array([[0.0, 0], [0, 0], [1, 0], [1, 1]]), np.array([0, 0, 1, 2]), np.arange(4)
    (fit,) = boosted_trees.fit([Task(z, y, rows, rows[:2], 0, rounds=1, depth=1)], name)
    np.testing.assert_allclose(fit.importance, [1.25 / 2, 0.75 / 2])
    assert (fit.train, fit.test) == (0.5, 1)


@either
def test_a_split_that_gains_nothing_may_lead_to_one_that_does(name):
    """No column alone tells the exclusive or of two; a tree of depth 2 does."""
    z = np.tile([[0.0, 0], [0, 1], [1, 0], [1, 1]], (10, 1))
    y = (z[:, 0] != z[:, 1]).astype(int)
    (fit,) = boosted_trees.fit([Task(z, y, np.arange(40), np.arange(4), 0, rounds=5, depth=2)], name)
    assert fit.test == 1


@needs_numba
@pytest.mark.parametrize("seed", range(4))
def test_the_splits_are_those_of_scikit_learn(seed):
    """Of residuals without ties, in nodes that are too large for two columns to split alike."""
    rng = np.random.default_rng(seed)
    z, residual = rng.normal(size=(400, 6)), rng.normal(size=400)
    ours = grown(z, residual, 4, seed)
    model = DecisionTreeRegressor(max_depth=4, random_state=seed, min_samples_split=2).fit(z, residual)
    theirs = model.tree_
    pairs, splits = [(0, 0)], 0
    while pairs:
        mine, other = pairs.pop()
        if theirs.n_node_samples[other] < 8:
            continue
        assert ours.feature[mine] == max(theirs.feature[other], -1)
        if ours.feature[mine] >= 0:
            assert ours.cut[mine] == pytest.approx(theirs.threshold[other], abs=1e-12)
            children = theirs.children_left[other], theirs.children_right[other]
            lost = theirs.impurity[other] * theirs.n_node_samples[other] - sum(
                theirs.impurity[child] * theirs.n_node_samples[child] for child in children
            )
            assert ours.gain[mine] == pytest.approx(lost)
            pairs += [(ours.child[mine] + side, child) for side, child in enumerate(children)]
            splits += 1
    assert splits >= 5


@needs_numba
@pytest.mark.parametrize("values", [2, 4])
def test_importances_are_within_the_noise_of_seeds_of_scikit_learn(values):
    """Small nodes are split alike by several columns, one of them is taken at random: .01 on 200 rows."""
    rng = np.random.default_rng(values)
    y = rng.integers(values, size=300)
    z = np.column_stack([y + rng.normal(0, 0.5, 300), y % 2 + rng.normal(size=300), rng.normal(size=300)])
    task = Task(z, y, ROWS[:200], ROWS[200:], 0)
    ours, theirs, again = (
        boosted_trees.fit([task._replace(seed=seed)], name)[0]
        for seed, name in ((0, "numba"), (0, "scikit-learn"), (1, "scikit-learn"))
    )
    np.testing.assert_allclose(ours.importance, theirs.importance, atol=0.01)
    np.testing.assert_allclose(again.importance, theirs.importance, atol=0.01)
    assert ours.importance.sum() == pytest.approx(1)
    assert ours.train == pytest.approx(theirs.train, abs=0.01)
    assert ours.test == pytest.approx(theirs.test, abs=0.04)


@either
def test_copies_share_their_importance(name):
    """Which of two equal columns splits a node is drawn; a fixed order would give all to one of them."""
    rng = np.random.default_rng(0)
    y = rng.integers(3, size=300)
    z = (y + rng.normal(0, 0.4, 300))[:, None] @ np.ones((1, 2))
    (fit,) = boosted_trees.fit([Task(z, y, ROWS, ROWS[:1], 0, rounds=15)], name)
    np.testing.assert_allclose(fit.importance, 0.5, atol=0.2)


@needs_numba
def test_threads_change_nothing_and_seeds_do():
    rng = np.random.default_rng(0)
    y = rng.integers(5, size=300)
    task = Task(y[:, None] + rng.normal(size=(300, 4)), y, ROWS[:200], ROWS[200:], 3, rounds=20)
    one, three = (boosted_trees.fit([task], "numba", n_jobs)[0] for n_jobs in (1, 3))
    assert one.importance.tolist() == three.importance.tolist()
    assert one[1:] == three[1:]
    (other,) = boosted_trees.fit([task._replace(seed=4)], "numba")
    assert one.importance.tolist() != other.importance.tolist()


@either
def test_one_class_is_a_guess_and_large_numbers_are_numbers(name):
    z = np.arange(6.0)[:, None]
    z[5] = 1e150
    (fit,) = boosted_trees.fit(
        [Task(z, np.array([1, 1, 1, 1, 1, 0]), np.arange(4), np.arange(2, 6), 0)], name
    )
    assert (fit.importance.tolist(), fit.train, fit.test) == ([0], 1, 0.75)
    (fit,) = boosted_trees.fit(
        [Task(z, np.array([0, 0, 1, 1, 0, 1]), np.arange(4), np.arange(3, 6), 0)], name
    )
    assert fit.test == pytest.approx(2 / 3)


@either
def test_scores_name_the_library(name, table):
    rng = np.random.default_rng(0)
    assert dci(table, table, rng=rng, trees=1, n_jobs=1, library=name).parts["library"].startswith(f"{name} ")
    few = downstream(table, table, rng=rng, sizes=(30,), model="boosting", library=name)
    assert few.parts["library"].startswith(f"{name} ")
    assert (
        dci(table, table, rng=rng, preset="eastwood2018_lasso", n_jobs=1)
        .parts["library"]
        .startswith("scikit-learn ")
    )


def test_a_library_that_is_not_there_or_not_known_is_refused(monkeypatch, table):
    rng = np.random.default_rng(0)
    with pytest.raises(UsageError, match="unknown library of boosted trees 'xgboost'"):
        dci(table, table, rng=rng, library="xgboost")
    with pytest.raises(UsageError, match="numba, which grows boosted trees only, but model is forest"):
        dci(table, table, rng=rng, library="numba", preset="ibgan", depths=2)
    with pytest.raises(UsageError, match="numba, which grows boosted trees only, but model is logistic_cv"):
        downstream(table, table, rng=rng, sizes=(30,), library="numba")
    monkeypatch.setattr(boosted_trees, "_has_numba", lambda: False)
    assert boosted_trees.library() == "scikit-learn"
    with pytest.raises(UsageError, match="numba, which is not installed"):
        dci(table, table, rng=rng, library="numba")


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"trees": -3}, "trees=-3 was given, but it must be at least 1"),
        ({"trees": 2.5}, "trees=2.5 was given, but it must be a whole number"),
        ({"depths": 0}, "depths=0 was given, but it must be at least 1"),
        ({"depths": (1, -1, 2)}, "depths=1,-1,2 was given, but each number must be at least 1"),
        ({"trees": -3, "preset": "ibgan", "depths": 2}, "trees=-3 was given"),
    ],
)
def test_no_trees_and_no_depth_are_refused(table, settings, sentence):
    with pytest.raises(UsageError, match=sentence):
        dci(table, table, rng=np.random.default_rng(0), n_jobs=1, **settings)


@needs_numba
def test_without_a_folder_that_can_be_written_nothing_is_kept(monkeypatch):
    import numba

    asked = []

    def njit(function, **settings):
        asked.append(settings.get("cache", False))
        if settings.get("cache"):
            raise RuntimeError("cannot cache function: no locator available")
        return function

    monkeypatch.setattr(numba, "njit", njit)
    assert compiled.__wrapped__(len) is len
    assert asked == [True, False]


def test_a_numba_that_cannot_be_imported_is_told(monkeypatch):
    monkeypatch.setitem(sys.modules, "numba", None)
    with pytest.raises(UsageError, match=r"numba is installed but cannot be imported \(.*set library="):
        compiled.__wrapped__(len)
