"""Numbers come out of every container as they went in, or a sentence says what to do."""

import numpy as np
import pandas as pd
import pytest
import scipy.sparse
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from disbench import metrics
from disbench.errors import UsageError
from disbench.metrics import checks
from disbench.metrics.conversion import as_array, check_aligned, chosen_columns, code_columns, missing, raw

FACTORS = np.stack(np.unravel_index(np.arange(12), (3, 4)), axis=1)


# --- Stand-ins for libraries that the tests do not install ---


MARK = {"version": 3}  # of an array on a GPU


class Jax:
    """Numbers by `__array__` alone, bfloat16 as numpy sees it through ml_dtypes."""

    def __init__(self, array):
        self.array, self.shape, self.dtype = array, array.shape, array.dtype

    def __array__(self, dtype=None, copy=None):
        return self.array


class Tracer(Jax):
    def __array__(self, dtype=None, copy=None):
        raise TypeError("a traced value has no numbers yet")


class TensorFlow(Jax):
    def numpy(self):
        return self.array


class Symbolic(TensorFlow):
    def __array__(self, dtype=None, copy=None):
        raise NotImplementedError("cannot convert a symbolic tensor")

    numpy = __array__


class CuPy(Jax):
    """On a GPU: numpy's protocol is refused, `get` copies."""

    __cuda_array_interface__ = MARK

    def __array__(self, dtype=None, copy=None):
        raise TypeError("implicit conversion to numpy is not allowed")

    def get(self):
        return self.array


class Numba:
    __cuda_array_interface__ = MARK

    def __init__(self, array):
        self.copy_to_host = lambda: array


class DLPack:
    """Nothing but `__dlpack__`."""

    def __init__(self, array):
        self.array = np.array(array)

    def __dlpack__(self, **given):
        return self.array.__dlpack__(**given)

    def __dlpack_device__(self):
        return self.array.__dlpack_device__()


class ElsewhereDLPack(DLPack):
    """On a device that numpy asks to copy from."""

    def __dlpack__(self, *, dl_device=None, **given):
        if dl_device is None:
            raise BufferError("cannot export from the device")
        return self.array.__dlpack__(**given)


class Bits(TensorFlow):
    """bfloat16 that comes out as its bits, uint16."""

    def __init__(self, array):
        super().__init__(array.astype(np.float32).view(np.uint16)[:, 1::2])
        self.dtype = "bfloat16"


class Polars:
    """Columns by name, and no index."""

    def __init__(self, array, names=None):
        self.columns = list(names or (f"z{i}" for i in range(array.shape[1])))
        self.array = array

    def __getitem__(self, name):
        return pd.Series(self.array[:, self.columns.index(name)]).array

    def to_numpy(self):
        raise AssertionError("columns are read one by one")


class Lazy(Polars):
    def __getitem__(self, name):
        raise TypeError("a lazy frame has no columns yet; call collect")


def arrow(array):
    import pyarrow as pa

    return pa.table({f"z{i}": column for i, column in enumerate(array.T)})


def batch(array):
    """Arrow's columns without chunks, which give no copy of their own accord."""
    import pyarrow as pa

    return pa.RecordBatch.from_pydict({f"z{i}": pa.array(column) for i, column in enumerate(array.T)})


class Xarray(Jax):
    """An array with its coordinates as attributes, which may be called columns as those of a frame."""

    dims = ("index", "columns")
    coords = columns = ("a", "b", "c")

    def __getitem__(self, key):
        raise IndexError("no column of that name")


def on_the_wrong_side(array):
    """Complex numbers whose imaginary parts, negated lazily, are the array."""
    return torch.complex(torch.zeros(array.shape, dtype=torch.float64), -torch.from_numpy(array)).conj().imag


