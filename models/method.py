"""The contract between a method and everything that trains, scores or draws it.

A method is one file `models/<name>.py` with a frozen `Config`, a class derived from `Method`, and the line
`METHOD = ThatClass`. The file's name is the method's name on the command line; nothing else lists it.

What a method never does: log, move tensors between devices, open files, pick seeds. The trainer does.
"""

from __future__ import annotations

import dataclasses
import functools
import importlib
import inspect
import pkgutil
import sys
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from disbench import plugins
from disbench.errors import UsageError, unknown
from disbench.models.optimizer import Optimizer

Terms = dict[str, Tensor]
Noise = dict[str, Tensor]


@dataclass(frozen=True)
class Update:
    """One optimiser step: the modules that learn, from the sum of the terms of one loss.

    Attributes:
        loss: name of the method `(images, noise, step) -> {term: value}`.
        modules: names of the attributes whose parameters this step changes; all others stay as they are.
        optimizer: which one, with its settings.
    """

    loss: str
    modules: tuple[str, ...]
    optimizer: Optimizer


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


@dataclass(frozen=True)
class Config:
    """What every method has; each adds its own. Every default carries its source."""

    steps: int = 300_000
    batch: int = 64


class Method(nn.Module):
    """Networks plus pure losses.

    Every loss is a method `(images, noise, step) -> {term: value}` whose value depends on its arguments, the
    parameters and the buffers alone, so that it can be differentiated for one seed or, stacked, for many.
    """

    CONFIGS: ClassVar[Mapping[str, Any]]
    """Named settings: "paper" and "mini" at least, and others that a paper or a code base gives."""
    VARIANTS: ClassVar[Mapping[str, Mapping[str, object]]] = {}
    """Named changes to a config that a paper compares as rows of one table."""
    TRAVERSAL: ClassVar[tuple[float, float]] = (-2.0, 2.0)
    """First and last value that a code takes in a traversal."""

    def __init__(self, config: Any, data: DataInfo) -> None:
        super().__init__()
        self.config = config
        self.data = data

    @property
    def images_per_step(self) -> int:
        """How many images one step reads (two batches for a method that compares independent ones)."""
        return int(self.config.batch)

    def forward(self, name: str, images: Tensor, noise: Noise, step: Tensor) -> Terms:
        """The loss of that name, or "monitor": this is what `torch.func.functional_call` calls."""
        terms: Terms = getattr(self, name)(images, noise, step)
        return terms

    def noise(self, batch: int, generator: torch.Generator) -> Noise:
        """Every random number that one step on `batch` images needs (`images_per_step` in training)."""
        raise NotImplementedError

    def updates(self) -> tuple[Update, ...]:
        """Who learns, from which loss, with which optimiser, in this order."""
        raise NotImplementedError

    def monitor(self, images: Tensor, noise: Noise, step: Tensor) -> Terms:
        """Quantities worth a curve that are no terms of the loss: scalars (), or one per latent (d,)."""
        return {}

    def represent(self, images: Tensor) -> Tensor:
        """The code that the paper evaluates, (b, d), of images (b, c, h, w) in [0, 1]. Deterministic."""
        raise NotImplementedError

    def generate(self, latents: Tensor) -> Tensor:
        """Images (b, c, h, w) in [0, 1] of what the generator or decoder takes, (b, l)."""
        raise NotImplementedError

    def reconstruct(self, images: Tensor) -> Tensor | None:
        """Images through encoder and decoder and back; None where the method has no such path."""
        return None

    def categories(self, noise: Noise) -> tuple[list[str], Tensor] | None:
        """Samples with one category held per row: labels and pictures (rows, b, c, h, w) in [0, 1].

        None where the method has no categorical code.
        """
        return None

    def class_prior(self) -> Tensor | None:
        """The share of each category of the (first) categorical code, (k,); None where there is none."""
        return None

    def traverse(self, image: Tensor, noise: Noise, steps: int) -> tuple[list[str], Tensor]:
        """One code at a time moved over its range, the others left at the image's own code.

        Args:
            image: (1, c, h, w) in [0, 1], the starting point.
            noise: what `noise(1, generator)` returned.
            steps: pictures per row.

        Returns:
            Row labels and pictures (rows, steps, c, h, w) in [0, 1].
        """
        raise NotImplementedError


