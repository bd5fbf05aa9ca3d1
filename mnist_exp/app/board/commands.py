"""What to type to make a run, to repeat it, and to draw with its model."""

import shlex
from pathlib import Path

from mnist_exp.app.board.entry import Entry
from mnist_exp.comparison import display_path


def commands(entry: Entry) -> dict[str, str]:
    """The commands of a run by what they do."""
    where = shlex.quote(display_path(entry.run.path))
    words = shlex.join(
        w for w in entry.details.overrides if not w.startswith(("search=", "search."))
    )
    python = "python -m mnist_exp."
    commands = {}
    if entry.argv and Path(entry.argv[0]).name == "train.py":
        commands["The command that made it"] = f"{python}train {shlex.join(entry.argv[1:])}"
    elif entry.argv and entry.argv[0] != "-c":  # a worker's command line says nothing
        commands["The command that made it"] = shlex.join(entry.argv)
    commands["The command that repeats it"] = f"{python}train {words}".rstrip()
    if entry.state == "completed":
        commands["Repeat it and check that everything is the same"] = f"{python}verify {where}"
        if entry.run.has_model:
            commands["Draw with this model"] = f"{python}demo --run {where}"
    return commands
