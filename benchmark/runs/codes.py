"""`codes.npz`: the codes that scoring encoded, so that further metrics do not need the model.

Plain arrays, read with `allow_pickle=False`: `codes` (n, d) float32, their `rows` (n,) int64 in the data set,
ascending, and that data set's `dataset` (name), `size` and `sha256`. The rows are those of the protocol's
metrics and, unless none of these needs codes, those of every table metric. A method with a posterior has
`logvar` (n, d) float32 besides; a file from before it was kept is read without, and its codes are encoded
again where a metric needs it.
"""

from __future__ import annotations

import functools
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from disbench.benchmark.datasets import Dataset
from disbench.benchmark.datasets.reference import DataRef
from disbench.benchmark.runs.store import RETRY, CellFile
from disbench.benchmark.scoring.encoded import Encoded, Progress
from disbench.benchmark.scoring.generators import Generator
from disbench.benchmark.scoring.trained import Trained
from disbench.errors import UsageError
from disbench.files import not_linked, plain, write_atomically
from disbench.metrics import ContingencyTable
from disbench.metrics.arrays import Array, Floats, Ints
from disbench.models.checkpoint import Checkpoint, load_checkpoint


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
        stored, logvar = read(self.path, self.about), read_logvar(self.path, self.about)
        lacks = need and logvar is None and not self.trained().no_posterior
        known: Ints = np.empty(0, np.int64)
        kept: Encoded | None = None
        if stored is not None and not lacks:
            known, kept = stored[0], Encoded(stored[1], logvar)
        missing = np.setdiff1d(rows, known, assume_unique=True)
        if kept is None or len(missing):
            made = self.trained().encoded(missing, progress)
            known, kept = _joined(known, kept, missing, made)
            write(self.path, self.about, known, kept.codes, kept.logvar)
        place = np.searchsorted(known, rows)
        return Encoded(kept.codes[place], None if kept.logvar is None else kept.logvar[place])

    def contingency(self) -> tuple[ContingencyTable, str] | str:
        """The contingency table of the trained method, see `Trained`."""
        return self.trained().contingency()

    def reconstructed(self, rows: Ints) -> tuple[Floats, Floats] | str:
        """Images and what the trained method makes of their codes, see `Trained`."""
        return self.trained().reconstructed(rows)

    def generator(self) -> Generator | str:
        """The trained method as what draws pictures, see `Trained`."""
        return self.trained().generator()


def _joined(known: Ints, kept: Encoded | None, rows: Ints, made: Encoded) -> tuple[Ints, Encoded]:
    """Rows, ascending, and their codes, of those that were kept and those that were made."""
    if kept is None:
        return rows, made
    every = np.concatenate([known, rows])
    order = np.argsort(every)
    logvar = None
    if kept.logvar is not None and made.logvar is not None:
        logvar = np.concatenate([kept.logvar, made.logvar])[order]
    return every[order], Encoded(np.concatenate([kept.codes, made.codes])[order], logvar)


def of_seed(
    folder: Path,
    about: DataRef,
    data: Dataset,
    device: torch.device,
    data_dir: Path | None,
    images: Callable[[], Callable[[Ints], torch.Tensor] | None] = lambda: None,
) -> KeptCodes:
    """The codes of a trained seed: those of its codes.npz, and missing ones from its checkpoint.

    Args:
        folder: of the seed.
        about: the data set by name, size and content.
        data: the data set.
        device: where the method encodes.
        data_dir: folder of the data sets.
        images: gives what has images on the device already, if it has them.
    """

    @functools.cache
    def trained() -> Trained:
        method = own_checkpoint(folder).build(device)
        return Trained(method, data, device, data_dir, images())

    return KeptCodes(folder / "codes.npz", about, data, trained)


def own_checkpoint(folder: Path) -> Checkpoint:
    """The checkpoint of a seed.

    Args:
        folder: of the seed.

    Raises:
        UsageError: it is damaged, or that of another seed.
    """
    path, file = not_linked(folder / "checkpoint.pt"), CellFile.read(folder)
    try:
        checkpoint = load_checkpoint(path)
    except UsageError as error:
        raise UsageError(f"{path} is no checkpoint that can be read ({error}); {RETRY}.") from None
    found = (checkpoint.method, plain(checkpoint.config), dict(checkpoint.dataset), checkpoint.seed)
    cell = file.cell if file else None
    if cell and found != (cell.method, plain(cell.config), cell.dataset.plain(), cell.seed):
        raise UsageError(f"{path} is the checkpoint of another seed or of other settings; {RETRY}.")
    return checkpoint


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
