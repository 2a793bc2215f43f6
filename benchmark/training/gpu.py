"""The device, and what is for GPUs alone: resident data, steps recorded as graphs, lower precision."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, cast, get_args

import numpy as np
import torch
from torch import Tensor

from disbench.benchmark.datasets import Dataset
from disbench.benchmark.datasets.cache import Bytes
from disbench.benchmark.datasets.dataset import FileStorage
from disbench.errors import UsageError, argument, unknown
from disbench.metrics.arrays import Ints

Arguments = tuple[Tensor, dict[str, Tensor], Tensor]
Losses = tuple[list[str], Tensor]  # names, "loss.term", and values (terms, seeds) of a step's updates
Precision = Literal["float32", "tf32", "bf16"]
Strategy = Literal["auto", "single", "stacked", "branches"]
DEVICES = ("auto", "cpu", "cuda")


def choose_device(name: str) -> str:
    """The device of a name: "auto" is the GPU where there is one, "cuda:1" the second GPU.

    Raises:
        UsageError: an unknown name, no GPU where one was asked for, or several devices.
    """
    devices = choose_devices(name)
    if len(devices) > 1 and name not in ("cuda", "auto"):
        raise UsageError(f"{argument('device')} {name} names {len(devices)} devices; give one.")
    return devices[0]


def choose_devices(names: str) -> tuple[str, ...]:
    """All devices of a text such as "cuda:0,cuda:1": "cuda" is every GPU, "auto" too where there is one.

    Raises:
        UsageError: an unknown name, a GPU that is not here, or a CPU beside a GPU.
    """
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    every = [f"cuda:{i}" for i in range(count)]
    chosen: list[str] = []
    for name in check_devices(names):
        if name == "cpu" or (name == "auto" and not count):
            chosen.append("cpu")
        elif not count:
            raise UsageError(
                f"{argument('device')} {name} was given, but torch sees no CUDA device here; use cpu or auto."
            )
        elif name in ("auto", "cuda"):
            chosen += every
        elif name in every:
            chosen.append(name)
        else:
            raise UsageError(
                f"{argument('device')} {name} was given, but the CUDA devices here are {', '.join(every)}."
            )
    chosen = list(dict.fromkeys(chosen))
    if "cpu" in chosen and len(chosen) > 1:
        raise UsageError(f"{argument('device')} {names} names a CPU and a GPU; give one kind.")
    return tuple(chosen)


def check_devices(names: str) -> list[str]:
    """The names in a text, without a look at what is here.

    Raises:
        UsageError: one that no device has.
    """
    parts = [part.strip() for part in names.split(",")]
    for part in parts:
        if part not in DEVICES and not re.fullmatch(r"cuda:\d{1,3}", part):
            card = re.fullmatch(r"(?:cuda|gpu)\W*(\d{1,3})", part, re.IGNORECASE)
            if card:
                # the nearest name would be "cuda", which is all cards
                raise UsageError(f"unknown device {part!r}; did you mean 'cuda:{card[1]}'?")
            raise unknown("device", part, (*DEVICES, "cuda:1"))
    return parts


def is_gpu(device: str) -> bool:
    """Whether a device's name is that of a GPU."""
    return torch.device(device).type == "cuda"


@dataclass(frozen=True)
class Tuning:
    """How steps are computed. All but `precision` leave the results as they are, to rounding.

    Attributes:
        resident: keep all images of the data set on the device.
        graph: record a step as a CUDA graph once, and replay it; the images are then resident too.
        precision: of products and convolutions on a GPU; weights and optimisers are always float32.
        strategy: of several seeds together, see `strategies`; "auto" is what was quickest for the method when
            it was measured.
        deterministic: on a GPU, the same bits each time, with the slower of torch's ways where it must be.
    """

    resident: bool = False
    graph: bool = False
    precision: Precision = "float32"
    strategy: Strategy = "auto"
    deterministic: bool = False

    def apply(self, device: torch.device) -> None:
        """Set what torch knows only for the whole process."""
        if device.type != "cuda":
            return
        if device.index is not None:
            torch.cuda.set_device(device)
        torch.backends.cudnn.allow_tf32 = self.precision == "tf32"
        torch.set_float32_matmul_precision("high" if self.precision == "tf32" else "highest")
        if self.deterministic:
            # cuBLAS reads it when it is first used
            os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.backends.cudnn.deterministic = self.deterministic
        # of an operation that has no other way, torch says so
        torch.use_deterministic_algorithms(self.deterministic, warn_only=True)

    def arithmetic(self, device: torch.device) -> contextlib.AbstractContextManager[object]:
        if self.precision != "bf16":
            return contextlib.nullcontext()
        # a graph must not see a cache
        return torch.autocast(device.type, torch.bfloat16, cache_enabled=False)


PLAIN = Tuning()


def choose_tuning(
    device: str,
    precision: str = "float32",
    graph: bool | None = None,
    strategy: str = "auto",
    deterministic: bool = False,
) -> Tuning:
    """How a run's steps are computed.

    Args:
        device: where.
        precision: of products and convolutions.
        graph: whether steps are recorded; None for yes on a GPU.
        strategy: of several seeds together.
        deterministic: see `Tuning`.

    Raises:
        UsageError: an unknown precision or strategy, or something that needs a GPU.
    """
    check_tuning(precision, strategy)
    on_gpu = is_gpu(device)
    if not on_gpu and (graph or deterministic or precision != "float32"):
        wanted = "a CUDA graph" if graph else f"precision {precision}"
        wanted = f"{argument('deterministic')}" if deterministic else wanted
        raise UsageError(f"{wanted} was requested, but the device is {device}; omit it, or use a GPU.")
    recorded = on_gpu if graph is None else graph
    return Tuning(on_gpu, recorded, cast(Precision, precision), cast(Strategy, strategy), deterministic)


