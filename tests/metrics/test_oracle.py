"""The oracle: every answer is that of a scan of all images, and equal pictures have equal factors."""

import numpy as np
import pytest

from disbench.benchmark.datasets import dsprites
from disbench.errors import UsageError
from disbench.metrics.oracle import Bits, Levels, Nearest, Oracle, Symmetry, nearest
from disbench.metrics.oracle.reading import of_bits
from disbench.metrics.registry import Grid

SPRITES = [(shape, 4, 7) for shape in range(3)]
GRID = Grid((3, 1, 1, 16, 16), ("shape", "scale", "orientation", "x", "y"))
FOUR = Grid((2, 2))


@pytest.fixture(scope="module")
def packed():
    blocks = [dsprites.sprites(*sprite, size=32).reshape(32, 32, -1)[::2, ::2] for sprite in SPRITES]
    return np.concatenate(blocks).reshape(len(GRID), -1)


@pytest.fixture(scope="module")
def oracle(packed):
    return of_bits(packed, GRID, (1, 32, 32))


def changed(images, kind, rng):
    """Pictures that are no images of the grid: noise of several strengths, shifts, grey values, blends."""
    n = len(images)
    if kind == "noise":
        flips = rng.choice([0.002, 0.01, 0.05, 0.3], size=(n, 1, 1))
        return np.where(rng.random(images.shape) < flips, 1 - images, images)
    if kind == "shift":
        return np.stack(
            [
                np.roll(image, shift, (0, 1))
                for image, shift in zip(images, rng.integers(-9, 10, (n, 2)), strict=True)
            ]
        )
    if kind == "grey":
        return np.clip(0.1 + 0.7 * images + rng.normal(0, 0.2, images.shape), 0, 1).astype(np.float32)
    if kind == "blend":
        share = rng.random((n, 1, 1))
        return (share * images + (1 - share) * images[rng.permutation(n)]).astype(np.float32)
    return rng.random(images.shape)


@pytest.mark.parametrize("by", ["hamming", "likelihood"])
@pytest.mark.parametrize("kind", ["noise", "shift", "grey", "blend", "random"])
def test_ten_thousand_pictures_have_the_nearest_image_of_a_full_scan(oracle, by, kind):
    """1,000 of each kind and rule: the same gain, and all rows that have it."""
    rng = np.random.default_rng([ord(kind[0]), len(by)])
    images = oracle.pictures(rng.integers(len(GRID), size=1000))[:, 0]
    x = changed(images, kind, rng).reshape(1000, -1)
    weights = nearest.hamming_weights(x > 0.5) if by == "hamming" else nearest.nats_weights(x, 1e-3)[0]
    found = oracle.search.find(weights)
    for gain, rows, (best, all_rows) in zip(
        found.gain, found.rows, nearest.scan(oracle.stored, weights), strict=True
    ):
        assert gain == best
        assert np.array_equal(rows, all_rows)


def test_most_images_are_never_looked_at(oracle):
    """But for pictures that are like none of them, of which all are looked at in one scan."""
    rng = np.random.default_rng(0)
    images = oracle.pictures(rng.integers(len(GRID), size=50)).reshape(50, -1)
    assert (oracle.search.find(nearest.hamming_weights(images > 0)).looked < 100).all()


def test_equal_pictures_are_looked_for_once(oracle, monkeypatch):
    images = oracle.pictures(np.array([5, 9, 5, 5, 200])).reshape(5, -1)
    sizes, left = [], Nearest._left
    monkeypatch.setattr(Nearest, "_left", lambda self, w: (sizes.append(len(w)), left(self, w))[1])
    found = oracle.search.find(nearest.hamming_weights(images > 0))
    assert [rows[0] for rows in found.rows] == [5, 9, 5, 5, 200]
    assert sizes == [3]


def test_a_scan_takes_over_where_the_bound_leaves_many(packed, monkeypatch):
    monkeypatch.setattr(nearest, "MANY", 20)
    pictures = np.roll(np.unpackbits(packed[:5], axis=1), 40, axis=1) > 0
    weights = nearest.hamming_weights(pictures ^ (np.random.default_rng(0).random((5, 1024)) < 0.05))
    index = Nearest(Bits(packed))
    found = index.find(weights)
    assert (found.looked == len(packed)).all()
    monkeypatch.setattr(nearest, "MANY", len(packed))
    again = index.find(weights)
    assert (again.looked < len(packed)).all()
    assert (found.gain == again.gain).all()
    assert all(np.array_equal(a, b) for a, b in zip(found.rows, again.rows, strict=True))


