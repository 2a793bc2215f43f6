import ast
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest

from disbench.errors import UsageError
from disbench.metrics import Grid, Score, get, mig, names, registry
from disbench.metrics.registry import metric


@pytest.fixture
def toy(monkeypatch):
    """Registers metrics in a registry of this test's own."""
    monkeypatch.setattr(registry, "_METRICS", {})
    presets = {"one": {}, "two": {"bins": 2}}

    def register(fn):
        return metric(paper="a paper", presets=presets, default="one")(fn)

    return register


def test_settings_come_from_the_preset_and_travel_with_the_score(toy, table):
    @toy
    def share(codes, factors, *, preset="one", bins=1, binning="width"):
        return Score(float(bins))

    assert share(table, table).preset == "one"
    assert share(table, table).settings == {"bins": 1, "binning": "width"}
    assert share(table, table, preset="two").score == 2
    assert share(table, table, preset="two").preset == "two"
    changed = share(table, table, preset="two", bins=7)
    assert (changed.score, changed.preset) == (7, "two, bins=7")
    assert share(table, table, preset="two", bins=2).preset == "two"


def test_a_list_is_the_tuple_it_was_before_it_was_written_down(toy, table):
    def share(codes, factors, *, preset="one", bins=(1, 2)):
        return Score(float(sum(bins)))

    share = metric(paper="a paper", presets={"one": {}}, default="one")(share)
    assert share(table, table, bins=[1, 2]).preset == "one"
    assert share(table, table, bins=[1, 3]).preset == "one, bins=(1, 3)"


def test_a_nan_without_a_reason_is_refused_and_one_with_a_reason_is_not(toy, table):
    @toy
    def share(codes, factors, *, preset="one", bins=1):
        return Score(np.nan, warnings=("no code",) if bins == 2 else ())

    assert np.isnan(share(table, table, preset="two").score)
    with pytest.raises(RuntimeError, match="the score is nan and nothing says why"):
        share(table, table)


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        (0.5, "it returned a float and no Score"),
        (Score(np.array([0.5, 0.7])), r"the score is an array \(2,\) and must be one number"),
        (Score("0.5"), "the score is a str and must be one number"),
        (Score(None), "the score is a NoneType and must be one number"),
        (Score(0.5 + 1j), "the score is a complex and must be one number"),
        (Score(0.5, parts={"codes": {1, 2}}), "its part 'codes' holds a set; give numbers or texts"),
        (Score(0.5, parts={"a": {"b": [1, np.array([1j])]}}), "its part 'a' holds a complex"),
    ],
)
def test_what_no_record_could_hold_is_refused(toy, table, returned, message):
    """At once: written down with the scores of other metrics, it took these with it."""

    @toy
    def share(codes, factors, *, preset="one", bins=1):
        return returned

    with pytest.raises(RuntimeError, match=f"share: {message}"):
        share(table, table)


def test_parts_may_be_numbers_texts_and_what_holds_them(toy, table):
    parts = {"a": np.float32(1), "b": [np.arange(2), None], "c": {"d": "text"}, "e": np.array(["x", None])}

    @toy
    def share(codes, factors, *, preset="one", bins=1):
        return Score(np.float32(0.5), parts=parts)

    assert share(table, table).parts == parts


def test_what_an_estimator_warns_of_is_in_the_score(toy, table):
    @toy
    def share(codes, factors, *, preset="one", bins=1):
        warnings.warn("did not converge\nsee there", stacklevel=1)
        warnings.warn("did not converge\nsee there", stacklevel=1)
        return Score(1.0, warnings=("mine",))

    assert share(np.tile(table, (2, 1)), np.tile(table, (2, 1))).warnings == (
        "mine",
        "UserWarning: did not converge",
    )


def test_a_constant_factor_does_not_reach_the_metric(toy, table):
    @toy
    def share(codes, factors, *, preset="one", bins=1):
        return Score(float(factors.shape[1]))

    score = share(table, np.insert(table, 1, 4, axis=1))
    assert (score.score, score.dropped_factors) == (3, (1,))
    assert score.warnings[0] == "factor 1 has one value and was left out"
    named = share(np.zeros((6, 2)), Grid((2, 1, 3), ("x", "hue", "y")))
    assert named.warnings[0] == "factor hue has one value and was left out"


def test_a_second_metric_of_one_name_is_refused(toy):
    def share(codes, factors, *, preset="one", bins=1):
        return Score(0.0)

    toy(share)
    with pytest.raises(ValueError, match="already a metric named share"):
        toy(share)


def test_a_preset_of_settings_that_do_not_exist_is_refused(toy):
    def share(codes, factors, *, preset="one"):
        return Score(0.0)

    with pytest.raises(ValueError, match="preset 'two' sets \\['bins'\\]"):
        toy(share)


def test_a_dependence_in_unknown_words_is_refused():
    with pytest.raises(ValueError, match="depends_on \\['unit'\\] must be among"):
        metric(paper="a paper", presets={"dlib": {}}, depends_on=("unit",))


