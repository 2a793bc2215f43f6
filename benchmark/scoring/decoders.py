"""Generators from files: checkpoints of disbench, and decoders that someone trained.

A stranger's decoder takes latents (b, l), drawn from a prior that the user names, and gives pictures. It is
read and run as strangers' encoders are: in a process of its own, see `apart`. What its file says about the
number of latents is used, what cannot be known is asked for, and what was assumed is said.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from disbench.benchmark import datasets
from disbench.benchmark.datasets.dataset import Dataset
from disbench.benchmark.scoring import apart, encoders, files, generators, interface, sources
from disbench.benchmark.scoring.encoders import Network
from disbench.benchmark.scoring.generators import ROUNDING, Generator
from disbench.benchmark.scoring.sources import SourceOptions
from disbench.benchmark.scoring.trained import Trained
from disbench.errors import UsageError, argument, unknown
from disbench.models.method import Method, traversal_rows
from disbench.texts import short

PRIORS = ("normal", "uniform")
MOST_LATENTS = 10_000
# Latents whose pictures show the range of a decoder's output.
TRIED = 64
# What rounding may change in a picture between two batches, relative to the largest pixel.
STEADY = 1e-3


@dataclass(frozen=True)
class Latents:
    """What the user said about the latents of a decoder.

    Attributes:
        count: their number; None for what the file says.
        prior: one of `PRIORS`: N(0, 1), or U(-1, 1); "" for the first.

    Raises:
        UsageError: an unknown prior, or no possible number.
    """

    count: int | None = None
    prior: str = ""

    def __post_init__(self) -> None:
        if self.prior not in ("", *PRIORS):
            raise unknown(f"value of {argument('prior')}", self.prior, PRIORS)
        if self.count is not None and not 1 <= self.count <= MOST_LATENTS:
            raise UsageError(
                f"{argument('latents')} {self.count} was given; give 1 to {MOST_LATENTS:,}, the number of "
                "columns that the decoder takes."
            )


@dataclass(frozen=True)
class OpenedGenerator:
    """A generator that was opened, with the data whose pictures it should draw.

    Attributes:
        path: of its file, or what errors call it.
        title: what it is, in words.
        generator: draws pictures.
        data: the data set.
        head: what its JSON begins with.
        protocol: the one that it was trained under, or "".
        notes: sentences about what was found out or assumed, before their arguments are spelled.
        method: the trained method, of a checkpoint; else None.
    """

    path: Path
    title: str
    generator: Generator
    data: Dataset
    head: Mapping[str, object]
    protocol: str = ""
    notes: tuple[str, ...] = ()
    method: Method | None = field(default=None, repr=False)


def open_generator(path: Path, options: SourceOptions, latents: Latents) -> OpenedGenerator:
    """The generator in a file, recognised by its content.

    Args:
        path: of the file.
        options: what the user said about it, as for a source of codes.
        latents: what the user said about the latents of a stranger's decoder.

    Raises:
        UsageError: no generator, damaged, hostile, or not fitting the data or the options.
    """
    kind = files.recognise(path)
    if kind in encoders.FORMATS:
        sources.refuse(path, "a decoder", options, *sources.BUILD, "layout", "input_range", "array")
        if not options.dataset:
            raise UsageError(
                f"{path} does not say what its pictures should show; name the data set with "
                f"{argument('dataset')}."
            )
        network = apart.network(path, kind, decodes=True)
        side = options.wanted.size or _side(network, options.dataset, latents, options.data_dir)
        data = datasets.load(options.dataset, size=side, data_dir=options.data_dir)
        generator, notes = fit(network, data, latents, options.wanted.output)
        title = encoders.FORMATS[kind][0].replace("encoder", "decoder")
        return OpenedGenerator(path, title, generator, data, {"file": str(path), "kind": kind}, "", notes)
    if kind not in files.TENSORS or options.factory:
        raise UsageError(
            f"{path} is no generator; give a checkpoint.pt of a run, a state dict with {argument('method')}, "
            "or a decoder as torch.export (pt2), TorchScript or ONNX."
        )
    for name, given in (("latents", latents.count is not None), ("prior", latents.prior)):
        if given:
            raise UsageError(f"{argument(name)} belongs to a decoder, and {path} knows its latents; omit it.")
    opened = sources.open_source(path, options)
    source = opened.source
    if not isinstance(source, Trained):
        raise UsageError(f"{path} holds {opened.title}, and codes draw no pictures; give a checkpoint.")
    generator = generators.of_method(source.method, source.device, str(path))
    return OpenedGenerator(
        path,
        opened.title,
        generator,
        opened.data,
        opened.head,
        opened.protocol,
        opened.notes,
        source.method,
    )


def fit(network: Network, data: Dataset, latents: Latents, output: str) -> tuple[Generator, tuple[str, ...]]:
    """A stranger's decoder as a generator, and what was found out or assumed.

    Args:
        network: from latents to pictures.
        data: the data set whose pictures it should draw.
        latents: what the user said about them.
        output: name or number of the output that is the pictures; "" if there is one of that size.

    Raises:
        UsageError: the number of latents is not known, or its pictures are not those of the data set.
    """
    count, _ = _count(network, latents.count)

    def draw(n: int, numbers: torch.Generator) -> Tensor:
        if latents.prior != "uniform":
            return torch.randn(n, count, generator=numbers)
        return 2 * torch.rand(n, count, generator=numbers) - 1

    def run(some: Tensor) -> Tensor:
        step, drawn = _batch(network) or len(some), []
        for start in range(0, len(some), step):
            part = some[start : start + step]
            filled = torch.cat([part, part[-1:].expand(step - len(part), count)])
            returned = _returned(network, filled, latents.count)
            drawn.append(_chosen(network, returned, data, output, step)[: len(part)].float())
        return torch.cat(drawn)

    some, others = (draw(TRIED, torch.Generator().manual_seed(seed)) for seed in (0, 1))
    tried = run(some)
    if not tried.isfinite().all():
        raise UsageError(
            f"{network.path} gives pixels that are NaN or infinite; give a decoder that has not "
            f"diverged, and latents that it was trained for ({argument('latents')}, {argument('prior')})."
        )
    _check_steady(network, run, tried, some, others)
    low, high = float(tried.min()), float(tried.max())
    if not (low >= -1 - ROUNDING and high <= 1 + ROUNDING):
        raise UsageError(
            f"{network.path} gives pixels from {low:.3g} to {high:.3g}; export a decoder whose output ends "
            "in a sigmoid, [0, 1], or a tanh, [-1, 1]."
        )
    signed = low < -ROUNDING

    def generate(some: Tensor) -> Tensor:
        pictures = run(some)
        ready = (pictures + 1) / 2 if signed else pictures
        if ready.min() < -ROUNDING or ready.max() > 1 + ROUNDING:
            raise UsageError(
                f"{network.path} gives pixels from {float(pictures.min()):.3g} to "
                f"{float(pictures.max()):.3g}, although its first pictures were in "
                f"{'[-1, 1]' if signed else '[0, 1]'}; export a decoder that ends in a sigmoid or a tanh."
            )
        return ready

    prior = "U(-1, 1)" if latents.prior == "uniform" else "N(0, 1)"
    notes = (
        *network.assumed,
        f"its pictures are {data.shape[2]}x{data.shape[1]} pixels, as those of {data.name}",
        f"{count} latents from {prior} ({argument('latents')}, {argument('prior')}), each of them a code",
        f"its pixels are in {'[-1, 1]' if signed else '[0, 1]'}",
    )
    codes = [range(j, j + 1) for j in range(count)]
    return Generator(str(network.path), draw, codes, generate, None, torch.device("cpu")), notes


def _check_steady(
    network: Network, run: Callable[[Tensor], Tensor], pictures: Tensor, some: Tensor, others: Tensor
) -> None:
    """Refuses pictures that change with the latents around theirs or from call to call.

    Args:
        network: for errors.
        run: from latents (n, l) to pictures.
        pictures: of `some`.
        some: (n, l) latents.
        others: (n, l) further ones, which take the places of half of them.
    """
    # in no order, so that batches of any size hold both, and a picture at another's place is seen
    kept = torch.rand(len(some), generator=torch.Generator().manual_seed(2)) < 0.5
    again = run(torch.where(kept[:, None], some, others))
    if not float((again - pictures)[kept].abs().max()) <= STEADY * max(float(pictures.abs().max()), 1.0):
        raise UsageError(
            f"the picture that {network.path} draws for latents depends on the batch or changes between "
            "calls; export it in evaluation mode (model.eval()), with all that is drawn at random among its "
            "latents."
        )


class Walk:
    """A stranger's decoder as what a traversal takes: one latent at a time moves, the others stay.

    Args:
        opened: the decoder.
        prior: of its latents, as in `Latents`; it gives the usual ends.
        start: (1, l) latents from which every row starts; None for the middle of the prior, zeros.

    Raises:
        UsageError: a start of another number of latents.
    """

    def __init__(self, opened: OpenedGenerator, prior: str, start: Tensor | None = None) -> None:
        self.generator, self.shape = opened.generator, opened.data.shape
        self.ends = (-1.0, 1.0) if prior == "uniform" else (-2.0, 2.0)
        count = len(opened.generator.codes)
        if start is not None and start.shape[1] != count:
            raise UsageError(
                f"{opened.path} takes {count} latents, and {argument('encoder')} gives {start.shape[1]} "
                "codes; give the encoder that it was trained with."
            )
        self.start = torch.zeros(1, count) if start is None else start.float()

    def eval(self) -> None:
        """A decoder is in evaluation mode."""

    def noise(self, batch: int, generator: torch.Generator) -> dict[str, Tensor]:
        """A decoder draws nothing."""
        return {}

    def sample_latents(self, noise: dict[str, Tensor]) -> None:
        """Nothing: every latent is a real number."""

    def gaussians(self, images: Tensor) -> None:
        """Nothing: a decoder has no posterior."""

    def span(self) -> tuple[float, float]:
        """First and last value of a latent, as `Method.span`."""
        return self.ends

    def picture(self) -> Tensor:
        """(1, c, h, w) The picture of the latents from which every row starts."""
        return torch.from_numpy(self.generator.pictures(self.start)).reshape(1, *self.shape)

    def traverse(
        self, image: Tensor, noise: dict[str, Tensor], steps: int, ends: tuple[float, float] | None = None
    ) -> tuple[list[str], Tensor]:
        """Row labels and pictures (rows, steps, c, h, w) in [0, 1], as `Method.traverse`.

        Args:
            image: not looked at; the start is that of the walk.
            noise: not looked at.
            steps: pictures per row.
            ends: first and last value of a latent; None for two standard deviations of a normal prior, or
                all of a uniform one.
        """
        count = self.start.shape[1]
        latents = traversal_rows(self.start, range(count), *(ends or self.ends), steps)
        drawn = torch.from_numpy(self.generator.pictures(latents))
        return [f"z{j}" for j in range(count)], drawn.reshape(count, steps, *self.shape)


def start_of(opened: sources.Opened, row: int) -> Tensor:
    """The code (1, d) of one row of a data set, from what encodes it.

    Args:
        opened: an encoder, a checkpoint, or codes with that row.
        row: number of the row.

    Raises:
        UsageError: it has no code of this row.
    """
    source = opened.source
    if isinstance(source, interface.Encoder):
        with torch.no_grad():
            return source.represent(opened.data.images(np.array([row])))
    if source.rows is not None and row not in source.rows:
        raise UsageError(f"{opened.path} has no code of row {row:,}; give another {argument('start')}.")
    return torch.from_numpy(source.encoded(np.array([row])).codes)


def _count(network: Network, given: int | None) -> tuple[int, tuple[int, ...]]:
    """How many latents a decoder takes, and the sizes of 1 behind them; refuses what nobody can draw."""
    sizes, dtype = network.shape, network.dtype
    if dtype is not None and not dtype.is_floating_point:
        raise UsageError(
            f"{network.path} takes {encoders.named(dtype)}, and latents are real numbers; export a decoder "
            "that takes float32."
        )
    if sizes is None:
        if given is None:
            raise UsageError(
                f"{network.path} does not say how many latents it takes; give {argument('latents')}."
            )
        return given, ()
    if not 2 <= len(sizes) <= 4 or any(size not in (1, None) for size in sizes[2:]):
        raise UsageError(
            f"{network.path} takes {encoders.shape(sizes)}, not latents (b, l); export the decoder alone."
        )
    if sizes[0] is not None and not 0 < sizes[0] <= interface.MOST_AT_ONCE:
        raise UsageError(
            f"{network.path} takes {sizes[0]:,} rows of latents at a time; export it for a free batch size."
        )
    declared = sizes[1]
    if declared is not None and not 0 < declared <= MOST_LATENTS:
        raise UsageError(
            f"{network.path} takes {declared:,} latents; export a decoder that takes 1 to {MOST_LATENTS:,}."
        )
    if declared is None and given is None:
        raise UsageError(
            f"{network.path} takes any number of latents; say how many with {argument('latents')}."
        )
    if given is not None and declared not in (None, given):
        raise UsageError(
            f"{network.path} takes {declared} latents, and {argument('latents')} {given} was given; omit it."
        )
    count = declared if declared is not None else given
    # one of them is known
    assert count is not None
    return count, (1,) * (len(sizes) - 2)


def _batch(network: Network) -> int | None:
    """The number of latents that a network takes at a time; None for any."""
    return network.shape[0] if network.shape is not None else None


def _returned(network: Network, some: Tensor, given: int | None) -> object:
    """What a network gives for latents (b, l); `given` is what the user said of their number."""
    count, tail = _count(network, given)
    try:
        return network.run(some.reshape(len(some), count, *tail).to(network.dtype or torch.float32))
    except UsageError:
        raise
    except Exception as error:
        # whatever a stranger's network raises
        raise UsageError(
            f"{network.path} fails on latents {(len(some), count, *tail)}: {short(error)}"
        ) from None


def _side(network: Network, dataset: str, latents: Latents, data_dir: Path | None) -> int | None:
    """The first size of a data set's images at which a network draws; None for the data set's own."""
    channels, sizes = interface.offered(dataset, None, data_dir)
    if len(sizes) < 2:
        return None
    count, _ = _count(network, latents.count)
    # more than one, since a program may be made for two or more
    some = torch.zeros(_batch(network) or TRIED, count)
    named = encoders.outputs(_returned(network, some, latents.count))
    for height, width in sizes:
        if any(_picture(value, len(some), (channels, height, width)) is not None for _, value in named):
            return height
    return None


def _picture(value: object, batch: int, shape: tuple[int, int, int]) -> Tensor | None:
    """An output as pictures (b, ...) of this shape (c, h, w), channels last or flat as well; None if not."""
    c, h, w = shape
    picture = encoders.as_pictures(value, batch)
    allowed = ((c, h, w), (h, w, c), (c * h * w,), *(((h, w),) if c == 1 else ()))
    return picture if picture is not None and tuple(picture.shape[1:]) in allowed else None


def _chosen(network: Network, returned: object, data: Dataset, output: str, batch: int) -> Tensor:
    """The pictures (b, c, h, w) among what a decoder returned."""
    named = encoders.outputs(returned)
    c, h, w = data.shape
    fitting = {
        name: picture for name, value in named if (picture := _picture(value, batch, (c, h, w))) is not None
    }
    if output not in fitting:
        # by its number, where no output has it for its name
        output = {str(i): name for i, (name, _) in enumerate(named)}.get(output, output)
    if output and output not in fitting:
        raise unknown(f"output of {network.path} with pictures {data.shape}", output, fitting)
    if not output and len(fitting) != 1:
        found = ", ".join(f"{name} {encoders.described(value, batch)}" for name, value in named)
        raise UsageError(
            f"{network.path} returns {short(found, 120)}, and the pictures of {data.name} are {data.shape}: "
            + (
                f"choose one with {argument('output')}."
                if fitting
                else f"give the size that it draws with {argument('size')}, or another data set."
            )
        )
    picture = fitting[output] if output else next(iter(fitting.values()))
    if picture.ndim == 4 and tuple(picture.shape[1:]) != (c, h, w):
        return picture.permute(0, 3, 1, 2)
    return picture.reshape(batch, c, h, w)
