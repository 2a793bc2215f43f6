"""`disbench data`: list, info, fetch, verify, sample, classifier."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Annotated, Self

import typer

from disbench.benchmark.cli.deliver import Json, print_json
from disbench.benchmark.cli.terminal import DataDir, Plain, terminal
from disbench.benchmark.datasets.naming import is_own, split_name
from disbench.console import say
from disbench.errors import UsageError, argument

app = typer.Typer(help="List, download, verify and inspect data sets.", no_args_is_help=True)

Name = Annotated[
    str,
    typer.Argument(
        help="Name from `disbench data list`, or the path of an npz file, or of a folder of pictures with a "
        "slash at its end."
    ),
]
Size = Annotated[
    int | None,
    typer.Option("--size", help="Image size in pixels (default: the first size of the data set)."),
]


@app.command("list", cls=Plain)
def list_(data_dir: DataDir = None, json_: Json = False) -> None:
    """List all data sets with their contents and state."""
    from rich.console import Console
    from rich.table import Column, Table

    from disbench.benchmark.datasets import cache, inventory, manifest

    folder = cache.folder(data_dir)
    table = Table(Column("name", no_wrap=True), "images", "sizes", "channels", "factors or classes", "state")
    usable, unusable = manifest.usable()
    if json_:
        rows = [
            (
                facts.name,
                facts.count or None,
                list(facts.sizes),
                facts.channels,
                dict(facts.factors),
                len(facts.classes) or None,
                inventory.state(facts, folder),
            )
            for facts in usable
        ]
        columns = ["name", "images", "sizes", "channels", "factors", "classes", "state"]
        print_json("data list", "datasets", rows, columns, [*unusable, f"data folder: {folder}"])
        return
    for facts in usable:
        known = " x ".join(map(str, facts.factors.values())) or f"{len(facts.classes)} classes"
        table.add_row(
            facts.name,
            f"{facts.count:,}" if facts.count else "?",
            ", ".join(map(str, facts.sizes)),
            str(facts.channels),
            known if facts.factors or facts.classes else "-",
            inventory.state(facts, folder),
        )
    # as wide as the terminal, or as COLUMNS in a pipe
    console = Console()
    console.print(table)
    say(console, *unusable, f"data folder: {folder}")


@app.command(cls=Plain)
def info(name: Name, size: Size = None, data_dir: DataDir = None) -> None:
    """Show the manifest of a data set; for a name with options, also the class sizes."""
    from disbench.benchmark.datasets import cache, fetching, inventory, loading, manifest

    console = terminal()
    base, options = split_name(name)
    folder = cache.folder(data_dir)
    if not is_own(base):
        facts = manifest.read(base)
        loading.check_size(size, facts)
        say(
            console,
            f"{facts.name}: {facts.title}\npaper: {facts.paper}\nlicence: {facts.licence or 'see the notes'}",
        )
        say(
            console,
            f"{facts.notes.strip()}\nsizes: {', '.join(map(str, facts.sizes))}; channels: {facts.channels}",
        )
        for factor, values in facts.factors.items():
            say(console, f"factor {factor}: {values} values")
        for split, (start, stop) in facts.splits.items():
            say(console, f"split {facts.name}:{split}: {stop - start:,} images")
        for file in facts.files:
            kind = (
                f"sha256 {file.sha256}" if file.sha256 else f"md5 {file.md5}" if file.md5 else "no checksum"
            )
            length = f"{file.bytes:,} bytes" if file.bytes else "length not published"
            say(console, f"file {file.name}: {length}, {kind}{', optional' if file.optional else ''}")
            for url in file.urls:
                say(console, f"  {url}")
            say(console, f"  kept as {fetching.place(file, folder)}")
        say(console, f"state: {inventory.state(facts, folder)}")
        if not options and inventory.state(facts, folder) != "ready":
            return
    dataset = loading.load(name, size=size, data_dir=data_dir)
    say(console, f"{name}: {len(dataset):,} images of {dataset.shape}, content sha256 {dataset.sha256}")
    say(console, *dataset.notes)
    if dataset.labels is not None:
        counts = (dataset.class_prior * len(dataset)).round().astype(int)
        for k, count in enumerate(counts):
            label = dataset.classes[k] if dataset.classes else k
            say(console, f"class {k} ({label}): {count:,} images, {count / len(dataset):.4f}")


@app.command(cls=Plain)
def fetch(
    name: Name,
    source: Annotated[
        list[Path] | None,
        typer.Option(
            "--from",
            metavar="PATH",
            help="Use this local file, or the files in this folder, instead of downloading. Repeatable.",
        ),
    ] = None,
    size: Size = None,
    again: Annotated[bool, typer.Option("--again", help="Replace files that are already here.")] = False,
    data_dir: DataDir = None,
) -> None:
    """Download a data set (or copy local files), verify it and convert it."""
    from disbench.benchmark.datasets import fetching, loading, manifest

    console = terminal()
    # what is the user's own has no manifest
    facts = None if is_own(split_name(name)[0]) else manifest.read(name)
    if facts is not None:
        loading.check_size(size, facts)
    if facts is None or not facts.files:
        for option, given in (("sources", source), ("again", again)):
            if given:
                raise UsageError(f"{name!r} needs no file, so that {argument(option)} has no use; omit it.")
        say(console, f"{name} needs no download")
    else:
        with _Bar() as bar:
            fetching.fetch(
                facts,
                data_dir=data_dir,
                sources=source or (),
                again=again,
                say=functools.partial(say, console),
                progress=bar,
            )
    dataset = loading.load(name, size=size, data_dir=data_dir)
    say(
        console,
        f"{name} is ready: {len(dataset):,} images of {dataset.shape}, content sha256 {dataset.sha256}",
    )


@app.command(cls=Plain)
def verify(
    names: Annotated[
        list[str] | None, typer.Argument(help="Data sets to verify (default: all that are present).")
    ] = None,
    data_dir: DataDir = None,
    json_: Json = False,
) -> None:
    """Verify the checksums of all files present. Exit code 1 if any file is damaged."""
    from disbench.benchmark.datasets import cache, inventory, manifest

    console, folder = terminal(), cache.folder(data_dir)
    chosen, unusable = ([manifest.read(name) for name in names], []) if names else manifest.usable()
    damaged, rows = [], []
    for facts in chosen:
        for verdict in inventory.verify(facts, folder):
            if not json_:
                say(console, verdict.sentence)
            rows.append((facts.name, verdict.damaged, verdict.sentence))
            damaged.append(verdict.damaged)
    if json_:
        print_json("data verify", "files", rows, ["dataset", "damaged", "verdict"], unusable)
        if any(damaged):
            raise typer.Exit(1)
        return
    say(console, *unusable, f"{len(damaged)} files looked at, {sum(damaged)} damaged")
    if any(damaged):
        raise typer.Exit(1)


@app.command(cls=Plain)
def sample(
    name: Name,
    out: Annotated[Path, typer.Option("--out", help="PNG file to write.")],
    size: Size = None,
    columns: Annotated[int, typer.Option(min=2, max=100, help="Images in a row.")] = 10,
    seed: Annotated[int, typer.Option(min=0, help="Seed for the choice of random images.")] = 0,
    data_dir: DataDir = None,
) -> None:
    """Draw a data set: one factor varied in each row, or one class in each row, or images at random."""
    if out.suffix.lower() != ".png":
        raise UsageError(f"--out {out} was given, and the picture is a PNG; give a name that ends in .png.")
    from disbench.benchmark.datasets import loading
    from disbench.benchmark.datasets.sample import write

    dataset = loading.load(name, size=size, data_dir=data_dir)
    if seed and dataset.factor_sizes is not None:
        raise UsageError(
            f"{argument('seed')} chooses among images at random, and the images of {name!r} are chosen by "
            "their factors; omit it."
        )
    say(terminal(), f"{out}: {write(dataset, out, columns, seed)}")


@app.command(cls=Plain)
def classifier(
    name: Name,
    size: Size = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="Passes over the training images.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the weights and of the order of the images.")] = 0,
    data_dir: DataDir = None,
) -> None:
    """Train and save the classifier that evaluates the generated images for a labelled data set."""
    from disbench.benchmark.scoring.classifier import train_classifier

    console = terminal()
    kept = train_classifier(
        name,
        size=size,
        epochs=epochs,
        seed=seed,
        data_dir=data_dir,
        say=functools.partial(say, console),
    )
    say(console, f"kept for {kept.data}: {100 * kept.accuracy:.2f} % right, weights sha256 {kept.sha256}")


class _Bar:
    """The progress of a download with the interface that pooch asks for, drawn by rich."""

    def __init__(self) -> None:
        from rich.progress import BarColumn, DownloadColumn, Progress, TransferSpeedColumn

        self._progress = Progress(BarColumn(), DownloadColumn(), TransferSpeedColumn(), transient=True)
        self._task = self._progress.add_task("", total=None)

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._progress.stop()

    @property
    def total(self) -> float | None:
        return self._progress.tasks[0].total

    @total.setter
    def total(self, n_bytes: float) -> None:
        self._progress.update(self._task, total=n_bytes or None)

    def update(self, n_bytes: int) -> None:
        self._progress.advance(self._task, n_bytes)

    def reset(self) -> None:
        self._progress.reset(self._task, total=self.total)

    def close(self) -> None:
        self._progress.refresh()
