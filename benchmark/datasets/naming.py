"""The names of data sets: a manifest's name or a path of the user's, and options after colons."""

import re

from disbench.errors import UsageError, argument


def is_own(base: str) -> bool:
    """Whether a name without options is a path of the user's: an npz file, or a folder, with a slash."""
    return base.endswith((".npz", "/"))


def split_name(name: str) -> tuple[str, list[str]]:
    """Name or path, and the options after it. A path may hold colons before its `.npz` or its last slash."""
    head, dot, tail = name.rpartition(".npz")
    if dot and (not tail or tail.startswith(":")):
        return head + dot, tail.split(":")[1:]
    folder, slash, last = name.rpartition("/")
    base, *options = last.split(":")
    return folder + slash + base, options


def as_in_tables(name: str) -> tuple[str, int] | None:
    """Name and image size of a label as tables print it, such as "dsprites-32"; None if it ends otherwise."""
    found = re.fullmatch(r"(.+)-(\d+)", name)
    return (found[1], int(found[2])) if found else None


def of_a_table(given: str, name: str, size: int) -> UsageError:
    """The sentence for such a label, given as a name."""
    return UsageError(
        f"{given!r} is what tables call {name} with images of {size} pixels; give {argument('dataset')} "
        f"{name} "
        f"{argument('size')} {size}."
    )
