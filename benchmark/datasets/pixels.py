"""A user's own images as uint8 (n, c, h, w): which axis is which, and what their numbers stand for.

What is clear is taken, and said: channels first or last, numbers in [0, 1] or [0, 255] of any type, black
and white. What could be read in two ways is refused with the line of Python that decides it: flat images, an
alpha channel, numbers that are neither.
"""

from __future__ import annotations

import math
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from disbench.benchmark.datasets.cache import Bytes
from disbench.benchmark.datasets.streams import npz_blocks, plain_header, reading
from disbench.errors import UsageError
from disbench.metrics.arrays import Array

LAYOUTS = {"nhw": "(n, h, w)", "nhwc": "(n, h, w, c)", "nchw": "(n, c, h, w)"}
KEY = "images"  # their name in the file
LEVEL = 1e-4  # of white, by which rounding and resizing may leave [0, 1]


@dataclass(frozen=True)
class OwnImages:
    """The images of a file, of which only the header was read.

    Attributes:
        path: of the npz file.
        stored: their shape there.
        dtype: their type there.
        layout: one of `LAYOUTS`.
    """

    path: Path
    stored: tuple[int, ...]
    dtype: np.dtype[Any]
    layout: str

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(n, c, h, w)."""
        sizes = dict(zip(self.layout, self.stored, strict=True))
        return sizes["n"], sizes.get("c", 1), sizes["h"], sizes["w"]

    def converted(self) -> tuple[Iterator[Bytes], tuple[str, ...]]:
        """Blocks (b, c, h, w), and sentences about how the file was read.

        Raises:
            UsageError: the numbers are neither in [0, 1] nor in [0, 255].
        """
        scale, notes = self._scale()
        *_, h, w = self.shape
        # of squares there is no doubt which axis is which
        if self.layout != "nhw" or h != w:
            notes.append(f"the images {self.stored} are {LAYOUTS[self.layout]}")
        return (self._pixels(block, scale) for block in npz_blocks(self.path, KEY)), tuple(notes)

    def _pixels(self, block: Array, scale: int) -> Bytes:
        images = block[:, None] if self.layout == "nhw" else block
        images = images.transpose(0, 3, 1, 2) if self.layout == "nhwc" else images
        if images.dtype == np.uint8 and scale == 1:
            return images
        # rounding may have left a number a little outside
        return np.rint(images.astype(np.float64) * scale).clip(0, 255).astype(np.uint8)

    def _scale(self) -> tuple[int, list[str]]:
        """What the numbers are multiplied by to reach 255 at white, and what was assumed."""
        what, low, high = f"{self.path}: its {KEY}", math.inf, -math.inf
        for block in npz_blocks(self.path, KEY):
            low, high = min(low, float(block.min())), max(high, float(block.max()))
            if not np.isfinite(block).all():
                raise UsageError(f"{what} hold NaN or infinity; write numbers in [0, 1] or [0, 255].")
            if self.dtype == np.uint8 and high > 1:
                # declared by the type, and not black and white
                return 1, []
        # without the file's name: the same content may lie under another one
        kind = f"the images, {self.dtype} of {low:g} to {high:g},"
        if self.dtype.kind in "biu" and low == high == 0:
            return 1, []
        if self.dtype.kind in "biu" and low >= 0 and high <= 1:
            return 255, [f"{kind} are taken for black and white"]
        if self.dtype.kind == "f" and low >= -LEVEL and 0.5 <= high <= 1 + LEVEL:
            return 255, [f"{kind} are taken to be in [0, 1], and kept with 256 levels"]
        if low >= -255 * LEVEL and 127.5 <= high <= 255 * (1 + LEVEL):
            return 1, [f"{kind} are taken to be in [0, 255], and kept as whole numbers"]
        line = f": (255 * (images - {low:g}) / {high - low:g}).round().astype('uint8')" if high > low else ""
        raise UsageError(
            f"{what} are {self.dtype} from {low:g} to {high:g}, which is neither [0, 1] nor [0, 255]; write "
            f"them as uint8, with black as 0 and white as 255{line}."
        )


def own_images(path: Path) -> OwnImages:
    """The images of a user's npz file, by their header alone.

    Raises:
        UsageError: no numbers, none or one image, or axes that could be read in two ways or in none.
    """
    with reading(path), zipfile.ZipFile(path) as archive, archive.open(f"{KEY}.npy") as member:
        shape, dtype = plain_header(member, f"{path}: {KEY}")
    what = f"{path}: its {KEY} {shape}"
    if dtype.kind not in "biuf":
        raise UsageError(f"{what} of {dtype} are no numbers; write uint8.")
    if 0 in shape or shape == (1,):
        raise UsageError(f"{what} hold no pixel; is it the right array?")
    return OwnImages(path, shape, dtype, _layout(what, shape))


def _layout(what: str, shape: tuple[int, ...]) -> str:
    """Which axis is which, of images whose sides are more than one pixel."""
    layout = _axes(what, shape)
    sides = [size for axis, size in zip(layout, shape, strict=True) if axis in "hw"]
    # an axis of pixels beside one of channels
    flat = layout == "nhw" and min(sides) <= 4 and max(sides) >= 16
    if flat or 1 in sides:
        few = "a side of one pixel" if 1 in sides else f"a side of {min(sides)} pixels"
        pixels = (shape[0], math.prod(shape[1:]))
        raise UsageError(f"{what} would have {few} as {LAYOUTS[layout]}{_reshaped(pixels)}.")
    return layout


def _axes(what: str, shape: tuple[int, ...]) -> str:
    if len(shape) == 3:
        return "nhw"
    if len(shape) == 4:
        first, last = shape[1] in (1, 3), shape[3] in (1, 3)
        if first and last:
            raise UsageError(
                f"{what} could have their channels first or last; write grey images as (n, h, w), and "
                "colours with "
                "more than three rows and columns."
            )
        if first or last:
            return "nchw" if first else "nhwc"
        for axis, kept in ((3, "images[..., :{}]"), (1, "images[:, :{}]")):
            if shape[axis] in (2, 4):
                raise UsageError(
                    f"{what} have {shape[axis]} channels, the last of which may be alpha; write "
                    f"{kept.format(shape[axis] - 1)} without it."
                )
    raise UsageError(
        f"{what} must be (n, h, w), (n, h, w, c) or (n, c, h, w) with c = 1 or 3{_reshaped(shape)}."
    )


def _reshaped(shape: tuple[int, ...]) -> str:
    """How flat images could be written, where they may be squares."""
    if len(shape) != 2:
        return ""
    for channels in (1, 3):
        side = math.isqrt(shape[1] // channels)
        if channels * side * side == shape[1]:
            axes = f"{side}, {side}" if channels == 1 else f"{side}, {side}, 3"
            return f"; if these are squares, write images.reshape(-1, {axes})"
    return "; write images.reshape(-1, h, w)"
