"""The makings of a result: the commit of this code, versions of packages, and the hardware that it ran on."""

from __future__ import annotations

import functools
import importlib.metadata
import os
import platform
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]  # of the checkout, where this is one


@functools.cache
def commit() -> str | None:
    """The commit of the checkout that this code runs from, "changed" behind it if files differ; else None."""
    if not (ROOT / ".git").exists():
        return None
    try:
        found = [
            subprocess.run(
                ["git", "-C", str(ROOT), *words], capture_output=True, text=True, check=True, timeout=20
            )
            for words in (("rev-parse", "HEAD"), ("status", "--porcelain", "--untracked-files=no"))
        ]
    except (OSError, subprocess.SubprocessError):  # no git here, or not our repository
        return None
    return found[0].stdout.strip() + (", changed" if found[1].stdout.strip() else "")


@functools.cache
def processor() -> str:
    """The processor's name where the system tells it, and how many of its threads there are."""
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        lines = []
    told = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    name = told[0] if told else platform.processor() or platform.machine()
    return f"{name}, {os.cpu_count()} threads"


def environment(device: str, precision: str) -> dict[str, str | None]:
    """Versions and hardware of a training, by name.

    Args:
        device: "cpu" or "cuda".
        precision: of products and convolutions.
    """
    import torch

    packages = ("disbench", "numpy", "scipy", "scikit-learn", "pandas", "h5py")
    return {
        "python": platform.python_version(),
        # its version names the build too
        "torch": str(torch.__version__),
        **{name: importlib.metadata.version(name) for name in packages},
        "platform": platform.platform(),
        "device": torch.cuda.get_device_name() if device == "cuda" else processor(),
        "precision": precision,
        "commit": commit(),
    }
