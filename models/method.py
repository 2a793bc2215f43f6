"""The contract between a method and everything that trains, scores or draws it.

A method is one file `models/<name>.py` with a frozen `Config`, a class derived from `Method`, and the line
`METHOD = ThatClass`. The file's name is the method's name on the command line; nothing else lists it.

What a method never does: log, move tensors between devices, open files, pick seeds. The trainer does.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from disbench.errors import UsageError
from disbench.models.optimizer import Optimizer
from disbench.ranges import Batch, Count

Terms = dict[str, Tensor]
Noise = dict[str, Tensor]


def summed(loss: str, terms: Terms) -> Tensor:
    """The sum of the terms of a loss, a scalar.

    Raises:
        UsageError: they are no terms by name, or one of them is no scalar.
    """
    if not isinstance(terms, dict) or not terms:
        raise UsageError(
            f"{loss} gave {type(terms).__name__}, where a dict of at least one term was expected."
        )
    for name, term in terms.items():
        if not isinstance(term, Tensor):
            raise UsageError(f"the term {name!r} of {loss} is a {type(term).__name__}, and must be a tensor.")
        if term.ndim:
            raise UsageError(
                f"the term {name!r} of {loss} has the shape {tuple(term.shape)}, and must be a scalar; take "
                "its mean over the batch."
            )
    return torch.stack(list(terms.values())).sum()


@dataclass(frozen=True)
class Update:
    """Steps of one optimiser: some modules learn from the sum of the terms of one loss.

    Attributes:
        loss: name of the method `(images, noise, step) -> {term: value}`.
        modules: names of the attributes whose parameters this changes; no other parameter moves.
        optimizer: the optimiser with its settings.
        times: optimiser steps per training step, one after the other on the same images and noise. The
            journal has the terms of the last.
        begins: first training step that takes this update.
        later: (training step, name of a loss): from that step on, this loss takes the place of `loss`.
    """

    loss: str
    modules: tuple[str, ...]
    optimizer: Optimizer
    times: int = 1
    begins: int = 0
    later: tuple[int, str] | None = None

    def at(self, step: int) -> str | None:
        """The loss of a training step; None before the update begins."""
        if step < self.begins:
            return None
        return self.later[1] if self.later and step >= self.later[0] else self.loss

    @property
    def starts(self) -> tuple[int, ...]:
        """Training steps at which it begins to learn from a loss."""
        return (self.begins, self.later[0]) if self.later else (self.begins,)

    @property
    def losses(self) -> tuple[str, ...]:
        """All losses that it learns from, in their order."""
        return (self.loss, self.later[1]) if self.later else (self.loss,)


@dataclass(frozen=True)
class DataInfo:
    """What a method may know about its data before it sees any image.

    Attributes:
        shape: (channels, height, width) of one image.
        n: number of images.
        class_prior: share of each class, where the data are labelled.
    """

    shape: tuple[int, int, int]
    n: int
    class_prior: tuple[float, ...] | None = None


# the key of a field's metadata
_BEFORE = "before"


def later(before: Any) -> Any:
    """The default of a setting that a method got after models of it were trained.

    Args:
        before: the value at which the setting changes nothing. There it is left out of what is written, so
            that checkpoints, folders and digests from before the setting stay those of equal trainings.
    """
    return field(default=before, metadata={_BEFORE: before})


@dataclass(frozen=True)
class Config:
    """Settings that every method has; each method adds its own.

    Every default names its source, and every number declares its range: see `ranges.py`.
    """

    steps: Count = 300_000  # number of training steps
    batch: Batch = 64  # images of a batch

    @classmethod
    def before(cls) -> dict[str, object]:
        """The settings that came `later`, with the value at which they change nothing."""
        return {f.name: f.metadata[_BEFORE] for f in fields(cls) if _BEFORE in f.metadata}

    def written(self) -> dict[str, object]:
        """Setting to value as records and checkpoints have them; what came `later` only where it matters."""
        before = self.before()
        return {k: v for k, v in asdict(self).items() if k not in before or v != before[k]}

    def check(self) -> str | None:
        """What is wrong between settings, as a sentence that begins with a field; None where nothing is."""
        return None

    def category_columns(self) -> int:
        """How many columns of `represent`, its last ones, are numbers of categories, which have no order.

        It is asked of configs with a setting `category_code`.
        """
        return 0


class Method(nn.Module):
    """Networks plus pure losses.

    Every loss is a method `(images, noise, step) -> {term: value}`. Its value depends only on its arguments,
    the parameters and the buffers, so it can be differentiated for one seed, or for many in a stack.

    Attributes:
        config: the settings.
        data: shape, number and labels of the images.
    """

    CONFIGS: ClassVar[Mapping[str, Config]]
    """Named settings: "paper", "mini", and others that a paper or a code base gives."""
    VARIANTS: ClassVar[Mapping[str, Mapping[str, object]]] = {}
    """Named changes to a config that a paper compares as rows of one table."""
    VERSION: ClassVar[int] = 1
    """Raised by a change after which equal settings train another model; such models are never averaged."""
    TRAVERSAL: ClassVar[tuple[float, float]] = (-2.0, 2.0)
    """First and last value of a code in a traversal."""
    TRAVERSED: ClassVar[str] = "z"
    """Symbol of the real codes in labels, as in the paper: z0, z1, ..."""
    CATEGORICAL: ClassVar[str] = "k"
    """Symbol of the categorical codes: k0, k1, ..."""

    # A method repeats this line below its own `Config`: then a misspelt field is a type error.
    config: Config

    def __init__(self, config: Config, data: DataInfo) -> None:
        super().__init__()
        self.config = config
        self.data = data

    @property
    def images_per_step(self) -> int:
        """Number of images that one step reads: two batches where a method compares independent ones."""
        return self.config.batch

    @property
    def held_out(self) -> int:
        """Number of images that are kept from training, for `monitor_unseen`."""
        return 0

    def advice(self) -> str | None:
        """A sentence on what these settings will do with these data, printed before training; mostly None."""
        return None

    def forward(self, name: str, images: Tensor, noise: Noise, step: Tensor) -> Terms:
        """The loss or monitor of that name; `torch.func.functional_call` can call nothing else."""
        terms: Terms = getattr(self, name)(images, noise, step)
        return terms

    def noise(self, batch: int, generator: torch.Generator) -> Noise:
        """Every random number that one step needs, by name.

        Args:
            batch: number of images, `images_per_step` in training.
            generator: the only source of randomness; its device is that of the numbers.
        """
        raise NotImplementedError

    def updates(self) -> tuple[Update, ...]:
        """The updates of one training step in their order. Each runs on current weights."""
        raise NotImplementedError

    def monitor(self, images: Tensor, noise: Noise, step: Tensor) -> Terms:
        """Quantities worth a curve that are no terms of a loss: scalars (), or one per latent (d,).

        By default there are none.
        """
        return {}

    def monitor_unseen(self, images: Tensor, noise: Noise, step: Tensor) -> Terms:
        """Likewise, of images (b, c, h, w) that no step reads; called where `held_out` is above 0."""
        return {}

    def represent(self, images: Tensor) -> Tensor:
        """Codes (b, d) of images (b, c, h, w) in [0, 1]: those that the paper evaluates. Deterministic."""
        raise NotImplementedError

    def gaussians(self, images: Tensor) -> tuple[Tensor, Tensor] | None:
        """The posterior of each code, where it is a Gaussian and the prior is N(0, 1).

        With it, scores know which codes have collapsed to the prior, and metrics can read the posterior.

        Args:
            images: (b, c, h, w) in [0, 1].

        Returns:
            Mean (b, d), which is what `represent` gives, and natural log of the variance (b, d), NaN for a
            code that is no Gaussian; None, the default, for a method without such a posterior.
        """
        return None

    def generate(self, latents: Tensor) -> Tensor:
        """Images (b, c, h, w) in [0, 1] of latents (b, l), the input of the generator or decoder."""
        raise NotImplementedError

    def sample_latents(self, noise: Noise) -> tuple[Tensor, list[range]] | None:
        """Latents as the generator gets them in training, and which of their columns are codes.

        A code is an input of the generator that `represent` reads from an image: one column, or one per
        category. The other columns are noise.

        Args:
            noise: what `noise(b, generator)` returned.

        Returns:
            Latents (b, l) for `generate` and the columns of each code, or None, the default, for a method
            that cannot draw images.
        """
        return None

    def reconstruct(self, images: Tensor) -> Tensor | None:
        """Images (b, c, h, w) in [0, 1] after encoder and decoder; None for a method without that path."""
        return None

    def categories(self, noise: Noise) -> tuple[list[str], Tensor] | None:
        """Samples with one category held fixed per row; None for a method without a categorical code.

        Args:
            noise: what `noise(b, generator)` returned.

        Returns:
            Row labels and pictures (rows, b, c, h, w) in [0, 1].
        """
        return None

    def class_prior(self) -> Tensor | None:
        """The share of each category of the first categorical code, (k,); None where there is none."""
        return None

    def span(self) -> tuple[float, float]:
        """First and last value of a real code in a traversal, where its caller gives none."""
        return self.TRAVERSAL

    def traverse(
        self, image: Tensor, noise: Noise, steps: int, ends: tuple[float, float] | None = None
    ) -> tuple[list[str], Tensor]:
        """Pictures in which one code at a time moves over its range; the others keep the image's values.

        By default each column of `represent` moves over `span`, and `generate` draws the result. A
        method whose `generate` takes other latents than these codes needs a traversal of its own.

        Args:
            image: (1, c, h, w) in [0, 1], the starting point.
            noise: what `noise(1, generator)` returned.
            steps: pictures per row.
            ends: first and last value of a real code; None for `span`.

        Returns:
            Row labels and pictures (rows, steps, c, h, w) in [0, 1].
        """
        codes = self.represent(image)
        d = codes.shape[1]
        latents = traversal_rows(codes, range(d), *(ends or self.span()), steps)
        pictures = self.generate(latents).reshape(d, steps, *self.data.shape)
        return [f"{self.TRAVERSED}{j}" for j in range(d)], pictures


def traversal_rows(start: Tensor, columns: range, low: float, high: float, steps: int) -> Tensor:
    """Copies of one row of latents in which one column at a time runs from low to high.

    Args:
        start: (1, l).
        columns: those that move.
        low: first value.
        high: last value.
        steps: copies per column.

    Returns:
        (columns * steps, l), the copies of the first column first.
    """
    rows = start.repeat(len(columns) * steps, 1)
    values = torch.linspace(low, high, steps, device=start.device)
    for i, column in enumerate(columns):
        rows[i * steps : (i + 1) * steps, column] = values
    return rows


def code_columns(start: int, sizes: Iterable[int]) -> list[range]:
    """The columns of codes of these sizes that stand side by side from a first column on."""
    ends = list(itertools.accumulate(sizes, initial=start))
    return [range(first, end) for first, end in itertools.pairwise(ends)]


def linear(step: Tensor, start: float, end: float, over: int) -> Tensor:
    """A schedule: from `start` at step 0 in a line to `end` at step `over`, and `end` after that."""
    return start + (end - start) * (step / max(over, 1)).clamp(max=1.0)
