"""`python -m mnist_exp.predict RUN IMAGE...`: what a run's model reads in pictures of handwritten
digits.
"""

import argparse
import io
import json
import logging
import os
import sys
from collections.abc import Iterator, Sequence
from glob import glob, has_magic
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mnist_exp.errors import UserError

if TYPE_CHECKING:
    from PIL import Image

    from mnist_exp.recognition import Answer

EPILOG = """IMAGE is a PNG, JPEG, GIF, WebP, BMP or TIFF file: a photo of paper, a scan, a drawing, or 28x28 pixels as
MNIST has them; a quoted pattern ("digits/*.png"), or - for one picture on standard input. Several digits in one picture
are read from left to right. What is blank or unlike any digit is said to be so."""
STDIN = "-"
UNREADABLE = "unreadable"


def main() -> None:
    """Exit 0 with a line, or one JSON list, on stdout; 1 with a short message on a mistake, or for
    each bad picture.
    """
    parser = argparse.ArgumentParser(prog="mnist_exp.predict", description=__doc__, epilog=EPILOG)
    parser.add_argument("run", metavar="RUN", help="a run folder, or latest")
    parser.add_argument(
        "images", nargs="+", metavar="IMAGE", help="a picture, a quoted pattern, or - for stdin"
    )
    parser.add_argument(
        "--json", action="store_true", help="print one JSON list, an object for each picture"
    )
    parser.add_argument(
        "--outputs", type=Path, default=Path("outputs"), help="where latest is looked for"
    )
    arguments = parser.parse_args()
    logging.basicConfig(
        level=logging.INFO,
        format="[%(asctime)s] %(message)s",
        datefmt="%H:%M:%S",
        stream=sys.stderr,
    )
    try:
        answers = list(predict(arguments.run, arguments.images, arguments.outputs))
        broken = [answer for _, answer in answers if isinstance(answer, UserError)]
        if len(broken) < len(answers):
            print(_as_text(answers, arguments.json), flush=True)
        if broken:
            sys.exit("\n".join(f"error: {error}" for error in broken))
    except BrokenPipeError:  # whoever read has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (UserError, OSError) as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit(130)


def _as_text(answers: Sequence[tuple[str, "Answer | UserError"]], as_json: bool) -> str:
    from mnist_exp.recognition import Answer

    whole = [
        (name, Answer(None, UNREADABLE) if isinstance(found, UserError) else found)
        for name, found in answers
    ]
    if as_json:
        return json.dumps([answer.as_json(name) for name, answer in whole], indent=2)
    return "\n".join(f"{name}: {in_words(answer)}" for name, answer in whole)


def predict(
    run: str, images: Sequence[str], outputs: Path
) -> Iterator[tuple[str, "Answer | UserError"]]:
    """The name and the answer for each picture, in the order given; those of a pattern by name.

    The answer to one that cannot be read is the error, so that the others are not lost.
    """
    from threadpoolctl import threadpool_limits

    from mnist_exp.recognition import Reader
    from mnist_exp.runs import open_run

    names = list(_names(images))
    reader = Reader(open_run(run, outputs))
    threadpool_limits(1)  # for one picture at a time, threads cost more than they save
    for name in names:
        try:
            image = _open(name)
        except UserError as error:
            yield name, error
        else:
            yield name, reader.read(image)


def _names(images: Sequence[str]) -> Iterator[str]:
    if images.count(STDIN) > 1:
        raise UserError("standard input holds one picture, so - can be given only once")
    for name in images:
        if name == STDIN or Path(name).exists() or not has_magic(name):
            yield name
            continue
        found = sorted(glob(name, recursive=True))  # noqa: PTH207  (a Path knows no absolute patterns)
        if not found:
            raise UserError(f"{name}: no picture matches the pattern")
        yield from found


def _open(name: str) -> "Image.Image":
    from mnist_exp.handwriting import read_image

    if name == STDIN:
        return read_image(io.BytesIO(sys.stdin.buffer.read()), "standard input")
    return read_image(Path(name))


def in_words(answer: "Answer") -> str:
    """An answer as a short phrase: `7 (98.3 %)`, `42`, `not a digit`."""
    if answer.label is None or answer.digits:
        return answer.label or answer.reason or ""
    return answer.label + _confidence(answer)


def _confidence(answer: Any) -> str:
    if answer.probabilities is not None:
        return f" ({100 * answer.probabilities[answer.label]:.1f} %)"
    if answer.scores is not None:
        ranked = sorted(answer.scores.values(), reverse=True)
        return f" (score {ranked[0]:+.2f}, next {ranked[1]:+.2f})"
    return ""


if __name__ == "__main__":
    main()
