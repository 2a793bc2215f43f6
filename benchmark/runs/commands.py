"""The commands that train given settings, of a finished run or of a paper's table, and that score a run."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from disbench import models
from disbench.benchmark import protocols
from disbench.benchmark.datasets import loading, manifest, naming
from disbench.benchmark.datasets.naming import split_name
from disbench.benchmark.runs.store import CellFile
from disbench.benchmark.scoring import classifier
from disbench.benchmark.training import portable
from disbench.benchmark.training.gpu import PLAIN
from disbench.leaderboards.tables import Table
from disbench.texts import as_ranges


@dataclass(frozen=True)
class Recipe:
    """One method under one setting on one data set.

    Attributes:
        protocol: name of the protocol.
        dataset: name of the data set.
        size: image size in pixels.
        config: name of the method's config.
        method: name of the method.
        variant: the method's variant, or "".
        changed: settings that differ from the config, field to value, as JSON with sorted keys.
    """

    protocol: str
    dataset: str
    size: int
    config: str
    method: str
    variant: str = ""
    changed: str = "{}"


class _Shared(NamedTuple):
    """The options that all methods of one command share."""

    protocol: str
    dataset: str
    size: int
    config: str
    seeds: tuple[int, ...]


def commands(wanted: Mapping[Recipe, Sequence[int]], out: str, options: Sequence[str] = ()) -> list[str]:
    """The fewest commands that train all recipes, after those that train the classifiers of their metrics.

    Args:
        wanted: seeds of each recipe.
        out: the folder of the run.
        options: further words of each, such as "--portable".
    """
    groups: dict[_Shared, list[Recipe]] = {}
    for recipe, seeds in wanted.items():
        shared = _Shared(recipe.protocol, recipe.dataset, recipe.size, recipe.config, tuple(sorted(seeds)))
        groups.setdefault(shared, []).append(recipe)
    datasets_of: dict[tuple[str, ...], list[str]] = {}
    for shared, recipes in groups.items():
        for together in _packed(recipes):
            datasets_of.setdefault(tuple(_words(shared, together)), []).append(shared.dataset)
    last = [*options, "--out", out]
    runs = [_line(words, datasets, last) for words, datasets in datasets_of.items()]
    return [*dict.fromkeys(line for recipe in wanted for line in _classifier(recipe)), *runs]


def hardware(file: CellFile) -> tuple[str, ...]:
    """The options that say what computed a seed: a GPU, or portable arithmetic; none for a CPU's kernels."""
    if file.device == "cpu":
        return ("--portable",) if file.environment.get("kernels") == portable.PORTABLE else ()
    precision = str(file.environment.get("precision", PLAIN.precision))
    return ("--device", "cuda", *(() if precision == PLAIN.precision else ("--precision", precision)))


def _classifier(recipe: Recipe) -> list[str]:
    """The command that trains the classifier of generated images, if a metric of the protocol needs it."""
    base, _ = split_name(recipe.dataset)
    needed = protocols.need_classifier(protocols.of_record(recipe.protocol).metrics)
    # the data set of a plug-in need not be here
    known = base.endswith(".npz") or (base in manifest.names() and manifest.read(base).classes)
    if not (needed and known):
        return []
    name = classifier.whole(recipe.dataset)
    return [shlex.join(["disbench", "data", "classifier", name, "--size", str(recipe.size)])]


def of_scores(names: Sequence[str], out: str) -> str:
    """The command that scores what a run trained by further metrics, called as people write them."""
    return shlex.join(["disbench", "rescore", out, "--metrics", ",".join(names)])


def of_table(table: Table, out: str) -> list[str]:
    """The commands that train the methods of a paper's table, and those that choose among them.

    Args:
        table: the table.
        out: the folder of the run.
    """
    return [*commands(_wanted(table), out), *_choices(table, out)]


