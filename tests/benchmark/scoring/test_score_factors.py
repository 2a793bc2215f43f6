"""The factors of codes: by file and in Python they are what they are for the metrics' own functions."""

import h5py
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet
import pytest
from scipy.io import savemat

import disbench
from disbench import metrics
from disbench.benchmark.scoring.sources import SourceOptions as Options
from disbench.benchmark.scoring.sources import open_source
from disbench.benchmark.training import gpu
from disbench.errors import UsageError

GRID = np.stack(np.unravel_index(np.arange(60), (3, 4, 5)), axis=1)
CODES = GRID + np.random.default_rng(5).normal(0, 0.2, GRID.shape)
NAMES = ("shape", "scale", "x")
WORDS = np.array(["circle", "cross", "heart", "square", "star"])
ORDER = np.random.default_rng(1).permutation(60)


def as_npz(path, factors):
    np.savez(
        path.with_suffix(".npz"), codes=CODES[ORDER], factors=np.asarray(factors)[ORDER], factor_names=NAMES
    )
    return path.with_suffix(".npz")


def as_frame(factors):
    columns = {
        f"factor_{name}": column for name, column in zip(NAMES, np.asarray(factors)[ORDER].T, strict=True)
    }
    return pd.DataFrame({**{f"z{i}": z for i, z in enumerate(CODES[ORDER].T)}, **columns}).infer_objects()


def as_csv(path, factors):
    as_frame(factors).to_csv(path.with_suffix(".csv"), index=False)
    return path.with_suffix(".csv")


def as_parquet(path, factors):
    as_frame(factors).to_parquet(path.with_suffix(".parquet"))
    return path.with_suffix(".parquet")


def as_feather(path, factors):
    as_frame(factors).to_feather(path.with_suffix(".feather"))
    return path.with_suffix(".feather")


def as_hdf5(path, factors):
    with h5py.File(path.with_suffix(".h5"), "w") as file:
        file["codes"] = CODES[ORDER]
        values = np.asarray(factors)[ORDER]
        file["factors"] = values.astype(h5py.string_dtype()) if values.dtype.kind == "U" else values
    return path.with_suffix(".h5")


