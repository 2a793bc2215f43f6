"""What `disbench bench metrics` measures."""

import pytest

from disbench import metrics
from disbench.benchmark.scoring import speed


def test_codes_that_copy_the_factors_score_and_cost_something():
    cost = speed.measure("mig")
    assert 0.2 < cost.score < 1
    assert cost.seconds > 0
    assert cost.peak > 2**20  # the histograms of 15,000 rows


def test_a_metric_is_measured_twice_with_the_same_draws():
    (codes, grid), options = speed.inputs("factor_vae")
    assert codes.shape == (len(grid), speed.CODES)
    scores = {metrics.factor_vae(codes, grid, **speed.fresh(options)).score for _ in range(2)}
    assert len(scores) == 1


def test_a_slow_metric_is_not_traced(monkeypatch):
    monkeypatch.setattr(speed, "MOST_TRACED", -1.0)
    assert speed.measure("mig").peak is None


def test_the_command_prints_a_row_per_metric(disbench, monkeypatch):
    monkeypatch.setattr(speed, "measure", lambda name: speed.Cost(1.5, None, 0.25))
    code, out, _ = disbench("bench", "metrics", "--metrics", "mig,sap")
    assert code == 0
    assert [line.split()[0] for line in out.splitlines()[2:]] == ["mig", "sap", "together"]
    assert "together 3.0 CPU-s" in out
    usual = [line.split()[0] for line in disbench("bench", "metrics")[1].splitlines()[2:-1]]
    assert usual == metrics.names()
    assert "dci" in usual


@pytest.mark.parametrize("name", metrics.names())
def test_every_metric_has_inputs(name):
    arguments, options = speed.inputs(name)
    assert arguments
    assert ("rng" in options) == metrics.get(name).takes("rng")
