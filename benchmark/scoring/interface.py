"""How an encoder takes images, and which of its outputs is the code.

Both are read from its file if the file declares them. If not, they are found by trying, where that cannot
mislead, and else assumed. `fit` returns what was found and assumed as sentences for the user.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from disbench.benchmark import datasets
from disbench.benchmark.datasets import manifest
from disbench.benchmark.datasets.dataset import Dataset
from disbench.benchmark.datasets.naming import split_name
from disbench.benchmark.scoring import encoders
from disbench.benchmark.scoring.encoders import Network
from disbench.benchmark.scoring.scoring import Progress
from disbench.benchmark.scoring.trained import encode
from disbench.errors import UsageError, argument, unknown
from disbench.metrics import ContingencyTable
from disbench.metrics.arrays import Floats, Ints
from disbench.texts import short

RANGES = {"0,1": "[0, 1]", "-1,1": "[-1, 1]", "0,255": "[0, 255]", "uint8": "0 to 255, uint8"}  # in words
LAYOUTS = ("nchw", "nhwc", "flat")
MOST_AT_ONCE = 1_024  # images, of a network with a fixed batch: it is filled up to that
MEANS = ("mean", "mu", "loc", "z_mean", "code", "codes")  # what an output that is the code is called


@dataclass(frozen=True)
class Wanted:
    """What the user said about an encoder's images and outputs; "" or None for what is to be found out.

    Attributes:
        input_range: of the pixels, one of `RANGES`.
        layout: of the images, one of `LAYOUTS`.
        size: of the images, in pixels.
        output: the output that is the code: its name, its number, or "first-half" of its columns.

    Raises:
        UsageError: an unknown range or layout; names the nearest.
    """

    input_range: str = ""
    layout: str = ""
    size: int | None = None
    output: str = ""

    def __post_init__(self) -> None:
        for name, given, known in (
            ("input_range", self.input_range, RANGES),
            ("layout", self.layout, LAYOUTS),
        ):
            if given and given not in known:
                raise unknown(f"value of {argument(name)}", given, known)


@dataclass(frozen=True)
class Interface:
    """How a network takes images, and which of its outputs is the code.

    Attributes:
        layout: one of `LAYOUTS`.
        channels: 1 or 3; grey images are repeated for 3.
        input_range: one of `RANGES`.
        batch: number of images that it takes at a time; None for any number.
        output: as in `Wanted`.
    """

    layout: str = "nchw"
    channels: int = 1
    input_range: str = "0,1"
    batch: int | None = None
    output: str = ""

    def prepare(self, images: Tensor, dtype: torch.dtype | None) -> Tensor:
        """Images (b, c, h, w) in [0, 1] as the network takes them."""
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
    """Someone's encoder on a data set, as a `scoring.Source`.

    Attributes:
        network: the function of images.
        data: the data set whose images it encodes.
        interface: how the network takes them.
        rows: None, it has codes of all images.
    """

    network: Network
    data: Dataset
    interface: Interface
    rows: Ints | None = field(default=None, init=False)

    def represent(self, images: Tensor) -> Tensor:
        """Codes (b, d) of images (b, c, h, w) in [0, 1]."""
        return represent(self.network, self.interface, images)

    def codes(self, rows: Ints, progress: Progress | None = None) -> Floats:
        """The codes (len(rows), d) of these rows.

        Raises:
            UsageError: they are not numbers, or the same for all images.
        """
        codes = encode(self.represent, self.data.images, rows, progress)
        if (codes == codes[:1]).all():
            raise UsageError(
                f"{self.network.path}: its {codes.shape[1]} codes are the same for all {len(rows):,} images, "
                f"so nothing can be scored; is the input range right ({argument('input_range')}), and is it "
                f"the right output ({argument('output')})?"
            )
        return codes

    def contingency(self) -> tuple[ContingencyTable, str] | str:
        """The reason why there are no counts of generated images."""
        return "an encoder generates no images"


class FailedError(UsageError):
    """The network raised on these images; others may do."""


def represent(network: Network, interface: Interface, images: Tensor) -> Tensor:
    """Codes (b, d) of images (b, c, h, w) in [0, 1], in batches of the network's size.

    Raises:
        UsageError: the network fails, or gives no such codes.
    """
    ready = interface.prepare(images, network.dtype)
    step = interface.batch or len(ready)
    codes = []
    for start in range(0, len(ready), step):
        part = ready[start : start + step]
        filled = torch.cat([part, part[-1:].expand(step - len(part), *part.shape[1:])])
        try:
            returned = _run(network, filled)
        except Exception as error:
            # whatever a stranger's network raises
            raise FailedError(
                f"{network.path} fails on images {tuple(filled.shape)} of {filled.dtype}: {short(error)}"
            ) from None
        codes.append(choose_code(network.path, returned, interface.output, len(filled))[0][: len(part)])
    return torch.cat(codes)


def _run(network: Network, ready: Tensor) -> object:
    with torch.no_grad():
        return network.run(ready)


# --- Which output is the code ---


def choose_code(path: Path, returned: object, output: str, batch: int) -> tuple[Tensor, str]:
    """The code (b, d) among what a network returned, and in words which it is.

    Args:
        path: of the network.
        returned: a tensor, or a tuple, list or dict of some.
        output: "" to find out, "first-half" of the columns, or the name or number of an output.
        batch: number of images that it was given.

    Raises:
        UsageError: there is none, or more than one that could be it.
    """
    outputs = encoders.outputs(returned)
    tables = {name: encoders.as_table(value, batch) for name, value in outputs}
    known = ", ".join(f"{short(name, 20)} {encoders.described(value, batch)}" for name, value in outputs[:8])
    if output not in ("", "first-half"):
        numbered = {str(i): name for i, (name, _) in enumerate(outputs)}
        name = output if output in tables else numbered.get(output, "")
        table = tables.get(name)
        if table is None:
            raise UsageError(
                f"{path}: {argument('output')} {output} is not a table (b, d) among its outputs: {known}."
            )
        return table, f"the code is output {name!r} of: {known}"
    given = {name: table for name, table in tables.items() if table is not None}
    if not given:
        raise UsageError(
            f"{path} returns {known or 'nothing'} for b = {batch} images, which is not a table (b, d) of "
            "codes; export the encoder alone."
        )
    named = [name for name in given if name.lower() in MEANS]
    if len(given) == 1 or len(named) == 1:
        name = named[0] if len(named) == 1 else next(iter(given))
        which = f"output {name!r} of" if len(outputs) > 1 else "its output"
        note = f"the code is {which}: {known}"
    elif len(given) == 2 and len({tuple(table.shape) for table in given.values()}) == 1:
        name = next(iter(given))
        note = f"its outputs are taken as (mean, logvar), and the mean is the code: {known}"
    else:
        raise UsageError(
            f"{path} has several outputs that could be the code: {known}; choose one with "
            f"{argument('output')}."
        )
    table = given[name]
    if output:
        if table.shape[1] % 2:
            raise UsageError(
                f"{path}: {argument('output')} first-half needs an even number of columns, but there are "
                f"{table.shape[1]}."
            )
        return table[:, : table.shape[1] // 2], f"{note}, the first half of its columns"
    return table, note


# --- How it takes images ---


def fit(
    network: Network, wanted: Wanted, dataset: str, data_dir: Path | None
) -> tuple[Encoder, tuple[str, ...]]:
    """The encoder on a data set: which image size, layout and batch it takes, tried until one gives codes.

    Returns:
        The encoder, and sentences about what was assumed, see `errors.spelled`.

    Raises:
        UsageError: none does, its codes depend on the other images of a batch or on chance, or the outputs
        leave open which is the code.
    """
    channels, sizes = offered(dataset, wanted.size, data_dir)
    input_range = wanted.input_range or ("uint8" if network.dtype == torch.uint8 else "0,1")
    declared = network.shape
    batches = (8, 1) if declared is None else (declared[0] or 8,)
    if declared is not None and not 0 < batches[0] <= MOST_AT_ONCE:
        raise UsageError(
            f"{network.path} takes batches of {batches[0]:,} images; export it for a free batch size."
        )
    layouts = (wanted.layout,) if wanted.layout else LAYOUTS
    fits: list[tuple[Interface, tuple[int, int]]] = []
    why: UsageError | None = None
    for size in sizes:
        images = torch.rand(8, channels, *size, generator=torch.Generator().manual_seed(0))
        for layout, c in itertools.product(layouts, (channels, 3) if channels == 1 else (channels,)):
            for batch in batches:
                fixed = batch if declared is not None and declared[0] else 1 if batch == 1 else None
                interface = Interface(layout, c, input_range, fixed, wanted.output)
                ready = interface.prepare(images, network.dtype)
                if declared is not None and not _matches(ready.shape[1:], declared[1:]):
                    continue
                error = _refusal(network, interface, images)
                if error is None:
                    fits.append((interface, size))
                    break
                # what an output lacks says more than that the network failed
                if why is None or (isinstance(why, FailedError) and not isinstance(error, FailedError)):
                    why = error
    if not fits:
        tried = f"{dataset} has {channels} channels and sizes {', '.join(map(_size, sizes))}"
        size_, layout_ = argument("size"), argument("layout")
        if why is not None:
            raise UsageError(f"{why.marked} ({tried}; see {size_}, {layout_} and {argument('output')})")
        takes = f"{network.path} takes images {encoders.shape(declared)}, " if declared is not None else ""
        raise UsageError(
            f"{takes}which {dataset} cannot give: {tried}; try {size_}, {layout_} or another data set."
        )
    interface, (height, width) = fits[0]
    # images that are no squares are those of the file as they are
    side = height if height == width else wanted.size
    data = datasets.load(dataset, size=side, data_dir=data_dir)
    _check_steady(network, interface, data.shape)
    return Encoder(network, data, interface), _notes(network, wanted, data, fits)


def _refusal(network: Network, interface: Interface, images: Tensor) -> UsageError | None:
    try:
        represent(network, interface, images)
    except UsageError as error:
        return error
    return None


def offered(dataset: str, size: int | None, data_dir: Path | None) -> tuple[int, tuple[tuple[int, int], ...]]:
    """Channels, and (height, width) of the images on offer; by a manifest, so that none is made in vain."""
    base, _ = split_name(dataset)
    if base.endswith(".npz"):
        c, h, w = datasets.load(dataset, size=size, data_dir=data_dir).shape
        return c, ((h, w),)
    facts = manifest.read(base)
    return facts.channels, tuple((side, side) for side in ((size,) if size else facts.sizes))


def _matches(shape: Sequence[int], declared: Sequence[int | None]) -> bool:
    return len(shape) == len(declared) and all(d in (None, s) for s, d in zip(shape, declared, strict=True))


def _check_steady(network: Network, interface: Interface, shape: tuple[int, int, int]) -> None:
    """Refuses codes of an image that change with the images around it or from call to call."""
    drawn = torch.rand(16, *shape, generator=torch.Generator().manual_seed(1))
    one, other = drawn[:8], torch.cat([drawn[:1], drawn[9:]])
    first, again = (represent(network, interface, images)[0].double() for images in (one, other))
    if (first - again).abs().max() > 1e-3 * max(float(first.abs().max()), 1e-6):
        raise UsageError(
            f"the codes that {network.path} gives for an image depend on the batch or change between calls; "
            "export it in evaluation mode (model.eval()), without sampling."
        )


def _notes(
    network: Network, wanted: Wanted, data: Dataset, fits: list[tuple[Interface, tuple[int, int]]]
) -> tuple[str, ...]:
    """What was found out and assumed, in sentences; the first of `fits` is used."""
    interface, _ = fits[0]
    ready = interface.prepare(torch.zeros(interface.batch or 8, *data.shape), network.dtype)
    _, code = choose_code(network.path, _run(network, ready), interface.output, len(ready))
    shape = encoders.shape(("b", *ready.shape[1:]))
    images = f"images {shape} ({interface.layout}) in {RANGES[interface.input_range]}"
    if not wanted.input_range and network.dtype != torch.uint8:
        images += f", which is assumed: the file does not declare it ({argument('input_range')})"
    notes = [*network.assumed, images]
    if interface.channels != data.shape[0]:
        notes.append("grey images are repeated to 3 channels")
    if interface.batch:
        notes.append(f"in batches of {interface.batch}, as it was exported")
    others = [f"{other.layout} of {h}x{w}" for other, (h, w) in fits[1:]]
    if others:
        notes.append(f"also accepted: {', '.join(others)} ({argument('layout')}, {argument('size')})")
    return (*notes, code)


def _size(size: tuple[int, int]) -> str:
    return str(size[0]) if size[0] == size[1] else f"{size[0]}x{size[1]}"
