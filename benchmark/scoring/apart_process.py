"""What runs in the process of a stranger's encoder or decoder: it reads the file, and runs it on what comes.

Before it looks at the file it gives up what it does not need: memory beyond a limit, writing files, time
without end. It is started by `apart`, and knows of its parent nothing but the channel between them.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import resource
import signal
import socket
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from disbench.benchmark.scoring import encoders, wire
from disbench.benchmark.scoring.encoders import Network
from disbench.errors import UsageError
from disbench.texts import short
from disbench.units import memory

TOO_MUCH = (
    "can't allocate memory",
    "bad_alloc",
    "Failed to allocate",
    "bad allocation",
)  # of torch, onnxruntime


def main(descriptor: int) -> None:
    """Serves one file until the other side is gone.

    Args:
        descriptor: of the channel.
    """
    torch.set_num_threads(1)
    with contextlib.suppress(EOFError, ConnectionError), socket.socket(fileno=descriptor) as channel:
        wanted, _ = wire.receive(channel)
        missing = give_up(wanted["memory"])
        signal.alarm(wanted["seconds"])
        try:
            # the path is the user's own, and what is said of it names it so
            os.chdir(wanted["folder"])
            network = encoders.FORMATS[wanted["kind"]][1](Path(wanted["path"]))
            os.chdir("/")
        except UsageError as error:
            wire.send(channel, {"refused": error.marked})
            return
        wire.send(channel, {**_described(network), "missing": missing})
        room = wire.Room()
        while True:
            signal.alarm(0)
            wanted, (images,) = wire.receive(channel, room)
            signal.alarm(wanted["seconds"])
            wire.send(channel, *_answer(network, images, bool(wanted.get("pictures"))))


def give_up(size: int) -> list[str]:
    """Limits this process.

    Args:
        size: bytes of memory that it may take beyond what it has.

    Returns:
        What this system does not limit, in words.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    # files that are open stay so; none can grow
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    with contextlib.suppress(OSError):
        # short of memory, the system ends this process before any other
        Path("/proc/self/oom_score_adj").write_text("1000")
    taken = 0
    with contextlib.suppress(OSError, ValueError):
        taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (taken + size, taken + size))
    try:
        # some systems take the limit and do not keep it
        mmap.mmap(-1, taken + size).close()
    except (OSError, MemoryError, OverflowError):
        return []
    return ["memory"]


def _described(network: Network) -> dict[str, object]:
    dtype = None if network.dtype is None else encoders.named(network.dtype)
    shape = None if network.shape is None else list(network.shape)
    return {"shape": shape, "dtype": dtype, "assumed": list(network.assumed)}


def _answer(network: Network, images: Tensor, pictures: bool) -> tuple[Mapping[str, object], list[Tensor]]:
    """What the network returns, as `apart` expects it; or how it failed.

    Args:
        network: an encoder or a decoder.
        images: what it is given: images, or the latents of a decoder.
        pictures: whether pictures are wanted, and not codes.
    """
    try:
        with torch.no_grad():
            outputs = encoders.outputs(network.run(images))
    except MemoryError:
        return {"failed": _too_much()}, []
    except Exception as error:
        # whatever a stranger's network raises
        text = str(error)
        return {"failed": _too_much() if any(sign in text for sign in TOO_MUCH) else short(error)}, []
    forms, sent = [], []
    for name, value in outputs:
        table = (encoders.as_pictures if pictures else encoders.as_table)(value, len(images))
        if table is not None and table.dtype in wire.DTYPES.values():
            forms.append({"name": name})
            sent.append(table)
        else:
            # it cannot be what is wanted, so it stays here
            forms.append({"name": name, "is": encoders.described(value, len(images))})
    return {"outputs": forms}, sent


def _too_much() -> str:
    most, _ = resource.getrlimit(resource.RLIMIT_AS)
    return f"it takes more memory than its process may ({memory(most)} in all)"
