"""The command line as a person or a script meets it: a process of its own, its streams, its exit
status, its folder.
"""

import csv
import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mnist_exp.runs import Run, find_runs

ROOT = Path(__file__).parents[1]
DIGITS = ["dataset=digits", "n_jobs=1"]
QUICK = [*DIGITS, "model=rf", "model.n_estimators=10"]


@pytest.fixture
def start(tmp_path, monkeypatch, popen):
    """Start a command in an empty folder, with an empty cache."""
    monkeypatch.setenv("MNIST_EXP_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.delenv("HYDRA_FULL_ERROR", raising=False)
    home = tmp_path / "home"
    home.mkdir()

    def start_command(*words, module="train"):
        command = [sys.executable, "-W", "error", "-m", f"mnist_exp.{module}", *words]
        return popen(command, cwd=home)

    start_command.home = home
    return start_command


@pytest.fixture
def finish(start):
    def run_command(*words, module="train"):
        process = start(*words, module=module)
        stdout, stderr = process.communicate(timeout=120)
        return subprocess.CompletedProcess(words, process.returncode, stdout, stderr)

    run_command.home = start.home
    return run_command


def test_a_run_leaves_every_file_and_prints_its_folder_alone(finish):
    done = finish(*QUICK, "dataset.val_size=200")
    assert done.returncode == 0, done.stderr
    folder = finish.home / done.stdout.strip()
    assert done.stdout.count("\n") == 1
    assert folder.resolve() == (finish.home / "outputs" / "latest").resolve()
    expected = """.hydra status.json metrics.json intervals.json predictions_test.npz predictions_val.npz
        confusion_test.csv confusion_test.png per_class.csv errors.csv errors.png model.skops model.json
        environment.json report.html train.log"""
    assert {path.name for path in folder.iterdir()} == set(expected.split())
    run = Run(folder)
    assert run.state == "completed"
    assert run.metrics["test"]["accuracy"] > 0.85
    assert run.metrics["data"]["n_val"] == 200
    assert set(run.metrics["time"]) >= {
        "load_s",
        "augment_s",
        "fit_s",
        "predict_s",
        "total_s",
        "predict_us_per_image",
    }
    assert (
        run.intervals["test.accuracy"]["low"]
        < run.metrics["test"]["accuracy"]
        < run.intervals["test.accuracy"]["high"]
    )


def test_the_files_of_a_run_agree_with_each_other(finish):
    folder = finish.home / finish(*QUICK).stdout.strip()
    run = Run(folder)
    predictions = run.predictions("test")
    accuracy = np.mean(predictions.label == predictions.prediction)
    assert run.metrics["test"]["accuracy"] == accuracy

    def table(name):
        return list(csv.reader((folder / name).read_text().splitlines()))

    rows = table("confusion_test.csv")
    confusion = np.array([row[1:] for row in rows[1:]], int)
    assert confusion.trace() / confusion.sum() == accuracy
    assert len(table("errors.csv")) - 1 == confusion.sum() - confusion.trace()
    assert run.model_card["sha256"] == hashlib.sha256(run.model_path.read_bytes()).hexdigest()
    assert run.environment["data"]["test"] == predictions.split_sha256
    assert "url(data:image/png;base64," in (folder / "report.html").read_text(encoding="utf-8")
    for picture in ("confusion_test.png", "errors.png"):
        with Image.open(folder / picture) as image:
            assert min(image.size) > 300


def test_the_same_command_gives_the_same_predictions_and_another_seed_others(finish):
    folders = [
        finish.home / finish(*QUICK, "augment=affine", f"seed={seed}").stdout.strip()
        for seed in (0, 0, 1)
    ]
    first, again, other = (Run(folder).predictions("test") for folder in folders)
    np.testing.assert_array_equal(first.probability, again.probability)
    assert (first.probability != other.probability).any()
    assert first.split_sha256 == other.split_sha256


def test_verify_agrees_with_a_run_and_notices_a_change(finish):
    folder = finish.home / finish(*QUICK).stdout.strip()
    done = finish("latest", module="verify")
    assert (done.returncode, done.stdout) == (0, "same data, same predictions, same metrics\n"), (
        done.stderr
    )
    config = folder / ".hydra" / "config.yaml"
    config.write_text(config.read_text().replace("n_estimators: 10", "n_estimators: 11"))
    done = finish(str(folder), module="verify")
    assert done.returncode == 1
    assert "test predictions" in done.stdout


def test_a_grid_survives_a_failed_job_and_says_so(finish):
    done = finish("-m", *QUICK, "model.n_estimators=5,-1,6")
    assert done.returncode == 1
    sweep = finish.home / done.stdout.strip()
    assert [run.state for run in find_runs(sweep)] == ["completed", "failed", "completed"]
    assert "n_estimators" in done.stderr
    assert "Traceback" not in done.stderr
    assert (finish.home / "outputs" / "latest").resolve() == sweep / "2"


def test_a_grid_extracts_shared_features_once(finish):
    done = finish("-m", *DIGITS, "model=sgd", "model.alpha=1e-5,1e-6,1e-4")
    assert done.returncode == 0, done.stderr
    logs = [
        (run.path / "train.log").read_text() for run in find_runs(finish.home / done.stdout.strip())
    ]
    assert ["features " in log for log in logs] == [True, False, False]


MISTAKES = {
    "model=nothing": ["nothing", "rf", "sgd"],
    "model.n_estimatorz=3": ["n_estimatorz", "n_estimators"],
    "model.n_estimators=-1": ["n_estimators", "-1"],
    "dataset.train_size=0": ["dataset.train_size=0"],
    "dataset.train_size=1000000": ["dataset.train_size=1000000"],
    "dataset.test_size=many": ["dataset.test_size=many"],
    "seed=banana": ["seed=banana"],
    "augment=shift augment.pixels=-1": ["pixels"],
    "features=pca features.pca.n_components=5000": ["n_components"],
    "model=knn model.n_neighbors=5000": ["n_neighbors"],
    "hydra.run.dir=a/file": ["file"],
    "model.n_estimators=": ["n_estimators"],
    "model.n_estimators": ["n_estimators"],
}


@pytest.mark.parametrize("words", MISTAKES)
def test_a_mistake_is_named_in_a_short_message(finish, words):
    (finish.home / "a").mkdir()
    (finish.home / "a" / "file").write_text("in the way")
    done = finish(*QUICK, *words.split())
    assert done.returncode not in (0, None)
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    assert len(done.stderr.splitlines()) <= 12
    for culprit in MISTAKES[words]:
        assert culprit in done.stderr
    assert all(run.state == "failed" for run in find_runs(finish.home))
    assert not (finish.home / "outputs" / "latest").exists()


def test_a_run_never_overwrites_another(finish):
    assert finish(*QUICK, "hydra.run.dir=mine").returncode == 0
    before = (finish.home / "mine" / "status.json").read_bytes()
    done = finish(*QUICK, "hydra.run.dir=mine", "seed=1")
    assert done.returncode != 0
    assert "hydra.run.dir=mine holds a run already" in done.stderr
    assert (finish.home / "mine" / "status.json").read_bytes() == before
    assert "seed: 0" in (finish.home / "mine" / ".hydra" / "config.yaml").read_text()


def test_four_runs_at_once_get_four_folders(start):
    processes = [start(*QUICK, f"seed={seed}", "outputs=outputs") for seed in range(4)]
    folders = [start.home / process.communicate(timeout=120)[0].strip() for process in processes]
    assert len(set(folders)) == 4
    for seed, folder in enumerate(folders):
        run = Run(folder)
        assert (run.state, run.config["seed"], f"seed={seed}" in run.status.argv) == (
            "completed",
            seed,
            True,
        )


def started_fit(start):
    """A run that is surely fitting."""
    process = start(*DIGITS, "model=rf", "model.n_estimators=20000", "hydra.run.dir=long")
    log = start.home / "long" / "train.log"
    deadline = time.monotonic() + 60
    while (
        time.monotonic() < deadline
        and process.poll() is None
        and not (log.exists() and "features" in log.read_text())
    ):
        time.sleep(0.05)
    assert process.poll() is None
    return process, Run(start.home / "long")


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGTERM to catch")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_marks_the_run_interrupted(start, number, code):
    process, run = started_fit(start)
    process.send_signal(number)
    assert process.wait(timeout=30) == code
    assert run.state == "interrupted"
    assert not (run.path / "metrics.json").exists()


def test_a_killed_run_reads_as_stale_at_once(start):
    process, run = started_fit(start)
    process.kill()
    process.wait(timeout=30)
    assert json.loads((run.path / "status.json").read_text())["state"] == "running"
    assert run.state == "stale"
    assert not (start.home / "outputs" / "latest").exists()


def test_offline_auto_trains_on_the_bundled_digits_and_says_so_first_and_last(finish, monkeypatch):
    monkeypatch.setenv(
        "MNIST_EXP_MIRRORS", "http://127.0.0.1:9/"
    )  # the discard port: nothing listens
    monkeypatch.setenv("MNIST_EXP_DATA", str(finish.home / "data"))
    done = finish("n_jobs=1", "model.n_estimators=10")
    assert done.returncode == 0, done.stderr
    before, _, after = done.stderr.partition(" load ")
    assert "digits" in before
    assert "digits" in after.strip().splitlines()[-1]
    assert Run(finish.home / done.stdout.strip()).config["dataset"]["name"] == "digits"
    done = finish("-m", "n_jobs=1", "model.n_estimators=10,11")
    assert done.returncode == 0, done.stderr
    assert {
        run.config["dataset"]["name"] for run in find_runs(finish.home / done.stdout.strip())
    } == {"digits"}


def test_offline_mnist_is_refused_with_the_two_ways_out(finish, monkeypatch):
    monkeypatch.setenv("MNIST_EXP_MIRRORS", "http://127.0.0.1:9/")
    monkeypatch.setenv("MNIST_EXP_DATA", str(finish.home / "data"))
    done = finish("dataset=mnist")
    assert done.returncode != 0
    for part in ("http://127.0.0.1:9/", "dataset=digits", str(Path("data") / "mnist")):
        assert part in done.stderr
    assert "Traceback" not in done.stderr


def test_help_lists_the_choices_and_starts_no_heavy_import(finish):
    done = finish("--help")
    assert done.returncode == 0
    for choice in ("fashion_mnist", "elastic", "hog", "extra_trees", "seed_sgd"):
        assert choice in done.stdout
    code = "import sys, mnist_exp.train; print({'sklearn', 'scipy', 'matplotlib', 'PIL'} & set(sys.modules))"
    assert (
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
        ).stdout
        == "set()\n"
    )