def traversal_rows(start: Tensor, columns: range, low: float, high: float, steps: int) -> Tensor:
    """Copies of `start` (1, l) in which one column at a time runs from low to high, (columns * steps, l)."""
    rows = start.repeat(len(columns) * steps, 1)
    values = torch.linspace(low, high, steps, device=start.device)
    for i, column in enumerate(columns):
        rows[i * steps : (i + 1) * steps, column] = values
    return rows


def linear(step: Tensor, start: float, end: float, over: int) -> Tensor:
    """From `start` at step 0 to `end` at step `over`, and `end` from there on."""
    return start + (end - start) * (step / max(over, 1)).clamp(max=1.0)


@functools.cache
def built_in() -> list[str]:
    """Names of the methods of this package: its modules that define METHOD."""
    import disbench.models

    found = [module.name for module in pkgutil.iter_modules(disbench.models.__path__)]
    return sorted(
        name for name in found if hasattr(importlib.import_module(f"disbench.models.{name}"), "METHOD")
    )


def names() -> list[str]:
    """Names of all methods, those of plug-ins included."""
    return sorted({*built_in(), *plugins.names("methods")})


def get(name: str) -> type[Method]:
    """The method's class.

    Raises:
        UsageError: no such method; names the nearest one. A plug-in that cannot be used.
    """
    return _located(name)[0]


def summary(name: str) -> str:
    """First line of the method's file: its name and citation."""
    return (inspect.getdoc(_located(name)[1]) or "no description").splitlines()[0]


def _located(name: str) -> tuple[type[Method], ModuleType]:
    """A method's class, and the module whose head describes it."""
    offer = plugins.find("methods", name)
    if offer is None:
        if name not in built_in():
            raise unknown("method", name, names())
        module = importlib.import_module(f"disbench.models.{name}")
        return module.METHOD, module
    loaded = offer.load()
    method = getattr(loaded, "METHOD", loaded)
    if not (isinstance(method, type) and issubclass(method, Method)):
        raise plugins.broken(
            offer.origin, f"its METHOD must be a class derived from disbench.models.Method, but is {method!r}"
        )
    if missing := {"paper", "mini"} - set(getattr(method, "CONFIGS", ())):
        raise plugins.broken(offer.origin, f"{method.__name__}.CONFIGS lacks {', '.join(sorted(missing))}")
    return method, sys.modules[method.__module__]


def configure(name: str, config: str = "paper", changes: Mapping[str, object] | None = None) -> Any:
    """A named config of a method with some fields changed.

    Args:
        name: the method.
        config: one of its `CONFIGS`.
        changes: field to value; a text is read as the field's type.

    Raises:
        UsageError: unknown config or field, or a value that is not of the field's type.
    """
    configs = get(name).CONFIGS
    if config not in configs:
        raise unknown(f"config of {name}", config, configs)
    start = configs[config]
    types = typing.get_type_hints(type(start))
    values: dict[str, Any] = {}
    for key, value in (changes or {}).items():
        if key not in types:
            raise unknown(f"setting of {name}", key, types)
        values[key] = _read(f"{name}.{key}", value, types[key])
    changed = dataclasses.replace(start, **values)
    if changed.steps < 1 or changed.batch < 2:
        raise UsageError(
            f"{name}: steps={changed.steps} and batch={changed.batch} were given; "
            "steps must be at least 1 and batch at least 2."
        )
    return changed


def _read(label: str, value: object, kind: Any) -> object:
    """`value` as `kind`: int, float, bool, str, or a tuple of one of them."""
    wrong = UsageError(
        f"{label}={value!r} is not of the type {getattr(kind, '__name__', kind)} that it needs."
    )
    if typing.get_origin(kind) is typing.Literal:
        choices = [str(choice) for choice in typing.get_args(kind)]
        if value not in choices:
            raise unknown(f"value of {label}", str(value), choices)
        return value
    if typing.get_origin(kind) is tuple:
        items = [item for item in value.split(",") if item] if isinstance(value, str) else value
        if not isinstance(items, list | tuple):
            raise wrong
        return tuple(_read(label, item, typing.get_args(kind)[0]) for item in items)
    try:
        if kind is bool:
            return {"true": True, "1": True, "false": False, "0": False}[str(value).lower()]
        if kind is int:
            return int(str(value))
        if kind is float:
            number = float(str(value))
            if number != number:
                raise wrong
            return number
    except (KeyError, ValueError):
        raise wrong from None
    if not isinstance(value, str):
        raise wrong
    return value


def build(name: str, config: Any, data: DataInfo, seed: int) -> Method:
    """A freshly initialised method: equal (config, data, seed) give equal weights, whatever ran before."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return get(name)(config, data)
