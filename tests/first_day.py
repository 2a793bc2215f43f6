"""The first days of four people with disbench, as they would type them, and what they typed and waited for.

    python tests/first_day.py [a|b|c|d ...] [--out FOLDER]

Each day is a list of steps in a folder of its own, with an empty cache of data sets, so that its first
command renders what it needs:

- a: Ann has trained a VAE of her own and wants scores, a comparison, a table and figures for her paper.
- b: Ben has an idea for a regulariser, and 500 pictures of his own.
- c: Cleo reviews a paper and checks its numbers against kept and published ones.
- d: Dan sets up a machine and a cluster, and reads what the command line tells him.

What they write as files and what they type as commands are counted apart. Prints a line for each step, with
characters, seconds, CPU seconds (which other work on the machine changes less) and what came out, and a sum
for each person. A step that ends otherwise than it should ends the program with a sentence and exit code 1.
`test_first_day.py` takes the same steps at the size `QUICK`, without those that are `long`. Not collected by
pytest.
"""

from __future__ import annotations

import argparse
import glob
import math
import os
import re
import resource
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from PIL import Image
from tabulate import tabulate

WIDTH = 120  # columns of the terminal
COLUMN = 3.3  # inches of a column of a paper
Check = Callable[[Path, str], str]


class StuckError(Exception):
    """A step that did not end as it should, in one sentence."""


@dataclass(frozen=True)
class Size:
    """How much is trained: what a day takes for real, and what shows the same steps quickly.

    Attributes:
        models: Ann's, one seed each.
        steps: of their training.
        seeds: of each of Ben's methods.
        few: steps of their training.
        only: option that leaves out metrics which take long.
        jobs: option of Ben's run that starts no further process.
    """

    models: int
    steps: int
    seeds: int
    few: int
    only: str
    jobs: str


FULL = Size(models=3, steps=500, seeds=3, few=200, only="", jobs="")
QUICK = Size(models=2, steps=3, seeds=1, few=2, only=" --metrics mig", jobs=" --jobs 1")


@dataclass(frozen=True)
class Step:
    """One thing that somebody wants, and does.

    Attributes:
        want: in words.
        typed: a command line, `disbench ...` or `python ...`, as in a shell.
        code: the exit code that it should end with.
        says: what it must print.
        check: what came out, from the folder and what was printed; raises StuckError.
        copies: how often it is started at the same time.
        long: takes long whatever the size.
    """

    want: str
    typed: str
    code: int = 0
    says: tuple[str, ...] = ()
    check: Check | None = None
    copies: int = 1
    long: bool = False


@dataclass(frozen=True)
class Day:
    """What a person brings along as files, by name, and does."""

    who: str
    files: dict[str, str]
    steps: tuple[Step, ...]


# What came out.


def score(metric: str) -> Check:
    """The first number in a metric's row of a printed table."""

    def check(folder: Path, printed: str) -> str:
        for line in printed.splitlines():
            cells = [cell.strip() for cell in line.split("│")[1:-1]]
            if cells[:1] == [metric]:
                return f"{metric} {finite(cells[2].split(' ')[0], metric)}"
        raise StuckError(f"no row of {metric} was printed.")

    return check


def finite(text: object, what: str) -> str:
    """The text of a number that is one."""
    try:
        known = math.isfinite(float(str(text)))
    except ValueError:
        known = False
    if not known:
        raise StuckError(f"{what} is {text}, and no number.")
    return str(text)


def board(path: str, methods: Sequence[str], metric: str) -> Check:
    """The mean of a metric for each method, of a leaderboard as CSV."""

    def check(folder: Path, printed: str) -> str:
        frame = pd.read_csv(there(folder / path))
        frame = frame[(frame["metric"] == metric) & ~frame["preset"].str.endswith("generator")]
        if sorted(frame["method"]) != sorted(methods):
            raise StuckError(
                f"{path} has {metric} of {', '.join(frame['method'])}, not of {', '.join(methods)}."
            )
        for method, mean in zip(frame["method"], frame["mean"], strict=True):
            finite(mean, f"{metric} of {method}")
        means = ", ".join(f"{m} {v:.3f}" for m, v in zip(frame["method"], frame["mean"], strict=True))
        return f"{metric}: {means}"

    return check


