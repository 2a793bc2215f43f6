"""`disbench leaderboard` and `disbench table`: results over seeds, and beside what papers published."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from disbench.benchmark.cli.deliver import Format, Json, Shown, choose, deliver, spare, talk
from disbench.benchmark.cli.terminal import DataDir, Device, Mixed, check_once, named, terminal
from disbench.console import say
from disbench.errors import UsageError
from disbench.files import refused_by_system, unwritable

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import Console

    from disbench.benchmark.runs.selection import Selected
    from disbench.leaderboards.tables import Table

Runs = Annotated[
    list[Path] | None,
    typer.Argument(
        help="Run folders written by `disbench run --out`, or saved results, by their name too: mini.",
        callback=named,
    ),
]
Out = Annotated[
    Path | None,
    typer.Option(help="File to write; the per-seed scores are written beside it as STEM-scores."),
]
Results = Annotated[
    Path | None,
    typer.Option(help="Folder of the saved results (default: leaderboards/results of this checkout)."),
]


def leaderboard(
    runs: Runs = None,
    by: Annotated[
        str,
        typer.Option(
            help="Group by these columns, such as method,metric,preset, and by settings that vary, such as "
            "beta (default: all)."
        ),
    ] = "",
    where: Annotated[
        list[str] | None,
        typer.Option(
            metavar="COLUMN=VALUE", help="Only rows with this value, such as method=ibgan. Repeatable."
        ),
    ] = None,
    mixed: Mixed = False,
    adjusted: Annotated[
        bool,
        typer.Option("--adjusted", help="Of each score (score - chance) / (perfect - chance)."),
    ] = False,
    compare: Annotated[
        bool,
        typer.Option(
            "--compare",
            help="Also compare methods pairwise (probability of improvement), tell what method, setting and "
            "seed explain of the scores, and rank methods over data sets.",
        ),
    ] = False,
    select: Annotated[
        str,
        typer.Option(
            help="Rank the seeds of each method without labels, by udr (from the saved codes) or "
            "model_centrality (from the checkpoints), optionally with a preset such as udr:dlib_spearman."
        ),
    ] = "",
    tuned: Annotated[
        str,
        typer.Option(
            metavar="METRIC",
            help="Rank the settings of each method by this metric, such as mig or factor_vae:ibgan, and "
            "beside that without labels, by --select (default: udr).",
        ),
    ] = "",
    device: Device = "auto",
    format_: Format = "",
    json_: Json = False,
    out: Out = None,
    keep: Annotated[
        str,
        typer.Option(help="Save the leaderboard to the repository under this name, with its provenance."),
    ] = "",
    results: Results = None,
    data_dir: DataDir = None,
    readme: Annotated[
        bool, typer.Option("--readme", help="Rewrite the README's tables from the saved results.")
    ] = False,
    check: Annotated[
        bool,
        typer.Option("--check", help="With --readme: write nothing; fail if the README is out of date."),
    ] = False,
) -> None:
    """Aggregate runs over their seeds, or choose a seed or a setting; one run keeps the result, too."""
    from disbench.benchmark.runs import store
    from disbench.benchmark.runs.readme import update
    from disbench.benchmark.runs.rows import gather, warnings
    from disbench.benchmark.runs.settings import settings, with_settings
    from disbench.leaderboards import aggregate, shown, wide

    if check and not readme:
        raise UsageError("--check belongs to --readme; give both or neither.")
    if keep and (mixed or by or adjusted):
        raise UsageError(
            "--keep saves comparable results, row by row; give it without --mixed, --by and --adjusted."
        )
    if by and compare:
        raise UsageError("--compare compares all methods, whatever --by groups; give one of them.")
    if adjusted and (select or tuned or readme):
        raise UsageError("--adjusted is of a leaderboard; give it without --select, --tuned and --readme.")
    if tuned and (by or compare or keep or readme or mixed):
        raise UsageError(
            "--tuned ranks settings; give it without --by, --compare, --keep, --readme and --mixed."
        )
    if select and (by or compare or keep or readme):
        raise UsageError("--select ranks single seeds; give it without --by, --compare, --keep and --readme.")
    if results is not None and not (keep or readme):
        raise UsageError("--results belongs to --keep and --readme; give one of them, or omit it.")
    if data_dir is not None and not keep:
        raise UsageError("--data-dir belongs to --keep; give it, or omit --data-dir.")
    if device != "auto" and not (select or tuned):
        raise UsageError("--device belongs to --select and --tuned; give it with one of them.")
    if readme:
        if runs or keep or format_ or json_ or out is not None:
            raise UsageError(
                "--readme reads the saved results and writes the README; give it without runs, --keep, "
                "--format, --json and --out."
            )
        say(terminal(), update(results, check))
        return
    if not runs:
        raise UsageError("no run was given; give the folders that `disbench run --out` wrote, or --readme.")
    kind = choose(format_, json_, out)
    spare(out, runs)
    console = talk(kind, out)
    if tuned:
        tables = tuning(runs, conditions(where or []), tuned, select or "udr", device)
        deliver("leaderboard", tables, kind, out)
        return
    if select:
        show_selection(runs, conditions(where or []), mixed, select, device, kind, out)
        return
    frame, notes = gather(runs)
    frame, different = aggregate.comparable(frame, conditions(where or []), mixed)
    notes += different
    if adjusted:
        frame = aggregate.adjusted(frame)
    columns = list(aggregate.BY)
    if by:
        # only here, since it loads torch
        from disbench.benchmark.sweep.request import names

        columns = names(by, "by")
    rows = with_settings(frame, settings(runs)) if by else frame
    # what is shown on the terminal as a whole is written into the run, with all columns
    whole = len(runs) == 1 and not (by or where or adjusted) and store.is_run(runs[0])
    written = whole and kind == "terminal" and out is None
    board = aggregate.leaderboard(rows, columns, written or kind in ("csv", "parquet", "json"))
    notes += shown.pooled(rows, columns) + shown.notes(frame, board) + warnings(frame)
    if written:
        notes.append(keep_beside(runs[0], frame, board, notes))
    title = f"Leaderboard of {', '.join(run.name for run in runs)}"
    paper, numbers = wide.of_board(board)
    tables = [
        Shown(
            "leaderboard",
            shown.leaderboard(board),
            board,
            title,
            notes,
            paper,
            shown.caption(title, frame, board, numbers),
            [note for note in notes if note not in shown.definitions(board)],
            {"scores": frame},
        )
    ]
    tables += comparison(frame) if compare else []
    deliver("leaderboard", tables, kind, out)
    if keep:
        # only here, since it loads torch
        from disbench.benchmark.runs.keep import keep as keep_results

        paths = keep_results(
            keep, runs, frame, results, data_dir, tell=lambda sentence: say(console, sentence)
        )
        say(console, *(f"kept: {path}" for path in paths))
        say(console, "Run `disbench leaderboard --readme` to update the README's tables.")


def selection(
    runs: Sequence[Path], where: dict[str, str], mixed: bool, select: str, device: str
) -> tuple[list[Shown], list[Selected]]:
    """The models of each method, ranked without labels, and what the choices score beside all.

    Returns:
        The tables, and the rankings, which `show_selection` keeps.
    """
    import pandas as pd
    from rich.console import Console as Other

    from disbench.benchmark.runs import selection as ranking
    from disbench.benchmark.sweep import progress
    from disbench.leaderboards import selection

    by = ranking.metric_of_models(select)
    frame, notes = ranking.scored_rows(runs, where, mixed)
    with progress.counted(Other(stderr=True)) as count:
        selected, further = ranking.select(frame, by, device, count, ranking.agreement(runs, by))
    models = pd.concat([selection.with_scores(each.pool, frame) for each in selected], ignore_index=True)
    chosen = pd.concat([selection.compared(each.pool, frame) for each in selected], ignore_index=True)
    notes += [sentence for each in selected for sentence in selection.notes(each.pool, each.by)]
    notes += [warning for each in selected for warning in each.warnings] + further
    title = f"Models of {', '.join(run.name for run in runs)}, ranked by {selected[0].by}"
    pairs = pd.concat([each.pairs() for each in selected], ignore_index=True)
    text, numbers = selection.shown(models, selected[0].by), models.assign(by=selected[0].by)
    tables = [Shown("models", text, numbers, title, notes, beside={"pairs": pairs})]
    if not chosen.empty:
        title = f"What the choice by {selected[0].by} scores"
        below = selection.notes_on_comparison(chosen)
        tables.append(Shown("chosen", selection.shown_comparison(chosen), chosen, title, below))
    return tables, selected


def tuning(
    runs: Sequence[Path], where: dict[str, str], metric: str, without: str, device: str
) -> list[Shown]:
    """The settings of each method, ranked with labels and without, and what both choices score."""
    import pandas as pd
    from rich.console import Console as Other

    from disbench.benchmark.runs import tuning as settings
    from disbench.benchmark.sweep import progress
    from disbench.leaderboards import tuning

    with progress.counted(Other(stderr=True)) as count:
        found = settings.of_runs(runs, metric, without, where, device, count)
    by, free = found.by, found.without
    several = [name for name in ("dataset", "protocol") if len({p.table[name][0] for p in found.pools}) > 1]
    tables = []
    for pool in found.pools:
        words = [pool.label, *(str(pool.table[name][0]) for name in several)]
        text, sentences = tuning.shown(pool, by, free), tuning.notes(pool, by, free)
        title = f"Settings of {' '.join(words)}"
        tables.append(Shown("-".join(["settings", *words]), text, pool.table, title, sentences))
    worth = pd.concat([pool.worth for pool in found.pools], ignore_index=True)
    below = [*tuning.notes_on_worth(worth, by, free), *found.notes]
    title = f"What the choices of {', '.join(run.name for run in runs)} score"
    return [*tables, Shown("worth", tuning.shown_worth(worth), worth, title, below)]


def show_selection(
    runs: Sequence[Path],
    where: dict[str, str],
    mixed: bool,
    select: str,
    device: str,
    kind: str,
    out: Path | None,
) -> None:
    """Shows a `selection`; the choice is kept in the run if that is shown as a whole on the terminal."""
    tables, selected = selection(runs, where, mixed, select, device)
    deliver("leaderboard", tables, kind, out)
    if len(runs) == 1 and kind == "terminal" and out is None:
        kept(runs[0], selected, terminal())


def kept(run: Path, selected: Sequence[Selected], console: Console) -> None:
    """Keeps choices in the folder of their run, if that may be written."""
    from disbench.benchmark.runs import selection as ranking

    try:
        written = [ranking.keep(run, each) for each in selected]
    except OSError as error:
        say(console, not_written(run, error))
    else:
        say(console, *(f"written: {path}" for path in written if path is not None))


def written_leaderboard(path: Path) -> Shown:
    """The leaderboard of a run, which is written with the per-seed scores into its folder.

    Of several settings of a method it is the form for papers, with a row for each.
    """
    from disbench.benchmark.runs.rows import gather, warnings
    from disbench.leaderboards import aggregate, shown, tuning, wide

    frame, notes = aggregate.comparable(gather([path])[0], mixed=True)
    board = aggregate.leaderboard(frame)
    notes += shown.notes(frame, board) + warnings(frame)
    written, text = keep_beside(path, frame, board, notes), shown.leaderboard(board)
    if tuning.several(frame):
        paper, numbers = wide.of_board(board)
        text = paper.text
        notes = [note for note in notes if note not in shown.definitions(board)]
        again = f"disbench leaderboard {shlex.quote(str(path))}"
        notes[:0] = [
            f"{numbers.partition(';')[0]}; `{again}` has intervals, spread and chance",
            f"`{again} --tuned METRIC` ranks the settings of each method",
        ]
    title = f"Leaderboard of {path.name}"
    return Shown("leaderboard", text, board, title, [*notes, written])


def keep_beside(run: Path, frame: pd.DataFrame, board: pd.DataFrame, notes: Sequence[str]) -> str:
    """Writes the leaderboard of a run and its per-seed scores into its folder; says so, or why not.

    Nobody asked for these files, and what is shown does not need them: a run that may only be read is one
    that may be shown.
    """
    from disbench.benchmark.runs.shelf import write_leaderboard

    try:
        write_leaderboard(run, frame, board, notes)
    except OSError as error:
        return not_written(run, error)
    return f"written: {run / 'leaderboard.csv'}, leaderboard.md, scores.csv"


def not_written(run: Path, error: OSError) -> str:
    """Why nothing was written into a run's folder."""
    if not refused_by_system(error):
        raise error
    return f"not written: {unwritable(run, error)}"