FORMS = {
    "from 1": (GRID + 1, "ranked, and counted from 0: the values of factor"),
    "with gaps": (GRID * 7, "ranked, and counted from 0: the values of factor"),
    "negative": (GRID - 9, "ranked, and counted from 0: the values of factor"),
    "fractions": (GRID / 4 + 0.1, "fractions that occur again and again are values, in their order"),
    "text": (WORDS[GRID], "is text; its 3 values count in alphabetical order: circle, cross, heart"),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("save", [as_npz, as_csv, as_parquet, as_feather, as_hdf5])
def test_values_of_any_kind_are_a_grid_in_every_format(tmp_path, form, save):
    given, said = FORMS[form]
    # votes cost most, and need no more than the grid that is said
    votes = ",factor_vae" if form == "from 1" else ""
    s = disbench.score(save(tmp_path / "codes", given), metrics=f"mig,mcc{votes}")
    assert s["mig"] == pytest.approx(metrics.mig(CODES, GRID).score, abs=1e-12)
    assert not votes or s["factor_vae"] == 1
    assert s["mcc"] == pytest.approx(metrics.mcc(CODES, given).score, abs=1e-12)
    assert "its factors are a complete grid of 3 x 4 x 5" in s.assumed
    assert any(said in note for note in s.assumed)


ARROW = {
    "categories of numbers": lambda v: pa.array(v + 1).dictionary_encode(),
    "categories of text": lambda v: pa.array(WORDS[v].tolist()).dictionary_encode(),
    "large text": lambda v: pa.array(WORDS[v].tolist(), pa.large_string()),
}
if int(pa.__version__.partition(".")[0]) >= 24:
    # before, files did not hold them or pyarrow did not read them
    ARROW["views of text"] = lambda v: pa.array(WORDS[v].tolist(), pa.string_view())


def arrow(tmp_path, suffix, column):
    table = pa.table(
        {f"z{i}": z for i, z in enumerate(CODES.T)} | {f"factor_{i}": column(v) for i, v in enumerate(GRID.T)}
    )
    write = pa.feather.write_feather if suffix == "feather" else pa.parquet.write_table
    write(table, tmp_path / f"codes.{suffix}")
    return tmp_path / f"codes.{suffix}"


@pytest.mark.parametrize("suffix", ["feather", "parquet"])
def test_the_types_of_arrow_that_hold_values(tmp_path, suffix):
    for kind, column in ARROW.items():
        s = disbench.score(arrow(tmp_path, suffix, column), metrics="mig")
        assert s["mig"] == pytest.approx(metrics.mig(CODES, GRID).score, abs=1e-12), kind
    with pytest.raises(UsageError, match=r"'factor_0' holds date32\[day\], neither numbers nor text"):
        disbench.score(arrow(tmp_path, suffix, lambda v: pa.array(np.datetime64("2026-01-01") + v)))
    missing = pa.array([1, 2, None, 4, 5])
    with pytest.raises(UsageError, match=r"47 of 180 values \(the first in row 2, column 2\) are missing"):
        disbench.score(arrow(tmp_path, suffix, lambda v: missing.take(pa.array(v)).dictionary_encode()))


def test_numbers_with_uneven_steps_are_numbers_on_a_grid_as_well(tmp_path):
    squares = GRID**2
    s = disbench.score(as_npz(tmp_path / "codes", squares), metrics="mcc,linear_r2,mig")
    assert s["mcc"] == pytest.approx(metrics.mcc(CODES, squares).score, abs=1e-12)
    assert s["mcc"] != pytest.approx(metrics.mcc(CODES, GRID).score, abs=1e-3)


V = np.random.default_rng(0).uniform(size=(300, 3))
OF_NUMBERS = "mcc,linear_r2,irs,sap:dlib_continuous"


@pytest.mark.parametrize("save", ["npz", "csv", "array"])
def test_continuous_factors_are_taken_by_every_door(tmp_path, save):
    z = V @ np.random.default_rng(1).normal(size=(3, 4))
    source, given = tmp_path / f"v.{save}", {}
    if save == "npz":
        np.savez(source, codes=z, factors=V)
    elif save == "csv":
        table = {f"z{i}": c for i, c in enumerate(z.T)} | {f"factor_{i}": c for i, c in enumerate(V.T)}
        pd.DataFrame(table).to_csv(source, index=False)
    else:
        source, given = z, {"factors": V}
    s = disbench.score(source, metrics=f"{OF_NUMBERS},mig,explicitness,factor_vae", **given)
    assert s["mcc"] == pytest.approx(metrics.mcc(z, V).score)
    assert s["irs"] == pytest.approx(metrics.irs(z, V).score, abs=1e-6)
    assert s["linear_r2"] == pytest.approx(1)
    assert all(s[name.partition(":")[0]] is not None for name in OF_NUMBERS.split(","))
    reasons = {entry.metric: entry.why() for entry in s.scores if entry.score is None}
    assert set(reasons) == {"mig", "explicitness", "factor_vae"}
    first = "factor '0'" if save == "csv" else "factor 0"
    assert reasons["mig"] == (
        f"mig needs factors whose values occur again and again, and {first} is continuous; give bins, such "
        "as 20, or take a metric of numbers: dci:eastwood2018_lasso, dci_es, irs, linear_r2, mcc, "
        "sap:dlib_continuous"
    )
    assert "again and again, and factor" in reasons["factor_vae"]
    assert any(note.startswith(f"continuous: {first} (300 different numbers)") for note in s.assumed)


def test_bins_are_for_the_metrics_of_values_alone():
    z = V + 0.01
    plain, cut = (disbench.score(z, factors=V, metrics="mig,mcc,irs", bins=bins) for bins in (None, 5))
    assert plain["mig"] is None
    binned = metrics.information.histogram(V, 5)
    assert cut["mig"] == pytest.approx(metrics.mig(z, binned).score, abs=1e-12)
    assert (cut["mcc"], cut["irs"]) == (plain["mcc"], plain["irs"])
    assert "factor 0, factor 1 and factor 2 are in 5 bins of equal width" in cut.assumed[-1]
    assert not any("bins of equal width" in note for entry in cut.scores for note in entry.warnings)


def test_the_command_line_names_its_options(disbench, tmp_path):
    np.savez(tmp_path / "v.npz", codes=V, factors=V)
    code, out, err = disbench("score", tmp_path / "v.npz", "--metrics", "mcc,mig")
    assert code == 0, err
    assert "factor 0 is continuous; give --bins, such as 20" in " ".join(out.replace("│", " ").split())
    code, out, err = disbench("score", tmp_path / "v.npz", "--metrics", "mig")
    assert code == 2
    assert "factor 0 is continuous; give --bins, such as 20" in err
    code, out, err = disbench("score", tmp_path / "v.npz", "--metrics", "mig", "--bins", "8", "--json")
    assert code == 0, err
    assert '"score": 0.' in out


def index_of(tmp_path, factors, codes=None, **more):
    """The rows of the 60 images of shape, scale and x that these factors say the codes are of."""
    images = np.zeros((60, 8, 8), np.uint8)
    images[:, 0, 0] = np.arange(60)
    np.savez(tmp_path / "data.npz", images=images, factors=GRID, factor_names=NAMES)
    codes = np.arange(len(factors))[:, None] + np.zeros((1, 2)) if codes is None else codes
    np.savez(tmp_path / "codes.npz", codes=codes + np.array([0.0, 0.5]), factors=factors, **more)
    opened = open_source(
        tmp_path / "codes.npz", Options(dataset=str(tmp_path / "data.npz"), data_dir=tmp_path / "cache")
    )
    return opened.source.rows[np.argsort(opened.source.table[:, 0])], opened.assumed


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (GRID, ""),
        (GRID + 1, "its factors count from 1"),
        (GRID * 9, "taken in their order: the values of shape (0 to 18), scale (0 to 27), x (0 to 36)"),
        # as dSprites' latents_values have them
        (
            GRID * [1, 0.1, 0.25] + [1, 0.5, 0],
            "taken in their order: the values of shape (1 to 3), scale (0.5 to 0.8)",
        ),
        (np.hstack([np.eye(n, dtype=int)[v] for n, v in zip((3, 4, 5), GRID.T, strict=True)]), "one-hot"),
    ],
)
def test_the_values_of_a_named_data_set(tmp_path, given, said):
    rows, assumed = index_of(tmp_path, np.asarray(given)[ORDER])
    assert rows.tolist() == ORDER.tolist()
    assert said in " ".join(assumed)
    assert "count from 1" in said or "count from 1" not in " ".join(assumed)


