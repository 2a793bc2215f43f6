"""Every reference value in tests/golden that is quick to compute; the others are `compare.py --slow`'s."""

import importlib.util
import sys
from pathlib import Path

import pytest

FILE = Path(__file__).parents[1] / "golden" / "compare.py"
spec = importlib.util.spec_from_file_location("golden_compare", FILE)
assert spec is not None
golden = importlib.util.module_from_spec(spec)
sys.modules["golden_compare"] = golden
spec.loader.exec_module(golden)

FOLDER = golden.Folder()
QUICK = [entry for entry in FOLDER.entries if not golden.is_slow(entry)]


def name(entry):
    return "-".join(str(entry[part]) for part in ("dataset", "metric", "key", "mode"))


@pytest.mark.parametrize("entry", QUICK, ids=name)
def test_reference(entry):
    try:
        ours = FOLDER.ours(entry)
    except golden.LeftOut as reason:
        pytest.skip(str(reason))
    row = golden.Row(entry, ours, FOLDER.theirs(entry, ours))
    assert row.within, (
        f"ours {row.ours}, theirs {row.theirs}, off by {row.difference}, allowed {row.tolerance}"
    )


def test_few_references_are_left_out():
    """So that a change which makes many of them incomparable does not pass as skipped."""
    reasons = [row.why_not for row in golden.compare(FOLDER, slow=False)]
    assert sum(not why for why in reasons) >= 490


def test_a_wrong_value_is_out_of_tolerance():
    entry = {"tolerance": 0.01, "metric": "nmi", "value": 0.5}
    assert golden.Row(entry, 0.509, FOLDER.theirs(entry, 0.509)).within
    assert not golden.Row(entry, 0.511, FOLDER.theirs(entry, 0.511)).within
    assert not golden.Row(entry, [0.5, 0.5], FOLDER.theirs(entry, [0.5, 0.5])).within


def test_what_was_drawn_often_is_judged_by_its_own_spread():
    """One seed of the peer and 30 draws of ours: 4 x .03 x sqrt(1 + 1 / 30) = .122."""
    entry = {"tolerance": 0.01, "metric": "modularity", "value": 0.8, "seeds": 1}
    rows = [golden.Row(entry, golden.Drawn(ours, 0.03), 0.8) for ours in (0.92, 0.925)]
    assert [row.within for row in rows] == [True, False]
