"""How an encoder takes images, and which of its outputs is the code.

Both are read from its file if the file declares them. If not, they are found by trying, where that cannot
mislead, and else assumed. `fit` returns what was found and assumed as sentences for the user.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from disbench.benchmark import datasets
from disbench.benchmark.datasets import manifest
from disbench.benchmark.datasets.dataset import Dataset
from disbench.benchmark.datasets.naming import is_own, split_name
from disbench.benchmark.scoring import encoders
from disbench.benchmark.scoring.encoded import Encoded, Progress
from disbench.benchmark.scoring.encoders import Network
from disbench.benchmark.scoring.encoding import Represent, encode
from disbench.errors import UsageError, argument, unknown
from disbench.metrics import ContingencyTable
from disbench.metrics.arrays import Floats, Ints
from disbench.metrics.live import MOST
from disbench.texts import short

RANGES = {"0,1": "[0, 1]", "-1,1": "[-1, 1]", "0,255": "[0, 255]", "uint8": "0 to 255, uint8"}  # in words
LAYOUTS = ("nchw", "nhwc", "flat")
TRYING = 60.0  # seconds, after which no other form of images is tried if none was taken so far
TRIED = 64  # images that show whether an output can be a log-variance
MOST_AT_ONCE = 1_024  # images, of a network with a fixed batch: it is filled up to that
MEANS = ("mean", "mu", "loc", "z_mean", "code", "codes")  # what an output that is the code is called
# What an output that is its log-variance is called; a name that could mean a deviation is none of these.
LOGVARS = (
    *("logvar", "log_var", "logvariance", "log_variance", "mu_logvar", "mean_logvar"),
    *("z_logvar", "z_log_var", "z_logvariance", "z_log_variance", "logsigma2", "log_sigma2", "log_sigma_sq"),
)


@dataclass(frozen=True)
class Wanted:
    """What the user said about an encoder's images and outputs; "" or None for what is to be found out.

    Attributes:
        input_range: of the pixels, one of `RANGES`.
        layout: of the images, one of `LAYOUTS`.
        size: of the images, in pixels.
        output: the output that is the code: its name, its number, or "first-half" of its columns.

    Raises:
        UsageError: an unknown range or layout; names the nearest. A size below 1.
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
        if self.size is not None and self.size < 1:
            raise UsageError(f"{argument('size')} {self.size} was given; give a number of pixels from 1 on.")


@dataclass(frozen=True)
class Interface:
    """How a network takes images, and which of its outputs is the code.

    Attributes:
        layout: one of `LAYOUTS`.
        channels: 1 or 3; grey images are repeated for 3.
        input_range: one of `RANGES`.
        batch: number of images that it takes at a time; None for any number.
        output: as in `Wanted`.
        alone: whether a network of several outputs is refused.
    """

    layout: str = "nchw"
    channels: int = 1
    input_range: str = "0,1"
    batch: int | None = None
    output: str = ""
    alone: bool = False

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
        if self.input_range == "uint8" or dtype == torch.uint8:
            return images.round().to(torch.uint8)
        return images if dtype is None else images.to(dtype)


