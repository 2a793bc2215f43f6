"""A stranger's encoder in a process of its own, as a function of image tensors.

What a file may do is checked when it is read; what its operators do is not proved. So it is read and run
where it can do no harm: in a new process that has no open file, no secret in its environment and no
terminal, that may take so much memory and so much time, and whose end, however it comes, is a sentence
here. Images go in and codes come out through a socket, see `wire`. Ctrl-C ends it, and so does the end of
this process.

It runs on the CPU, by one thread, as everything that is scored does. A GPU is not kept from it: it sees the
environment's `CUDA_VISIBLE_DEVICES`, but the drivers map more memory than `MEMORY` allows.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import weakref
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any, NoReturn

from torch import Tensor

import disbench
from disbench.benchmark.scoring import wire
from disbench.benchmark.scoring.encoders import Network, Other
from disbench.benchmark.scoring.files import Kind
from disbench.errors import UsageError
from disbench.files import check_temporary
from disbench.texts import short
from disbench.units import memory

MEMORY = 8 * 2**30  # bytes beyond what torch takes, and four times the size of the file
OPEN_SECONDS = 120  # to read a file; the largest takes 20
SECONDS = 60  # to encode images, and for each of them
SECONDS_EACH = 2
GRACE = 10  # seconds until the process is ended from outside, if it did not end itself
# All that the process gets of the environment: how libraries are found, and the language of errors.
KEPT = ("PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "LANG", "LC_ALL", "TMPDIR", "CUDA_VISIBLE_DEVICES")
# glibc: what a batch frees is kept for the next. Else the system gets it back and hands it out anew, which
# costs a small encoder a third of its time.
MEMORY_IS_KEPT = {"MALLOC_MMAP_THRESHOLD_": str(2**25), "MALLOC_TRIM_THRESHOLD_": str(2**30)}
START = """
import json, sys
first, *others = json.loads(sys.argv[1])
sys.path.insert(0, first)
sys.path.extend(path for path in others if path not in sys.path)
from disbench.benchmark.scoring.apart_process import main
main(int(sys.argv[2]))
"""


class EndedError(UsageError):
    """The process of an encoder has ended, and with it all that could be asked of it."""


def network(path: Path, kind: Kind, *, decodes: bool = False) -> Network:
    """The encoder or decoder in a file, in a process of its own.

    Args:
        path: of the file.
        kind: of the file.
        decodes: whether it gives pictures of latents, and not codes of images.

    Raises:
        UsageError: the file is refused, or its process ends.
    """
    process = Process(path, decodes)
    wanted = {"kind": kind, "path": str(path), "folder": str(Path.cwd())}
    limits = {"memory": MEMORY + 4 * path.stat().st_size, "seconds": OPEN_SECONDS}
    found, _ = process.ask({**wanted, **limits}, None, "was not read")
    if "refused" in found:
        process.end()
        raise UsageError(str(found["refused"]))
    with process.understood():
        shape = None if found["shape"] is None else tuple(n if n is None else int(n) for n in found["shape"])
        dtype = None if found["dtype"] is None else wire.DTYPES[found["dtype"]]
        notes = [str(note) for note in found["assumed"]]
        notes += [
            f"this system sets no limit on the {short(what)} of its process" for what in found["missing"]
        ]
        return Network(path, process, shape, dtype, tuple(notes))


class Process:
    """The process of one file, as a function from images to outputs by name.

    Args:
        path: of the file.
        decodes: whether it gives pictures of latents.

    Attributes:
        end: ends the process; called at the end of this object or of the program, whatever comes first.
    """

    end: weakref.finalize[..., Process]

    def __init__(self, path: Path, decodes: bool = False) -> None:
        self.path, self.decodes = path, decodes
        self._why: EndedError | None = None
        check_temporary()
        self._channel, theirs = socket.socketpair()
        # what it says before its end that is no message
        self._log: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115
        own = str(Path(disbench.__file__).parents[1])
        others = [path for path in sys.path if Path(path).is_absolute()]
        environment = {name: os.environ[name] for name in KEPT if name in os.environ}
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-c", START, json.dumps([own, *others]), str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=self._log,
                pass_fds=[theirs.fileno()],
                env={**environment, **MEMORY_IS_KEPT, "OMP_NUM_THREADS": "1"},
                start_new_session=True,
            )
        self.end = weakref.finalize(self, _end, self._process, self._channel, self._log)

    def __call__(self, images: Tensor) -> dict[str, object]:
        """The outputs by name: tables of codes, or pictures, and of other outputs what they are."""
        if self._why is not None:
            raise self._why
        seconds = SECONDS + SECONDS_EACH * len(images)
        what = "pictures for {} latents" if self.decodes else "codes for {} images"
        missing = f"gave no {what.format(len(images))}"
        answer, tables = self.ask({"seconds": seconds, "pictures": self.decodes}, images, missing)
        if "failed" in answer:
            raise RuntimeError(short(answer["failed"]))
        with self.understood():
            return dict(_output(form, tables) for form in answer["outputs"])

    def ask(
        self, head: Mapping[str, Any], images: Tensor | None, what: str
    ) -> tuple[Mapping[str, Any], list[Tensor]]:
        """The answer to a message.

        Args:
            head: what is asked, and the seconds within which the answer must come.
            images: sent along.
            what: what did not happen if there is no answer, in words.

        Raises:
            EndedError: the process ended, or was ended because it took too long.
        """
        self._channel.settimeout(head["seconds"] + GRACE)
        late = f"{self.path} {what} within {head['seconds']} seconds, the most that it may take"
        try:
            wire.send(self._channel, head, [] if images is None else [images])
            return wire.receive(self._channel)
        except TimeoutError:
            self._ended(f"{late}; score its codes instead.")
        except (EOFError, ConnectionError):
            # the process is gone, or about to be
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(GRACE)
            self._ended(_how(self.path, self._process.returncode, late, self._log))
        except wire.MessageError as error:
            self._strange(error)
        except BaseException:
            # Ctrl-C
            self.end()
            raise

    @contextlib.contextmanager
    def understood(self) -> Iterator[None]:
        """Refuses an answer of another form than the process writes."""
        try:
            yield
        except (KeyError, ValueError, TypeError, IndexError, RuntimeError, AttributeError) as error:
            self._strange(error)

    def _strange(self, error: Exception) -> NoReturn:
        self._ended(
            f"{self.path} made its process answer what it should not ({short(error, 60)}); do not trust it."
        )

    def _ended(self, sentence: str) -> NoReturn:
        self.end()
        self._why = EndedError(sentence)
        raise self._why from None


def _output(form: Mapping[str, Any], tables: list[Tensor]) -> tuple[str, object]:
    """Name and value of an output; the next of the tables, where it is one."""
    return str(form["name"]), Other(short(form["is"], 60)) if "is" in form else tables.pop(0)


def _how(path: Path, code: int | None, late: str, log: IO[bytes]) -> str:
    """The sentence for a process that ended by itself."""
    if code is None or code >= 0:
        log.seek(0)
        lines = log.read().decode(errors="replace").split("\n")
        said = short(next((line for line in reversed(lines) if line.strip()), "it said nothing"))
        return f"the process that ran {path} ended ({said}); try again, or score its codes instead."
    name = signal.Signals(-code).name
    if name == "SIGALRM":
        return f"{late}; score its codes instead."
    if name == "SIGKILL":
        return (
            f"the process that ran {path} was ended from outside, as a system does that is short of memory "
            f"(it may take {memory(MEMORY)}); free some, or score its codes instead."
        )
    return (
        f"{path} made its process crash ({name}), which an honest encoder does not; do not trust it, or "
        "score its codes instead."
    )


def _end(process: subprocess.Popen[bytes], channel: socket.socket, log: IO[bytes]) -> None:
    """Ends the process, if it has not ended, and lets go of what connects to it."""
    process.kill()
    process.wait()
    channel.close()
    log.close()
