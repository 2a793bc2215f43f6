"""The one exception that a user is meant to read: its text is a sentence that says what was given, what was
expected and what to do. The command line prints it and exits with code 2."""

import difflib
from collections.abc import Iterable


class UsageError(ValueError):
    """Wrong input from outside: a name, a file, an option, an array. Never a bug of ours."""


def unknown(kind: str, given: str, known: Iterable[str]) -> UsageError:
    """The sentence for a name that does not exist, with the nearest one that does."""
    names = sorted(known)
    close = difflib.get_close_matches(given, names, n=1, cutoff=0.5)
    hint = f"did you mean {close[0]!r}?" if close else f"choose from: {', '.join(names)}."
    return UsageError(f"unknown {kind} {given!r}; {hint}")
