"""Trains every method on the fake device, and beta-VAE with planted faults; writes what was seen as JSON.

Beside that, what a run says before it starts on cards with little memory.

A program for a process of its own, into which the library made from `device.cpp` was preloaded:

    python examine.py FILE.json
"""

import dataclasses
import functools
import json
import sys
import tempfile
from pathlib import Path
from unittest import mock

import faults
import numpy as np
import small_card
import torch
from device import CAPTURED, CUDA, Watch, place_of, present, tensors

from disbench import models
from disbench.benchmark.datasets import cache
from disbench.benchmark.datasets.dataset import Dataset, FileStorage
from disbench.benchmark.training.gpu import Recording, Tuning
from disbench.benchmark.training.strategies import Branches, Fused, Single
from disbench.benchmark.training.trainer import Trainer

STRATEGIES = {"single": (Single, 1), "stacked": (Fused, 2), "branches": (Branches, 2)}
# those whose reports might differ where seeds are stacked
STACKED_FAULTS = ("NoFault", "TensorOfTheHost", "NumberOfTheHost", "StepRead", "UploadedConstant")


def noise_pictures(folder, side=64, n=200):
    """Labelled black and white images in a packed file, which are resident as they lie."""
    rows = np.random.default_rng(0).integers(0, 256, (n, side, side // 8), dtype=np.uint8)
    cache.write(folder / "noise.h5", "noise", cache.Content(rows.shape, [rows], packed=True), "mapped")
    stored = FileStorage(cache.inspect(folder / "noise.h5"))
    return Dataset("noise", "0" * 64, stored, labels=np.arange(n) % 10)


class Seen(dict):
    """What was seen in each phase of a case, by the phase's name."""

    def do(self, phase, work, *arguments):
        """Does a piece of work, and notes how it failed where it did."""
        self[phase] = {"error": None}
        try:
            work(*arguments)
        except Exception as raised:
            first, *_ = str(raised).splitlines() or [""]
            self[phase]["error"] = f"{type(raised).__name__}: {first}, {place_of(raised)}"

    def watch(self, phase, work, *arguments):
        """Likewise, and notes all that it did."""
        with Watch() as watch:
            self.do(phase, work, *arguments)
        self.add(phase, watch)

    def add(self, phase, watch):
        notes = {kind: getattr(watch, kind) for kind in ("waits", "uploads", "host", "mixed", "products")}
        known = self.get(phase, {"error": None})
        self[phase] = {**known, "kernels": watch.launched.total(), "bytes": watch.moved, **notes}


def set_up(build, data, strategy, **tuning):
    """A trainer of freshly built methods at the step from which on all updates learn from their last loss."""
    kind, seeds = STRATEGIES[strategy]
    methods = [build(seed) for seed in range(seeds)]
    trainer = kind(methods, data, range(seeds), CUDA, Tuning(resident=True, **tuning))
    trainer.step = max(start for update in trainer.schedule for start in update.starts)
    return trainer, methods


def examine(build, data):
    """One method trained in every way: an eager step, its state restored, a recorded step, a monitor.

    The eager steps are in bf16. Branches, each of which takes a single seed's steps, go on from its state.
    """
    found = {strategy: Seen() for strategy in STRATEGIES}
    for strategy in ("single", "stacked"):
        trainer, methods = set_up(build, data, strategy, precision="bf16")
        found[strategy].watch("eager step", trainer.advance)
        go_on(found[strategy], trainer, trainer.states())
        if strategy == "single":
            states = trainer.states()
            found[strategy].do("pictures", draw, methods[0], data)
    go_on(found["branches"], set_up(build, data, "branches")[0], 2 * states)
    return found


def go_on(seen, trainer, states):
    """Restores the states, takes a recorded step from there, and looks."""
    seen.do("restore", trainer.restore, states)
    trainer.tuning = dataclasses.replace(trainer.tuning, precision="float32", graph=True)
    # the step before has made what the optimisers gather, which is all that a warm-up is for here
    with mock.patch.object(Recording, "warm_up", no_warm_up):
        watch_recording(seen, trainer)
    seen.do("monitor", trainer.monitor)


def no_warm_up(recording, step):
    recording.stream = torch.cuda.Stream()


def watch_recording(seen, trainer):
    """Watches what is recorded of a step, and what a replay adds to it."""
    CAPTURED.clear()
    seen.do("recording", trainer.advance)
    for recorded in CAPTURED:
        seen.add("recorded step", recorded)
    seen.watch("replay", trainer.advance)


@torch.no_grad()
def draw(method, data):
    """All that is done with a trained method: codes, reconstructions, traversals, samples."""
    method.eval()
    images = data.images(np.arange(4)).to(CUDA)
    generator = torch.Generator(CUDA).manual_seed(0)
    noise = method.noise(method.images_per_step, generator)
    made = [
        method.represent(images),
        method.reconstruct(images),
        method.traverse(images[:1], method.noise(1, generator), 3),
        method.categories(noise),
        method.class_prior(),
    ]
    latents, _ = method.sample_latents(noise)
    made.append(method.generate(latents))
    elsewhere = {tensor.device.type for tensor in tensors(made)} - {CUDA.type}
    if elsewhere:
        raise RuntimeError(f"some of the results lie on {elsewhere}")


def examine_recording(build, data, strategy):
    """A step recorded as a graph from the start, with its warm-up."""
    seen = Seen()
    watch_recording(seen, set_up(build, data, strategy, graph=True)[0])
    return seen


def examine_fault(build, data, strategy):
    seen, (trainer, _) = Seen(), set_up(build, data, strategy)
    seen.watch("step", trainer.compute, *trainer.arguments(trainer.step))
    return seen


def main(path):
    with tempfile.TemporaryDirectory() as folder, present():
        data = noise_pictures(Path(folder))
        info = models.DataInfo(data.shape, len(data), tuple(data.class_prior))

        def build(name, seed):
            return models.build(name, models.configure(name, "paper"), info, seed)

        def spoil(fault, seed):
            return faults.ALL[fault](models.configure("betavae", "mini"), info)

        seeds = {strategy: seeds for strategy, (_, seeds) in STRATEGIES.items()}
        # a new strategy is one to be examined
        missing = set(Trainer.__subclasses__()) - {kind for kind, _ in STRATEGIES.values()}
        assert not missing, missing
        found = {"strategies": seeds, "methods": {}, "recordings": {}, "faults": {}}
        for name in models.names():
            ways = examine(functools.partial(build, name), data)
            found["methods"] |= {f"{name}, {strategy}": case for strategy, case in ways.items()}
        for strategy in STRATEGIES:
            case = examine_recording(functools.partial(build, "betavae"), data, strategy)
            found["recordings"][strategy] = case
        for fault in faults.ALL:
            for strategy in ("single", "stacked") if fault in STACKED_FAULTS else ("single",):
                case = examine_fault(functools.partial(spoil, fault), data, strategy)
                found["faults"][f"{fault}, {strategy}"] = case
    found["small card"] = {}
    for room, limit in ((8, None), (3, None), (0, None), (8, "7G"), (8, "1G")):
        with tempfile.TemporaryDirectory() as folder:
            case = small_card.foretold(Path(folder), room, limit)
            found["small card"][f"room for {room}, limit {limit}"] = case
    Path(path).write_text(json.dumps(found, indent=1), "utf-8")


if __name__ == "__main__":
    main(sys.argv[1])
