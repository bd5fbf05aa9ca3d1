"""How often a test set has been looked at: every look at the same images makes the next best figure
a little luckier.

One small file for each look, named by the run, under `outputs/.test_reads/<test set>/`: making a
file of a name of its own needs no lock on any system, on any shared disk. Looks stay counted when
their run folder is deleted.
"""

from pathlib import Path

from mnist_exp.process import write_json
from mnist_exp.runs._run import Run


def note_test_read(outputs: Path, split_sha256: str, run: Run) -> int:
    """Note that this run has been tested on that split; returns how many runs have been, this one
    included.
    """
    folder = outputs / ".test_reads" / split_sha256[:16]
    folder.mkdir(parents=True, exist_ok=True)
    status = run.status
    write_json(folder / f"{status.run_id}.json", {"run": str(run.path), "started": status.started})
    return count_test_reads(outputs, split_sha256)


def count_test_reads(outputs: Path, split_sha256: str) -> int:
    """How many runs below `outputs` have been tested on that split."""
    folder = outputs / ".test_reads" / split_sha256[:16]
    return sum(1 for _ in folder.glob("[!.]*.json"))
