"""Sheets of pictures: rows of tiles with their names and values, as a PNG, as an animation, and in figures.

The PNG of a sheet carries its texts and where its tiles are, so that `read` has the sheet again and `plots`
can draw it at any size with type of its own.
"""

from __future__ import annotations

import functools
import io
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import pydantic
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont, PngImagePlugin
from PIL.ImageFont import FreeTypeFont

from disbench.errors import UsageError
from disbench.files import not_linked, reading
from disbench.texts import clean

# (h, w, 3).
Pixels = NDArray[np.uint8]
# Pixels between tiles, and of the side of the smallest tile.
GAP, TILE = 2, 64
# Pixels of type per pixel of a tile: 7 points, where ten tiles and their names are 3.3 inches wide.
TYPE = 20 / 64
# Pixels of type and of a line under a tile.
CAPTION, LINE = 12, 13
PAPER, INK, QUIET = 255, (40, 40, 40), (150, 150, 150)
# Share of a dimmed tile that is paper.
DIMMED = 0.6
# Of an animation: least width in pixels, tiles in a row, milliseconds of a frame.
WIDE, COLUMNS, FRAME = 960, 5, 120
# Of one picture: 40 codes in 20 steps of 128 pixels have a quarter of them.
MOST_PIXELS = 2**25 + 2**24
# Key of a sheet's texts in its PNG, and their most characters.
KEY, MOST_TEXT = "disbench-sheet", 1_000_000


@dataclass(frozen=True)
class Sheet:
    """Rows of pictures with their texts.

    Attributes:
        rows: (r, s, h, w, 3) pixels.
        labels: names of the r rows.
        heads: for each row, what stands above its tiles, such as the values of a code; () for nothing. Equal
            heads of neighbouring rows are written once.
        dim: for each row, whether it is shown in grey; () for none.
        start: (h, w, 3), the picture that the rows start from; None where there is none.
        captions: for each row and tile, the lines under it; () for none.
        note: a sentence below everything.
    """

    rows: Pixels
    labels: Sequence[str]
    heads: Sequence[Sequence[str]] = ()
    dim: Sequence[bool] = ()
    start: Pixels | None = None
    captions: Sequence[Sequence[Sequence[str]]] = ()
    note: str = ""

    def shown(self) -> Pixels:
        """(r, s, h, w, 3) The pixels, those of dimmed rows in grey."""
        if not any(self.dim):
            return self.rows
        rows = self.rows.astype(np.float64)
        mask = np.asarray(self.dim, bool)
        rows[mask] = (1 - DIMMED) * rows[mask] + DIMMED * PAPER
        return rows.round().astype(np.uint8)

    def head_of(self, row: int) -> Sequence[str]:
        """What is written above a row: nothing where the row above has the same."""
        if not self.heads or (row > 0 and list(self.heads[row]) == list(self.heads[row - 1])):
            return ()
        return self.heads[row]

    def is_dim(self, row: int) -> bool:
        """Whether a row is in grey."""
        return bool(self.dim) and bool(self.dim[row])


class _Texts(pydantic.BaseModel):
    """What the PNG of a sheet says of it."""

    model_config = pydantic.ConfigDict(extra="forbid", strict=True)

    tile: tuple[int, int] = pydantic.Field(strict=False)
    left: int
    tops: list[int]
    columns: int
    start: int | None
    labels: list[str]
    heads: list[list[str]]
    dim: list[bool]
    note: str


