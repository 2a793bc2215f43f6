"""`disbench leaderboard`: results aggregated over seeds, in the formats that people use."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from disbench.benchmark.commands.common import names, table, terminal
from disbench.errors import UsageError

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import Console


def leaderboard(
    runs: Annotated[list[Path], typer.Argument(help="The folders that `disbench run --out` wrote.")],
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
    format_: Annotated[
        str, typer.Option("--format", help="terminal, csv, parquet, markdown, latex or html.")
    ] = "",
    out: Annotated[
        Path | None, typer.Option(help="Write here; the per-seed rows go beside it as STEM-scores.")
    ] = None,
) -> None:
    """Aggregate runs over their seeds; one run alone also gets the files in its folder."""
    from disbench.leaderboards import aggregate, formats

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
    told += aggregate.pooled(frame, columns) + aggregate.notes(frame, board) + warnings(frame)
    whole = len(runs) == 1 and not by and not where
    if whole and kind == "terminal" and out is None:
        write_files(runs[0], frame, board, told)
        told.append(f"written: {runs[0] / 'leaderboard.csv'}, leaderboard.md, scores.csv")
    title = f"Leaderboard of {', '.join(run.name for run in runs)}"
    deliver(kind, out, console, aggregate.shown(board), board, title, told, {"scores": frame})
    if compare:
        show_comparison(frame, kind, out, console)


def show_leaderboard(path: Path, console: Console) -> pd.DataFrame:
    """Prints the leaderboard of a run and writes it as CSV and Markdown, the per-seed rows beside it."""
    from disbench.leaderboards import aggregate

    frame, _ = gather([path])
    board = aggregate.leaderboard(frame)
    told = [f"not to be compared: {found}" for found in aggregate.differences(frame)]
    told += aggregate.notes(frame, board) + warnings(frame)
    write_files(path, frame, board, told)
    console.print(table(aggregate.shown(board)))
    say(console, [*told, f"written: {path / 'leaderboard.csv'}, leaderboard.md, scores.csv"])
    return board


def gather(runs: Sequence[Path]) -> tuple[pd.DataFrame, list[str]]:
    """The per-seed rows of several runs; beside them, which seeds were in two of them.

    Raises:
        UsageError: no run, an empty one, or runs that disagree about a seed.
    """
    from disbench import leaderboards
    from disbench.benchmark import records, store
    from disbench.leaderboards.aggregate import deduplicated

    rows = []
    for run in dict.fromkeys(runs):
        store.check_run(run)
        found = records.rows(run)
        if not found:
            raise UsageError(f"{run} holds no seeds yet; train some with `disbench run --out {run}`.")
        rows += found
    return deduplicated(leaderboards.scores(rows))


def conditions(texts: Sequence[str]) -> dict[str, str]:
    """`method=ibgan` as {"method": "ibgan"}."""
    found = {}
    for text in texts:
        column, equals, value = text.partition("=")
        if not (column and equals):
            raise UsageError(f"--where {text!r} is not of the form column=value, such as method=ibgan.")
        found[column.strip()] = value.strip()
    return found


def warnings(frame: pd.DataFrame) -> list[str]:
    """Sentences about protocols whose scores mean nothing."""
    from disbench.benchmark import protocols

    known = [protocols.get(name) for name in sorted(set(frame["protocol"])) if name in protocols.names()]
    return [f"protocol {found.name}: {found.summary}" for found in known if not found.meaningful]


def say(console: Console, sentences: Sequence[str]) -> None:
    for sentence in sentences:
        console.print(sentence, highlight=False, soft_wrap=True, markup=False)


def write_files(path: Path, frame: pd.DataFrame, board: pd.DataFrame, told: Sequence[str]) -> None:
    from disbench.leaderboards import aggregate, formats

    write(path / "scores.csv", frame.to_csv(index=False))
    write(path / "leaderboard.csv", board.to_csv(index=False))
    write(path / "leaderboard.md", formats.markdown(aggregate.shown(board), notes=told))


def write(path: Path, text: str) -> None:
    from disbench.models.checkpoint import write_atomically

    write_atomically(path, lambda temporary: temporary.write_text(text, "utf-8"))


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
    from disbench.models.checkpoint import write_atomically

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
        write_atomically(out, lambda temporary: numbers.to_parquet(temporary, index=False))
    else:
        write(out, made)
    for name, frame in beside.items():
        path = out.with_name(f"{out.stem}-{name}.{'parquet' if kind == 'parquet' else 'csv'}")
        if kind == "parquet":
            write_atomically(path, lambda temporary, f=frame: f.to_parquet(temporary, index=False))
        else:
            write(path, frame.to_csv(index=False))
        written.append(path)
    console.print(f"written: {', '.join(map(str, written))}", highlight=False, soft_wrap=True)


def show_comparison(frame: pd.DataFrame, kind: str, out: Path | None, console: Console) -> None:
    """Which method beats which, with what probability, and the methods' ranks over data sets."""
    import pandas as pd

    from disbench.leaderboards import aggregate

    pairs = aggregate.improvements(frame)
    text, told = aggregate.shown_improvements(pairs)
    title = "Which method beats which"
    place = None if out is None else out.with_name(f"{out.stem}-pairs{out.suffix}")
    deliver(kind, place, console, text, pairs, title, told, {})
    for name, found, missing in aggregate.ranks(frame):
        listed = found.mean.sort_values()
        ranked = pd.DataFrame({"method": listed.index, "mean rank": [f"{rank:.2f}" for rank in listed]})
        told = [f"ranks by mean score over {found.n} data sets, 1 is best"]
        if missing:
            told.append(f"left out, since not every method has a score there: {', '.join(missing)}")
        if found.reason:
            told.append(f"no test: {found.reason}")
        else:
            told.append(f"Friedman: chi-squared {found.statistic:.2f}, p = {found.p:.3g}")
            told += [
                f"{row.first} and {row.second}: z = {row.z:.2f}, p = {row.p:.3g}, after Holm {row.holm:.3g}"
                for row in found.pairs.itertuples()
            ]
        stem = "-".join(name.replace("/", "-").split())
        place = None if out is None else out.with_name(f"{out.stem}-ranks-{stem}{out.suffix}")
        numbers = pd.DataFrame({"method": listed.index, "mean_rank": listed.to_numpy()})
        deliver(kind, place, console, ranked, numbers, f"Ranks: {name}", told, {})
