"""Corrections by visitors who opted in: pictures in a folder per class, as `dataset=feedback` reads
them, and lines.
"""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import numpy as np
from PIL import Image

from mnist_exp.errors import UserError
from mnist_exp.handwriting import Ink
from mnist_exp.process import write_atomic
from mnist_exp.recognition import Answer

MAX_BYTES = 50_000_000
MAX_PICTURES = 5_000


class Feedback:
    """The folder of corrections; names in it are made here, and classes come from the model's
    list.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock = threading.Lock()

    def save(
        self, ink: Ink, label: object, classes: tuple[str, ...], answer: Answer, model: str
    ) -> Path:
        """Keep a drawing under the class that it should have been given; UserError if there is no
        room or no class.
        """
        if (
            not isinstance(label, str)
            or label not in classes
            or Path(label).name != label
            or label.startswith(".")
        ):
            raise UserError("choose what it should have been")
        if answer.image is None:
            raise UserError(
                "correct one digit at a time" if answer.digits else "draw a digit first"
            )
        with self._lock, self._refusal_named():
            self._check_room()
            path = self.folder / "pictures" / label / f"{uuid4().hex}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            rows, columns = np.flatnonzero(ink.any(axis=1)), np.flatnonzero(ink.any(axis=0))
            paper = Image.fromarray(
                255 - np.pad(ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1], 20)
            )
            write_atomic(path, lambda temporary: paper.save(temporary, "PNG"))
            self._note(path, label, answer, model)
        return path

    @contextmanager
    def _refusal_named(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise UserError(f"{self.folder} takes no corrections: {error.strerror}") from error

    def _note(self, path: Path, label: str, answer: Answer, model: str) -> None:
        line: dict[str, str | None] = {
            "time": datetime.now(UTC).isoformat(timespec="seconds"),
            "picture": path.name,
            "label": label,
        }
        line |= {"read": answer.label, "reason": answer.reason, "model": model}
        with (self.folder / "corrections.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(line, ensure_ascii=False) + "\n")

    def _check_room(self) -> None:
        sizes = [path.stat().st_size for path in (self.folder / "pictures").glob("*/*.png")]
        if len(sizes) >= MAX_PICTURES or sum(sizes) >= MAX_BYTES:
            raise UserError(f"no room for more corrections in {self.folder}")
