"""`python -m mnist_exp.explore [overrides]`: a page on a dataset and its augmentation."""

import argparse
import logging
import os
import shlex
import sys
from datetime import datetime
from pathlib import Path

EPILOG = """The words are those of mnist_exp.train: dataset=fashion_mnist augment=affine
dataset.train_size=5000. stdout carries the folder with the page; `model` and `features` are not
used."""


def main() -> None:
    """Exit 0 with the folder on stdout; 1 with a short message on a mistake."""
    parser = argparse.ArgumentParser(prog="mnist_exp.explore", description=__doc__, epilog=EPILOG)
    parser.add_argument(
        "overrides", nargs="*", metavar="key=value", help="what to look at, as for mnist_exp.train"
    )
    words = parser.parse_args().overrides
    logging.basicConfig(
        level=logging.INFO,
        format="[%(asctime)s] %(message)s",
        datefmt="%H:%M:%S",
        stream=sys.stderr,
    )
    logging.getLogger("matplotlib").setLevel(logging.WARNING)
    from mnist_exp.config import MISTAKES, explain

    try:
        folder = explore(words)
    except MISTAKES as error:
        if os.environ.get("HYDRA_FULL_ERROR") == "1":
            raise
        sys.exit(f"error: {explain(error)}")
    except KeyboardInterrupt:
        sys.exit(130)
    print(folder)


def explore(words: list[str]) -> Path:
    """Compose, load, look, write; returns the folder, a new one for every call."""
    from mnist_exp.config import build, compose
    from mnist_exp.process import Stages

    cfg = compose(words)
    experiment = build(cfg)
    stages = Stages()
    with stages("load", cfg.dataset.name):
        dataset = experiment.load()
    from mnist_exp.report.explore_page import write_page
    from mnist_exp.runs import claim_folder

    name = f"{dataset.name}-{datetime.now():%Y-%m-%d_%H-%M-%S}"
    folder = claim_folder(Path(cfg.outputs) / "explore" / name)
    write_page(
        dataset,
        experiment.augment,
        seed=experiment.seed,
        folder=folder,
        command=shlex.join(["python", "-m", "mnist_exp.explore", *words]),
        stages=stages,
    )
    return folder


if __name__ == "__main__":
    main()
