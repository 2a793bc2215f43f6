"""The contract of a metric, and the registry that finds it by name.

The kind of a metric says which arguments it takes:

- "table": `metric(codes, factors, *, ...)`, codes (n, d) floats and factors (n, k) integers, row by row;
- "sampling": `metric(codes, grid, *, rng, ...)`, for a metric that holds some factors fixed. Its codes are
  an array over the whole grid, (N, d) in row-major order, or a function from rows (m,) to codes (m, d). A
  second function, `rows(grid, rng, ...)`, makes the same draws without codes, so that a caller can encode
  each image once for all metrics. Where it is declared `occurring`, its grid may be an `Occurring`, rows that
  form no complete grid, and its preset then says "values that occur";
- "unsupervised": `metric(codes, *, ...)`;
- "posterior": `metric(mean, logvar, factors, *, ...)`, the encoder's Gaussians, (n, d) each;
- "models": `metric(codes_of_each_model, *, ...)`, which compares trainings by their codes of the same rows,
  or `metric(encoders, generators, *, rng, ...)`, for which each model draws images for the others;
- "clustering": `metric(table, *, ...)` of a `ContingencyTable`;
- "reconstruction": `metric(images, again, *, ...)`, images (n, c, h, w) and what a model makes of
  their codes;
- "pictures": `metric(quality, *, ...)` of a `Quality`, what an oracle read in the pictures of a generator.

`@metric(...)` registers a function under its own name, fills its settings from a named preset, and checks
its arrays. A built-in metric is one file in this folder and one test; nothing else lists it.

Every metric of one model's codes takes `live` as well, (d,) True for the codes that count. A function that
declares it gets the mask. Any other gets the live codes alone, and its parts are of these, in their order.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import pkgutil
import re
import sys
import typing
import warnings as python_warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from types import ModuleType, SimpleNamespace
from typing import Any, Literal, ParamSpec, get_args

import numpy as np
from threadpoolctl import ThreadpoolController  # type: ignore[import-untyped]

from disbench import plugins, ranges
from disbench.errors import UsageError, unknown
from disbench.metrics import checks
from disbench.metrics.arrays import Bools, Floats, Ints
from disbench.metrics.conversion import as_array, check_aligned
from disbench.metrics.factors import Factors
from disbench.metrics.live import KL, as_mask, check_logvar
from disbench.metrics.occurring import LABEL, Occurring

EncodeRows = Callable[[Ints], Floats]
Scalar = bool | int | float | str
Setting = Scalar | None | tuple[Scalar, ...]
Kind = Literal[
    "table", "sampling", "unsupervised", "posterior", "models", "clustering", "reconstruction", "pictures"
]
Change = Literal["order", "sign", "scale", "common scale", "origin", "values"]
# CPU seconds of n rows, d codes and so many values of all factors together, with these settings; roughly.
Seconds = Callable[[int, int, int, Mapping[str, Setting]], float]
# Whether factors must be values: of all, of each, or as the settings say.
Needs = bool | Callable[[Mapping[str, Setting]], bool | tuple[bool, ...]]
# The score of perfect codes, also as a function of the settings.
Perfect = float | Callable[[Mapping[str, Setting]], float | None] | None
P = ParamSpec("P")

# What scikit-learn's warnings mean, by a part of their type and text.
UNFINISHED = "a fit reached its limit of steps before it converged; with more steps the score may change"
MEANINGS = {
    "after 0 iteration": (
        "a fit could not take a step: these codes are too large, or too far from 0, for its solver"
    ),
    "ConvergenceWarning": UNFINISHED,
    "number of unique classes": (
        "a factor has nearly as many values as there are rows, too many for a classifier to learn"
    ),
}

# Kinds that take `live`: those of one model's codes.
OF_CODES = frozenset({"table", "sampling", "unsupervised", "posterior"})

# Value of the setting `prune` for a mask by the KL of each code, where one is given.
BY_KL = "kl"

# Keywords that are data or do not change the measure; they are not recorded as settings.
NOT_SETTINGS = frozenset({"preset", "rng", "split", "live", "kl", "n_jobs", "progress"})


@dataclass(frozen=True)
class Score:
    """A number and everything needed to judge it.

    Attributes:
        score: the headline value.
        parts: further numbers, arrays per factor or per code, and matrices, by name. Dropped factors have no
            entry, and neither have the codes that a mask `live` left out, unless the metric itself takes it.
        settings: every setting that was used, by name.
        preset: the name of these settings in publications, with the settings that were changed.
        live: (d,) True for the codes that took part; None for a metric without this distinction.
        dropped_factors: columns of factors that were left out because they have one value only; of one-hot
            columns, the first.
        warnings: a sentence about each special rule that was applied to this input.
        n_encoded: number of rows that had to be encoded, repeats included.
    """

    score: float
    parts: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Setting] = field(default_factory=dict)
    preset: str = "custom"
    live: Bools | None = None
    dropped_factors: tuple[int, ...] = ()
    warnings: tuple[str, ...] = ()
    n_encoded: int = 0

    def __float__(self) -> float:
        return self.score


@dataclass(frozen=True)
class Grid:
    """A complete factor grid: row i shows `np.unravel_index(i, sizes)`, the last factor fastest.

    Attributes:
        sizes: number of values of each factor.
        names: of the factors, or none.

    Raises:
        UsageError: no factor, one without values, or another number of names.
    """

    sizes: tuple[int, ...]
    names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        whole = isinstance(self.sizes, tuple) and all(isinstance(n, int | np.integer) for n in self.sizes)
        if not whole or not self.sizes or min(self.sizes) < 1:
            raise UsageError(
                f"a grid needs a tuple of whole numbers, one for each factor, of 1 or more each, but got "
                f"{self.sizes!r}"
            )
        if self.names and len(self.names) != len(self.sizes):
            raise UsageError(f"a grid of {len(self.sizes)} factors needs as many names, but got {self.names}")

    def __len__(self) -> int:
        return int(np.prod(self.sizes, dtype=np.int64))

    @property
    def varying(self) -> tuple[int, ...]:
        """Columns of the factors with more than one value; the others can be neither held nor predicted."""
        return tuple(k for k, n in enumerate(self.sizes) if n > 1)

    @property
    def strides(self) -> Ints:
        """(k,) Distance of two neighbouring values of each factor, in rows."""
        strides: Ints = np.cumprod(np.array((1, *self.sizes[:0:-1]), dtype=np.int64))[::-1]
        return strides

    def rows(self, factors: Ints) -> Ints:
        """Row numbers (...,) of factor values (..., k)."""
        rows: Ints = np.ravel_multi_index(tuple(np.moveaxis(factors, -1, 0)), self.sizes)
        return rows

    def factors(self, rows: Ints) -> Ints:
        """Factor values (..., k) of row numbers (...,)."""
        return np.stack(np.unravel_index(rows, self.sizes), axis=-1)

    def draw(self, rng: np.random.Generator, *shape: int) -> Ints:
        """Independent uniform factor values, (*shape, k)."""
        return rng.integers(0, self.sizes, size=(*shape, len(self.sizes)))


# What a factor is held in.
Space = Grid | Occurring


def as_space(name: str, grid: object) -> Space:
    """An Occurring as it is; else see `as_grid`."""
    return grid if isinstance(grid, Occurring) else as_grid(name, grid)


def as_grid(name: str, grid: object) -> Grid:
    """A Grid of a Grid or of the sizes alone, in which at least one factor varies."""
    if isinstance(grid, Occurring):
        raise UsageError(
            f"{name}: needs a complete factor grid, since it looks at images that differ in "
            "chosen factors alone"
        )
    if not isinstance(grid, Grid):
        sizes = as_array(grid, f"{name}: grid")
        if sizes.ndim != 1 or sizes.dtype.kind not in "iu":
            raise UsageError(
                f"{name}: needs the factor sizes of a complete grid, such as (3, 6, 40, 32, 32), or a Grid, "
                f"but got {sizes.dtype} {sizes.shape}; it cannot hold factors fixed in a table"
            )
        grid = Grid(tuple(int(n) for n in sizes))
    if not grid.varying:
        raise UsageError(f"{name}: no factor of the grid {grid.sizes} has two values")
    return grid


@dataclass(frozen=True)
class Metric:
    """A registered metric: the function with its checks, and its description.

    Attributes:
        name: of the function.
        fn: the function, with its checks.
        kind: which arguments it takes, see the head of this file.
        paper: its source, such as arXiv:1802.05983.
        presets: value of every setting, by preset and setting.
        default_preset: the preset that is used if none is named.
        rows_fn: the draws of a sampling metric.
        higher_is_better: False if a low score is good.
        chance: score of codes without information, in words ("1/k" for k factors); None if it has no fixed
            value.
        perfect: score of codes that are one factor each, see `metric`.
        depends_on: changes that should not matter and yet change the score: of the "order" or "sign" of
            codes, of the "scale" or "origin" of single codes, of the "common scale" of all, or of the numbers
            that stand for the "values" of factors. With the default preset: others may depend on more.
        integer_factors: whether factors must be values and not any numbers, see `metric`.
        seconds: roughly what it takes on one core, see `metric`; None for one of few seconds at any size.
        occurring: whether a metric that holds factors takes rows without a complete grid, see `occurring`.
        defined_for: by preset, the factors for which its settings were made; the others take any.
        version: raised by a change after which equal codes, rows and settings have another score.
        hints: type and range of each setting, as the function declares them.
        summary: first line of the docstring.
    """

    name: str
    fn: Callable[..., Score]
    kind: Kind
    paper: str
    presets: Mapping[str, Mapping[str, Setting]]
    default_preset: str
    rows_fn: Callable[..., Ints] | None = None
    higher_is_better: bool = True
    chance: str | None = None
    perfect: Perfect = None
    depends_on: tuple[Change, ...] = ()
    integer_factors: Needs = True
    seconds: Seconds | None = None
    occurring: bool = False
    defined_for: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    version: int = 1
    hints: Mapping[str, Any] = field(default_factory=dict)
    summary: str = ""

    def __call__(self, *args: object, **kwargs: object) -> Score:
        return self.fn(*args, **kwargs)

    def takes(self, argument: str) -> bool:
        """Whether the function has this argument, such as `rng` or `split`."""
        return argument in inspect.signature(self.fn).parameters

    @property
    def takes_live(self) -> bool:
        """Whether it takes the mask `live` of the codes that count."""
        return self.kind in OF_CODES

    def asks_for_kl(self, settings: Mapping[str, Setting]) -> bool:
        """Whether these settings take the mask of the codes that are live by their KL, where there is one."""
        return self.takes_live and settings.get("prune") == BY_KL

    def least_kl(self, settings: Mapping[str, Setting]) -> float:
        """KL in nats from which on a code is live, for these settings."""
        return float(str(settings.get("least_kl", KL)))

    def perfect_score(self, settings: Mapping[str, Setting]) -> float | None:
        """The score of codes that are one factor each; None if it has no fixed value."""
        return self.perfect(settings) if callable(self.perfect) else self.perfect

    def settings(self, preset: str | None = None, **changed: Setting | list[Scalar]) -> dict[str, Setting]:
        """Every setting of a preset, some of them changed.

        Args:
            preset: the default one if None.
            changed: settings to change, by name; a list or an array counts as a tuple.

        Raises:
            UsageError: unknown preset or setting; names the nearest one. A value of another type, or out of
                the setting's range.
        """
        chosen = self.default_preset if preset is None else preset
        if chosen not in self.presets:
            raise unknown(f"preset of {self.name}", chosen, self.presets)
        known = self.presets[chosen]
        for setting in changed:
            if setting not in known:
                raise unknown(f"setting of {self.name}", setting, known)
        given = {setting: _plain(value) for setting, value in changed.items()}
        for setting, value in given.items():
            if why := ranges.mistake(f"{self.name}.{setting}", value, self.hints.get(setting, Any)):
                raise UsageError(why)
        return {**known, **given}

    def needs_values(self, settings: Mapping[str, Setting], k: int) -> tuple[bool, ...]:
        """For each of k factors, whether these settings need values that can be numbered."""
        needs = self.integer_factors(settings) if callable(self.integer_factors) else self.integer_factors
        if isinstance(needs, bool):
            return (needs,) * k
        # of another length it is refused by the metric, which has one setting for each factor
        return needs if len(needs) == k else (False,) * k

    def refused(self, factors: Factors, settings: Mapping[str, Setting]) -> str:
        """The first continuous factor where these settings need values; "" if there is none."""
        needs = self.needs_values(settings, len(factors.index))
        for j, (continuous, value) in enumerate(zip(factors.continuous, needs, strict=True)):
            if continuous and value:
                return factors.label(j)
        return ""

    def unfit(self, preset: str, settings: Mapping[str, Setting], names: tuple[str, ...], k: int) -> str:
        """Why a preset's settings, made for certain factors, are not defined for these; "" if they are.

        Factors without names of their own are taken for those of the preset if there are as many.

        Args:
            preset: the preset.
            settings: all settings in use; those that replace the preset's are the caller's own affair.
            names: of the factors that vary, or none.
            k: number of these.
        """
        made_for = self.defined_for.get(preset)
        if made_for is None or not self._kept_for_each(preset, settings):
            return ""
        fits = len(made_for) == k and (not _own_names(names) or names == made_for)
        if fits:
            return ""
        general = [known for known in self.presets if known not in self.defined_for]
        given = f"{k} factors vary" + (f" ({_shortened(names)})" if _own_names(names) else "")
        return (
            f"preset {preset} is made for the {len(made_for)} factors {', '.join(made_for)}, but here "
            f"{given}; take a preset for any factors: {', '.join(general)}"
        )

    def _kept_for_each(self, preset: str, settings: Mapping[str, Setting]) -> bool:
        """Whether a setting that the preset gives for each factor is in use unchanged."""
        own = self.presets[preset]
        return any(isinstance(own[s], tuple) and settings[s] == own[s] for s in own)

    def space(self, grid: object) -> Space:
        """What this metric, which holds factors, draws from: a grid, or rows where it can take them.

        Raises:
            UsageError: it is neither, or rows without a complete grid, and the metric needs one.
        """
        return as_space(self.name, grid) if self.occurring else as_grid(self.name, grid)

    def rows(
        self,
        grid: Space | tuple[int, ...],
        rng: np.random.Generator,
        preset: str | None = None,
        **settings: Setting | list[Scalar],
    ) -> Ints:
        """Row numbers (m,) in the order in which the metric asks for them, if it gets an equal `rng`.

        Args:
            grid: the factor sizes, or the values that occur.
            rng: makes the same draws as that of the metric.
            preset: the default one if None.
            settings: changes to the preset, by name.

        Raises:
            UsageError: a metric that is not of the kind "sampling"; unknown preset or setting.
        """
        if self.rows_fn is None:
            raise UsageError(f"{self.name} scores the table it is given and draws no rows of its own")
        checks.check_rng(self.name, rng, needed=True)
        used = self.settings(preset, **settings)
        wanted = inspect.signature(self.rows_fn).parameters
        return self.rows_fn(self.space(grid), rng, **{s: v for s, v in used.items() if s in wanted})


_METRICS: dict[str, Metric] = {}


class _Package(ModuleType):
    """The type of the package `disbench.metrics`, where the name of a metric means the function.

    After the import of the file `mig.py`, Python binds the package's name `mig` to that module. The name is
    bound to the metric by then, and keeps its meaning.
    """

    def __setattr__(self, name: str, value: object) -> None:
        if not (isinstance(value, ModuleType) and name in _METRICS):
            super().__setattr__(name, value)


_PACKAGE = sys.modules["disbench.metrics"]
_PACKAGE.__class__ = _Package


def metric(
    *,
    paper: str,
    presets: Mapping[str, Mapping[str, Setting]],
    kind: Kind = "table",
    default: str = "dlib",
    rows: Callable[..., Ints] | None = None,
    higher_is_better: bool = True,
    chance: str | None = None,
    perfect: Perfect = None,
    depends_on: tuple[Change, ...] = (),
    integer_factors: Needs = True,
    seconds: Seconds | None = None,
    occurring: bool = False,
    defined_for: Mapping[str, tuple[str, ...]] | None = None,
    version: int = 1,
) -> Callable[[Callable[P, Score]], Callable[P, Score]]:
    """Registers a function as the metric of its name and puts the common checks around it.

    The function declares `preset: str` and each setting as a keyword with the default preset's value. Its
    score then has the settings, the preset (with the settings that were changed), the dropped factors, and
    the warnings of the estimators.

    Args:
        paper: source of the metric, such as "arXiv:1802.05983".
        presets: for each preset, the settings that differ from the function's own defaults.
        kind: which arguments the function takes, see the head of this file.
        default: the preset that is used if none is named.
        rows: for the kind "sampling", the function that makes the same draws without codes.
        higher_is_better: False if a low score is good.
        chance: score of codes without information, in words; None if it has no fixed value.
        perfect: score of codes that are one factor each and nothing else, whatever the number of values; a
            function of the settings if it depends on them; None if it has no fixed value.
        depends_on: see `Metric`.
        integer_factors: whether factors must be values, which can be numbered; False for a metric that takes
            any numbers. A function of the settings if it depends on them; of a tuple, one for each factor.
        seconds: what the metric takes on one core, for one that can take more than 10 s: its caller says so
            first.
        occurring: for the kind "sampling", whether it takes rows that form no complete grid (`Occurring`).
        defined_for: by preset, the names of the factors for which its settings were made, where they have one
            value for each of certain factors.
        version: to be raised by a change after which equal codes, rows and settings have another score;
            scores of different versions are never averaged.

    Raises:
        ValueError: a mistake in the declaration, or a name that is taken.
    """
    if kind not in get_args(Kind):
        raise ValueError(f"kind {kind!r} is none of {get_args(Kind)}")
    if stray := set(depends_on) - set(get_args(Change)):
        raise ValueError(f"depends_on {sorted(stray)} must be among {get_args(Change)}")

    def register(fn: Callable[P, Score]) -> Callable[P, Score]:
        name = fn.__name__
        if name in _METRICS:
            raise ValueError(f"there is already a metric named {name}")
        signature = inspect.signature(fn)
        own = {p.name: p.default for p in signature.parameters.values() if p.kind is p.KEYWORD_ONLY}
        if own.get("preset") != default or default not in presets:
            raise ValueError(
                f"{name}: preset must default to {default!r}, and {default!r} must be among the presets"
            )
        for preset, changed in presets.items():
            if stray := set(changed) - set(own):
                raise ValueError(
                    f"{name}: preset {preset!r} sets {sorted(stray)}, which {name} does not take"
                )
        defaults = {s: value for s, value in own.items() if s not in NOT_SETTINGS}

        @functools.wraps(fn)
        def checked(*args: P.args, **kwargs: P.kwargs) -> Score:
            mask = kwargs.pop("live", None) if kind in OF_CODES and "live" not in own else None
            for word in kwargs:
                if word not in signature.parameters:
                    raise unknown(f"setting of {name}", word, own)
            if "rng" in own:
                needed = own["rng"] is inspect.Parameter.empty
                checks.check_rng(name, kwargs.get("rng"), needed)
            if "n_jobs" in own:
                checks.check_jobs(name, kwargs.get("n_jobs", own["n_jobs"]))
            bound = signature.bind(*args, **kwargs)
            given = {s: v for s, v in bound.arguments.items() if s in defaults}
            preset = bound.arguments.get("preset")
            preset = default if preset is None else str(preset)
            used = entry.settings(preset, **given)
            bound.arguments.update(used)
            dropped, n_encoded, notes, named = _prepare(entry, bound.arguments, used, preset)
            by_rows = isinstance(bound.arguments.get("grid"), Occurring)
            kept = None if mask is None else _leave_out(entry, bound.arguments, mask)
            about_rows: tuple[str, ...] = ()
            if kind == "table" and "split" in own:
                about_rows = _hold_out(name, bound.arguments)
            elif kind in ("table", "unsupervised", "posterior"):
                about_rows = checks.few_rows(n_encoded)
            bins = used.get("bins")
            if kind == "table" and isinstance(bins, int) and bins > 1:
                about_rows += checks.about_counts(bound.arguments["factors"], bins)
            # The matrices are small: more threads take more time, and round differently.
            with (
                _libraries(len(sys.modules)).limit(limits=1),
                python_warnings.catch_warnings(record=True) as caught,
            ):
                python_warnings.simplefilter("always")
                try:
                    score = fn(*bound.args, **bound.kwargs)
                except UsageError as error:
                    raise UsageError(named(error.marked)) from None
            _check_score(name, score)
            if kept is not None:
                score = replace(score, live=_of_all(kept, score.live))
                notes += _left_out(kept)
            reasons = score.warnings
            if score.live is not None and not score.live.any():
                reasons = reasons or ("no code is live, so none can tell anything",)
            changes = [f"{s}={used[s]}" for s in given if used[s] != entry.presets[preset][s]]
            return replace(
                score,
                score=float(score.score),
                settings=used,
                preset=", ".join([preset, *changes, *([LABEL] if by_rows else [])]),
                dropped_factors=dropped,
                warnings=(*notes, *map(named, reasons), *about_rows, *_sentences(caught)),
                n_encoded=score.n_encoded or n_encoded,
            )

        entry = Metric(
            name=name,
            fn=checked,
            kind=kind,
            paper=paper,
            presets={preset: {**defaults, **changed} for preset, changed in presets.items()},
            default_preset=default,
            rows_fn=rows,
            higher_is_better=higher_is_better,
            chance=chance,
            perfect=perfect,
            depends_on=depends_on,
            integer_factors=integer_factors,
            seconds=seconds,
            occurring=occurring,
            defined_for=dict(defined_for or {}),
            version=version,
            hints=_hints(fn, signature),
            summary=(inspect.getdoc(fn) or "").split("\n")[0],
        )
        _METRICS[name] = entry
        if _is_built_in(entry):
            setattr(_PACKAGE, name, checked)
        return checked

    return register


def _hints(fn: Callable[..., Score], signature: inspect.Signature) -> dict[str, Any]:
    """The annotations of a function's keywords, those alone that can be read as it runs."""
    hints = {}
    for name, parameter in signature.parameters.items():
        hint = parameter.annotation
        if isinstance(hint, str):
            # one at a time: names that a module imports for type checkers alone are none of a setting
            try:
                alone = SimpleNamespace(__annotations__={name: hint})
                hint = typing.get_type_hints(alone, fn.__globals__, include_extras=True)[name]
            except NameError:
                continue
        if parameter.kind is parameter.KEYWORD_ONLY and hint is not parameter.empty:
            hints[name] = hint
    return hints


