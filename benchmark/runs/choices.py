"""A choice among the models of a method without labels, kept in its run as choice-METHOD-METRIC-PRESET.json.

The file has the folder and the score of each model, the choice first, and the matrix of pairs. It stands for
the models that were trained when it was made: where there are more or other ones now, it is outdated.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
import pandas as pd
from pydantic import Field, ValidationError

from disbench.benchmark.runs.store import Record
from disbench.errors import UsageError
from disbench.files import plain, read_json, write_json
from disbench.metrics.arrays import Floats
from disbench.metrics.registry import Setting
from disbench.strict import Strict

# The names of their files, see `Choice.file`.
FILES = "choice-*.json"


class Choice(Strict):
    """A choice among all models of a method in a run.

    Attributes:
        method: name of the method.
        by: metric and preset that ranked them, such as "udr:dlib".
        settings: of that metric.
        folders: of the models within the run, the choice first.
        scores: of the models, in that order.
        pairwise: (M, M) the matrix of pairs in that order; None where a model is not paired.
    """

    method: Annotated[str, Field(pattern=r"^[\w.-]+$")]
    by: Annotated[str, Field(pattern=r"^\w+:[\w.-]+(, \w+=[\w.]+)*$")]
    settings: dict[str, Setting]
    folders: Annotated[list[str], Field(min_length=1)]
    scores: list[float]
    pairwise: list[list[float | None]]

    @property
    def file(self) -> str:
        """Name of its file."""
        return f"choice-{self.method}-{self.by.replace(':', '-')}.json"

    def write(self, run: Path) -> Path:
        """Into the folder of its run; returns the path."""
        path = run / self.file
        write_json(path, plain(self.model_dump()))
        return path


def read(run: Path) -> tuple[list[Choice], list[str]]:
    """The choices in the folder of a run, and a sentence for each file that cannot be read."""
    choices, odd = [], []
    for path in sorted(run.glob(FILES)):
        again = f"remove it and repeat `disbench leaderboard {shlex.quote(str(run))} --select METRIC`"
        try:
            choices.append(Choice.model_validate(read_json(path, again)))
        except ValidationError:
            odd.append(f"{path} holds no choice as this version of disbench writes it; {again}")
        except UsageError as error:
            odd.append(str(error))
    return choices, odd


def models(records: Sequence[Record], method: str) -> set[str]:
    """The folders, within their run, of all trained models of a method."""
    done = [record for record in records if record.cell.method == method and record.status.state == "done"]
    return {str(record.cell.folder) for record in done}


def of_models(rows: pd.DataFrame, by: str) -> Floats | None:
    """The scores of models by a choice that was made among exactly these.

    Args:
        rows: one per model, columns method, run and folder.
        by: metric and preset, such as "udr:dlib".

    Returns:
        (M,), or None where no run has such a choice.
    """
    runs = set(rows["run"])
    if len(runs) > 1:
        return None
    for choice in read(Path(runs.pop()))[0]:
        same = choice.method == rows["method"].iloc[0] and choice.by == by
        if same and set(choice.folders) == set(rows["folder"]):
            scores = dict(zip(choice.folders, choice.scores, strict=True))
            return np.array([scores[folder] for folder in rows["folder"]])
    return None


def current(run: Path, records: Sequence[Record]) -> tuple[dict[str, str], list[str]]:
    """The choices that hold for the models of a run as it is now.

    Args:
        run: the folder.
        records: its cells.

    Returns:
        For the folder of each chosen model, by what it was chosen and of how many, as JSON; and a sentence
        for each choice that was made of other models or cannot be read.
    """
    chosen: dict[str, dict[str, int]] = {}
    known, outdated = read(run)
    for choice in known:
        if models(records, choice.method) == set(choice.folders):
            chosen.setdefault(choice.folders[0], {})[choice.by] = len(choice.folders)
        else:
            outdated.append(
                f"{run / choice.file} was made of other models than there are now; repeat "
                f"`disbench leaderboard {shlex.quote(str(run))} --select {choice.by}`"
            )
    return {folder: json.dumps(by, sort_keys=True) for folder, by in chosen.items()}, outdated
