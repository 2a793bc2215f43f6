"""Plug-ins: the example package installed in an environment of its own, files by --plugin, and bad ones."""

import ast
import json
import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from dataclasses import replace
from pathlib import Path

import pytest

import disbench
from disbench import metrics, models, plugins
from disbench.benchmark import datasets
from disbench.benchmark.datasets.reference import DataRef
from disbench.benchmark.protocols import MetricChoice
from disbench.benchmark.runs.rows import metric_settings, score_rows
from disbench.benchmark.runs.store import Cell
from disbench.benchmark.scoring.entries import ScoreEntry, answer
from disbench.errors import UsageError

ROOT = Path(__file__).resolve().parents[1]
EXAMPLE = ROOT / "examples" / "disbench-example"
SOURCE = EXAMPLE / "disbench_example"
SMOKE = ["--protocol=smoke", "--jobs=1", "--set=wae.steps=6", "--set=wae.batch=4"]


def imports(path):
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module


class Environment:
    """A virtual environment that sees the packages of this one, and what is installed into it besides."""

    def __init__(self, folder):
        venv.create(folder / "venv", with_pip=False)
        self.python = folder / "venv" / "bin" / "python"
        self.folder = folder
        (site,) = (folder / "venv" / "lib").glob("python*/site-packages")
        self.site = site
        here = [str(Path(disbench.__file__).parents[1]), sysconfig.get_paths()["purelib"]]
        lines = [f"import site; site.addsitedir({path!r})\n" for path in here]
        (site / "_around.pth").write_text("".join(lines))

    def install(self, source):
        copied = shutil.copytree(source, self.folder / "sources" / source.name)  # pip builds beside the code
        command = [sys.executable, "-m", "pip", "--python", self.python, "install", "--quiet", "--no-index"]
        self.call([*command, "--no-deps", "--no-build-isolation", copied])

    def call(self, command, code=0, **options):
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "VIRTUAL_ENV", "COV"))}
        found = subprocess.run(
            list(map(str, command)),
            check=False,
            capture_output=True,
            text=True,
            cwd=self.folder,
            env={**kept, "COLUMNS": "200"},
            **options,
        )
        assert found.returncode == code, found.stdout + found.stderr
        return found.stdout + found.stderr

    def disbench(self, *arguments, code=0):
        return self.call([self.python, "-m", "disbench", *arguments], code)


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    made = Environment(tmp_path_factory.mktemp("plugins"))
    made.install(EXAMPLE)
    return made


def test_an_installed_package_is_trained_scored_and_ranked(installed):
    told = installed.disbench(
        "run", "--methods=wae,betavae", "--dataset=bars", "--seeds=1", "--out=r", *SMOKE,
        "--set=betavae.steps=6", "--set=betavae.batch=4",
    )  # fmt: skip
    assert "factor_vae" in told
    (checkpoint,) = (installed.folder / "r").glob("wae-*/seed-0/checkpoint.pt")
    (scored,) = json.loads(installed.disbench("score", checkpoint, "--metrics=rank_gap,mig", "--json"))[
        "details"
    ]
    scores = {entry["metric"]: entry["score"] for entry in scored["scores"]}
    assert 0 <= scores["rank_gap"] <= 1
    assert 0 <= scores["mig"] <= 1
    assert "wae" in installed.disbench("leaderboard", "r")
    cell = json.loads((checkpoint.parent / "cell.json").read_text("utf-8"))["cell"]
    assert cell["plugin"].startswith("disbench-example 0.1.0, sha256 ")


def test_its_own_tests_pass(installed):
    shutil.copytree(EXAMPLE / "tests", installed.folder / "example-tests")
    words = ["-m", "pytest", "-q", "-W", "error::UserWarning", "-p", "no:cacheprovider", "example-tests"]
    installed.call([installed.python, *words])


def test_a_broken_package_is_in_nobodys_way_but_its_own_users(tmp_path):
    made = Environment(tmp_path)
    (made.site / "wreck.py").write_text("raise RuntimeError('no such luck')\n")
    info = made.site / "wreck-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: wreck\nVersion: 1.0\n")
    groups = {"methods": ("wrecked", "vae"), "metrics": ("wrecked", "mig"), "datasets": ("wrecked", "digits")}
    lines = [f"[disbench.{g}]\n" + "".join(f"{n} = wreck\n" for n in ns) for g, ns in groups.items()]
    (info / "entry_points.txt").write_text("\n".join(lines))

    assert "Usage" in made.disbench("--help")
    listed = made.disbench("list", "methods")
    assert "beta-VAE: Higgins" in listed
    assert "wreck 1.0 cannot be used: RuntimeError: no such luck" in listed
    assert "'vae', which is already built in" in listed
    assert "wreck 1.0 cannot be used" in made.disbench("data", "list").replace("\n", " ")
    told = made.disbench("run", "--methods=wrecked", "--protocol=smoke", code=2)
    assert told.startswith("disbench: the plug-in wreck 1.0 cannot be used: RuntimeError")
    assert "Traceback" not in told
    told = made.disbench("run", "--methods=vae", "--protocol=smoke", code=2)
    assert "'vae', which is already built in" in told


