"""A stranger's encoder in a process of its own: the same codes, and each of its ends is a sentence."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import warnings

import numpy as np
import pytest
import torch
from torch import nn

from disbench.benchmark.scoring import apart, apart_process, encoders, files, wire
from disbench.benchmark.scoring.sources import SourceOptions as Options
from disbench.benchmark.scoring.sources import open_source
from disbench.errors import UsageError


def scripted(module, path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.script(module).save(str(path))
    return path


class Loop(nn.Module):
    """Prints, and for five images never ends; for six it takes all memory."""

    def forward(self, x):
        print("\x1b]0;owned\x07 hello")
        z = x.flatten(1)[:, :3]
        if x.size(0) == 5:
            while bool((z == z).all()):
                z = z * 1.0
        if x.size(0) == 6:
            z = z + torch.zeros([1 << 28]).sum()
        return {"mean": z, "picture": x}


@pytest.fixture(scope="module")
def looping(tmp_path_factory):
    return scripted(Loop(), tmp_path_factory.mktemp("apart") / "loop.pt")


def left_over(process):
    """Whether the process is still there."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(process, 0)
        return True
    return False


@pytest.mark.parametrize("file", ["free.pt2", "scripted.pt", "model.onnx"])
def test_the_codes_are_those_of_this_process(home, file):
    if not (home / file).exists():
        pytest.skip("onnx or onnxruntime is not installed")
    images = torch.rand(7, 1, 16, 16, generator=torch.Generator().manual_seed(3))
    kind = files.recognise(home / file)
    far, near = apart.network(home / file, kind), encoders.FORMATS[kind][1](home / file)
    assert (far.shape, far.dtype, far.assumed) == (near.shape, near.dtype, near.assumed)
    with torch.no_grad():
        expected = dict(encoders.outputs(near.run(images)))
    found = far.run(images)
    assert list(found) == list(expected)
    for name, value in found.items():
        assert torch.equal(value, expected[name])
    process = far.run._process.pid
    del far
    assert not left_over(process)


def test_what_cannot_be_the_code_stays_there_and_prints_are_not_shown(looping, capfd):
    network = apart.network(looping, "torchscript")
    found = network.run(torch.rand(4, 1, 2, 2))
    assert found["mean"].shape == (4, 3)
    assert encoders.described(found["picture"], 4) == "(b, 1, 2, 2)"
    assert network.assumed == ("what it prints is not shown",)
    assert capfd.readouterr() == ("", "")


def test_too_much_memory_and_then_no_end_are_sentences(looping, monkeypatch):
    monkeypatch.setattr(apart, "SECONDS", 1)
    monkeypatch.setattr(apart, "SECONDS_EACH", 0)
    monkeypatch.setattr(apart, "MEMORY", 2**28)
    network = apart.network(looping, "torchscript")
    with pytest.raises(RuntimeError, match=r"it takes more memory than its process may \(\d+.* in all\)"):
        network.run(torch.rand(6, 1, 2, 2))
    # it goes on
    assert network.run(torch.rand(2, 1, 2, 2))["mean"].shape == (2, 3)
    process = network.run._process.pid
    for _ in range(2):
        with pytest.raises(apart.EndedError, match="gave no codes for 5 images within 1 seconds, the most"):
            network.run(torch.rand(5, 1, 2, 2))
    assert not left_over(process)


def test_a_crash_is_a_sentence_and_exit_code_2(disbench, home, monkeypatch):
    """A process that ends by a signal, whatever made it."""
    ask = apart.Process.ask

    def crash(self, *arguments):
        os.kill(self._process.pid, signal.SIGSEGV)
        return ask(self, *arguments)

    monkeypatch.setattr(apart.Process, "ask", crash)
    data = ("--dataset", home / "grid.npz", "--data-dir", home / "cache")
    code, out, err = disbench("score", home / "free.pt2", *data)
    assert (code, out) == (2, "")
    assert err.startswith(f"disbench: {home / 'free.pt2'} made its process crash (SIGSEGV)")
    assert err.count("\n") == 1


