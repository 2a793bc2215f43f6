"""Protocols: what a leaderboard holds fixed so that it compares like with like, one TOML file each, and their
reader.

A protocol has a version, which a change that moves a number raises: `mini.toml` is the newest version of
`mini`, and `mini-v1.toml` keeps the first one as it was. On the command line and in Python, `mini` asks for
the newest version, `mini-v1` for the first. Records carry the version always, as in `mini-v2`; a record of a
bare `mini` is from before there were versions, and is not mixed with any other. `digests` tells whether what
a version decides has changed.

May import no other room.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Annotated

from pydantic import Field

from disbench import metrics
from disbench.errors import UsageError, unknown
from disbench.leaderboards.labels import OF_GENERATOR
from disbench.metrics.registry import Scalar, Setting
from disbench.strict import Folder, Strict

VERSIONED = re.compile(r"(.+)-v([1-9]\d*)")
# Pictures that a generator draws for a score, unless it says otherwise, the fewest of which one is known, and
# the most that fit into memory.
PICTURES, FEWEST_PICTURES, MOST_PICTURES = 10_000, 100, 1_000_000


class MetricChoice(Strict):
    """One column of a leaderboard.

    Attributes:
        name: of the metric.
        preset: its preset; None for the metric's default.
        settings: settings that differ from the preset's.
        pictures: how many pictures the generator draws for a score of its own, codes that are drawn against
            factors that are read; None for a score of the encoder.
    """

    name: str
    preset: str | None = None
    settings: dict[str, Setting | list[Scalar]] = Field(default_factory=dict)
    pictures: Annotated[int, Field(ge=FEWEST_PICTURES, le=MOST_PICTURES)] | None = None

    @property
    def shown(self) -> str:
        """As people write it: `dci:ibgan@generator`, or `dci` with the default preset."""
        default = metrics.get(self.name).default_preset
        name = self.name if self.preset in (None, default) else f"{self.name}:{self.preset}"
        return name + OF_GENERATOR if self.pictures else name

    def resolved(self) -> MetricChoice:
        """With the default preset filled in.

        Raises:
            UsageError: unknown metric, preset or setting, or a metric that a generator cannot have.
        """
        metric = metrics.get(self.name)
        preset = self.preset or metric.default_preset
        metric.settings(preset, **self.settings)
        pictures = self.pictures
        if metric.kind == "pictures":
            # it has no other side
            pictures = pictures or PICTURES
        elif pictures and metric.kind not in OF_BOTH:
            raise UsageError(
                f"{self.name}{OF_GENERATOR}: a generator's codes are drawn, so that only metrics of codes "
                "and factors say anything of them, such as mig, dci or factor_vae"
            )
        return MetricChoice(name=self.name, preset=preset, settings=self.settings, pictures=pictures)


# Kinds of metrics that an encoder and a generator can have.
OF_BOTH = ("table", "sampling")


def need_classifier(choices: Iterable[MetricChoice]) -> bool:
    """Whether one of these metrics counts generated images by the class that a classifier gives them."""
    return any(metrics.get(choice.name).kind == "clustering" for choice in choices)


# What can be said of a model from images alone. `udr` needs several models, which a run has when it ends.
LABEL_FREE = ("active_units", "gaussian_total_correlation", "reconstruction")


class Protocol(Strict):
    """A benchmark setting.

    Attributes:
        name: also the file's name.
        version: number of the version, from 1; a change that moves a number makes the next one.
        summary: one line for people.
        meaningful: False if the scores only prove that everything runs, which every table of them says.
        dataset: name of the data set.
        size: image size in pixels; None for the data set's default.
        config: name of the config that each method uses.
        every: changes to every method's config.
        methods: changes to the config of single methods, by name.
        metrics: the metrics that are scored.
        unlabelled: those that are scored on data for which none of `metrics` is defined, such as images
            without labels.
    """

    name: str
    version: Annotated[int, Field(ge=1)]
    summary: str
    meaningful: bool
    dataset: str
    size: int | None = None
    config: str
    every: dict[str, object] = Field(default_factory=dict)
    methods: dict[str, dict[str, object]] = Field(default_factory=dict)
    metrics: Annotated[tuple[MetricChoice, ...], Field(min_length=1)]
    unlabelled: tuple[MetricChoice, ...] = tuple(MetricChoice(name=name) for name in LABEL_FREE)

    @property
    def family(self) -> str:
        """The name without a version."""
        return split(self.name)[0]

    @property
    def id(self) -> str:
        """Name and version, as records have them: "mini-v2"."""
        return f"{self.family}-v{self.version}"

    def changes(self, method: str) -> Mapping[str, object]:
        """The protocol's changes to a method's config."""
        return {**self.every, **self.methods.get(method, {})}


FOLDER = Folder("protocol", Protocol, "disbench.benchmark", "protocols")


def split(name: str) -> tuple[str, int | None]:
    """A name without its version, and the version; None if the name has none."""
    found = VERSIONED.fullmatch(name)
    return (found[1], int(found[2])) if found else (name, None)


def names() -> list[str]:
    """The protocols, sorted: the newest version of each by its bare name, older ones with their version."""
    return FOLDER.names()


def ids() -> list[str]:
    """Name and version of each protocol, as records have them."""
    return sorted(_read(name).id for name in names())


def get(name: str) -> Protocol:
    """The protocol that someone asks for: "mini" is the newest version of it, "mini-v1" the first.

    Raises:
        UsageError: there is none; names the nearest.
    """
    family, version = split(name)
    if name in names() or version is None or family not in names():
        protocol = _read(name)
    else:
        protocol = _read(family)
        if protocol.version != version:
            known = [each for each in ids() if split(each)[0] == family]
            raise unknown("version of a protocol", name, known)
    resolved = {
        of: tuple(choice.resolved() for choice in getattr(protocol, of)) for of in ("metrics", "unlabelled")
    }
    return protocol.model_copy(update=resolved)


def find(recorded: str) -> Protocol | None:
    """The protocol that a record names; None if it is not here any more.

    Args:
        recorded: name and version; a bare name, of a record from before there were versions, is the first.
    """
    family, version = split(recorded)
    wanted = f"{family}-v{version or 1}"
    return get(wanted) if wanted in ids() else None


def of_record(recorded: str) -> Protocol:
    """The protocol that a record names, see `find`.

    Raises:
        UsageError: it is not here any more.
    """
    protocol = find(recorded)
    if protocol is None:
        raise unknown("protocol", recorded, ids())
    return protocol


def _read(name: str) -> Protocol:
    """A file as it is.

    Raises:
        UsageError: there is none, or its name has another version than it says.
    """
    protocol = FOLDER.read(name)
    if split(name)[1] not in (None, protocol.version):
        raise UsageError(f"protocol {name!r} has version {protocol.version}; its file is of another one.")
    return protocol


def choose_metrics(text: str) -> tuple[MetricChoice, ...]:
    """Metrics from `factor_vae,mig` or, with presets and sides, `factor_vae:ibgan,mig@generator`, each once.

    Raises:
        UsageError: no name, an unknown metric, preset or side, or a colon without a preset.
    """
    chosen = [_choice(part.strip()) for part in text.split(",") if part.strip()]
    if not chosen:
        raise UsageError(f"no metric in {text!r}; give names separated by commas, such as factor_vae,mig.")
    return tuple(choice for place, choice in enumerate(chosen) if choice not in chosen[:place])


def choose_metric(text: str) -> MetricChoice:
    """Likewise the one metric of a text.

    Raises:
        UsageError: also if it names several.
    """
    chosen = choose_metrics(text)
    if len(chosen) > 1:
        raise UsageError(f"{text!r} names {len(chosen)} metrics; give one.")
    return chosen[0]


def _choice(text: str) -> MetricChoice:
    head, at, side = text.partition("@")
    if at and at + side != OF_GENERATOR:
        raise unknown("side of a metric", at + side, [OF_GENERATOR])
    name, colon, preset = head.partition(":")
    if colon and not preset:
        raise UsageError(f"{text!r} names no preset after its colon; give one, or omit the colon.")
    return MetricChoice(name=name, preset=preset or None, pictures=PICTURES if at else None).resolved()
