"""What `disbench bench train` and `bench cores` measure. All that is compared takes turns within one run."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from functools import lru_cache
from multiprocessing import get_context
from pathlib import Path

import torch
from torch import Tensor, nn

from disbench import models
from disbench.benchmark import datasets
from disbench.benchmark.training.gpu import Precision, Tuning
from disbench.benchmark.training.seeds import stream
from disbench.benchmark.training.strategies import Branches, Fused, Single
from disbench.benchmark.training.trainer import Order, Trainer, use_one_core
from disbench.models import layers
from disbench.models.method import Method

# of several seeds; on a CPU, which records no graph, the first alone
WAYS: Mapping[str, tuple[type[Trainer], Tuning]] = {
    "stacked": (Fused, Tuning()),
    "stacked, graph": (Fused, Tuning(graph=True)),
    "branches, graph": (Branches, Tuning(graph=True)),
}
OF_ONE: Mapping[str, tuple[type[Trainer], Tuning]] = {"disbench, graph": (Single, Tuning(graph=True))}
PLAIN_LOOP = "plain PyTorch"
ROUNDS = 7


class PlainLoop:
    """One seed as one would write it by hand: torch's own layers and optimisers, backward, step."""

    def __init__(self, method: Method, data: datasets.Dataset, device: torch.device) -> None:
        with_torchs_layers(method)
        self.method, self.data, self.device = method.to(device).train(), data, device
        self.order = Order(len(data), method.images_per_step, 0)
        self.generator = torch.Generator(device).manual_seed(0)
        self.optimizers = []
        kinds: Mapping[str, Callable[..., torch.optim.Optimizer]] = {
            "adam": torch.optim.Adam,
            "rmsprop": torch.optim.RMSprop,
            "adagrad": torch.optim.Adagrad,
        }
        for update in method.updates():
            parameters = [p for name in update.modules for p in getattr(method, name).parameters()]
            optimizer = kinds[update.optimizer.name](parameters, **update.optimizer.settings)
            self.optimizers.append((update, optimizer))
        self.step = 0

    def advance(self) -> None:
        images = self.data.images(self.order.rows(self.step)).to(self.device)
        noise = self.method.noise(len(images), self.generator)
        step = torch.tensor(float(self.step), device=self.device)
        for update, optimizer in self.optimizers:
            loss = update.at(self.step)
            for _ in range(update.times if loss else 0):
                terms: dict[str, Tensor] = getattr(self.method, str(loss))(images, noise, step)
                optimizer.zero_grad()
                torch.stack(list(terms.values())).sum().backward()  # type: ignore[no-untyped-call]
                optimizer.step()
        self.step += 1


def with_torchs_layers(module: nn.Module) -> None:
    """Take the layers of `layers.py` that are quicker than torch's, or stack over seeds, back to torch's."""
    for name, child in module.named_children():
        if isinstance(child, layers.Spectral):
            with_torchs_layers(child)
            setattr(module, name, nn.utils.parametrizations.spectral_norm(child.layer))
        elif isinstance(child, layers.Conv2d | layers.ConvTranspose2d):
            child.__class__ = type(child).__base__  # type: ignore[assignment]
        else:
            with_torchs_layers(child)


@dataclass
class Way:
    """One way to train `seeds` seeds, and the seconds that its steps took, turn by turn."""

    name: str
    seeds: int
    advance: Callable[[], object]
    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)

    def turn(self, seconds: float, device: torch.device) -> None:
        steps, wall, cpu = 0, time.perf_counter(), time.process_time()
        while steps == 0 or time.perf_counter() - wall < seconds:
            self.advance()
            steps += 1
        if device.type == "cuda":
            torch.cuda.synchronize()
        self.wall.append((time.perf_counter() - wall) / steps)
        self.cpu.append((time.process_time() - cpu) / steps)

    @property
    def seconds(self) -> float:
        """Wall time of a step."""
        return statistics.median(self.wall)

    @property
    def cpu_seconds(self) -> float:
        """CPU time of a step: what counts on a CPU, where other programs may take turns too."""
        return statistics.median(self.cpu)

    def cost(self, device: torch.device) -> float:
        """Seconds of the device that one step of one seed takes."""
        return (self.cpu_seconds if device.type == "cpu" else self.seconds) / self.seeds


