"""`--json`: one form for every command that prints a table, see docs/json.md."""

import json
import math
from pathlib import Path

import pytest
import typer

from disbench.benchmark.cli import bench
from disbench.benchmark.cli.main import app
from disbench.leaderboards import formats

ROOT = Path(__file__).resolve().parents[3]
# Commands that print no table: pictures, files, one data set in words.
WITHOUT = {
    "traverse",
    "samples",
    "plot",
    "report",
    "data info",
    "data fetch",
    "data sample",
    "data classifier",
}


def commands(group, before=""):
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, f"{name} ")
        else:
            yield before + name, command


def of_schema(text, command):
    """The tables of a document, after a look at its form."""
    values = json.loads(text, parse_constant=lambda word: pytest.fail(f"{word} is no JSON"))
    assert set(values) - {"details"} == {"schema", "command", "tables"}
    assert (values["schema"], values["command"]) == (formats.SCHEMA, command)
    for table in values["tables"]:
        assert set(table) == {"name", "title", "columns", "rows", "notes"}
        assert all(list(row) == table["columns"] for row in table["rows"])
        assert all(isinstance(note, str) for note in table["notes"])
    return values["tables"]


def test_every_command_that_prints_a_table_has_it():
    having = {
        name
        for name, command in commands(typer.main.get_command(app))
        if any("--json" in parameter.opts for parameter in command.params)
    }
    everything = {name for name, _ in commands(typer.main.get_command(app))}
    assert having == everything - WITHOUT
    page = (ROOT / "docs" / "json.md").read_text("utf-8")
    for name in having:
        assert f"`{name}`" in page, name


@pytest.mark.parametrize(
    ("arguments", "columns", "least"),
    [
        (["list", "methods"], ["name", "description"], 10),
        (["list", "protocols"], ["name", "description"], 3),
        (["data", "list"], ["name", "images", "sizes", "channels", "factors", "classes", "state"], 5),
        (["data", "verify"], ["dataset", "damaged", "verdict"], 0),
        (["status", "RUN"], ["method", "done", "running", "stopped", "failed", "seconds_left"], 1),
        (["table", "ibgan"], ["row", "column", "metric", "preset"], 10),
        (["leaderboard", "RUN", "--compare"], ["dataset", "protocol", "method"], 1),
        (["rescore", "RUN"], ["dataset", "protocol", "method"], 1),
        (["bench", "metrics", "--metrics", "mig,udr", "--rows", "1500", "--limit", "0"], ["metric"], 1),
    ],
    ids=lambda value: " ".join(value[:2]) if isinstance(value, list) else str(value),
)
def test_its_form_is_the_same(disbench, quick_run, arguments, columns, least):
    given = [quick_run if each == "RUN" else each for each in arguments]
    code, out, err = disbench(*given, "--json")
    assert code == 0, err
    command = " ".join(arguments[:2]) if arguments[0] in ("data", "bench") else arguments[0]
    first, *_ = of_schema(out, command)
    assert first["columns"][: len(columns)] == columns
    assert len(first["rows"]) >= least


def test_a_dry_run_prints_its_forecast(disbench, tmp_path):
    small = ("--protocol", "smoke", "--jobs", "1", "--set", "betavae.steps=2", "--set", "betavae.batch=4")
    code, out, err = disbench(
        "run", "--methods", "betavae", *small, "--out", tmp_path / "r", "--dry-run", "--json"
    )
    assert code == 0, err
    (table,) = of_schema(out, "run")
    assert table["name"] == "forecast"
    assert table["rows"][0]["to_do"] == 1
    assert table["rows"][0]["seconds_per_seed"] > 0
    assert any("nothing was written" in note for note in table["notes"])


def test_a_run_prints_its_leaderboard_and_what_became_of_its_seeds(disbench, quick_run):
    small = ("--protocol=smoke", "--jobs=1", "--set=betavae.steps=6", "--set=betavae.batch=4")
    code, out, err = disbench("run", "--methods=betavae", "--seeds=2", *small, "--out", quick_run, "--json")
    assert code == 0, err
    (table,) = of_schema(out, "run")
    assert table["name"] == "leaderboard"
    assert {row["n"] for row in table["rows"]} == {2}
    assert json.loads(out)["details"]["outcomes"] == {"done": 2}
    assert "seeds" in err  # progress is for people


def test_a_leaderboard_has_all_its_tables_in_one_document(disbench, quick_run, tmp_path):
    code, out, err = disbench("leaderboard", quick_run, "--compare", "--json")
    assert code == 0, err
    assert [table["name"] for table in of_schema(out, "leaderboard")] == ["leaderboard", "pairs"]
    path = tmp_path / "b.json"
    (quick_run / "leaderboard.csv").unlink()
    code, _, err = disbench("leaderboard", quick_run, "--compare", "--out", path)
    assert code == 0, err
    assert json.loads(path.read_text()) == json.loads(out)
    assert (tmp_path / "b-scores.csv").exists()
    assert not (quick_run / "leaderboard.csv").exists()  # a program reads, and writes nothing there


@pytest.mark.parametrize(
    "arguments",
    [
        ["leaderboard", "--readme", "--json"],
        ["table", "ibgan", "--plan", "--json"],
        ["leaderboard", "RUN", "--json", "--format", "latex"],
    ],
)
def test_what_prints_no_json_says_so(disbench, quick_run, arguments):
    code, out, err = disbench(*[quick_run if each == "RUN" else each for each in arguments])
    assert (code, out) == (2, "")
    assert "--json" in err


def test_a_measurement_is_lines_or_json(capsys):
    for as_json in (False, True):
        shown = bench._Measured("data", ["name", "n"], as_json)
        shown.head("about", "name n")
        shown.row("a", end=" ")
        shown.row("1", "a", 1)
        shown.row("b –", "b", math.nan)
        shown.last("together 1")
        shown.end()
        out = capsys.readouterr().out
        if as_json:
            (table,) = of_schema(out, "bench data")
            assert table["rows"] == [{"name": "a", "n": 1}, {"name": "b", "n": None}]
            assert table["notes"] == ["about", "together 1"]
        else:
            assert out == "about\nname n\na 1\nb –\ntogether 1\n"
