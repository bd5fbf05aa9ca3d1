"""Run folders: what one holds (`Run`), whether it is whole, and how they are found."""

from mnist_exp.runs._find import find_runs, open_run, point_latest
from mnist_exp.runs._reading import parse_yaml
from mnist_exp.runs._run import Labels, Run, SplitName
from mnist_exp.runs._status import STALE_SECONDS, alive, make_folder, redact

__all__ = [
    "STALE_SECONDS",
    "Labels",
    "Run",
    "SplitName",
    "alive",
    "find_runs",
    "make_folder",
    "open_run",
    "parse_yaml",
    "point_latest",
    "redact",
]
