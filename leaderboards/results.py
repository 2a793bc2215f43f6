"""Measured leaderboards that are saved in the repository: `results/<name>/`, and the README's table of them.

results/<name>/leaderboard.csv, leaderboard.md    one row per method and metric
               scores.csv                         the seeds behind it, see `aggregate.scores`
               strip.png                          both as a picture
               pairs.csv                          pairs of methods, see `aggregate.improvements`
               provenance.json                    commands, protocol, data, versions, hardware, seconds
               codes.json                         codes of the seeds, for later metrics, and their digests
"""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import pandas as pd

from disbench.errors import UsageError
from disbench.files import not_linked, parse_json
from disbench.leaderboards import aggregate, formats, labels, wide
from disbench.leaderboards.provenance import FILE, Provenance
from disbench.texts import clean, from_cell, short

FOLDER = Path(str(files("disbench.leaderboards") / "results"))
PICTURE = "strip.png"
BEGIN = "<!-- leaderboards: begin; written by `disbench leaderboard --readme` -->"
END = "<!-- leaderboards: end -->"


def is_kept(path: Path) -> bool:
    """Whether a folder is a saved result."""
    return (path / FILE).is_file() and (path / "scores.csv").is_file()


def names(folder: Path = FOLDER) -> list[str]:
    """The saved results, sorted."""
    return sorted(path.name for path in folder.iterdir() if is_kept(path)) if folder.is_dir() else []


def scores(path: Path) -> pd.DataFrame:
    """The per-seed frame of a saved result, equal to the one that was saved.

    Raises:
        UsageError: its scores.csv lacks a column, or one that should hold JSON holds something else.
    """
    text = pd.read_csv(not_linked(path / "scores.csv"), dtype=str, keep_default_na=False).map(from_cell)
    for column in ("plugin", "trained"):
        if column not in text:
            # Saved before that was recorded, from methods of this package.
            text[column] = ""
    if "digest" not in text:
        # Saved before digests were.
        text["digest"] = ""
    if "chosen_by" not in text:
        # Saved before choices without labels were recorded.
        text["chosen_by"] = "{}"
    if "kernels" not in text:
        # Saved before there was portable arithmetic.
        text["kernels"] = "native"
    if "health" not in text:
        # saved before it was told
        text["health"] = "[]"
    for value in text["health"].unique():
        if not _is_json_texts(value):
            raise UsageError(
                f"{path / 'scores.csv'} holds {short(value)!r} as health, which is no JSON list of texts; "
                "save the result again."
            )
    for column in aggregate.MEASURED:
        if column not in text:
            # saved before it was measured
            text[column] = ""
    missing = [c for c in (*aggregate.BY, *aggregate.SEED) if c not in text]
    if missing:
        raise UsageError(
            f"{path / 'scores.csv'} lacks the columns {', '.join(missing)}; save the result again."
        )
    for column in ("changed", "metric_settings", "chosen_by"):
        for value in text[column].unique():
            # without a score there are no settings of a metric
            empty = not value and column == "metric_settings"
            if not (empty or _is_json_object(value, counts=column == "chosen_by")):
                raise UsageError(
                    f"{path / 'scores.csv'} holds {short(value)!r} as {column}, which is no JSON object; "
                    "save the result again."
                )
    optional = ("score", "seconds", "reason", "metric_settings", "version", "kernels", *aggregate.MEASURED)
    return aggregate.scores(
        {
            **{str(name): value for name, value in row.items()},
            **{name: row[name] or None for name in optional},
            "seed": int(row["seed"]),
            "higher_is_better": row["higher_is_better"] == "True",
            "run": path.name,
        }
        for row in text.to_dict("records")
    )


def _is_json_texts(text: str) -> bool:
    values = parse_json(text)
    return isinstance(values, list) and all(isinstance(value, str) for value in values)


def _is_json_object(text: str, counts: bool) -> bool:
    """Whether a cell is the text of a JSON object, and if asked, of names with whole numbers."""
    values = parse_json(text)
    return isinstance(values, dict) and (not counts or all(type(n) is int for n in values.values()))


def provenance(path: Path) -> Provenance:
    """The provenance of a saved result.

    Raises:
        UsageError: its file is damaged.
    """
    return Provenance.read(path)


def readme(folder: Path = FOLDER, link: str = "leaderboards/results") -> str:
    """The README's section of saved results, a table for each.

    Args:
        folder: the folder of the saved results.
        link: the path of this folder, relative to the README.
    """
    parts = [_section(folder / name, f"{link}/{name}") for name in names(folder)]
    return "\n".join(parts) or "No results are saved yet.\n"


def _section(path: Path, link: str) -> str:
    frame, source = scores(path), provenance(path)
    board = aggregate.leaderboard(labels.over_splits(frame))
    n = f"{board['n'].min()} to {board['n'].max()}" if board["n"].nunique() > 1 else f"{board['n'].max()}"
    table, numbers = wide.of_board(board)
    protocols = "; ".join(f"{name} ({fields['summary']})" for name, fields in source.protocols.items())
    devices = dict.fromkeys(str(each.versions.get("device")) for each in source.environments)
    picture = [f"![Every seed's scores]({link}/{PICTURE})", ""] if (path / PICTURE).is_file() else []
    lines = [
        f"### {path.name}",
        "",
        f"{', '.join(dict.fromkeys(board['dataset']))}, {n} scores a row, protocol {protocols}. "
        f"{source.seconds.total / 3600:.1f} hours, summed over seeds, on {' and '.join(devices)}. "
        f"{numbers[0].upper()}{numbers[1:]}; {wide.presets(board)}. "
        f"Intervals, seeds, settings and provenance: [{path.name}]({link}/).",
        "",
        formats.markdown(table),
        *picture,
        "```sh",
        *map(clean, source.commands),
        "```",
        "",
    ]
    return "\n".join(lines)


def placed(text: str, section: str) -> str:
    """A README with a section put between its markers.

    Args:
        text: the README.
        section: the new section.

    Raises:
        UsageError: it does not have both markers, once each and in order.
    """
    head, begin, rest = text.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not (begin and end) or BEGIN in rest or END in tail:
        raise UsageError(f"the README needs one line {BEGIN!r} and after it one line {END!r}.")
    return f"{head}{BEGIN}\n\n{section}\n{END}{tail}"
