"""The frozen classifier that names the class of a generated image, as in the evaluation of Elastic-InfoGAN.

LeNet-like: conv 5x5, 20 - max pool - conv 5x5, 50 - max pool - FC 500 - FC classes, ReLU between; SGD 0.01
with momentum 0.5, batches of 64. Images in [0, 1] are scaled to [-1, 1] inside, so training, testing and
generated images cannot be scaled differently.

Trained once per data set by `disbench data classifier NAME` on its training split (without one, on all but
every seventh image of each class), measured on the rest, and saved with the measured accuracy and a hash of
its weights.
"""

import hashlib
import math
import os
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from disbench.benchmark.datasets import cache, derived, loading, manifest
from disbench.benchmark.datasets.dataset import Dataset
from disbench.benchmark.datasets.naming import is_own, split_name
from disbench.benchmark.protocols import MetricChoice, need_classifier
from disbench.errors import UsageError, argument
from disbench.metrics.arrays import Ints
from disbench.models.checkpoint import load_tensors
from disbench.texts import short

FORMAT = "disbench classifier 1"


class LeNet(nn.Module):
    """Logits (b, classes) of images (b, c, size, size) in [0, 1].

    Args:
        channels: 1 or 3.
        size: of the images, in pixels.
        classes: number of classes.

    Raises:
        UsageError: images below 16x16.
    """

    def __init__(self, channels: int, size: int, classes: int) -> None:
        super().__init__()
        side = ((size - 4) // 2 - 4) // 2
        if side < 1:
            raise UsageError(f"images of {size}x{size} are too small for the classifier; give 16x16 or more")
        self.conv1 = nn.Conv2d(channels, 20, 5)
        self.conv2 = nn.Conv2d(20, 50, 5)
        self.fc1 = nn.Linear(50 * side * side, 500)
        self.fc2 = nn.Linear(500, classes)

    def features(self, images: Tensor) -> Tensor:
        """What the last layer reads, (b, 500)."""
        h = F.max_pool2d(F.relu(self.conv1(2 * images - 1)), 2)
        h = F.max_pool2d(F.relu(self.conv2(h)), 2)
        return F.relu(self.fc1(h.flatten(1)))

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.fc2(self.features(images))
        return logits

    def initialise(self, generator: torch.Generator) -> None:
        """Uniform in +-1/sqrt(fan in), weights and biases, from this generator alone."""
        for layer in (self.conv1, self.conv2, self.fc1, self.fc2):
            bound = 1 / math.sqrt(layer.weight[0].numel())
            for parameter in (layer.weight, layer.bias):
                # all four layers have a bias
                assert parameter is not None
                nn.init.uniform_(parameter, -bound, bound, generator=generator)


@dataclass(frozen=True)
class Classifier:
    """A trained network.

    Attributes:
        net: the network, in evaluation mode.
        data: name of the data set whose classes it tells apart.
        classes: their names.
        accuracy: share of unseen images whose class it names.
        sha256: of its weights.
    """

    net: LeNet = field(repr=False)
    data: str
    classes: tuple[str, ...]
    accuracy: float
    sha256: str

    @torch.no_grad()
    def __call__(self, images: Tensor) -> Tensor:
        """Classes (b,) of images (b, c, h, w) in [0, 1]; the lowest number where two are equally likely."""
        logits: Tensor = self.net(images)
        return logits.argmax(1)


def load_classifier(
    name: str, *, size: int | None = None, data_dir: str | os.PathLike[str] | None = None
) -> Classifier:
    """The classifier saved for a data set; an imbalanced one has the classifier of the whole set.

    Args:
        name: of the data set.
        size: of its images, in pixels; None for the default.
        data_dir: folder of the data sets.

    Raises:
        UsageError: it was not trained yet, or its file is damaged or of other images.
    """
    train, _ = parts(name, size, data_dir)
    path = _path(train, name, data_dir)
    size = train.shape[1]
    again = cache.placed(
        f"`disbench data classifier {shlex.quote(whole(name))} --size {size}`", cache.folder(data_dir)
    )
    if not path.exists():
        raise UsageError(f"data set {name!r} has no trained classifier of size {size}; run {again}")
    try:
        saved = load_tensors(path)
        net = LeNet(train.shape[0], size, len(saved["classes"]))
        net.load_state_dict(saved["weights"], strict=True)
        known = saved["format"], saved["sha256"], saved["data_sha256"]
    except Exception as error:
        # a damaged file provokes whatever it likes
        raise UsageError(
            f"the classifier {path} cannot be read ({short(error)}); delete it and run {again}"
        ) from error
    if known != (FORMAT, _hash(net), train.sha256):
        raise UsageError(
            f"the classifier {path} is of other images, or its weights do not have the hash they were saved "
            f"with; delete it and run {again}"
        )
    return Classifier(net.eval(), saved["data"], tuple(saved["classes"]), saved["accuracy"], saved["sha256"])


def check_classifier(data: Dataset, choices: Sequence[MetricChoice], data_dir: Path | None) -> None:
    """Before any training: raises UsageError if a metric will need a classifier that is not there."""
    if data.labels is not None and need_classifier(choices):
        load_classifier(data.name, size=data.shape[1], data_dir=data_dir)


def place(name: str, *, size: int | None = None, data_dir: str | os.PathLike[str] | None = None) -> Path:
    """Where the classifier of a data set is saved, or would be."""
    train, _ = parts(name, size, data_dir)
    return _path(train, name, data_dir)


def train_classifier(
    name: str,
    *,
    size: int | None = None,
    epochs: int | None = None,
    seed: int = 0,
    data_dir: str | os.PathLike[str] | None = None,
    say: Callable[[str], None] = print,
) -> Classifier:
    """Trains, measures and saves the classifier of a data set.

    Args:
        name: of the data set.
        size: of its images, in pixels; None for the default.
        epochs: passes over the training images; None for as many as the manifest says.
        seed: of the weights and of the order of the images.
        data_dir: folder of the data sets.
        say: is called with a sentence after each epoch.

    Raises:
        UsageError: no labels, or an accuracy below what the manifest asks for; then nothing is saved.
    """
    train, test = parts(name, size, data_dir)
    facts = _facts(name)
    classes = train.classes or tuple(map(str, range(len(train.class_prior))))
    net = LeNet(train.shape[0], train.side("a classifier"), len(classes))
    net.initialise(torch.Generator().manual_seed(seed))
    accuracy = 0.0
    rng = np.random.default_rng(seed)
    optimiser = sgd(net)
    for epoch in range(epochs or facts.epochs):
        train_epoch(net, optimiser, train, rng)
        accuracy = measure(net, test)
        say(f"epoch {epoch + 1}: {100 * accuracy:.2f} % of {len(test):,} unseen images right")
    if facts.accuracy is not None and accuracy < facts.accuracy:
        raise UsageError(
            f"the classifier of {name!r} reached {accuracy:.4f} on unseen images, below {facts.accuracy}, "
            f"so it was not saved; train longer with {argument('epochs')}"
        )
    classifier = Classifier(net.eval(), whole(name), classes, accuracy, _hash(net))
    with cache.replacing(_path(train, name, data_dir)) as temporary:
        torch.save(
            {
                "format": FORMAT,
                "data": classifier.data,
                "data_sha256": train.sha256,
                "classes": list(classes),
                "accuracy": accuracy,
                "sha256": classifier.sha256,
                "weights": net.state_dict(),
            },
            temporary,
        )
    return classifier


def sgd(net: LeNet) -> torch.optim.SGD:
    """The optimiser of the evaluation of Elastic-InfoGAN."""
    return torch.optim.SGD(net.parameters(), lr=0.01, momentum=0.5)


def train_epoch(
    net: LeNet, optimiser: torch.optim.Optimizer, train: Dataset, rng: np.random.Generator
) -> None:
    """One pass over the images in a random order, in batches of 64."""
    for rows in _batches(rng.permutation(len(train)), 64):
        optimiser.zero_grad()
        loss = F.cross_entropy(net(train.images(rows)), _targets(train, rows))
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()


@torch.no_grad()
def measure(net: LeNet, dataset: Dataset) -> float:
    """Share of the images whose class the network names."""
    right = sum(
        int((net(dataset.images(rows)).argmax(1) == _targets(dataset, rows)).sum())
        for rows in _batches(np.arange(len(dataset)), 500)
    )
    return right / len(dataset)


def parts(name: str, size: int | None, data_dir: str | os.PathLike[str] | None) -> tuple[Dataset, Dataset]:
    """Training and test images of a labelled set, without the options that only choose rows."""
    base, options = split_name(name)
    chosen = [option for option in options if option.startswith("classes-")]
    facts = None if is_own(base) else manifest.read(base)
    if facts is not None and {"train", "test"} <= set(facts.splits):
        train, test = (
            loading.load(":".join([base, split, *chosen]), size=size, data_dir=data_dir)
            for split in ("train", "test")
        )
        return train, test
    dataset = loading.load(whole(name), size=size, data_dir=data_dir)
    if dataset.labels is None:
        raise UsageError(
            f"data set {name!r} has no labels, so there is nothing to classify; choose one that has"
        )
    held_out = np.zeros(len(dataset), bool)
    for k in np.unique(dataset.labels):
        held_out[np.flatnonzero(dataset.labels == k)[::7]] = True
    return (
        derived.select(dataset, "training", np.flatnonzero(~held_out)),
        derived.select(dataset, "held-out", np.flatnonzero(held_out)),
    )


def whole(name: str) -> str:
    """The data set whose classes a classifier tells apart: without the options that do not change classes."""
    base, options = split_name(name)
    return ":".join([base, *(option for option in options if option.startswith("classes-"))])


def _facts(name: str) -> manifest.ClassifierFacts:
    base, _ = split_name(name)
    facts = None if is_own(base) else manifest.read(base).classifier
    return facts or manifest.ClassifierFacts()


def _path(train: Dataset, name: str, data_dir: str | os.PathLike[str] | None) -> Path:
    base, _ = split_name(name)
    stem = f"{Path(base).stem}-{train.shape[1]}-{train.sha256[:16]}.pt"
    return cache.folder(data_dir) / "classifiers" / stem


def _targets(dataset: Dataset, rows: Ints) -> Tensor:
    # `parts` returns labelled sets only
    assert dataset.labels is not None
    return torch.from_numpy(dataset.labels[rows].astype(np.int64))


def _batches(rows: Ints, size: int) -> list[Ints]:
    return [rows[start : start + size] for start in range(0, len(rows), size)]


def _hash(net: LeNet) -> str:
    digest = hashlib.sha256()
    for name, tensor in sorted(net.state_dict().items()):
        digest.update(name.encode() + tensor.detach().contiguous().numpy().tobytes())
    return digest.hexdigest()
