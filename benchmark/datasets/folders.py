"""A folder of PNG and JPEG pictures of the user's: images without labels.

The pictures of the folder and of the folders in it are the rows, in the order of their paths. Only their
headers are read at first. They are decoded once, one block at a time, into the file that training reads, so
memory does not grow with their number. The names of folders are not taken for classes.

What is clear is taken, and said: grey pictures among colours become colours, palettes and CMYK become RGB, an
opaque alpha channel is dropped, a camera's note of how it was held is followed. What is not is refused with
the name of the picture: transparent pixels, more than 8 bits, several frames, several sizes where none was
asked for. Links to folders are followed, but not to one whose pictures were taken already.
"""

from __future__ import annotations

import hashlib
import os
import warnings
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from disbench.benchmark.datasets.cache import Bytes, Content
from disbench.benchmark.datasets.readers import resize
from disbench.benchmark.datasets.streams import reading, steps
from disbench.errors import UsageError, argument

if TYPE_CHECKING:
    from PIL.Image import Image

SUFFIXES = (".png", ".jpg", ".jpeg")
GREY, COLOUR, ALPHA = ("1", "L"), ("RGB", "P", "CMYK", "YCbCr"), ("LA", "RGBA", "PA")
# EXIF's tag of how the camera was held, and its values for which height and width change places
HELD, TURNED = 0x0112, (5, 6, 7, 8)


@dataclass(frozen=True)
class Pictures:
    """The pictures of a folder, of which only names, lengths and dates are known.

    Attributes:
        folder: the folder.
        names: their paths in it, sorted.
        digest: of the folder, names, lengths and dates: another one means that they are to be decoded again.
        others: number of files of other kinds, by suffix.
    """

    folder: Path
    names: tuple[str, ...]
    digest: str
    others: tuple[tuple[str, int], ...] = ()

    def content(self, size: int | None) -> Content:
        """Their images, as squares of that side, or all of one size as they are.

        Raises:
            UsageError: a picture that cannot be read or taken, or several sizes and no `size`.
        """
        shapes = Counter(self._header(name) for name in self.names)
        channels = 3 if any(c == 3 for c, _, _ in shapes) else 1
        sides = Counter({(h, w): n for (_, h, w), n in shapes.items()})
        if size is None and len(sides) > 1:
            shown = ", ".join(f"{h}x{w} ({n:,})" for (h, w), n in sides.most_common(3))
            raise UsageError(
                f"the {len(self.names):,} pictures in {self.folder} have {len(sides):,} sizes, such as "
                f"{shown}; give {argument('size')}, and all become squares of that side."
            )
        (height, width), _ = sides.most_common(1)[0]
        shape = (len(self.names), channels, size or height, size or width)
        return Content(shape, self._blocks(channels, size, height * width), notes=self._notes(shapes, size))

    def _notes(self, shapes: Counter[tuple[int, int, int]], size: int | None) -> tuple[str, ...]:
        where = self.folder.name or str(self.folder)
        notes = [
            f"{len(self.names):,} pictures in {where}, in the order of their paths; names of folders are no "
            "labels"
        ]
        if self.others:
            listed = ", ".join(f"{n:,} {suffix}" for suffix, n in self.others)
            notes.append(f"files in {where} that are no PNG or JPEG were left out: {listed}")
        grey = sum(n for (c, _, _), n in shapes.items() if c == 1)
        if 0 < grey < len(self.names):
            notes.append(f"{grey:,} grey pictures in {where} are among {len(self.names) - grey:,} of colour")
        sides = sorted({(h, w) for _, h, w in shapes})
        if size is not None and sides != [(size, size)]:
            first = "x".join(map(str, sides[0]))
            given = first if len(sides) == 1 else f"{first} to {'x'.join(map(str, sides[-1]))}"
            notes.append(resized(where, given, size))
        return tuple(notes)

    def _blocks(self, channels: int, size: int | None, pixels: int) -> Iterator[Bytes]:
        # a picture is held as it is and as it becomes
        for start, stop in steps(len(self.names), channels * (size * size if size else pixels)):
            images = (self._pixels(name, channels) for name in self.names[start:stop])
            yield np.concatenate([image if size is None else resize(image, size) for image in images])

    def _pixels(self, name: str, channels: int) -> Bytes:
        """One picture (1, c, h, w)."""
        from PIL import ImageOps

        path = self.folder / name
        with reading(path), _opened(path) as picture:
            _check(path, picture)
            upright = ImageOps.exif_transpose(picture)
            if upright.mode in ALPHA or "transparency" in upright.info:
                upright = upright.convert("RGBA")
                low, _ = upright.getchannel("A").getextrema()
                if low != 255:
                    raise UsageError(
                        f"{path} has transparent pixels, and what is behind them is not known; write it on a "
                        "background, such as white."
                    )
            pixels = np.asarray(upright.convert("L" if channels == 1 else "RGB"))
        h, w = pixels.shape[:2]
        return pixels.reshape(1, h, w, -1).transpose(0, 3, 1, 2)

    def _header(self, name: str) -> tuple[int, int, int]:
        """Channels, height and width of one picture, of which no pixel is decoded."""
        path = self.folder / name
        with reading(path), _opened(path) as picture:
            _check(path, picture)
            width, height = picture.size
            if picture.getexif().get(HELD) in TURNED:
                width, height = height, width
            channels = 1 if picture.mode in (*GREY, "LA") else 3
        return channels, height, width


