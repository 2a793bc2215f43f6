"""What a run says before it starts on a card that has room for a few seeds only."""

import contextlib
from unittest import mock

import numpy as np
import torch
from device import present

from disbench.benchmark.scoring import encoding
from disbench.benchmark.scoring.trained import Trained
from disbench.benchmark.sweep import forecast
from disbench.benchmark.sweep.request import Request
from disbench.benchmark.training import gpu, strategies
from disbench.errors import UsageError

GIB = 1 << 30
A_SEED = 3 * GIB


class Card:
    """A GPU with room for so many seeds, each of which takes `A_SEED`."""

    def __init__(self, seeds):
        self.total_memory = seeds * A_SEED + GIB
        self.used = 0

    def take(self, seeds):
        if seeds * A_SEED > self.total_memory:
            raise torch.OutOfMemoryError("no room")
        self.used = seeds * A_SEED


class Here:
    """Does in this process what is for another one, where nothing would be fake."""

    def __init__(self, *_):
        pass

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def submit(self, work, *arguments):
        result = work(*arguments)
        return mock.Mock(result=lambda: result)


@contextlib.contextmanager
def with_card(card):
    """On that card, with codes that are no numbers of its own, since it computes none."""
    chosen = []
    answers = {
        "set_device": lambda device: chosen.append(device.index),
        "current_device": lambda: chosen[-1] if chosen else 0,
        "reset_peak_memory_stats": lambda *_: None,
        "max_memory_reserved": lambda *_: card.used,
        "get_device_properties": lambda *_: card,
    }
    with contextlib.ExitStack() as stack:
        stack.enter_context(present())
        for name, answer in answers.items():
            stack.enter_context(mock.patch.object(torch.cuda, name, answer))
        for strategy in (strategies.Single, strategies.Fused, strategies.Branches):
            set_up = strategy.set_up

            def taken(trainer, methods, set_up=set_up):
                card.take(len(methods))
                set_up(trainer, methods)

            stack.enter_context(mock.patch.object(strategy, "set_up", taken))
        # images that are read here would be fake too
        packed = np.zeros((60, 1, 32, 4), np.uint8)
        stack.enter_context(mock.patch.object(gpu, "_compact", return_value=(packed, True)))
        stack.enter_context(mock.patch.object(encoding, "as_array", lambda part, _: np.zeros(part.shape)))
        # it compares two codes
        stack.enter_context(mock.patch.object(Trained, "no_posterior", ""))
        stack.enter_context(mock.patch.object(forecast, "new_worker", Here))
        stack.enter_context(mock.patch.object(forecast, "TRIAL_SECONDS", 0.0))
        yield


def foretold(folder, room, limit=None):
    """The sentences of `--dry-run` for eight seeds, or of the error, and the seeds in a group."""
    factors = np.stack(np.unravel_index(np.arange(60), (3, 4, 5)), 1)
    images = np.random.default_rng(0).integers(0, 2, (60, 32, 32), dtype=np.uint8) * 255
    np.savez(folder / "toy.npz", images=images, factors=factors)
    # the data are real, the device is not
    with mock.patch.multiple(torch.cuda, is_available=lambda: True, device_count=lambda: 2):
        prepared = Request(
            "betavae",
            seeds=8,
            protocol="smoke",
            dataset=str(folder / "toy.npz"),
            device="cuda:1",
            cuda_graph=False,
            max_memory=limit,
            out=folder / "run",
            data_dir=folder / "data",
        ).prepare()
    with with_card(Card(room)):
        try:
            found = forecast.forecast(prepared)
        except UsageError as error:
            return {"sentences": [str(error)], "fuse": 0}
        return {"sentences": found.sentences(), "fuse": found.fuse}