def check_tuning(precision: str, strategy: str) -> None:
    """Raises UsageError for an unknown precision or strategy."""
    for kind, name, known in (
        ("precision", precision, get_args(Precision)),
        ("strategy", strategy, get_args(Strategy)),
    ):
        if name not in known:
            raise unknown(kind, name, known)


class Resident:
    """All images of a data set on one device: a bit a pixel where they are black and white, else a byte."""

    def __init__(self, data: Dataset, device: torch.device) -> None:
        self.device, (_, _, _, self.columns) = device, (len(data), *data.shape)
        stored, self.packed = _compact(data)
        self.stored = torch.from_numpy(stored).to(device)  # (n, c, h, w) or, packed, (n, c, h, w / 8)
        self.shifts = torch.arange(7, -1, -1, dtype=torch.uint8, device=device)
        # a tensor, since a number would be turned into a factor of 1 / 255
        self.white = torch.tensor(255.0, device=device)

    def images(self, rows: Ints) -> Tensor:
        """Images of the rows (b,), in that order: (b, c, h, w) in [0, 1], as `Dataset.images` gives them."""
        return self.look_up(self.upload(rows))

    def upload(self, rows: Ints) -> Tensor:
        """The row numbers (b,) on the device; from pinned memory, so that the copy does not block."""
        wanted = torch.from_numpy(rows)
        if self.device.type != "cuda":
            return wanted
        return wanted.pin_memory().to(self.device, non_blocking=True)

    def look_up(self, rows: Tensor) -> Tensor:
        """As `images`, of row numbers (b,) that are on the device."""
        pixels = self.stored[rows]
        if not self.packed:
            return pixels / self.white
        # the first pixel is the highest bit
        bits = (pixels[..., None] >> self.shifts) & 1
        return bits.flatten(-2)[..., : self.columns].to(self.white.dtype)


@lru_cache(maxsize=1)
def resident(data: Dataset, device: torch.device) -> Resident:
    """One for all methods of a sweep."""
    return Resident(data, device)


def _compact(data: Dataset) -> tuple[Bytes, bool]:
    """All images as bytes or, where all pixels are black or white, as packed bits; and whether they are."""
    if isinstance(data.storage, FileStorage) and data.storage.stored.packed:
        return np.array(data.storage.mapped)[:, None], True
    pixels = np.empty((len(data), *data.shape), np.uint8)
    for start in range(0, len(data), 4096):
        part = np.arange(start, min(start + 4096, len(data)))
        pixels[part] = np.rint(255 * data.images(part).numpy())
    black_and_white = bool(((pixels == 0) | (pixels == 255)).all())
    return (np.packbits(pixels > 0, axis=-1), True) if black_and_white else (pixels, False)


class Recording:
    """A step recorded as a CUDA graph: its kernels are launched as one, so that Python takes no time.

    Looking up the images and drawing the noise are part of it. A replay begins with row numbers, the number
    of the step, and generators that the caller has seeded.

    Args:
        take: the step, given row numbers (b,) and its number; changes `tensors` in place.
        rows: row numbers to try it with.
        tensors: what the step changes, as it stands when called; more may appear in the first step.
        generators: those that the step draws from.
    """

    def __init__(
        self,
        take: Callable[[Tensor, Tensor], Losses],
        rows: Tensor,
        tensors: Callable[[], Sequence[Tensor]],
        generators: Sequence[torch.Generator] = (),
    ) -> None:
        self.rows, self.generators = rows.clone(), generators
        self.at = torch.zeros((), dtype=torch.get_default_dtype(), device=rows.device)
        # detached: a gradient's way back to a weight would bind it to the stream that is current here
        before = {id(tensor): (tensor, tensor.detach().clone()) for tensor in tensors()}
        self.warm_up(lambda: take(self.rows, self.at))
        with torch.no_grad():
            # tensors that the warm-up made are an optimiser's, which start at zero
            for tensor in tensors():
                known = before.get(id(tensor))
                tensor.zero_() if known is None else tensor.copy_(known[1])
        self.replay, (self.names, self.values) = self.record(lambda: take(self.rows, self.at))

    def warm_up(self, step: Callable[[], Losses]) -> None:
        """Some steps before recording begins, so that all libraries are set up."""
        self.stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        self.stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self.stream):
            for _ in range(3):
                step()
        torch.cuda.current_stream().wait_stream(self.stream)

    def record(self, step: Callable[[], Losses]) -> tuple[Callable[[], None], Losses]:
        graph = torch.cuda.CUDAGraph()
        for generator in self.generators:
            graph.register_generator_state(generator)
        with torch.cuda.graph(graph, stream=self.stream):
            losses = step()
        return graph.replay, losses

    def __call__(self, rows: Tensor, step: int) -> Losses:
        self.rows.copy_(rows)
        self.at.fill_(step)
        self.replay()
        # the next replay writes over them
        return self.names, self.values.clone()
