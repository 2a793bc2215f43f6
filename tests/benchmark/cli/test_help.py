"""What the program says of itself, before anything heavy is imported."""

import io
import re
import subprocess
import sys

import numpy as np
import pytest
import typer
from rich.console import Console
from rich.text import Text

import disbench as package
from disbench.benchmark.cli.main import LISTS, app
from disbench.benchmark.cli.terminal import Plain
from disbench.models import registry


def commands(group, before=()):
    """Every command by the words that call it."""
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, (*before, name))
        else:
            # which looks at what was given
            assert isinstance(command, Plain), name
            yield (*before, name)


@pytest.mark.parametrize("words", [(), *commands(typer.main.get_command(app))], ids=" ".join)
def test_help_speaks_no_python(words, disbench):
    code, out, _ = disbench(*words, "--help")
    assert code == 0
    assert "list[" not in out


@pytest.mark.parametrize("option", ["--version", "-V"])
def test_the_version(option, disbench):
    assert disbench(option) == (0, f"disbench {package.__version__}\n", "")


def test_list_alone_says_what_can_be_listed(disbench):
    code, out, _ = disbench("list")
    assert code == 0
    assert [line.split()[0] for line in out.splitlines()] == list(LISTS)
    code, _, error = disbench("list", "metod")
    assert code == 2
    assert "did you mean 'methods'" in error


def test_a_title_over_two_lines_is_listed_whole(disbench):
    _, out, _ = disbench("list", "methods")
    lines = {line.split()[0]: line for line in out.splitlines()}
    assert set(lines) == set(registry.names())
    assert "Representation Learning with Information Bottleneck Generative" in lines["ibgan"]
    assert all(line.count('"') % 2 == 0 for line in lines.values())


def quick(*arguments):
    """(exit code, standard error, imported modules) of a program of its own."""
    command = [sys.executable, "-X", "importtime", "-m", "disbench", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    lines = [line for line in done.stderr.splitlines() if not line.startswith("import time:")]
    loaded = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines() if "|" in line}
    return done.returncode, "\n".join(lines), loaded


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("missing.pt", "No such file"),
        ("codes.npz", "name the data set with --dataset, or give the factor values with --factors"),
        ("codes.npy", "name the data set with --dataset, or give the factor values with --factors"),
        ("net.onnx", "name the data set with --dataset"),
        ("noise.bin", "not of a supported kind"),
    ],
)
def test_a_file_that_cannot_be_scored_is_refused_before_torch_is_imported(name, sentence, tmp_path):
    np.savez(tmp_path / "codes.npz", codes=np.zeros((10, 3)))
    np.save(tmp_path / "codes.npy", np.zeros((10, 3)))
    (tmp_path / "net.onnx").write_bytes(b"\x08\x07\x12\x00")
    (tmp_path / "noise.bin").write_bytes(bytes([1, 0, 2, 0] * 20))
    code, error, loaded = quick("score", tmp_path / name)
    assert code == 2
    assert sentence in error
    assert error.count("\n") == 0
    assert not {"torch", "pandas", "sklearn", "scipy"} & loaded


@pytest.mark.parametrize("arrays", [{"factors": np.zeros((10, 2))}, {"dataset": "dsprites"}])
def test_codes_that_say_what_they_are_of_pass_the_first_look(arrays, tmp_path):
    from disbench.benchmark.scoring.files import check

    np.savez(tmp_path / "codes.npz", codes=np.zeros((10, 3)), **arrays)
    check(tmp_path / "codes.npz", "", factors=False)
    np.save(tmp_path / "codes.npy", np.zeros((10, 3)))
    check(tmp_path / "codes.npy", "", factors=True)
    check(tmp_path / "codes.npy", "dsprites", factors=False)


def test_no_color_is_honoured(monkeypatch):
    """A colour is one of the codes 30 to 49 and 90 to 107."""
    shown = {}
    for value in ("", "1"):
        monkeypatch.setenv("NO_COLOR", value)
        console = Console(force_terminal=True, file=io.StringIO(), color_system="standard")
        console.print(Text("running", "cyan"))
        shown[value] = console.file.getvalue()
    assert re.search(r"\x1b\[[0-9;]*36m", shown[""])
    assert "\x1b[" not in shown["1"]
