"""The folders of runs and sweeps: claimed, found, `latest`, and how many the test set has judged.

Nothing is ever written into another's folder.
"""

import os
from collections.abc import Callable
from contextlib import suppress
from itertools import chain, count
from pathlib import Path
from sys import argv

from mnist_exp.errors import UserError
from mnist_exp.process import link_atomic, write_json
from mnist_exp.runs._index import shared_index
from mnist_exp.runs._record import fill_from_index
from mnist_exp.runs._run import Run
from mnist_exp.runs._status import make_folder

SWEEP_FILE = "multirun.yaml"  # Hydra fills it


def claim_run(folder: Path, named: bool) -> Path:
    """Take a folder for one run; a named one must be free, a dated one becomes `-2`, `-3` ..."""
    return _first_free("run", folder, named, lambda path: Run.claim(path, argv))


def claim_sweep(folder: Path, named: bool) -> Path:
    """Take a folder for one sweep, likewise."""

    def claim(path: Path) -> None:
        make_folder(path)
        (path / SWEEP_FILE).touch(exist_ok=False)

    return _first_free("sweep", folder, named, claim)


def claim_folder(folder: Path) -> Path:
    """Make a dated folder for what is no run; it becomes `-2`, `-3` ... likewise."""
    make_folder(folder.parent)
    return _first_free("folder", folder, False, Path.mkdir)


def _first_free(kind: str, folder: Path, named: bool, claim: Callable[[Path], object]) -> Path:
    numbered = (folder.with_name(f"{folder.name}-{number}") for number in count(2))
    for candidate in chain([folder], () if named else numbered):
        with suppress(FileExistsError):
            claim(candidate)
            return candidate
    raise UserError(
        f"hydra.{kind}.dir={folder} holds a {kind} already: "
        "name another folder, or move that one away"
    )


def claim_job(folder: Path) -> Run:
    """Take the folder of a sweep's job; one that Slurm restarts takes its own, if unfinished."""
    run = Run(folder)
    if (
        os.environ.get("SLURM_RESTART_COUNT", "0") != "0"
        and run.exists
        and run.status.state != "completed"
    ):
        run.withdraw()
    try:
        return Run.claim(folder, argv)
    except FileExistsError as error:
        raise UserError(
            f"{folder} holds a run already; hydra.sweep.subdir must differ from job to job"
        ) from error


def enter_search(folder: Path, named: bool) -> Path:
    """Take a named folder for a search, or join the one that is there: it resumes."""
    sweep = folder / SWEEP_FILE
    content = sweep.read_text(encoding="utf-8").splitlines() if sweep.exists() else []
    if content and "search:" not in content:  # a grid's
        return claim_sweep(folder, named)
    make_folder(folder)
    sweep.touch()
    return folder


def find_runs(root: Path | str = "outputs") -> list[Run]:
    """All run folders at or below a folder.

    Parameters
    ----------
    root : path
        A run, a sweep, or any folder above them. No symbolic link is followed, so that no run
        counts twice.

    Returns
    -------
    list of Run
        Sorted by path; whole or not, which `Run.state` says. Empty where there is none.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     for name in ("b", "a"):
    ...         run = Run.claim(Path(folder, name), argv=[])
    ...     print([run.path.name for run in find_runs(folder)])
    ['a', 'b']
    """
    folders = (Path(folder) for folder, _, files in os.walk(root) if "status.json" in files)
    runs = [Run(folder) for folder in sorted(folders)]
    fill_from_index(runs, shared_index())
    return runs


def point_latest(outputs: Path, run: Run) -> None:
    """Make `outputs/latest` name this run; the one that completes last wins."""
    outputs.mkdir(parents=True, exist_ok=True)
    link_atomic(outputs / "latest", run.path)


def open_run(text: str, outputs: Path = Path("outputs")) -> Run:
    """The run that a person named: a folder, or `latest`."""
    path = outputs / "latest" if text == "latest" else Path(text)
    if path.is_file():  # the stand-in for a symbolic link
        path = path.parent / path.read_text(encoding="utf-8")
    if not path.exists():
        raise UserError(
            f"no run at {path}: train one with `python -m mnist_exp.train`, or name another folder"
        )
    run = Run(path.resolve() if text == "latest" else path)
    run.status  # noqa: B018  (reading it is the check)
    return run


def note_test_read(outputs: Path, split_sha256: str, run: Run) -> int:
    """Note that this run was tested on that split; returns how many were, this one included.

    Each read makes the next best figure of that split a little luckier.
    """
    folder = _test_reads(outputs, split_sha256)
    folder.mkdir(parents=True, exist_ok=True)
    status = run.status
    write_json(folder / f"{status.run_id}.json", {"run": str(run.path), "started": status.started})
    return count_test_reads(outputs, split_sha256)


def count_test_reads(outputs: Path, split_sha256: str) -> int:
    """How many runs below `outputs` have been tested on that split."""
    return sum(1 for _ in _test_reads(outputs, split_sha256).glob("[!.]*.json"))


def _test_reads(outputs: Path, split_sha256: str) -> Path:
    """The folder with one small file for each run that the split judged, named by the run's id.

    Making a file of a name of its own needs no lock, on any system and any shared disk. A run stays
    counted when its folder is deleted.
    """
    return outputs / ".test_reads" / split_sha256[:16]
