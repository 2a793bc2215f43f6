"""Names for people, from `titles.toml`: "IB-GAN" for ibgan, "FactorVAE metric" for factor_vae.

Figures and tables for a paper use them. A name without a line there, such as that of a plug-in, stays what
it is, so that a new method or metric needs none. One that is another's title says that it is not that.
"""

from __future__ import annotations

import functools
import tomllib
from collections.abc import Mapping
from importlib import resources
from typing import Any

import pandas as pd

from disbench.leaderboards import labels


@functools.cache
def known() -> Mapping[str, Mapping[str, Any]]:
    """All titles: methods, variants, metrics, presets, and quantities with their units."""
    home = resources.files("disbench.leaderboards").joinpath("titles.toml")
    return tomllib.loads(home.read_text("utf-8"))


def _named(kind: str, name: str) -> str:
    """The title of a method or a metric; of a stranger that is called as one of ours, "GAN (plug-in)"."""
    ours = known()[kind]
    if name in ours:
        return str(ours[name])
    return f"{name} (plug-in)" if name in ours.values() else name


def training(method: str, variant: str) -> str:
    """A method with its variant: "IB-GAN", "Uniform InfoGAN", "beta-VAE, beta4"."""
    title = _named("methods", method)
    if not variant:
        return title
    return str(known()["variants"].get(labels.label(method, variant), f"{title}, {variant}"))


def metric(name: str) -> str:
    """A metric: "MIG"."""
    return _named("metrics", name)


def preset(name: str) -> str:
    """A preset; one with changed settings, such as "dlib, bins=10", keeps these, and so does one's side."""
    head, comma, rest = name.partition(",")
    head, at, side = head.partition("@")
    return f"{known()['presets'].get(head, head)}{f', {side}' if at else ''}{comma}{rest}"


def measure(name: str, of: str) -> str:
    """A metric under a preset: "MIG · disentanglement_lib"."""
    return labels.metric(metric(name), preset(of))


def quantity(name: str) -> tuple[str, str]:
    """A logged quantity and its unit, "" where that is not known; of a term of a loss, "loss: term"."""
    loss, _, term = name.replace("_", " ").partition(".")
    title, unit = known()["quantities"].get(name, (f"{loss}: {term}" if term else name, ""))
    return str(title), str(unit)


def rows(frame: pd.DataFrame) -> list[str]:
    """The title of each row of a frame with `method`, `variant` and `name`, its name as `labels` gives it.

    What tells the row from others of its label follows, as in the name: "beta-VAE (mini, beta=4)".
    """
    columns = (frame["method"], frame["variant"], frame["name"])
    return [
        training(method, variant) + str(name).removeprefix(labels.label(method, variant))
        if str(name).startswith(labels.label(method, variant))
        else str(name)
        for method, variant, name in zip(*columns, strict=True)
    ]
