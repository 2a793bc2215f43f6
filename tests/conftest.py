"""What all tests share. The data cache is one folder for the whole test run, never the user's own."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from disbench import plugins
from disbench.benchmark.cli import main as program


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    torch.set_num_threads(1)


@pytest.fixture(scope="session", autouse=True)
def data_dir(tmp_path_factory, worker_id):
    """One folder for all workers of pytest-xdist, which share the parent of their temporary folders."""
    base = tmp_path_factory.getbasetemp()
    folder = Path(base.parent if worker_id != "master" else base) / "disbench-data"
    before = os.environ.get("DISBENCH_DATA")
    os.environ["DISBENCH_DATA"] = str(folder)
    yield folder
    if before is None:
        del os.environ["DISBENCH_DATA"]
    else:
        os.environ["DISBENCH_DATA"] = before


class Checkout:
    """A copy of the checkout, in which commands see the copy and not the original."""

    FOLDERS = (
        *("benchmark", "data_manifests", "docs", "examples", "leaderboards", "metrics", "models"),
        *("src", "tests"),
    )

    def __init__(self, folder):
        self.folder, root = folder, Path(__file__).resolve().parents[1]
        skipped = shutil.ignore_patterns("__pycache__", "*.npz")
        for name in self.FOLDERS:
            shutil.copytree(root / name, folder / name, symlinks=True, ignore=skipped)
        shutil.copy(root / "pyproject.toml", folder)

    def run(self, *command):
        """What `python COMMAND` prints."""
        own = {"PYTHONPATH": str(self.folder / "src"), "COLUMNS": "200", "OMP_NUM_THREADS": "1"}
        done = subprocess.run(
            [sys.executable, *map(str, command)],
            cwd=self.folder,
            env={**os.environ, **own},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


@pytest.fixture(scope="session")
def new_checkout(tmp_path_factory):
    return lambda: Checkout(tmp_path_factory.mktemp("checkout"))


@pytest.fixture
def disbench(monkeypatch, capsys):
    """The program: `disbench("run", "--seeds", "2")` gives (exit code, standard output, standard error)."""

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["disbench", *map(str, arguments)])
        try:
            program.main()
            code = 0
        except SystemExit as end:
            code = end.code or 0
        found = capsys.readouterr()
        return code, found.out, found.err

    return call


@pytest.fixture
def fresh(monkeypatch):
    """No plug-in file is loaded before, and none stays after."""
    before = set(sys.modules)
    monkeypatch.setattr(plugins, "_FILES", {})
    monkeypatch.setattr(plugins, "_OFFERS", [])
    yield
    from disbench.metrics import registry

    for name in [name for name in sys.modules if name not in before and name.startswith("disbench_plugin_")]:
        registry.forget(name)
        del sys.modules[name]
