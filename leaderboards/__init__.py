"""Leaderboards: per-seed scores aggregated into tables. Knows nothing of models or training."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from disbench.leaderboards.aggregate import leaderboard, scores

__all__ = ["leaderboard", "scores"]


def __getattr__(name: str) -> object:
    # So that a process that only names rows loads neither pandas nor scipy.
    if name in __all__:
        from disbench.leaderboards import aggregate

        return getattr(aggregate, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
