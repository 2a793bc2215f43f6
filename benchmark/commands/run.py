"""`disbench run` and `disbench status`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from disbench.benchmark.commands.board import show_leaderboard
from disbench.benchmark.commands.common import DataDir, Device, names, table, terminal
from disbench.errors import UsageError


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
    data_dir: DataDir = None,
    retry_failed: Annotated[bool, typer.Option(help="Train failed seeds again.")] = False,
) -> None:
    """Train and score methods over seeds; run it again to continue."""
    from disbench.benchmark import api

    console = terminal()
    found = api.run(
        names(methods, "--methods"),
        seeds=seed_list(seeds),
        protocol=protocol,
        dataset=dataset,
        size=size or None,
        config=config,
        settings=changes(set_ or []),
        variants=names(variants, "--variants") if variants else [],
        out=out,
        device=device,
        jobs=jobs,
        fuse=fuse,
        data_dir=data_dir,
        retry_failed=retry_failed,
        console=console,
    )
    outcomes = found.outcomes
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
    if found.interrupted:
        console.print(
            f"stopped with {outcomes['stopped']} seeds to go; the same command goes on where it stopped."
        )
        raise typer.Exit(130)
    if outcomes["failed"] or outcomes["full"]:
        console.print(
            f"{outcomes['failed'] + outcomes['full']} seeds failed; --retry-failed trains them again."
        )
        raise typer.Exit(1)


def status(
    run: Annotated[Path, typer.Argument(help="The folder that `disbench run --out` wrote.")],
) -> None:
    """How each method of a run stands: seeds done, running, stopped, failed; and why they failed."""
    from collections import Counter

    import pandas as pd

    from disbench.benchmark import records, store

    store.check_run(run)
    counts: dict[str, Counter[str]] = {}
    reasons = []
    for cell, folder in store.cells(run):
        state = records.standing(folder)
        counts.setdefault(cell.label, Counter())[state] += 1
        if state == "failed":
            error = store.status(folder).get("error", {}).get("message", "")
            reasons.append(f"{cell.label} seed {cell.seed} failed: {error}")
    states = ("done", "running", "stopped", "failed")
    rows = [{"method": label, **{s: str(found[s]) for s in states}} for label, found in counts.items()]
    console = terminal()
    console.print(table(pd.DataFrame(rows, columns=["method", *states])))
    for reason in reasons:
        console.print(reason, highlight=False, soft_wrap=True, markup=False)