Z = np.round(np.random.default_rng(0).normal(size=(12, 3)), 1) * 8  # exact in float16 after rounding
Z = np.rint(Z)  # and in every small float but float8
CONTAINERS = {
    "list": np.ndarray.tolist,
    "tuple": lambda z: tuple(map(tuple, z.tolist())),
    "list of arrays": list,
    "list of tensors": lambda z: list(torch.from_numpy(z).requires_grad_()),
    "matrix": lambda z: z.view(np.matrix),
    "masked, none hidden": np.ma.MaskedArray,
    "memory view": lambda z: memoryview(np.ascontiguousarray(z)),
    "float16": lambda z: z.astype(np.float16),
    "long double": lambda z: z.astype(np.longdouble),
    "big-endian": lambda z: z.astype(">f8"),
    "integers": lambda z: z.astype(np.int16),
    "Fortran": np.asfortranarray,
    "backwards": lambda z: z[::-1].copy()[::-1],
    "read only": lambda z: np.frombuffer(z.tobytes()).reshape(z.shape),
    "sparse": scipy.sparse.csr_matrix,
    "sparse array": scipy.sparse.coo_array,
    "tensor": torch.from_numpy,
    "with a gradient": lambda z: torch.from_numpy(z).requires_grad_(),
    "parameter": lambda z: torch.nn.Parameter(torch.from_numpy(z)),
    "bfloat16": lambda z: torch.from_numpy(z).bfloat16(),
    "half": lambda z: torch.from_numpy(z).half(),
    "sparse tensor": lambda z: torch.from_numpy(z).to_sparse(),
    "compressed tensor": lambda z: torch.from_numpy(z).to_sparse_csr(),
    "negated lazily": on_the_wrong_side,
    "masked tensor": lambda z: torch.masked.masked_tensor(torch.from_numpy(z), torch.from_numpy(z < 99)),
    "frame": lambda z: pd.DataFrame(z, columns=["z0", "z1", "z2"]),
    "frame of numbers": pd.DataFrame,
    "nullable frame": lambda z: pd.DataFrame(z.astype(int), columns=["z0", "z1", "z2"]).convert_dtypes(),
    "frame of many types": lambda z: pd.DataFrame(z).astype({0: int, 1: "f4"}),
    "arrow": arrow,
    "arrow batch": batch,
    "xarray": Xarray,
    "polars": Polars,
    "jax": Jax,
    "tensorflow": TensorFlow,
    "cupy": CuPy,
    "numba": Numba,
    "dlpack": DLPack,
}  # fmt: skip
if np.lib.NumpyVersion(np.__version__) >= "2.1.0":
    # before, numpy cannot ask for a copy
    CONTAINERS["dlpack elsewhere"] = ElsewhereDLPack


@pytest.mark.filterwarnings("ignore:.*(prototype|beta state).*:UserWarning")
@pytest.mark.parametrize("name", CONTAINERS)
def test_the_codes_of_every_container_are_the_codes(name):
    found = checks.check_codes("mig", CONTAINERS[name](Z))
    assert np.array_equal(found, Z)
    assert found.dtype in (np.float32, np.float64)
    assert found.dtype.isnative


@pytest.mark.parametrize(
    ("dtype", "value"),
    [("bfloat16", 1.5), ("float8_e4m3fn", 1.5), ("float8_e5m2", -0.25), ("int4", -3), ("uint4", 3)],
)
def test_the_small_types_of_jax(dtype, value):
    small = pytest.importorskip("ml_dtypes")
    codes = np.array([[value], [0]]).astype(getattr(small, dtype))
    assert as_array(Jax(codes), "codes").tolist() == [[value], [0]]


@pytest.mark.parametrize("dtype", [torch.float8_e4m3fn, torch.float8_e5m2, torch.bool, torch.uint8])
def test_the_small_types_of_torch(dtype):
    codes = torch.tensor([[1.0, 0.0], [0.0, 1.0]]).to(dtype)
    assert as_array(codes, "codes").tolist() == [[1, 0], [0, 1]]


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
def test_a_quantised_tensor_is_what_its_bits_stand_for():
    codes = torch.quantize_per_tensor(torch.tensor([[0.5, 1.25], [2.0, 0.0]]), 0.25, 3, torch.quint8)
    assert as_array(codes, "codes").tolist() == [[0.5, 1.25], [2, 0]]


