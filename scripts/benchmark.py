"""Measure what this project promises about speed and memory, as ratios taken in one run on one
machine.

python scripts/benchmark.py [--only NAME ...] [--repeat 3]

Machines are noisy: every pair is run in turn, and the median of the repeats is printed.
"""

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
from joblib import cpu_count
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from mnist_exp import augment
from mnist_exp.data import load, mnist
from mnist_exp.evaluation import Predictions
from mnist_exp.features import Hog
from mnist_exp.runs import Run

DATA = Path(os.environ.get("MNIST_EXP_DATA", "data")).resolve()
THREADS = min(2, cpu_count())

# What a person would write without this project: load, fit, predict, the same figures; nothing is drawn or kept.
BARE = """
import gzip, numpy as np
from sklearn.ensemble import RandomForestClassifier
from sklearn.metrics import accuracy_score, confusion_matrix, f1_score, log_loss, top_k_accuracy_score
from mnist_exp.augment import shift

def read(name, offset):
    with gzip.open(f"{data}/mnist/{{name}}.gz") as file:
        return np.frombuffer(file.read(), np.uint8, offset=offset)

images, labels = read("train-images-idx3-ubyte", 16).reshape(-1, 28, 28), read("train-labels-idx1-ubyte", 8)
if {shifted}:
    images, labels = shift(images, np.random.default_rng(0), n_jobs={threads}), np.tile(labels, 5)
X = images.reshape(len(images), -1).astype(np.float32)
X /= 255
del images
X_test = read("t10k-images-idx3-ubyte", 16).reshape(-1, 784) / np.float32(255)
y_test = read("t10k-labels-idx1-ubyte", 8)
forest = RandomForestClassifier(100, random_state=0, n_jobs={threads}).fit(X, labels)
probability = forest.predict_proba(X_test)
prediction = forest.classes_[probability.argmax(axis=1)]
print(accuracy_score(y_test, prediction), f1_score(y_test, prediction, average="macro"), log_loss(y_test, probability),
      top_k_accuracy_score(y_test, probability, k=2), confusion_matrix(y_test, prediction).sum())
"""