def test_a_file_gives_what_it_holds(fresh, tmp_path):
    assert plugins.load(SOURCE / "wae.py") == ["method wae"]
    assert plugins.load(SOURCE / "rank_gap.py") == ["metric rank_gap"]
    assert plugins.load(SOURCE / "bars.py") == ["data set bars"]
    assert plugins.load(SOURCE / "bars.py") == ["data set bars"]  # a second time does nothing
    assert len(plugins.files()) == 3
    assert "wae" in models.names()
    assert models.configure("wae", "mini", {"lam": "3"}).lam == 3.0
    assert "rank_gap" in metrics.names()
    assert metrics.get("rank_gap").chance == "0"
    assert metrics.rank_gap is metrics.get("rank_gap").fn
    bars = datasets.load("bars", data_dir=tmp_path)
    assert bars.factor_names == ("length", "x", "y")
    assert len(bars) == 256


def test_run_loads_it_in_every_worker_and_the_checkpoint_says_where_it_is_from(fresh, tmp_path):
    made = Environment(tmp_path)
    plugin = shutil.copy(SOURCE / "wae.py", tmp_path / "mine.py")
    options = [word.replace("wae", "mine").replace("jobs=1", "jobs=2") for word in SMOKE]
    made.disbench(
        "run", "--plugin", plugin, "--methods=mine", "--dataset=digits", "--seeds=2", "--out=r", *options
    )
    (path,) = (tmp_path / "r").glob("mine-*/seed-1/checkpoint.pt")
    checkpoint = models.load_checkpoint(path)
    assert checkpoint.plugin.startswith("mine.py, sha256 ")
    with pytest.raises(UsageError, match=r"comes from a plug-in \(mine.py, sha256 .* with plugin, or"):
        checkpoint.build()
    rows = score_rows(tmp_path / "r").rows
    assert {row["settings"] for row in rows} == {"mini, steps=6, batch=4"}
    plugins.load(plugin)
    assert type(checkpoint.build()).__name__ == "WAE"
    assert score_rows(tmp_path / "r").rows == rows


def test_a_run_is_readable_without_the_plugins_that_made_it(disbench, fresh, tmp_path, monkeypatch):
    """Method, metric and data set are of plug-ins; then as a run from before changes were recorded."""
    options = [f"--plugin={SOURCE / name}" for name in ("wae.py", "rank_gap.py", "bars.py")]
    Environment(tmp_path).disbench(
        *("run", *options, "--methods=wae", "--dataset=bars", "--size=32", "--seeds=3", "--out=r", *SMOKE),
        *("--metrics=rank_gap,mig", "--grid=wae.lam=1,2"),
    )
    monkeypatch.chdir(tmp_path)
    (tmp_path / "results").mkdir()
    boards = [
        ("status", "r"),
        ("leaderboard", "r"),
        ("leaderboard", "r", "--by", "method,lam,metric,preset"),
        ("leaderboard", "r", "--select", "udr"),
        ("leaderboard", "r", "--keep", "k", "--results", "results"),
        ("report", "r"),
    ]
    kinds = ("curves", "strip", "sweep", "frontier", "correlation", "traversals")
    of = {"frontier": ("--quantity", "loss.reconstruction")}
    plots = [("plot", "r", "--kind", kind, *of.get(kind, ())) for kind in kinds]
    for words in boards + plots:
        code, _, err = disbench(*words)
        assert code == 0, (words, err)
    assert "rank_gap" in (tmp_path / "r" / "report.html").read_text()
    for path in (tmp_path / "r").glob("*/*/cell.json"):
        old = json.loads(path.read_text())
        del old["cell"]["changed"], old["digest"]
        path.write_text(json.dumps(old))
    for words in boards:
        code, _, err = disbench(*words)
        assert code == 0, (words, err)
    assert "changes not recorded" in (tmp_path / "r" / "scores.csv").read_text()
    assert "its command is not recorded" in (tmp_path / "results" / "k" / "provenance.json").read_text()


