"""The environment of a training: commit of this code, versions of packages, hardware."""

from __future__ import annotations

import functools
import importlib.metadata
import importlib.util
import os
import platform
import subprocess
from pathlib import Path

from disbench.benchmark.training import portable

# The root of the repository, if this is a checkout.
ROOT = Path(__file__).resolve().parents[2]


@functools.cache
def commit() -> str | None:
    """The commit of this checkout, followed by ", changed" if files differ; None if it is not a checkout."""
    if not (ROOT / ".git").exists():
        return None
    try:
        commit, changes = [
            subprocess.run(
                ["git", "-C", str(ROOT), *words], capture_output=True, text=True, check=True, timeout=20
            ).stdout.strip()
            for words in (("rev-parse", "HEAD"), ("status", "--porcelain", "--untracked-files=no"))
        ]
    # No git on this machine, or not our repository.
    except (OSError, subprocess.SubprocessError):
        return None
    return commit + (", changed" if changes else "")


@functools.cache
def processor() -> str:
    """The name of the processor, as far as the system reports it, and the number of its threads."""
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        lines = []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    name = models[0] if models else platform.processor() or platform.machine()
    return f"{name}, {os.cpu_count()} threads"


@functools.cache
def packages() -> dict[str, str]:
    """The versions of the packages that results may depend on; finding them takes milliseconds."""
    names = ["disbench", "numpy", "scipy", "scikit-learn", "pandas", "h5py"]
    if importlib.util.find_spec("numba") is not None:
        # it grows the boosted trees of metrics if it is there
        names.append("numba")
    return {name: importlib.metadata.version(name) for name in names}


def environment(device: str, precision: str, way: str) -> dict[str, str | None]:
    """Versions and hardware of a training, by name.

    Args:
        device: "cpu", "cuda" or "cuda:1".
        precision: of matrix products and convolutions.
        way: how seeds trained together.
    """
    import torch

    return {
        "python": platform.python_version(),
        # This version names the build too.
        "torch": str(torch.__version__),
        **packages(),
        "platform": platform.platform(),
        "device": processor() if device == "cpu" else torch.cuda.get_device_name(device),
        "precision": precision,
        "training": way,
        # a GPU has kernels of its own
        **({"kernels": portable.kernels()} if device == "cpu" else {}),
        "commit": commit(),
    }
