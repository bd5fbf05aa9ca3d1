"""Taking the folder of a run or a sweep, so that nothing is ever written into another's."""

import os
from collections.abc import Callable, Iterable
from itertools import chain, count
from pathlib import Path
from sys import argv

from mnist_exp.errors import UserError
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
    candidates: Iterable[Path] = [folder] if named else chain([folder], numbered)
    for candidate in candidates:
        try:
            claim(candidate)
        except FileExistsError:
            continue
        return candidate
    raise UserError(
        f"hydra.{kind}.dir={folder} holds a {kind} already: "
        "name another folder, or move that one away"
    )


def claim_job(folder: Path) -> Run:
    """Take the folder of a sweep's job; one that Slurm restarts takes its own, if unfinished."""
    run = Run(folder)
    restarted = os.environ.get("SLURM_RESTART_COUNT", "0") != "0"
    if restarted and run.exists and run.status.state != "completed":
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
