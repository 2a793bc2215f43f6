"""disbench: methods, metrics, sweeps over seeds and leaderboards for disentanglement research."""

__version__ = "0.1.0"
