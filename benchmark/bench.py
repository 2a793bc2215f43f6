"""`disbench bench`: how fast training, metrics and data are, always as a ratio measured in one run."""

from __future__ import annotations

import time
import tracemalloc
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from disbench.errors import UsageError

if TYPE_CHECKING:
    from disbench.benchmark.trainer import Trainer

app = typer.Typer(help="Measure speed: training steps, metrics, data.", no_args_is_help=True)

SIZES = (3, 6, 40, 32, 32)  # of dSprites
CODES = 10
TRAIN, TEST = 10_000, 5_000
MINUTES = ("dci",)  # measured when named only


@app.command()
def train(
    methods: Annotated[str, typer.Option(help="Methods, separated by commas.")] = "betavae,ibgan",
    seeds: Annotated[str, typer.Option(help="Numbers of seeds to train at once.")] = "1,2,4,8",
    config: Annotated[str, typer.Option(help="Named config: mini or paper.")] = "mini",
    size: Annotated[int, typer.Option(help="Pixels a side.")] = 32,
    seconds: Annotated[float, typer.Option(help="Length of each measurement.")] = 5.0,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    data_dir: Annotated[Path | None, typer.Option(help="Where data sets are kept.")] = None,
) -> None:
    """Steps per second of S seeds fused, against the same seeds one after another."""
    import torch

    from disbench import models
    from disbench.benchmark import datasets, sweep
    from disbench.benchmark.trainer import Fused, Single, stream, use_one_core

    try:
        counts = [int(count) for count in seeds.split(",")]
    except ValueError:
        counts = []
    if not counts or min(counts) < 1:
        raise UsageError(f"--seeds {seeds!r} is no list of numbers; give some such as 1,2,4,8.")
    use_one_core()
    where = torch.device(sweep.choose_device(device))
    data = datasets.load("dsprites", size=size, data_dir=data_dir)
    info = sweep.data_info(data)
    print(f"{where}, {data.name} {size}x{size}, config {config}; eager is one seed the plain way")
    print("method            S   steps/s  seed-steps/s  x eager")
    for name in methods.split(","):
        settings = models.configure(name, config)
        made = [models.build(name, settings, info, stream(seed, "weights")) for seed in range(max(counts))]
        eager = rate(Single([models.build(name, settings, info, 0)], data, [0], where), seconds)
        print(f"{name:<16} {'eager':>3} {eager:>7.2f}  {eager:>12.2f}  {1:>7.2f}")
        for count in counts:
            fused = rate(Fused(made[:count], data, range(count), where), seconds)
            print(
                f"{name:<16} {count:>5} {fused:>7.2f}  {fused * count:>12.2f}  {fused * count / eager:>7.2f}"
            )


def rate(trainer: Trainer, seconds: float) -> float:
    """Steps per second after three to warm up."""
    import torch

    for _ in range(3):
        trainer.advance()
    steps, started = 0, time.perf_counter()
    while time.perf_counter() - started < seconds:
        trainer.advance()
        steps += 1
        if trainer.device.type == "cuda":
            torch.cuda.synchronize()
    return steps / (time.perf_counter() - started)


@app.command()
def metrics(
    only: Annotated[str, typer.Option("--metrics", help="Some of them, separated by commas.")] = "",
) -> None:
    """CPU seconds and peak memory of the metrics on codes of dSprites' size, codes given; dci when named."""
    from disbench import metrics as library

    usual = [name for name in library.names() if name not in MINUTES]
    chosen = [name.strip() for name in only.split(",") if name.strip()] or usual
    print(f"{CODES} codes of the grid {SIZES}; tables of {TRAIN:,} + {TEST:,} rows; one thread unless said")
    print("metric                       preset        CPU-s   peak MiB    score")
    total = 0.0
    for name in chosen:
        entry = library.get(name)
        print(f"{name:<28} {entry.default_preset:<12}", end=" ", flush=True)
        arguments, extra = inputs(name)
        started = time.process_time()
        found = entry(*arguments, **fresh(extra))
        spent = time.process_time() - started
        if spent > 20:  # tracing would take several times as long
            total += spent
            print(f"{spent:>6.2f} {'–':>10} {found.score:>8.3f}", flush=True)
            continue
        tracemalloc.start()
        entry(*arguments, **fresh(extra))
        peak = tracemalloc.get_traced_memory()[1] / 2**20
        tracemalloc.stop()
        total += spent
        print(f"{spent:>6.2f} {peak:>10.1f} {found.score:>8.3f}", flush=True)
    print(f"together {total:.1f} CPU-s")


