import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest

from disbench.errors import UsageError
from disbench.leaderboards import formats

NASTY = pd.DataFrame(
    {
        "method": ["a_b & 50%", "<b>|x|</b>"],
        "note": ["$\\alpha^2$ {~}#", "two\nlines"],
        "mean": ["0.250", "–"],
    }
)


def test_the_format_is_named_or_told_by_the_ending():
    assert formats.choose("", None) == "terminal"
    assert formats.choose("", Path("a.tex")) == "latex"
    assert formats.choose("csv", Path("a.tex")) == "csv"
    for name, out in (("pdf", None), ("", Path("a.docx")), ("parquet", None)):
        with pytest.raises(UsageError):
            formats.choose(name, out)


def latex_cells(text):
    """The body of a tabular as rows of cells, read as TeX does: an escaped & or % is text."""
    body = re.search(r"\\toprule\n(.*)\\bottomrule", text, re.DOTALL)[1].replace("\\midrule\n", "")
    rows = [line.removesuffix(r" \\") for line in body.splitlines()]
    return [re.split(r"(?<!\\) & ", row) for row in rows]


def unescaped(cell):
    """A LaTeX cell as plain text; fails at any special character that stands unescaped."""
    for plain, escaped in sorted(formats.LATEX.items(), key=lambda pair: -len(pair[1])):
        cell = cell.replace(escaped, f"\0{ord(plain)}\0")
    assert not set(cell) & set("&%$#_{}\\~^"), cell
    return re.sub("\0(\\d+)\0", lambda found: chr(int(found[1])), cell)


def test_latex_is_booktabs_and_every_cell_reads_back():
    text = formats.latex(NASTY, title="50% & more_", notes=["see <here>"])
    for word in (r"\toprule", r"\midrule", r"\bottomrule", r"\begin{tabular}{llr}", r"\end{tabular}"):
        assert text.count(word) == 1
    assert r"\caption{50\% \& more\_}" in text
    assert r"see \textless{}here\textgreater{}" in text
    rows = [[unescaped(cell) for cell in row] for row in latex_cells(text)]
    assert rows == [
        ["method", "note", "mean"],
        ["a_b & 50%", "$\\alpha^2$ {~}#", "0.250"],
        ["<b>|x|</b>", "two lines", "–"],
    ]
    bare = re.sub(r"\\[{}]", "", text)
    assert bare.count("{") == bare.count("}")


class Reader(HTMLParser):
    def __init__(self):
        super().__init__()
        self.cells, self.tags = [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        if tag in ("td", "th"):
            self.cells.append("")

    def handle_data(self, data):
        if self.tags and self.tags[-1] in ("td", "th"):
            self.cells[-1] += data


def test_html_escapes_what_it_shows():
    reader = Reader()
    reader.feed(formats.html(NASTY, title="<script>", notes=["<i>note</i>"]))
    assert "script" not in reader.tags
    assert "b" not in reader.tags
    assert "i" not in reader.tags
    assert [c.strip() for c in reader.cells] == [
        *["method", "note", "mean"],
        *["a_b & 50%", "$\\alpha^2$ {~}#", "0.250"],
        *["<b>|x|</b>", "two\nlines", "–"],
    ]


def test_markdown_keeps_a_line_per_row_whatever_is_in_it():
    text = formats.markdown(NASTY, title="T", notes=["a | b"])
    lines = [line for line in text.splitlines() if line.startswith("|")]
    assert len(lines) == 4
    for line in lines:
        assert len(re.split(r"(?<!\\)\|", line)) == 5  # three cells
    assert "<b>" not in text
    assert text.startswith("**T**")
    assert text.endswith("- a \\| b\n")


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("**best**", r"\*\*best\*\*"),
        ("_a_ `c` ~~d~~", r"\_a\_ \`c\` \~\~d\~\~"),
        ("__init__", r"\_\_init\_\_"),
        ("factor_vae", "factor_vae"),
    ],
)
def test_no_name_is_marked_in_markdown(name, written):
    """With a backslash a mark is itself; an underscore within a word is none, and code in a note is code."""
    text = formats.markdown(pd.DataFrame({name: [name], "b": [".5"]}), name, ["`rm -rf a_*`"])
    title, _, head, _, row, _, note = text.splitlines()
    assert title == f"**{written}**"
    assert [line.split("|")[1].strip() for line in (head, row)] == [written] * 2
    assert note == "- `rm -rf a_*`"


def test_an_empty_table_is_a_head_without_rows():
    empty = NASTY.iloc[:0]
    assert formats.markdown(empty).count("|\n") <= 2
    assert formats.latex(empty).count(r"\\") == 1
    assert "<td" not in formats.html(empty)


PDFLATEX = (
    shutil.which("pdflatex")
    and not subprocess.run(["kpsewhich", "booktabs.sty"], capture_output=True, check=False).returncode
)


@pytest.mark.skipif(not PDFLATEX, reason="needs pdflatex with booktabs")
def test_latex_compiles_whatever_is_in_it(tmp_path):
    every = "".join(formats.LATEX) + '"'
    odd = pd.DataFrame({"method": ["[1]", "*"], "note": "", "mean": "–"})
    text = formats.latex(pd.concat([NASTY, odd]).assign(every=every), title=every, notes=[every])
    head = "\\documentclass{article}\n\\usepackage{booktabs}\n\\begin{document}\n"
    (tmp_path / "t.tex").write_text(head + text + "\\end{document}\n", "utf-8")
    command = ["pdflatex", "-halt-on-error", "-interaction=nonstopmode", "-no-shell-escape", "t.tex"]
    made = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stdout[-2000:]
