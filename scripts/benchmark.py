"""Measure what this project promises about speed and memory, as ratios on one machine.

python scripts/benchmark.py [--only PART ...] [--repeat 3]

Machines are noisy: every pair is run in turn, and the median of the repeats is printed. The data
are those of `MNIST_EXP_DATA`; `--dataset digits` tries every part on the small bundled digits.
"""

import os
import shutil
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.random import default_rng
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from _measure import (
    THREADS,
    TRAIN,
    arguments_of,
    forest_seconds,
    in_turn,
    machine,
    run_child,
    timed,
)
from mnist_exp import augment
from mnist_exp.config import build, compose

# What a person would write without this project: load, fit, predict, the same figures; nothing is
# drawn or saved. The arrays come decoded, which only helps the bare script.
BARE = """
import sys
import numpy as np
from sklearn import metrics
from sklearn.ensemble import RandomForestClassifier
from mnist_exp.augment import shift

with np.load(sys.argv[1]) as arrays:
    images, labels, test_images, y_test = (arrays[name] for name in arrays.files)
threads = int(sys.argv[2])
if sys.argv[3:]:
    labels = np.tile(labels, 5)
    images = shift(images, np.random.default_rng(0), n_jobs=threads)
X = images.reshape(len(images), -1).astype(np.float32)
X /= 255
del images
X_test = test_images.reshape(len(test_images), -1) / np.float32(255)
forest = RandomForestClassifier(100, random_state=0, n_jobs=threads).fit(X, labels)
probability = forest.predict_proba(X_test)
prediction = forest.classes_[probability.argmax(axis=1)]
metrics.accuracy_score(y_test, prediction), metrics.f1_score(y_test, prediction, average="macro")
metrics.log_loss(y_test, probability), metrics.top_k_accuracy_score(y_test, probability, k=2)
metrics.confusion_matrix(y_test, prediction)
"""
# What any comparison has to read at least.
READ = """
import sys, pathlib, numpy as np
for path in pathlib.Path(sys.argv[1]).rglob("predictions_val.npz"):
    with np.load(path) as arrays:
        arrays["label"], arrays["prediction"]
"""
PARTS = [
    "loading",
    "augmentation",
    "forest_time",
    "sgd_time",
    "forest_memory",
    "growth",
    "comparing",
]
JSON = ("--split", "val", "--format", "json")
Row = tuple[str, str, str, str, str]  # measure, this project, reference, ratio, aim


