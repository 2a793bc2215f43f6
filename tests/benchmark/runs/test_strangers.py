"""Runs of strangers, damaged or made to harm: they are shown cleaned, or refused in a sentence."""

import json
import os
import re
import shutil
import struct
import unicodedata
import zlib
from dataclasses import replace

import pytest

from disbench import files
from disbench.benchmark.datasets.reference import DataRef
from disbench.benchmark.runs import store
from disbench.benchmark.runs.store import Cell, CellFile, Status
from disbench.errors import UsageError
from disbench.leaderboards import sheets

ESC = "\x1b]0;owned\x07\x1b[2J\x1b[31mred [bold red]rich[/] [link=http://evil]l[/link]"
SCORE = {"metric": "mig", "preset": "dlib", "changed": {}, "score": 0.5, "label": "dlib", "reason": None}
CONFIG = {"steps": 6, "beta": 4.0}
CELL = Cell("betavae", "", "mini", CONFIG, DataRef("dsprites", 32, "ab" * 32), "smoke", 0)


@pytest.fixture
def made(tmp_path):
    """`made(of__seed="x", status=[1])`: a run of one seed with fields or whole files changed; its folder."""

    def make(folder="betavae-1", lines='{"step": 1, "terms": {"kl": 1.0}, "monitor": {}}\n', **changes):
        run = tmp_path / "run"
        seed = run / folder / "seed-0"
        seed.mkdir(parents=True)
        (run / "run.json").write_text(json.dumps({"kind": store.KIND, "format": store.FORMAT}))
        CellFile(CELL, {"torch": "2.6"}).write(seed)
        files = {"cell": json.loads((seed / "cell.json").read_text()), "scores": [dict(SCORE)]}
        files["status"] = Status("done", steps=6, step=6, seconds=1.0).plain()
        for place, value in changes.items():
            file, _, field = place.partition("__")
            target = {"data": files["cell"]["cell"]["dataset"], "of": files["cell"]["cell"]}.get(file)
            target = files["scores"][0] if file == "score" else target or files.get(file)
            if field:
                target[field] = value
            else:
                files[file] = value
        for name, content in files.items():
            text = content if isinstance(content, str) else json.dumps(content)
            (seed / f"{name}.json").write_text(text)
        (seed / "metrics.jsonl").write_text(lines)
        return run

    return make


def shown(disbench, *arguments):
    code, out, err = disbench(*arguments)
    assert "Traceback" not in out + err
    assert all(line.isprintable() for line in (out + err).split("\n")), out + err
    return code, out, err


FORMATS = ("terminal", "csv", "markdown", "latex", "html")


@pytest.mark.parametrize("command", ["status", *FORMATS])
@pytest.mark.parametrize(
    "text", [ESC, "abc\u202edef\u2066", "=HYPERLINK(1)", "![x](http://evil)", "\x9b2J\x00"]
)
def test_names_and_reasons_do_nothing_where_they_are_shown(disbench, made, command, text):
    failed = {"state": "failed", "error": {"message": text}, "steps": 6}
    run = made(data__name=text, score__label=text, status=failed)
    arguments = ("status", run) if command == "status" else ("leaderboard", run, "--format", command)
    code, out, _ = shown(disbench, *arguments)
    assert code == 0
    if command == "csv":
        assert not any(cell.startswith(("=", '"=')) for line in out.splitlines() for cell in line.split(","))


def test_a_report_and_its_pictures_hold_nothing_invisible(disbench, made, tmp_path):
    run = made(data__name=ESC, score__label="a\u202eb", cell__environment={"torch": ESC, "disbench": "<b>"})
    assert shown(disbench, "report", run, "--out", tmp_path / "r.html")[0] == 0
    page = (tmp_path / "r.html").read_text("utf-8")
    assert not {"Cc", "Cf", "Cs"} & {unicodedata.category(letter) for letter in page.replace("\n", "")}
    assert r"\x1b]0;owned\x07" in page
    assert r"\u202e" in page


