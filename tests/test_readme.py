"""What the README says, done: its Python runs, its commands and their options exist."""

import re
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

from disbench.benchmark.cli import app

README = (Path(__file__).resolve().parents[1] / "README.md").read_text("utf-8")
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", README, re.DOTALL)
COMMANDS = [
    line.partition("#")[0].strip()
    for kind, text in BLOCKS
    if kind == "sh"
    for line in text.splitlines()
    if line.startswith("disbench ")
]


@pytest.mark.parametrize("code", [text for kind, text in BLOCKS if kind == "python"])
def test_the_python_runs(code, capsys):
    exec(code, {})
    assert capsys.readouterr().out


@pytest.mark.parametrize("line", COMMANDS)
def test_the_commands_and_their_options_exist(line):
    words = shlex.split(line)[1:]
    named = [word for word in words if not word.startswith("-")]
    deep = 2 if named[0] in ("data", "bench") else 1
    shown = CliRunner().invoke(app, [*named[:deep], "--help"], env={"COLUMNS": "200", "TERM": "dumb"})
    assert shown.exit_code == 0
    for option in (word for word in words if word.startswith("--")):
        assert option.partition("=")[0] in shown.output


@pytest.mark.parametrize("path", re.findall(r"\]\(((?!http)[^)]+)\)", README))
def test_the_files_it_points_to_are_there(path):
    assert (Path(__file__).resolve().parents[1] / path).exists()


def test_there_is_something_to_test():
    assert len(COMMANDS) >= 5
    assert len(BLOCKS) >= 3
