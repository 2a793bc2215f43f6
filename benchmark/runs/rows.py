"""The rows that leaderboards and plots are made of: scores and logged values, from runs and saved results."""

from __future__ import annotations

import json
import shlex
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from disbench.benchmark.runs import health, store
from disbench.benchmark.runs.store import Cell, Record
from disbench.benchmark.scoring.entries import ScoreEntry
from disbench.benchmark.training import portable
from disbench.errors import UsageError
from disbench.files import plain, read_text
from disbench.leaderboards import labels
from disbench.texts import as_ranges

if TYPE_CHECKING:
    import pandas as pd

MOST_TOLD = 3  # sentences within one


# What stands for the changes of a cell that are not known.
UNKNOWN = "not recorded"


def changed(cell: Cell) -> Mapping[str, object] | None:
    """The settings of a cell that differ from its named config, protocol and variant.

    Returns:
        None where they were not recorded, as they are now, and the method's plug-in is not loaded.

    Raises:
        UsageError: they were not recorded, and the protocol is not here, or the plug-in cannot be used.
    """
    if cell.changed is not None:
        return cell.changed
    # here, so that a look at the state of a run loads neither torch nor a metric
    from disbench import models
    from disbench.benchmark import protocols

    if cell.plugin and cell.method not in models.names():
        return None
    protocol = protocols.of_record(cell.protocol)
    variant = models.get(cell.method).VARIANTS.get(cell.variant, {})
    usual = models.configure(cell.method, cell.config_name, {**protocol.changes(cell.method), **variant})
    return {
        name: plain(value)
        for name, value in cell.config.items()
        if plain(value) != plain(getattr(usual, name, None))
    }


def describe(cell: Cell) -> str:
    """The settings of a cell for people: its named config, and the changes to it."""
    known = changed(cell)
    if known is None:
        return f"{cell.config_name}, changes {UNKNOWN}"
    return ", ".join([cell.config_name, *(f"{name}={value}" for name, value in known.items())])


def names(cells: Iterable[Cell]) -> dict[str, str]:
    """The name of each training of a run, by the name of its folder (`Cell.training`).

    A name is the label of the method and, if several trainings have this label, the difference: settings,
    code of the plug-in, cell, data set, protocol. No two trainings of a run share a name.
    """
    trainings = {cell.training: cell for cell in cells}
    counts = Counter(cell.label for cell in trainings.values())
    # settings are read only where they are needed, since that may load torch
    described = [
        (
            (cell.dataset.label, cell.protocol),
            cell.label,
            _settings(cell) if counts[cell.label] > 1 else "",
            cell.plugin,
            cell.digest,
        )
        for cell in trainings.values()
    ]
    places = [(cell.dataset.label, cell.protocol) for cell in trainings.values()]
    return dict(zip(trainings, labels.with_places(labels.tell_apart(described), places), strict=True))


def _settings(cell: Cell) -> str:
    # of a method that is not here, a look at the state of a run says as much as is known
    return store.told(lambda: describe(cell), cell.config_name)[0]


def columns(records: Iterable[Record]) -> tuple[dict[str, dict[str, object]], list[str]]:
    """The columns that the rows of a training share, by the name of its folder (`Cell.training`).

    Returns:
        The columns, and a sentence for each training that this version does not know, which has none.
    """
    shared, odd = {}, []
    for name, cell in {r.cell.training: r.cell for r in records}.items():
        try:
            shared[name] = _columns(cell)
        except UsageError as error:
            if cell.plugin:
                raise
            odd.append(f"the seeds of {name} are left out: {error}")
    return shared, odd


def _columns(cell: Cell) -> dict[str, object]:
    return {
        "dataset": cell.dataset.label,
        "protocol": cell.protocol,
        "method": cell.method,
        "variant": cell.variant,
        "settings": describe(cell),
        "cell": cell.digest,
        "plugin": cell.plugin,
    }


def journal_rows(run: Path) -> tuple[list[dict[str, object]], list[str]]:
    """Every logged value of a run, as `leaderboards.journals` takes them.

    Returns:
        The rows, and a sentence for each file that cannot be read.
    """
    rows = []
    records = store.records(run)
    shared, odd = columns(records)
    odd = [*records.odd, *odd]
    for record in records:
        if record.cell.training not in shared:
            continue
        head = {**shared[record.cell.training], "seed": record.cell.seed}
        found, sentence = record.logged()
        odd += [sentence] if sentence else []
        rows += [{**head, "quantity": name, **values._asdict()} for name, values in found.items()]
    return rows, odd


