"""Sets the formulas of docs/formulas.toml as MathML, which browsers show without a script or a network.

Docstrings keep their formulas in plain characters, to be read beside the code. An entry of the file says the
same in LaTeX and quotes the lines that it stands for. So a line leaves a page only where a formula takes its
place, and a docstring that was changed without its entry stops the build.
"""

from __future__ import annotations

import html
import re
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree

from latex2mathml.converter import convert

FILE = Path(__file__).resolve().with_suffix(".toml")
THIN = "0.167em"
SIGNS = {"~": "∼", ";": ";", ":": ":"}
LIMITS = {"msub": "munder", "msubsup": "munderover"}


@dataclass(frozen=True)
class Formula:
    """One formula of a page, as in docs/formulas.toml.

    Attributes:
        latex: of the formula, or of several with `\\qquad` between them.
        quotes: lines of the docstring that it stands for, spaces aside.
        note: stands beside it: the number of the equation, or what it is of.
        where: stands below it: symbols that the page does not explain elsewhere.
    """

    latex: str
    quotes: tuple[str, ...] = ()
    note: str = ""
    where: str = ""

    def shown(self) -> str:
        """The formula as HTML, in one line, which Markdown leaves as it is."""
        note = f'<span class="note">{_inline(self.note)}</span>' if self.note else ""
        where = f'<p class="where">{_inline(self.where)}</p>' if self.where else ""
        # several equations of one line go below each other where there is no room
        each = "".join(mathml(part, "block") for part in self.latex.split(r"\qquad"))
        # a long one scrolls by itself, with the keyboard as well
        scrolls = f'<div class="set" tabindex="0">{each}</div>'
        return f'<div class="formula">{scrolls}{note}{where}</div>'


@cache
def known() -> dict[str, dict[str, tuple[Formula, ...]]]:
    """The formulas of the file, by "methods" or "metrics" and name.

    Raises:
        ValueError: an entry with a field that is none, or without `latex`.
    """
    sections = tomllib.loads(FILE.read_text("utf-8"))
    return {
        section: {
            name: tuple(_read(f"{section}.{name}", entry) for entry in entries)
            for name, entries in of.items()
        }
        for section, of in sections.items()
    }


def _read(name: str, entry: dict[str, str]) -> Formula:
    if "latex" not in entry or (strange := set(entry) - {"latex", "quotes", "note", "where"}):
        wrong = f"has {sorted(strange)}" if "latex" in entry else "has no latex"
        raise ValueError(f"an entry {name} of {FILE.name} {wrong}; it takes latex, quotes, note and where")
    quotes = tuple(_spaced(line) for line in entry.get("quotes", "").strip().splitlines())
    return Formula(entry["latex"], quotes, entry.get("note", ""), entry.get("where", ""))


def _spaced(line: str) -> str:
    return " ".join(line.split())


def placed(text: str, formulas: Sequence[Formula]) -> str:
    """A docstring's text with its formulas set, each in the place of the lines that it quotes.

    A formula that quotes nothing follows the one before it; the first ones open the text. An indented block
    of which no line is quoted stays.

    Args:
        text: paragraphs and indented blocks, with empty lines between them.
        formulas: of the method or metric, in their order.

    Raises:
        ValueError: lines that no block has, or a block of which only a part is quoted.
    """
    opening: list[Formula] = []
    groups: list[list[Formula]] = []
    for formula in formulas:
        if formula.quotes:
            groups.append([formula])
        else:
            (groups[-1] if groups else opening).append(formula)
    parts = [_shown(opening)] if opening else []
    for part in text.strip("\n").split("\n\n"):
        lines = tuple(_spaced(line) for line in part.splitlines())
        here: list[Formula] = []
        while groups and part.startswith("    ") and lines[: len(quotes := groups[0][0].quotes)] == quotes:
            lines = lines[len(quotes) :]
            here += groups.pop(0)
        if here and lines:
            raise ValueError(
                f"{FILE.name} quotes only a part of a block, not {lines[0]!r}; quote this as well"
            )
        parts.append(_shown(here) if here else part)
    if groups:
        raise ValueError(
            f"{FILE.name} quotes {groups[0][0].quotes}, which the docstring does not have in this order; see "
            "whether the formula is still true, and quote what stands there"
        )
    return "\n\n".join(parts)


def _shown(formulas: Sequence[Formula]) -> str:
    return "".join(formula.shown() for formula in formulas)


def _inline(text: str) -> str:
    """Text as HTML, with `$...$` set and what stands in backticks as code."""

    def shown(part: str) -> str:
        if part.startswith("$"):
            return mathml(part[1:-1], "inline")
        if part.startswith("`"):
            return f"<code>{html.escape(part[1:-1])}</code>"
        return html.escape(part, quote=False)

    return "".join(shown(part) for part in re.split(r"(\$[^$]+\$|`[^`]+`)", text))


def mathml(latex: str, display: str) -> str:
    """LaTeX as a MathML element, in one line.

    Args:
        latex: of a formula of one line.
        display: "block" or "inline".

    Raises:
        ValueError: LaTeX that the library does not understand: without a word, it leaves unknown commands and
            alignments in its output.
    """
    written = convert(latex, display=display).replace(' xmlns="http://www.w3.org/1998/Math/MathML"', "")
    try:
        root = ElementTree.fromstring(written)
    except ElementTree.ParseError as error:
        raise ValueError(f"LaTeX that cannot be set: {latex} ({error})") from error
    for element in root.iter():
        token = element.tag in ("mi", "mn", "mo")
        strange = re.search(r"[\\?&]", element.text or "") or (token and not element.text)
        if strange or element.get("linebreak"):
            raise ValueError(f"LaTeX that cannot be set: {latex} (at {element.text!r} in <{element.tag}>)")
    _mend(root)
    return ElementTree.tostring(root, encoding="unicode")


def _mend(root: ElementTree.Element) -> None:
    """What the library does not set as LaTeX does: names, limits, signs and primes."""
    for element in root.iter():
        if element.tag == "mo" and _named(element):
            element.attrib |= {"lspace": "0", "rspace": "0", "movablelimits": "true"}
        if element.tag in LIMITS and _takes_limits(element[0]):
            element.tag = LIMITS[element.tag]
        if element.tag == "mi" and element.text in SIGNS:
            element.tag, element.text = "mo", SIGNS[element.text]
        # a prime is small and high by itself, and is not to become smaller
        if element.tag == "mi" and element.text == "′":
            element.tag = "mo"
            element.set("style", "font-size: 1.3em")
    for parent in root.iter():
        if parent.tag not in ("math", "mrow"):
            continue
        children = list(parent)
        for before, after in pairwise(children):
            if (_named(before) or _named(after)) and not (_spaces(before) or _spaces(after)):
                parent.insert(list(parent).index(after), ElementTree.Element("mspace", {"width": THIN}))
            if after.text == "−" and before.text in ("=", "≈"):
                after.set("form", "prefix")


def _takes_limits(element: ElementTree.Element) -> bool:
    return element.tag == "mo" and (_named(element) or element.text in ("∑", "∏"))


def _named(element: ElementTree.Element) -> bool:
    """Whether an element is a function's name, such as log, or one with a limit or a base."""
    if element.tag in ("munder", "msub", "msup"):
        return _named(element[0])
    return element.tag in ("mi", "mo") and len(element.text or "") > 1 and (element.text or "").isalpha()


def _spaces(element: ElementTree.Element) -> bool:
    """Whether an element brings the space around it along, as = does, or wants none, as a bracket does."""
    return element.tag == "mspace" or (element.tag == "mo" and not _named(element))
