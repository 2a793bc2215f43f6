"""`disbench score`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from disbench.benchmark.cli.deliver import Format, Json, Shown, choose, deliver, spare
from disbench.benchmark.cli.terminal import DataDir, Device, option, settings_of, table, terminal
from disbench.console import say
from disbench.errors import UsageError, spelled

if TYPE_CHECKING:
    from rich.console import Console

    from disbench.benchmark.scoring.entries import ScoreEntry
    from disbench.benchmark.scoring.sources import Opened

LISTED = 20  # codes whose KL fits into a line


def score(
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="FILE...",
            help="checkpoint.pt of a run; codes as npz, npy, HDF5, MATLAB, CSV, Parquet, Arrow, .pt or "
            "safetensors; an encoder as TorchScript, torch.export (pt2), ONNX or a state dict. Several files "
            "are "
            "shown in one table.",
        ),
    ],
    metrics: Annotated[
        str,
        typer.Option(
            help="Metrics, optionally with a preset (factor_vae:ibgan); default: the protocol's, or else "
            "some quick ones."
        ),
    ] = "",
    preset: Annotated[str, typer.Option(help="Preset, for every metric that has one of this name.")] = "",
    dataset: Annotated[
        str, typer.Option(help="Data set of the codes or the encoder, unless the file names it.")
    ] = "",
    array: Annotated[
        str,
        typer.Option(
            help="Array of the file, or columns of a table, that are the codes, such as 'z*' (default: "
            "codes, or what is clearly codes)."
        ),
    ] = "",
    factors: Annotated[
        Path | None, typer.Option(help="File of the factor values (n, k), for codes that bring none.")
    ] = None,
    bins: Annotated[
        int | None,
        typer.Option(help="Bins of equal width for continuous factors, for the metrics that need values."),
    ] = None,
    repeats: Annotated[
        int | None,
        typer.Option(
            help="Number of independent repetitions of each metric, shown as mean, std, min and max "
            "(default: as many as its cost allows, on rows that are encoded anyway, and its chance)."
        ),
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="A tenth of the votes of metrics that vote: fewer images.")
    ] = False,
    adjusted: Annotated[
        bool,
        typer.Option("--adjusted", help="Show (score - chance) / (perfect - chance) as well."),
    ] = False,
    live: Annotated[
        str,
        typer.Option(
            help="Which codes count: kl (KL to the prior of .1 nats or more, for codes with a posterior), "
            "std (standard deviation of .05 or more) or none (all); default: each preset's own rule."
        ),
    ] = "",
    method: Annotated[str, typer.Option(help="disbench method to which a state dict belongs.")] = "",
    config: Annotated[str, typer.Option(help="Named config of --method (default: paper).")] = "",
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="FIELD=VALUE", help="Change a setting of --method. Repeatable."),
    ] = None,
    factory: Annotated[
        str, typer.Option(help="package.module:function that builds the module for a state dict.")
    ] = "",
    input_range: Annotated[
        str,
        typer.Option(
            help="Pixel range that the encoder, or the network of --features, expects: 0,1 (assumed by "
            "default), -1,1, 0,255 or uint8."
        ),
    ] = "",
    layout: Annotated[
        str, typer.Option(help="Image layout: nchw, nhwc or flat (default: the first that fits).")
    ] = "",
    size: Annotated[
        int | None, typer.Option(help="Image size in pixels (default: the first that fits).")
    ] = None,
    output: Annotated[
        str,
        typer.Option(help="Output that is the code: a name, a number or first-half (default: detected)."),
    ] = "",
    generator: Annotated[
        bool,
        typer.Option(
            "--generator",
            help="Judge the generator instead of the encoder: quality of its pictures, and disentanglement "
            "of its codes. FILE is a checkpoint.pt, or a decoder as torch.export (pt2), TorchScript or ONNX.",
        ),
    ] = False,
    pictures: Annotated[
        int | None, typer.Option(help="Pictures that --generator draws (default: 10,000).")
    ] = None,
    features: Annotated[
        Path | None,
        typer.Option(
            help="Network of features for FID and others with --generator, as pt2, TorchScript or ONNX "
            "(default: the frozen classifier of labelled data)."
        ),
    ] = None,
    latents: Annotated[
        int | None, typer.Option(help="Latents that a decoder takes, unless its file says so.")
    ] = None,
    prior: Annotated[
        str, typer.Option(help="Prior of a decoder's latents: normal (default) or uniform in [-1, 1].")
    ] = "",
    format_: Format = "",
    json_: Json = False,
    out: Annotated[Path | None, typer.Option(help="File to write.")] = None,
    device: Device = "auto",
    data_dir: DataDir = None,
) -> None:
    """Score checkpoints, codes, or encoders that you trained yourself, or the generator of a model."""
    from rich.console import Console

    from disbench.benchmark.scoring.files import check

    if generator:
        # what belongs to codes alone, and was given
        others = {"preset": preset, "array": array, "factors": factors, "bins": bins, "repeats": repeats}
        others |= {"quick": quick, "adjusted": adjusted, "live": live, "factory": factory}
        if stray := [name for name, value in others.items() if value not in (None, "", False)]:
            raise UsageError(f"--{stray[0]} is of codes, and --generator judges pictures; omit one of them.")
    else:
        alone = {"pictures": pictures, "features": features, "latents": latents, "prior": prior or None}
        if stray := [name for name, value in alone.items() if value is not None]:
            raise UsageError(f"--{stray[0]} belongs to --generator; give both or neither.")
    # what a first look shows, before torch is imported
    changed = settings_of(set_ or [], method)
    for path in files:
        check(path, dataset, factors is not None)
    kind = choose(format_, json_, out)
    spare(out, [*files, *([factors] if factors is not None else []), *([features] if features else [])])
    if generator and (kind not in ("terminal", "json") or (kind == "terminal" and out is not None)):
        raise UsageError(
            "--generator has tables of several shapes, which fit no single one; give --json, or omit "
            "--format and --out."
        )
    from disbench.benchmark import api
    from disbench.benchmark.cli.generator import show, tabled
    from disbench.benchmark.scoring import sources
    from disbench.benchmark.scoring.judged import PICTURES

    if generator:
        judged = [
            api.judge(
                path,
                metrics=metrics,
                dataset=dataset,
                pictures=PICTURES if pictures is None else pictures,
                features=features,
                input_range=input_range,
                layout=layout,
                latents=latents,
                prior=prior,
                method=method,
                config=config,
                settings=changed,
                size=size,
                output=output,
                device=device,
                data_dir=data_dir,
                console=Console(stderr=True),
            )
            for path in files
        ]
        if kind == "json":
            details = [one.plain(option) for one in judged]
            deliver("score", tabled(judged), kind, out, details)
        else:
            for one in judged:
                show(terminal(), one)
        return
    options = sources.SourceOptions(
        dataset=dataset,
        method=method,
        config=config,
        changes=changed,
        factory=factory,
        wanted=sources.Wanted(input_range, layout, size, output),
        device=device,
        data_dir=data_dir,
        array=array,
        factors=factors,
    )
    opened = [sources.open_source(path, options) for path in files]
    progress = Console(stderr=True)
    if adjusted and repeats is not None:
        raise UsageError("--adjusted needs the chance of each score, which --repeats leaves out; give one.")
    scored = api.score_all(
        opened,
        metrics=metrics,
        preset=preset,
        bins=bins,
        repeats=repeats,
        quick=quick,
        live=live,
        console=progress,
    )
    opened, scores = [one.opened for one in scored], [one.scores for one in scored]
    if kind == "terminal" and out is None:
        if len(opened) == 1:
            _show_one(terminal(), opened[0], scores[0], adjusted)
        else:
            _show_several(terminal(), opened, scores, adjusted)
    else:
        details = [sources.as_json(one, entries, option) for one, entries in zip(opened, scores, strict=True)]
        deliver("score", [_tabled(opened, scores, adjusted)], kind, out, details)
    if any(all(entry.score is None for entry in entries) for entries in scores):
        raise typer.Exit(1)


def _number(entry: ScoreEntry, adjusted: bool = False) -> str:
    """The score with its spread, or the adjusted one."""
    if not adjusted:
        return entry.number()
    if entry.score is None or entry.adjusted is None:
        return "–"
    return f"{entry.adjusted:.4f}"


def _range(entry: ScoreEntry) -> str:
    """The range of several draws."""
    draws = entry.draws
    return f"{draws.min:.4f} to {draws.max:.4f}" if draws is not None and draws.min is not None else "–"


def _tabled(opened: Sequence[Opened], scores: Sequence[Sequence[ScoreEntry]], adjusted: bool) -> Shown:
    """The scores as one table in every form: in that of papers, a row for each model."""
    import pandas as pd

    from disbench.benchmark.runs.rows import measured
    from disbench.leaderboards import wide

    rows = [
        {
            "model": str(one.path),
            "is": one.title,
            "dataset": one.data.name,
            "metric": entry.metric,
            "preset": entry.label,
            "score": entry.headline,
            **measured(entry),
            "adjusted": entry.adjusted,
            "higher_is_better": entry.higher_is_better,
            "reason": entry.why(option) or "",
        }
        for one, entries in zip(opened, scores, strict=True)
        for entry in entries
    ]
    frame = pd.DataFrame(rows)
    named = wide.headings(frame)
    value = "adjusted" if adjusted else "score"
    lines = []
    for model, group in frame.groupby("model", sort=False):
        spreads = [math.nan if adjusted else each for each in group["spread"].astype(float)]
        numbers = group[value].astype(float)
        cells = {
            named[metric, preset]: wide.Cell(mean, std)
            for metric, preset, mean, std in zip(
                group["metric"], group["preset"], numbers, spreads, strict=True
            )
        }
        lines.append(wide.Line({"model": str(model)}, cells))
    chances = (
        frame.assign(chance=frame["chance"].astype(float)).groupby(["metric", "preset"])["chance"].mean()
    )
    if chances.notna().any() and not adjusted:
        cells = {
            named[metric, preset]: wide.Cell(mean)
            for metric, preset, mean in chances.reset_index().itertuples(index=False)
        }
        lines.append(wide.Line({"model": "by chance"}, cells, ranked=False))
    paper = wide.wide(wide.columns_of(frame), lines)
    numbers_are = (
        "(score - chance) / (perfect - chance)" if adjusted else "score ± spread over draws of the metric"
    )
    title = (
        f"{len(opened)} models on {opened[0].data.name}"
        if len(opened) > 1
        else (f"{opened[0].title} on {opened[0].data.name}")
    )
    told = [spelled(note, option) for one in opened for note in one.notes]
    told += [f"{e.name}: {text}" for entries in scores for e in entries for text in e.warnings]
    missing = [
        f"{e.name}: no score: {e.why(option)}" for entries in scores for e in entries if e.score is None
    ]
    caption = f"{title}; {numbers_are}{paper.legend}; {wide.presets(frame)}"
    text = paper.text.astype(str)
    notes = list(dict.fromkeys([*told, *missing]))
    return Shown("scores", text, frame, title, notes, paper, caption, list(dict.fromkeys(missing)))


def _show_one(console: Console, one: Opened, entries: Sequence[ScoreEntry], adjusted: bool) -> None:
    import pandas as pd

    columns = {"metric": [e.metric for e in entries], "preset": [e.label for e in entries]}
    columns["score"] = [_number(entry) for entry in entries]
    if any(entry.shuffled for entry in entries):
        columns["by chance"] = [entry.by_chance for entry in entries]
        if adjusted:
            columns["adjusted"] = [_number(entry, adjusted=True) for entry in entries]
    elif any(entry.draws for entry in entries):
        columns["range"] = list(map(_range, entries))
    say(console, f"{one.title} on {one.data.name}")
    _show_assumed(console, one)
    console.print(table(pd.DataFrame(columns)))
    _show_measure(console, entries)
    _show_codes(console, entries)
    for entry in entries:
        _show_settings(console, entry)
        _show_warnings(console, entry)


def _show_several(
    console: Console, opened: Sequence[Opened], scores: Sequence[Sequence[ScoreEntry]], adjusted: bool
) -> None:
    """One row per model, one column per metric, and a row of what chance scores."""
    import pandas as pd

    names = [entry.name for entry in scores[0]]
    columns = [
        e.name if names.count(e.name) == 1 else f"{e.metric}:{e.preset}{e.name.removeprefix(e.metric)}"
        for e in scores[0]
    ]
    rows = [
        {
            "model": str(one.path),
            "is": one.title,
            **{column: _number(entry, adjusted) for column, entry in zip(columns, entries, strict=True)},
        }
        for one, entries in zip(opened, scores, strict=True)
    ]
    if any(entry.shuffled for entry in scores[0]) and not adjusted:
        # of each metric, over the models
        levels = [
            [e.shuffled.mean for e in one if e.shuffled and e.shuffled.mean is not None]
            for one in zip(*scores, strict=True)
        ]
        shown = [f"{sum(level) / len(level):.4f}" if level else "–" for level in levels]
        rows.append({"model": "by chance", "is": "", **dict(zip(columns, shown, strict=True))})
    say(console, f"{len(opened)} models on {opened[0].data.name}")
    for one in opened:
        _show_assumed(console, one, f"{one.path}: ")
    console.print(table(pd.DataFrame(rows)))
    _show_measure(console, scores[0])
    for one, entries in zip(opened, scores, strict=True):
        _show_codes(console, entries, f"{one.path}: ")
    for entry in scores[0]:
        _show_settings(console, entry)
    for one, entries in zip(opened, scores, strict=True):
        for entry in entries:
            _show_warnings(console, entry, f"{one.path}: ")


def _show_measure(console: Console, entries: Sequence[ScoreEntry]) -> None:
    """What stands behind the numbers of the table."""
    if any(entry.std is not None for entry in entries):
        say(console, "±: standard deviation over draws of the metric, of this one model")
    if any(entry.shuffled for entry in entries):
        say(console, "by chance: the same codes, with factors shuffled over the images")


def _show_assumed(console: Console, one: Opened, before: str = "") -> None:
    say(console, *(f"{before}{spelled(note, option)}" for note in one.notes))


def _show_codes(console: Console, entries: Sequence[ScoreEntry], before: str = "") -> None:
    """The KL of each code where some have collapsed, and the scores that these move."""
    from disbench.metrics.live import KL

    kl = next((entry.kl for entry in entries if entry.kl is not None), ())
    # JSON knows no infinity
    numbers = [math.inf if each is None else each for each in kl]
    dead = sum(each < KL for each in numbers)
    if dead:
        # of a category there is none
        texts = ["–" if each is None else f"{each:.2f}" for each in kl]
        listed = f": {', '.join(texts)}" if len(kl) <= LISTED else ""
        say(
            console,
            f"{before}{dead} of {len(kl)} codes have collapsed, their KL is below {KL:g} nats{listed}",
        )
    for entry in entries:
        if entry.beside is not None and entry.moved:
            other = entry.beside
            number = _number(replace(entry, score=other.score, draws=other.draws, shuffled=None))
            codes = (
                f"all {other.codes} codes"
                if other.rule == "none"
                else f"the {other.live} live codes of {other.codes}"
            )
            say(console, f"{before}{entry.metric}:{entry.preset} of {codes}: {number}")


def _show_settings(console: Console, entry: ScoreEntry) -> None:
    if entry.settings:
        used = ", ".join(f"{name}={value}" for name, value in entry.settings.items())
        say(console, f"{entry.name}: {used}")


def _show_warnings(console: Console, entry: ScoreEntry, before: str = "") -> None:
    say(console, *(f"{before}{entry.name}: {warning}" for warning in entry.warnings))
    if entry.score is None:
        where = "; its traceback is in what --json prints" if entry.traceback else ""
        say(console, f"{before}{entry.name}: no score: {entry.why(option)}{where}")
