import importlib.util
import shutil
import sys

import h5py
import numpy as np
import pandas as pd
import pytest
import safetensors.torch
import scipy.io
import torch

from disbench.benchmark.cli import main as program
from disbench.metrics import Grid

QUICK = ("--protocol=smoke", "--jobs=1", "--set=betavae.steps=6", "--set=betavae.batch=4")


@pytest.fixture(scope="session")
def finished_run(tmp_path_factory):
    """beta-VAE with seeds 0 and 1, a few steps each; not to be written to."""
    folder = tmp_path_factory.mktemp("finished") / "r"
    before = sys.argv
    sys.argv = ["disbench", "run", "--methods", "betavae", "--seeds", "2", "--out", str(folder), *QUICK]
    with pytest.raises(SystemExit) as end:
        program.main()
    assert not end.value.code
    sys.argv = before
    return folder


@pytest.fixture
def quick_run(finished_run, tmp_path):
    """A copy of it, at the same times of change."""
    return shutil.copytree(finished_run, tmp_path / "r")


GRID = Grid((3, 4, 5), ("shape", "scale", "x"))
FACTORS = GRID.factors(np.arange(len(GRID)))
FACTORY = """
import torch
from torch import nn

class Encoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(1, 4, 4, 2, 1)
        self.mean, self.logvar = nn.Linear(4 * 8 * 8, 3), nn.Linear(4 * 8 * 8, 3)

    def forward(self, x):
        h = torch.relu(self.first(x)).flatten(1)
        return self.mean(h), self.logvar(h)

def make(shape):
    assert shape == (1, 16, 16)
    return Encoder()
"""


@pytest.fixture(scope="session")
def home(tmp_path_factory):
    """A folder with a small grid of images, a stranger's encoder in every form, and its codes; read only."""
    folder = tmp_path_factory.mktemp("stranger")
    images = np.zeros((len(GRID), 16, 16), np.uint8)
    for row, (shape, scale, x) in enumerate(FACTORS):
        images[row, 4 : 6 + 2 * scale, 2 * x : 2 * x + 3] = 255
        images[row, 12:, 4 * shape : 4 * shape + 4] = 128
    np.savez(folder / "grid.npz", images=images, factors=FACTORS, factor_names=np.array(GRID.names))
    (folder / "stranger.py").write_text(FACTORY)
    spec = importlib.util.spec_from_file_location("strangers_own", folder / "stranger.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    torch.manual_seed(5)
    encoder = module.make((1, 16, 16)).eval()
    some = torch.rand(4, 1, 16, 16)
    torch.save(encoder.state_dict(), folder / "state.pt")
    nested = {f"module.{name}": tensor for name, tensor in encoder.state_dict().items()}
    torch.save({"epoch": 3, "state_dict": nested}, folder / "nested.pt")
    free = ({0: torch.export.Dim("batch")},)
    torch.export.save(torch.export.export(encoder, (some,), dynamic_shapes=free), folder / "free.pt2")
    torch.export.save(torch.export.export(encoder, (some,)), folder / "fixed.pt2")
    torch.jit.trace(encoder, some).save(str(folder / "traced.pt"))
    torch.jit.script(encoder).save(str(folder / "scripted.pt"))
    if importlib.util.find_spec("onnx") and importlib.util.find_spec("onnxruntime"):
        onnx_model(encoder, folder / "model.onnx")  # tests of it skip where it is missing
    with torch.no_grad():
        codes = encoder(torch.from_numpy(images / np.float32(255))[:, None])[0].numpy()
    write_codes(folder, codes)
    return folder


def onnx_model(encoder, path):
    from onnx import helper

    weights = {name: tensor.numpy() for name, tensor in encoder.state_dict().items()}
    held = [
        helper.make_tensor(name, 1, value.shape, value.ravel().tolist()) for name, value in weights.items()
    ]
    nodes = [
        helper.make_node("Conv", ["x", "first.weight", "first.bias"], ["a"], strides=[2, 2], pads=[1] * 4),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("Flatten", ["b"], ["h"]),
        helper.make_node("Gemm", ["h", "mean.weight", "mean.bias"], ["mean"], transB=1),
        helper.make_node("Gemm", ["h", "logvar.weight", "logvar.bias"], ["logvar"], transB=1),
    ]
    graph = helper.make_graph(
        nodes,
        "encoder",
        [helper.make_tensor_value_info("x", 1, ["batch", 1, 16, 16])],
        [helper.make_tensor_value_info(name, 1, ["batch", 3]) for name in ("mean", "logvar")],
        held,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path.write_bytes(model.SerializeToString())


def write_codes(folder, codes):
    """The same codes in every format: in order, shuffled with row numbers, shuffled with factors."""
    order = np.random.default_rng(1).permutation(len(codes))
    mixed, factors = codes[order], FACTORS[order]
    np.save(folder / "order.npy", codes)
    np.save(folder / "columns.npy", np.asfortranarray(codes))
    np.savez(folder / "rows.npz", codes=mixed, rows=order)
    np.savez_compressed(folder / "factors.npz", z=mixed, factors=factors)
    np.savez(folder / "says.npz", codes=codes, dataset=str(folder / "grid.npz"))
    with h5py.File(folder / "codes.h5", "w") as file:
        file["codes"], file["rows"] = mixed, order
    names = [f"z{i}" for i in range(codes.shape[1])]
    frame = pd.DataFrame(mixed, columns=names)
    frame.assign(row=order).to_parquet(folder / "codes.parquet", index=False)
    frame.assign(**dict(zip(GRID.names, factors.T, strict=True))).to_csv(folder / "named.csv", index=False)
    frame.assign(row=order).to_csv(folder / "rows.csv", index=False)
    np.savetxt(folder / "bare.csv", codes, fmt="%.9g")
    scipy.io.savemat(folder / "codes.mat", {"codes": mixed, "rows": order}, do_compression=True)
    tensors = {"codes": torch.from_numpy(mixed), "rows": torch.from_numpy(order)}
    torch.save(tensors, folder / "codes.pt")
    safetensors.torch.save_file(tensors, folder / "codes.safetensors")
    frame.assign(row=order).to_feather(folder / "codes.arrow")


@pytest.fixture(scope="session")
def tiny_grid():
    """Writes a complete grid of 120 images of 32x32, a square in 4 sizes at 5 by 6 places; gives the path."""

    def write(path):
        factors = np.stack(np.unravel_index(np.arange(120), (4, 5, 6)), axis=1)
        images = np.zeros((120, 32, 32), np.uint8)
        for image, (size, x, y) in zip(images, factors, strict=True):
            image[4 * y : 4 * y + 3 + size, 5 * x : 5 * x + 3 + size] = 255
        np.savez(path, images=images, factors=factors)
        return str(path)

    return write
