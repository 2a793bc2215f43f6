"""What the metrics say of representations whose faults are known: the tables of which-metric.md, and the
pictures of what-a-score-means.md.

python docs/measure.py          # writes docs/measured.toml, a few minutes on one core
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from disbench import metrics
from disbench.benchmark.datasets import Dataset
from disbench.benchmark.protocols import MetricChoice
from disbench.benchmark.scoring import scoring, tables
from disbench.benchmark.scoring.plans import BY_COST

Floats = NDArray[np.float64]

SIZES = (3, 6, 10, 8, 8)
GRID = metrics.Grid(SIZES)
FACTORS = GRID.factors(np.arange(len(GRID)))
TRAIN, TEST = 7_500, 4_000
COLUMNS = {
    "beta_vae": "",
    "factor_vae": "",
    "mig": "",
    "mig_sup": "",
    "dcimig": "",
    "dci": "eastwood2018_forest",
    "sap": "dlib_continuous",
    "modularity": "",
    "infomec": "",
    "irs": "",
    "mcc": "",
    "explicitness": "",
    "linear_r2": "",
}


def representations() -> dict[str, Floats]:
    """Codes (N, d) of the whole grid, by their fault."""
    rng = np.random.default_rng(0)
    v = (FACTORS - FACTORS.mean(0)) / FACTORS.std(0)
    noise = rng.normal(size=(len(v), 5))
    turned = v.copy()
    turned[:, [1, 2]] = v[:, [1, 2]] @ np.array([[1, 1], [-1, 1]]) / np.sqrt(2)
    turned[:, [3, 4]] = v[:, [3, 4]] @ np.array([[1, 1], [-1, 1]]) / np.sqrt(2)
    two_in_one = np.column_stack([FACTORS[:, 1] * 10 + FACTORS[:, 2], v[:, [0, 3, 4]]])
    angle = 2 * np.pi * FACTORS[:, 2] / 10
    cyclic = np.column_stack([v[:, [0, 1, 3, 4]], np.cos(angle), np.sin(angle)])
    return {
        "one code per factor": v,
        "the same, blurred": v + 0.3 * noise,
        "every code twice": np.hstack([v, v]),
        "and five of noise": np.hstack([v, noise]),
        "and three constant": np.hstack([v, np.zeros((len(v), 3))]),
        "two factors in one code": two_in_one,
        "one factor as a circle": cyclic,
        "two pairs turned by 45 degrees": turned,
        "noise": noise,
    }


def score(name: str, preset: str, codes: Floats, **settings: object) -> float:
    """The score of codes (N, d) of the whole grid.

    Args:
        name: of the metric.
        preset: its preset, or "" for the default.
        codes: (N, d).
        settings: changes to the preset.
    """
    metric, rng = metrics.get(name), np.random.default_rng(1)
    extra: dict[str, object] = {"rng": rng} if metric.takes("rng") else {}
    if metric.kind == "sampling":
        return metric(codes, GRID, preset=preset or None, **extra, **settings).score
    # No row twice, since metrics by nearest neighbours would see the copies.
    rows = rng.permutation(len(GRID))[: TRAIN + TEST]
    if metric.takes("split"):
        extra["split"] = (np.arange(TRAIN), np.arange(TRAIN, TRAIN + TEST))
    return metric(codes[rows], FACTORS[rows], preset=preset or None, **extra, **settings).score


def mig_of(codes: Floats, factors: NDArray[np.integer], bins: int, binning: str) -> float:
    return metrics.mig(codes, factors, bins=bins, binning=binning).score


def sensitivity(ns: Sequence[int] = (300, 1_000, 10_000)) -> list[list[float]]:
    """MIG of dSprites' perfect codes and of noise: per number of bins and of rows."""
    grid, rng = metrics.Grid((3, 6, 40, 32, 32)), np.random.default_rng(0)
    rows = []
    for bins in (10, 20, 50):
        for n in ns:
            factors = grid.factors(rng.integers(len(grid), size=n))
            codes = factors / np.array(grid.sizes)
            stray = codes.copy()
            # One row far from the others.
            stray[0] *= 20
            noise = rng.normal(size=codes.shape)
            kinds = [
                mig_of(codes, factors, bins, "width"),
                mig_of(stray, factors, bins, "width"),
                mig_of(stray, factors, bins, "quantile"),
                mig_of(noise, factors, bins, "width"),
            ]
            rows.append([bins, n, *(round(kind, 3) for kind in kinds)])
    return rows


def certainty(draws: int = 20) -> dict[str, dict[str, object]]:
    """Of blurred codes of dSprites' grid: the scores of fresh draws, and the spread and chance of the first.

    Of codes that are noise, the score and the chance.
    """
    sizes = (3, 6, 40, 32, 32)
    rows, rng = np.arange(np.prod(sizes)), np.random.default_rng(0)
    data = Dataset("dsprites", "", tables.NoImages(len(rows)), ("s", "z", "o", "x", "y"), sizes)
    factors = data.grid.factors(rows)
    blurred = (factors - factors.mean(0)) / factors.std(0) + 0.7 * rng.normal(size=factors.shape)
    sources = [tables.Stored(codes, rows) for codes in (blurred, rng.normal(size=factors.shape))]
    found: dict[str, dict[str, object]] = {}
    for name, preset in COLUMNS.items():
        choice = MetricChoice(name=name, preset=preset or None).resolved()
        (known,) = scoring.score(sources[0], data, [choice], draws=BY_COST)
        (fresh,) = scoring.score(sources[0], data, [choice], draws=draws)
        (noise,) = scoring.score(sources[1], data, [choice], draws=BY_COST)
        numbers = {"score": known.score, "spread": known.std, "chance": known.shuffled.mean}
        numbers |= {"chance_spread": known.shuffled.std, "noise": noise.score}
        found[name] = {key: round(value, 5) for key, value in numbers.items()}
        found[name]["fresh"] = [round(score, 5) for score in fresh.draws.scores]
    return found


def main() -> None:
    lines = ["# Written by docs/measure.py.", "[scores]"]
    for what, codes in representations().items():
        scores = {name: round(score(name, preset, codes), 3) for name, preset in COLUMNS.items()}
        lines.append(f'"{what}" = {{ {", ".join(f"{k} = {v}" for k, v in scores.items())} }}')
        print(lines[-1], flush=True)
    lines += ["", "[mig]  # bins, rows, perfect, one stray row, the same in quantile bins, noise", "rows = ["]
    lines += [f"  {row}," for row in sensitivity()]
    lines += ["]", "", "[certainty]  # of blurred codes of dSprites, see `certainty`"]
    for name, numbers in certainty().items():
        lines.append(f"{name} = {{ {', '.join(f'{key} = {value}' for key, value in numbers.items())} }}")
        print(lines[-1], flush=True)
    text = "\n".join(lines) + "\n"
    Path(__file__).with_name("measured.toml").write_text(text, "utf-8")


if __name__ == "__main__":
    main()
