"""Results on disk: one process computes what several want; parameters name a result."""

import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from joblib import Memory

from mnist_exp.errors import UserError
from mnist_exp.process import cache_errors_named, computed_once


def square(x, log, n_jobs):
    """Note each computation in a file, since a cache may outlive a process."""
    with log.open("a") as file:
        file.write(f"{x}\n")
    time.sleep(0.05)
    return x * x


def cached_square(folder):
    return computed_once(Memory(folder, verbose=0), square, ["log", "n_jobs"])


def test_of_several_that_want_the_same_one_computes_it(tmp_path):
    log = tmp_path / "log"
    callers = [cached_square(tmp_path / "cache") for _ in range(4)]  # as in four processes
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(lambda call: call(3, log, 1), callers))
    assert results == [9] * 4
    assert log.read_text().split() == ["3"]


def test_a_result_is_named_by_what_it_depends_on(tmp_path):
    log = tmp_path / "log"
    for x, n_jobs in ((3, 1), (3, 2), (4, 1), (3, 1)):
        assert cached_square(tmp_path / "cache")(x, log, n_jobs) == x * x
    assert log.read_text().split() == ["3", "4"]


def test_a_memory_without_a_folder_keeps_nothing():
    assert computed_once(Memory(None, verbose=0), square, ["n_jobs"]) is square


def test_a_folder_that_takes_nothing_is_named_and_an_error_of_the_function_is_its_own(tmp_path):
    def broken():
        raise ValueError("not of the disk")

    with pytest.raises(ValueError, match="not of the disk"):
        computed_once(Memory(tmp_path, verbose=0), broken, [])()
    (tmp_path / "file").write_text("")
    message = r"features cannot be kept in .*: .*Not a directory.*cache_dir="
    with pytest.raises(UserError, match=message), cache_errors_named(tmp_path):
        (tmp_path / "file" / "joblib").mkdir()
