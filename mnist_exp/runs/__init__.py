"""Run folders: what one holds (`Run`), whether it is whole, how they are claimed and found."""

from mnist_exp.runs._folders import (
    claim_folder,
    claim_job,
    claim_run,
    claim_sweep,
    count_test_reads,
    enter_search,
    find_runs,
    note_test_read,
    open_run,
    point_latest,
)
from mnist_exp.runs._html import html_table
from mnist_exp.runs._reading import current_targets, parse_yaml
from mnist_exp.runs._run import LabelCache, Run, SplitName
from mnist_exp.runs._status import STALE_SECONDS, alive, make_folder, redact

__all__ = [
    "STALE_SECONDS",
    "LabelCache",
    "Run",
    "SplitName",
    "alive",
    "claim_folder",
    "claim_job",
    "claim_run",
    "claim_sweep",
    "count_test_reads",
    "current_targets",
    "enter_search",
    "find_runs",
    "html_table",
    "make_folder",
    "note_test_read",
    "open_run",
    "parse_yaml",
    "point_latest",
    "redact",
]
