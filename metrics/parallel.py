"""Fits of a metric in several processes, with their warnings and their progress in this one."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import joblib

T = TypeVar("T")


def each(
    fit: Callable[..., T],
    arguments: Sequence[tuple[Any, ...]],
    n_jobs: int,
    progress: Callable[[int, int], None] | None,
) -> list[T]:
    """`fit(*arguments)` for each of the arguments, in their order.

    A warning that a fit gives in another process is given here, where it reaches the score; it would else be
    printed there.

    Args:
        fit: a function of a module.
        arguments: of each fit.
        n_jobs: processes; -1 is one per core.
        progress: called with (fits done, fits in all).
    """
    done: list[T] = []
    jobs = (joblib.delayed(_heard)(fit, given) for given in arguments)
    for result, heard in joblib.Parallel(n_jobs=n_jobs, return_as="generator")(jobs):
        done.append(result)
        for message, category in heard:
            warnings.warn(message, category, stacklevel=2)
        if progress is not None:
            progress(len(done), len(arguments))
    return done


def _heard(fit: Callable[..., T], given: tuple[Any, ...]) -> tuple[T, list[tuple[str, type[Warning]]]]:
    """What a fit returns, and its warnings: the text and the type, each once."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        result = fit(*given)
    return result, list(dict.fromkeys((str(w.message), w.category) for w in caught))
