"""Shaded solids: ellipsoids and boxes under a light, drawn here instead of downloaded.

They vary what the faces and chairs of InfoGAN vary (azimuth, elevation, lighting, width), and what Cars3D and
3D Shapes do, in complete grids of the same sizes. No picture of theirs is copied: see `VIEWS` for the factors
of each set, row-major, the last one fastest.

Frame: x right, y up, z towards the eye, in units of half a frame; the eye is far away, so that lines stay
parallel. A solid of half axes a = (width, height, depth) is turned by its azimuth about y, then tilted by
its elevation about x. For the ray through the centre of a pixel, with p on its plane z = 0, the frame of the
solid is reached by the transposed rotation R^T, and the first point that the ray meets is

    ellipsoid   largest s with |(R^T (p + s e_z)) / a| = 1, a quadratic equation; its normal there is along
                R (u / a^2), with u the point in the solid's frame
    box         the largest s at which the ray lies between all three pairs of planes |u_i| = a_i, if there is
                one; its normal is that of the plane

    quantity        here       value
    light           scenes     a unit vector to the light, from the left over the front to the right, above
    brightness      shade      AMBIENT + (1 - AMBIENT) max(0, n . l), times the colour of the point
    colour          paint      the hue of the solid; the half with u_z > 0, its front, is lighter than its
                               back, and has a white dot, so that no two azimuths look alike
    ground          paint      one hue above the horizon (the wall), one below (the floor), both brighter on
                               the side of the light: a flat front cannot tell left from right
    anti-aliasing   FINE       the mean of FINE x FINE rays a pixel

`size` draws the same scene with other pixels; it is no picture scaled down.

Everything is computed in float64 and rounded to whole numbers once; the pixels of another machine may differ
in the last bit where a sum lies on a half.
"""

from __future__ import annotations

import colorsys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

AMBIENT, GLOW, FINE = 0.3, 0.25, 2
BACK, DOT, DOT_SIZE = 0.55, 1.0, 0.3
# of the ground, where no factor gives its hue: saturation and brightness
WALL, FLOOR, HORIZON = 0.75, 0.45, -0.35
ROWS = 4  # images of a block: what is computed for them fits into a cache


@dataclass(frozen=True)
class View:
    """What one value of each factor of a set means.

    Attributes:
        sizes: number of values of each factor, by its name; the last is the fastest.
        azimuths: first and last turn about the vertical, in degrees; of a full turn the last is left out.
        elevations: first and last tilt, in degrees.
        hue: of the solid, where no factor gives it.
    """

    sizes: Mapping[str, int]
    azimuths: tuple[float, float] = (-75.0, 75.0)
    elevations: tuple[float, float] = (-40.0, 40.0)
    hue: float = 0.08

    @property
    def shape(self) -> tuple[int, ...]:
        """Number of values of each factor."""
        return tuple(self.sizes.values())

    def part(self, name: str, index: Ints, usual: float = 0.0) -> Floats:
        """Where each value of a factor lies between its first, 0, and its last, 1; the usual one without."""
        n = self.sizes.get(name, 1)
        if n == 1:
            return np.full(len(index), usual)
        return self.column(name, index) / (n - 1)

    def turn(self, name: str, index: Ints) -> Floats:
        """Where each value of a factor lies on a circle, in turns: the last is not the first again."""
        return self.column(name, index) / self.sizes.get(name, 1)

    def column(self, name: str, index: Ints) -> Floats:
        """(b,) The values of a factor in factor values (b, k); 0 in a set without it."""
        if name not in self.sizes:
            return np.zeros(len(index))
        return index[:, list(self.sizes).index(name)].astype(float)


VIEWS: Mapping[str, View] = {
    # InfoGAN's faces and chairs
    "solids": View({"shape": 2, "azimuth": 15, "elevation": 7, "lighting": 7, "width": 7}),
    # the sizes of Cars3D; the objects are shapes of several widths and hues
    "solids_cars": View({"elevation": 4, "azimuth": 24, "object": 183}, (-180.0, 180.0), (5.0, 50.0)),
    # those of 3D Shapes
    "solids_rooms": View(
        {"floor_hue": 10, "wall_hue": 10, "object_hue": 10, "scale": 8, "shape": 4, "orientation": 15},
        (-60.0, 60.0),
        (15.0, 15.0),
    ),
}


