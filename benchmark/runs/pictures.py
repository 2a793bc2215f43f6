"""Latent traversals as PNG and GIF, and grids of images."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from torch import Tensor

from disbench.benchmark.datasets import Dataset
from disbench.benchmark.scoring import generators, oracles
from disbench.benchmark.scoring.decoders import Walk
from disbench.benchmark.scoring.generators import Generator
from disbench.benchmark.training.seeds import stream
from disbench.errors import UsageError, argument
from disbench.files import write_atomically
from disbench.models import Method

# (h, w, 3).
Pixels = NDArray[np.uint8]
# Pixels between tiles, left of a row for its name, and of the side of the smallest tile.
GAP, LABEL, TILE = 2, 64, 64
# Height of a line under a tile, and samples in a row.
LINE, COLUMNS = 11, 10
# For each row and tile its lines.
Captions = Sequence[Sequence[Sequence[str]]]
PAPER, INK = 255, (40, 40, 40)


def starting_row(data: Dataset) -> int:
    """Row of the image that a traversal starts from: the middle of the factor grid, or of the data set."""
    if data.factor_sizes is None:
        return len(data) // 2
    return int(data.grid.rows(np.array([n // 2 for n in data.factor_sizes])))


@torch.no_grad()
def traversal(
    method: Method | Walk,
    data: Dataset,
    device: torch.device,
    steps: int = 10,
    ends: tuple[float, float] | None = None,
    start: int | None = None,
) -> tuple[list[str], Tensor]:
    """Names of the codes, and pictures (rows, steps, c, h, w) in which one code at a time varies.

    Args:
        method: the trained method, set to evaluation mode; or a stranger's decoder.
        data: the data set that it was trained on.
        device: of the method.
        steps: number of pictures per code.
        ends: first and last value of each real code; None for the method's own.
        start: row of the image to start from; None for `starting_row`.

    Raises:
        UsageError: `ends` for a method whose traversal takes none.
    """
    method.eval()
    image = data.images(np.array([starting_row(data) if start is None else start])).to(device)
    generator = torch.Generator(device).manual_seed(stream(0, "traversal"))
    given = {} if ends is None else {"ends": ends}
    if given and "ends" not in inspect.signature(method.traverse).parameters:
        raise UsageError(
            f"{type(method).__name__}.traverse takes no `ends`, so that its range cannot be chosen; omit "
            f"{argument('range')}."
        )
    labels, pictures = method.traverse(image, method.noise(1, generator), steps, **given)
    return labels, pictures.cpu()


def tiles(pictures: Tensor) -> Pixels:
    """(..., c, h, w) in [0, 1] as (..., h', w', 3) bytes, enlarged to at least `TILE` x `TILE` pixels."""
    scale = max(1, TILE // pictures.shape[-1])
    bytes_ = (pictures.clamp(0, 1) * 255).round().byte().movedim(-3, -1).numpy()
    colours = np.repeat(bytes_, 3, axis=-1) if bytes_.shape[-1] == 1 else bytes_
    return colours.repeat(scale, axis=-3).repeat(scale, axis=-2)


def sheet(rows: Pixels, labels: list[str], captions: Captions | None = None) -> Image.Image:
    """Rows of tiles on one sheet, each row with its name at the left.

    Args:
        rows: (r, s, h, w, 3).
        labels: names of the r rows.
        captions: lines under each tile, as many for all.
    """
    r, s, h, w, _ = rows.shape
    lines = 0 if captions is None else max(len(each) for row in captions for each in row)
    high = h + GAP + lines * LINE
    page = Image.new("RGB", (LABEL + s * (w + GAP), r * high + GAP), (PAPER,) * 3)
    draw = ImageDraw.Draw(page)
    for i, (label, row) in enumerate(zip(labels, rows, strict=True)):
        top = GAP + i * high
        draw.text((4, top + h // 2 - 5), label, fill=INK)
        for j, tile in enumerate(row):
            left = LABEL + j * (w + GAP)
            page.paste(Image.fromarray(tile), (left, top))
            for k, text in enumerate(() if captions is None else captions[i][j]):
                draw.text((left + 2, top + h + k * LINE), text, fill=INK)
    return page


def captions_of(pictures: Tensor, data: Dataset) -> Captions:
    """What the oracle reads in pictures (r, s, c, h, w), three lines each; `legend` says what they are.

    Raises:
        UsageError: no picture of this data set can be read, see `oracles.of_data`.
    """
    of = oracles.of_data(data)
    reading = of.read(pictures.flatten(0, 1).clamp(0, 1).numpy())
    captions = []
    for values, distance, white in zip(reading.factors, reading.distance, reading.white, strict=True):
        wrong = f"{distance:.2f}" if of.oracle.stored.levels else f"{distance:.0f} of {white:.0f}"
        words = [str(value) for value in values]
        half = -(-len(words) // 2)
        captions.append([" ".join(words[:half]), " ".join(words[half:]), wrong])
    s = pictures.shape[1]
    return [captions[i : i + s] for i in range(0, len(captions), s)]


def legend(data: Dataset) -> str:
    """What `captions_of` writes under each picture, in words."""
    names = data.grid.names or tuple(f"factor {k}" for k in range(len(data.grid.sizes)))
    binary = not oracles.of_data(data).oracle.stored.levels
    wrong = "wrong pixels of white ones" if binary else "root of the mean squared difference"
    return f"under each picture: {', '.join(names)} of the nearest image, and {wrong}"


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


def write_sheet(rows: Pixels, labels: list[str], path: Path, captions: Captions | None = None) -> None:
    """Writes a `sheet` as PNG, atomically."""
    page = sheet(rows, labels, captions)
    write_atomically(path, lambda temporary: page.save(temporary, format="PNG"))


def write_samples(generator: Generator, data: Dataset, path: Path, count: int, seed: int, read: bool) -> None:
    """Writes a sheet of samples, ten in a row, as PNG.

    Args:
        generator: draws them.
        data: what they should show.
        path: of the file.
        count: number of samples.
        seed: of the samples.
        read: whether what the oracle reads is written under each.

    Raises:
        UsageError: `read` of data without an oracle, or a model that has diverged.
    """
    drawn = torch.from_numpy(generators.draw(generator, count, f"sheet-{seed}").pictures)
    columns = min(count, COLUMNS)
    # the last row is filled with white
    missing = -count % columns
    captions = None
    if read:
        (written,) = captions_of(drawn[None], data)
        flat = [*written, *([[""] * len(written[0])] * missing)]
        captions = [flat[i : i + columns] for i in range(0, len(flat), columns)]
    shown = torch.cat([drawn, torch.ones(missing, *drawn.shape[1:])]).reshape(-1, columns, *drawn.shape[1:])
    labels = [f"{i * columns}" for i in range(len(shown))]
    write_sheet(tiles(shown), labels, path, captions)


def write_traversal(
    method: Method | Walk,
    data: Dataset,
    device: torch.device,
    stem: Path,
    steps: int = 10,
    ends: tuple[float, float] | None = None,
    start: int | None = None,
    read: bool = False,
) -> tuple[Path, Path]:
    """Writes a traversal as PNG and GIF.

    Args:
        method: the trained method.
        data: the data set that it was trained on.
        device: of the method.
        stem: path of both files without extension.
        steps: number of pictures per code.
        ends: first and last value of each real code; None for the method's own.
        start: row of the image to start from; None for the middle.
        read: whether what the oracle reads is written under each picture of the PNG.

    Returns:
        The two paths.
    """
    labels, pictures = traversal(method, data, device, steps, ends, start)
    rows = tiles(pictures)
    png, gif = stem.with_suffix(".png"), stem.with_suffix(".gif")
    write_sheet(rows, labels, png, captions_of(pictures, data) if read else None)
    first, *rest = frames(rows, labels)
    write_atomically(
        gif,
        lambda path: first.save(path, format="GIF", save_all=True, append_images=rest, duration=120, loop=0),
    )
    return png, gif