def there(path: Path) -> Path:
    if not path.is_file():
        raise StuckError(f"{path.name} was not written.")
    return path


def table(name: str, rows: int) -> Check:
    """A LaTeX table that can be set: braces, environments and columns fit, with so many rows."""

    def check(folder: Path, printed: str) -> str:
        source = there(folder / name).read_text("utf-8")
        plain = re.sub(r"\\[{}]", "", source)
        if plain.count("{") != plain.count("}"):
            raise StuckError(f"{name} has {plain.count('{')} opened and {plain.count('}')} closed braces.")
        begun, ended = re.findall(r"\\begin{(\w+)}", source), re.findall(r"\\end{(\w+)}", source)
        if not begun or begun != ended[::-1]:
            raise StuckError(f"{name} begins {', '.join(begun)} and ends {', '.join(ended)}.")
        parts = re.search(r"\\toprule\n(.*?)\\midrule\n(.*?)\\bottomrule", source, re.S)
        if parts is None:
            raise StuckError(f"{name} has no rows between its rules.")
        lines = [line for part in parts.groups() for line in part.splitlines()]
        if len(lines) != 1 + rows:
            raise StuckError(f"{name} has {len(lines) - 1} rows, not {rows}.")
        if len({len(re.findall(r"(?<!\\)&", line)) for line in lines}) > 1:
            raise StuckError(f"the rows of {name} differ in their columns.")
        return f"{name}, {rows} rows, {len(source.encode()):,} bytes"

    return check


def picture(name: str, width: float | None = None) -> Check:
    """A PNG that shows something, so many inches wide."""

    def check(folder: Path, printed: str) -> str:
        with Image.open(there(folder / name)) as image:
            image.load()
            low, high = image.convert("L").getextrema()
            inches = image.width / image.info["dpi"][0] if "dpi" in image.info else math.nan
            shape = f"{image.width}x{image.height}"
        if low == high:
            raise StuckError(f"{name} has one colour.")
        if width is not None and not abs(inches - width) < 0.02:
            raise StuckError(f"{name} is {inches:.2f} inches wide, not {width}.")
        return f"{name}, {shape}, {(folder / name).stat().st_size:,} bytes"

    return check


def page(name: str, words: Sequence[str]) -> Check:
    """A whole page of HTML that loads nothing and has these words."""

    def check(folder: Path, printed: str) -> str:
        text = there(folder / name).read_text("utf-8")
        missing = [word for word in (*words, "<table", "</html>") if word not in text]
        if missing:
            raise StuckError(f"{name} lacks {', '.join(missing)}.")
        if re.search(r"""<(img|script|link)[^>]+(src|href)=["']?http""", text):
            raise StuckError(f"{name} loads something from the network.")
        return f"{name}, {len(text.encode()):,} bytes"

    return check


def saved(*names: str) -> Check:
    """Files that are there, and not empty."""

    def check(folder: Path, printed: str) -> str:
        sizes = [there(folder / name).stat().st_size for name in names]
        if not all(sizes):
            raise StuckError(f"{names[sizes.index(0)]} is empty.")
        return ", ".join(f"{name}, {size:,} bytes" for name, size in zip(names, sizes, strict=True))

    return check


def near(path: str, kept: float, within: float) -> Check:
    """A score of a run's only seed, which repeats a kept one."""

    def check(folder: Path, printed: str) -> str:
        (value,) = pd.read_csv(there(folder / path))["score"]
        if not abs(value - kept) <= within:
            raise StuckError(f"the score is {value:.4f}, and {kept} is kept.")
        return f"{value:.4f}, kept {kept}"

    return check


# Ann.

