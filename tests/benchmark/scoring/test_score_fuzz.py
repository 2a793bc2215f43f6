"""Damaged, spliced and forged files of every kind: each is scored or refused in a sentence, and nothing else.

By hypothesis a few inputs of each kind. As many as wanted, with a limit on memory and on the time of each, by
`python tests/benchmark/scoring/test_score_fuzz.py HOME KIND COUNT FIRST`, which the slow test starts.
HOME is the folder that the fixture of that name makes.
"""

import importlib.util
import io
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from disbench.benchmark.scoring.sources import SourceOptions as Options
from disbench.benchmark.scoring.sources import open_source
from disbench.errors import UsageError

FILES = {
    "npy": "order.npy",
    "npz": "rows.npz",
    "hdf5": "codes.h5",
    "csv": "named.csv",
    "parquet": "codes.parquet",
    "torchscript": "scripted.pt",
    "pt2": "free.pt2",
    "state dict": "state.pt",
    "tensors": "codes.pt",
    "safetensors": "codes.safetensors",
    "mat": "codes.mat",
    "arrow": "codes.arrow",
}
if importlib.util.find_spec("onnx") and importlib.util.find_spec("onnxruntime"):
    FILES["onnx"] = "model.onnx"
MAGIC = (
    b"PK\x03\x04",
    b"\x93NUMPY\x01\x00",
    b"\x89HDF\r\n\x1a\n",
    b"PAR1",
    b"ARROW1\0\0",
    b"MATLAB 5.0 MAT-file",
    b"\x10\0\0\0\0\0\0\0{",
    b"\x80\x02",
    b"\x08\x08",
    b"a,b\n",
)
QUICK = 60  # inputs of each kind in the usual test run
SLOW = 2_000  # and in the slow one
MEMORY = 3 * 2**30  # bytes above what the imports take
SECONDS = 60  # for one input


def damaged(content, other, dice):
    """Bytes with bits flipped, a part cut out, doubled or taken from another file, or the end missing."""
    made = bytearray(content)
    for _ in range(dice.choice([1, 1, 2, 8])):
        at, to = sorted(dice.randrange(len(made) + 1) for _ in range(2))
        to = min(to, at + dice.choice([1, 8, 64, 4096]))
        way = dice.randrange(6)
        if way == 0 and at < len(made):
            made[at] ^= 1 << dice.randrange(8)
        elif way == 1:
            made[at:to] = dice.randbytes(to - at)
        elif way == 2:
            del made[at:to]
        elif way == 3:
            made[at:at] = made[at:to]
        elif way == 4 and other:
            start = dice.randrange(len(other))
            made[at:to] = other[start : start + to - at]
        elif way == 5 and dice.random() < 0.2:
            del made[at:]
    return bytes(made)


def forged(content, other, dice):
    """A damaged file; of an archive as often one whose members are damaged, with the right checksums."""
    if dice.random() < 0.05:
        return dice.choice(MAGIC) + dice.randbytes(dice.choice([0, 10, 1000]))
    if not content.startswith(b"PK") or dice.random() < 0.3:
        return damaged(content, other, dice)
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    names = [name for name in members if not name.endswith("debug_pkl")]
    for _ in range(dice.choice([1, 1, 3])):
        name, source = dice.choice(names), dice.choice(names)
        if dice.random() < 0.1:
            members[name] = members[source]
        else:
            members[name] = damaged(members[name], members[source] if dice.random() < 0.5 else other, dice)
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w") as archive:
        for name, member in members.items():
            archive.writestr(name, member)
    return whole.getvalue()


def scored(path, home, kind):
    """Whether it was scored rather than refused; any other end is an error."""
    factory = "stranger:make" if kind == "state dict" else ""
    options = Options(dataset=str(home / "grid.npz"), factory=factory, data_dir=home / "cache")
    try:
        opened = open_source(path, options)
        rows = opened.source.rows
        opened.source.codes(np.arange(5) if rows is None else rows[:5])
    except UsageError as error:
        sentence = str(error)
    else:
        return True
    assert sentence.isprintable(), sentence
    return False


@pytest.mark.parametrize("kind", FILES)
@settings(
    max_examples=QUICK,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(seed=st.integers(0, 2**32))
def test_a_forged_file_is_scored_or_refused(home, tmp_path, monkeypatch, kind, seed):
    monkeypatch.syspath_prepend(str(home))
    dice = random.Random(seed)
    other = (home / FILES[dice.choice(list(FILES))]).read_bytes()
    path = tmp_path / "forged"
    path.write_bytes(forged((home / FILES[kind]).read_bytes(), other, dice))
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # the program would print it
        scored(path, home, kind)


@pytest.mark.parametrize("kind", FILES)
def test_the_whole_file_is_scored(home, tmp_path, monkeypatch, kind):
    """What the forgeries start from is good."""
    monkeypatch.syspath_prepend(str(home))
    assert scored(Path(shutil.copy(home / FILES[kind], tmp_path / "whole")), home, kind)


@pytest.mark.slow
@pytest.mark.parametrize("kind", FILES)
def test_many_forged_files(home, kind):
    """No crash of a library, no hang, no more memory than stated."""
    command = [sys.executable, __file__, home, kind, str(SLOW), "0"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, (done.stdout, done.stderr[-3000:])
    assert done.stdout.startswith(f"{kind}: {SLOW} inputs")
    assert not done.stderr


def main(home, kind, count, first):
    import torch

    from disbench.benchmark.scoring import apart, encoders

    torch.set_num_threads(1)
    # a process for each would take a second, and hide which input crashed it
    apart.network = lambda path, kind: encoders.FORMATS[kind][1](path)
    sys.path.insert(0, str(home))
    whole = {name: (home / file).read_bytes() for name, file in FILES.items()}
    good, seed = 0, first
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "forged"
        for name in FILES:  # imports everything before memory is limited
            path.write_bytes(whole[name])
            assert scored(path, home, name), name
        taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (taken + MEMORY, taken + MEMORY))
        for seed in range(first, first + count):
            dice = random.Random(seed)
            path.write_bytes(forged(whole[kind], whole[dice.choice(list(FILES))], dice))
            signal.alarm(SECONDS)
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("error")
                    good += scored(path, home, kind)
            except BaseException:
                print(f"{kind}: input {seed}", file=sys.stderr)
                raise
            signal.alarm(0)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(f"{kind}: {count} inputs, {good} scored, {count - good} refused, at most {peak} MiB")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
