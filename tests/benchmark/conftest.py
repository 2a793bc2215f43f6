import sys

import pytest

from disbench.benchmark import cli


@pytest.fixture
def disbench(monkeypatch, capsys):
    """The program: `disbench("run", "--seeds", "2")` gives (exit code, standard output, standard error)."""

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["disbench", *map(str, arguments)])
        try:
            cli.main()
            code = 0
        except SystemExit as end:
            code = end.code or 0
        found = capsys.readouterr()
        return code, found.out, found.err

    return call


QUICK = ["--protocol", "smoke", "--jobs", "1", "--set", "betavae.steps=6", "--set", "betavae.batch=4"]


@pytest.fixture
def quick_run(disbench, tmp_path):
    """A finished run of beta-VAE with seeds 0 and 1, a few steps each."""
    code, _, err = disbench("run", "--methods", "betavae", "--seeds", 2, "--out", tmp_path / "r", *QUICK)
    assert code == 0, err
    return tmp_path / "r"
