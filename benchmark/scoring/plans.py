"""Which rows of a data set each metric asks for, and how long it will take."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from disbench import metrics
from disbench.benchmark import protocols
from disbench.benchmark.datasets import Dataset
from disbench.benchmark.protocols import MetricChoice, choose_metrics
from disbench.benchmark.scoring import oracles
from disbench.benchmark.scoring.certainty import CHEAP, SHARE, amount
from disbench.benchmark.scoring.draws import distinct, generator, holds_out, lacking, picture_rows, table_rows
from disbench.benchmark.scoring.encoded import Source
from disbench.errors import UsageError, argument
from disbench.metrics.arrays import Ints
from disbench.metrics.registry import Metric, Setting, of_numbers

# CPU seconds of a metric that votes, for each row that it asks for and each code.
VOTING = 1.4e-8
FEWEST_VOTES = 100  # of a quick metric
BY_COST = 0  # as many draws as the cost of a metric allows


@dataclass
class Plan:
    """What one metric will be computed on, or why it cannot be.

    Attributes:
        choice: the metric with its preset and settings.
        draws: the rows that each draw asks for.
        error: why there can be no score; else None.
        notes: sentences for the entry's warnings.
        further: how many further draws of a metric that votes have codes for all their rows.
    """

    choice: MetricChoice
    draws: list[Ints] = field(default_factory=list)
    error: Exception | SystemExit | None = None
    notes: tuple[str, ...] = ()
    further: int = 0

    @property
    def encoded(self) -> list[Ints]:
        """The rows of each draw whose codes it asks for: none where images are decoded again."""
        return [] if metrics.get(self.choice.name).kind == "reconstruction" else self.draws

    @property
    def votes(self) -> bool:
        """Whether its rows are drawn from a whole grid, or by the values that occur."""
        return metrics.get(self.choice.name).kind == "sampling"


def quick(choice: MetricChoice) -> MetricChoice:
    """The metric with a tenth of the votes, if it votes; its label says how many."""
    metric = metrics.get(choice.name)
    used = metric.settings(choice.preset, **choice.settings)
    fewer = {}
    for setting in ("votes", "eval_votes"):
        votes = used.get(setting)
        if metric.kind == "sampling" and isinstance(votes, int):
            fewer[setting] = min(votes, max(votes // 10, FEWEST_VOTES))
    return choice.model_copy(update={"settings": {**choice.settings, **fewer}}) if fewer else choice


def of_one_model(text: str) -> tuple[MetricChoice, ...]:
    """The metrics of a text such as "dci:ibgan,mig".

    Raises:
        UsageError: an unknown metric or preset, or a metric that compares several models.
    """
    choices = choose_metrics(text)
    for choice in choices:
        if metrics.get(choice.name).kind == "models":
            raise _of_models(choice)
    return choices


def _of_models(choice: MetricChoice) -> UsageError:
    return UsageError(
        f"{choice.name} compares several models: `disbench leaderboard RUN --select {choice.name}`"
    )


def plan(choice: MetricChoice, source: Source, data: Dataset, draws: int) -> Plan:
    """The rows that a metric asks for, draw by draw, of those that the source has."""
    try:
        return _plan(choice, source, data, max(draws, 1))
    except (Exception, SystemExit) as error:
        # such as an error of a plug-in
        return Plan(choice, error=error)


def check_defined(choice: MetricChoice, data: Dataset, having: Ints | None = None) -> None:
    """Refuses a metric that is not defined on these data, whatever has the codes.

    Args:
        choice: the metric with its preset and settings.
        data: the data set.
        having: the rows (m,) that have codes, ascending; None for all.

    Raises:
        UsageError: it is not; says what it needs.
    """
    metric = metrics.get(choice.name)
    if metric.kind == "models":
        raise _of_models(choice)
    if choice.pictures:
        try:
            oracles.check(data)
        except UsageError as error:
            raise UsageError(f"{choice.shown}: {error.marked}") from None
        if metric.kind == "sampling" and not metric.occurring:
            raise UsageError(
                f"{choice.shown} needs pictures that differ in chosen factors alone, and these are drawn"
            )
        if metric.kind != "table":
            return
    if metric.kind == "clustering" and data.labels is None:
        raise UsageError(f"{choice.name}: {data.name} has no classes")
    if metric.kind not in ("table", "posterior", "sampling"):
        return
    if not data.known:
        raise UsageError(f"{choice.name} needs factors, and {data.name} has images only")
    if metric.kind == "sampling":
        try:
            metric.space(data.held_in(having))
        except UsageError as error:
            raise UsageError(f"{choice.name}: {error.marked.removeprefix(f'{choice.name}: ')}") from None
        return
    settings = metric.settings(choice.preset, **choice.settings)
    factors = data.varying_factors
    if not len(factors.index):
        raise UsageError(f"{choice.name}: no factor of {data.name} has two values")
    if unfit := metric.unfit(str(choice.preset), settings, factors.names, len(factors.index)):
        raise UsageError(f"{choice.name}: {unfit}")
    if refused := metric.refused(factors, settings):
        raise UsageError(
            f"{choice.name} needs factors whose values occur again and again, and {refused} is continuous; "
            f"give {argument('bins')}, such as 20, or take a metric of numbers: {', '.join(of_numbers())}"
        )


def chosen(protocol: protocols.Protocol, data: Dataset) -> tuple[MetricChoice, ...]:
    """The metrics of a protocol for a data set; where none is defined, those that need no labels."""
    if any(not undefined(choice, data) for choice in protocol.metrics):
        return protocol.metrics
    return protocol.unlabelled


def undefined(choice: MetricChoice, data: Dataset) -> str:
    """Why a metric is not defined on these data, without its name; "" if it is, see `check_defined`."""
    try:
        check_defined(choice, data)
    except UsageError as error:
        return str(error).removeprefix(choice.shown).removeprefix(choice.name).removeprefix(":").strip()
    return ""


def _plan(choice: MetricChoice, source: Source, data: Dataset, draws: int) -> Plan:
    metric, having = metrics.get(choice.name), source.rows
    check_defined(choice, data, having)
    if metric.kind == "clustering":
        return Plan(choice, [np.empty(0, np.int64)])
    if metric.kind == "reconstruction":
        return Plan(choice, [picture_rows(data, draw) for draw in range(draws)])
    if metric.kind == "posterior" and (why := source.no_posterior):
        raise UsageError(
            f"{choice.name} needs the posterior of the codes, mean and log-variance, and {why}; give codes "
            "with logvar of their shape, or an encoder with an output logvar"
        )
    if metric.kind in ("table", "unsupervised", "posterior"):
        held_out = holds_out(choice)
        rows = [table_rows(data, having, draw, held_out=held_out) for draw in range(draws)]
        notes = []
        if having is not None and lacking(table_rows(data, held_out=held_out), having):
            notes.append(f"on {len(rows[0]):,} of the {len(having):,} rows that have codes")
        everything = len(rows[0]) == (len(data) if having is None else len(having))
        if draws > 1 and everything and not (held_out or metric.takes("rng")):
            notes.append(f"each draw has all {len(rows[0]):,} rows, so that the draws do not differ")
        return Plan(choice, rows, notes=tuple(notes))
    grid = data.held_in(having)
    rows = [
        metric.rows(grid, generator(choice, draw), choice.preset, **choice.settings) for draw in range(draws)
    ]
    missing = [lacking(asked, having) for asked in rows]
    if missing[0]:
        raise UsageError(
            f"{choice.name} draws {len(rows[0]):,} images from the whole grid, and {missing[0]:,} of them "
            "have no code"
        )
    whole = [asked for asked, lack in zip(rows, missing, strict=True) if not lack]
    lost = draws - len(whole)
    return Plan(choice, whole, notes=(f"{lost} of {draws} draws ask for rows without codes",) if lost else ())


def expected_seconds(planned: Plan, data: Dataset, d: int) -> float:
    """CPU seconds that one draw of a metric is known to take, roughly, for d codes; 0 where they are few."""
    if planned.error is not None:
        return 0.0
    metric, rows = metrics.get(planned.choice.name), planned.draws[0]
    settings = metric.settings(planned.choice.preset, **planned.choice.settings)
    values = 0
    if metric.seconds is not None and metric.kind in ("table", "posterior"):
        values = sum(len(np.unique(column)) for column in data.factor_values(rows).table(True).T)
    return seconds_of(metric, len(rows), d, values, settings)


def seconds_of(metric: Metric, rows: int, d: int, values: int, settings: Mapping[str, Setting]) -> float:
    """CPU seconds that a metric is known to take, roughly; 0 where they are few.

    Args:
        metric: the metric.
        rows: that it scores or, if it votes, asks for, repeats included.
        d: number of codes.
        values: of all factors together.
        settings: of the metric.
    """
    if metric.kind == "sampling":
        return VOTING * rows * d
    return metric.seconds(rows, d, values, settings) if metric.seconds is not None else 0.0


def all_seconds(planned: Plan, data: Dataset, d: int, draws: int, scores: int = 1) -> float:
    """Likewise of all draws.

    Args:
        planned: of the metric.
        data: the data set.
        d: number of codes.
        draws: number of draws, or `BY_COST`.
        scores: of different codes; all but the first are of one draw where the cost decides.
    """
    once = expected_seconds(planned, data, d)
    if draws != BY_COST:
        return once * draws * scores
    often = amount(once)
    share = 1.0 if planned.votes else SHARE
    return once * (scores + share * often.draws + often.shuffles)


def needed(plans: Sequence[Plan], source: Source, data: Dataset, draws: int) -> Ints:
    """The rows (n,) that metrics ask for, ascending; notes how many further draws of each are among them.

    By cost, metrics that vote draw as often as others. Most hold a factor among the rows that are encoded for
    their first draws, see `Occurring`. One that needs a grid draws from it as long as no more than twice the
    rows of first draws are encoded. Codes that are there already cost nothing.
    """
    wanted = distinct(len(data), *(drawn for planned in plans for drawn in planned.encoded))
    if draws != BY_COST or not len(wanted):
        return wanted
    occurs, having = np.zeros(len(data), bool), source.rows
    occurs[wanted] = True
    most = 2 * len(wanted) if having is None else len(data)
    voting = [
        planned
        for planned in plans
        if planned.error is None and planned.votes and not metrics.get(planned.choice.name).occurring
    ]
    grid = data.held_in(having) if voting else None
    for draw in range(1, CHEAP.draws):
        for planned in [each for each in voting if each.further == draw - 1]:
            choice = planned.choice
            metric = metrics.get(choice.name)
            # with nothing that votes, this is never reached
            assert grid is not None
            asked = metric.rows(grid, generator(choice, draw), choice.preset, **choice.settings)
            whole = occurs.copy()
            whole[asked] = True
            if not lacking(asked, having) and whole.sum() <= most:
                occurs, planned.further = whole, draw
    return np.flatnonzero(occurs)
