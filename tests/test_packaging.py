"""The mapping of folders to packages that the wheel is built from, and the lines that no import may cross."""

import ast
import os
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


def test_help_imports_nothing_heavy():
    code = "import sys; import disbench.benchmark.cli; print(*sys.modules)"
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