def nothing() -> None:
    """The step of a way that has been freed."""


def warm_up(ways: Sequence[Way], device: torch.device) -> None:
    """Some steps of each: libraries choose their algorithms, graphs are recorded. Forgets earlier times."""
    for way in ways:
        way.turn(0.0, device)
        way.turn(0.0, device)
        way.wall.clear()
        way.cpu.clear()


def take_turns(ways: Sequence[Way], seconds: float, device: torch.device) -> None:
    """Times the ways in `ROUNDS` turns, `seconds` each in all."""
    for _ in range(ROUNDS):
        for way in ways:
            way.turn(seconds / ROUNDS, device)


@dataclass(frozen=True)
class Recipe:
    """A way that is built when its turn comes, so that only one takes memory beside the plain loop.

    Attributes:
        name: of the way.
        seeds: how many train together.
        build: makes what takes a step.
    """

    name: str
    seeds: int
    build: Callable[[], Callable[[], object]]


def recipes(
    name: str,
    config: models.Config,
    data: datasets.Dataset,
    counts: Sequence[int],
    device: torch.device,
    precision: Precision = "float32",
) -> list[Recipe]:
    """One seed by hand, one seed as `disbench run` trains it, and `counts` seeds together in each way."""
    info, on_gpu = data.info, device.type == "cuda"

    def build(count: int) -> list[Method]:
        return [models.build(name, config, info, stream(seed, "weights")) for seed in range(count)]

    def trained(strategy: type[Trainer], count: int, way: Tuning) -> Callable[[], Callable[[], object]]:
        tuning = Tuning(on_gpu, way.graph, precision)
        return lambda: strategy(build(count), data, range(count), device, tuning).advance

    together = [
        Recipe(label, count, trained(strategy, count, way))
        for count in counts
        for label, (strategy, way) in (WAYS if count > 1 else OF_ONE).items()
        if on_gpu or not way.graph
    ]
    plain = Recipe(PLAIN_LOOP, 1, lambda: PlainLoop(build(1)[0], data, device).advance)
    return [plain, Recipe("disbench", 1, trained(Single, 1, Tuning())), *together]


@dataclass(frozen=True)
class Measured:
    """One way beside the plain loop.

    Attributes:
        recipe: of the way.
        way: its times; None where there are none.
        plain: those of the plain loop, in the same minutes.
        why: why there are none.
    """

    recipe: Recipe
    way: Way | None
    plain: Way | None
    why: str = ""


def measure(recipes: Sequence[Recipe], until: float, device: torch.device) -> Iterator[Measured]:
    """Times each way in turns with the first, which is the plain loop, and frees it before the next.

    Args:
        recipes: of the ways, the plain loop first.
        until: when all must have been measured, on the clock of `time.perf_counter`; ways whose turn would
            come later are not measured.
        device: where they train.
    """
    first, *others = recipes
    plain: Way | None = None
    for i, recipe in enumerate([first, *others]):
        began = time.perf_counter()
        share = (until - began) / (len(recipes) - i)
        if share <= 0:
            yield Measured(recipe, None, None, "the time was up")
            continue
        try:
            way = Way(recipe.name, recipe.seeds, recipe.build())
            beside = [way] if plain is None else [plain, way]
            warm_up(beside, device)
            # what is built and warmed up is part of the share
            take_turns(beside, max(share - (time.perf_counter() - began), 0.0) / len(beside), device)
            plain = plain or way
            # only the times: whoever keeps them keeps no trainer
            yield Measured(recipe, replace(way, advance=nothing), replace(plain, advance=nothing))
        except torch.OutOfMemoryError:
            yield Measured(recipe, None, None, "more memory than the device has")
        finally:
            way = None  # type: ignore[assignment]
            beside = []
            gc.collect()
            if device.type == "cuda":
                torch.cuda.empty_cache()


