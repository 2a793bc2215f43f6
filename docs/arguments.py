"""One entry per argument on the site: docstrings put `codes: (n, d). factors: (n, k).` or `bins, binning:` on
one line, which mkdocstrings would show as one argument."""

from __future__ import annotations

import re
from typing import Any

from griffe import Extension


def one_each(text: str) -> str:
    """A cleaned docstring with one name per entry of its Args and Attributes."""
    found, inside = [], False
    for line in text.split("\n"):
        if not line.startswith("    "):
            inside = line in ("Args:", "Attributes:")
        if inside and re.match(r"    \w", line):
            line = re.sub(r"\. (?=[a-z_]+(, [a-z_]+)*: )", ".\n    ", line)
        found += line.split("\n")
    return re.sub(
        r"^    (\w+(?:, \w+)+): (.*(?:\n {5,}.*)*)",
        lambda m: "\n".join(f"    {name}: {m[2]}" for name in m[1].split(", ")),
        "\n".join(found),
        flags=re.MULTILINE,
    )


class OneEach(Extension):
    def on_object(self, *, obj: Any, **kwargs: Any) -> None:
        if not obj.is_alias and obj.docstring:
            obj.docstring.value = one_each(obj.docstring.value)
