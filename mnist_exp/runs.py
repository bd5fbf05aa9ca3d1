"""The run folder as a type: the only place that spells a file name in it."""

import json
import logging
import os
import re
import socket
import stat
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from uuid import uuid4
from zipfile import ZipInfo

import numpy as np
import psutil
import yaml
from numpy.lib.npyio import NpzFile
from numpy.typing import NDArray

from mnist_exp.errors import Pruned, UserError
from mnist_exp.files import link_atomic, write_atomic, write_bytes, write_json, write_new, write_text
from mnist_exp.metrics import Predictions

if TYPE_CHECKING:
    from mnist_exp.novelty import Neighbours

log = logging.getLogger(__name__)

SCHEMA = 1
HEARTBEAT_SECONDS = 30
_YAML_LOADER = getattr(
    yaml, "CSafeLoader", yaml.SafeLoader
)  # libyaml's, where PyYAML was built with it: five times faster
MOST_TEXT = 64 * 2**20  # bytes of a text file in a run folder, far more than any run writes
MOST_UNPACKED = 2**30  # bytes of a predictions file
STALE_SECONDS = 120  # a run on another host whose status was not touched for so long is taken for dead

State = Literal["running", "completed", "failed", "interrupted", "pruned", "stale"]
SplitName = Literal["test", "val"]
Labels = dict[tuple[int, int], NDArray[Any]]  # by checksum (CRC-32) and size in bytes, as a zip file lists them

_SECRET = re.compile(
    r"(?<=://)([^:/@\s]*):[^@\s]+@|((?:password|passwd|secret|token|auth)\w*[=:])[^\s,}\]]+", re.IGNORECASE
)


def redact(text: str) -> str:
    """Blank out passwords in URLs and in `password=...`, `token=...` and the like."""
    return _SECRET.sub(lambda match: f"{match[1]}:***@" if match[2] is None else f"{match[2]}***", text)


@dataclass(frozen=True)
class Status:
    """What `status.json` holds: who runs it, since when, and how it ended (times in ISO 8601, UTC)."""

    schema: int
    run_id: str
    state: State
    pid: int
    pid_started: float
    host: str
    started: str
    ended: str | None
    error: str | None
    argv: Sequence[str]


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


