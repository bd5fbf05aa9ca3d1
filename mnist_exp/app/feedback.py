"""Corrections that visitors agreed to keep: a folder per class, as `dataset=feedback` reads."""

import json
import threading
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

from PIL import Image, ImageOps

from mnist_exp.errors import UserError
from mnist_exp.handwriting import Ink
from mnist_exp.process import write_atomic
from mnist_exp.recognition import Answer

MAX_BYTES = 50_000_000
MAX_PICTURES = 5_000
MARGIN = 20  # pixels of paper around the ink


class Feedback:
    """The folder of corrections; files are named here, and classes come from the model's list."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock = threading.Lock()

    def save(
        self, ink: Ink, label: object, classes: tuple[str, ...], answer: Answer, model: str
    ) -> Path:
        """Keep a drawing under its right class; UserError where there is no room or no class."""
        if (
            not isinstance(label, str)
            or label not in classes
            or label.startswith(".")
            or Path(label).name != label
        ):
            raise UserError("choose what it should have been")
        if answer.image is None:
            raise UserError(
                "correct one digit at a time" if answer.digits else "draw a digit first"
            )
        correction = {
            "time": datetime.now(UTC).isoformat(timespec="seconds"),
            "picture": f"{uuid4().hex}.png",
            "label": label,
            "read": answer.label,
            "reason": answer.reason,
            "model": model,
        }
        try:
            with self._lock:
                return self._write(ink, correction)
        except OSError as error:
            raise UserError(f"{self.folder} takes no corrections: {error.strerror}") from error

    def _write(self, ink: Ink, correction: dict[str, str | None]) -> Path:
        """A picture of dark ink on paper, and a line about it."""
        sizes = [path.stat().st_size for path in (self.folder / "pictures").glob("*/*.png")]
        if len(sizes) >= MAX_PICTURES or sum(sizes) >= MAX_BYTES:
            raise UserError(f"no room for more corrections in {self.folder}")
        path = self.folder / "pictures" / str(correction["label"]) / str(correction["picture"])
        path.parent.mkdir(parents=True, exist_ok=True)
        drawing = Image.fromarray(ink)
        paper = ImageOps.invert(ImageOps.expand(drawing.crop(drawing.getbbox()), MARGIN))
        write_atomic(path, lambda temporary: paper.save(temporary, "PNG"))
        with (self.folder / "corrections.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(correction, ensure_ascii=False) + "\n")
        return path