OWN_VAE = '''"""A VAE of my own: trained by my own loop, saved as codes, programs and weights."""

import sys

import disbench
import numpy as np
import torch
from torch import nn


class Encoder(nn.Module):
    def __init__(self, latents=10):
        super().__init__()
        convolutions = []
        for channels in (1, 32, 32):
            convolutions += [nn.Conv2d(channels, 32, 4, 2, 1), nn.ReLU()]
        self.net = nn.Sequential(
            *convolutions, nn.Flatten(), nn.Linear(512, 128), nn.ReLU(), nn.Linear(128, 2 * latents)
        )

    def forward(self, images):
        mean, logvar = self.net(images).chunk(2, dim=1)
        return {"mean": mean, "logvar": logvar}


class Decoder(nn.Module):
    def __init__(self, latents=10):
        super().__init__()
        self.net = nn.Sequential(
            nn.Linear(latents, 128),
            nn.ReLU(),
            nn.Linear(128, 512),
            nn.ReLU(),
            nn.Unflatten(1, (32, 4, 4)),
            nn.ConvTranspose2d(32, 32, 4, 2, 1),
            nn.ReLU(),
            nn.ConvTranspose2d(32, 32, 4, 2, 1),
            nn.ReLU(),
            nn.ConvTranspose2d(32, 1, 4, 2, 1),
        )

    def forward(self, z):
        return torch.sigmoid(self.net(z))


def train(data, seed, steps, beta=4.0):
    torch.manual_seed(seed)
    rng, encoder, decoder = np.random.default_rng(seed), Encoder(), Decoder()
    optimizer = torch.optim.Adam([*encoder.parameters(), *decoder.parameters()], 1e-3)
    for _ in range(steps):
        images = data.images(rng.choice(len(data), 64))
        mean, logvar = encoder(images).values()
        drawn = decoder.net(mean + torch.randn_like(mean) * (logvar / 2).exp())
        error = nn.functional.binary_cross_entropy_with_logits(drawn, images, reduction="sum") / 64
        kl = 0.5 * (mean**2 + logvar.exp() - 1 - logvar).sum(1).mean()
        optimizer.zero_grad()
        (error + beta * kl).backward()
        optimizer.step()
    return encoder.eval(), decoder.eval()


def export(module, name, example):
    free = {name: {0: torch.export.Dim("batch", min=2)}}
    return torch.export.export(module, (), {name: example}, dynamic_shapes=free)


if __name__ == "__main__":
    data = disbench.datasets.load("dsprites", size=32)
    rows = np.random.default_rng(0).choice(len(data), 15_000, replace=False)
    for seed in range(int(sys.argv[1])):
        encoder, decoder = train(data, seed, int(sys.argv[2]))
        with torch.no_grad():
            codes = [encoder(data.images(some))["mean"].numpy() for some in np.array_split(rows, 60)]
        np.savez(f"codes-{seed}.npz", codes=np.concatenate(codes), rows=rows)
        if seed == 0:
            torch.save(encoder.state_dict(), "weights.pt")
            torch.export.save(export(encoder, "images", torch.zeros(8, 1, 32, 32)), "encoder.pt2")
            torch.export.save(export(decoder, "z", torch.zeros(8, 10)), "decoder.pt2")
'''


def ann(size: Size) -> Day:
    return Day(
        "Ann",
        {"own_vae.py": OWN_VAE},
        (
            Step(
                "train",
                f"python own_vae.py {size.models} {size.steps}",
                check=saved("codes-0.npz", "weights.pt", "encoder.pt2", "decoder.pt2"),
            ),
            Step(
                "score codes",
                "disbench score codes-0.npz --dataset dsprites --metrics mig",
                check=score("mig"),
            ),
            Step(
                "score the encoder",
                "disbench score encoder.pt2 --dataset dsprites --metrics mig",
                says=("[0, 1], which is assumed", "the code is output 'mean'"),
                check=score("mig"),
            ),
            Step(
                "score weights",
                "disbench score weights.pt --factory own_vae:Encoder --dataset dsprites --metrics mig",
                check=score("mig"),
            ),
            Step(
                "the slow metrics",
                "disbench score encoder.pt2 --dataset dsprites --metrics mig,dci,factor_vae",
                check=score("factor_vae"),
                long=True,
            ),
            Step(
                "my seeds in one table",
                "disbench score codes-*.npz --dataset dsprites --size 32 --metrics mig --out seeds.tex",
                # and the chance below them
                check=table("seeds.tex", size.models + 1),
            ),
            Step(
                "compare with others, for my paper",
                f"disbench compare codes-*.npz --name 'my VAE' --with mini{size.only} --out table.tex",
                check=table("table.tex", 5),
            ),
            Step(
                "which code is which factor",
                "disbench plot codes-0.npz --kind mi --dataset dsprites --width column",
                check=picture("codes-0-mi.png", COLUMN),
            ),
            Step(
                "and by DCI",
                "disbench plot codes-0.npz --kind dci --dataset dsprites --width column",
                check=picture("codes-0-dci.png", COLUMN),
                long=True,
            ),
            Step(
                "traversals",
                "disbench traverse decoder.pt2 --encoder encoder.pt2 --dataset dsprites --width column",
                check=picture("traversal-column.png", COLUMN),
            ),
        ),
    )


