"""The command line. Heavy imports stand inside the commands, so that `disbench --help` is quick."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from disbench.benchmark.bench import app as bench_app
from disbench.benchmark.commands import run, score, show
from disbench.benchmark.datasets.cli import app as data_app
from disbench.errors import UsageError, unknown

app = typer.Typer(
    name="disbench",
    help="Disentanglement benchmark: train methods, score them, and compare them with published numbers.",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


@app.callback()
def root() -> None:
    pass


for command in (run.run, score.score, run.status, show.leaderboard, score.traverse, show.plot):
    app.command()(command)
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
