"""Run folders: what one holds (`Run`), whether it is whole, how they are claimed and found."""

from mnist_exp.runs._addresses import current_targets
from mnist_exp.runs._claim import claim_folder, claim_job, claim_run, claim_sweep, enter_search
from mnist_exp.runs._find import find_runs, open_run, point_latest
from mnist_exp.runs._html import html_table
from mnist_exp.runs._index import Index, default_cache, fingerprint, shared_index
from mnist_exp.runs._progress import Progress
from mnist_exp.runs._reading import parse_yaml
from mnist_exp.runs._record import FILES, Record, read_records
from mnist_exp.runs._run import LabelCache, Run, SplitName
from mnist_exp.runs._status import STALE_SECONDS, State, alive, make_folder, redact
from mnist_exp.runs._test_reads import count_test_reads, note_test_read

__all__ = [
    "FILES",
    "STALE_SECONDS",
    "Index",
    "LabelCache",
    "Progress",
    "Record",
    "Run",
    "SplitName",
    "State",
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
]