def test_some_rows_of_a_named_data_set_that_count_from_one(tmp_path):
    """The largest shape is there, the largest x is not: x counts from 1 as shape does."""
    some = np.flatnonzero(GRID[:, 2] < 4)
    rows, _ = index_of(tmp_path, GRID[some] + 1)
    assert rows.tolist() == some.tolist()
    # from 0, with the smallest shape missing
    some = np.flatnonzero(GRID[:, 0] > 0)
    rows, _ = index_of(tmp_path, GRID[some])
    assert rows.tolist() == some.tolist()


@pytest.mark.parametrize(
    "factors", [GRID - 1, GRID * 2 - 3, (GRID * 2)[GRID[:, 2] < 4], GRID[:, [2, 1, 0]], GRID * 0.5 - 1]
)
def test_values_that_leave_open_which_they_are_in_a_named_data_set(tmp_path, factors):
    with pytest.raises(UsageError, match="are the factors of another data set"):
        index_of(tmp_path, factors)


def test_factors_beside_rows_may_count_from_one_and_must_agree(tmp_path):
    rows, _ = index_of(tmp_path, GRID[ORDER] + 1, rows=ORDER)
    assert rows.tolist() == ORDER.tolist()
    with pytest.raises(UsageError, match="not those that"):
        index_of(tmp_path, GRID[ORDER] + 1, rows=np.arange(60))


@pytest.mark.parametrize(
    "labels", [np.arange(40) % 3, WORDS[np.arange(40) % 3], np.eye(3, dtype=int)[np.arange(40) % 3]]
)
def test_the_labels_of_a_classifier_are_a_factor(labels):
    z = np.eye(3)[np.arange(40) % 3] + 0.1 * np.random.default_rng(0).normal(size=(40, 3))
    s = disbench.score(z, factors=labels, metrics="mig,explicitness")
    assert s["mig"] == pytest.approx(metrics.mig(z, labels).score)
    assert s["explicitness"] == 1


