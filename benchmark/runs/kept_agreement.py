"""`agreement.csv` of a saved result: how well each model agrees with the other seeds of its setting.

A saved result has neither all codes nor checkpoints, so that its models could not be ranked without labels
any more. The file has one row for each model and each way to measure: those of `KEPT`, and others by which
all models of a method were ranked in their run.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from disbench.errors import UsageError
from disbench.files import not_linked, write_bytes
from disbench.leaderboards.selection import MODEL

FILE = "agreement.csv"
KEPT = ("udr:dlib", "udr:dlib_spearman")
COLUMNS = ["by", "folder", "score"]


def write(folder: Path, table: pd.DataFrame) -> None:
    """Writes `FILE` of a saved result in the making; none for a table without rows.

    Args:
        folder: of the result.
        table: `COLUMNS`: metric and preset such as "udr:dlib", folder of the model, and its agreement.
    """
    if len(table):
        text = table[COLUMNS].to_csv(index=False, lineterminator="\n")
        write_bytes(folder / FILE, text.encode())


def of(saved: Sequence[Path], by: str) -> tuple[pd.DataFrame, list[Path]]:
    """The agreement that saved results keep.

    Args:
        saved: their folders.
        by: metric and preset, such as "udr:dlib".

    Returns:
        Columns run, folder and score; and the results that keep none by this metric.

    Raises:
        UsageError: a file is no such table, or is a link.
    """
    found, lacking = [pd.DataFrame(columns=[*MODEL, "score"])], []
    for run in saved:
        path = not_linked(run / FILE)
        table = read(path.read_text("utf-8")) if path.is_file() else pd.DataFrame(columns=COLUMNS)
        mine = table[table["by"] == by]
        if mine.empty:
            lacking.append(run)
        found.append(mine.assign(run=str(run))[[*MODEL, "score"]])
    return pd.concat(found), lacking


def read(text: str) -> pd.DataFrame:
    """The table of a `FILE`.

    Raises:
        UsageError: it is no such table.
    """
    try:
        table = pd.read_csv(io.StringIO(text), dtype={"by": str, "folder": str, "score": float})[COLUMNS]
        if not np.isfinite(table["score"]).all():
            raise ValueError("a score is not a number")
        return table
    except (ValueError, KeyError) as error:
        raise UsageError(
            f"{FILE} holds no table of the columns {', '.join(COLUMNS)} ({error}); save the result again."
        ) from None