@functools.lru_cache(maxsize=1)
def _libraries(modules: int) -> ThreadpoolController:
    """The libraries of this process that have threads, which take milliseconds to find.

    Args:
        modules: how many are imported; with another one comes another library, perhaps.
    """
    return ThreadpoolController()


def _prepare(
    entry: Metric, arguments: dict[str, Any], settings: Mapping[str, Setting], preset: str
) -> tuple[tuple[int, ...], int, tuple[str, ...], Callable[[str], str]]:
    """Checks the data among the arguments in place.

    Returns:
        Dropped factors, number of rows, warnings, and a function that calls factors in the sentences of a
        metric, which knows them as "factor 0", "factor 1", ..., by their names.
    """
    name, kind = entry.name, entry.kind
    if kind == "clustering":
        if not hasattr(arguments["table"], "counts"):
            raise UsageError(
                f"{name}: takes a ContingencyTable, but got {type(arguments['table']).__name__}; make one by "
                "ContingencyTable.from_labels(classes, categories)"
            )
        return (), int(arguments["table"].counts.sum()), (), str
    if kind == "pictures":
        return (), arguments["quality"].n, (), str
    if kind == "reconstruction":
        # a decoder without a sigmoid overshoots, one of images in [-1, 1] is half a range away
        allowed = {"images": 1e-3, "again": 0.5}
        pair = [checks.check_pixels(name, word, arguments[word], over) for word, over in allowed.items()]
        if pair[0].shape != pair[1].shape:
            raise UsageError(
                f"{name}: images {pair[0].shape} and again {pair[1].shape} must have one shape (n, c, h, w)"
            )
        arguments["images"], arguments["again"] = pair
        return (), len(pair[0]), (), str
    if kind == "models" and "generators" in arguments:
        return (), 0, (), str
    if kind == "models":
        models = list(arguments["codes"])
        for codes in models[1:]:
            check_aligned(name, models[0], codes, "codes of two models")
        arguments["codes"] = [checks.check_codes(name, codes) for codes in models]
        return (), sum(map(len, arguments["codes"])), (), str
    if kind == "unsupervised":
        arguments["codes"] = checks.check_codes(name, arguments["codes"])
        return (), len(arguments["codes"]), (), str
    if kind == "sampling":
        grid = arguments["grid"] = entry.space(arguments["grid"])
        if isinstance(grid, Occurring):
            return grid.dropped, 0, grid.said(), str
        dropped = tuple(k for k in range(len(grid.sizes)) if k not in grid.varying)
        names = tuple(grid.names[k] for k in dropped) if grid.names else ()
        return dropped, 0, _dropped_sentences(dropped, names), str
    first = "mean" if kind == "posterior" else "codes"
    given = arguments["factors"]
    if isinstance(given, Grid):
        given = Factors.whole(given.factors(np.arange(len(given))), given.names)
    codes, factors = checks.check_table(name, arguments[first], given)
    if kind == "posterior":
        check_aligned(name, arguments["mean"], arguments["logvar"], "mean and logvar")
        arguments["logvar"] = check_logvar(name, arguments["logvar"], codes.shape, of="mean", categories=True)
    kept, positions = checks.drop_constant(name, factors)
    if unfit := entry.unfit(preset, settings, kept.names, len(kept.index)):
        raise UsageError(f"{name}: {unfit}")
    if refused := entry.refused(kept, settings):
        raise UsageError(
            f"{name}: factors must be whole numbers or other values that occur again and again, but "
            f"{refused} is continuous; put it into bins, as information.histogram(factors, 20) does, or take "
            f"a metric of numbers: {', '.join(of_numbers())}"
        )
    arguments[first], arguments["factors"] = codes, kept.table(entry.needs_values(settings, len(kept.index)))
    dropped = tuple(factors.columns[j] if factors.columns else j for j in positions)
    notes = (
        *factors.said,
        *_dropped_sentences(dropped, tuple(factors.names[j] for j in positions) if factors.names else ()),
    )
    return dropped, len(codes), notes, functools.partial(_named, kept)


