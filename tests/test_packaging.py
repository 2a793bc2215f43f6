"""The mapping of folders to packages that the wheel is built from, and the lines that no import may cross."""

import ast
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import disbench

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = ("benchmark", "models", "metrics", "leaderboards", "data_manifests")
SETTINGS = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["setuptools"]


def test_every_folder_with_an_init_is_a_listed_package():
    found = {"disbench"}
    for folder in FOLDERS:
        for init in (ROOT / folder).rglob("__init__.py"):
            found.add(".".join(["disbench", *init.parent.relative_to(ROOT).parts]))
    assert set(SETTINGS["packages"]) == found


@pytest.mark.parametrize("folder", FOLDERS)
def test_each_link_points_at_its_folder(folder):
    assert os.readlink(ROOT / "src" / "disbench" / folder) == f"../../{folder}"
    assert SETTINGS["package-dir"][f"disbench.{folder}"] == folder


def imports(path):
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize(
    ("folder", "refused"),
    [
        ("metrics", ("torch", "pandas", "disbench.models", "disbench.benchmark", "disbench.leaderboards")),
        ("models", ("pandas", "disbench.metrics", "disbench.benchmark", "disbench.leaderboards")),
        ("leaderboards", ("torch", "disbench.models", "disbench.metrics", "disbench.benchmark")),
    ],
)
def test_no_folder_reaches_to_the_right(folder, refused):
    for path in (ROOT / folder).rglob("*.py"):
        for name in imports(path):
            crossed = [r for r in refused if name == r or name.startswith(r + ".")]
            assert not crossed, f"{path.relative_to(ROOT)} imports {name}"


ROOMS = ("protocols", "datasets", "training", "scoring", "runs", "sweep", "api", "cli")  # from the ground up


def room(module):
    """The number of a module's room in the benchmark; None for what lies elsewhere."""
    found = re.match(rf"disbench\.benchmark\.({'|'.join(ROOMS)})\b", module)
    return ROOMS.index(found[1]) if found else None


@pytest.mark.parametrize("path", sorted((ROOT / "benchmark").rglob("*.py")), ids=lambda path: path.stem)
def test_a_room_of_the_benchmark_imports_only_rooms_below_it(path):
    """Imports within functions and those for type checkers count too."""
    here = room(".".join(["disbench", *path.relative_to(ROOT).with_suffix("").parts]))
    for name in imports(path):
        there = room(name)
        assert there is None or here is None or there <= here, f"{path.relative_to(ROOT)} imports {name}"


def test_every_room_says_what_happens_in_it_and_what_it_may_import():
    """Its docstring names the rooms below it, all of them and no other."""
    for number, name in enumerate(ROOMS):
        if name == "api":
            continue
        text = ast.get_docstring(ast.parse((ROOT / "benchmark" / name / "__init__.py").read_text("utf-8")))
        what, _, allowed = text.rpartition("\n\n")
        assert what.partition("\n\n")[0].strip()
        below = {other for other in ROOMS[:number] if re.search(rf"\b{other}\b", allowed)}
        everything = name == "cli" and "May import everything" in allowed
        assert everything or below == set(ROOMS[:number]), f"{name}: {allowed}"


def module_graph():
    """Every module of the project with the modules that it imports anywhere but for type checkers."""
    paths = {"disbench": ROOT / "src" / "disbench" / "__init__.py"}
    for folder, package in SETTINGS["package-dir"].items():
        for path in (ROOT / package).glob("*.py") if folder == "disbench" else (ROOT / package).rglob("*.py"):
            parts = [*folder.split("."), *path.relative_to(ROOT / package).with_suffix("").parts]
            paths[".".join(part for part in parts if part != "__init__")] = path
    typing_only = re.compile(r"^if TYPE_CHECKING:\n(?: +.*\n|\n)+", re.MULTILINE)
    graph = {}
    for name, path in paths.items():
        source = typing_only.sub("", path.read_text("utf-8"))
        graph[name] = set(imported(ast.parse(source), paths)) - {name}
    return graph


def imported(tree, modules):
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in modules)
        elif isinstance(node, ast.ImportFrom):
            names = (f"{node.module}.{alias.name}" for alias in node.names)
            yield from (name if name in modules else node.module for name in names if node.module in modules)


def test_no_two_modules_import_each_other_however_far_the_way():
    graph = module_graph()
    reached = {name: set() for name in graph}
    for name in graph:
        left = [name]
        while left:
            for other in graph[left.pop()] - reached[name]:
                reached[name].add(other)
                left.append(other)
    assert not [name for name in graph if name in reached[name]]


def test_help_imports_nothing_heavy():
    code = "import sys; import disbench.benchmark.cli.main; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    ).stdout.split()
    assert not {"torch", "pandas", "numpy", "sklearn", "matplotlib", "rich.console"} & set(loaded)


def test_citation_changelog_and_package_name_one_version():
    yaml = pytest.importorskip("yaml")
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert cited["version"] == project["version"] == disbench.__version__
    assert cited["license"] == project["license"]
    assert f"## [{disbench.__version__}]" in (ROOT / "CHANGELOG.md").read_text("utf-8")
    assert {"cff-version", "message", "title", "authors"} <= set(cited)


@pytest.mark.parametrize("path", sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("[!c]*.yml")))
def test_issue_forms_ask_for_something(path):
    yaml = pytest.importorskip("yaml")
    form = yaml.safe_load(path.read_text("utf-8"))
    assert {"name", "description", "body"} <= set(form)
    assert all(field["attributes"]["label"] for field in form["body"])


def test_every_checked_tool_is_one_of_the_project():
    yaml = pytest.importorskip("yaml")
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text("utf-8"))["repos"][0]["hooks"]
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"]
    assert {hook["entry"].split()[0] for hook in hooks} == {"ruff", "mypy"} <= set(extras["dev"])
