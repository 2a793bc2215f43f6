"""Disentanglement and clustering metrics: pure functions on numpy, scipy and scikit-learn only.

Each metric is an attribute of this package by its name, `disbench.metrics.mig(codes, factors)`, and always
the function, never the file that it is in. `names()` lists all of them, and `get(name)` has the presets.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

from disbench import plugins
from disbench.metrics import registry
from disbench.metrics.contingency import ContingencyTable as ContingencyTable
from disbench.metrics.registry import Grid as Grid
from disbench.metrics.registry import Metric as Metric
from disbench.metrics.registry import Score as Score
from disbench.metrics.registry import get as get
from disbench.metrics.registry import metric as metric
from disbench.metrics.registry import names as names

if TYPE_CHECKING:
    # For editors and type checkers alone: they cannot see that a name means the function and not the file.
    # A metric works as well without a line here.
    from disbench.metrics.aam import aam as aam
    from disbench.metrics.active_units import active_units as active_units
    from disbench.metrics.beta_vae import beta_vae as beta_vae
    from disbench.metrics.dci import dci as dci
    from disbench.metrics.dcimig import dcimig as dcimig
    from disbench.metrics.downstream import downstream as downstream
    from disbench.metrics.explicitness import explicitness as explicitness
    from disbench.metrics.factor_vae import factor_vae as factor_vae
    from disbench.metrics.gaussian_total_correlation import (
        gaussian_total_correlation as gaussian_total_correlation,
    )
    from disbench.metrics.infomec import infomec as infomec
    from disbench.metrics.irs import irs as irs
    from disbench.metrics.jemmig import jemmig as jemmig
    from disbench.metrics.linear_r2 import linear_r2 as linear_r2
    from disbench.metrics.mcc import mcc as mcc
    from disbench.metrics.mig import mig as mig
    from disbench.metrics.mig_chen import mig_chen as mig_chen
    from disbench.metrics.mig_sup import mig_sup as mig_sup
    from disbench.metrics.model_centrality import model_centrality as model_centrality
    from disbench.metrics.modularity import modularity as modularity
    from disbench.metrics.pairwise_mi import pairwise_mi as pairwise_mi
    from disbench.metrics.sap import sap as sap
    from disbench.metrics.udr import udr as udr
    from disbench.metrics.wasserstein_correlation import wasserstein_correlation as wasserstein_correlation
    from disbench.metrics.z_max_var import z_max_var as z_max_var


def __getattr__(name: str) -> Callable[..., Score]:
    # Called for a name that is not here: the metric of a plug-in, if there is one.
    if name in plugins.names("metrics"):
        return get(name).fn
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *names()})


if not TYPE_CHECKING:
    __all__ = sorted(
        {"ContingencyTable", "Grid", "Metric", "Score", "get", "metric", "names", *registry.built_in()}
    )
