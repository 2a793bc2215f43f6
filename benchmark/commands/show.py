"""`disbench plot`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from disbench.errors import UsageError, unknown


def plot(
    run: Annotated[Path, typer.Argument(help="The folder that `disbench run --out` wrote.")],
    quantity: Annotated[
        str, typer.Option(help="One quantity of all methods in one picture, such as L_I_categorical.")
    ] = "",
) -> None:
    """Draw the training curves of each method over its seeds, as PNG and SVG."""
    import pandas as pd

    from disbench.benchmark import records, store
    from disbench.leaderboards import plots
    from disbench.models.checkpoint import write_atomically

    store.check_run(run)
    frame = pd.DataFrame(records.journal_rows(run))
    if frame.empty:
        raise UsageError(f"{run} holds no logged steps yet; train some with `disbench run --out {run}`.")
    figures = {}
    if quantity:
        known = sorted(set(frame["quantity"]))
        if quantity not in known:
            raise unknown("quantity", quantity, known)
        named = frame.assign(name=frame["label"])
        figures[quantity] = plots.compared(named, quantity)
    else:
        for cell, group in frame.groupby("cell"):
            title = f"{group['label'].iloc[0]} ({group['settings'].iloc[0]})"
            figures[str(cell)] = plots.curves(group, title)
    for stem, figure in figures.items():
        for ending in ("png", "svg"):
            path = run / f"{stem}.{ending}"
            write_atomically(path, lambda temporary, e=ending, f=figure: f.savefig(temporary, format=e))
            print(path)
