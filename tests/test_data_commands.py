"""Every format goes through the commands: explore, train, compare, predict and verify."""

import json
import sys

import numpy as np
import pytest
from PIL import Image
from test_data_file import csv, emnist_mat, npy_pairs, npz, parquet_of_pictures

from conftest import write_idx_part
from mnist_exp import Run, compare_runs
from mnist_exp.explore import explore
from mnist_exp.predict import main as predict
from mnist_exp.train import run as train
from mnist_exp.verify import verify


@pytest.fixture(scope="module")
def made(digits):
    """Images and labels of both parts: digits of 14x14 pixels, which train in no time."""
    return {
        "train": (digits.train.images[:150, ::2, ::2], digits.train.labels[:150]),
        "test": (digits.test.images[:60, ::2, ::2], digits.test.labels[:60]),
    }


def idx_files(folder, made):
    for part, pair in made.items():
        write_idx_part(folder, part, *pair)


def folders(folder, made):
    """Dark digits on white, in a folder for each class."""
    for part, (images, labels) in made.items():
        for i, (image, label) in enumerate(zip(images, labels, strict=True)):
            path = folder / part / str(label) / f"{i:03}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(255 - np.pad(image, 3)).resize((60, 60)).save(path)


WRITERS = {
    "idx": idx_files,
    "csv": csv(),
    "csv.gz": csv("mnist_{}.csv.gz"),
    "npz": npz("x_train y_train x_test y_test"),
    "npy": npy_pairs,
    "mat": emnist_mat,
    "parquet": parquet_of_pictures(True),
    "folder": folders,
}
ARRAYS = [name for name in WRITERS if name != "folder"]
TEST_FILES = {"idx": "test-images*", "npy": "x_test*", "npz": "both*", "mat": "*.mat"}


@pytest.fixture(scope="module")
def runs(made, tmp_path_factory):
    """A run of each format, made once."""
    home = tmp_path_factory.mktemp("formats")
    runs = {}
    for name, write in WRITERS.items():
        (folder := home / f"{name} (1)").mkdir()
        write(folder, made)
        kind = name if name in ("idx", "folder") else "file"
        words = [f"dataset={kind}", f"dataset.path={folder}", f"cache_dir='{home}'", "n_jobs=1"]
        runs[name] = (
            train("model=sgd", "features=pixels", *words, f"outputs={home / 'runs'}"),
            folder,
            words,
        )
    return runs


def test_all_formats_give_the_same_run(runs):
    first, *others = [runs[name][0] for name in ARRAYS]
    for run in others:
        assert run.environment["data"] | {"name": "idx"} == first.environment["data"]
        assert run.metrics["test"] == first.metrics["test"]
    comparison = compare_runs([run.path for run, _, _ in runs.values()])
    assert len(comparison.runs) == len(ARRAYS)
    assert "other test data" in str(comparison.skipped)


@pytest.mark.parametrize("name", WRITERS)
def test_a_run_of_each_format_is_verified_from_elsewhere(runs, tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    assert list(verify(runs[name][0])) == []


@pytest.mark.parametrize(
    "name", [n if n == "npz" else pytest.param(n, marks=pytest.mark.slow) for n in WRITERS]
)
def test_each_format_is_explored(runs, tmp_path, name):
    assert (explore([*runs[name][2], f"outputs={tmp_path}"]) / "report.html").exists()


@pytest.mark.parametrize("name", ARRAYS)
def test_tables_are_predicted_as_the_run_predicted_them(runs, tmp_path, monkeypatch, capsys, name):
    run, folder, _ = runs[name]
    submission = tmp_path / "submission.csv"
    tables = sorted(map(str, folder.glob(TEST_FILES.get(name, "*test*"))))
    monkeypatch.setattr(sys, "argv", ["predict", str(run.path), *tables, "--csv", str(submission)])
    predict()
    header, *rows = submission.read_text().splitlines()
    assert header == "ImageId,Label"
    classes = run.model_card["classes"]
    expected = [classes[number] for number in run.predictions("test").prediction]
    assert [row.partition(",")[2] for row in rows] == expected
    assert rows[9].startswith("10,")
    assert capsys.readouterr().out == f"{submission}\n"
    monkeypatch.setattr(sys, "argv", ["predict", str(run.path), *tables, "--json"])
    predict()
    answers = json.loads(capsys.readouterr().out)
    assert [answer["label"] for answer in answers] == expected
    assert answers[0]["image"] == f"{tables[0]}#1"
    assert np.isclose(max(answers[0]["scores"].values()), answers[0]["scores"][expected[0]])


def test_emnists_own_files_are_turned_for_training_and_for_predict(
    made, runs, tmp_path, monkeypatch, capsys
):
    for part, (images, labels) in made.items():
        write_idx_part(tmp_path, f"emnist-digits-{part}", images.swapaxes(1, 2), labels)
    words = ["dataset=emnist", f"dataset.path={tmp_path}", "n_jobs=1", "features=pixels"]
    run = train("model=sgd", *words, f"outputs={tmp_path / 'runs'}")
    assert run.metrics["test"] == runs["idx"][0].metrics["test"]
    table = str(tmp_path / "emnist-digits-test-images-idx3-ubyte.gz")
    monkeypatch.setattr(sys, "argv", ["predict", str(run.path), table, "--json"])
    predict()
    labels = [int(answer["label"]) for answer in json.loads(capsys.readouterr().out)]
    assert labels == run.predictions("test").prediction.tolist()


def test_a_folder_of_pictures_is_predicted_as_the_run_predicted_it(runs, monkeypatch, capsys):
    run, folder, _ = runs["folder"]
    monkeypatch.setattr(sys, "argv", ["predict", str(run.path), str(folder / "test"), "--json"])
    predict()
    labels = [answer["label"] for answer in json.loads(capsys.readouterr().out)]
    expected = run.predictions("test").prediction
    read = [label is not None for label in labels]
    assert np.mean(read) > 0.8
    same = [int(label or 0) == guess for label, guess in zip(labels, expected, strict=True)]
    assert np.mean(np.array(same)[read]) > 0.9


def test_a_relative_path_counts_from_where_the_run_was_made(made, tmp_path, monkeypatch):
    """Such as that of dataset=feedback, which stands in a YAML."""
    monkeypatch.chdir(tmp_path)
    folders(tmp_path / "outputs" / "feedback" / "pictures", made)
    run = train("dataset=feedback", "model=sgd", "features=pixels", "n_jobs=1")
    (tmp_path / "elsewhere").mkdir()
    path = run.path.absolute()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert list(verify(Run(path))) == []
