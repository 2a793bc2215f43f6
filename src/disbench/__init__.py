"""disbench: methods, metrics, sweeps over seeds and leaderboards for disentanglement research.

    disbench.run(["vae", "betavae"], seeds=10, out="runs/first").leaderboard()
    disbench.forecast(["vae", "betavae"], seeds=10, out="runs/first").table()
    disbench.score("codes.npz", dataset="dsprites")["mig"]
    disbench.compare("codes.npz", "mini").table()
    disbench.judge("runs/first/vae-0a1b2c3d/seed-0/checkpoint.pt").judged.grid.quality.shares
    disbench.load("runs/first/vae-0a1b2c3d/seed-0/checkpoint.pt").represent(images)
    disbench.datasets.load("dsprites")
    disbench.metrics.mig(codes, factors)

What a name needs is imported when the name is first used, so that `import disbench` is quick and
`disbench.metrics` never loads torch.
"""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from disbench import datasets, metrics, models, plugins
    from disbench.benchmark.api import (
        Compared,
        Forecast,
        Request,
        Run,
        Scored,
        compare,
        forecast,
        judge,
        load,
        run,
        score,
    )
    from disbench.errors import UsageError

__version__ = "0.1.0"
__all__ = [
    "Compared",
    "Forecast",
    "Request",
    "Run",
    "Scored",
    "UsageError",
    "__version__",
    "compare",
    "datasets",
    "forecast",
    "judge",
    "load",
    "metrics",
    "models",
    "plugins",
    "run",
    "score",
]

_MODULES = ("datasets", "metrics", "models", "plugins")
_HOMES = {
    "Compared": "disbench.benchmark.api",
    "Forecast": "disbench.benchmark.api",
    "Request": "disbench.benchmark.api",
    "Run": "disbench.benchmark.api",
    "Scored": "disbench.benchmark.api",
    "UsageError": "disbench.errors",
    "compare": "disbench.benchmark.api",
    "forecast": "disbench.benchmark.api",
    "judge": "disbench.benchmark.api",
    "load": "disbench.benchmark.api",
    "run": "disbench.benchmark.api",
    "score": "disbench.benchmark.api",
}


def __getattr__(name: str) -> object:
    if name in _MODULES:
        return importlib.import_module(f"disbench.{name}")
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'disbench' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