@pytest.mark.parametrize("directions", [1, 2, 200])
def test_any_number_of_directions_finds_the_same(packed, directions):
    few = Bits(packed[::4])
    weights = nearest.hamming_weights(np.unpackbits(packed[5::50], axis=1) > 0)
    found = Nearest(few, directions).find(weights)
    assert found.gain.tolist() == [gain for gain, _ in nearest.scan(few, weights)]


def test_grey_levels_are_found_by_their_squared_difference():
    """Three images of two pixels: (0, 0), (0, 200), (100, 0) levels."""
    images = np.array([[0, 0], [0, 200], [100, 0]], np.float32)
    oracle = Oracle(Levels(3, 2, lambda rows: images[rows]), Grid((3,)), (1, 1, 2))
    read = oracle.read(np.array([[0.0, 0.1], [0.3, 0.5], [0.35, 0.0]])[:, None, None])
    assert read.rows.tolist() == [0, 1, 2]
    # of the second: 76.5 in the one pixel, 200 - 127.5 in the other
    assert read.distance[1] == pytest.approx(np.sqrt((76.5**2 + 72.5**2) / 2) / 255)
    assert read.white == pytest.approx([0.1, 0.8, 0.35])


def test_colours_are_found_as_a_scan_finds_them():
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (600, 3 * 8 * 8)).astype(np.float32)
    stored = Levels(600, 192, lambda rows: images[rows])
    pictures = np.clip((images[rng.integers(600, size=300)] + rng.normal(0, 60, (300, 192))) / 255, 0, 1)
    weights, constant = nearest.level_weights(pictures)
    found = Nearest(stored).find(weights)
    squares = ((np.rint(pictures * 255 * 256) / 256)[:, None] - images) ** 2
    assert np.array_equal([rows[0] for rows in found.rows], squares.sum(-1).argmin(1))
    assert constant - found.gain == pytest.approx(squares.sum(-1).min(1))


def four():
    """2 x 2 images of 8 pixels; the second factor does nothing where the first is 0."""
    images = np.array([[1, 1, 0, 0, 0, 0, 0, 0]] * 2 + [[0, 0, 1, 1, 1, 1, 0, 0], [0, 0, 0, 0, 1, 1, 1, 1]])
    return of_bits(np.packbits(images.astype(np.uint8), axis=1), FOUR, (1, 2, 4))


def test_distance_ties_and_what_is_certain_by_hand():
    pictures = np.array(
        [
            # image 0, which image 1 equals: only the first factor is certain
            [1, 1, 0, 0, 0, 0, 0, 0],
            # one pixel too many for image 2
            [1, 0, 1, 1, 1, 1, 0, 0],
            # halfway between images 2 and 3: only the first factor is certain
            [0, 0, 1, 1, 1, 1, 1, 1],
            # nothing: nearest are images 0 and 1, two pixels away
            [0] * 8,
        ]
    ).reshape(4, 2, 4)
    read = four().read(pictures)
    assert read.rows.tolist() == [0, 2, 2, 0]
    assert read.distance.tolist() == [0, 1, 2, 2]
    assert read.white.tolist() == [2, 5, 6, 0]
    assert read.ties.tolist() == [2, 1, 2, 2]
    assert read.factors.tolist() == [[0, 0], [1, 0], [1, 0], [0, 0]]
    assert read.certain.tolist() == [[True, False], [True, True], [True, False], [True, False]]


def test_nats_by_hand():
    """Image 3 under p = .9 where it is white and .2 elsewhere: -4 log .9 - 4 log .8."""
    picture = np.where([0, 0, 0, 0, 1, 1, 1, 1], 0.9, 0.2).reshape(1, 2, 4)
    read = four().read(picture, by="likelihood")
    assert read.rows.tolist() == [3]
    assert read.nats == pytest.approx([-4 * np.log(0.9) - 4 * np.log(0.8)], abs=1e-8)
    assert read.distance.tolist() == [0]
    # a sure pixel counts for -log of the least probability, not for infinity
    sure = four().read(np.eye(8)[:1].reshape(1, 2, 4), by="likelihood", least=0.01)
    assert sure.nats == pytest.approx([-7 * np.log(0.99) - np.log(0.01)], abs=1e-8)


