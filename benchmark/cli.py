"""The command line. Heavy imports stand inside the commands, so that `disbench --help` is quick."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from disbench.benchmark.bench import app as bench_app
from disbench.benchmark.datasets.cli import app as data_app
from disbench.errors import UsageError, unknown

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import Console

app = typer.Typer(
    name="disbench",
    help="Disentanglement benchmark: train methods, score them, and compare them with published numbers.",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

Device = Annotated[str, typer.Option(help="auto, cpu or cuda; auto takes the GPU where there is one.")]
DataDir = Annotated[
    Path | None,
    typer.Option(help="Where data sets are kept; else $DISBENCH_DATA, else the user's cache folder."),
]


@app.callback()
def root() -> None:
    pass


def names(text: str, option: str) -> list[str]:
    """`a,b,c` as a list without repeats."""
    found = list(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
    if not found:
        raise UsageError(f"{option} {text!r} names nothing; give names separated by commas.")
    return found


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


@app.command()
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
    from collections import Counter

    import joblib

    from disbench.benchmark import datasets, progress, protocols, scoring, store, sweep

    chosen, numbers, wanted = names(methods, "--methods"), seed_list(seeds), changes(set_ or [])
    if jobs < 0:
        raise UsageError(f"--jobs {jobs} was given; give 1 or more, or 0 for one per core.")
    if fuse < 0:
        raise UsageError(f"--fuse {fuse} was given; give 1 or more, or 0 for the default.")
    console = terminal()
    setting = protocols.get(protocol)
    where = sweep.choose_device(device)
    picked = names(variants, "--variants") if variants else []
    settings = sweep.entries(setting, chosen, wanted, picked, config)
    data = [
        datasets.load(name, size=size or sweep.usual_size(name, setting), data_dir=data_dir)
        for name in dict.fromkeys(dataset or [setting.dataset])
    ]
    for loaded in data:
        scoring.check_classifier(loaded, setting.metrics, data_dir)
    store.open_run(out)
    cells = sweep.plan(setting, settings, numbers, data)
    jobs = jobs or (1 if where == "cuda" else joblib.cpu_count())
    fuse = fuse or (len(numbers) if where == "cuda" else 1)
    console.print(
        f"{', '.join(chosen)} x {len(numbers)} seeds on "
        f"{', '.join(f'{d.name} {d.shape[1]}x{d.shape[2]}' for d in data)}, "
        f"protocol {protocol} ({setting.summary}), {where}, {min(jobs, len(cells))} at a time, in {out}",
        highlight=False,
        soft_wrap=True,
    )
    outcomes: Counter[str] = Counter()
    with sweep.stoppable(out) as (stop_file, stopped):
        options = sweep.Options(where, data_dir, retry_failed, stop_file=stop_file)
        with progress.watched(out, cells, console) as tally:
            for cell, outcome in sweep.sweep(out, cells, setting, options, jobs, fuse):
                outcomes[outcome] += 1
                if outcome != "stopped":
                    tally.ended.add(cell.folder)
                if outcome in ("failed", "full"):
                    error = store.status(out / cell.folder).get("error", {})
                    console.print(
                        f"{cell.label} seed {cell.seed} failed: {error.get('message', 'the disk is full')}",
                        highlight=False,
                        soft_wrap=True,
                    )
        interrupted = stopped()
    if outcomes["full"] and not outcomes["done"]:
        raise UsageError(
            f"the disk that holds {out} is full; free some space and run again with --retry-failed."
        )
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
    if interrupted:
        console.print(
            f"stopped with {outcomes['stopped']} seeds to go; the same command goes on where it stopped."
        )
        raise typer.Exit(130)
    if outcomes["failed"] or outcomes["full"]:
        console.print(
            f"{outcomes['failed'] + outcomes['full']} seeds failed; --retry-failed trains them again."
        )
        raise typer.Exit(1)


def show_leaderboard(path: Path, console: Console) -> pd.DataFrame:
    """Prints the leaderboard of a run and writes it as CSV and Markdown, the per-seed rows beside it."""
    from disbench import leaderboards
    from disbench.benchmark import protocols, sweep
    from disbench.leaderboards.aggregate import shown
    from disbench.models.checkpoint import write_atomically

    frame = leaderboards.scores(sweep.rows(path))
    board = leaderboards.leaderboard(frame)
    for name, text in (
        ("scores.csv", frame.to_csv(index=False)),
        ("leaderboard.csv", board.to_csv(index=False)),
        ("leaderboard.md", leaderboards.markdown(board) + "\n"),
    ):
        write_atomically(path / name, lambda temporary, text=text: temporary.write_text(text, "utf-8"))
    console.print(table(shown(board)))
    unscored = frame[(frame["state"] == "done") & frame["score"].isna()]
    for reason in sorted(set(unscored["reason"].dropna())):
        console.print(f"– : {reason}", highlight=False, soft_wrap=True)
    for protocol in sorted(set(board["protocol"])):
        if not protocols.get(protocol).meaningful:
            console.print(f"protocol {protocol}: {protocols.get(protocol).summary}", highlight=False)
    console.print(
        f"written: {path / 'leaderboard.csv'}, leaderboard.md, scores.csv", highlight=False, soft_wrap=True
    )
    return board


def table(frame: pd.DataFrame) -> Any:
    from rich.table import Table

    made = Table()
    for column in frame.columns:
        made.add_column(column, justify="right" if column in NUMBERS else "left", overflow="fold")
    for row in frame.itertuples(index=False):
        made.add_row(*row)
    return made


NUMBERS = (
    "done",
    "running",
    "stopped",
    "n",
    "failed",
    "mean",
    "std",
    "median",
    "best",
    "worst",
    "seed",
    "score",
    "seconds",
)


@app.command()
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
        entries = scoring.score(method, data, choices, where, data_dir, told, jobs=-1)
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


@app.command()
def status(
    run: Annotated[Path, typer.Argument(help="The folder that `disbench run --out` wrote.")],
) -> None:
    """How each method of a run stands: seeds done, running, stopped, failed; and why they failed."""
    from collections import Counter

    import pandas as pd

    from disbench.benchmark import store, sweep

    store.check_run(run)
    counts: dict[str, Counter[str]] = {}
    reasons = []
    for cell, folder in store.cells(run):
        state = sweep.standing(folder)
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


@app.command()
def leaderboard(
    run: Annotated[Path, typer.Argument(help="The folder that `disbench run --out` wrote.")],
) -> None:
    """Print a run's leaderboard and write it as CSV and Markdown."""
    from disbench.benchmark import store

    store.check_run(run)
    if not store.cells(run):
        raise UsageError(f"{run} holds no seeds yet; train some with `disbench run --out {run}`.")
    show_leaderboard(run, terminal())