def records():
    return np.zeros(12, [("z0", "f4"), ("label", "i4")])


def with_label():
    return pd.DataFrame(Z, columns=["z0", "z1", "z2"]).assign(label=FACTORS[:, 0])


REFUSED = {
    "masked": (lambda: masked(), r"1 of 36 values \(the first in row 4, column 1\) is masked"),
    "records": (records, "records of z0, label; pass the fields"),
    "objects": (lambda: np.full((12, 3), object()), "Python objects, the first of type object; .* x.astype"),
    "ragged": (lambda: [[1.0, 2.0], [1.0]], r"ragged list, whose parts have the shapes \(1,\), \(2,\)"),
    "ragged tensors": (lambda: [torch.ones(2), torch.ones(3)], "ragged list"),
    "ragged objects": (lambda: np.array([[1], [1, 2]], object), "first of type list; .* np\\.stack"),
    "nested tensor": (lambda: torch.nested.nested_tensor([torch.ones(2), torch.ones(3)]), "nested tensor"),
    "meta tensor": (lambda: torch.ones(12, 3, device="meta"), "torch Tensor cannot be made an array"),
    "masked tensor": (
        lambda: torch.masked.masked_tensor(torch.ones(12, 3), torch.arange(36).reshape(12, 3) != 5),
        r"1 of 36 values \(the first in row 1, column 2\) is masked",
    ),
    "traced": (lambda: Tracer(Z), "traced value has no numbers yet"),
    "symbolic": (lambda: Symbolic(Z), "cannot convert a symbolic tensor"),
    "bits": (lambda: Bits(Z), "bfloat16, which comes out as uint16"),
    "bfloat16 that numpy wrote": (lambda: np.zeros((12, 3), "V2"), "2 bytes each of no type"),
    "None in a list": (
        lambda: [[1.0, None], [2.0, 3.0]],
        r"1 of 4 values \(the first in row 0, column 1\) is missing",
    ),
    "NA of pandas": (
        lambda: pd.DataFrame({"z0": pd.array([True, None, False], "boolean")}),
        r"codes: column 'z0': 1 of 3 values \(the first in row 1\) is missing",
    ),
    "NaN": (lambda: np.where(np.abs(Z) > 9, np.nan, Z), "rows of codes hold NaN or infinity"),
    "complex": (lambda: Z + 1j, "complex numbers"),
    "dates": (lambda: np.zeros((12, 3), "M8[s]"), "dates"),
    "durations": (lambda: np.zeros((12, 3), "m8[s]"), "durations"),
    "text": (lambda: Z.astype(str), "text"),
    "a path": (lambda: "codes.npy", "str was given; pass an array"),
    "a dict": (lambda: {"codes": Z}, "dict was given; pass an array"),
    "nothing": (lambda: None, "NoneType was given"),
    "a generator": (lambda: (row for row in Z), "generator was given"),
    "sparse and huge": (lambda: scipy.sparse.coo_array((10**6, 10**6)), "sparse and would take more than"),
    "a sparse tensor, huge": (
        lambda: torch.ones(1, 1).to_sparse().sparse_resize_((10**6, 10**6), 2, 0),
        "sparse and would take more than",
    ),
    "one of three": (lambda: Z[0], r"codes \(3,\) must be a table"),
    "a label beside codes": (with_label, "column 'label' may be none"),
    "two stems": (
        lambda: pd.DataFrame(Z, columns=["mu0", "mu1", "logvar0"]),
        "columns 'mu0', 'mu1', 'logvar0' may be none",
    ),
    "labels": (lambda: pd.DataFrame(Z, columns=["label0", "label1", "label2"]), "may be none"),
    "two of one name": (lambda: pd.DataFrame(Z, columns=["z0", "z1", "z1"]), "2 columns are named 'z1'"),
    "lazy frame": (lambda: Lazy(Z), "call collect"),
}  # fmt: skip