@dataclass(frozen=True)
class Scenes:
    """The scenes of some rows: everything that the rays need, an entry for each image.

    Attributes:
        rotation: (b, 3, 3) from the solid's frame to the eye's.
        axes: (b, 3) half axes.
        box: (b,) whether it is a box.
        light: (b, 3) unit vector to the light.
        solid: (b, 3) colour of the solid.
        wall: (b, 3) colour above the horizon.
        floor: (b, 3) colour below it.
    """

    rotation: Floats
    axes: Floats
    box: NDArray[np.bool_]
    light: Floats
    solid: Floats
    wall: Floats
    floor: Floats


def scenes(view: View, index: Ints) -> Scenes:
    """The scenes of factor values (b, k) of a set."""
    n = len(index)
    # ellipsoid, box, flat ellipsoid, flat box
    shape, hue = view.column("shape", index).astype(int), np.full(n, view.hue)
    wide, scale = view.part("width", index, 0.5), view.part("scale", index, 0.6)
    azimuth = _between(view.azimuths, view.part("azimuth", index, 0.5))
    if view.azimuths[1] - view.azimuths[0] == 360:
        azimuth = 360 * view.turn("azimuth", index)
    if "orientation" in view.sizes:
        azimuth = _between(view.azimuths, view.part("orientation", index))
    if "object" in view.sizes:
        # an object is a shape, a width and a hue: each object another triple
        number = view.column("object", index).astype(int)
        shape, wide, hue = number % 4, number // 4 % 6 / 5, number // 24 / 8
    if "object_hue" in view.sizes:
        hue = view.turn("object_hue", index)
    elevation = _between(view.elevations, view.part("elevation", index, 0.5))
    flat = np.where(shape >= 2, 0.55, 1.0)
    size = 0.42 + 0.2 * scale
    axes = np.stack([size * (0.6 + 0.6 * wide), size * flat, 0.8 * size * np.ones(n)], axis=1)
    side = _between((-70.0, 70.0), view.part("lighting", index, 0.5))
    return Scenes(
        _tilt(elevation) @ _turn(azimuth),
        axes,
        shape % 2 == 1,
        np.stack([np.sin(side), np.full(n, 0.5), np.cos(side)], axis=1) / np.sqrt(1.25),
        _colours(hue, 0.75, 1.0),
        _colours(view.turn("wall_hue", index), 0.5 if "wall_hue" in view.sizes else 0.0, WALL),
        _colours(view.turn("floor_hue", index), 0.5 if "floor_hue" in view.sizes else 0.0, FLOOR),
    )


def _between(ends: tuple[float, float], part: Floats) -> Floats:
    """Angles in radians from the first to the last, given in degrees."""
    return np.radians(ends[0] + (ends[1] - ends[0]) * part)


def _turn(angle: Floats) -> Floats:
    """(b, 3, 3) Rotations about y."""
    c, s, o, i = np.cos(angle), np.sin(angle), np.zeros_like(angle), np.ones_like(angle)
    return np.stack([np.stack([c, o, s], 1), np.stack([o, i, o], 1), np.stack([-s, o, c], 1)], 1)


def _tilt(angle: Floats) -> Floats:
    """(b, 3, 3) Rotations about x."""
    c, s, o, i = np.cos(angle), np.sin(angle), np.zeros_like(angle), np.ones_like(angle)
    return np.stack([np.stack([i, o, o], 1), np.stack([o, c, -s], 1), np.stack([o, s, c], 1)], 1)


def _colours(hue: Floats, saturation: float, brightness: float) -> Floats:
    """(b, 3) Colours of hues in turns."""
    distinct, place = np.unique(hue, return_inverse=True)
    return np.array([colorsys.hsv_to_rgb(h, saturation, brightness) for h in distinct])[place]


