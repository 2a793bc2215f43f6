"""Tables of texts as Markdown, LaTeX (booktabs) and HTML, all in them escaped; and as JSON for programs.

A table of results comes as a `Wide`, whose best numbers are bold and whose second are underlined.
"""

from __future__ import annotations

import html as html_escapes
import json as json_text
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from disbench.errors import UsageError, argument, unknown
from disbench.files import plain
from disbench.leaderboards.wide import BEST, SECOND, Wide
from disbench.texts import cell, clean, clean_lines

FORMATS = ("terminal", "csv", "parquet", "markdown", "latex", "html", "json")
SUFFIXES = {
    ".csv": "csv",
    ".parquet": "parquet",
    ".md": "markdown",
    ".tex": "latex",
    ".html": "html",
    ".htm": "html",
    ".json": "json",
    ".txt": "terminal",
}
LATEX = {
    **{c: f"\\{c}" for c in "&%$#_{}"},
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "–": "--",
    "±": r"$\pm$",
    "−": "$-$",
    "×": r"$\times$",
    "²": "$^2$",
    "≥": r"$\ge$",
    "≤": r"$\le$",
    "β": r"$\beta$",
    "γ": r"$\gamma$",
    "λ": r"$\lambda$",
    "τ": r"$\tau$",
    "χ": r"$\chi$",
    "↑": r"$\uparrow$",
    "↓": r"$\downarrow$",
}
NUMERIC = frozenset("0123456789.+-−±–()[] ")
# A number, perhaps with its spread, which LaTeX sets as one formula.
MEASURED = re.compile(r"−?\d*\.?\d+(?: ± \d*\.?\d+)?")
# What Markdown reads as emphasis, struck text or code; an underscore within a word is none.
EMPHASIS = re.compile(r"[*`~]|(?<![^\W_])_|_(?![^\W_])")
SCHEMA = "disbench-1"


def choose(name: str, out: Path | None) -> str:
    """The named format, or else that of the file extension, or else the terminal's.

    Args:
        name: one of `FORMATS`, or "".
        out: the file to write; None for the terminal.

    Raises:
        UsageError: an unknown format or file extension.
    """
    if name:
        if name not in FORMATS:
            raise unknown("format", name, FORMATS)
        if name == "parquet" and out is None:
            raise UsageError(
                f"{argument('format')} parquet cannot be shown on a terminal; add {argument('out')} FILE."
            )
        return name
    if out is None:
        return "terminal"
    if out.suffix.lower() not in SUFFIXES:
        raise UsageError(
            f"{argument('out')} {out} has no known file extension; "
            f"add {argument('format')} {'|'.join(FORMATS)}."
        )
    return SUFFIXES[out.suffix.lower()]


def render(kind: str, table: pd.DataFrame | Wide, title: str, notes: Sequence[str]) -> str:
    """A table as Markdown, LaTeX or HTML.

    Args:
        kind: "markdown", "latex" or "html".
        table: of texts.
        title: its caption.
        notes: sentences below it.
    """
    return {"markdown": markdown, "latex": latex, "html": html}[kind](table, title, notes)


def _parts(table: pd.DataFrame | Wide) -> tuple[pd.DataFrame, list[list[tuple[object, str, str]]]]:
    """The texts, and for each row of each cell its text, its mark and what follows it."""
    if isinstance(table, pd.DataFrame):
        return table, [[(text, "", "") for text in row] for row in table.itertuples(index=False)]
    frames = (table.text, table.marks, table.after)
    rows = zip(*(frame.itertuples(index=False, name=None) for frame in frames), strict=True)
    return table.text, [list(zip(*row, strict=True)) for row in rows]


