"""Stops a sweep at a signal or a time limit; a file passes the request on to its processes."""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

# Ctrl-C, a batch system, and a terminal that is gone
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
# why a sweep stopped
SIGNAL, TIME = "by a signal", "because the time limit was reached"


@contextlib.contextmanager
def stoppable(run: Path, seconds: float = 0.0) -> Iterator[tuple[Path, Callable[[], str]]]:
    """A file that appears at the first of `SIGNALS` or at the time limit, and a function that says why.

    At a second signal the program ends at once. The function returns SIGNAL, TIME, or "" if the file did not
    appear.

    Args:
        run: folder of the run, in which the file appears.
        seconds: time limit (0: none).
    """
    # not its number alone: programs on other machines and in containers share the folder and have the same
    stop_file = run / f".stop-{os.getpid()}-{secrets.token_hex(8)}"
    why = ""

    def ask(number: int, frame: object) -> None:
        nonlocal why
        if why == SIGNAL:
            raise KeyboardInterrupt
        why = SIGNAL
        stop_file.touch()

    def time_is_up() -> None:
        nonlocal why
        why = why or TIME
        stop_file.touch()

    timer = threading.Timer(seconds, time_is_up) if seconds else None
    # who started this with nohup wants a lost terminal to be ignored
    heard = [number for number in SIGNALS if signal.getsignal(number) != signal.SIG_IGN]
    before = {number: signal.signal(number, ask) for number in heard}
    if timer:
        timer.daemon = True
        timer.start()
    try:
        yield stop_file, lambda: why
    finally:
        if timer:
            timer.cancel()
            timer.join()
        for number, handler in before.items():
            signal.signal(number, handler)
        stop_file.unlink(missing_ok=True)
