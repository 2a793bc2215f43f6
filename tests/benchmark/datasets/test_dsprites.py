"""The re-rendered grid against digests of genuine images, the rasteriser against pixels counted by hand."""

import hashlib
import json
import os
from pathlib import Path

import numpy as np
import pytest

from disbench.benchmark.datasets import dsprites, load
from disbench.errors import UsageError

HERE = Path(__file__).parent
GENUINE = [tuple(pair) for pair in json.loads((HERE / "genuine_dsprites.json").read_text())]
FIXTURES = Path(os.environ.get("DISBENCH_FIXTURES") or HERE.parents[1] / ".." / "shared" / "fixtures")


@pytest.fixture(scope="module")
def grid():
    """The whole 64x64 grid, bit-packed (737280, 64, 8)."""
    return load("dsprites").storage.mapped


@pytest.fixture(scope="module")
def small():
    return load("dsprites", size=32).storage.mapped


def draw(corners, size=8):
    """One polygon with corners (x, y) in pixels, as a 0/1 image (size, size)."""
    vertices = np.rint(256 * np.array(corners)).astype(np.int64)
    packed = dsprites.rasterise(vertices[None, :, 0], vertices[None, :, 1], size)
    return np.unpackbits(packed[0, 0], axis=-1)


ONES = np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1).sum(axis=1, dtype=np.uint8)


def count_white(packed):
    return int(ONES[packed].sum(dtype=np.int64))


def test_all_genuine_images_are_reproduced_bit_for_bit(grid):
    rendered = [(index, hashlib.sha256(grid[index].tobytes()).hexdigest()) for index, _ in GENUINE]
    assert len(GENUINE) == 358
    assert rendered == GENUINE


def test_genuine_pixels(grid):
    path = FIXTURES / "genuine_dsprites.npz"
    if not path.exists():
        pytest.skip(f"no samples folder with {path.name}; DISBENCH_FIXTURES names one")
    with np.load(path) as genuine:
        assert np.array_equal(grid[genuine["index"]], genuine["imgs_packed"])
        named = np.ravel_multi_index(tuple(genuine["factors"].T.astype(int)), dsprites.SIZES)
        assert np.array_equal(named, genuine["index"])


def test_the_whole_grid(grid):
    """White pixels per shape and the digest of the 0/1 array in C order, from an independent rendering."""
    white = [count_white(shape) for shape in grid.reshape(3, -1)]
    assert white == [53_612_886, 42_070_950, 32_645_028]
    assert abs(sum(white) - 0.042494423521889584 * grid.size * 8) == pytest.approx(
        2, abs=0.01
    )  # published mean
    digest = hashlib.sha256()
    for start in range(0, len(grid), 8192):
        digest.update(np.unpackbits(grid[start : start + 8192], axis=-1))
    assert digest.hexdigest() == "2c612e5234d21c2b576c375ebe1faa1b363ab97d340164c5d2dcf27f35dd5eb6"


def test_digests_of_the_packed_grids(grid, small):
    assert hashlib.sha256(grid).hexdigest() == load("dsprites").sha256
    assert load("dsprites").sha256 == "3a228f4037ef3d42a42588e0e01f1078aa2df13cfa17584e88c95ed9fb5672da"
    assert hashlib.sha256(small).hexdigest() == load("dsprites", size=32).sha256
    assert (
        load("dsprites", size=32).sha256 == "d1dc63a1f25357548351f0b135b5e3408fdc1f39f9eb847d52abd5992338e76a"
    )


@pytest.mark.parametrize("size", [32, 64])
def test_the_last_orientation_shows_the_first(size, grid, small):
    images = {32: small, 64: grid}[size].reshape(3, 6, 40, 1024, -1)
    assert np.array_equal(images[:, :, 39], images[:, :, 0])
    assert not np.array_equal(images[1:, :, 38], images[1:, :, 0])


