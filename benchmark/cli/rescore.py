"""`disbench rescore`: further metrics of what is trained already."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from disbench.benchmark.cli.deliver import Json, deliver, talk
from disbench.benchmark.cli.leaderboard import written_leaderboard
from disbench.benchmark.cli.run import HELD
from disbench.benchmark.cli.terminal import DataDir, Device
from disbench.console import say
from disbench.errors import UsageError, argument


def rescore(
    runs: Annotated[
        list[Path], typer.Argument(help="Run folders written by `disbench run --out`, or saved results.")
    ],
    metrics: Annotated[
        str,
        typer.Option(
            help="Metrics, separated by commas, with a preset if need be: dci,mig_chen (default: those of "
            "the protocol)."
        ),
    ] = "",
    jobs: Annotated[int, typer.Option(help="Number of seeds scored in parallel (0: one per core).")] = 0,
    device: Device = "cpu",
    data_dir: DataDir = None,
    json_: Json = False,
) -> None:
    """Score trained seeds by further metrics, from their saved codes; models are needed only without codes.

    The scores join those that are there: leaderboard, plots and report show them.
    """
    from rich.console import Console

    from disbench.benchmark.runs import keep, store
    from disbench.benchmark.scoring.plans import of_one_model
    from disbench.benchmark.sweep import progress
    from disbench.benchmark.sweep.rescore import check_jobs
    from disbench.benchmark.sweep.rescore import rescore as score_run
    from disbench.leaderboards import results

    check_jobs(jobs)
    choices = of_one_model(metrics) if metrics else ()
    kind = "json" if json_ else "terminal"
    console = talk(kind)
    # nothing is scored before all of them can be
    for run in runs:
        if not results.is_kept(run):
            store.check_run(run)
        elif not choices:
            raise UsageError(
                f"{run} is a saved result, which has the scores of its protocol; give {argument('metrics')}."
            )
    busy, tables = 0, []
    for run in runs:
        if results.is_kept(run):
            say(console, *keep.rescore(run, choices, data_dir))
            continue
        with progress.counted(Console(stderr=True)) as count:
            done = score_run(
                run, choices, jobs, device, data_dir, lambda sentence: say(console, sentence), count
            )
        tables.append(written_leaderboard(run))
        if kind == "terminal":
            deliver("rescore", [tables.pop()], kind)
        say(console, f"{run}: {done['scored']} seeds scored, {done['known']} had these scores already")
        busy += done["busy"]
    if kind == "json":
        deliver("rescore", tables, kind)
    if busy:
        say(
            console, f"{busy} seeds are held by another disbench process; repeat the command when it is done."
        )
        raise typer.Exit(HELD)
