"""What README and documentation say, done: Python runs, commands parse, and what they name exists."""

import ast
import fnmatch
import math
import re
import shlex
from pathlib import Path

import pytest
import typer.main

from disbench import metrics, models
from disbench.benchmark import datasets, protocols
from disbench.benchmark.cli.main import app

ROOT = Path(__file__).resolve().parents[1]
WRITTEN = [
    *sorted(ROOT.glob("*.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted((ROOT / "examples").glob("*/*.md")),
]
PAGES = {str(path.relative_to(ROOT)): path.read_text("utf-8") for path in WRITTEN}
FOREIGN = {"my_method", "freebits", "wae", "rank_gap"}  # names that a page's plug-in gives


def blocks(kind):
    """(page, text) of the fenced blocks of a kind."""
    found = re.compile(rf"```{kind}\n(.*?)```", re.DOTALL)
    return [(page, text) for page, whole in PAGES.items() for text in found.findall(whole)]


def typed(text):
    """Lines of a page that may be commands, in their order: of its shell blocks, and code among its words."""
    for block, code in re.findall(r"```sh\n(.*?)```|(?<!`)`(disbench [^`]+)`(?!`)", text, re.DOTALL):
        yield from block.replace("\\\n", " ").splitlines()
        if code and is_whole(shlex.split(code)):
            yield code.replace("\n", " ")


def is_whole(words):
    """Whether it is a command, and not the beginning of one, such as `disbench run`."""
    try:
        parsed(words[1:])
    except Exception as error:
        # from click, or from the copy of it that newer versions of typer have; a test tells of all others
        return type(error).__name__ != "MissingParameter"
    return True


def commands():
    for page, text in PAGES.items():
        # of an earlier version
        if page == "CHANGELOG.md":
            continue
        for line in typed(text):
            words = shlex.split(line, comments=True)
            if words[:1] == ["disbench"]:
                yield page, " ".join(words), words[1:]


@pytest.mark.parametrize(("page", "code"), blocks("python"))
def test_the_python_runs(page, code, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before = set(metrics.names())
    exec(compile(code, page, "exec"), {"__name__": "docs"})
    assert capsys.readouterr().out
    from disbench.metrics import registry

    for name in set(metrics.names()) - before:
        registry.forget(metrics.get(name).fn.__module__)


def parsed(words):
    """The parameters of a command line, by name; what a user would be told is an error here."""
    command = typer.main.get_command(app)
    if words == ["--help"]:
        return {}
    while hasattr(command, "commands"):
        command, words = command.commands[words[0]], words[1:]
    kept = [w for i, w in enumerate(words) if w != "--plugin" and words[i - 1 : i] != ["--plugin"]]
    return command.make_context(command.name, kept).params


COMMANDS = list(commands())


@pytest.mark.parametrize(("page", "line", "words"), COMMANDS, ids=[f"{p}: {x}" for p, x, _ in COMMANDS])
def test_the_commands_are_understood_and_what_they_name_exists(page, line, words):
    given = parsed(words)
    for option, known in (("methods", models.names()), ("metrics", metrics.names())):
        for name in str(given.get(option) or "").split(","):
            bare = name.removesuffix(protocols.OF_GENERATOR).partition(":")[0]
            assert not name or bare in {*known, *FOREIGN}, name
    for name in given.get("dataset") or () if isinstance(given.get("dataset"), list) else ():
        assert name.partition(":")[0] in {*datasets.names(), "bars"} or ".npz" in name
    # a version of it, where a result is of one
    assert protocols.get(given.get("protocol", "mini"))


def trainings(given):
    """What stands before the digest in the name of each folder that a run makes."""
    variants = [f"-{name}" for name in given["variants"].split(",") if name] or [""]
    for method in given["methods"].split(","):
        grid = [axis for axis in given["grid"] or () if axis.startswith(f"{method}.")]
        points = math.prod(len(axis.split(",")) for axis in grid)
        yield from (f"{method}{variant}" for variant in variants for _ in range(points))


def test_a_path_with_a_star_is_that_of_one_training_of_its_page():
    made, found = {}, 0
    for page, line, words in COMMANDS:
        if words[0] == "run":
            given = parsed(words)
            made[page, given["out"]] = list(trainings(given))
        for word in words:
            for (where, out), names in made.items():
                if "*" in word and where == page and Path(word).is_relative_to(out):
                    pattern = Path(word).relative_to(out).parts[0]
                    fitting = [name for name in names if fnmatch.fnmatch(f"{name}-1a2b3c4d", pattern)]
                    assert len(fitting) == 1, f"{page}: {line}"
                    found += 1
    assert found > 5


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", "examples/disbench-example/README.md"])
def test_the_files_it_points_to_are_there(page):
    for path in re.findall(r"\]\(((?!http)[^)#]+)", PAGES[page]):
        assert ((ROOT / page).parent / path).exists(), path


def test_the_tests_that_a_page_names_exist():
    named = {found for text in PAGES.values() for found in re.findall(r"`([\w/.-]+\.py)::(\w+)`", text)}
    assert len(named) > 30
    for path, name in named:
        tree = ast.parse((ROOT / path).read_text("utf-8"))
        assert name in {n.name for n in ast.walk(tree) if isinstance(n, ast.FunctionDef)}, f"{path}::{name}"


def test_the_page_about_sweeps_has_every_protocol():
    page = PAGES["docs/howto/run.md"]
    latest = {name for name in protocols.names() if not re.search(r"-v\d+$", name)}
    assert not [name for name in latest if f"`{name}`" not in page]


def test_the_changelog_tells_each_change_once():
    entries = re.findall(r"^- .+(?:\n  .+)*", PAGES["CHANGELOG.md"], re.MULTILINE)
    assert len(entries) > 100
    assert len(set(entries)) == len(entries)


def test_there_is_something_to_test():
    assert len(COMMANDS) >= 20
    assert len(blocks("python")) >= 4
