"""Bars: 256 drawn images of a bar whose length and place vary. An example of a data set of one's own."""

import numpy as np

from disbench.datasets import Content, Files, PluginReader

MANIFEST = "bars.toml"


class Bars(PluginReader):
    """Draws the grid of `bars.toml`; reads no file."""

    def content(self, files: Files, size: int) -> Content:
        step = size // 16
        images = np.zeros((4, 8, 8, 1, size, size), np.uint8)
        for length, x, y in np.ndindex(4, 8, 8):
            top, left = step * y, 2 * step * x
            images[length, x, y, 0, top : top + 2 * step * (length + 1), left : left + step] = 255
        return Content((256, 1, size, size), [images.reshape(256, 1, size, size)])


READER = Bars
