"""The runs that a visitor may choose from: listed under one folder, never found by a path sent."""

import logging
import subprocess
import sys
import threading
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from mnist_exp.app.naming import DATE
from mnist_exp.errors import UserError
from mnist_exp.recognition import Reader
from mnist_exp.runs import Run, find_runs, open_run

MAX_LOADED = 4  # models in memory; a forest on all of MNIST takes 100 MB
MAX_LISTED = 200
UNREADABLE = "this model cannot be loaded, its files are damaged: choose another"

log = logging.getLogger(__name__)


class LoadedRuns:
    """The completed runs with a model under a folder, of which a few are loaded.

    `named` are those of the command line, perhaps outside of the folder; the first is the one to
    begin with. With `only_named` there are no others.
    """

    def __init__(self, root: Path, named: Sequence[Run] = (), only_named: bool = False) -> None:
        self.root, self.named, self.only_named = root, named, only_named
        self._load = lru_cache(MAX_LOADED)(self._read)
        self._lock = threading.Lock()

    def listed(self) -> dict[str, Run]:
        """Name to run, the newest first; a symbolic link does not lead out of the folder."""
        named = {_short(run.path): run for run in self.named if run.has_model}
        if self.only_named:
            return named
        root = self.root.resolve()
        candidates = sorted(
            (
                run
                for run in find_runs(self.root)
                if run.has_model and run.model_path.resolve().is_relative_to(root)
            ),
            key=lambda run: run.model_path.stat().st_mtime,
            reverse=True,
        )
        runs = {
            run.path.relative_to(self.root).as_posix(): run
            for run in candidates[:MAX_LISTED]
            if _is_completed(run)
        }
        listed = [run.path.resolve() for run in runs.values()]
        outside = {n: run for n, run in named.items() if run.path.resolve() not in listed}
        return outside | runs

    def preferred(self) -> str:
        """The name of the run to begin with: the first named, the latest or the newest."""
        runs = self.listed()
        try:
            wanted = self.named[0] if self.named else open_run("latest", self.root)
            there = wanted.path.resolve()
            return next(name for name, run in runs.items() if run.path.resolve() == there)
        except (UserError, StopIteration):  # latest was moved away, or is a search's trial
            if not runs:
                raise UserError(f"no completed run with a model in {self.root}") from None
            return next(iter(runs))

    def reader(self, name: object) -> Reader:
        """The model of a listed run; UserError, which names no folder, where there is none."""
        try:
            with self._lock:  # loaded once, however many threads ask
                return self._load(name if isinstance(name, str) else "")
        except OSError as error:
            raise UserError(UNREADABLE) from error

    def _read(self, name: str) -> Reader:
        run = self.listed().get(name)
        if run is None:
            raise UserError("this model is not there any more: choose one of the runs listed")
        try:
            return Reader(run)
        except UserError as error:
            log.warning("%s", error)
            raise UserError(UNREADABLE) from error


def _short(path: Path) -> str:
    """What tells a run from others without the server's folders: its name, with its day if any."""
    return "/".join(path.parts[-2:] if DATE.fullmatch(path.parent.name) else path.parts[-1:])


def _is_completed(run: Run) -> bool:
    try:
        return run.state == "completed"
    except UserError:
        return False


def first_run(runs: LoadedRuns) -> str:
    """The name of the run to begin with; a model is trained where there is none."""
    if not runs.named and not runs.listed():
        train(runs.root)
    return runs.preferred()


def train(outputs: Path) -> None:
    """Train the default model, with the progress that training shows; UserError if that fails."""
    print(
        f"no run in {outputs}: training model=sgd first, on MNIST if it is on disk or can be "
        "downloaded, else on the small digits bundled with scikit-learn",
        file=sys.stderr,
        flush=True,
    )
    quoted = str(outputs).replace("\\", "\\\\").replace("'", "\\'")
    command = [sys.executable, "-m", "mnist_exp.train", "model=sgd", f"outputs='{quoted}'"]
    if subprocess.run(command, stdout=subprocess.DEVNULL, check=False).returncode:
        raise UserError("training failed; see above")