def _check_score(name: str, score: object) -> None:
    """Refuses what a function under `@metric` returned where no record could hold it.

    Raises:
        RuntimeError: no `Score` of one number, parts of other kinds, or not finite without a reason.
    """
    if not isinstance(score, Score):
        raise RuntimeError(f"{name}: it returned {_kind(score)} and no Score; return Score(number)")
    if np.ndim(score.score) != 0 or np.asarray(score.score).dtype.kind not in "biuf":
        raise RuntimeError(f"{name}: the score is {_kind(score.score)} and must be one number")
    if not np.isfinite(score.score) and not score.warnings:
        raise RuntimeError(f"{name}: the score is {score.score} and nothing says why")
    for part, value in score.parts.items():
        if (odd := _untold(value)) is not None:
            raise RuntimeError(
                f"{name}: its part {part!r} holds {_kind(odd)}; give numbers or texts, or arrays, lists or "
                "dicts of them"
            )


def _untold(value: Any) -> object:
    """The first thing in a part that JSON has no word for; None if there is none."""
    if isinstance(value, np.ndarray) and value.dtype.kind in "biufU":
        # one of many numbers need not be walked through
        return None
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, list | tuple):
        return next((odd for odd in map(_untold, value) if odd is not None), None)
    return None if value is None or isinstance(value, bool | int | float | str) else value


