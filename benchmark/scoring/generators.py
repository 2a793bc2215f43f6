"""Whatever draws pictures from codes, and what can be measured on them.

A `Generator` is a trained method, or a decoder that someone trained (`decoders`). `draw` makes `Samples`:
latents as they are drawn in training, the codes among them, and the pictures. Of a data set that is a
complete grid, an oracle reads the factors of each picture. With codes on the one side and factors on the
other every metric of disentanglement applies as it is, see `as_data`: this is how well the *generator* is
disentangled, and no encoder takes part in it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from disbench.benchmark.datasets.dataset import Dataset
from disbench.benchmark.scoring import tables
from disbench.benchmark.scoring.encoding import CHUNK, representation
from disbench.benchmark.scoring.oracles import DataOracle, Pictures
from disbench.benchmark.training.seeds import stream
from disbench.errors import UsageError
from disbench.metrics.arrays import Bools, Floats, Ints
from disbench.metrics.factors import Factors
from disbench.models import Method

# What rounding may add to a range.
ROUNDING = 1e-4


@dataclass(frozen=True)
class Generator:
    """Draws pictures.

    Attributes:
        name: for errors.
        latents: (n, l) of n independent draws, as in training, from random numbers.
        codes: the columns of each code; all others are noise.
        generate: from latents (b, l) to pictures (b, c, h, w).
        encode: from pictures (b, c, h, w) to codes (b, d); None if there is no encoder.
        device: of the latents.
        symbols: of real and of categorical codes, in their names.
    """

    name: str
    latents: Callable[[int, torch.Generator], Tensor]
    codes: Sequence[range]
    generate: Callable[[Tensor], Tensor]
    encode: Callable[[Tensor], Tensor] | None
    device: torch.device
    symbols: tuple[str, str] = ("z", "k")

    def table(self, latents: Tensor) -> Floats:
        """Codes (n, d) of latents (n, l): a real one is its number, a categorical one its largest column."""
        columns = [
            latents[:, list(code)].argmax(1) if len(code) > 1 else latents[:, code[0]] for code in self.codes
        ]
        table: Floats = torch.stack([column.double() for column in columns], 1).cpu().numpy()
        return table

    @torch.no_grad()
    def pictures(self, latents: Tensor) -> Pictures:
        """Pictures (n, c, h, w) in [0, 1] of latents (n, l), some at a time.

        Raises:
            UsageError: they are not numbers, since the model has diverged, or not in [0, 1].
        """
        drawn = torch.cat([self.generate(part).float().cpu() for part in torch.split(latents, CHUNK)])
        if not torch.isfinite(drawn).all():
            raise UsageError(f"{self.name} draws images with NaN or infinite values; the model has diverged.")
        low, high = float(drawn.min()), float(drawn.max())
        if low < -ROUNDING or high > 1 + ROUNDING:
            raise UsageError(
                f"{self.name} draws pixels from {low:.3g} to {high:.3g}, and those of a picture are in "
                "[0, 1]; let `generate` of its method end in a sigmoid, or bring a tanh to [0, 1]."
            )
        pictures: Pictures = drawn.clamp(0, 1).numpy()
        return pictures


def of_method(method: Method, device: torch.device, name: str) -> Generator:
    """A trained method as a generator.

    Args:
        method: on `device`; set to evaluation mode.
        device: where it draws.
        name: of the model, for errors.

    Raises:
        UsageError: it cannot draw images of codes.
    """
    method.eval()
    with torch.no_grad():
        sampled = method.sample_latents(method.noise(1, torch.Generator(device)))
    if sampled is None:
        raise UsageError(
            f"{name} is of a method that cannot draw images: it has no `sample_latents`; score its codes "
            "alone"
        )
    return Generator(
        name,
        lambda n, numbers: latents_of(method, n, numbers),
        sampled[1],
        method.generate,
        representation(method, device),
        device,
        (method.TRAVERSED, method.CATEGORICAL),
    )


@torch.no_grad()
def latents_of(method: Method, n: int, numbers: torch.Generator) -> Tensor:
    """Latents (n, l) of a method that can draw, in parts: the noise of a step may hold whole pictures."""
    parts = []
    for start in range(0, n, CHUNK):
        sampled = method.sample_latents(method.noise(min(CHUNK, n - start), numbers))
        # whoever calls has asked before
        assert sampled is not None
        parts.append(sampled[0])
    return torch.cat(parts)


@dataclass(frozen=True)
class Samples:
    """Pictures that a generator drew.

    Attributes:
        latents: (n, l).
        codes: (n, d).
        pictures: (n, c, h, w) in [0, 1].
    """

    latents: Tensor
    codes: Floats
    pictures: Pictures

    def images(self, rows: Ints) -> Tensor:
        """The pictures of the rows (b,), as a data set has its images."""
        return torch.from_numpy(self.pictures[rows])


def draw(generator: Generator, n: int, name: str = "samples") -> Samples:
    """n pictures, from the stream of random numbers of that name: the same for every model."""
    latents = drawn(generator, n, name)
    return Samples(latents, generator.table(latents), generator.pictures(latents))


def drawn(generator: Generator, n: int, name: str) -> Tensor:
    """Latents (n, l) from the stream of random numbers of that name: the same for every model."""
    return generator.latents(n, torch.Generator(generator.device).manual_seed(stream(0, name)))


def moved(generator: Generator, samples: Samples, code: int) -> Tensor:
    """Latents (n, l) of the same draws with one code drawn anew, for the rows of `samples`."""
    anew = drawn(generator, len(samples.latents), f"moved {code}")
    latents, columns = samples.latents.clone(), list(generator.codes[code])
    latents[:, columns] = anew[:, columns]
    return latents


def first(samples: Samples, n: int) -> Samples:
    """The first n of them."""
    return Samples(samples.latents[:n], samples.codes[:n], samples.pictures[:n])


@dataclass(frozen=True)
class Read:
    """Samples whose factors were read, as a source of codes with the data that they are of.

    Attributes:
        source: has the codes.
        data: factors of each picture, of which a metric may hold one.
    """

    source: tables.Stored
    data: Dataset


def as_data(codes: Floats, factors: Ints, of: DataOracle, name: str, keep: Bools) -> Read:
    """Codes and read factors as a source and a data set, without the pictures that cannot be read.

    Args:
        codes: (n, d).
        factors: (n, k), read.
        of: the oracle that read them.
        name: of the data, in words.
        keep: (n,) which pictures count.

    Raises:
        UsageError: fewer than two are left.
    """
    if keep.sum() < 2:
        raise UsageError(
            f"{name}: {int(keep.sum())} of {len(keep):,} pictures can be read, too few for a score"
        )
    z, v = codes[keep], factors[keep]
    digest = hashlib.sha256(np.ascontiguousarray(z).tobytes() + np.ascontiguousarray(v, "<i8").tobytes())
    data = Dataset(
        name,
        digest.hexdigest(),
        tables.NoImages(len(z)),
        factor_names=of.names,
        factor_table=Factors.whole(v, of.names),
    )
    return Read(tables.Stored(z, np.arange(len(z))), data)
