import numpy as np
import pytest

from disbench.errors import UsageError
from disbench.metrics import mig_chen
from disbench.metrics.mig_chen import categorical_entropy, latents_of, mixture_entropy

ONE = 0.5 * np.log(2 * np.pi * np.e)  # entropy of N(0, 1), nats


def test_the_entropy_of_a_gaussian(rng):
    """1/2 ln(2 pi e s^2), whatever its mean; the estimate's error is sqrt(1/2 / samples)."""
    for s, mean in ((1.0, 0.0), (0.1, 40.0), (5.0, -3.0)):
        h = mixture_entropy(np.full(7, mean), np.full(7, 2 * np.log(s)), 20_000, rng)
        assert h == pytest.approx(ONE + np.log(s), abs=0.02)


def test_the_entropy_of_gaussians_far_apart(rng):
    """One of 8, equally likely, adds ln 8."""
    h = mixture_entropy(100.0 * np.arange(8), np.zeros(8), 20_000, rng)
    assert h == pytest.approx(ONE + np.log(8), abs=0.02)


def test_fewer_samples_than_components_come_from_all_of_them(rng):
    """In the order of a grid, the first components are all of one value."""
    h = mixture_entropy(np.repeat(100.0 * np.arange(8), 500), np.zeros(4000), 1000, rng)
    assert h == pytest.approx(ONE + np.log(8), abs=0.1)


def test_the_entropy_of_a_convolution(rng):
    """Means from N(0, 3) and noise of variance 1 make N(0, 4)."""
    means = np.sqrt(3) * rng.normal(size=20_000)
    assert mixture_entropy(means, np.zeros(20_000), 500, rng) == pytest.approx(ONE + np.log(2), abs=0.1)


def test_a_code_of_its_own_per_factor_scores_one(rng):
    """Values far apart: each code knows all of its factor, whatever the frequency and width of a value."""
    v = np.column_stack([np.tile([0, 0, 0, 1], 60), np.repeat([0, 1, 2], 80)])
    s = mig_chen(1000.0 * v, 3.0 * v, v, rng=rng, samples=4000)
    uneven = -(0.75 * np.log(0.75) + 0.25 * np.log(0.25))
    np.testing.assert_allclose(s.parts["mutual_information"], [[uneven, 0], [0, np.log(3)]], atol=0.05)
    assert s.score == pytest.approx(1, abs=0.05)


def test_posteriors_as_wide_as_the_data_know_nothing(rng):
    """The posterior counts, not its mean: the binned score of these means is 1."""
    v = np.tile([[0], [1]], (50, 1))
    s = mig_chen(0.01 * v, np.zeros(v.shape), v, rng=rng, samples=4000)
    assert s.score == pytest.approx(0, abs=0.05)


def test_two_codes_that_know_alike_have_no_gap(rng):
    v = np.tile([[0], [1]], (50, 1))
    mean = np.hstack([100.0 * v, -100.0 * v])
    assert mig_chen(mean, np.zeros(mean.shape), v, rng=rng, samples=4000).score == pytest.approx(0, abs=0.05)


def test_a_categorical_latent_is_one_code_with_exact_entropies(rng):
    """q(c = 0 | x) is 1/4 for one value and 3/4 for the other, so I(c; v) = ln 2 - h(1/4). As two codes, its
    columns would know alike and have no gap; the Gaussian beside them knows nothing.
    """
    v = np.tile([[0], [1]], (50, 1))
    p = 0.25 + 0.5 * v
    mean, logvar = np.hstack([0 * v, p, 1 - p]), np.hstack([0 * v, np.full((100, 2), np.nan)])
    s = mig_chen(mean, logvar, v, rng=rng, samples=20_000)
    knows = np.log(2) + 0.25 * np.log(0.25) + 0.75 * np.log(0.75)
    assert s.parts["mutual_information"][1:, 0].tolist() == pytest.approx([knows] * 2, abs=1e-12)
    assert s.score == pytest.approx(knows / np.log(2), abs=0.02)


def test_the_columns_of_each_latent():
    """A category that no image has belongs to the latent before it, or after it, and changes nothing."""
    p, z = np.array([[0.2, 0.8], [0.5, 0.5]]), np.array([[1.0], [-1.0]])
    nan = np.full((2, 2), np.nan)
    found = latents_of(np.hstack([p, z, p, 0 * z, p]), np.hstack([nan, 0 * z, nan, nan[:, :1], nan]))
    assert [columns.tolist() for columns in found] == [[0, 1], [2], [3, 4, 5], [6, 7]]
    for odd in (2 * p, p - 0.3):
        with pytest.raises(
            UsageError, match=r"code \d, counted from 0, has no log-variance and reaches from"
        ):
            latents_of(np.hstack([z, odd]), np.hstack([0 * z, nan]))


def test_categories_that_were_left_out_are_one_more(rng):
    assert categorical_entropy(np.array([0.5, 0.5])) == pytest.approx(np.log(2))
    assert categorical_entropy(np.array([0.25])) == categorical_entropy(np.array([0.25, 0.75]))
    assert categorical_entropy(np.array([0.0, 1.0])) == 0


def test_progress_is_told_and_wrong_input_refused(rng):
    v = np.tile([[0], [1]], (50, 1))
    told = []
    mig_chen(
        np.hstack([v, v]),
        np.zeros((100, 2)),
        v,
        rng=rng,
        samples=10,
        progress=lambda *step: told.append(step),
    )
    assert told == [(1, 2), (2, 2)]
    with pytest.raises(UsageError, match=r"mean \(100, 1\) and logvar \(100, 2\) must match"):
        mig_chen(v, np.zeros((100, 2)), v, rng=rng)
    with pytest.raises(UsageError, match="samples=1 was given, but it must be at least 2"):
        mig_chen(v, np.zeros((100, 1)), v, rng=rng, samples=1)
