"""Builds the wheel, checks what is in it, installs it alone and uses it from there. Run by `make wheel`."""

import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = {
    "benchmark": "disbench/benchmark",
    "models": "disbench/models",
    "metrics": "disbench/metrics",
    "leaderboards": "disbench/leaderboards",
    "data_manifests": "disbench/data_manifests",
}
MOST = 3_000_000  # bytes
USE = """
import sys
from disbench import metrics
assert metrics.names() and "torch" not in sys.modules
import disbench
from disbench import models
from disbench.benchmark import datasets, protocols
assert disbench.__file__.startswith({target!r}), disbench.__file__
from disbench.leaderboards import published, tables
assert models.names() and metrics.names() and datasets.names() and protocols.names()
assert all(published.get(name) for name in published.names()) and published.names()
assert [tables.read(name).rows for name in tables.names()]
"""


def tracked(folder: str) -> list[str]:
    listed = subprocess.run(["git", "ls-files", folder], cwd=ROOT, check=True, capture_output=True, text=True)
    return listed.stdout.split()


def main() -> None:
    with tempfile.TemporaryDirectory() as temporary:
        pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, "wheel", "--no-deps", "--wheel-dir", temporary, str(ROOT)], check=True)
        (wheel,) = Path(temporary).glob("*.whl")
        size = wheel.stat().st_size
        assert size < MOST, f"{wheel.name} has {size:,} bytes, more than {MOST:,}"
        inside = set(zipfile.ZipFile(wheel).namelist())
        tops = {name.split("/")[0] for name in inside}
        assert all(top == "disbench" or top.endswith(".dist-info") for top in tops), tops
        for folder, home in FOLDERS.items():
            for path in tracked(folder):
                # for readers of the repository
                if path.startswith("leaderboards/results/") and (
                    path.count("/") == 2 or path.endswith(".png")
                ):
                    continue
                assert path.replace(folder, home, 1) in inside, f"{path} is not in the wheel"
        target = str(Path(temporary) / "installed")
        subprocess.run([*pip, "install", "--no-deps", "--target", target, str(wheel)], check=True)
        subprocess.run(
            [sys.executable, "-c", USE.format(target=target)],
            cwd=temporary,
            env={"PYTHONPATH": target, "PATH": "", "HOME": temporary},
            check=True,
        )
    print(f"wheel: {len(inside)} files, {size / 1e6:.1f} MB, all found, nothing at top level but disbench")


main()