def test_vectors_and_cells_of_matlab(tmp_path):
    """It writes a vector as one row, and texts as cells, which are not read."""
    savemat(tmp_path / "v.mat", {"codes": CODES, "factors": GRID[:, 2] + 1})
    assert disbench.score(tmp_path / "v.mat", metrics="mig")["mig"] == pytest.approx(
        metrics.mig(CODES, GRID[:, 2:]).score
    )
    savemat(tmp_path / "v.mat", {"codes": CODES, "factors": WORDS[GRID[:, 2]].astype(object)})
    with pytest.raises(
        UsageError, match="'factors' is no plain array, but perhaps a cell, group or link; write numbers"
    ):
        disbench.score(tmp_path / "v.mat", metrics="mig")


@pytest.mark.parametrize("kind", ["U", "S", "hdf5"])
def test_names_of_factors_are_texts_of_any_kind(tmp_path, kind):
    path = as_hdf5(tmp_path / "codes", GRID + 1)
    if kind == "hdf5":
        with h5py.File(path, "a") as file:
            file["factor_names"] = list(NAMES)
    else:
        path = tmp_path / "codes.npz"
        np.savez(path, codes=CODES, factors=GRID + 1, factor_names=np.array(NAMES, kind))
    note = "ranked, and counted from 0: the values of factor 'shape' (1 to 3), factor 'scale' (1 to 4) and"
    assert any(said.startswith(note) for said in disbench.score(path, metrics="mig").assumed)


@pytest.mark.parametrize(
    ("names", "sentence"),
    [
        (["shape", "x"], r"2 factor names for factors \(60, 3\); give one per column"),
        ([1, 2, 3], "factor_names of int64 must be texts, one per column"),
    ],
)
def test_names_that_are_not_those_of_the_columns(tmp_path, names, sentence):
    np.savez(tmp_path / "codes.npz", codes=CODES, factors=GRID, factor_names=names)
    with pytest.raises(UsageError, match=sentence):
        disbench.score(tmp_path / "codes.npz", metrics="mig")


@pytest.mark.parametrize(
    ("codes", "factors", "which"),
    [(CODES, GRID.T, "factors"), (CODES, WORDS[GRID].T, "factors"), (CODES.T, GRID, "codes")],
)
def test_what_is_transposed_is_called_so(codes, factors, which):
    with pytest.raises(UsageError, match=f"the {which} look transposed: write {which}.T"):
        disbench.score(codes, factors=factors, metrics="mig")
    with pytest.raises(UsageError, match=f"the {which} look transposed, pass {which}.T"):
        metrics.mig(codes, factors)


@pytest.mark.parametrize("bins", [1, 1001, True, "5", 5.0])
def test_a_number_of_bins_is_a_whole_number(bins):
    with pytest.raises(UsageError, match=f"^bins {bins!r} was given(;|, but).* a whole number"):
        disbench.score(V, factors=V, metrics="mig", bins=bins)


def test_a_number_of_bins_may_be_one_of_numpy():
    ours, theirs = (disbench.score(V, factors=V, metrics="mig", bins=n)["mig"] for n in (5, np.int64(5)))
    assert ours == theirs


def test_the_index_of_a_frame_is_no_factor(tmp_path):
    pd.DataFrame({"shape": GRID[:, 0], "x": GRID[:, 2]}).to_csv(tmp_path / "factors.csv")
    with pytest.raises(UsageError, match=r"a column without a name .* write it with index=False"):
        disbench.score(CODES, factors=tmp_path / "factors.csv", metrics="mig")


def test_factors_given_for_a_data_set_without_a_grid_are_said_to_be_those(tmp_path):
    """Nothing can be looked up there: these labels are not those of the data set."""
    np.savez(tmp_path / "data.npz", images=np.zeros((60, 8, 8), np.uint8), labels=GRID[:, 0])
    where = {"dataset": str(tmp_path / "data.npz"), "data_dir": tmp_path / "cache", "metrics": "mig"}
    s = disbench.score(CODES, factors=GRID[:, 1], **where)
    assert s["mig"] == pytest.approx(metrics.mig(CODES, GRID[:, 1:2]).score)
    note = "the factors are those given, not looked up in"
    assert any(said.startswith(note) for said in s.assumed)
    assert not any(said.startswith(note) for said in disbench.score(CODES, **where).assumed)


def test_codes_say_that_a_gpu_does_nothing_for_them(monkeypatch):
    monkeypatch.setattr(gpu, "choose_device", lambda device: device)
    said = disbench.score(CODES, factors=GRID, metrics="mig", device="cuda").assumed
    assert "they are scored on the CPU: device is for methods of disbench" in said
