"""What a run says of itself, computed once more from its predictions by other means.

The run has classes with names of their own and mistakes that are symmetric nowhere, so that
whatever is transposed, swapped or reversed shows.
"""

import csv
import io
import json
import re
from base64 import b64decode
from dataclasses import replace
from html import unescape

import numpy as np
import pandas
import pytest
from PIL import Image
from sklearn import metrics as reference
from sklearn.ensemble import RandomForestClassifier
from statsmodels.stats.proportion import proportion_confint

from mnist_exp.augment import none
from mnist_exp.evaluation import calibration_bins, confusion_matrix
from mnist_exp.experiment import run_experiment
from mnist_exp.features import Pixels
from mnist_exp.report.figures import confusion_figure, errors_figure
from mnist_exp.report.record import record
from mnist_exp.runs import Run

NAMES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
SECONDS = {"load": 0.5, "augment": 0.25, "features": 2.0, "fit": 3.0, "evaluate": 0.125}


@pytest.fixture(scope="module")
def dataset(digits):
    return replace(digits, classes=NAMES)


@pytest.fixture(scope="module")
def run(dataset, tmp_path_factory):
    folder = tmp_path_factory.mktemp("oracle")
    forest = RandomForestClassifier(3, max_depth=4, random_state=0)
    outcome = run_experiment(dataset, none, Pixels(), forest, seed=0, n_jobs=1)
    run = Run.claim(folder / "run", [])
    run.config_path.parent.mkdir()
    (run.config_path.parent / "overrides.yaml").write_text("[]")
    run.config_path.write_text("dataset: {name: digits}")
    record(run, dataset, outcome, SECONDS, {"seed": 0}, 0.0, folder)
    return run


@pytest.fixture(scope="module")
def test(run):
    """The test predictions; each kind of mistake differs from its reverse."""
    test = run.predictions("test")
    counts = reference.confusion_matrix(test.label, test.prediction, labels=range(10))
    assert (counts != counts.T).sum() > 20
    assert len(test.label) - counts.trace() > 30
    assert (test.probability.argmax(axis=1) == test.prediction).all()
    return test


@pytest.fixture(scope="module")
def html(run):
    return (run.path / "report.html").read_text(encoding="utf-8")


def table(path):
    return list(csv.reader(io.StringIO(path.read_text())))


def test_the_confusion_table_has_true_classes_in_rows(run, test):
    head, *rows = table(run.path / "confusion_test.csv")
    assert head == ["true \\ predicted", *NAMES]
    assert [row[0] for row in rows] == list(NAMES)
    expected = pandas.crosstab(test.label, test.prediction).reindex(
        index=range(10), columns=range(10), fill_value=0
    )
    np.testing.assert_array_equal([[int(n) for n in row[1:]] for row in rows], expected)


def test_the_class_table_is_scikit_learns(run, test):
    rows = pandas.read_csv(run.path / "per_class.csv").set_index("class").loc[list(NAMES)]
    precision, recall, f1, support = reference.precision_recall_fscore_support(
        test.label, test.prediction, labels=range(10)
    )
    assert np.abs(precision - recall).max() > 0.1
    for name, expected in (("precision", precision), ("recall", recall), ("f1", f1)):
        np.testing.assert_allclose(rows[name], expected)
    assert rows["support"].tolist() == support.tolist()
    hits = np.rint(recall * support)
    low, high = proportion_confint(hits, support, method="wilson")
    np.testing.assert_allclose(rows["recall_low"], low)
    np.testing.assert_allclose(rows["recall_high"], high)


def test_the_list_of_mistakes_is_whole_and_by_falling_confidence_in_each_kind(run, test):
    rows = pandas.read_csv(run.path / "errors.csv")
    wrong = test.label != test.prediction
    assert sorted(rows["index"]) == sorted(test.index[wrong])
    place = {index: at for at, index in enumerate(test.index)}
    positions = [place[index] for index in rows["index"]]
    assert rows["true"].tolist() == [NAMES[n] for n in test.label[positions]]
    assert rows["predicted"].tolist() == [NAMES[n] for n in test.prediction[positions]]
    np.testing.assert_allclose(
        rows["probability"], test.probability[positions].max(axis=1), rtol=1e-6
    )
    sizes = rows.groupby(["true", "predicted"], sort=False).size().tolist()
    assert sizes == sorted(sizes, reverse=True)
    for _, kind in rows.groupby(["true", "predicted"]):
        assert kind["probability"].is_monotonic_decreasing


