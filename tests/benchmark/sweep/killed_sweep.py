"""A program for test_kills.py: one sweep left alone, killed again and again, and run twice at once.

    python killed_sweep.py FOLDER KILLS SEED

leaves the runs "whole", "killed" and "pair" in the folder, which holds grid.npz already. Each start of the
killed one is a fork with two loky workers, in a process group of its own. After a random number of ticks (a
training step, a file written, a file renamed) of any of its processes and a random moment more, or at the
first tick of a kind, the whole group gets SIGKILL. Prints what the process was doing at its last tick, one
line per kill. The two processes of the pair leave in pair.log when they began and ended to train which cell.
"""

import os
import signal
import sys
import threading
import traceback
import warnings
from pathlib import Path

import numpy as np
import torch._dynamo  # noqa: F401 - the first optimiser would import it, in every fork anew
from joblib.externals.loky.backend import resource_tracker
from joblib.externals.loky.backend.context import set_start_method

from disbench.benchmark import datasets, protocols
from disbench.benchmark.protocols import MetricChoice
from disbench.benchmark.runs import store
from disbench.benchmark.sweep import plan, workers
from disbench.benchmark.sweep.cell import Group
from disbench.benchmark.training.strategies import Single

TINY = {"steps": "100", "batch": "4"}
# at first, while there are steps to come after a saved state
FIRST = ("write state.pt", "rename state.pt")
# in an order in which a cell that gets past one of them by itself leaves others for the next
AIMS = ("write checkpoint", "rename checkpoint", "write codes", "rename codes", "rename scores")
AIMS += ("write scores", "rename traversal", "write traversal")


def planned(folder):
    """Two methods, two seeds, quickly scored."""
    metric = MetricChoice(name="factor_vae", settings={"votes": 40, "eval_votes": 20}).resolved()
    setting = protocols.get("smoke").model_copy(update={"metrics": (metric,)})
    data = datasets.load(str(folder / "grid.npz"), data_dir=folder / "data")
    chosen = plan.entries(setting, ["betavae", "infogan"], {"betavae": TINY, "infogan": TINY})
    return setting, plan.plan(setting, chosen, [0, 1], [data])


def run(folder, name, jobs):
    setting, cells = planned(folder)
    options = plan.Options(data_dir=folder / "data", save_every=0.05)
    out = store.open_run(folder / name)
    return [outcome for _, outcome in workers.sweep(out, cells, setting, options, jobs)]


class Clock:
    """Counts what the sweep's processes do, each for itself, and kills them all.

    Args:
        ticks: after so many of one process its whole group is killed.
        aim: count only what begins so, such as "write checkpoint".
        delay: seconds from the last tick to the kill.
        pipe: is told what the last tick was.
    """

    def __init__(self, ticks, aim, delay, pipe):
        self.left, self.aim, self.delay, self.pipe = ticks, aim, delay, pipe

    def tick(self, doing):
        self.left -= doing.startswith(self.aim)
        if self.left == 0:
            self.left = -1
            os.write(self.pipe, f"{doing}\n".encode())
            if self.delay:
                threading.Timer(self.delay, os.killpg, (0, signal.SIGKILL)).start()
            else:
                os.killpg(0, signal.SIGKILL)

    def wind(self):
        """From here on a step, a write and a rename are a tick each."""
        advance, fsync, replace = Single.advance, os.fsync, os.replace

        def step(trainer):
            found = advance(trainer)
            self.tick("step")
            return found

        def write(file):
            fsync(file)
            self.tick(f"write {Path(os.readlink(f'/proc/self/fd/{file}')).name.lstrip('.')}")

        def rename(source, target):
            replace(source, target)
            self.tick(f"rename {Path(target).name}")

        Single.advance, os.fsync, os.replace = step, write, rename


def start(folder, ticks, aim="", delay=0.0):
    """A process group at work on the sweep; its id and the pipe that tells its last tick."""
    told, tell = os.pipe()
    group = os.fork()
    if group:
        os.close(tell)
        return group, told
    os.setsid()
    signal.alarm(300)  # whatever hangs ends
    warnings.simplefilter("ignore")  # loky advises against forks; these need not import torch again
    set_start_method("fork")
    Clock(ticks, aim, delay, tell).wind()
    try:
        outcomes = run(folder, "killed", 2)
        os._exit(0 if set(outcomes) == {"done"} else 1)
    except BaseException:
        traceback.print_exc()
        os._exit(2)


def kill_and_restart(folder, kills, rng):
    # then anywhere, then at what comes late
    for aim in [*FIRST, *[""] * (kills - len(FIRST) - len(AIMS)), *AIMS]:
        ticks, delay = (1, 0.0) if aim else (int(rng.integers(1, 31)), rng.uniform(0, 0.02))
        group, told = start(folder, ticks, aim, delay)
        if os.waitpid(group, 0)[1] != signal.SIGKILL:
            sys.exit("the sweep ended before its kill")
        print(os.read(told, 200).decode().splitlines()[0], flush=True)  # the other worker may have told too
        os.close(told)
    group, _ = start(folder, -1)
    if os.waitpid(group, 0)[1]:
        sys.exit("the sweep did not end well after the last kill")


def run_pair(folder):
    log = os.open(folder / "pair.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    train = Group.train

    def logged(group, data, device):
        os.write(log, f"begin {os.getpid()} {group.cells[0].folder}\n".encode())
        train(group, data, device)
        os.write(log, f"end {os.getpid()} {group.cells[0].folder}\n".encode())

    started = []
    for _ in range(2):
        started.append(os.fork())
        if not started[-1]:
            Group.train = logged
            outcomes = set(run(folder, "pair", 1))
            os._exit(0 if outcomes <= {"done", "busy"} else 1)
    if {os.waitpid(process, 0)[1] for process in started} != {0}:
        sys.exit("one of two sweeps at once did not end well")


def main():
    folder, kills, rng = Path(sys.argv[1]), int(sys.argv[2]), np.random.default_rng(int(sys.argv[3]))
    resource_tracker.ensure_running()  # one that no kill reaches: it tidies up in /dev/shm after them
    kill_and_restart(folder, kills, rng)
    run_pair(folder)
    if set(run(folder, "whole", 1)) != {"done"}:
        sys.exit("the sweep did not end well when left alone")


if __name__ == "__main__":
    main()