@dataclass(frozen=True)
class Encoder:
    """Someone's encoder on a data set, as a `scoring.Source`.

    Attributes:
        network: the function of images.
        data: the data set whose images it encodes.
        interface: how the network takes them.
        no_posterior: why there are no log-variances of its codes; "" if there are.
        rows: None, it has codes of all images.
    """

    network: Network
    data: Dataset
    interface: Interface
    no_posterior: str
    rows: Ints | None = field(default=None, init=False)

    def represent(self, images: Tensor) -> Tensor:
        """Codes (b, d) of images (b, c, h, w) in [0, 1]."""
        return represent(self.network, self.interface, images)[0]

    def gaussians(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log-variance (b, d) of the codes of images (b, c, h, w) in [0, 1]."""
        mean, logvar = represent(self.network, self.interface, images)
        if logvar is None:
            raise UsageError(
                f"{self.network.path} gave log-variances for the first images and none for others; choose "
                f"the code alone with {argument('output')}."
            )
        return mean, logvar

    def codes(self, rows: Ints, progress: Progress | None = None) -> Floats:
        """The codes (len(rows), d) of these rows, see `encoded`."""
        return self._encode(self.represent, rows, progress).codes

    def encoded(self, rows: Ints, progress: Progress | None = None, need: bool = False) -> Encoded:
        """The codes (len(rows), d) of these rows, with their log-variances where the network gives them.

        Raises:
            UsageError: they are not numbers, or the same for all images.
        """
        return self._encode(self.represent if self.no_posterior else self.gaussians, rows, progress)

    def _encode(self, encoder: Represent, rows: Ints, progress: Progress | None) -> Encoded:
        encoded = encode(encoder, self.data.images, rows, progress)
        codes = encoded.codes
        if (codes == codes[:1]).all():
            raise UsageError(
                f"{self.network.path}: its {codes.shape[1]} codes are the same for all {len(rows):,} images, "
                f"so nothing can be scored; is the input range right ({argument('input_range')}), and is it "
                f"the right output ({argument('output')})?"
            )
        return encoded

    def contingency(self) -> tuple[ContingencyTable, str] | str:
        """The reason why there are no counts of generated images."""
        return "an encoder generates no images"

    def reconstructed(self, rows: Ints) -> str:
        """The reason why no image can be decoded again."""
        return "an encoder decodes no images"

    def generator(self) -> str:
        """The reason why no picture can be drawn."""
        return "an encoder draws no pictures"


class FailedError(UsageError):
    """The network raised on these images; others may do."""


def represent(network: Network, interface: Interface, images: Tensor) -> tuple[Tensor, Tensor | None]:
    """Codes (b, d) of images (b, c, h, w) in [0, 1], in batches of the network's size.

    Their log-variances are the second part, None where the network gives none.

    Raises:
        UsageError: the network fails, or gives no such codes.
    """
    ready = interface.prepare(images, network.dtype)
    step = interface.batch or len(ready)
    codes, logvars = [], []
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
        code = choose_code(network.path, returned, interface, len(filled))
        codes.append(code.mean[: len(part)])
        if code.logvar is not None:
            logvars.append(code.logvar[: len(part)])
    return torch.cat(codes), torch.cat(logvars) if len(logvars) == len(codes) else None


def _run(network: Network, ready: Tensor) -> object:
    with torch.no_grad():
        return network.run(ready)


# --- Which output is the code ---


@dataclass(frozen=True)
class Code:
    """The code among what a network returned.

    Attributes:
        mean: (b, d).
        logvar: (b, d), natural log of its variance; None where that is not given, or left open.
        note: in words which outputs they are.
        no_posterior: why there is no log-variance; "" if there is.
        by_place: where the log-variance stands, in words, if no name says that it is one.
    """

    mean: Tensor
    logvar: Tensor | None
    note: str
    no_posterior: str = ""
    by_place: str = ""


def choose_code(path: Path, returned: object, interface: Interface, batch: int) -> Code:
    """The code (b, d) among what a network returned, and its log-variance where that is unambiguous.

    It is so where an output is called a log-variance, where there are two outputs without names, and where
    the code is the first half of the columns.

    Args:
        path: of the network.
        returned: a tensor, or a tuple, list or dict of some.
        interface: its `output` is "" to find out, "first-half" of the columns, or the name or number of one.
        batch: number of images that it was given.

    Raises:
        UsageError: there is none, or more than one that could be it.
    """
    output = interface.output
    outputs = encoders.outputs(returned)
    tables = {name: encoders.as_table(value, batch) for name, value in outputs}
    known = ", ".join(f"{short(name, 20)} {encoders.described(value, batch)}" for name, value in outputs[:8])
    given = {name: table for name, table in tables.items() if table is not None}
    if interface.alone and len(outputs) > 1:
        raise UsageError(f"{path} has several outputs: {known}; export it with the features (b, d) alone.")
    if output not in ("", "first-half"):
        numbered = {str(i): name for i, (name, _) in enumerate(outputs)}
        name = output if output in tables else numbered.get(output, "")
        table = tables.get(name)
        if table is None:
            raise UsageError(
                f"{path}: {argument('output')} {output} is not a table (b, d) among its outputs: {known}."
            )
        return _with_logvar(path, name, given, f"the code is output {name!r} of: {known}")
    if not given:
        raise UsageError(
            f"{path} returns {known or 'nothing'} for b = {batch} images, which is not a table (b, d) of "
            "codes; export the encoder alone."
        )
    named = [name for name in given if name.lower() in MEANS]
    pair = False
    if len(given) == 1 or len(named) == 1:
        name = named[0] if len(named) == 1 else next(iter(given))
        which = f"output {name!r} of" if len(outputs) > 1 else "its output"
        note = f"the code is {which}: {known}"
    elif len(given) == 2 and len({tuple(table.shape) for table in given.values()}) == 1:
        name = next(iter(given))
        pair = set(given) == {"0", "1"}
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
        half = table.shape[1] // 2
        note = f"{note}, the first half of its columns"
        return Code(table[:, :half], table[:, half:], note, by_place="the second half of the columns")
    if pair:
        return Code(table, given["1"], note, by_place="the second output")
    return _with_logvar(path, name, given, note)


def _with_logvar(path: Path, name: str, given: Mapping[str, Tensor], note: str) -> Code:
    """The output of a name as the code, with the one output that is called its log-variance."""
    code = given[name]
    called = [other for other in given if other.lower() in LOGVARS]
    why = f"{path} has no output called {LOGVARS[0]}"
    if name.lower() not in MEANS or not called:
        return Code(code, None, note, why if name.lower() in MEANS else f"{why} beside one called {MEANS[0]}")
    if len(called) > 1 or given[called[0]].shape != code.shape:
        shapes = ", ".join(f"{other} {tuple(given[other].shape)}" for other in called)
        return Code(code, None, note, f"{path} has {shapes} beside the code {tuple(code.shape)}")
    return Code(code, given[called[0]], f"{note}; output {called[0]!r} is its log-variance")


# --- How it takes images ---


def fit(
    network: Network, wanted: Wanted, dataset: str, data_dir: Path | None, alone: bool = False
) -> tuple[Encoder, tuple[str, ...]]:
    """The encoder on a data set: which image size, layout and batch it takes, tried until one gives codes.

    Args:
        network: the function of images.
        wanted: what is known of its images and of its outputs.
        dataset: name of the data set.
        data_dir: folder of cached data sets.
        alone: whether a network of several outputs is refused, and none can be chosen.

    Returns:
        The encoder, and sentences about what was assumed, see `errors.spelled`.

    Raises:
        UsageError: none does, its codes depend on the other images of a batch or on chance, or the outputs
        leave open which is the code.
    """
    _check_type(network, wanted.input_range)
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
    begun = time.monotonic()
    for size in sizes:
        images = torch.rand(8, channels, *size, generator=torch.Generator().manual_seed(0))
        for layout, c in itertools.product(layouts, (channels, 3) if channels == 1 else (channels,)):
            for batch in batches:
                fixed = batch if declared is not None and declared[0] else 1 if batch == 1 else None
                interface = Interface(layout, c, input_range, fixed, wanted.output, alone)
                ready = interface.prepare(images, network.dtype)
                if declared is not None and not _matches(ready.shape[1:], declared[1:]):
                    continue
                if why is not None and not fits and time.monotonic() - begun > TRYING:
                    # one that fails by what it takes, such as memory, and not by the form of its images
                    break
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
            see = f"{size_} and {layout_}" if alone else f"{size_}, {layout_} and {argument('output')}"
            raise UsageError(f"{why.marked} ({tried}; see {see})")
        takes = f"{network.path} takes images {encoders.shape(declared)}, " if declared is not None else ""
        raise UsageError(
            f"{takes}which {dataset} cannot give: {tried}; try {size_}, {layout_} or another data set."
        )
    interface, (height, width) = fits[0]
    # images that are no squares are those of the file as they are
    side = height if height == width else wanted.size
    data = datasets.load(dataset, size=side, data_dir=data_dir)
    _check_steady(network, interface, data.shape)
    code, notes = _notes(network, wanted, data, fits)
    no_posterior = code.no_posterior or _doubt(network, interface, data, code.by_place)
    if code.by_place and no_posterior:
        notes = (*notes, f"{no_posterior}, so it is not taken for one")
    return Encoder(network, data, interface, no_posterior), notes


def _check_type(network: Network, input_range: str) -> None:
    """Refuses an input whose numbers are not those of the pixels, in which nearly all would become 0."""
    if network.dtype is None or network.dtype.is_floating_point:
        return
    kind = encoders.named(network.dtype)
    if network.dtype != torch.uint8:
        raise UsageError(
            f"{network.path} takes {kind}; export an encoder that takes float32 or uint8 images."
        )
    if input_range in ("0,1", "-1,1"):
        raise UsageError(
            f"{argument('input_range')} {input_range} was given, and {network.path} takes {kind}, 0 to 255; "
            "omit it."
        )


def _doubt(network: Network, interface: Interface, data: Dataset, by_place: str) -> str:
    """Why what stands where log-variances do can be none, by some images; "" if it can, or is called so."""
    if not by_place:
        return ""
    _, logvar = represent(
        network, interface, data.images(np.linspace(0, len(data) - 1, TRIED).astype(np.int64))
    )
    if logvar is None or not (logvar.isfinite() & (logvar.abs() <= MOST)).all():
        return f"{by_place} of {network.path} reaches what no log-variance does"
    if not (logvar < 0).any():
        return f"{by_place} of {network.path} is never negative, as a deviation is and a log-variance is not"
    return ""


def _refusal(network: Network, interface: Interface, images: Tensor) -> UsageError | None:
    try:
        represent(network, interface, images)
    except UsageError as error:
        return error
    return None


def offered(dataset: str, size: int | None, data_dir: Path | None) -> tuple[int, tuple[tuple[int, int], ...]]:
    """Channels, and (height, width) of the images on offer; by a manifest, so that none is made in vain."""
    base, _ = split_name(dataset)
    if is_own(base):
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
    first, again = (represent(network, interface, images)[0][0].double() for images in (one, other))
    if (first - again).abs().max() > 1e-3 * max(float(first.abs().max()), 1e-6):
        raise UsageError(
            f"the codes that {network.path} gives for an image depend on the batch or change between calls; "
            "export it in evaluation mode (model.eval()), without sampling."
        )


def _notes(
    network: Network, wanted: Wanted, data: Dataset, fits: list[tuple[Interface, tuple[int, int]]]
) -> tuple[Code, tuple[str, ...]]:
    """The code of some images, and what was found out and assumed; the first of `fits` is used."""
    interface, _ = fits[0]
    ready = interface.prepare(torch.zeros(interface.batch or 8, *data.shape), network.dtype)
    code = choose_code(network.path, _run(network, ready), interface, len(ready))
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
    return code, (*notes, code.note)


def _size(size: tuple[int, int]) -> str:
    return str(size[0]) if size[0] == size[1] else f"{size[0]}x{size[1]}"
