"""The list of operators: held to its rule by torch's own declarations, wide enough, and without holes."""

import io
import json
import warnings
import zipfile

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from disbench.benchmark.scoring import guards, operators, pt2, torchscript
from disbench.errors import UsageError

SCHEMAS = {}
for schema in torch._C._jit_get_all_schemas():
    SCHEMAS.setdefault(schema.name, []).append(schema)


def declared(entry):
    """The declaration of an entry, or None where this torch does not have it."""
    name, _, overload = entry.partition(".")
    found = [s for s in SCHEMAS.get(f"aten::{name}", []) if (s.overload_name or "default") == overload]
    return found[0] if found else None


KINDS = (
    *(
        "Tensor",
        "List[Tensor]",
        "List[Optional[Tensor]]",
        "number",
        "List[number]",
        "bool",
        "List[bool]",
        "str",
    ),
    *(
        "int",
        "List[int]",
        "float",
        "List[float]",
        "complex",
        "ScalarType",
        "Layout",
        "MemoryFormat",
        "Device",
    ),
    *("Generator", "List[t]", "t"),
)


def inner(kind):
    return kind.removeprefix("Optional[").removesuffix("]") if kind.startswith("Optional[") else kind


def test_every_entry_keeps_the_rule_as_far_as_torch_declares_it():
    """No out=, nothing written but the first argument, nothing taken but tensors and plain values."""
    absent = []
    for entry in sorted(operators.ALLOWED):
        schema = declared(entry)
        if schema is None:
            absent.append(entry)
            continue
        assert entry.endswith(schema.overload_name or "default")
        for number, argument in enumerate(schema.arguments):
            assert not argument.is_out or entry == "div.out", entry
            writes = argument.alias_info is not None and argument.alias_info.is_write
            assert not writes or (number == 0 and schema.name.endswith("_")) or argument.is_out, entry
            assert inner(str(argument.real_type)) in KINDS, (entry, str(argument.real_type))
    # of other versions of torch
    assert len(absent) < 20, absent


@pytest.mark.parametrize(
    "name",
    [
        *("_reshape_alias", "as_strided", "as_strided_", "set_", "resize_", "resize_as_"),
        *("_resize_output_", "set_data"),
        *("_nested_view_from_buffer", "_nested_tensor_from_mask", "_nested_tensor_from_mask_left_aligned"),
        *("_indices", "_values", "indices", "values", "_coalesced_", "_convert_indices_from_coo_to_csr"),
        *("to_sparse",),
        *("_sparse_coo_tensor_unsafe", "sparse_coo_tensor", "sparse_compressed_tensor", "to_mkldnn"),
        *("dequantize",),
        *("from_file", "save", "_test_check_tensor", "data_ptr", "storage_offset", "empty_strided"),
        *("new_empty_strided",),
        *("_foreach_add_", "_fft_c2c", "max_unpool2d", "fractional_max_pool2d", "embedding_bag"),
        *("_pad_packed_sequence",),
        *("multinomial", "native_batch_norm", "_make_dual", "record_stream", "pin_memory", "is_pinned"),
        *("_local_scalar",),
    ],
)  # fmt: skip
def test_what_reaches_outside_or_trusts_its_sizes_is_not_in_the_list(name):
    assert not [entry for entry in operators.ALLOWED if entry.partition(".")[0] == name]


@pytest.mark.parametrize(
    ("name", "overload"), [("view", "dtype"), ("add", "out"), ("lstm", "data"), ("sum", "DimnameList_out")]
)
def test_a_name_allows_its_entered_overloads_alone(name, overload):
    assert not operators.allowed(name, overload)
    assert any(entry.startswith(f"{name}.") for entry in operators.ALLOWED)


