"""`codes.npz`: the codes that scoring encoded, so that a further metric needs no model.

Plain arrays, read with `allow_pickle=False`: `codes` (n, d) float32, `rows` (n,) int64, ascending, of the
data set, and which one that is: `dataset`, `size`, `sha256`. Rows are those that the protocol's metrics ask
for and those of every table metric.
"""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from disbench.benchmark.datasets import Dataset
from disbench.benchmark.datasets.reference import DataRef
from disbench.benchmark.scoring import draws, scoring
from disbench.benchmark.scoring.scoring import Progress
from disbench.benchmark.scoring.trained import Trained
from disbench.files import write_atomically
from disbench.metrics import ContingencyTable
from disbench.metrics.arrays import Floats, Ints


class KeptCodes:
    """A source of codes for scoring: those in a file, and from the trained method what the file lacks.

    Args:
        path: the file; made, or made anew with more rows, where it lacks some.
        about: which data set.
        data: that data set.
        trained: gives the trained method; called only if it is needed.
    """

    def __init__(self, path: Path, about: DataRef, data: Dataset, trained: Callable[[], Trained]) -> None:
        self.path, self.about, self.data, self.trained = path, about, data, trained

    @property
    def rows(self) -> Ints | None:
        return None

    def codes(self, rows: Ints, progress: Progress | None = None) -> Floats:
        n, table = len(self.data), draws.table_rows(self.data)
        wanted, further = draws.distinct(n, rows, table), np.setdiff1d(table, rows)
        found = read(self.path, self.about)
        if found is None or draws.lacking(wanted, found[0]):
            source = self.trained()
            # by themselves first, in the batches in which `disbench score` would encode them
            codes = np.concatenate([source.codes(part, progress) for part in (rows, further) if len(part)])
            found = wanted, scoring.Codes(np.concatenate([rows, further]), codes, n)(wanted)
            write(self.path, self.about, *found)
        kept_rows, kept_codes = found
        return kept_codes[np.searchsorted(kept_rows, rows)]

    def contingency(self) -> tuple[ContingencyTable, str] | str:
        return self.trained().contingency()


def write(path: Path, about: DataRef, rows: Ints, codes: Floats) -> None:
    """Codes (n, d) of rows (n,), ascending."""

    def save(temporary: Path) -> None:
        with open(temporary, "wb") as file:
            np.savez(
                file,
                codes=codes.astype(np.float32, copy=False),
                rows=rows.astype(np.int64, copy=False),
                dataset=about.name,
                size=about.size,
                sha256=about.sha256,
            )

    write_atomically(path, save)


def read(path: Path, about: DataRef) -> tuple[Ints, Floats] | None:
    """Rows and codes; None where there is no such file, a damaged one, or one of another data set."""
    try:
        with np.load(path, allow_pickle=False) as file:
            if (str(file["sha256"]), int(file["size"])) != (about.sha256, about.size):
                return None
            return file["rows"], file["codes"]
    except (FileNotFoundError, zipfile.BadZipFile, ValueError, KeyError, EOFError):
        return None
