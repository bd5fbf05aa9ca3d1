"""Run folders as a table in a notebook."""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

TABLE = """\
<table>
  {% if caption %}<caption>{{ caption }}</caption>{% endif %}
  <thead><tr>{% for name in head %}<th>{{ name }}</th>{% endfor %}</tr></thead>
  <tbody>
  {% for href, first, rest in rows %}
    <tr><td><a href="{{ href | urlencode }}">{{ first }}</a></td>
    {%- for cell in rest %}<td>{{ cell }}</td>{% endfor %}</tr>
  {% endfor %}
  </tbody>
</table>
"""


def html_table(
    caption: str, head: Sequence[str], rows: Iterable[tuple[Path, Sequence[str]]]
) -> str:
    """A table of runs, everything in it escaped; the first cell of a row links to its folder."""
    from jinja2 import Environment

    template = Environment(autoescape=True, trim_blocks=True).from_string(TABLE)
    linked = [(_href(folder), first, rest) for folder, (first, *rest) in rows]
    return template.render(caption=caption, head=head, rows=linked)


def _href(folder: Path) -> str:
    """Relative, for a browser opens no file on its disk for a page that comes from a server."""
    try:
        return Path(os.path.relpath(folder)).as_posix()
    except ValueError:  # on another drive
        return folder.absolute().as_uri()
