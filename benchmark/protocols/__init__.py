"""Protocols: what a leaderboard holds fixed so that it compares like with like, one TOML file each, and their
reader.

May import no other room.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated

from pydantic import Field

from disbench import metrics
from disbench.errors import UsageError
from disbench.metrics.registry import Scalar, Setting
from disbench.strict import Folder, Strict


class MetricChoice(Strict):
    """One column of a leaderboard.

    Attributes:
        name: of the metric.
        preset: its preset; None for the metric's default.
        settings: settings that differ from the preset's.
    """

    name: str
    preset: str | None = None
    settings: dict[str, Setting | list[Scalar]] = Field(default_factory=dict)

    @property
    def shown(self) -> str:
        """As people write it: `dci:ibgan`, or `dci` with the default preset."""
        default = metrics.get(self.name).default_preset
        return self.name if self.preset in (None, default) else f"{self.name}:{self.preset}"

    def resolved(self) -> MetricChoice:
        """With the default preset filled in.

        Raises:
            UsageError: unknown metric, preset or setting.
        """
        metric = metrics.get(self.name)
        preset = self.preset or metric.default_preset
        metric.settings(preset, **self.settings)
        return MetricChoice(name=self.name, preset=preset, settings=self.settings)


def need_classifier(choices: Iterable[MetricChoice]) -> bool:
    """Whether one of these metrics counts generated images by the class that a classifier gives them."""
    return any(metrics.get(choice.name).kind == "clustering" for choice in choices)


# What can be said of a model from images alone. `udr` needs several models, which a run has when it ends.
LABEL_FREE = ("active_units", "gaussian_total_correlation", "reconstruction")


class Protocol(Strict):
    """A benchmark setting.

    Attributes:
        name: also the file's name.
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
    summary: str
    meaningful: bool
    dataset: str
    size: int | None = None
    config: str
    every: dict[str, object] = Field(default_factory=dict)
    methods: dict[str, dict[str, object]] = Field(default_factory=dict)
    metrics: Annotated[tuple[MetricChoice, ...], Field(min_length=1)]
    unlabelled: tuple[MetricChoice, ...] = tuple(MetricChoice(name=name) for name in LABEL_FREE)

    def changes(self, method: str) -> Mapping[str, object]:
        """The protocol's changes to a method's config."""
        return {**self.every, **self.methods.get(method, {})}


FOLDER = Folder("protocol", Protocol, "disbench.benchmark", "protocols")


def names() -> list[str]:
    """The protocols, sorted."""
    return FOLDER.names()


def get(name: str) -> Protocol:
    """The protocol of that name.

    Raises:
        UsageError: there is none; names the nearest.
    """
    protocol = FOLDER.read(name)
    resolved = {
        of: tuple(choice.resolved() for choice in getattr(protocol, of)) for of in ("metrics", "unlabelled")
    }
    return protocol.model_copy(update=resolved)


def choose_metrics(text: str) -> tuple[MetricChoice, ...]:
    """Metrics from `factor_vae,mig` or, with presets, `factor_vae:ibgan,mig`.

    Raises:
        UsageError: no name, or an unknown metric or preset.
    """
    chosen = [part.strip().partition(":") for part in text.split(",") if part.strip()]
    if not chosen:
        raise UsageError(f"no metric in {text!r}; give names separated by commas, such as factor_vae,mig.")
    return tuple(MetricChoice(name=name, preset=preset or None).resolved() for name, _, preset in chosen)