def test_the_metrics_are_scikit_learns(run, test):
    found = run.metrics["test"]
    expected = {
        "accuracy": reference.accuracy_score(test.label, test.prediction),
        "macro_f1": reference.f1_score(test.label, test.prediction, average="macro"),
        "top2_accuracy": np.mean(
            [
                label in np.argsort(-row, kind="stable")[:2] or row[label] >= np.sort(row)[-2]
                for label, row in zip(test.label, test.probability, strict=True)
            ]
        ),
        "log_loss": -np.mean(
            np.log(
                np.clip(
                    test.probability[np.arange(len(test.label)), test.label].astype(float),
                    np.finfo(float).eps,
                    1,
                )
            )
        ),
    }
    assert len({round(value, 6) for value in expected.values()}) == 4
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, rel=1e-5), name
    confidence, right = test.probability.max(axis=1), test.label == test.prediction
    bins = np.minimum((confidence * 15).astype(int), 14)
    gaps = [abs(right[bins == b].mean() - confidence[bins == b].mean()) for b in np.unique(bins)]
    shares = [np.mean(bins == b) for b in np.unique(bins)]
    assert found["ece"] == pytest.approx(np.dot(gaps, shares), rel=1e-5)


def test_every_interval_is_that_of_its_own_metric(run, test):
    n = len(test.label)
    found = {name.removeprefix("test."): i for name, i in run.intervals.items() if "test." in name}
    assert set(found) >= {"accuracy", "macro_f1", "top2_accuracy", "log_loss"}
    for name, interval in found.items():
        assert interval["low"] < run.metrics["test"][name] < interval["high"], name
        assert interval["level"] == 0.95
    for name in ("accuracy", "top2_accuracy"):
        hits = round(n * run.metrics["test"][name])
        low, high = proportion_confint(hits, n, method="wilson")
        assert (found[name]["low"], found[name]["high"]) == pytest.approx((low, high))
    truth = test.probability[np.arange(n), test.label].astype(float)
    losses = -np.log(np.clip(truth, np.finfo(float).eps, 1))
    half = 1.96 * losses.std(ddof=1) / np.sqrt(n)
    assert found["log_loss"]["high"] - found["log_loss"]["low"] == pytest.approx(2 * half, rel=0.05)
    draws = np.random.default_rng(1).integers(0, n, (300, n))
    scores = [
        reference.f1_score(test.label[rows], test.prediction[rows], average="macro")
        for rows in draws
    ]
    low, high = np.quantile(scores, [0.025, 0.975])
    assert found["macro_f1"]["low"] == pytest.approx(low, abs=0.02)
    assert found["macro_f1"]["high"] == pytest.approx(high, abs=0.02)


def test_times_are_in_their_units(run, test):
    times = run.metrics["time"]
    assert times["predict_us_per_image"] == pytest.approx(1e6 * 0.125 / (len(test.label) + 100))
    expected = {"load_s": 0.5, "augment_s": 0.25, "features_s": 2.0, "fit_s": 5.0}
    assert {name: times[name] for name in expected} == expected


def test_the_confusion_picture_shows_shares_of_the_true_class(test):
    counts = confusion_matrix(test.label, test.prediction, 10)
    figure = confusion_figure(counts, NAMES, "title")
    axes = figure.axes[0]
    share = 100 * counts / counts.sum(axis=1, keepdims=True)
    colours = np.ma.filled(axes.images[0].get_array(), np.nan)
    off_diagonal = ~np.eye(10, dtype=bool)
    np.testing.assert_allclose(colours[off_diagonal], share[off_diagonal])
    assert np.isnan(np.diagonal(colours)).all()
    written = {tuple(map(int, text.get_position())): int(text.get_text()) for text in axes.texts}
    assert written == {(p, t): counts[t, p] for t, p in np.argwhere(counts)}
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("predicted", "true")
    assert [label.get_text() for label in axes.get_yticklabels()] == list(NAMES)


def test_the_gallery_picture_holds_the_images_that_its_rows_name(test, dataset):
    axes = errors_figure(test, dataset.test.images, NAMES, "title").axes[0]
    sheet = np.asarray(axes.images[0].get_array())
    names = [label.get_text() for label in axes.get_yticklabels()]
    wrong = pandas.DataFrame(
        {"true": test.label, "predicted": test.prediction, "sure": test.probability.max(axis=1)}
    )
    wrong = wrong[wrong.true != wrong.predicted]
    for row, name in enumerate(names):
        words = re.fullmatch(r"(\w+) as (\w+)\n(\d+) times", name)
        true, predicted = NAMES.index(words[1]), NAMES.index(words[2])
        kind = wrong[(wrong.true == true) & (wrong.predicted == predicted)]
        assert len(kind) == int(words[3])
        surest = kind.sort_values("sure", ascending=False, kind="stable").index[0]
        cell = sheet.shape[0] // len(names)
        np.testing.assert_array_equal(
            sheet[row * cell : row * cell + 28, :28], dataset.test.images[surest]
        )


