"""Tables of texts as Markdown, LaTeX (booktabs) and HTML, everything in them escaped."""

from __future__ import annotations

import html as html_escapes
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from disbench.errors import UsageError, argument, unknown
from disbench.texts import cell, clean, clean_lines

FORMATS = ("terminal", "csv", "parquet", "markdown", "latex", "html")
SUFFIXES = {
    ".csv": "csv",
    ".parquet": "parquet",
    ".md": "markdown",
    ".tex": "latex",
    ".html": "html",
    ".htm": "html",
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
}
NUMERIC = frozenset("0123456789.+-−±–()[] ")


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


def render(kind: str, text: pd.DataFrame, title: str, notes: Sequence[str]) -> str:
    """A table of texts as Markdown, LaTeX or HTML.

    Args:
        kind: "markdown", "latex" or "html".
        text: the table.
        title: its caption.
        notes: sentences below it.
    """
    return {"markdown": markdown, "latex": latex, "html": html}[kind](text, title, notes)


def markdown(text: pd.DataFrame, title: str = "", notes: Sequence[str] = ()) -> str:
    """A pipe table with its title in bold above and its notes as a list below.

    Args:
        text: the table.
        title: its caption.
        notes: sentences below it.
    """

    def shown(value: object) -> str:
        escaped = html_escapes.escape(clean(value), quote=False).replace("\\", "\\\\").replace("|", "\\|")
        # a link or a picture is its text
        escaped = escaped.replace("](", "]\\(").replace("][", "]\\[")
        return " ".join(escaped.split())

    safe = text.map(shown).rename(columns=shown)
    align = ["right" if _numeric(text[column]) else "left" for column in text]
    table = str(safe.to_markdown(index=False, disable_numparse=True, colalign=align if len(text) else None))
    above = f"**{shown(title)}**\n\n" if title else ""
    below = "\n\n" + "\n".join(f"- {shown(note)}" for note in notes) if notes else ""
    return above + table + below + "\n"


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


def latex(text: pd.DataFrame, title: str = "", notes: Sequence[str] = ()) -> str:
    """A table environment with booktabs rules, and its notes below in small print.

    Args:
        text: the table.
        title: its caption.
        notes: sentences below it.
    """
    columns = "".join("r" if _numeric(text[column]) else "l" for column in text)
    lines = [r"% needs \usepackage{booktabs}", r"\begin{table}", r"\centering"]
    lines += [rf"\caption{{{escape_latex(title)}}}"] if title else []
    lines += [rf"\begin{{tabular}}{{{columns}}}", r"\toprule"]
    lines += [" & ".join(map(escape_latex, text.columns)) + r" \\", r"\midrule"]
    for row in text.itertuples(index=False):
        body = " & ".join(map(escape_latex, row))
        # Otherwise it would be an argument of the line break before it.
        guard = "{}" if body.startswith(("[", "*")) else ""
        lines.append(guard + body + r" \\")
    lines += [r"\bottomrule", r"\end{tabular}"]
    lines += [rf"\par\smallskip{{\footnotesize {escape_latex(note)}\par}}" for note in notes]
    return "\n".join([*lines, r"\end{table}", ""])


def html(text: pd.DataFrame, title: str = "", notes: Sequence[str] = ()) -> str:
    """A page with one table.

    Args:
        text: the table.
        title: its caption.
        notes: sentences below it.
    """

    def escape(value: object) -> str:
        return html_escapes.escape(clean_lines(value))

    align = [' style="text-align:right"' if _numeric(text[column]) else "" for column in text]
    head = "".join(f"<th>{escape(column)}</th>" for column in text.columns)
    body = "\n".join(
        "<tr>"
        + "".join(f"<td{a}>{escape(value)}</td>" for a, value in zip(align, row, strict=True))
        + "</tr>"
        for row in text.itertuples(index=False)
    )
    below = "".join(f"<p><small>{escape(note)}</small></p>\n" for note in notes)
    return (
        f'<!doctype html>\n<html lang="en">\n<meta charset="utf-8">\n<title>{escape(title)}</title>\n'
        f"<table>\n<caption>{escape(title)}</caption>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n"
        f"</tbody>\n</table>\n{below}</html>\n"
    )


def _numeric(column: pd.Series[str]) -> bool:
    return all(set(str(value)) <= NUMERIC for value in column)
