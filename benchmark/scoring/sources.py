"""What `disbench score` takes: a checkpoint of disbench, a file of codes, or an encoder that someone trained.

Each becomes a `scoring.Source` with the data that its codes are of, so that one path scores them all.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from disbench import metrics, models
from disbench.benchmark import datasets, protocols
from disbench.benchmark.datasets.dataset import Dataset
from disbench.benchmark.datasets.reference import DataRef
from disbench.benchmark.protocols import MetricChoice
from disbench.benchmark.scoring import encoders, files, interface, scoring, tables
from disbench.benchmark.scoring.entries import ScoreEntry
from disbench.benchmark.scoring.interface import Wanted as Wanted
from disbench.benchmark.scoring.scoring import Progress, Source
from disbench.benchmark.scoring.trained import Trained
from disbench.benchmark.training import gpu
from disbench.errors import UsageError, argument, unknown
from disbench.models.checkpoint import KIND, Checkpoint, load_tensors
from disbench.models.method import Method

STANDARD = "beta_vae,factor_vae,mig,sap,modularity"  # quick ones, for what comes without a protocol
ENCODERS = {"torchscript": encoders.scripted, "pt2": encoders.exported, "onnx": encoders.onnx}
TITLES = {"torchscript": "a TorchScript encoder", "pt2": "a torch.export encoder", "onnx": "an ONNX encoder"}


@dataclass(frozen=True)
class SourceOptions:
    """What the user said beside the file; "" or None where nothing was said.

    Attributes:
        dataset: the data set's name, for what does not say it itself.
        method, config, changes: the disbench method whose state dict it is, its named config, changed fields.
        factory: `package.module:function` that makes the module whose state dict it is.
        wanted: how an encoder wants its images.
    """

    dataset: str = ""
    method: str = ""
    config: str = ""
    changes: Mapping[str, object] = field(default_factory=dict)
    factory: str = ""
    wanted: Wanted = field(default_factory=Wanted)
    device: str = "auto"
    data_dir: Path | None = None


@dataclass(frozen=True)
class Opened:
    """Something that can be scored.

    Attributes:
        title: what it is, in words.
        head: what its JSON begins with.
        dataset: name, size and sha256 of the data, as far as they are known.
        protocol: the one that it was trained under, or "".
        assumed: sentences about what was found out or assumed.
    """

    path: Path
    title: str
    source: Source
    data: Dataset
    head: Mapping[str, Any]
    dataset: Mapping[str, Any]
    protocol: str = ""
    assumed: tuple[str, ...] = ()


def open_source(path: Path, options: SourceOptions) -> Opened:
    """What is in a file, recognised by its content.

    Raises:
        UsageError: no file, of no known kind, damaged, hostile, or not fitting the data or the options.
    """
    kind = files.recognise(path)
    if options.method and options.factory:
        raise UsageError("--method and --factory both say how to build the model; give one of them.")
    if kind == "torch":
        values = load_tensors(path)
        own = isinstance(values, dict) and values.get("kind") == KIND
        return _checkpoint(path, options) if own else _state_dict(path, options)
    if options.method or options.factory:
        raise UsageError(f"{path} is no state dict, so leave out --method and --factory: nothing is built.")
    if kind in tables.READERS:
        return _codes(path, kind, options)
    return _encoder(ENCODERS[kind](path), kind, TITLES[kind], options)


def open_codes(table: tables.CodesTable, options: SourceOptions) -> Opened:
    """Codes in memory.

    Raises:
        UsageError: they are no finite numbers, or do not fit the data.
    """
    return _placed(tables.checked(table, Path("the array")), Path("the array"), "array", options)


def open_encoder(encoder: Callable[[Tensor], Any], options: SourceOptions) -> Opened:
    """A function of images (b, c, h, w), or a module, in memory; a method of disbench among them.

    Raises:
        UsageError: it does not fit the data, or the outputs leave open which is the code.
    """
    name = type(encoder).__name__ if isinstance(encoder, torch.nn.Module) else "function"
    path = Path(f"the {name}")
    if isinstance(encoder, Method):
        data = datasets.load(
            _named(path, options),
            size=options.wanted.size or encoder.data.shape[1],
            data_dir=options.data_dir,
        )
        if data.shape != encoder.data.shape:
            raise UsageError(f"{path} takes images {encoder.data.shape}, but {data.name} has {data.shape}.")
        where = torch.device(gpu.choose_device(options.device))
        source = Trained(encoder.to(where).eval(), data, where, options.data_dir)
        return _of_images(path, f"{name} in memory", source, data, "module", ())
    if isinstance(encoder, torch.nn.Module):
        encoder.eval()
    return _encoder(encoders.Network(path, encoder), "module", f"{name} in memory", options)


def _checkpoint(path: Path, options: SourceOptions) -> Opened:
    saved = models.load_checkpoint(path)
    trained_on = saved.dataset.get("name")
    if options.dataset not in ("", trained_on):
        raise UsageError(
            f"{path} was trained on {trained_on}; with {argument('dataset')} {options.dataset} it would not "
            "compare."
        )
    method, data, device = revive(saved, options.device, options.data_dir)
    return Opened(
        path,
        f"{saved.method}, seed {saved.seed}, {saved.step:,} steps",
        Trained(method, data, device, options.data_dir),
        data,
        {"checkpoint": str(path), "method": saved.method, "seed": saved.seed, "step": saved.step},
        dict(saved.dataset),
        saved.protocol,
    )


def revive(saved: Checkpoint, device: str, data_dir: Path | None) -> tuple[Method, Dataset, torch.device]:
    """The method of a checkpoint, the data set that it was trained on, and the device that was asked for."""
    where = gpu.choose_device(device)
    return saved.build(where), DataRef.read(saved.dataset).load(data_dir), torch.device(where)


def _codes(path: Path, kind: files.Kind, options: SourceOptions) -> Opened:
    return _placed(tables.read(path, kind), path, kind, options)


def _placed(table: tables.CodesTable, path: Path, kind: str, options: SourceOptions) -> Opened:
    size = options.wanted.size or table.size
    source, data, assumed = tables.place(table, path, options.dataset, size, options.data_dir)
    n, d = table.codes.shape
    return Opened(
        path,
        f"{n:,} x {d} codes",
        source,
        data,
        {"file": str(path), "kind": kind},
        {"name": data.name, "size": size, "sha256": data.sha256 or None},
        table.protocol or "",
        assumed,
    )


def _encoder(network: encoders.Network, kind: str, title: str, options: SourceOptions) -> Opened:
    dataset = _named(network.path, options)
    encoder, assumed = interface.fit(network, options.wanted, dataset, options.data_dir)
    return _of_images(network.path, title, encoder, encoder.data, kind, assumed)


def _of_images(
    path: Path, title: str, source: Source, data: Dataset, kind: str, assumed: tuple[str, ...]
) -> Opened:
    about = {"name": data.name, "size": data.shape[1], "sha256": data.sha256}
    return Opened(path, title, source, data, {"file": str(path), "kind": kind}, about, "", assumed)


def _named(path: Path, options: SourceOptions) -> str:
    if not options.dataset:
        raise UsageError(f"{path} does not say which images to encode; name the data set with --dataset.")
    return options.dataset


def _state_dict(path: Path, options: SourceOptions) -> Opened:
    """Weights for the module that --factory makes, or for a method of disbench."""
    weights, assumed = encoders.state_dict(path)
    if not (options.method or options.factory):
        raise UsageError(
            f"{path} is not a disbench checkpoint but a state dict of {len(weights)} tensors; say what they "
            "are of with --factory package.module:function or --method NAME."
        )
    dataset, size = _named(path, options), options.wanted.size
    if options.factory:
        channels, sizes = interface.offered(dataset, size, options.data_dir)
        network = encoders.from_factory(path, options.factory, (channels, sizes[0], sizes[0]))
        return _encoder(network, "state dict", f"{options.factory} with a state dict", options)
    data = datasets.load(dataset, size=size, data_dir=options.data_dir)
    config = models.configure(options.method, options.config or "paper", options.changes)
    method = models.build(options.method, config, data.info, seed=0)
    encoders.load_strictly(method, weights, path, f"--method {options.method}")
    where = torch.device(gpu.choose_device(options.device))
    source = Trained(method.to(where).eval(), data, where, options.data_dir)
    told = f"config {options.config or 'paper'} on images of {data.shape[1]} pixels (--config, --set, --size)"
    title = f"{options.method} with a state dict"
    return _of_images(path, title, source, data, "state dict", (*assumed, told))


def choose(opened: Sequence[Opened], text: str = "", preset: str = "") -> tuple[MetricChoice, ...]:
    """The metrics that all are scored with: those named, else their protocol's, else the standard ones.

    Args:
        text: metrics as in `--metrics`, or "".
        preset: the preset of every metric that has it and was not given one, or "".
    """
    under = {one.protocol for one in opened}
    if len(under) > 1 and not text:
        raise UsageError(
            f"these are of several protocols ({', '.join(sorted(name or 'none' for name in under))}); say "
            "what to score with --metrics."
        )
    (protocol,) = under if len(under) == 1 else ("",)
    if text or not protocol:
        choices = protocols.choose_metrics(text or STANDARD)
        given = [":" in part for part in (text or STANDARD).split(",") if part.strip()]
    else:
        choices = protocols.get(protocol).metrics
        given = [False] * len(choices)
    if not preset:
        return choices
    having = [
        not own and preset in metrics.get(c.name).presets for c, own in zip(choices, given, strict=True)
    ]
    if not any(having):
        known = {name for choice in choices for name in metrics.get(choice.name).presets}
        raise unknown("preset of these metrics", preset, known)
    return tuple(
        MetricChoice(name=choice.name, preset=preset).resolved() if has else choice
        for choice, has in zip(choices, having, strict=True)
    )


def score(
    opened: Sequence[Opened],
    choices: Sequence[MetricChoice],
    *,
    draws: int = 1,
    progress: Progress | None = None,
    jobs: int = 1,
) -> list[list[ScoreEntry]]:
    """The entries of `scoring.score` for each; on a CPU by one thread, as in a run.

    Raises:
        UsageError: they are of different data, or for one of them no metric can be computed.
    """
    names = sorted({one.data.name for one in opened})
    if len(names) > 1:
        raise UsageError(f"these are of several data sets ({', '.join(names)}); score those of each apart.")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # the last digits depend on it
    try:
        found = [scoring.score(one.source, one.data, choices, progress, jobs, draws) for one in opened]
    finally:
        torch.set_num_threads(threads)
    for one, entries in zip(opened, found, strict=True):
        if all(entry.score is None for entry in entries):
            raise UsageError(f"{one.path}: no metric can be computed: {entries[0].reason}")
    return found


def as_json(one: Opened, entries: Sequence[ScoreEntry]) -> dict[str, Any]:
    """Everything as plain values; what was assumed of all but checkpoints."""
    assumed = {} if "checkpoint" in one.head else {"assumed": list(one.assumed)}
    return {
        **one.head,
        "dataset": dict(one.dataset),
        **assumed,
        "scores": [entry.plain() for entry in entries],
    }
