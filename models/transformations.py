"""Random transformations of batches of images, each image in its own way; the random numbers are arguments.

`rotate_crop_zoom` and `rotate_zoom_bend` make the second view of Elastic-InfoGAN. `translate` and `cut_out`
are put before a discriminator, on real and generated images alike, so that it cannot learn the real ones by
heart: Zhao, Liu, Lin, Zhu & Han, "Differentiable Augmentation for Data-Efficient GAN Training", NeurIPS 2020,
arXiv:2006.10738.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor


def rotate_crop_zoom(x: Tensor, turn: Tensor, zoom: Tensor, rotation: int, amount: float) -> Tensor:
    """The transformation of the authors' code of Elastic-InfoGAN, its library Augmentor's rotate and zoom.

    A whole number of degrees, of which the largest upright rectangle without empty corners is enlarged to the
    whole image (28x28 at 20 degrees: by 1.40 across and 1.75 down); then a zoom about the centre, black where
    the image ends. The authors' elastic distortion on a 1x1 grid moves no pixel, so there is none.

    Deviations: the library interpolates three times, with rounding to bytes between; here it is twice, also
    bicubic. On digits the pictures differ by .008 on average; a rotation to the other side differs by .27.

    Args:
        x: images (B,C,S,S) in [0, 1].
        turn: (B,) in [-1, 1]; uniform numbers give its distribution: 0 degrees are as likely as 1 and -1
            together.
        zoom: (B,) in [-1, 1].
        rotation: largest angle, in degrees.
        amount: largest change of size by the zoom, as a fraction.
    """
    side = x.shape[-1]
    degrees = turn.sign() * (turn.abs() * (rotation + 1)).floor().clamp(max=rotation)
    # in double precision, since it is rounded to pixels
    angle = torch.deg2rad(degrees.double())
    slope = angle.abs().tan()
    reach = side / 2 * (angle.cos() + angle.abs().sin())
    canvas = (side / 2 + reach).ceil() - (side / 2 - reach).floor()
    # the library's formula of the margins; without rounding pixels the rectangle would touch the corners
    across = slope * (canvas - canvas * slope) - slope**2
    down = slope * (canvas - across)
    left, right, top, bottom = (edge.round() for edge in (across, canvas - across, down, canvas - down))

    pixel = torch.arange(side, dtype=torch.float64, device=x.device) + 0.5
    # (B, S), from the middle of the turned canvas
    u = left[:, None] + pixel * ((right - left) / side)[:, None] - canvas[:, None] / 2
    v = top[:, None] + pixel * ((bottom - top) / side)[:, None] - canvas[:, None] / 2
    cos, sin = angle.cos()[:, None, None], angle.sin()[:, None, None]
    u, v = u[:, None, :], v[:, :, None]
    rotated = _interpolate(x, 2 / side * (cos * u - sin * v), 2 / side * (sin * u + cos * v))

    # in hundredths and whole pixels, as in the library
    factor = (100 * (1 + amount * zoom.double())).round() / 100
    enlarged = (side * factor).round()
    offset = ((enlarged - side) / 2).floor()
    at = (pixel + offset[:, None]) / enlarged[:, None] * 2 - 1
    return _interpolate(rotated, at[:, None, :].expand(-1, side, -1), at[:, :, None].expand(-1, -1, side))


def _interpolate(x: Tensor, u: Tensor, v: Tensor) -> Tensor:
    """Pixels of `x` at columns `u` and rows `v`, (B, H, W) each, from -1 to 1: bicubic, black outside."""
    grid = torch.stack([u, v], dim=3).to(x.dtype)
    return F.grid_sample(x, grid, mode="bicubic", padding_mode="zeros", align_corners=False).clamp(0.0, 1.0)


def rotate_zoom_bend(
    x: Tensor, turn: Tensor, zoom: Tensor, bend: Tensor, rotation: float, amount: float, distortion: float
) -> Tensor:
    """Rotation at constant size, zoom and elastic distortion; black from outside the image.

    Args:
        x: images (B,C,H,W) in [0, 1].
        turn: (B,) in [-1, 1].
        zoom: (B,) in [-1, 1].
        bend: (B, 2, 4, 4) in [-1, 1], the displacement of 4x4 points, interpolated between them.
        rotation: largest angle, in degrees.
        amount: largest change of size by the zoom, as a fraction.
        distortion: largest displacement, in sides of the image.
    """
    h, w = x.shape[2:]
    angle, scale = math.radians(rotation) * turn, 1 + amount * zoom
    v = torch.linspace(-1 + 1 / h, 1 - 1 / h, h, dtype=x.dtype, device=x.device)[:, None].expand(h, w)
    u = torch.linspace(-1 + 1 / w, 1 - 1 / w, w, dtype=x.dtype, device=x.device).expand(h, w)
    cos, sin = ((f(angle) / scale)[:, None, None] for f in (torch.cos, torch.sin))
    grid = torch.stack([cos * u - sin * v, sin * u + cos * v], dim=3)  # (B, H, W, 2), from -1 to 1
    bent = F.interpolate(bend, size=(h, w), mode="bilinear", align_corners=True)
    grid = grid + 2 * distortion * bent.permute(0, 2, 3, 1)
    return F.grid_sample(x, grid, mode="bilinear", padding_mode="zeros", align_corners=False)


def translate(x: Tensor, shift: Tensor, black: float) -> Tensor:
    """Images moved by whole pixels, up to an eighth of the side in each direction.

    Args:
        x: (B,C,H,W); gradients pass.
        shift: (B, 2) in [-1, 1], down and across.
        black: value of the pixels that come in.
    """
    h, w = x.shape[2:]
    rows = torch.arange(h, device=x.device) - (_whole(shift[:, :1], 2 * (h // 8)) - h // 8)  # (B, H)
    columns = torch.arange(w, device=x.device) - (_whole(shift[:, 1:], 2 * (w // 8)) - w // 8)  # (B, W)
    v, u = ((2 * at + 1) / side - 1 for at, side in ((rows, h), (columns, w)))
    grid = torch.stack([u[:, None, :].expand(-1, h, -1), v[:, :, None].expand(-1, -1, w)], dim=3)
    moved = F.grid_sample(
        x - black, grid.to(x.dtype), mode="nearest", padding_mode="zeros", align_corners=False
    )
    return moved + black


def _whole(uniform: Tensor, most: int) -> Tensor:
    """Whole numbers from 0 to `most`, equally likely, of uniform numbers in [-1, 1]."""
    return ((uniform + 1) / 2 * (most + 1)).floor().clamp(max=most)


def cut_out(x: Tensor, centre: Tensor, black: float) -> Tensor:
    """Images with a square of half their side painted black; it may reach over the edge.

    Args:
        x: (B,C,H,W); gradients pass elsewhere.
        centre: (B, 2) in [-1, 1], row and column of its middle, from edge to edge.
        black: value of its pixels.
    """
    h, w = x.shape[2:]
    hidden = []
    for at, side in ((centre[:, 0], h), (centre[:, 1], w)):
        middle = _whole(at, side)[:, None]
        pixel = torch.arange(side, device=x.device)
        hidden.append((pixel >= middle - side // 4) & (pixel < middle + side // 4))
    inside = hidden[0][:, None, :, None] & hidden[1][:, None, None, :]
    return torch.where(inside, black, x)
