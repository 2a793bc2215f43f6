"""Options, tables and the console that several commands share."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
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


def named(runs: list[Path] | None) -> list[Path] | None:
    """Folders of runs as a user names them: a saved result by its name alone, too."""
    if not runs or all(run.exists() for run in runs):
        return runs
    from disbench.leaderboards import results

    return [results.named(run) for run in runs]


class Plain(TyperCommand):
    """What every command is.

    Its help does not show the Python type of an argument that takes several values, and nothing that was
    given to it counts as not given.
    """

    def get_help(self, ctx: Any) -> str:
        """As the base class, with spaces in place of `<list[Path]>`."""
        return re.sub(r"<list\[\w+\]>", lambda kind: " " * len(kind[0]), super().get_help(ctx))

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """As the base class.

        Raises:
            UsageError: a value is empty, or one replaces another.
        """
        # not while a shell completes what is half typed
        if not ctx.resilient_parsing:
            values, _, given = self.make_parser(ctx).parse_args(list(args))
            _check_given(values, given)
        return super().parse_args(ctx, args)


def _check_given(values: Mapping[str, Any], given: Sequence[Any]) -> None:
    """Refuses an empty value, and an option that was given twice and has one value.

    Args:
        values: texts by the names of parameters; lists of them for those that take several.
        given: the parameters in the order in which they were given, each time.
    """
    for position, parameter in enumerate(given):
        is_option = parameter.param_type_name == "option"
        name = max(parameter.opts, key=len) if is_option else parameter.name.upper()
        value = values[parameter.name]
        several = list(value) if isinstance(value, list | tuple) else [value]
        if any(isinstance(each, str) and not each.strip() for each in several):
            remedy = "give a value" if parameter.required else f"give a value, or omit {name}"
            raise UsageError(f"{name} is empty (is a variable of the shell not set?); {remedy}.")
        # a switch that is on stays on
        if not isinstance(value, list) and (parameter.secondary_opts or not isinstance(value, bool)):
            check_once(name, parameter in given[:position])


# options whose names differ from those of the arguments
SPELLED = {"settings": "set", "sources": "from", "others": "with"}


def option(argument: str) -> str:
    """An argument of the library as the command line spells it."""
    return f"--{SPELLED.get(argument, argument.replace('_', '-'))}"


def settings_of(given: list[str], method: str) -> dict[str, str]:
    """What `--set` gives for the method of a state dict: `codes=10` as {"codes": "10"}."""
    if given and not method:
        raise UsageError("--set changes the config of --method, which was not given.")
    settings: dict[str, str] = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not (name and equals):
            raise UsageError(f"--set {text!r} must be field=value, such as --set codes=10.")
        field = name.removeprefix(f"{method}.")
        check_once(f"--set {field}", field in settings)
        settings[field] = value
    return settings


def check_once(given: str, known: bool, remedy: str = "omit one of them") -> None:
    """Refuses an option that was given for this before, whose later value would replace the earlier one."""
    if known:
        raise UsageError(f"{given} was given twice; {remedy}.")


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


# Columns of names, which are read and typed again: not broken where the others keep their longest words, or
# so many letters of them.
NAMES, LETTERS = ("method", "metric"), 8


def table(frame: pd.DataFrame, width: int | None = None) -> Table:
    """A frame of texts as a table, columns of `NUMBERS` at the right; nothing in them is markup.

    Args:
        frame: its cells are texts.
        width: columns of the terminal; None for those of `terminal`.
    """
    from rich.table import Table
    from rich.text import Text

    # every column has a frame of three, and the table one more
    needed = 1 + 3 * len(frame.columns)
    for column in frame.columns:
        texts = [clean(column), *map(clean, frame[column])]
        broken = max(len(word) for text in texts for word in text.split() or [""])
        needed += max(map(len, texts)) if column in NAMES else min(broken, LETTERS)
    room = needed <= (width or terminal().width)
    drawn = Table()
    for column in frame.columns:
        drawn.add_column(
            Text(clean(column)),
            justify="right" if column in NUMBERS else "left",
            overflow="fold",
            no_wrap=room and column in NAMES,
        )
    for row in frame.itertuples(index=False):
        drawn.add_row(*(Text(clean(cell)) for cell in row))
    return drawn