def traffic(method: Method, data: datasets.Dataset) -> int:
    """Bytes that one step of one seed must move at least, if only what is kept between layers goes to memory.

    Counted is a step in which every update has come to its last loss, with each repetition. Per update: each
    learning weight is read forward, backward and by the optimiser, and written (4 passes); its gradient is
    written and read (2); each of the optimiser's two moments is read and written (4). All other weights are
    read forward and backward (2). The output of each layer is written, read by the next layer and again
    backward, and its gradient is written and read (5 passes). All in float32.
    """
    outputs = 0

    def count(_: nn.Module, __: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal outputs
        outputs += output.numel()

    hooks = [m.register_forward_hook(count) for m in method.modules() if not list(m.children())]
    generator = torch.Generator().manual_seed(0)
    images = data.images(list(range(method.images_per_step)))
    noise = method.noise(len(images), generator)
    numbers, everything = 0, layers.parameter_count(method)
    for update in method.updates():
        learning = sum(layers.parameter_count(getattr(method, module)) for module in update.modules)
        for _ in range(update.times):
            getattr(method, update.losses[-1])(images, noise, torch.tensor(0.0))
            numbers += 10 * learning + 2 * (everything - learning)
    for hook in hooks:
        hook.remove()
    return 4 * (numbers + 5 * outputs)


def bandwidth(device: torch.device) -> float:
    """Bytes a second of copying within the device's memory, read and written both counted."""
    source = torch.ones((1 << 28) if device.type == "cuda" else (1 << 26), device=device)
    target = torch.empty_like(source)
    way = Way("copy", 1, lambda: target.copy_(source))
    warm_up([way], device)
    take_turns([way], 1.0, device)
    return 2 * 4 * source.numel() / way.seconds


@lru_cache(maxsize=1)
def _single(name: str, config: str, size: int, data_dir: Path | None, threads: int) -> Single:
    use_one_core()
    torch.set_num_threads(threads)
    data = datasets.load("dsprites", size=size, data_dir=data_dir)
    settings = models.configure(name, config)
    trainer = Single([models.build(name, settings, data.info, 0)], data, [0], torch.device("cpu"))
    for _ in range(5):
        trainer.advance()
    return trainer


def _work(seconds: float, name: str, config: str, size: int, data_dir: Path | None, threads: int) -> float:
    """Steps per second of one seed, in a process of its own."""
    trainer, steps = _single(name, config, size, data_dir, threads), 0
    started = time.perf_counter()
    while time.perf_counter() - started < seconds:
        trainer.advance()
        steps += 1
    return steps / (time.perf_counter() - started)


def cores(
    name: str, config: str, size: int, seconds: float, count: int, data_dir: Path | None
) -> tuple[float, float]:
    """Steps per second of all seeds together: a process of one thread on each core, or one of all threads."""
    context = get_context("spawn")
    what = (name, config, size, data_dir)
    apart, together = [], []
    with ProcessPoolExecutor(count, context) as many, ProcessPoolExecutor(1, context) as one:
        for seconds_now in (0.0, *[seconds / ROUNDS] * ROUNDS):  # the first turn sets everything up
            parts = [many.submit(_work, seconds_now, *what, 1) for _ in range(count)]
            apart.append(sum(part.result() for part in parts))
            together.append(one.submit(_work, seconds_now, *what, count).result())
    return statistics.median(apart[1:]), statistics.median(together[1:])


def step_milliseconds(name: str, size: int, data_dir: Path | None) -> float:
    """One training step of beta-VAE's mini config on one thread, its batch included."""
    use_one_core()
    data = datasets.load(name, size=size, data_dir=data_dir)
    method = models.build("betavae", models.configure("betavae", "mini"), data.info, 0)
    cpu = torch.device("cpu")
    way = Way("disbench", 1, Single([method], data, [0], cpu).advance)
    take_turns([way], 2.0, cpu)
    return 1000 * way.seconds
