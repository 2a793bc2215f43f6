"""Docstrings in Google's style, with one line per argument: editors and the site read them."""

import ast
import inspect
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
# The folders that keep the rule.
FOLDERS = ("benchmark", "leaderboards", "metrics", "models", "src/disbench")


def documented(tree):
    """Each function and class of a file with the names that its docstring may list."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef):
            fields = [n.target.id for n in node.body if isinstance(n, ast.AnnAssign)]
            yield node, {*fields, *(arg for n in node.body if is_init(n) for arg in arguments(n))}
        elif isinstance(node, ast.FunctionDef):
            yield node, arguments(node)


def is_init(node):
    return isinstance(node, ast.FunctionDef) and node.name == "__init__"


def arguments(function):
    a = function.args
    return {arg.arg for arg in [*a.posonlyargs, *a.args, *a.kwonlyargs, a.vararg, a.kwarg] if arg is not None}


def entries(docstring):
    """The entries of Args and Attributes: the lines indented by four, with their continuation."""
    for section in re.findall(r"^(?:Args|Attributes):\n((?:(?: {4}.*)?\n?)+)", docstring, re.MULTILINE):
        yield from re.split(r"^ {4}(?=\S)", section, flags=re.MULTILINE)[1:]


def faults(source):
    """A sentence for each entry that is not one argument on lines of its own."""
    found = []
    for node, names in documented(ast.parse(source)):
        docstring = inspect.cleandoc(ast.get_docstring(node) or "")
        if re.search(r"\b(Args|Attributes): ", docstring):
            found.append(f"{node.name}: a section begins on a line of its own")
        for entry in entries(docstring):
            name, colon, text = entry.partition(":")
            if not colon or name not in names:
                found.append(f"{node.name}: {name!r} is no argument")
            for other in names - {name}:
                if re.search(rf"[.;] {other}(, \w+)*: ", text):
                    found.append(f"{node.name}: {other} has no line of its own")
    return found


@pytest.mark.parametrize("folder", FOLDERS)
def test_every_argument_has_a_line_of_its_own(folder):
    for path in sorted((ROOT / folder).rglob("*.py")):
        assert not faults(path.read_text("utf-8")), path


@pytest.mark.parametrize(
    ("entry", "fault"),
    [
        ("a: (n, d). b: (n, k).", "b has no line of its own"),
        ("a, b: two numbers.", "'a, b' is no argument"),
        ("c: a third.", "'c' is no argument"),
        ("a: (n, d).\n        b: such as x: y.", ""),
        ("a: (n, d), which\n            goes on here.", ""),
    ],
)
def test_the_rule_above_can_fail(entry, fault):
    function = f'def f(a, b=1):\n    """Adds.\n\n    Args:\n        {entry}\n    """\n'
    fields = f'class f:\n    """Sum.\n\n    Attributes:\n        {entry}\n    """\n    a: int\n    b: int\n'
    assert faults(function) == faults(fields) == [f"f: {fault}"] * bool(fault)


def test_a_section_in_the_middle_of_a_line_is_a_fault():
    assert faults('def f(a):\n    """Adds.\n\n    All. Args: a (n,).\n    """\n')
