"""`disbench plot`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from disbench.benchmark.cli.terminal import DataDir, Device
from disbench.errors import UsageError, unknown
from disbench.files import unwritable, write_bytes

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

OF_RUNS = ("curves", "strip", "sweep", "correlation", "traversals")
OF_MODELS = ("mi", "dci")


def plot(
    targets: Annotated[
        list[Path],
        typer.Argument(
            help="Run folders written by `disbench run --out`; for mi and dci, a seed's folder or an .npz."
        ),
    ],
    kind: Annotated[str, typer.Option(help=f"{', '.join((*OF_RUNS, *OF_MODELS))}.")] = "curves",
    quantity: Annotated[
        str, typer.Option(help="With --kind curves: plot this quantity for all methods in one picture.")
    ] = "",
    field: Annotated[str, typer.Option(help="With --kind sweep: setting on the x axis, such as beta.")] = "",
    metric: Annotated[
        str,
        typer.Option(
            help="Plot only this metric, such as mig or factor_vae:ibgan; with --kind traversals, the metric "
            "that picks the seeds."
        ),
    ] = "",
    out: Annotated[
        Path | None, typer.Option(help="Folder for the pictures (default: that of the first target).")
    ] = None,
    device: Device = "auto",
    data_dir: DataDir = None,
) -> None:
    """Plot runs or models as PNG and SVG.

    Training curves, scores per seed, scores against a setting, rank correlations, traversals, codes.
    """
    if kind not in (*OF_RUNS, *OF_MODELS):
        raise unknown("kind of plot", kind, (*OF_RUNS, *OF_MODELS))
    if kind in OF_MODELS:
        figures = _of_models(targets, kind, metric, device, data_dir)
    elif kind == "curves":
        figures = _curves(targets, quantity)
    else:
        figures = _of_scores(targets, kind, field, metric)
    folder = out or (targets[0] if targets[0].is_dir() else targets[0].parent)
    write(figures, folder)


def write(figures: dict[str, Figure], folder: Path) -> None:
    """Every figure as `<name>.png` and `<name>.svg`; prints the paths."""
    from disbench.leaderboards import plots

    for stem, figure in figures.items():
        for ending in ("png", "svg"):
            path = folder / f"{stem}.{ending}"
            content = plots.render(figure, "png" if ending == "png" else "svg")
            try:
                folder.mkdir(parents=True, exist_ok=True)
                write_bytes(path, content)
            except OSError as error:
                raise unwritable(folder, error) from None
            print(path)


def _curves(runs: Sequence[Path], quantity: str) -> dict[str, Figure]:
    from disbench.benchmark.runs import findings
    from disbench.leaderboards import journals, labels, plots

    frame = findings.journals(runs)
    if frame.empty:
        named = ", ".join(map(str, runs))
        raise UsageError(
            f"{named} holds no logged steps yet; train some with `disbench run --out {runs[0]}`."
        )
    if not quantity:
        return {
            labels.folder(group["label"].iloc[0], group["cell"].iloc[0]): plots.curves(group, title)
            for title, group in journals.trainings(frame)
        }
    known = sorted(set(frame["quantity"]))
    if quantity not in known:
        raise unknown("quantity", quantity, known)
    return {quantity: plots.compared(journals.named(frame), quantity)}


def _of_scores(runs: Sequence[Path], kind: str, field: str, metric: str) -> dict[str, Figure]:
    from disbench.benchmark.runs import findings, settings
    from disbench.benchmark.runs.rows import gather
    from disbench.leaderboards import aggregate, plots

    frame, _ = gather(runs)
    aggregate.check_comparable(frame)
    if kind == "traversals":
        return _traversals(frame, metric)
    if metric:
        name, preset = findings.judge(frame, metric)
        exact = (frame["metric"] == name) & ((frame["preset"] == preset) | (":" not in metric))
        frame = frame[exact].reset_index(drop=True)
    if kind == "strip":
        return {"strip": plots.strip(frame, aggregate.leaderboard(frame))}
    if kind == "sweep":
        rows, field = settings.swept(frame, runs, field)
        return {f"sweep-{field}": plots.sweep(rows, field)}
    return {"correlation": plots.correlation(frame)}


def _traversals(frame: pd.DataFrame, metric: str) -> dict[str, Figure]:
    from disbench.benchmark.runs import findings
    from disbench.leaderboards import plots

    name, preset = findings.judge(frame, metric)
    found = findings.traversals(frame, name, preset)
    if not found:
        raise UsageError(
            "no seed with a score has a traversal.png; `disbench traverse CHECKPOINT` draws one."
        )
    figures = {}
    for label, shown in found.items():
        pictures = [(f"{t.place}: seed {t.seed}, {t.score:.3f}", findings.pixels(t.path)) for t in shown]
        stem = re.sub(r"\W+", "-", label).strip("-")
        figures[f"traversals-{stem}"] = plots.side_by_side(pictures, f"{label} by {name} · {preset}")
    return figures


def _of_models(
    targets: Sequence[Path], kind: str, metric: str, device: str, data_dir: Path | None
) -> dict[str, Figure]:
    from disbench.benchmark.runs import matrices
    from disbench.leaderboards import plots

    if len(targets) > 1:
        raise UsageError(f"--kind {kind} draws one model at a time; give one of the {len(targets)} paths.")
    found = matrices.matrix(targets[0], kind, metric, device, data_dir)
    draw = plots.information if kind == "mi" else plots.importance
    stem = f"{targets[0].stem}-{kind}" if targets[0].suffix == ".npz" else kind
    return {stem: draw(found.values, found.codes, found.factors, found.title)}