def test_every_sprite_stays_inside_the_frame(grid):
    seen = np.bitwise_or.reduce(grid, axis=0)  # (64, 8)
    rows = np.flatnonzero(seen.any(axis=1))
    columns = np.flatnonzero(np.unpackbits(seen, axis=-1).any(axis=0))
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (2, 61, 2, 61)


def test_size_32_is_drawn_natively(grid, small):
    """A quarter of the area; sprites at half the distance; but not the large image at every second pixel."""
    ratio = count_white(grid[::10]) / count_white(small[::10])
    assert ratio == pytest.approx(4, rel=2e-3)
    x = np.unpackbits(small[[0, 737_279]], axis=-1)
    large = np.unpackbits(grid[[0, 737_279]], axis=-1)
    for little, big in zip(x, large, strict=True):
        for axis in (0, 1):
            middle = [np.flatnonzero(image.any(axis)).mean() for image in (little, big)]
            assert 2 * middle[0] + 0.5 == pytest.approx(middle[1], abs=1)
    halved = np.unpackbits(grid[:1024], axis=-1)[:, ::2, ::2]
    assert not np.array_equal(halved, np.unpackbits(small[:1024], axis=-1))


def test_a_centre_on_an_edge():
    """Corners on the centres of pixels (1, 1) and (3, 3): left and bottom edge in, right and top edge out."""
    expected = np.zeros((8, 8), int)
    expected[2:4, 1:3] = 1
    assert np.array_equal(draw([(1.5, 1.5), (3.5, 1.5), (3.5, 3.5), (1.5, 3.5)]), expected)


def test_the_direction_of_the_outline_does_not_matter():
    corners = [(1.2, 0.7), (6.9, 2.1), (4.4, 7.3)]
    assert np.array_equal(draw(corners), draw(corners[::-1]))


def test_a_triangle():
    """Right angle at (1, 1), legs of 4: row r = 1..4 holds columns 1 .. 5 - r, less the one on the slope.

    The slope runs through the centres (1.5, 4.5), (2.5, 3.5), ...: a right edge, so they are out.
    """
    expected = np.zeros((8, 8), int)
    for row, count in ((1, 3), (2, 2), (3, 1)):
        expected[row, 1 : 1 + count] = 1
    assert np.array_equal(draw([(1, 1), (5, 1), (1, 5)]), expected)


def test_two_lobes_are_two_runs_in_a_row():
    """An M: the row through the notch is white, black, white (even-odd).

    At y = 1.5 the notch runs from x = 1.5, a right edge on a centre (out), to 6.5, a left edge on a centre
    (in).
    """
    image = draw([(0, 0), (4, 4), (8, 0), (8, 8), (0, 8)])
    assert image[1].tolist() == [1, 0, 0, 0, 0, 0, 1, 1]
    assert image[6].tolist() == [1] * 8


def test_vertices_are_where_the_geometry_says():
    """Square at scale 1: half side 9.6 px; turned by a right angle it is itself, x -> -y."""
    assert dsprites.polygon(0, 5, 0).tolist() == pytest.approx(
        np.array([(-9.6, -9.6), (9.6, -9.6), (9.6, 9.6), (-9.6, 9.6)])
    )
    ellipse = dsprites.polygon(1, 0, 0)
    assert len(ellipse) == 100
    assert ellipse.max(axis=0) == pytest.approx([1.33 * 4.8, 4.8 / 1.33])
    heart = dsprites.polygon(2, 5, 0)
    assert len(heart) == 150
    assert heart[75] == pytest.approx(
        [0, 9.6 * (17 / 14.5 - 0.15)]
    )  # t = pi: cos sums to -13 - 5 + 2 - 1 = -17


def test_a_positive_orientation_turns_counter_clockwise():
    """The ellipse's right end, at angle 0, has risen on the screen (smaller y) at a small positive angle."""
    start, turned = dsprites.polygon(1, 5, 0)[0], dsprites.polygon(1, 5, 3)[0]
    assert start == pytest.approx([12.768, 0])
    assert turned[1] < -1


def test_only_two_sizes():
    with pytest.raises(UsageError, match="32 or 64"):
        next(dsprites.render(48))
