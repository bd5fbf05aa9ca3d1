"""What the scripts share: children in fresh processes, seconds, memory, medians, the machine."""

import argparse
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from joblib import cpu_count
from threadpoolctl import threadpool_info

ROOT = Path(__file__).parents[1]
THREADS = min(2, cpu_count())
MEGABYTE = 1024 if sys.platform == "linux" else 1024**2  # in units of ru_maxrss
TRAIN = [sys.executable, "-m", "mnist_exp.train"]
# Starts a command and writes what it cost. A small process does it, since the peak memory of a
# child begins with that of its parent.
LAUNCH = """
import os, sys, time
started = time.perf_counter()
_, status, usage = os.wait4(os.posix_spawnp(sys.argv[2], sys.argv[2:], os.environ), 0)
costs = time.perf_counter() - started, usage.ru_utime + usage.ru_stime, usage.ru_maxrss
with open(sys.argv[1], "w") as file:
    print(*costs, file=file)
sys.exit(os.waitstatus_to_exitcode(status) != 0)
"""
# Other work on a machine disturbs a bare fit as much as ours, so that it serves as unit of time.
FOREST = """
import sys, time
from sklearn.ensemble import RandomForestClassifier
from mnist_exp.config import build, compose
train = build(compose(sys.argv[2:])).load(with_test=False).train
X = train.images.reshape(len(train), -1)
forest = RandomForestClassifier(100, random_state=0, n_jobs=int(sys.argv[1]))
started = time.perf_counter()
forest.fit(X, train.labels)
print(time.perf_counter() - started)
"""


@dataclass(frozen=True)
class Child:
    """What a finished process printed and cost.

    `cpu_s` is disturbed less by other work on the machine than `seconds`, and counts the process's
    own children; `peak_mb` does not.
    """

    output: str
    seconds: float
    cpu_s: float
    peak_mb: float


def run_child(command: Sequence[str | Path], cwd: Path | None = None) -> Child:
    """Run a command to its end; if it fails, end this script with its errors."""
    environment = dict(os.environ)
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # it doubles the time of every start
    with tempfile.NamedTemporaryFile("r") as costs:
        line = [sys.executable, "-S", "-c", LAUNCH, costs.name, *map(str, command)]
        done = subprocess.run(
            line, cwd=cwd, env=environment, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise SystemExit(f"{' '.join(line[5:10])} ... failed:\n{done.stderr}")
        seconds, cpu, peak = map(float, costs.read().split())
    return Child(done.stdout.strip(), seconds, cpu, peak / MEGABYTE)


def forest_seconds(*words: str) -> float:
    """Seconds that RandomForestClassifier(100) takes to fit raw pixels, in a fresh process."""
    return float(run_child([sys.executable, "-c", FOREST, str(THREADS), *words]).output)


def timed(work: Callable[[], object]) -> float:
    """Wall seconds of one call."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def in_turn(
    repeat: int, measured: Callable[[], float], reference: Callable[[], float]
) -> tuple[float, float]:
    """Take both measures in turn, so that other work disturbs both; return their medians."""
    first, second = zip(*[(measured(), reference()) for _ in range(repeat)], strict=True)
    return statistics.median(first), statistics.median(second)


def machine() -> str:
    """The machine in a few words, for the head of a table."""
    return f"{cpu_count()} cpus, {platform.platform()}, Python {platform.python_version()}"


def processor() -> str:
    """The cpus and the kernels of linear algebra, on which ratios between models depend."""
    import scipy.linalg  # noqa: F401  (it loads the library that is asked for here)

    blas = [library for library in threadpool_info() if library["user_api"] == "blas"]
    kernels = {f"{library['internal_api']} {library.get('architecture')}" for library in blas}
    return f"{cpu_count()} cpus, BLAS kernels {', '.join(sorted(kernels))}"


def arguments_of(description: str | None, *parts: str) -> argparse.ArgumentParser:
    """A parser whose help is the script's docstring; `--only` chooses among parts, if any."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    if parts:
        parser.add_argument("--only", nargs="+", choices=parts, default=parts, metavar="PART")
    return parser
