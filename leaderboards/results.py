"""Measured leaderboards that are saved in the repository: `results/<name>/`, and the README's table of them.

results/<name>/leaderboard.csv, leaderboard.md    one row per method and metric
               scores.csv                         the seeds behind it, see `aggregate.scores`
               strip.png                          both as a picture
               pairs.csv                          pairs of methods, unless many: `aggregate.improvements`
               provenance.json                    commands, protocol, data, versions, hardware, seconds
               codes.json                         codes of the seeds, for later metrics, and their digests
               agreement.csv                      of several settings: UDR of each seed within its setting
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

import pandas as pd

from disbench.errors import UsageError, unknown
from disbench.files import not_linked, parse_json
from disbench.leaderboards import aggregate, formats, labels, wide
from disbench.leaderboards.provenance import FILE, Cost, Provenance
from disbench.texts import clean, from_cell, short

FOLDER = Path(str(files("disbench.leaderboards") / "results"))
PICTURE = "strip.png"
# The files above, and the folder of the codes.
PARTS = (
    *("leaderboard.csv", "leaderboard.md", "scores.csv", PICTURE, "pairs.csv", FILE, "codes.json"),
    *("agreement.csv", "codes"),
)
# The README's section, of all saved results or of those that its first line names.
BEGIN = re.compile(
    r"<!-- leaderboards: begin(?P<names>( [a-z0-9][a-z0-9.-]*)*); "
    r"written by `disbench leaderboard --readme` -->"
)
END = "<!-- leaderboards: end -->"


def is_kept(path: Path) -> bool:
    """Whether a folder is a saved result."""
    return (path / FILE).is_file() and (path / "scores.csv").is_file()


def names(folder: Path = FOLDER) -> list[str]:
    """The saved results, sorted."""
    return sorted(path.name for path in folder.iterdir() if is_kept(path)) if folder.is_dir() else []


def named(path: Path) -> Path:
    """The folder of a saved result that is called by its name alone; any other path is left as it is."""
    return FOLDER / path if not path.exists() and str(path) in names() else path


def summary(name: str) -> str:
    """A saved result in words: its methods, number of seeds, data set and protocol."""
    frame = scores(FOLDER / name)
    methods, data, protocols = (", ".join(dict.fromkeys(frame[c])) for c in ("method", "dataset", "protocol"))
    return f"{methods} with {frame['seed'].nunique()} seeds on {data}, protocol {protocols}"


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


def readme(chosen: Sequence[str] = (), folder: Path = FOLDER, link: str = "leaderboards/results") -> str:
    """The README's section of saved results, a table for each.

    Args:
        chosen: names of the results; none for all.
        folder: the folder of the saved results.
        link: the path of this folder, relative to the README.

    Raises:
        UsageError: there is no such result.
    """
    known = names(folder)
    for name in chosen:
        if name not in known:
            raise unknown("saved result of the README", name, known)
    parts = [_section(folder / name, f"{link}/{name}") for name in chosen or known]
    return "\n".join(parts) or "No results are saved yet.\n"


def _section(path: Path, link: str) -> str:
    frame, source = scores(path), provenance(path)
    board = aggregate.leaderboard(labels.over_splits(frame), iqm_interval=False)
    n = f"{board['n'].min()} to {board['n'].max()}" if board["n"].nunique() > 1 else f"{board['n'].max()}"
    table, numbers = wide.of_board(board)
    protocols = "; ".join(f"{name} ({fields['summary']})" for name, fields in source.protocols.items())
    devices = dict.fromkeys(str(each.versions.get("device")) for each in source.environments)
    picture = [f"![Every seed's scores]({link}/{PICTURE})", ""] if (path / PICTURE).is_file() else []
    lines = [
        f"### {path.name}",
        "",
        f"{', '.join(dict.fromkeys(board['dataset']))}, {n} scores a row, protocol {protocols}. "
        f"{_hours(source.seconds)} on {' and '.join(devices)}. "
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


def _hours(cost: Cost) -> str:
    """What a result cost, in words."""
    if not cost.core and not cost.gpu:
        return f"{cost.total / 3600:.1f} hours, summed over seeds,"
    words = {"a core": cost.core, "a GPU": cost.gpu}
    return " and ".join(f"{used / 3600:.1f} hours of {what}" for what, used in words.items() if used)


def placed(text: str, folder: Path, link: str) -> str:
    """A README with the section of saved results between its markers.

    Args:
        text: the README.
        folder: the folder of the saved results.
        link: the path of this folder, relative to the README.

    Raises:
        UsageError: it does not have both markers, once each and in order, or names an unknown result.
    """
    begins = list(BEGIN.finditer(text))
    if len(begins) != 1 or text.count(END) != 1 or text.index(END) < begins[0].end():
        raise UsageError(
            "the README needs one line '<!-- leaderboards: begin; written by `disbench leaderboard --readme` "
            f"-->' and after it one line {END!r}; behind 'begin' it may name results."
        )
    (begin,) = begins
    section = readme(begin["names"].split(), folder, link)
    return f"{text[: begin.end()]}\n\n{section}\n{text[text.index(END) :]}"