def _kind(value: object) -> str:
    """What a sentence calls a value of an unexpected type."""
    return f"an array {value.shape}" if isinstance(value, np.ndarray) else f"a {type(value).__name__}"


def _leave_out(entry: Metric, arguments: dict[str, Any], given: object) -> Bools:
    """Leaves codes out of the data among the arguments, which are checked, in place; the mask (d,).

    Where none is live, the metric gets as many constant codes, whose score it knows.
    """
    name = entry.name

    def kept(codes: Floats, mask: Bools) -> Floats:
        return codes[:, mask] if mask.any() else np.zeros_like(codes)

    tables = ("mean", "logvar") if entry.kind == "posterior" else ("codes",)
    codes = arguments[tables[0]]
    if callable(codes):
        wanted = as_mask(name, given, np.asarray(given).size)

        def encode(rows: Ints) -> Floats:
            z = checks.check_codes(name, codes(rows))
            return kept(z, as_mask(name, wanted, z.shape[1]))

        arguments["codes"] = encode
        return wanted
    codes = arguments[tables[0]] = checks.check_codes(name, codes)
    mask = as_mask(name, given, codes.shape[1])
    for table in tables:
        arguments[table] = kept(arguments[table], mask)
    return mask


def _of_all(mask: Bools, live: Bools | None) -> Bools:
    """(d,) Which of all codes took part, of which of those of a mask did."""
    whole = mask.copy()
    if live is not None and mask.any():
        whole[mask] = live
    return whole


