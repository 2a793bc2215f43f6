"""`disbench plot`."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from disbench.benchmark.cli.terminal import DataDir, Device, line, named, option, settings_of
from disbench.errors import UsageError, spelled, unknown
from disbench.files import unwritable, write_bytes
from disbench.texts import clean

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from disbench.leaderboards.plots import Kind, Width

OF_RUNS = ("curves", "strip", "sweep", "frontier", "tuned", "sides", "correlation", "traversals")
OF_MODELS = ("mi", "dci", "differences")
OF_SEEDS = ("categories",)
KINDS = (*OF_RUNS, *OF_MODELS, *OF_SEEDS)
# Endings by which a name is that of a picture, in formats that are written here and in others.
PICTURES = (".png", ".svg", ".pdf", ".gif", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp", ".eps")
WIDTHS = ("screen", "column", "page")
# kinds with an axis of scores
ZOOMED = ("strip", "sweep", "frontier", "tuned", "sides")
# The kinds to which an option belongs; any other option belongs to all.
OPTIONS = {
    "quantity": ("curves", "sweep", "frontier"),
    "field": ("sweep",),
    "metric": tuple(kind for kind in KINDS if kind not in ("curves", "categories")),
    "zoom": ZOOMED,
    **dict.fromkeys(("array", "factors"), ("mi", "dci")),
    **dict.fromkeys(("dataset", "size", "method", "config", "set", "factory"), OF_MODELS),
    **dict.fromkeys(("input-range", "layout", "output", "device", "data-dir"), OF_MODELS),
}


def plot(
    targets: Annotated[
        list[Path],
        typer.Argument(
            help="Run folders written by `disbench run --out`, or saved results, by name too: mini; for "
            "mi, dci and differences, a seed's folder, a checkpoint or an encoder, and for mi and dci also "
            "codes, whatever `disbench score` takes; for categories, folders of seeds.",
            callback=named,
        ),
    ],
    kind: Annotated[str, typer.Option(help=f"{', '.join(KINDS)}.")] = "curves",
    quantity: Annotated[
        str,
        typer.Option(
            help="With --kind curves: plot this quantity for all methods in one picture. With sweep and "
            "frontier: the logged quantity beside the scores (default: loss.reconstruction)."
        ),
    ] = "",
    field: Annotated[str, typer.Option(help="With --kind sweep: setting on the x axis, such as beta.")] = "",
    metric: Annotated[
        str,
        typer.Option(
            help="Plot only this metric, such as mig or factor_vae:ibgan; with --kind traversals and tuned, "
            "the metric that picks seeds or settings."
        ),
    ] = "",
    width: Annotated[
        str,
        typer.Option(
            metavar="|".join(WIDTHS),
            help="Width for a paper, with type of 7 to 8 points: column is 3.3 inches, page 6.9.",
        ),
    ] = "screen",
    zoom: Annotated[
        bool,
        typer.Option("--zoom", help=f"Cut axes of scores to the scores ({', '.join(ZOOMED)})."),
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Folder for the pictures (default: that of the first target; of saved results and "
            "categories the working folder)."
        ),
    ] = None,
    dataset: Annotated[
        str,
        typer.Option(
            help="With mi, dci and differences: data set of codes or an encoder, unless the file names it."
        ),
    ] = "",
    size: Annotated[
        int | None, typer.Option(help="With mi, dci and differences: image size in pixels.")
    ] = None,
    array: Annotated[str, typer.Option(help="With mi and dci: array or columns that hold the codes.")] = "",
    factors: Annotated[
        Path | None,
        typer.Option(help="With mi and dci: file of the factor values, for codes without."),
    ] = None,
    method: Annotated[str, typer.Option(help="With mi, dci and differences: method of a state dict.")] = "",
    config: Annotated[str, typer.Option(help="With mi, dci and differences: named config of --method.")] = "",
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set", help="With mi, dci and differences: setting of --method, field=value. Repeatable."
        ),
    ] = None,
    factory: Annotated[
        str,
        typer.Option(
            help="With mi, dci and differences: package.module:function that builds a state dict's module."
        ),
    ] = "",
    input_range: Annotated[
        str, typer.Option(help="With mi, dci and differences: pixel range of an encoder.")
    ] = "",
    layout: Annotated[
        str, typer.Option(help="With mi, dci and differences: image layout of an encoder.")
    ] = "",
    output: Annotated[
        str, typer.Option(help="With mi, dci and differences: output of an encoder that is the code.")
    ] = "",
    device: Device = "auto",
    data_dir: DataDir = None,
) -> None:
    """Plot runs or models as PNG, SVG and PDF.

    Training curves, scores per seed, scores against a setting or the reconstruction, rank correlations,
    traversals, codes.
    """
    if kind not in KINDS:
        raise unknown("kind of plot", kind, KINDS)
    if width not in WIDTHS:
        raise unknown("width", width, WIDTHS)
    check_folder(out)
    given: dict[str, object] = {"quantity": quantity, "field": field, "metric": metric, "zoom": zoom}
    given |= {"dataset": dataset, "size": size is not None, "array": array, "factors": factors}
    given |= {"method": method, "config": config, "set": set_, "factory": factory}
    given |= {"input-range": input_range, "layout": layout, "output": output}
    given |= {"device": device != "auto", "data-dir": data_dir}
    for name, kinds in OPTIONS.items():
        if given[name] and kind not in kinds:
            raise UsageError(f"--{name} belongs to {', '.join(kinds)}, not to {kind}; omit it.")
    from disbench.benchmark.runs import figures as draw

    wide = cast("Width", width)
    notes: list[str] = []
    if kind in OF_MODELS:
        from disbench.benchmark.scoring.sources import SourceOptions, Wanted

        options = SourceOptions(
            dataset=dataset,
            method=method,
            config=config,
            changes=settings_of(set_ or [], method),
            factory=factory,
            wanted=Wanted(input_range, layout, size, output),
            device=device,
            data_dir=data_dir,
            array=array,
            factors=factors,
        )
        figures, notes = draw.of_models(targets, kind, metric, options, wide)
    elif kind in OF_SEEDS:
        figures = draw.categories(targets, wide)
    elif kind == "curves":
        figures, notes = draw.curves(targets, quantity, wide)
    else:
        figures, notes = draw.of_scores(targets, kind, field, metric, quantity, wide, zoom)
    # standard output has the paths
    for note in notes:
        print(clean(spelled(note, option)), file=sys.stderr)
    read = [draw.sheet_of(target) for target in targets] if kind in OF_SEEDS else targets
    write(figures, out or _usual(targets[0], kind), read)


def check_folder(out: Path | None) -> None:
    """Refuses the name of a picture where the folder of pictures is asked for.

    Raises:
        UsageError: `out` ends as a picture does, and is no folder yet.
    """
    if out is not None and out.suffix.lower() in PICTURES and not out.is_dir():
        raise UsageError(
            f"--out {out} is the name of a picture, and the folder for several is meant: each is written as "
            f"PNG, SVG and PDF; give a folder, such as {out.parent / (out.stem or 'pictures')}."
        )


def _usual(target: Path, kind: str) -> Path:
    """The folder of the first target; the working folder where the pictures there are those of a run."""
    from disbench.leaderboards.results import is_kept

    folder = target if target.is_dir() else target.parent
    return Path() if kind in OF_SEEDS or is_kept(folder) else folder


def write(figures: dict[str, Figure], folder: Path, read: Sequence[Path] = ()) -> None:
    """Every figure as `<name>.png`, `<name>.svg` and `<name>.pdf`; prints the paths.

    Args:
        figures: by name.
        folder: which is made if it is not there.
        read: what was drawn, files or folders; nothing is written over it.

    Raises:
        UsageError: the folder cannot be written to, or is that of what was drawn.
    """
    from disbench.benchmark.runs.shelf import is_part
    from disbench.leaderboards import plots

    kinds: tuple[Kind, ...] = ("png", "svg", "pdf")
    places = {stem: [folder / f"{stem}.{kind}" for kind in kinds] for stem in figures}
    for path, drawn in itertools.product(filter(Path.exists, itertools.chain(*places.values())), read):
        if is_part(drawn, path) or (drawn.exists() and path.samefile(drawn)):
            raise UsageError(
                f"{path} belongs to what is drawn and would be written over; give another --out FOLDER."
            )
    for stem, figure in figures.items():
        for kind, path in zip(kinds, places[stem], strict=True):
            content = plots.render(figure, kind)
            try:
                folder.mkdir(parents=True, exist_ok=True)
                write_bytes(path, content)
            except OSError as error:
                raise unwritable(folder, error) from None
            line(path)
