"""`disbench samples` and `disbench traverse`, and what `disbench score --generator` shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from disbench.benchmark.cli.deliver import Shown
from disbench.benchmark.cli.plot import PICTURES, WIDTHS, write
from disbench.benchmark.cli.terminal import DataDir, Device, line, option, settings_of, table, terminal
from disbench.console import say
from disbench.errors import UsageError, spelled, unknown
from disbench.files import unwritable

if TYPE_CHECKING:
    from rich.console import Console

    from disbench.benchmark.api import JudgedGenerator
    from disbench.benchmark.datasets.dataset import Dataset
    from disbench.benchmark.scoring.judged import ByFeatures, OnGrid
    from disbench.leaderboards.plots import Width
    from disbench.metrics.followed import Followed

# What the shares of `quality` are, for people.
WORDS = {
    "fidelity": "1 - wrong pixels / white pixels, mean",
    "on": "readable pictures",
    "empty": "empty pictures",
    "double": "pictures with two or more sprites",
    "off": "pictures that show no image of the grid",
    "coverage": "pairs of factor values, of those in real draws",
    "recall": "coarse combinations of all factors, of real draws",
    "rare": "the same of the tenth that is drawn least",
    "duplicates": "pictures that repeat another",
}
FULL = 100  # samples of a sheet
DRAWN = (".png", ".gif")  # endings of what is written
FARTHEST = 1e30  # value of a code in a traversal


def tabled(judged: Sequence[JudgedGenerator]) -> list[Shown]:
    """The numbers of generators as tables for programs; `JudgedGenerator.plain` has everything."""
    import pandas as pd

    quality, scores, distances = [], [], []
    for one in judged:
        head = {"model": str(one.opened.path), "dataset": one.opened.data.name}
        if (grid := one.judged.grid) is not None:
            shares, real = grid.quality.shares, grid.quality.real
            quality += [
                {**head, "quality": name, "pictures": shares[name], "real": real.get(name)} for name in WORDS
            ]
            scores += [
                {
                    **head,
                    "metric": e.metric,
                    "preset": e.label,
                    "score": e.score,
                    "reason": e.why(option) or "",
                }
                for e in grid.entries
            ]
        if (found := one.judged.features) is not None:
            distances += [
                {**head, "distance": name, "mean": draws.mean, "std": draws.std}
                for name, draws in found.values.items()
            ]
    named = {"quality": quality, "scores": scores, "distances": distances}
    return [Shown(name, pd.DataFrame(rows), pd.DataFrame(rows)) for name, rows in named.items() if rows]


def show(console: Console, one: JudgedGenerator) -> None:
    """Everything that was measured on a generator, in tables."""
    # only here, since it loads torch
    from disbench.benchmark.scoring.judged import is_real

    say(console, f"{one.opened.title}: {one.opened.path}, pictures of {one.opened.data.name}")
    say(console, *(spelled(note, option) for note in one.opened.notes))
    say(console, *(spelled(sentence, option) for sentence in one.judged.missing))
    if one.judged.grid is not None:
        _show_grid(console, one.judged.grid)
    if one.judged.features is not None:
        _show_features(console, one.judged.features)
    follows = one.judged.followed or {}
    for name, found in follows.items():
        if not is_real(name):
            _show_followed(console, name, found, one.judged.classes)
    if real := {name: found for name, found in follows.items() if is_real(name)}:
        _show_levels(console, real)


def _show_grid(console: Console, grid: OnGrid) -> None:
    import numpy as np
    import pandas as pd

    quality = grid.quality
    rows = [
        {
            "quality": name,
            "pictures": f"{quality.shares[name]:.4f}"
            + (f" ± {grid.spread[name]:.4f}" if name in grid.spread else ""),
            "real draws": f"{quality.real[name]:.4f}" if name in quality.real else "",
            "is": words,
        }
        for name, words in WORDS.items()
    ]
    console.print(table(pd.DataFrame(rows)))
    errors = ", ".join(f"{name} {value:.3f}" for name, value in quality.error.items())
    say(console, f"{grid.n:,} pictures ({grid.how}); wrong pixels over white ones: {errors}")
    say(
        console,
        f"coverage of each factor: {_listed(quality.coverage)}",
        f"balance of each factor: {_listed(quality.balance)}",
    )
    entries = grid.entries
    if entries:
        scores = {
            "metric of the generator": [entry.metric for entry in entries],
            "preset": [entry.label for entry in entries],
            "score": [entry.number() for entry in entries],
            "by chance": [entry.by_chance for entry in entries],
        }
        console.print(table(pd.DataFrame(scores)))
        say(
            console,
            "codes that were drawn against factors that were read"
            + (f"; {grid.dropped:,} empty pictures are left out" if grid.dropped else ""),
        )
        for entry in entries:
            say(console, *(f"{entry.metric}: {warning}" for warning in entry.warnings))
            if entry.score is None:
                say(console, f"{entry.metric}: no score: {entry.why(option)}")
    effects = pd.DataFrame(
        [[f"{value:.2f}" for value in row] for row in grid.effects], columns=list(grid.factors)
    )
    effects.insert(0, "code", list(grid.codes))
    if len(grid.cycle):
        effects["read back, r^2"] = [f"{value:.2f}" for value in grid.cycle]
    console.print(table(effects))
    say(console, "share of each factor's variance that goes with a code, all others known")
    if grid.agreement:
        say(
            console,
            f"encoder and oracle agree on pictures: {_listed(grid.agreement)}",
            f"and on real images: {_listed(grid.agreement_real)}",
        )
    if any(np.isnan(list(grid.agreement.values()))):
        say(console, "–: a factor that neither of them sees change")


def _listed(values: Mapping[str, float]) -> str:
    return ", ".join(
        f"{name} {value:.3f}" if value == value else f"{name} –" for name, value in values.items()
    )


def _show_features(console: Console, found: ByFeatures) -> None:
    import pandas as pd

    rows = [
        {
            "distance": name,
            "mean": _number(draws.mean),
            "std": _number(draws.std),
            "over draws": _range(draws),
        }
        for name, draws in found.values.items()
    ]
    console.print(table(pd.DataFrame(rows)))
    say(
        console,
        f"by {found.d} features of {found.net}; {found.n:,} pictures and as many real images a draw",
        *(spelled(note, option) for note in found.assumed),
        *found.warnings,
    )


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f}"


def _range(draws: object) -> str:
    low, high = getattr(draws, "min", None), getattr(draws, "max", None)
    return f"{_number(low)} to {_number(high)}"


def _show_followed(console: Console, name: str, found: Followed, classes: tuple[str, ...]) -> None:
    import pandas as pd

    rows = [
        {
            "": what,
            f"share of {name}": f"{share:.3f}",
            "within one class": f"{found.within[what]:.3f}" if what in found.within else "",
        }
        for what, share in found.shares.items()
    ]
    console.print(table(pd.DataFrame(rows)))
    pairs = ", ".join(
        f"{category} -> {classes[label]} ({purity:.0%})"
        for category, (label, purity) in enumerate(zip(found.classes, found.purity, strict=True))
    )
    what = found.leader if found.leader == "nothing" else f"the {found.leader}"
    say(console, f"{name} follows {what}; category -> class: {pairs}")
    if found.dropped:
        say(console, f"{found.dropped:,} black pictures have no moments")


def _show_levels(console: Console, real: Mapping[str, Followed]) -> None:
    """What real codes follow, a row for each: shares within one class, and the moment from end to end."""
    import pandas as pd

    rows = []
    for name, found in real.items():
        ends = found.means.get(found.leader)
        rows.append(
            {
                "code": name,
                "class": f"{found.shares['class']:.3f}",
                **{moment: f"{share:.3f}" for moment, share in found.within.items()},
                "follows": found.leader,
                "from": "" if ends is None else f"{ends[0]:.3f}",
                "to": "" if ends is None else f"{ends[-1]:.3f}",
            }
        )
    console.print(table(pd.DataFrame(rows)))
    say(
        console,
        "the share that a code decides, of the class and, within one class, of the rest; from its least to "
        "its greatest level, the mean of what it follows",
    )


Out = Annotated[
    Path | None,
    typer.Option(help="Path of the pictures, without file extension (default: beside the checkpoint)."),
]
Read = Annotated[
    bool,
    typer.Option("--read", help="Write what the oracle reads under each picture, for a complete grid."),
]


def samples(
    file: Annotated[
        Path, typer.Argument(help="checkpoint.pt of a run, or a decoder (pt2, TorchScript, ONNX).")
    ],
    out: Out = None,
    count: Annotated[int, typer.Option(help=f"Number of samples, 1 to {FULL}.")] = 40,
    seed: Annotated[int, typer.Option(help="Seed of the samples.")] = 0,
    read: Read = False,
    dataset: Annotated[str, typer.Option(help="Data set of a decoder's pictures.")] = "",
    size: Annotated[int | None, typer.Option(help="Image size of a decoder's pictures.")] = None,
    latents: Annotated[
        int | None, typer.Option(help="Latents that a decoder takes, unless its file says so.")
    ] = None,
    prior: Annotated[
        str, typer.Option(help="Prior of a decoder's latents: normal (default) or uniform in [-1, 1].")
    ] = "",
    output: Annotated[str, typer.Option(help="Output of a decoder that is the pictures.")] = "",
    device: Device = "auto",
    data_dir: DataDir = None,
) -> None:
    """Draw a sheet of samples as PNG."""
    from disbench.benchmark.runs import pictures
    from disbench.benchmark.scoring import decoders, sources

    stem = _stem(out, file, "samples")
    if not 1 <= count <= FULL or seed < 0:
        raise UsageError(f"--count {count} and --seed {seed} were given; give 1 to {FULL}, and 0 or more.")
    options = sources.SourceOptions(
        dataset=dataset, wanted=sources.Wanted(size=size, output=output), device=device, data_dir=data_dir
    )
    opened = decoders.open_generator(file, options, decoders.Latents(latents, prior))
    console = terminal()
    say(console, *(spelled(note, option) for note in opened.notes))
    path = pictures.named(stem, ".png")
    try:
        pictures.write_samples(opened.generator, opened.data, path, count, seed, read)
    except OSError as error:
        raise unwritable(path.parent, error) from None
    if read:
        say(console, pictures.legend(opened.data))
    line(path)


def traverse(
    file: Annotated[
        Path,
        typer.Argument(
            help="checkpoint.pt of a run, a state dict with --method, or a decoder (pt2, TorchScript, ONNX)."
        ),
    ],
    out: Out = None,
    steps: Annotated[int, typer.Option(help="Pictures per code.")] = 10,
    range_: Annotated[
        str,
        typer.Option(
            "--range",
            help="First and last value of each code, such as -2,2 (default: the method's; of a decoder, two "
            "standard deviations of its prior, or all of a uniform one).",
        ),
    ] = "",
    start: Annotated[
        int | None,
        typer.Option(
            help="Row of the data set to start from (default: the middle of the grid); for a decoder with "
            "--encoder."
        ),
    ] = None,
    read: Read = False,
    encoder: Annotated[
        Path | None,
        typer.Option(
            help="Encoder of a decoder, or its codes: every row starts from the code of --start (default: "
            "from the middle of the prior)."
        ),
    ] = None,
    dataset: Annotated[str, typer.Option(help="Data set of a decoder's pictures, or of a state dict.")] = "",
    size: Annotated[int | None, typer.Option(help="Image size of a decoder's pictures.")] = None,
    latents: Annotated[
        int | None, typer.Option(help="Latents that a decoder takes, unless its file says so.")
    ] = None,
    prior: Annotated[
        str, typer.Option(help="Prior of a decoder's latents: normal (default) or uniform in [-1, 1].")
    ] = "",
    output: Annotated[str, typer.Option(help="Output of a decoder that is the pictures.")] = "",
    method: Annotated[str, typer.Option(help="disbench method to which a state dict belongs.")] = "",
    config: Annotated[str, typer.Option(help="Named config of --method (default: paper).")] = "",
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="Change a setting of --method: field=value. Repeatable.")
    ] = None,
    width: Annotated[
        str,
        typer.Option(
            metavar="|".join(WIDTHS),
            help="Draw a figure of this width for a paper as well, as PNG, SVG and PDF.",
        ),
    ] = "",
    device: Device = "auto",
    data_dir: DataDir = None,
) -> None:
    """Draw latent traversals as PNG and GIF, of a checkpoint or of a decoder of your own."""
    from disbench import models
    from disbench.benchmark.runs import pictures
    from disbench.benchmark.scoring import decoders, encoders, files, sources
    from disbench.benchmark.scoring.trained import Trained
    from disbench.leaderboards import titles

    if not 2 <= steps <= 100:
        raise UsageError(f"--steps {steps} was given; give 2 to 100 pictures per code.")
    ends, console, stem = _ends(range_), terminal(), _stem(out, file, "traversal")
    if width not in ("", *WIDTHS):
        raise unknown("width", width, WIDTHS)
    title = file.name
    options = sources.SourceOptions(
        dataset=dataset,
        method=method,
        config=config,
        changes=settings_of(set_ or [], method),
        wanted=sources.Wanted(size=size, output=output),
        device=device,
        data_dir=data_dir,
    )
    kind = files.recognise(file)
    if kind in encoders.FORMATS:
        if start is not None and encoder is None:
            raise UsageError("--start is the row whose code --encoder gives; give both or neither.")
        opened = decoders.open_generator(file, options, decoders.Latents(latents, prior))
        walked: models.Method | decoders.Walk
        data, where = opened.data, opened.generator.device
        _check_row(start, data)
        code = None
        if encoder is not None:
            encodes = sources.open_source(encoder, replace(options, wanted=sources.Wanted(size=size)))
            row = pictures.starting_row(data) if start is None else start
            code = decoders.start_of(encodes, row)
            say(console, *(spelled(note, option) for note in encodes.notes))
        walked = decoders.Walk(opened, prior, code)
        say(console, *(spelled(note, option) for note in opened.notes))
    else:
        for name, given in (("encoder", encoder), ("latents", latents), ("prior", prior), ("output", output)):
            if given:
                raise UsageError(f"--{name} belongs to a decoder, and {file} is none; omit it.")
        if kind not in files.TENSORS:
            raise UsageError(
                f"{file} draws no pictures; give a checkpoint.pt of a run, a state dict with --method, or a "
                "decoder as torch.export (pt2), TorchScript or ONNX."
            )
        if method:
            loaded = sources.open_source(file, options).source
            # of a state dict with a method, the source is that
            assert isinstance(loaded, Trained)
            walked, data, where = loaded.method, loaded.data, loaded.device
        else:
            if config:
                raise UsageError("--config is a named config of --method, which was not given.")
            if dataset or size:
                raise UsageError(
                    f"{file} names its data set, if it is a checkpoint; omit --dataset and --size, or give "
                    "--method for a state dict."
                )
            saved = models.load_checkpoint(file)
            walked, data, where = sources.revive(saved, device, data_dir)
            title = f"{titles.training(saved.method, saved.variant)} on {data.name}, seed {saved.seed}"
        _check_row(start, data)
    try:
        sheet = pictures.write_traversal(walked, data, where, stem, steps, ends, start, read)
    except OSError as error:
        raise unwritable(stem.parent, error) from None
    if read:
        say(console, pictures.legend(data))
    line(pictures.named(stem, ".png"))
    line(pictures.named(stem, ".gif"))
    if width:
        from disbench.leaderboards import plots

        figure = plots.side_by_side([("", sheet)], title, width=cast("Width", width))
        write({f"{stem.name}-{width}": figure}, stem.parent)


def _stem(out: Path | None, file: Path, name: str) -> Path:
    """The path of the pictures without their extension, which someone may have given all the same."""
    if out is None:
        # not with_name: `.` and `/` have no name, and are refused where they are opened
        return file.parent / name
    if out.name in ("", ".."):
        raise UsageError(f"--out {out} is a folder; give the path of the pictures, without file extension.")
    ending = out.suffix.lower()
    if ending in PICTURES and ending not in DRAWN:
        raise UsageError(
            f"--out {out} was given, and pictures are {' and '.join(DRAWN)}; give their path without file "
            "extension."
        )
    return out.with_suffix("") if ending in DRAWN else out


def _check_row(start: int | None, data: Dataset) -> None:
    if start is not None and not 0 <= start < len(data):
        raise UsageError(f"--start {start} was given; {data.name} has the rows 0 to {len(data) - 1:,}.")


def _ends(text: str) -> tuple[float, float] | None:
    """`-2,2` as two numbers; None of ""."""
    import math

    if not text:
        return None
    try:
        low, high = (float(part) for part in text.split(","))
    except ValueError:
        low = high = math.nan
    # single precision takes no more, nor the distance of two such
    if not (-FARTHEST <= low < high <= FARTHEST):
        raise UsageError(
            f"--range {text!r} was given; give two numbers in ascending order, such as -2,2, of at most "
            f"{FARTHEST:g} in size."
        )
    return low, high
