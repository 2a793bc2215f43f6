"""`codes.npz`: the codes that scoring encoded, so that further metrics do not need the model.

Plain arrays, read with `allow_pickle=False`: `codes` (n, d) float32, their `rows` (n,) int64 in the data set,
ascending, and that data set's `dataset` (name), `size` and `sha256`. The rows are those of the protocol's
metrics and those of every table metric.
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
from disbench.files import not_linked, write_atomically
from disbench.metrics import ContingencyTable
from disbench.metrics.arrays import Floats, Ints


class KeptCodes:
    """A source of codes for scoring: those in a file, and missing ones from the trained method.

    Args:
        path: the file; written again with more rows if it lacks some.
        about: the data set by name, size and content.
        data: the data set.
        trained: returns the trained method; called only if it is needed.
    """

    def __init__(self, path: Path, about: DataRef, data: Dataset, trained: Callable[[], Trained]) -> None:
        self.path, self.about, self.data, self.trained = path, about, data, trained

    @property
    def rows(self) -> Ints | None:
        """None: there can be codes of every row."""
        return None

    def codes(self, rows: Ints, progress: Progress | None = None) -> Floats:
        """Codes (n, d) of rows (n,), ascending.

        Args:
            rows: row numbers in the data set.
            progress: called while the method encodes.
        """
        n, table = len(self.data), draws.every_table(self.data)
        wanted, further = draws.distinct(n, rows, table), np.setdiff1d(table, rows)
        stored = read(self.path, self.about)
        if stored is None or draws.lacking(wanted, stored[0]):
            source = self.trained()
            # These rows on their own first, in the same batches as `disbench score` encodes them.
            codes = np.concatenate([source.codes(part, progress) for part in (rows, further) if len(part)])
            stored = wanted, scoring.Codes(np.concatenate([rows, further]), codes, n)(wanted)
            write(self.path, self.about, *stored)
        stored_rows, stored_codes = stored
        return stored_codes[np.searchsorted(stored_rows, rows)]

    def contingency(self) -> tuple[ContingencyTable, str] | str:
        """The contingency table of the trained method, see `Trained`."""
        return self.trained().contingency()


def write(path: Path, about: DataRef, rows: Ints, codes: Floats) -> None:
    """Writes codes to a file, atomically.

    Args:
        path: the file.
        about: the data set that the rows are of.
        rows: (n,) row numbers, ascending.
        codes: (n, d).
    """

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
    """Rows (n,) and codes (n, d) of a file; None if it is missing, damaged, or of another data set."""
    not_linked(path)
    try:
        with np.load(path, allow_pickle=False) as file:
            if (str(file["sha256"]), int(file["size"])) != (about.sha256, about.size):
                return None
            return file["rows"], file["codes"]
    except (FileNotFoundError, zipfile.BadZipFile, ValueError, KeyError, EOFError):
        return None
