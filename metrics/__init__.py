"""Disentanglement and clustering metrics: pure functions on numpy, scipy and scikit-learn only.

Each metric is importable from here by its name; `names()` lists them and `get(name)` tells how to call one.
"""

from disbench.metrics.aam import aam as aam
from disbench.metrics.active_units import active_units as active_units
from disbench.metrics.beta_vae import beta_vae as beta_vae
from disbench.metrics.contingency import ContingencyTable as ContingencyTable
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
from disbench.metrics.modularity import modularity as modularity
from disbench.metrics.pairwise_mi import pairwise_mi as pairwise_mi
from disbench.metrics.registry import Grid as Grid
from disbench.metrics.registry import Metric as Metric
from disbench.metrics.registry import Score as Score
from disbench.metrics.registry import get as get
from disbench.metrics.registry import metric as metric
from disbench.metrics.registry import names as names
from disbench.metrics.sap import sap as sap
from disbench.metrics.udr import udr as udr
from disbench.metrics.wasserstein_correlation import wasserstein_correlation as wasserstein_correlation
from disbench.metrics.z_max_var import z_max_var as z_max_var
