"""How every command hands over its tables: on the terminal, in a file, for a paper, or as JSON."""

from __future__ import annotations

import io
import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from disbench.benchmark.cli.terminal import table, terminal
from disbench.console import say
from disbench.errors import UsageError
from disbench.files import replacing, unwritable, write_text

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import Console

    from disbench.leaderboards.wide import Wide

Json = Annotated[
    bool, typer.Option("--json", help="Print the tables as JSON; every command has the same form.")
]
Format = Annotated[
    str, typer.Option("--format", help="terminal, csv, parquet, markdown, latex, html or json.")
]


@dataclass(frozen=True)
class Shown:
    """A table of a command, in each form that it has.

    Attributes:
        name: what it is, in one word; also the end of the name of its file, beside that of the first table.
        text: for the terminal.
        numbers: for programs.
        title: for people.
        notes: sentences below it.
        paper: the form in which papers print it; None where that is the one of the terminal.
        caption: of that form; "" for the title.
        remarks: the sentences below that form; None for the notes.
        beside: further frames, which are written beside the file as STEM-NAME.
    """

    name: str
    text: pd.DataFrame
    numbers: pd.DataFrame
    title: str = ""
    notes: Sequence[str] = ()
    paper: Wide | None = None
    caption: str = ""
    remarks: Sequence[str] | None = None
    beside: Mapping[str, pd.DataFrame] = field(default_factory=dict)


def choose(format_: str, json_: bool, out: Path | None = None) -> str:
    """The format that was asked for by --format, --json or the ending of --out, see `formats.choose`."""
    from disbench.leaderboards import formats

    if json_ and format_ not in ("", "json"):
        raise UsageError(f"--json and --format {format_} were given; give one of them.")
    return formats.choose("json" if json_ else format_, out)


def spare(out: Path | None, files: Iterable[Path | str]) -> None:
    """Refuses to write over what is read, and over what a run or a saved result consists of.

    Args:
        out: file to write; None for none.
        files: what is read; of a folder, what a run or a saved result consists of.

    Raises:
        UsageError: `out`, or what is written beside it, is one of these files.
    """
    if out is None:
        return
    from disbench.benchmark.runs.shelf import is_part, owner

    endings = {out.suffix, ".csv", ".parquet"}
    beside = [out.with_name(f"{out.stem}-{name}{end}") for name in ("scores", "pairs") for end in endings]
    for file, place in itertools.product(map(Path, files), [out, *beside]):
        if not (place.exists() and file.exists()):
            continue
        if place.samefile(file) or (file.is_dir() and is_part(file, place)):
            over = place if file.is_dir() else file
            raise UsageError(f"--out {out} would be written over {over}, which is read; give another name.")
    for place in filter(Path.is_file, [out, *beside]):
        if (folder := owner(place)) is not None:
            raise UsageError(
                f"--out {out} would be written over {place}, a part of {folder}; give another name."
            )


def talk(kind: str, out: Path | None = None) -> Console:
    """The console for sentences: standard output, or standard error where that has a table for programs."""
    from rich.console import Console as Writer

    return terminal() if kind == "terminal" or out is not None else Writer(stderr=True)


def deliver(
    command: str,
    tables: Sequence[Shown],
    kind: str,
    out: Path | None = None,
    details: object = None,
) -> None:
    """Prints the tables of a command, or writes them: the first to a file, the others beside it.

    Args:
        command: that made them, for JSON.
        tables: in their order; JSON has all of them in one document.
        kind: the format, see `formats.FORMATS`.
        out: file to write; None for standard output.
        details: what no table holds, for JSON alone.
    """
    from disbench.leaderboards import formats

    console = terminal()
    if kind == "json":
        found = [formats.Tabled(each.name, each.numbers, each.title, each.notes) for each in tables]
        _hand_over(formats.json(command, found, details), tables[:1], kind, out, console)
        return
    for number, each in enumerate(tables):
        place = out if number == 0 or out is None else out.with_name(f"{out.stem}-{each.name}{out.suffix}")
        # an empty line between two tables, so that Markdown does not take them for one
        if number and out is None and kind != "terminal":
            print()
        if kind == "terminal" and out is None:
            console.print(table(each.text))
            say(console, *each.notes)
        else:
            _hand_over(_content(each, kind), [each], kind, place, console)


def _content(each: Shown, kind: str) -> str:
    """A table in a format of text; "" for one that is none."""
    from rich.console import Console as Writer

    from disbench.leaderboards import formats

    if kind == "parquet":
        return ""
    if kind == "csv":
        return formats.csv(each.numbers)
    if kind == "terminal":
        plain = Writer(file=io.StringIO(), width=200)
        plain.print(table(each.text))
        say(plain, *each.notes)
        assert isinstance(plain.file, io.StringIO)
        return plain.file.getvalue()
    if each.paper is None:
        return formats.render(kind, each.text, each.title, each.notes)
    notes = each.notes if each.remarks is None else each.remarks
    return formats.render(kind, each.paper, each.caption or each.title, notes)


def _hand_over(content: str, tables: Sequence[Shown], kind: str, out: Path | None, console: Console) -> None:
    """Prints a text, or writes it with what belongs beside it, as Parquet if that is the format, or CSV."""
    from disbench.leaderboards import formats

    if out is None:
        print(content, end="")
        return
    written = [out]
    try:
        if kind == "parquet":
            _parquet(tables[0].numbers, out)
        else:
            write_text(out, content)
        for each in tables:
            for name, frame in each.beside.items():
                path = out.with_name(f"{out.stem}-{name}.{'parquet' if kind == 'parquet' else 'csv'}")
                if kind == "parquet":
                    _parquet(frame, path)
                else:
                    write_text(path, formats.csv(frame))
                written.append(path)
    except OSError as error:
        raise unwritable(out, error) from None
    say(console, f"written: {', '.join(map(str, written))}")


def _parquet(frame: pd.DataFrame, path: Path) -> None:
    with replacing(path) as temporary:
        frame.to_parquet(temporary, index=False)


def print_json(
    command: str,
    name: str,
    rows: Sequence[Sequence[object]],
    columns: Sequence[str],
    notes: Sequence[str] = (),
) -> None:
    """Prints the one table of a command as JSON, see docs/json.md."""
    import pandas as pd

    # as objects, so that a whole number beside a missing one stays whole
    frame = pd.DataFrame(list(rows), columns=list(columns), dtype=object)
    deliver(command, [Shown(name, frame, frame, notes=notes)], "json")