@dataclass(frozen=True)
class Rows:
    """The rows of a run.

    Attributes:
        rows: one per cell and metric, as `leaderboards.scores` takes them; those of a failed cell have the
            reason instead of a score.
        outdated: a sentence for each choice that was made of other models or cannot be read.
        odd: a sentence for each cell, and each file of a cell, that cannot be read.
    """

    rows: list[dict[str, object]]
    outdated: list[str]
    odd: list[str]


def score_rows(run: Path) -> Rows:
    """The rows of a run, see `Rows`."""
    # here, as the protocols are
    from disbench.benchmark.runs import choices

    records = store.records(run)
    shared, odd = columns(records)
    chosen, outdated = choices.current(run, records)
    for name, cell in {record.cell.training: record.cell for record in records}.items():
        if name in shared:
            known = changed(cell)
            shared[name]["changed"] = json.dumps({UNKNOWN: True} if known is None else known, sort_keys=True)
    # of a seed without scores, what the other seeds of its training were asked, or else itself, or those
    # beside it
    asked = {name: [_unscored(e) for e in r.entries] for r in records if r.entries for name in _kin(r.cell)}

    def asked_of(record: Record) -> list[ScoreEntry]:
        training, place = _kin(record.cell)
        return asked.get(training) or record.asked or asked.get(place, [])

    rows = [
        {**row, "chosen_by": chosen.get(str(record.cell.folder), "{}")}
        for record in records
        if record.cell.training in shared
        for row in _score_rows(run, record, shared[record.cell.training], asked_of(record))
    ]
    return Rows(rows, outdated, [*records.sentences, *odd, *_copies(records)])


def _copies(records: Sequence[Record]) -> list[str]:
    """A sentence for seeds of one training with equal scores and equal journals: they count as several."""
    alike: dict[tuple[str, tuple[float | None, ...]], list[Record]] = {}
    for record in records:
        if record.entries:
            scores = tuple(entry.score for entry in record.entries)
            alike.setdefault((record.cell.training, scores), []).append(record)
    found = []
    for (training, _), equal in alike.items():
        # collapsed models score alike, too, and have losses of their own
        journals: dict[str, list[int]] = {}
        for record in equal if len(equal) > 1 else ():
            read = partial(read_text, record.folder / "metrics.jsonl", store.RETRY)
            text, _ = store.told(read, None)
            if text:
                journals.setdefault(text, []).append(record.cell.seed)
        found += [
            f"{training}: seed {as_ranges(sorted(seeds)).replace(',', ', ')} are one model, by scores and "
            "journal: copies, or a method that ignores its seed; each counts as a seed of its own"
            for seeds in journals.values()
            if len(seeds) > 1
        ]
    return found


def _kin(cell: Cell) -> tuple[str, str]:
    """A name for the seeds of its training, and one for all of its data set and protocol in a run."""
    return cell.training, f"{cell.dataset.label} {cell.protocol}"


def _unscored(entry: ScoreEntry) -> ScoreEntry:
    """What an entry was asked, as one without a score."""
    return ScoreEntry(
        entry.metric,
        entry.preset,
        entry.changed,
        entry.plugin,
        label=entry.label,
        higher_is_better=entry.higher_is_better,
    )


def _score_rows(
    run: Path, record: Record, shared: dict[str, object], asked: list[ScoreEntry]
) -> Iterable[dict[str, object]]:
    from disbench.benchmark import protocols

    cell, status = record.cell, record.status
    of_cell = {
        **shared,
        "seed": cell.seed,
        "state": status.state,
        "seconds": status.seconds,
        "data_sha256": cell.dataset.sha256,
        "config": cell.config_name,
        "version": record.file.environment.get("disbench"),
        "trained": record.file.environment.get("training"),
        "kernels": _kernels(record),
        "run": str(run),
        "folder": str(record.folder.relative_to(run)),
        "health": "[]",
    }
    entries = record.entries
    if entries is not None and status.state == "done":
        of_cell["health"] = json.dumps(
            health.verdicts(health.last_line(record.folder / "metrics.jsonl"), entries)
        )
    if entries is None:
        of_protocol = protocols.of_record(cell.protocol).metrics
        entries = asked or [ScoreEntry.pending(choice) for choice in of_protocol]
    for entry in entries:
        yield {
            **of_cell,
            "metric": entry.metric,
            "preset": entry.label,
            "score": entry.score,
            "reason": status.why or entry.reason,
            "higher_is_better": entry.higher_is_better,
            "metric_settings": metric_settings(entry),
            **measured(entry),
            "digest": _digest(record, entry),
        }