def enlarged(pictures: NDArray[np.float32]) -> Pixels:
    """Pictures as bytes in three channels, enlarged by a whole number, to a side of `TILE` or nearly so.

    Args:
        pictures: (..., c, h, w) in [0, 1], one or three channels.

    Returns:
        (..., h', w', 3)
    """
    scale = max(1, TILE // pictures.shape[-1])
    levels = np.moveaxis((pictures.clip(0, 1) * 255).round().astype(np.uint8), -3, -1)
    colours = np.repeat(levels, 3, axis=-1) if levels.shape[-1] == 1 else levels
    return colours.repeat(scale, axis=-3).repeat(scale, axis=-2)


@functools.cache
def _font(size: int) -> FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


def png(sheet: Sheet) -> bytes:
    """The sheet as a PNG that `read` takes."""
    r, s, h, w, _ = sheet.rows.shape
    size = max(14, round(TYPE * w))
    font, small = _font(size), _font(CAPTION)
    names = [*map(clean, sheet.labels), *(["start"] if sheet.start is not None else [])]
    left = math.ceil(max(font.getlength(name) for name in names)) + 3 * GAP + 2
    lines = max((len(tile) for row in sheet.captions for tile in row), default=0)
    line = round(1.35 * size)
    tops, y = [], GAP
    start = None
    if sheet.start is not None:
        start, y = y, y + h + GAP
    for i in range(r):
        y += line if sheet.head_of(i) else 0
        tops.append(y)
        y += h + GAP + lines * LINE
    note = _wrapped(clean(sheet.note), font, left + s * (w + GAP) - 4)
    page = Image.new("RGB", (left + s * (w + GAP), y + line * len(note)), (PAPER,) * 3)
    draw = ImageDraw.Draw(page)

    def tile(pixels: Pixels, column: int, top: int) -> None:
        page.paste(Image.fromarray(pixels), (left + column * (w + GAP), top))

    def name(text: str, top: int, grey: bool) -> None:
        draw.text((left - 3 * GAP, top + h / 2), text, QUIET if grey else INK, font, anchor="rm")

    if start is not None and sheet.start is not None:
        tile(sheet.start, 0, start)
        name("start", start, False)
    for i, (label, row) in enumerate(zip(sheet.labels, sheet.shown(), strict=True)):
        for j, text in enumerate(sheet.head_of(i)):
            middle = (left + j * (w + GAP) + w / 2, tops[i] - line / 2)
            draw.text(middle, clean(text), INK, font, anchor="mm")
        name(clean(label), tops[i], sheet.is_dim(i))
        for j, pixels in enumerate(row):
            tile(pixels, j, tops[i])
            for k, text in enumerate(sheet.captions[i][j] if sheet.captions else ()):
                place = (left + j * (w + GAP) + 2, tops[i] + h + k * LINE)
                draw.text(place, clean(text), INK, small)
    for k, text in enumerate(note):
        draw.text((4, y + (k + 0.5) * line), text, INK, font, anchor="lm")
    texts = _Texts(
        tile=(h, w),
        left=left,
        tops=tops,
        columns=s,
        start=start,
        labels=list(sheet.labels),
        heads=[list(head) for head in sheet.heads],
        dim=list(map(bool, sheet.dim)),
        note=sheet.note,
    )
    about = PngImagePlugin.PngInfo()
    about.add_itxt(KEY, texts.model_dump_json())
    buffer = io.BytesIO()
    page.save(buffer, format="PNG", pnginfo=about)
    return buffer.getvalue()


def _wrapped(text: str, font: FreeTypeFont | ImageFont.ImageFont, width: float) -> list[str]:
    """A text in lines of at most so many pixels."""
    lines: list[str] = []
    for word in text.split():
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and font.getlength(longer) <= width:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines


def opened(path: Path) -> Image.Image:
    """A picture in RGB, with the texts of its file in `info`.

    Raises:
        UsageError: it cannot be read, is a link, or is larger than any sheet.
    """
    again = "`disbench traverse CHECKPOINT` draws it again"
    with reading(not_linked(path), "a picture", again), Image.open(path) as image:
        if image.width * image.height > MOST_PIXELS:
            raise UsageError(f"{path} has {image.width} x {image.height} pixels, too many for a traversal.")
        return image.convert("RGB")


def read(path: Path) -> Sheet | Pixels:
    """A sheet as it was written, or the pixels (h, w, 3) of another picture.

    Captions under tiles are not read. Rows that are shown in grey are those of before, up to rounding.

    Raises:
        UsageError: see `opened`.
    """
    image = opened(path)
    whole = np.asarray(image)
    text = image.info.get(KEY)
    texts = None
    if isinstance(text, str) and len(text) <= MOST_TEXT:
        try:
            texts = _Texts.model_validate_json(text)
        except (pydantic.ValidationError, json.JSONDecodeError):
            # a picture whose texts someone changed is shown as it is
            texts = None
    if texts is None or not _fits(texts, whole.shape):
        return whole
    h, w = texts.tile
    lefts = [texts.left + j * (w + GAP) for j in range(texts.columns)]
    rows = np.stack([[whole[y : y + h, x : x + w] for x in lefts] for y in texts.tops])
    dim = np.asarray(texts.dim, bool)
    if dim.any():
        undone = (rows[dim] - DIMMED * PAPER) / (1 - DIMMED)
        rows[dim] = undone.round().clip(0, PAPER).astype(np.uint8)
    start = None if texts.start is None else whole[texts.start : texts.start + h, lefts[0] : lefts[0] + w]
    return Sheet(rows, texts.labels, texts.heads, texts.dim, start, note=texts.note)


def _fits(texts: _Texts, shape: tuple[int, ...]) -> bool:
    """Whether the tiles that the texts speak of are within the picture, and each row has its texts."""
    (h, w), r, s = texts.tile, len(texts.tops), texts.columns
    if min(h, w, r, s) < 1 or texts.left < 0 or texts.left + s * (w + GAP) > shape[1] + GAP:
        return False
    tops = [*([] if texts.start is None else [texts.start]), *texts.tops]
    inside = tops[0] >= 0 and tops[-1] + h <= shape[0] and all(a + h <= b for a, b in pairwise(tops))
    counts = {len(texts.labels), len(texts.heads) or r, len(texts.dim) or r} == {r}
    return inside and counts and all(len(head) in (0, s) for head in texts.heads)


def gif(sheet: Sheet) -> bytes:
    """The rows of a sheet as an animation: all move at once, each in its own tile, forward and back.

    It is at least `WIDE` pixels wide, as a slide needs.
    """
    r, s, h, w, _ = sheet.rows.shape
    columns = max(2, min(r, COLUMNS))
    scale = max(1, math.ceil((WIDE / columns - GAP) / w))
    size = max(14, round(0.14 * w * scale))
    head, font = round(1.4 * size), _font(size)
    high, wide = h * scale + head + GAP, w * scale + GAP
    shown = sheet.shown()
    grey = bool((shown[..., :1] == shown).all())
    canvas = ((columns * wide + GAP), math.ceil(r / columns) * high + GAP)
    pages = []
    for step in [*range(s), *range(s - 2, 0, -1)]:
        page = Image.new("L" if grey else "RGB", canvas, PAPER if grey else (PAPER,) * 3)
        draw = ImageDraw.Draw(page)
        for i, label in enumerate(sheet.labels):
            x, y = GAP + (i % columns) * wide, GAP + (i // columns) * high
            ink = QUIET if sheet.is_dim(i) else INK
            value = f" = {sheet.heads[i][step]}" if sheet.heads and sheet.heads[i] else ""
            text = clean(f"{label}{value}")
            draw.text((x + 2, y + head / 2), text, ink[0] if grey else ink, font, anchor="lm")
            pixels = shown[i, step, ..., 0] if grey else shown[i, step]
            page.paste(Image.fromarray(pixels.repeat(scale, 0).repeat(scale, 1)), (x, y + head))
        pages.append(page)
    buffer = io.BytesIO()
    first, *rest = pages
    first.save(buffer, format="GIF", save_all=True, append_images=rest, duration=FRAME, loop=0)
    return buffer.getvalue()
