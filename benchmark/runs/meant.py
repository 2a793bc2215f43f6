"""Which metric of a run a text means, and by which one seeds are ranked."""

from __future__ import annotations

import pandas as pd

from disbench.errors import UsageError, unknown
from disbench.leaderboards import labels


def judge(frame: pd.DataFrame, metric: str = "") -> tuple[str, str]:
    """The metric and preset by which seeds are ranked.

    Args:
        frame: per-seed rows.
        metric: such as "mig", "factor_vae:ibgan" or "mig@generator"; by default factor_vae, or else the first
            with scores.

    Raises:
        UsageError: no such metric, or no score.
    """
    scored = frame[frame["score"].notna()]
    pairs = list(dict.fromkeys(zip(scored["metric"], scored["preset"], strict=True)))
    if not pairs:
        raise UsageError("no seed has a score yet, so none is the best; train and score some first.")
    # the encoder's first, where no side was asked for
    pairs = sorted(pairs, key=lambda pair: labels.side_of(pair[1])[1])
    matching = [pair for pair in pairs if is_meant(*pair, metric or "factor_vae")]
    if metric and not matching:
        raise unknown("metric of this run", metric, [f"{name}:{label}" for name, label in pairs])
    return (matching or pairs)[0]


def is_meant(metric: str, preset: str, text: str) -> bool:
    """Whether a text means the metric of a row.

    Args:
        metric: of the row.
        preset: of the row, with its settings and its side.
        text: "mig" or "mig:dlib" for both sides, "mig@generator" or "mig:dlib@generator" for one, or the
            metric and all of a row's preset, as "mig:dlib, bins=10".
    """
    name, colon, asked = text.partition(":")
    name, at, side = name.partition("@")
    if name != metric or (at and at + side != labels.OF_GENERATOR):
        return False
    if "," in asked:
        return asked == preset
    base, drawn = labels.side_of(preset)
    asked, of_generator = labels.side_of(asked)
    # a colon without a preset means none
    return asked == (base if colon else "") and (drawn or not (at or of_generator))
