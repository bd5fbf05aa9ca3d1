"""The runs a visitor may choose from: those under one folder, found by listing it, never by a path
that was sent.
"""

import threading
from collections import OrderedDict
from pathlib import Path

from mnist_exp.errors import UserError
from mnist_exp.recognition import Reader
from mnist_exp.runs import Run, find_runs

MAX_LOADED = 4  # models in memory; a forest on all of MNIST takes 100 MB
MAX_LISTED = 200


class Shelf:
    """Completed runs with a model under a folder, and the few of them that are loaded."""

    def __init__(self, root: Path, first: Run | None = None) -> None:
        self.root = root
        self.first = first  # named by whoever started the demo, perhaps from elsewhere
        self._loaded: OrderedDict[str, Reader] = OrderedDict()
        self._lock = threading.Lock()

    def runs(self) -> dict[str, Run]:
        """Name to run, the newest first; a symbolic link does not lead out of the folder."""
        found = [run for run in find_runs(self.root) if run.has_model and self._inside(run)]
        found.sort(key=lambda run: run.model_path.stat().st_mtime, reverse=True)
        named = {
            run.path.relative_to(self.root).as_posix(): run
            for run in found[:MAX_LISTED]
            if _completed(run)
        }
        if self.first is not None and not any(
            run.path.samefile(self.first.path) for run in named.values()
        ):
            named = {str(self.first.path): self.first, **named}
        return named

    def _inside(self, run: Run) -> bool:
        return run.model_path.resolve().is_relative_to(self.root.resolve())

    def name(self, wanted: Run | None) -> str:
        """The name of a run, or of the newest; UserError if there is none."""
        runs = self.runs()
        for name, run in runs.items():
            if wanted is None or run.path.samefile(wanted.path):
                return name
        raise UserError(f"no completed run with a model in {self.root}")

    def reader(self, name: object) -> Reader:
        """The model of a run that was chosen; UserError for anything that is not on the list."""
        with self._lock:
            if isinstance(name, str) and name in self._loaded:
                self._loaded.move_to_end(name)
                return self._loaded[name]
            run = self.runs().get(name) if isinstance(name, str) else None
            if run is None:
                raise UserError("choose one of the runs listed")
            reader = self._loaded[str(name)] = Reader(run)
            while len(self._loaded) > MAX_LOADED:
                self._loaded.popitem(last=False)
            return reader


def _completed(run: Run) -> bool:
    try:
        return run.state == "completed"
    except UserError:
        return False


def describe(run: Run, name: str) -> str:
    """A run in one line, for a list: model, data, test accuracy, folder."""
    try:
        target = str(run.config["model"]["_target_"]).rpartition(".")[2]
        said = [target, str(run.config["dataset"]["name"])]
        accuracy = run.metrics.get("test", {}).get("accuracy")
        said += [f"{100 * accuracy:.2f} %"] if accuracy is not None else []
    except (UserError, KeyError, TypeError):
        said = []
    return " · ".join([*said, name])
