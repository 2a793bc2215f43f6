"""The one exception that a user is meant to read: its text is a sentence that says what was given, what was
expected and what to do. The command line prints it and exits with code 2.

The library speaks Python. A sentence names an argument by `argument("max_memory")`, which reads `max_memory`
in Python; the command line, and only it, prints the same sentence with `--max-memory`, see `spelled`.
"""

import difflib
import re
from collections.abc import Callable, Iterable

MARK = "\N{SYMBOL FOR UNIT SEPARATOR}"  # around the name of an argument, until the sentence is read


def argument(name: str) -> str:
    """The name of a function's argument, for the sentence of a `UsageError`."""
    return f"{MARK}{name}{MARK}"


def spelled(sentence: str, spell: Callable[[str], str] = str) -> str:
    """A sentence with each `argument` called by what `spell` makes of its name; as in Python by default."""
    return re.sub(f"{MARK}(.*?){MARK}", lambda name: spell(name[1]), sentence)


class UsageError(ValueError):
    """Wrong input from outside: a name, a file, an option, an array. Never a bug of ours."""

    def __str__(self) -> str:
        return spelled(self.marked)

    @property
    def marked(self) -> str:
        """The sentence before its arguments are spelled, for another sentence that quotes it."""
        return super().__str__()

    def told(self, spell: Callable[[str], str]) -> str:
        """The sentence, each argument called by what the function makes of its name."""
        return spelled(self.marked, spell)


class UnfinishedError(UsageError):
    """What was asked for could not be finished and nothing is lost: the same call goes on from there.

    The command line ends with exit code 75 instead of 2.
    """


def unknown(kind: str, given: str, known: Iterable[str]) -> UsageError:
    """The sentence for a name that does not exist, with the nearest one that does."""
    names = sorted(known)
    close = difflib.get_close_matches(given, names, n=1, cutoff=0.5)
    hint = f"did you mean {close[0]!r}?" if close else f"choose from: {', '.join(names)}."
    return UsageError(f"unknown {kind} {given!r}; {hint}")
