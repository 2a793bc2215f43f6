"""Published files: downloaded or copied from the user, checked, stored in `downloads/` of the data folder.

A file is checked before it gets its name, so that every file there is whole; an older one stays until its
successor is complete. A check compares the length and the SHA-256 if they are published, or else the
published MD5; if nothing is published, a sentence says so.
"""

import gzip
import hashlib
import os
import shutil
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path

from disbench.benchmark.datasets.cache import folder as data_folder
from disbench.benchmark.datasets.cache import placed, replacing, require_space
from disbench.benchmark.datasets.manifest import File, Manifest
from disbench.errors import UsageError, argument

TIMEOUT = 30.0  # seconds without a byte before a server counts as stalled

Say = Callable[[str], None]


def place(file: File, folder: Path) -> Path:
    """Where a published file is stored."""
    return folder / "downloads" / file.name


def verified(facts: Manifest, folder: Path) -> dict[str, Path]:
    """Every file that the reader needs, by role, checked.

    Raises:
        UsageError: one is missing or wrong.
    """
    paths = {}
    for file in facts.files:
        path = place(file, folder)
        if not path.exists() and file.installed is not None and Path(file.installed).exists():
            path = Path(file.installed)
        if path.exists():
            check(file, path)
            paths[file.role] = path
        elif not file.optional:
            raise UsageError(
                f"data set {facts.name!r} needs {file.name!r}, which is not in {folder / 'downloads'}; "
                + how_to_get(facts, file, folder)
            )
    return paths


def how_to_get(facts: Manifest, file: File, folder: Path) -> str:
    """What to type to get a missing file into the folder of the data sets."""
    if file.urls:
        return f"run {placed(f'`disbench data fetch {facts.name}`', folder)}"
    fetch = placed(f"`disbench data fetch {facts.name} --from FILE`", folder)
    return f"get it yourself (`disbench data info {facts.name}` says where) and run {fetch}"


def check(file: File, path: Path) -> str:
    """Compares a file with the published one, and says how.

    Raises:
        UsageError: it differs.
    """
    size, again = path.stat().st_size, "get it again, or check that it is the published version"
    if file.unpacked_sha256 is not None and _unpacked_sha256(path) == file.unpacked_sha256:
        return "sha256 of the unpacked content"
    if file.bytes is not None and size != file.bytes:
        raise UsageError(f"{path} has {size:,} bytes, the published {file.name} has {file.bytes:,}; {again}")
    for kind, expected in (("sha256", file.sha256), ("md5", file.md5)):
        if expected is not None:
            actual = digest(path, kind)
            if actual != expected:
                raise UsageError(f"{path} has {kind} {actual}, published is {expected}; {again}")
            return kind
    if file.unpacked_sha256 is not None:
        raise UsageError(f"{path} does not unpack to the published content of {file.name}; {again}")
    return "nothing, no checksum is published"


def digest(path: Path, kind: str) -> str:
    """The checksum of a file, of the kind "sha256" or "md5"."""
    with path.open("rb") as source:
        return hashlib.file_digest(source, kind).hexdigest()


def _unpacked_sha256(path: Path) -> str | None:
    """None for what is not gzip."""
    try:
        with gzip.open(path) as source:
            return hashlib.file_digest(source, "sha256").hexdigest()
    except (OSError, EOFError, zlib.error):
        return None


def fetch(
    facts: Manifest,
    *,
    data_dir: str | os.PathLike[str] | None = None,
    sources: Iterable[Path] = (),
    again: bool = False,
    say: Say = print,
    progress: object = False,
) -> None:
    """Puts every file of a data set in its place, from the user's files first, then from its URLs.

    Args:
        facts: the data set's manifest.
        data_dir: folder of the data sets (default: $DISBENCH_DATA, or else the user's cache folder).
        sources: the user's files, or folders of them; a file is recognised by its name, or by being the only
            one that is needed.
        again: replace files that are there and correct.
        say: is called with a line per file.
        progress: shown during a download: True, or an object with pooch's progress protocol.

    Raises:
        UsageError: a file is missing, differs from the published one, or cannot be downloaded or stored.
    """
    folder = data_folder(data_dir)
    offered = list(_files(sources))
    for file in facts.files:
        target = place(file, folder)
        own = _offered(file, facts, offered)
        if own is not None:
            _copy(file, own, target)
        elif target.exists() and not again and _is_right(file, target, say):
            say(f"{file.name}: already here")
            continue
        elif not offered and file.installed is not None and Path(file.installed).exists() and not again:
            say(f"{file.name}: installed at {file.installed}, checked by {check(file, Path(file.installed))}")
            continue
        elif offered or not file.urls:
            if file.optional:
                continue
            if offered:
                raise UsageError(
                    f"{facts.name!r} needs {Path(file.name).name!r}, which is not among the {len(offered)} "
                    f"files given; add it, or omit {argument('sources')} to download it"
                )
            raise UsageError(f"{facts.name!r} needs {file.name!r}; {how_to_get(facts, file, folder)}")
        else:
            download(file, target, say=say, progress=progress)
        sha256 = digest(target, "sha256")
        say(
            f"{file.name}: {target.stat().st_size:,} bytes, sha256 {sha256}, checked by {check(file, target)}"
        )


def download(file: File, target: Path, *, say: Say = print, progress: object = False) -> None:
    """One file from the first of its URLs that delivers it whole.

    Args:
        file: the published file.
        target: where to store it.
        say: is called with a line for a URL that fails.
        progress: as in `fetch`.

    Raises:
        UsageError: none does; says for each one why.
    """
    import pooch
    import requests

    target.parent.mkdir(parents=True, exist_ok=True)
    if file.bytes is not None:
        require_space(target.parent, file.bytes)
    fetch_url = pooch.HTTPDownloader(progressbar=progress, timeout=TIMEOUT)
    failures = []
    for url in file.urls:
        try:
            with replacing(target) as temporary:
                try:
                    fetch_url(url, str(temporary), None)
                except requests.RequestException as error:
                    raise UsageError(_reason(error)) from error
                check(file, temporary)
            return
        except UsageError as error:
            failures.append(f"{url}: {error}")
            if url != file.urls[-1]:
                say(f"{failures[-1]}; trying the next address")
    raise UsageError(
        f"could not download {file.name!r}: {'; '.join(failures)}; try again later, or give a local copy "
        f"with {argument('sources')} FILE"
    )


def _reason(error: Exception) -> str:
    """The innermost cause; what requests says is several exceptions long."""
    cause = error.args[0] if error.args else error
    return f"the server did not deliver the file ({getattr(cause, 'reason', cause)})"


def _files(sources: Iterable[Path]) -> Iterable[Path]:
    for source in sources:
        if source.is_dir():
            yield from sorted(path for path in source.rglob("*") if path.is_file())
        elif source.is_file():
            yield source
        else:
            raise UsageError(f"{str(source)!r} does not exist; give a file or a folder that holds the files")


def _offered(file: File, facts: Manifest, offered: list[Path]) -> Path | None:
    name = Path(file.name).name
    named = [path for path in offered if path.name == name]
    if named:
        return named[0]
    return offered[0] if len(offered) == len(facts.files) == 1 else None


def _copy(file: File, source: Path, target: Path) -> None:
    check(file, source)
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.exists() and target.samefile(source):
        return
    require_space(target.parent, source.stat().st_size)
    with replacing(target) as temporary:
        shutil.copyfile(source, temporary)


def _is_right(file: File, path: Path, say: Say) -> bool:
    try:
        check(file, path)
    except UsageError as error:
        say(f"{error}")
        return False
    return True
