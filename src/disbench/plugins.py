"""Methods, metrics and data sets from outside: installed packages by entry points, single files by `load`.

A plug-in is a Python module with one or more of these:

- `METHOD`, a class derived from `disbench.models.Method`: a method with the name of the entry point or of
  the file;
- functions under `@disbench.metrics.metric(...)`: metrics with the functions' names;
- `MANIFEST`, the path or the text of a manifest: a data set with the manifest's name. Where no built-in
  reader fits, `READER` beside it is a class derived from `disbench.datasets.PluginReader`.

A package announces its modules in its `pyproject.toml`:

    [project.entry-points."disbench.methods"]
    wae = "disbench_example.wae"

and likewise in `disbench.metrics` and `disbench.datasets`, one line per name. An installed package is
imported when one of its names is first asked for, so a broken one harms only those who use it.

The registries import this module and hand their part in with `announce`, not the other way round.
"""

from __future__ import annotations

import functools
import hashlib
import importlib
import importlib.metadata
import importlib.util
import sys
import tomllib
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

from disbench.arguments import typed
from disbench.errors import UsageError, argument

Kind = Literal["methods", "metrics", "datasets"]
ONE: Mapping[Kind, str] = {"methods": "method", "metrics": "metric", "datasets": "data set"}
# The module that announces each kind's registry, imported when a file gives something of that kind first.
HOMES: Mapping[Kind, str] = {
    "methods": "disbench.models",
    "metrics": "disbench.metrics",
    "datasets": "disbench.benchmark.datasets.manifest",
}


@dataclass(frozen=True)
class Registry:
    """The part of a registry that plug-ins need.

    Attributes:
        built_in: gives the names of disbench's own.
        registered_by: gives the names that a module, named as in `sys.modules`, registered on import.
        forget: takes back what that module registered.
    """

    built_in: Callable[[], Collection[str]]
    registered_by: Callable[[str], Collection[str]] = lambda module: ()
    forget: Callable[[str], None] = lambda module: None


@dataclass(frozen=True)
class Offer:
    """One name that a plug-in gives.

    Attributes:
        kind: of the registry that it belongs to.
        name: its name there.
        origin: the path of the file, or the package with its version; shown to the user.
        entry: the entry point of an installed package; None for a file.
        module: the loaded file; None for an installed package.
        digest: SHA-256 of the file as it was loaded; "" for an installed package.
    """

    kind: Kind
    name: str
    origin: str
    entry: importlib.metadata.EntryPoint | None = None
    module: ModuleType | None = None
    digest: str = ""

    def load(self) -> Any:
        """The module, or what the entry point names in it.

        Raises:
            UsageError: it cannot be imported.
        """
        if self.entry is None:
            return self.module
        try:
            return self.entry.load()
        # Anything may go wrong when foreign code is imported.
        except (Exception, SystemExit) as error:
            raise broken(self.origin, error) from error

    def source(self) -> str:
        """The origin and the SHA-256 of the module's file, which are recorded with each result.

        Of a file, that of the code which runs, whatever became of the file since.
        """
        if self.digest:
            return f"{Path(self.origin).name}, sha256 {self.digest[:16]}"
        loaded = self.load()
        home = loaded if isinstance(loaded, ModuleType) else sys.modules[loaded.__module__]
        code = Path(str(home.__file__))
        return f"{self.origin}, sha256 {hashlib.sha256(code.read_bytes()).hexdigest()[:16]}"


# The loaded files with the SHA-256 of their content, and their offers.
_FILES: dict[Path, str] = {}
_OFFERS: list[Offer] = []
_REGISTRIES: dict[Kind, Registry] = {}


def announce(kind: Kind, registry: Registry) -> None:
    """Hands in the registry of a kind; each calls this when it is imported."""
    _REGISTRIES[kind] = registry


def broken(origin: str, error: BaseException | str) -> UsageError:
    if isinstance(error, UsageError):
        why = error.marked
    else:
        why = error if isinstance(error, str) else f"{type(error).__name__}: {error}"
    return UsageError(f"the plug-in {origin} cannot be used: {' '.join(why.split())}")


def files() -> tuple[Path, ...]:
    """The files loaded so far, in order; a worker process has to load them too."""
    return tuple(_FILES)


