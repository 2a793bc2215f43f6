"""`disbench leaderboard` and `disbench table`: results over seeds, and beside what papers published."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from disbench.benchmark.cli.terminal import names, table, terminal
from disbench.errors import UsageError
from disbench.files import replacing, write_text

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import Console


Runs = Annotated[
    list[Path] | None,
    typer.Argument(help="Folders that `disbench run --out` wrote, or results that are kept."),
]
Format = Annotated[str, typer.Option("--format", help="terminal, csv, parquet, markdown, latex or html.")]
Out = Annotated[Path | None, typer.Option(help="Write here; the per-seed rows go beside it as STEM-scores.")]
Results = Annotated[
    Path | None, typer.Option(help="Where results are kept; else leaderboards/results of this checkout.")
]


def leaderboard(
    runs: Runs = None,
    by: Annotated[
        str, typer.Option(help="Columns that a row has one value of, such as method,metric,preset; else all.")
    ] = "",
    where: Annotated[
        list[str] | None, typer.Option(help="Only rows with column=value, such as method=ibgan. Repeatable.")
    ] = None,
    mixed: Annotated[
        bool, typer.Option("--mixed", help="Show results together that do not compare, and say why not.")
    ] = False,
    compare: Annotated[
        bool, typer.Option("--compare", help="Also which method beats which, and ranks over data sets.")
    ] = False,
    format_: Format = "",
    out: Out = None,
    keep: Annotated[
        str, typer.Option(help="Keep it in the repository under this name, with how it was made.")
    ] = "",
    results: Results = None,
    readme: Annotated[
        bool, typer.Option("--readme", help="Write the README's tables of the results that are kept.")
    ] = False,
    check: Annotated[
        bool, typer.Option("--check", help="With --readme: write nothing, fail if it is not current.")
    ] = False,
) -> None:
    """Aggregate runs over their seeds; one run alone also gets the files in its folder."""
    from disbench.benchmark.runs import store
    from disbench.benchmark.runs.keep import keep as keep_results
    from disbench.benchmark.runs.rows import gather, warnings
    from disbench.leaderboards import aggregate, formats, shown

    if check and not readme:
        raise UsageError("--check belongs to --readme; give both or neither.")
    if readme:
        if runs or keep:
            raise UsageError("--readme reads the results that are kept; give it without runs and --keep.")
        write_readme(results, check)
        return
    if not runs:
        raise UsageError("no run was given; give the folders that `disbench run --out` wrote, or --readme.")
    kind = formats.choose(format_, out)
    console = terminal()
    frame, told = gather(runs)
    frame = aggregate.chosen(frame, conditions(where or []))
    if mixed:
        told += [f"shown together, not to be compared: {found}" for found in aggregate.differences(frame)]
    else:
        aggregate.check_comparable(frame)
    columns = names(by, "--by") if by else list(aggregate.BY)
    board = aggregate.leaderboard(frame, columns)
    told += shown.pooled(frame, columns) + shown.notes(frame, board) + warnings(frame)
    whole = len(runs) == 1 and not by and not where and store.is_run(runs[0])
    if whole and kind == "terminal" and out is None:
        write_files(runs[0], frame, board, told)
        told.append(f"written: {runs[0] / 'leaderboard.csv'}, leaderboard.md, scores.csv")
    title = f"Leaderboard of {', '.join(run.name for run in runs)}"
    deliver(kind, out, console, shown.leaderboard(board), board, title, told, {"scores": frame})
    if compare:
        show_comparison(frame, kind, out, console)
    if keep:
        if mixed or by:
            raise UsageError(
                "--keep keeps results that compare, row by row; give it without --mixed and --by."
            )
        say(console, [f"kept: {path}" for path in keep_results(keep, runs, frame, results)])
        say(console, ["`disbench leaderboard --readme` brings the README's tables up to date."])


def show_leaderboard(path: Path, console: Console) -> pd.DataFrame:
    """Prints the leaderboard of a run and writes it as CSV and Markdown, the per-seed rows beside it."""
    from disbench.benchmark.runs.rows import gather, warnings
    from disbench.leaderboards import aggregate, shown

    frame, _ = gather([path])
    board = aggregate.leaderboard(frame)
    told = [f"not to be compared: {found}" for found in aggregate.differences(frame)]
    told += shown.notes(frame, board) + warnings(frame)
    write_files(path, frame, board, told)
    console.print(table(shown.leaderboard(board)))
    say(console, [*told, f"written: {path / 'leaderboard.csv'}, leaderboard.md, scores.csv"])
    return board


def conditions(texts: Sequence[str]) -> dict[str, str]:
    """`method=ibgan` as {"method": "ibgan"}."""
    found = {}
    for text in texts:
        column, equals, value = text.partition("=")
        if not (column and equals):
            raise UsageError(f"--where {text!r} is not of the form column=value, such as method=ibgan.")
        found[column.strip()] = value.strip()
    return found


def say(console: Console, sentences: Sequence[str]) -> None:
    for sentence in sentences:
        console.print(sentence, highlight=False, soft_wrap=True, markup=False)


def write_files(path: Path, frame: pd.DataFrame, board: pd.DataFrame, told: Sequence[str]) -> None:
    from disbench.leaderboards import formats, shown

    write_text(path / "scores.csv", frame.to_csv(index=False))
    write_text(path / "leaderboard.csv", board.to_csv(index=False))
    write_text(path / "leaderboard.md", formats.markdown(shown.leaderboard(board), notes=told))


def deliver(
    kind: str,
    out: Path | None,
    console: Console,
    text: pd.DataFrame,
    numbers: pd.DataFrame,
    title: str,
    told: Sequence[str],
    beside: dict[str, pd.DataFrame],
) -> None:
    """A table in one format: on the terminal, or in a file with other frames beside it.

    Args:
        text: for people. numbers: for programs.
        beside: written next to `out` as STEM-<name>, as Parquet if that is the format, else as CSV.
    """
    import io

    from rich.console import Console as Writer

    from disbench.leaderboards import formats

    if out is None and kind == "terminal":
        console.print(table(text))
        say(console, told)
        return
    if kind == "csv":
        made = numbers.to_csv(index=False)
    elif kind == "terminal":
        plain = Writer(file=io.StringIO(), width=200)
        plain.print(table(text))
        say(plain, told)
        assert isinstance(plain.file, io.StringIO)
        made = plain.file.getvalue()
    elif kind != "parquet":
        made = formats.render(kind, text, title, told)
    if out is None:
        print(made, end="")
        return
    written = [out]
    if kind == "parquet":
        with replacing(out) as temporary:
            numbers.to_parquet(temporary, index=False)
    else:
        write_text(out, made)
    for name, frame in beside.items():
        path = out.with_name(f"{out.stem}-{name}.{'parquet' if kind == 'parquet' else 'csv'}")
        if kind == "parquet":
            with replacing(path) as temporary:
                frame.to_parquet(temporary, index=False)
        else:
            write_text(path, frame.to_csv(index=False))
        written.append(path)
    console.print(f"written: {', '.join(map(str, written))}", highlight=False, soft_wrap=True)


def show_comparison(frame: pd.DataFrame, kind: str, out: Path | None, console: Console) -> None:
    """Which method beats which, with what probability, and the methods' ranks over data sets."""
    import pandas as pd

    from disbench.leaderboards import aggregate, shown

    pairs = aggregate.improvements(frame)
    text, told = shown.improvements(pairs)
    title = "Which method beats which"
    place = None if out is None else out.with_name(f"{out.stem}-pairs{out.suffix}")
    deliver(kind, place, console, text, pairs, title, told, {})
    for name, found, missing in aggregate.ranks(frame):
        ranked, told = shown.ranks(found, missing)
        listed = found.mean.sort_values()
        stem = "-".join(name.replace("/", "-").split())
        place = None if out is None else out.with_name(f"{out.stem}-ranks-{stem}{out.suffix}")
        numbers = pd.DataFrame({"method": listed.index, "mean_rank": listed.to_numpy()})
        deliver(kind, place, console, ranked, numbers, f"Ranks: {name}", told, {})


