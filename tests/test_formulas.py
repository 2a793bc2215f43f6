"""The set formulas of the documentation: docs/formulas.toml, and docs/formulas.py that sets them."""

import re
import sys
from pathlib import Path
from xml.etree import ElementTree

import markdown
import pytest

from disbench import metrics, models

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "docs"))
import formulas
import generate
from formulas import Formula

KNOWN = formulas.known()
TEXTS = {"methods": generate.of_method, "metrics": generate.of_metric}
ENTRIES = [(kind, name) for kind, of in KNOWN.items() for name in of]
A, B = Formula("a", quotes=("a = 1",)), Formula("b", quotes=("b = 2",))


def test_every_method_and_every_metric_has_a_formula_and_nothing_else_has():
    assert set(KNOWN["methods"]) == set(models.names())
    assert set(KNOWN["metrics"]) == set(metrics.names())
    assert set(KNOWN) == {"methods", "metrics"}


@pytest.mark.parametrize(("kind", "name"), ENTRIES)
def test_a_text_shows_its_formulas_and_lacks_no_line_but_those_that_they_quote(kind, name):
    entries, text = KNOWN[kind][name], TEXTS[kind](name)
    placed = formulas.placed(text, entries)
    kept = set(placed.splitlines())
    lost = [" ".join(line.split()) for line in text.strip().splitlines() if line not in kept]
    assert lost == [line for entry in entries for line in entry.quotes]
    shown = markdown.markdown(generate.prose(placed), extensions=["attr_list", "md_in_html", "tables"])
    # Markdown has left them as they were
    assert all(entry.shown() in shown for entry in entries)


@pytest.mark.parametrize(
    ("page", "heading"), [("methods/vae.md", "Objective"), ("metrics/dci.md", "Definition")]
)
def test_a_page_has_its_formulas_under_a_heading(page, heading):
    kind, name = page.removesuffix(".md").split("/")
    written = {"methods": generate.method_page, "metrics": generate.metric_page}[kind](name)
    section = written.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    assert all(entry.shown() in section for entry in KNOWN[kind][name])


@pytest.mark.parametrize(("kind", "name"), ENTRIES)
def test_formulas_are_set_without_a_rest_of_latex(kind, name):
    for entry in KNOWN[kind][name]:
        root = ElementTree.fromstring(entry.shown())
        assert root.find(".//math[@display='block']") is not None
        text = "".join(root.itertext())
        assert not re.search(r"[\\?$&`]|frac|mathrm", text), text


def test_a_page_without_a_formula_keeps_its_block():
    """As that of a plug-in."""
    assert formulas.placed("Text:\n\n    a = 1\n\nMore.", ()) == "Text:\n\n    a = 1\n\nMore."


def test_a_formula_stands_where_its_lines_stood():
    text = "Text:\n\n    a =  1\n    b = 2\n\nMore.\n\n    c = 3"
    assert formulas.placed(text, (A, B)) == f"Text:\n\n{A.shown()}{B.shown()}\n\nMore.\n\n    c = 3"


def test_a_formula_without_lines_follows_the_one_before_it_or_opens_the_text():
    first, second = Formula("x"), Formula("y")
    assert formulas.placed("    a = 1\n\nMore.", (first, A, second)) == (
        f"{first.shown()}\n\n{A.shown()}{second.shown()}\n\nMore."
    )


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("    a = 1\n    c = 3", "only a part of a block, not 'c = 3'"),
        ("    a = 2", "'a = 1'"),
        ("a = 1", "'a = 1'"),
        ("    b = 2\n    a = 1", "not 'a = 1'"),
    ],
)
def test_lines_that_are_not_in_the_docstring_stop_the_build(text, words):
    with pytest.raises(ValueError, match=re.escape(words)):
        formulas.placed(text, (B,) if text.startswith("    b") else (A,))


@pytest.mark.parametrize(
    "latex",
    [
        r"\unknown x",
        r"\arg x",
        r"\operatorname*{arg\,max}_k x",
        r"\begin{aligned} a &= b \end{aligned}",
        r"a \\ b",
        "a ?",
    ],
)
def test_latex_that_the_library_does_not_understand_stops_the_build(latex):
    with pytest.raises(ValueError, match="cannot be set"):
        formulas.mathml(latex, "block")


@pytest.mark.parametrize(
    ("latex", "tags"),
    [
        (r"\log p", ["mi", "mspace", "mi"]),
        (r"a \log_2 p", ["mi", "mspace", "msub", "mspace", "mi"]),
        (r"\log (p)", ["mi", "mo", "mi", "mo"]),
        (r"= \log p", ["mo", "mi", "mspace", "mi"]),
        (r"\max_k x", ["munder", "mspace", "mi"]),
        (r"\min_a \max_b", ["munder", "mspace", "munder"]),
        (r"\operatorname*{argmax}_k x", ["munder", "mspace", "mi"]),
        (r"c \sim Q", ["mi", "mo", "mi"]),
        ("z; v : w", ["mi", "mo", "mi", "mo", "mi"]),
        (r"\log p \log q", ["mi", "mspace", "mi", "mspace", "mi", "mspace", "mi"]),
    ],
)
def test_names_signs_and_limits_are_set_as_latex_does(latex, tags):
    (row,) = ElementTree.fromstring(formulas.mathml(latex, "block"))
    assert [element.tag for element in row] == tags


def test_a_sum_in_brackets_has_its_limits_below():
    assert "<munder><mo>∑</mo>" in formulas.mathml(r"\left( \sum_j x_j \right)", "block")


def test_a_minus_after_an_equals_sign_is_one_of_sign():
    assert '<mo form="prefix">−</mo>' in formulas.mathml("a = -b", "block")
    assert '<mo form="prefix">' not in formulas.mathml("a - b", "block")


def test_notes_are_set_and_escaped():
    shown = Formula("x", note="a < $b$ & `c`").shown()
    assert "a &lt; <math" in shown
    assert "&amp; <code>c</code>" in shown


@pytest.mark.parametrize(
    ("entry", "words"),
    [({"quotes": "a"}, "has no latex"), ({"latex": "a", "quote": "a"}, r"has \['quote'\]")],
)
def test_an_entry_with_a_wrong_field_is_refused(entry, words, monkeypatch, tmp_path):
    file = tmp_path / "formulas.toml"
    file.write_text("[[metrics.mig]]\n" + "".join(f'{key} = "{value}"\n' for key, value in entry.items()))
    monkeypatch.setattr(formulas, "FILE", file)
    with pytest.raises(ValueError, match=f"metrics.mig of formulas.toml {words}"):
        formulas.known.__wrapped__()
