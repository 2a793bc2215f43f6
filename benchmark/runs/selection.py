"""A choice among trained models without labels, by a metric of several models.

The seeds and settings of one method on one data set are a pool. `udr` ranks them by the codes that scoring
kept, `model_centrality` by the images that their checkpoints draw for each other. No data set is read.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch

from disbench import metrics, models
from disbench.benchmark import protocols
from disbench.benchmark.datasets.reference import DataRef
from disbench.benchmark.protocols import MetricChoice, choose_metric
from disbench.benchmark.runs import choices, codes, kept_agreement, store
from disbench.benchmark.runs.choices import Choice
from disbench.benchmark.runs.rows import gathered
from disbench.benchmark.runs.store import Cell, Record
from disbench.benchmark.scoring import crossed, draws
from disbench.benchmark.scoring.encoded import Progress
from disbench.benchmark.scoring.encoding import one_thread
from disbench.benchmark.training import gpu
from disbench.errors import UsageError, argument, unknown
from disbench.leaderboards import aggregate, labels, results, selection
from disbench.metrics import Score
from disbench.metrics.arrays import Floats, Ints
from disbench.metrics.live import kl_of_codes
from disbench.metrics.registry import Setting
from disbench.models import Method

# names within a sentence
MOST_TOLD = 5
# Of two models, each agrees with the other as much as the other with it.
FEWEST = 3


@dataclass(frozen=True)
class Selected:
    """The models of one method, ranked.

    Attributes:
        pool: the models, the choice first, see `leaderboards.selection`.
        pairwise: (M, M) how well each pair agrees, in the order of `pool`; NaN on the diagonal.
        by: metric and preset, such as "udr:dlib".
        settings: of the metric.
        warnings: of the metric, with the names of models.
    """

    pool: pd.DataFrame
    pairwise: Floats
    by: str
    settings: Mapping[str, Setting]
    warnings: tuple[str, ...]

    @property
    def unpaired(self) -> bool:
        """Whether no pair is known, as of a saved result."""
        return bool(np.isnan(self.pairwise).all())

    def pairs(self) -> pd.DataFrame:
        """The matrix as rows: method, folders of both models, and their score; none where it was not kept."""
        names = [str(Path(run) / folder) for run, folder in self.pool[selection.MODEL].to_numpy()]
        rows = [
            (self.pool["method"][0], names[i], names[j], self.pairwise[i, j])
            for i in range(len(names))
            for j in range(len(names))
            if i != j and not self.unpaired
        ]
        return pd.DataFrame(rows, columns=["method", "first", "second", "score"])


@dataclass(frozen=True)
class Pool:
    """The trained models of one method before they are ranked; `rows` has one row for each of them."""

    method: str
    rows: pd.DataFrame

    @property
    def names(self) -> list[str]:
        """What each model is called in a sentence."""
        trainings = labels.names(self.rows)
        return [f"{name} seed {seed}" for name, seed in zip(trainings, self.rows["seed"], strict=True)]

    @property
    def folders(self) -> list[Path]:
        """The folder of each model."""
        return [Path(run) / folder for run, folder in self.rows[selection.MODEL].to_numpy()]


class _Kept(NamedTuple):
    """Codes (n, d) of a model, and (d,) their KL in nats; None where the model has no posterior."""

    codes: Floats
    kl: Floats | None


def metric_of_models(text: str) -> MetricChoice:
    """The metric of several models that is named, such as "udr" or "udr:dlib_spearman".

    Raises:
        UsageError: another kind of metric, several, or an unknown name; says which there are.
    """
    known = [name for name in metrics.names() if metrics.get(name).kind == "models"]
    name = text.partition(":")[0].strip()
    if name in metrics.names() and name not in known:
        raise UsageError(
            f"{text!r} scores one model at a time; to choose among several without labels, give "
            f"{' or '.join(known)}."
        )
    if name not in known:
        raise unknown("way to select", name, known)
    return choose_metric(text)


def without_labels(run: Path) -> list[str]:
    """The data sets of a run, as its rows call them, whose seeds have only scores that need no labels.

    Only those of which a method has enough trained seeds to rank.
    """
    scored: dict[tuple[str, str], list[bool]] = {}
    for record in store.records(run):
        if record.entries:
            free = all(entry.metric in protocols.LABEL_FREE for entry in record.entries)
            scored.setdefault((record.cell.dataset.label, record.cell.training), []).append(free)
    ranked = [label for (label, _), free in scored.items() if all(free) and len(free) >= FEWEST]
    return list(dict.fromkeys(ranked))


def scored_rows(
    runs: Sequence[Path], where: Mapping[str, str], mixed: bool = False
) -> tuple[pd.DataFrame, list[str]]:
    """The per-seed rows of runs and saved results that can be ranked, and sentences about them.

    Args:
        runs: their folders.
        where: column to value, as `aggregate.chosen` takes them.
        mixed: list differences between results that are not comparable instead of refusing them.

    Raises:
        UsageError: no run, or results that are not comparable.
    """
    frame, notes, _ = gathered(runs)
    frame, different = aggregate.comparable(frame, where, mixed)
    return frame, notes + different


def agreement(runs: Sequence[Path], by: MetricChoice) -> pd.DataFrame:
    """What the saved results among runs keep of how their models agree: columns run, folder and score.

    Raises:
        UsageError: one keeps nothing by this metric.
    """
    kept, lacking = kept_agreement.of([run for run in runs if results.is_kept(run)], f"{by.name}:{by.preset}")
    if lacking:
        raise UsageError(
            f"{lacking[0]} is a saved result that keeps no agreement by {by.name}:{by.preset}; give the "
            "folder that `disbench run --out` wrote."
        )
    return kept


def select(
    frame: pd.DataFrame,
    by: MetricChoice,
    device: str = "auto",
    progress: Progress | None = None,
    kept: pd.DataFrame | None = None,
) -> tuple[list[Selected], list[str]]:
    """Ranks the trained models of each method.

    Everything that a metric needs is looked for before the first one is computed.

    Args:
        frame: per-seed rows of runs, see `scored_rows`.
        by: the metric.
        device: "auto", "cpu" or "cuda", for checkpoints.
        progress: called during long work.
        kept: what saved results keep, see `agreement`; None where there are none.

    Returns:
        A ranking for each method, and a sentence for whatever could not be ranked.

    Raises:
        UsageError: no method can be ranked, models of one method were trained on different data, or a model
            has no kept codes or no checkpoint.
    """
    pools, notes = _pools(frame)
    ready: list[tuple[Pool, Callable[[], Score]]] = []
    reasons = []
    where = placed(by, device)
    for pool in pools:
        if len(pool.rows) < FEWEST:
            reasons.append(
                f"{pool.method} has {len(pool.rows)} trained, and a choice without labels compares {FEWEST} "
                "models or more"
            )
            continue
        prepared = _of_kept(pool, by, kept)
        if prepared is None:
            prepared = measurement(pool, by, where, progress)
        if isinstance(prepared, str):
            reasons.append(prepared)
        else:
            ready.append((pool, prepared))
    if not ready:
        raise UsageError(f"{'; '.join(reasons)}.")
    with one_thread():
        return [_ranked(pool, by, measure()) for pool, measure in ready], notes + reasons


def _of_kept(pool: Pool, by: MetricChoice, kept: pd.DataFrame | None) -> Callable[[], Score] | str | None:
    """What a saved result keeps of a pool, or the reason why that is not enough; None for models of runs."""
    if kept is None or not pool.rows["run"].isin(kept["run"]).any():
        return None
    if pool.rows["run"].nunique() > 1:
        return f"{pool.method} has models of saved results beside others, and these were not compared"
    if pool.rows["cell"].nunique() > 1:
        return (
            f"of {pool.method} a saved result has several settings, whose models were compared with their "
            f"like alone; {argument('tuned')} ranks the settings"
        )
    models = pool.rows[selection.MODEL]
    scores = models.merge(kept, on=selection.MODEL, how="left", validate="one_to_one")["score"]
    if scores.isna().any():
        return f"the saved result keeps no agreement of {pool.method}"
    values = scores.to_numpy(float)
    return lambda: Score(float(values.mean()), parts={"models": values}, preset=str(by.preset))


def placed(by: MetricChoice, device: str) -> str:
    """Where a metric of several models has them: "cpu" or "cuda"; "" for one that reads codes alone."""
    return gpu.choose_device(device) if metrics.get(by.name).takes("generators") else ""


def keep(run: Path, ranking: Selected) -> Path | None:
    """Writes a ranking into the folder of its run.

    Returns:
        The path; None for a ranking without a choice, or not of all models of its method in the run, or of a
        saved result, which keeps what ranks them already.

    Raises:
        OSError: the folder cannot be written.
    """
    if results.is_kept(run):
        return None
    pool = ranking.pool
    of_run = choices.models(store.records(run), pool["method"][0])
    whole = of_run == set(pool["folder"]) and set(pool["run"]) == {str(run)}
    if not (whole and selection.tells_apart(pool)):
        return None
    return Choice(
        method=pool["method"][0],
        by=ranking.by,
        settings=dict(ranking.settings),
        folders=pool["folder"].tolist(),
        scores=pool["score"].tolist(),
        pairwise=[[v if np.isfinite(v) else None for v in row] for row in ranking.pairwise.tolist()],
    ).write(run)


def _pools(frame: pd.DataFrame) -> tuple[list[Pool], list[str]]:
    """The trained models, method by method, and a sentence about the others."""
    seeds = frame.drop_duplicates(selection.MODEL).reset_index(drop=True)
    waiting = seeds[seeds["state"] != "done"]
    named = [
        f"{name} seed {seed} ({state})"
        for name, seed, state in zip(labels.names(waiting), waiting["seed"], waiting["state"], strict=True)
    ]
    notes = [f"not trained, and not among the models: {', '.join(named)}"] if named else []
    pools = []
    for method, rows in seeds.groupby("method", sort=False):
        done = rows[rows["state"] == "done"].reset_index(drop=True)
        data = list(dict.fromkeys(done["dataset"]))
        if len(data) > 1:
            raise UsageError(
                f"{method} was trained on {' and '.join(data)}, and models of different images cannot be "
                f"compared; select one data set with {argument('where')} dataset={data[0]}."
            )
        if done["data_sha256"].nunique() > 1:
            hashes = " and ".join(text[:12] for text in dict.fromkeys(done["data_sha256"]))
            raise UsageError(
                f"{method} was trained on {data[0]} of different content (sha256 {hashes}); give runs on the "
                "same data."
            )
        pools.append(Pool(str(method), done))
    return pools, notes


def measurement(
    pool: Pool, by: MetricChoice, device: str, progress: Progress | None
) -> Callable[[], Score] | str:
    """The measurement of a pool, all that it reads being loaded; or the reason why there is none.

    Raises:
        UsageError: a file is missing or damaged.
    """
    metric = metrics.get(by.name)
    extra: dict[str, object] = {"preset": by.preset, **by.settings}
    if progress and metric.takes("progress"):
        extra["progress"] = partial(progress, f"{pool.method} by {by.name}")
    if metric.takes("rng"):
        extra["rng"] = draws.generator(by)
    if not metric.takes("generators"):
        kept = _kept_codes(pool)
        posteriors = [each.kl for each in kept]
        # a code is informative by its KL where every model has a posterior
        if metric.takes("kl") and all(kl is not None for kl in posteriors):
            extra["kl"] = posteriors
        return partial(metric, [each.codes for each in kept], **extra)
    paths = [folder / "checkpoint.pt" for folder in pool.folders]
    _check_there(pool, paths, "delete the folder of each and repeat the `disbench run` command")
    methods = [_built(path, device) for path in paths]
    where = torch.device(device)
    drawn = [crossed.generator(m, where, name) for m, name in zip(methods, pool.names, strict=True)]
    generators = [generator for generator in drawn if generator is not None]
    if len(generators) < len(drawn):
        return f"{pool.method} draws no images of given codes, which {by.name} compares"
    if min(generator.codes for generator in generators) < 2:
        return f"{pool.method} has a single code, so that {by.name} has nothing to tell apart"
    encoders = [crossed.encoder(method, where) for method in methods]
    return partial(metric, encoders, generators, **extra)


def _built(path: Path, device: str) -> Method:
    """The method of a checkpoint; what is wrong with it is told with its path."""
    saved = models.load_checkpoint(path)
    try:
        return saved.build(device)
    except UsageError as error:
        raise UsageError(f"{path}: {error.marked}") from None


def _check_there(pool: Pool, paths: Sequence[Path], remedy: str) -> None:
    missing = [name for name, path in zip(pool.names, paths, strict=True) if not path.is_file()]
    if missing:
        more = f" and {len(missing) - MOST_TOLD} more" if len(missing) > MOST_TOLD else ""
        raise UsageError(f"there is no {paths[0].name} of {', '.join(missing[:MOST_TOLD])}{more}; {remedy}.")


def _kept_codes(pool: Pool) -> list[_Kept]:
    """The codes of each model on the same rows, with their KL.

    Raises:
        UsageError: a codes.npz is missing or damaged, or the models have no row in common.
    """
    # a run encodes for its metrics alone, and those of categories need no codes
    remedy = "`disbench rescore` by a further metric of codes, such as active_units, encodes them"
    _check_there(pool, [folder / "codes.npz" for folder in pool.folders], remedy)
    files: list[tuple[Path, DataRef, int]] = []
    owns = []
    for name, folder in zip(pool.names, pool.folders, strict=True):
        record = Record.read(folder)
        if record is None:
            raise UsageError(f"the cell.json of {name} is gone; repeat the command.")
        path, about = folder / "codes.npz", record.cell.dataset
        found = codes.read(path, about)
        if found is None:
            raise UsageError(f"{path} of {name} is damaged or of other data; {remedy}.")
        files.append((path, about, _category_columns(record.cell)))
        owns.append(found[0])
    rows = draws.shared_rows(owns)
    if not len(rows):
        raise UsageError(
            f"the kept codes of {pool.method} have no row in common; "
            "delete scores.json there and repeat the `disbench run` command, which then encodes again."
        )
    # one file at a time: that of a whole grid is larger than its shared rows by far
    return [_of_rows(*file, np.searchsorted(own, rows)) for file, own in zip(files, owns, strict=True)]


def _category_columns(cell: Cell) -> int:
    """How many of the last codes are numbers of categories."""
    if "category_code" not in cell.config:
        return 0
    return models.restored(cell.method, cell.config, cell.config_name).category_columns()


def _of_rows(path: Path, about: DataRef, categories: int, place: Ints) -> _Kept:
    """The codes of some places (n,) in a file that was read before, with their KL.

    Each of the last `categories` codes is a column per category: their numbers have no order, and those of
    two seeds have nothing in common.
    """
    found, logvar = codes.read(path, about), codes.read_logvar(path, about)
    if found is None:
        raise UsageError(f"{path} was changed while it was read; repeat the command.")
    values = found[1][place]
    kl = None if logvar is None else kl_of_codes(values, logvar[place])
    if categories:
        d = values.shape[1] - categories
        blocks = [_one_hot(numbers) for numbers in values[:, d:].T]
        values = np.concatenate([values[:, :d], *blocks], axis=1)
        widths = [1] * d + [block.shape[1] for block in blocks]
        kl = None if kl is None else np.repeat(kl, widths)
    return _Kept(values, kl)


def _one_hot(numbers: Floats) -> Floats:
    """(n, K) A column for each category 0, ..., K - 1 of numbers (n,)."""
    whole = numbers.astype(int)
    columns: Floats = np.eye(whole.max() + 1)[whole]
    return columns


def of_models(by: MetricChoice, score: Score) -> Floats:
    """(M,) The score of each model, of a metric of several.

    Raises:
        UsageError: the metric, of a plug-in, gives none.
    """
    if "models" not in score.parts:
        raise UsageError(f"{by.name} gives no score of each model (parts['models']), so that none is chosen.")
    return np.asarray(score.parts["models"], float)


def _ranked(pool: Pool, by: MetricChoice, score: Score) -> Selected:
    metric = metrics.get(by.name)
    values = of_models(by, score)
    ranked = selection.ranked(pool.rows, values.tolist(), metric.higher_is_better)
    position = {(run, folder): i for i, (run, folder) in enumerate(pool.rows[selection.MODEL].to_numpy())}
    order = [position[run, folder] for run, folder in ranked[selection.MODEL].to_numpy()]
    pairwise = np.asarray(score.parts.get("pairwise", np.full((len(order),) * 2, np.nan)), float)
    pairwise = pairwise[np.ix_(order, order)]
    np.fill_diagonal(pairwise, np.nan)
    told = tuple(_named(warning, pool.names) for warning in score.warnings)
    return Selected(ranked, pairwise, f"{by.name}:{score.preset}", score.settings, told)


def _named(warning: str, names: Sequence[str]) -> str:
    """A metric's warning with the models by their names: the metric counts them from 0."""
    return re.sub(
        r"models \[([\d, ]+)\]", lambda found: ", ".join(names[int(i)] for i in found[1].split(",")), warning
    )
