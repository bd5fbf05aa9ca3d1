"""The tests' own way of starting commands tells what a shell would have told."""

import os
import signal
from pathlib import Path

import pytest

QUICK = ["dataset=digits", "n_jobs=1", "dataset.train_size=100", "model=rf"]


@pytest.mark.parametrize(("module", "word"), [("compare", "nothing"), ("train", "model=nothing")])
def test_a_command_says_what_a_process_of_its_own_says(finish, module, word):
    done, real = (finish(word, module=module, **how) for how in ({}, {"fork": False}))
    assert (done.returncode, done.stdout) == (real.returncode, real.stdout)
    assert done.stderr == real.stderr


def test_a_command_leaves_nothing_to_the_next_or_to_the_tests(finish, monkeypatch):
    before = os.environ.copy(), Path.cwd(), signal.getsignal(signal.SIGTERM)
    monkeypatch.setenv("MNIST_EXP_SECRET", "1")
    words = ["--cfg=job", "--resolve", "outputs=${oc.env:MNIST_EXP_SECRET}"]
    assert "outputs: '1'" in finish(*words).stdout
    monkeypatch.delenv("MNIST_EXP_SECRET")
    done = finish(*words)
    assert done.returncode == 1
    assert "MNIST_EXP_SECRET" in done.stderr
    assert before == (os.environ.copy(), Path.cwd(), signal.getsignal(signal.SIGTERM))


def test_a_command_that_is_killed_is_gone(start):
    process = start(*QUICK, "model.n_estimators=20000")
    assert process.poll() is None
    process.kill()
    assert process.wait(30) == -signal.SIGKILL
    with pytest.raises(ProcessLookupError):
        os.kill(process.pid, 0)


def test_a_warning_is_an_error_in_a_command(commands, tmp_path):
    (tmp_path / "warns.py").write_text("import warnings\ndef main(): warnings.warn('careful')\n")
    done = commands.run("warns", cwd=tmp_path)
    assert (done.returncode, done.stderr.splitlines()[-1]) == (1, "UserWarning: careful")
    assert commands.run("warns", cwd=tmp_path, warnings="ignore").returncode == 0


def test_a_command_reads_standard_input(commands, tmp_path):
    (tmp_path / "text").write_text("hello")
    (tmp_path / "echo.py").write_text("import sys\ndef main(): print(sys.stdin.read())\n")
    with (tmp_path / "text").open() as file:
        assert commands.run("echo", cwd=tmp_path, stdin=file).stdout == "hello\n"


def test_a_finished_run_is_made_once(finished_run):
    run = finished_run("model=rf", "model.n_estimators=5")
    assert run.state == "completed"
    assert run.metrics["data"]["n_train"] == 300
    assert finished_run("model=rf", "model.n_estimators=5") is run
