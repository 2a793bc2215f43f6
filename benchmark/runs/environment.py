"""What made a result: the commit of this code and the processor that it ran on."""

from __future__ import annotations

import functools
import os
import platform
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]  # of the checkout, where this is one


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
