"""Portable arithmetic: equal bits on every x86-64 processor with AVX2, whoever made it.

PyTorch, its libraries, NumPy and SciPy choose their kernels by the processor, and other kernels add numbers
in another order. Training magnifies the difference: the same seed becomes another draw. Each library can be
held to kernels that all these processors have, by a variable that it reads once, when it is loaded. So
portable arithmetic is a property of a whole process from its start on, and `sweep.workers` starts such
processes.

What else decides the bits: the versions of the libraries, the C library, and the number of threads, which is
one.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from pathlib import Path

from disbench.errors import UsageError, argument

PORTABLE = "portable"
# the kernels are those that the libraries choose for the processor
NATIVE = "native"

VARIABLES: Mapping[str, str] = {
    # PyTorch's own kernels
    "ATEN_CPU_CAPABILITY": "avx2",
    # convolutions
    "ONEDNN_MAX_CPU_ISA": "AVX2",
    # matrix products; with AVX2, AMD's processors would get other kernels than Intel's
    "MKL_CBWR": "COMPATIBLE",
    # linear algebra of NumPy and SciPy
    "OPENBLAS_CORETYPE": "Haswell",
    # loops of NumPy, by their names before and since version 2.4; it ignores those that it does not know
    "NPY_DISABLE_CPU_FEATURES": "AVX512F AVX512CD AVX512_SKX AVX512_CLX AVX512_CNL AVX512_ICL AVX512_SPR "
    "X86_V4",
}
# Others that choose kernels, none of which belongs to portable arithmetic.
OTHERS = (
    "DNNL_MAX_CPU_ISA",
    "ONEDNN_DEFAULT_FPMATH_MODE",
    "DNNL_DEFAULT_FPMATH_MODE",
    "MKL_ENABLE_INSTRUCTIONS",
    "NPY_ENABLE_CPU_FEATURES",
)


def kernels(variables: Mapping[str, str] | None = None) -> str:
    """The kernels of a process, in words: "portable", "native", or "native, MKL_CBWR=AVX2".

    Args:
        variables: the environment that the process started with; this process's by default.
    """
    given = _at_start() if variables is None else variables
    if not deviations(given) and all(given.get(name) == value for name, value in VARIABLES.items()):
        return PORTABLE
    set_here = [f"{name}={given[name]}" for name in (*VARIABLES, *OTHERS) if name in given]
    return ", ".join([NATIVE, *set_here])


def deviations(variables: Mapping[str, str]) -> list[str]:
    """The variables that contradict portable arithmetic, as NAME=value."""
    wrong = [name for name, value in VARIABLES.items() if variables.get(name, value) != value]
    return [f"{name}={variables[name]}" for name in (*wrong, *OTHERS) if name in variables]


def lack() -> str:
    """What this processor lacks for portable arithmetic; "" if it has all."""
    if platform.machine().lower() not in ("x86_64", "amd64"):
        return f"is no x86-64 ({platform.machine()})"
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        return "does not say on this system what it can do"
    flags = next((line.partition(":")[2].split() for line in lines if line.startswith("flags")), [])
    missing = [name for name, flag in (("AVX2", "avx2"), ("FMA", "fma")) if flag not in flags]
    return f"has no {' and no '.join(missing)}" if missing else ""


def check(device: str) -> None:
    """Checks that processes of portable arithmetic can be started from this one.

    Args:
        device: "cpu", "cuda" or "cuda:1".

    Raises:
        UsageError: the device is a GPU, this processor lacks something, or the user has chosen other kernels.
    """
    named = argument(PORTABLE)
    if device != "cpu":
        raise UsageError(
            f"{named} is about CPUs, but the device is {device}; omit it, or give {argument('device')} cpu."
        )
    if lack():
        raise UsageError(
            f"{named} promises equal bits on x86-64 with AVX2 alone, and this processor {lack()}; omit it."
        )
    wrong = deviations(os.environ)
    if wrong:
        raise UsageError(
            f"{named} chooses the kernels itself, but {' and '.join(wrong)} is set in the environment; "
            f"unset it, or omit {named}."
        )


def _at_start() -> Mapping[str, str]:
    """The environment that this process started with: what was set later, no loaded library has read."""
    try:
        parts = Path("/proc/self/environ").read_bytes().split(b"\0")
    except OSError:
        return dict(os.environ)
    pairs = (os.fsdecode(part).partition("=") for part in parts if part)
    return {name: value for name, _, value in pairs}