class Run:
    """One run folder; its properties read what is there, its `save_*` methods write atomically."""

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)

    def __repr__(self) -> str:
        return f"Run({str(self.path)!r})"

    # -- the life of a run ------------------------------------------------------------------------------------------

    @classmethod
    def claim(cls, path: Path, argv: Sequence[str]) -> "Run":
        """Make `path` this process's run; raises FileExistsError if it holds one already: none is ever overwritten."""
        run = cls(path)
        make_folder(path)
        process = psutil.Process()
        status = Status(
            schema=SCHEMA,
            run_id=uuid4().hex,
            state="running",
            pid=process.pid,
            pid_started=process.create_time(),
            host=socket.gethostname(),
            started=_now(),
            ended=None,
            error=None,
            argv=[redact(word) for word in argv],
        )
        write_new(run._status_path, json.dumps(asdict(status), indent=2))
        return run

    def withdraw(self) -> None:
        """Leave the folder to be claimed again, for a job that starts over: its first process is gone for certain."""
        self._status_path.unlink()

    def finish(self, state: State, error: str | None = None) -> None:
        """Write the final state; `completed` is the marker that everything else in the folder is whole."""
        content = asdict(self.status) | {"state": state, "ended": _now(), "error": error and redact(error)}
        write_json(self._status_path, content)

    @contextmanager
    def recording(self) -> Iterator["Run"]:
        """Touch the status while the body runs, and write how it ended."""
        stop = threading.Event()
        heartbeat = threading.Thread(target=self._beat, args=(stop,), daemon=True, name="heartbeat")
        heartbeat.start()
        try:
            yield self
        except KeyboardInterrupt:
            self.finish("interrupted", "stopped by a signal")
            raise
        except Pruned as reason:
            self.finish("pruned", str(reason))
            raise
        except BaseException as error:
            self.finish("failed", str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}")
            raise
        else:
            self.finish("completed")
        finally:
            stop.set()
            heartbeat.join()

    def _beat(self, stop: threading.Event) -> None:
        while not stop.wait(HEARTBEAT_SECONDS):
            os.utime(self._status_path)

    @property
    def status(self) -> Status:
        """The status as written; raises UserError where it cannot be read as one."""
        try:
            content = json.loads(_read_text(self._status_path))
            schema = content["schema"]
            if schema == SCHEMA:
                return Status(**content)
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise UserError(f"{self.path} is not a readable run: {self._status_path.name}: {error!r}") from error
        raise UserError(f"{self.path} has run schema {schema}; this version reads {SCHEMA}")

    @property
    def state(self) -> State:
        """The state, with `stale` for a run that says `running` but whose process is gone."""
        status = self.status
        if status.state != "running" or self._alive(status):
            return status.state
        return "stale"

    def _alive(self, status: Status) -> bool:
        if status.host != socket.gethostname():
            return time.time() - self._status_path.stat().st_mtime < STALE_SECONDS
        return alive(status.pid, status.pid_started)

    @property
    def exists(self) -> bool:
        """Whether the folder was ever claimed by a run; what is there may yet be unreadable."""
        return os.path.lexists(self._status_path)

    # -- what a reader asks for -------------------------------------------------------------------------------------

    @cached_property
    def config(self) -> dict[str, Any]:
        """The composed configuration, interpolations unresolved."""
        return dict(self._read_yaml("config.yaml"))

    @property
    def overrides(self) -> list[str]:
        """The words of the command line that made this run."""
        return list(self._read_yaml("overrides.yaml"))

    @property
    def choices(self) -> dict[str, str]:
        """Which option of each configuration group this run took: `{"model": "rf", ...}`."""
        return dict(self._read_yaml("hydra.yaml")["hydra"]["runtime"]["choices"])

    @property
    def config_text(self) -> str:
        """The composed configuration as it was written."""
        try:
            return _read_text(self.config_path)
        except (OSError, ValueError) as error:
            raise UserError(f"{self.config_path} cannot be read: {error}") from error

    @property
    def config_path(self) -> Path:
        """Where the composed configuration lies."""
        return self.path / ".hydra" / "config.yaml"

    @cached_property
    def metrics(self) -> dict[str, Any]:
        """The nested numbers of `metrics.json`."""
        return self._read_json("metrics.json")

    @cached_property
    def intervals(self) -> dict[str, Any]:
        """Metric name to `low, high, level, method`."""
        return self._read_json("intervals.json")

    @property
    def environment(self) -> dict[str, Any]:
        """Versions, machine, seeds and data of the run."""
        return self._read_json("environment.json")

    @property
    def model_card(self) -> dict[str, Any]:
        """`model.json`: format, sha256, input shape, classes, versions."""
        return self._read_json("model.json")

    @property
    def model_path(self) -> Path:
        """The pipeline's skops file."""
        return self.path / "model.skops"

    def load_model(self) -> Any:
        """The fitted pipeline, raw uint8 images in; UserError if it is not what `model.json` says, or unsafe."""
        import hashlib

        from mnist_exp.storage import load_model

        expected = self.model_card.get("sha256")
        try:
            content = self.model_path.read_bytes()
        except OSError as error:
            raise UserError(f"{self.model_path} cannot be read: {error.strerror}") from error
        if hashlib.sha256(content).hexdigest() != expected:
            raise UserError(f"{self.model_path} is not the file that model.json describes: its sha256 differs")
        return load_model(content, str(self.model_path))

    def load_neighbours(self) -> "Neighbours | None":
        """The kept sample of training images; None if there is none that this version can read."""
        from mnist_exp.novelty import Neighbours

        try:
            with self._neighbours_path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
                return Neighbours(**arrays)
        except FileNotFoundError:
            return None
        except Exception as error:  # a damaged zip raises one of half a dozen unrelated types
            log.info("%s is built anew: %s", self._neighbours_path, error)
            return None

    def has_predictions(self, split: SplitName) -> bool:
        """Whether predictions of a split were kept."""
        return self._predictions_path(split).is_file()

    def predictions(self, split: SplitName) -> Predictions:
        """What the model said of each image of a split; raises UserError if the file is missing or damaged."""
        with self._arrays(split) as arrays:
            return Predictions(
                index=arrays["index"],
                label=arrays["label"],
                prediction=arrays["prediction"],
                probability=arrays.get("probability"),
                score=arrays.get("score"),
                split_sha256=str(arrays["split_sha256"]),
            )

    def answers(self, split: SplitName, known: Labels) -> tuple[NDArray[Any], NDArray[Any], str]:
        """Labels, predictions and the split's sha256 alone; labels that another file brought are not unpacked again."""
        with self._arrays(split) as arrays:
            packed = _parts(arrays)["label.npy"]
            checksum = packed.CRC, packed.file_size
            if checksum not in known:
                known[checksum] = arrays["label"]
            return known[checksum], arrays["prediction"], str(arrays["split_sha256"])

    @contextmanager
    def _arrays(self, split: SplitName) -> Iterator[NpzFile]:
        path = self._predictions_path(split)
        try:
            with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
                _check_size(arrays)
                yield arrays
        except Exception as error:  # a damaged zip raises one of half a dozen unrelated types
            raise UserError(f"{path} cannot be read: {error}") from error

    # -- what a run leaves ------------------------------------------------------------------------------------------

    def save_predictions(self, split: SplitName, predictions: Predictions) -> None:
        """Write enough for every later comparison without the model; scores as float16 to keep folders small."""
        arrays = {field.name: getattr(predictions, field.name) for field in fields(predictions)}
        arrays = {name: value for name, value in arrays.items() if value is not None}
        for name in ("probability", "score"):
            if name in arrays:
                arrays[name] = np.clip(arrays[name], -65504, 65504).astype(np.float16)
        write_atomic(self._predictions_path(split), lambda path: _savez(path, arrays))

    def save_confusion(self, rows: Iterable[Sequence[Any]], picture: bytes) -> None:
        """Write the test confusion matrix as a table and a picture; rows are true classes."""
        self._save_csv("confusion_test.csv", rows)
        write_bytes(self.path / "confusion_test.png", picture)

    def save_per_class(self, rows: Iterable[Sequence[Any]]) -> None:
        """Write precision, recall and F1 of each class."""
        self._save_csv("per_class.csv", rows)

    def save_errors(self, rows: Iterable[Sequence[Any]], picture: bytes) -> None:
        """Write every mistake on the test set, and the gallery."""
        self._save_csv("errors.csv", rows)
        write_bytes(self.path / "errors.png", picture)

    def save_environment(self, content: Mapping[str, Any]) -> None:
        """Write what is needed to judge whether another machine can repeat the run."""
        write_json(self.path / "environment.json", content)

    def save_report(self, html: str) -> None:
        """Write the page that needs no network."""
        write_text(self.path / "report.html", html)

    def save_model(self, pipeline: Any, card: Mapping[str, Any]) -> int:
        """Write the pipeline as a skops file with its card; returns the size in bytes."""
        from mnist_exp.storage import dump_model

        write_atomic(self.model_path, lambda path: dump_model(pipeline, path))
        size = self.model_path.stat().st_size
        write_json(self.path / "model.json", {**card, "sha256": _file_sha256(self.model_path), "bytes": size})
        return size

    def save_neighbours(self, neighbours: "Neighbours") -> None:
        """Keep a sample of the training images beside the model; the one file that a reader may add to a run."""
        write_atomic(self._neighbours_path, lambda path: _savez(path, neighbours.arrays()))

    def save_metrics(self, metrics: Mapping[str, Any], intervals: Mapping[str, Any]) -> None:
        """Write the numbers; the last file before the state turns `completed`."""
        write_json(self.path / "intervals.json", intervals)
        write_json(self.path / "metrics.json", metrics)

    # -- private ----------------------------------------------------------------------------------------------------

    @property
    def _status_path(self) -> Path:
        return self.path / "status.json"

    @property
    def _neighbours_path(self) -> Path:
        return self.path / "neighbours.npz"

    def _predictions_path(self, split: SplitName) -> Path:
        return self.path / f"predictions_{split}.npz"

    def _save_csv(self, name: str, rows: Iterable[Sequence[Any]]) -> None:
        import csv
        import io

        buffer = io.StringIO()
        csv.writer(buffer, lineterminator="\n").writerows(rows)
        write_text(self.path / name, buffer.getvalue())

    def _read_json(self, name: str) -> dict[str, Any]:
        path = self.path / name
        try:
            content = json.loads(_read_text(path))
        except (OSError, ValueError) as error:
            raise UserError(f"{path} cannot be read: {error}") from error
        if not isinstance(content, dict):
            raise UserError(f"{path} is not a JSON object")
        return content

    def _read_yaml(self, name: str) -> Any:
        path = self.path / ".hydra" / name
        try:
            return parse_yaml(_read_text(path))
        except (OSError, ValueError, yaml.YAMLError) as error:
            raise UserError(f"{path} cannot be read: {error}") from error