def conditions(texts: Sequence[str]) -> dict[str, str]:
    """`method=ibgan` as {"method": "ibgan"}."""
    values: dict[str, str] = {}
    for text in texts:
        column, equals, value = text.partition("=")
        if not (column and equals):
            raise UsageError(f"--where {text!r} is not of the form column=value, such as method=ibgan.")
        check_once(f"--where {column.strip()}", column.strip() in values)
        values[column.strip()] = value.strip()
    return values


def comparison(frame: pd.DataFrame) -> list[Shown]:
    """Which method scores higher how probably, what explains the scores, and the ranks over data sets."""
    import pandas as pd

    from disbench.leaderboards import aggregate, shown
    from disbench.leaderboards.explained import explained

    pairs = aggregate.improvements(frame)
    text, notes = shown.improvements(pairs)
    tables = [Shown("pairs", text, pairs, "Which method beats which", notes)]
    shares = explained(frame)
    if not shares.empty:
        text, notes = shown.explained(shares)
        tables.append(Shown("explained", text, shares, "What explains the scores", notes))
    for name, ranking, missing in aggregate.ranks(frame):
        ranked, notes = shown.ranks(ranking, missing)
        listed = ranking.mean.sort_values()
        stem = "-".join(name.replace("/", "-").split())
        numbers = pd.DataFrame({"method": listed.index, "mean_rank": listed.to_numpy()})
        tables.append(Shown(f"ranks-{stem}", ranked, numbers, f"Ranks: {name}", notes))
    return tables


