"""Options, tables and the console that several commands share."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand

from disbench.errors import UsageError
from disbench.texts import clean

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import Console
    from rich.table import Table

Device = Annotated[str, typer.Option(help="auto, cpu or cuda; auto uses a GPU if one is available.")]
Precision = Annotated[str, typer.Option(help="Precision of matrix products on a GPU: float32, tf32 or bf16.")]
Mixed = Annotated[
    bool,
    typer.Option(
        "--mixed", help="Show results that are not comparable in one table, with the differences listed."
    ),
]
DataDir = Annotated[
    Path | None,
    typer.Option(help="Folder of the data sets (default: $DISBENCH_DATA, or else the user's cache folder)."),
]


class Plain(TyperCommand):
    """A command whose help does not show the Python type of an argument that takes several values."""

    def get_help(self, ctx: Any) -> str:
        """As the base class, with spaces in place of `<list[Path]>`."""
        return re.sub(r"<list\[\w+\]>", lambda kind: " " * len(kind[0]), super().get_help(ctx))


# options whose names differ from those of the arguments
SPELLED = {"settings": "set", "sources": "from", "others": "with"}


def option(argument: str) -> str:
    """An argument of the library as the command line spells it."""
    return f"--{SPELLED.get(argument, argument.replace('_', '-'))}"


def settings_of(given: list[str], method: str) -> dict[str, str]:
    """What `--set` gives for the method of a state dict: `codes=10` as {"codes": "10"}."""
    if given and not method:
        raise UsageError("--set changes the config of --method, which was not given.")
    pairs = [text.partition("=") for text in given]
    for text, (name, equals, _) in zip(given, pairs, strict=True):
        if not (name and equals):
            raise UsageError(f"--set {text!r} must be field=value, such as --set codes=10.")
    return {name.removeprefix(f"{method}."): value for name, _, value in pairs}


def terminal() -> Console:
    """The console on standard output; in a pipe or a file it is at least 120 columns wide."""
    from rich.console import Console

    plain = Console()
    return plain if plain.is_terminal else Console(width=max(plain.width, 120))


def line(text: object) -> None:
    """Prints one line, cleaned, for programs that read it: neither wrapped nor coloured."""
    print(clean(text))


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
    "rank",
    "score",
    "seconds",
    "chosen",
    "spearman",
    "probability",
    "mean rank",
)


def table(frame: pd.DataFrame) -> Table:
    """A frame of texts as a table, columns of `NUMBERS` at the right; nothing in them is markup."""
    from rich.table import Table
    from rich.text import Text

    drawn = Table()
    for column in frame.columns:
        drawn.add_column(
            Text(clean(column)), justify="right" if column in NUMBERS else "left", overflow="fold"
        )
    for row in frame.itertuples(index=False):
        drawn.add_row(*(Text(clean(cell)) for cell in row))
    return drawn
