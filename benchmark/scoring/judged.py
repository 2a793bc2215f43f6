"""Judges a generator: how good its pictures are, and how well its codes are the factors.

Of a complete grid (`OnGrid`), whose images an oracle knows:

    quality           what the oracle reads in the pictures, see `metrics.oracle.quality`
    entries           the metrics of disentanglement on codes that were drawn and factors that were read
    effects           which codes move which factors, see `metrics.oracle.sides`
    cycle             r^2 of a code and what the encoder reads back from its picture
    agreement         of the oracle with the encoder, on drawn pictures and on real ones

An encoder gives codes and no factors, so it is read through real images: the factors of the real image whose
codes are nearest, each code divided by its standard deviation over real images. On real images the oracle is
right by construction, so that `agreement_real` is what this way of reading an encoder reaches at best.

Of any data, with features of a network (`ByFeatures`): the distances of `metrics.feature_distances`, over
independent draws of pictures and of real images. And of labelled data with a categorical code (`Followed`):
what each category follows.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from disbench.benchmark import protocols
from disbench.benchmark.datasets.dataset import Dataset
from disbench.benchmark.protocols import MetricChoice
from disbench.benchmark.scoring import apart, encoders, files, generators, interface, oracles, sides
from disbench.benchmark.scoring.classifier import Classifier, load_classifier
from disbench.benchmark.scoring.encoded import Progress
from disbench.benchmark.scoring.encoding import encode
from disbench.benchmark.scoring.entries import Draws, ScoreEntry
from disbench.benchmark.scoring.generators import Generator, Samples
from disbench.benchmark.scoring.plans import BY_COST
from disbench.benchmark.training.seeds import stream
from disbench.errors import UsageError, argument, spelled
from disbench.files import plain
from disbench.metrics.arrays import Floats, Ints, deviation
from disbench.metrics.feature_distances import distances
from disbench.metrics.followed import Followed, followed
from disbench.metrics.oracle import sides as measures
from disbench.metrics.oracle.quality import Quality

# Pictures that are judged, pictures of which each code is drawn anew, and those that an encoder is read on.
PICTURES, MOVED, AGAIN = protocols.PICTURES, 500, 2_000
# With fewer pictures nothing can be said, and more take all memory.
FEWEST, MOST = protocols.FEWEST_PICTURES, protocols.MOST_PICTURES
# Real images through which an encoder is read.
REFERENCE = 10_000
# Independent draws of pictures and real images that are compared by features.
DRAWS = 5
# Pictures of each category or level, levels of a real code, and draws of its prior that tell these.
OF_CATEGORY, LEVELS, OF_PRIOR = 200, 10, 10_000


@dataclass(frozen=True)
class OnGrid:
    """What an oracle knows of a generator.

    Attributes:
        n: number of pictures.
        how: how they were read, in words.
        quality: of the pictures.
        spread: the standard deviation of each share of the quality, over draws of as many pictures; empty of
            few pictures.
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
    spread: Mapping[str, float]
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
                "spread": _numbers(self.spread),
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


@dataclass(frozen=True)
class ByFeatures:
    """Pictures and real images, compared by features.

    Attributes:
        net: the network in words, with a hash of its weights or of its file.
        n: pictures of each draw, and as many real images.
        d: number of features.
        values: of each distance, its values over the draws.
        warnings: what a reader must know of so few.
        assumed: sentences about how the network takes images, before their arguments are spelled.
    """

    net: str
    n: int
    d: int
    values: Mapping[str, Draws]
    warnings: tuple[str, ...]
    assumed: tuple[str, ...] = ()


