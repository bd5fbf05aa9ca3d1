"""`python -m mnist_exp.predict RUN PATH...`: what a run's model reads in pictures of digits."""

import argparse
import csv
import io
import json
import logging
import os
import re
import sys
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from glob import glob, has_magic
from pathlib import Path
from typing import TYPE_CHECKING

from mnist_exp.errors import UserError

if TYPE_CHECKING:
    from mnist_exp.recognition import Answer, Reader

EPILOG = """PATH is a PNG, JPEG, GIF, WebP, BMP or TIFF file: a photo of paper, a scan, a drawing,
or 28x28 pixels as MNIST has them; a folder, whose pictures are read by name, those in its folders
too; a quoted pattern ("digits/*.jpg", in any case); or - for a picture on standard input. Several
digits in one picture are read from left to right, several pages one after another. A picture that
is blank or unlike any digit is refused, with the reason. A table of images as dataset=file reads it
(.csv, .npz, .parquet, IDX ...) is taken as it is, like the training images, and nothing in it
refused. The exit code is 0 if every picture could be opened, be it read or refused; 1 if one could
not be, or for any other mistake; 2 for a wrong option."""
STDIN = "-"

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Reading:
    """An answer to one image, and what it is called.

    Attributes
    ----------
    image : str
        The path; with `[2]` for a page, with `#2` for an image of a table.
    answer : Answer
        What was read, or why nothing was.
    row : int or None
        The number of an image in its table, from 1.
    error : str or None
        Why the image could not be opened or read.
    """

    image: str
    answer: "Answer"
    row: int | None = None
    error: str | None = None


def main() -> None:
    """Print a line for each picture, or one JSON list; exit 1 with a message for each mistake."""
    parser = argparse.ArgumentParser(prog="mnist_exp.predict", description=__doc__, epilog=EPILOG)
    parser.add_argument("run", metavar="RUN", help="a run folder, or latest")
    parser.add_argument(
        "paths",
        nargs="+",
        metavar="PATH",
        help="a picture, a folder, a quoted pattern, a table, or - for stdin",
    )
    parser.add_argument(
        "--json", action="store_true", help="print one JSON list, an object for each picture"
    )
    parser.add_argument(
        "--csv", type=Path, metavar="FILE", help="write ImageId,Label, as Kaggle takes it"
    )
    parser.add_argument(
        "--outputs", type=Path, default=Path("outputs"), help="the folder in which latest lies"
    )
    arguments = parser.parse_args()
    if arguments.csv and not arguments.csv.absolute().parent.is_dir():
        parser.error(f"--csv {arguments.csv}: there is no folder {arguments.csv.parent}")
    logging.basicConfig(
        level=logging.INFO,
        format="[%(asctime)s] %(message)s",
        datefmt="%H:%M:%S",
        stream=sys.stderr,
    )
    warnings.filterwarnings("ignore", module="PIL")  # a damaged picture is told as an error
    try:
        readings = list(predict(arguments.run, arguments.paths, arguments.outputs))
        errors = [f"error: {reading.error}" for reading in readings if reading.error]
        if arguments.csv and len(errors) < len(readings):
            write_csv(arguments.csv, readings)
        if arguments.json:
            objects = [reading.answer.as_json(reading.image) for reading in readings]
            print(json.dumps(objects, indent=2), flush=True)
        elif len(errors) < len(readings):
            lines = [f"{reading.image}: {in_words(reading.answer)}" for reading in readings]
            print(arguments.csv or "\n".join(lines), flush=True)
        if errors:
            sys.exit("\n".join(errors))
    except BrokenPipeError:  # the reader of the output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (UserError, OSError) as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit(130)


def predict(run: str, paths: Sequence[str], outputs: Path) -> Iterator[Reading]:
    """Yield what is read in each image, in the order given; one bad file costs only its answer.

    The pictures of a folder or of a pattern come by name.
    """
    from threadpoolctl import threadpool_limits

    from mnist_exp.recognition import load_reader
    from mnist_exp.runs import open_run

    if paths.count(STDIN) > 1:
        raise UserError("standard input holds one picture, so - can be given only once")
    reader = load_reader(open_run(run, outputs))
    threadpool_limits(1)  # for one picture at a time, threads cost more than they save
    for path in paths:
        try:
            files = _files(path)
        except (UserError, OSError) as error:
            yield _failed(path, error)
            continue
        for file in files:
            try:
                yield from _read(reader, file)
            except Exception as error:  # whatever it is, the other pictures are read
                yield _failed(file, error)


