"""How many runs a test set has judged: each makes the next best figure a little luckier.

One small file for each run, named by its id, under `outputs/.test_reads/<test set>/`: making a
file of a name of its own needs no lock, on any system and any shared disk. A run stays counted
when its folder is deleted.
"""

from pathlib import Path

from mnist_exp.process import write_json
from mnist_exp.runs._run import Run


def note_test_read(outputs: Path, split_sha256: str, run: Run) -> int:
    """Note that this run was tested on that split; returns how many were, this one included."""
    folder = _folder(outputs, split_sha256)
    folder.mkdir(parents=True, exist_ok=True)
    status = run.status
    write_json(folder / f"{status.run_id}.json", {"run": str(run.path), "started": status.started})
    return count_test_reads(outputs, split_sha256)


def count_test_reads(outputs: Path, split_sha256: str) -> int:
    """How many runs below `outputs` have been tested on that split."""
    return sum(1 for _ in _folder(outputs, split_sha256).glob("[!.]*.json"))


def _folder(outputs: Path, split_sha256: str) -> Path:
    return outputs / ".test_reads" / split_sha256[:16]