def markdown(table: pd.DataFrame | Wide, title: str = "", notes: Sequence[str] = ()) -> str:
    """A pipe table with its title in bold above and its notes as a list below.

    Args:
        table: of texts; the best numbers of a `Wide` are bold, the second are underlined.
        title: its caption.
        notes: sentences below it.
    """

    def shown(value: object) -> str:
        escaped = html_escapes.escape(clean(value), quote=False).replace("\\", "\\\\").replace("|", "\\|")
        # a link or a picture is its text
        escaped = escaped.replace("](", "]\\(").replace("][", "]\\[")
        return " ".join(escaped.split())

    def plain_text(value: object) -> str:
        # a star in a name is not the mark of the best; sentences have code between backticks
        return EMPHASIS.sub(r"\\\g<0>", shown(value))

    around = {BEST: ("**", "**"), SECOND: ("<ins>", "</ins>")}

    def marked(text: object, mark: str, after: str) -> str:
        before, behind = around.get(mark, ("", ""))
        return f"{before}{plain_text(text)}{behind}{f' {plain_text(after)}' if after else ''}"

    text, rows = _parts(table)
    safe = pd.DataFrame(
        [[marked(*part) for part in row] for row in rows], columns=[*map(plain_text, text.columns)]
    )
    align = ["right" if _numeric(text[column]) else "left" for column in text]
    drawn = str(safe.to_markdown(index=False, disable_numparse=True, colalign=align if len(text) else None))
    above = f"**{plain_text(title)}**\n\n" if title else ""
    below = "\n\n" + "\n".join(f"- {shown(note)}" for note in notes) if notes else ""
    return above + drawn + below + "\n"


def csv(frame: pd.DataFrame) -> str:
    """A frame as CSV; no text in it is a formula for a spreadsheet.

    Args:
        frame: numbers and texts, without its index.
    """
    texts = frame.select_dtypes(exclude=["number", "bool"])
    safe = frame.copy(deep=False)
    for name in texts:
        safe[name] = frame[name].map(cell)
    return safe.rename(columns=cell).to_csv(index=False)


def escape_latex(text: object) -> str:
    """A text in which no character has a meaning for LaTeX."""
    return "".join(LATEX.get(c, c) for c in " ".join(clean(text).split()))


def latex(table: pd.DataFrame | Wide, title: str = "", notes: Sequence[str] = ()) -> str:
    """A table environment with booktabs rules, and its notes below in small print.

    Args:
        table: of texts; the best numbers of a `Wide` are bold, the second are underlined.
        title: its caption.
        notes: sentences below it.
    """
    text, rows = _parts(table)
    columns = "".join("r" if _numeric(text[column]) else "l" for column in text)
    lines = [r"% needs \usepackage{booktabs}", r"\begin{table}", r"\centering", r"\small"]
    lines += [rf"\caption{{{escape_latex(title)}}}"] if title else []
    lines += [rf"\begin{{tabular}}{{{columns}}}", r"\toprule"]
    lines += [" & ".join(map(escape_latex, text.columns)) + r" \\", r"\midrule"]
    for row in rows:
        body = " & ".join(_latex_cell(*part) for part in row)
        # Otherwise it would be an argument of the line break before it.
        guard = "{}" if body.startswith(("[", "*")) else ""
        lines.append(guard + body + r" \\")
    lines += [r"\bottomrule", r"\end{tabular}"]
    lines += [rf"\par\smallskip{{\footnotesize {escape_latex(note)}\par}}" for note in notes]
    return "\n".join([*lines, r"\end{table}", ""])


def _latex_cell(text: object, mark: str, after: str) -> str:
    shown = escape_latex(text)
    if MEASURED.fullmatch(str(text)) and (mark or "±" in str(text)):
        formula = str(text).replace("±", r"\pm").replace("−", "-")
        shown = rf"$\mathbf{{{formula}}}$" if mark == BEST else f"${formula}$"
    elif mark == BEST:
        shown = rf"\textbf{{{shown}}}"
    shown = rf"\underline{{{shown}}}" if mark == SECOND else shown
    return f"{shown} {escape_latex(after)}" if after else shown


