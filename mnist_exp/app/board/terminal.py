"""The board in a terminal: the table once, or kept current."""

import time

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table as RichTable
from rich.text import Text

from mnist_exp.app.board.cells import cell
from mnist_exp.app.board.folders import Folders
from mnist_exp.app.board.table import Table
from mnist_exp.app.board.view import COLUMNS, SORTABLE, View
from mnist_exp.comparison import display_path, printable
from mnist_exp.errors import UserError

COLOURS = {
    "running": "cyan",
    "completed": "green",
    "failed": "red",
    "unreadable": "red",
    "stale": "yellow",
    "interrupted": "yellow",
    "pruned": "bright_black",
}
SHOWN = ("state", "accuracy", "changes", "seconds", "bytes", "started")
LOOK_SECONDS = 1.0
PIPED_WIDTH = 200  # columns, where no terminal says how many there are
WIDE = 130  # columns of a terminal that has room for every column


def show(folders: Folders, condition: str, sort: str, watch: bool) -> None:
    """Print the table, or draw it again and again until Ctrl-C."""
    if sort.removeprefix("-") not in ("", *SORTABLE):
        raise UserError(f"--sort {sort}: must be one of {', '.join(SORTABLE)}, or -COLUMN")
    console, table = Console(), Table(folders)
    if not console.is_terminal:
        console.width = PIPED_WIDTH
    view = View.parse({"filter": condition, "sort": sort, "limit": "99999"})
    folders.refresh()
    if not watch:
        console.print(_draw(table, view, console.width, None))
        return
    with Live(console=console, auto_refresh=False, screen=console.is_terminal) as live:
        while True:
            folders.refresh()
            live.update(_draw(table, view, console.width, max(console.height - 6, 3)), refresh=True)
            time.sleep(max(LOOK_SECONDS, 25 * folders.cost))


def _draw(table: Table, view: View, width: int, height: int | None) -> RenderableType:
    columns = SHOWN if width >= WIDE else SHOWN[:3]
    rows = table.rows(view)
    shown = rows if height is None else rows[:height]
    drawn = RichTable(box=None, header_style="bold", pad_edge=False)
    longest = max((len(row["run"]) for row in shown), default=0)
    drawn.add_column("run", overflow="fold", min_width=min(longest, width // 3))
    for key in columns:
        right = key in ("seconds", "bytes")
        drawn.add_column(
            COLUMNS[key],
            justify="right" if right else "left",
            overflow="fold" if key == "changes" else "ellipsis",
            no_wrap=key != "changes",
        )
    for row in shown:
        cells = [Text(printable(cell(row, key))) for key in columns]
        cells[0] = Text(_state(row), COLOURS.get(row["state"], ""))
        if row["message"]:
            cells[2] = Text(" ".join(filter(None, (cells[2].plain, row["message"]))))
        drawn.add_row(Text(printable(row["run"])), *cells)
    counts = ", ".join(f"{count:,} {state}" for state, count in table.counts().items())
    summary = f"{len(rows):,} runs in {display_path(table.folders.root)}: {counts or 'none'}"
    if len(rows) > len(shown):
        summary += f"; the first {len(shown)} are shown"
    notes = [Text(note, "yellow") for note in table.folders.unlisted]
    lines = [Text(printable(summary), "dim"), *notes]
    # Rows that take several lines may fill the screen, where the last ones are not seen.
    return Group(drawn, *lines) if height is None else Group(*lines, drawn)


def _state(row: dict[str, object]) -> str:
    share = row["share"]
    stage = row["stage"] if row["state"] in ("running", "stale") else None
    words = [str(row["state"]), str(stage) if stage else ""]
    if stage and isinstance(share, float | int):
        words.append(f"{100 * share:.0f}%")
    return printable(" ".join(filter(None, words)))
