"""What `disbench score` takes: a checkpoint of disbench, a file of codes, or an encoder that someone trained.

`open_source` and its siblings make an `Opened` of each: a `scoring.Source` with the data that its codes are
of, so that `score` treats them all alike.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from torch import Tensor

from disbench import metrics, models
from disbench.benchmark import datasets, protocols
from disbench.benchmark.datasets.dataset import Dataset
from disbench.benchmark.datasets.reference import DataRef
from disbench.benchmark.protocols import MetricChoice
from disbench.benchmark.scoring import (
    apart,
    encoders,
    exports,
    files,
    formats,
    interface,
    plans,
    scoring,
    sides,
    tables,
)
from disbench.benchmark.scoring.encoded import Progress, Source
from disbench.benchmark.scoring.encoding import one_thread
from disbench.benchmark.scoring.entries import ScoreEntry
from disbench.benchmark.scoring.interface import Wanted as Wanted
from disbench.benchmark.scoring.trained import Trained
from disbench.benchmark.training import gpu
from disbench.errors import UsageError, argument, spelled, unknown
from disbench.metrics.conversion import as_array, check_aligned, columns, index
from disbench.models.checkpoint import KIND, Checkpoint, PickledError, load_tensors
from disbench.models.method import Method

MOST_BINS = 1000  # of a continuous factor
STANDARD = "beta_vae,factor_vae,mig,sap,modularity"  # quick ones, for what comes without a protocol


@dataclass(frozen=True)
class Usual:
    """The data that a source is taken to be of where neither its file nor the user says so.

    Attributes:
        name: of the data set.
        size: of its images, in pixels.
        of: whose data they are, in words.
    """

    name: str
    size: int
    of: str


@dataclass(frozen=True)
class SourceOptions:
    """What the user said about a file, array or module that is to be scored; "" or None for nothing.

    Attributes:
        dataset: the data set's name, for a source that does not name it.
        method: the disbench method to which a state dict belongs.
        config: named config of that method.
        changes: settings that differ from the config's.
        factory: `package.module:function` that builds the module for a state dict.
        wanted: how an encoder takes images, and which of its outputs is the code.
        device: "auto", "cpu" or "cuda"; of a checkpoint, a method or its state dict.
        data_dir: folder of the data sets; None for the usual one.
        array: the array of a file that holds the codes, or the columns of a table, as names or patterns.
        factors: factor values of codes that bring none: a file, or anything that holds numbers.
        rows: row numbers of codes that bring none.
        usual: the data that are assumed, and said to be; None for an error instead.

    Raises:
        UsageError: there is no such device.
    """

    dataset: str = ""
    method: str = ""
    config: str = ""
    changes: Mapping[str, object] = field(default_factory=dict)
    factory: str = ""
    wanted: Wanted = field(default_factory=Wanted)
    device: str = "auto"
    data_dir: Path | None = None
    array: str = ""
    factors: object = None
    rows: object = None
    usual: Usual | None = None

    def __post_init__(self) -> None:
        # what is not asked of the source is wrong all the same
        gpu.choose_device(self.device)


@dataclass(frozen=True)
class Opened:
    """A file, array or module that was opened and can be scored, with the data that its codes are of.

    Attributes:
        path: of its file, or what errors call it.
        title: what it is, in words.
        source: has its codes.
        data: the data set whose images or factors the codes are of.
        head: what its JSON begins with.
        dataset: name, size and sha256 of the data, as far as they are known.
        protocol: the one that it was trained under, or "".
        notes: sentences about what was found out or assumed, before their arguments are spelled.
    """

    path: Path
    title: str
    source: Source
    data: Dataset
    head: Mapping[str, object]
    dataset: Mapping[str, object]
    protocol: str = ""
    notes: tuple[str, ...] = ()

    @property
    def assumed(self) -> tuple[str, ...]:
        """Sentences about what was found out or assumed, in the words of Python."""
        return tuple(spelled(note) for note in self.notes)


# --- Opening: one function per kind of source ---


def open_source(path: Path, options: SourceOptions) -> Opened:
    """What is in a file, recognised by its content.

    Raises:
        UsageError: no file, of no known kind, damaged, hostile, or not fitting the data or the options.
    """
    kind = files.recognise(path)
    if options.method and options.factory:
        raise UsageError(
            f"{argument('method')} and {argument('factory')} both say how to build the model; give one of "
            "them."
        )
    built = bool(options.method or options.factory)
    if kind == "torch" and _is_checkpoint(path):
        _refuse_of_codes(path, options)
        refuse(path, "a disbench checkpoint, which says how it was built", options, *BUILD, *IMAGES)
        return _checkpoint(path, options)
    if built and kind not in files.TENSORS:
        raise UsageError(f"{path} is not a state dict; omit {argument('method')} and {argument('factory')}.")
    if kind in formats.READERS and not built:
        with formats.opened(path, kind) as content:
            if kind not in files.TENSORS or tables.holds_codes(content, options.array):
                refuse(path, "codes", options, *BUILD, *IMAGES)
                return _codes(content, path, kind, options)
    if built or kind not in files.TENSORS:
        _refuse_of_codes(path, options)
    if kind in files.TENSORS:
        return _state_dict(path, options)
    refuse(path, "an encoder, which is built already", options, *BUILD)
    title, _ = encoders.FORMATS[kind]
    return _encoder(apart.network(path, kind), kind, title, options)


# What says how a model is built, and how an encoder takes images; see `SourceOptions` and `Wanted`.
BUILD = ("method", "config", "settings", "factory")
IMAGES = ("input_range", "layout", "output")


def refuse(path: Path, is_: str, options: SourceOptions, *names: str) -> None:
    """Refuses options that would change nothing.

    Args:
        path: of the source, or what errors call it.
        is_: what it is, in words.
        options: those that were given.
        names: of those that this source has no use for, as the functions of `api` call them.
    """
    wanted = options.wanted
    given: dict[str, object] = {"method": options.method, "config": options.config}
    given |= {"settings": options.changes, "factory": options.factory, "input_range": wanted.input_range}
    given |= {"layout": wanted.layout, "output": wanted.output, "dataset": options.dataset}
    given |= {"size": wanted.size, "array": options.array}
    for name in names:
        if given[name]:
            raise UsageError(f"{argument(name)} has no effect: {path} is {is_}; omit it.")


def refuse_of_runs(path: Path, options: SourceOptions) -> None:
    """Refuses what belongs to a file, where a run is compared, which has its scores."""
    refuse(path, "a run, which has its scores", options, *BUILD, *IMAGES, "dataset", "size", "array")
    if options.factors is not None:
        raise UsageError(f"{argument('factors')} belongs to codes, but {path} is a run; omit it.")


def _refuse_of_codes(path: Path, options: SourceOptions) -> None:
    """Refuses what belongs to codes alone."""
    for name, given in (("array", options.array), ("factors", options.factors), ("rows", options.rows)):
        if given is not None and not (isinstance(given, str) and not given):
            raise UsageError(f"{argument(name)} belongs to codes, but {path} is a model; omit it.")


def _is_checkpoint(path: Path) -> bool:
    try:
        values = load_tensors(path)
    except PickledError:
        raise exports.pickled(path) from None
    return isinstance(values, dict) and values.get("kind") == KIND


def open_codes(codes: object, options: SourceOptions) -> Opened:
    """Codes in memory: an array or a tensor of any library, a list, or a frame with named columns.

    Raises:
        UsageError: they are not finite numbers, or do not fit the data.
    """
    named = columns(codes, "the frame")
    path = Path("the array" if named is None else "the frame")
    check_aligned(str(path), codes, options.factors)
    check_aligned(str(path), codes, options.rows, "codes and rows")
    labels = index(codes)
    placed = (
        options.rows is not None or options.factors is not None or not {"row", "rows"}.isdisjoint(named or ())
    )
    if labels is not None and not placed:
        raise UsageError(
            f"{path} has row labels (an index) of its own, so it is unclear which images its rows are of: "
            "pass "
            f"{argument('rows')}, or frame.reset_index(drop=True) if they are in the order of the data."
        )
    refuse(path, "codes", options, *BUILD, *IMAGES)
    content = formats.of_arrays({"": codes} if named is None else named, path, columns=named is not None)
    return _codes(content, path, "array", options)


def open_encoder(encoder: Callable[[Tensor], object], options: SourceOptions) -> Opened:
    """A function of images (b, c, h, w), or a module, in memory; a method of disbench among them.

    Raises:
        UsageError: it does not fit the data, or the outputs leave open which is the code.
    """
    name = type(encoder).__name__ if isinstance(encoder, torch.nn.Module) else "function"
    path = Path(f"the {name}")
    _refuse_of_codes(path, options)
    if isinstance(encoder, Method):
        refuse(path, "a method, which says how it was built", options, *BUILD, *IMAGES)
        data = datasets.load(
            _named(path, options)[0],
            size=options.wanted.size or encoder.data.shape[1],
            data_dir=options.data_dir,
        )
        if data.shape != encoder.data.shape:
            raise UsageError(f"{path} takes images {encoder.data.shape}, but {data.name} has {data.shape}.")
        where = torch.device(gpu.choose_device(options.device))
        source = Trained(encoder.to(where).eval(), data, where, options.data_dir)
        return _of_images(path, f"{name} in memory", source, data, "module", ())
    refuse(path, "an encoder, which is built already", options, *BUILD)
    if isinstance(encoder, torch.nn.Module):
        encoder.eval()
    return _encoder(encoders.Network(path, encoder), "module", f"{name} in memory", options)


def _checkpoint(path: Path, options: SourceOptions) -> Opened:
    saved = models.load_checkpoint(path)
    trained_on = saved.dataset.get("name")
    if options.dataset not in ("", trained_on):
        raise UsageError(
            f"{path} was trained on {trained_on}; scores on {argument('dataset')} {options.dataset} would "
            "not be comparable."
        )
    size = saved.dataset.get("size")
    if options.wanted.size not in (None, size):
        raise UsageError(
            f"{path} was trained on images of {size} pixels; scores on {argument('size')} "
            f"{options.wanted.size} would not be comparable."
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
    """The method of a checkpoint, the data set that it was trained on, and the device that was asked for.

    Raises:
        UsageError: the method or the data set is not here, or is another one; no such device.
    """
    where = gpu.choose_device(device)
    return saved.build(where), DataRef.read(saved.dataset).load(data_dir), torch.device(where)


def _codes(content: formats.Content, path: Path, kind: str, options: SourceOptions) -> Opened:
    names: tuple[str, ...] = ()
    usual, named = options.usual, options.dataset
    looked_up = named or (usual.name if usual is not None else "")
    if content.columns and looked_up:
        names = tables.factors_of(looked_up, options.wanted.size, options.data_dir).factor_names
    table = tables.of_content(content, path, options.array, names)
    table = tables.checked(_completed(table, path, options), path)
    said: tuple[str, ...] = ()
    size = options.wanted.size or table.size
    if usual is not None and not named and table.dataset is None:
        named = usual.name
        said = (f"the data set is taken to be {usual.name}, {usual.of} ({argument('dataset')})",)
    if usual is not None and size is None and (named or table.dataset) == usual.name:
        size = usual.size
        said = (*said, f"the image size is taken to be {size}, {usual.of} ({argument('size')})")
    source, data, assumed = tables.place(table, path, named, size, options.data_dir)
    assumed = (*said, *assumed, *_on_cpu("they are scored", options))
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


def _completed(table: tables.CodesTable, path: Path, options: SourceOptions) -> tables.CodesTable:
    """The table with the rows and factors that were given beside it."""
    for name, own, given in (
        ("rows", table.rows, options.rows),
        ("factors", table.factors, options.factors),
    ):
        if own is not None and given is not None:
            raise UsageError(f"{path} brings its own {name}; omit {argument(name)}.")
    if options.rows is not None:
        table = replace(table, rows=as_array(options.rows, f"{path}: rows"))
    if isinstance(options.factors, str | Path):
        file = Path(options.factors)
        kind = files.recognise(file)
        if kind not in formats.READERS:
            raise UsageError(
                f"{file} is not a table of factors; give {argument('factors')} as npz, npy or CSV."
            )
        try:
            with formats.opened(file, kind) as content:
                factors, said = tables.factors_in(content, file)
        except PickledError:
            raise exports.pickled(file) from None
        note = f"the factors are those of {file.name}, line by line"
        notes = (*table.assumed, note, *(f"{file.name}: {sentence}" for sentence in said))
        return replace(table, factors=factors, origin=file.name, beside=True, assumed=notes)
    if options.factors is not None:
        named = columns(options.factors, f"{path}: factors")
        if named is None:
            return replace(table, factors=options.factors, beside=True)
        own = {name.removeprefix("factor_"): named[name] for name in named}
        return replace(table, factors=own, beside=True)
    return table


def binned(one: Opened, bins: int | None) -> Opened:
    """With continuous factors in bins, for the metrics that need values; as it is without a number of bins.

    Raises:
        UsageError: too few or too many, or no factor is continuous.
    """
    if bins is None:
        return one
    if not 2 <= bins <= MOST_BINS:
        raise UsageError(
            f"{argument('bins')} {bins!r} was given; give a whole number from 2 to {MOST_BINS:,}."
        )
    table = one.data.factor_table
    if table is None or not any(table.continuous):
        raise UsageError(
            f"{argument('bins')} is for continuous factors, and {one.data.name} has none; omit it."
        )
    cut = table.binned(bins)
    data = replace(one.data, factor_table=cut)
    return replace(one, data=data, notes=(*one.notes, cut.said[-1]))


def _encoder(network: encoders.Network, kind: str, title: str, options: SourceOptions) -> Opened:
    dataset, said = _named(network.path, options)
    wanted, usual = options.wanted, options.usual
    if usual is not None and dataset == usual.name and wanted.size is None:
        # one that takes images of any size sees those of the usual size
        try:
            encoder, assumed = interface.fit(
                network, replace(wanted, size=usual.size), dataset, options.data_dir
            )
        except UsageError:
            encoder, assumed = interface.fit(network, wanted, dataset, options.data_dir)
    else:
        encoder, assumed = interface.fit(network, wanted, dataset, options.data_dir)
    assumed = (*said, *assumed, *_on_cpu("it is computed", options))
    return _of_images(network.path, title, encoder, encoder.data, kind, assumed)


def _on_cpu(what: str, options: SourceOptions) -> tuple[str, ...]:
    """A sentence if a GPU was asked for, which these sources do not use."""
    if not options.device.startswith("cuda"):
        return ()
    return (f"{what} on the CPU: {argument('device')} is for methods of disbench",)


def _of_images(
    path: Path, title: str, source: Source, data: Dataset, kind: str, assumed: tuple[str, ...]
) -> Opened:
    # a run records one side, and of images that are no squares this records both
    square = data.shape[1] == data.shape[2]
    about = {"name": data.name, "size": data.shape[1] if square else data.shape[1:], "sha256": data.sha256}
    notes = (*data.notes, *assumed)
    return Opened(path, title, source, data, {"file": str(path), "kind": kind}, about, "", notes)


def _named(path: Path, options: SourceOptions) -> tuple[str, tuple[str, ...]]:
    """The data set whose images are encoded, and a sentence if it is assumed."""
    if options.dataset:
        return options.dataset, ()
    usual = options.usual
    if usual is None:
        raise files.without_images(path)
    return usual.name, (f"the data set is taken to be {usual.name}, {usual.of} ({argument('dataset')})",)


def _state_dict(path: Path, options: SourceOptions) -> Opened:
    """Weights for the module that a factory builds, or for a method of disbench."""
    weights, assumed = encoders.state_dict(path)
    if not (options.method or options.factory):
        raise UsageError(
            f"{path} is not a disbench checkpoint but a state dict of {len(weights)} tensors; say what they "
            f"belong to with {argument('factory')} package.module:function or {argument('method')} NAME, or "
            f"which of them holds codes with {argument('array')} NAME."
        )
    (dataset, said), size = _named(path, options), options.wanted.size
    if size is None and options.usual is not None and dataset == options.usual.name:
        size = options.usual.size
    if options.factory:
        refuse(path, "built by the factory", options, "config", "settings")
        channels, sizes = interface.offered(dataset, size, options.data_dir)
        network = encoders.from_factory(path, options.factory, (channels, *sizes[0]))
        return _encoder(network, "state dict", f"{options.factory} with a state dict", options)
    refuse(path, "of a method, which takes images in one way", options, *IMAGES)
    data = datasets.load(dataset, size=size, data_dir=options.data_dir)
    config = models.configure(options.method, options.config or "paper", options.changes)
    method = models.build(options.method, config, data.info, seed=0)
    notes = encoders.load_strictly(method, weights, path, f"{argument('method')} {options.method}")
    where = torch.device(gpu.choose_device(options.device))
    source = Trained(method.to(where).eval(), data, where, options.data_dir)
    note = (
        f"config {options.config or 'paper'} on images of {data.shape[1]} pixels "
        f"({argument('config')}, {argument('settings')}, {argument('size')})"
    )
    title = f"{options.method} with a state dict"
    return _of_images(path, title, source, data, "state dict", (*said, *assumed, *notes, note))


# --- Scoring what was opened ---


def choose(opened: Sequence[Opened], text: str = "", preset: str = "") -> tuple[MetricChoice, ...]:
    """The metrics that all are scored with: those named, else their protocol's, else the standard ones.

    Where none of these is defined on any of the data, those that need no labels.

    Args:
        opened: what will be scored.
        text: names of metrics, with presets after a colon, separated by commas; or "".
        preset: the preset of every metric that has it and was not given one, or "".

    Raises:
        UsageError: unknown names, no metric has the preset, or several protocols and no `text`.
    """
    under = {one.protocol for one in opened}
    if len(under) > 1 and not text:
        raise UsageError(
            "these models were trained under several protocols "
            f"({', '.join(sorted(name or 'none' for name in under))}); choose the metrics with "
            f"{argument('metrics')}."
        )
    (protocol,) = under if len(under) == 1 else ("",)
    choices = choose_for(protocol, text)
    if text or not protocol:
        given = [":" in part for part in (text or STANDARD).split(",") if part.strip()]
    else:
        given = [False] * len(choices)
    if not text and all(plans.undefined(choice, one.data) for choice in choices for one in opened):
        # such as images without labels
        choices = protocols.choose_metrics(",".join(protocols.LABEL_FREE))
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
        choice.model_copy(update={"preset": preset, "settings": {}}).resolved() if has else choice
        for choice, has in zip(choices, having, strict=True)
    )


def choose_for(protocol: str, text: str) -> tuple[MetricChoice, ...]:
    """The metrics named in a text, or else those of a protocol, or of "" the standard ones."""
    if text or not protocol:
        return protocols.choose_metrics(text or STANDARD)
    return protocols.of_record(protocol).metrics


def score(
    opened: Sequence[Opened],
    choices: Sequence[MetricChoice],
    *,
    draws: int = 1,
    progress: Progress | None = None,
    jobs: int = 1,
    tell: Callable[[str], None] | None = None,
    live: str = "",
    early: Callable[[ScoreEntry], None] | None = None,
) -> list[list[ScoreEntry]]:
    """The entries of `scoring.score` for each; on a CPU by one thread, as in a run.

    Where a metric failed, its entry has the traceback, even if there is no score besides.

    Args:
        opened: what is scored.
        choices: the metrics.
        draws: independent draws of each metric.
        progress: called during long work.
        jobs: processes for the metrics that can use several.
        tell: is called with a sentence for each metric that will take minutes.
        live: the rule by which codes count; "" for that of each preset, and for a second score beside it
            where some codes have collapsed.
        early: is called with each entry that is there while images are still encoded for others.

    Raises:
        UsageError: they are of different data, for one of them no metric can be computed, or the rule is
            unknown or needs a posterior that one of them does not have.
    """
    names = sorted({one.data.name for one in opened})
    if len(names) > 1:
        raise UsageError(
            f"these models are of several data sets ({', '.join(names)}); score each data set separately."
        )
    with one_thread():
        for one in opened:
            try:
                scoring.check_rule(live, one.source)
            except UsageError as error:
                raise UsageError(f"{one.path}: {error.marked}") from None
        scores = [
            sides.score(
                one.source,
                one.data,
                choices,
                progress,
                jobs,
                draws,
                tell=tell,
                live=live,
                beside=not live,
                early=early,
            )
            for one in opened
        ]
    for one, entries in zip(opened, scores, strict=True):
        failed = any(entry.traceback for entry in entries)
        if all(entry.score is None for entry in entries) and not failed:
            raise UsageError(f"{one.path}: no metric can be computed: {entries[0].reason}")
    return scores


def as_json(
    one: Opened, entries: Sequence[ScoreEntry], spell: Callable[[str], str] = str
) -> dict[str, object]:
    """Everything as plain values; the notes of all but checkpoints, with arguments spelled by `spell`."""
    assumed = {} if "checkpoint" in one.head else {"assumed": [spelled(note, spell) for note in one.notes]}
    return {
        **one.head,
        "dataset": dict(one.dataset),
        **assumed,
        "scores": [entry.plain(spell) for entry in entries],
    }