class Benchmark:
    """The parts, each of which yields rows of the table."""

    def __init__(self, dataset: str, repeat: int, home: Path, counts: list[int]) -> None:
        self.words = [f"dataset={dataset}", f"n_jobs={THREADS}", f"cache_dir={home / 'cache'}"]
        self.repeat, self.home, self.counts = repeat, home, counts
        self.arrays = home / "arrays.npz"
        data = build(compose(self.words)).load()
        self.train = np.asarray(data.train.images)
        splits: Any = data.train, data.test
        np.savez(self.arrays, *(part for split in splits for part in (split.images, split.labels)))

    def ours(self, *words: str) -> list[str]:
        """The command of a run, with as many threads as the bare script."""
        return [*TRAIN, *self.words, f"outputs={self.home / 'outputs'}", *words]

    def bare(self, *words: str) -> list[str]:
        """The command of the bare script; with any word it shifts its images."""
        return [sys.executable, "-c", BARE, str(self.arrays), str(THREADS), *words]

    def loading(self) -> Iterator[Row]:
        """A load from the decoded cache against the first, which decodes."""
        load = build(compose([*self.words, f"cache_dir={self.home / 'empty'}"])).load
        first, again = timed(load), statistics.median(timed(load) for _ in range(self.repeat))
        yield _row("load all images / first decode", again, first, "s", aim="< 0.5 s", digits=3)

    def augmentation(self) -> Iterator[Row]:
        """Images per second of each augmentation against a scipy call per image."""
        few = self.train[:2_000]
        for name, loop in _scipy_loops().items():
            function = partial(getattr(augment, name), rng=default_rng(0), n_jobs=THREADS)
            new = (len(function(few[:100])) - 100) * len(self.train) / 100
            rate = new / min(timed(partial(function, self.train)) for _ in range(self.repeat))
            reference = len(few) / timed(partial(list, map(loop, few)))
            aim = {"shift": ">= 500,000/s", "affine": ">= 60,000/s"}.get(name, "")
            yield _row(f"augment={name}, new images / scipy loop", rate, reference, "/s", aim, 0)

    def forest_time(self) -> Iterator[Row]:
        """`model=rf` against the bare script."""
        medians = in_turn(
            self.repeat,
            lambda: run_child(self.ours("model=rf")).seconds,
            lambda: run_child(self.bare()).seconds,
        )
        yield _row("model=rf, whole run / bare script", *medians, "s", "<= 1.15")

    def sgd_time(self) -> Iterator[Row]:
        """`model=sgd`, the whole run, against the fit of a bare forest."""
        medians = in_turn(
            self.repeat,
            lambda: run_child(self.ours("model=sgd")).seconds,
            lambda: forest_seconds(*self.words),
        )
        yield _row("model=sgd, whole run / bare forest's fit", *medians, "s", "< 1")

    def forest_memory(self) -> Iterator[Row]:
        """Peak memory against a bare script that fits the same forest on the same array."""
        run = run_child(self.ours("model=rf", "augment=shift")).peak_mb
        script = run_child(self.bare("shift")).peak_mb
        yield _row("model=rf augment=shift, peak memory", run, script, "MB", "<= 1.25", 0)

    def growth(self) -> Iterator[Row]:
        """Time and peak memory of a 20-tree forest as the training data grows."""
        n = len(self.train)
        words = {size: f"dataset.train_size={size}" for size in (n // 12, n // 4)}
        words |= {n: "augment=none", 5 * n: "augment=shift"}
        trees = "model=rf", "model.n_estimators=20"
        runs = {size: run_child(self.ours(*trees, word)) for size, word in words.items()}
        for (fewer, before), (size, run) in pairwise(runs.items()):
            name = f"20 trees on {size:,} images / on {fewer:,}"
            yield _row(name, run.seconds, before.seconds, "s")
            yield _row(f"{name}, peak memory", run.peak_mb, before.peak_mb, "MB", digits=0)

    def comparing(self) -> Iterator[Row]:
        """Comparing trials, copies of ten, against a script that only reads their two arrays."""
        sweep, root = self.home / "sweep", self.home / "compared"
        words = ["model=rf", "search=random", "search.n_trials=10", "search.refit=false"]
        run_child(self.ours(*words, f"hydra.sweep.dir={sweep}", "dataset.train_size=1000"))
        ours = [sys.executable, "-m", "mnist_exp.compare", *JSON, str(root)]
        script = [sys.executable, "-c", READ, str(root)]
        for first, count in pairwise([0, *self.counts]):
            for number in range(first, count):
                folder = root / str(number // 100) / str(number)
                shutil.copytree(sweep / str(number % 10), folder)
                with (folder / ".hydra" / "config.yaml").open("a") as config:
                    config.write(f"copy: {number}\n")
            name = f"compare {count:,} runs"
            cpu = in_turn(
                self.repeat, lambda: run_child(ours).cpu_s, lambda: run_child(script).cpu_s
            )
            aim = f"< {3 * count / 1000:g} s"
            yield _row(f"{name}, cpu / read two arrays", *cpu, "s", aim)
            memory = run_child(ours).peak_mb, run_child(script).peak_mb
            yield _row(f"{name}, peak memory", *memory, "MB", digits=0)


def _row(
    name: str, ours: float, reference: float, unit: str, aim: str = "", digits: int = 1
) -> Row:
    first, second = (f"{value:,.{digits}f} {unit}" for value in (ours, reference))
    return name, first, second, f"{ours / reference:.2f}", aim


def _scipy_loops() -> dict[str, Callable[[NDArray[np.uint8]], Any]]:
    from scipy import ndimage

    matrix, places, rng = np.array([[1, 0.1], [0.1, 1]]), np.indices((28, 28)), default_rng(0)
    return {
        "shift": lambda image: ndimage.shift(image, (0, 1), order=0),
        "rotate": lambda image: ndimage.rotate(image, 10.0, reshape=False, order=1),
        "affine": lambda image: ndimage.affine_transform(image, matrix, order=1),
        "elastic": lambda image: ndimage.map_coordinates(
            image,
            places + ndimage.gaussian_filter(rng.uniform(-34, 34, (2, 28, 28)), (0, 4, 4)),
            order=1,
        ),
        "morph": lambda image: ndimage.grey_dilation(image, (3, 3)),
        "noise": lambda image: np.clip(image + rng.normal(0, 20, image.shape), 0, 255),
    }


def main() -> None:
    """Print one table; run folders go to a temporary place."""
    parser = arguments_of(__doc__, *PARTS)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--dataset", default="mnist")
    parser.add_argument("--runs", nargs="+", type=int, default=[1_000, 10_000], help="to compare")
    arguments = parser.parse_args()
    os.environ["MNIST_EXP_DATA"] = str(Path(os.environ.get("MNIST_EXP_DATA", "data")).resolve())
    title = f"{machine()}; {THREADS} threads, medians of {arguments.repeat}"
    table = Table("measure", "this project", "reference", "ratio", "aim", title=title)
    with tempfile.TemporaryDirectory() as folder:
        benchmark = Benchmark(arguments.dataset, arguments.repeat, Path(folder), arguments.runs)
        for part in arguments.only:
            print(part, "...", file=sys.stderr)
            for row in getattr(benchmark, part)():
                table.add_row(*row)
    Console(width=140).print(table)


if __name__ == "__main__":
    main()
