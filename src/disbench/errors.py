"""The one exception that a user is meant to read: its text is a sentence that says what was given, what was
expected and what to do. The command line prints it and exits with code 2.

The library speaks Python. A sentence names an argument by `argument("max_memory")`, which reads `max_memory`
in Python; the command line, and only it, prints the same sentence with `--max-memory`.
"""

import difflib
import re
from collections.abc import Callable, Iterable

MARK = "\N{SYMBOL FOR UNIT SEPARATOR}"  # around the name of an argument, until the sentence is read


def argument(name: str) -> str:
    """The name of a function's argument, for the sentence of a `UsageError`."""
    return f"{MARK}{name}{MARK}"


class UsageError(ValueError):
    """Wrong input from outside: a name, a file, an option, an array. Never a bug of ours."""

    def __str__(self) -> str:
        return self.told(lambda name: name)

    def told(self, named: Callable[[str], str]) -> str:
        """The sentence, each argument called by what the function makes of its name."""
        return re.sub(f"{MARK}(.*?){MARK}", lambda found: named(found[1]), super().__str__())


def unknown(kind: str, given: str, known: Iterable[str]) -> UsageError:
    """The sentence for a name that does not exist, with the nearest one that does."""
    names = sorted(known)
    close = difflib.get_close_matches(given, names, n=1, cutoff=0.5)
    hint = f"did you mean {close[0]!r}?" if close else f"choose from: {', '.join(names)}."
    return UsageError(f"unknown {kind} {given!r}; {hint}")
