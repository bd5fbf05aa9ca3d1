"""What many trials and many runs cost on this machine: `python scripts/benchmark_scale.py [PART
...]`.

storage    opening a study and one more trial in it, after 10 to 10,000: journal file, and
--postgres ADDRESS folders    bytes and files that a run and a trial leave, on the data that
--dataset names compare    `compare` over 10,000 runs, copies of one grid       four jobs one after
another against launcher=joblib, equal ones and others, on one thread each and on all
"""

import argparse
import functools
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from hydra_optuna_search.study import open_storage, quiet
from hydra_optuna_search.trials import WORKER, TrialQueue

if TYPE_CHECKING:
    from optuna.samplers import BaseSampler
    from optuna.trial import FrozenTrial, Trial

SIZES = (10, 100, 1_000, 10_000)
MORE = 20  # trials that are timed at each size
RUNS = 10_000
ROOT = Path(__file__).parents[1]


def main() -> None:
    """Run the parts that were named, or all of them."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("parts", nargs="*", help="storage, folders, compare, grid; default: all")
    parser.add_argument(
        "--postgres", help="address of a database, postgresql://...; its password in PGPASSFILE"
    )
    parser.add_argument(
        "--sizes", nargs="*", type=int, default=SIZES, help="trials that are in the study already"
    )
    parser.add_argument(
        "--dataset", nargs="*", default=["dataset=digits"], help="words that name the data of a run"
    )
    arguments = parser.parse_args()
    parts = arguments.parts or ["storage", "folders", "compare", "grid"]
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        if "storage" in parts:
            for address in filter(None, ["journal", arguments.postgres]):
                for n in arguments.sizes:
                    storage(home, None if address == "journal" else address, n)
        if "folders" in parts or "compare" in parts:
            trial = folders(home, arguments.dataset)
            if "compare" in parts:
                compare(home, trial)
        if "grid" in parts:
            grid(home, arguments.dataset)


def storage(home: Path, address: str | None, n: int) -> None:
    """Print what opening a study of `n` trials takes, and what one more costs with random and with
    TPE sampling.
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    folder = home / uuid4().hex
    folder.mkdir()
    name = folder.name
    with quiet():
        study = optuna.create_study(study_name=name, storage=open_storage(address, folder))
        study.add_trials([_past(i) for i in range(n)])
    clock = _Clock()
    opened = open_storage(address, folder)
    study = optuna.load_study(study_name=name, storage=opened)
    study.get_trials(deepcopy=False)
    opening = clock.read(1)
    costs = []
    for sampler, more in (
        (optuna.samplers.RandomSampler(0), MORE),
        (optuna.samplers.TPESampler(seed=0), MORE // 4),
    ):
        queue = TrialQueue(
            study,
            opened,
            folder,
            2 * n + 2 * MORE,
            functools.partial(_same, sampler),
        )
        clock = _Clock()
        for _ in range(more):
            _one_more(queue)
        costs.append(clock.read(more))
    journal = folder / "study.journal"
    size = f", {journal.stat().st_size / 1e6:.2f} MB" if journal.exists() else ""
    what = "journal" if address is None else "postgres"
    print(
        f"{what:<9} {n:>6}: open {opening}; one more at random {costs[0]}, with TPE {costs[1]}{size}",
        flush=True,
    )


class _Clock:
    """Milliseconds passed and milliseconds of cpu in this process; only the second holds on a busy
    machine.
    """

    def __init__(self) -> None:
        self._began, self._cpu = time.perf_counter(), time.process_time()

    def read(self, times: int) -> str:
        passed, cpu = time.perf_counter() - self._began, time.process_time() - self._cpu
        return f"{1000 * passed / times:.1f} ms ({1000 * cpu / times:.1f} of cpu)"


def _same(sampler: "BaseSampler", begun: int) -> "BaseSampler":
    del begun
    return sampler


def _suggest(trial: "Trial") -> list[float]:
    return [trial.suggest_float(f"p{i}", 0, 1) for i in range(4)]


def _past(i: int) -> "FrozenTrial":
    import optuna

    space: dict[str, Any] = {
        f"p{k}": optuna.distributions.FloatDistribution(0, 1) for k in range(4)
    }
    params = {key: (i * 0.618 * (k + 1)) % 1 for k, key in enumerate(space)}
    worker = {"host": "elsewhere", "pid": 1, "started": 0.0, "supervisor": None}
    notes = {WORKER: worker}
    return optuna.create_trial(
        value=sum(params.values()), params=params, distributions=space, user_attrs=notes
    )


def _one_more(queue: TrialQueue) -> None:
    trial = queue.next()
    if trial is None:
        raise RuntimeError("the budget is spent")
    queue.study.tell(trial, sum(_suggest(trial)))


def folders(home: Path, dataset: Sequence[str]) -> Path:
    """Print what a run and a trial leave; returns the trial's folder."""
    words = [
        *dataset,
        "dataset.train_size=1000",
        "model=rf",
        f"outputs={home}",
        f"data_dir={ROOT / 'data'}",
    ]
    if "MNIST_EXP_DATA" in os.environ:
        words[-1] = f"data_dir={os.environ['MNIST_EXP_DATA']}"
    command = [sys.executable, "-m", "mnist_exp.train", *words, "model.n_estimators=100"]
    subprocess.run([*command, f"hydra.run.dir={home / 'run'}"], check=True, capture_output=True)
    search = [
        "search=random",
        "search.n_trials=1",
        "search.refit=false",
        f"hydra.sweep.dir={home / 'sweep'}",
    ]
    subprocess.run([*command[:-1], *search], check=True, capture_output=True)
    for name, folder in (("a run", home / "run"), ("a trial", home / "sweep" / "0")):
        files = [path for path in folder.rglob("*") if path.is_file()]
        size = sum(path.stat().st_size for path in files)
        inodes = 1 + sum(1 for _ in folder.rglob("*"))
        largest = max(files, key=lambda path: path.stat().st_size)
        most = f"{largest.name} {largest.stat().st_size / 1e6:.3f} MB"
        print(f"{name}: {size / 1e6:.3f} MB, {inodes} inodes, largest {most}", flush=True)
    return home / "sweep" / "0"


def compare(home: Path, trial: Path) -> None:
    """Print what `compare` takes over many runs."""
    many = home / "many"
    _timed(
        "copied",
        lambda: [shutil.copytree(trial, many / f"{i // 100}" / f"{i % 100}") for i in range(RUNS)],
    )
    command = [
        sys.executable,
        "-m",
        "mnist_exp.compare",
        str(many),
        "--split",
        "val",
        "--format",
        "json",
    ]
    before = os.times()
    _timed(
        f"compare over {RUNS:,} runs",
        lambda: subprocess.run(command, check=True, capture_output=True),
    )
    after = os.times()
    seconds = (
        after.children_user + after.children_system - before.children_user - before.children_system
    )
    print(f"of that {seconds:.1f} s of cpu")


def grid(home: Path, dataset: Sequence[str]) -> None:
    """Print what grids of four take with each launcher, start-up and all, after a run that fills
    the caches.
    """
    for words in (["model=rf", "seed=0,1,2,3"], ["model=rf,sgd", "augment=shift,none"]):
        for threads in (["n_jobs=1"], []):
            seconds = {}
            for name in ("warm-up", "local", "joblib"):
                launcher = "local" if name == "warm-up" else name
                line = ["-m", *words, *dataset, *threads, f"launcher={launcher}", f"outputs={home}"]
                command = [
                    sys.executable,
                    "-m",
                    "mnist_exp.train",
                    *line,
                    f"hydra.sweep.dir={home / uuid4().hex}",
                ]
                run = functools.partial(
                    subprocess.run, command, check=True, capture_output=True, cwd=ROOT
                )
                seconds[name] = _timed(f"{' '.join([*words, *threads])}, {name}", run)
            print(
                f"joblib takes {seconds['joblib'] / seconds['local']:.2f} of the time", flush=True
            )


def _timed(what: str, do: Callable[[], object]) -> float:
    began = time.perf_counter()
    do()
    seconds = time.perf_counter() - began
    print(f"{what}: {seconds:.1f} s", flush=True)
    return seconds


if __name__ == "__main__":
    main()
