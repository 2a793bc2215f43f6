"""Measured leaderboards that are kept in the repository: `results/<name>/`, and the README's table of them.

results/<name>/leaderboard.csv, leaderboard.md    one row per method and metric
               scores.csv                         the seeds behind it, see `aggregate.scores`
               strip.png                          both as a picture
               pairs.csv                          which method beats which, see `aggregate.improvements`
               provenance.json                    commands, protocol, data, versions, hardware, seconds
"""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from disbench.errors import UsageError
from disbench.leaderboards import aggregate, formats, labels

FOLDER = Path(str(files("disbench.leaderboards") / "results"))
PICTURE = "strip.png"
BEGIN = "<!-- leaderboards: begin; written by `disbench leaderboard --readme` -->"
END = "<!-- leaderboards: end -->"


def is_kept(path: Path) -> bool:
    return (path / "provenance.json").is_file() and (path / "scores.csv").is_file()


def names(folder: Path = FOLDER) -> list[str]:
    """The results that are kept."""
    return sorted(path.name for path in folder.iterdir() if is_kept(path)) if folder.is_dir() else []


def scores(path: Path) -> pd.DataFrame:
    """The per-seed frame of a kept result, as `aggregate.scores` made it.

    Raises:
        UsageError: its scores.csv lacks a column.
    """
    text = pd.read_csv(path / "scores.csv", dtype=str, keep_default_na=False)
    if "plugin" not in text:
        # kept before plug-ins were recorded, from methods of this package
        text["plugin"] = ""
    missing = [c for c in (*aggregate.BY, *aggregate.SEED) if c not in text]
    if missing:
        raise UsageError(
            f"{path / 'scores.csv'} lacks the columns {', '.join(missing)}; keep the result again."
        )
    rows = []
    for row in text.to_dict("records"):
        row |= {
            name: row[name] or None for name in ("score", "seconds", "reason", "metric_settings", "version")
        }
        row |= {
            "seed": int(row["seed"]),
            "higher_is_better": row["higher_is_better"] == "True",
            "run": path.name,
        }
        rows.append({str(name): value for name, value in row.items()})
    return aggregate.scores(rows)


def provenance(path: Path) -> dict[str, Any]:
    """How a kept result was made.

    Raises:
        UsageError: its file is damaged.
    """
    try:
        found = json.loads((path / "provenance.json").read_text("utf-8"))
    except ValueError as error:
        raise UsageError(f"{path / 'provenance.json'} is damaged ({error}); keep the result again.") from None
    missing = {"commands", "protocols", "seconds", "environments"} - set(found)
    if missing:
        raise UsageError(
            f"{path / 'provenance.json'} lacks {', '.join(sorted(missing))}; keep the result again."
        )
    return dict(found)


def readme(folder: Path = FOLDER, link: str = "leaderboards/results") -> str:
    """What stands between the README's two markers: each kept result as a table.

    Args:
        link: where the folder is, seen from the README.
    """
    parts = [_section(folder / name, f"{link}/{name}") for name in names(folder)]
    return "\n".join(parts) or "No results are kept yet.\n"


def _section(path: Path, link: str) -> str:
    frame, facts = scores(path), provenance(path)
    board = aggregate.leaderboard(labels.over_splits(frame))
    n = f"{board['n'].min()} to {board['n'].max()}" if board["n"].nunique() > 1 else f"{board['n'].max()}"
    told = "; ".join(f"{name} ({found['summary']})" for name, found in facts["protocols"].items())
    devices = dict.fromkeys(str(found.get("device")) for found in facts["environments"])
    seen = [f"![Every seed's scores]({link}/{PICTURE})", ""] if (path / PICTURE).is_file() else []
    lines = [
        f"### {path.name}",
        "",
        f"{', '.join(dict.fromkeys(board['dataset']))}, {n} scores a row, protocol {told}. "
        f"{facts['seconds']['total'] / 3600:.1f} hours, summed over seeds, on {' and '.join(devices)}. "
        "Mean ± standard deviation (divided by n - 1), in brackets the 95 % interval of the mean (BCa "
        f"bootstrap). The seeds, the settings and how it was made: [{path.name}]({link}/).",
        "",
        formats.markdown(wide(board)),
        *seen,
        "```sh",
        *facts["commands"],
        "```",
        "",
    ]
    return "\n".join(lines)


def wide(board: pd.DataFrame) -> pd.DataFrame:
    """One row per method and setting, one column per metric and preset, as texts; the best first."""
    several = [c for c in ("dataset", "protocol") if board[c].nunique() > 1]
    keys, needless = [*several, "method", "variant", "settings", "cell"], labels.needless(board)
    first = board.drop_duplicates(["metric", "preset"])
    rows: dict[tuple[Any, ...], dict[str, Any]] = {}
    for row in board.to_dict("records"):
        key = tuple(row[name] for name in keys)
        head = {name: row[name] for name in several}
        head |= {"method": labels.label(row["method"], row["variant"])}
        head |= {name: row[name] for name in ("settings", "cell") if name not in needless}
        made = rows.setdefault(key, {**head, "n": row["n"], "failed": row["failed"]})
        made["n"] = max(made["n"], row["n"])
        made[f"{row['metric']} ({row['preset']})"] = _value(row)
        if (row["metric"], row["preset"]) == (first["metric"].iloc[0], first["preset"].iloc[0]):
            mean = row["mean"] if np.isfinite(row["mean"]) else -np.inf
            made["order"] = -mean if row["higher_is_better"] else mean
    text = pd.DataFrame(list(rows.values()))
    text = text.sort_values([*several, "order"], kind="stable", ignore_index=True).drop(columns="order")
    return text.fillna("–").astype(str)


def _value(row: dict[Any, Any]) -> str:
    if not np.isfinite(row["mean"]):
        return "–"
    spread = f" ± {row['std']:.3f}" if np.isfinite(row["std"]) else ""
    ends = f" ({row['mean_low']:.3f} to {row['mean_high']:.3f})" if np.isfinite(row["mean_low"]) else ""
    return f"{row['mean']:.3f}{spread}{ends}"


def placed(text: str, section: str) -> str:
    """A README with the section between its markers.

    Raises:
        UsageError: it has not both markers, once each and in order.
    """
    head, begin, rest = text.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not (begin and end) or BEGIN in rest or END in tail:
        raise UsageError(f"the README needs one line {BEGIN!r} and after it one line {END!r}.")
    return f"{head}{BEGIN}\n\n{section}\n{END}{tail}"
