"""Codes that a saved result keeps, so that a later metric can score what was trained long ago.

    results/<name>/codes.json     the files, each with its SHA-256, and what they are of
    codes/<training>/seed-0.npz   codes (n, d) float16 of a seed, and their log-variances where there are some
    codes/rows-<data>.npz         the n row numbers, the same for all seeds of a data set

The rows are those of every table metric, 15,000 and a few. Together the files are too large for a
repository: above `MOST_BESIDE` bytes they lie in the folder of the data sets, as `kept-codes/<SHA-256>.npz`.
Results thus share what is the same, and none takes another's place. codes.json, with the digests, is in the
repository always.

float16 has three significant digits. A score from such codes is another measurement than one from the codes
of a run: its settings name it, and it is in a row of its own.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import pandas as pd
from pydantic import Field, ValidationError

from disbench import units
from disbench.benchmark.datasets import Dataset, cache
from disbench.benchmark.datasets.reference import DataRef
from disbench.benchmark.protocols import MetricChoice, digests
from disbench.benchmark.runs import codes
from disbench.benchmark.runs.rows import judge, measured, metric_settings
from disbench.benchmark.runs.store import Record
from disbench.benchmark.scoring import draws, sides
from disbench.benchmark.scoring.encoding import one_thread
from disbench.benchmark.scoring.entries import ScoreEntry
from disbench.benchmark.scoring.plans import BY_COST
from disbench.benchmark.scoring.tables import Stored
from disbench.errors import UsageError
from disbench.files import not_linked, read_json, write_bytes, write_json
from disbench.leaderboards import aggregate
from disbench.metrics.arrays import Array, Floats, Ints
from disbench.strict import Strict

FILE, FOLDER, OUTSIDE = "codes.json", "codes", "kept-codes"
MOST_BESIDE = 1_000_000  # bytes that lie in the repository
HALF = float(np.finfo(np.float16).max)
Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class KeptData(Strict):
    """The data set that codes are of.

    Attributes:
        name: as `datasets.load` takes it.
        size: of the images.
        sha256: of its content.
        rows: SHA-256 of the file of row numbers.
    """

    name: str
    size: int
    sha256: str
    rows: Digest


class KeptSeed(Strict):
    """The codes of a seed.

    Attributes:
        data: label of the data set.
        sha256: of the file.
        training: digest of what decided the model, or "".
        dtype: of the codes: float32 where they do not fit into float16.
    """

    data: str
    sha256: Digest
    training: str
    dtype: Literal["float16", "float32"]


class Kept(Strict):
    """A codes.json.

    Attributes:
        data: the data sets, by their label.
        seeds: by folder within the run, "betavae-1a2b3c4d/seed-0".
        missing: seeds without codes, with the reason.
    """

    data: dict[str, KeptData]
    seeds: dict[Annotated[str, Field(pattern=r"^[\w.-]+/seed-\d+$")], KeptSeed]
    missing: dict[str, str]

    @classmethod
    def read(cls, folder: Path) -> Kept:
        """Of the folder of a saved result.

        Raises:
            UsageError: it has none, or a damaged one.
        """
        if not not_linked(folder / FILE).is_file():
            raise UsageError(
                f"{folder} keeps no codes, as it was saved before results did; train it again by the "
                "commands in its provenance.json, and save that."
            )
        try:
            return cls.model_validate(read_json(folder / FILE))
        except ValidationError as error:
            where = ".".join(map(str, error.errors()[0]["loc"]))
            raise UsageError(f"{folder / FILE} is damaged ({where}); save the result again.") from None


def write(folder: Path, records: Sequence[Record], data_dir: Path | None = None) -> list[str]:
    """Keeps the codes of trained seeds.

    Args:
        folder: of the saved result in the making.
        records: the seeds.
        data_dir: folder of the data sets; None for the default.

    Returns:
        Sentences: where the codes are, and which seeds have none.
    """
    files: dict[str, bytes] = {}
    data: dict[str, KeptData] = {}
    rows_of: dict[str, Ints] = {}
    seeds: dict[str, KeptSeed] = {}
    missing: dict[str, str] = {}
    for record in records:
        about, where = record.cell.dataset, str(record.cell.folder)
        stored = codes.read(record.folder / "codes.npz", about)
        if stored is None:
            missing[where] = "its run has no codes.npz"
            continue
        if about.label not in rows_of:
            try:
                rows_of[about.label] = draws.every_table(about.load(data_dir))
            except UsageError as error:
                missing[where] = str(error)
                continue
            content = _packed({"rows": rows_of[about.label]})
            files[_rows_file(about.label)] = content
            plain = {"name": about.name, "size": about.size, "sha256": about.sha256}
            data[about.label] = KeptData(**plain, rows=_sha256(content))
        rows = rows_of[about.label]
        if draws.lacking(rows, stored[0]):
            missing[where] = "its codes.npz lacks rows of the table metrics"
            continue
        place = np.searchsorted(stored[0], rows)
        logvar = codes.read_logvar(record.folder / "codes.npz", about)
        arrays = {"codes": stored[1][place]} | ({} if logvar is None else {"logvar": logvar[place]})
        dtype = (
            "float16" if all(np.abs(array).max(initial=0) < HALF for array in arrays.values()) else "float32"
        )
        content = _packed({key: array.astype(dtype) for key, array in arrays.items()})
        files[f"{where}.npz"] = content
        seeds[where] = KeptSeed(
            data=about.label,
            sha256=_sha256(content),
            training=record.file.digest,
            dtype="float16" if dtype == "float16" else "float32",
        )
    write_json(folder / FILE, Kept(data=data, seeds=seeds, missing=missing).model_dump())
    total = sum(map(len, files.values()))
    beside = total <= MOST_BESIDE
    for file, content in files.items():
        write_bytes(folder / FOLDER / file if beside else outside(_sha256(content), data_dir), content)
    said = (
        []
        if beside or not files
        else [f"the codes of {len(seeds)} seeds ({total / 1e6:.1f} MB) are in {_outside(data_dir)}"]
    )
    of_reason: dict[str, list[str]] = {}
    for where, why in missing.items():
        of_reason.setdefault(why, []).append(where)
    return said + [f"no codes are kept of {_named(seeds)}: {why}" for why, seeds in of_reason.items()]


def _named(seeds: Sequence[str]) -> str:
    """A seed by its folder, several by their number: the file names them all."""
    return seeds[0] if len(seeds) == 1 else f"{units.count(len(seeds), 'seed')}, which {FILE} names"


def outside(sha256: str, data_dir: Path | None) -> Path:
    """Where a file of codes lies that is too large for the repository."""
    return _outside(data_dir) / f"{sha256}.npz"


def _outside(data_dir: Path | None) -> Path:
    return cache.folder(data_dir) / OUTSIDE


def rows_by(
    path: Path, frame: pd.DataFrame, choices: Sequence[MetricChoice], data_dir: Path | None = None
) -> tuple[pd.DataFrame, list[str]]:
    """The rows of a saved result with those of further metrics, from the codes that it keeps.

    Args:
        path: folder of the saved result.
        frame: its rows.
        choices: the metrics.
        data_dir: folder of the data sets; None for the default.

    Returns:
        The rows, and sentences: what was scored, and why a score is missing.

    Raises:
        UsageError: the result keeps no codes, or their files or their data are missing or others.
    """
    kept = Kept.read(path)
    data = {label: _data(each, data_dir) for label, each in kept.data.items()}
    rows = {
        label: _arrays(path, _rows_file(label), each.rows, data_dir)["rows"]
        for label, each in kept.data.items()
    }
    new, said = [], [f"no codes are kept of {where}: {why}" for where, why in kept.missing.items()]
    with one_thread():
        for where, seed in kept.seeds.items():
            head = frame[frame["folder"] == where]
            if head.empty:
                continue
            source = _source(_arrays(path, f"{where}.npz", seed.sha256, data_dir), rows[seed.data])
            for entry in sides.score(source, data[seed.data], choices, draws=BY_COST, beside=True):
                new.append(_row(_dict(head.iloc[0]), entry, seed, len(rows[seed.data])))
                if entry.score is None:
                    said.append(f"{where}, without a score: {entry.why()}")
    if not new:
        raise UsageError(f"{path} keeps the codes of none of its seeds; train it again and save that.")
    asked = {_key(row) for row in new}
    known = [_dict(row) for _, row in frame.iterrows()]
    old = [row for row in known if not (_of_kept(row) and _key(row) in asked)]
    told = f"{path}: {len(kept.seeds)} seeds scored by {len(choices)} metrics from kept codes"
    return aggregate.scores([*old, *new]), [told, *said]


def _dict(row: pd.Series) -> dict[str, object]:
    return {str(name): value for name, value in row.items()}


def _key(row: Mapping[str, object]) -> tuple[object, object, object]:
    return row["metric"], row["preset"], row["folder"]


def _of_kept(row: Mapping[str, object]) -> bool:
    """Whether a score was made from kept codes."""
    text = row["metric_settings"]
    return isinstance(text, str) and "kept_codes" in json.loads(text)


def _source(arrays: Mapping[str, Array], rows: Ints) -> Stored:
    wide: dict[str, Floats] = {key: array.astype(np.float32) for key, array in arrays.items()}
    return Stored(wide["codes"], rows, wide.get("logvar"))


def _row(head: dict[str, object], entry: ScoreEntry, seed: KeptSeed, n: int) -> dict[str, object]:
    """The per-seed row of a score; what it shares with the other rows of its seed is in `head`."""
    kept = f"{seed.dtype}, {n} rows"
    settings = metric_settings(entry)
    told = (
        None if settings is None else json.dumps({**json.loads(settings), "kept_codes": kept}, sort_keys=True)
    )
    facts = {**judge(entry), "kept_codes": kept}
    digest = digests.of_score(
        str(head["protocol"]), seed.training, entry.metric, entry.version, entry.settings, facts
    )
    return {
        **head,
        "metric": entry.metric,
        "preset": f"{entry.label}, kept codes",
        "score": entry.score,
        "reason": entry.why(),
        "higher_is_better": entry.higher_is_better,
        "metric_settings": told,
        **measured(entry),
        "digest": digest if entry.settings is not None else "",
    }


def _data(kept: KeptData, data_dir: Path | None) -> Dataset:
    return DataRef(kept.name, kept.size, kept.sha256).load(data_dir)


def _arrays(path: Path, file: str, sha256: str, data_dir: Path | None) -> dict[str, Array]:
    """The arrays of a file of codes.

    Raises:
        UsageError: it is missing, or another one than codes.json says.
    """
    places = [path / FOLDER / file, outside(sha256, data_dir)]
    found = [place for place in places if not_linked(place).is_file()]
    if not found:
        raise UsageError(
            f"{path} lists the codes {file}, which are neither in {places[0].parent} nor in the folder of "
            f"the data sets, as {places[1]}; get them from who saved the result, or train it again."
        )
    content = found[0].read_bytes()
    if _sha256(content) != sha256:
        raise UsageError(f"{found[0]} is not the file that {path / FILE} lists (sha256); get it again.")
    with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
        return {name: arrays[name] for name in arrays.files}


def _packed(arrays: Mapping[str, Array]) -> bytes:
    buffer = io.BytesIO()
    packed: dict[str, Any] = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    np.savez_compressed(buffer, **packed)
    return buffer.getvalue()


def _rows_file(label: str) -> str:
    """The file of the row numbers of a data set."""
    return f"rows-{label.replace(':', '-')}.npz"


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
