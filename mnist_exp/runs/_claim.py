"""Taking the folder of a run or a sweep, so that nothing is ever written into another's."""

import os
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from sys import argv

from mnist_exp.errors import UserError
from mnist_exp.runs._run import Run
from mnist_exp.runs._status import make_folder


def claim_run(folder: Path, named: bool) -> Path:
    """Take a folder for one run: a named one must be free, a dated one gets `-2`, `-3` ...

    in a busy second.
    """
    for candidate in _candidates(folder, named):
        try:
            Run.claim(candidate, argv)
        except FileExistsError:
            continue
        return candidate
    raise UserError(
        f"hydra.run.dir={folder} holds a run already: name another folder, or move that one away"
    )


def claim_job(folder: Path) -> Run:
    """Take the folder of a sweep's job; a job that Slurm starts again takes its own, unless it had
    completed.
    """
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


def claim_sweep(folder: Path, named: bool) -> Path:
    """Take a folder for one sweep, likewise."""
    for candidate in _candidates(folder, named):
        make_folder(candidate)
        try:
            (candidate / "multirun.yaml").touch(exist_ok=False)  # Hydra fills it
        except FileExistsError:
            continue
        return candidate
    raise UserError(
        f"hydra.sweep.dir={folder} holds a sweep already: name another folder, or move that one away"
    )


def claim_folder(folder: Path) -> Path:
    """Make a dated folder for what is no run; a busy second's second one gets `-2` and so on."""
    make_folder(folder.parent)
    for candidate in _candidates(folder, named=False):
        try:
            candidate.mkdir()
        except FileExistsError:
            continue
        return candidate
    raise AssertionError("an unnamed folder has candidates without end")


def enter_search(folder: Path, named: bool) -> Path:
    """Take a named folder for a search, or join the one that is there: it resumes."""
    claimed = folder / "multirun.yaml"
    content = claimed.read_text(encoding="utf-8").splitlines() if claimed.exists() else []
    if content and "search:" not in content:  # a grid's
        return claim_sweep(folder, named)
    make_folder(folder)
    claimed.touch()
    return folder


def _candidates(folder: Path, named: bool) -> Iterator[Path]:
    yield folder
    if not named:
        yield from (folder.with_name(f"{folder.name}-{number}") for number in count(2))
