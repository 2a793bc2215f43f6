"""`disbench bench`: how fast training, metrics and data are, always as a ratio measured in one run."""

from __future__ import annotations

import time
import tracemalloc
from pathlib import Path
from typing import Annotated, Any

import typer

from disbench.benchmark.cli.terminal import Precision
from disbench.errors import UsageError

app = typer.Typer(help="Measure speed: training steps, metrics, data.", no_args_is_help=True)

SIZES = (3, 6, 40, 32, 32)  # of dSprites
CODES = 10
TRAIN, TEST = 10_000, 5_000
MINUTES = ("dci",)  # measured when named only


@app.command()
def train(
    methods: Annotated[str, typer.Option(help="Methods, separated by commas.")] = "betavae,ibgan",
    seeds: Annotated[str, typer.Option(help="Numbers of seeds to train at once.")] = "1,2,4,8,16,32",
    config: Annotated[str, typer.Option(help="Named config: mini or paper.")] = "mini",
    size: Annotated[int, typer.Option(help="Pixels a side.")] = 32,
    seconds: Annotated[float, typer.Option(help="Length of each measurement.")] = 5.0,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    precision: Precision = "float32",
    data_dir: Annotated[Path | None, typer.Option(help="Where data sets are kept.")] = None,
) -> None:
    """Training by hand, as `disbench run` does it, and S seeds fused; all take turns in one run.

    "x plain" is the throughput against S seeds one after another in the hand-written loop. "of floor" is the
    share of the time that the memory alone would need (see `speed.traffic`).
    """
    import torch

    from disbench import models
    from disbench.benchmark import datasets
    from disbench.benchmark.training import speed
    from disbench.benchmark.training.gpu import choose_device, choose_tuning
    from disbench.benchmark.training.seeds import stream
    from disbench.benchmark.training.trainer import use_one_core

    try:
        counts = [int(count) for count in seeds.split(",")]
    except ValueError:
        counts = []
    if not counts or min(counts) < 1:
        raise UsageError(f"--seeds {seeds!r} is no list of numbers; give some such as 1,2,4,8.")
    use_one_core()
    where = torch.device(choose_device(device))
    tuning = choose_tuning(where.type, precision, False)
    data = datasets.load("dsprites", size=size, data_dir=data_dir)
    bandwidth = speed.bandwidth(where)
    time_of = "CPU time" if where.type == "cpu" else "wall time"
    print(f"{where}, {data.name} {size}x{size}, config {config}, {precision}; ratios are of {time_of}")
    print(f"copying within memory: {bandwidth / 1e9:,.1f} GB/s")
    print(
        f"{'method':<16} {'way':<21} {'S':>3} {'steps/s':>8} {'seed-steps/s':>12} "
        f"{'ms/seed-step':>12} {'x plain':>7} {'of floor':>8}"
    )
    for name in methods.split(","):
        settings = models.configure(name, config)
        method = models.build(name, settings, data.info, stream(0, "weights"))
        floor = speed.traffic(method, data) / bandwidth
        found = speed.ways(name, settings, data, counts, where, tuning.precision)
        speed.take_turns(found, seconds, where)
        plain = found[0].cost(where)
        for way in found:
            cost = way.cost(where)
            print(
                f"{name:<16} {way.name:<21} {way.seeds:>3} {1 / way.seconds:>8.2f} "
                f"{way.seeds / way.seconds:>12.1f} {1000 * cost:>12.3f} {plain / cost:>7.2f} "
                f"{floor / cost:>8.1%}",
                flush=True,
            )


@app.command()
def cores(
    methods: Annotated[str, typer.Option(help="Methods, separated by commas.")] = "betavae,ibgan",
    config: Annotated[str, typer.Option(help="Named config: mini or paper.")] = "mini",
    size: Annotated[int, typer.Option(help="Pixels a side.")] = 32,
    seconds: Annotated[float, typer.Option(help="Length of each measurement.")] = 20.0,
    count: Annotated[int, typer.Option("--cores", help="How many; 0: all of this machine's.")] = 0,
    data_dir: Annotated[Path | None, typer.Option(help="Where data sets are kept.")] = None,
) -> None:
    """Seeds an hour: one process per core with one thread, against one process with all threads."""
    import joblib

    from disbench import models
    from disbench.benchmark.training import speed

    count = count or joblib.cpu_count()
    print(f"{count} cores, dsprites {size}x{size}, config {config}; seeds an hour, training alone")
    print(f"{'method':<16} {'process per core':>16} {'one process':>12} {'ratio':>6}")
    for name in methods.split(","):
        steps = models.configure(name, config).steps
        apart, together = speed.cores(name, config, size, seconds, count, data_dir)
        hour = 3600 / steps
        print(
            f"{name:<16} {apart * hour:>16.1f} {together * hour:>12.1f} {apart / together:>6.2f}", flush=True
        )


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
    from disbench.benchmark.datasets.speed import bench

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
    from disbench.benchmark import datasets
    from disbench.benchmark.training import speed
    from disbench.benchmark.training.strategies import Single
    from disbench.benchmark.training.trainer import use_one_core

    use_one_core()
    loaded = datasets.load(name, size=size, data_dir=data_dir)
    method = models.build("betavae", models.configure("betavae", "mini"), loaded.info, 0)
    cpu = torch.device("cpu")
    way = speed.Way("disbench", 1, Single([method], loaded, [0], cpu).advance)
    speed.take_turns([way], 2.0, cpu)
    return 1000 * way.seconds
