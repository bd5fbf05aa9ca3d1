"""Pages that explain: one file each, no network.

Style and script are package files that every page carries within it. A page extends `base.html` and
takes its tables, confusion matrices and galleries from `parts.html`. What a click shows is data,
not markup: `galleries` maps a key to `{"title", "items": [[position in the sheet, caption], ...]}`,
and any element with `data-gallery="<key>"` shows that gallery (`page.js`).
"""

import base64
import functools
from collections.abc import Mapping
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from mnist_exp.evaluation import Interval

NO_BREAK_SPACE = "\u00a0"


def data_uri(picture: bytes) -> str:
    """A PNG as text that a page can carry."""
    return "data:image/png;base64," + base64.b64encode(picture).decode("ascii")


def render(template: str, content: Mapping[str, Any], package: str = "mnist_exp.report") -> str:
    """Fill a template of a package; everything is escaped, and a missing name is an error."""
    return _templates(package).get_template(template).render(content)


def percent(share: float) -> str:
    """A share as people read it, on one line."""
    return f"{100 * share:.2f}{NO_BREAK_SPACE}%"


def percent_span(interval: Interval | None) -> str:
    """An interval of shares as people read it; empty if there is none."""
    return f"{percent(interval.low)} to {percent(interval.high)}" if interval else ""


@functools.cache
def _templates(package: str) -> Environment:
    environment = Environment(
        loader=PackageLoader(package),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "percent": percent,
        "percent_span": percent_span,
        "signed": "{:+.2f}".format,
        "thousands": "{:,}".format,
        "data_uri": data_uri,
    }
    return environment
