"""Sentences on a console. Nothing is imported for it: whoever has a console has rich."""

from __future__ import annotations

from typing import TYPE_CHECKING

from disbench.texts import clean

if TYPE_CHECKING:
    from rich.console import Console


def say(console: Console, *sentences: str) -> None:
    """Prints each sentence on a line of its own: cleaned, not wrapped, and nothing in it is markup."""
    for sentence in sentences:
        console.print(clean(sentence), highlight=False, soft_wrap=True, markup=False, emoji=False)
