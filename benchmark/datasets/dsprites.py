"""dSprites, re-rendered: the complete grid of Matthey et al. 2017, drawn here instead of downloaded.

3 shapes x 6 scales x 40 orientations x 32 x 32 positions = 737,280 binary images of 64x64 pixels, row-major,
posY fastest. Frame: x right, y down, the centre of pixel (row r, column c) lies at (c + 1/2, r + 1/2).

    quantity            here             value
    scale S             SCALES           0.5, 0.6, ..., 1
    orientation th      ANGLES           linspace(0, 2 pi, 40), both ends included
    centre              CENTRES          16 + 32 * linspace(0, 1, 32) px, on both axes; posY = 0 is the top
    unit U              UNIT             0.15 * 64 = 9.6 px, times S
    outline (u, v)      outline          square: corners (+-1, +-1); ellipse: 100-gon; heart: 150-gon
    vertex              polygon          (u cos th + v sin th, -u sin th + v cos th) from the centre

A pixel is white where its centre lies inside the polygon whose vertices are rounded to 1/256 px, the
sub-pixel grid of the graphics hardware that drew the originals. A centre exactly on an edge belongs to a
left or bottom edge and not to a right or top one. After the rounding everything is integer arithmetic, hence
exact.

Agreement with the published file: all 358 genuine images that could be compared are equal bit for bit, and
the grid has 128,328,864 white pixels where the published mean implies 128,328,862. Equality of all 737,280
images is not proven: the originals were computed in 32-bit floats, and emulating such pipelines changes one
boundary pixel in at most 203 images. So this is dSprites re-rendered, not the published bytes.

Known degeneracy, kept because the published grid has it: orientation 39 is a full turn, so its 18,432 images
equal those of orientation 0, and no code can tell the two classes apart.

`size=32` draws the same geometry natively on a 32x32 frame (every length halved, vertices again to 1/256
px); it is not the 64x64 grid scaled down, and has no published counterpart.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from disbench.errors import UsageError

if TYPE_CHECKING:
    from disbench.metrics.oracle import Symmetry

SIZES = (3, 6, 40, 32, 32)
RESOLUTIONS = (32, 64)

SCALES = np.linspace(0.5, 1.0, 6)
ANGLES = np.linspace(0.0, 2 * np.pi, 40)
CENTRES = 16 + 32 * np.linspace(0.0, 1.0, 32)
UNIT = 0.15 * 64
SUBPIXELS = 256
# Times that a square, an ellipse and a heart look the same in a full turn.
TURNS = (4, 2, 1)

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def outline(shape: int) -> Floats:
    """Vertices (k, 2) as (u, v), y down, of shape 0 (square), 1 (ellipse) or 2 (heart) in units of U * S."""
    if shape == 0:
        return np.array([(-1.0, -1.0), (1.0, -1.0), (1.0, 1.0), (-1.0, 1.0)])
    if shape == 1:
        t = 2 * np.pi * np.arange(100) / 100
        return np.stack([1.33 * np.cos(t), np.sin(t) / 1.33], axis=1)
    t = 2 * np.pi * np.arange(150) / 150
    height = 13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t)
    return np.stack([np.sin(t) ** 3, -(height / 14.5 + 0.15)], axis=1)


def polygon(shape: int, scale: int, orientation: int) -> Floats:
    """Vertices (k, 2) as (x, y) offsets from the sprite's centre, in pixels of the 64x64 frame."""
    u, v = (outline(shape) * UNIT * SCALES[scale]).T
    cos, sin = np.cos(ANGLES[orientation]), np.sin(ANGLES[orientation])
    return np.stack([u * cos + v * sin, -u * sin + v * cos], axis=1)