# Ben.

SPARSE_VAE = '''"""A sparse VAE: a VAE's loss and lam times the sum of |mu|, mean over the batch."""

from dataclasses import dataclass
from typing import ClassVar

from disbench.models import vae


@dataclass(frozen=True)
class Config(vae.Config):
    lam: float = 0.1


class SparseVAE(vae.VAE):
    CONFIGS: ClassVar = {"paper": Config(), "mini": Config(**vae.MINI)}

    def penalty(self, z, mu, logvar, step):
        kl = vae.gaussian_kl(mu, logvar).sum(1).mean()
        return {"kl": kl, "sparsity": self.config.lam * mu.abs().sum(1).mean()}


METHOD = SparseVAE
'''
PICTURES = '''"""500 pictures of 28x28 in colour with three factors, drawn at random: no complete grid."""

import numpy as np

rng = np.random.default_rng(0)
factors = rng.integers(0, (4, 5, 5), (500, 3))
images = np.zeros((500, 28, 28, 3), np.uint8)
for image, (colour, x, y) in zip(images, factors):
    image[4 * y : 4 * y + 9, 4 * x : 4 * x + 9] = (255, 60 * colour, 240 - 60 * colour)
names = ["colour", "x", "y"]
np.savez("mine.npz", images=images, factors=factors, factor_names=names)
np.savez("floats.npz", images=images / 127.5 - 1, factors=factors, factor_names=names)
'''


def ben(size: Size) -> Day:
    settings = f"--set sparse_vae.steps={size.few} --set betavae.steps={size.few}"
    run = (
        "disbench run --plugin sparse_vae.py --methods sparse_vae,betavae --dataset mine.npz --protocol mini "
        f"--seeds {size.seeds}{size.only}{size.jobs} {settings} --out runs/sparse"
    )
    methods = ("betavae", "sparse_vae")
    return Day(
        "Ben",
        {"pictures.py": PICTURES, "sparse_vae.py": SPARSE_VAE},
        (
            Step("my data", "python pictures.py", check=saved("mine.npz", "floats.npz")),
            Step(
                "how long it takes",
                f"{run} --dry-run",
                says=(f"{2 * size.seeds} of {2 * size.seeds} seeds to do",),
                long=True,
            ),
            Step(
                "train",
                run,
                says=("resized to 32x32",),
                check=board("runs/sparse/leaderboard.csv", methods, "mig"),
            ),
            Step(
                "the table, without the plug-in",
                "disbench leaderboard runs/sparse --out board.tex",
                check=table("board.tex", 2),
            ),
            Step(
                "every seed, without the plug-in",
                "disbench plot runs/sparse --kind strip --width column",
                check=picture("runs/sparse/strip.png", COLUMN),
            ),
            Step(
                "all of it, without the plug-in",
                "disbench report runs/sparse",
                check=page("runs/sparse/report.html", methods),
            ),
            Step(
                "a setting misspelt",
                f"{run} --set sparse_vae.lambda=1",
                code=2,
                says=("did you mean 'lam'?",),
            ),
            Step(
                "images in [-1, 1]",
                "disbench run --methods betavae --dataset floats.npz --dry-run",
                code=2,
                says=("write them as uint8", ".round().astype('uint8')"),
            ),
        ),
    )


# Cleo.