@dataclass(frozen=True)
class Judged:
    """What is known of a generator; None for what these data or this generator cannot have.

    Attributes:
        grid: by an oracle, of a complete grid.
        features: by features of a network.
        followed: of each code, by name, what it follows.
        classes: names of the classes.
        missing: sentences why something is None.
    """

    grid: OnGrid | None = None
    features: ByFeatures | None = None
    followed: Mapping[str, Followed] | None = None
    classes: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()

    def plain(self, spell: Callable[[str], str] = str) -> dict[str, object]:
        """Everything as plain values for JSON."""
        features, follows = self.features, self.followed
        if features is not None:
            features = replace(features, assumed=tuple(spelled(note, spell) for note in features.assumed))
        return {
            "generator": None if self.grid is None else self.grid.plain(spell),
            "features": None if features is None else plain(asdict(features)),
            "followed": None if follows is None else plain({k: asdict(v) for k, v in follows.items()}),
            "missing": [spelled(sentence, spell) for sentence in self.missing],
        }


def judge(
    generator: Generator,
    data: Dataset,
    choices: Sequence[MetricChoice],
    *,
    n: int = PICTURES,
    features: Path | None = None,
    wanted: interface.Wanted | None = None,
    data_dir: Path | None = None,
    progress: Progress | None = None,
    jobs: int = 1,
) -> Judged:
    """Draws pictures and judges them by all means that these data have.

    Args:
        generator: draws them.
        data: what they should show.
        choices: metrics of disentanglement, for a complete grid.
        n: number of pictures.
        features: file of a network that gives features of images; None for the frozen classifier of labelled
            data.
        wanted: how that network takes images.
        data_dir: folder of the classifiers.
        progress: called during long work.
        jobs: processes for the metrics that can use several.

    Raises:
        UsageError: nothing can be judged, the model has diverged, or a file does not fit.
    """
    grid, by_features, follows, missing = None, None, None, []
    classes: tuple[str, ...] = ()
    # before the pictures are read, which may take minutes
    net = None if features is None else feature_net(features, data, wanted or interface.Wanted(), data_dir)
    if data.factor_sizes is not None:
        try:
            oracles.of_data(data)
        except UsageError as error:
            missing.append(error.marked)
        else:
            grid = on_grid(generator, data, choices, n=n, progress=progress, jobs=jobs)
    classifier: Classifier | None = None
    if data.labels is not None:
        try:
            classifier = load_classifier(data.name, size=data.side("a classifier"), data_dir=data_dir)
        except UsageError as error:
            missing.append(error.marked)
    if net is None and classifier is not None:
        known = f"classifier of {classifier.data}, sha256 {classifier.sha256[:12]}"
        net = FeatureNet(known, classifier.net.features)
    if net is not None:
        by_features = compared(generator, data, net, n)
    elif grid is None and not missing:
        missing.append(
            f"{data.name} has neither a factor grid nor classes; give a network with {argument('features')}"
        )
    if classifier is not None and len(generator.codes):
        follows, classes = what_follows(generator, classifier), classifier.classes
    if grid is None and by_features is None and follows is None:
        raise UsageError("; ".join(missing))
    return Judged(grid, by_features, follows, classes, tuple(missing))


@dataclass(frozen=True)
class FeatureNet:
    """A network that gives features of images.

    Attributes:
        name: in words, with a hash.
        features: (b, d) of images (b, c, h, w) in [0, 1].
        assumed: sentences about how it takes them, before their arguments are spelled.
    """

    name: str
    features: Callable[[Tensor], Tensor]
    assumed: tuple[str, ...] = ()

    def of(self, images: Callable[[Ints], Tensor], rows: Ints) -> Floats:
        """The features (n, d) of the images in these rows.

        Raises:
            UsageError: some are no numbers.
        """
        try:
            return encode(self.features, images, rows).codes
        except UsageError as error:
            # whose sentences are of the codes of a model
            raise UsageError(f"the features of {self.name}: {error.marked}") from None


