"""What a search costs and saves on this machine.

python scripts/benchmark_search.py [--only PART ...]

framework   milliseconds per trial that does nothing, against hydra-optuna-sweeper in another
            environment (`--other`)
pruning     a forest search with and without pruning, several seeds
pace        milliseconds of one more trial in a study of 10 to 1,000: journal file, and
            `--postgres ADDRESS`
grid        four jobs one after another against launcher=joblib, equal ones and others, on one
            thread each and on all

What workers share and what a killed search does is tested in sweeper/tests/test_processes.py.
"""

import csv
import statistics
import sys
import tempfile
from argparse import Namespace
from itertools import product
from pathlib import Path
from typing import Any
from uuid import uuid4

from _measure import ROOT, TRAIN, arguments_of, run_child

APP = ROOT / "sweeper" / "tests" / "app" / "app.py"
EMPTY_APP = """import hydra


@hydra.main(config_path="conf", config_name="config", version_base="1.3")
def nothing(cfg):
    return float(cfg.x)


if __name__ == "__main__":
    nothing()
"""
CONFIG = """defaults: [override hydra/sweeper: {}, override hydra/sweeper/sampler: random]
x: 1
y: 1
"""
QUIET = ["hydra/job_logging=disabled", "hydra/hydra_logging=disabled"]
FEW, MANY = 30, 230  # trials; the difference in time is that of trials alone, without start-up
FLAT = ["x=interval(0,1)", "y=interval(0,1)", "hydra.sweeper.n_jobs=1"]
DATA = ["dataset=mnist", "dataset.train_size=10000"]


def main() -> None:
    """Run the parts that were named, or all of them."""
    parts = {part.__name__: part for part in (framework, pruning, pace, grid)}
    parser = arguments_of(__doc__, *parts)
    parser.add_argument("--other", help="a python that has hydra-optuna-sweeper 1.3.0")
    parser.add_argument("--seeds", nargs="*", type=int, default=[0, 1, 2])
    parser.add_argument("--pruners", nargs="*", default=["median", "hyperband"])
    parser.add_argument("--trials", type=int, default=30, help="of each search with pruning")
    parser.add_argument("--dataset", nargs="*", default=DATA, help="words that name the data")
    parser.add_argument("--postgres", help="postgresql://...; its password in PGPASSFILE")
    parser.add_argument("--sizes", nargs="*", type=int, default=[10, 100, 1_000])
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for part in arguments.only:
            parts[part](Path(folder), arguments)


def empty_app(folder: Path, sweeper: str) -> Path:
    """An application of two parameters that does nothing, under one of the sweepers."""
    (folder / "conf").mkdir(parents=True)
    (folder / "conf" / "config.yaml").write_text(CONFIG.format(sweeper))
    (folder / "app.py").write_text(EMPTY_APP)
    return folder / "app.py"


def framework(home: Path, arguments: Namespace) -> None:
    """Print milliseconds per trial, start-up left out."""
    conditional = [sys.executable, APP, "-m", "kind=a,b", "hydra.sweeper.spaces=[kind]"]
    ours = [sys.executable, empty_app(home / "ours", "optuna_search"), "-m", *FLAT]
    commands = {"ours": ours, "ours, a conditional space": conditional}
    if arguments.other:
        other = [arguments.other, empty_app(home / "other", "optuna"), "-m", *FLAT]
        commands["hydra-optuna-sweeper 1.3.0"] = other

    def seconds(command: list[Any], n: int, sweep: Path) -> float:
        budget = [f"hydra.sweeper.n_trials={n}", f"hydra.sweep.dir={sweep}"]
        return run_child([*command, *QUIET, *budget], home).seconds

    costs: dict[str, list[float]] = {name: [] for name in commands}
    for _, name in product(range(3), commands):  # in turns: a busy machine is busy for all
        many, few = (seconds(commands[name], n, home / uuid4().hex) for n in (MANY, FEW))
        costs[name].append(1000 * (many - few) / (MANY - FEW))
    for name, ms in costs.items():
        each = ", ".join(f"{cost:.1f}" for cost in ms)
        print(f"{name}: {statistics.median(ms):.1f} ms per trial (of {each})")