def rasterise(x: Ints, y: Ints, size: int) -> NDArray[np.uint8]:
    """Bit-packed images (m, n, size, size / 8) of one polygon at m horizontal times n vertical positions.

    Args:
        x: (m, k) vertex columns in 1/256 px; vertices in order, the last joined to the first.
        y: (n, k) vertex rows in 1/256 px; every sprite lies inside the frame.
        size: of the images, in pixels: 8, 16, 32 or 64.

    Even-odd rule by scan lines: each edge that crosses the line through a row's centres flips all pixels from
    its crossing to the right, and a row of pixels is one machine word.
    """
    half = SUBPIXELS // 2
    y_next = np.roll(y, -1, axis=1)
    top, bottom = np.minimum(y, y_next), np.maximum(y, y_next)
    # An edge meets the rows with top < centre <= bottom: a centre on a top edge is out, on a bottom edge in.
    first = (top - half) // SUBPIXELS + 1
    count = (bottom - half) // SUBPIXELS + 1 - first
    place, edge = np.divmod(np.repeat(np.arange(y.size), count.ravel()), y.shape[1])  # (M,) crossings
    start = np.cumsum(count.ravel()) - count.ravel()
    row = np.arange(len(edge)) - np.repeat(start - first.ravel(), count.ravel())

    rise = (y_next - y)[place, edge]
    run = (np.roll(x, -1, axis=1) - x)[:, edge]  # (m, M)
    height = np.abs(rise)
    below = (SUBPIXELS * row + half - y[place, edge]) * np.sign(rise)
    # First column whose centre is at or right of the crossing: left edge in, right edge out; exact ceiling.
    column = -((-(x[:, edge] - half) * height - below * run) // (SUBPIXELS * height))

    from_column = np.array([(1 << (size - c)) - 1 for c in range(size + 1)], dtype=np.uint64)
    line = place * size + row
    order = np.argsort(line, kind="stable")
    lines, begin = np.unique(line[order], return_index=True)
    words = np.zeros((len(x), len(y) * size), dtype=np.uint64)
    words[:, lines] = np.bitwise_xor.reduceat(from_column[column[:, order]], begin, axis=1)
    packed: NDArray[np.uint8] = words.astype(f">u{size // 8}").view(np.uint8)
    return packed.reshape(len(x), len(y), size, size // 8)


def sprites(shape: int, scale: int, orientation: int, size: int = 64) -> NDArray[np.uint8]:
    """The 32 x 32 positions of one sprite, bit-packed (1024, size, size / 8), posY fastest."""
    zoom = size / 64
    offsets = polygon(shape, scale, orientation)

    def snapped(axis: int) -> Ints:
        return np.rint(SUBPIXELS * zoom * (CENTRES[:, None] + offsets[:, axis])).astype(np.int64)

    return rasterise(snapped(0), snapped(1), size).reshape(-1, size, size // 8)


def render(size: int = 64) -> Iterator[NDArray[np.uint8]]:
    """The whole grid in order, as 720 bit-packed blocks (1024, size, size / 8)."""
    check_size(size)
    for shape in range(SIZES[0]):
        for scale in range(SIZES[1]):
            for orientation in range(SIZES[2]):
                yield sprites(shape, scale, orientation, size)


def symmetry(names: tuple[str, ...], sizes: tuple[int, ...]) -> Symmetry | None:
    """Which orientations look the same, of a grid that is dSprites by its factors; None of any other."""
    if sizes != SIZES or names[:1] != ("shape",) or names[2:3] != ("orientation",):
        return None
    # here, so that the names of data sets load no metric
    from disbench.metrics.oracle import Symmetry

    # both ends of the full turn are in the grid
    return Symmetry(shape=0, turn=2, times=TURNS, steps=SIZES[2] - 1)


def check_size(size: int) -> None:
    """Raises UsageError for a size that is not one of `RESOLUTIONS`."""
    if size not in RESOLUTIONS:
        raise UsageError(
            f"dSprites is drawn at 32x32 or 64x64 pixels, not {size}x{size}; ask for size 32 or 64"
        )
