"""How an encoder takes images, and which of its outputs is the code: read from its file where that says so,
found by trying where that cannot mislead, and assumed otherwise, which is told.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from disbench.benchmark import datasets
from disbench.benchmark.datasets import manifest
from disbench.benchmark.datasets.dataset import Dataset
from disbench.benchmark.datasets.loading import split_name
from disbench.benchmark.scoring.encoders import Network
from disbench.benchmark.scoring.scoring import Progress
from disbench.benchmark.scoring.trained import encode
from disbench.errors import UsageError, unknown
from disbench.files import short
from disbench.metrics import ContingencyTable
from disbench.metrics.arrays import Floats, Ints

RANGES = ("0,1", "-1,1", "0,255", "uint8")
LAYOUTS = ("nchw", "nhwc", "flat")
MOST_AT_ONCE = 1_024  # images, of a network with a fixed batch: it is filled up to that
MEANS = ("mean", "mu", "loc", "z_mean", "code", "codes")  # what an output that is the code is called


@dataclass(frozen=True)
class Wanted:
    """What the user said of an encoder; None or "" where it is to be found out."""

    input_range: str = ""
    layout: str = ""
    size: int | None = None
    output: str = ""

    def __post_init__(self) -> None:
        for what, given, known in (
            ("--input-range", self.input_range, RANGES),
            ("--layout", self.layout, LAYOUTS),
        ):
            if given and given not in known:
                raise unknown(f"value of {what}", given, known)


@dataclass(frozen=True)
class Reading:
    """How a network wants its images, and which of its outputs is the code."""

    layout: str = "nchw"
    channels: int = 1
    input_range: str = "0,1"
    batch: int | None = None
    output: str = ""

    def prepare(self, images: Tensor, dtype: torch.dtype | None) -> Tensor:
        """Images (b, c, h, w) in [0, 1] as the network wants them."""
        if images.shape[1] != self.channels:
            images = images.expand(-1, self.channels, -1, -1)
        if self.input_range == "-1,1":
            images = images * 2 - 1
        elif self.input_range in ("0,255", "uint8"):
            images = images * 255
        if self.layout == "nhwc":
            images = images.permute(0, 2, 3, 1)
        elif self.layout == "flat":
            images = images.flatten(1)
        images = images.contiguous()
        if self.input_range == "uint8":
            return images.round().to(torch.uint8)
        return images if dtype is None else images.to(dtype)


@dataclass(frozen=True)
class Encoder:
    """Someone's encoder on a data set, as a `scoring.Source`."""

    network: Network
    data: Dataset
    reading: Reading
    rows: Ints | None = field(default=None, init=False)

    def represent(self, images: Tensor) -> Tensor:
        """Codes (b, d) of images (b, c, h, w) in [0, 1]."""
        return represent(self.network, self.reading, images)

    def codes(self, rows: Ints, progress: Progress | None = None) -> Floats:
        found = encode(self.represent, self.data, rows, progress)
        if (found == found[:1]).all():
            raise UsageError(
                f"{self.network.path}: its {found.shape[1]} codes are the same for all {len(rows):,} images, "
                "so nothing can be scored; is the input range right (--input-range), and is it the right "
                "output (--output)?"
            )
        return found

    def contingency(self) -> tuple[ContingencyTable, str] | str:
        return "an encoder generates no images"


def represent(network: Network, reading: Reading, images: Tensor) -> Tensor:
    """Codes (b, d) of images (b, c, h, w) in [0, 1], in batches of the size it was made for.

    Raises:
        UsageError: the network fails, or gives no such codes.
    """
    ready = reading.prepare(images, network.dtype)
    step = reading.batch or len(ready)
    found = []
    for start in range(0, len(ready), step):
        part = ready[start : start + step]
        filled = torch.cat([part, part[-1:].expand(step - len(part), *part.shape[1:])])
        try:
            with torch.no_grad():
                returned = network.run(filled)
        except Exception as error:  # whatever a stranger's network raises
            raise FailedError(
                f"{network.path} fails on images {tuple(filled.shape)} of {filled.dtype}: {short(error)}"
            ) from None
        found.append(chosen(network.path, returned, reading.output, len(filled))[0][: len(part)])
    return torch.cat(found)