CELLS = {
    "a field more": {"of__evil": 1},
    "no cell": {"cell": {}},
    "a cell that is a text": {"cell": {"cell": "a"}},
    "a seed that is a text": {"of__seed": "abc"},
    "a seed of 400 digits": {"of__seed": 10**400},
    "a negative seed": {"of__seed": -1},
    "a method that is a list": {"of__method": ["betavae"]},
    "no steps": {"of__config": {}},
    "steps that are a text": {"of__config": {"steps": "many"}},
    "steps that are true": {"of__config": {"steps": True}},
    "an environment of lists": {"cell__environment": {"torch": [1]}},
    "a data set without a size": {"of__dataset": {"name": "dsprites"}},
    "no JSON": {"cell": "{"},
    "a list": {"cell": [1]},
    "no text": {"cell": "\0" * 100},
    "a newer format": {"cell__format": 2},
    "no seed at a time": {"cell__together": 0},
}


@pytest.mark.parametrize("name", CELLS)
def test_a_cell_of_another_form_is_left_out_and_named(made, name):
    records = store.records(made(**CELLS[name]))
    assert records == []
    (sentence,) = records.odd
    assert re.search(
        r"cell\.json (describes no seed|has seed -1|is damaged|has format 2|counts fewer)|is recorded as",
        sentence,
    )


def test_a_field_that_is_more_or_less_is_named(made):
    assert "its fields differ: evil" in store.records(made(of__evil=1)).odd[0]


@pytest.mark.parametrize(
    "status",
    [
        [1],
        "[1]",
        {"state": "done", "seconds": "x"},
        {"state": ["done"]},
        {"state": "\x1b"},
        {"state": "done", "step": True},
        {"state": "done", "seconds": 1e200},
        {"state": "failed", "error": "no"},
        "[" * 100_000,
        '{"state": "done", "phase": "\\ud800"}',
        {"state": "done", "seconds": -1},
        {"state": "running", "leader": "../../other"},
    ],
    ids=range(12),
)
def test_a_status_of_other_kinds_counts_as_missing_and_is_named(made, status):
    records = store.records(made(status=status))
    assert records[0].status == Status()
    (sentence,) = records.sentences
    assert re.search(r"seed-0/status\.json (holds no status|is damaged).*sets it aside", sentence)


def test_an_error_of_other_kinds_is_empty():
    assert Status.of({"state": "failed", "error": {"message": ["a"]}}).why == ""


@pytest.mark.parametrize(
    "change",
    [
        {"score": "abc"},
        {"score": [1, 2]},
        {"score": 1e308},
        {"score": True},
        {"label": 3},
        {"parts": [1]},
        {"warnings": "a"},
        {"settings": "a"},
        {"higher_is_better": "no"},
        {"draws": [1]},
    ],
    ids=str,
)
def test_scores_of_other_kinds_count_as_missing_and_are_named(made, change):
    records = store.records(made(scores=[{**SCORE, **change}]))
    assert records[0].entries is None
    assert "seed-0/scores.json holds no scores" in records.sentences[0]


def test_scores_of_the_right_kinds_are_read(made):
    (record,) = store.records(made())
    assert record.entries[0].score == 0.5


@pytest.mark.parametrize(
    "line",
    [
        "{}",
        "[1]",
        '{"step": "a", "terms": {}, "monitor": {}}',
        '{"step": 1, "terms": {"a": 1e999}, "monitor": {}}',
        '{"step": 1, "terms": {"a": {"b": 1}}, "monitor": {}}',
        '{"step": 1, "terms": {"a": ["b"]}, "monitor": {}}',
        '{"step": 1, "terms": {"a": [[1]]}, "monitor": {}}',
        "[" * 100_000,
    ],
    ids=range(8),
)
def test_a_line_of_a_journal_of_another_form_is_named(made, line):
    run = made(lines='{"step": 0, "terms": {"a": [1, null]}, "monitor": {"b": null}}\n' + line + "\n")
    with pytest.raises(UsageError, match=r"line 2 of .*metrics\.jsonl is damaged"):
        store.read_lines(run / "betavae-1" / "seed-0" / "metrics.jsonl")