def feature_net(path: Path, data: Dataset, wanted: interface.Wanted, data_dir: Path | None) -> FeatureNet:
    """A network in a file, with its name and hash; run as strangers' encoders are.

    Raises:
        UsageError: no exported network, or it does not take these images.
    """
    kind = files.recognise(path)
    if kind not in encoders.FORMATS:
        raise UsageError(
            f"{path} is no exported network; give {argument('features')} as torch.export (pt2), TorchScript "
            "or ONNX."
        )
    size = wanted.size or data.side("a network of features")
    wanted = interface.Wanted(wanted.input_range, wanted.layout, size)
    encoder, assumed = interface.fit(apart.network(path, kind), wanted, data.name, data_dir, alone=True)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    name = f"{path.name}, sha256 {digest[:12]}"
    return FeatureNet(name, encoder.represent, tuple(f"{path.name}: {note}" for note in assumed))


def compared(generator: Generator, data: Dataset, net: FeatureNet, n: int) -> ByFeatures:
    """Distances of n pictures and n real images by features, over independent draws of both.

    Raises:
        UsageError: the features are no numbers, or the same for all real images.
    """
    n = min(n, len(data))
    found = []
    for draw in range(DRAWS):
        samples = generators.draw(generator, n, f"samples/draw-{draw}")
        rng = np.random.default_rng(stream(0, f"real draws/draw-{draw}"))
        rows = rng.choice(len(data), n, replace=False)
        y, x = net.of(samples.images, np.arange(n)), net.of(data.images, rows)
        if (x == x[:1]).all():
            # any pictures would be as good as these
            raise UsageError(
                f"the {x.shape[1]} features of {net.name} are the same for all {n:,} real images, so that no "
                f"pictures can be compared; is the input range right ({argument('input_range')})?"
            )
        found.append(distances(x, y, rng))
    values = {name: Draws.of([each.values[name] for each in found]) for name in found[0].values}
    notes = list(found[0].warnings)
    if DRAWS * n > len(data):
        notes.append(
            f"{DRAWS} draws of {n:,} of {len(data):,} real images share images, so that their spread is that "
            "of the pictures more than of the data"
        )
    return ByFeatures(net.name, n, found[0].d, values, tuple(notes), net.assumed)


def what_follows(generator: Generator, classifier: Classifier) -> dict[str, Followed]:
    """For each code, what it follows: the same other latents with each of its categories or levels."""
    many = generators.drawn(generator, OF_PRIOR, "levels")
    found = {}
    for name, code in zip(code_names(generator), generator.codes, strict=True):
        columns = list(code)
        base = generators.drawn(generator, OF_CATEGORY, "categories")
        if len(columns) > 1:
            values = torch.eye(len(columns), device=base.device, dtype=base.dtype)
        else:
            # the middles of parts of equal probability
            middles = (torch.arange(LEVELS, device=base.device, dtype=base.dtype) + 0.5) / LEVELS
            values = torch.quantile(many[:, columns[0]], middles)[:, None]
        level = np.arange(len(values)).repeat(OF_CATEGORY)
        latents = base.repeat(len(values), 1)
        latents[:, columns] = values[torch.from_numpy(level).to(base.device)]
        pictures = generator.pictures(latents)
        label = classifier(torch.from_numpy(pictures)).numpy()
        found[name] = followed(level, label, pictures.mean(axis=1))
    return found


