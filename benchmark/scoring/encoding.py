"""Codes of images: by a method in evaluation mode, or by whatever makes codes of images, part by part."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor

from disbench.benchmark.scoring.encoded import Encoded, Progress
from disbench.benchmark.scoring.files import LIMIT
from disbench.errors import UsageError, argument
from disbench.metrics.arrays import Floats, Ints
from disbench.metrics.conversion import as_array
from disbench.metrics.live import sound
from disbench.models import Method
from disbench.units import memory

# from images (b, c, h, w) to codes (b, d), or to codes and log-variances
Represent = Callable[[Tensor], Tensor | tuple[Tensor, Tensor] | None]
WHAT = ("codes", "log-variances")
# images encoded at a time: what a layer gives for them fits into a core's cache, or fills a GPU
CHUNK, CHUNK_ON_GPU = 256, 4096


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """One thread for torch within the block: the last digits of codes depend on how many there are."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def representation(method: Method, device: torch.device) -> Callable[[Tensor], Tensor]:
    """`represent` of a method on a device, in evaluation mode, for images (b, c, h, w) from anywhere."""
    method.eval()
    return lambda images: method.represent(images.to(device, memory_format=torch.channels_last))


def posterior(method: Method, device: torch.device) -> Callable[[Tensor], tuple[Tensor, Tensor] | None]:
    """Likewise `gaussians`, the mean and log-variance of each code."""
    method.eval()
    return lambda images: method.gaussians(images.to(device, memory_format=torch.channels_last))


def encode(
    represent: Represent,
    images: Callable[[Ints], Tensor],
    rows: Ints,
    progress: Progress | None = None,
    chunk: int = 0,
) -> Encoded:
    """The codes (len(rows), d) of the images in these rows, and their log-variances if these come along.

    Args:
        represent: from images (b, c, h, w) to codes (b, d), or to codes and log-variances.
        images: from row numbers (b,) to images.
        rows: (n,) row numbers.
        progress: called after each part.
        chunk: images at a time; 0 for `CHUNK`.

    Raises:
        UsageError: a code is not a number, some images have more codes than others, or all codes together are
            more than is read of a file.
    """
    # One array for all: the parts, kept one by one, would keep a network's memory from being used again.
    whole: list[Floats] = []
    chunk = chunk or CHUNK
    with torch.no_grad():
        for start in range(0, len(rows), chunk):
            given = represent(images(rows[start : start + chunk]))
            parts = [
                as_array(part, f"the encoder's {what}").astype(np.float32, copy=False)
                for part, what in zip(given if isinstance(given, tuple) else (given,), WHAT, strict=False)
            ]
            if start == 0:
                d, size = math.prod(parts[0].shape[1:]), sum(4 * math.prod(part.shape[1:]) for part in parts)
                if (total := size * len(rows)) > LIMIT:
                    raise UsageError(
                        f"the encoder gives {d:,} codes for each of {len(rows):,} images, {memory(total)} in "
                        f"all, more than the {memory(LIMIT)} that are scored; is it the right output "
                        f"({argument('output')})?"
                    )
                whole = [np.empty((len(rows), *part.shape[1:]), np.float32) for part in parts]
            for part, table in zip(parts, whole, strict=True):
                if part.shape[1:] != table.shape[1:]:
                    raise UsageError(
                        f"the encoder gave codes of shape {table.shape[1:]} for the first images and of "
                        f"shape {part.shape[1:]} from row {rows[start]:,} on; it must give the same for all."
                    )
                table[start : start + chunk] = part
            if progress:
                progress("encoding", min(start + chunk, len(rows)), len(rows))
    for i, (table, what) in enumerate(zip(whole, WHAT, strict=False)):
        known = sound(table) if i else np.isfinite(table)
        if not known.all():
            bad = int((~known).any(axis=1).sum())
            raise UsageError(
                f"{bad} of {len(table)} {what} hold NaN or infinite values; the model has diverged."
            )
    codes = whole[0] if whole else np.empty((0, 0), np.float32)
    return Encoded(codes, whole[1] if len(whole) > 1 else None)
