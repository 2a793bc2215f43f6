"""What a category follows, with pictures whose moments are known."""

import numpy as np
import pytest

from disbench.errors import UsageError
from disbench.metrics.followed import followed, moments, share_of_class, share_of_moment


def bar(width=4, slant=0.0, side=28):
    """A stroke of this width from row 4 to 23 whose centre moves by `slant` columns a row."""
    picture = np.zeros((side, side))
    for row in range(4, 24):
        left = round(12 + slant * (row - 13.5))
        picture[row, left : left + width] = 1
    return picture


def test_moments_of_bars():
    found = moments(np.stack([bar(4), bar(8), bar(4, 0.5), np.zeros((28, 28))]))
    assert found["rotation"][:2] == pytest.approx([0, 0])
    assert np.tan(found["rotation"][2]) == pytest.approx(0.5, abs=0.02)
    # of a bar of w pixels: sqrt((w^2 - 1) / 12)
    assert 28 * found["width"][:2] == pytest.approx(np.sqrt([15 / 12, 63 / 12]))
    # across the slant, so rotation does not widen it, but for the steps of half a pixel
    assert 28 * found["width"][2] == pytest.approx(np.sqrt(15 / 12), abs=0.05)
    assert 28 * found["height"][0] == pytest.approx(np.sqrt((20**2 - 1) / 12))
    assert found["mass"] == pytest.approx([80 / 784, 160 / 784, 80 / 784, 0])
    # distances to the edge .5 and 1.5 in the middle rows, a little less at both ends
    assert 28 * found["thickness"][0] == pytest.approx(4, abs=0.5)
    assert found["thickness"][1] > 1.7 * found["thickness"][0]
    assert all(np.isnan(found[name][3]) for name in ("rotation", "width", "height", "thickness"))


def test_thickness_of_an_endless_stroke_is_its_width():
    picture = np.zeros((1, 60, 60))
    picture[0, :, 20:26] = 1
    # the ends, which touch the frame, count as edges; a sixtieth of the picture
    assert 60 * moments(picture)["thickness"][0] == pytest.approx(6, abs=0.4)


def test_shares_by_hand():
    category = np.array([0, 0, 1, 1])
    assert share_of_class(category, np.array([5, 5, 2, 2])) == pytest.approx(1)
    assert share_of_class(category, np.array([0, 1, 0, 1])) == pytest.approx(0)
    # classes 0 0 | 0 1: 1 - sum p^2 is 3/8, within 1/2 of the pictures 1/2: 1 - (1/4) / (3/8)
    assert share_of_class(category, np.array([0, 0, 0, 1])) == pytest.approx(1 / 3)
    assert share_of_class(category, np.array([1, 1, 1, 1])) == 0.0
    # values 0 0 | 1 1: all; 0 2 | 2 4: variance 8, within 4: 1 - 3/2 x 1/2
    assert share_of_moment(category, np.array([0.0, 0, 1, 1])) == pytest.approx(1)
    assert share_of_moment(category, np.array([0.0, 2, 2, 4])) == pytest.approx(0.25)
    assert share_of_moment(category, np.full(4, 0.3)) == 0.0


def test_a_moment_by_chance_has_no_share():
    rng = np.random.default_rng(0)
    found = [share_of_moment(rng.integers(10, size=60), rng.normal(size=60)) for _ in range(200)]
    # without the adjustment it would be 9/59
    assert np.mean(found) < 0.05


def pictures(widths, slants):
    return np.stack([bar(w, s) for w, s in zip(widths, slants, strict=True)])


@pytest.mark.parametrize("leads", ["class", "rotation", "width"])
def test_the_leader_is_what_the_category_was_made_from(leads):
    rng = np.random.default_rng(1)
    category = rng.integers(3, size=120)
    label = category[::-1].copy() if leads != "class" else (category + 1) % 3
    slants = (category - 1) * 0.3 if leads == "rotation" else rng.choice([-0.3, 0, 0.3], 120)
    widths = 3 + 3 * category if leads == "width" else rng.choice([3, 6, 9], 120)
    found = followed(category, label, pictures(widths, slants))
    if leads == "width":
        # a wide bar is also thick and heavy
        assert found.leader in ("width", "thickness", "mass")
        assert found.within["width"] > 0.95
    else:
        assert found.leader == leads
    assert found.within["rotation"] == pytest.approx(1 if leads == "rotation" else 0, abs=0.1)
    if leads == "class":
        assert found.shares["class"] == 1.0
        assert found.classes.tolist() == [1, 2, 0]
        assert found.purity.tolist() == [1, 1, 1]


def test_a_class_that_is_wide_does_not_make_the_category_follow_width():
    """Each class has its own width, and the category is the class: width is followed, but not within."""
    category = np.arange(90) % 3
    found = followed(category, category, pictures(3 + 3 * category, np.zeros(90)))
    assert found.shares["width"] > 0.99
    assert found.within["width"] == 0.0
    assert found.leader == "class"


def test_levels_of_a_real_code_have_the_means_of_what_they_follow():
    """Three levels turn the stroke to the left, not at all and to the right, whatever the class."""
    level, label = np.arange(90) % 3, np.arange(90) // 45
    slants = (level - 1) * 0.3
    found = followed(level, label, pictures([4] * 90, slants))
    assert found.leader == "rotation"
    assert found.shares["class"] == pytest.approx(0, abs=0.01)
    assert np.tan(found.means["rotation"]) == pytest.approx([-0.3, 0, 0.3], abs=0.02)
    assert found.means["mass"] == pytest.approx([80 / 784] * 3)


def test_what_decides_next_to_nothing_follows_nothing():
    rng = np.random.default_rng(2)
    found = followed(
        rng.integers(10, size=400),
        rng.integers(2, size=400),
        pictures(rng.integers(3, 9, 400), rng.normal(0, 0.2, 400)),
    )
    assert found.leader == "nothing"
    # of a category that no picture with moments is of
    black = pictures([4] * 6, [0.0] * 6)
    black[::2] = 0
    alone = followed(np.arange(6) % 2, np.arange(6) % 2, black)
    assert np.isnan(alone.means["mass"]).tolist() == [True, False]


def test_black_pictures_are_counted():
    shown = pictures([4] * 6, [0.0] * 6)
    shown[:2] = 0
    assert followed(np.arange(6) % 2, np.arange(6) % 2, shown).dropped == 2


@pytest.mark.parametrize(
    ("category", "sentence"), [(np.zeros(4, int), "two or more"), (np.arange(3), "must be")]
)
def test_refused(category, sentence):
    with pytest.raises(UsageError, match=sentence):
        followed(category, np.zeros(4, int), np.zeros((4, 5, 5)))
