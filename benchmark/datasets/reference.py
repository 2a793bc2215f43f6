"""Which data set a result is of, as runs, checkpoints and codes store it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from numbers import Integral
from pathlib import Path
from typing import TYPE_CHECKING

from disbench.benchmark.datasets import load, naming
from disbench.errors import UsageError

if TYPE_CHECKING:
    from disbench.benchmark.datasets.dataset import Dataset


@dataclass(frozen=True)
class DataRef:
    """A data set by name, image size and content: what a cell, a checkpoint and kept codes say of their data.

    Attributes:
        name: as `datasets.load` takes it, with its options.
        size: of the images, in pixels.
        sha256: of the content.
    """

    name: str
    size: int
    sha256: str

    @classmethod
    def of(cls, data: Dataset) -> DataRef:
        """The reference of a data set. Raises UsageError where its images are no squares."""
        return cls(data.name, data.side("a run"), data.sha256)

    @classmethod
    def read(cls, values: Mapping[str, object]) -> DataRef:
        """From the JSON of a cell, a checkpoint or kept codes, see `plain`.

        Raises:
            UsageError: a value is missing or of another type.
        """
        name, size, sha256 = (values.get(key) for key in ("name", "size", "sha256"))
        if not (isinstance(name, str) and isinstance(size, Integral) and isinstance(sha256, str)):
            raise UsageError(
                f"a data set is recorded as {dict(values)}, but it needs a name, a size in pixels and a "
                "sha256; the file was not written by `disbench run`: train this seed again."
            )
        return cls(str(name), int(size), str(sha256))

    def plain(self) -> dict[str, str | int]:
        """As JSON."""
        return asdict(self)

    @property
    def short(self) -> str:
        """The name; of a user's file, without the folder that it lies in."""
        return naming.short(self.name)

    @property
    def label(self) -> str:
        """Name and size as one word, as rows of a leaderboard have it: "dsprites-32"."""
        return f"{self.short}-{self.size}"

    def load(self, data_dir: Path | None) -> Dataset:
        """The data set.

        Raises:
            UsageError: it is not here, or its content is another one.
        """
        data = load(self.name, size=self.size, data_dir=data_dir)
        self.check(data)
        return data

    def check(self, data: Dataset) -> None:
        """Raises UsageError where the data have another content than these."""
        if data.sha256 != self.sha256:
            raise UsageError(
                f"the data set {data.name} here has sha256 {data.sha256[:12]}..., "
                f"this model was trained on {self.sha256[:12]}...: scores would not be comparable; "
                "use the same data set."
            )