def on_grid(
    generator: Generator,
    data: Dataset,
    choices: Sequence[MetricChoice],
    *,
    n: int = PICTURES,
    draws: int = BY_COST,
    progress: Progress | None = None,
    jobs: int = 1,
) -> OnGrid:
    """Draws pictures and has an oracle read them.

    Args:
        generator: draws them.
        data: the grid that they should show.
        choices: metrics of disentanglement.
        n: number of pictures.
        draws: of each metric, from the same pictures; by cost with their chance, see `scoring.score`.
        progress: called during long work.
        jobs: processes for the metrics that can use several.

    Raises:
        UsageError: the data set is no grid, its pictures cannot be read, or the model has diverged.
    """
    seen = sides.look(generator, data, n, progress=progress)
    of, samples, reading = seen.of, seen.samples, seen.reading
    of_pictures = {choice.shown: choice for choice in (_of(choice, n) for choice in choices)}
    entries = sides.of_pictures(seen, list(of_pictures.values()), progress, jobs, draws)
    d = len(generator.codes)
    few = generators.first(samples, min(MOVED, n))
    latents = torch.cat([generators.moved(generator, few, code) for code in range(d)])
    told = None if progress is None else functools.partial(progress, "moving codes")
    anew = of.read(generator.pictures(latents), progress=told).factors.reshape(d, len(few.codes), -1)
    effects = measures.effects(reading.factors[: len(few.codes)], anew, of.oracle.symmetry)
    names = of.names
    none: Floats = np.empty(0)
    cycle, drawn, real = none, none, none
    if generator.encode is not None:
        cycle, drawn, real = _encoder_side(generator, data, of, samples, reading.factors)
    return OnGrid(
        n,
        of.note,
        seen.quality,
        {name: _spread(seen, name) for name in seen.quality.shares} if seen.parts else {},
        tuple(entries),
        seen.dropped,
        code_names(generator),
        names,
        effects,
        cycle,
        *(dict(zip(names, each.tolist(), strict=True)) if len(each) else {} for each in (drawn, real)),
    )


def _spread(seen: sides.Seen, share: str) -> float:
    """The spread of one share of the quality; NaN where there is none."""
    found = seen.spread(lambda quality: quality.shares[share])
    return float("nan") if found is None or found.std is None else found.std


def _of(choice: MetricChoice, n: int) -> MetricChoice:
    """A metric of the generator by n pictures."""
    return choice.model_copy(update={"pictures": n})


def code_names(generator: Generator) -> tuple[str, ...]:
    """z0, z1, ... for real codes, and k0, k1, ... for categorical ones with the number of categories.

    A method may have other symbols than these.
    """
    of_real, of_categorical = generator.symbols
    names, real, categorical = [], 0, 0
    for code in generator.codes:
        if len(code) > 1:
            names.append(f"{of_categorical}{categorical} of {len(code)}")
            categorical += 1
        else:
            names.append(f"{of_real}{real}")
            real += 1
    return tuple(names)


def is_real(name: str) -> bool:
    """Whether one of `code_names` is that of a real code."""
    return " of " not in name


def _encoder_side(
    generator: Generator, data: Dataset, of: oracles.DataOracle, samples: Samples, factors: Ints
) -> tuple[Floats, Floats, Floats]:
    """Cycle of each code, and agreement of each factor on drawn and on real pictures."""
    from sklearn.neighbors import NearestNeighbors

    assert generator.encode is not None
    few = min(AGAIN, len(samples.codes))
    again = encode(generator.encode, samples.images, np.arange(few)).codes.astype(np.float64)
    rng = np.random.default_rng(stream(0, "encoder read"))
    rows = rng.choice(len(data), min(REFERENCE + AGAIN, len(data)), replace=False)
    # of a small grid a fifth is kept from the images that it is read through
    cut = len(rows) - min(AGAIN, -(-len(rows) // 5))
    reference, unseen = rows[:cut], rows[cut:]
    known = encode(generator.encode, data.images, reference).codes.astype(np.float64)
    held = encode(generator.encode, data.images, unseen).codes.astype(np.float64)
    spread = deviation(known)
    live = spread > 0
    same = again.shape[1] == len(generator.codes)
    back = measures.cycle(samples.codes[:few], again) if same else np.empty(0)
    k = len(of.oracle.given.sizes)
    if not live.any():
        return back, np.full(k, np.nan), np.full(k, np.nan)
    near = NearestNeighbors(n_neighbors=1).fit(known[:, live] / spread[live])

    def read(codes: Floats) -> Ints:
        place = near.kneighbors(codes[:, live] / spread[live], return_distance=False)[:, 0]
        return of.oracle.factors(reference[place])

    symmetry = of.oracle.symmetry
    return (
        back,
        measures.agreement(read(again), factors[:few], symmetry),
        measures.agreement(read(held), of.oracle.factors(unseen), symmetry),
    )