def pruning(home: Path, arguments: Namespace) -> None:
    """Print time, start-up and all, and the best validation accuracy with each pruner."""
    words = ["model=rf", "search=tpe", f"search.n_trials={arguments.trials}", "search.refit=false"]
    command = [*TRAIN, *words, f"outputs={home}", *arguments.dataset]
    costs: dict[str, list[tuple[float, float]]] = {"none": []}
    for seed, pruner in product(arguments.seeds, ("none", *arguments.pruners)):
        sweep = home / f"{pruner}{seed}"
        options = [f"search.pruner={pruner}", f"seed={seed}", f"hydra.sweep.dir={sweep}"]
        seconds = run_child([*command, *options], ROOT).seconds
        rows = list(csv.DictReader((sweep / "summary.csv").read_text().splitlines()))
        best = max(float(row["value"]) for row in rows if row["state"] == "completed")
        costs.setdefault(pruner, []).append((seconds, best))
        pruned = sum(row["state"] == "pruned" for row in rows)
        figures = f"{seconds:.0f} s, {pruned} pruned, best {100 * best:.2f} %"
        print(f"pruning, seed {seed}, {pruner}: {figures}", flush=True)
    for pruner in arguments.pruners:
        pairs = list(zip(costs[pruner], costs["none"], strict=True))
        share = sum(pruned[0] for pruned, _ in pairs) / sum(none[0] for _, none in pairs)
        lost = 100 * max(none[1] - pruned[1] for pruned, none in pairs)
        print(f"{pruner}: {share:.2f} of the time, at most {lost:.2f} points lost")


def pace(home: Path, arguments: Namespace) -> None:
    """Print what one more trial costs in a study of many, by sampler and storage."""
    import optuna
    from optuna.storages.journal import JournalFileBackend

    app = empty_app(home / "pace", "optuna_search")
    for sampler, address in product(("random", "tpe"), {None, arguments.postgres}):
        sweep = home / f"pace-{uuid4().hex}"
        budget = f"hydra.sweeper.n_trials={arguments.sizes[-1]}"
        words = [*FLAT, budget, f"hydra/sweeper/sampler={sampler}", f"hydra.sweep.dir={sweep}"]
        if address:
            words += [f"hydra.sweeper.storage={address}", f"hydra.sweeper.study_name={sweep.name}"]
        run_child([sys.executable, app, "-m", *QUIET, *words], home)
        place = "postgres" if address else "journal"
        storage = address or optuna.storages.JournalStorage(
            JournalFileBackend(str(sweep / "study.journal"))
        )
        name = sweep.name if address else "search"
        trials = optuna.load_study(study_name=name, storage=storage).get_trials(deepcopy=False)
        began: list[Any] = [trial.datetime_start for trial in trials]
        for n in arguments.sizes:
            first = n - min(n, 100) // 2  # the mean of the last fifty, or half of them
            ms = 1000 * (began[n - 1] - began[first - 1]).total_seconds() / (n - first)
            print(
                f"{place}, {sampler}, {n} trials: {ms:.1f} ms for one more",
                flush=True,
            )


def grid(home: Path, arguments: Namespace) -> None:
    """Print what grids of four take with each launcher, after a run that fills the caches."""
    for jobs, threads in product(("seed=0,1,2,3", "augment=shift,none"), (["n_jobs=1"], [])):
        models = "model=rf" if "seed" in jobs else "model=rf,sgd"
        command = [*TRAIN, "-m", models, jobs, *threads, *arguments.dataset, f"outputs={home}"]
        seconds = {}
        for name in ("local", "local", "joblib"):
            place = f"hydra.sweep.dir={home / uuid4().hex}"
            seconds[name] = run_child([*command, place, f"launcher={name}"], ROOT).seconds
        share = seconds["joblib"] / seconds["local"]
        each = ", ".join(f"{name} {value:.1f} s" for name, value in seconds.items())
        print(f"{' '.join([models, jobs, *threads])}: {each}, {share:.2f}", flush=True)


if __name__ == "__main__":
    main()
