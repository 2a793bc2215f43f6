"""One cleaner for every text of a stranger: whatever it holds, nothing of it acts, and honest text stays."""

import csv
import io
import re
import unicodedata

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from disbench import console, texts
from disbench.benchmark.cli import terminal
from disbench.leaderboards import formats

# every kind of letter, lone surrogates and control characters as often as others
LETTER = st.one_of(
    st.characters(exclude_categories=()),
    st.characters(categories=["Cc", "Cf", "Cs", "Zl", "Zp", "Zs"]),
    st.sampled_from("=+-@|\\[]()<>&$%#_{}~^`*!'\"\x1b\x07\x9b\u202e\u2066\ufeff\u200b\u2028\r\n\t"),
)
HOSTILE = st.text(LETTER, max_size=12)
ESC = "\x1b]0;owned\x07\x1b[2J\x1b[31mred [bold red]rich[/] [link=http://evil]l[/link]"
OFTEN = settings(max_examples=200, deadline=None, derandomize=True, database=None)


@OFTEN
@given(HOSTILE)
def test_nothing_that_is_left_is_invisible(text):
    cleaned = texts.clean(text)
    assert cleaned.isprintable()
    assert not {"Cc", "Cf", "Cs", "Zl", "Zp"} & {unicodedata.category(letter) for letter in cleaned}
    cleaned.encode("utf-8")
    assert texts.clean(cleaned) == cleaned


@pytest.mark.parametrize(
    "text", ["β-VAE", "mig · dlib", "数据", "é ü", "-0.5 ± 0.1", "a–b", "😀", "שלום", "a  b", ""]
)
def test_honest_text_stays_as_it_is(text):
    assert texts.clean(text) == text


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("a\x1b[31mb", r"a\x1b[31mb"),
        ("a\nb\tc\u2028d\xa0e", "a b c d e"),
        ("user\u202egpj.exe", r"user\u202egpj.exe"),
        ("\x9b2J", r"\x9b2J"),
        ("\x1fjobs\x1f", r"\x1fjobs\x1f"),
        ("\udcff.pt", r"\udcff.pt"),
        ("a\u200bb", r"a\u200bb"),
        (3, "3"),
    ],
)
def test_what_cannot_be_seen_is_written_out(text, seen):
    assert texts.clean(text) == seen


def test_two_names_that_differ_in_what_cannot_be_seen_look_different():
    assert len({texts.clean(name) for name in ("vae", "va\u200be", "vae\u200b", "\u202evae", "v\x00ae")}) == 5


def test_lines_stay_lines():
    assert texts.clean_lines("a\x1b\nb\r\n") == "a\\x1b\nb \n"


def test_the_first_words_of_an_error():
    assert texts.short(" a\n\tb \x1b[31m") == r"a b \x1b[31m"
    assert texts.short("abcdef", 5) == "ab..."
    assert texts.short(ValueError()) == "ValueError"
    assert texts.short("") == texts.short(" \n") == ""


# --- CSV ---


@OFTEN
@given(st.lists(HOSTILE, min_size=1, max_size=4))
def test_no_cell_of_a_csv_is_a_formula(cells):
    frame = pd.DataFrame([cells], columns=[f"{cell}{i}" for i, cell in enumerate(cells)])
    head, row = csv.reader(io.StringIO(formats.csv(frame)))
    for cell in (*head, *row):
        assert cell.isprintable()
        assert not cell.lstrip().startswith(texts.FORMULA) or texts.NUMBER.fullmatch(cell.strip())
    assert [texts.from_cell(cell) for cell in row] == [texts.clean(cell) for cell in cells]


@pytest.mark.parametrize(
    ("value", "cell"),
    [
        ('=HYPERLINK("http://evil","x")', '\'=HYPERLINK("http://evil","x")'),
        ("=cmd|' /C calc'!A0", "'=cmd|' /C calc'!A0"),
        ("+1+1", "'+1+1"),
        ("-2+3", "'-2+3"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("\t=1", "' =1"),
        ("\r=1", "' =1"),
        ("＝1", "'＝1"),
        ("-0.25", "-0.25"),
        ("+1e-05", "+1e-05"),
        ("-inf", "-inf"),
        ("–", "–"),
        ("beta=4", "beta=4"),
        ("'quoted", "'quoted"),
        (-0.25, -0.25),
        (None, None),
    ],
)
def test_a_text_that_a_spreadsheet_would_compute_has_an_apostrophe_before_it(value, cell):
    assert texts.cell(value) == cell
    if isinstance(value, str):
        assert texts.from_cell(cell) == texts.clean(value)


def test_numbers_of_a_csv_stay_numbers():
    frame = pd.DataFrame({"score": [-0.5, 1e-300, float("nan")], "n": [-1, 0, 3], "ok": [True, False, True]})
    assert formats.csv(frame) == frame.to_csv(index=False)
    pd.testing.assert_frame_equal(pd.read_csv(io.StringIO(formats.csv(frame))), frame)


# --- Where texts are shown ---


def printed(show, *arguments):
    """What a console with colours writes, as a terminal would get it."""
    written = Console(file=io.StringIO(), width=400, force_terminal=True, color_system=None)
    show(written, *arguments)
    return written.file.getvalue()


@OFTEN
@given(HOSTILE)
def test_a_sentence_on_a_terminal_does_nothing_there(text):
    assert printed(console.say, text) == texts.clean(text) + "\n"


def test_markup_in_a_table_is_text():
    drawn = printed(Console.print, terminal.table(pd.DataFrame({ESC: [ESC], "n": ["3"]})))
    assert drawn.count("[bold red]rich[/] [link=http://evil]l[/link]") == 2
    assert r"\x1b]0;owned\x07" in drawn
    assert all(line.isprintable() for line in drawn.split("\n"))


def test_a_line_for_programs_is_cleaned(capsys):
    terminal.line(f"{ESC}\n.png")
    out = capsys.readouterr().out
    assert out.count("\n") == 1
    assert out.strip().isprintable()


@OFTEN
@given(HOSTILE)
@pytest.mark.parametrize("kind", ["markdown", "latex", "html"])
def test_a_table_of_every_format_holds_nothing_invisible(kind, text):
    frame = pd.DataFrame({"a": [text], "n": ["3"]}, dtype=object).rename(
        columns={"a": f"{texts.clean(text)} "}
    )
    rendered = formats.render(kind, frame, text, [text])
    assert all(line.isprintable() for line in rendered.split("\n"))
    if kind == "html":
        assert "<script" not in rendered.replace("&lt;", "")
        inside = re.sub(
            r"</?(html|meta|title|style|div|table|caption|thead|tbody|tr|t[hd]|p|small|!doctype)\b[^<>]*>",
            "",
            rendered,
        )
        assert not set("<>") & set(inside)
    if kind == "markdown":
        # neither a link nor a picture
        assert not re.search(r"\]\(|\]\[", rendered)


def test_a_plot_holds_nothing_invisible_and_no_formula():
    from matplotlib.figure import Figure

    from disbench.leaderboards import plots

    figure = Figure()
    axis = figure.subplots()
    axis.set_title(f"{ESC}\nsecond line $x$")
    axis.set_xticks([0, 1], [ESC, "\u202eb"])
    axis.plot([0, 1], [0, 1], label=ESC)
    axis.legend()
    for drawn in (plots.render(figure, "svg").decode(), plots.inline(figure, "f", ESC)):
        assert all(line.isprintable() for line in re.sub("[\t\xa0]", " ", drawn).split("\n"))
    assert r"\x1b]0;owned\x07" in drawn
    assert r"\u202eb" in drawn
