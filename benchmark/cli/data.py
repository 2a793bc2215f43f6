"""`disbench data`: list, info, fetch, verify, sample, classifier."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from disbench.errors import UsageError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from disbench.benchmark.datasets.dataset import Dataset
    from disbench.benchmark.datasets.manifest import Manifest

app = typer.Typer(
    help="Data sets: what there is, where it comes from, whether it is whole.", no_args_is_help=True
)

Name = Annotated[str, typer.Argument(help="A data set of `disbench data list`, or the path of an npz file.")]
DataDir = Annotated[
    Path | None,
    typer.Option("--data-dir", help="Folder of the data; else $DISBENCH_DATA, else the user's cache."),
]
Size = Annotated[
    int | None, typer.Option("--size", help="Pixels a side; the data set's first size by default.")
]


@app.command("list")
def list_(data_dir: DataDir = None) -> None:
    """Every data set, what it holds, and whether it is ready."""
    from rich.console import Console
    from rich.table import Column, Table

    from disbench.benchmark.datasets import cache, manifest

    folder = cache.folder(data_dir)
    table = Table(Column("name", no_wrap=True), "images", "sizes", "channels", "factors or classes", "state")
    found, unusable = manifest.usable()
    for facts in found:
        known = " x ".join(map(str, facts.factors.values())) or f"{len(facts.classes)} classes"
        table.add_row(
            facts.name,
            f"{facts.count:,}" if facts.count else "?",
            ", ".join(map(str, facts.sizes)),
            str(facts.channels),
            known if facts.factors or facts.classes else "-",
            _state(facts, folder),
        )
    Console().print(table)
    for sentence in unusable:
        typer.echo(sentence)
    typer.echo(f"data folder: {folder}")


@app.command()
def info(name: Name, size: Size = None, data_dir: DataDir = None) -> None:
    """All that is known about a data set; for a name with options also its class sizes."""
    from disbench.benchmark.datasets import cache, fetching, loading, manifest

    base, options = loading.split_name(name)
    folder = cache.folder(data_dir)
    if not base.endswith(".npz"):
        facts = manifest.read(base)
        typer.echo(
            f"{facts.name}: {facts.title}\npaper: {facts.paper}\nlicence: {facts.licence or 'see the notes'}"
        )
        typer.echo(
            f"{facts.notes.strip()}\nsizes: {', '.join(map(str, facts.sizes))}; channels: {facts.channels}"
        )
        for factor, values in facts.factors.items():
            typer.echo(f"factor {factor}: {values} values")
        for split, (start, stop) in facts.splits.items():
            typer.echo(f"split {facts.name}:{split}: {stop - start:,} images")
        for file in facts.files:
            kind = (
                f"sha256 {file.sha256}" if file.sha256 else f"md5 {file.md5}" if file.md5 else "no checksum"
            )
            length = f"{file.bytes:,} bytes" if file.bytes else "length not published"
            typer.echo(f"file {file.name}: {length}, {kind}{', optional' if file.optional else ''}")
            for url in file.urls:
                typer.echo(f"  {url}")
            typer.echo(f"  kept as {fetching.place(file, folder)}")
        typer.echo(f"state: {_state(facts, folder)}")
        if not options and _state(facts, folder) != "ready":
            return
    dataset = loading.load(name, size=size, data_dir=data_dir)
    typer.echo(f"{name}: {len(dataset):,} images of {dataset.shape}, content sha256 {dataset.sha256}")
    if dataset.labels is not None:
        counts = (dataset.class_prior * len(dataset)).round().astype(int)
        for k, count in enumerate(counts):
            label = dataset.classes[k] if dataset.classes else k
            typer.echo(f"class {k} ({label}): {count:,} images, {count / len(dataset):.4f}")


@app.command()
def fetch(
    name: Name,
    source: Annotated[
        list[Path] | None, typer.Option("--from", help="A file of yours, or a folder that holds the files.")
    ] = None,
    size: Size = None,
    again: Annotated[bool, typer.Option("--again", help="Replace files that are already here.")] = False,
    data_dir: DataDir = None,
) -> None:
    """Download (or take from you), check, and convert a data set."""
    from disbench.benchmark.datasets import fetching, loading, manifest

    facts = manifest.read(name)
    if not facts.files:
        typer.echo(f"{name} needs no download")
    with _Bar() as bar:
        fetching.fetch(
            facts, data_dir=data_dir, sources=source or (), again=again, say=typer.echo, progress=bar
        )
    dataset = loading.load(name, size=size, data_dir=data_dir)
    typer.echo(
        f"{name} is ready: {len(dataset):,} images of {dataset.shape}, content sha256 {dataset.sha256}"
    )


@app.command()
def verify(
    names: Annotated[
        list[str] | None, typer.Argument(help="Data sets; all that are here by default.")
    ] = None,
    data_dir: DataDir = None,
) -> None:
    """Read every byte that is here and compare the checksums. Exit code 1 if anything is damaged."""
    from disbench.benchmark.datasets import cache, fetching, manifest

    folder = cache.folder(data_dir)
    bad = found = 0
    every, unusable = ([manifest.read(name) for name in names], []) if names else manifest.usable()
    for facts in every:
        name = facts.name
        for file in facts.files:
            path = fetching.place(file, folder)
            if path.exists():
                found += 1
                try:
                    typer.echo(f"{name}: {path} is right, checked by {fetching.check(file, path)}")
                except UsageError as error:
                    bad += 1
                    typer.echo(f"{name}: {error}")
        for size in facts.sizes:
            path = facts.path(size, folder)
            if path.exists():
                found += 1
                try:
                    stored = cache.verify(path)
                    expected = facts.content_sha256.get(size, stored.sha256)
                    if stored.sha256 != expected:
                        raise cache.UnusableError(f"{path} holds {stored.sha256}, expected {expected}")
                    typer.echo(f"{name}: {path} is whole, content sha256 {stored.sha256}")
                except cache.UnusableError as error:
                    bad += 1
                    typer.echo(f"{name}: {error}; delete it and it is made again")
    for sentence in unusable:
        typer.echo(sentence)
    typer.echo(f"{found} files looked at, {bad} damaged")
    if bad:
        raise typer.Exit(1)


@app.command()
def sample(
    name: Name,
    out: Annotated[Path, typer.Option("--out", help="The PNG file to write.")],
    size: Size = None,
    columns: Annotated[int, typer.Option(min=2, help="Pictures in a row.")] = 10,
    seed: Annotated[int, typer.Option(help="Of the images that are drawn at random.")] = 0,
    data_dir: DataDir = None,
) -> None:
    """Draw a data set: one factor varied in each row, or one class in each row, or images at random."""
    import numpy as np

    from disbench.benchmark.datasets import cache, loading

    dataset = loading.load(name, size=size, data_dir=data_dir)
    rows, what = sample_rows(dataset, columns, np.random.default_rng(seed))
    picture = _tiles(dataset.images(rows.ravel()).numpy(), columns)
    with cache.replacing(out.absolute()) as temporary:
        from PIL import Image

        Image.fromarray(picture).save(temporary, format="PNG")
    typer.echo(f"{out}: {what}")


@app.command()
def classifier(
    name: Name,
    size: Size = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="Passes over the training images.")] = None,
    seed: Annotated[int, typer.Option(help="Of the weights and the order of images.")] = 0,
    data_dir: DataDir = None,
) -> None:
    """Train and keep the frozen classifier that evaluates generated images of a labelled data set."""
    from disbench.benchmark.scoring.classifier import train_classifier

    kept = train_classifier(name, size=size, epochs=epochs, seed=seed, data_dir=data_dir, say=typer.echo)
    typer.echo(f"kept for {kept.data}: {100 * kept.accuracy:.2f} % right, weights sha256 {kept.sha256}")


def sample_rows(
    dataset: "Dataset", columns: int, rng: "np.random.Generator"
) -> tuple["NDArray[np.int64]", str]:
    """Rows (r, columns) to draw, and what they show."""
    import numpy as np

    if dataset.factor_sizes is not None:
        grid = dataset.grid
        middle = np.array(grid.sizes) // 2
        lines = []
        for k in grid.varying:
            factors = np.tile(middle, (columns, 1))
            factors[:, k] = np.linspace(0, grid.sizes[k] - 1, columns).round()
            lines.append(grid.rows(factors))
        varied = ", ".join(grid.names[k] for k in grid.varying)
        return np.stack(lines), f"one factor varied in each row, from the top: {varied}"
    if dataset.labels is not None:
        present = np.unique(dataset.labels)
        picked = [rng.choice(np.flatnonzero(dataset.labels == k), columns) for k in present]
        return np.stack(picked), "one class in each row, in their order"
    return rng.integers(0, len(dataset), (columns, columns)), "images drawn at random"


def _tiles(images: "NDArray[np.float32]", columns: int) -> "NDArray[np.uint8]":
    """Images (r * columns, c, h, w) in [0, 1] as one picture with a grey line between them."""
    import numpy as np

    n, _, h, w = images.shape
    framed = np.full((n, 3, h + 1, w + 1), 128, np.uint8)
    framed[:, :, :h, :w] = np.rint(255 * images).astype(np.uint8)
    lines = framed.reshape(n // columns, columns, 3, h + 1, w + 1)
    return np.ascontiguousarray(lines.transpose(0, 3, 1, 4, 2).reshape(-1, columns * (w + 1), 3))


def _state(facts: "Manifest", folder: Path) -> str:
    from disbench.benchmark.datasets import fetching, manifest

    if any(facts.path(size, folder).exists() for size in facts.sizes):
        return "ready"
    needed = [file for file in facts.files if not file.optional]
    installed = [file for file in needed if file.installed and Path(file.installed).exists()]
    missing = [f for f in needed if f not in installed and not fetching.place(f, folder).exists()]
    if missing:
        return "fetch it" if all(file.urls for file in missing) else "needs a file of yours"
    return _state(manifest.read(facts.wrapper.base), folder) if facts.wrapper else "made on first use"


class _Bar:
    """A download's progress in the form that pooch asks for, drawn by rich."""

    def __init__(self) -> None:
        from rich.progress import BarColumn, DownloadColumn, Progress, TransferSpeedColumn

        self._progress = Progress(BarColumn(), DownloadColumn(), TransferSpeedColumn(), transient=True)
        self._task = self._progress.add_task("", total=None)

    def __enter__(self) -> "_Bar":
        self._progress.start()
        return self

    def __exit__(self, *error: Any) -> None:
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
