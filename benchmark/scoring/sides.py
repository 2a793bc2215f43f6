"""Scores the two sides of a model: its encoder by codes of images, its generator by pictures that it draws.

A metric asked for with `pictures` is one of the generator. Its pictures are drawn, an oracle reads their
factors, and then

    a metric of codes      is the same function as for the encoder, on codes that were drawn and factors that
                           were read
    a metric of pictures   says how good they are, see `metrics.oracle.quality`

The spread of the second kind is that of quarters of the pictures, as for a table, see `certainty`; the chance
of noise is known.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from disbench import metrics
from disbench.benchmark.datasets import Dataset
from disbench.benchmark.protocols import MetricChoice
from disbench.benchmark.scoring import certainty, generators, oracles, scoring
from disbench.benchmark.scoring.encoded import Progress, Source
from disbench.benchmark.scoring.entries import Draws, ScoreEntry
from disbench.benchmark.scoring.generators import Generator, Samples
from disbench.benchmark.scoring.measuring import ends_all
from disbench.benchmark.scoring.plans import BY_COST, check_defined
from disbench.benchmark.training.seeds import StoppedError, stream
from disbench.errors import UsageError
from disbench.metrics.oracle import Reading
from disbench.metrics.oracle.quality import Quality, quality

# Quarters of the pictures by which a spread is told.
PARTS = certainty.CHEAP.draws


@dataclass(frozen=True)
class Seen:
    """Pictures of a generator, as an oracle sees them.

    Attributes:
        of: the oracle.
        samples: the pictures, with their codes.
        reading: what the oracle reads in each.
        quality: of all of them.
        data: name of the data set that they should show.
    """

    of: oracles.DataOracle
    samples: Samples
    reading: Reading
    quality: Quality
    data: str

    @property
    def dropped(self) -> int:
        """How many pictures are empty, and left out of `made`."""
        return int((self.quality.kinds == "empty").sum())

    @functools.cached_property
    def parts(self) -> tuple[Quality, ...]:
        """The quality of each of several quarters of the pictures; none of few pictures."""
        if len(self.reading) < certainty.FEWEST:
            return ()
        quarters = [certainty.part(np.arange(len(self.reading)), part) for part in range(PARTS)]
        return tuple(
            _quality(self.of, self.samples.pictures[which], self.reading.part(which), f"part-{part}")
            for part, which in enumerate(quarters)
        )

    def spread(self, number: Callable[[Quality], float]) -> Draws | None:
        """A number of the quarters, with the standard deviation that it has of all pictures."""
        if not self.parts:
            return None
        return Draws.of_parts([number(part) for part in self.parts], certainty.SHARE)

    @functools.cached_property
    def made(self) -> generators.Read:
        """Codes and factors as a source and a data set, without empty pictures.

        Raises:
            UsageError: fewer than two are left.
        """
        seen = self.quality.kinds != "empty"
        name = f"pictures of {self.data}"
        return generators.as_data(self.samples.codes, self.reading.factors, self.of, name, seen)


def _quality(of: oracles.DataOracle, pictures: oracles.Pictures, reading: Reading, name: str = "") -> Quality:
    rng = np.random.default_rng(stream(0, "/".join(["real draws", name]) if name else "real draws"))
    return quality(of.oracle, of.ready(pictures), reading, rng, threshold=of.threshold)


def look(
    generator: Generator,
    data: Dataset,
    n: int,
    draw: int = 0,
    progress: Progress | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> Seen:
    """Draws n pictures and has an oracle read them.

    Args:
        generator: draws them.
        data: the grid that they should show.
        n: number of pictures.
        draw: number of the draw; each has other pictures.
        progress: called while they are read.
        stop: is called every few seconds.

    Raises:
        StoppedError: `stop` returned True.
        UsageError: the data set is no grid, its pictures cannot be read, or the model has diverged.
    """

    def told(done: int, total: int) -> None:
        if stop():
            raise StoppedError
        if progress is not None:
            progress("reading", done, total)

    of = oracles.of_data(data)
    samples = generators.draw(generator, n, f"samples/again-{draw}" if draw else "samples")
    reading = of.read(samples.pictures, progress=told)
    name = f"again-{draw}" if draw else ""
    return Seen(of, samples, reading, _quality(of, samples.pictures, reading, name), data.name)


def of_pictures(
    seen: Seen,
    choices: Sequence[MetricChoice],
    progress: Progress | None = None,
    jobs: int = 1,
    draws: int = BY_COST,
    stop: Callable[[], bool] = lambda: False,
) -> list[ScoreEntry]:
    """One entry for each metric of pictures that were read, see `scoring.score`.

    Args:
        seen: the pictures.
        choices: the metrics.
        progress: called during long work.
        jobs: processes for the metrics that can use several.
        draws: 1 for the score alone, `BY_COST` for its spread as well, from the same pictures.
        stop: is called now and then.

    Raises:
        StoppedError: `stop` returned True.
    """
    entries = []
    for choice in choices:
        if stop():
            raise StoppedError
        try:
            if metrics.get(choice.name).kind == "pictures":
                entries.append(_of_quality(seen, choice, draws))
                continue
            of_codes = choice.model_copy(update={"pictures": None})
            made = seen.made
            (entry,) = scoring.score(made.source, made.data, [of_codes], progress, jobs, draws, stop)
            entries.append(entry.of_generator(choice))
        except (Exception, SystemExit) as error:
            if ends_all(error):
                raise
            entries.append(ScoreEntry.failed(choice, error))
    return entries


def _of_quality(seen: Seen, choice: MetricChoice, draws: int) -> ScoreEntry:
    metric, started = metrics.get(choice.name), time.perf_counter()

    def scored(of: Quality) -> metrics.Score:
        return metric(of, preset=choice.preset, **choice.settings)

    entry = ScoreEntry.measured(choice, scored(seen.quality), None, time.perf_counter() - started)
    if draws != BY_COST:
        return entry
    return replace(entry, draws=seen.spread(lambda of: float(scored(of).score)))


def score(
    source: Source,
    data: Dataset,
    choices: Sequence[MetricChoice],
    progress: Progress | None = None,
    jobs: int = 1,
    draws: int = 1,
    stop: Callable[[], bool] = lambda: False,
    tell: Callable[[str], None] | None = None,
    live: str = "",
    beside: bool = False,
    early: Callable[[ScoreEntry], None] | None = None,
) -> list[ScoreEntry]:
    """One entry for each metric of either side, in their order; the arguments are those of `scoring.score`.

    Several draws of a generator are of other pictures each.
    """
    of_encoder = [choice for choice in choices if choice.pictures is None]
    found: dict[int, ScoreEntry] = {}
    if of_encoder:
        entries = scoring.score(
            source, data, of_encoder, progress, jobs, draws, stop, tell, live, beside, early
        )
        found.update(zip((i for i, c in enumerate(choices) if c.pictures is None), entries, strict=True))
    for n in sorted({choice.pictures for choice in choices if choice.pictures}):
        asked = {i: choice for i, choice in enumerate(choices) if choice.pictures == n}
        draw = functools.partial(
            _drawn, source, data, n=n, progress=progress, jobs=jobs, draws=draws, stop=stop
        )
        found.update(zip(asked, _of_generator(data, list(asked.values()), draw), strict=True))
    return [found[i] for i in range(len(choices))]


def _of_generator(
    data: Dataset,
    choices: Sequence[MetricChoice],
    draw: Callable[[Sequence[MetricChoice]], list[ScoreEntry]],
) -> list[ScoreEntry]:
    """The entries of metrics that ask for pictures; where there can be none, each has the reason."""
    failed = {i: error for i, choice in enumerate(choices) if (error := _undefined(choice, data))}
    left = [choice for i, choice in enumerate(choices) if i not in failed]
    entries: list[ScoreEntry] = []
    if left:
        try:
            entries = draw(left)
        except (Exception, SystemExit) as error:
            if ends_all(error):
                raise
            entries = [ScoreEntry.failed(choice, error) for choice in left]
    others = iter(entries)
    return [
        ScoreEntry.failed(choice, failed[i]) if i in failed else next(others)
        for i, choice in enumerate(choices)
    ]


def _undefined(choice: MetricChoice, data: Dataset) -> UsageError | None:
    try:
        check_defined(choice, data)
    except UsageError as error:
        return error
    return None


def _drawn(
    source: Source,
    data: Dataset,
    choices: Sequence[MetricChoice],
    n: int,
    progress: Progress | None,
    jobs: int,
    draws: int,
    stop: Callable[[], bool],
) -> list[ScoreEntry]:
    generator = source.generator()
    if isinstance(generator, str):
        raise UsageError(generator)
    if draws == BY_COST:
        return of_pictures(
            look(generator, data, n, 0, progress, stop), choices, progress, jobs, BY_COST, stop
        )
    several = [
        of_pictures(look(generator, data, n, draw, progress, stop), choices, progress, jobs, 1, stop)
        for draw in range(draws)
    ]
    first = several[0]
    if draws == 1:
        return first
    return [
        replace(entry, draws=Draws.of([entries[i].score for entries in several]))
        for i, entry in enumerate(first)
    ]
