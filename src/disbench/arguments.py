"""The types of the arguments of public functions, checked against their annotations.

    @typed
    def judge(source: PathLike, *, pictures: int = 10_000) -> JudgedGenerator: ...

`judge(1)` and `judge("a.pt", pictures="many")` then end in a `UsageError`, and not in one of Python's far
inside. What an annotation does not name plainly, such as arrays and functions, is left to the function.
"""

from __future__ import annotations

import functools
import inspect
import os
import types
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from numbers import Integral, Real
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from disbench.errors import UsageError, argument
from disbench.ranges import WORDS
from disbench.texts import short

P = ParamSpec("P")
T = TypeVar("T")


def typed(function: Callable[P, T]) -> Callable[P, T]:
    """The function, which refuses arguments of other types than its annotations name."""
    signature = inspect.signature(function)

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> T:
        # a call that the signature refuses is Python's to refuse
        check(hints_of(function), signature.bind(*args, **kwargs).arguments)
        return function(*args, **kwargs)

    return call


@functools.cache
def hints_of(of: Any) -> dict[str, Any]:
    """The annotations of a function or a class; a name that only type checkers import is any type."""
    unknown: dict[str, Any] = {}
    while True:
        try:
            return typing.get_type_hints(of, localns=unknown)
        except NameError as error:
            unknown[str(error.name)] = _Unknown


def check(hints: Mapping[str, Any], given: Mapping[str, object]) -> None:
    """Looks at the type of each argument that has an annotation.

    Args:
        hints: annotations by name.
        given: arguments by name.

    Raises:
        UsageError: one is of another type.
    """
    for name, value in given.items():
        choices = _choices(hints.get(name, Any))
        if not any(_fits(value, choice) for choice in choices):
            words = " or ".join(dict.fromkeys(_WORDS[_plain(choice)] for choice in choices))
            raise UsageError(f"{argument(name)} {short(repr(value), 80)} was given, but it must be {words}.")


class _Anything(type):
    """Of a type that is not imported: its attributes and its parameters are not looked at either."""

    def __getattr__(cls, name: str) -> type:
        return cls

    def __getitem__(cls, parameters: object) -> type:
        return cls


class _Unknown(metaclass=_Anything):
    """Stands for a name that only type checkers import, a module or a type."""


_WORDS = {**WORDS, Path: "a path", Sequence: "a list", Mapping: "a dictionary"}


def _choices(hint: Any) -> tuple[Any, ...]:
    """The types of a union, or the one."""
    several = typing.get_origin(hint) in (typing.Union, types.UnionType)
    return typing.get_args(hint) if several else (hint,)


def _plain(hint: Any) -> Any:
    """The key of `_WORDS`; None for a type that is not looked at."""
    kind = typing.get_origin(hint) or hint
    kind = {Iterable: Sequence, os.PathLike: Path}.get(kind, kind)
    return kind if kind in _WORDS else None


def _fits(value: object, hint: Any) -> bool:
    match _plain(hint):
        case None:
            return True
        case kind if kind is bool:
            return isinstance(value, bool) or _is_truth_of_numpy(value)
        case kind if kind is int:
            return isinstance(value, Integral) and not isinstance(value, bool)
        case kind if kind is float:
            return isinstance(value, Real) and not isinstance(value, bool)
        case kind if kind is Path:
            return isinstance(value, os.PathLike)
        case kind if kind is Sequence:
            return isinstance(value, Iterable) and not isinstance(value, str | bytes | Mapping)
        case kind:
            return isinstance(value, kind)


def _is_truth_of_numpy(value: object) -> bool:
    # so that a program that only names data sets does not load it
    import numpy as np

    return isinstance(value, np.bool_)