def fresh(extra: dict[str, Any]) -> dict[str, Any]:
    import numpy as np

    return {**extra, **({"rng": np.random.default_rng(0)} if "rng" in extra else {})}


def inputs(name: str) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Arguments for a metric: noisy copies of the factors in half of the codes, noise in the others."""
    import numpy as np

    from disbench import metrics as library

    entry, grid = library.get(name), library.Grid(SIZES)
    rng = np.random.default_rng(0)
    extra: dict[str, Any] = {"rng": rng} if entry.takes("rng") else {}
    if entry.takes("n_jobs"):
        extra["n_jobs"] = 1  # the CPU time of worker processes could not be seen
    rows = np.arange(len(grid)) if entry.kind == "sampling" else rng.integers(len(grid), size=TRAIN + TEST)
    factors = grid.factors(rows)
    scaled = factors / np.array(SIZES)
    codes = rng.normal(0, 0.1, (len(rows), CODES)) + np.pad(scaled, ((0, 0), (0, CODES - len(SIZES))))
    if entry.kind == "sampling":
        return (codes, grid), extra
    if entry.kind == "unsupervised":
        return (codes,), extra
    if entry.kind == "models":
        return ([codes[:2000] + 0.01 * i for i in range(6)],), extra
    if entry.kind == "clustering":
        prior = np.full(10, 0.1)
        return (library.ContingencyTable(rng.integers(1, 100, (10, 10)), prior, prior),), extra
    if entry.takes("split"):
        extra["split"] = (np.arange(TRAIN), np.arange(TRAIN, TRAIN + TEST))
    if entry.kind == "posterior":
        return (codes[:2000], np.full((2000, CODES), -4.0), factors[:2000]), extra
    return (codes, factors), extra


@app.command()
def data(
    names: Annotated[str, typer.Option(help="Data sets, separated by commas.")] = "dsprites,digits",
    size: Annotated[int, typer.Option(help="Pixels a side.")] = 32,
    batch: Annotated[int, typer.Option(help="Images a batch.")] = 64,
    data_dir: Annotated[Path | None, typer.Option(help="Where data sets are kept.")] = None,
) -> None:
    """Batches per second from each storage, beside the time that one beta-VAE step of their size takes."""
    from disbench.benchmark.datasets.bench import bench

    print("data set          storage             size   batches/s   ms a batch   share of a step")
    for speed in bench(names.split(","), size=size, batch=batch, data_dir=data_dir):
        step = step_milliseconds(speed.data, speed.size, data_dir)
        print(
            f"{speed.data:<17} {speed.storage:<18} {speed.size:>5} {speed.batches_per_second:>11,.0f} "
            f"{speed.milliseconds:>12.3f} {speed.milliseconds / step:>16.1%}"
        )


def step_milliseconds(name: str, size: int, data_dir: Path | None) -> float:
    """One training step of beta-VAE's mini config on one thread, its batch included."""
    import torch

    from disbench import models
    from disbench.benchmark import datasets, sweep
    from disbench.benchmark.trainer import Single, use_one_core

    use_one_core()
    loaded = datasets.load(name, size=size, data_dir=data_dir)
    method = models.build("betavae", models.configure("betavae", "mini"), sweep.data_info(loaded), 0)
    return 1000 / rate(Single([method], loaded, [0], torch.device("cpu")), 2.0)
