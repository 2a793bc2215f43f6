import numpy as np
import pytest

from disbench.errors import UsageError
from disbench.metrics import downstream

V = np.tile([[0, 0], [0, 1], [1, 0], [1, 1]], (60, 1))


def test_perfect_codes_are_read_from_few_labels(rng):
    s = downstream(V, V, rng=rng, sizes=(100,))
    assert s.score == 1
    assert s.parts["test_accuracy"].shape == (1, 2)


def test_one_code_for_two_factors_is_read_for_one(rng):
    """The other factor of two values is guessed."""
    s = downstream(V[:, :1], V, rng=rng, sizes=(100,))
    assert s.parts["test_accuracy"][0, 0] == 1
    assert s.parts["test_accuracy"][0, 1] == pytest.approx(0.5, abs=0.1)
    assert s.parts["min_test_accuracy"][0] == s.parts["test_accuracy"][0, 1]


def test_the_score_is_that_of_most_labels_and_efficiency_their_ratio(rng):
    z = V + rng.normal(size=V.shape)
    s = downstream(z, V, rng=rng, sizes=(100, 10), model="logistic")
    means = s.parts["mean_test_accuracy"]
    assert s.score == means[0]
    assert s.parts["efficiency"] == pytest.approx(means[1] / means[0])


def test_trees_read_what_a_line_cannot(rng):
    """The middle of three bands."""
    z = np.linspace(-1, 1, 300)[:, None]
    v = (np.abs(z) < 0.4).astype(int)
    assert downstream(z, v, rng=rng, sizes=(150,), model="boosting").score > 0.95
    assert downstream(z, v, rng=rng, sizes=(150,), model="logistic").score < 0.8


def test_too_few_labels_to_cross_validate_are_named(rng):
    order = np.arange(240)
    s = downstream(V, V, rng=rng, split=(order[:120], order[120:]), sizes=(3, 4))
    assert any("so C is 1 there" in note for note in s.warnings)
    s = downstream(V, V, rng=rng, split=(order[:120], order[120:]), sizes=(2,))
    assert any("shows one value only" in note for note in s.warnings)


def test_more_labels_than_rows_are_refused(rng):
    with pytest.raises(UsageError, match="160 rows are too few, at least 1000 are needed"):
        downstream(V, V, rng=rng)
    with pytest.raises(UsageError, match="sizes=1 was given, but each number must be at least 2"):
        downstream(V, V, rng=rng, sizes=(1,))
    with pytest.raises(UsageError, match="unknown model of downstream"):
        downstream(V, V, rng=rng, sizes=(10,), model="mlp")


def test_progress_is_told(rng):
    told = []
    downstream(V, V, rng=rng, sizes=(10, 20), model="logistic", progress=lambda *step: told.append(step))
    assert told == [(1, 4), (2, 4), (3, 4), (4, 4)]
