"""What `disbench bench kernels` counts: the kernels of a training step, and the bytes that they move.

On a GPU the first tell the time of a step of small kernels, at some microseconds a launch, and the second
that of a step of large ones, at the bandwidth of the memory. Neither depends on the speed of a machine.

A kernel here is an operation of torch's dispatcher that computes values. One that gives a view, or memory
without values, is none. On a GPU an operation may launch several: a convolution's backward pass does, and so
does an optimiser's step over many weights. A CPU's step has other operations than a GPU's: oneDNN computes
convolutions that are matrix products there, and RMSprop goes weight by weight.
"""

from __future__ import annotations

import contextlib
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import (
    DataDependentOutputException,
    DynamicOutputShapeException,
    FakeTensorMode,
)
from torch.utils._python_dispatch import TorchDispatchMode

from disbench import models
from disbench.benchmark.datasets import Dataset
from disbench.benchmark.training.gpu import Strategy, Tuning
from disbench.benchmark.training.seeds import stream
from disbench.benchmark.training.strategies import choose
from disbench.benchmark.training.trainer import Trainer

STRATEGIES: tuple[Strategy, ...] = ("single", "stacked", "branches")

# They give memory without values; `_unsafe_view` gives a view, though its schema does not say so.
NO_VALUES = {
    "aten::empty",
    "aten::empty_like",
    "aten::empty_strided",
    "aten::new_empty",
    "aten::new_empty_strided",
    "aten::_unsafe_view",
}
# They write a tensor without having read it.
OVERWRITING = {
    "aten::copy_",
    "aten::fill_",
    "aten::zero_",
    "aten::normal_",
    "aten::uniform_",
    "aten::exponential_",
    "aten::random_",
    "aten::bernoulli_",
}
# They read as much of their first argument as they give.
PICKING = {"aten::index", "aten::index_select", "aten::gather", "aten::embedding"}


def size(tensor: Tensor) -> int:
    """Bytes of the elements of a tensor; those along an expanded axis are one element."""
    if not tensor.numel():
        return 0
    axes = zip(tensor.shape, tensor.stride(), strict=True)
    return tensor.element_size() * math.prod(length for length, stride in axes if stride)


@dataclass(frozen=True)
class Traffic:
    """What the schema of an operation tells of its traffic.

    Attributes:
        kernel: whether it computes values.
        read: names of the arguments that it reads.
        written: names of the arguments that it writes.
        new: whether it writes its results besides.
    """

    kernel: bool
    read: tuple[str, ...]
    written: tuple[str, ...]
    new: bool


@cache
def traffic(operation: Any) -> Traffic:
    schema = operation._schema
    aliases = [returned.alias_info for returned in schema.returns]
    view = any(alias and not alias.is_write for alias in aliases)
    written = [a.name for a in schema.arguments if a.alias_info and a.alias_info.is_write]
    unread = written if schema.name in OVERWRITING else []
    read = [a.name for a in schema.arguments if a.name not in unread]
    kernel = not view and schema.name not in NO_VALUES
    return Traffic(kernel, tuple(read), tuple(written), not any(aliases))


class Kernels(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the kernels that run on a device while it is entered.

    Args:
        device: whose kernels are counted.

    Attributes:
        launched: number of kernels by the name of their operation.
        moved: bytes, if each kernel reads all its inputs once and writes all its outputs once.
    """

    launched: Counter[str]
    moved: int

    def __init__(self, device: torch.device) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.device = device
        self.launched = Counter()
        self.moved = 0

    def __torch_dispatch__(
        self,
        func: Any,
        types: Sequence[type],
        args: tuple[object, ...] = (),
        kwargs: Mapping[str, object] | None = None,
    ) -> object:
        named = dict(kwargs or {})
        result = func(*args, **named)
        known = traffic(func)
        if known.kernel:
            # an operation may have more arguments than were given
            named |= zip((a.name for a in func._schema.arguments), args, strict=False)
            written = [n for name in known.written for n in self.sizes(named.get(name))]
            written += self.sizes(result) if known.new else []
            read = [n for name in known.read for n in self.sizes(named.get(name))]
            name = func._schema.name
            if written:
                # the first is what it picks from
                if name in PICKING and read:
                    read[0] = min(read[0], written[0])
                self.launched[name] += 1
                self.moved += sum(read) + sum(written)
        return result

    def sizes(self, value: object) -> list[int]:
        """Bytes of each tensor of an argument or result that lies on the device."""
        if isinstance(value, Tensor):
            return [size(value)] if value.device.type == self.device.type else []
        return [n for part in value for n in self.sizes(part)] if isinstance(value, list | tuple) else []


@dataclass(frozen=True)
class Count:
    """What one step of one seed takes.

    Attributes:
        seeds: number of seeds that train together.
        kernels: of a step, shared among its seeds.
        moved: bytes, likewise.
    """

    seeds: int
    kernels: float
    moved: float


def count(
    name: str, config: models.Config, data: Dataset, strategy: Strategy, seeds: int, device: torch.device
) -> Count:
    """Counts a step in which every update has come to its last loss.

    Its values are not computed, unless it depends on one: Adagrad's does. So the copies are not seen that
    follow where a device lays out a gradient in another order than its weight: three of InfoGAN-CR's 1,371.

    Args:
        name: the method.
        config: its settings.
        data: where the images come from.
        strategy: one of `STRATEGIES`; "single" trains one seed, whatever `seeds` says.
        seeds: number of seeds that train together.
        device: whose step it is.
    """

    def trainer() -> Trainer:
        together = range(1 if strategy == "single" else seeds)
        methods = [models.build(name, config, data.info, stream(seed, "weights")) for seed in together]
        tuning = Tuning(resident=device.type == "cuda", strategy=strategy)
        return choose(len(together), tuning, name, device.type, data.shape[1])(
            methods, data, together, device, tuning
        )

    try:
        return _count(trainer(), FakeTensorMode(allow_non_fake_inputs=True))
    except (DataDependentOutputException, DynamicOutputShapeException):
        return _count(trainer(), contextlib.nullcontext())


def _count(trainer: Trainer, arithmetic: contextlib.AbstractContextManager[object]) -> Count:
    trainer.step = max(start for update in trainer.schedule for start in update.starts)
    counted = Kernels(trainer.device)
    with counted:
        arguments = trainer.arguments(trainer.step)
    # the optimisers make what they gather in the first step
    with arithmetic:
        trainer.compute(*arguments)
    with arithmetic, counted:
        trainer.compute(*arguments)
    seeds = len(trainer.seeds)
    return Count(seeds, counted.launched.total() / seeds, counted.moved / seeds)
