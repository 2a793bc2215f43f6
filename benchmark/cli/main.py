"""The command line. Heavy imports are inside the commands, so that `disbench --help` is quick."""

from __future__ import annotations

import copy
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from typer.core import TyperCommand, TyperGroup

import disbench
from disbench import plugins
from disbench.benchmark.cli import compare, generator, leaderboard, plot, report, rescore, run, score
from disbench.benchmark.cli.bench import app as bench_app
from disbench.benchmark.cli.data import app as data_app
from disbench.benchmark.cli.deliver import Json, print_json
from disbench.benchmark.cli.terminal import Plain, line, option
from disbench.errors import UnfinishedError, UsageError, unknown
from disbench.files import check_temporary, lacking, refused_by_system, unwritable
from disbench.texts import clean


class PluginGroup(TyperGroup):
    """The program with the option `--plugin` on every command, because every command looks up names."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        for parameter in self.params:
            if parameter.name != "plugin":
                continue
            hidden = copy.copy(parameter)
            # its callback loads the files
            hidden.expose_value = False
            for command in _leaves(self):
                command.params.append(hidden)


def _leaves(group: TyperGroup) -> Iterator[TyperCommand]:
    """All commands of a group, those of its groups included."""
    for command in group.commands.values():
        if isinstance(command, TyperGroup):
            yield from _leaves(command)
        elif isinstance(command, TyperCommand):
            yield command


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
    """Callback of `--plugin`."""
    for path in paths or ():
        plugins.load(path)
    return paths


def show_version(wanted: bool) -> None:
    """Callback of `--version`."""
    if wanted:
        line(f"disbench {disbench.__version__}")
        raise typer.Exit


@app.callback()
def root(
    plugin: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE.py",
            help="Python file with your own methods, metrics or data sets. Repeatable.",
            callback=load_plugins,
        ),
    ] = None,
    version: Annotated[
        bool,
        typer.Option("--version", "-V", help="Show the version.", is_eager=True, callback=show_version),
    ] = False,
) -> None:
    pass


for command in (
    run.run,
    score.score,
    compare.compare,
    run.status,
    rescore.rescore,
    leaderboard.leaderboard,
    generator.traverse,
    generator.samples,
    plot.plot,
    report.report,
):
    app.command(cls=Plain)(command)
app.command("table", cls=Plain)(leaderboard.table_)
app.add_typer(data_app, name="data")
app.add_typer(bench_app, name="bench")

# What can be listed, and what it is.
LISTS = {
    "methods": "what can be trained",
    "metrics": "what codes and models are scored by",
    "datasets": "what is trained and scored on",
    "protocols": "what a leaderboard fixes: data, budget, nets, metric settings",
    "tables": "tables of papers, with published numbers",
    "results": "kept leaderboards, to show and to compare with",
}


@app.command("list", cls=Plain)
def list_(
    what: Annotated[str, typer.Argument(help=f"{', '.join(LISTS)}; without it, what each of these is.")] = "",
    json_: Json = False,
) -> None:
    """List the available names, one per line."""
    if what and what not in LISTS:
        raise unknown("list", what, LISTS)
    rows = _listed(what) if what else list(LISTS.items())
    if json_:
        print_json("list", what or "lists", rows, ["name", "description"])
        return
    for name, description in rows:
        line(f"{name:<24} {description}")


def _listed(what: str) -> list[tuple[str, str]]:
    """Names with their descriptions."""
    if what == "methods":
        from disbench import models

        return [(name, _line(models.summary, name)) for name in models.names()]
    if what == "metrics":
        from disbench import metrics

        return [(name, _line(lambda n: metrics.get(n).summary, name)) for name in metrics.names()]
    if what == "protocols":
        from disbench.benchmark import protocols

        known = {name: protocols.get(name) for name in protocols.names()}
        return [(name, f"version {each.version}: {each.summary}") for name, each in known.items()]
    if what == "tables":
        from disbench.leaderboards import tables

        return [(name, tables.read(name).title) for name in tables.names()]
    if what == "results":
        from disbench.leaderboards import results

        return [(name, _line(results.summary, name)) for name in results.names()]
    from disbench.benchmark.datasets import manifest

    return [(name, _line(lambda n: manifest.read(n).title, name)) for name in manifest.names()]


def _line(describe: Callable[[str], str], name: str) -> str:
    """The description of a name, or the error of a broken plug-in, which must not hide the other names."""
    try:
        return describe(name)
    except UsageError as error:
        return error.told(option)


def fail(sentence: str, code: int = 2) -> NoReturn:
    """Ends the program with a sentence, that of a usage error for instance."""
    print(f"disbench: {clean(sentence)}", file=sys.stderr)
    raise SystemExit(code)


def main() -> None:
    """The program: a usage error is one sentence and exit code 2, an unfinished sweep one with 75."""
    try:
        app()
    except UnfinishedError as error:
        fail(error.told(option), run.AGAIN)
    except UsageError as error:
        fail(error.told(option))
    except KeyboardInterrupt:
        print("disbench: interrupted", file=sys.stderr)
        raise SystemExit(130) from None
    except BrokenPipeError:
        sys.stderr.close()
        raise SystemExit(1) from None
    except OSError as error:
        fail(refusal(error))
    except (MemoryError, RuntimeError) as error:
        if (sentence := lacking(error)) is None:
            raise
        fail(sentence.told(option))


def refusal(error: OSError) -> str:
    """What a disk, a right or a limit of the system refused, as a sentence; any other error is raised."""
    try:
        check_temporary()
    except UsageError as none:
        return str(none)
    if (sentence := lacking(error)) is not None:
        return sentence.told(option)
    if not refused_by_system(error):
        raise error
    return str(unwritable(Path(error.filename or "the output"), error))
