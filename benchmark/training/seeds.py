"""The streams of random numbers of a seed, and how work that was asked to stop ends."""

import hashlib


def stream(seed: int, name: str) -> int:
    """A seed for one named stream of random numbers of one run, such as "weights", "order" or "noise/7"."""
    return int.from_bytes(hashlib.blake2b(f"{seed}/{name}".encode(), digest_size=8).digest()) >> 1


class StoppedError(RuntimeError):
    """Asked to stop, it did: training after a whole step, with its state saved; scoring after a metric."""
