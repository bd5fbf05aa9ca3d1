"""What the search costs and saves, measured on this machine: `python scripts/benchmark_search.py
[PART ...]`.

framework   milliseconds per trial that does nothing, against hydra-optuna-sweeper in another
environment (`--other`) parallel    eight trials of 1 and 5 s on two workers, against the ideal
schedule killed      kill -9 five times at random, resume each time, count the trials pruning     a
forest search with and without pruning, several seeds
"""

import argparse
import csv
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parents[1]
APP = ROOT / "sweeper" / "tests" / "app"
OTHER_APP = """import hydra


@hydra.main(config_path="conf", config_name="config", version_base="1.3")
def nothing(cfg):
    return float(cfg.x)


if __name__ == "__main__":
    nothing()
"""
OTHER_CONFIG = "defaults: [override hydra/sweeper: optuna, override hydra/sweeper/sampler: random]\nx: 1\ny: 1\n"
OUR_CONFIG = OTHER_CONFIG.replace("optuna", "mnist_optuna")
QUIET = ["hydra/job_logging=disabled", "hydra/hydra_logging=disabled"]
N, WIDE = (
    30,
    230,
)  # two numbers of trials whose difference in time is that of trials alone, without start-up


def main() -> None:
    """Run the parts that were named, or all of them."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "parts", nargs="*", help="framework, parallel, killed, pruning; default: all"
    )
    parser.add_argument(
        "--other", help="a python that has hydra-optuna-sweeper 1.3.0 and the Optuna it wants"
    )
    parser.add_argument("--seeds", nargs="*", type=int, default=[0, 1, 2])
    parser.add_argument("--pruners", nargs="*", default=["median", "hyperband"])
    data = ["dataset=mnist", "dataset.train_size=10000"]
    parser.add_argument(
        "--dataset", nargs="*", default=data, help="words that name the data for pruning"
    )
    arguments = parser.parse_args()
    parts = arguments.parts or ["framework", "parallel", "killed", "pruning"]
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        if "framework" in parts:
            framework(home, arguments.other)
        if "parallel" in parts:
            parallel(home)
        if "killed" in parts:
            killed(home)
        if "pruning" in parts:
            pruning(home, arguments.seeds, arguments.pruners, arguments.dataset)


def _run(command: Sequence[str | Path], home: Path) -> float:
    environment = {
        key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"
    }
    if command[0] == sys.executable:  # another environment has plugins of its own
        environment["PYTHONPATH"] = str(ROOT)
    began = time.perf_counter()
    subprocess.run(command, cwd=home, env=environment, check=True, capture_output=True)
    return time.perf_counter() - began


def _rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "summary.csv").open() as file:
        return list(csv.DictReader(file))


def _app(home: Path, name: str, config: str) -> Path:
    (home / name / "conf").mkdir(parents=True)
    (home / name / "app.py").write_text(OTHER_APP)
    (home / name / "conf" / "config.yaml").write_text(config)
    return home / name / "app.py"


def framework(home: Path, other: str | None) -> None:
    """Print milliseconds per trial, and how 1,000 trials hold their pace."""
    apps = {"ours": (sys.executable, _app(home, "ours", OUR_CONFIG))}
    if other:
        apps["hydra-optuna-sweeper 1.3.0"] = (other, _app(home, "other", OTHER_CONFIG))
    words = ["-m", "x=interval(0,1)", "y=interval(0,1)", *QUIET, "hydra.sweeper.n_jobs=1"]
    cost: dict[str, list[float]] = {name: [] for name in apps}
    for turn in range(3):  # in turns, so that a busy machine is busy for both
        for name, (python, app) in apps.items():
            seconds = [
                _run(
                    [
                        python,
                        app,
                        *words,
                        f"hydra.sweeper.n_trials={n}",
                        f"hydra.sweep.dir={turn}-{n}",
                    ],
                    app.parent,
                )
                for n in (N, WIDE)
            ]
            cost[name].append(1000 * (seconds[1] - seconds[0]) / (WIDE - N))
    for name, found in cost.items():
        print(
            f"{name}: {statistics.median(found):.1f} ms per trial (of {', '.join(f'{ms:.1f}' for ms in found)})"
        )
    conditional: list[str | Path] = [
        sys.executable,
        APP / "app.py",
        "-m",
        "kind=a,b",
        "hydra.sweeper.spaces=[kind]",
        *QUIET,
    ]
    flat: list[str | Path] = [sys.executable, APP / "app.py", "-m", "x=interval(0,1)", *QUIET]
    for name, command in (("flat space", flat), ("conditional space", conditional)):
        seconds = [
            _run([*command, f"hydra.sweeper.n_trials={n}", f"hydra.sweep.dir={name}{n}"], home)
            for n in (N, WIDE)
        ]
        print(f"{name}: {1000 * (seconds[1] - seconds[0]) / (WIDE - N):.1f} ms per trial")
    python, app = apps["ours"]
    _run([python, app, *words, "hydra.sweeper.n_trials=1000", "hydra.sweep.dir=long"], app.parent)
    seconds = [float(row["duration_s"]) for row in _rows(app.parent / "long")]
    print(
        f"1,000 trials: the last hundred took {sum(seconds[-100:]) / sum(seconds[:100]):.2f} times the first hundred"
    )


def parallel(home: Path) -> None:
    """Print the time that two workers take for 1, 1, 1, 5, 1, 1, 1, 5 s, from the first trial to
    the last.
    """
    words = [
        "x=range(0,8)",
        "hydra/sweeper/sampler=grid",
        "sleep=1",
        "uneven=true",
        "hydra.sweeper.n_jobs=2",
        *QUIET,
    ]
    _run(
        [
            sys.executable,
            APP / "app.py",
            "-m",
            "hydra.sweep.dir=parallel",
            *words,
            f"log={home / 'log'}",
        ],
        home,
    )
    stamps = [
        path.stat().st_mtime for path in (home / "parallel").glob("[0-9]*/.hydra/overrides.yaml")
    ]
    ended = (home / "parallel" / "summary.csv").stat().st_mtime
    ideal = _ideal([1, 1, 1, 5, 1, 1, 1, 5], 2)
    seconds = ended - min(stamps)
    print(
        f"parallel: {seconds:.1f} s where the ideal schedule takes {ideal:.0f} s: {seconds / ideal:.2f} times"
    )


def _ideal(lengths: Sequence[float], workers: int) -> float:
    """When the trials are done if each goes, in this order, to the worker that is free first."""
    free = [0.0] * workers
    for length in lengths:
        free.sort()
        free[0] += length
    return max(free)


def killed(home: Path) -> None:
    """Kill a search five times at random moments, resume it each time, and check what is left."""
    words = [
        "x=interval(0,1)",
        "sleep=0.3",
        "hydra.sweeper.n_trials=24",
        "hydra.sweeper.n_jobs=2",
        *QUIET,
    ]
    command = [sys.executable, str(APP / "app.py"), "-m", "hydra.sweep.dir=killed", *words]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    rng = random.Random(0)
    for _ in range(5):
        process = subprocess.Popen(
            command, cwd=home, env=environment, stderr=subprocess.DEVNULL, start_new_session=True
        )
        time.sleep(rng.uniform(2, 6))
        os.killpg(process.pid, 9)
        process.wait()
    _run(command, home)
    rows = _rows(home / "killed")
    states = [row["state"] for row in rows]
    completed = [row for row in rows if row["state"] == "completed"]
    folders = {path.name for path in (home / "killed").glob("[0-9]*")}
    print(
        f"killed: {len(completed)} of 24 completed, {states.count('stale')} killed and repeated, {len(folders)} folders"
    )
    right = len(completed) == len({row["x"] for row in completed}) == 24 and folders <= {
        row["number"] for row in rows
    }
    if not right:
        sys.exit("killed: trials were lost or repeated")


def pruning(home: Path, seeds: Sequence[int], pruners: Sequence[str], data: Sequence[str]) -> None:
    """Print time, start-up and all, and the best validation accuracy of a 30-trial forest search
    with each pruner.
    """
    everything = []
    for seed in seeds:
        found = {}
        for pruner in ("none", *pruners):
            folder = home / f"{pruner}{seed}"
            words = [
                "model=rf",
                "search=tpe",
                "search.n_trials=30",
                "search.refit=false",
                f"search.pruner={pruner}",
            ]
            words += [f"seed={seed}", f"hydra.sweep.dir={folder}", f"outputs={home}", *data]
            before = os.times()
            passed = _run([sys.executable, "-m", "mnist_exp.train", *words], ROOT)
            after = os.times()
            cpu = (
                after.children_user
                + after.children_system
                - before.children_user
                - before.children_system
            )
            rows = _rows(folder)
            best = max(float(row["value"]) for row in rows if row["state"] == "completed")
            found[pruner] = passed, cpu, best, sum(row["state"] == "pruned" for row in rows)
            shutil.rmtree(folder)
        for pruner, (passed, cpu, best, pruned) in found.items():
            print(
                f"pruning, seed {seed}, {pruner}: {passed:.0f} s ({passed / found['none'][0]:.2f} of none), "
                f"{cpu:.0f} s of cpu ({cpu / found['none'][1]:.2f}), "
                f"{pruned} pruned, best {100 * best:.2f} % ({100 * (best - found['none'][2]):+.2f})",
                flush=True,
            )
        everything.append(found)
    for pruner in pruners:
        ratio = sum(found[pruner][0] for found in everything) / sum(
            found["none"][0] for found in everything
        )
        lost = max(found["none"][2] - found[pruner][2] for found in everything)
        print(
            f"pruning, {len(seeds)} seeds, {pruner}: {ratio:.2f} of the time, at most {100 * lost:.2f} points lost"
        )


if __name__ == "__main__":
    main()
