"""One picture of many images of a data set."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from disbench.benchmark.datasets.dataset import Dataset
from disbench.files import replacing, unwritable


def write(dataset: Dataset, out: Path, columns: int, seed: int) -> str:
    """Writes a PNG.

    Args:
        dataset: the data set.
        out: file to write.
        columns: images in a row.
        seed: seed for the choice of random images.

    Returns:
        A description of its rows.

    Raises:
        UsageError: the file cannot be written.
    """
    rows, described = choose(dataset, columns, np.random.default_rng(seed))
    picture = tiles(dataset.images(rows.ravel()).numpy(), columns)
    try:
        with replacing(out.absolute()) as temporary:
            Image.fromarray(picture).save(temporary, format="PNG")
    except OSError as error:
        raise unwritable(out, error) from None
    return described


def choose(dataset: Dataset, columns: int, rng: np.random.Generator) -> tuple[NDArray[np.int64], str]:
    """Rows (r, columns) of the data set to draw, and a description of them."""
    if dataset.factor_sizes is not None:
        grid = dataset.grid
        middle = np.array(grid.sizes) // 2
        lines = []
        for k in grid.varying:
            factors = np.tile(middle, (columns, 1))
            factors[:, k] = np.linspace(0, grid.sizes[k] - 1, columns).round()
            lines.append(grid.rows(factors))
        varied = ", ".join(grid.names[k] for k in grid.varying)
        return np.stack(lines), f"one factor varied in each row, from the top: {varied}"
    if dataset.labels is not None:
        present = np.unique(dataset.labels)
        picked = [rng.choice(np.flatnonzero(dataset.labels == k), columns) for k in present]
        return np.stack(picked), "one class in each row, in their order"
    return rng.integers(0, len(dataset), (columns, columns)), "images drawn at random"


def tiles(images: NDArray[np.float32], columns: int) -> NDArray[np.uint8]:
    """Images (r * columns, c, h, w) in [0, 1] as one picture with a grey line between them."""
    n, _, h, w = images.shape
    framed = np.full((n, 3, h + 1, w + 1), 128, np.uint8)
    framed[:, :, :h, :w] = np.rint(255 * images).astype(np.uint8)
    lines = framed.reshape(n // columns, columns, 3, h + 1, w + 1)
    return np.ascontiguousarray(lines.transpose(0, 3, 1, 4, 2).reshape(-1, columns * (w + 1), 3))
