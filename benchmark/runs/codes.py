"""`codes.npz`: the codes that scoring encoded, so that further metrics do not need the model.

Plain arrays, read with `allow_pickle=False`: `codes` (n, d) float32, their `rows` (n,) int64 in the data set,
ascending, and that data set's `dataset` (name), `size` and `sha256`. The rows are those of the protocol's
metrics and those of every table metric. A method with a posterior has `logvar` (n, d) float32 besides; a file
from before it was kept is read without, and its codes are encoded again where a metric needs it.
"""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from disbench.benchmark.datasets import Dataset
from disbench.benchmark.datasets.reference import DataRef
from disbench.benchmark.scoring import draws
from disbench.benchmark.scoring.scoring import Encoded, Progress
from disbench.benchmark.scoring.trained import Trained
from disbench.files import not_linked, write_atomically
from disbench.metrics import ContingencyTable
from disbench.metrics.arrays import Array, Floats, Ints


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

    @property
    def no_posterior(self) -> str:
        """Why there are no log-variances of these codes; "" if they are kept, or the method has them."""
        return "" if read_logvar(self.path, self.about) is not None else self.trained().no_posterior

    def codes(self, rows: Ints, progress: Progress | None = None) -> Floats:
        """Codes (n, d) of rows (n,), ascending, see `encoded`."""
        return self.encoded(rows, progress).codes

    def encoded(self, rows: Ints, progress: Progress | None = None, need: bool = False) -> Encoded:
        """Codes (n, d) of rows (n,), ascending, with their log-variances where they are kept.

        Args:
            rows: row numbers in the data set.
            progress: called while the method encodes.
            need: whether to encode again where the log-variances of the method are not kept.
        """
        stored = read(self.path, self.about)
        logvar = None if stored is None else read_logvar(self.path, self.about)
        lacks = need and logvar is None and not self.trained().no_posterior
        if stored is None or lacks or draws.lacking(self._wanted(rows), stored[0]):
            stored_rows, encoded = self._encode(rows, progress)
            write(self.path, self.about, stored_rows, encoded.codes, encoded.logvar)
        else:
            stored_rows, encoded = stored[0], Encoded(stored[1], logvar)
        place = np.searchsorted(stored_rows, rows)
        return Encoded(encoded.codes[place], None if encoded.logvar is None else encoded.logvar[place])

    def _wanted(self, rows: Ints) -> Ints:
        return draws.distinct(len(self.data), rows, draws.every_table(self.data))

    def _encode(self, rows: Ints, progress: Progress | None) -> tuple[Ints, Encoded]:
        """These rows and those of every table metric, ascending, and what the method makes of them."""
        source, wanted = self.trained(), self._wanted(rows)
        further = np.setdiff1d(wanted, rows)
        # These rows on their own first, in the same batches as `disbench score` encodes them.
        parts = [source.encoded(part, progress) for part in (rows, further) if len(part)]
        position = np.empty(len(self.data), np.int64)
        position[np.concatenate([rows, further])] = np.arange(len(wanted))

        def ascending(tables: list[Floats]) -> Floats:
            return np.concatenate(tables)[position[wanted]]

        logvars = [part.logvar for part in parts if part.logvar is not None]
        codes = ascending([part.codes for part in parts])
        return wanted, Encoded(codes, ascending(logvars) if len(logvars) == len(parts) else None)

    def contingency(self) -> tuple[ContingencyTable, str] | str:
        """The contingency table of the trained method, see `Trained`."""
        return self.trained().contingency()


def write(path: Path, about: DataRef, rows: Ints, codes: Floats, logvar: Floats | None = None) -> None:
    """Writes codes to a file, atomically.

    Args:
        path: the file.
        about: the data set that the rows are of.
        rows: (n,) row numbers, ascending.
        codes: (n, d).
        logvar: (n, d), natural log of the variance of each code; None if there is none.
    """
    posterior: dict[str, Any] = {} if logvar is None else {"logvar": logvar.astype(np.float32, copy=False)}

    def save(temporary: Path) -> None:
        with open(temporary, "wb") as file:
            np.savez(
                file,
                codes=codes.astype(np.float32, copy=False),
                rows=rows.astype(np.int64, copy=False),
                dataset=about.name,
                size=about.size,
                sha256=about.sha256,
                **posterior,
            )

    write_atomically(path, save)


def read(path: Path, about: DataRef) -> tuple[Ints, Floats] | None:
    """Rows (n,) and codes (n, d) of a file; None if it is missing, damaged, or of another data set."""
    found = _arrays(path, about, "rows", "codes")
    return None if found is None else (found[0], found[1])


def read_logvar(path: Path, about: DataRef) -> Floats | None:
    """The log-variances (n, d) of the codes of a file; None as for `read`, or if it holds none."""
    found = _arrays(path, about, "logvar", "codes")
    return found[0] if found is not None and found[0].shape == found[1].shape else None


def _arrays(path: Path, about: DataRef, *names: str) -> list[Array] | None:
    """Arrays of a file by name; None if it lacks one, or is missing, damaged, or of another data set."""
    not_linked(path)
    try:
        with np.load(path, allow_pickle=False) as file:
            if (str(file["sha256"]), int(file["size"])) != (about.sha256, about.size):
                return None
            return [file[name] for name in names]
    except (FileNotFoundError, zipfile.BadZipFile, ValueError, KeyError, EOFError):
        return None
