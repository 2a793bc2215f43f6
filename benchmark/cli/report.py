"""`disbench report`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from disbench.benchmark.cli.terminal import Mixed, line, named
from disbench.errors import UsageError
from disbench.files import unwritable, write_text

ENDINGS = (".html", ".htm")


def report(
    runs: Annotated[
        list[Path],
        typer.Argument(
            help="Run folders written by `disbench run --out`, or saved results, by their name too: mini.",
            callback=named,
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            help="HTML file to write (default: report.html in the run's folder, or in the working folder for "
            "a saved result)."
        ),
    ] = None,
    metric: Annotated[
        str,
        typer.Option(
            help="Metric that picks the best, median and worst seed for the pictures, such as mig or "
            "factor_vae:ibgan."
        ),
    ] = "",
    mixed: Mixed = False,
) -> None:
    """Write a self-contained HTML report.

    It has the leaderboard, published numbers, plots, traversals and the provenance.
    """
    if out is not None and out.suffix.lower() not in ENDINGS:
        raise UsageError(
            f"--out {out} was given, and a report is HTML; give a name that ends in {' or '.join(ENDINGS)}."
        )
    from disbench.benchmark.runs import findings, store
    from disbench.benchmark.runs.rows import gather
    from disbench.leaderboards import aggregate
    from disbench.leaderboards.report import render

    runs = list(dict.fromkeys(runs))
    frame, notes = gather(runs)
    frame, different = aggregate.comparable(frame, mixed=mixed)
    notes += different
    text = render(findings.findings(runs, frame, notes, metric))
    path = out or (runs[0] / "report.html" if store.is_run(runs[0]) else Path("report.html"))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, text)
    except OSError as error:
        raise unwritable(path, error) from None
    line(f"{path} ({len(text.encode()) / 1e6:.1f} MB)")
