"""A choice among the settings of each method, with labels and without: `leaderboards.tuning` on runs.

The agreement of a model is its score by `udr` or `model_centrality` among the models of its own setting, so
that seeds alone differ. It is measured on the codes or checkpoints of a run; a saved result keeps it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from disbench import units
from disbench.benchmark.protocols import MetricChoice
from disbench.benchmark.runs import choices, kept_agreement, meant, selection
from disbench.benchmark.runs.rows import gather
from disbench.benchmark.runs.settings import settings, varying, with_settings
from disbench.benchmark.scoring.encoded import Progress
from disbench.benchmark.scoring.encoding import one_thread
from disbench.errors import UsageError
from disbench.leaderboards import aggregate, labels, results, tuning
from disbench.leaderboards.selection import MODEL
from disbench.leaderboards.tuning import Tuned
from disbench.metrics.arrays import Floats


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
        UsageError: results that are not comparable, no such metric, or no method with several settings and
            scores of it.
    """
    selection.metric_of_models(without)
    frame, notes = gather(runs)
    frame, _ = aggregate.comparable(frame, where)
    if not tuning.several(frame):
        raise UsageError(
            "no method has several settings, so there is none to choose; train some, such as "
            "`disbench run --grid betavae.beta=1,4,16`."
        )
    judged = meant.judge(frame, metric)
    found = tuned(runs, frame, judged, without, device, progress)
    if not found.pools:
        raise UsageError(
            f"no method with several settings has a score of {':'.join(judged)}; choose another metric, or "
            "add it with `disbench rescore`."
        )
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
    kept, lacking = kept_agreement.of(saved, f"{by.name}:{by.preset}")
    missing = [
        f"{run.name} keeps no agreement by {by.name}:{by.preset}, so that no setting is chosen without labels"
        for run in lacking
    ]
    pools = tuning.pools(frame[~frame["run"].isin(map(str, saved))])
    measured, further = agreement(pools, by, device, progress)
    ranked = tuning.tuned(
        with_settings(frame, configs), varying(configs), *judged, pd.concat([kept, measured])
    )
    return Tuning(ranked, *judged, f"{by.name}:{by.preset}", [*missing, *further])


def agreement(
    pools: Iterable[pd.DataFrame],
    by: MetricChoice,
    device: str = "auto",
    progress: Progress | None = None,
) -> tuple[pd.DataFrame, list[str]]:
    """The agreement of every model of a pool with those of its setting.

    Args:
        pools: per-seed rows of runs, those of each pool.
        by: the metric of several models.
        device: for checkpoints.
        progress: called during long work.

    Returns:
        Columns run, folder and score; and a sentence for each setting of which it is not known.
    """
    found, notes, where = [], [], selection.placed(by, device)
    # of two models, each draws the other as well as the other draws it
    fewest = selection.FEWEST if where else 2
    for pool in pools:
        models = pool[pool["state"] == "done"].drop_duplicates(MODEL)
        few, named = 0, dict(zip(pool["cell"], labels.names(pool), strict=True))
        for cell, rows in models.groupby("cell", sort=False):
            if len(rows) < fewest:
                few += 1
                continue
            one = selection.Pool(str(rows["method"].iloc[0]), rows.reset_index(drop=True))
            scores = _measured(one, by, where, progress)
            if isinstance(scores, str):
                notes.append(f"no agreement of the seeds of {named[cell]}: {scores}")
            else:
                found.append(one.rows[MODEL].assign(score=scores))
        # where there is one setting, none is to be chosen
        if few and pool["cell"].nunique() >= tuning.FEWEST:
            settings = units.count(few, "setting")
            label = labels.labels(pool)[0]
            notes.append(f"no agreement of {settings} of {label} with fewer than {fewest} trained seeds")
    columns = [*MODEL, "score"]
    return pd.concat(found)[columns] if found else pd.DataFrame(columns=columns), notes


def _measured(pool: selection.Pool, by: MetricChoice, device: str, progress: Progress | None) -> Floats | str:
    """(M,) The agreement of each model of one setting, or the reason why there is none."""
    try:
        measure = selection.measurement(pool, by, device, progress)
        if isinstance(measure, str):
            return measure
        # the last digits go with the number of threads
        with one_thread():
            return selection.of_models(by, measure())
    except UsageError as error:
        # they may have been ranked while their codes were there
        chosen = choices.of_models(pool.rows, f"{by.name}:{by.preset}")
        return error.marked if chosen is None else chosen


def chosen_before(frame: pd.DataFrame) -> pd.DataFrame:
    """The agreement by which the models of one setting were ranked in their run, such as ModelCentrality.

    That takes checkpoints and minutes, so that it is taken from the choices that the run keeps. One among the
    models of several settings says nothing of the seeds of each.

    Args:
        frame: per-seed rows of runs.

    Returns:
        Columns run, folder, score and by, which is none of `kept_agreement.KEPT`.
    """
    found = [pd.DataFrame(columns=[*MODEL, "score", "by"])]
    models = frame[frame["state"] == "done"].drop_duplicates(MODEL)
    for (run, method), rows in models.groupby(["run", "method"], sort=False):
        of_run, _ = choices.read(Path(str(run)))
        for choice in of_run if rows["cell"].nunique() == 1 else []:
            of_these = choice.method == method and set(choice.folders) == set(rows["folder"])
            if of_these and choice.by not in kept_agreement.KEPT:
                scores = {"folder": choice.folders, "score": choice.scores}
                found.append(pd.DataFrame(scores).assign(run=str(run), by=choice.by))
    return pd.concat(found)


def write(folder: Path, frame: pd.DataFrame) -> list[str]:
    """Writes the agreement of the models of a saved result in the making, as far as it is known.

    Beside the ways of `kept_agreement.KEPT`, it has those of the choices of `chosen_before`.

    Args:
        folder: of the result.
        frame: per-seed rows of its runs.

    Returns:
        A sentence for each setting of which it is not known.
    """
    parts, notes = [], []
    for by in kept_agreement.KEPT:
        measured, said = agreement(tuning.pools(frame, 1), selection.metric_of_models(by))
        parts.append(measured.assign(by=by))
        notes += said
    kept_agreement.write(folder, pd.concat([*parts, chosen_before(frame)]))
    return list(dict.fromkeys(notes))