def write_readme(results: Path | None, check: bool) -> None:
    """Brings the README's tables of kept results up to date, or says that they are not."""
    from disbench.benchmark.runs.keep import results_folder
    from disbench.leaderboards.results import names as kept_names
    from disbench.leaderboards.results import placed, readme

    folder = results_folder(results)
    root = folder.resolve().parents[1]
    path = root / "README.md"
    if not path.is_file():
        raise UsageError(f"there is no README.md in {root}, two folders above the results.")
    before = path.read_text("utf-8")
    link = folder.resolve().relative_to(root).as_posix()
    after = placed(before, readme(folder, link))
    if before == after:
        print(f"{path} is current: {', '.join(kept_names(folder)) or 'no results are kept yet'}")
    elif check:
        raise UsageError(
            f"{path} does not show the results that are kept; run `disbench leaderboard --readme`."
        )
    else:
        write_text(path, after)
        print(f"written: {path}: {', '.join(kept_names(folder))}")


def table_(
    name: Annotated[str, typer.Argument(help="See `disbench list tables`.")],
    runs: Runs = None,
    plan: Annotated[
        bool, typer.Option("--plan", help="Print the commands that fill it, and do nothing else.")
    ] = False,
    format_: Format = "",
    out: Out = None,
    results: Results = None,
) -> None:
    """A paper's comparison table: its numbers beside ours, from these runs or the kept results."""
    from disbench.benchmark.runs import commands
    from disbench.benchmark.runs.rows import gather
    from disbench.leaderboards import aggregate, formats, tables
    from disbench.leaderboards.results import FOLDER
    from disbench.leaderboards.results import names as kept_names

    spec = tables.read(name)
    if plan:
        folder = f"runs/{name}"
        print("\n".join([*commands.of_table(spec, folder), f"disbench table {name} {folder}"]))
        return
    kind = formats.choose(format_, out)
    where = FOLDER if results is None else results
    sources = runs or [where / found for found in kept_names(where)]
    frame, told = gather(sources) if sources else (aggregate.scores([]), [])
    if not runs:
        told.append(f"ours: {', '.join(path.name for path in sources) or 'nothing is kept yet'}")
    entries = tables.fill(spec, frame)
    text, notes = tables.shown(spec, entries)
    numbers = tables.frame_of(entries)
    deliver(kind, out, terminal(), text, numbers, spec.title, [*notes, *told], {"scores": frame})