def test_what_runs_when_torch_compiles_code_is_plain():
    """torch computes constants while it reads a file, before the steps are checked: of unchanging values.

    Of the operators on such values alone, those that are not allowed neither open files nor call Python.
    """
    plain = {"int", "float", "bool", "str", "complex", "number", "Device"}
    computed = {
        s.name
        for schemas in SCHEMAS.values()
        for s in schemas
        if s.returns and all(inner(str(v.real_type)) in plain for v in (*s.arguments, *s.returns))
    }
    libraries = {name.partition("::")[0] for name in computed}
    # those of cuda, in builds for GPUs, choose a device and wait for it
    assert libraries <= {"aten", "prim", "mkldnn", "cuda", "_test", "static_runtime"}, libraries
    refused = {
        name
        for name in computed
        if name.startswith("aten::") and not operators.allowed_on_values(name[6:], "")
    }
    known = {
        *("acosh", "angle", "asinh", "atanh", "bin", "can_cast", "center", "chr", "Complex"),
        *("_cufft_get_plan_cache_max_size",),
        *("_cufft_get_plan_cache_size", "erf", "erfc", "expandtabs", "factorial", "fmod", "gamma", "gcd"),
        *("_get_cpu_capability",),
        *("_get_tracing_state", "hash", "hex", "initial_seed", "isdecimal", "isidentifier", "isnumeric"),
        *("isprintable", "istitle"),
        *("is_vulkan_available", "ldexp", "lgamma", "ljust", "mathremainder", "_nnpack_available", "oct"),
        *("ord", "polar"),
        *("promote_types", "result_type", "rindex", "rjust", "_size_if_not_equal", "swapcase"),
        *("_use_cudnn_rnn_flatten_weight",),
        *("get_autocast_dtype", "seed", "frexp", "modf", "partition", "rpartition"),
    }  # fmt: skip
    assert {name[6:] for name in refused} <= known, sorted(
        name[6:] for name in refused - {f"aten::{k}" for k in known}
    )


# --- Indices outside ---

X, AT = torch.rand(3, 4), torch.tensor([0, 4])
ROWS = AT.expand(3, 2)
INDEXED = {
    "index.Tensor": (X, [None, AT]),
    "_unsafe_index.Tensor": (X, [None, AT]),
    "index_select.default": (X, 1, AT),
    "index_add_.default": (X, 1, AT, torch.rand(3, 2)),
    "index_copy_.default": (X, 1, AT, torch.rand(3, 2)),
    "index_fill_.int_Scalar": (X, 1, AT, 0),
    "index_put_.default": (X, [None, AT], torch.rand(3, 2)),
    "index_reduce_.default": (X, 1, AT, torch.rand(3, 2), "amax"),
    "gather.default": (X, 1, ROWS),
    "scatter_.value": (X, 1, ROWS, 1.0),
    "scatter_.src": (X, 1, ROWS, torch.rand(3, 2)),
    "scatter_add_.default": (X, 1, ROWS, torch.rand(3, 2)),
    "scatter_reduce_.two": (X, 1, ROWS, torch.rand(3, 2), "sum"),
    "take.default": (X, torch.tensor([12])),
    "embedding.default": (X, torch.tensor([3])),
    "one_hot.default": (AT, 3),
    "masked_scatter_.default": (X, torch.ones(3, 4, dtype=torch.bool), torch.rand(11)),
    "select.int": (X, 1, 4),
    "narrow.default": (X, 1, 3, 2),
    "unfold.default": (X, 1, 5, 1),
    "diagonal.default": (X, 0, 0, 2),
    "select_scatter.default": (X, torch.rand(3), 1, 4),
    "topk.default": (X, 5),
    "kthvalue.default": (X, 5),
    "view.default": (X, [3, 5]),
    "expand.default": (X, [3, 8]),
    "repeat_interleave.self_Tensor": (X, torch.tensor([1, -1]), 0),
}


@pytest.mark.parametrize("entry", INDEXED)
@pytest.mark.parametrize("sign", [1, -1])
def test_an_index_outside_raises(entry, sign):
    assert entry in operators.ALLOWED
    name, overload = entry.split(".")
    arguments = [
        a.clone() if isinstance(a, torch.Tensor) and a.is_floating_point() else a for a in INDEXED[entry]
    ]
    if sign < 0:
        # below -4 or -12, where negative ones count from the end
        arguments = [
            -a - 9 if isinstance(a, torch.Tensor) and a.dtype == torch.long else a for a in arguments
        ]
        arguments = [[None, -AT - 9] if isinstance(a, list) and None in a else a for a in arguments]
    with pytest.raises((IndexError, RuntimeError)):
        getattr(getattr(torch.ops.aten, name), overload)(*arguments)


# --- Operators that trust their arguments ---

