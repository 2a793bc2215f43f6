"""Sentences that name an argument: as in Python, or as the command line spells it."""

from disbench.benchmark.cli.main import option
from disbench.errors import UsageError, argument, spelled, unknown


def test_an_argument_is_named_as_it_is_typed():
    error = UsageError(f"{argument('data_dir')} x does not exist; see {argument('settings')}.")
    assert str(error) == "data_dir x does not exist; see settings."
    assert error.told(option) == "--data-dir x does not exist; see --set."
    assert spelled("no argument in it", option) == "no argument in it"


def test_a_sentence_that_quotes_another_keeps_its_arguments():
    inner = UsageError(f"{argument('size')} 3 is too small")
    outer = UsageError(f"{inner.marked} (see {argument('layout')})")
    assert outer.told(option) == "--size 3 is too small (see --layout)"
    assert str(outer) == "size 3 is too small (see layout)"


def test_the_nearest_name_is_shown():
    error = unknown(f"value of {argument('layout')}", "nchv", ["nchw", "flat"])
    assert str(error) == "unknown value of layout 'nchv'; did you mean 'nchw'?"
    assert error.told(option).startswith("unknown value of --layout")
