import shutil
import sys

import pytest

from disbench.benchmark import cli

QUICK = ("--protocol=smoke", "--jobs=1", "--set=betavae.steps=6", "--set=betavae.batch=4")


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


@pytest.fixture(scope="session")
def finished_run(tmp_path_factory):
    """beta-VAE with seeds 0 and 1, a few steps each; not to be written to."""
    folder = tmp_path_factory.mktemp("finished") / "r"
    before = sys.argv
    sys.argv = ["disbench", "run", "--methods", "betavae", "--seeds", "2", "--out", str(folder), *QUICK]
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert not end.value.code
    sys.argv = before
    return folder


@pytest.fixture
def quick_run(finished_run, tmp_path):
    """A copy of it, at the same times of change."""
    return shutil.copytree(finished_run, tmp_path / "r")
