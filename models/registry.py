"""Finds a method by its name, reads and checks its settings, and builds it."""

from __future__ import annotations

import dataclasses
import functools
import importlib
import inspect
import pkgutil
import sys
import typing
from collections.abc import Mapping
from types import ModuleType
from typing import Any

import torch
from torch import nn

from disbench import plugins, ranges
from disbench.arguments import typed
from disbench.errors import UsageError, argument, unknown
from disbench.models.method import Config, DataInfo, Method
from disbench.models.optimizer import KINDS


@functools.cache
def built_in() -> list[str]:
    """Names of the methods of this package: its modules that define METHOD."""
    package = importlib.import_module(__package__)
    modules = [module.name for module in pkgutil.iter_modules(package.__path__)]
    return sorted(
        name for name in modules if hasattr(importlib.import_module(f"{__package__}.{name}"), "METHOD")
    )


plugins.announce("methods", plugins.Registry(built_in))


def names() -> list[str]:
    """Names of all methods, those of plug-ins included."""
    return sorted({*built_in(), *plugins.names("methods")})


@typed
def get(name: str) -> type[Method]:
    """The method's class.

    Raises:
        UsageError: there is no such method, or its plug-in cannot be used.
    """
    return _located(name)[0]


@typed
def summary(name: str) -> str:
    """First paragraph of the method's file: its name and citation, in one line."""
    head = (inspect.getdoc(_located(name)[1]) or "no description").partition("\n\n")[0]
    return " ".join(head.split())


def _located(name: str) -> tuple[type[Method], ModuleType]:
    """A method's class, and the module whose head describes it."""
    offer = plugins.find("methods", name)
    if offer is None:
        if name not in built_in():
            raise unknown("method", name, names())
        module = importlib.import_module(f"disbench.models.{name}")
        return module.METHOD, module
    loaded = offer.load()
    method = getattr(loaded, "METHOD", loaded)
    if not (isinstance(method, type) and issubclass(method, Method)):
        raise plugins.broken(
            offer.origin, f"its METHOD must be a class derived from disbench.models.Method, but is {method!r}"
        )
    if missing := {"paper", "mini"} - set(getattr(method, "CONFIGS", ())):
        raise plugins.broken(offer.origin, f"{method.__name__}.CONFIGS lacks {', '.join(sorted(missing))}")
    return method, sys.modules[method.__module__]


@typed
def configure(name: str, config: str = "paper", changes: Mapping[str, object] | None = None) -> Config:
    """A named config of a method with some fields changed.

    Args:
        name: the method.
        config: name of one of its `CONFIGS`.
        changes: new values of fields; a text is read as the field's type.

    Raises:
        UsageError: unknown config or field, a value that is not of the field's type or outside its range, or
            values that contradict each other.
    """
    configs = get(name).CONFIGS
    if config not in configs:
        raise unknown(f"config of {name}", config, configs)
    start = configs[config]
    types = typing.get_type_hints(type(start))
    values: dict[str, Any] = {}
    for key, value in (changes or {}).items():
        if key not in types:
            raise unknown(f"setting of {name}", key, types)
        values[key] = _read(f"{name}.{key}", value, types[key])
    changed = dataclasses.replace(start, **values)
    allowed = ranges.declared(type(start))
    for field in types:
        if fault := ranges.fault(f"{name}.{field}", getattr(changed, field), allowed.get(field)):
            raise UsageError(fault)
    if fault := changed.check():
        raise UsageError(f"{name}.{fault}")
    return changed


@typed
def restored(name: str, written: Mapping[str, object], config: str = "paper") -> Config:
    """The settings that a record or a checkpoint has, see `Config.written`.

    Args:
        name: the method.
        written: every setting, but for those that came later and have no effect.
        config: name of the config that they started from.

    Raises:
        UsageError: settings are missing or unknown, or as in `configure`.
    """
    configs = get(name).CONFIGS
    if config not in configs:
        raise unknown(f"config of {name}", config, configs)
    kind = type(configs[config])
    values = {**kind.before(), **written}
    if odd := sorted(values.keys() ^ {field.name for field in dataclasses.fields(kind)}):
        raise UsageError(
            f"the settings do not fit {name} as it is here: {', '.join(odd)} differ; train it again or use "
            "the version that wrote it."
        )
    return configure(name, config, values)


