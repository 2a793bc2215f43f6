"""What a comparison is with, and what compares: the same data, image size, metric, preset and settings.

Someone's scores stand beside a kept result only where both were measured alike. What differs is refused in a
sentence that says what would compare; if nothing is left, so is the whole comparison.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from disbench import metrics
from disbench.benchmark import protocols
from disbench.benchmark.datasets import manifest, naming
from disbench.benchmark.datasets.reference import DataRef
from disbench.benchmark.protocols import MetricChoice
from disbench.benchmark.runs import store
from disbench.benchmark.runs.rows import MOST_TOLD, gather, measured, metric_settings
from disbench.benchmark.runs.shelf import saved
from disbench.benchmark.scoring import draws, plans
from disbench.benchmark.scoring.entries import ScoreEntry
from disbench.benchmark.scoring.sources import Opened, Usual
from disbench.errors import UsageError, argument, unknown
from disbench.files import plain
from disbench.leaderboards import aggregate, comparison, labels, published, results
from disbench.leaderboards.published import Number
from disbench.texts import short

PUBLISHED = "published"
# What a score's settings hold beside those of the metric, see `rows.judge`.
BESIDE = ("classifier", "plugin", "version", "pictures")
# The kinds of metrics that are measured on the rows of a table.
ON_ROWS = ("table", "unsupervised", "posterior")


@dataclass(frozen=True)
class Others:
    """What a comparison is with.

    Attributes:
        named: as the user named it.
        frame: per-seed rows of kept results and runs; none if only published numbers were named.
        numbers: the published numbers that are looked at.
        refs: the data sets of runs, by their labels.
        notes: sentences about what was read.
        kept: the kept results at hand, for errors.
    """

    named: str
    frame: pd.DataFrame
    numbers: tuple[Number, ...]
    refs: Mapping[str, DataRef]
    notes: tuple[str, ...]
    kept: tuple[Path, ...] = ()

    @property
    def datasets(self) -> list[str]:
        """The labels of the data sets that something here is of, such as "dsprites-32"."""
        known = list(dict.fromkeys(map(str, self.frame["dataset"])))
        return known or list(dict.fromkeys(f"{n.dataset}-{n.size}" for n in self.numbers))

    def usual(self) -> Usual | None:
        """The data of a source that names none, if all this is of one data set that can be loaded by name."""
        if len(self.datasets) != 1:
            return None
        label = self.datasets[0]
        known = self.refs.get(label)
        name, size = (known.name, known.size) if known else naming.as_in_tables(label) or ("", 0)
        if not name or (known is None and naming.is_own(naming.split_name(name)[0])):
            return None
        return Usual(name, size, f"that of {self.named}")


def others(wanted: Sequence[str], results_in: Path | None = None) -> Others:
    """The kept results, protocols, published sources and run folders of these names.

    A protocol stands for the kept results under it. Published numbers of the same data are looked at in any
    case.

    Args:
        wanted: the names; "published" for all published numbers and nothing else.
        results_in: folder of the kept results; None for the usual one.

    Raises:
        UsageError: no name, an unknown one, or one that holds nothing.
    """
    kept = {path.name: path for path in saved(results_in)}
    sources = {name: published.get(name) for name in published.names()}
    paths: list[Path] = []
    under: set[str] = set()
    notes: list[str] = []
    printed: list[str] = []
    for name in wanted:
        if name in kept:
            paths.append(kept[name])
        elif name == PUBLISHED or name in sources:
            printed += list(sources) if name == PUBLISHED else [name]
        elif Path(name).is_dir():
            paths.append(Path(name))
        elif name in protocols.names() or name in protocols.ids():
            under.add(protocols.get(name).id)
        else:
            raise unknown(
                "result, run or protocol to compare with",
                name,
                {*kept, PUBLISHED, *sources, *protocols.names()},
            )
    named = " and ".join(wanted)
    if not (paths or under or printed):
        raise UsageError(
            f"{argument('others')} is empty; name what to compare with: {', '.join([*kept, PUBLISHED])}, a "
            "protocol, or the folder of a run."
        )
    frame = aggregate.scores([])
    if paths:
        frame, notes = gather(paths)
        # shown by the name that they were asked for by
        frame["run"] = frame["run"].replace({str(path): name for name, path in kept.items()})
    for protocol in sorted(under):
        found = {name: _under(results.scores(path), protocol) for name, path in kept.items()}
        if not any(map(len, found.values())):
            have = {
                name: ", ".join(dict.fromkeys(results.scores(path)["protocol"]))
                for name, path in kept.items()
            }
            listed = ", ".join(f"{name} (under {of})" for name, of in have.items()) or "none"
            raise UsageError(
                f"no kept result is under the protocol {protocol}; these are kept: {listed}. Name one of "
                f"them, or the folder of a run under {protocol}."
            )
        joined = pd.concat([each for each in (frame, *found.values()) if len(each)])
        frame, _ = aggregate.deduplicated(aggregate.ordered(aggregate.set_apart(joined)))
    # a run of this name is not one's own
    frame["run"] = frame["run"].replace(comparison.MINE, f"run {comparison.MINE}")
    refs = {
        record.cell.dataset.label: record.cell.dataset
        for path in paths
        if store.is_run(path)
        for record in store.records(path)
    }
    numbers = tuple(n for each in dict.fromkeys(printed or sources) for n in sources[each])
    return Others(named, frame, numbers, refs, tuple(notes), tuple(kept.values()))


def _under(frame: pd.DataFrame, protocol: str) -> pd.DataFrame:
    known = {name: protocols.find(name) for name in set(frame["protocol"])}
    return frame[[getattr(known[name], "id", "") == protocol for name in frame["protocol"]]]


# --- The same data ---


def on_data(found: Others, path: object, label: str, sha256: str) -> Others:
    """What is of the same data set, image size and content as the codes of one source.

    Args:
        found: everything that was named.
        path: the source, for errors.
        label: its data set with the image size, such as "dsprites-32".
        sha256: of the content; "" where only the factors are known.

    Raises:
        UsageError: nothing is.
    """
    frame = found.frame
    same = frame[frame["dataset"] == label]
    known = same["data_sha256"].fillna("")
    content = (known == sha256) | (known == "") | (sha256 == "")
    if len(same) and not content.any():
        theirs = same["data_sha256"].iloc[0]
        raise UsageError(
            f"{path} has scores on a {label} with sha256 {sha256[:12]}..., {found.named} on one with "
            f"{theirs[:12]}...: they do not compare; use the same data set."
        )
    numbers = tuple(n for n in found.numbers if f"{n.dataset}-{n.size}" == label)
    if not len(same) and (len(frame) or not numbers):
        theirs = " and ".join(found.datasets) or "nothing"
        raise UsageError(
            f"{path} is scored on {label}, and {found.named} is on {theirs}: they do not compare. "
            f"{_would_compare(found, label)}"
        )
    return replace(found, frame=same[content].reset_index(drop=True))


def on_one(found: Others, places: Sequence[tuple[object, str, str]]) -> Others:
    """What is of the data of all sources, each with its data set and the SHA-256 of that, see `on_data`.

    Raises:
        UsageError: nothing is, or the sources are of several data sets.
    """
    for path, label, sha256 in places:
        found_here = on_data(found, path, label, sha256)
    several = sorted({label for _, label, _ in places})
    if len(several) > 1:
        raise UsageError(f"mine is on several data sets ({', '.join(several)}); compare each on its own.")
    return found_here


def data_of(one: Opened) -> tuple[str, str]:
    """The data of a source as tables print it, "dsprites-32", and the SHA-256 of its content, "" if unknown.

    Raises:
        UsageError: its data set or its image size is not known, its images are no squares, or its factors
            are its own.
    """
    name, size, sha256 = (one.dataset.get(key) for key in ("name", "size", "sha256"))
    base, _ = naming.split_name(str(name))
    known = base in manifest.names() or (naming.is_own(base) and Path(base).exists())
    if known and not sha256 and not _of_published_grid(str(name), one.data.factor_sizes):
        raise UsageError(
            f"{one.path} brings factors of its own, so that it is unclear whether they are those of {name}; "
            "give the numbers of its rows in the data set, as 'rows'."
        )
    _, height, width = one.data.shape
    if size is None and height:
        size = height if height == width else (height, width)
    if size is None or not known:
        raise UsageError(
            f"{one.path} does not say of which images its codes are, and scores compare on the same data set "
            f"at the same size alone; give {argument('dataset')} and {argument('size')}."
        )
    if not isinstance(size, int):
        raise UsageError(f"{one.path} is scored on images that are no squares, which no kept result has.")
    return DataRef(str(name), size, str(sha256 or "")).label, str(sha256 or "")


def _of_published_grid(name: str, sizes: tuple[int, ...] | None) -> bool:
    base, options = naming.split_name(name)
    known = base in manifest.names() and not options
    return known and sizes == tuple(manifest.read(base).factors.values())


def _would_compare(found: Others, label: str) -> str:
    """What would compare: other results with this source, or other sources with these results."""
    alike = [path.name for path in found.kept if (results.scores(path)["dataset"] == label).any()]
    if any(f"{n.dataset}-{n.size}" == label for name in published.names() for n in published.get(name)):
        alike.append(PUBLISHED)
    if alike:
        return f"On {label} there are {', '.join(alike)}; name one of them in {argument('others')}."
    parts = [naming.as_in_tables(each) for each in found.datasets]
    ways = [f"{name} at {size} pixels" for name, size in filter(None, parts)]
    return f"Codes or a model of {' or '.join(ways)} would." if ways else ""


# --- The same metric ---


def completed(name: str, settings: Mapping[str, object]) -> dict[str, object]:
    """Settings of a score with those that its metric did not have when it was measured.

    A metric that gets a setting keeps what it did before as the setting's own default, or else raises its
    version, which is among the settings as well.
    """
    parameters = inspect.signature(metrics.get(name).fn).parameters
    known = metrics.get(name).settings()
    before = {each: plain(parameters[each].default) for each in known if each in parameters}
    return {**before, **settings}


def choice_of(metric: str, preset: str, settings: Mapping[str, object]) -> MetricChoice | str:
    """The choice that measures again what a row has; or why none can.

    Args:
        metric: name of the metric.
        preset: as the row has it, with what was changed.
        settings: of the row.
    """
    if metric not in metrics.names():
        return f"{metric} is not among the metrics here; load the plug-in that it comes from"
    found, base = metrics.get(metric), labels.side_of(preset)[0]
    if base not in found.presets:
        return f"{metric} has no preset {base} here"
    if (then := int(str(settings.get("version", 1)))) != found.version:
        return (
            f"{metric} is at version {found.version} here, and was measured by version {then}; score that "
            "result again with this version"
        )
    usual, used = plain(found.settings(base)), completed(metric, settings)
    strange = sorted(set(used) - set(usual) - set(BESIDE))
    if strange:
        return (
            f"{metric}:{preset} was measured with a setting that it does not have here: {', '.join(strange)}"
        )
    changed = {each: used[each] for each in usual if used[each] != usual[each]}
    # what a row's preset does not say is a difference between the preset then and now
    if silent := [each for each in changed if f" {each}=" not in preset]:
        told = ", ".join(f"{each} {usual[each]} here and {used[each]} there" for each in silent)
        return f"settings of {metric}:{preset} differ ({told}); score that result again with this version"
    drawn = {"pictures": used["pictures"]} if used.get("pictures") else {}
    return MetricChoice.model_validate({"name": metric, "preset": base, "settings": changed, **drawn})


def _is_asked(pair: tuple[str, str], choice: MetricChoice, named: bool) -> bool:
    """Whether a row has a metric that the user named, with any preset where that was not named."""
    base, drawn = labels.side_of(pair[1])
    return pair[0] == choice.name and drawn == bool(choice.pictures) and (not named or base == choice.preset)


def judged(found: Others, label: str, text: str = "") -> tuple[list[tuple[MetricChoice, str]], list[str]]:
    """The metrics that can be measured as they were there, each with the preset that its row has.

    Args:
        found: of one data set.
        label: of that.
        text: names of metrics, to compare by these alone; "" for all.

    Returns:
        The metrics, and a sentence for each that cannot be.

    Raises:
        UsageError: an unknown metric, or nothing is left.
    """
    known: dict[tuple[str, str], Mapping[str, object]] = {}
    for metric, preset, settings in found.frame[["metric", "preset", "metric_settings"]].itertuples(
        index=False
    ):
        if isinstance(settings, str) and settings:
            known.setdefault((metric, preset), json.loads(settings))
    if not len(found.frame):
        of = [
            n
            for n in found.numbers
            if f"{n.dataset}-{n.size}" == label and n.statistic == "mean" and n.preset
        ]
        known = {
            (n.metric, str(n.preset)): plain(metrics.get(n.metric).settings(n.preset))
            for n in of
            if n.metric in metrics.names() and n.preset in metrics.get(n.metric).presets
        }
    if text:
        parts = [part for part in text.split(",") if part.strip()] or [text]
        asked = [(protocols.choose_metric(part), ":" in part) for part in parts]
        for choice, named in asked:
            if not any(_is_asked(pair, choice, named) for pair in known):
                have = ", ".join(f"{metric}:{preset}" for metric, preset in known)
                asked_for = f"{choice.name}:{choice.preset}" if named else choice.name
                asked_for += labels.OF_GENERATOR if choice.pictures else ""
                raise UsageError(
                    f"{found.named} has no {asked_for} on {label}, so nothing would stand beside it; it has "
                    f"{have or 'no score'}."
                )
        known = {
            pair: settings
            for pair, settings in known.items()
            if any(_is_asked(pair, choice, named) for choice, named in asked)
        }
    chosen: list[tuple[MetricChoice, str]] = []
    reasons: list[str] = []
    for (metric, preset), settings in known.items():
        made = choice_of(metric, preset, settings)
        if isinstance(made, str):
            reasons.append(made)
        else:
            chosen.append((made, preset))
    if not chosen:
        why = "; ".join(reasons) or "it has no score there"
        raise UsageError(f"nothing of {found.named} compares on {label}: {why}.")
    return chosen, [f"not compared: {reason}" for reason in reasons]


def not_alike(one: Opened, choice: MetricChoice) -> str:
    """Why a source cannot have a metric as a kept result has it; "" if it can.

    Beside all that no source of its kind can have: the estimates of a table metric, such as a mutual
    information, move with the number of rows.
    """
    if choice.pictures:
        drawing = one.source.generator()
        why = drawing if isinstance(drawing, str) else plans.undefined(choice, one.data)
        return f"{one.path}: no {choice.shown}, {why}" if why else ""
    if error := plans.plan(choice, one.source, one.data, 1).error:
        return f"{one.path}: {error.marked if isinstance(error, UsageError) else short(error)}"
    if metrics.get(choice.name).kind not in ON_ROWS or one.source.rows is None:
        return ""
    whole = len(draws.table_rows(one.data))
    here = len(draws.table_rows(one.data, having=one.source.rows))
    if here == whole:
        return ""
    return (
        f"{one.path}: it has codes of {here:,} rows, and {choice.name} was measured on {whole:,}; give codes "
        "of as many rows"
    )


def nothing(found: Others, reasons: Sequence[str]) -> UsageError:
    """The sentence where nothing compares, with the first reasons."""
    several = list(dict.fromkeys(reason.removeprefix("not compared: ") for reason in reasons))
    more = f"; and {len(several) - MOST_TOLD} more" if len(several) > MOST_TOLD else ""
    return UsageError(f"nothing of mine compares with {found.named}: {'; '.join(several[:MOST_TOLD])}{more}.")


# --- Rows of mine ---


def rows_of(
    name: str, scored: Iterable[tuple[Opened, Sequence[ScoreEntry]]], label: str, sha256: str
) -> list[dict[str, object]]:
    """Per-seed rows of sources that were scored, as `aggregate.scores` takes them; each source is a seed.

    Args:
        name: of the row.
        scored: the sources with their entries.
        label: of their data.
        sha256: of their data.
    """
    import disbench

    return [
        {
            **dict.fromkeys(("variant", "settings", "cell", "config", "trained", "plugin", "folder"), ""),
            "dataset": label,
            "protocol": "",
            "method": name,
            "metric": entry.metric,
            "preset": entry.label,
            "seed": seed,
            "score": entry.score,
            "state": "done",
            "reason": entry.reason,
            "higher_is_better": entry.higher_is_better,
            "data_sha256": sha256,
            "metric_settings": metric_settings(entry),
            "changed": "{}",
            "version": disbench.__version__,
            "run": str(one.path),
            **measured(entry),
        }
        for seed, (one, entries) in enumerate(scored)
        for entry in entries
    ]


def of_run(name: str, path: Path, named: bool) -> tuple[pd.DataFrame, list[str]]:
    """Per-seed rows of a run or kept result, as rows of mine, and sentences about what was read.

    Args:
        name: of the row.
        path: the folder.
        named: whether the user gave the name, so that the run must hold one training.

    Raises:
        UsageError: no run, one without seeds, or one of several trainings that was given a name.
    """
    frame, notes = gather([path])
    names = labels.names(frame)
    several = list(dict.fromkeys(names))
    if named and len(several) > 1:
        raise UsageError(
            f"{path} holds {len(several)} rows ({', '.join(several)}), and {argument('name')} {name} names "
            "one; give the run without a name, or the checkpoints of one row."
        )
    own = [name] * len(frame) if len(several) == 1 else [f"{name}: {each}" for each in names]
    emptied = dict.fromkeys(("variant", "settings", "cell", "protocol"), "")
    return frame.assign(method=own, **emptied), notes


def matched(
    mine: pd.DataFrame, found: Others, wanted: Iterable[tuple[str, str]]
) -> tuple[pd.DataFrame, pd.DataFrame, list[str]]:
    """The rows of mine and of the others that were measured alike, and a sentence for what was not.

    Args:
        mine: per-seed rows on the data of the others.
        found: the others on these data.
        wanted: the metrics, each with its preset.

    Raises:
        UsageError: nothing was, or rows of mine were measured differently.
    """
    sentences, kept_mine, kept_theirs = [], [], []
    alone = not len(found.frame)
    have = set(zip(mine["metric"], mine["preset"], strict=True))
    for metric, preset in wanted:
        if (metric, preset) not in have and metric not in set(mine["metric"]):
            sentences.append(
                f"not compared: mine has no {metric}:{preset}; `disbench rescore` adds it to the scores of a "
                "run"
            )
    for pair, group in mine.groupby(["metric", "preset"], sort=False):
        metric, preset = map(str, pair)
        theirs = found.frame[(found.frame["metric"] == metric) & (found.frame["preset"] == preset)]
        if not len(theirs) and not alone:
            others_of = found.frame[found.frame["metric"] == metric]["preset"].unique()
            sentences.append(
                f"not compared: {metric} of mine is {preset}"
                + (f", that of {found.named} is {' and '.join(others_of)}" if len(others_of) else "")
            )
            continue
        used = {_canonical(metric, text) for text in group["metric_settings"].dropna()}
        if len(used) > 1:
            raise UsageError(
                f"rows of mine were measured with different settings of {metric}:{preset}; score them anew, "
                "from codes or checkpoints."
            )
        if not used:
            why = "; ".join(dict.fromkeys(map(str, group["reason"].dropna()))) or "there is no score"
            sentences.append(f"not compared: {metric}:{preset}: {why}")
            continue
        same = np.array(
            [
                not isinstance(text, str) or not text or _canonical(metric, text) in used
                for text in theirs["metric_settings"]
            ],
            bool,
        )
        for text in theirs["metric_settings"][~same].unique():
            sentences.append(
                f"not compared: rows of {found.named} under {metric}:{preset}, whose settings differ "
                f"({_differences(metric, next(iter(used)), text)})"
            )
        if same.any() or alone:
            kept_mine.append(group)
            kept_theirs.append(theirs[same])
    if not kept_mine:
        raise nothing(found, sentences)
    return (
        pd.concat(kept_mine, ignore_index=True),
        pd.concat(kept_theirs, ignore_index=True),
        sentences,
    )


def _canonical(metric: str, text: str) -> str:
    return json.dumps(completed(metric, json.loads(text)), sort_keys=True)


def _differences(metric: str, mine: str, theirs: str) -> str:
    one, other = json.loads(mine), completed(metric, json.loads(theirs))
    names = sorted(name for name in {**one, **other} if one.get(name) != other.get(name))
    return ", ".join(f"{name} {one.get(name)} and {other.get(name)}" for name in names)


def published_of(found: Others, label: str, mine: pd.DataFrame) -> tuple[list[Number], list[str]]:
    """The published numbers that compare with the rows of mine, and sentences about those that do not."""
    judged_by = list(dict.fromkeys(zip(mine["metric"], mine["preset"], strict=True)))
    return comparison.alike(found.numbers, label, judged_by)
