"""Every format goes through the commands: explore, train, compare, predict and verify."""

import json
import sys

import numpy as np
import pytest
from test_data_file import csv, emnist_mat, npy_pairs, npz, parquet_of_pictures

from conftest import write_idx_part
from mnist_exp import compare_runs
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


WRITERS = {
    "idx": idx_files,
    "csv": csv(),
    "npz": npz("x_train y_train x_test y_test"),
    "npy": npy_pairs,
    "mat": emnist_mat,
    "parquet": parquet_of_pictures(True),
}
FILES = {"csv": "test.csv", "npz": "both.npz", "idx": "test-images-idx3-ubyte.gz"}


@pytest.fixture(scope="module")
def runs(made, tmp_path_factory):
    """A run of each format, made once."""
    home = tmp_path_factory.mktemp("formats")
    runs = {}
    for name, write in WRITERS.items():
        (folder := home / f"{name} (1)").mkdir()
        write(folder, made)
        kind = "idx" if name == "idx" else "file"
        words = [f"dataset={kind}", f"dataset.path={folder}", f"cache_dir='{home}'", "n_jobs=1"]
        runs[name] = (
            train("model=sgd", "features=pixels", *words, f"outputs={home / 'runs'}"),
            folder,
            words,
        )
    return runs


def test_all_formats_give_the_same_run(runs):
    first, *others = [run for run, _, _ in runs.values()]
    for run in others:
        assert run.environment["data"] | {"name": "idx"} == first.environment["data"]
        assert run.metrics["test"] == pytest.approx(first.metrics["test"], rel=1e-6)
    comparison = compare_runs([run.path for run, _, _ in runs.values()])
    assert (len(comparison.runs), comparison.skipped) == (len(WRITERS), [])


@pytest.mark.parametrize("name", WRITERS)
def test_a_run_of_each_format_is_verified_from_elsewhere_and_explored(
    runs, tmp_path, monkeypatch, name
):
    run, _, words = runs[name]
    monkeypatch.chdir(tmp_path)
    assert list(verify(run)) == []
    if name == "npz":  # what is explored is a dataset, wherever it comes from
        assert (explore([*words, f"outputs={tmp_path}"]) / "report.html").exists()


@pytest.mark.parametrize("name", FILES)
def test_tables_are_predicted_as_the_run_predicted_them(runs, tmp_path, monkeypatch, capsys, name):
    run, folder, _ = runs[name]
    submission = tmp_path / "submission.csv"
    table = str(folder / FILES[name])
    monkeypatch.setattr(sys, "argv", ["predict", str(run.path), table, "--csv", str(submission)])
    predict()
    header, *rows = submission.read_text().splitlines()
    assert header == "ImageId,Label"
    classes = run.model_card["classes"]
    expected = [classes[number] for number in run.predictions("test").prediction]
    assert rows == [f"{i},{label}" for i, label in enumerate(expected, 1)]
    assert capsys.readouterr().out == f"{submission}\n"
    monkeypatch.setattr(sys, "argv", ["predict", str(run.path), table, "--json"])
    predict()
    answers = json.loads(capsys.readouterr().out)
    assert [answer["label"] for answer in answers] == expected
    assert answers[0]["image"] == f"{table}#1"
    probabilities = answers[0]["probabilities"]
    assert np.isclose(max(probabilities.values()), probabilities[expected[0]])