def _left_out(mask: Bools) -> tuple[str, ...]:
    """The sentence about codes that a mask left out."""
    if mask.all():
        return ()
    return (f"{(~mask).sum():,} of {len(mask):,} codes were left out (live); the parts are of the others",)


def _named(factors: Factors, sentence: str) -> str:
    """The sentence with "factor 1" called as `Factors.label` does."""

    def label(found: re.Match[str]) -> str:
        j = int(found[1])
        return factors.label(j) if j < len(factors.index) else found[0]

    return re.sub(r"\bfactor (\d+)\b", label, sentence)


def _plain(value: object) -> Setting:
    """A setting in Python's own types, which records hold: of numpy's numbers, lists and arrays."""
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    found: Setting = tuple(value) if isinstance(value, list) else value  # type: ignore[assignment]
    return found


def _own_names(names: tuple[str, ...]) -> bool:
    """Whether factors are called something: not factor_0, factor_1, ..., which a file without names gives."""
    return bool(names) and not all(re.fullmatch(r"factor_\d+", name) for name in names)


def _shortened(names: tuple[str, ...]) -> str:
    shown = ", ".join(names[:6])
    return shown if len(names) <= 6 else f"{shown}, ..."


def _hold_out(name: str, arguments: dict[str, Any]) -> tuple[str, ...]:
    """Draws the split of a metric that fits and tests where none was given; the warnings about it."""
    if not arguments.get("held_out", True):
        return checks.about_rows(arguments["codes"], arguments["factors"], None)
    split, rng = arguments.get("split"), arguments.get("rng")
    arguments["split"] = checks.split_rows(name, len(arguments["codes"]), split, rng)
    return checks.about_rows(arguments["codes"], arguments["factors"], arguments["split"])


