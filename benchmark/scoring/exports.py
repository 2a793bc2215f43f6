"""What to do with a file that is not read: the lines of Python that write it as one that is.

Pickles can run code, and formats of other libraries need these libraries; whoever made such a file has what
they need, and two lines export it.
"""

from __future__ import annotations

import io
import pickletools
import zipfile
from collections.abc import Collection, Iterator
from pathlib import Path

from disbench.errors import UsageError
from disbench.texts import short

# The word with its length before it, as pickles write a key; modules have `_state_dict_hooks`.
STATE_DICT = (b"\x0a\x00\x00\x00state_dict", b"\x8c\x0astate_dict")
SEEN = 2**22  # bytes of a pickle that are searched for the names of classes
# All that torch's reader of tensors and plain values takes lies in these, and no module of a network does.
# Pickles of protocol 2 have Python 2's name of the built-ins.
OUTERMOST = ("torch", "collections", "builtins", "__builtin__", "_codecs")
MODULES = "torch.nn.modules"
ENCODE = "on the images of disbench.datasets.load(NAME).images(rows)"


def _name(path: Path) -> str:
    return ascii(path.name)


def pickled(path: Path) -> UsageError:
    """The sentence for a pickle: of weights, of a module, of a frame or of arrays, as its class names say.

    Nothing is unpickled: the bytes are searched.
    """
    seen, name = _pickle_in(path), _name(path)
    if b"pandas" in seen:
        lines = f'import pandas; pandas.read_pickle({name}).to_parquet("codes.parquet", index=False)'
    elif b"joblib" in seen:
        lines = f'import joblib, numpy; numpy.savez("codes.npz", codes=joblib.load({name}))'
    elif b"torch" in seen and any(key in seen for key in STATE_DICT):
        lines = (
            f'import torch; torch.save(torch.load({name}, weights_only=False)["state_dict"], "weights.pt")'
        )
    elif b"torch" in seen and b"_parameters" in seen:
        lines = f'import torch; torch.save(torch.load({name}, weights_only=False).state_dict(), "weights.pt")'
    elif b"numpy" in seen and zipfile.is_zipfile(path):
        lines = f'import numpy, torch; numpy.savez("codes.npz", **torch.load({name}, weights_only=False))'
    elif b"numpy" in seen:
        lines = f'import numpy, pickle; numpy.savez("codes.npz", codes=pickle.load(open({name}, "rb")))'
    else:
        lines = 'torch.save(model.state_dict(), "weights.pt") or numpy.savez("codes.npz", codes=codes)'
    return UsageError(
        f"{path} holds pickled objects, which could run code, or is damaged, and was not loaded. If you "
        "trust it, export it: "
        f"{lines}"
    )


def holds_objects(path: Path) -> bool:
    """Whether a pickle names a class that torch's reader of tensors is certain to refuse.

    Nothing is unpickled. False says nothing: that reader has the last word.
    """
    for module in _modules_in(_pickle_in(path)):
        if module.partition(".")[0] not in OUTERMOST or f"{module}.".startswith(f"{MODULES}."):
            return True
    return False


def _modules_in(content: bytes) -> Iterator[str]:
    """The modules of the classes and functions that pickles, one behind another, name outright."""
    stream = io.BytesIO(content)
    try:
        while stream.tell() < len(content):
            said: list[str] = []
            for operation, argument, _ in pickletools.genops(stream):
                if operation.name == "GLOBAL":
                    yield str(argument).partition(" ")[0]
                elif operation.name == "STACK_GLOBAL" and len(said) > 1:
                    yield said[-2]
                if operation.name != "MEMOIZE":
                    # a string from the memo is not known here, and neither is what it stands for
                    said = [*said[-1:], argument] if isinstance(argument, str) else []
    except ValueError:
        # behind the last pickle come the numbers of tensors, and a pickle may be cut short
        return


def _pickle_in(path: Path) -> bytes:
    try:
        with zipfile.ZipFile(path) as archive:
            found = [name for name in archive.namelist() if name.endswith("data.pkl")]
            if found:
                with archive.open(found[0]) as member:
                    return member.read(SEEN)
    except Exception:
        # no archive, or a damaged one: then its own bytes are searched
        pass
    with open(path, "rb") as file:
        return file.read(SEEN)


