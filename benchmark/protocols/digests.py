"""Digests: whether two numbers were decided by the same things.

A digest is of facts, not of code: what a protocol, a config and a preset say, the layers and shapes of the
nets, the content of the data, and the versions that methods and metrics state for what no setting says. Equal
facts give equal digests on every machine.

    of_protocol   of each method under a protocol, and of what all share; a test holds them per version
    of_training   of what decides a trained model, but for its seed; stored with each seed
    of_score      of that and of the metric; stored with each score
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

from disbench import metrics
from disbench.benchmark.protocols import MetricChoice, Protocol
from disbench.errors import UsageError
from disbench.files import plain

if TYPE_CHECKING:
    from torch import nn

    from disbench.models.method import Config, DataInfo

LENGTH = 16  # hexadecimal digits
# What layers say of themselves beside the shapes of their weights, where they have it.
FACTS = ("kernel_size", "stride", "padding", "output_padding", "dilation", "groups", "negative_slope", "eps")
# The data that nets are built for where no data set is at hand.
CHANNELS, SIDE, IMAGES, CLASSES = 3, 64, 737_280, 10


def digest(facts: object) -> str:
    """Of any facts that JSON can hold."""
    text = json.dumps(plain(facts), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:LENGTH]


def nets(method: nn.Module) -> list[list[object]]:
    """The layers of a method in their order: name, class, what they say of themselves, and every shape."""
    layers: list[list[object]] = []
    for name, layer in method.named_modules():
        said = {fact: str(getattr(layer, fact)) for fact in FACTS if hasattr(layer, fact)}
        held = {**dict(layer.named_parameters(recurse=False)), **dict(layer.named_buffers(recurse=False))}
        layers.append([name, type(layer).__name__, said, {k: list(v.shape) for k, v in sorted(held.items())}])
    return layers


def of_training(method: str, config: Config, info: DataInfo, sha256: str, plugin: str = "") -> str:
    """Of what decides a trained model beside its seed: data, nets, settings, code of a plug-in.

    Args:
        method: name of the method.
        config: its settings, the number of steps among them.
        info: shape and number of the images.
        sha256: of the content of the data set.
        plugin: where the method comes from, with a SHA-256; "" for a built-in one.

    Raises:
        UsageError: the settings do not fit the data.
    """
    # here, so that reading scores loads no torch
    from disbench import models

    built = models.build(method, config, info, seed=0)
    facts = {"shape": info.shape, "n": info.n, "sha256": sha256, "plugin": plugin, "nets": nets(built)}
    return digest({"method": method, "version": type(built).VERSION, "config": config.written(), **facts})


def of_score(
    protocol: str, training: str, metric: str, version: int | None, settings: object, judge: object = None
) -> str:
    """Of everything that decides a score but the seed; "" where what decided the model was not recorded.

    Args:
        protocol: name and version.
        training: the digest of the training, or "".
        metric: name of the metric.
        version: its version.
        settings: every setting that it used.
        judge: further facts, such as the classifier of generated images and the code of a plug-in.
    """
    if not training:
        return ""
    facts = {"metric": metric, "version": version, "settings": settings, "judge": judge}
    return digest({"protocol": protocol, "training": training, **facts})


def of_metric(choice: MetricChoice) -> dict[str, object]:
    """What a protocol decides by one of its metrics."""
    metric = metrics.get(choice.name)
    drawn = {"pictures": choice.pictures} if choice.pictures else {}
    return {
        "name": choice.name,
        "version": metric.version,
        "settings": metric.settings(choice.preset, **choice.settings),
        **drawn,
    }


def of_all_methods(protocol: Protocol) -> str:
    """What a version of a protocol decides for all methods: data set, image size, metrics with settings."""
    words = protocol.model_dump(exclude={"name", "summary", "meaningful", "metrics", "unlabelled"})
    judged = {of: [of_metric(choice) for choice in getattr(protocol, of)] for of in ("metrics", "unlabelled")}
    return digest({**words, "family": protocol.family, **judged})


def of_protocol(protocol: Protocol) -> dict[str, str]:
    """What a version of a protocol decides, of built-in methods.

    Returns:
        By the name of each method, the digest of its settings and nets; under "", that of all methods.
    """
    # here, as above
    from disbench import models
    from disbench.models.method import DataInfo
    from disbench.models.registry import built_in

    size = protocol.size or SIDE
    info = DataInfo((CHANNELS, size, size), IMAGES, (1 / CLASSES,) * CLASSES)
    found = {"": of_all_methods(protocol)}
    # a config of one experiment is of the methods of its paper alone
    having = [name for name in built_in() if protocol.config in models.get(name).CONFIGS]
    for name in having:
        config = models.configure(name, protocol.config, protocol.changes(name))
        try:
            built = nets(models.build(name, config, info, seed=0))
        except UsageError:
            # its nets are not for images of this size, so that the settings are all there is
            built = []
        facts = {"version": models.get(name).VERSION, "config": config.written(), "nets": built}
        found[name] = digest({"method": name, **facts})
    return found
