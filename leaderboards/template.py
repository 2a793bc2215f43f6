"""The templates of pages: texts that come into them are escaped, and a name that is missing is an error."""

from __future__ import annotations

import jinja2
from markupsafe import Markup

from disbench.texts import clean_lines


def _seen(value: object) -> object:
    """Every text of a page, on its way into it; what is markup is ours."""
    return clean_lines(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def environment() -> jinja2.Environment:
    """The loader of `templates/`."""
    return jinja2.Environment(
        loader=jinja2.PackageLoader("disbench.leaderboards"),
        autoescape=True,
        finalize=_seen,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