W = torch.rand
Q = W(2, 2, 5, 4)
STATISTICS = (W(3), W(3), W(3), W(3))
STATE, GATES = [W(1, 2, 5), W(1, 2, 5)], [W(20, 4), W(20, 5), W(20), W(20)]
LAYER = (W(24, 8), W(24), W(8, 8), W(8))
NORMS = (W(8), W(8), W(8), W(8), W(16, 8), W(16), W(8, 16), W(8))
TRUSTING = {
    "_native_batch_norm_legit_no_training.default": ((W(2, 3, 4), *STATISTICS, 0.1, 1e-5), (3, W(2))),
    "_native_batch_norm_legit.no_stats": ((W(2, 3, 4, 4), W(3), W(3), True, 0.1, 1e-5), (3, False)),
    "native_group_norm.default": ((W(2, 4, 3), W(4), W(4), 2, 4, 3, 2, 1e-5), (5, 9)),
    "_weight_norm_interface.default": ((W(4, 3, 3), W(4, 1, 1), 0), (1, W(1, 1, 1))),
    "_weight_norm.default": ((W(4, 3, 3), W(4, 1, 1), 0), (1, W(1, 1, 1))),
    "_upsample_bilinear2d_aa.default": ((W(1, 2, 4, 4), [2, 2], False, 0.5, 0.5), (3, 1e9)),
    "_upsample_bicubic2d_aa.default": ((W(1, 2, 4, 4), [2, 2], False, 0.5, 0.5), (4, 1.7)),
    "_upsample_lanczos2d_aa.default": ((W(1, 2, 4, 4), [2, 2], False, 0.5, 0.5), (4, 1.7)),
    "_scaled_dot_product_flash_attention_for_cpu.default": ((Q, Q, Q), (2, W(2, 2, 9, 4))),
    "scaled_dot_product_attention.default": ((Q, Q, Q), (2, W(2, 2, 9, 4))),
    "_native_multi_head_attention.default": ((W(2, 5, 8),) * 3 + (8, 2, *LAYER), (5, W(24, 9))),
    "_transformer_encoder_layer_fwd.default": (
        (W(2, 5, 8), 8, 2, *LAYER, True, False, 1e-5, *NORMS),
        (4, torch.rand(24).half()),
    ),
    "lstm.input": (
        (W(2, 3, 4), STATE, GATES, True, 1, 0.0, False, False, True),
        (1, [W(1, 3, 5), W(1, 3, 5)]),
    ),
}  # fmt: skip


@pytest.mark.parametrize("entry", TRUSTING)
def test_what_trusts_its_sizes_is_checked_and_computes_as_before(entry):
    arguments, (place, wrong) = TRUSTING[entry]
    name, overload = entry.split(".")
    if declared(entry) is None:
        pytest.skip("this torch does not have it")
    operator = getattr(getattr(torch.ops.aten, name), overload)
    with torch.no_grad(), guards.checked([name]):
        found = torch.utils._pytree.tree_leaves(operator(*arguments))
        unfit = [*arguments[:place], wrong, *arguments[place + 1 :]]
        with pytest.raises((guards.UnfitError, RuntimeError, ValueError)) as error:
            operator(*unfit)
    assert isinstance(error.value, guards.UnfitError) or name == "scaled_dot_product_attention"
    with torch.no_grad():
        expected = torch.utils._pytree.tree_leaves(operator(*arguments))
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True) if isinstance(a, torch.Tensor))


def test_every_operator_that_is_checked_is_tried_here():
    tried = {entry.partition(".")[0] for entry in TRUSTING}
    assert {*guards.GUARDS} <= tried | {"mkldnn_rnn_layer"}
    assert {*guards.LAYERS} <= tried
    assert {*guards.LAYERS.values()} <= {*guards.GUARDS}


@pytest.mark.parametrize(
    ("weights", "layers", "fits"),
    [
        ([0] * 4, 1, True),
        ([0] * 5, 1, True),
        ([0] * 8, 2, True),
        ([], 65536, False),
        ([0] * 4, 0, False),
        (None, 1, False),
    ],
)
def test_the_weights_of_a_recurrent_network_are_counted(weights, layers, fits):
    given = {"num_layers": layers, "has_biases": True, "bidirectional": False}
    if fits:
        guards.check_recurrent("lstm", weights, given)
        return
    with pytest.raises(guards.UnfitError, match=r"weights for|layers"):
        guards.check_recurrent("lstm", weights, given)


# --- Wide enough: what encoders are made of ---


