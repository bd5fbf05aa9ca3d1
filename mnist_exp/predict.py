"""`python -m mnist_exp.predict RUN IMAGE...`: what a run's model reads in pictures of digits."""

import argparse
import csv
import io
import json
import logging
import os
import sys
from collections.abc import Iterator, Sequence
from glob import glob, has_magic
from pathlib import Path
from typing import TYPE_CHECKING

from mnist_exp.errors import UserError

if TYPE_CHECKING:
    from mnist_exp.recognition import Answer, Reader

EPILOG = """IMAGE is a PNG, JPEG, GIF, WebP, BMP or TIFF file: a photo of paper, a scan, a drawing,
or 28x28 pixels as MNIST has them; a quoted pattern ("digits/*.png"), or - for one picture on
standard input. Several digits in one picture are read from left to right. A picture that is blank
or unlike any digit is refused, with the reason. A table of images as dataset=file reads it (.csv,
.npz, .parquet, IDX ...) is taken as it is, like the training images, and nothing in it refused."""
STDIN = "-"
AUTO = "auto"


def main() -> None:
    """Print a line for each picture, or one JSON list; exit 1 with a message for each mistake."""
    parser = argparse.ArgumentParser(prog="mnist_exp.predict", description=__doc__, epilog=EPILOG)
    parser.add_argument("run", metavar="RUN", help="a run folder, or latest")
    parser.add_argument(
        "images", nargs="+", metavar="IMAGE", help="a picture, a quoted pattern, or - for stdin"
    )
    parser.add_argument(
        "--json", action="store_true", help="print one JSON list, an object for each picture"
    )
    parser.add_argument(
        "--csv", type=Path, metavar="FILE", help="write ImageId,Label, as Kaggle takes it"
    )
    parser.add_argument(
        "--min-confidence",
        metavar="P",
        type=_share_or_auto,
        help="give no label below this probability; auto: the run's own for 99.9 %% right",
    )
    parser.add_argument(
        "--outputs", type=Path, default=Path("outputs"), help="the folder in which latest lies"
    )
    arguments = parser.parse_args()
    logging.basicConfig(
        level=logging.INFO,
        format="[%(asctime)s] %(message)s",
        datefmt="%H:%M:%S",
        stream=sys.stderr,
    )
    try:
        answers = list(
            predict(arguments.run, arguments.images, arguments.outputs, arguments.min_confidence)
        )
        errors = [f"error: {error}" for _, _, error in answers if error]
        if len(errors) < len(answers):
            if arguments.csv:
                write_csv(arguments.csv, [(name, answer) for name, answer, _ in answers])
                text = str(arguments.csv)
            elif arguments.json:
                text = json.dumps([answer.as_json(name) for name, answer, _ in answers], indent=2)
            else:
                text = "\n".join(f"{name}: {in_words(answer)}" for name, answer, _ in answers)
            print(text, flush=True)
        if errors:
            sys.exit("\n".join(errors))
    except BrokenPipeError:  # the reader of the output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (UserError, OSError) as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit(130)


def _share_or_auto(text: str) -> float | str:
    if text == AUTO:
        return text
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text}: must be a number from 0 to 1, or {AUTO}")
    return value


def predict(
    run: str, images: Sequence[str], outputs: Path, min_confidence: float | str | None = None
) -> Iterator[tuple[str, "Answer", UserError | None]]:
    """Yield name and answer of each picture in the order given, and the error if it is unreadable.

    One bad picture costs only its own answer. The pictures of a pattern come by name. Below
    `min_confidence` there is no label; "auto" takes what the run recorded.
    """
    from mnist_exp.recognition import held_back, load_reader, recorded_threshold
    from mnist_exp.runs import open_run

    names = list(_names(images))
    opened = open_run(run, outputs)
    threshold = recorded_threshold(opened) if isinstance(min_confidence, str) else min_confidence
    for name, answer, error in _read(names, load_reader(opened)):
        yield name, answer if threshold is None else held_back(answer, threshold), error


def _read(
    names: Sequence[str], reader: "Reader"
) -> Iterator[tuple[str, "Answer", UserError | None]]:
    from threadpoolctl import threadpool_limits

    from mnist_exp.data import table_images
    from mnist_exp.handwriting import read_image
    from mnist_exp.recognition import Answer

    threadpool_limits(1)  # for one picture at a time, threads cost more than they save
    for name in names:
        try:
            table = None if name == STDIN else table_images(name, reader.rectangle)
            if table is not None:
                answers = reader.read_images(table)
                yield from (
                    (f"{name}#{row}", answer, None) for row, answer in enumerate(answers, 1)
                )
                continue
            file = io.BytesIO(sys.stdin.buffer.read()) if name == STDIN else Path(name)
            image = read_image(file, "standard input" if name == STDIN else name)
        except UserError as error:
            yield name, Answer(None, "unreadable"), error
        else:
            yield name, reader.read(image), None


def _names(images: Sequence[str]) -> Iterator[str]:
    if images.count(STDIN) > 1:
        raise UserError("standard input holds one picture, so - can be given only once")
    for name in images:
        is_pattern = has_magic(name) and not Path(name).exists()
        # A Path knows no absolute patterns.
        names = sorted(glob(name, recursive=True)) if is_pattern else [name]  # noqa: PTH207
        if not names:
            raise UserError(f"{name}: no picture matches the pattern")
        yield from names


def write_csv(path: Path, answers: Sequence[tuple[str, "Answer"]]) -> None:
    """Write the number of a table's row, or a picture's name, and the class of each answer."""
    from mnist_exp.process import write_text

    rows = [["ImageId", "Label"]]
    rows += [[name.rpartition("#")[2], answer.label or ""] for name, answer in answers]
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
