"""Runs an ONNX model with onnxruntime, after a check by the library onnx; both are an extra.

A model may name other files as its weights, bring functions and operators of its own, and hide both in the
graphs of its branches. So it is parsed by `onnx`, every message in it is looked at, whatever is not
understood is thrown away, and onnxruntime gets what is left, written anew: it never sees the file.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from disbench.benchmark.scoring.operators import refusal
from disbench.errors import UsageError
from disbench.files import reading
from disbench.texts import short

# Operators of ai.onnx that exports of encoders use, on tensors of numbers. None knows files or texts.
NAMES = """
    Abs Acos Acosh Add And ArgMax ArgMin Asin Asinh Atan Atanh AveragePool BatchNormalization BitShift
    BitwiseAnd BitwiseNot BitwiseOr BitwiseXor Cast CastLike Ceil Celu CenterCropPad Clip Col2Im Compress
    Concat ConcatFromSequence Constant ConstantOfShape Conv ConvTranspose Cos Cosh CumSum DepthToSpace Div
    Dropout Einsum Elu Equal Erf Exp Expand EyeLike Flatten Floor GRU Gather GatherElements GatherND Gelu
    Gemm GlobalAveragePool GlobalLpPool GlobalMaxPool Greater GreaterOrEqual GridSample GroupNormalization
    HardSigmoid HardSwish Hardmax Identity If InstanceNormalization IsInf IsNaN LRN LSTM LayerNormalization
    LeakyRelu Less LessOrEqual Log LogSoftmax Loop LpNormalization LpPool MatMul Max MaxPool Mean
    MeanVarianceNormalization Min Mish Mod Mul Neg NonZero Not OneHot Or PRelu Pad Pow RMSNormalization RNN
    RandomNormal RandomNormalLike RandomUniform RandomUniformLike Range Reciprocal ReduceL1 ReduceL2
    ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum ReduceSumSquare Relu
    Reshape Resize Round Scan ScatterElements ScatterND Selu SequenceAt SequenceConstruct SequenceLength
    Shape Shrink Sigmoid Sign Sin Sinh Size Slice Softmax Softplus Softsign SpaceToDepth Split
    SplitToSequence Sqrt Squeeze Sub Sum Swish Tan Tanh ThresholdedRelu Tile TopK Transpose Trilu Unsqueeze
    Upsample Where Xor
"""
ALLOWED = frozenset(NAMES.split())
DOMAINS = ("", "ai.onnx")
OLDEST = 7  # opset; exporters of 2018 wrote it
TYPES: dict[str, tuple[type[np.generic], torch.dtype]] = {
    "tensor(float)": (np.float32, torch.float32),
    "tensor(double)": (np.float64, torch.float64),
    "tensor(float16)": (np.float16, torch.float16),
    "tensor(uint8)": (np.uint8, torch.uint8),
}


class Model:
    """An ONNX model as a function of one image tensor.

    Args:
        path: of the file.

    Attributes:
        name: of the input.
        type: of the input, for numpy.
        dtype: of the input, for torch.
        shape: the input's sizes, None where free.
        returned: names of the outputs.

    Raises:
        UsageError: onnx or onnxruntime is not installed, or the file is damaged, has weights in other files
            or operators that are not run, or takes anything but one tensor of images.
    """

    name: str
    type: type[np.generic]
    dtype: torch.dtype
    shape: tuple[int | None, ...]
    returned: list[str]

    def __init__(self, path: Path) -> None:
        try:
            import onnx
            import onnxruntime
        except ImportError:
            raise UsageError(
                f"{path} is an ONNX model, which needs onnx and onnxruntime: pip install 'disbench[onnx]'."
            ) from None
        with reading(path, "ONNX"):
            content = _checked(path, onnx.load_model_from_string(path.read_bytes()))
            options = onnxruntime.SessionOptions()
            # an error is raised; it would also be printed
            options.log_severity_level = 4
            # the last digits depend on the number of threads
            options.intra_op_num_threads = options.inter_op_num_threads = 1
            self.session = onnxruntime.InferenceSession(
                content, options, providers=["CPUExecutionProvider"], enable_fallback=0
            )
            inputs = self.session.get_inputs()
        if len(inputs) != 1:
            raise UsageError(
                f"{path} takes {len(inputs)} inputs; export what takes one tensor, of images or of latents."
            )
        if inputs[0].type not in TYPES:
            raise UsageError(f"{path} takes {short(inputs[0].type)}; export a network that takes float32.")
        self.name = inputs[0].name
        self.type, self.dtype = TYPES[inputs[0].type]
        self.shape = tuple(size if isinstance(size, int) else None for size in inputs[0].shape)
        self.returned = [output.name for output in self.session.get_outputs()]

    def __call__(self, images: Tensor) -> dict[str, Tensor]:
        outputs = self.session.run(None, {self.name: images.numpy().astype(self.type, copy=False)})
        return {
            name: torch.from_numpy(np.asarray(output))
            for name, output in zip(self.returned, outputs, strict=True)
        }


def _checked(path: Path, model: Any) -> bytes:
    """The model as onnxruntime gets it.

    Raises:
        UsageError: weights in other files, functions, or operators that are not run.
    """
    model.DiscardUnknownFields()
    # onnxruntime may take its own settings from there
    del model.metadata_props[:]
    _check_opsets(path, {entry.domain: entry.version for entry in model.opset_import})
    for name, message in _messages("", model):
        match type(message).__name__:
            case "FunctionProto":
                raise UsageError(f"{path} brings functions of its own; export it with its functions inlined.")
            case "TensorProto" if message.data_location or message.external_data:
                raise UsageError(
                    f"{path} keeps weights in other files, which are not read; export it with "
                    "external_data=False."
                )
            case "NodeProto" if message.domain not in DOMAINS or message.op_type not in ALLOWED:
                operator = f"{message.domain}::{message.op_type}" if message.domain else message.op_type
                raise refusal(path, operator)
            case "SparseTensorProto" | "TrainingInfoProto":
                raise UsageError(f"{path} holds {short(name, 40)}; export an encoder of dense weights alone.")
    whole: bytes = model.SerializeToString()
    return whole


def _check_opsets(path: Path, opsets: Mapping[str, int]) -> None:
    """Refuses operators of other libraries, and versions that this onnx does not know."""
    import onnx

    unknown = sorted(set(opsets) - set(DOMAINS))
    if unknown or not opsets:
        raise UsageError(
            f"{path} uses the operators of {short(', '.join(unknown) or 'nobody', 60)}; export an encoder of "
            "ONNX's own operators, or score its codes."
        )
    newest = onnx.defs.onnx_opset_version()
    for version in opsets.values():
        if not OLDEST <= version <= newest:
            raise UsageError(
                f"{path} is of opset {version}, and {OLDEST} to {newest} are read; export it for one of them."
            )


def _messages(name: str, message: Any) -> Iterator[tuple[str, Any]]:
    """A protobuf message and all within it, each with the name of its field."""
    # the library onnx brings it along
    from google.protobuf.message import Message

    yield name, message
    for field, value in message.ListFields():
        if field.message_type is not None:
            for each in (value,) if isinstance(value, Message) else value:
                yield from _messages(field.name, each)