class Block(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.one, self.two = nn.Conv2d(c, c, 3, padding=1, bias=False), nn.Conv2d(c, c, 3, padding=1)
        self.norm, self.act = nn.BatchNorm2d(c), nn.ReLU(inplace=True)

    def forward(self, x):
        y = self.act(self.norm(self.one(x)))
        y = self.two(y)
        y += x
        return self.act(y)


class Recurrent(nn.Module):
    def __init__(self, kind):
        super().__init__()
        self.net = getattr(nn, kind)(8, 5, 2, batch_first=True, bidirectional=True)

    def forward(self, x):
        return self.net(x[:, 0])[0][:, -1]


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.patch, self.attend = nn.Conv2d(1, 8, 4, 4), nn.MultiheadAttention(8, 2, batch_first=True)
        self.norm, self.head = nn.LayerNorm(8), nn.Linear(8, 6)

    def forward(self, x):
        t = self.patch(x).flatten(2).transpose(1, 2)
        t = self.norm(t + self.attend(t, t, t, need_weights=False)[0])
        mean, logvar = self.head(t.mean(1)).chunk(2, dim=1)
        return {"mean": mean, "logvar": logvar}


class Transformer(nn.Module):
    def __init__(self):
        super().__init__()
        self.patch = nn.Conv2d(1, 8, 4, 4)
        self.net = nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), 2)

    def forward(self, x):
        return self.net(self.patch(x).flatten(2).transpose(1, 2))[:, 0]


class Steps(nn.Module):
    """What stands between layers."""

    def forward(self, x):
        y = F.interpolate(x, size=[4, 4], mode="bilinear", align_corners=False)
        z = torch.einsum("bchw,bcHw->bhH", y, y).flatten(1)
        a, b = z.split(8, 1)
        c = torch.stack([a, b], 1).flatten(1).clamp(-1, 1)
        c = torch.where(c > 0.5, c, F.softplus(c))
        d = torch.cat([c, F.normalize(c, dim=1), F.gelu(c), torch.softmax(c, 1)], 1)
        e = F.pad(x, [1, 1, 1, 1], mode="reflect").amax([1, 2])
        f = torch.gather(c, 1, c.argsort(1))[:, [0, 2, 1]]
        g = torch.zeros(x.shape[0], 3)
        g[:, 1] = c.mean(1)
        return (
            d,
            e,
            f,
            g,
            c.topk(2, 1)[0],
            torch.logsumexp(c, 1, keepdim=True),
            x.flatten(1).std(1, keepdim=True),
        )


class Whole(nn.Module):
    """A VAE with its decoder, exported as it is: samples are drawn and not used."""

    def __init__(self):
        super().__init__()
        self.encoder = nn.Linear(64, 8)
        self.decoder = nn.Sequential(
            nn.Linear(4, 16), nn.Unflatten(1, (4, 2, 2)), nn.ConvTranspose2d(4, 1, 4, 2, 1)
        )

    def forward(self, x):
        mean, logvar = self.encoder(x.view(x.size(0), -1)).chunk(2, 1)
        return self.decoder(mean + torch.randn_like(mean) * torch.exp(0.5 * logvar)), mean, logvar


class Quantised(nn.Module):
    """The nearest of some codes, as VQ-VAE has it."""

    def __init__(self):
        super().__init__()
        self.net, self.book = nn.Conv2d(1, 4, 4, 4), nn.Parameter(torch.randn(16, 4))

    def forward(self, x):
        with torch.no_grad():
            z = self.net(x).permute(0, 2, 3, 1).reshape(-1, 4)
        return self.book[torch.cdist(z, self.book).argmin(1)].view(x.shape[0], -1)


TYPICAL = {
    "mlp": nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.Tanh(), nn.Linear(8, 3)),
    "conv": nn.Sequential(nn.Conv2d(1, 4, 4, 2, 1), nn.LeakyReLU(0.2), nn.Flatten(), nn.Linear(64, 3)),
    "resnet": nn.Sequential(
        *(nn.Conv2d(1, 4, 3, 2, 1), nn.BatchNorm2d(4), nn.ReLU(True), nn.MaxPool2d(2), Block(4)),
        *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.1), nn.Linear(4, 3)),
    ),
    "norms": nn.Sequential(
        *(nn.Conv2d(1, 4, 3), nn.GroupNorm(2, 4), nn.SiLU(), nn.InstanceNorm2d(4, affine=True), nn.Flatten()),
        *(nn.LayerNorm(144), nn.ELU(), nn.Linear(144, 3), nn.BatchNorm1d(3)),
    ),
    "gru": Recurrent("GRU"),
    "lstm": Recurrent("LSTM"),
    "attention": Attention(),
    "transformer": Transformer(),
    "steps": Steps(),
    "whole": Whole(),
    "quantised": Quantised(),
}
IMAGES = torch.rand(4, 1, 8, 8, generator=torch.Generator().manual_seed(0))


