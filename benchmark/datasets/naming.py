"""The names of data sets: a manifest's name or a path of the user's, and options after colons."""

import os
import re
from collections.abc import Sequence
from pathlib import Path

from disbench import texts
from disbench.errors import UsageError, argument
from disbench.texts import whole_numbers

SPLITS = 50  # of unequal classes, see `derived`


def named(given: str | os.PathLike[str]) -> str:
    """The name of a data set that a text or a path gives; a path to a folder has no slash at its end."""
    if isinstance(given, str):
        return given
    return f"{os.fspath(given)}/" if Path(given).is_dir() else os.fspath(given)


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


def short(name: str) -> str:
    """A name with its options; of a user's file, without the folder that it lies in."""
    base, options = split_name(name)
    return ":".join([Path(base).name if is_own(base) else base, *options])


def expanded(name: str) -> list[str]:
    """The data sets that a name with a range stands for: ten for `mnist:imbalanced-0..9`, all for `-*`.

    A range of classes, as in `mnist:classes-0..4`, is one data set of these classes.

    Raises:
        UsageError: what stands in place of a number is none.
    """
    base, options = split_name(name)
    names = [base]
    for option in options:
        kind, _, text = option.partition("-")
        numbers = whole_numbers(text)
        if option == "imbalanced-*":
            numbers = list(range(SPLITS))
        if not (kind == "imbalanced" and re.search(r"\*|\.\.|,", text)):
            classes = kind == "classes" and ".." in text and numbers
            named = f"classes-{','.join(map(str, numbers or ()))}" if classes else option
            names = [f"{each}:{named}" for each in names]
        elif numbers:
            names = [f"{each}:imbalanced-{number}" for each in names for number in dict.fromkeys(numbers)]
        else:
            raise UsageError(
                f"{name!r} has no splits {text!r}; give a number, a range such as imbalanced-0..9, or "
                f"imbalanced-* for all {SPLITS}."
            )
    return names


def as_ranges(names: Sequence[str]) -> list[str]:
    """Names of data sets, the splits of one data set as a range, see `expanded`."""
    splits: dict[str, list[int]] = {}
    for name in names:
        found = re.fullmatch(r"(.+:imbalanced-)(\d+)", name)
        splits.setdefault(found[1] if found else name, []).extend([int(found[2])] if found else [])
    return [head + texts.as_ranges(sorted(set(numbers))) for head, numbers in splits.items()]


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
