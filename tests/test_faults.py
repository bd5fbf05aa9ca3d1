"""What the machine may do to a run: a folder that cannot be written, a disk that is full."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from mnist_exp.runs import find_runs

ROOT = Path(__file__).parents[1]
CAN_MOUNT = sys.platform == "linux" and os.geteuid() == 0


@pytest.fixture
def mounted(tmp_path):
    """A folder on a file system of its own."""
    folder = tmp_path / "mounted"
    folder.mkdir()

    def mount(options):
        subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)], check=True)
        return folder

    yield mount
    subprocess.run(["umount", str(folder)], check=False)


def train(tmp_path, *words):
    command = [
        sys.executable,
        "-m",
        "mnist_exp.train",
        "dataset=digits",
        "n_jobs=1",
        "model.n_estimators=10",
        *words,
    ]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "MNIST_EXP_CACHE": str(tmp_path / "cache")}
    return subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )


@pytest.mark.skipif(not CAN_MOUNT, reason="only root on Linux can mount a file system to break")
@pytest.mark.parametrize(
    "words", [["outputs={}/outputs"], ["hydra.run.dir={}/run"], ["seed=0,1", "outputs={}/o", "-m"]]
)
def test_a_read_only_folder_is_named(tmp_path, mounted, words):
    folder = mounted("ro")
    done = train(tmp_path, *(word.format(folder) for word in words))
    assert done.returncode == 1
    assert done.stdout == ""
    assert "Read-only file system" in done.stderr
    assert str(folder) in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.skipif(not CAN_MOUNT, reason="only root on Linux can mount a file system to break")
@pytest.mark.parametrize(
    "size", ["8k", "16k", "24k", "60k", "200k"]
)  # each fills up at another file
def test_a_full_disk_fails_the_run_in_one_message(tmp_path, mounted, size):
    folder = mounted(f"size={size}")
    done = train(tmp_path, f"outputs={folder}/outputs")
    assert done.returncode == 1
    assert "No space left on device" in done.stderr
    assert "Traceback" not in done.stderr
    assert {run.state for run in find_runs(folder)} <= {"failed", "stale"}
    assert not list(folder.rglob("*.tmp"))
    assert not (folder / "outputs" / "latest").exists()


@pytest.mark.skipif(not CAN_MOUNT, reason="only root on Linux can mount a file system to break")
def test_a_full_disk_ends_a_search_of_several_processes_without_a_traceback(tmp_path, mounted):
    folder = mounted("size=60k")
    search = ["search=random", "search.n_trials=30", "search.n_jobs=2", "search.max_failure_rate=1"]
    done = train(tmp_path, "dataset.train_size=100", f"hydra.sweep.dir={folder}/sweep", *search)
    assert done.returncode == 1
    assert "\nerror: [Errno 28] No space left on device\n" in done.stderr  # a worker's
    assert "Traceback" not in done.stderr


@pytest.mark.skipif(not CAN_MOUNT, reason="only root on Linux can mount a file system to break")
@pytest.mark.parametrize("size", ["4k", "12k", "60k"])  # each fills up at another file
def test_a_full_disk_under_the_cache_is_named(tmp_path, mounted, size):
    folder = mounted(f"size={size}")
    done = train(tmp_path, "features=hog", "seed=0,1", f"cache_dir={folder}", "-m")
    assert done.returncode == 1
    assert f"error: features cannot be kept in {folder}" in done.stderr
    assert "No space left on device" in done.stderr
    assert "cache_dir=" in done.stderr
    assert "Traceback" not in done.stderr