def run(module, images):
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return module(images)


def export(name, form, path):
    module = TYPICAL[name].eval()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if form == "script":
            torch.jit.script(module).save(str(path))
        elif form == "trace":
            torch.jit.trace(module, (IMAGES,), check_trace=False, strict=False).save(str(path))
        else:
            program = torch.export.export(module, (IMAGES,))
            torch.export.save(program.run_decompositions() if form == "decomposed" else program, path)


FORMS = [(name, form) for name in TYPICAL for form in ("export", "script", "trace")]
# into the parts that torch takes layers apart into; these have all of them
FORMS += [(name, "decomposed") for name in ("resnet", "norms", "attention", "steps")]


@pytest.mark.parametrize(("name", "form"), FORMS)
def test_typical_encoders_are_read_and_give_their_codes(tmp_path, name, form):
    torch.manual_seed(0)
    export(name, form, tmp_path / "e")
    read = pt2.load if form in ("export", "decomposed") else torchscript.Module
    if (name, form) == ("transformer", "script"):
        # its code speaks of nested tensors
        with pytest.raises(UsageError, match=r"'aten::_nested_tensor.*traced, not scripted"):
            read(tmp_path / "e")
        return
    leaves = torch.utils._pytree.tree_leaves
    found, expected = leaves(run(read(tmp_path / "e"), IMAGES)), leaves(run(TYPICAL[name], IMAGES))
    for number, (a, b) in enumerate(zip(found, expected, strict=True)):
        if (name, number) != ("whole", 0):
            torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)


# --- And without holes ---


def program(target="torch.ops.aten._reshape_alias.default", **changed):
    """A program of one call, as JSON."""
    node = {
        "target": target,
        "inputs": [
            {"name": name, "arg": value}
            for name, value in {
                "self": {"as_tensor": {"name": "x"}},
                "size": {"as_ints": [4, 10]},
                "stride": {"as_ints": [30_000_000, 1]},
                **changed,
            }.items()
            if value is not None
        ],
        "outputs": [{"as_tensor": {"name": "y"}}],
    }
    return {"nodes": [node], "outputs": [{"as_tensor": {"name": "y"}}]}


def test_a_program_that_reaches_outside_its_tensors_is_refused(tmp_path):
    with pytest.raises(UsageError, match=r"uses the operator 'torch\.ops\.aten\._reshape_alias\.default'"):
        pt2.Graph(tmp_path / "e.pt2", program())


GONE = {"size": None, "stride": None}


@pytest.mark.parametrize(
    ("target", "changed"),
    [
        ("relu.default", {**GONE, "self": {"as_none": True}}),
        ("cat.default", {**GONE, "self": None, "tensors": {"as_optional_tensors": [{"as_none": True}]}}),
        ("_to_copy.default", {**GONE, "dtype": {"as_int": -1}}),
        ("_to_copy.default", {**GONE, "dtype": {"as_sym_int": {"as_name": "x"}}}),
        ("_to_copy.default", {**GONE, "layout": {"as_int": 9}}),
        ("_to_copy.default", {**GONE, "device": {"as_string": "meta"}}),
        ("clone.default", {**GONE, "memory_format": {"as_int": 77}}),
        ("relu.default", {**GONE, "out": {"as_tensor": {"name": "x"}}}),
        ("relu.default", {"stride": None}),
        ("bernoulli.default", {**GONE, "generator": {"as_int": 1}}),
        (
            "lstm.input",
            {
                **GONE,
                "self": None,
                "input": {"as_tensor": {"name": "x"}},
                "hx": {"as_tensors": [{"name": "x"}, {"name": "x"}]},
                "params": {"as_tensors": []},
                "has_biases": {"as_bool": True},
                "num_layers": {"as_int": 65536},
                "dropout": {"as_float": 0.0},
                "train": {"as_bool": False},
                "bidirectional": {"as_bool": False},
                "batch_first": {"as_bool": False},
            },
        ),
    ],
    ids=range(11),
)
def test_a_value_of_another_kind_than_the_operator_declares_is_refused(tmp_path, target, changed):
    with pytest.raises((pt2.MalformedError, guards.UnfitError)):
        pt2.Graph(tmp_path / "e.pt2", program(f"torch.ops.aten.{target}", **changed)).run({"x": IMAGES})


