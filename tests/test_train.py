"""The command line as a person or a script meets it: a process of its own, its streams, its exit
status, its folder.
"""

import csv
import hashlib
import json
import os
import shutil
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
SMALL = [*DIGITS, "dataset.train_size=200", "dataset.test_size=100"]
TREES = ["model=rf", "model.n_estimators=10"]
QUICK = [*SMALL, *TREES]


@pytest.fixture(scope="module")
def whole(commands, tmp_path_factory):
    """A run by a Python of its own, which tests read, and the folder it was started in."""
    home = tmp_path_factory.mktemp("whole")
    variables = os.environ | {"MNIST_EXP_CACHE": str(home / "cache")}
    options = {"cwd": home, "env": variables, "fork": False}
    done = commands.run("mnist_exp.train", *DIGITS, *TREES, "dataset.val_size=200", **options)
    assert done.returncode == 0, done.stderr
    return done, home


def test_a_run_leaves_every_file_and_prints_its_folder_alone(whole):
    done, home = whole
    folder = home / done.stdout.strip()
    assert done.stdout.count("\n") == 1
    assert folder.resolve() == (home / "outputs" / "latest").resolve()
    expected = """.hydra status.json metrics.json intervals.json predictions_test.npz
        predictions_val.npz confusion_test.csv confusion_test.png per_class.csv errors.csv
        errors.png model.skops model.json environment.json report.html train.log"""
    assert {path.name for path in folder.iterdir()} == set(expected.split())
    run = Run(folder)
    assert run.state == "completed"
    assert run.metrics["test"]["accuracy"] > 0.85
    assert run.metrics["data"]["n_val"] == 200
    times = "load_s augment_s fit_s predict_s total_s predict_us_per_image"
    assert set(run.metrics["time"]) >= set(times.split())
    interval = run.intervals["test.accuracy"]
    assert interval["low"] < run.metrics["test"]["accuracy"] < interval["high"]


def test_the_files_of_a_run_agree_with_each_other(whole):
    done, home = whole
    folder = home / done.stdout.strip()
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


def test_verify_agrees_with_a_run_and_notices_a_change(finish, whole):
    done, home = whole
    folder = finish.home / "changed"
    shutil.copytree(home / done.stdout.strip(), folder)
    done = finish("latest", module="verify", cwd=home)
    assert done.stdout == "same data, same predictions, same metrics\n", done.stderr
    assert done.returncode == 0
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
    done = finish("-m", *SMALL, "model=sgd", "model.alpha=1e-5,1e-6,1e-4")
    assert done.returncode == 0, done.stderr
    runs = find_runs(finish.home / done.stdout.strip())
    logs = [(run.path / "train.log").read_text() for run in runs]
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
    done = finish(*SMALL, *words.split())
    assert done.returncode not in (0, None)
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    assert len(done.stderr.splitlines()) <= 12
    for culprit in MISTAKES[words]:
        assert culprit in done.stderr
    assert all(run.state == "failed" for run in find_runs(finish.home))
    assert not (finish.home / "outputs" / "latest").exists()


def test_a_run_never_overwrites_another(finish, whole):
    done, home = whole
    mine = finish.home / "mine"
    shutil.copytree(home / done.stdout.strip(), mine)
    before = (mine / "status.json").read_bytes()
    done = finish(*QUICK, "hydra.run.dir=mine", "seed=1")
    assert done.returncode != 0
    assert "hydra.run.dir=mine holds a run already" in done.stderr
    assert (mine / "status.json").read_bytes() == before
    assert "seed: 0" in (mine / ".hydra" / "config.yaml").read_text()


@pytest.mark.faults
def test_four_runs_at_once_get_four_folders_and_each_seed_its_predictions(start):
    seeds = (0, 0, 1, 2)
    words = [*QUICK, "augment=affine", "outputs=outputs"]
    processes = [start(*words, f"seed={seed}") for seed in seeds]
    folders = [start.home / process.communicate(timeout=120)[0].strip() for process in processes]
    assert len(set(folders)) == 4
    for seed, folder in zip(seeds, folders, strict=True):
        run = Run(folder)
        assert run.state == "completed"
        assert run.config["seed"] == seed
        assert f"seed={seed}" in run.status.argv
    first, again, *others = (Run(folder).predictions("test") for folder in folders)
    np.testing.assert_array_equal(first.probability, again.probability)
    for other in others:
        assert (first.probability != other.probability).any()
        assert first.split_sha256 == other.split_sha256


def started_fit(start, **how):
    """A run that is surely fitting."""
    words = ["model=rf", "model.n_estimators=20000", "hydra.run.dir=long"]
    process = start(*DIGITS, *words, **how)
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
@pytest.mark.parametrize(
    ("name", "code", "how"), [("SIGTERM", 143, {"fork": False}), ("SIGINT", 130, {})]
)
def test_a_signal_marks_the_run_interrupted(start, name, code, how):
    process, run = started_fit(start, **how)
    process.send_signal(signal.Signals[name])
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


@pytest.fixture
def offline(finish, monkeypatch):
    """Commands that find no data and no mirror."""
    monkeypatch.setenv("MNIST_EXP_MIRRORS", "http://127.0.0.1:9/")  # where nothing listens
    monkeypatch.setenv("MNIST_EXP_DATA", str(finish.home / "data"))
    return finish


def test_offline_auto_trains_on_the_bundled_digits_and_says_so_first_and_last(offline):
    words = [word for word in QUICK if word != "dataset=digits"]
    done = offline(*words)
    assert done.returncode == 0, done.stderr
    before, _, after = done.stderr.partition(" load ")
    assert "digits" in before
    assert "digits" in after.strip().splitlines()[-1]
    assert Run(offline.home / done.stdout.strip()).config["dataset"]["name"] == "digits"
    done = offline("-m", *words, "model.n_estimators=5,6")
    assert done.returncode == 0, done.stderr
    runs = find_runs(offline.home / done.stdout.strip())
    assert [run.config["dataset"]["name"] for run in runs] == ["digits"] * 2


def test_offline_mnist_is_refused_with_the_two_ways_out(offline):
    done = offline("dataset=mnist")
    assert done.returncode != 0
    for part in ("http://127.0.0.1:9/", "dataset=digits", str(Path("data") / "mnist")):
        assert part in done.stderr
    assert "Traceback" not in done.stderr


def test_help_lists_the_choices_and_starts_no_heavy_import(finish):
    done = finish("--help")
    assert done.returncode == 0
    for choice in ("fashion_mnist", "elastic", "hog", "extra_trees", "seed_sgd"):
        assert choice in done.stdout
    heavy = {"sklearn", "scipy", "matplotlib", "PIL"}
    code = f"import sys, mnist_exp.train; print({heavy} & set(sys.modules))"
    options = {"capture_output": True, "text": True, "check": True, "cwd": ROOT}
    assert subprocess.run([sys.executable, "-c", code], **options).stdout == "set()\n"