@typed
def load(path: str | Path) -> list[str]:
    """Loads a file as a plug-in; a second time does nothing.

    Returns:
        Kind and name of each offer, such as ["method wae", "metric rank_gap"].

    Raises:
        UsageError: no such file, one that fails on import or gives nothing, or a name that is taken.
    """
    path = Path(path).absolute()
    if path.suffix != ".py" or not path.is_file():
        raise UsageError(f"the plug-in {path} is no Python file; give the path of a .py file.")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    if _FILES.get(path, digest) != digest:
        raise UsageError(f"the plug-in {path} changed after it was loaded; start Python again.")
    if path not in _FILES:
        name = f"disbench_plugin_{digest[:8]}_{path.stem}"
        try:
            offers = _offers_of(path, _imported(path, name), digest)
            for offer in offers:
                _refuse_clash([offer, *_offered(offer.kind, offer.name)])
        except UsageError:
            del sys.modules[name]
            for registry in _REGISTRIES.values():
                registry.forget(name)
            raise
        _OFFERS.extend(offers)
        _FILES[path] = digest
    return [f"{ONE[offer.kind]} {offer.name}" for offer in _OFFERS if offer.origin == str(path)]


def _imported(path: Path, name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise broken(str(path), "Python has no loader for it")
    module = importlib.util.module_from_spec(spec)
    # Data classes look up their annotations there.
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        raise broken(str(path), error) from error
    return module


def _offers_of(path: Path, module: ModuleType, digest: str) -> list[Offer]:
    """The offers of a file."""
    offer = functools.partial(Offer, origin=str(path), module=module, digest=digest)
    offers = [offer("methods", path.stem)] if hasattr(module, "METHOD") else []
    if hasattr(module, "MANIFEST"):
        try:
            offers.append(offer("datasets", str(tomllib.loads(manifest_text(module))["name"])))
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise broken(str(path), f"its MANIFEST is no manifest with a name ({error})") from error
    for kind, registry in _REGISTRIES.items():
        offers += [offer(kind, name) for name in registry.registered_by(module.__name__)]
    if not offers:
        raise broken(
            str(path), "it has no METHOD, no MANIFEST and no function under @disbench.metrics.metric"
        )
    return offers


def manifest_text(module: ModuleType) -> str:
    """The text of a module's MANIFEST: given as such, or as a path relative to the module's file."""
    manifest = module.MANIFEST
    if isinstance(manifest, str) and "\n" in manifest:
        return manifest
    return Path(str(module.__file__)).parent.joinpath(manifest).read_text("utf-8")


def names(kind: Kind) -> set[str]:
    """Every name that plug-ins give. Imports nothing."""
    return {offer.name for offer in _OFFERS if offer.kind == kind} | set(_installed(kind))


def find(kind: Kind, name: str) -> Offer | None:
    """The plug-in that gives this name, if one does.

    Raises:
        UsageError: several do, or disbench itself has that name too.
    """
    offers = _offered(kind, name)
    if offers:
        _refuse_clash(offers)
    return offers[0] if offers else None


def source(kind: Kind, name: str) -> str:
    """Where a name comes from, with a SHA-256; "" for what is built in."""
    offer = find(kind, name)
    return "" if offer is None else offer.source()


def absent(kind: Kind, name: str, wanted: str) -> UsageError:
    """The error for a result that was made with a plug-in which is not loaded now."""
    return UsageError(
        f"the {ONE[kind]} {name!r} comes from a plug-in ({wanted}) that is not loaded; "
        f"name its file with {argument('plugin')}, or install its package."
    )


def _offered(kind: Kind, name: str) -> list[Offer]:
    files = [offer for offer in _OFFERS if (offer.kind, offer.name) == (kind, name)]
    return files + _installed(kind).get(name, [])


def _refuse_clash(offers: list[Offer]) -> None:
    first, *others = offers
    taken = "built in" if first.name in _built_in(first.kind) else ""
    if others:
        taken = f"given by {others[0].origin}"
    if taken:
        raise UsageError(
            f"the plug-in {first.origin} gives the {ONE[first.kind]} {first.name!r}, "
            f"which is already {taken}; rename one, or do without one of the two."
        )


def _built_in(kind: Kind) -> Collection[str]:
    if kind not in _REGISTRIES:
        importlib.import_module(HOMES[kind])
    return _REGISTRIES[kind].built_in()


@functools.cache
def _installed(kind: Kind) -> dict[str, list[Offer]]:
    """The offers of the installed packages by name. Imports nothing of them."""
    offers: dict[str, list[Offer]] = {}
    for entry in importlib.metadata.entry_points(group=f"disbench.{kind}"):
        origin = f"{entry.dist.name} {entry.dist.version}" if entry.dist else entry.value
        offers.setdefault(entry.name, []).append(Offer(kind, entry.name, origin, entry))
    return offers
