"""The rows that leaderboards and plots are made of: scores and logged values, from runs and saved results."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from disbench.benchmark.runs import store
from disbench.benchmark.runs.store import Cell, Record
from disbench.benchmark.scoring.entries import ScoreEntry
from disbench.benchmark.training import portable
from disbench.errors import UsageError
from disbench.files import plain
from disbench.leaderboards import labels

if TYPE_CHECKING:
    import pandas as pd


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
            describe(cell) if counts[cell.label] > 1 else "",
            cell.plugin,
            cell.digest,
        )
        for cell in trainings.values()
    ]
    places = [(cell.dataset.label, cell.protocol) for cell in trainings.values()]
    return dict(zip(trainings, labels.with_places(labels.tell_apart(described), places), strict=True))


def columns(records: Iterable[Record]) -> dict[str, dict[str, object]]:
    """The columns that the rows of a training share, by the name of its folder (`Cell.training`)."""
    return {name: _columns(cell) for name, cell in {r.cell.training: r.cell for r in records}.items()}


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


def journal_rows(run: Path) -> list[dict[str, object]]:
    """Every logged value of a run: one row per (training, seed, step, quantity, index)."""
    rows = []
    records = store.records(run)
    shared = columns(records)
    for record in records:
        head = {**shared[record.cell.training], "seed": record.cell.seed}
        for line in store.read_lines(record.folder / "metrics.jsonl"):
            for quantity, value in {**line.get("terms", {}), **line.get("monitor", {})}.items():
                for index, number in enumerate(value if isinstance(value, list) else [value]):
                    row = {"step": line["step"], "quantity": quantity, "index": index, "value": number}
                    rows.append({**head, **row})
    return rows


def score_rows(run: Path) -> list[dict[str, object]]:
    """One row per cell and metric, as `leaderboards.scores` takes them.

    The rows of a failed cell have the reason instead of a score.
    """
    return _rows(run)[0]


def _rows(run: Path) -> tuple[list[dict[str, object]], list[str]]:
    """The rows of `score_rows`, and a sentence for each choice that is outdated."""
    # here, as the protocols are
    from disbench.benchmark.runs import choices

    records = store.records(run)
    shared = columns(records)
    chosen, outdated = choices.current(run, records)
    for name, cell in {record.cell.training: record.cell for record in records}.items():
        known = changed(cell)
        shared[name]["changed"] = json.dumps({UNKNOWN: True} if known is None else known, sort_keys=True)
    # of a seed without scores, what the other seeds of its training were asked
    asked = {r.cell.training: [_unscored(e) for e in r.entries] for r in records if r.entries}
    rows = [
        {**row, "chosen_by": chosen.get(str(record.cell.folder), "{}")}
        for record in records
        for row in _score_rows(run, record, shared[record.cell.training], asked.get(record.cell.training, []))
    ]
    return rows, outdated


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
    }
    entries = record.entries
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
    """The kernels of a cell on a CPU: native where they were not recorded yet; None before the training."""
    file = record.file
    return (
        file.environment.get("kernels", portable.NATIVE)
        if file.environment and file.device == "cpu"
        else None
    )


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
    """What decides a score beside its metric's settings: classifier, code of a plug-in, a later version."""
    # the first version is not named, as it was not before there were versions
    later = entry.version if entry.version > 1 else None
    known = {"classifier": entry.classifier, "plugin": entry.plugin, "version": later}
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
    """The per-seed rows of several runs, and sentences about repeated trainings and outdated choices.

    Args:
        runs: folders of runs or of saved results.

    Raises:
        UsageError: a folder is not a run, a run is empty, or runs disagree about a seed.
    """
    frame, repeated, outdated = gathered(runs)
    return frame, repeated + outdated


def gathered(runs: Sequence[Path]) -> tuple[pd.DataFrame, list[str], list[str]]:
    """The frame of `gather`, and its sentences about trainings and about choices."""
    import pandas as pd

    from disbench.leaderboards import aggregate, results, shown

    frames: list[pd.DataFrame] = []
    notes: list[str] = []
    for run in dict.fromkeys(runs):
        if results.is_kept(run):
            frames.append(results.scores(run))
            continue
        rows, outdated = _rows(run)
        if not rows:
            raise UsageError(f"{run} holds no seeds yet; train some with `disbench run --out {run}`.")
        frames.append(aggregate.scores(rows))
        notes += outdated
    frame, repeated = aggregate.deduplicated(aggregate.ordered(aggregate.set_apart(pd.concat(frames))))
    return frame, shown.repeated(repeated), notes


def warnings(frame: pd.DataFrame) -> list[str]:
    """A sentence for each protocol whose scores mean nothing."""
    from disbench.benchmark import protocols

    known = {name: protocols.find(name) for name in sorted(set(frame["protocol"]))}
    return [
        f"protocol {name}: {each.summary}" for name, each in known.items() if each and not each.meaningful
    ]