def test_another_code_of_a_metric_is_another_score(fresh, tmp_path):
    """Its scores say which code computed them: they are computed again when it changes, and never mixed."""
    plugins.load(shutil.copy(SOURCE / "rank_gap.py", tmp_path / "mine.py"))
    choices = [MetricChoice(name=name).resolved() for name in ("rank_gap", "mig")]
    entries = [ScoreEntry.pending(choice, "no codes") for choice in choices]
    assert entries[0].plugin.startswith("mine.py, sha256 ")
    assert entries[1].plugin is None
    assert answer(entries, choices)
    assert not answer([replace(entries[0], plugin="mine.py, sha256 older"), entries[1]], choices)
    built_in = ScoreEntry.read(
        {"metric": "mig", "preset": choices[1].preset, "changed": {}}
    )  # without "plugin"
    assert answer([built_in], choices[1:])
    old, new = (replace(built_in, settings={}, plugin=f"mine.py, sha256 {digest}") for digest in "ab")
    assert metric_settings(old) != metric_settings(new)


def test_another_code_is_another_result():
    known = {
        "variant": "",
        "config_name": "mini",
        "config": {},
        "dataset": DataRef("x", 32, ""),
        "protocol": "p",
        "seed": 0,
    }
    old, new = (Cell(method="m", plugin=f"m.py, sha256 {digest}", **known) for digest in "ab")
    assert old.folder != new.folder


METRIC = "from disbench.metrics import Score, metric\n@metric(paper='', presets={'dlib': {}})\n"
MANIFEST = '''MANIFEST = """
name = "%s"
title = "t"
paper = "p"
channels = 1
sizes = [8]
%s"""
'''


@pytest.mark.parametrize(
    ("name", "text", "sentence"),
    [
        ("a", "import nonesuch_anywhere", "a.py cannot be used: ModuleNotFoundError: No module named"),
        ("b", "x = (", "b.py cannot be used: SyntaxError"),
        ("c", "x = 1", "has no METHOD, no MANIFEST and no function under"),
        ("vae", "METHOD = int", "the method 'vae', which is already built in"),
        ("d", METRIC + "def mig(codes, factors, *, preset='dlib'): ...", "already a metric named mig"),
        ("e", MANIFEST % ("digits", ""), "the data set 'digits', which is already built in"),
        ("f", "MANIFEST = 'nowhere.toml'", "its MANIFEST is no manifest with a name"),
        ("g", "MANIFEST = '= \\n'", "its MANIFEST is no manifest with a name"),
        ("h", "raise SystemExit(0)", "h.py cannot be used: SystemExit"),
    ],
)
def test_a_bad_file_is_one_sentence(fresh, tmp_path, name, text, sentence):
    path = tmp_path / f"{name}.py"
    path.write_text(text)
    for _ in range(2):  # nothing of it stays: the second time says the same
        with pytest.raises(UsageError, match="plug-in") as told:
            plugins.load(path)
        assert sentence in str(told.value)
        assert "\n" not in str(told.value)
    assert plugins.files() == ()


REGISTRIES = ("disbench.models", "disbench.metrics", "disbench.benchmark.datasets.manifest")
LOADING = """
from disbench import plugins
from disbench.errors import UsageError
for path in sys.argv[1:]:
    try:
        plugins.load(path)
    except UsageError as error:
        print(error)
"""


@pytest.mark.parametrize("before", ["sys", ", ".join(REGISTRIES)])
def test_a_name_that_is_built_in_is_refused_on_loading_whatever_was_imported_before(tmp_path, before):
    files = {
        "vae": "METHOD = int",
        "d": METRIC + "def mig(codes, factors, *, preset='dlib'): ...",
        "e": MANIFEST % ("digits", ""),
    }
    for name, text in files.items():
        (tmp_path / f"{name}.py").write_text(text)
    command = [sys.executable, "-c", f"import sys, {before}{LOADING}"]
    command += [str(tmp_path / f"{name}.py") for name in files]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    assert len(printed) == 3
    assert "the method 'vae', which is already built in" in printed[0]
    assert "already a metric named mig" in printed[1]
    assert "the data set 'digits', which is already built in" in printed[2]


def test_plugins_import_no_registry():
    code = "import sys, disbench.plugins; print(*(name for name in sys.modules if 'disbench.' in name))"
    loaded = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    below = {"disbench.arguments", "disbench.errors", "disbench.ranges", "disbench.texts"}
    assert set(loaded.split()) == {"disbench.plugins", *below}
    assert not {n for n in imports(Path(plugins.__file__)) if n.startswith(REGISTRIES)}


def test_a_failed_file_takes_its_metrics_back(fresh, tmp_path):
    path = tmp_path / "half.py"
    path.write_text(METRIC + "def half(codes, factors, *, preset='dlib'): ...\nraise ValueError('late')\n")
    with pytest.raises(UsageError, match="ValueError: late"):
        plugins.load(path)
    assert "half" not in metrics.names()


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("METHOD = int", "must be a class derived from disbench.models.Method"),
        (
            "from disbench.models import Method\nclass M(Method): pass\nMETHOD = M",
            "CONFIGS lacks mini, paper",
        ),
    ],
)
def test_a_method_that_is_none_says_what_is_missing(fresh, tmp_path, text, sentence):
    (tmp_path / "odd.py").write_text(text)
    plugins.load(tmp_path / "odd.py")
    with pytest.raises(UsageError, match=sentence):
        models.get("odd")


