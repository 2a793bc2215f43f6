"""One metric's score of one model, as `scores.json` and `disbench score --json` have it."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from traceback import format_exception
from typing import TYPE_CHECKING, Any

import numpy as np

from disbench import plugins
from disbench.errors import UsageError, spelled
from disbench.files import fits, plain
from disbench.leaderboards.labels import OF_GENERATOR
from disbench.texts import short

if TYPE_CHECKING:
    from disbench.benchmark.protocols import MetricChoice
    from disbench.metrics import Score

APART = 0.01  # difference of two scores of one draw that is worth a line
LAST = ("traceback", "draws", "shuffled", "beside")  # written last, where there are any
ASKED = ("metric", "preset", "changed", "plugin", "pictures")  # the fields that say what was asked


@dataclass(frozen=True)
class Draws:
    """A metric's scores on several independent draws.

    Attributes:
        scores: one per draw; None where it is not a number.
        mean: over the draws; None where a score is missing, and of parts.
        std: of a draw of all rows, divided by n - 1; None where a score is missing, and of one draw.
        min: the smallest score; None where a score is missing, and of parts.
        max: the largest score; None where a score is missing, and of parts.
        share: how large a part of the rows each draw has; 1 for draws like the first.
    """

    scores: list[float | None]
    mean: float | None
    std: float | None
    min: float | None
    max: float | None
    share: float = 1.0

    @classmethod
    def of(cls, scores: Sequence[float | None]) -> Draws:
        """The scores with their mean, spread and range."""
        known = np.array([score for score in scores if score is not None])
        if len(known) < len(scores):
            return cls(list(scores), None, None, None, None)
        std = float(known.std(ddof=1)) if len(known) > 1 else None
        return cls(list(scores), float(known.mean()), std, float(known.min()), float(known.max()))

    @classmethod
    def of_parts(cls, scores: Sequence[float | None], share: float) -> Draws:
        """The scores of parts of the rows, with the spread that all rows have.

        Parts overlap, and are fewer: their variance is (1 - share) / share times that of all rows.
        """
        std = cls.of(scores).std
        whole = None if std is None else std * math.sqrt(share / (1 - share))
        return cls(list(scores), None, whole, None, None, share)


@dataclass(frozen=True)
class Beside:
    """A second score of the same codes, in which other codes count.

    Attributes:
        rule: by which codes count in it, see `metrics.live`.
        live: number of codes that do.
        codes: number of all codes.
        score: of the first draw; None where it is not a number.
        draws: the scores of several draws, if there were several.
    """

    rule: str
    live: int
    codes: int
    score: float | None
    draws: Draws | None = None

    @classmethod
    def read(cls, values: Mapping[str, Any]) -> Beside:
        """From JSON."""
        return cls(**{**values, "draws": Draws(**values["draws"]) if values.get("draws") else None})

    def plain(self) -> dict[str, object]:
        """As JSON."""
        return {**vars(self), "draws": vars(self.draws) if self.draws else None}


@dataclass(frozen=True)
class ScoreEntry:
    """One metric: what was asked, and its score with everything that is known about it, or why there is none.

    It is stored as JSON by `plain` and read by `read`; `measured` makes it from a metric's own `Score`.

    Attributes:
        metric: its name.
        preset: its preset.
        changed: settings that differ from the preset's.
        plugin: where the metric's code comes from, with a SHA-256, if from a plug-in.
        pictures: of a score of the generator, how many it drew; None for one of the encoder.
        version: of the metric; 1 in a file from before metrics had versions.
        score: the number; None where there is none.
        label: the preset with its changes, for people.
        reason: why there is no score, before its arguments are spelled.
        traceback: where the metric failed, if it failed in a way that was not foreseen; else "".
        higher_is_better: False where small is good.
        chance: the score of codes that know nothing, in words.
        perfect: the score of perfect codes; None if it has no fixed value.
        parts: per factor, per code, matrices, by name.
        settings: every setting that was used; None where nothing was measured.
        live: whether each code took part; None where the metric has no such notion.
        dropped_factors: columns of factors with one value only.
        warnings: sentences about unusual input.
        n_encoded: encodings that the metric asked for.
        classifier: what named the classes of generated images.
        seconds: wall time of the metric.
        draws: the scores of several draws, or of parts of the rows, if there were several.
        shuffled: the scores of the same codes with shuffled factors, see `certainty`.
        rule: by which codes counted, see `metrics.live`; None for what the metric's own settings say.
        kl: of each code to N(0, 1), in nats, None for infinity and for a code that is no Gaussian; None
            without a posterior.
        beside: the score with other codes, where some have collapsed and it was asked for.
    """

    metric: str
    preset: str | None
    changed: Mapping[str, object]
    plugin: str | None = None
    pictures: int | None = None
    version: int = 1
    score: float | None = None
    label: str = ""
    reason: str | None = None
    traceback: str = ""
    higher_is_better: bool = True
    chance: str | None = None
    perfect: float | None = None
    parts: Mapping[str, object] = field(default_factory=dict)
    settings: Mapping[str, object] | None = None
    live: Sequence[bool] | None = None
    dropped_factors: Sequence[int] = ()
    warnings: Sequence[str] = ()
    n_encoded: int = 0
    classifier: str | None = None
    seconds: float = 0.0
    draws: Draws | None = None
    shuffled: Draws | None = None
    rule: str | None = None
    kl: Sequence[float | None] | None = None
    beside: Beside | None = None

    @classmethod
    def pending(cls, choice: MetricChoice, reason: str | None = None, traceback: str = "") -> ScoreEntry:
        """What was asked, without a score.

        Raises:
            UsageError: the metric is of a plug-in that cannot be used.
        """
        # here, so that reading scores loads no metric
        from disbench import metrics

        return cls(
            metric=choice.name,
            preset=choice.preset,
            changed=plain(choice.settings),
            plugin=plugins.source("metrics", choice.name) or None,
            pictures=choice.pictures,
            version=metrics.get(choice.name).version,
            label=_of_side(
                ", ".join([str(choice.preset), *(f"{k}={value}" for k, value in choice.settings.items())]),
                choice,
            ),
            reason=reason,
            traceback=traceback,
            higher_is_better=metrics.get(choice.name).higher_is_better,
        )

    @classmethod
    def failed(cls, choice: MetricChoice, error: Exception | SystemExit) -> ScoreEntry:
        """What was asked, with an error of the metric as the reason; its traceback if it was not foreseen."""
        if isinstance(error, UsageError):
            return cls.pending(choice, error.marked)
        reason = f"{choice.name} failed: {type(error).__name__}: {short(error)}"
        return cls.pending(choice, reason, "".join(format_exception(error)))

    @classmethod
    def measured(
        cls, choice: MetricChoice, score: Score, classifier: str | None, seconds: float, rule: str = ""
    ) -> ScoreEntry:
        """What a metric computed.

        Args:
            choice: what was asked.
            score: what came out.
            classifier: named the classes of generated images.
            seconds: it took.
            rule: by which codes counted; "" for what the metric's own settings say.
        """
        # here, so that reading scores loads no metric
        from disbench import metrics

        metric = metrics.get(choice.name)
        asked = rule and rule != score.settings.get("prune", "none")
        label = _of_side(score.preset, choice)
        return replace(
            cls.pending(choice),
            score=plain(score.score),
            label=f"{label}, live={rule}" if asked else label,
            reason=None if np.isfinite(score.score) else "; ".join(score.warnings),
            higher_is_better=metric.higher_is_better,
            chance=metric.chance,
            perfect=metric.perfect_score(score.settings),
            parts=plain(score.parts),
            settings=plain(score.settings),
            live=plain(score.live),
            dropped_factors=plain(score.dropped_factors),
            warnings=plain(score.warnings),
            n_encoded=score.n_encoded,
            classifier=classifier,
            seconds=round(seconds, 3),
            rule=rule or None,
        )

    @classmethod
    def read(cls, values: Mapping[str, Any]) -> ScoreEntry:
        """From JSON; a field that an older file lacks has its default."""
        known = {name: values[name] for name in FIELDS if name in values}
        for several in ("draws", "shuffled"):
            if known.get(several):
                known[several] = Draws(**known[several])
        if known.get("beside"):
            known["beside"] = Beside.read(known["beside"])
        return cls(**known)

    def plain(self, spell: Callable[[str], str] = str) -> dict[str, object]:
        """As JSON; of an entry without a score only what was asked, and the reason, as `why` has it."""
        later = ("version",) if self.version > 1 else ()
        shown: tuple[str, ...] = (*ASKED, *later, "score", "label", "reason", "higher_is_better")
        if self.settings is not None:
            shown = tuple(name for name in FIELDS if name not in LAST)
        values: dict[str, object] = {name: getattr(self, name) for name in shown}
        if self.pictures is None:
            # as it was before generators were scored
            del values["pictures"]
        values["reason"] = self.why(spell)
        if self.traceback:
            values["traceback"] = self.traceback
        values |= {"draws": vars(self.draws)} if self.draws else {}
        values |= {"shuffled": vars(self.shuffled)} if self.shuffled else {}
        return values | ({"beside": self.beside.plain()} if self.beside else {})

    def why(self, spell: Callable[[str], str] = str) -> str | None:
        """Why there is no score, arguments called by what the function makes of their names."""
        return None if self.reason is None else spelled(self.reason, spell)

    @property
    def name(self) -> str:
        """The metric and, of a score of the generator, its side: `mig@generator`."""
        return self.metric + (OF_GENERATOR if self.pictures else "")

    def of_generator(self, choice: MetricChoice) -> ScoreEntry:
        """This entry, of codes that were drawn and factors that were read, as one of the generator."""
        return replace(self, pictures=choice.pictures, label=_of_side(self.label, choice))

    def with_notes(self, notes: Sequence[str]) -> ScoreEntry:
        """This entry with further warnings."""
        return replace(self, warnings=[*self.warnings, *notes])

    def number(self) -> str:
        """The score with its spread, of several like draws their mean; "–" for a missing score."""
        if self.score is None:
            return "–"
        if self.draws is None or self.draws.std is None:
            return f"{self.score:.4f}"
        return f"{self.headline:.4f} ± {self.draws.std:.4f}"

    @property
    def by_chance(self) -> str:
        """The score by chance with its spread; "–" where it is not known."""
        shuffled = self.shuffled
        if shuffled is None or shuffled.mean is None:
            return "–"
        return f"{shuffled.mean:.4f}" if shuffled.std is None else f"{shuffled.mean:.4f} ± {shuffled.std:.4f}"

    @property
    def headline(self) -> float | None:
        """The mean of draws that were asked for, which come without a chance; else the score."""
        several = self.draws is not None and self.draws.mean is not None and self.shuffled is None
        return self.draws.mean if several and self.draws is not None else self.score

    @property
    def std(self) -> float | None:
        """The spread of the score over draws, where it is known."""
        return None if self.draws is None else self.draws.std

    @property
    def adjusted(self) -> float | None:
        """(score - chance) / (perfect - chance), None where one of them is not known."""
        by_chance = None if self.shuffled is None else self.shuffled.mean
        if self.score is None or self.perfect is None or by_chance is None or by_chance == self.perfect:
            return None
        return (self.score - by_chance) / (self.perfect - by_chance)

    @property
    def moved(self) -> bool:
        """Whether the score beside differs by more than the spread over draws, or of one draw by .01."""
        if self.beside is None or self.score is None or self.beside.score is None:
            return False
        ours, others = self.draws, self.beside.draws
        known = [draws.std for draws in (ours, others) if draws is not None and draws.std is not None]
        apart = abs(self.score - self.beside.score)
        if ours is not None and others is not None and None not in (ours.mean, others.mean):
            apart = abs((ours.mean or 0.0) - (others.mean or 0.0))
        return apart > max(known, default=APART)

    def answers(self, choice: MetricChoice) -> bool:
        """Whether it is of this metric, preset, settings and code, and the preset still sets the same."""
        # here, so that reading scores loads no metric
        from disbench import metrics

        asked = ScoreEntry.pending(choice)
        if any(getattr(self, name) != getattr(asked, name) for name in (*ASKED, "version")):
            return False
        used = plain(metrics.get(choice.name).settings(choice.preset, **choice.settings))
        return self.settings is None or plain(self.settings) == used


def _of_side(label: str, choice: MetricChoice) -> str:
    """A label with the side that it is of after the preset: `ibgan@generator, votes=100`."""
    # here, so that reading scores loads no metric
    from disbench.benchmark.protocols import PICTURES

    if choice.pictures is None:
        return label
    few = "" if choice.pictures == PICTURES else f", {choice.pictures:,} pictures"
    preset = str(choice.preset)
    return preset + OF_GENERATOR + few + label.removeprefix(preset)


FIELDS = tuple(f.name for f in fields(ScoreEntry))
# What the fields may be in a file.
NOTHING = type(None)
OF_ENTRY: Mapping[str, tuple[type, ...]] = {
    **dict.fromkeys(("metric", "label"), (str,)),
    **dict.fromkeys(("preset", "plugin", "reason", "chance", "classifier", "rule"), (str, NOTHING)),
    **dict.fromkeys(("changed", "parts"), (dict,)),
    **dict.fromkeys(("settings", "draws", "shuffled", "beside"), (dict, NOTHING)),
    **dict.fromkeys(("dropped_factors", "warnings"), (list,)),
    **dict.fromkeys(("score", "perfect"), (float, NOTHING)),
    "higher_is_better": (bool,),
    **dict.fromkeys(("live", "kl"), (list, NOTHING)),
    "pictures": (int, NOTHING),
    **dict.fromkeys(("n_encoded", "version"), (int,)),
    "seconds": (float,),
}


# Of scores of several draws, and of a score with other codes.
OF_DRAWS: Mapping[str, tuple[type, ...]] = {
    "scores": (list,),
    **dict.fromkeys(("mean", "std", "min", "max"), (float, NOTHING)),
    "share": (float,),
}
OF_BESIDE: Mapping[str, tuple[type, ...]] = {
    "rule": (str,),
    **dict.fromkeys(("live", "codes"), (int,)),
    "score": (float, NOTHING),
    "draws": (dict, NOTHING),
}
OF_SCORE = {"score": OF_ENTRY["score"]}


def _is_entry(values: object) -> bool:
    """Whether JSON is an entry, with all that is known about its score."""
    if not isinstance(values, dict) or not fits(values, OF_ENTRY, ASKED[:3]):
        return False
    beside = values.get("beside")
    several = [values.get("draws"), values.get("shuffled"), beside.get("draws") if beside else None]
    return (not beside or fits(beside, OF_BESIDE)) and all(
        fits(draws, OF_DRAWS, ("scores",))
        and all(fits({"score": score}, OF_SCORE) for score in draws["scores"])
        for draws in several
        if draws
    )


def read_entries(values: object) -> list[ScoreEntry] | None:
    """The entries of a `scores.json`, from its JSON; None for any other content."""
    if not isinstance(values, list) or not all(map(_is_entry, values)):
        return None
    try:
        return [ScoreEntry.read(entry) for entry in values]
    except TypeError:
        return None


def answer(entries: Sequence[ScoreEntry] | None, choices: Sequence[MetricChoice]) -> bool:
    """Whether stored scores have each of these metrics with its preset, settings and code, and maybe others.

    Raises:
        UsageError: one of the metrics is of a plug-in that cannot be used.
    """
    return entries is not None and all(any(e.answers(choice) for e in entries) for choice in choices)


def _sorted(settings: Mapping[str, object]) -> str:
    return json.dumps(plain(settings), sort_keys=True)


def merged(
    before: Sequence[ScoreEntry], new: Sequence[ScoreEntry], choices: Sequence[MetricChoice]
) -> list[ScoreEntry]:
    """Stored scores with new ones, each in place of an earlier one of equal metric, preset and changes.

    Those of `choices` come first, in their order; the others follow in theirs.
    """
    known = {(e.metric, e.preset, _sorted(e.changed), e.pictures): e for e in (*before, *new)}
    first = [(c.name, c.preset, _sorted(c.settings), c.pictures) for c in choices]
    return [known[key] for key in dict.fromkeys([*first, *known]) if key in known]
