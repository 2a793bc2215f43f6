"""Latent traversals as PNG and GIF, and grids of images: which pictures a run has, and what they say."""

from __future__ import annotations

import inspect
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from disbench.benchmark.datasets import Dataset
from disbench.benchmark.scoring import generators, oracles
from disbench.benchmark.scoring.decoders import Walk
from disbench.benchmark.scoring.generators import Generator
from disbench.benchmark.training.seeds import stream
from disbench.errors import UsageError, argument
from disbench.files import write_bytes
from disbench.leaderboards import sheets
from disbench.leaderboards.sheets import Sheet
from disbench.metrics import live
from disbench.models import Method, Noise

# File of the samples of each category.
CATEGORIES = "categories.png"
# Samples in a row of a sheet.
COLUMNS = 10
# Images over which the KL of a code is averaged.
IMAGES = 256
# For each row and tile its lines.
Captions = Sequence[Sequence[Sequence[str]]]


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
    read: bool = False,
) -> Sheet:
    """A sheet in which one code at a time varies, below the image from which all start.

    Above the tiles stand the values of the code. Codes that have collapsed come last and are in grey, where
    the method has a posterior that says so.

    Args:
        method: the trained method, set to evaluation mode; or a stranger's decoder.
        data: the data set that it was trained on.
        device: of the method.
        steps: number of pictures per code.
        ends: first and last value of each real code; None for the method's own.
        start: row of the image to start from; None for `starting_row`.
        read: whether what the oracle reads is written under each picture.

    Raises:
        UsageError: `ends` for a method whose traversal takes none, or `read` of data without an oracle.
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
    noise = method.noise(1, generator)
    # a decoder starts from latents, and perhaps from no image
    seed = method.picture() if isinstance(method, Walk) else image
    labels, pictures = method.traverse(image, noise, steps, **given)
    sizes = sizes_of(method, noise, len(labels))
    heads = values_of(sizes, steps, ends or method.span())
    dead = collapsed(method, data, device)
    if len(dead) != len(labels):
        dead = np.zeros(len(labels), bool)
    order = np.argsort(dead, kind="stable")
    captions = captions_of(pictures.cpu(), data) if read else ()
    return Sheet(
        rows=sheets.enlarged(pictures.cpu().numpy())[order],
        labels=[labels[i] for i in order],
        heads=[heads[i] for i in order],
        dim=[bool(dead[i]) for i in order] if dead.any() else (),
        # samples of categories alone start from no image
        start=sheets.enlarged(seed.cpu().numpy())[0] if 1 in sizes else None,
        captions=[captions[i] for i in order] if captions else (),
        note=f"grey: collapsed, KL below {live.KL:g} nats over {IMAGES} images" if dead.any() else "",
    )


def sizes_of(method: Method | Walk, noise: Noise, rows: int) -> list[int]:
    """For each row of a traversal, the number of categories of its code; 1 for a real code.

    Args:
        method: says which of its codes are categories, in the order of the rows.
        noise: of one image.
        rows: number of rows; where the method speaks of other codes, all count as real.
    """
    drawn = method.sample_latents(noise)
    sizes = [len(code) for code in drawn[1]] if drawn is not None else []
    return sizes if len(sizes) == rows else [1] * rows


def values_of(sizes: Sequence[int], steps: int, ends: tuple[float, float]) -> list[list[str]]:
    """What stands above each row of a traversal: the values of a real code, the categories of another.

    Args:
        sizes: categories of each row's code, see `sizes_of`.
        steps: pictures per row.
        ends: first and last value of a real code.
    """
    low, high = ends
    # as many decimals as tell neighbours apart
    decimals = max(0, math.ceil(-math.log10((high - low) / (steps - 1))))
    # no minus before a zero
    values = [f"{value:.{decimals}f}" for value in np.linspace(low, high, steps).round(decimals) + 0.0]
    return [values if k == 1 else [str(i * k // steps) for i in range(steps)] for k in sizes]


def collapsed(method: Method | Walk, data: Dataset, device: torch.device) -> NDArray[np.bool_]:
    """(d,) Which codes have collapsed, by their KL over `IMAGES` images; (0,) without a posterior."""
    rows = np.linspace(0, len(data) - 1, min(IMAGES, len(data))).astype(np.int64)
    posterior = method.gaussians(data.images(rows).to(device))
    if posterior is None:
        return np.zeros(0, bool)
    mean, logvar = (part.cpu().numpy() for part in posterior)
    return np.asarray(live.kl_of_codes(mean, logvar) < live.KL)


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
        captions.append(["  ".join(words[:half]), "  ".join(words[half:]), wrong])
    s = pictures.shape[1]
    return [captions[i : i + s] for i in range(0, len(captions), s)]


def legend(data: Dataset) -> str:
    """What `captions_of` writes under each picture, in words."""
    names = data.grid.names or tuple(f"factor {k}" for k in range(len(data.grid.sizes)))
    binary = not oracles.of_data(data).oracle.stored.levels
    wrong = "wrong pixels of white ones" if binary else "root of the mean squared difference"
    return f"under each picture: {', '.join(names)} of the nearest image, and {wrong}"


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
        both = sheets.enlarged(torch.stack([images, again]).cpu().numpy())
        write_png(Sheet(both, ["image", "again"]), folder / "reconstructions.png")
    generator = torch.Generator(device).manual_seed(stream(0, "categories"))
    held = method.categories(method.noise(10, generator))
    if held is not None:
        write_png(Sheet(sheets.enlarged(held[1].cpu().numpy()), held[0]), folder / CATEGORIES)


def named(stem: Path, ending: str) -> Path:
    """The path with an ending; a dot in its name is none, as in `beta-0.5`."""
    return stem.with_name(f"{stem.name}{ending}")


def write_png(sheet: Sheet, path: Path) -> None:
    """Writes a sheet as PNG, atomically."""
    write_bytes(path, sheets.png(sheet))


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
    captions: Captions = ()
    if read:
        (written,) = captions_of(drawn[None], data)
        flat = [*written, *([[""] * len(written[0])] * missing)]
        captions = [flat[i : i + columns] for i in range(0, len(flat), columns)]
    shown = torch.cat([drawn, torch.ones(missing, *drawn.shape[1:])]).reshape(-1, columns, *drawn.shape[1:])
    labels = [f"{i * columns}" for i in range(len(shown))]
    write_png(Sheet(sheets.enlarged(shown.numpy()), labels, captions=captions), path)


def write_traversal(
    method: Method | Walk,
    data: Dataset,
    device: torch.device,
    stem: Path,
    steps: int = 10,
    ends: tuple[float, float] | None = None,
    start: int | None = None,
    read: bool = False,
) -> Sheet:
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
        The sheet.
    """
    sheet = traversal(method, data, device, steps, ends, start, read)
    write_png(sheet, named(stem, ".png"))
    write_bytes(named(stem, ".gif"), sheets.gif(sheet))
    return sheet
