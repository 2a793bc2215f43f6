"""Methods, one file each, under the contract of `method.py`; `registry.py` finds them by name."""

from disbench.models.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from disbench.models.method import (
    Config,
    DataInfo,
    Method,
    Noise,
    Terms,
    Update,
    code_columns,
    later,
    linear,
    traversal_rows,
)
from disbench.models.optimizer import Optimizer, adam, rmsprop
from disbench.models.registry import build, configure, get, names, restored, summary

__all__ = [
    "Checkpoint",
    "Config",
    "DataInfo",
    "Method",
    "Noise",
    "Optimizer",
    "Terms",
    "Update",
    "adam",
    "build",
    "code_columns",
    "configure",
    "get",
    "later",
    "linear",
    "load_checkpoint",
    "names",
    "restored",
    "rmsprop",
    "save_checkpoint",
    "summary",
    "traversal_rows",
]