def sheet_of(html):
    png = b64decode(re.search(r"url\(data:image/png;base64,([\w+/=]+)\)", html)[1])
    columns = int(re.search(r"--columns: (\d+)", html)[1])
    return np.asarray(Image.open(io.BytesIO(png))), columns


def test_a_cell_of_the_page_counts_and_shows_its_own_images(html, test, dataset):
    counts = reference.confusion_matrix(test.label, test.prediction, labels=range(10))
    cells = re.findall(
        r'data-gallery="(\d)-(\d)" aria-label="(\w+) taken for (\w+): (\d+)">(\d+)<', html
    )
    assert len(cells) == np.count_nonzero(counts)
    galleries = json.loads(re.search(r'id="galleries">(.*?)</script>', html, re.S)[1])
    sheet, columns = sheet_of(html)
    place = {index: at for at, index in enumerate(test.index)}
    for t, p, true, predicted, said, shown in cells:
        assert (NAMES[int(t)], NAMES[int(p)]) == (true, predicted)
        assert int(said) == int(shown) == counts[int(t), int(p)]
        for position, caption in galleries[f"{t}-{p}"]["items"]:
            words, confidence, number = caption.replace("\xa0", " ").split("\n")
            at = place[int(number.removeprefix("#"))]
            assert (test.label[at], test.prediction[at]) == (int(t), int(p))
            assert words == (f"{true} as {predicted}" if t != p else true)
            assert confidence == f"{100 * test.probability[at].max():.0f} %"
            row, column = divmod(position, columns)
            tile = sheet[28 * row : 28 * row + 28, 28 * column : 28 * column + 28]
            np.testing.assert_array_equal(tile, dataset.test.images[at])


def test_the_page_shows_the_surest_mistakes_first(html, test):
    section = html[html.index("The most confident mistakes") :]
    section = section[: section.index("Labels that may be wrong")]
    captions = [
        unescape(text) for text in re.findall(r"<figcaption>(.*?)</figcaption>", section, re.S)
    ]
    shown = [int(re.search(r"#(\d+)", caption)[1]) for caption in captions]
    confidence = test.probability.max(axis=1)
    wrong = np.flatnonzero(test.label != test.prediction)
    expected = wrong[np.argsort(-confidence[wrong], kind="stable")][: len(shown)]
    assert len(shown) > 10
    assert shown == test.index[expected].tolist()


def test_the_tables_of_the_page_say_what_the_files_say(html, run, test):
    rows = re.findall(
        r'<th scope="row">(\w+)</th><td>([\d,]+)</td><td>([\d.]+)\xa0%</td>\s*'
        r"<td>([\d.]+)\xa0% to ([\d.]+)\xa0%</td><td>([\d.]+)\xa0%</td><td>([\d.]+)\xa0%</td>",
        html,
    )
    files = pandas.read_csv(run.path / "per_class.csv")
    columns = ["support", "recall", "recall_low", "recall_high", "precision", "f1"]
    assert [row[0] for row in rows] == list(NAMES)
    expected = files[columns].to_numpy() * [1, 100, 100, 100, 100, 100]
    np.testing.assert_allclose(np.array([row[1:] for row in rows], float), expected, atol=0.0051)
    accuracy = 100 * np.mean(test.label == test.prediction)
    assert f"<h1>{accuracy:.2f}\xa0% of {len(test.label)} test images right</h1>" in html


def test_the_calibration_plot_has_confidence_along_and_accuracy_up(html, test):
    circles = re.findall(r'<circle cx="([\d.]+)" cy="([\d.]+)"[^>]*><title>(\d+) images', html)
    confidence, right = test.probability.max(axis=1), test.label == test.prediction
    bins = np.minimum((confidence * 15).astype(int), 14)
    expected = [
        (300 * confidence[bins == b].mean(), 300 - 300 * right[bins == b].mean(), (bins == b).sum())
        for b in np.unique(bins)
    ]
    assert len(circles) == len(expected) > 4
    np.testing.assert_allclose(np.array(circles, float), expected, atol=0.06)
    assert [b.n for b in calibration_bins(test)] == [int(n) for *_, n in expected]
