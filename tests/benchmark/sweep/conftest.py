import pytest

from disbench.benchmark import datasets, protocols
from disbench.benchmark.protocols import MetricChoice
from disbench.benchmark.sweep import plan


@pytest.fixture
def tiny_plan(tmp_path, tiny_grid):
    """Makes a protocol of one quick metric, and the cells of a beta-VAE of three steps with these seeds."""

    def made(seeds):
        metric = MetricChoice(name="factor_vae", settings={"votes": 10, "eval_votes": 10}).resolved()
        setting = protocols.get("smoke").model_copy(update={"metrics": (metric,)})
        data = datasets.load(tiny_grid(tmp_path / "grid.npz"), data_dir=tmp_path / "data")
        chosen = plan.entries(setting, ["betavae"], {"betavae": {"steps": "3", "batch": "4"}})
        return setting, plan.plan(setting, chosen, seeds, [data])

    return made
