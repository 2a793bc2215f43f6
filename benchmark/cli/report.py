"""`disbench report`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from disbench.files import unwritable, write_text


def report(
    runs: Annotated[
        list[Path], typer.Argument(help="Folders that `disbench run --out` wrote, or kept results.")
    ],
    out: Annotated[
        Path | None, typer.Option(help="The file to write; else report.html in the run's folder.")
    ] = None,
    metric: Annotated[
        str, typer.Option(help="Who is best, for the pictures: a metric such as mig or factor_vae:ibgan.")
    ] = "",
    mixed: Annotated[
        bool, typer.Option("--mixed", help="Show results together that do not compare, and say why not.")
    ] = False,
) -> None:
    """Write one HTML file with everything: leaderboard, published numbers, plots, traversals, provenance."""
    from disbench.benchmark.runs import findings, store
    from disbench.benchmark.runs.rows import gather
    from disbench.leaderboards import aggregate
    from disbench.leaderboards.report import render

    runs = list(dict.fromkeys(runs))
    frame, told = gather(runs)
    if mixed:
        told += [f"shown together, not to be compared: {found}" for found in aggregate.differences(frame)]
    else:
        aggregate.check_comparable(frame)
    text = render(findings.findings(runs, frame, told, metric))
    path = out or (runs[0] / "report.html" if store.is_run(runs[0]) else Path("report.html"))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, text)
    except OSError as error:
        raise unwritable(path, error) from None
    print(f"{path} ({len(text.encode()) / 1e6:.1f} MB)")
