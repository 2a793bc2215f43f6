"""The training loop: what a step reads, when it is logged and saved, and when it stops.

Everything random depends on (seed, step) alone: noise comes from a generator seeded for that step, the order
of the data from one seeded for that epoch. So nothing but weights and optimisers needs saving, and a run that
was stopped and continued is, on one CPU, the uninterrupted one bit for bit.
"""

from __future__ import annotations

import contextlib
import ctypes
import random
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import FrameType
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from disbench.benchmark.datasets import Dataset
from disbench.benchmark.training.gpu import PLAIN, Arguments, Losses, Recording, Resident, Tuning, resident
from disbench.benchmark.training.seeds import StoppedError, stream
from disbench.errors import UsageError
from disbench.metrics.arrays import Ints
from disbench.models.method import Method, Noise

LOGGED_STEPS = 200  # lines that a whole run leaves in its journal
MOST_UNSEEN = 256  # held-out images that a monitor looks at

OptimizerState = Mapping[str, Any]  # as of `torch.optim.Optimizer.state_dict`
Monitored = dict[str, float | list[float]]  # one number, or one per latent
Line = dict[str, int | Monitored]  # of a journal: step, terms, monitor


class DivergedError(RuntimeError):
    """A term of a loss is not finite; training cannot go on."""

    def __init__(self, step: int, term: str) -> None:
        super().__init__(f"{term} is not finite at step {step}")
        self.step, self.term = step, term


@dataclass
class State:
    """What a run needs to go on.

    Attributes:
        step: steps taken.
        weights: the method's `state_dict()`, buffers included.
        optimizers: the state of each update's optimiser.
    """

    step: int
    weights: Mapping[str, Tensor]
    optimizers: Sequence[OptimizerState]


