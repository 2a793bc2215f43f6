"""What scoring asks of whatever has codes: a `Source`, and the codes that it gives."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from disbench.metrics import ContingencyTable
from disbench.metrics.arrays import Floats, Ints

if TYPE_CHECKING:
    from disbench.benchmark.scoring.generators import Generator

Progress = Callable[[str, int, int], None]  # called with the kind of work, how much is done, of how much


@dataclass(frozen=True)
class Encoded:
    """The codes of some rows.

    Attributes:
        codes: (n, d); the means, where there is a posterior.
        logvar: (n, d), natural log of the variances; None where there is no posterior, or it was not kept.
    """

    codes: Floats
    logvar: Floats | None = None


class Source(Protocol):
    """Whatever has codes of a data set's images: a trained method, someone's encoder, a file of codes."""

    @property
    def rows(self) -> Ints | None:
        """The rows (m,) that it has codes of, ascending; None for all."""
        ...

    @property
    def no_posterior(self) -> str:
        """Why there are no log-variances of its codes, in words; "" if there are."""
        ...

    def encoded(self, rows: Ints, progress: Progress | None = None, need: bool = False) -> Encoded:
        """The codes (len(rows), d) of distinct rows, finite numbers, with their log-variances.

        Args:
            rows: row numbers, ascending.
            progress: called while a model encodes.
            need: whether the log-variances are needed; else those that would have to be made anew may lack.
        """
        ...

    def contingency(self) -> tuple[ContingencyTable, str] | str:
        """Counts of generated images, and the classifier in words; or the reason why there are none."""
        ...

    def reconstructed(self, rows: Ints) -> tuple[Floats, Floats] | str:
        """Images (len(rows), c, h, w) and what is made of their codes; or the reason why there is nothing."""
        ...

    def generator(self) -> Generator | str:
        """What draws pictures from codes of its own; or the reason why there is nothing."""
        ...


class Codes:
    """Codes of some rows of a data set, looked up by row number.

    Args:
        rows: (m,) distinct row numbers.
        codes: (m, d), one line per row.
        n: number of rows of the data set.
        logvar: (m, d), their log-variances, if they are known.
    """

    def __init__(self, rows: Ints, codes: Floats, n: int, logvar: Floats | None = None) -> None:
        self.codes, self.logvar = codes, logvar
        self.position = np.full(n, -1, np.int32)
        self.position[rows] = np.arange(len(rows))

    def __call__(self, rows: Ints) -> Floats:
        """The codes (len(rows), d) of these rows, in their order."""
        codes: Floats = self.codes[self.position[rows]]
        return codes

    def joined(self, rows: Ints, encoded: Encoded) -> Codes:
        """These codes and those of further rows."""
        known = np.flatnonzero(self.position >= 0)
        logvar = None
        if self.logvar is not None and encoded.logvar is not None:
            logvar = np.concatenate([self.logvar, encoded.logvar])
        codes = np.concatenate([self.codes, encoded.codes])
        return Codes(np.concatenate([known, rows]), codes, len(self.position), logvar)

    def posterior(self, rows: Ints) -> tuple[Floats, Floats]:
        """Their means and log-variances (len(rows), d) each, which must be known."""
        # whoever asks for them has them encoded
        assert self.logvar is not None
        place = self.position[rows]
        return self.codes[place], self.logvar[place]