def _dropped_sentences(dropped: tuple[int, ...], names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(f"factor {each} has one value and was left out" for each in names or dropped)


def _sentences(caught: list[python_warnings.WarningMessage]) -> tuple[str, ...]:
    """The warnings of estimators, each once; those meant for programmers are issued again."""
    sentences: dict[str, None] = {}
    for w in caught:
        if issubclass(w.category, (DeprecationWarning, FutureWarning, PendingDeprecationWarning)):
            python_warnings.warn_explicit(w.message, w.category, w.filename, w.lineno)
            continue
        first_line = f"{w.category.__name__}: {str(w.message).strip().splitlines()[0].rstrip(':')}"
        known = (meaning for part, meaning in MEANINGS.items() if part in first_line)
        sentences[next(known, first_line)] = None
    return tuple(sentences)


def _is_built_in(entry: Metric) -> bool:
    return entry.fn.__module__.startswith(f"{_PACKAGE.__name__}.")


@functools.cache
def _discover() -> None:
    """Imports every module of this package, so that a metric is known by its file alone."""
    for module in pkgutil.iter_modules(_PACKAGE.__path__):
        importlib.import_module(f"{_PACKAGE.__name__}.{module.name}")


def registered_by(module: str) -> list[str]:
    """The names of the metrics that a module defines."""
    return [name for name, entry in _METRICS.items() if entry.fn.__module__ == module]


def forget(module: str) -> None:
    """Removes the metrics of a module that cannot be used after all."""
    for name in registered_by(module):
        del _METRICS[name]


@functools.cache
def of_numbers() -> tuple[str, ...]:
    """The built-in table metrics that take continuous factors, if need be with a preset that does."""
    found = []
    for name in built_in():
        entry = _METRICS[name]
        presets = [entry.default_preset, *entry.presets]
        fits = [p for p in presets if not any(entry.needs_values(entry.presets[p], 1))]
        if entry.kind == "table" and fits:
            found.append(name if fits[0] == entry.default_preset else f"{name}:{fits[0]}")
    return tuple(found)


def built_in() -> list[str]:
    """The names of the metrics of this package, sorted."""
    _discover()
    return sorted(name for name, entry in _METRICS.items() if _is_built_in(entry))


plugins.announce("metrics", plugins.Registry(built_in, registered_by, forget))


def names() -> list[str]:
    """The names of all metrics, sorted, those of plug-ins included."""
    _discover()
    return sorted({*_METRICS, *plugins.names("metrics")})


def get(name: str) -> Metric:
    """The metric of this name.

    Raises:
        UsageError: no such metric; names the nearest one. A plug-in that cannot be used.
    """
    _discover()
    offer = plugins.find("metrics", name)
    if offer is not None and name not in _METRICS:
        offer.load()
        if name not in _METRICS:
            raise plugins.broken(offer.origin, f"it registers no metric named {name!r}")
    if name not in _METRICS:
        raise unknown("metric", name, names())
    return _METRICS[name]
