"""The run's page: one file, no network."""

import base64
from collections.abc import Mapping
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined


def data_uri(picture: bytes) -> str:
    """A PNG as text that a page can carry."""
    return "data:image/png;base64," + base64.b64encode(picture).decode("ascii")


def render(template: str, content: Mapping[str, Any]) -> str:
    """Fill a template of this package; everything is escaped, and a missing name is an error."""
    environment = Environment(
        loader=PackageLoader("mnist_exp.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["percent"] = lambda share: f"{100 * share:.2f} %"
    return environment.get_template(template).render(content)
