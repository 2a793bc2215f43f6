from decimal import Decimal

import pytest

from disbench import metrics
from disbench.errors import UsageError
from disbench.leaderboards import published

NUMBERS = [number for name in published.names() for number in published.get(name)]
WHOLE = """
paper = "P"
authors = "A"
venue = "V"
arxiv = "1906.06034"
dataset = "dsprites"
size = 64
source = "the table itself, opened and read"
certainty = "seen"

[[rows]]
id = "a"
table = "Table 1"
row = "A"
printed = { mig = ".10±.02" }
"""


def value(source_id, metric, statistic="mean"):
    return published.find(source_id, metric, statistic).printed


def test_numbers_read_as_the_source_prints_them():
    assert value("infogan-cr/factorvae-40", "dci") == ".74±.01"
    assert value("infogan-cr/infogan-modified", "modularity") == ".94±.01"
    assert value("infogan-cr/infogan-cr", "beta_vae") == ".95±.01"
    assert value("infogan-cr/beta-tcvae", "mig") == ".45"
    assert value("infogan-cr/infogan-cr-selected", "sap", "selected") == ".65±.00"
    assert value("infogan-cr/factorvae-udr", "dci", "selected") == ".70±.01"
    assert value("ibgan/peak", "factor_vae", "best") == ".826"
    found = published.find("infogan-cr/beta-vae", "factor_vae", "mean")
    assert (found.value, found.spread) == (Decimal("0.63"), Decimal("0.10"))


def test_the_odd_spread_is_kept_as_printed_with_a_note():
    found = published.find("infogan-cr/infogan", "factor_vae", "mean")
    assert found.spread == Decimal("0.70")
    assert "as printed" in found.note


def test_every_number_was_seen_and_says_where():
    assert NUMBERS
    for number in NUMBERS:
        assert any(word in number.source for word in ("image", "slides", "README", "text")), number.source
        assert (number.certainty == "secondary") == number.source_id.startswith(
            ("beta-vae/", "elastic-third")
        )
        assert number.link.startswith("https://")
        assert 0 <= number.value <= 1
        assert number.spread_kind in (None, "sd", "se", "range", "unknown")
        assert (number.spread is None) == (number.spread_kind is None)


def test_numbers_of_papers_whose_tables_nobody_here_opened_are_absent():
    assert {number.arxiv for number in NUMBERS} == {"1906.06034", "2510.20165", "2412.04671", ""}
    # of IB-GAN's own paper, only the pair on the poster
    assert {n.printed for n in NUMBERS if n.source_id.startswith("ibgan/")} == {".826", ".74"}


def test_metrics_and_presets_are_ours():
    for number in NUMBERS:
        assert number.metric in metrics.names()
        if number.preset:
            metrics.get(number.metric).settings(number.preset)


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ('certainty = "seen"', 'certainty = "remembered"', "certainty"),
        ('certainty = "seen"\n', "", "certainty"),
        ('source = "the table itself, opened and read"', 'source = ""', "source"),
        ("size = 64", 'size = 64\ncolour = "red"', "colour"),
        ('".10±.02"', '"about .1"', "neither a value nor value±spread"),
        ('row = "A"', 'row = "A"\nstatistic = "peak"', "statistic"),
        ('arxiv = "1906.06034"', 'arxiv = "?"', "arxiv"),
        ('arxiv = "1906.06034"', "", "one of the two"),
        ('arxiv = "1906.06034"', 'arxiv = "1906.06034"\nurl = "https://a.b"', "one of the two"),
        ('arxiv = "1906.06034"', 'url = "http://a.b"', "url"),
        ("[[rows]]", "[[rows]", "not TOML"),
    ],
)
def test_a_file_that_is_not_of_the_form_is_refused(old, new, told):
    assert len(published.parse("x", WHOLE)) == 1
    with pytest.raises(UsageError, match=told):
        published.parse("x", WHOLE.replace(old, new))


def test_two_rows_of_one_name_are_refused():
    with pytest.raises(UsageError, match="more than one row a"):
        published.parse("x", WHOLE + WHOLE[WHOLE.index("[[rows]]") :])


def test_an_unknown_source_or_row_names_the_nearest():
    with pytest.raises(UsageError, match="did you mean 'ibgan'"):
        published.get("ibgam")
    with pytest.raises(UsageError, match="did you mean 'ibgan/peak'"):
        published.find("ibgan/pea", "dci", "best")
