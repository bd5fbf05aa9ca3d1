"""From what a person names to run folders."""

import os
from pathlib import Path

from mnist_exp.errors import UserError
from mnist_exp.process import link_atomic
from mnist_exp.runs._run import Run


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
    return [Run(folder) for folder in sorted(folders)]


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