def _read_text(path: Path) -> str:
    """A file's text; what may come from anywhere is no device or pipe, which would never end, and of a bounded size."""
    found = path.stat()
    if not stat.S_ISREG(found.st_mode):
        raise OSError("not a regular file")
    if found.st_size > MOST_TEXT:
        raise OSError(f"{found.st_size / 1e6:.0f} MB are too many")
    return path.read_text(encoding="utf-8")


def _parts(arrays: NpzFile) -> dict[str, ZipInfo]:
    """What the archive lists, before anything is unpacked."""
    return {} if arrays.zip is None else {part.filename: part for part in arrays.zip.infolist()}


def _check_size(arrays: NpzFile) -> None:
    unpacked = sum(part.file_size for part in _parts(arrays).values())
    if unpacked > MOST_UNPACKED:
        raise UserError(f"it unpacks to {unpacked / 1e6:,.0f} MB")


def parse_yaml(text: str) -> Any:
    """YAML as plain data; raises yaml.YAMLError."""
    return yaml.load(text, Loader=_YAML_LOADER)  # noqa: S506  (both are safe)


def alive(pid: int, started: float) -> bool:
    """Whether the process of this machine that had this number, and began then, still works.

    Numbers are given out again: a later start is another process. An earlier one is not, for a clock that was set back
    makes the same process seem to have started earlier.
    """
    try:
        process = psutil.Process(pid)
        return process.create_time() <= started + 2 and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _savez(path: Path, arrays: Mapping[str, Any]) -> None:
    with path.open("wb") as file:
        np.savez_compressed(file, **arrays)


def _file_sha256(path: Path) -> str:
    import hashlib

    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def make_folder(path: Path) -> None:
    """Make a folder and those above it; FileExistsError is left to mean that somebody claimed it."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except FileExistsError as error:
        raise UserError(f"{path} is a file where a folder is needed") from error


def find_runs(root: Path | str) -> list[Run]:
    """All run folders at or below `root`, sorted by path; no symbolic link is followed, so that none counts twice."""
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
        raise UserError(f"no run at {path}: train one with `python -m mnist_exp.train`, or name another folder")
    run = Run(path.resolve() if text == "latest" else path)
    run.status  # noqa: B018  (reading it is the check)
    return run