def test_a_data_set_with_a_mistake_says_which(fresh, tmp_path):
    (tmp_path / "odd.py").write_text(MANIFEST % ("odd", "colour = 3\n"))
    plugins.load(tmp_path / "odd.py")
    with pytest.raises(UsageError, match=r"odd\.py cannot be used: the manifest odd\.toml has a mistake"):
        datasets.load("odd", data_dir=tmp_path)


READER = (
    MANIFEST
    + """
import numpy as np
from disbench.datasets import Content, PluginReader

class READER(PluginReader):
    def content(self, files, size):
        n = 6
        images = np.zeros((n, 1, size, size), np.uint8)
        %s
        return Content(images.shape, [images], **more)
"""
)


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("raise KeyError('x')", "KeyError: 'x'"),
        ("return images", "its reader returned ndarray and no Content"),
        ("images, more = images[..., :4], {}", r"gives images \(6, 1, 8, 4\), .* announces \(6, 1, 8, 8\)"),
        (
            "more = {'labels': np.arange(n) - 1}",
            "gives labels -1 to 4 .* whole numbers from 0 to 1, one for each",
        ),
        ("more = {'labels': np.arange(n) / 2}", "gives labels 0.0 to 2.5 "),
        ("more = {'factors': np.full((n, 1), np.nan)}", "gives factors that hold NaN"),
        ("more = {'factors': np.zeros((n, 2)), 'factor_names': ('a',)}", "names 1 of 2 factors"),
    ],
)
def test_a_reader_that_gives_something_else_than_announced(fresh, tmp_path, line, sentence):
    (tmp_path / "odd.py").write_text(READER % ("odd", "classes = ['x', 'y']", line))
    plugins.load(tmp_path / "odd.py")
    with pytest.raises(UsageError, match=r"odd\.py cannot be used: .*" + sentence):
        datasets.load("odd", data_dir=tmp_path)
    assert not list(tmp_path.glob("*.h5"))


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (MANIFEST % ("odd", "") + "READER = int", "its READER must be a class derived from"),
        (MANIFEST % ("odd", "[wrapper]\nbase = 'odd'\nstyle = 'noisy'\n"), "it is drawn from itself"),
        ("MANIFEST = 7", "its MANIFEST is no manifest"),
        ("MANIFEST = 'odd.toml'", "its MANIFEST is no manifest .*codec can't decode"),
    ],
)
def test_a_manifest_that_is_none(fresh, tmp_path, text, sentence):
    (tmp_path / "odd.toml").write_bytes(b"\xff")
    (tmp_path / "odd.py").write_text(text)

    def use():
        plugins.load(tmp_path / "odd.py")
        datasets.load("odd", data_dir=tmp_path)

    with pytest.raises(UsageError, match=rf"odd\.py cannot be used: .*{sentence}"):
        use()


def test_what_is_drawn_on_labelled_images_keeps_their_labels(fresh, tmp_path):
    text = MANIFEST % ("odd", "[wrapper]\nbase = 'digits'\nstyle = 'noisy'\n")
    (tmp_path / "odd.py").write_text(text.replace("sizes = [8]", "sizes = [28]"))
    plugins.load(tmp_path / "odd.py")
    drawn, base = datasets.load("odd", data_dir=tmp_path), datasets.load("digits", data_dir=tmp_path)
    assert (drawn.labels == base.labels).all()
    assert datasets.load("odd:classes-0,1", data_dir=tmp_path).classes == ("0", "1")


def test_two_plugins_of_one_name_are_refused(fresh, tmp_path):
    (tmp_path / "other").mkdir()
    plugins.load(shutil.copy(SOURCE / "wae.py", tmp_path))
    with pytest.raises(UsageError, match=r"'wae', which is already given by .*wae\.py"):
        plugins.load(shutil.copy(SOURCE / "wae.py", tmp_path / "other"))


def test_an_edited_file_needs_a_new_process(fresh, tmp_path):
    path = Path(shutil.copy(SOURCE / "wae.py", tmp_path))
    plugins.load(path)
    loaded = plugins.source("methods", "wae")
    path.write_text(path.read_text("utf-8") + "\n")
    # results are of the code that runs
    assert plugins.source("methods", "wae") == loaded
    with pytest.raises(UsageError, match="changed after it was loaded"):
        plugins.load(path)


def test_every_metric_is_there_after_importing_the_package():
    """So that a plug-in that takes a built-in name is refused while it is imported, whatever came before."""
    code = "from disbench.metrics import registry as r; n = len(r._METRICS); assert n == len(r.built_in()), n"
    subprocess.run([sys.executable, "-c", code], check=True)
