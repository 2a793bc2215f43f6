"""A comparison from its sources to its numbers: opened, checked, scored where they are not yet, and matched.

The rules are in `comparing`, the numbers in `leaderboards.comparison`. All that can be refused without a
score is refused before the first one is computed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from disbench.benchmark.protocols import MetricChoice
from disbench.benchmark.runs import comparing
from disbench.benchmark.runs.rows import warnings
from disbench.benchmark.scoring.entries import ScoreEntry
from disbench.benchmark.scoring.sources import Opened
from disbench.errors import UsageError, spelled
from disbench.leaderboards import aggregate, comparison

# Scores opened sources by some metrics.
Score = Callable[[Sequence[Opened], Sequence[MetricChoice]], Sequence[Sequence[ScoreEntry]]]


@dataclass(frozen=True)
class Compared:
    """Scores of one's own beside kept and published ones, measured alike.

    Attributes:
        mine: names of one's own rows.
        others: what they are compared with, in words.
        dataset: the data set with the image size, such as "dsprites-32".
        numbers: everything that was measured.
        notes: sentences about what was assumed and what does not compare, before their arguments are spelled.
    """

    mine: tuple[str, ...]
    others: str
    dataset: str
    numbers: comparison.Comparison
    notes: tuple[str, ...]

    def table(self) -> pd.DataFrame:
        """One row per row and metric, the best first: from, name, n, mean, interval, std, spread, chance."""
        return self.numbers.frame

    def pairs(self) -> pd.DataFrame:
        """For each row of mine and each other row, the probability that a run of mine scores better."""
        return self.numbers.pairs

    @property
    def assumed(self) -> tuple[str, ...]:
        """Sentences about what was assumed and what does not compare."""
        return tuple(spelled(note) for note in self.notes)

    @property
    def title(self) -> str:
        """What this is, in words."""
        return f"{', '.join(self.mine)} beside {self.others} on {self.dataset}"


def _grouped(said: Sequence[tuple[Path, str]], count: int) -> list[str]:
    """Sentences about sources, each once, with the sources that it is about."""
    about: dict[str, list[str]] = {}
    for path, text in said:
        about.setdefault(text, []).append(str(path))
    return [
        f"{f'all {count} files' if len(paths) == count > 1 else ', '.join(dict.fromkeys(paths))}: {text}"
        for text, paths in about.items()
    ]


def compare(
    rows: Mapping[str, Sequence[Opened | Path]],
    found: comparing.Others,
    text: str,
    score: Score,
    named: bool,
) -> Compared:
    """Mine beside others.

    Args:
        rows: by the names of the rows of mine, sources to score and folders of runs; each source is a seed.
        found: what it is compared with.
        text: names of metrics, or "" for all that the others have.
        score: scores the sources.
        named: whether the user gave the names.

    Raises:
        UsageError: nothing compares, see `comparing`.
    """
    notes, frames = list(found.notes), []
    places: list[tuple[object, str, str]] = []
    for name, given in rows.items():
        for each in given:
            if isinstance(each, Path):
                frame, said = comparing.of_run(name, each, named)
                frames.append(frame)
                notes += said
                of = frame[["dataset", "data_sha256"]].drop_duplicates().itertuples(index=False)
                places += [(each, dataset, str(sha256 or "")) for dataset, sha256 in of]
            else:
                places.append((each.path, *comparing.data_of(each)))
    here = comparing.on_one(found, places)
    label = places[0][1]
    chosen, said = comparing.judged(here, label, text)
    notes += said
    opened = [(name, each) for name, given in rows.items() for each in given if isinstance(each, Opened)]
    few = [
        next(filter(None, (comparing.not_alike(each, choice) for _, each in opened)), "")
        for choice, _ in chosen
    ]
    notes += [f"not compared: {why}" for why in few if why]
    chosen = [pair for pair, why in zip(chosen, few, strict=True) if not why]
    if not chosen:
        raise comparing.nothing(here, few)
    if opened:
        scores = score([each for _, each in opened], [choice for choice, _ in chosen])
        sha256 = next((sha256 for _, _, sha256 in places if sha256), "")
        for name in dict.fromkeys(name for name, _ in opened):
            own = [(each, s) for (of, each), s in zip(opened, scores, strict=True) if of == name]
            frames.append(aggregate.scores(comparing.rows_of(name, own, label, sha256)))
        told = [(each.path, note) for _, each in opened for note in each.notes]
        for (_, each), entries in zip(opened, scores, strict=True):
            told += [(each.path, f"{e.name}: {warning}") for e in entries for warning in e.warnings]
        notes += _grouped(told, len(opened))
    mine = pd.concat(frames, ignore_index=True)
    wanted = {(choice.name, preset) for choice, preset in chosen}
    names = {choice.name for choice, _ in chosen}
    # a preset that is another than was wanted is told below
    judged = [
        (metric, preset) in wanted or (bool(opened) and metric in names)
        for metric, preset in zip(mine["metric"], mine["preset"], strict=True)
    ]
    if not any(judged):
        listed = ", ".join(f"{metric}:{preset}" for metric, preset in sorted(wanted))
        raise UsageError(f"mine has none of the scores of {here.named}: {listed}; see `disbench rescore`.")
    mine, theirs, said = comparing.matched(mine[judged].reset_index(drop=True), here, wanted)
    notes += said
    numbers, said = comparing.published_of(here, label, mine)
    notes += said + warnings(theirs)
    if not len(theirs) and not numbers:
        raise comparing.nothing(here, said or ["it has no number"])
    return Compared(
        tuple(dict.fromkeys(mine["method"])),
        here.named,
        label,
        comparison.compare(mine, theirs, numbers),
        tuple(dict.fromkeys(notes)),
    )
