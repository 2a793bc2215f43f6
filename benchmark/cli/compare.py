"""`disbench compare`."""

from __future__ import annotations

import glob
import itertools
from pathlib import Path
from typing import Annotated

import typer

from disbench.benchmark.cli.deliver import Format, Json, Shown, choose, deliver, spare
from disbench.benchmark.cli.terminal import DataDir, Device, option, settings_of
from disbench.console import say
from disbench.errors import UsageError, spelled


def compare(
    files: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="FILE...",
            help="Codes, checkpoints or encoders, all that `disbench score` takes, or the folder of a run. "
            "Several files are the seeds of one row.",
        ),
    ] = None,
    with_: Annotated[
        list[str] | None,
        typer.Option(
            "--with",
            help="What to compare with: a kept result (mini), a protocol, published numbers (published, or "
            "one source such as infogan-cr), or the folder of a run. Repeatable.",
        ),
    ] = None,
    name: Annotated[str, typer.Option(help="Name of the row of FILE... (default: mine).")] = "",
    row: Annotated[
        list[str] | None,
        typer.Option(
            help="A further row: NAME=FILE, or NAME='PATTERN' such as 'ours=out/seed-*/codes.npz', whose "
            "files are its seeds. Repeatable."
        ),
    ] = None,
    metrics: Annotated[
        str,
        typer.Option(help="Metrics to compare by, such as mig,dci:ibgan (default: all that --with has)."),
    ] = "",
    dataset: Annotated[
        str, typer.Option(help="Data set of codes or an encoder (default: the file's, else that of --with).")
    ] = "",
    array: Annotated[str, typer.Option(help="Array or columns that hold the codes.")] = "",
    factors: Annotated[
        Path | None, typer.Option(help="File of the factor values (n, k), for codes that bring none.")
    ] = None,
    method: Annotated[str, typer.Option(help="disbench method to which a state dict belongs.")] = "",
    config: Annotated[str, typer.Option(help="Named config of --method (default: paper).")] = "",
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="Change a setting of --method: field=value. Repeatable.")
    ] = None,
    factory: Annotated[
        str, typer.Option(help="package.module:function that builds the module for a state dict.")
    ] = "",
    input_range: Annotated[str, typer.Option(help="Pixel range that the encoder expects.")] = "",
    layout: Annotated[str, typer.Option(help="Image layout of the encoder: nchw, nhwc or flat.")] = "",
    size: Annotated[
        int | None, typer.Option(help="Image size in pixels (default: the file's, else that of --with).")
    ] = None,
    output: Annotated[str, typer.Option(help="Output of the encoder that is the code.")] = "",
    device: Device = "auto",
    data_dir: DataDir = None,
    results: Annotated[
        Path | None,
        typer.Option(help="Folder of the kept results (default: leaderboards/results of this checkout)."),
    ] = None,
    format_: Format = "",
    json_: Json = False,
    out: Annotated[
        Path | None,
        typer.Option(
            help="File to write; the pairs and the per-seed scores are written beside it, as STEM-pairs and "
            "STEM-scores."
        ),
    ] = None,
) -> None:
    """Compare models of your own with kept results and published numbers that were measured alike."""
    from rich.console import Console

    from disbench.benchmark import api
    from disbench.benchmark.runs.shelf import saved
    from disbench.leaderboards import comparison

    kind = choose(format_, json_, out)
    settings = settings_of(set_ or [], method)
    rows = mine(files or [], name, row or [])
    given = [*itertools.chain(*rows.values()), *([factors] if factors is not None else [])]
    spare(out, [*given, *map(Path, with_ or []), *saved(results)])
    found = api.compare(
        rows if row else next(iter(rows.values())),
        with_ or [],
        name="" if row else name,
        metrics=metrics,
        dataset=dataset,
        array=array,
        factors=factors,
        method=method,
        config=config,
        settings=settings,
        factory=factory,
        input_range=input_range,
        layout=layout,
        size=size,
        output=output,
        device=device,
        data_dir=data_dir,
        results=results,
        console=Console(stderr=True),
    )
    numbers = found.numbers
    said = [spelled(note, option) for note in found.notes]
    paper, caption, remarks = comparison.paper(numbers)
    several = numbers.pairs["mine"].nunique() > 1
    pairs = Shown("pairs", comparison.pairs_as_texts(numbers), numbers.pairs, "Which row of mine is better")
    beside = {"scores": numbers.scores} | ({} if several else {"pairs": numbers.pairs})
    tables = [
        Shown(
            "comparison",
            comparison.texts(numbers),
            numbers.frame,
            found.title,
            [*comparison.notes(numbers), *said],
            paper,
            f"{found.title}; {caption}",
            [*remarks, *(note for note in said if note.startswith("not compared"))],
            beside,
        )
    ]
    # of one row, the table says so itself
    show_pairs = kind == "json" or (several and kind in ("terminal", "csv", "parquet"))
    deliver("compare", [*tables, *([pairs] if show_pairs else [])], kind, out)
    if kind in ("csv", "parquet", "latex", "markdown", "html"):
        # these forms hold at most some of the sentences
        say(Console(stderr=True), *said)


def mine(files: list[Path], name: str, rows: list[str]) -> dict[str, list[Path]]:
    """The files of each row, by its name.

    Raises:
        UsageError: no file, two rows of one name, or a row without a file.
    """
    named: dict[str, list[Path]] = {}
    if files:
        named[name or "mine"] = files
    elif name:
        raise UsageError("--name names the row of FILE..., and no file was given; give both, or --row.")
    for text in rows:
        key, found = _row(text)
        if key in named:
            raise UsageError(f"two rows are called {key}; give each a name of its own.")
        named[key] = found
    if not named:
        raise UsageError("there is nothing to compare; give FILE..., or --row NAME=FILE.")
    return named


def _row(text: str) -> tuple[str, list[Path]]:
    """`ours=out/*/codes.npz` as name and files; they are divided by the first = behind which files follow."""
    places = [i for i, letter in enumerate(text) if letter == "="]
    for place in places:
        found = [Path(path) for path in sorted(glob.glob(text[place + 1 :].strip()))]
        if text[:place].strip() and found:
            return text[:place].strip(), found
    if not places:
        raise UsageError(f"--row {text!r} is not of the form NAME=FILE, such as ours='out/seed-*/codes.npz'.")
    raise UsageError(f"--row {text!r} names no file that is here; give NAME=FILE or NAME='PATTERN'.")