def masked():
    mask = np.zeros(Z.shape, bool)
    mask[4, 1] = True
    return np.ma.MaskedArray(Z, mask)


@pytest.mark.filterwarnings("ignore:.*(prototype|beta state).*:UserWarning")
@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_table_of_numbers_is_refused_in_one_sentence(name):
    make, sentence = REFUSED[name]
    with pytest.raises(UsageError, match=sentence) as refused:
        metrics.mig(make(), FACTORS)
    assert str(refused.value).isprintable()


def test_missing_factors_are_counted_and_not_called_fractions():
    factors = FACTORS.astype(float)
    factors[3, 1] = np.nan
    with pytest.raises(UsageError, match=r"1 of 24 values \(the first in row 3, column 1\) is missing"):
        metrics.mig(Z, factors)
    with pytest.raises(UsageError, match="is infinite"):
        metrics.mig(Z, np.where(np.isnan(factors), np.inf, factors))


def test_frames_are_paired_by_position_only_where_their_rows_have_the_same_names():
    codes = pd.DataFrame(FACTORS + 0.0, columns=["z0", "z1"])
    factors = pd.DataFrame(FACTORS, columns=["shape", "x"])
    assert metrics.mig(codes, factors).score == pytest.approx(1)
    mixed = codes.sample(frac=1, random_state=0)
    assert metrics.mig(mixed, factors.loc[mixed.index]).score == pytest.approx(1)
    with pytest.raises(UsageError, match=r"row labels .* differ"):
        metrics.mig(mixed, factors)
    check_aligned("mig", mixed, factors.to_numpy())


def test_whatever_is_paired_by_position_has_one_order_of_row_labels():
    """Codes of models, log-variances and labels, too: UDR of two equal models would be .00 instead of .90."""
    z = np.random.default_rng(0).normal(size=(200, 3))
    codes = pd.DataFrame(z, columns=["z0", "z1", "z2"])
    mixed = codes.sample(frac=1, random_state=0)
    assert metrics.udr([codes, codes.copy()]).score == pytest.approx(0.9)
    assert metrics.udr([mixed, mixed]).score == pytest.approx(0.9)
    assert metrics.mig(mixed, {"sign": mixed["z0"] > 0}).score > 0.5
    v, rng = (z > 0).astype(int), np.random.default_rng(0)
    for call in (
        lambda: metrics.udr([codes, codes, mixed]),
        lambda: metrics.mig_chen(codes, mixed, v, rng=rng, samples=2),
        lambda: metrics.mig(codes, {"sign": mixed["z0"] > 0}),
        lambda: metrics.mig(z, {"one": codes["z0"] > 0, "other": mixed["z0"] > 0}),
        lambda: metrics.ContingencyTable.from_labels(mixed["z0"].astype(int), pd.Series(v[:, 0])),
    ):
        with pytest.raises(UsageError, match=r"row labels .* differ"):
            call()


@pytest.mark.parametrize(
    ("names", "codes"),
    [
        (["z0", "z1", "z2"], ["z0", "z1", "z2"]),
        (["0", "1"], ["0", "1"]),
        (["mu[0]", "mu[1]"], ["mu[0]", "mu[1]"]),
        (["latent_1_0", "latent_1_1"], ["latent_1_0", "latent_1_1"]),
        (["z0", "label"], ["z0"]),
        (["z1", "0"], []),
        (["z0", "z1", "y0"], []),
        (["mu_0", "logvar_0"], []),
        (["y0", "y1"], []),
        (["label_0", "label_1"], []),
        (["target1"], []),
        (["id0"], []),
        (["grid0", "grid1"], ["grid0", "grid1"]),
        (["manifold0"], ["manifold0"]),
        (["class_0", "class_1"], []),
        (["std0", "std1"], []),
        (["z"], ["z"]),
        (["z", "label"], ["z"]),
        (["z", "mu"], []),
        (["y"], []),
        (["a", "b"], []),
        ([], []),
    ],
)
def test_the_columns_that_are_clearly_codes(names, codes):
    assert list(code_columns(names)) == codes


