"""The sentences for users: the library speaks Python, the command line adds the dashes."""

import ast
import pickle
import re
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pytest

from disbench.benchmark.cli.terminal import option
from disbench.errors import MARK, UsageError, argument, spelled, unknown
from disbench.units import parse_memory

ROOT = Path(__file__).resolve().parents[1]
# The folders that keep the rule.
FOLDERS = ("benchmark", "leaderboards", "metrics", "models", "src/disbench")
# What they hold is command lines that people run again, options of git, and variables of CSS.
OTHERS = ("benchmark/runs/commands.py", "benchmark/runs/environment.py", "leaderboards/plots/figure.py")
SILENT = {ROOT / name for name in OTHERS}
COMMAND = re.compile(r"`disbench [^`]*`")


def literals(source):
    """(line, text) of each string literal but docstrings; the parts of an f-string are one text."""
    tree = ast.parse(source)
    bodies = [node.body for node in ast.walk(tree) if isinstance(getattr(node, "body", None), list)]
    silent = {id(body[0].value) for body in bodies if body and isinstance(body[0], ast.Expr)}
    for node in ast.walk(tree):
        if id(node) in silent:
            continue
        if isinstance(node, ast.JoinedStr):
            parts = [part.value if isinstance(part, ast.Constant) else "{}" for part in node.values]
            silent |= {id(part) for part in node.values}
            yield node.lineno, "".join(map(str, parts))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.lineno, node.value


def options(source):
    """(line, text) of the literals that name an option of a command line."""
    return [
        (line, text)
        for line, text in literals(source)
        if re.search(r"(?<![\w-])--[a-z]", COMMAND.sub("", text))
    ]


def files():
    """Those of the library: all but the commands. The links in src/disbench lead to the other folders."""
    paths = [path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py")]
    own = [path for path in paths if not any(parent.is_symlink() for parent in path.parents)]
    return sorted(
        path for path in own if (ROOT / "benchmark" / "cli") not in path.parents and path not in SILENT
    )


@pytest.mark.parametrize("path", files(), ids=lambda path: str(path.relative_to(ROOT)))
def test_no_sentence_of_the_library_names_an_option_of_the_command_line(path):
    assert not options(path.read_text("utf-8"))


@pytest.mark.parametrize(
    ("code", "fails"),
    [
        ('raise UsageError(f"{x} is full; run again with --retry-failed.")', True),
        ('raise UsageError("omit it " "or give " "--jobs.")', True),
        ('"""Says --jobs."""', False),
        ('def f():\n    """Says --jobs."""\n    return "a--b, 3 -- 4, ---"', False),
        ('def f():\n    return f"`disbench run --out {run}` trains some"', False),
        ('words = ["--jobs"]', True),
    ],
)
def test_the_rule_above_can_fail(code, fails):
    assert bool(options(code)) == fails


SENTENCE = f"{argument('max_memory')} 'x' was given; omit {argument('settings')}."


def test_a_sentence_names_arguments_as_its_reader_types_them():
    error = UsageError(SENTENCE)
    assert str(error) == "max_memory 'x' was given; omit settings."
    assert error.told(option) == "--max-memory 'x' was given; omit --set."
    assert MARK not in str(error) + error.told(option)
    assert MARK not in str(unknown(f"value of {argument('device')}", "gpu", ["cpu", "cuda"]))


def test_an_error_of_a_worker_process_still_knows_its_arguments():
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        error = pool.submit(parse_memory, "x", "max_memory").exception()
    assert isinstance(error, UsageError)
    for copied in (error, pickle.loads(pickle.dumps(error))):
        assert str(copied).startswith("max_memory 'x' is not")
        assert copied.told(option).startswith("--max-memory 'x' is not")


def test_an_argument_is_named_as_it_is_typed():
    error = UsageError(f"{argument('data_dir')} x does not exist; see {argument('settings')}.")
    assert str(error) == "data_dir x does not exist; see settings."
    assert error.told(option) == "--data-dir x does not exist; see --set."
    assert spelled("no argument in it", option) == "no argument in it"


def test_a_sentence_that_quotes_another_keeps_its_arguments():
    inner = UsageError(f"{argument('size')} 3 is too small")
    outer = UsageError(f"{inner.marked} (see {argument('layout')})")
    assert outer.told(option) == "--size 3 is too small (see --layout)"
    assert str(outer) == "size 3 is too small (see layout)"


def test_the_nearest_name_is_shown():
    error = unknown(f"value of {argument('layout')}", "nchv", ["nchw", "flat"])
    assert str(error) == "unknown value of layout 'nchv'; did you mean 'nchw'?"
    assert error.told(option).startswith("unknown value of --layout")
