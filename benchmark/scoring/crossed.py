"""Trained methods that draw images for each other, as `model_centrality` asks for them.

No data set is needed: each model is read on what the others draw.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from disbench.benchmark.scoring.encoding import CHUNK, encode, representation
from disbench.benchmark.scoring.generators import latents_of
from disbench.errors import UsageError
from disbench.metrics.arrays import Floats, Ints
from disbench.metrics.model_centrality import Generator
from disbench.models import Method


def encoder(method: Method, device: torch.device) -> Callable[[Tensor], Floats]:
    """A method as a function of images (n, c, h, w) to codes (n, d)."""
    represent = representation(method, device)
    return lambda images: encode(represent, lambda rows: images[rows], np.arange(len(images))).codes


def generator(method: Method, device: torch.device, name: str) -> Generator | None:
    """A method as the generator of votes; None if it cannot draw images of codes.

    Args:
        method: on `device`.
        device: where it draws, with random numbers of that device.
        name: of the model, for errors.
    """
    method.eval()
    with torch.no_grad():
        sampled = method.sample_latents(method.noise(1, torch.Generator(device)))
    if sampled is None:
        return None
    codes = sampled[1]

    @torch.no_grad()
    def draw(held: Ints, batch: int, rng: np.random.Generator) -> Tensor:
        numbers = torch.Generator(device).manual_seed(int(rng.integers(2**63)))
        latents = hold(latents_of(method, len(held) * batch, numbers), codes, held, batch)
        images = torch.cat([method.generate(part) for part in torch.split(latents, CHUNK)])
        if not torch.isfinite(images).all():
            raise UsageError(f"{name} draws images with NaN or infinite values; the model has diverged.")
        return images

    return Generator(len(codes), draw)


def hold(latents: Tensor, codes: Sequence[range], held: Ints, batch: int) -> Tensor:
    """Latents (V * B, l) of votes in which one code has the value of the vote's first row.

    Args:
        latents: (V * B, l), drawn independently.
        codes: the columns of each code.
        held: (V,) the code that each vote holds.
        batch: number B of rows per vote.
    """
    votes = latents.reshape(len(held), batch, -1).clone()
    for code, columns in enumerate(codes):
        own = torch.from_numpy(np.flatnonzero(held == code)).to(latents.device)
        block = votes[own]
        block[:, :, list(columns)] = block[:, :1, list(columns)]
        votes[own] = block
    return votes.flatten(0, 1)