def table_(
    name: Annotated[str, typer.Argument(help="See `disbench list tables`.")],
    runs: Runs = None,
    plan: Annotated[
        bool,
        typer.Option("--plan", help="Only print the commands that produce the results for this table."),
    ] = False,
    dataset: Annotated[
        str,
        typer.Option(
            "--dataset",
            help="The same table on another data set; the published numbers, of its own one, are left out.",
            show_default=False,
        ),
    ] = "",
    format_: Format = "",
    json_: Json = False,
    out: Out = None,
    results: Results = None,
) -> None:
    """Reproduce a paper's comparison table: published numbers beside ours, from runs or the saved results."""
    from disbench import metrics
    from disbench.benchmark.datasets import naming
    from disbench.benchmark.runs import commands
    from disbench.benchmark.runs.rows import gather
    from disbench.benchmark.runs.shelf import saved
    from disbench.leaderboards import aggregate, tables
    from disbench.leaderboards import results as kept_results

    spec = tables.read(name)
    if dataset:
        _check_offered(spec, dataset)
    if plan:
        spec = spec.on(dataset) if dataset else spec
        if format_ or json_ or out is not None:
            raise UsageError("--plan prints commands and no table; omit --format, --json and --out.")
        if runs or results is not None:
            raise UsageError("--plan prints commands and reads no results; omit the runs and --results.")
        folder = f"runs/{name}"
        lines = [commands.cost_of_table(spec), *commands.of_table(spec, folder)]
        on = ["--dataset", dataset] if dataset else []
        print("\n".join([*lines, shlex.join(["disbench", "table", name, folder, *on])]))
        return
    kind = choose(format_, json_, out)
    if runs and results is not None:
        raise UsageError("--results names the saved results, and runs were given; omit one of them.")
    if dataset:
        # rows call a user's file by its short name
        spec = spec.on(naming.short(dataset))
    methods = {row.method for row in spec.rows}

    def mine(frame: pd.DataFrame) -> pd.DataFrame:
        frame = spec.of_its_data(frame) if dataset else frame
        return frame[frame["method"].isin(methods)]

    # what has none of the table's methods says nothing about it
    sources = runs or [path for path in saved(results) if len(mine(kept_results.scores(path)))]
    spare(out, sources)
    frame, overlaps = gather(sources) if sources else (aggregate.scores([]), [])
    if not runs:
        ours = ", ".join(path.name for path in sources)
        where = f" on {dataset}" if dataset else ""
        overlaps.append(f"ours: {ours or f'no saved result has a method of this table{where}'}")
    frame = mine(frame)
    entries = tables.fill(spec, frame)
    text, notes = tables.shown(spec, entries)
    better = {column.metric: metrics.get(column.metric).higher_is_better for column in spec.columns}
    paper, remarks = tables.paper(spec, entries, better)
    one = Shown(
        name,
        text,
        tables.frame_of(entries),
        spec.title,
        [*notes, *overlaps],
        paper,
        f"{spec.title}; mean ± spread{paper.legend}",
        [*remarks, *overlaps],
        {"scores": frame},
    )
    parts = [one]
    pairs = tables.paired(spec, frame, better)
    if len(pairs):
        text, notes = tables.shown_paired(spec, pairs)
        parts.append(Shown(f"{name}-paired", text, pairs, "Split by split", notes))
    deliver("table", parts, kind, out)


def _check_offered(spec: Table, dataset: str) -> None:
    """That a table can be made on another data set.

    Raises:
        UsageError: there is no such data set or option of it, it has other image sizes, or the name has
            options where the table has splits.
    """
    from disbench.benchmark.datasets import derived, loading, manifest, naming

    base, options = naming.split_name(dataset)
    facts = None if naming.is_own(base) else manifest.read(base)
    for name in naming.expanded(dataset):
        for option in naming.split_name(name)[1]:
            derived.check_option(base, option, facts)
    if spec.splits and options:
        raise UsageError(
            f"--dataset {dataset} is a part of {base}, and the table {spec.name} has {spec.splits} parts of "
            f"its own; give --dataset {base}."
        )
    missing = [size for size in spec.sizes() if loading.usual_size(base, size) is None]
    if missing:
        offered = ", ".join(map(str, manifest.read(base).sizes))
        raise UsageError(
            f"the methods of the table {spec.name} are made for images of {missing[0]} pixels, and {base} "
            f"has {offered}; choose another data set, see `disbench list datasets`."
        )