class FailedError(UsageError):
    """The network raised on these images; others may do."""


def chosen(path: Path, returned: Any, output: str, batch: int) -> tuple[Tensor, str]:
    """The code (b, d) among what a network returned, and in words which it is.

    Args:
        returned: a tensor, or a tuple, list or dict of some.
        output: "" to find out, "first-half" of the columns, or the name or number of an output.

    Raises:
        UsageError: there is none, or more than one that could be it.
    """
    if isinstance(returned, Mapping):
        outputs = [(str(name), value) for name, value in returned.items()]
    elif isinstance(returned, tuple | list):
        names = getattr(returned, "_fields", range(len(returned)))
        outputs = [(str(name), value) for name, value in zip(names, returned, strict=True)]
    else:
        outputs = [("0", returned)]
    tables = {name: _as_table(value, batch) for name, value in outputs}
    known = ", ".join(f"{short(name, 20)} {_described(value, batch)}" for name, value in outputs[:8])
    given = {name: table for name, table in tables.items() if table is not None}
    if output and output != "first-half":
        numbered = dict(zip(map(str, range(len(outputs))), (name for name, _ in outputs), strict=True))
        name = output if output in tables else numbered.get(output, "")
        table = tables.get(name)
        if table is None:
            raise UsageError(f"{path}: --output {output} is no table (b, d) among its outputs: {known}.")
        return table, f"the code is output {name!r} of: {known}"
    if not given:
        raise UsageError(
            f"{path} returns {known or 'nothing'} for b = {batch} images, which is no table (b, d) of codes; "
            "export the encoder alone."
        )
    named = [name for name in given if name.lower() in MEANS]
    first = next(iter(given))
    if len(given) == 1 or len(named) == 1:
        name = named[0] if len(named) == 1 else first
        told = (
            f"the code is output {name!r} of: {known}"
            if len(outputs) > 1
            else f"the code is its output: {known}"
        )
    elif len(given) == 2 and len({tuple(table.shape) for table in given.values()}) == 1:
        name, told = first, f"its outputs are taken as (mean, logvar), and the mean is the code: {known}"
    else:
        raise UsageError(
            f"{path} has several outputs that could be the code: {known}; choose one with --output."
        )
    table = given[name]
    if output:
        if table.shape[1] % 2:
            raise UsageError(f"{path}: --output first-half of {table.shape[1]} columns is no whole number.")
        return table[:, : table.shape[1] // 2], f"{told}, the first half of its columns"
    return table, told


def _described(value: Any, batch: int) -> str:
    if not isinstance(value, Tensor):
        return type(value).__name__
    first = ("b",) if value.ndim and len(value) == batch else tuple(value.shape[:1])
    return _shape((*first, *value.shape[1:]))


def _as_table(value: Any, batch: int) -> Tensor | None:
    """Real numbers (b, d), also where they come as (b, d, 1, 1)."""
    if not isinstance(value, Tensor) or value.is_complex() or value.layout != torch.strided:
        return None
    if value.ndim == 4 and value.shape[2:] == (1, 1):
        value = value[:, :, 0, 0]
    return value if value.ndim == 2 and len(value) == batch and value.shape[1] else None


def fit(
    network: Network, wanted: Wanted, dataset: str, data_dir: Path | None
) -> tuple[Encoder, tuple[str, ...]]:
    """The encoder on a data set: which image size, layout and batch it takes, tried until one gives codes.

    Returns:
        The encoder, and sentences about what was assumed.

    Raises:
        UsageError: none does, its codes depend on the other images of a batch or on chance, or the outputs
        leave open which is the code.
    """
    channels, sizes = offered(dataset, wanted.size, data_dir)
    range_ = wanted.input_range or ("uint8" if network.dtype == torch.uint8 else "0,1")
    declared = network.shape
    batches = (8, 1) if declared is None else (declared[0] or 8,)
    if declared is not None and not 0 < batches[0] <= MOST_AT_ONCE:
        raise UsageError(
            f"{network.path} takes batches of {batches[0]:,} images; export it for a free batch size."
        )
    fits: list[tuple[Reading, int]] = []
    why: UsageError | None = None
    for size in sizes:
        images = torch.rand(8, channels, size, size, generator=torch.Generator().manual_seed(0))
        for layout in (wanted.layout,) if wanted.layout else LAYOUTS:
            for c in (channels, 3) if channels == 1 else (channels,):
                for batch in batches:
                    fixed = batch if declared is not None and declared[0] else 1 if batch == 1 else None
                    reading = Reading(layout, c, range_, fixed, wanted.output)
                    ready = reading.prepare(images, network.dtype)
                    if declared is not None and not _matches(ready.shape[1:], declared[1:]):
                        continue
                    try:
                        represent(network, reading, images)
                    except UsageError as error:
                        if why is None or (
                            isinstance(why, FailedError) and not isinstance(error, FailedError)
                        ):
                            why = error
                        continue
                    fits.append((reading, size))
                    break
    if not fits:
        took = f"{network.path} takes images {_shape(declared)}, " if declared is not None else ""
        tried = f"{dataset} has {channels} channels and sizes {', '.join(map(str, sizes))}"
        if why is None:
            raise UsageError(
                f"{took}which {dataset} cannot give: {tried}; try --size, --layout or another data set."
            )
        raise UsageError(f"{why} ({tried}; see --size, --layout and --output)") from None
    reading, size = fits[0]
    data = datasets.load(dataset, size=size, data_dir=data_dir)
    _check_steady(network, reading, data.shape)
    return Encoder(network, data, reading), _told(network, reading, wanted, data, fits)


def _told(
    network: Network, reading: Reading, wanted: Wanted, data: Dataset, fits: list[tuple[Reading, int]]
) -> tuple[str, ...]:
    """What was assumed, in sentences."""
    images = torch.zeros(reading.batch or 8, *data.shape)
    ready = reading.prepare(images, network.dtype)
    _, told = chosen(network.path, _run(network, ready), reading.output, len(ready))
    shape = ("b", *ready.shape[1:])
    spans = {"0,1": "[0, 1]", "-1,1": "[-1, 1]", "0,255": "[0, 255]", "uint8": "0 to 255, uint8"}
    known = bool(wanted.input_range) or network.dtype == torch.uint8
    line = f"images {_shape(shape)} ({reading.layout}) in {spans[reading.input_range]}"
    if not known:
        line += ", which is assumed: a file does not tell (--input-range)"
    lines = [line]
    if reading.channels != data.shape[0]:
        lines.append("grey images are repeated to 3 channels")
    if reading.batch:
        lines.append(f"in batches of {reading.batch}, as it was exported")
    others = [f"{other.layout} of {size}x{size}" for other, size in fits[1:]]
    if others:
        lines.append(f"it would also take {', '.join(others)} (--layout, --size)")
    return (*network.assumed, *lines, told)


def _run(network: Network, ready: Tensor) -> Any:
    with torch.no_grad():
        return network.run(ready)


def _shape(sizes: tuple[Any, ...]) -> str:
    return f"({', '.join('b' if i == 0 and s is None else str(s or '?') for i, s in enumerate(sizes))})"


def _matches(shape: tuple[int, ...], declared: tuple[int | None, ...]) -> bool:
    return len(shape) == len(declared) and all(d in (None, s) for s, d in zip(shape, declared, strict=True))


def offered(dataset: str, size: int | None, data_dir: Path | None) -> tuple[int, tuple[int, ...]]:
    """Channels and image sizes of a data set; the manifest's, so that no size is made in vain."""
    base, _ = split_name(dataset)
    if base.endswith(".npz"):
        c, h, _ = datasets.load(dataset, size=size, data_dir=data_dir).shape
        return c, (h,)
    facts = manifest.read(base)
    return facts.channels, (size,) if size else facts.sizes


def _check_steady(network: Network, reading: Reading, shape: tuple[int, int, int]) -> None:
    """Refuses codes of an image that change with the images around it or from call to call."""
    drawn = torch.rand(16, *shape, generator=torch.Generator().manual_seed(1))
    one, other = drawn[:8], torch.cat([drawn[:1], drawn[9:]])
    first, again = (represent(network, reading, images)[0].double() for images in (one, other))
    if (first - again).abs().max() > 1e-3 * max(float(first.abs().max()), 1e-6):
        raise UsageError(
            f"{network.path} gives an image other codes beside other images, or from call to call; export it "
            "in evaluation mode (model.eval()), without sampling."
        )
