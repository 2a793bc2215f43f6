"""The documentation's generated pages, its first sentences and its script for Slurm."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from disbench import metrics, models
from disbench.benchmark import datasets, protocols
from disbench.leaderboards import results as kept

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "docs"))
import generate  # noqa: E402  docs/generate.py, which mkdocs calls


@pytest.fixture(scope="module")
def generated():
    return generate.pages()


@pytest.mark.parametrize("name", metrics.names())
def test_every_metric_has_its_page_with_its_traps(name, generated):
    """The traps are in the docstring of its file or function, under "Traps:" on a line of its own."""
    page = generated[f"metrics/{name}.md"]
    for heading in ("## Definition", "## Presets", "## Traps", "## Call"):
        assert page.count(f"\n{heading}\n") == 1
    assert all(preset in page for preset in metrics.get(name).presets)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("mcc", "| continuous factors | yes |"),
        ("mig", "| continuous factors | no; they go into bins first"),
        ("dci", "| continuous factors | with the presets `eastwood2018_lasso`, `eastwood2018_forest`"),
        ("nmi", "| continuous factors | – |"),
    ],
)
def test_a_metrics_page_says_whether_it_takes_continuous_factors(name, words, generated):
    assert words in generated[f"metrics/{name}.md"]


def test_every_metric_answers_one_question(generated):
    listed = [name for names in generate.QUESTIONS.values() for name in names]
    assert sorted(listed) == sorted(generate.metric_names())
    index = generated["metrics/index.md"]
    assert all(index.count(f"[`{name}`]({name}.md)") == 1 for name in listed)


@pytest.mark.parametrize("page", ["README.md", "docs/index.md"])
def test_the_first_sentence_counts_right(page):
    assert len(models.names()) == 12
    assert f"twelve methods, {len(metrics.names())} metrics" in (ROOT / page).read_text("utf-8")


def test_no_cost_is_of_a_metric_that_is_gone():
    assert set(generate.costs()["cpu_seconds"]) <= set(metrics.names())


def test_a_metric_without_a_measured_cost_has_a_page(monkeypatch):
    monkeypatch.setattr(generate, "costs", lambda: {"cpu_seconds": {}})
    assert "| own cost | – |" in generate.metric_page("mig")


def test_sections_of_a_docstring_are_those_on_a_line_of_their_own():
    text = "Head: Variants differ.\n\nVariants:\n\nTwo.\n\nTraps:\n\n- One.\n"
    assert generate.sections(text) == {
        "": "Head: Variants differ.\n\n",
        "Variants": "\nTwo.\n\n",
        "Traps": "\n- One.\n",
    }


def test_a_metrics_page_links_to_the_others_that_it_names():
    assert generate.related("as `nmi`, not `mig`; see docs/wrong.md", "mig") == (
        "as [`nmi`](nmi.md), not `mig`; see [docs/wrong.md](../wrong.md)"
    )


@pytest.mark.parametrize("name", models.names())
def test_every_method_has_its_page_with_settings_and_deviations(name, generated):
    page = generated[f"methods/{name}.md"]
    assert "\n## Deviations\n" in page
    for field in models.get(name).CONFIGS["paper"].__dataclass_fields__:
        assert f"| `{field}` |" in page
    assert "| `batch` |" in page
    assert "| at least 2 |" in page


def test_a_methods_page_says_which_values_are_allowed(generated):
    page = generated["methods/infogan.md"]
    assert re.search(r"^\| `channels` .* \| each at least 1 \| of the trunk", page, re.MULTILINE)
    assert re.search(r"^\| `lr_d` .* \| above 0 \|", page, re.MULTILINE)
    assert re.search(r"^\| `prior` .* \| uniform, normal \|", page, re.MULTILINE)
    assert re.search(r"^\| `inform_generator` .* \| true, false \|", page, re.MULTILINE)
    assert "Between settings: At least one code;" in page
    assert "Between settings" not in generated["methods/vae.md"]


def test_a_settings_comment_is_its_own_and_not_that_of_the_default_it_replaces():
    known = generate.comments(type(models.get("betatcvae").CONFIGS["paper"]))
    assert known["batch"] == ""
    assert "Kim & Mnih 2018" in generate.comments(type(models.get("betavae").CONFIGS["paper"]))["batch"]


def test_every_command_option_data_set_and_protocol_is_in_its_page(generated):
    assert {"run", "score", "leaderboard", "data fetch"} <= set(
        re.findall(r"^## disbench (.+)$", generated["cli.md"], re.M)
    )
    assert "`--retry-failed`" in generated["cli.md"]
    assert all(f"## {name}\n" in generated["datasets.md"] for name in datasets.names())
    assert all(f"## {name}\n" in generated["protocols.md"] for name in protocols.names())


def test_every_kept_result_is_on_its_page_with_its_commands_and_its_picture(generated):
    page, drawn = generated["results.md"], generate.pictures()
    assert kept.names()
    for name in kept.names():
        assert f"\n## {name}\n" in page
        assert all(command in page for command in kept.provenance(kept.FOLDER / name).commands)
        assert f"(results/{name}.png)" in page
        assert drawn[f"results/{name}.png"].startswith(b"\x89PNG")


def test_a_result_of_many_settings_has_a_row_for_each(generated):
    board = generate.board_of("mini-tuned")
    rows = [line for line in board.splitlines() if line.startswith("|")]
    # head and rule, then eight settings of four methods
    assert len(rows) == 2 + 32
    assert board in generated["results.md"]
    assert "intervals" in board


def test_a_table_of_symbols_is_one():
    block = "    paper    here     shape    meaning\n    z        mu, s             a code"
    assert generate.symbols(block).splitlines()[2] == "| `z` | `mu, s` |  | a code |"
    assert generate.symbols("    L = a + b") == "    L = a + b"


@pytest.mark.parametrize(
    ("code", "ends", "requeued"), [(0, 0, ""), (1, 1, ""), (2, 2, ""), (69, 0, ""), (75, 75, "requeue 7_3\n")]
)
def test_the_job_script_ends_as_its_run_does(tmp_path, code, ends, requeued):
    """Slurm takes the last exit code for that of the job, and what waits for one that failed never starts."""
    page = (ROOT / "docs" / "slurm.md").read_text()
    (script,) = (part for part in re.findall(r"```sh\n(.+?)```", page, re.DOTALL) if "#SBATCH" in part)
    for name, does in (("disbench", f"exit {code}"), ("scontrol", f'echo "$*" > {tmp_path}/said')):
        (tmp_path / name).write_text(f"#!/bin/sh\n{does}\n")
        (tmp_path / name).chmod(0o755)
    (tmp_path / "job").write_text(script)
    told = {"PATH": f"{tmp_path}:/bin:/usr/bin", "SLURM_ARRAY_JOB_ID": "7", "SLURM_ARRAY_TASK_ID": "3"}
    assert subprocess.run(["bash", tmp_path / "job"], env=told, check=False).returncode == ends
    said = tmp_path / "said"
    assert (said.read_text() if said.exists() else "") == requeued
