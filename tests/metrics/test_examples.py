"""The examples in the docstrings of `metrics/` are run, and say what they print."""

import doctest
import importlib
import inspect
import pkgutil
from pathlib import Path

import pytest

from disbench import metrics


def documented():
    """Name and docstring of every module of `metrics/`, and of every function and class in it."""
    for found in pkgutil.iter_modules(metrics.__path__):
        module = importlib.import_module(f"disbench.metrics.{found.name}")
        yield found.name, module
        for name, thing in vars(module).items():
            if callable(thing) and getattr(thing, "__module__", "") == module.__name__:
                yield f"{found.name}.{name}", thing
                if inspect.isclass(thing):
                    methods = inspect.getmembers(thing, inspect.isroutine)
                    yield from ((f"{found.name}.{name}.{n}", method) for n, method in methods)


EXAMPLES = {name: thing.__doc__ for name, thing in documented() if ">>> " in (thing.__doc__ or "")}


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_prints_what_it_says(name):
    example = doctest.DocTestParser().get_doctest(EXAMPLES[name], {}, name, None, None)
    report = []
    results = doctest.DocTestRunner().run(example, out=report.append)
    assert results.attempted > 0
    assert results.failed == 0, "".join(report)


def test_the_most_used_metrics_have_one():
    assert {"mig.mig", "factor_vae.factor_vae", "dci.dci", "sap.sap", "beta_vae.beta_vae"} <= set(EXAMPLES)
    assert {"contingency", "contingency.ContingencyTable.from_labels"} <= set(EXAMPLES)


def test_no_example_is_overlooked():
    source = "".join(path.read_text("utf-8") for path in Path(metrics.__file__).parent.glob("*.py"))
    assert source.count(">>> ") == sum(text.count(">>> ") for text in EXAMPLES.values())
