"""CONTRIBUTING.md's way to a new metric, walked on a copy: two files, and nothing else lists them."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SECTION = (ROOT / "CONTRIBUTING.md").read_text("utf-8").partition("## A metric in two files\n")[2]
SECTION = SECTION.partition("\n## ")[0]
NAME = "largest_gap"

# It uses a metric that is imported after it.
METRIC = '''"""Largest gap: nobody, no year.

    max_k gap_k,    gap_k: of MIG

Deviations: none.

Traps:

- One factor that is found hides all that are not.
"""

from disbench.metrics import mig
from disbench.metrics.registry import Score, metric
from disbench.ranges import Count


@metric(paper="no paper", default="plain", presets={"plain": {}, "squared": {"power": 2}}, chance="0")
def largest_gap(codes, factors, *, preset="plain", power: Count = 1):
    """Largest of the factors' gaps.

    Args:
        codes: (n, d).
        factors: (n, k).
        power: of the gap.
    """
    gaps = mig(codes, factors)
    return Score(gaps.parts["gap"].max() ** power, live=gaps.live)
'''
TEST = '''import numpy as np
import pytest

from disbench.metrics import largest_gap


def test_one_factor_is_enough():
    """The first code knows the first factor, the second one nothing; the other factor has no code."""
    factors = np.stack(np.unravel_index(np.arange(16), (4, 4)), axis=1)
    codes = factors * [1.0, 0.0]
    assert largest_gap(codes, factors).score == pytest.approx(1)
    assert largest_gap(codes, factors, preset="squared").score == pytest.approx(1)
'''
FILES = {"metrics/my_metric.py": METRIC, "tests/metrics/test_my_metric.py": TEST}


@pytest.fixture(scope="module")
def checkout(new_checkout):
    copy = new_checkout()
    for path, text in FILES.items():
        (copy.folder / path.replace("my_metric", NAME)).write_text(text)
    return copy


def test_the_two_files_are_all_that_contributing_asks_for():
    steps = re.findall(r"^\d\. `([^`]+)`", SECTION, re.MULTILINE)
    assert steps == list(FILES)


def test_its_own_test_the_promises_and_its_page_pass_by_the_commands_of_contributing(checkout):
    """The two lines of pytest in one call, which imports everything once."""
    (block,) = re.findall(r"^```sh\n(.*?)^```", SECTION, re.MULTILINE | re.DOTALL)
    *tests, listing = block.replace("my_metric", NAME).splitlines()
    assert listing == "disbench list metrics"
    words = [word for line in tests for word in line.removeprefix("pytest ").split()]
    printed = checkout.run("-m", "pytest", "-v", "-p", "no:cacheprovider", *words)
    passed = set(re.findall(r"::(\w+)(?:\[.*)? PASSED", printed))
    assert passed >= {
        "test_one_factor_is_enough",
        "test_every_metric_says_what_it_is",
        "test_a_score_is_finite_and_carries_its_settings",
        "test_the_same_seed_gives_the_same_score_and_leaves_its_input_alone",
        "test_broken_codes_are_refused",
        "test_transposed_codes_are_refused",
        "test_dead_codes_and_constant_factors_do_no_harm",
        "test_collapsed_codes_score_no_better_than_chance_and_say_so",
        "test_one_code_and_one_factor_are_enough",
        "test_what_should_not_matter_does_not",
        "test_every_metric_has_its_page_with_its_traps",
    }
    assert printed.count("test_what_should_not_matter_does_not[") == 6


@pytest.mark.parametrize("first", [f"import disbench.metrics.{NAME}", "import disbench.metrics.mig", ""])
def test_it_is_the_function_in_whatever_order_it_is_imported(checkout, first):
    code = f"""
{first}
import disbench
assert disbench.metrics.__file__.startswith({str(checkout.folder)!r})
table = [[a, b] for a in range(4) for b in range(4)]
print(disbench.metrics.{NAME}(table, table).score)
from disbench.metrics import {NAME}, get, names
assert {NAME} is get({NAME!r}).fn and {NAME!r} in names() and {NAME!r} in dir(disbench.metrics)
"""
    assert float(checkout.run("-c", code)) == pytest.approx(1)


def test_the_command_line_lists_it(checkout):
    printed = checkout.run("-m", "disbench", "list", "metrics")
    assert re.search(rf"^{NAME} +Largest of the factors' gaps\.$", printed, re.MULTILINE)