def test_columns_chosen_by_name_and_by_pattern():
    names = ["z0", "z1", "a[0]", "label"]
    assert chosen_columns(names, "z*") == ("z0", "z1")
    assert chosen_columns(names, "a[0], label") == ("a[0]", "label")
    assert chosen_columns(names, "q*") == ()


TYPES = ("f2", "f4", "f8", ">f4", ">f8", "longdouble", "?", "i1", "<i2", ">i4", "i8", "u1", "<u2", ">u8")
LAYOUTS = {
    "C": np.ascontiguousarray,
    "F": np.asfortranarray,
    "T": lambda z: z.T.copy().T,
    "reversed": lambda z: z[::-1, ::-1].copy()[::-1, ::-1],
    "strided": lambda z: np.repeat(np.repeat(z, 2, 0), 3, 1)[::2, ::3],
    "offset": lambda z: np.pad(z, ((1, 2), (3, 1)))[1:-2, 3:-1],
    "frozen": lambda z: np.frombuffer(z.tobytes(), z.dtype).reshape(z.shape),
}
WRAPPED = {
    "array": lambda z: z,
    "list": np.ndarray.tolist,
    "rows": list,
    "masked": np.ma.MaskedArray,
    "jax": Jax,
    "cupy": CuPy,
    "tensor": lambda z: torch.from_numpy(z.astype(z.dtype.newbyteorder("=")).copy("C")),
    "frame": lambda z: pd.DataFrame(z.astype(z.dtype.newbyteorder("="))),
    "sparse": lambda z: scipy.sparse.csr_array(z.astype(float)),
}


@settings(max_examples=200, deadline=None, derandomize=True, database=None)
@given(
    dtype=st.sampled_from(TYPES),
    layout=st.sampled_from(sorted(LAYOUTS)),
    wrapped=st.sampled_from(sorted(WRAPPED)),
    shape=st.tuples(st.integers(1, 6), st.integers(1, 4)),
    seed=st.integers(0, 2**16),
)
def test_type_layout_and_container_do_not_change_a_number(dtype, layout, wrapped, shape, seed):
    """Whole numbers of 0 to 100, exact in every type; of bool, 0 and 1."""
    numbers = np.random.default_rng(seed).integers(0, 2 if dtype == "?" else 101, shape)
    codes = LAYOUTS[layout](numbers.astype(dtype))
    if wrapped == "tensor" and dtype == "longdouble":
        wrapped = "array"  # torch has no such type
    found = as_array(WRAPPED[wrapped](codes), "codes")
    assert found.shape == shape
    assert np.array_equal(found, numbers)
    assert found.dtype.isnative
    assert found.dtype.itemsize <= 8


@pytest.mark.parametrize(
    "values", [[True, None, False, True], ["a", None, "b", "a"], [0, None, 2, 1], [0.5, None, 1.5, 2.5]]
)
def test_what_arrow_copies_only_when_told_to(values):
    import pyarrow as pa

    full = [values[0] if value is None else value for value in values]
    assert raw(pa.array(full), "factors").tolist() == full
    column = raw(pa.array(values), "factors")
    assert missing(column).tolist() == [False, True, False, False]


def test_a_column_of_a_frame_has_one_value_for_each_row():
    class Nested(Polars):
        def __getitem__(self, name):
            return np.stack([self.array[:, 0]] * 2, axis=1)

    with pytest.raises(
        UsageError, match=r"mig: codes: column 'z0' \(12, 2\) must have one value for each row"
    ):
        checks.check_codes("mig", Nested(Z))