def _read(label: str, value: object, kind: object) -> object:
    """`value` as `kind`: int, float, bool, str, or a tuple of one of them."""
    wrong = UsageError(
        f"{label}={value!r} is not of the type {getattr(kind, '__name__', kind)} that it needs."
    )
    if typing.get_origin(kind) is typing.Literal:
        choices = [str(choice) for choice in typing.get_args(kind)]
        if value not in choices:
            raise unknown(f"value of {label}", str(value), choices)
        return value
    if typing.get_origin(kind) is tuple:
        items = [item for item in value.split(",") if item] if isinstance(value, str) else value
        if not isinstance(items, list | tuple):
            raise wrong
        return tuple(_read(label, item, typing.get_args(kind)[0]) for item in items)
    try:
        if kind is bool:
            return {"true": True, "1": True, "false": False, "0": False}[str(value).lower()]
        if kind is int:
            return int(str(value))
        if kind is float:
            return float(str(value))
    except (KeyError, ValueError):
        raise wrong from None
    if not isinstance(value, str):
        raise wrong
    return value


@typed
def build(name: str, config: Config, data: DataInfo, seed: int) -> Method:
    """A freshly initialised method: equal (config, data, seed) give equal weights, whatever ran before.

    Args:
        name: the method.
        config: its settings, from `configure`.
        data: shape and number of the images.
        seed: of the initial weights.

    Raises:
        UsageError: the settings are another method's or do not fit the data, a negative seed, or the method's
            `updates` name something that it lacks.
    """
    if seed < 0:
        raise UsageError(f"{argument('seed')} {seed} was given; give 0 or more.")
    own = get(name).CONFIGS["paper"]
    if not isinstance(config, type(own)):
        raise UsageError(
            f"{argument('config')} of {name} is a {type(config).__module__}.{type(config).__qualname__}, "
            f"which is another method's; give models.configure({name!r})."
        )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        method = get(name)(config, data)
        try:
            _check_updates(method)
        except UsageError as error:
            if offer := plugins.find("methods", name):
                raise plugins.broken(offer.origin, error) from None
            raise
    if method.held_out and data.n - method.held_out < method.images_per_step:
        raise UsageError(
            f"{name}.held_out={method.held_out} leaves fewer images than the {method.images_per_step} of a "
            f"step, of {data.n:,}; hold out fewer."
        )
    return method


def _check_updates(method: Method) -> None:
    """Refuses, before any step, updates that no step could take.

    Raises:
        UsageError: a loss, module or optimiser does not exist, or no module of an update has a parameter.
    """
    owner = type(method)
    where = f"{owner.__name__}.updates()"
    losses = [n for n in dir(owner) if callable(getattr(owner, n)) and not hasattr(Method, n)]
    for update in method.updates():
        for loss in update.losses:
            if not hasattr(method, loss):
                raise unknown(f"loss in {where}", loss, losses)
            if not callable(getattr(method, loss)):
                raise UsageError(f"{where} names {loss!r} as a loss, which is no function.")
        if update.times < 1:
            raise UsageError(f"{where} gives {update.loss!r} times={update.times}; give at least 1.")
        for name in update.modules:
            if not hasattr(method, name):
                raise unknown(f"module in {where}", name, [n for n, _ in method.named_children()])
            if not isinstance(getattr(method, name), nn.Module):
                raise UsageError(f"{where} names {name!r} as a module, which is no torch.nn.Module.")
        if not any(True for name in update.modules for _ in getattr(method, name).parameters()):
            given = ", ".join(map(repr, update.modules)) or "no module"
            raise UsageError(
                f"{where} gives {update.loss!r} nothing to learn: {given} without any parameter."
            )
        if update.optimizer.name not in KINDS:
            raise unknown(f"optimiser in {where}", update.optimizer.name, KINDS)
