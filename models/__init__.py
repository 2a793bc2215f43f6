"""Methods, one file each, under the contract of `method.py`."""

from disbench.models.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from disbench.models.method import DataInfo, Method, build, configure, get, names, summary

__all__ = [
    "Checkpoint",
    "DataInfo",
    "Method",
    "build",
    "configure",
    "get",
    "load_checkpoint",
    "names",
    "save_checkpoint",
    "summary",
]
