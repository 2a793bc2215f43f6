"""Results as HTML for notebooks: a title, a table and sentences, every text of them cleaned and escaped."""

from __future__ import annotations

import html
from collections.abc import Iterable
from typing import TYPE_CHECKING

from disbench.texts import clean

if TYPE_CHECKING:
    import pandas as pd


def text(tag: str, content: object) -> str:
    """An element with a text."""
    return f"<{tag}>{html.escape(clean(content))}</{tag}>"


def table(frame: pd.DataFrame) -> str:
    """A frame as a table without its index: four decimals, "–" for what is missing."""
    shown = frame.rename(columns=clean)
    for column in shown.columns:
        shown[column] = [clean(_cell(value)) for value in shown[column]]
    return str(shown.to_html(index=False, border=0))


def _cell(value: object) -> str:
    if value is None or value != value or value == "":
        return "–"
    return f"{value:.4f}" if isinstance(value, float) else str(value)


def result(title: object, frames: Iterable[pd.DataFrame], sentences: Iterable[object] = ()) -> str:
    """A title, tables, and sentences below them."""
    parts = [text("h4", title), *map(table, frames), *(text("p", each) for each in sentences)]
    return "\n".join(parts)