def log_every(steps: int) -> int:
    """Steps between two lines of the journal of a training of so many steps; the last step has one too."""
    return max(1, steps // LOGGED_STEPS)


def use_one_core() -> None:
    """Make this process train on one core, and keep the memory that a step frees for the next step.

    A step's tensors are large enough for glibc to hand them back to the system each time, which costs a
    beta-VAE of 32x32 images a seventh of its time; up to 256 MB stay here instead.
    """
    torch.set_num_threads(1)
    libc = ctypes.CDLL(None)
    # glibc; the names are those of its malloc.h
    if hasattr(libc, "mallopt"):
        m_trim_threshold, m_mmap_threshold = -1, -3
        libc.mallopt(m_mmap_threshold, 32 << 20)
        libc.mallopt(m_trim_threshold, 256 << 20)


class Order:
    """Which images each step reads: a fresh shuffle each epoch, without the incomplete last batch.

    The shuffle of the epoch at hand is kept, so that seeds which train together draw one each per epoch.

    Args:
        n: number of images.
        batch: images a step.
        seed: of the shuffles.
        held_out: rows that no step reads.
    """

    def __init__(self, n: int, batch: int, seed: int, held_out: Ints | None = None) -> None:
        self.among = None if held_out is None else np.setdiff1d(np.arange(n), held_out)
        self.n, self.batch, self.seed = n if self.among is None else len(self.among), batch, seed
        self._epoch, self._shuffled = -1, np.empty(0, np.int32)

    def rows(self, step: int) -> Ints:
        """Rows of the images of a step, (batch,)."""
        rows = self._positions(step)
        return rows if self.among is None else self.among[rows]

    def _positions(self, step: int) -> Ints:
        per_epoch = max(self.n // self.batch, 1)
        epoch, at = divmod(step, per_epoch)
        # a set smaller than a batch is drawn from with replacement
        if self.n < self.batch:
            return np.random.default_rng([self.seed, epoch]).integers(self.n, size=self.batch)
        if epoch != self._epoch:
            # half the memory of int64: 94 MB for 32 seeds on dSprites
            self._epoch, self._shuffled = epoch, shuffle(self.n, self.seed, epoch).astype(np.int32)
        return self._shuffled[at * self.batch : (at + 1) * self.batch].astype(np.int64)


def held_out_rows(n: int, count: int, seed: int) -> Ints:
    """Rows of `count` of `n` images, which a seed keeps from its training, (count,)."""
    return np.random.default_rng(stream(seed, "held out")).permutation(n)[:count]


def shuffle(n: int, seed: int, epoch: int) -> Ints:
    return np.random.default_rng([seed, epoch]).permutation(n)


def _numbers_of_process() -> list[object]:
    """The states of the random numbers of torch and numpy that belong to the process and to no seed."""
    # looked at, and not drawn from
    ours = np.random.get_state(legacy=False)  # noqa: NPY002
    of_numpy = [ours["state"]["key"].tobytes(), ours["state"]["pos"], ours["has_gauss"]]
    return [torch.get_rng_state().numpy().tobytes(), of_numpy]


@contextlib.contextmanager
def _calls_of_random() -> Iterator[list[object]]:
    """What this thread calls within the block of the random numbers of Python that belong to the process.

    Their state says less: other threads draw them beside the training, such as those of a Dask worker. Where
    a profiler watches this thread, nothing is seen.
    """
    called: list[object] = []
    shared: object = getattr(random.random, "__self__", None)
    # every second normal number was drawn with the one before it, and comes without a call of C
    gauss = random.Random.gauss.__code__

    def look(frame: FrameType, event: str, function: object) -> None:
        drawn = event == "c_call" and getattr(function, "__self__", None) is shared
        kept = event == "call" and frame.f_code is gauss and frame.f_locals["self"] is shared
        if drawn or kept:
            called.append(function)

    if sys.getprofile() is not None:
        yield called
        return
    sys.setprofile(look)
    try:
        yield called
    finally:
        sys.setprofile(None)


@contextlib.contextmanager
def drawing_nothing(name: str) -> Iterator[None]:
    """Refuses a step that draws random numbers of the process: equal seeds would train different models.

    Raises:
        UsageError: the method of this name drew some.
    """
    before = _numbers_of_process()
    with _calls_of_random() as called:
        yield
    if called or _numbers_of_process() != before:
        raise UsageError(
            f"{name} draws random numbers of the process in its step (torch.rand, numpy.random, random, "
            "dropout), so that equal seeds would train different models; draw them in `noise`, with its "
            "generator."
        )


class Trainer:
    """A method with one or more seeds that take their steps together; see `strategies`.

    Args:
        methods: one per seed, freshly built (the initial weights are the caller's), all of one config.
        data: where the images come from.
        seeds: each determines its own noise and order of the data.
        device: a CPU or a GPU.
        tuning: how the steps are computed.
    """

    TOGETHER: ClassVar[str] = "alone"  # how its seeds are, in words

    def __init__(
        self,
        methods: Sequence[Method],
        data: Dataset,
        seeds: Sequence[int],
        device: torch.device,
        tuning: Tuning = PLAIN,
    ) -> None:
        tuning.apply(device)
        self.seeds, self.device, self.tuning = tuple(seeds), device, tuning
        self.data = data
        self.source = resident(data, device) if tuning.resident or tuning.graph else data
        self.generators = [torch.Generator(device) for _ in seeds]
        self.recording: Recording | None = None
        self.recorded: tuple[str | None, ...] = ()
        self.schedule = methods[0].updates()
        self.batch = methods[0].images_per_step
        self.draw = methods[0].noise
        self.name = type(methods[0]).__name__
        # whether a step was taken by this trainer
        self.taken = False
        held_out, n = methods[0].held_out, len(data)
        kept = [held_out_rows(n, held_out, seed) for seed in seeds] if held_out else [None] * len(seeds)
        self.orders = [
            Order(n, self.batch, stream(seed, "order"), rows) for seed, rows in zip(seeds, kept, strict=True)
        ]
        # (seeds, images, c, h, w)
        self.unseen: Tensor | None = None
        if held_out:
            rows = np.concatenate([own[:MOST_UNSEEN] for own in kept if own is not None])
            self.unseen = self.source.images(rows).to(device).reshape(len(seeds), -1, *data.shape)
        self.step = 0
        self.set_up(methods)

    def set_up(self, methods: Sequence[Method]) -> None:
        """Takes the methods and makes their optimisers."""
        raise NotImplementedError

    def begin(self, step: int) -> Ints:
        """Starts each seed's noise of that step; gives the rows of its images, (seeds * batch,)."""
        for seed, generator in zip(self.seeds, self.generators, strict=True):
            generator.manual_seed(stream(seed, f"noise/{step}"))
        return np.concatenate([order.rows(step) for order in self.orders])

    def noise(self) -> list[Noise]:
        """Each seed's noise of the step that was begun."""
        return [self.draw(self.batch, generator) for generator in self.generators]

    def arguments(self, step: int) -> Arguments:
        """What `compute` takes at that step."""
        images = self.source.images(self.begin(step)).to(self.device)
        at = torch.full((), float(step), dtype=torch.get_default_dtype(), device=self.device)
        return self.arrange(images, self.noise(), at)

    def arrange(self, images: Tensor, noise: list[Noise], step: Tensor) -> Arguments:
        """What `compute` takes: images (seeds * batch, c, h, w), each seed's noise, and the step's number."""
        raise NotImplementedError

    def compute(self, images: Tensor, noise: Noise, step: Tensor) -> Losses:
        """Takes one step, the updates of `self.step`; see `Losses`."""
        raise NotImplementedError

    def tensors(self) -> list[Tensor]:
        """All that `compute` changes in place."""
        raise NotImplementedError

    def advance(self) -> Losses:
        """Takes the coming step, recorded as a graph if that was asked for."""
        # a loss that begins later may draw as well; those of a GPU are not looked at
        first = not self.taken or any(self.step in update.starts for update in self.schedule)
        looked_at = first and self.device.type == "cpu"
        with drawing_nothing(self.name) if looked_at else contextlib.nullcontext():
            losses = self.replayed() if self.tuning.graph else self.compute(*self.arguments(self.step))
        self.step, self.taken = self.step + 1, True
        return losses

    def replayed(self) -> Losses:
        """The coming step as a recording."""
        source = self.source
        assert isinstance(source, Resident)
        losses_of_step = tuple(update.at(self.step) for update in self.schedule)
        # a recording holds for as long as the same losses are learned from
        if self.recording is None or self.recorded != losses_of_step:

            def take(rows: Tensor, step: Tensor) -> Losses:
                return self.compute(*self.arrange(source.look_up(rows), self.noise(), step))

            rows = source.upload(self.begin(self.step))
            self.recording = Recording(take, rows, self.tensors, self.generators)
            self.recorded = losses_of_step
        return self.recording(source.upload(self.begin(self.step)), self.step)

    def monitor(self) -> list[Monitored]:
        """Each seed's monitored quantities at the coming step; leaves no trace in batch norm or the like."""
        raise NotImplementedError

    def states(self) -> list[State]:
        """What each seed needs to go on, in any strategy: copies in the memory of the host."""
        raise NotImplementedError

    def state(self, i: int) -> State:
        """That of the i-th seed."""
        return self.states()[i]

    def restore(self, states: Sequence[State]) -> None:
        """Go on from one state per seed, all at the same step."""
        raise NotImplementedError

    def run(
        self,
        steps: int,
        *,
        log: Callable[[int, Line], None],
        progress: Callable[[int], None],
        due: Callable[[], bool],
        save: Callable[[dict[int, State]], None],
        stop: Callable[[], bool],
    ) -> dict[int, DivergedError]:
        """Train up to `steps`.

        Args:
            log: gets (seed's position, line) per logged step.
            progress: gets the number of steps taken, after each.
            due: whether it is time to save; asked after each step.
            save: gets the state of each seed by its position, when it is due and when stopped.
            stop: asked after each step.

        Returns:
            Position of each seed that diverged, with the reason; nothing is logged or saved for it from there
            on.

        Raises:
            StoppedError: `stop` said so; the states were saved.
        """
        every = log_every(steps)
        failed: dict[int, DivergedError] = {}
        unchecked: list[tuple[int, Tensor]] = []
        going = list(range(len(self.seeds)))

        def check() -> None:
            if not unchecked:
                return
            # (looks, terms, seeds)
            finite = torch.isfinite(torch.stack([values for _, values in unchecked])).cpu()
            if not finite.all():
                for look, term, i in (~finite).nonzero().tolist():
                    failed.setdefault(i, DivergedError(unchecked[look][0], names[term]))
                going[:] = [i for i in going if i not in failed]
            unchecked.clear()

        names: list[str] = []
        while self.step < steps and going:
            coming, values = self.advance()
            # an update that begins brings terms of its own
            if coming != names:
                check()
                names = coming
            unchecked.append((self.step, values))
            logged = self.step % every == 0 or self.step == steps
            asked = stop()
            saving = asked or due()
            # on a GPU, a look costs a wait
            if logged or saving or self.device.type == "cpu" or len(unchecked) >= 100:
                check()
            if logged:
                monitored = self.monitor()
                for i in going:
                    terms = dict(zip(names, values[:, i].tolist(), strict=True))
                    log(i, {"step": self.step, "terms": terms, "monitor": monitored[i]})
            progress(self.step)
            if saving:
                states = self.states()
                save({i: states[i] for i in going})
            if asked and self.step < steps and going:
                raise StoppedError
        states = self.states() if going else []
        for i in going:
            for name, tensor in states[i].weights.items():
                if not torch.isfinite(tensor).all():
                    failed.setdefault(i, DivergedError(self.step, f"weight {name}"))
        return failed