def cost_of_table(table: Table) -> str:
    """What the commands of a table train, as a comment of a shell: seeds and steps."""
    wanted = _wanted(table)
    seeds = sum(map(len, wanted.values()))
    steps = sum(len(seeds) * _steps(recipe) for recipe, seeds in wanted.items())
    return (
        f"# {seeds:,} seeds, {steps:,} training steps in all; a command with --dry-run says how long it "
        "takes here"
    )


def _steps(recipe: Recipe) -> int:
    """Training steps of a seed."""
    changes = dict(protocols.of_record(recipe.protocol).changes(recipe.method))
    changes |= models.get(recipe.method).VARIANTS.get(recipe.variant, {})
    return models.configure(recipe.method, recipe.config, changes | json.loads(recipe.changed)).steps


def _wanted(table: Table) -> dict[Recipe, range]:
    """The seeds of each row of a table, on each of its data sets."""
    return {
        Recipe(
            table.protocol,
            dataset,
            row.size or table.size,
            row.config or table.config,
            row.method,
            row.variant,
            json.dumps(row.settings, sort_keys=True),
        ): range(table.seeds)
        for row in table.rows
        if row.method is not None and not row.chosen_by
        for dataset in table.datasets()
    }


def _choices(table: Table, out: str) -> list[str]:
    """The commands that choose the models of a table's rows without labels."""
    words = [
        ["disbench", "leaderboard", out, "--select", row.chosen_by, "--where", f"method={row.method}"]
        for row in table.rows
        if row.chosen_by and row.method is not None
    ]
    return [shlex.join(each) for each in words]


def _packed(recipes: Iterable[Recipe]) -> list[list[Recipe]]:
    """Groups of recipes that one command can train: each method once, or one method in several variants."""
    plain: list[list[Recipe]] = []
    variants: dict[tuple[str, str], list[Recipe]] = {}
    for recipe in recipes:
        if recipe.variant:
            variants.setdefault((recipe.method, recipe.changed), []).append(recipe)
            continue
        for group in plain:
            if all(recipe.method != other.method for other in group):
                group.append(recipe)
                break
        else:
            plain.append([recipe])
    return [*plain, *variants.values()]


def _words(shared: _Shared, recipes: Sequence[Recipe]) -> list[str]:
    protocol = protocols.of_record(shared.protocol)
    methods = dict.fromkeys(recipe.method for recipe in recipes)
    words = ["--methods", ",".join(methods)]
    variants = [recipe.variant for recipe in recipes if recipe.variant]
    words += ["--variants", ",".join(variants)] if variants else []
    words += ["--protocol", protocol.id]
    words += ["--config", shared.config] if shared.config != protocol.config else []
    base, _ = split_name(shared.dataset)
    # the data set of a plug-in need not be here
    known = base.endswith(".npz") or base in manifest.names()
    usual_size = loading.usual_size(shared.dataset, protocol.size) if known else None
    words += ["--size", str(shared.size)] if shared.size != usual_size else []
    words += ["--seeds", _seeds(shared.seeds)]
    for recipe in dict.fromkeys(replace(recipe, variant="") for recipe in recipes):
        for field, value in json.loads(recipe.changed).items():
            words += ["--set", f"{recipe.method}.{field}={_value(value)}"]
    return words


def _seeds(seeds: Sequence[int]) -> str:
    if list(seeds) == list(range(len(seeds))):
        return str(len(seeds))
    return as_ranges(seeds) + ("," if len(seeds) == 1 else "")


def _value(value: object) -> str:
    if isinstance(value, list):
        return ",".join(map(_value, value))
    return str(value).lower() if isinstance(value, bool) else str(value)


def _line(words: Sequence[str], datasets: Sequence[str], last: Sequence[str]) -> str:
    (protocol,) = (words[i + 1] for i, word in enumerate(words) if word == "--protocol")
    named = list(dict.fromkeys(datasets))
    named = [] if named == [protocols.of_record(protocol).dataset] else naming.as_ranges(named)
    return shlex.join(["disbench", "run", *words, *(w for name in named for w in ("--dataset", name)), *last])
