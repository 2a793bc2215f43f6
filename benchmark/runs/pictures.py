"""Latent traversals as PNG and GIF, and grids of images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from disbench.benchmark.datasets import Dataset
from disbench.benchmark.training.seeds import stream
from disbench.files import write_atomically
from disbench.models import Method

# (h, w, 3).
Pixels = NDArray[np.uint8]
# Pixels between tiles, left of a row for its name, and of the side of the smallest tile.
GAP, LABEL, TILE = 2, 64, 64
PAPER, INK = 255, (40, 40, 40)


def starting_row(data: Dataset) -> int:
    """Row of the image that a traversal starts from: the middle of the factor grid, or of the data set."""
    if data.factor_sizes is None:
        return len(data) // 2
    return int(data.grid.rows(np.array([n // 2 for n in data.factor_sizes])))


@torch.no_grad()
def traversal(
    method: Method, data: Dataset, device: torch.device, steps: int = 10
) -> tuple[list[str], Pixels]:
    """Names of the codes, and pictures (rows, steps, h, w, 3) in which one code at a time varies.

    Args:
        method: the trained method; set to evaluation mode.
        data: the data set that it was trained on.
        device: of the method.
        steps: number of pictures per code.
    """
    method.eval()
    image = data.images(np.array([starting_row(data)])).to(device)
    generator = torch.Generator(device).manual_seed(stream(0, "traversal"))
    labels, pictures = method.traverse(image, method.noise(1, generator), steps)
    return labels, tiles(pictures.cpu())


def tiles(pictures: torch.Tensor) -> Pixels:
    """(..., c, h, w) in [0, 1] as (..., h', w', 3) bytes, enlarged to at least `TILE` x `TILE` pixels."""
    scale = max(1, TILE // pictures.shape[-1])
    bytes_ = (pictures.clamp(0, 1) * 255).round().byte().movedim(-3, -1).numpy()
    colours = np.repeat(bytes_, 3, axis=-1) if bytes_.shape[-1] == 1 else bytes_
    return colours.repeat(scale, axis=-3).repeat(scale, axis=-2)


def sheet(rows: Pixels, labels: list[str]) -> Image.Image:
    """Rows of tiles on one sheet, each row with its name at the left.

    Args:
        rows: (r, s, h, w, 3).
        labels: names of the r rows.
    """
    r, s, h, w, _ = rows.shape
    page = Image.new("RGB", (LABEL + s * (w + GAP), r * (h + GAP) + GAP), (PAPER,) * 3)
    draw = ImageDraw.Draw(page)
    for i, (label, row) in enumerate(zip(labels, rows, strict=True)):
        top = GAP + i * (h + GAP)
        draw.text((4, top + h // 2 - 5), label, fill=INK)
        for j, tile in enumerate(row):
            page.paste(Image.fromarray(tile), (LABEL + j * (w + GAP), top))
    return page


def frames(rows: Pixels, labels: list[str]) -> list[Image.Image]:
    """The same as an animation: all codes move at once, each in its own tile, forward and back.

    Args:
        rows: (r, s, h, w, 3).
        labels: names of the r rows.
    """
    steps = [*range(rows.shape[1]), *range(rows.shape[1] - 2, 0, -1)]
    columns = min(len(labels), 5)
    h, w = rows.shape[2:4]
    lines = -(-len(labels) // columns)
    pages = []
    for step in steps:
        page = Image.new("RGB", (columns * (w + GAP) + GAP, lines * (h + 14 + GAP) + GAP), (PAPER,) * 3)
        draw = ImageDraw.Draw(page)
        for i, label in enumerate(labels):
            x, y = GAP + (i % columns) * (w + GAP), GAP + (i // columns) * (h + 14 + GAP)
            draw.text((x + 2, y), label, fill=INK)
            page.paste(Image.fromarray(rows[i, step]), (x, y + 13))
        pages.append(page)
    return pages


@torch.no_grad()
def write_all(method: Method, data: Dataset, device: torch.device, folder: Path) -> None:
    """Writes all pictures that the method has: traversal, reconstructions, samples of each category.

    Args:
        method: the trained method.
        data: the data set that it was trained on.
        device: of the method.
        folder: the folder for the pictures.
    """
    write_traversal(method, data, device, folder / "traversal")
    rng = np.random.default_rng(stream(0, "reconstructions"))
    images = data.images(np.sort(rng.choice(len(data), min(10, len(data)), replace=False))).to(device)
    again = method.reconstruct(images)
    if again is not None:
        write_sheet(
            tiles(torch.stack([images, again]).cpu()), ["image", "again"], folder / "reconstructions.png"
        )
    generator = torch.Generator(device).manual_seed(stream(0, "categories"))
    held = method.categories(method.noise(10, generator))
    if held is not None:
        write_sheet(tiles(held[1].cpu()), held[0], folder / "categories.png")


def write_sheet(rows: Pixels, labels: list[str], path: Path) -> None:
    """Writes a `sheet` as PNG, atomically."""
    write_atomically(path, lambda temporary: sheet(rows, labels).save(temporary, format="PNG"))


def write_traversal(
    method: Method, data: Dataset, device: torch.device, stem: Path, steps: int = 10
) -> tuple[Path, Path]:
    """Writes a traversal as PNG and GIF.

    Args:
        method: the trained method.
        data: the data set that it was trained on.
        device: of the method.
        stem: path of both files without extension.
        steps: number of pictures per code.

    Returns:
        The two paths.
    """
    labels, rows = traversal(method, data, device, steps)
    png, gif = stem.with_suffix(".png"), stem.with_suffix(".gif")
    write_sheet(rows, labels, png)
    first, *rest = frames(rows, labels)
    write_atomically(
        gif,
        lambda path: first.save(path, format="GIF", save_all=True, append_images=rest, duration=120, loop=0),
    )
    return png, gif
