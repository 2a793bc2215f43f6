"""Scores codes, whoever made them: a plan says which rows each metric asks for (`plans`), `score` has every
image that any metric asks for encoded once, and then each metric reads its rows (`measuring`).

Where a source has a posterior, the KL of each code is measured on the rows of a table metric, whatever is
scored, and says which codes have collapsed. Which codes count is a rule of `metrics.live`: the one asked for,
or else that of the metric's preset.

What has codes is a `Source`: a trained method (`trained`), a file of codes (`tables`), or an encoder that
someone trained elsewhere (`interface`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from disbench import metrics, units
from disbench.benchmark.datasets import Dataset
from disbench.benchmark.protocols import MetricChoice, need_classifier
from disbench.benchmark.scoring.draws import distinct, every_table, table_rows
from disbench.benchmark.scoring.encoded import Codes, Progress, Source
from disbench.benchmark.scoring.entries import ScoreEntry
from disbench.benchmark.scoring.measuring import Material, Which, ends_all
from disbench.benchmark.scoring.plans import Plan, needed, plan
from disbench.benchmark.training.seeds import StoppedError
from disbench.errors import UsageError, argument, unknown
from disbench.metrics import ContingencyTable
from disbench.metrics.arrays import Ints
from disbench.metrics.live import RULES, by_std, kl_of_codes

PATIENCE = 10.0  # CPU seconds that a metric takes without a word before


def score(
    source: Source,
    data: Dataset,
    choices: Sequence[MetricChoice],
    progress: Progress | None = None,
    jobs: int = 1,
    draws: int = 1,
    stop: Callable[[], bool] = lambda: False,
    tell: Callable[[str], None] | None = None,
    live: str = "",
    beside: bool = False,
    early: Callable[[ScoreEntry], None] | None = None,
) -> list[ScoreEntry]:
    """One entry per metric.

    A metric that this source or data set cannot have (a voting metric without a factor grid, a clustering
    metric without a categorical code, too few rows) is an entry with score None and the reason, and so is a
    metric that fails; the others stand.

    Args:
        source: has the codes.
        data: has the factors.
        choices: the metrics, with presets.
        progress: called during long work.
        jobs: processes for the metrics that can use several, -1 for one per core; no score depends on it.
        draws: independent draws of each metric. The entry is that of the first; of several, `draws` holds
            all scores with their mean, std (n - 1), min and max. `BY_COST` draws as often as each metric's
            cost allows, from rows that are encoded anyway, and computes the chance of each, see `certainty`.
        stop: is called before each metric, and before each of its draws.
        tell: is called with a sentence for each metric that will take long, before any is computed.
        live: the rule by which codes count, one of `metrics.live.RULES`; "" for that of each preset.
        beside: whether to score once more where some codes have collapsed by their KL: without them a metric
            that counts them, and with them one that does not.
        early: is called with each entry that is there before all rows are encoded: those of tables, whose
            rows come first.

    Raises:
        StoppedError: `stop` returned True.
        OSError: the disk is full.
        UsageError: an unknown rule, or "kl" without a posterior.
    """
    check_rule(live, source)
    plans = [plan(choice, source, data, draws) for choice in choices]
    table: tuple[ContingencyTable, str] | str = ""
    if need_classifier(choices):
        table = source.contingency()
    first, rest = _stages(plans, source, data, draws)
    need = _need(plans, live)
    codes, which = _encode(source, data, first, live, need, progress)
    material = Material(source, data, codes, table, progress, jobs, which, draws, stop)
    if tell is not None and codes is not None:
        for planned in plans:
            seconds = material.seconds(planned, beside)
            if seconds > PATIENCE:
                tell(
                    f"{planned.choice.name} will take about {units.duration(seconds)} on one core, for "
                    f"{len(planned.draws[0]):,} rows and {codes.codes.shape[1]:,} codes; Ctrl-C stops it"
                )

    entries: dict[int, ScoreEntry] = {}
    for voting in (False, True):
        if voting and codes is not None and len(rest):
            material = replace(material, codes=codes.joined(rest, source.encoded(rest, progress, need)))
        for i, planned in enumerate(plans):
            if planned.votes != voting:
                continue
            if stop():
                raise StoppedError
            entries[i] = _entry(material, planned, beside)
            if early is not None and len(rest) and not voting:
                early(entries[i])
    return [entries[i] for i in range(len(plans))]


def _entry(material: Material, planned: Plan, beside: bool) -> ScoreEntry:
    """One metric's entry; an error of this metric is not one of the others."""
    try:
        return material.entry(planned, beside)
    except (Exception, SystemExit) as error:
        if ends_all(error):
            raise
        return ScoreEntry.failed(planned.choice, error)