STYLE = (
    ":root{color-scheme:light dark;font:16px/1.4 system-ui,sans-serif}body{margin:1.5rem}"
    ".wide{overflow-x:auto}table{border-collapse:collapse;border-block:2px solid}"
    "th{border-bottom:1px solid;text-align:left}th,td{padding:.25em .8em;white-space:nowrap}"
    ".n{text-align:right;font-variant-numeric:tabular-nums}small{opacity:.8}"
)


def html(table: pd.DataFrame | Wide, title: str = "", notes: Sequence[str] = ()) -> str:
    """A page with one table.

    Args:
        table: of texts; the best numbers of a `Wide` are bold, the second are underlined.
        title: its caption.
        notes: sentences below it.
    """

    def escape(value: object) -> str:
        return html_escapes.escape(clean_lines(value))

    around = {BEST: ("<b>", "</b>"), SECOND: ("<u>", "</u>")}

    def marked(text: object, mark: str, after: str) -> str:
        before, behind = around.get(mark, ("", ""))
        return f"{before}{escape(text)}{behind}{f' <small>{escape(after)}</small>' if after else ''}"

    text, rows = _parts(table)
    align = [' class="n"' if _numeric(text[column]) else "" for column in text]
    head = "".join(f"<th{a}>{escape(name)}</th>" for a, name in zip(align, text.columns, strict=True))
    body = "\n".join(
        "<tr>" + "".join(f"<td{a}>{marked(*part)}</td>" for a, part in zip(align, row, strict=True)) + "</tr>"
        for row in rows
    )
    below = "".join(f"<p><small>{escape(note)}</small></p>\n" for note in notes)
    return (
        f'<!doctype html>\n<html lang="en">\n<meta charset="utf-8">\n'
        f'<meta name="viewport" content="width=device-width">\n<title>{escape(title)}</title>\n'
        f"<style>{STYLE}</style>\n"
        f'<p id="title">{escape(title)}</p>\n<div class="wide"><table aria-describedby="title">\n'
        f"<thead><tr>{head}</tr></thead>\n"
        f"<tbody>\n{body}\n</tbody>\n</table></div>\n{below}</html>\n"
    )


@dataclass(frozen=True)
class Tabled:
    """A table for programs.

    Attributes:
        name: what it is, in one word, such as "leaderboard" or "pairs".
        frame: its numbers and texts.
        title: for people.
        notes: sentences about it.
    """

    name: str
    frame: pd.DataFrame
    title: str = ""
    notes: Sequence[str] = ()

    def plain(self) -> dict[str, object]:
        """As JSON: every row by the names of the columns; what is missing is null."""
        columns = [str(column) for column in self.frame.columns]
        return {
            "name": self.name,
            "title": self.title,
            "columns": columns,
            "rows": [dict(zip(columns, row, strict=True)) for row in _values(self.frame)],
            "notes": list(self.notes),
        }


def _values(frame: pd.DataFrame) -> Iterator[list[object]]:
    """The rows of a frame as plain values, null for NaN and infinities."""
    for row in frame.astype(object).itertuples(index=False, name=None):
        yield [None if value is pd.NA or value is pd.NaT else plain(value) for value in row]


def json(command: str, tables: Sequence[Tabled], details: object = None) -> str:
    """The tables of a command in the one schema of all commands, which docs/json.md describes.

    Args:
        command: that printed them, such as "leaderboard" or "bench data".
        tables: in their order.
        details: what a table cannot hold, of the commands that have some; None for nothing.
    """
    values: dict[str, object] = {"schema": SCHEMA, "command": command}
    values["tables"] = [table.plain() for table in tables]
    if details is not None:
        values["details"] = plain(details)
    return json_text.dumps(values, indent=1, allow_nan=False, default=list) + "\n"


def _numeric(column: pd.Series[str]) -> bool:
    return all(set(str(value)) <= NUMERIC for value in column)
