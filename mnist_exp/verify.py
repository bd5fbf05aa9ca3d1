"""`python -m mnist_exp.verify RUN`: repeat a run and say whether it gives the same."""

import argparse
import math
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mnist_exp.errors import UserError
from mnist_exp.runs import Run, open_run

TOLERANCE = 1e-6  # figures of equal predictions differ by the rounding of float32 at most


def main() -> None:
    """Exit 0 if data, predictions and metrics are the same; 1 if not, or if it cannot be tried."""
    parser = argparse.ArgumentParser(prog="mnist_exp.verify", description=__doc__)
    parser.add_argument("run", metavar="RUN", help="a run folder, or latest")
    parser.add_argument(
        "--outputs", type=Path, default=Path("outputs"), help="where latest is looked for"
    )
    arguments = parser.parse_args()
    from mnist_exp.config import MISTAKES, explain  # here, so that --help does not wait for Hydra

    try:
        differences = list(verify(open_run(arguments.run, arguments.outputs)))
    except MISTAKES as error:  # keys that a run of another version lacks among them
        sys.exit(f"error: {explain(error)}")
    lines = [f"differs: {difference}" for difference in differences]
    print("\n".join(lines) or "same data, same predictions, same metrics")
    if differences:
        sys.exit(1)


def verify(run: Run) -> Iterator[str]:
    """Repeat a completed run in memory and yield a sentence for each thing that differs."""
    from mnist_exp.config import build, load_config

    if run.state != "completed":
        raise UserError(
            f"{run.path} is {run.state}, so there is nothing to compare with; only completed runs "
            "can be verified"
        )
    experiment = build(load_config(run.config_path))
    dataset = experiment.load()
    recorded = run.environment["data"]
    for name, split in (("train", dataset.train), ("val", dataset.val), ("test", dataset.test)):
        if recorded.get(name) != (split and split.sha256):
            yield f"the {name} data"
    outcome = experiment.run(dataset)
    for name, predictions in outcome.predictions.items():
        now = predictions.prediction
        before = run.predictions("val" if name == "val" else "test").prediction
        if len(before) != len(now):
            yield f"the number of {name} predictions: {len(now)} where {len(before)} are recorded"
        elif changed := int((before != now).sum()):
            yield f"{changed} of {len(before)} {name} predictions"
        yield from _changed_figures(name, outcome.metrics[name], run.metrics.get(name, {}))


def _changed_figures(
    split: str, now: Mapping[str, Any], before: Mapping[str, Any]
) -> Iterator[str]:
    for key, old in sorted(before.items()):  # runs of before lack figures that are new
        new = now.get(key)
        if new is None or not math.isclose(new, old, rel_tol=TOLERANCE, abs_tol=TOLERANCE):
            yield f"{split}.{key}: {new} where {old} is recorded"


if __name__ == "__main__":
    main()
