"""Which metric of a run a text means."""

import pandas as pd
import pytest

from disbench.benchmark.runs import meant
from disbench.errors import UsageError

PAIRS = [
    ("dci", "ibgan@generator"),
    ("dci", "ibgan"),
    ("factor_vae", "dlib@generator, values that occur"),
    ("factor_vae", "dlib"),
    ("factor_vae", "ibgan"),
    ("mig", "dlib, bins=10"),
]
FRAME = pd.DataFrame(PAIRS, columns=["metric", "preset"]).assign(score=0.5)


@pytest.mark.parametrize(
    ("text", "places"),
    [
        ("dci", [0, 1]),
        ("dci@generator", [0]),
        ("dci:ibgan", [0, 1]),
        ("dci:ibgan@generator", [0]),
        ("factor_vae:dlib", [2, 3]),
        ("factor_vae:ibgan", [4]),
        ("factor_vae@generator", [2]),
        ("mig:dlib", [5]),
        ("mig:dlib, bins=10", [5]),
        ("mig:dlib, bins=11", []),
        ("mig@generator", []),
        ("dci@encoder", []),
        ("dc", []),
        ("dci:", []),
        ("dci:@generator", []),
    ],
)
def test_a_text_means_metrics_by_name_preset_and_side(text, places):
    assert [i for i, pair in enumerate(PAIRS) if meant.is_meant(*pair, text)] == places


def test_the_encoder_ranks_seeds_where_no_side_is_named():
    assert meant.judge(FRAME) == ("factor_vae", "dlib")
    assert meant.judge(FRAME, "dci") == ("dci", "ibgan")
    assert meant.judge(FRAME, "dci@generator") == ("dci", "ibgan@generator")
    with pytest.raises(UsageError, match="mig@generator"):
        meant.judge(FRAME, "mig@generator")
