"""The command line. Heavy imports stand inside the commands, so that `disbench --help` is quick."""

from __future__ import annotations

import copy
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from typer.core import TyperGroup

from disbench import plugins
from disbench.benchmark.cli import leaderboard, plot, report, run, score
from disbench.benchmark.cli.bench import app as bench_app
from disbench.benchmark.cli.data import app as data_app
from disbench.errors import UsageError, unknown
from disbench.files import disk_is_full, unwritable


class PluginGroup(TyperGroup):
    """The program with its option `--plugin` on every command, since every command looks up names."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        for option in self.params:
            hidden = copy.copy(option)
            hidden.expose_value = False  # its callback does all
            for command in _leaves(self):
                command.params.append(hidden)


def _leaves(group: Any) -> list[Any]:
    found = []
    for command in group.commands.values():
        found += _leaves(command) if hasattr(command, "commands") else [command]
    return found


app = typer.Typer(
    name="disbench",
    cls=PluginGroup,
    help="Disentanglement benchmark: train methods, score them, and compare them with published numbers.",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def load_plugins(paths: list[Path] | None) -> list[Path] | None:
    for path in paths or ():
        plugins.load(path)
    return paths


@app.callback()
def root(
    plugin: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE.py",
            help="A Python file with a method, metrics or a data set of yours. Repeatable.",
            callback=load_plugins,
        ),
    ] = None,
) -> None:
    pass


for command in (
    run.run,
    score.score,
    run.status,
    leaderboard.leaderboard,
    score.traverse,
    plot.plot,
    report.report,
):
    app.command()(command)
app.command("table")(leaderboard.table_)
app.add_typer(data_app, name="data")
app.add_typer(bench_app, name="bench")

SPELLED = {"settings": "set", "sources": "from"}  # where an option is called otherwise than the argument
LISTS = ("methods", "metrics", "datasets", "protocols", "tables")


@app.command("list")
def list_(
    what: Annotated[str, typer.Argument(help="methods, metrics, datasets, protocols or tables")],
) -> None:
    """List what there is, one line each."""
    if what not in LISTS:
        raise unknown("list", what, LISTS)
    for name, line in _listed(what):
        print(f"{name:<24} {line}")


def _listed(what: str) -> list[tuple[str, str]]:
    if what == "methods":
        from disbench import models

        return [(name, _line(models.summary, name)) for name in models.names()]
    if what == "metrics":
        from disbench import metrics

        return [(name, _line(lambda n: metrics.get(n).summary, name)) for name in metrics.names()]
    if what == "protocols":
        from disbench.benchmark import protocols

        return [(name, protocols.get(name).summary) for name in protocols.names()]
    if what == "tables":
        from disbench.leaderboards import tables

        return [(name, tables.read(name).title) for name in tables.names()]
    from disbench.benchmark.datasets import manifest

    return [(name, _line(lambda n: manifest.read(n).title, name)) for name in manifest.names()]


def _line(describe: Callable[[str], str], name: str) -> str:
    """What a name stands for, or why it cannot be used: a broken plug-in must not hide the other names."""
    try:
        return describe(name)
    except UsageError as error:
        return str(error)


def option(argument: str) -> str:
    """An argument of the library as the command line spells it."""
    return f"--{SPELLED.get(argument, argument.replace('_', '-'))}"


def fail(sentence: str) -> NoReturn:
    print(f"disbench: {sentence}", file=sys.stderr)
    raise SystemExit(2)


def main() -> None:
    """The program: what a user did wrong is one sentence and exit code 2."""
    try:
        app()
    except UsageError as error:
        fail(error.told(option))
    except KeyboardInterrupt:
        print("disbench: interrupted", file=sys.stderr)
        raise SystemExit(130) from None
    except BrokenPipeError:
        sys.stderr.close()
        raise SystemExit(1) from None
    except OSError as error:
        if not (disk_is_full(error) or isinstance(error, PermissionError)):
            raise
        fail(str(unwritable(Path(error.filename or "the output"), error)))