def find(folder: Path) -> Pictures:
    """The pictures in a folder and in the folders in it; hidden ones are left out.

    Raises:
        UsageError: there is no such folder, or no picture in it.
    """
    if not folder.is_dir():
        what = "is a file, and no npz" if folder.is_file() else "does not exist"
        raise UsageError(
            f"{folder} {what}; give an npz file, or a folder of PNG or JPEG pictures, such as 'pictures/'."
        )
    found: list[tuple[str, int, int]] = []
    others: Counter[str] = Counter()
    seen: dict[Path, str] = {}
    with reading(folder):
        for where, inner, files in os.walk(folder, onerror=_refuse, followlinks=True):
            inner[:] = sorted(name for name in inner if not name.startswith("."))
            if (first := seen.setdefault(Path(where).resolve(), where)) != where:
                raise UsageError(
                    f"{where} and {first} are one folder, whose pictures would count twice; remove the link."
                )
            for name in files:
                path = Path(where, name)
                if name.startswith("."):
                    continue
                if path.suffix.lower() not in SUFFIXES:
                    others[path.suffix.lower() or "without suffix"] += 1
                    continue
                with reading(path):
                    stat = path.stat()
                found.append((path.relative_to(folder).as_posix(), stat.st_size, stat.st_mtime_ns))
    if not found:
        listed = ", ".join(f"{n:,} {suffix}" for suffix, n in sorted(others.items())) or "no file"
        raise UsageError(f"{folder} holds no PNG or JPEG picture ({listed}); is it the right folder?")
    found.sort()
    # of an archive, the pictures of two folders may have one date, and uncompressed ones have one length
    known = repr((str(folder.resolve()), found))
    digest = hashlib.sha256(known.encode("utf-8", "surrogateescape")).hexdigest()
    return Pictures(folder, tuple(name for name, _, _ in found), digest, tuple(sorted(others.items())))


def _refuse(error: OSError) -> None:
    """Of a folder that cannot be listed; left to itself, `os.walk` goes on without it."""
    with reading(Path(error.filename)):
        raise error


def resized(what: str, given: str, size: int) -> str:
    """The sentence that images were resized."""
    return f"the images of {what}, {given}, are resized to {size}x{size} pixels (bilinear, all of each image)"


def _opened(path: Path) -> Image:
    """A picture of which the header was read. What is too large to be one is an error, and not a warning."""
    from PIL import Image

    with warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        return Image.open(path, formats=("PNG", "JPEG"))


def _check(path: Path, picture: Image) -> None:
    """Refuses what would lose some of its bits or frames."""
    # of colours with 16 bits, Pillow says only how they are stored
    deep = any(";16" in str(tile[3]) for tile in getattr(picture, "tile", ()))
    if deep or picture.mode not in (*GREY, *COLOUR, *ALPHA):
        raise UsageError(
            f"{path} has pixels of the kind {picture.mode}, with more than 8 bits each; write it with 8 bits."
        )
    # the further pictures in a phone's JPEG are views of the first
    if picture.format == "PNG" and getattr(picture, "n_frames", 1) > 1:
        raise UsageError(f"{path} is animated; write each of its frames as a picture, or one of them.")
