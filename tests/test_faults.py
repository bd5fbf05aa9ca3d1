"""What the machine may do to a run: a folder that cannot be written, a disk that is full."""

import os
import subprocess
import sys

import pytest

from mnist_exp.runs import find_runs

CAN_MOUNT = sys.platform == "linux" and os.geteuid() == 0
pytestmark = [
    pytest.mark.faults,
    pytest.mark.skipif(not CAN_MOUNT, reason="only root on Linux can mount file systems"),
]
QUICK = ["dataset=digits", "n_jobs=1", "model.n_estimators=10"]


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


@pytest.mark.parametrize(
    "words", [["outputs={}/outputs"], ["hydra.run.dir={}/run"], ["seed=0,1", "outputs={}/o", "-m"]]
)
def test_a_read_only_folder_is_named(finish, mounted, words):
    folder = mounted("ro")
    done = finish(*QUICK, *(word.format(folder) for word in words))
    assert done.returncode == 1
    assert done.stdout == ""
    assert "Read-only file system" in done.stderr
    assert str(folder) in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("size", ["8k", "16k", "24k", "60k", "200k"])  # each at another file
def test_a_full_disk_fails_the_run_in_one_message(finish, mounted, size):
    folder = mounted(f"size={size}")
    done = finish(*QUICK, f"outputs={folder}/outputs")
    assert done.returncode == 1
    assert "No space left on device" in done.stderr
    assert "Traceback" not in done.stderr
    assert {run.state for run in find_runs(folder)} <= {"failed", "stale"}
    assert not list(folder.rglob("*.tmp"))
    assert not (folder / "outputs" / "latest").exists()


def test_a_full_disk_ends_a_search_of_several_processes_without_a_traceback(finish, mounted):
    folder = mounted("size=60k")
    search = ["search=random", "search.n_trials=30", "search.n_jobs=2", "search.max_failure_rate=1"]
    done = finish(*QUICK, "dataset.train_size=100", f"hydra.sweep.dir={folder}/sweep", *search)
    assert done.returncode == 1
    assert "\nerror: [Errno 28] No space left on device\n" in done.stderr  # a worker's
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("size", ["4k", "12k", "60k"])  # each fills up at another file
def test_a_full_disk_under_the_cache_is_named(finish, mounted, size):
    folder = mounted(f"size={size}")
    done = finish(*QUICK, "features=hog", "seed=0,1", f"cache_dir={folder}", "-m")
    assert done.returncode == 1
    assert f"error: features cannot be kept in {folder}" in done.stderr
    assert "No space left on device" in done.stderr
    assert "cache_dir=" in done.stderr
    assert "Traceback" not in done.stderr
