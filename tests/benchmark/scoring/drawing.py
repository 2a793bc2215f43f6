"""A small dSprites in memory, and a generator that draws it."""

import numpy as np
import torch

from disbench.benchmark.datasets import dsprites
from disbench.benchmark.datasets.dataset import ArrayStorage, Dataset
from disbench.benchmark.scoring import generators, oracles
from disbench.metrics.registry import Grid

GRID = Grid((3, 2, 8, 8), ("shape", "scale", "x", "y"))
CPU = torch.device("cpu")


def small_sprites():
    """3 shapes, 2 scales and 8 x 8 places: a small dSprites in memory."""
    blocks = [
        dsprites.sprites(shape, scale, 3, size=32).reshape(32, 32, 32, 4)[::4, ::4]
        for shape in range(3)
        for scale in (1, 5)
    ]
    images = np.unpackbits(np.concatenate(blocks).reshape(-1, 32, 4), axis=-1)[:, None] * np.uint8(255)
    return Dataset("small", "00", ArrayStorage(images), GRID.names, GRID.sizes)


def renderer(data, turn=None, shapes=3, encodes=True):
    """A generator that looks its pictures up: codes U(-1, 1), cut into the values of each factor."""
    sizes = np.array(data.factor_sizes) // np.array([4 - shapes, 1, 1, 1])

    def factors(latents):
        codes = latents[:, :4].numpy() if turn is None else latents[:, :4].numpy() @ turn
        return np.clip(((codes + 1) / 2 * sizes).astype(int), 0, sizes - 1)

    def encode(images):
        read = oracles.of_data(data).read(images.numpy()).factors
        return torch.from_numpy(read / np.array(data.factor_sizes))

    def latents(n, numbers):
        return 2 * torch.rand(n, 5, generator=numbers) - 1

    def generate(some):
        return data.images(data.grid.rows(factors(some)))

    codes = [range(j, j + 1) for j in range(4)]
    return generators.Generator("it", latents, codes, generate, encode if encodes else None, CPU)
