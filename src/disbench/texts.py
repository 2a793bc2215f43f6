"""Text of strangers: names, labels, reasons and whatever else a file or a folder may say.

It is cleaned here, and only here, on its way to any reader: terminals, tables, pages, plots and logs. What
cannot be seen is written out, so that it does nothing and two names that differ still look different. What a
format of its own gives a meaning to, such as LaTeX or HTML, that format escapes afterwards.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

# What a spreadsheet takes for the beginning of a formula, also in full width.
FORMULA = ("=", "+", "-", "@", "＝", "＋", "－", "＠")
NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)(e[+-]?\d+)?|[+-]?(inf|nan)", re.IGNORECASE | re.ASCII)

WHOLE = re.compile(r"(\d{1,18})(?:(?:\.\.|-)(\d{1,18}))?", re.ASCII)


def clean(text: object) -> str:
    """The text on one line, nothing in it invisible: `\\x1b` for an escape, `\\u202e` for a turn.

    White space becomes a space, also the kinds that break lines.
    """
    return "".join(letter if letter.isprintable() else _written(letter) for letter in _said(text))


def clean_lines(text: object) -> str:
    """The same line by line, for what has several."""
    return "\n".join(map(clean, _said(text).split("\n")))


def _said(text: object) -> str:
    """`str(text)`; of an error of foreign code that cannot even be printed, its kind."""
    try:
        return str(text)
    except Exception:
        return f"{type(text).__name__}, which cannot be printed"


def _written(letter: str) -> str:
    # the separators of records count as white space for Python, and name arguments in our sentences
    if letter.isspace() and not "\x1c" <= letter <= "\x1f":
        return " "
    return letter.encode("unicode_escape").decode("ascii")


def whole_numbers(text: str, most: int = 100_000) -> list[int] | None:
    """The numbers of a list with ranges: [0, 1, 2, 7] of "0..2,7" or "0-2,7"; in the order of the text.

    Args:
        text: whole numbers and ranges, separated by commas; both ends of a range belong to it.
        most: as many at most.

    Returns:
        None for any other text, a range that falls, or more numbers.
    """
    numbers: list[int] = []
    for part in filter(None, (part.strip() for part in text.split(","))):
        found = WHOLE.fullmatch(part)
        if found is None:
            return None
        first, last = int(found[1]), int(found[2] or found[1])
        if last < first or len(numbers) + last - first >= most:
            return None
        numbers += range(first, last + 1)
    return numbers


def as_ranges(numbers: Sequence[int]) -> str:
    """Ascending whole numbers as text, three and more in a row as a range: "0..2,7"; see `whole_numbers`."""
    parts: list[list[int]] = []
    for number in numbers:
        if parts and parts[-1][-1] == number - 1:
            parts[-1].append(number)
        else:
            parts.append([number])
    named = [[f"{part[0]}..{part[-1]}"] if len(part) > 2 else map(str, part) for part in parts]
    return ",".join(text for texts in named for text in texts)


def short(text: object, most: int = 160) -> str:
    """The first words on one line, of an error without any its class: an error may quote a hostile file."""
    line = " ".join(clean(text).split()) or ("" if isinstance(text, str) else type(text).__name__)
    return line if len(line) <= most else f"{line[: most - 3]}..."


def cell(value: object) -> object:
    """A value as a cell of a CSV: a text that a spreadsheet would compute begins with an apostrophe."""
    if not isinstance(value, str):
        return value
    line = clean(value)
    begins = line.lstrip().startswith(FORMULA)
    return f"'{line}" if begins and not NUMBER.fullmatch(line.strip()) else line


def from_cell(text: str) -> str:
    """What `cell` made a cell of."""
    inner = text.removeprefix("'")
    return inner if cell(inner) == text else text