def test_likelihood_and_pixels_can_disagree():
    """Two pixels of .6 outvote one of .99 that is missing; in nats they do not."""
    images = np.packbits(np.array([[1, 1, 0, 0, 0, 0, 0, 0], [0, 0, 1, 0, 0, 0, 0, 0]], np.uint8), axis=1)
    oracle = of_bits(images, Grid((2,)), (1, 2, 4))
    picture = np.array([[0.6, 0.6, 0.99, 0, 0, 0, 0, 0]]).reshape(1, 2, 4)
    assert oracle.read(picture).rows.tolist() == [0]
    assert oracle.read(picture, by="likelihood").rows.tolist() == [1]


def test_phases_of_symmetric_shapes():
    """Of 39 steps a full turn: a square at 10 steps (92.3 degrees) is one at 2.3 degrees, its phase 1."""
    symmetry = Symmetry(0, 1, (4, 2, 1), 39)
    factors = np.array([[0, 0], [0, 10], [0, 39], [1, 20], [1, 39], [2, 20], [2, 39]])
    assert symmetry.fold(factors).tolist() == [[0, 0], [0, 1], [0, 0], [1, 1], [1, 0], [2, 20], [2, 0]]
    # every phase occurs, and only the two ends of the full turn share one
    for shape in range(3):
        phases = symmetry.fold(np.column_stack([np.full(40, shape), np.arange(40)]))[:, 1]
        assert sorted(phases) == [0, *range(39)]
    with pytest.raises(UsageError, match="no divisor"):
        Symmetry(0, 1, (4, 2), 40)


def test_neighbouring_phases_look_alike_and_neighbouring_turns_do_not():
    """Squares: the mean distance to the next phase is far below that to the next turn."""
    turns = [np.unpackbits(dsprites.sprites(0, 5, turn, 64)[528]).astype(int) for turn in range(39)]
    by_phase = {4 * turn % 39: image for turn, image in enumerate(turns)}
    phase = np.mean([np.abs(by_phase[i] - by_phase[i + 1]).sum() for i in range(38)])
    turn = np.mean([np.abs(turns[i] - turns[i + 1]).sum() for i in range(38)])
    assert phase < 0.5 * turn


def test_the_grid_of_an_oracle_has_phases(packed):
    oracle = of_bits(packed, GRID, (1, 32, 32), Symmetry(0, 2, (1, 1, 1), 7))
    assert oracle.grid.sizes == (3, 1, 7, 16, 16)
    assert oracle.grid.names == GRID.names


@pytest.mark.parametrize(
    ("pictures", "given", "sentence"),
    [
        (np.zeros((2, 3, 3)), {}, r"pictures \(2, 3, 3\) must be \(n, 1, 2, 4\)"),
        (np.full((1, 2, 4), 255), {}, "divide levels by 255"),
        (np.full((1, 2, 4), np.nan), {}, "1 of 1 pictures hold NaN"),
        (np.zeros((1, 2, 4), complex), {}, "complex"),
        (np.zeros((1, 2, 4)), {"by": "hammin"}, "did you mean 'hamming'"),
        (np.zeros((1, 2, 4)), {"threshold": 1.0}, "below 1"),
        (np.zeros((1, 2, 4)), {"least": 0.5}, "between 0 and 0.5"),
    ],
)
def test_refused_pictures(pictures, given, sentence):
    with pytest.raises(UsageError, match=sentence):
        four().read(pictures, **given)


def test_refused_images():
    with pytest.raises(UsageError, match="give all"):
        of_bits(np.zeros((3, 1), np.uint8), FOUR, (1, 2, 4))
    with pytest.raises(UsageError, match="of one"):
        of_bits(np.zeros((4, 1), np.uint8), FOUR, (1, 3, 4))
    with pytest.raises(UsageError, match="packbits"):
        Bits(np.zeros((4, 8)))


def test_no_pictures_have_no_reading():
    assert len(four().read(np.zeros((0, 2, 4)))) == 0
