"""`disbench run` and `disbench status`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from disbench import units
from disbench.benchmark.cli.deliver import Json, Shown, deliver, talk
from disbench.benchmark.cli.leaderboard import kept, selection, written_leaderboard
from disbench.benchmark.cli.terminal import DataDir, Precision, check_once, option
from disbench.console import say
from disbench.errors import UsageError
from disbench.units import duration

if TYPE_CHECKING:
    from rich.console import Console

    from disbench.benchmark.api import Run

INTERRUPTED = 130  # as a shell reports a program that Ctrl-C ended
AGAIN = 75  # EX_TEMPFAIL of sysexits.h: not failed, run it again
HELD = 69  # EX_UNAVAILABLE of sysexits.h: another process has the rest
STATES = ("done", "running", "stopped", "failed")
# nothing in a run's folder says which seeds its sweep will come to
UNBEGUN = "seeds that have not begun are not counted, nor is their time; `disbench run` tells of all"


def changes(texts: list[str], option: str = "--set") -> dict[str, dict[str, object]]:
    """`betavae.beta=6` as {"betavae": {"beta": "6"}}."""
    settings: dict[str, dict[str, object]] = {}
    for text in texts:
        target, equals, value = text.partition("=")
        method, dot, field = target.partition(".")
        if not (equals and dot and method and field):
            example = "betavae.beta=6" if option == "--set" else "betavae.beta=1,2,4"
            raise UsageError(f"{option} {text!r} is not of the form method.field=value, such as {example}.")
        known = settings.setdefault(method.strip(), {})
        remedy = "omit one of them" if option == "--set" else "give all its values at once"
        check_once(f"{option} {target.strip()}", field.strip() in known, remedy)
        known[field.strip()] = value.strip()
    return settings


def run(
    methods: Annotated[str, typer.Option(help="Methods, separated by commas; see `disbench list methods`.")],
    seeds: Annotated[
        str, typer.Option(help="Number of seeds (32 means seeds 0 to 31), a list (3,7) or a range (0..31).")
    ] = "1",
    protocol: Annotated[
        str,
        typer.Option(help="See `disbench list protocols`; mini is its newest version, mini-v1 the first."),
    ] = "mini",
    dataset: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="Data set, instead of the protocol's. Repeatable; splits may be a range, as in "
            "digits:imbalanced-0..9.",
        ),
    ] = None,
    size: Annotated[
        int,
        typer.Option(help="Image size in pixels (0: the protocol's, or else the data set's default)."),
    ] = 0,
    config: Annotated[str | None, typer.Option(help="Named config, instead of the protocol's.")] = None,
    metrics: Annotated[
        str,
        typer.Option(
            help="Metrics to score instead of the protocol's, separated by commas, with a preset if need be: "
            "dci:ibgan,mig. Scores that a seed has already stay."
        ),
    ] = "",
    out: Annotated[
        Path, typer.Option(help="Folder of the run; repeat the command with the same folder to resume.")
    ] = Path("runs/default"),
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="METHOD.FIELD=VALUE", help="Change a setting. Repeatable."),
    ] = None,
    variants: Annotated[str, typer.Option(help="Variants of the methods, separated by commas, or all.")] = "",
    grid: Annotated[
        list[str] | None,
        typer.Option(
            metavar="METHOD.FIELD=VALUES",
            help="Compare values of a setting, each with all seeds: betavae.beta=1,2,4 or a range, 2..10. "
            "Repeatable: the product of several.",
        ),
    ] = None,
    random: Annotated[
        int,
        typer.Option(
            help="Number of random settings of each --grid instead of the product; ranges may be 1..16 or "
            "log:1..16."
        ),
    ] = 0,
    random_seed: Annotated[int, typer.Option(help="Seed of the --random settings.")] = 0,
    device: Annotated[
        str,
        typer.Option(
            help="auto, cpu, cuda (all GPUs), cuda:1 or cuda:0,cuda:1; auto uses the GPUs if there are any."
        ),
    ] = "auto",
    jobs: Annotated[
        int,
        typer.Option(
            help="Number of groups of seeds trained in parallel, on a CPU with one thread each (0: one per "
            "core, or one per GPU)."
        ),
    ] = 0,
    fuse: Annotated[
        int,
        typer.Option(help="Number of seeds trained as one program (0: all on a GPU, one on a CPU)."),
    ] = 0,
    strategy: Annotated[
        str,
        typer.Option(
            help="How several seeds train together: stacked (one program over stacked weights), branches "
            "(side by side), single (each on its own) or auto (the quickest that was measured, by method)."
        ),
    ] = "auto",
    precision: Precision = "float32",
    cuda_graph: Annotated[
        bool | None,
        typer.Option(
            "--cuda-graph/--no-cuda-graph",
            help="On a GPU, capture the training step as a CUDA graph and replay it (default: yes).",
        ),
    ] = None,
    deterministic: Annotated[
        bool, typer.Option(help="On a GPU, use only operations that give the same bits each time.")
    ] = False,
    portable: Annotated[
        bool,
        typer.Option(
            help="On a CPU, compute with kernels that give equal bits on every x86-64 with AVX2; slower."
        ),
    ] = False,
    data_dir: DataDir = None,
    retry_failed: Annotated[
        bool, typer.Option(help="Train failed seeds again, and compute failed metrics again.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only estimate time and memory; train nothing.")
    ] = False,
    max_memory: Annotated[
        str,
        typer.Option(
            help="Memory limit for all jobs together, such as 6G, or for a group on a GPU; reduces the "
            "number of jobs, or the seeds of a group, if necessary."
        ),
    ] = "",
    max_seconds: Annotated[
        float,
        typer.Option(help="Stop after this time as Ctrl-C would, with exit code 75 (0: no limit)."),
    ] = 0.0,
    max_step_seconds: Annotated[
        float,
        typer.Option(
            help="A seed that takes no step and finishes no metric for this time fails, if several train at "
            "a time or code of a plug-in takes part (0: no limit)."
        ),
    ] = 3600.0,
    scheduler: Annotated[
        str, typer.Option(help="Address of a Dask scheduler (tcp://HOST:PORT) whose workers train the seeds.")
    ] = "",
    json_: Json = False,
    tensorboard: Annotated[
        bool,
        typer.Option(
            "--tensorboard",
            help="Write the curves as event files for TensorBoard as well (disbench[tensorboard]).",
        ),
    ] = False,
) -> None:
    """Train and score methods over seeds; repeat the command to resume.

    Exit codes: 0 all done, 1 some seeds failed, 2 usage error, 69 none failed but another disbench process
    trains some, 75 stopped by --max-seconds, or the Dask scheduler was lost, with seeds remaining, 130
    stopped by Ctrl-C.
    """
    from disbench.benchmark import api
    from disbench.benchmark.sweep.request import Request

    kind = "json" if json_ else "terminal"
    console = talk(kind)
    request = Request(
        methods,
        seeds=seeds,
        protocol=protocol,
        dataset=dataset,
        size=size or None,
        config=config,
        metrics=metrics,
        settings=changes(set_ or []),
        variants=variants,
        grid=changes(grid or [], "--grid"),
        random=random,
        random_seed=random_seed,
        out=out,
        device=device,
        jobs=jobs,
        fuse=fuse,
        strategy=strategy,
        precision=precision,
        cuda_graph=cuda_graph,
        deterministic=deterministic,
        portable=portable,
        data_dir=data_dir,
        retry_failed=retry_failed,
        max_memory=max_memory or None,
        max_seconds=max_seconds,
        max_step_seconds=max_step_seconds,
        scheduler=scheduler,
        tensorboard=tensorboard,
        console=console,
    )
    if dry_run:
        expected = api.forecast(request)
        deliver(
            "run", [Shown("forecast", expected.shown(), expected.table(), "", expected.sentences())], kind
        )
    else:
        show_end(api.run(request), kind, console)


def show_end(run: Run, kind: str, console: Console) -> None:
    """Prints leaderboard and outcomes of a run; exits with the code that says what is still to do."""
    from disbench.benchmark.sweep import stop

    outcomes, failed = run.outcomes, run.outcomes["failed"] + run.outcomes["full"]
    tables: list[Shown] = []
    # a run that was stopped at once has no seeds yet
    if len(run.status()):
        tables.append(written_leaderboard(run.path))
        if kind == "terminal":
            deliver("run", [tables.pop()], kind)
        if not outcomes["stopped"]:
            tables += label_free(run.path, kind, console)
    if kind == "json":
        deliver("run", tables, kind, details={"outcomes": outcomes})
    pictures = sorted(run.path.glob("*/seed-*/traversal.png"))
    if pictures:
        what = f"{units.count(len(pictures), 'traversal')} (PNG and GIF) and other images"
        say(console, f"pictures: {what}; the first is {pictures[0]}")
    if outcomes["busy"]:
        seeds = units.count(outcomes["busy"], "seed")
        say(console, f"{seeds} in the hands of another disbench process.")
    if failed:
        say(console, f"{units.count(failed, 'seed')} failed; --retry-failed trains again what failed.")
    if outcomes["stopped"]:
        say(
            console,
            f"stopped {stop.TIME if run.time_is_up else stop.SIGNAL} with "
            f"{units.count(outcomes['stopped'], 'seed')} to go; the same command resumes from there.",
        )
        raise typer.Exit(AGAIN if run.time_is_up else INTERRUPTED)
    if failed:
        raise typer.Exit(1)
    if outcomes["busy"]:
        raise typer.Exit(HELD)


def label_free(run: Path, kind: str, console: Console) -> list[Shown]:
    """The seeds on data without labels, ranked by how well they agree; the choices are kept in the run."""
    from disbench.benchmark.runs import selection as ranking

    tables: list[Shown] = []
    for dataset in ranking.without_labels(run):
        say(console, f"{dataset}: no labels, so the seeds of each method are ranked by their agreement (udr)")
        try:
            found, selected = selection([run], {"dataset": dataset}, False, "udr", "auto")
        except UsageError as error:
            # the seeds are trained and scored
            say(console, f"no ranking: {error.told(option)}")
            continue
        if kind == "terminal":
            deliver("run", found, kind)
        else:
            tables += found
        kept(run, selected, console)
    return tables


def status(
    run: Annotated[Path, typer.Argument(help="Folder that `disbench run --out` wrote.")],
    json_: Json = False,
) -> None:
    """Show the progress of a run per method: begun seeds by state, the time left for them, errors."""
    import pandas as pd

    from disbench.benchmark.runs import store
    from disbench.benchmark.sweep import progress
    from disbench.leaderboards.labels import by_value

    kind = "json" if json_ else "terminal"
    console = talk(kind)
    records = store.records(run)
    seeds = progress.of_records(records)
    running = sum(seed.state == "running" for seed in seeds)
    left = progress.remaining(seeds, running) if running else None
    rows, numbers = [], []
    trainings = progress.by_training(seeds).items()
    for training, alike in sorted(trainings, key=lambda each: by_value(each[1][0].name)):
        counts = {state: sum(seed.state == state for seed in alike) for state in STATES}
        unfinished = any(seed.open for seed in alike)
        seconds = left.seconds[training] if left else None
        about = duration(seconds) if unfinished else ""
        signs = progress.strip(alike, console.encoding).plain
        shown = {state: str(count) for state, count in counts.items()}
        rows.append({"method": alike[0].name, "seeds": signs, **shown, "left": about})
        numbers.append({"method": alike[0].name, **counts, "seconds_left": seconds if unfinished else 0.0})
    failed = [seed for seed in seeds if seed.state == "failed"]
    sentences = sorted(f"{seed.name} seed {seed.cell.seed} failed: {seed.error}" for seed in failed)
    if not seeds or any(seed.open for seed in seeds):
        sentences.append(UNBEGUN)
    text = pd.DataFrame(rows, columns=["method", "seeds", *STATES, "left"])
    figures = pd.DataFrame(numbers, columns=["method", *STATES, "seconds_left"])
    deliver("status", [Shown("status", text, figures, "", [*sentences, *records.sentences])], kind)
