"""Judges a generator: how good its pictures are, and how well its codes are the factors.

    quality           what the oracle reads in the pictures, see `metrics.oracle.quality`
    entries           the metrics of disentanglement on codes that were drawn and factors that were read
    effects           which codes move which factors, see `metrics.oracle.sides`
    cycle             r^2 of a code and what the encoder reads back from its picture
    agreement         of the oracle with the encoder, on drawn pictures and on real ones

An encoder gives codes and no factors, so it is read through real images: the factors of the real image whose
codes are nearest, each code divided by its standard deviation over real images. On real images the oracle is
right by construction, so that `agreement_real` is what this way of reading an encoder reaches at best.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from disbench.benchmark.datasets.dataset import Dataset
from disbench.benchmark.protocols import MetricChoice
from disbench.benchmark.scoring import generators, oracles, scoring
from disbench.benchmark.scoring.entries import ScoreEntry
from disbench.benchmark.scoring.generators import Generator, Samples
from disbench.benchmark.scoring.scoring import Progress
from disbench.benchmark.scoring.trained import encode
from disbench.benchmark.training.seeds import stream
from disbench.metrics.arrays import Floats, Ints, deviation
from disbench.metrics.oracle import sides
from disbench.metrics.oracle.quality import Quality, quality

# Pictures that are judged, pictures of which each code is drawn anew, and those that an encoder is read on.
PICTURES, MOVED, AGAIN = 10_000, 500, 2_000
# Real images through which an encoder is read.
REFERENCE = 10_000


@dataclass(frozen=True)
class Judged:
    """What is known of a generator.

    Attributes:
        n: number of pictures.
        how: how they were read, in words.
        quality: of the pictures.
        entries: scores of the codes that were drawn and the factors that were read.
        dropped: pictures without any reading, which are left out of `entries`.
        codes: what each code is called.
        factors: what each factor is called.
        effects: (d, k) share of each factor's variance that goes with each code.
        cycle: (d,) of each code; empty where the encoder has other codes, or there is none.
        agreement: of each factor, of encoder and oracle on drawn pictures; empty without an encoder.
        agreement_real: the same on real images.
    """

    n: int
    how: str
    quality: Quality
    entries: tuple[ScoreEntry, ...]
    dropped: int
    codes: tuple[str, ...]
    factors: tuple[str, ...]
    effects: Floats
    cycle: Floats
    agreement: Mapping[str, float]
    agreement_real: Mapping[str, float]

    def plain(self, spell: Callable[[str], str] = str) -> dict[str, object]:
        """Everything as plain values for JSON; a number that does not exist is None."""
        quality = self.quality
        return {
            "pictures": self.n,
            "read": self.how,
            "quality": {
                **_numbers(quality.shares),
                "error": _numbers(quality.error),
                "real": _numbers(quality.real),
                "coverage_of": _numbers(quality.coverage),
                "coverage_of_pairs": _numbers(quality.pairs),
                "balance_of": _numbers(quality.balance),
            },
            "without_reading": self.dropped,
            "scores": [entry.plain(spell) for entry in self.entries],
            "codes": list(self.codes),
            "factors": list(self.factors),
            "effects": self.effects.tolist(),
            "cycle": self.cycle.tolist(),
            "agreement": _numbers(self.agreement),
            "agreement_real": _numbers(self.agreement_real),
        }


def _numbers(values: Mapping[str, float]) -> dict[str, float | None]:
    return {name: None if np.isnan(value) else float(value) for name, value in values.items()}


def judge(
    generator: Generator,
    data: Dataset,
    choices: Sequence[MetricChoice],
    *,
    n: int = PICTURES,
    draws: int = 1,
    progress: Progress | None = None,
    jobs: int = 1,
) -> Judged:
    """Draws pictures and judges them.

    Args:
        generator: draws them.
        data: the grid that they should show.
        choices: metrics of disentanglement.
        n: number of pictures.
        draws: of each metric, from the same pictures.
        progress: called during long work.
        jobs: processes for the metrics that can use several.

    Raises:
        UsageError: the data set is no grid, its pictures cannot be read, or the model has diverged.
    """
    of = oracles.of_data(data)
    symmetry = of.oracle.symmetry
    samples = generators.draw(generator, n)
    reading = of.read(samples.pictures)
    rng = np.random.default_rng(stream(0, "real draws"))
    judged = quality(of.oracle, of.ready(samples.pictures), reading, rng, threshold=of.threshold)
    seen = judged.kinds != "empty"
    made = generators.as_data(samples.codes, reading.factors, of, f"pictures of {data.name}", seen)
    entries = scoring.score(made.source, made.data, choices, progress, jobs, draws)
    d = len(generator.codes)
    few = generators.first(samples, min(MOVED, n))
    latents = torch.cat([generators.moved(generator, few, code) for code in range(d)])
    anew = of.read(generator.pictures(latents)).factors.reshape(d, len(few.codes), -1)
    effects = sides.effects(reading.factors[: len(few.codes)], anew, symmetry)
    names = made.data.factor_names
    none: Floats = np.empty(0)
    cycle, drawn, real = none, none, none
    if generator.encode is not None:
        cycle, drawn, real = _encoder_side(generator, data, of, samples, reading.factors)
    return Judged(
        n,
        of.note,
        judged,
        tuple(replace(entry, seconds=entry.seconds) for entry in entries),
        made.dropped,
        code_names(generator),
        names,
        effects,
        cycle,
        dict(zip(names, drawn.tolist(), strict=bool(len(drawn)))),
        dict(zip(names, real.tolist(), strict=bool(len(real)))),
    )


def code_names(generator: Generator) -> tuple[str, ...]:
    """z0, z1, ... for real codes, and k0, k1, ... for categorical ones with the number of categories."""
    names, real, categorical = [], 0, 0
    for code in generator.codes:
        if len(code) > 1:
            names.append(f"k{categorical} of {len(code)}")
            categorical += 1
        else:
            names.append(f"z{real}")
            real += 1
    return tuple(names)


def _encoder_side(
    generator: Generator, data: Dataset, of: oracles.DataOracle, samples: Samples, factors: Ints
) -> tuple[Floats, Floats, Floats]:
    """Cycle of each code, and agreement of each factor on drawn and on real pictures."""
    from sklearn.neighbors import NearestNeighbors

    assert generator.encode is not None
    few = min(AGAIN, len(samples.codes))
    drawn = torch.from_numpy(samples.pictures[:few])
    again = encode(generator.encode, lambda rows: drawn[rows], np.arange(few)).codes.astype(np.float64)
    rng = np.random.default_rng(stream(0, "encoder read"))
    rows = rng.choice(len(data), min(REFERENCE + few, len(data)), replace=False)
    reference, unseen = rows[:-few], rows[-few:]
    known = encode(generator.encode, data.images, reference).codes.astype(np.float64)
    held = encode(generator.encode, data.images, unseen).codes.astype(np.float64)
    spread = deviation(known)
    live = spread > 0
    cycle = sides.cycle(samples.codes[:few], again) if again.shape[1] == len(generator.codes) else np.empty(0)
    k = len(of.oracle.given.sizes)
    if not live.any():
        return cycle, np.full(k, np.nan), np.full(k, np.nan)
    near = NearestNeighbors(n_neighbors=1).fit(known[:, live] / spread[live])

    def read(codes: Floats) -> Ints:
        place = near.kneighbors(codes[:, live] / spread[live], return_distance=False)[:, 0]
        return of.oracle.factors(reference[place])

    symmetry = of.oracle.symmetry
    return (
        cycle,
        sides.agreement(read(again), factors[:few], symmetry),
        sides.agreement(read(held), of.oracle.factors(unseen), symmetry),
    )