@pytest.mark.parametrize(
    "name", ["cell.json", "status.json", "scores.json", "metrics.jsonl", "run.json", ".lock"]
)
def test_a_link_within_a_run_is_not_followed(disbench, made, tmp_path, name):
    run = made(status={"state": "running", "steps": 6})
    path = run / name if name == "run.json" else run / "betavae-1" / "seed-0" / name
    content = path.read_text() if path.exists() else "mine"
    path.unlink(missing_ok=True)
    (tmp_path / "elsewhere").write_text(content)
    path.symlink_to(tmp_path / "elsewhere")
    code, _, err = shown(disbench, "report", run, "--out", tmp_path / "r.html")
    # without its cell.json there is no seed to show
    assert code == (2 if name in ("cell.json", "run.json") else 0)
    # who holds the seed is a question that nobody answers then
    told = err if code else (tmp_path / "r.html").read_text("utf-8")
    assert (f"{path} is a symbolic link, which is not followed here" in told) == (name != ".lock")
    assert (tmp_path / "elsewhere").read_text() == content


@pytest.mark.parametrize("deep", [False, True])
def test_a_folder_within_a_run_that_is_a_link_is_not_followed(made, tmp_path, deep):
    run = made()
    path = run / "betavae-1" / "seed-0" if deep else run / "betavae-1"
    path.rename(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    records = store.records(run)
    assert (list(records), "is a symbolic link" in records.odd[0]) == ([], True)


def test_a_run_that_the_user_names_by_a_link_is_read(made, tmp_path):
    run = made()
    (tmp_path / "latest").symlink_to(run)
    assert [record.entries[0].score for record in store.records(tmp_path / "latest")] == [0.5]


@pytest.mark.parametrize("name", ["cell", "status", "scores"])
def test_a_folder_in_place_of_a_file_is_named(disbench, made, name):
    run = made()
    path = run / "betavae-1" / "seed-0" / f"{name}.json"
    path.unlink()
    path.mkdir()
    code, out, err = shown(disbench, "leaderboard", run)
    assert code == (2 if name == "cell" else 0)
    assert f"cannot read {path}: Is a directory" in out + err


@pytest.mark.parametrize("name", ["status.json", "scores.json", "metrics.jsonl"])
def test_a_pipe_in_place_of_a_file_is_not_waited_for(made, name):
    path = made() / "betavae-1" / "seed-0" / name
    path.unlink()
    os.mkfifo(path)
    (record,) = store.records(path.parents[2])
    assert f"{path} is a pipe or a device" in " ".join([*record.sentences, record.logged()[1]])


def test_a_file_that_is_larger_than_any_is_not_read_whole(made, monkeypatch):
    run = made()
    monkeypatch.setattr(files, "MOST_BYTES", 100)
    (sentence,) = store.records(run).odd
    assert "cell.json is larger than any that disbench writes (100 bytes)" in sentence


def test_the_healthy_seeds_of_an_odd_run_are_shown_and_the_others_named(disbench, made, tmp_path):
    """Seed 1 is whole; seed 0 is of a newer version, 2 says that it is seed 1, 3 is without a journal."""
    run = made(of__evil=1)
    folder = run / "betavae-1"
    for number in (1, 2, 3):
        shutil.copytree(folder / "seed-0", folder / f"seed-{number}")
        CellFile(replace(CELL, seed=1 if number == 2 else number)).write(folder / f"seed-{number}")
    (folder / "seed-3" / "metrics.jsonl").write_text("{}\n")
    named = ["its fields differ: evil", "seed-2/cell.json describes betavae-"]
    lines = "line 1 of", "metrics.jsonl is damaged"
    code, out, _ = shown(disbench, "status", run)
    assert code == 0
    assert all(part in out for part in named)
    code, out, _ = shown(disbench, "leaderboard", run, "--format", "markdown")
    assert code == 0
    assert all(part in out for part in [*named, "over n = 2"])
    code, _, err = shown(disbench, "plot", run, "--out", tmp_path)
    assert code == 0
    assert all(part in err for part in [*named, *lines])
    assert shown(disbench, "report", run, "--out", tmp_path / "r.html")[0] == 0
    page = (tmp_path / "r.html").read_text("utf-8")
    assert all(part in page for part in [*named, *lines])


def test_a_training_that_this_version_does_not_know_is_left_out(disbench, made):
    run = made()
    other = run / "betavae-2" / "seed-0"
    shutil.copytree(run / "betavae-1" / "seed-0", other)
    CellFile(replace(CELL, method="later")).write(other)
    code, out, _ = shown(disbench, "leaderboard", run, "--format", "markdown")
    assert code == 0
    assert "the seeds of later-" in out
    assert "unknown method 'later'" in out
    assert "over n = 1" in out


def test_a_seed_of_a_copy_is_shown_once(made):
    run = made()
    shutil.copytree(run / "betavae-1" / "seed-0", run / "betavae-1" / "seed-0 (copy)")
    records = store.records(run)
    assert [record.folder.name for record in records] == ["seed-0"]
    assert "seed-0 (copy) has the seed and the settings of" in records.odd[0]


@pytest.mark.parametrize(("field", "value"), [("seed", 3), ("config", {"steps": 9})])
def test_a_cell_that_is_not_that_of_its_folder_is_no_seed(writer, disbench, field, value):
    """Edited by hand: seed 1 was shown as seed 3, or under other settings, and `run` called seed 1 done."""
    folders = [writer.done(seed) for seed in (0, 1)]
    file = CellFile.read(folders[1])
    values = {field: value if field == "seed" else {**file.cell.config, **value}}
    odd = replace(file.cell, **values)
    replace(file, cell=odd).write(folders[1])
    records = store.records(writer.run)
    assert [record.cell.seed for record in records] == [0]
    assert f"{folders[1] / 'cell.json'} describes {odd.folder}, which is not what" in records.odd[0]
    with pytest.raises(UsageError, match="describes"):
        store.check_described(folders[1])
    code, out, _ = disbench("leaderboard", writer.run)
    assert code == 0
    assert "undo what was changed" in " ".join(out.split())
    # names of the user's own say nothing
    mine = folders[1].with_name("seed-of-mine")
    folders[1].rename(mine)
    folders[1].parent.rename(writer.run / "vae-best")
    assert CellFile.read(writer.run / "vae-best" / "seed-of-mine").cell == odd


def test_a_seed_without_a_cell_is_named_unless_nothing_was_begun(writer, disbench):
    """Half of a copy: its scores were in no table, without a word, and `run` called it done."""
    folders = [writer.done(seed) for seed in (0, 1)]
    (folders[1] / "cell.json").unlink()
    (folders[0].with_name("seed-2")).mkdir()
    (sentence,) = store.records(writer.run).odd
    assert f"{folders[1] / 'cell.json'} is missing" in sentence
    code, out, _ = disbench("leaderboard", writer.run)
    assert code == 0
    assert "cell.json is missing" in " ".join(out.split())


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "run.json is damaged"),
        ('{"kind": "disbench run", "format": 9}', "has run format '?9'?, this disbench reads 1"),
        ('{"kind": "something"}', "is not a disbench run"),
    ],
)
def test_a_marker_of_a_run_that_is_odd_is_named(made, text, words):
    run = made()
    (run / "run.json").write_text(text)
    with pytest.raises(UsageError, match=words):
        store.records(run)


def test_a_name_that_is_no_text_is_refused(disbench, made, tmp_path):
    run = made()
    strange = run / "betavae-\udcff\x1b[31m"
    try:
        (run / "betavae-1").rename(strange)
    except OSError:
        pytest.skip("this file system takes names of text alone")
    code, out, _ = shown(disbench, "status", run)
    assert code == 0
    assert r"betavae-\udcff\x1b[31m/seed-0 is not text in UTF-8" in out


def picture(path, width, height):
    """A PNG of one bit a pixel, all black, small as a file however large."""

    def chunk(kind, content):
        return (
            struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        )

    rows = zlib.compress(b"\0" * ((width // 8 + 1) * height))
    head = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b""))
    return path


def test_a_picture_that_is_a_link_or_a_bomb_is_refused(tmp_path):
    path = picture(tmp_path / "traversal.png", 16, 8)
    assert sheets.opened(path).size == (16, 8)
    (tmp_path / "link.png").symlink_to(path)
    with pytest.raises(UsageError, match="symbolic link"):
        sheets.opened(tmp_path / "link.png")
    with pytest.raises(UsageError, match="13000 x 13000 pixels"):
        sheets.opened(picture(tmp_path / "bomb.png", 13_000, 13_000))
