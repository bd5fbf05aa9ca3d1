"""What the board costs with many runs: `python scripts/benchmark_board.py [--sizes N ...]`.

Copies one trial of a search many times, each with a configuration and figures of its own, and
measures: the first page without an index and with one, `compare` without and with one, and what
the board takes while a page is open and nothing happens.
"""

import argparse
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

SIZES = (1_000, 10_000)
IN_A_SWEEP = 100
IDLE_SECONDS = 30
WORDS = (
    "dataset=digits",
    "model=sgd",
    "search=random",
    "search.n_trials=1",
    "search.refit=false",
)


def main() -> None:
    """Measure at each size."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", nargs="*", type=int, default=SIZES)
    parser.add_argument("--keep", type=Path, help="make the folders here and leave them")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        home = arguments.keep or Path(folder)
        home.mkdir(exist_ok=True)
        trial = make_trial(home / "trial")
        for n in arguments.sizes:
            root = home / f"runs-{n}"
            if not root.exists():
                make_runs(trial, root, n)
                time.sleep(3)  # younger files are not indexed, for they may still change
            measure(root, home / f"cache-{n}", n)


def make_trial(folder: Path) -> Path:
    """One real trial."""
    if not (folder / "0").exists():
        command = [sys.executable, "-m", "mnist_exp.train", *WORDS, f"hydra.sweep.dir={folder}"]
        subprocess.run(command, check=True, capture_output=True)
    return folder / "0"


def make_runs(trial: Path, root: Path, n: int) -> None:
    """Copies with an alpha and an accuracy of their own, a hundred to a sweep."""
    config = (trial / ".hydra" / "config.yaml").read_text(encoding="utf-8")
    before = next(line for line in config.splitlines() if line.strip().startswith("alpha:"))
    metrics = json.loads((trial / "metrics.json").read_text(encoding="utf-8"))
    for i in range(n):
        run = root / f"sweep-{i // IN_A_SWEEP}" / str(i % IN_A_SWEEP)
        shutil.copytree(trial, run)
        (run.parent / "multirun.yaml").touch()
        text = config.replace(before, f"{before.partition(':')[0]}: {(i + 1) * 1e-6}")
        (run / ".hydra" / "config.yaml").write_text(text, encoding="utf-8")
        metrics["val"]["accuracy"] = 0.9 + (i * 0.618 % 1) / 10
        (run / "metrics.json").write_text(json.dumps(metrics), encoding="utf-8")


def measure(root: Path, cache: Path, n: int) -> None:
    """Print the figures of one tree of runs."""
    shutil.rmtree(cache, ignore_errors=True)
    for what in ("without an index", "with an index"):
        with board(root, cache) as (address, process, began):
            up = time.perf_counter() - began
            started = time.perf_counter()
            size = len(get(address))
            first = time.perf_counter() - started
            started = time.perf_counter()
            get(address)
            again = time.perf_counter() - started
            print(
                f"{n:>6} runs, {what}: up after {up:.2f} s, first page {first:.2f} s later "
                f"({up + first:.2f} s from the start), again {again:.3f} s, {size / 1e3:.0f} kB",
                flush=True,
            )
            if what == "with an index":
                idle(address, process, n)
    for what in ("without its index", "with it"):
        before = os.times()
        started = time.perf_counter()
        command = [sys.executable, "-m", "mnist_exp.compare", str(root), "--split", "val"]
        environment = os.environ | {"MNIST_EXP_CACHE": str(cache)}
        json_wanted = [*command, "--format", "json"]
        subprocess.run(json_wanted, check=True, capture_output=True, env=environment)
        after = os.times()
        cpu = after.children_user + after.children_system
        cpu -= before.children_user + before.children_system
        seconds = time.perf_counter() - started
        print(f"{n:>6} runs, compare {what}: {seconds:.1f} s, {cpu:.1f} s of cpu", flush=True)


def idle(address: str, process: psutil.Process, n: int) -> None:
    """Print what the board takes while a page is open and nothing happens."""
    with urllib.request.urlopen(f"{address}events"):  # noqa: S310  (the loopback interface)
        time.sleep(2)
        before = sum(process.cpu_times()[:2])
        time.sleep(IDLE_SECONDS)
        share = (sum(process.cpu_times()[:2]) - before) / IDLE_SECONDS
    memory = process.memory_info().rss / 1e6
    print(f"{n:>6} runs, idle: {100 * share:.1f} % of a cpu, {memory:.0f} MB", flush=True)


@contextmanager
def board(root: Path, cache: Path) -> Iterator[tuple[str, psutil.Process, float]]:
    """A board that answers."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    began = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "mnist_exp.board", str(root), "--port", str(port)],
        env=os.environ | {"MNIST_EXP_CACHE": str(cache)},
        stderr=subprocess.PIPE,
    )
    try:
        while True:
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                break
            except OSError:
                if process.poll() is not None:
                    sys.exit(process.communicate()[1].decode())
                time.sleep(0.01)
        yield f"http://127.0.0.1:{port}/", psutil.Process(process.pid), began
    finally:
        process.terminate()
        process.communicate()


def get(address: str) -> bytes:
    """The page."""
    with urllib.request.urlopen(address) as answer:  # noqa: S310  (the loopback interface)
        content: bytes = answer.read()
        return content


if __name__ == "__main__":
    main()