def _failed(name: str, error: Exception) -> Reading:
    from mnist_exp.recognition import Answer

    reason = str(error).removeprefix(f"{name}: ").removeprefix(f"{name} is ")
    if isinstance(error, OSError):
        reason = error.strerror or reason
    elif not isinstance(error, UserError):
        reason = f"{type(error).__name__}: {error}"
    return Reading(name, Answer(None, f"unreadable: {reason}"), error=f"{name}: {reason}")


def _files(path: str) -> list[str]:
    """The files that a path, a folder or a pattern stands for."""
    if path != STDIN and has_magic(path) and not os.path.lexists(path):
        # A Path knows no absolute patterns.
        matches = sorted(glob(_in_any_case(path), recursive=True))  # noqa: PTH207
        if not matches:
            raise UserError(f"{path}: no picture matches the pattern")
        return [file for match in matches for file in _files(match)]
    return _pictures(Path(path)) if Path(path).is_dir() else [path]


def _in_any_case(pattern: str) -> str:
    """Let the file's name in a pattern match in any case: `*.jpg` is `*.[jJ][pP][gG]`."""
    folder, name = os.path.split(pattern)

    def both_cases(match: re.Match[str]) -> str:
        letters = match[0].strip("[]")
        return f"[{letters}{letters.lstrip('!').swapcase()}]"

    return os.path.join(folder, re.sub(r"\[[^]]+\]|[^\W\d_]", both_cases, name))  # noqa: PTH118


def _pictures(folder: Path) -> list[str]:
    """The pictures in a folder and in the folders in it, by name; hidden ones are left out."""
    from mnist_exp.data import PICTURE_SUFFIXES

    files = [
        path
        for path in sorted(folder.rglob("*"))
        if not any(part.startswith((".", "__MACOSX")) for part in path.relative_to(folder).parts)
        and path.is_file()
    ]
    pictures = [str(path) for path in files if path.suffix.lower() in PICTURE_SUFFIXES]
    others = [path.name for path in files if path.suffix.lower() not in PICTURE_SUFFIXES]
    if not pictures:
        raise UserError(
            f"{folder}: no pictures in it; it holds {', '.join(others[:5]) or 'nothing'}"
        )
    if others:
        log.info("%s: left out, since they are no pictures: %s", folder, ", ".join(others[:8]))
    return pictures


def _read(reader: "Reader", file: str) -> Iterator[Reading]:
    """Yield what is read in each image of a table, or on each page of a picture."""
    from mnist_exp.data import table_images
    from mnist_exp.handwriting import read_pages

    if Path(file).is_file():
        table = table_images(file, reader.rectangle)
        if table is not None:
            for row, answer in enumerate(reader.read_images(table), 1):
                yield Reading(f"{file}#{row}", answer, row)
            return
    with io.BytesIO(sys.stdin.buffer.read()) if file == STDIN else Path(file).open("rb") as opened:
        for name, page in read_pages(opened, file):
            try:
                yield Reading(name, reader.read(page()))
            except Exception as error:  # whatever it is, the other pages are read
                yield _failed(name, error)


def write_csv(path: Path, readings: Sequence[Reading]) -> None:
    """Write the number of a table's row, or a picture's name, and the class of each answer."""
    from mnist_exp.process import write_text

    rows = [["ImageId", "Label"]]
    rows += [
        [str(reading.row or reading.image), reading.answer.label or ""] for reading in readings
    ]
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    write_text(path, text.getvalue())


def in_words(answer: "Answer") -> str:
    """Return an answer as a short phrase: `7 (98.3 %)`, `42`, `not a digit`."""
    if answer.label is None:
        return answer.reason or ""
    if answer.probabilities is not None:
        return f"{answer.label} ({100 * answer.probabilities[answer.label]:.1f} %)"
    if answer.scores is not None:
        first, second, *_ = sorted(answer.scores.values(), reverse=True)
        return f"{answer.label} (score {first:+.2f}, next {second:+.2f})"
    return answer.label


if __name__ == "__main__":
    main()