RELEASE = '''"""What the authors released: codes of 15,000 images of dSprites, here the factors in noise."""

import disbench
import numpy as np

data = disbench.datasets.load("dsprites", size=32)
rng = np.random.default_rng(0)
rows = rng.choice(len(data), 15_000, replace=False)
noise = rng.normal(0, 2, (15_000, 5))
np.savez("released.npz", codes=data.factors(rows) + noise, rows=rows, dataset="dsprites", size=32)
'''


def cleo(size: Size) -> Day:
    return Day(
        "Cleo",
        {"release.py": RELEASE},
        (
            Step("get the authors' codes", "python release.py", check=saved("released.npz")),
            Step("what is there", "disbench list", says=("tables", "metrics")),
            Step("a kept result", "disbench list results", says=("mini ", "32 seeds on dsprites-32")),
            Step("and its numbers", "disbench leaderboard mini --out mini.tex", check=table("mini.tex", 4)),
            Step("which tables", "disbench list tables", says=("ibgan", "elastic-infogan")),
            Step("IB-GAN's table", "disbench table ibgan", says=("0.80 ± 0.07", "measured differently")),
            Step(
                "Elastic-InfoGAN's table",
                "disbench table elastic-infogan",
                says=("the tables of the Elastic-InfoGAN paper", "were not seen"),
            ),
            Step(
                "how to measure it",
                "disbench table ibgan --plan",
                says=("training steps in all", "disbench run --methods"),
            ),
            Step(
                "a wrong folder",
                "disbench table ibgan --results nowhere",
                code=2,
                says=("nowhere does not exist",),
            ),
            Step("score their codes", "disbench score released.npz --metrics mig", check=score("mig")),
            Step(
                "beside what was measured",
                f"disbench compare released.npz --name theirs --with mini{size.only}",
                says=("theirs", "betavae"),
            ),
            Step(
                "one kept seed again",
                "disbench run --methods betavae --protocol mini-v1 --metrics mig --out again",
                check=near("again/scores.csv", kept_mig(), 0.02),
                long=True,
            ),
        ),
    )


def kept_mig() -> float:
    """The kept MIG of seed 0 of the beta-VAE."""
    from disbench.leaderboards import results

    frame = results.scores(results.FOLDER / "mini")
    (value,) = frame.query("method == 'betavae' and metric == 'mig' and seed == 0")["score"]
    return float(value)


# Dan.


def dan(size: Size) -> Day:
    shared = (
        "disbench run --methods betavae --seeds 4 --protocol smoke --jobs 1 --set betavae.steps=50 "
        "--out shared"
    )
    no_gpu = ("torch sees no CUDA device here",)
    return Day(
        "Dan",
        {},
        (
            Step("which version", "disbench --version", says=("disbench ",)),
            Step("one card of eight", "disbench run --methods betavae --device cuda:3", code=2, says=no_gpu),
            Step(
                "two cards",
                "disbench run --methods betavae --seeds 32 --device cuda:0,cuda:1 --dry-run",
                code=2,
                says=no_gpu,
            ),
            Step(
                "a card misspelt",
                "disbench run --methods betavae --device cuda3",
                code=2,
                says=("cuda:3",),
            ),
            Step(
                "how long a Slurm job takes",
                "disbench run --methods betavae,factorvae --seeds 32 --jobs 16 --max-seconds 13800 "
                "--out runs/shared --dry-run",
                says=("64 of 64 seeds to do",),
                long=True,
            ),
            Step(
                "a scheduler that is not there",
                "disbench run --methods betavae --seeds 32 --scheduler tcp://127.0.0.1:1 --out runs/cluster",
                code=2,
                says=("no Dask scheduler answers",),
                long=True,
            ),
            Step("three programs, one folder", shared, copies=3, long=True),
            Step("is all done", f"{shared}", check=saved("shared/leaderboard.csv"), long=True),
            Step(
                "a folder misspelt", "disbench status runs/nothing", code=2, says=("is not a disbench run",)
            ),
        ),
    )


DAYS: dict[str, Callable[[Size], Day]] = {"a": ann, "b": ben, "c": cleo, "d": dan}


def words(typed: str, folder: Path) -> list[str]:
    """A command line as a shell splits it; what has a * becomes the files of that name."""
    found: list[str] = []
    for word in shlex.split(typed):
        matches = sorted(glob.glob(word, root_dir=folder)) if "*" in word else []
        found += matches or [word]
    return found