FUNCTION = "import types; assert isinstance({}, types.FunctionType), {}"
ORDERS = [
    "import disbench.metrics.{0}; import disbench; f = disbench.metrics.{0}",
    "from disbench.metrics import registry; registry.names(); from disbench.metrics import {0} as f",
    "import importlib, disbench; importlib.import_module('disbench.metrics.{0}'); f = disbench.metrics.{0}",
    "import disbench.metrics.registry, disbench.metrics as m; m.get('{0}'); f = m.{0}",
    "from disbench.metrics import *; f = {0}",
]


@pytest.mark.parametrize("order", ORDERS)
def test_the_name_of_a_metric_is_its_function_whatever_was_imported_before(order):
    code = f"{order.format('mig')}; {FUNCTION.format('f', 'f')}"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_every_metric_is_in_the_package_and_hides_nothing_of_it():
    package = sys.modules["disbench.metrics"]
    assert {*names()} <= {*dir(package)}
    for name in registry.built_in():
        assert getattr(package, name) is get(name).fn
        assert name in package.__all__
    others = {*package.__all__} - {*names()}
    assert others == {"ContingencyTable", "Grid", "Metric", "Score", "get", "metric", "names"}
    with pytest.raises(AttributeError, match="has no attribute 'migg'"):
        package.migg  # noqa: B018


def test_unknown_names_come_with_the_nearest_known():
    with pytest.raises(UsageError, match="unknown metric 'facter_vae'; did you mean 'factor_vae'"):
        get("facter_vae")
    with pytest.raises(UsageError, match="unknown preset of mig 'ubisft'; did you mean 'ubisoft'"):
        mig(np.eye(3), np.arange(3)[:, None], preset="ubisft")
    with pytest.raises(UsageError, match="unknown setting of mig 'bin'; did you mean 'bins'"):
        mig(np.eye(3), np.arange(3)[:, None], bin=3)
    with pytest.raises(UsageError, match="unknown setting of factor_vae 'vote'"):
        get("factor_vae").rows((2, 2), np.random.default_rng(0), vote=3)


def test_a_table_metric_has_no_rows_of_its_own():
    with pytest.raises(UsageError, match="mig scores the table it is given"):
        get("mig").rows((2, 2), np.random.default_rng(0))


def test_all_promised_metrics_are_found():
    promised = """
        beta_vae factor_vae mig mig_chen dci sap modularity explicitness irs infomec mig_sup dcimig jemmig
        aam z_max_var mcc linear_r2 downstream udr gaussian_total_correlation wasserstein_correlation
        active_units model_centrality ent nmi prior_rmse
    """
    assert set(promised.split()) <= set(names())


@pytest.mark.parametrize("imports", ["factor_vae, mig, dci", "names; names()"])
def test_metrics_do_not_load_torch_or_the_rest_of_the_house(imports):
    unwanted = ("torch", "numba", "disbench.models", "disbench.benchmark", "disbench.leaderboards")
    code = f"import sys; from disbench.metrics import {imports}; print(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = run.stdout.split()
    assert "sklearn" in loaded
    assert not set(unwanted) & set(loaded)


def test_metrics_import_nothing_but_numerics():
    """Read from the files, since scikit-learn itself loads pandas where there is one."""
    allowed = {"numpy", "scipy", "sklearn", "joblib", "threadpoolctl", "disbench", *sys.stdlib_module_names}
    # where it is installed
    allowed |= {"numba"}
    for file in Path(registry.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Import):
                imported = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                imported = [f"{node.module}.{alias.name}" for alias in node.names]
            else:
                continue
            # an extra, imported by the function that needs it
            extra = {"numba"} if file.name == "boosted_trees.py" else set()
            assert {name.split(".")[0] for name in imported} <= allowed | extra, file
            ours = {".".join(name.split(".")[:2]) for name in imported if name.startswith("disbench")}
            assert ours <= {
                "disbench.errors",
                "disbench.metrics",
                "disbench.plugins",
                "disbench.ranges",
                "disbench.texts",
            }, file


def test_a_grid_numbers_its_rows_with_the_last_factor_fastest():
    grid = Grid((2, 3, 4))
    assert (len(grid), grid.strides.tolist(), grid.varying) == (24, [12, 4, 1], (0, 1, 2))
    assert grid.factors(np.array([23, 5])).tolist() == [[1, 2, 3], [0, 1, 1]]
    assert grid.rows(np.array([[1, 2, 3], [0, 1, 1]])).tolist() == [23, 5]
    assert Grid((2, 1, 3)).varying == (0, 2)
    assert (grid.draw(np.random.default_rng(0), 5, 6) < [2, 3, 4]).all()
    for sizes, factor_names in (((), ()), ((0, 2), ()), ((2, 3), ("x",))):
        with pytest.raises(UsageError, match="a grid"):
            Grid(sizes, factor_names)
