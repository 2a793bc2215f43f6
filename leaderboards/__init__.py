"""Leaderboards: per-seed scores aggregated into tables. Knows nothing of models or training."""

from disbench.leaderboards.aggregate import leaderboard, scores

__all__ = ["leaderboard", "scores"]