def encode(
    source: Source,
    data: Dataset,
    choices: Sequence[MetricChoice],
    draws: int = 1,
    progress: Progress | None = None,
) -> None:
    """Has the source encode all that `score` will ask it for, in the same parts; nothing for a generator."""
    plans = [plan(choice, source, data, draws) for choice in choices if not choice.pictures]
    for rows in _stages(plans, source, data, draws):
        if len(rows):
            source.encoded(rows, progress, _need(plans, ""))


def rows(source: Source, data: Dataset, choices: Sequence[MetricChoice], draws: int = 1) -> Ints:
    """The rows (n,) of the data set whose codes `score` asks the source for, ascending."""
    plans = [plan(choice, source, data, draws) for choice in choices if not choice.pictures]
    return distinct(len(data), *_stages(plans, source, data, draws))


def check_rule(live: str, source: Source) -> None:
    """Refuses a rule by which codes count that there is not, or that these codes cannot have.

    Args:
        live: the rule, or "" for that of each preset.
        source: has the codes.

    Raises:
        UsageError: an unknown rule, or "kl" without a posterior.
    """
    if live and live not in RULES:
        raise unknown(f"value of {argument('live')}", live, RULES)
    if live == "kl" and (why := source.no_posterior):
        raise UsageError(
            f"{argument('live')} kl needs the posterior of the codes, mean and log-variance, and {why}; give "
            f"codes with logvar of their shape, or take {argument('live')} std."
        )


def _stages(plans: Sequence[Plan], source: Source, data: Dataset, draws: int) -> tuple[Ints, Ints]:
    """The rows (n,) and (m,) to encode, ascending: first those of tables, then those of metrics that vote.

    The last digits of codes depend on what is encoded with them. So the rows of every table metric come
    first, whatever is scored.
    """
    wanted = needed(plans, source, data, draws)
    if not len(wanted):
        return wanted, wanted
    tables = [drawn for planned in plans if not planned.votes for drawn in planned.encoded]
    tables.append(every_table(data) if source.rows is None else table_rows(data, source.rows))
    first = distinct(len(data), *tables)
    return first, np.setdiff1d(wanted, first, assume_unique=True)


def _need(plans: Sequence[Plan], live: str) -> bool:
    """Whether the log-variances of the codes are needed."""
    chosen = [(metrics.get(p.choice.name), p.choice) for p in plans if p.error is None]
    by_kl = any(m.asks_for_kl(m.settings(c.preset, **c.settings)) for m, c in chosen)
    return live == "kl" or (by_kl and not live) or any(metric.kind == "posterior" for metric, _ in chosen)


def _encode(
    source: Source, data: Dataset, rows: Ints, live: str, need: bool, progress: Progress | None
) -> tuple[Codes | None, Which]:
    """The codes of the rows of tables, and which codes count, by their KL on the rows of a table metric."""
    if not len(rows):
        return None, Which()
    encoded = source.encoded(rows, progress, need)
    codes = Codes(rows, encoded.codes, len(data), encoded.logvar)
    which, table = Which(live, d=encoded.codes.shape[1]), distinct(len(data), table_rows(data, source.rows))
    if live == "std" or encoded.logvar is not None:
        which = replace(which, std=by_std(codes(table)))
    if encoded.logvar is not None:
        which = replace(which, kl=kl_of_codes(*codes.posterior(table)))
    return codes, which