@app.command()
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


@app.command()
def plot(
    run: Annotated[Path, typer.Argument(help="The folder that `disbench run --out` wrote.")],
    quantity: Annotated[
        str, typer.Option(help="One quantity of all methods in one picture, such as L_I_categorical.")
    ] = "",
) -> None:
    """Draw the training curves of each method over its seeds, as PNG and SVG."""
    import pandas as pd

    from disbench.benchmark import store, sweep
    from disbench.leaderboards import plots
    from disbench.models.checkpoint import write_atomically

    store.check_run(run)
    frame = pd.DataFrame(sweep.journal_rows(run))
    if frame.empty:
        raise UsageError(f"{run} holds no logged steps yet; train some with `disbench run --out {run}`.")
    figures = {}
    if quantity:
        known = sorted(set(frame["quantity"]))
        if quantity not in known:
            raise unknown("quantity", quantity, known)
        named = frame.assign(name=frame["label"])
        figures[quantity] = plots.compared(named, quantity)
    else:
        for cell, group in frame.groupby("cell"):
            title = f"{group['label'].iloc[0]} ({group['settings'].iloc[0]})"
            figures[str(cell)] = plots.curves(group, title)
    for stem, figure in figures.items():
        for ending in ("png", "svg"):
            path = run / f"{stem}.{ending}"
            write_atomically(path, lambda temporary, e=ending, f=figure: f.savefig(temporary, format=e))
            print(path)


app.add_typer(data_app, name="data")
app.add_typer(bench_app, name="bench")

LISTS = ("methods", "metrics", "datasets", "protocols")


@app.command("list")
def list_(what: Annotated[str, typer.Argument(help="methods, metrics, datasets or protocols")]) -> None:
    """List what there is, one line each."""
    if what not in LISTS:
        raise unknown("list", what, LISTS)
    for name, line in _listed(what):
        print(f"{name:<24} {line}")


def _listed(what: str) -> list[tuple[str, str]]:
    if what == "methods":
        from disbench import models

        return [(name, models.summary(name)) for name in models.names()]
    if what == "metrics":
        from disbench import metrics

        return [(name, metrics.get(name).summary) for name in metrics.names()]
    if what == "protocols":
        from disbench.benchmark import protocols

        return [(name, protocols.get(name).summary) for name in protocols.names()]
    from disbench.benchmark.datasets import manifest

    return [(name, manifest.read(name).title) for name in manifest.names()]


def terminal() -> Console:
    from rich.console import Console

    plain = Console()
    return plain if plain.is_terminal else Console(width=max(plain.width, 120))


def fail(sentence: str) -> NoReturn:
    print(f"disbench: {sentence}", file=sys.stderr)
    raise SystemExit(2)


def main() -> None:
    """The program: what a user did wrong is one sentence and exit code 2."""
    try:
        app()
    except UsageError as error:
        fail(str(error))
    except KeyboardInterrupt:
        print("disbench: interrupted", file=sys.stderr)
        raise SystemExit(130) from None
    except BrokenPipeError:
        sys.stderr.close()
        raise SystemExit(1) from None
    except OSError as error:
        from disbench.benchmark import store

        if not (store.disk_is_full(error) or isinstance(error, PermissionError)):
            raise
        fail(str(store.unwritable(Path(error.filename or "the output"), error)))