def judged(step: Step, folder: Path, code: int, printed: str) -> str:
    """What came out of a step.

    Raises:
        StuckError: it ended otherwise than it should.
    """
    told = f"`{step.typed}` ({step.want})"
    # what is told may be broken over lines
    flat = " ".join(printed.split())
    if code != step.code:
        raise StuckError(f"{told} ended with {code}, not {step.code}: {flat[-300:]}")
    if "Traceback" in printed:
        raise StuckError(f"{told} printed a traceback.")
    for text in step.says:
        if text not in flat:
            raise StuckError(f"{told} did not say {text!r}, but: {flat[-300:]}")
    try:
        found = step.check(folder, printed) if step.check else ""
    except StuckError as error:
        raise StuckError(f"{told}: {error}") from error
    said = flat if step.code else step.says[0] if step.says else "done"
    return found or (said if len(said) < 60 else said[:57] + "...")


def spent() -> float:
    """CPU seconds of all programs that were started here and have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def live(day: Day, folder: Path) -> list[list[object]]:
    """The rows of a day: who, what was wanted, characters, seconds, CPU seconds, what came out.

    Raises:
        StuckError: a step ended otherwise than it should.
    """
    # what is relative there is not in another folder
    paths = [str(Path(path).resolve()) for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]
    own = {"COLUMNS": str(WIDTH), "DISBENCH_DATA": str(folder / "data"), "PYTHONPATH": os.pathsep.join(paths)}
    rows: list[list[object]] = []
    for name, text in day.files.items():
        (folder / name).write_text(text, "utf-8")
    for step in day.steps:
        print(f"{day.who}: {step.typed}", file=sys.stderr, flush=True)
        program, *arguments = words(step.typed, folder)
        command = [sys.executable, *(["-m", "disbench"] if program == "disbench" else []), *arguments]
        clock, cpu = time.monotonic(), spent()
        started = [
            subprocess.Popen(
                command,
                cwd=folder,
                env={**os.environ, **own},
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
            for _ in range(step.copies)
        ]
        printed = [process.communicate()[0] for process in started]
        seconds, cpu = time.monotonic() - clock, spent() - cpu
        # with copies of it, one may end while another still trains some
        codes = [process.returncode for process in started if step.copies == 1 or process.returncode != 69]
        for code in codes or [69]:
            came = judged(step, folder, code, "\n".join(printed))
        print(f"  {seconds:.1f} s, {cpu:.1f} CPU s: {came}", file=sys.stderr, flush=True)
        rows.append([day.who, step.want, len(step.typed), f"{seconds:.1f}", f"{cpu:.1f}", came])
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("days", nargs="*", metavar="a|b|c|d", help="days (default: all)")
    parser.add_argument("--out", type=Path, help="new folder for the days (default: a temporary one)")
    given = parser.parse_args()
    if unknown := sorted(set(given.days) - set(DAYS)):
        parser.error(f"no day {unknown[0]!r}; choose from: {', '.join(DAYS)}")
    folder = (given.out or Path(tempfile.mkdtemp(prefix="disbench-day-"))).resolve()
    folder.mkdir(parents=True, exist_ok=given.out is None)
    rows: list[list[object]] = []
    sums: list[list[object]] = []
    for letter in given.days or DAYS:
        day = DAYS[letter](FULL)
        (folder / letter).mkdir()
        try:
            lived = live(day, folder / letter)
        except StuckError as error:
            raise SystemExit(f"{day.who} is stuck: {error}") from error
        rows += lived
        columns = list(zip(*lived, strict=True))
        total = [f"{sum(map(float, column)):.0f}" for column in columns[2:5]]
        files = sum(map(len, day.files.values()))
        sums.append([day.who, len(lived), *total, files])
    heads = ["who", "wants", "typed", "s", "CPU s", "came out"]
    print(tabulate(rows, heads, disable_numparse=True, colalign=("left", "left", *["right"] * 3, "left")))
    print()
    print(tabulate(sums, ["who", "commands", "typed", "s", "CPU s", "in files"]))
    print(f"typed and in files: characters. The days are in {folder}")


if __name__ == "__main__":
    main()
