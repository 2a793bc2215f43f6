"""`disbench leaderboard` and `disbench plot`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from disbench.benchmark.commands.common import table, terminal
from disbench.errors import UsageError, unknown

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import Console


def leaderboard(
    run: Annotated[Path, typer.Argument(help="The folder that `disbench run --out` wrote.")],
) -> None:
    """Print a run's leaderboard and write it as CSV and Markdown."""
    from disbench.benchmark import store

    store.check_run(run)
    if not store.cells(run):
        raise UsageError(f"{run} holds no seeds yet; train some with `disbench run --out {run}`.")
    show_leaderboard(run, terminal())


def show_leaderboard(path: Path, console: Console) -> pd.DataFrame:
    """Prints the leaderboard of a run and writes it as CSV and Markdown, the per-seed rows beside it."""
    from disbench import leaderboards
    from disbench.benchmark import protocols, records
    from disbench.leaderboards.aggregate import shown
    from disbench.models.checkpoint import write_atomically

    frame = leaderboards.scores(records.rows(path))
    board = leaderboards.leaderboard(frame)
    for name, text in (
        ("scores.csv", frame.to_csv(index=False)),
        ("leaderboard.csv", board.to_csv(index=False)),
        ("leaderboard.md", leaderboards.markdown(board) + "\n"),
    ):
        write_atomically(path / name, lambda temporary, text=text: temporary.write_text(text, "utf-8"))
    console.print(table(shown(board)))
    unscored = frame[(frame["state"] == "done") & frame["score"].isna()]
    for reason in sorted(set(unscored["reason"].dropna())):
        console.print(f"– : {reason}", highlight=False, soft_wrap=True)
    for protocol in sorted(set(board["protocol"])):
        if not protocols.get(protocol).meaningful:
            console.print(f"protocol {protocol}: {protocols.get(protocol).summary}", highlight=False)
    console.print(
        f"written: {path / 'leaderboard.csv'}, leaderboard.md, scores.csv", highlight=False, soft_wrap=True
    )
    return board


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
