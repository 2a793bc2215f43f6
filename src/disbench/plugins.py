"""Methods, metrics and data sets from outside: installed packages by entry points, single files by `load`.

A plug-in is a Python module. What it holds decides what it gives:

- `METHOD`, a class derived from `disbench.models.Method`: a method under the entry point's name, or the
  file's;
- functions under `@disbench.metrics.metric(...)`: metrics under their own names;
- `MANIFEST`, the path or the text of a manifest: a data set under the manifest's name; beside it `READER`,
  a class derived from `disbench.datasets.PluginReader`, where no built-in reader fits.

A package announces its modules in its `pyproject.toml`:

    [project.entry-points."disbench.methods"]
    dip_vae = "disbench_example.dip_vae"

and likewise in `disbench.metrics` and `disbench.datasets`, one line per name. Nothing of an installed package
is imported before one of its names is asked for, so a broken one is in nobody's way but its own users'.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import importlib.util
import sys
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

from disbench.errors import UsageError

Kind = Literal["methods", "metrics", "datasets"]
ONE: Mapping[Kind, str] = {"methods": "method", "metrics": "metric", "datasets": "data set"}


@dataclass(frozen=True)
class Offer:
    """One name that a plug-in gives.

    Attributes:
        kind, name: what it is, and what it is called.
        origin: the file or the package, for people.
        entry: where an installed package keeps it; None for a file.
        module: of a file, which is loaded already.
    """

    kind: Kind
    name: str
    origin: str
    entry: importlib.metadata.EntryPoint | None = None
    module: ModuleType | None = None

    def load(self) -> Any:
        """The module, or what the entry point names in it.

        Raises:
            UsageError: it cannot be imported.
        """
        if self.entry is None:
            return self.module
        try:
            return self.entry.load()
        except (Exception, SystemExit) as error:  # whatever a stranger's code does wrong on import
            raise broken(self.origin, error) from error

    def source(self) -> str:
        """What a result is recorded with: where it comes from, and the SHA-256 of its module's file."""
        loaded = self.load()
        home = loaded if isinstance(loaded, ModuleType) else sys.modules[loaded.__module__]
        code = Path(str(home.__file__))
        named = self.origin if self.entry else code.name
        return f"{named}, sha256 {hashlib.sha256(code.read_bytes()).hexdigest()[:16]}"


_FILES: dict[Path, str] = {}  # loaded files, with the SHA-256 of their content
_OFFERS: list[Offer] = []  # of these files


def broken(origin: str, error: BaseException | str) -> UsageError:
    named = isinstance(error, BaseException) and not isinstance(error, UsageError)
    why = f"{type(error).__name__}: {error}" if named else str(error)
    return UsageError(f"the plug-in {origin} cannot be used: {' '.join(why.split())}")


def files() -> tuple[Path, ...]:
    """The files loaded so far, in that order: what a worker process has to load as well."""
    return tuple(_FILES)


def load(path: str | Path) -> list[str]:
    """Loads a file as a plug-in; a second time does nothing.

    Returns:
        What it gives, such as ["method dip_vae", "metric rank_gap"].

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
            given = _given(path, _imported(path, name))
            for offer in given:
                _refuse_clash([offer, *_offered(offer.kind, offer.name)])
        except UsageError:
            del sys.modules[name]
            if registry := sys.modules.get("disbench.metrics.registry"):
                registry.forget(name)
            raise
        _OFFERS.extend(given)
        _FILES[path] = digest
    return [f"{ONE[offer.kind]} {offer.name}" for offer in _OFFERS if offer.origin == str(path)]


def _imported(path: Path, name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise broken(str(path), "Python has no loader for it")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # data classes look up their annotations there
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        raise broken(str(path), error) from error
    return module


def _given(path: Path, module: ModuleType) -> list[Offer]:
    """What a file gives."""
    made = functools.partial(Offer, origin=str(path), module=module)
    found = [made("methods", path.stem)] if hasattr(module, "METHOD") else []
    if hasattr(module, "MANIFEST"):
        try:
            found.append(made("datasets", str(tomllib.loads(manifest_text(module))["name"])))
        except (OSError, tomllib.TOMLDecodeError, KeyError) as error:
            raise broken(str(path), f"its MANIFEST is no manifest with a name ({error})") from error
    if registry := sys.modules.get("disbench.metrics.registry"):
        found += [made("metrics", name) for name in registry.registered_by(module.__name__)]
    if not found:
        raise broken(
            str(path), "it has no METHOD, no MANIFEST and no function under @disbench.metrics.metric"
        )
    return found


def manifest_text(module: ModuleType) -> str:
    """The text of a module's MANIFEST: given as such, or as a path relative to the module's file."""
    given = module.MANIFEST
    if isinstance(given, str) and "\n" in given:
        return given
    return Path(str(module.__file__)).parent.joinpath(given).read_text("utf-8")


def names(kind: Kind) -> set[str]:
    """Every name that plug-ins give. Imports nothing."""
    return {offer.name for offer in _OFFERS if offer.kind == kind} | set(_installed(kind))


def find(kind: Kind, name: str) -> Offer | None:
    """The plug-in that gives this name, if one does.

    Raises:
        UsageError: several do, or disbench itself has that name too.
    """
    found = _offered(kind, name)
    if found:
        _refuse_clash(found)
    return found[0] if found else None


def source(kind: Kind, name: str) -> str:
    """Where a name comes from, with a SHA-256; "" for what is built in."""
    offer = find(kind, name)
    return "" if offer is None else offer.source()


def absent(kind: Kind, name: str, wanted: str) -> UsageError:
    """The sentence for a name that a plug-in gave when the result at hand was made."""
    return UsageError(
        f"the {ONE[kind]} {name!r} comes from a plug-in ({wanted}) that is not loaded; "
        "name its file with --plugin, or install its package."
    )


def _offered(kind: Kind, name: str) -> list[Offer]:
    files = [offer for offer in _OFFERS if (offer.kind, offer.name) == (kind, name)]
    return files + _installed(kind).get(name, [])


def _refuse_clash(found: list[Offer]) -> None:
    first, *others = found
    taken = "built in" if first.name in _built_in(first.kind) else ""
    if others:
        taken = f"given by {others[0].origin}"
    if taken:
        raise UsageError(
            f"the plug-in {first.origin} gives the {ONE[first.kind]} {first.name!r}, "
            f"which is already {taken}; rename one, or do without one of the two."
        )


def _built_in(kind: Kind) -> Iterable[str]:
    if kind == "methods":
        from disbench.models import registry as methods

        return methods.built_in()
    if kind == "metrics":
        from disbench.metrics import registry

        return registry.built_in()
    from disbench.benchmark.datasets import manifest

    return manifest.built_in()


@functools.cache
def _installed(kind: Kind) -> dict[str, list[Offer]]:
    """What the installed packages announce. Imports nothing of them."""
    found: dict[str, list[Offer]] = {}
    for entry in importlib.metadata.entry_points(group=f"disbench.{kind}"):
        origin = f"{entry.dist.name} {entry.dist.version}" if entry.dist else entry.value
        found.setdefault(entry.name, []).append(Offer(kind, entry.name, origin, entry))
    return found