def test_a_refusal_comes_through_as_it_is(home, tmp_path):
    (tmp_path / "bad.pt2").write_bytes((home / "free.pt2").read_bytes()[:4000])
    with pytest.raises(UsageError, match=r"bad\.pt2 cannot be read as a zip archive"):
        apart.network(tmp_path / "bad.pt2", "pt2")


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (
            -signal.SIGKILL,
            "was ended from outside, as a system does that is short of memory (it may take 8.0 GiB)",
        ),
        (-signal.SIGALRM, "within 3 seconds; score its codes"),
        (-signal.SIGFPE, "made its process crash (SIGFPE)"),
        (1, "ended (ImportError: no torch)"),
    ],
)
def test_every_end_of_the_process_has_its_words(tmp_path, code, words):
    with open(tmp_path / "log", "wb+") as log:
        log.write(b"Traceback\nImportError: no torch\n\n")
        assert words in apart._how(tmp_path / "e.pt2", code, "e.pt2 gave no codes within 3 seconds", log)


HELD = """
import sys, torch
from pathlib import Path
from disbench.benchmark.scoring import apart
network = apart.network(Path(sys.argv[1]), "torchscript")
print(network.run._process.pid, flush=True)
network.run(torch.rand(5, 1, 2, 2))
"""


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGKILL])
def test_it_ends_with_the_program(looping, stop):
    """Ctrl-C reaches this program alone, which ends the process; after a kill it ends by its own alarm."""
    program = HELD if stop == signal.SIGINT else HELD.replace("network =", "apart.SECONDS = -8\nnetwork =")
    program = subprocess.Popen(
        [sys.executable, "-c", program, str(looping)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    process = int(program.stdout.readline())
    time.sleep(0.3)
    program.send_signal(stop)
    _, said = program.communicate(timeout=60)
    assert ("KeyboardInterrupt" in said) == (stop == signal.SIGINT)
    until = time.monotonic() + 30
    while left_over(process) and time.monotonic() < until:
        time.sleep(0.05)
    assert not left_over(process)


def test_it_gets_nothing_of_this_process(home, monkeypatch):
    monkeypatch.setenv("TOKEN_OF_THE_USER", "secret")
    with open(home / "grid.npz", "rb") as opened:
        os.set_inheritable(opened.fileno(), True)
        process = apart.network(home / "free.pt2", "pt2").run
        there = f"/proc/{process._process.pid}"
        if not os.path.isdir(there):
            pytest.skip("this system does not show the files of a process")
        with open(f"{there}/environ", "rb") as environment:
            assert b"TOKEN_OF_THE_USER" not in environment.read()
        held = {os.readlink(f"{there}/fd/{number}") for number in os.listdir(f"{there}/fd")}
        assert not any("grid.npz" in target or "free.pt2" in target for target in held)
        assert os.readlink(f"{there}/cwd") == "/"
        assert os.getsid(process._process.pid) == process._process.pid


def test_a_limit_that_the_system_does_not_have_is_said(home, monkeypatch):
    """As where RLIMIT_AS is taken and not kept."""
    start = apart.START.replace("main(int", "import resource as r; r.setrlimit = lambda *a: None; main(int")
    monkeypatch.setattr(apart, "START", start)
    monkeypatch.setattr(apart, "MEMORY", 2**20)
    options = Options(dataset=str(home / "grid.npz"), data_dir=home / "cache")
    opened = open_source(home / "free.pt2", options)
    assert "this system sets no limit on the memory of its process" in opened.assumed
    assert opened.source.codes(np.arange(4)).shape == (4, 3)


# --- Messages ---


@pytest.fixture
def pair():
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


@pytest.mark.parametrize("dtype", wire.DTYPES.values(), ids=str)
@pytest.mark.parametrize("shape", [(), (0, 3), (2, 3)])
def test_a_tensor_arrives_as_it_was_sent(pair, dtype, shape):
    tensor = torch.arange(6).reshape(2, 3)[: shape[0] if shape else 1, :3].reshape(-1)[: int(np.prod(shape))]
    tensor = tensor.reshape(shape).to(dtype)
    wire.send(pair[0], {"a": 1}, [tensor, tensor.t() if tensor.ndim == 2 else tensor])
    head, (found, turned) = wire.receive(pair[1], wire.Room())
    assert head == {"a": 1}
    assert (found.dtype, found.shape) == (dtype, tensor.shape)
    assert torch.equal(found, tensor)
    assert torch.equal(turned, tensor.t() if tensor.ndim == 2 else tensor)


def test_room_is_used_again_and_grows(pair):
    room, first = wire.Room(), torch.ones(3)
    for tensor in (first, 2 * first, torch.ones(9)):
        wire.send(pair[0], {}, [tensor])
        assert torch.equal(wire.receive(pair[1], room)[1][0], tensor)
    assert len(room.content) == 36


@pytest.mark.parametrize(
    "content",
    [
        b"\xff\xff\xff\xff",
        b"\0\0\0\2{}",
        b"\0\0\0\2[]",
        b"\0\0\0\1{",
        b'\0\0\0\x17{"head":1,"tensors":[]}',
        *(
            len(text).to_bytes(4, "big") + text
            for text in (
                b'{"head":{},"tensors":[{"dtype":"object","shape":[1]}]}',
                b'{"head":{},"tensors":[{"dtype":"float32","shape":[-1]}]}',
                b'{"head":{},"tensors":[{"dtype":"float32","shape":[99999999999]}]}',
                b'{"head":{},"tensors":[{"dtype":"float32","shape":[65536,65536]}]}',
                b'{"head":{},"tensors":[{"dtype":"float32","shape":"3"}]}',
                b"[" * 100_000,
            )
        ),
    ],
    ids=range(11),
)
def test_a_message_of_another_form_is_refused(pair, content):
    threading.Thread(target=pair[0].sendall, args=(content,)).start()
    with pytest.raises(wire.MessageError):
        wire.receive(pair[1])


def test_what_a_process_answers_is_not_trusted(home):
    process = apart.network(home / "free.pt2", "pt2").run
    for strange in ({"outputs": [{}]}, {"outputs": 3}, {}, {"outputs": [{"name": "a"}]}):
        process._channel, theirs = socket.socketpair()
        process._why = None
        wire.send(theirs, strange)
        with pytest.raises(apart.EndedError, match="made its process answer what it should not"):
            process(torch.rand(2, 1, 16, 16))


def test_limits_are_set_where_the_system_has_them():
    """In another process, as they cannot be taken back."""
    program = (
        "import resource\n"
        "from disbench.benchmark.scoring.apart_process import give_up\n"
        "print(give_up(2**26))\n"
        "print([resource.getrlimit(r)[0] for r in (resource.RLIMIT_CORE, resource.RLIMIT_FSIZE)])\n"
        "bytearray(2**27)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    limited, zeros = done.stdout.splitlines()
    assert zeros == "[0, 0]"
    assert (limited == "[]") == ("MemoryError" in done.stderr)
    assert apart_process.TOO_MUCH


def test_the_pictures_of_a_decoder_are_those_of_this_process(tmp_path):
    """Latents go in and pictures of four sizes come out; other outputs stay there."""

    class Decoder(nn.Module):
        def forward(self, z):
            return {"picture": torch.sigmoid(z[:, :, None, None] * torch.ones(1, 1, 4, 5)), "one": z[0]}

    decoder = Decoder()
    network = apart.network(scripted(decoder, tmp_path / "d.pt"), "torchscript", decodes=True)
    z = torch.randn(3, 2)
    found = network.run(z)
    torch.testing.assert_close(found["picture"], decoder(z)["picture"])
    assert isinstance(found["one"], encoders.Other)
    network.run.end()
