"""`disbench bench`: how fast training, metrics and data are, always as a ratio measured in one run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer

from disbench.benchmark.cli.deliver import Json, print_json
from disbench.benchmark.cli.terminal import DataDir, Device, Plain, Precision
from disbench.errors import UsageError
from disbench.units import MIB


class _Measured:
    """The table of a measurement: lines as they come, or all of it as JSON in the end.

    Args:
        command: of `disbench bench`.
        columns: of the JSON.
        as_json: whether it is that.
    """

    def __init__(self, command: str, columns: Sequence[str], as_json: bool) -> None:
        self.command, self.columns, self.as_json = command, columns, as_json
        self.notes: list[str] = []
        self.rows: list[tuple[object, ...]] = []

    def head(self, *lines: str) -> None:
        """Lines before the table; the last one has its columns."""
        self.notes += lines[:-1]
        if not self.as_json:
            print(*lines, sep="\n", flush=True)

    def row(self, text: str, *values: object, end: str = "\n") -> None:
        """One row, as a line and as values; without values the beginning of a line."""
        if not self.as_json:
            print(text, end=end, flush=True)
        if values:
            self.rows.append(values)

    def last(self, line: str) -> None:
        """A line below the table."""
        self.notes.append(line)
        if not self.as_json:
            print(line)

    def end(self) -> None:
        """Prints the JSON, if it is that."""
        if self.as_json:
            print_json(f"bench {self.command}", self.command, self.rows, self.columns, self.notes)


app = typer.Typer(help="Measure speed: training steps, metrics, data.", no_args_is_help=True)


@app.command(cls=Plain)
def train(
    methods: Annotated[str, typer.Option(help="Methods, separated by commas.")] = "betavae,ibgan",
    seeds: Annotated[
        str, typer.Option(help="Numbers of seeds to train at once, separated by commas.")
    ] = "1,2,4,8,16,32",
    config: Annotated[str, typer.Option(help="Named config: mini or paper.")] = "mini",
    dataset: Annotated[str, typer.Option(help="Data set.")] = "dsprites",
    size: Annotated[int, typer.Option(help="Image size in pixels (0: 32, or the data set's own).")] = 0,
    seconds: Annotated[
        float, typer.Option(help="Length of the whole; what is left when it is up is not measured.")
    ] = 120.0,
    device: Device = "auto",
    precision: Precision = "float32",
    data_dir: DataDir = None,
    json_: Json = False,
) -> None:
    """Compare a hand-written training loop, `disbench run`, and S seeds together in each strategy.

    Each is timed in turns with the hand-written loop, printed when it is known, and freed before the next.
    "x plain" is the throughput against S seeds one after another in the hand-written loop. "of floor" is the
    share of the time that the memory alone would need (see `speed.traffic`).
    """
    import time

    import torch

    from disbench import models
    from disbench.benchmark import datasets
    from disbench.benchmark.datasets.loading import usual_size
    from disbench.benchmark.training import speed
    from disbench.benchmark.training.gpu import choose_device, choose_tuning
    from disbench.benchmark.training.seeds import stream
    from disbench.benchmark.training.trainer import use_one_core

    try:
        counts = [int(count) for count in seeds.split(",")]
    except ValueError:
        counts = []
    if not counts or min(counts) < 1:
        raise UsageError(f"--seeds {seeds!r} is not a list of numbers; give some such as 1,2,4,8.")
    use_one_core()
    where = torch.device(choose_device(device))
    tuning = choose_tuning(where.type, precision, False)
    began = time.perf_counter()
    data = datasets.load(dataset, size=size or usual_size(dataset, 32), data_dir=data_dir)
    bandwidth = speed.bandwidth(where)
    time_of = "CPU time" if where.type == "cpu" else "wall time"
    pixels = f"{data.shape[1]}x{data.shape[2]}"
    columns = ("method", "way", "seeds", "steps_per_second", "seed_steps_per_second", "ms_per_seed_step")
    shown = _Measured("train", [*columns, "x_plain", "of_floor", "reason"], json_)
    shown.head(
        f"{where}, {data.name} {pixels}, config {config}, {precision}; ratios are of {time_of}",
        f"copying within memory: {bandwidth / 1e9:,.1f} GB/s",
        f"{'method':<16} {'way':<21} {'S':>3} {'steps/s':>8} {'seed-steps/s':>12} "
        f"{'ms/seed-step':>12} {'x plain':>7} {'of floor':>8}",
    )
    names = methods.split(",")
    for i, name in enumerate(names):
        settings = models.configure(name, config)
        method = models.build(name, settings, data.info, stream(0, "weights"))
        floor = speed.traffic(method, data) / bandwidth
        passed = time.perf_counter() - began
        until = time.perf_counter() + (seconds - passed) / (len(names) - i)
        recipes = speed.recipes(name, settings, data, counts, where, tuning.precision)
        for measured in speed.measure(recipes, until, where):
            before = f"{name:<16} {measured.recipe.name:<21} {measured.recipe.seeds:>3} "
            head = (name, measured.recipe.name, measured.recipe.seeds)
            way, plain = measured.way, measured.plain
            if way is None or plain is None:
                shown.row(f"{before}not measured: {measured.why}", *head, *[None] * 5, measured.why)
                continue
            cost = way.cost(where)
            shown.row(
                f"{before}{1 / way.seconds:>8.2f} {way.seeds / way.seconds:>12.1f} {1000 * cost:>12.3f} "
                f"{plain.cost(where) / cost:>7.2f} {floor / cost:>8.1%}",
                *(*head, 1 / way.seconds, way.seeds / way.seconds, 1000 * cost),
                *(plain.cost(where) / cost, floor / cost, ""),
            )
    shown.end()


@app.command(cls=Plain)
def host(
    methods: Annotated[str, typer.Option(help="Methods, separated by commas.")] = (
        "betavae,factorvae,ibgan,infogan"
    ),
    seeds: Annotated[int, typer.Option(help="Number of seeds that train at once.", min=1)] = 32,
    config: Annotated[str, typer.Option(help="Named config: mini or paper.")] = "paper",
    dataset: Annotated[str, typer.Option(help="Data set.")] = "dsprites",
    size: Annotated[int, typer.Option(help="Image size in pixels (0: 64, or the data set's own).")] = 0,
    seconds: Annotated[
        float, typer.Option(help="Length of each measurement, three per method.", min=0.1)
    ] = 1.0,
    device: Device = "cpu",
    data_dir: DataDir = None,
    json_: Json = False,
) -> None:
    """CPU milliseconds that Python takes for a step of many seeds, with the arithmetic left out.

    "begin" and "bookkeeping" are all that is left where a step is recorded as a CUDA graph; "noise" comes on
    top where it is not.
    """
    import torch

    from disbench.benchmark import datasets
    from disbench.benchmark.datasets.loading import usual_size
    from disbench.benchmark.sweep import speed
    from disbench.benchmark.training.gpu import choose_device
    from disbench.benchmark.training.trainer import use_one_core

    use_one_core()
    where = torch.device(choose_device(device))
    data = datasets.load(dataset, size=size or usual_size(dataset, 64), data_dir=data_dir)
    pixels = f"{data.shape[1]}x{data.shape[2]}"
    shown = _Measured("host", ["method", "begin", "bookkeeping", "recorded", "noise", "eager"], json_)
    shown.head(
        f"{where}, {data.name} {pixels}, config {config}, {seeds} seeds, batches of {speed.BATCH}; ms a step",
        "method              begin  bookkeeping  recorded    noise    eager  (ms a step)",
    )
    for name in methods.split(","):
        cost = speed.host(name, config, data, seeds, where, seconds)
        recorded = cost.begin + cost.books
        shown.row(
            f"{name:<16} {cost.begin:>8.3f} {cost.books:>12.3f} {recorded:>9.3f} {cost.noise:>8.3f} "
            f"{recorded + cost.noise:>8.3f}",
            *(name, cost.begin, cost.books, recorded, cost.noise, recorded + cost.noise),
        )
    shown.end()


@app.command(cls=Plain)
def cores(
    methods: Annotated[str, typer.Option(help="Methods, separated by commas.")] = "betavae,ibgan",
    config: Annotated[str, typer.Option(help="Named config: mini or paper.")] = "mini",
    size: Annotated[int, typer.Option(help="Image size in pixels.")] = 32,
    seconds: Annotated[float, typer.Option(help="Length of each measurement.", min=0.1)] = 20.0,
    count: Annotated[
        int, typer.Option("--cores", help="Number of cores (0: all of this machine).", min=0)
    ] = 0,
    data_dir: DataDir = None,
    json_: Json = False,
) -> None:
    """Seeds per hour with one single-threaded process per core, compared with one process on all cores."""
    import joblib

    from disbench import models
    from disbench.benchmark.training import speed

    count = count or joblib.cpu_count()
    shown = _Measured("cores", ["method", "process_per_core", "one_process", "ratio"], json_)
    shown.head(
        f"{count} cores, dsprites {size}x{size}, config {config}; seeds an hour, training alone",
        f"{'method':<16} {'process per core':>16} {'one process':>12} {'ratio':>6}",
    )
    for name in methods.split(","):
        steps = models.configure(name, config).steps
        apart, together = speed.cores(name, config, size, seconds, count, data_dir)
        hour = 3600 / steps
        shown.row(
            f"{name:<16} {apart * hour:>16.1f} {together * hour:>12.1f} {apart / together:>6.2f}",
            *(name, apart * hour, together * hour, apart / together),
        )
    shown.end()


@app.command(cls=Plain)
def kernels(
    methods: Annotated[str, typer.Option(help="Methods, separated by commas.")] = "betavae,ibgan",
    config: Annotated[str, typer.Option(help="Named config: mini or paper.")] = "mini",
    dataset: Annotated[str, typer.Option(help="Data set.")] = "dsprites",
    size: Annotated[int, typer.Option(help="Image size in pixels (0: 32, or the data set's own).")] = 0,
    seeds: Annotated[int, typer.Option(help="Number of seeds that train together.", min=1)] = 2,
    device: Device = "auto",
    data_dir: DataDir = None,
    json_: Json = False,
) -> None:
    """Count the kernels of a training step, and the bytes that they move, for each strategy.

    A kernel is an operation of torch that computes values. All numbers are per step and seed; nothing is
    timed. "least MB" is what must be moved at least (see `speed.traffic`).
    """
    import torch

    from disbench import models
    from disbench.benchmark import datasets
    from disbench.benchmark.datasets.loading import usual_size
    from disbench.benchmark.training import speed
    from disbench.benchmark.training.gpu import choose_device
    from disbench.benchmark.training.kernels import STRATEGIES, count
    from disbench.benchmark.training.seeds import stream

    where = torch.device(choose_device(device))
    configs = {name: models.configure(name, config) for name in methods.split(",")}
    data = datasets.load(dataset, size=size or usual_size(dataset, 32), data_dir=data_dir)
    shown = _Measured("kernels", ["method", "strategy", "seeds", "kernels", "bytes", "least_bytes"], json_)
    shown.head(
        f"a step of one seed on {where}; {data.name} {data.shape[1]}x{data.shape[2]}, config {config}",
        f"{'method':<16} {'strategy':<9} {'S':>3} {'kernels':>9} {'MB':>9} {'least MB':>9}",
    )
    for name, settings in configs.items():
        least = speed.traffic(models.build(name, settings, data.info, stream(0, "weights")), data)
        for strategy in STRATEGIES if seeds > 1 else STRATEGIES[:1]:
            counted = count(name, settings, data, strategy, seeds, where)
            shown.row(
                f"{name:<16} {strategy:<9} {counted.seeds:>3} {counted.kernels:>9,.1f} "
                f"{counted.moved / 1e6:>9,.1f} {least / 1e6:>9,.1f}",
                *(name, strategy, counted.seeds, counted.kernels, counted.moved, least),
            )
    shown.end()


@app.command(cls=Plain)
def metrics(
    only: Annotated[str, typer.Option("--metrics", help="Metrics, separated by commas (default: all).")] = "",
    codes: Annotated[str, typer.Option(help="Numbers of codes, separated by commas.")] = "10",
    rows: Annotated[str, typer.Option(help="Numbers of rows, separated by commas.")] = "15000",
    limit: Annotated[
        float, typer.Option(help="CPU seconds; a metric that is known to take more is not run.", min=0)
    ] = 60.0,
    max_memory: Annotated[str, typer.Option(help="Most memory of a metric's process.")] = "12G",
    json_: Json = False,
) -> None:
    """CPU seconds and peak memory of the metrics on given codes of the size of dSprites.

    Each is measured in a process of its own, on one thread, its codes and factors in single precision; the
    memory is what the call takes beside them. "expected" is not run, and shows what `disbench score` says
    before it starts: see --limit. Metrics that hold factors fixed have codes of the whole grid, and draw
    rows by their presets.
    """
    from disbench import metrics as library
    from disbench import units
    from disbench.benchmark.scoring import speed

    chosen = [name.strip() for name in only.split(",") if name.strip()] or library.names()
    for name in chosen:
        library.get(name)
    most = len(library.Grid(speed.SIZES))
    widths = _counts("codes", codes, 1, 100_000)
    lengths = _counts("rows", rows, speed.FEWEST, most)
    memory = units.parse_memory(max_memory, "max_memory")
    columns = ("metric", "preset", "codes", "rows", "cpu_seconds", "expected_seconds", "peak_bytes", "score")
    shown = _Measured("metrics", [*columns, "reason"], json_)
    shown.head(
        f"the grid {speed.SIZES}; one thread; two thirds of the rows to fit on, where that is done",
        "metric                       preset        codes     rows    CPU-s   peak MiB    score",
    )
    total = 0.0
    measured: set[tuple[str, speed.Size]] = set()
    for width in widths:
        for length in lengths:
            for name in chosen:
                size = speed.size_of(name, width, length)
                if (name, size) in measured:
                    continue
                measured.add((name, size))
                preset = library.get(name).default_preset
                n, d = (f"{number:,}" if number else "–" for number in (size.rows, size.codes))
                shown.row(f"{name:<28} {preset:<12} {d:>6} {n:>8}", end=" ")
                expected, about = speed.expected(name, size), (name, preset, size.codes, size.rows)
                if expected > limit:
                    why = "not run"
                    shown.row(f"{expected:>8,.0f} expected, {why}", *about, None, expected, None, None, why)
                    continue
                cost = speed.measure(name, size, memory)
                if cost is None:
                    why = f"needs more than {max_memory} of memory"
                    shown.row(f"{'–':>8} {why}", *about, None, expected, None, None, why)
                    continue
                total += cost.seconds
                peak = "–" if cost.peak is None else f"{cost.peak / MIB:,.1f}"
                shown.row(
                    f"{cost.seconds:>8.2f} {peak:>10} {cost.score:>8.3f}",
                    *(*about, cost.seconds, expected, cost.peak, cost.score, ""),
                )
    shown.last(f"together {total:.1f} CPU-s")
    shown.end()


def _counts(option: str, text: str, least: int, most: int) -> list[int]:
    """Whole numbers of a list with commas, each once.

    Raises:
        UsageError: no list of numbers, or one beyond the limits.
    """
    try:
        counts = list(dict.fromkeys(int(part) for part in text.split(",")))
    except ValueError:
        counts = []
    if not counts or min(counts) < least or max(counts) > most:
        raise UsageError(
            f"--{option} {text!r} must be whole numbers from {least:,} to {most:,}, separated by commas, "
            f"such as {least},{min(most, 10 * least)}."
        )
    return counts


@app.command(cls=Plain)
def data(
    names: Annotated[str, typer.Option(help="Data sets, separated by commas.")] = "dsprites,digits",
    size: Annotated[int, typer.Option(help="Image size in pixels.")] = 32,
    batch: Annotated[int, typer.Option(help="Images per batch.", min=1)] = 64,
    data_dir: DataDir = None,
    json_: Json = False,
) -> None:
    """Batches per second from each storage, relative to a beta-VAE training step at the same image size."""
    from disbench.benchmark.datasets.speed import bench
    from disbench.benchmark.training.speed import step_milliseconds

    columns = ("dataset", "storage", "size", "batches_per_second", "ms_per_batch", "share_of_a_step")
    shown = _Measured("data", columns, json_)
    shown.head("data set          storage             size   batches/s   ms a batch   share of a step")
    for speed in bench(names.split(","), size=size, batch=batch, data_dir=data_dir):
        step = step_milliseconds(speed.data, speed.size, data_dir)
        shown.row(
            f"{speed.data:<17} {speed.storage:<18} {speed.size:>5} {speed.batches_per_second:>11,.0f} "
            f"{speed.milliseconds:>12.3f} {speed.milliseconds / step:>16.1%}",
            *(speed.data, speed.storage, speed.size, speed.batches_per_second),
            *(speed.milliseconds, speed.milliseconds / step),
        )
    shown.end()
