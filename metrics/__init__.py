"""Disentanglement and clustering metrics: pure functions of codes and factors, on numpy, scipy and scikit-learn only."""

from disbench.metrics.beta_vae import beta_vae as beta_vae
from disbench.metrics.factor_vae import factor_vae as factor_vae
from disbench.metrics.mig import mig as mig
from disbench.metrics.registry import Grid as Grid
from disbench.metrics.registry import Metric as Metric
from disbench.metrics.registry import Score as Score
from disbench.metrics.registry import get as get
from disbench.metrics.registry import names as names
