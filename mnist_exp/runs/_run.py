"""The run folder as a type: the only place that spells a file name in it."""

import csv
import hashlib
import io
import json
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import fields
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import yaml
from numpy.lib.npyio import NpzFile
from numpy.typing import NDArray

from mnist_exp.errors import UserError
from mnist_exp.evaluation import Predictions
from mnist_exp.process import write_atomic, write_bytes, write_json, write_text
from mnist_exp.runs._html import html_table
from mnist_exp.runs._progress import CURVE, PROGRESS
from mnist_exp.runs._reading import (
    MOVED,
    check_size,
    current_targets,
    parse_yaml,
    parts,
    read_text,
)
from mnist_exp.runs._status import Lifetime

if TYPE_CHECKING:
    import pandas

log = logging.getLogger(__name__)

SplitName = Literal["test", "val"]
# By checksum (CRC-32) and size in bytes, as a zip file lists them.
LabelCache = dict[tuple[int, int], NDArray[Any]]


class Run(Lifetime):
    """One run folder: properties read what is there, `save_*` methods write atomically.

    Nothing is read before it is asked for, so a `Run` of any folder can be made. What cannot be
    read raises UserError.

    Parameters
    ----------
    path : path
        The folder. `Run.claim` makes a new one.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     run = Run.claim(Path(folder, "a"), argv=["train", "model=rf"])
    ...     with run.recording():
    ...         run.save_metrics({"test": {"accuracy": 0.97}}, {})
    ...     print(run.state, run.metrics["test"]["accuracy"])
    completed 0.97
    """

    # -- what a reader asks for --------------------------------------------------------------------

    @cached_property
    def config(self) -> dict[str, Any]:
        """The composed configuration, interpolations unresolved."""
        return dict(current_targets(self._read(".hydra/config.yaml", parse_yaml)))

    @property
    def overrides(self) -> list[str]:
        """The words of the command line that made this run."""
        return list(self._read(".hydra/overrides.yaml", parse_yaml))

    @property
    def choices(self) -> dict[str, str]:
        """Which option of each configuration group this run took: `{"model": "rf", ...}`."""
        return dict(self._read(".hydra/hydra.yaml", parse_yaml)["hydra"]["runtime"]["choices"])

    @property
    def config_text(self) -> str:
        """The composed configuration as it was written."""
        return str(self._read(".hydra/config.yaml", str))

    @property
    def config_path(self) -> Path:
        """Where the composed configuration lies."""
        return self.path / ".hydra" / "config.yaml"

    @property
    def hydra_text(self) -> str:
        """Hydra's own settings as they were written."""
        return str(self._read(".hydra/hydra.yaml", str))

    @property
    def report_path(self) -> Path:
        """Where the page lies, if the run has one."""
        return self.path / "report.html"

    @property
    def log_path(self) -> Path:
        """Where the log lies."""
        return self.path / "train.log"

    @property
    def progress(self) -> dict[str, Any]:
        """How far the run is; empty where it does not say."""
        return self._read_json(PROGRESS) if self.progress_path.exists() else {}

    @property
    def progress_path(self) -> Path:
        """Where it says so."""
        return self.path / PROGRESS

    @property
    def curve(self) -> list[Any]:
        """What validation said as the fit went on; empty where it was not asked."""
        return list(self._read_json(CURVE)["curve"]) if (self.path / CURVE).exists() else []

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
    def train_sha256(self) -> str | None:
        """Hash of the training split; None where no environment was recorded."""
        recorded = self.environment if (self.path / "environment.json").exists() else {}
        sha256: str | None = recorded.get("data", {}).get("train")
        return sha256

    @property
    def model_card(self) -> dict[str, Any]:
        """`model.json`: format, sha256, input shape, classes, versions."""
        return self._read_json("model.json")

    @property
    def model_path(self) -> Path:
        """The pipeline's skops file."""
        return self.path / "model.skops"

    @property
    def has_model(self) -> bool:
        """Whether a model was kept; trials of a search keep none."""
        return self.model_path.is_file()

    def load_model(self) -> Any:
        """The fitted pipeline, which takes raw images.

        Returns
        -------
        sklearn.pipeline.Pipeline
            Fed with uint8 images (n, h, w).

        Raises
        ------
        UserError
            If the file is not what `model.json` says, or holds what is not safe to load.
        """
        from mnist_exp.models import load_model

        expected = self.model_card.get("sha256")
        try:
            content = self.model_path.read_bytes()
        except OSError as error:
            raise UserError(f"{self.model_path} cannot be read: {error.strerror}") from error
        if hashlib.sha256(content).hexdigest() != expected:
            raise UserError(
                f"{self.model_path} is not the file that model.json describes: its sha256 differs"
            )
        return load_model(content, str(self.model_path), MOVED)

    def load_neighbours(self) -> dict[str, NDArray[Any]] | None:
        """The index of training images, as arrays; None if there is none that can be read."""
        path = self._neighbours_path
        try:
            with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
                return dict(arrays)
        except FileNotFoundError:
            return None
        except Exception as error:  # a damaged zip raises one of half a dozen unrelated types
            log.info("%s is built anew: %s", path, error)
            return None

    def has_predictions(self, split: SplitName) -> bool:
        """Whether predictions of a split were kept."""
        return self._predictions_path(split).is_file()

    def predictions(self, split: SplitName) -> Predictions:
        """The model's predictions on a split.

        Parameters
        ----------
        split : "test" or "val"

        Returns
        -------
        Predictions
            With probabilities rounded to float32, and scores to float16.

        Raises
        ------
        UserError
            If the file is missing or damaged.
        """
        with self._arrays(split) as arrays:
            return Predictions(
                index=arrays["index"],
                label=arrays["label"],
                prediction=arrays["prediction"],
                probability=arrays.get("probability"),
                score=arrays.get("score"),
                split_sha256=str(arrays["split_sha256"]),
            )

    def labels_and_predictions(
        self, split: SplitName, cache: LabelCache
    ) -> tuple[NDArray[Any], NDArray[Any], str]:
        """Labels, predictions and split hash alone; labels in the cache are not unpacked again."""
        with self._arrays(split) as arrays:
            packed = parts(arrays)["label.npy"]
            checksum = packed.CRC, packed.file_size
            if checksum not in cache:
                cache[checksum] = arrays["label"]
            return cache[checksum], arrays["prediction"], str(arrays["split_sha256"])

    @contextmanager
    def _arrays(self, split: SplitName) -> Iterator[NpzFile]:
        path = self._predictions_path(split)
        try:
            with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
                check_size(arrays)
                yield arrays
        except Exception as error:  # a damaged zip raises one of half a dozen unrelated types
            raise UserError(f"{path} cannot be read: {error}") from error

    # -- how it shows itself -----------------------------------------------------------------------

    def to_frame(self) -> "pandas.DataFrame":
        """The run as one row; `pandas.concat` puts those of several runs below each other.

        Returns
        -------
        pandas.DataFrame
            Columns `run` and `state`; one for each configuration group with the option chosen
            (`model`); `config.*`; and every number of `metrics.json` (`test.accuracy`), with the
            bounds of those that have an interval (`test.accuracy_low`, `test.accuracy_high`).

        Raises
        ------
        UserError
            If the run has no configuration or no metrics (yet).
        """
        import pandas

        bounds = {
            f"{name}_{end}": interval[end]
            for name, interval in self.intervals.items()
            for end in ("low", "high")
        }
        row = {"run": str(self.path), "state": self.state, **self._group_choices, **bounds}
        return pandas.DataFrame([row]).join(
            pandas.json_normalize(self.metrics | {"config": self.config})
        )

    def _repr_html_(self) -> str:
        """A table for notebooks: accuracies with their intervals, choices, time, the folder."""
        row = {"run": str(self.path), "state": self.state}
        if error := self.status.error:
            row["error"] = error
        if row["state"] == "completed":
            for split in sorted({"test", "val"} & set(self.metrics)):
                interval = self.intervals.get(f"{split}.accuracy", {})
                bounds = [f"{100 * interval[end]:.2f}" for end in ("low", "high") if interval]
                row[f"{split} accuracy, %"] = f"{100 * self.metrics[split]['accuracy']:.2f}" + (
                    f" [{', '.join(bounds)}]" if bounds else ""
                )
            row["time"] = f"{self.metrics['time']['total_s']:.1f} s"
            row |= self._group_choices
        return html_table("", list(row), [(self.path, list(row.values()))])

    @property
    def _group_choices(self) -> dict[str, str]:
        return {
            group: option
            for group, option in self.choices.items()
            if option is not None and not group.startswith("hydra/")
        }

    # -- what a run leaves -------------------------------------------------------------------------

    def save_predictions(self, split: SplitName, predictions: Predictions) -> None:
        """Write enough for every later comparison without the model.

        Probabilities are float32, for near 1 float16 cannot tell 99.9 % from 99.95 %.
        """
        arrays = {field.name: getattr(predictions, field.name) for field in fields(predictions)}
        arrays = {name: value for name, value in arrays.items() if value is not None}
        if "probability" in arrays:
            arrays["probability"] = arrays["probability"].astype(np.float32)
        if "score" in arrays:
            arrays["score"] = np.clip(arrays["score"], -65504, 65504).astype(np.float16)
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
        from mnist_exp.models import dump_model

        write_atomic(self.model_path, lambda path: dump_model(pipeline, path))
        with self.model_path.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
            size = file.tell()
        write_json(self.path / "model.json", {**card, "sha256": sha256, "bytes": size})
        return size

    def save_neighbours(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Keep an index of training images; the one file that a reader may add to a run."""
        write_atomic(self._neighbours_path, lambda path: _savez(path, arrays))

    def save_metrics(self, metrics: Mapping[str, Any], intervals: Mapping[str, Any]) -> None:
        """Write the numbers; the last file before the state turns `completed`."""
        write_json(self.path / "intervals.json", intervals)
        write_json(self.path / "metrics.json", metrics)

    # -- private -----------------------------------------------------------------------------------

    @property
    def _neighbours_path(self) -> Path:
        return self.path / "neighbours.npz"

    def _predictions_path(self, split: SplitName) -> Path:
        return self.path / f"predictions_{split}.npz"

    def _save_csv(self, name: str, rows: Iterable[Sequence[Any]]) -> None:
        buffer = io.StringIO()
        csv.writer(buffer, lineterminator="\n").writerows(rows)
        write_text(self.path / name, buffer.getvalue())

    def _read_json(self, name: str) -> dict[str, Any]:
        content = self._read(name, json.loads)
        if not isinstance(content, dict):
            raise UserError(f"{self.path / name} is not a JSON object")
        return content

    def _read(self, name: str, parse: Callable[[str], Any]) -> Any:
        path = self.path / name
        try:
            return parse(read_text(path))
        except (OSError, ValueError, yaml.YAMLError) as error:
            raise UserError(f"{path} cannot be read: {error}") from error


def _savez(path: Path, arrays: Mapping[str, Any]) -> None:
    with path.open("wb") as file:
        np.savez_compressed(file, **arrays)
