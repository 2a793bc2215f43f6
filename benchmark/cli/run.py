"""`disbench run` and `disbench status`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from disbench.benchmark.cli.leaderboard import show_leaderboard
from disbench.benchmark.cli.terminal import DataDir, Device, Precision, names, table, terminal
from disbench.errors import UsageError

if TYPE_CHECKING:
    from rich.console import Console

    from disbench.benchmark.api import Prepared

INTERRUPTED = 130  # as the shell says of a program that Ctrl-C ended
TIME_IS_UP = 75  # EX_TEMPFAIL of sysexits.h: not failed, run it again
STATES = ("done", "running", "stopped", "failed")


def seed_list(text: str) -> list[int]:
    """`32` is seeds 0 to 31; `3,7` names them, and so does `5,`."""
    try:
        numbers = [int(part) for part in text.split(",") if part.strip()]
    except ValueError:
        numbers = []
    if not numbers:
        raise UsageError(
            f"--seeds {text!r} is no number; give how many (32 is seeds 0 to 31) or name them (3,7)."
        )
    if "," not in text:
        if numbers[0] < 1:
            raise UsageError(f"--seeds {numbers[0]} asks for no seed; give 1 or more, or name them (3,7).")
        return list(range(numbers[0]))
    if min(numbers) < 0:
        raise UsageError(f"--seeds {text!r} names a negative seed; seeds are 0 or more.")
    return sorted(set(numbers))


def changes(texts: list[str]) -> dict[str, dict[str, object]]:
    """`betavae.beta=6` as {"betavae": {"beta": "6"}}."""
    found: dict[str, dict[str, object]] = {}
    for text in texts:
        target, equals, value = text.partition("=")
        method, dot, field = target.partition(".")
        if not (equals and dot and method and field):
            raise UsageError(f"--set {text!r} is not of the form method.field=value, such as betavae.beta=6.")
        found.setdefault(method.strip(), {})[field.strip()] = value.strip()
    return found


def run(
    methods: Annotated[str, typer.Option(help="Methods, separated by commas; see `disbench list methods`.")],
    seeds: Annotated[str, typer.Option(help="How many (32 is seeds 0 to 31), or which (3,7).")] = "1",
    protocol: Annotated[str, typer.Option(help="See `disbench list protocols`.")] = "mini",
    dataset: Annotated[
        list[str] | None, typer.Option(help="Another data set than the protocol's. Repeatable.")
    ] = None,
    size: Annotated[int, typer.Option(help="Pixels a side; else the protocol's, else the data set's.")] = 0,
    config: Annotated[str | None, typer.Option(help="Another named config than the protocol's.")] = None,
    out: Annotated[Path, typer.Option(help="The run's folder; run again with the same one to go on.")] = Path(
        "runs/default"
    ),
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="Change a setting: method.field=value. Repeatable.")
    ] = None,
    variants: Annotated[str, typer.Option(help="Variants of the methods, or all.")] = "",
    device: Device = "auto",
    jobs: Annotated[int, typer.Option(help="Seeds trained at a time, one thread each; 0: one per core.")] = 0,
    fuse: Annotated[
        int, typer.Option(help="Seeds trained in one program; 0: all on a GPU, one on a CPU.")
    ] = 0,
    precision: Precision = "float32",
    cuda_graph: Annotated[bool, typer.Option(help="On a GPU, record a step once and replay it.")] = False,
    data_dir: DataDir = None,
    retry_failed: Annotated[bool, typer.Option(help="Train failed seeds again.")] = False,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Only say what would be trained, how long and in how much memory."),
    ] = False,
    max_memory: Annotated[
        str, typer.Option(help="Memory for all jobs together, such as 6G: takes fewer jobs where needed.")
    ] = "",
    max_seconds: Annotated[
        float, typer.Option(help="Stop after so long, as Ctrl-C does, with exit code 75; 0: never.")
    ] = 0.0,
    scheduler: Annotated[
        str, typer.Option(help="Address of a Dask scheduler (tcp://HOST:PORT) whose workers train the seeds.")
    ] = "",
) -> None:
    """Train and score methods over seeds; run it again to continue.

    Exit codes: 0 all done, 1 some seeds failed, 2 wrong use, 75 stopped by --max-seconds with seeds to go,
    130 stopped by Ctrl-C.
    """
    from disbench.benchmark import api
    from disbench.benchmark.runs import store

    if dry_run and scheduler:
        raise UsageError("--dry-run measures on this machine; leave --scheduler away with it.")
    console = terminal()
    prepared = api.prepare(
        names(methods, "--methods"),
        seeds=seed_list(seeds),
        protocol=protocol,
        dataset=dataset,
        size=size or None,
        config=config,
        settings=changes(set_ or []),
        variants=names(variants, "--variants") if variants else [],
        device=device,
        jobs=jobs,
        fuse=fuse,
        precision=precision,
        cuda_graph=cuda_graph,
        data_dir=data_dir,
        retry_failed=retry_failed,
        scheduler=scheduler,
    )
    if dry_run:
        foretell(out, prepared, max_memory, console)
        return
    found = api.carry_out(prepared, out, max_memory or None, max_seconds, console)
    outcomes = found.outcomes
    if store.cells(out):  # none yet where it was stopped before the first
        show_leaderboard(out, console)
    pictures = sorted(out.glob("*/seed-*/traversal.png"))
    if pictures:
        console.print(
            f"pictures: {len(pictures)} traversals (PNG and GIF) and more, the first at {pictures[0]}",
            highlight=False,
            soft_wrap=True,
        )
    if outcomes["busy"]:
        console.print(f"{outcomes['busy']} seeds are being trained by another disbench process.")
    if outcomes["failed"] or outcomes["full"]:
        console.print(
            f"{outcomes['failed'] + outcomes['full']} seeds failed; --retry-failed trains them again."
        )
    if outcomes["stopped"]:
        why = "because its time was up" if found.time_is_up else "by a signal"
        console.print(
            f"stopped {why} with {outcomes['stopped']} seeds to go; "
            "the same command goes on where it stopped.",
            highlight=False,
        )
        raise typer.Exit(TIME_IS_UP if found.time_is_up else INTERRUPTED)
    if outcomes["failed"] or outcomes["full"]:
        raise typer.Exit(1)


def foretell(out: Path, prepared: Prepared, max_memory: str, console: Console) -> None:
    """Says what a sweep would take."""
    import pandas as pd

    from disbench.benchmark.runs import store
    from disbench.benchmark.runs.rows import describe
    from disbench.benchmark.sweep import forecast, memory, progress

    limit = memory.parse_size(max_memory, "--max-memory") if max_memory else None
    store.check_free(out)
    cells, jobs, fuse = prepared.cells, prepared.jobs, prepared.fuse
    found = forecast.forecast(out, cells, prepared.protocol, prepared.options, fuse)
    allowed = jobs if limit is None else found.jobs_within(limit, jobs)
    rows = []
    for first in {cell.folder.parent: cell for cell in cells}.values():
        alike = [cell for cell in cells if cell.folder.parent == first.folder.parent]
        times = [found.seconds[cell] for cell in alike if found.seconds[cell]]
        cost = found.costs.get(first.folder.parent)
        rows.append(
            {
                "method": first.label,
                "data": first.dataset.label,
                "config": describe(first),
                "to do": str(len(times)),
                "done": str(len(alike) - len(times)),
                "a seed": progress.duration(max(times)) if times else "",
                "memory": memory.shown(cost.private) if cost and cost.private else "",
            }
        )
    n_open = sum(seconds > 0 for seconds in found.seconds.values())
    how = (
        "by a few steps and images here, of each method that has no finished seed in this run; "
        "the metrics' own time is not in that"
        if found.measured
        else "from the finished seeds of this run"
    )
    console.print(table(pd.DataFrame(rows)))
    for sentence in (
        prepared.chosen,
        f"{n_open} of {len(cells)} seeds to do, {min(allowed, max(n_open, 1))} at a time: about "
        f"{progress.duration(found.at(allowed, fuse))}, {found.room} in each worker",
        f"estimated {how}; nothing was written",
        f"{allowed} instead of {jobs} at a time: {found.why(limit or 0)}" if allowed < jobs else "",
    ):
        if sentence:
            console.print(sentence, highlight=False, soft_wrap=True, markup=False)


def status(
    run: Annotated[Path, typer.Argument(help="The folder that `disbench run --out` wrote.")],
) -> None:
    """How each method of a run stands: seeds done, running, stopped, failed; time left; reasons."""
    import pandas as pd

    from disbench.benchmark.runs import store
    from disbench.benchmark.sweep import progress

    store.check_run(run)
    console = terminal()
    seeds, reasons = [], []
    for record in sorted(store.records(run), key=lambda record: record.cell.seed):
        cell, status = record.cell, record.status
        seed = progress.Seed(cell)
        seed.look(record.folder)
        seed.state = status.state
        seeds.append(seed)
        if seed.state == "failed":
            reasons.append(f"{cell.label} seed {cell.seed} failed: {status.why}")
    running = sum(seed.state == "running" for seed in seeds)
    left = progress.remaining(seeds, running) if running else None
    rows = []
    for settings in sorted({seed.cell.training for seed in seeds}):
        alike = [seed for seed in seeds if seed.cell.training == settings]
        counts = {state: str(sum(seed.state == state for seed in alike)) for state in STATES}
        about = (
            progress.duration(left.seconds[settings] if left else None) if any(s.open for s in alike) else ""
        )
        signs = progress.strip(alike, console.encoding).plain
        rows.append({"method": alike[0].cell.label, "seeds": signs, **counts, "left": about})
    console.print(table(pd.DataFrame(rows, columns=["method", "seeds", *STATES, "left"])))
    for reason in sorted(reasons):
        console.print(reason, highlight=False, soft_wrap=True, markup=False)
