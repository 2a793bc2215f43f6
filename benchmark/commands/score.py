"""`disbench score` and `disbench traverse`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from disbench.benchmark.commands.common import DataDir, Device, table, terminal
from disbench.errors import UsageError


def score(
    checkpoint: Annotated[Path, typer.Argument(help="A checkpoint.pt that `disbench run` wrote.")],
    metrics: Annotated[
        str, typer.Option(help="Metrics, with presets after a colon (factor_vae:ibgan); else the protocol's.")
    ] = "",
    json_: Annotated[bool, typer.Option("--json", help="Print everything as JSON.")] = False,
    device: Device = "auto",
    data_dir: DataDir = None,
) -> None:
    """Score a checkpoint."""
    import json

    import torch
    from rich.console import Console

    from disbench import models
    from disbench.benchmark import progress, protocols, scoring, sweep

    loaded = models.load_checkpoint(checkpoint)
    choices = protocols.choose_metrics(metrics) if metrics else protocols.get(loaded.protocol).metrics
    method, data, where = sweep.revive(loaded, device, data_dir)
    if where.type == "cpu":
        torch.set_num_threads(1)  # one thread, as in a run: the last digits depend on it
    with progress.told(Console(stderr=True)) as told:
        source = scoring.Trained(method, data, where, data_dir)
        entries = scoring.score(source, data, choices, told, jobs=-1)
    if json_:
        head = {
            "checkpoint": str(checkpoint),
            "method": loaded.method,
            "seed": loaded.seed,
            "step": loaded.step,
        }
        print(
            json.dumps({**head, "dataset": dict(loaded.dataset), "scores": entries}, indent=1, default=list)
        )
        return
    import pandas as pd

    rows = [
        {
            "metric": entry["metric"],
            "preset": entry["label"],
            "score": f"{entry['score']:.4f}" if entry["score"] is not None else f"– ({entry['reason']})",
        }
        for entry in entries
    ]
    console = terminal()
    console.print(
        f"{loaded.method}, seed {loaded.seed}, {loaded.step:,} steps on {data.name}", highlight=False
    )
    console.print(table(pd.DataFrame(rows)))
    for entry in entries:
        if entry.get("settings"):
            used = ", ".join(f"{name}={value}" for name, value in entry["settings"].items())
            console.print(f"{entry['metric']}: {used}", highlight=False, soft_wrap=True, markup=False)
        for warning in entry.get("warnings", []):
            console.print(f"{entry['metric']}: {warning}", highlight=False, soft_wrap=True)


def traverse(
    checkpoint: Annotated[Path, typer.Argument(help="A checkpoint.pt that `disbench run` wrote.")],
    out: Annotated[
        Path | None, typer.Option(help="Path of the pictures without ending; else beside the checkpoint.")
    ] = None,
    steps: Annotated[int, typer.Option(help="Pictures per code.")] = 10,
    device: Device = "auto",
    data_dir: DataDir = None,
) -> None:
    """Draw latent traversals as PNG and GIF."""

    from disbench import models
    from disbench.benchmark import pictures, store, sweep

    if not 2 <= steps <= 100:
        raise UsageError(f"--steps {steps} was given; give 2 to 100 pictures per code.")
    method, data, where = sweep.revive(models.load_checkpoint(checkpoint), device, data_dir)
    try:
        png, gif = pictures.write_traversal(
            method, data, where, out or checkpoint.with_name("traversal"), steps
        )
    except OSError as error:
        raise store.unwritable((out or checkpoint).parent, error) from None
    print(f"{png}\n{gif}")