def _kernels(record: Record) -> str | None:
    """What computed a cell: a CPU's kernels, native where they were not recorded yet, or the name of a GPU.

    None before the training.
    """
    file = record.file
    if not file.environment:
        return None
    if file.device == "cpu":
        return file.environment.get("kernels", portable.NATIVE)
    return file.environment.get("device")


def metric_settings(entry: ScoreEntry) -> str | None:
    """The settings, classifier, plug-in and later version behind a score, as JSON; None without a score."""
    if entry.settings is None:
        return None
    return json.dumps({**entry.settings, **judge(entry)}, sort_keys=True)


def measured(entry: ScoreEntry) -> dict[str, float | None]:
    """What is known of a score beside its number, see `aggregate.scores`."""
    return {
        "spread": entry.std,
        "chance": entry.shuffled.mean if entry.shuffled else None,
        "perfect": entry.perfect,
        "beside": entry.beside.score if entry.beside else None,
        "beside_live": entry.beside.live if entry.beside else None,
    }


def judge(entry: ScoreEntry) -> dict[str, object]:
    """What decides a score beside its metric's settings: classifier, plug-in, a later version, pictures."""
    # the first version is not named, as it was not before there were versions
    later = entry.version if entry.version > 1 else None
    known = {
        "classifier": entry.classifier,
        "plugin": entry.plugin,
        "version": later,
        "pictures": entry.pictures,
    }
    return {name: value for name, value in known.items() if value}


def _digest(record: Record, entry: ScoreEntry) -> str:
    """The digest of a score; "" where there is none, or where what decided the model was not recorded."""
    from disbench.benchmark.protocols import digests

    if entry.settings is None:
        return ""
    facts = {**judge(entry), "preset": entry.preset, "rule": entry.rule}
    return digests.of_score(
        record.cell.protocol, record.file.digest, entry.metric, entry.version, entry.settings, facts
    )


def gather(runs: Sequence[Path]) -> tuple[pd.DataFrame, list[str]]:
    """The per-seed rows of several runs, and sentences: odd files, repeated trainings, outdated choices.

    Args:
        runs: folders of runs or of saved results.

    Raises:
        UsageError: a folder is not a run, a run has no seed that can be read, or runs disagree about one.
    """
    frame, repeated, outdated = gathered(runs)
    return frame, repeated + outdated


def gathered(runs: Sequence[Path]) -> tuple[pd.DataFrame, list[str], list[str]]:
    """The frame of `gather`, its sentences about trainings and odd files, and those about choices."""
    import pandas as pd

    from disbench.leaderboards import aggregate, results, shown

    frames: list[pd.DataFrame] = []
    notes: list[str] = []
    odd: list[str] = []
    for run in dict.fromkeys(runs):
        if results.is_kept(run):
            # by its path, as a run is: a run may be called as it is
            frames.append(results.scores(run).assign(run=str(run)))
            continue
        found = score_rows(run)
        if not found.rows:
            raise no_seeds(run, found.odd)
        frames.append(aggregate.scores(found.rows))
        notes += found.outdated
        odd += found.odd
    frame, repeated = aggregate.deduplicated(aggregate.ordered(aggregate.set_apart(pd.concat(frames))))
    return frame, odd + shown.repeated(repeated), notes


def no_seeds(run: Path, odd: Sequence[str], what: str = "seeds") -> UsageError:
    """The sentence for a run that has nothing to show.

    Args:
        run: the folder.
        odd: a sentence for each file that cannot be read.
        what: that is not there.
    """
    if odd:
        more = f" (and {len(odd) - MOST_TOLD} more)" if len(odd) > MOST_TOLD else ""
        return UsageError(f"{run} holds no {what} that can be read: {' '.join(odd[:MOST_TOLD])}{more}")
    return UsageError(
        f"{run} holds no {what} yet; train some with `disbench run --out {shlex.quote(str(run))}`."
    )


def warnings(frame: pd.DataFrame) -> list[str]:
    """A sentence for each protocol whose scores mean nothing."""
    from disbench.benchmark import protocols

    known = {name: protocols.find(name) for name in sorted(set(frame["protocol"]))}
    return [
        f"protocol {name}: {each.summary}" for name, each in known.items() if each and not each.meaningful
    ]
