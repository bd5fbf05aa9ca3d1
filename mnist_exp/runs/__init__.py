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
from mnist_exp.runs._index import Fingerprint, Index, default_cache, fingerprint, shared_index
from mnist_exp.runs._progress import Progress
from mnist_exp.runs._reading import current_targets, parse_yaml
from mnist_exp.runs._record import FILES, RECORD, Details, Record, read_records, unpack
from mnist_exp.runs._run import LabelCache, Run, SplitName
from mnist_exp.runs._status import STALE_SECONDS, State, Status, alive, make_folder, redact

__all__ = [
    "FILES",
    "RECORD",
    "STALE_SECONDS",
    "Details",
    "Fingerprint",
    "Index",
    "LabelCache",
    "Progress",
    "Record",
    "Run",
    "SplitName",
    "State",
    "Status",
    "alive",
    "claim_folder",
    "claim_job",
    "claim_run",
    "claim_sweep",
    "count_test_reads",
    "current_targets",
    "default_cache",
    "enter_search",
    "find_runs",
    "fingerprint",
    "html_table",
    "make_folder",
    "note_test_read",
    "open_run",
    "parse_yaml",
    "point_latest",
    "read_records",
    "redact",
    "shared_index",
    "unpack",
]
