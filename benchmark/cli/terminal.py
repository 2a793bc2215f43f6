"""What several commands share: options, lists of names, tables on the terminal."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from disbench.errors import UsageError

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import Console

Device = Annotated[str, typer.Option(help="auto, cpu or cuda; auto takes the GPU where there is one.")]
Precision = Annotated[str, typer.Option(help="Of products on a GPU: float32, tf32 or bf16.")]
DataDir = Annotated[
    Path | None,
    typer.Option(help="Where data sets are kept; else $DISBENCH_DATA, else the user's cache folder."),
]


def names(text: str, option: str) -> list[str]:
    """`a,b,c` as a list without repeats."""
    found = list(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
    if not found:
        raise UsageError(f"{option} {text!r} names nothing; give names separated by commas.")
    return found


def terminal() -> Console:
    from rich.console import Console

    plain = Console()
    return plain if plain.is_terminal else Console(width=max(plain.width, 120))


NUMBERS = (
    "done",
    "running",
    "stopped",
    "to do",
    "a seed",
    "memory",
    "left",
    "n",
    "failed",
    "unscored",
    "mean",
    "95 %",
    "std",
    "median",
    "iqm",
    "best",
    "worst",
    "seed",
    "score",
    "seconds",
    "probability",
    "mean rank",
)


def table(frame: pd.DataFrame) -> Any:
    from rich.table import Table

    made = Table()
    for column in frame.columns:
        made.add_column(column, justify="right" if column in NUMBERS else "left", overflow="fold")
    for row in frame.itertuples(index=False):
        made.add_row(*row)
    return made
