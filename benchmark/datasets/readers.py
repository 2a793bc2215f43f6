"""From a data set's own files to stored images. A reader is named by `reader.kind` in a manifest."""

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict

from disbench.benchmark.datasets import dsprites
from disbench.benchmark.datasets.cache import Content


class Strict(BaseModel):
    """An unknown field is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Renderer(Strict):
    """Draws the dSprites grid; reads no file."""

    kind: Literal["renderer"]

    def content(self, files: Mapping[str, Path], size: int) -> Content:
        shape = (int(np.prod(dsprites.SIZES)), size, size // 8)
        return Content(shape, dsprites.render(size), packed=True)


Reader = Renderer
