"""A choice among the settings of each method, with labels and without: `leaderboards.tuning` on runs.

The agreement of a model is its score by `udr` or `model_centrality` among the models of its own setting, so
that seeds alone differ. It is measured on the codes or checkpoints of a run; a saved result keeps it.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from disbench import units
from disbench.benchmark.protocols import MetricChoice
from disbench.benchmark.runs import meant, selection
from disbench.benchmark.runs.rows import gather
from disbench.benchmark.runs.settings import settings, varying, with_settings
from disbench.benchmark.scoring.encoded import Progress
from disbench.errors import UsageError
from disbench.files import not_linked
from disbench.leaderboards import aggregate, labels, results, tuning
from disbench.leaderboards.selection import MODEL
from disbench.leaderboards.tuning import Tuned

# The file of a saved result, with the agreement of its models by each way that `KEPT` names.
FILE = "agreement.csv"
KEPT = ("udr:dlib", "udr:dlib_spearman")
COLUMNS = ["by", "folder", "score"]


@dataclass(frozen=True)
class Tuning:
    """The settings of each method, ranked.

    Attributes:
        pools: of each method.
        metric: the metric that chose with labels.
        preset: its preset.
        without: what chose without, such as "udr:dlib".
        notes: sentences about what is missing.
    """

    pools: list[Tuned]
    metric: str
    preset: str
    without: str
    notes: list[str]

    @property
    def by(self) -> str:
        """The metric under its preset: "mig · dlib"."""
        return labels.metric(self.metric, self.preset)


def of_runs(
    runs: Sequence[Path],
    metric: str = "",
    without: str = "udr",
    where: Mapping[str, str] | None = None,
    device: str = "auto",
    progress: Progress | None = None,
) -> Tuning:
    """The settings of each method of runs, see `tuned`.

    Args:
        runs: folders of runs or of saved results.
        metric: the metric that chooses, see `meant.judge`.
        without: the metric of several models that chooses without labels, such as "udr".
        where: column to value, as `aggregate.chosen` takes them.
        device: "auto", "cpu" or "cuda", for checkpoints.
        progress: called during long work.

    Raises:
        UsageError: results that are not comparable, no such metric, or no method with several settings.
    """
    selection.metric_of_models(without)
    frame, notes = gather(runs)
    frame = aggregate.chosen(frame, where or {})
    aggregate.check_comparable(frame)
    if not any(True for _ in tuning.pools(frame)):
        raise UsageError(
            "no method has several settings, so there is none to choose; train some, such as "
            "`disbench run --grid betavae.beta=1,4,16`."
        )
    found = tuned(runs, frame, meant.judge(frame, metric), without, device, progress)
    return replace(found, notes=[*notes, *found.notes])


def tuned(
    runs: Sequence[Path],
    frame: pd.DataFrame,
    judged: tuple[str, str],
    without: str = "udr",
    device: str = "auto",
    progress: Progress | None = None,
) -> Tuning:
    """The settings of each method, ranked by a metric, with the agreement of their seeds.

    Args:
        runs: folders of runs or of saved results.
        frame: their per-seed rows.
        judged: metric and preset that choose.
        without: the metric of several models that chooses without labels, such as "udr".
        device: "auto", "cpu" or "cuda", for checkpoints.
        progress: called during long work.
    """
    by = selection.metric_of_models(without).resolved()
    configs = settings(runs)
    saved = [run for run in runs if results.is_kept(run)]
    names = {run.resolve().name for run in saved}
    kept, missing = _kept(saved, f"{by.name}:{by.preset}")
    measured, further = agreement(frame[~frame["run"].isin(names)], by, device, progress)
    ranked = tuning.tuned(
        with_settings(frame, configs), varying(configs), *judged, pd.concat([kept, measured])
    )
    return Tuning(ranked, *judged, f"{by.name}:{by.preset}", [*missing, *further])


def agreement(
    frame: pd.DataFrame, by: MetricChoice, device: str = "auto", progress: Progress | None = None
) -> tuple[pd.DataFrame, list[str]]:
    """The agreement of every model of a pool with those of its setting.

    Args:
        frame: per-seed rows of runs.
        by: the metric of several models.
        device: for checkpoints.
        progress: called during long work.

    Returns:
        Columns run, folder and score; and a sentence for each setting of which it is not known.
    """
    found, notes = [], []
    for pool in tuning.pools(frame):
        models = pool[pool["state"] == "done"].drop_duplicates(MODEL)
        lone = 0
        for _, rows in models.groupby("cell", sort=False):
            if len(rows) < 2:
                lone += 1
                continue
            one = selection.Pool(str(rows["method"].iloc[0]), rows.reset_index(drop=True))
            try:
                measure = selection.measurement(one, by, device, progress)
            except UsageError as error:
                notes.append(f"no agreement of {one.names[0]} and its like: {error.marked}")
                continue
            if isinstance(measure, str):
                notes.append(f"no agreement of {one.names[0]} and its like: {measure}")
                continue
            found.append(one.rows[MODEL].assign(score=selection.of_models(by, measure())))
        if lone:
            label = labels.labels(pool)[0]
            notes.append(
                f"no agreement of {units.count(lone, 'setting')} of {label} with fewer than two trained seeds"
            )
    columns = [*MODEL, "score"]
    return pd.concat(found)[columns] if found else pd.DataFrame(columns=columns), notes


def write(folder: Path, frame: pd.DataFrame) -> list[str]:
    """Writes `FILE` of a saved result in the making; none where no model has such an agreement.

    Args:
        folder: of the result.
        frame: per-seed rows of its runs.

    Returns:
        A sentence for each setting of which it is not known.
    """
    parts, notes = [], []
    for by in KEPT:
        measured, said = agreement(frame, selection.metric_of_models(by))
        parts.append(measured.assign(by=by))
        notes += said
    table = pd.concat(parts)[COLUMNS]
    if len(table):
        (folder / FILE).write_text(table.to_csv(index=False, lineterminator="\n"), "utf-8")
    return list(dict.fromkeys(notes))


def _kept(saved: Sequence[Path], by: str) -> tuple[pd.DataFrame, list[str]]:
    """The agreement that saved results keep, and a sentence for each that keeps none."""
    found, notes = [pd.DataFrame(columns=[*MODEL, "score"])], []
    for run in saved:
        path = not_linked(run / FILE)
        table = read(path.read_text("utf-8")) if path.is_file() else pd.DataFrame(columns=COLUMNS)
        mine = table[table["by"] == by]
        if mine.empty:
            notes.append(
                f"{run.name} keeps no agreement by {by}, so that no setting is chosen without labels"
            )
        found.append(mine.assign(run=run.resolve().name)[[*MODEL, "score"]])
    return pd.concat(found), notes


def read(text: str) -> pd.DataFrame:
    """The table of a `FILE`.

    Raises:
        UsageError: it is no such table.
    """
    try:
        table = pd.read_csv(io.StringIO(text), dtype={"by": str, "folder": str, "score": float})
        return table[COLUMNS]
    except (ValueError, KeyError) as error:
        raise UsageError(
            f"{FILE} holds no table of the columns {', '.join(COLUMNS)} ({error}); save the result again."
        ) from None