def test_a_tensor_that_an_operator_left_out_is_none(tmp_path):
    """Attention without weights returns nothing as its second output, which torch would follow to nowhere."""
    graph = pt2.Graph(tmp_path / "e.pt2", program("torch.ops.aten.relu.default", **GONE))
    with pytest.raises(pt2.MalformedError, match="nothing in place of a tensor"):
        graph.run({"x": None})


def test_an_operator_of_another_torch_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(operators, "ALLOWED", operators.ALLOWED | {"relu.newest"})
    with pytest.raises(UsageError, match=r"'torch\.ops\.aten\.relu\.newest', which torch .* does not have"):
        pt2.Graph(tmp_path / "e.pt2", program("torch.ops.aten.relu.newest"))


def script(body, path, extra=""):
    """A TorchScript file whose forward has this body; written by hand, so that nothing of it runs here."""
    code = (
        "class M(Module):\n  __parameters__ = []\n  __buffers__ = []\n  training : bool\n"
        "  def forward(self: __torch__.M,\n    x: Tensor) -> Tensor:\n"
        + "".join(f"    {line}\n" for line in body.split("\n"))
        + extra
    )
    whole = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.save(torch.jit.script(Empty()), whole)
    with zipfile.ZipFile(whole) as old, zipfile.ZipFile(path, "w") as new:
        for entry in old.namelist():
            inner = entry.partition("/")[2]
            content = old.read(entry)
            if inner == "data.pkl":
                content = content.replace(
                    b"__torch__.tests.benchmark.scoring.test_operators\nEmpty", b"__torch__\nM"
                )
                content = content.replace(f"__torch__.{Empty.__module__}\nEmpty".encode(), b"__torch__\nM")
            if inner == "constants.pkl" or not inner.endswith((".py", "_pkl")):
                new.writestr(entry, content)
            name = entry.partition("/")[0]
        new.writestr(f"{name}/code/__torch__.py", code)
    return path


class Empty(nn.Module):
    def forward(self, x):
        return x


