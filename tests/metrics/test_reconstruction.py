import numpy as np
import pytest

from disbench.errors import UsageError
from disbench.metrics import reconstruction


def test_the_error_by_hand():
    """Two images of two pixels: off by .1 and .3 in the first, by nothing in the second: (.01 + .09) / 4."""
    images = np.array([[[[0.0, 1.0]]], [[[1.0, 0.0]]]])
    again = images.copy()
    again[0, 0, 0] = [0.1, 0.7]
    s = reconstruction(images, again)
    assert s.score == pytest.approx(0.025)
    # the mean image is grey, .5 from every pixel
    assert s.parts["mean_image"] == pytest.approx(0.25)
    assert s.parts["explained"] == pytest.approx(0.9)
    assert s.parts["worst"] == pytest.approx(0.05)
    assert s.n_encoded == 2


def test_the_mean_image_explains_nothing_and_the_images_all(rng):
    images = rng.random((20, 3, 4, 4))
    mean = np.broadcast_to(images.mean(axis=0), images.shape)
    assert reconstruction(images, mean).parts["explained"] == pytest.approx(0)
    assert reconstruction(images, images).score == 0


def test_equal_images_have_nothing_to_explain():
    s = reconstruction(np.ones((3, 1, 2, 2)), np.ones((3, 1, 2, 2)))
    assert (s.score, s.parts["explained"]) == (0, 0)
    assert "nothing" in s.warnings[0] or "no share" in s.warnings[0]


@pytest.mark.parametrize(
    ("images", "again", "message"),
    [
        (np.zeros((2, 1, 4, 4)), np.zeros((2, 1, 4, 5)), "must have one shape"),
        (np.zeros((2, 4, 4)), np.zeros((2, 4, 4)), r"images \(2, 4, 4\) of float64 must be images"),
        (np.zeros((2, 1, 4, 4)), np.full((2, 1, 4, 4), np.nan), "again hold NaN"),
    ],
)
def test_what_is_no_pair_of_images_is_refused(images, again, message):
    with pytest.raises(UsageError, match=message):
        reconstruction(images, again)