def rays(size: int) -> Floats:
    """(r, 2) Points (x, y) of the rays of an image of that size, row by row from the top."""
    m = size * FINE
    centres = (2 * np.arange(m) + 1) / m - 1
    x, y = np.meshgrid(centres, -centres)
    return np.stack([x.ravel(), y.ravel()], axis=1)


def hit(scene: Scenes, points: Floats) -> tuple[NDArray[np.bool_], Floats, Floats]:
    """Where rays meet the solids first.

    Args:
        scene: b scenes.
        points: (r, 2) of the rays.

    Returns:
        Whether a ray meets the solid (b, r), the point in the solid's frame (b, 3, r), and the unit normal
        there in the eye's frame (b, 3, r); both are nothing where it does not.
    """
    # the solid's frame: origin and direction of each ray; the eye is at s = infinity along it
    back = scene.rotation.transpose(0, 2, 1)
    origin, along = back[:, :, :2] @ points.T, back[:, :, 2:]
    axes = scene.axes[:, :, None]
    box = scene.box[:, None]
    with np.errstate(divide="ignore", invalid="ignore"):
        # of a box: between these two each pair of planes is crossed
        low, high = (-axes - origin) / along, (axes - origin) / along
        near, far = np.minimum(low, high).max(1), np.maximum(low, high).min(1)
    # the quadratic equation of the unit sphere, after division by the half axes
    o, d = origin / axes, along / axes
    aa, bb, cc = (d * d).sum(1), (o * d).sum(1), (o * o).sum(1) - 1
    root = bb * bb - aa * cc
    met = np.where(box, far >= near, root >= 0)
    s = np.where(met, np.where(box, far, (np.sqrt(np.maximum(root, 0)) - bb) / aa), 0.0)
    u = origin + along * s[:, None]
    # of a box, the plane that is nearest to the point
    part = u / axes
    faces = np.abs(part) == np.abs(part).max(1, keepdims=True)
    normal = np.where(box[:, None], faces * np.sign(u), part / axes)
    normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-300)
    return met, u, scene.rotation @ normal


def paint(scene: Scenes, points: Floats) -> Floats:
    """(b, 3, r) Brightness of each colour in [0, 1] along rays (r, 2)."""
    met, u, normal = hit(scene, points)
    lit = (scene.light[:, None] @ normal)[:, 0]
    shade = AMBIENT + (1 - AMBIENT) * np.maximum(0, lit)
    x, y, z = (u / scene.axes[:, :, None]).transpose(1, 0, 2)
    shade = np.where(z > 0, shade, BACK * shade)
    dot = (z > 0) & (np.hypot(x - 0.35, y - 0.35) < DOT_SIZE)
    colour = np.where(dot[:, None], DOT, scene.solid[:, :, None]) * shade[:, None]
    ground = np.where(points[:, 1] > HORIZON, scene.wall[:, :, None], scene.floor[:, :, None])
    # the ground is brighter on the side of the light
    ground = ground * (1 + GLOW * scene.light[:, :1] * points[:, 0])[:, None]
    return np.where(met[:, None], colour, ground)


def draw(view: View, index: Ints, size: int) -> NDArray[np.uint8]:
    """Images (b, 3, size, size) of factor values (b, k) of a set."""
    fine = paint(scenes(view, index), rays(size)).reshape(len(index), 3, size, FINE, size, FINE)
    pixels: NDArray[np.uint8] = np.rint(255 * fine.mean(axis=(3, 5))).astype(np.uint8)
    return pixels


def render(view: View, size: int) -> Iterator[NDArray[np.uint8]]:
    """The whole grid in order, in blocks (b, 3, size, size)."""
    n = int(np.prod(view.shape))
    for start in range(0, n, ROWS):
        rows = np.arange(start, min(n, start + ROWS))
        yield draw(view, np.stack(np.unravel_index(rows, view.shape), axis=1), size)