HOSTILE = {
    "a view outside": ("return torch._reshape_alias(x, [4, 10], [30000000, 1])", "'aten::_reshape_alias'"),
    "a write outside": (
        "y = torch.zeros([4, 4])\n_0 = torch.fill_(torch._reshape_alias(y, [4000000], [1]), 0.5)\nreturn y",
        "'aten::_reshape_alias'",
    ),
    "in a branch": (
        "if torch.gt(torch.dim(x), 9):\n  x = torch.as_strided(x, [9], [9], 0)\nelse:\n  x = x\nreturn x",
        "'aten::as_strided'",
    ),
    "in a loop": ("for i in range(2):\n  x = torch.set_(x, x)\nreturn x", "'aten::set_"),
    "a file": ('return torch.from_file("a", True, 1, dtype=6)', "'aten::from_file'"),
    "saving": ('_0 = torch.save(x, "a")\nreturn x', "'aten::save'"),
    "another library": ("return ops.prims.abs(x)", "'prims::abs'"),
    "parts of sparse tensors": ("return torch._values(torch.to_sparse(x))", "'aten::to_sparse'"),
    "an argument to write to": ("return torch.add(x, x, alpha=1, out=x)", "'aten::add.out'"),
    "a type by number": ("return torch.zeros([4], dtype=-1)", "a tensor of ScalarType -1"),
    "a type that is computed": ("return torch.zeros([4], dtype=torch.dim(x))", "ScalarType computed"),
    "another layout": ("return torch.zeros([4], dtype=6, layout=2)", "a tensor of Layout 2"),
    "another device": ('return torch.zeros([4], device=torch.device("meta"))', "a tensor of Device"),
    "a wild cast": ("return unchecked_cast(Tensor, torch.dim(x))", "'prim::unchecked_cast to Tensor'"),
    "a fork": ("return wait(fork(torch.relu, x))", "cannot be read as TorchScript"),
    "a number of weights that is computed": (
        "y, z = torch.gru(x, x, [x, x], False, torch.dim(x), 0., False, False, False)\nreturn y",
        "gru: 2 weights for None layers",
    ),
    "what is called while it is read": (
        "return x",
        "'__setstate__'",
        "  def __setstate__(self: __torch__.M,\n    x: Tensor) -> NoneType:\n    return None\n",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_torchscript_that_reaches_outside_is_refused(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    body, words, *extra = HOSTILE[name]
    with pytest.raises(UsageError) as error:
        torchscript.Module(script(body, tmp_path / "e.pt", *extra))
    assert words in str(error.value)
    assert [path.name for path in tmp_path.iterdir()] == ["e.pt"]


class Key:
    """An object whose comparison reaches outside its tensor."""

    def __init__(self, at: torch.Tensor):
        self.at = at

    def __lt__(self, other: "Key") -> bool:
        return bool((torch.ops.aten._reshape_alias(self.at, [9], [9]).sum() > 1).item())


with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)

    @torch.jit.interface
    class Part(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            pass


class Outside(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.ops.aten._reshape_alias(x, [9], [9])


class ByInterface(nn.Module):
    part: Part

    def __init__(self):
        super().__init__()
        self.part = Outside()

    def forward(self, x: torch.Tensor):
        return self.part.forward(x)


class Sorted(nn.Module):
    def forward(self, x: torch.Tensor):
        return sorted([Key(x), Key(-x)])[0].at


class SortedPairs(nn.Module):
    def forward(self, x: torch.Tensor):
        pairs = [(1, Key(x)), (1, Key(-x))]
        pairs.sort()
        return pairs[0][1].at


class ByHook(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = nn.Flatten()
        self.inner.register_forward_hook(hook)

    def forward(self, x: torch.Tensor):
        return self.inner(x)


def hook(self, given: tuple[torch.Tensor], made: torch.Tensor):
    return torch.ops.aten._reshape_alias(made, [9], [9])


@pytest.mark.parametrize(
    ("hostile", "operator"),
    [
        (ByInterface, "prim::CallMethod"),
        (Sorted, "aten::sorted.any"),
        (SortedPairs, "aten::sort.any"),
        (ByHook, "aten::_reshape_alias"),
    ],
)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_code_that_is_called_by_no_step_of_the_graph_is_refused(tmp_path, hostile, operator):
    torch.jit.script(Key)
    torch.jit.save(torch.jit.script(hostile().eval()), tmp_path / "e.pt")
    with pytest.raises(UsageError, match=f"uses the operator '{operator}'"):
        torchscript.Module(tmp_path / "e.pt")


def test_values_are_sorted_all_the_same(tmp_path):
    module = torchscript.Module(
        script("a = [3, 1, 2]\n_0 = torch.sort(a)\nreturn torch.add(x, a[0])", tmp_path / "e.pt")
    )
    assert torch.equal(module(IMAGES), IMAGES + 1)


def test_the_same_file_with_an_honest_body_is_read(tmp_path):
    module = torchscript.Module(script('print("a")\nreturn torch.relu(torch.neg(x))', tmp_path / "e.pt"))
    assert torch.equal(module(-IMAGES), IMAGES)
    assert module.prints
    assert module.names == {"relu", "neg"}


def test_names_in_a_pickle_that_no_encoder_needs_are_refused(tmp_path):
    path = script("return x", tmp_path / "e.pt")
    for name in (
        b"__torch__.torch.classes.quantized\nConv2dPackedParamsBase",
        b"torch._utils\n_rebuild_qtensor",
        b"os\nsystem",
    ):
        with zipfile.ZipFile(path) as old, zipfile.ZipFile(tmp_path / "f.pt", "w") as new:
            for entry in old.namelist():
                content = old.read(entry)
                new.writestr(
                    entry, content.replace(b"__torch__\nM", name) if "data.pkl" in entry else content
                )
        with pytest.raises(UsageError, match="a value by"):
            torchscript.Module(tmp_path / "f.pt")


def test_members_of_older_forms_are_not_handed_on(tmp_path):
    """An archive with a model.json is read by torch in another way, which trusts more."""
    path = script("return x", tmp_path / "e.pt")
    with zipfile.ZipFile(path, "a") as archive:
        top = archive.namelist()[0].partition("/")[0]
        archive.writestr(f"{top}/model.json", json.dumps({"protoVersion": 6}))
    assert torch.equal(torchscript.Module(path)(IMAGES), IMAGES)
