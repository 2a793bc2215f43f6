"""What a sweep costs for each seed beside its steps, and what many run folders cost in one leaderboard.

    python tests/scale.py [--cells 2000] [--runs 200] [--out FOLDER]

trains so many seeds of a method of one weight, one step each, with a metric of no work, by the command line;
and a tenth of them, so that the difference is what a further seed costs. Then it makes so many run folders of
five seeds each and shows them in one leaderboard. Prints CPU seconds, which other work on the machine changes
less than the time, and the peak of memory. Not collected by pytest.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

FEW = 5  # seeds of each of many runs
PLUGIN = """
from typing import ClassVar

import torch

from disbench.metrics import Score, metric
from disbench.models import Method, Update
from disbench.models.method import Config
from disbench.models.optimizer import adam


class Trivial(Method):
    CONFIGS: ClassVar = {name: Config(steps=1, batch=2) for name in ("paper", "mini")}

    def __init__(self, config, data):
        super().__init__(config, data)
        self.net = torch.nn.Linear(1, 1)

    def noise(self, batch, generator):
        return {}

    def updates(self):
        return (Update("loss", ("net",), adam(1e-3)),)

    def loss(self, images, noise, step):
        return {"error": self.net(images.mean().view(1, 1)).square().mean()}

    def represent(self, images):
        return images.flatten(1)[:, :2]

    def generate(self, latents):
        return latents.new_zeros(len(latents), *self.data.shape)


@metric(paper="none", default="own", presets={"own": {}}, chance="0")
def nothing(codes, factors, *, preset="own"):
    return Score(0.0)


METHOD = Trivial
"""
SHOW = """
import resource, sys
from disbench.benchmark.cli.main import main
try:
    main()
finally:
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, file=sys.stderr)
"""


def seconds(*arguments: object, folder: Path) -> tuple[float, float]:
    """CPU seconds of a command with all its processes, and the peak memory of the program in GB."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    ended = subprocess.run(
        [sys.executable, "-c", SHOW, *map(str, arguments)],
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", "DISBENCH_DATA": str(folder / "data")},
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return spent, int(ended.stderr.split()[-1]) * 1024 / 1e9


def trained(folder: Path, name: str, seeds: int) -> float:
    """CPU seconds of a run of so many seeds."""
    plugin = folder / "trivial.py"
    plugin.write_text(PLUGIN, "utf-8")
    spent, _ = seconds(
        *("run", "--plugin", plugin, "--methods", "trivial", "--metrics", "nothing", "--seeds", seeds),
        *("--set", "trivial.steps=1", "--protocol", "smoke", "--dataset", folder / "grid.npz"),
        *("--jobs", 1, "--device", "cpu", "--out", folder / name),
        folder=folder,
    )
    return spent


def copies(run: Path, folder: Path, number: int) -> list[Path]:
    """So many runs of `FEW` seeds, all of them different."""
    made = []
    (training,) = run.glob("trivial-*")
    for i in range(number):
        made.append(folder / f"many-{i}")
        for seed in range(FEW):
            there = made[-1] / training.name / f"seed-{i * FEW + seed}"
            shutil.copytree(training / f"seed-{seed}", there)
            path = there / "cell.json"
            values = json.loads(path.read_text("utf-8"))
            values["cell"]["seed"] = i * FEW + seed
            path.write_text(json.dumps(values), "utf-8")
        shutil.copy(run / "run.json", made[-1])
    return made


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--cells", type=int, default=2000, help="seeds of the sweep")
    parser.add_argument("--runs", type=int, default=200, help="run folders in one leaderboard")
    parser.add_argument("--out", type=Path, help="new folder for the runs (default: a temporary one)")
    given = parser.parse_args()
    folder = (given.out or Path(tempfile.mkdtemp(prefix="disbench-scale-"))).resolve()
    folder.mkdir(parents=True, exist_ok=given.out is None)
    factors = np.stack(np.unravel_index(np.arange(16), (4, 4)), axis=1)
    images = np.zeros((16, 32, 32), np.uint8)
    for image, (x, y) in zip(images, factors, strict=True):
        image[8 * y : 8 * y + 8, 8 * x : 8 * x + 8] = 255
    np.savez(folder / "grid.npz", images=images, factors=factors)
    part = max(given.cells // 10, FEW)
    few, many = trained(folder, "few", part), trained(folder, "all", given.cells)
    again = trained(folder, "all", given.cells)
    each = (many - few) / (given.cells - part)
    print(f"a sweep of {given.cells} seeds: {many:.1f} CPU s, {1000 * each:.1f} CPU ms for each further seed")
    print(f"the same command when all is done: {again:.1f} CPU s")
    for command in ("status", "leaderboard"):
        spent, memory = seconds(command, folder / "all", folder=folder)
        print(f"{command} of it: {spent:.1f} CPU s, {memory:.2f} GB")
    runs = copies(folder / "few", folder, given.runs)
    spent, memory = seconds("leaderboard", *runs, "--format", "csv", folder=folder)
    print(f"leaderboard of {given.runs} runs of {FEW} seeds: {spent:.1f} CPU s, {memory:.2f} GB")


if __name__ == "__main__":
    main()