def keras(path: Path) -> UsageError:
    """The sentence for a model of Keras, which is built by Keras alone."""
    return UsageError(
        f"{path} is a Keras model, which is not read. Export its codes: import keras, numpy; "
        f'numpy.save("codes.npy", keras.saving.load_model({_name(path)}).predict(images)) {ENCODE}.'
    )


def folder(path: Path) -> UsageError:
    """The sentence for a folder, which names the file in it that can be read."""
    for name in ("model.safetensors", "pytorch_model.bin", "checkpoint.pt"):
        if (path / name).is_file():
            return UsageError(f"{path} is a directory; give the file {name} in it.")
    if (path / "saved_model.pb").is_file():
        return UsageError(
            f"{path} is a directory with a TensorFlow model, which is not read. Export its codes: import "
            "numpy, "
            f'tensorflow; numpy.save("codes.npy", tensorflow.saved_model.load({_name(path)})(images)) '
            f"{ENCODE}."
        )
    return UsageError(f"{path} is a directory; give a file: a checkpoint, codes or an encoder.")


def of_archive(path: Path, names: Collection[str]) -> UsageError | None:
    """The sentence for a zip archive of a kind that is known and not read, by its members; else None."""
    if "model.weights.h5" in names:
        return keras(path)
    if "xl/workbook.xml" in names:
        return UsageError(
            f"{path} is an Excel table, which is not read. Export it: import pandas; "
            f'pandas.read_excel({_name(path)}).to_csv("codes.csv", index=False)'
        )
    return None


def refusal(path: Path, head: bytes) -> UsageError | None:
    """The sentence for a file of a kind that is known and not read, by its first bytes; else None."""
    for first, kind, todo in KNOWN:
        if head.startswith(first):
            return UsageError(f"{path} is {kind}, which is not read; {todo.format(name=_name(path))}.")
    if head[4:8] == b"TFL3":
        return UsageError(
            f"{path} is a TensorFlow Lite model, which is not read; save its codes {ENCODE} as npz."
        )
    start = head.lstrip()
    if start.startswith((b"{", b"[")):
        return UsageError(
            f"{path} is JSON, which is not read. Export it: import pandas; pandas.read_json({_name(path)}, "
            f'lines={start.startswith(b"{")}).to_csv("codes.csv", index=False)'
        )
    if start[:14].lower().startswith((b"<!doctype", b"<html", b"<?xml")):
        return UsageError(
            f"{path} is a web page or XML ({short(start[:40].decode(errors='replace'))}), not the file "
            "itself; "
            "download it again."
        )
    if all(byte >= 0x20 or byte in b"\t\r\n\f" for byte in head) and any(byte > 0x7F for byte in head):
        try:
            head[:-3].decode()
        except UnicodeDecodeError:
            return UsageError(f"{path} is text in an encoding other than UTF-8; write it in UTF-8.")
    return None


UNPACK = "unpack it first"
KNOWN: tuple[tuple[bytes, str, str], ...] = (
    (b"\x1f\x8b", "compressed (gzip)", UNPACK),
    (b"BZh", "compressed (bzip2)", UNPACK),
    (b"\xfd7zXZ", "compressed (xz)", UNPACK),
    (b"\x28\xb5\x2f\xfd", "compressed (zstandard)", UNPACK),
    (b"7z\xbc\xaf", "a 7z archive", UNPACK),
    (b"\xff\xfe", "text in UTF-16", "write it in UTF-8"),
    (b"\xfe\xff", "text in UTF-16", "write it in UTF-8"),
    (b"FEA1", "Feather of the first version", "write it again with pandas.DataFrame.to_feather"),
    (b"version https://git-lfs", "a pointer of Git LFS and not the file itself", "run git lfs pull"),
    (b"RDX", "R's own format", "write a CSV in R with write.csv(codes, row.names=FALSE)"),
    (b"MATLAB 7", "MATLAB's format without its HDF5 part", "save it again"),
)