def timed(work: Callable[[], object]) -> float:
    """Wall time of one call, in seconds."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def process(command: list[str]) -> tuple[float, float]:
    """Wall seconds and peak memory in MB of a child process."""
    started = time.perf_counter()
    _, memory = resources(command)
    return time.perf_counter() - started, memory


def resources(command: list[str]) -> tuple[float, float]:
    """Processor seconds, which other work on the machine disturbs less than the clock, and peak
    memory in MB.
    """
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, code, usage = os.wait4(child.pid, 0)
    if code:
        raise SystemExit(f"{' '.join(command[:4])} ... failed with status {code}")
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss / (
        1024 if sys.platform == "linux" else 1024**2
    )


def bare(shifted: bool) -> list[str]:
    """The command of the bare script."""
    return [sys.executable, "-c", BARE.format(data=DATA, shifted=shifted, threads=THREADS)]


def ours(*words: str) -> list[str]:
    """The command of a run of ours, with as many threads as the bare script."""
    return [sys.executable, "-m", "mnist_exp.train", "dataset=mnist", f"n_jobs={THREADS}", *words]


def forest_wall_time(table: Table, repeat: int) -> None:
    """`model=rf` against the bare script, in turn."""
    pairs = [(process(ours("model=rf"))[0], process(bare(shifted=False))[0]) for _ in range(repeat)]
    run, script = (statistics.median(side) for side in zip(*pairs, strict=True))
    ratio = statistics.median(a / b for a, b in pairs)
    table.add_row(
        "model=rf, whole run / bare script",
        f"{run:.1f} s",
        f"{script:.1f} s",
        f"{ratio:.2f}",
        "<= 1.15",
    )


def forest_memory(table: Table, repeat: int) -> None:
    """Peak memory of `model=rf augment=shift` against a bare script that fits the same forest on
    the same array.
    """
    run, script = process(ours("model=rf", "augment=shift"))[1], process(bare(shifted=True))[1]
    table.add_row(
        "model=rf augment=shift, peak memory",
        f"{run:.0f} MB",
        f"{script:.0f} MB",
        f"{run / script:.2f}",
        "<= 1.25",
    )


def sgd_wall_time(table: Table, repeat: int) -> None:
    """`model=sgd`, the whole run, against the fit of a bare forest."""
    from sklearn.ensemble import RandomForestClassifier

    train = load(mnist(DATA, tempfile.gettempdir()), with_test=False).train
    X = train.images.reshape(len(train), -1) / np.float32(255)
    forest = RandomForestClassifier(100, random_state=0, n_jobs=THREADS)
    pairs = [
        (process(ours("model=sgd"))[0], timed(lambda: forest.fit(X, train.labels)))
        for _ in range(repeat)
    ]
    run, fit = (statistics.median(side) for side in zip(*pairs, strict=True))
    table.add_row(
        "model=sgd, whole run / bare forest's fit",
        f"{run:.1f} s",
        f"{fit:.1f} s",
        f"{run / fit:.2f}",
        "< 1",
    )


def loading(table: Table, repeat: int) -> None:
    """A load from the decoded cache against the first, which decodes."""
    cache = Path(tempfile.mkdtemp())
    read = partial(load, mnist(DATA, cache))
    first = timed(read)
    again = statistics.median(timed(read) for _ in range(repeat))
    shutil.rmtree(cache)
    table.add_row(
        "load 70,000 images / first decode",
        f"{again:.3f} s",
        f"{first:.2f} s",
        f"{again / first:.2f}",
        "< 0.5 s",
    )


def augmentation(table: Table, repeat: int) -> None:
    """Images per second of each augmentation against a scipy call per image."""
    from scipy import ndimage

    images = np.asarray(load(mnist(DATA, tempfile.gettempdir()), with_test=False).train.images)
    matrix = np.array([[1.0, 0.1], [0.1, 1.0]])
    loops: dict[str, Callable[[NDArray[np.uint8]], object]] = {
        "shift": lambda image: ndimage.shift(image, (0, 1), order=0),
        "rotate": lambda image: ndimage.rotate(image, 10.0, reshape=False, order=1),
        "affine": lambda image: ndimage.affine_transform(image, matrix, order=1),
        "elastic": lambda image: ndimage.map_coordinates(
            image, _displaced(image.shape, ndimage), order=1
        ),
        "morph": lambda image: ndimage.grey_dilation(image, (3, 3)),
        "noise": lambda image: np.clip(
            image + np.random.default_rng(0).normal(0, 20, image.shape), 0, 255
        ),
    }
    targets = {"shift": "500,000", "affine": "60,000"}
    for name, loop in loops.items():
        function = getattr(augment, name)
        work = partial(function, images, np.random.default_rng(0), n_jobs=THREADS)
        seconds = min(timed(work) for _ in range(repeat))
        produced = len(function(images[:100], np.random.default_rng(0), n_jobs=1)) // 100 - 1
        rate = produced * len(images) / seconds
        scipy_rate = 2_000 / timed(partial(_each, loop, images[:2_000]))
        table.add_row(
            f"augment={name}, new images/s / scipy loop",
            f"{rate:,.0f}/s",
            f"{scipy_rate:,.0f}/s",
            f"{rate / scipy_rate:.1f}",
            f">= {targets[name]}/s" if name in targets else "",
        )


def _each(work: Callable[[NDArray[np.uint8]], object], images: NDArray[np.uint8]) -> None:
    for image in images:
        work(image)


def _displaced(shape: tuple[int, int], ndimage: object) -> np.ndarray:
    rng = np.random.default_rng(0)
    field = [ndimage.gaussian_filter(rng.uniform(-1, 1, shape), 4) for _ in range(2)]  # type: ignore[attr-defined]
    return np.asarray(np.indices(shape) + 34 * np.asarray(field))


def features(table: Table, repeat: int) -> None:
    """HOG of 60,000 images."""
    images = np.asarray(load(mnist(DATA, tempfile.gettempdir()), with_test=False).train.images)
    seconds = min(timed(lambda: Hog(n_jobs=THREADS).fit_transform(images)) for _ in range(repeat))
    table.add_row("HOG of 60,000 images", f"{seconds:.2f} s", "", "", "<= 4 s")


def growth(table: Table, repeat: int) -> None:
    """Whole-run time and peak memory of a 20-tree forest as the training data grows."""
    sizes = {
        "5k": ["dataset.train_size=5000"],
        "15k": ["dataset.train_size=15000"],
        "60k": [],
        "300k": ["augment=shift"],
    }
    before: tuple[float, float] | None = None
    for name, words in sizes.items():
        seconds, memory = process(ours("model=rf", "model.n_estimators=20", *words))
        ratio = f"{seconds / before[0]:.2f}, {memory / before[1]:.2f}" if before else ""
        table.add_row(
            f"20 trees on {name} images: time, memory",
            f"{seconds:.1f} s, {memory:.0f} MB",
            "row above",
            ratio,
            "",
        )
        before = seconds, memory


def comparing(table: Table, repeat: int) -> None:
    """Processor time and peak memory of comparing run folders against a script that only reads
    their two arrays.
    """
    root = Path("compared").absolute()
    made = 0
    for count, aim in ((1_000, "< 3 s"), (10_000, "< 30 s")):
        for number in range(made, count):
            _run_folder(root, number)
        made = count
        pairs = [
            (resources([*COMPARE, str(root)]), resources([sys.executable, "-c", READ, str(root)]))
            for _ in range(repeat)
        ]
        ours_s, bare_s = (
            statistics.median(side[0] for side in sides) for sides in zip(*pairs, strict=True)
        )
        memory, bare_memory = (max(side[1] for side in sides) for sides in zip(*pairs, strict=True))
        table.add_row(
            f"compare {count:,} runs, processor time, memory / read two arrays each",
            f"{ours_s:.1f} s, {memory:.0f} MB",
            f"{bare_s:.1f} s, {bare_memory:.0f} MB",
            f"{ours_s / bare_s:.2f}, {memory / bare_memory:.2f}",
            aim,
        )


DISTINCT = 50  # run folders; the rest are copies of these under configurations of their own
COMPARE = [sys.executable, "-m", "mnist_exp.compare", "--format", "json"]
READ = """
import sys, pathlib, numpy as np
for path in pathlib.Path(sys.argv[1]).rglob("predictions_test.npz"):
    with np.load(path) as arrays:
        arrays["label"], arrays["prediction"]
