"""What `disbench bench metrics` measures."""

import sys

import numpy as np
import pytest

from disbench import metrics
from disbench.benchmark.scoring import speed
from disbench.units import MIB

LARGE = 2**34


@pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")
def test_codes_that_copy_the_factors_score_and_cost_something():
    """15,000 rows: mutual information takes the bins of 10 codes, whole numbers of 8 bytes, at least."""
    cost = speed.measure("mig", speed.Size(10, 15_000), LARGE)
    assert 0.2 < cost.score < 1
    assert cost.seconds > 0
    assert 15_000 * 10 * 8 < cost.peak < 64 * MIB


@pytest.mark.skipif(sys.platform != "linux", reason="memory is limited by Linux")
def test_a_metric_that_needs_more_memory_is_not_measured():
    assert speed.measure("active_units", speed.Size(10, 100_000), 16 * MIB) is None


def test_what_is_held_beyond_the_call_is_counted_and_what_was_there_before_is_not():
    before = np.ones(2**23)
    speed._give_back()
    if (start := speed._resident("VmHWM")) is None:
        pytest.skip("memory is read from /proc")
    assert before.nbytes < start
    within = np.ones(2**23)
    del within
    assert 60 * MIB < speed._resident("VmHWM") - start < 70 * MIB


def test_a_metric_is_measured_twice_with_the_same_draws():
    size = speed.size_of("factor_vae", 7, 1_500)
    scores = set()
    for _ in range(2):
        (codes, grid), options = speed.inputs("factor_vae", size)
        assert codes.shape == (len(grid), 7)
        scores.add(metrics.factor_vae(codes, grid, votes=50, eval_votes=50, **options).score)
    assert len(scores) == 1


def test_a_table_has_the_rows_and_codes_asked_for():
    (codes, factors), options = speed.inputs("sap", speed.Size(64, 3_000))
    assert codes.shape == (3_000, 64)
    assert codes.dtype == np.float32
    assert [len(part) for part in options["split"]] == [2_000, 1_000]
    scaled = factors / np.array(speed.SIZES)
    assert (codes[:, :5] - scaled).std() == pytest.approx(0.1, rel=0.1)
    (codes, factors), _ = speed.inputs("mig", speed.Size(2, len(metrics.Grid(speed.SIZES))))
    assert len(np.unique(metrics.Grid(speed.SIZES).rows(factors))) == len(factors)


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("mig", (64, 3_000)),
        ("mig_chen", (64, 3_000)),
        ("active_units", (64, 3_000)),
        ("beta_vae", (64, 737_280)),
        ("model_centrality", (64, 737_280)),
        ("udr", (64, 2_000)),
        ("nmi", (0, 0)),
    ],
)
def test_the_size_is_that_which_the_kind_has(name, size):
    assert speed.size_of(name, 64, 3_000) == speed.Size(*size)


def test_what_a_metric_takes_is_expected_before():
    explicitness = metrics.get("explicitness")
    assert speed.expected("explicitness", speed.Size(64, 30_000)) == explicitness.seconds(
        30_000, 64, 113, explicitness.settings()
    )
    assert speed.expected("active_units", speed.Size(512, 737_280)) == 0
    once, twice = (speed.expected("factor_vae", speed.Size(d, 737_280)) for d in (10, 20))
    assert twice == pytest.approx(2 * once)


def test_the_command_prints_a_row_per_metric_and_size(disbench, monkeypatch):
    asked = []

    def measure(name, size, memory):
        asked.append((name, size, memory))
        return None if name == "mcc" else speed.Cost(1.5, None, 0.25)

    monkeypatch.setattr(speed, "measure", measure)
    chosen = ["--metrics", "mig,mcc,factor_vae,explicitness", "--max-memory", "2G"]
    code, out, _ = disbench("bench", "metrics", *chosen, "--codes", "10,512", "--rows", "15000,100000")
    assert code == 0
    rows = [line.split() for line in out.splitlines()[2:]]
    assert [row[0] for row in rows[:8]] == [*chosen[1].split(","), "mig", "mcc", "explicitness", "mig"]
    assert rows[1][4:] == ["–", "needs", "more", "than", "2G", "of", "memory"]
    assert rows[-2][0] == "explicitness"
    assert rows[-2][3] == "100,000"
    assert rows[-2][5:] == ["expected,", "not", "run"]
    assert rows[-1][:1] == ["together"]
    assert ("explicitness", speed.Size(512, 100_000), 2**31) not in asked
    assert ("mig", speed.Size(512, 100_000), 2**31) in asked
    usual = [line.split()[0] for line in disbench("bench", "metrics")[1].splitlines()[2:-1]]
    assert usual == metrics.names()


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("--codes", "10,x", "must be whole numbers"),
        ("--codes", "0", "from 1 to"),
        ("--rows", "1000", "from 1,500 to 737,280"),
        ("--max-memory", "much", "not an amount of memory"),
        ("--metrics", "migg", "mig"),
    ],
)
def test_what_cannot_be_measured_is_refused_first(disbench, option, value, said):
    code, out, err = disbench("bench", "metrics", option, value)
    assert code == 2
    assert said in err
    assert "together" not in out


@pytest.mark.parametrize("name", metrics.names())
def test_every_metric_has_inputs(name, monkeypatch):
    monkeypatch.setattr(speed, "SIZES", (3, 2, 4, 3, 3))
    arguments, options = speed.inputs(name, speed.size_of(name, 4, 1_500))
    assert arguments
    assert ("rng" in options) == metrics.get(name).takes("rng")
