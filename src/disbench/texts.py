"""Text of strangers: names, labels, reasons and whatever else a file or a folder may say.

It is cleaned here, and only here, on its way to any reader: terminals, tables, pages, plots and logs. What
cannot be seen is written out, so that it does nothing and two names that differ still look different. What a
format of its own gives a meaning to, such as LaTeX or HTML, that format escapes afterwards.
"""

from __future__ import annotations

import re

# What a spreadsheet takes for the beginning of a formula, also in full width.
FORMULA = ("=", "+", "-", "@", "＝", "＋", "－", "＠")
NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)(e[+-]?\d+)?|[+-]?(inf|nan)", re.IGNORECASE | re.ASCII)


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


def short(text: object, most: int = 160) -> str:
    """The first words on one line: an error may quote a hostile file."""
    line = " ".join(clean(text).split()) or type(text).__name__
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