"""


def _run_folder(root: Path, number: int) -> None:
    """A run on 10,000 images that gets 300 of them wrong, with a configuration as long as a real
    one.
    """
    run = Run(root / str(number // 100) / str(number))
    if number < DISTINCT:
        _write_run(run.path, number)
    else:
        shutil.copytree(root / "0" / str(number % DISTINCT), run.path)
    groups = "".join(
        f"{group}:\n  _target_: a.b\n" + "".join(f"  key_{key}: {key}\n" for key in range(10))
        for group in ("dataset", "augment", "features", "search", "hydra")
    )
    run.config_path.write_text(
        f"seed: 0\nmodel:\n  _target_: s.Forest\n  trees: {number}\n{groups}"
    )


def _write_run(folder: Path, number: int) -> None:
    rng = np.random.default_rng(number)
    label = np.arange(10_000) % 10
    prediction, wrong = label.copy(), rng.choice(10_000, 300, replace=False)
    prediction[wrong] = (prediction[wrong] + rng.integers(1, 10, 300)) % 10
    run = Run.claim(folder, [])
    run.save_predictions(
        "test", Predictions(np.arange(10_000), label, prediction, None, None, "0" * 64)
    )
    run.save_metrics(
        {"test": {"accuracy": 0.97}, "time": {"fit_s": 1.0}, "model": {"bytes": 1000}}, {}
    )
    run.config_path.parent.mkdir()
    run.finish("completed")


PARTS = (
    loading,
    augmentation,
    features,
    forest_wall_time,
    sgd_wall_time,
    forest_memory,
    growth,
    comparing,
)


def main() -> None:
    """Print one table; run folders go to a temporary place."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--only",
        nargs="+",
        choices=[part.__name__ for part in PARTS],
        default=[part.__name__ for part in PARTS],
    )
    parser.add_argument("--repeat", type=int, default=3)
    arguments = parser.parse_args()
    table = Table(
        "measure",
        "this project",
        "reference",
        "ratio",
        "aim",
        title=f"{THREADS} threads, medians of {arguments.repeat}",
    )
    os.environ["MNIST_EXP_DATA"] = str(DATA)
    os.environ["PYTHONPATH"] = str(Path(__file__).parents[1])
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        for part in PARTS:
            if part.__name__ in arguments.only:
                print(part.__name__, "...", file=sys.stderr)
                part(table, arguments.repeat)
        os.chdir("/")
    Console(width=140).print(table)


if __name__ == "__main__":
    main()
