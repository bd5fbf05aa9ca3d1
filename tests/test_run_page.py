"""The run's page, looked at in a real browser, and what it is made from."""

import base64
import io
import json
import re
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image
from sklearn.ensemble import RandomForestClassifier

from mnist_exp.augment import none
from mnist_exp.data import Dataset, Split
from mnist_exp.evaluation import (
    Predictions,
    confusion_matrix,
    surest_mistakes,
    suspected_labels,
)
from mnist_exp.experiment import run_experiment
from mnist_exp.features import Pixels
from mnist_exp.report.parts import (
    COLUMNS,
    capacity,
    class_figures,
    confusion_cells,
    sprite_sheet,
)
from mnist_exp.report.record import record
from mnist_exp.report.run_page import explain_test, rerun_command
from mnist_exp.runs import Run, count_test_reads, note_test_read

SECONDS = {"load": 0.1, "augment": 0.0, "features": 0.1, "fit": 1.0, "evaluate": 0.1}


def recorded(folder, dataset, outputs, overrides="[]"):
    """A run folder as `train` leaves it, of a small forest."""
    forest = RandomForestClassifier(4, max_depth=6, random_state=0)
    outcome = run_experiment(dataset, none, Pixels(), forest, seed=0, n_jobs=1)
    run = Run.claim(folder, [])
    (folder / ".hydra").mkdir()
    (folder / ".hydra" / "overrides.yaml").write_text(overrides)
    (folder / ".hydra" / "config.yaml").write_text("dataset: {name: digits}")
    record(run, dataset, outcome, SECONDS, {"seed": 0}, 0.0, outputs)
    return run


@pytest.fixture(scope="module")
def run(digits, tmp_path_factory):
    folder = tmp_path_factory.mktemp("tree")
    return recorded(folder / "run", digits, folder)


@pytest.fixture
def page(run, open_page):
    return open_page(run.path / "report.html")


def pixels(page, run, position):
    """The picture that the page cuts from its sheet at a position, by the sheet's own bytes."""
    html = (run.path / "report.html").read_text(encoding="utf-8")
    sheet = Image.open(io.BytesIO(base64.b64decode(re.search(r"base64,([\w+/=]+)", html)[1])))
    row, column = divmod(position, COLUMNS)
    return np.asarray(sheet.crop((28 * column, 28 * row, 28 * column + 28, 28 * row + 28)))


def test_a_click_on_a_cell_shows_the_digits_behind_it(run, page, digits):
    predictions = run.predictions("test")
    true, predicted = next(zip(*np.nonzero(confusion(predictions)), strict=True))
    expected = np.flatnonzero((predictions.label == true) & (predictions.prediction == predicted))
    page.get_by_role("button", name=f"{true} taken for {predicted}: {len(expected)}").click()
    shown = page.locator("#panel figure").all()
    rows = [int(re.search(r"#(\d+)", figure.inner_text())[1]) for figure in shown]
    assert sorted(rows) == sorted(predictions.index[expected])
    for figure, row in zip(shown, rows, strict=True):
        x, y = (
            int(figure.locator(".digit").evaluate(f"e => e.style.getPropertyValue('--{axis}')"))
            for axis in "xy"
        )
        image = digits.test.images[np.flatnonzero(digits.test.index == row)[0]]
        np.testing.assert_array_equal(pixels(page, run, y * COLUMNS + x), image)


def confusion(predictions):
    counts = np.zeros((10, 10), int)
    np.add.at(counts, (predictions.label, predictions.prediction), 1)
    np.fill_diagonal(counts, 0)
    return counts


def test_the_digit_on_the_screen_is_the_one_that_was_cut(run, page, digits):
    """What the browser paints, shrunk to 28x28, is the image: the style's arithmetic of places is
    right.
    """
    page.emulate_media(color_scheme="dark")
    figure = page.locator(".gallery figure").nth(3)
    row = int(re.search(r"#(\d+)", figure.inner_text())[1])
    painted = (
        Image.open(io.BytesIO(figure.locator(".digit").screenshot())).convert("L").resize((28, 28))
    )
    image = digits.test.images[np.flatnonzero(digits.test.index == row)[0]]
    assert np.corrcoef(np.asarray(painted).ravel(), image.ravel())[0, 1] > 0.9


@pytest.mark.parametrize("width", [390, 1280])
def test_the_page_is_never_wider_than_the_screen(page, width):
    page.set_viewport_size({"width": width, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_the_page_says_what_it_must(run):
    html = (run.path / "report.html").read_text(encoding="utf-8")
    for part in (
        "95\u00a0% interval",
        "may be wrong",
        "suspicion",
        "Does it know",
        "python -m mnist_exp.train dataset=digits",
    ):
        assert part.replace("\u00a0", " ") in html.replace("\u00a0", " ")
    assert "two halves" not in html  # these are not MNIST's test images
    assert "first run" in html


def test_the_tables_count_by_the_true_class():
    """Twice a 0 is taken for a 1, once a 1 for a 2: nothing here is symmetric."""
    label, prediction = np.array([0, 0, 0, 0, 1, 1, 2]), np.array([0, 0, 1, 1, 1, 2, 2])
    counts = confusion_matrix(label, prediction, 3)
    cells = confusion_cells(counts, {"0-0", "0-1", "1-2"})
    assert [[cell["text"] for cell in row] for row in cells] == [
        ["2", "2", ""],
        ["", "1", "1"],
        ["", "", "1"],
    ]
    assert cells[0][1] == {"text": "2", "share": 1.0, "kind": "", "gallery": "0-1"}
    assert [cells[k][k]["kind"] for k in range(3)] == ["right"] * 3
    assert cells[1][0]["gallery"] is None
    figures = class_figures(counts, ("a", "b", "c"))
    assert [(c.n, c.precision, c.recall) for c in figures] == [
        (4, 1.0, 0.5),
        (2, 1 / 3, 0.5),
        (1, 0.5, 1.0),
    ]
    changed = confusion_cells(counts, {"x0-2"}, np.array([[3, 0, 1], [0, 2, 0], [0, 0, 1]]), "x")
    assert [[cell["text"] + cell["kind"] for cell in row] for row in changed] == [
        ["-1loss", "+2loss", "-1gain"],
        ["", "-1loss", "+1loss"],
        ["", "", ""],
    ]
    assert changed[0][2]["gallery"] == "x0-2"


def test_the_most_confident_mistakes_and_the_least_certain_hits_come_first():
    probability = np.array([[0.6, 0.4], [0.1, 0.9], [0.3, 0.7], [0.8, 0.2], [0.45, 0.55]])
    label = np.array([0, 0, 0, 0, 1])
    predictions = Predictions(
        np.arange(5) + 100, label, probability.argmax(1), probability, None, "x"
    )
    split = Split(np.zeros((5, 28, 28), np.uint8), label, predictions.index)
    page = explain_test(Dataset("d", ("a", "b"), split, None, split), split, predictions)
    captions = {key: [c for _, c in g["items"]] for key, g in page["galleries"].items()}
    assert captions == {
        "0-0": ["a\n60\xa0%\n#100", "a\n80\xa0%\n#103"],
        "1-1": ["b\n55\xa0%\n#104"],
        "0-1": ["a as b\n90\xa0%\n#101", "a as b\n70\xa0%\n#102"],
    }
    assert page["galleries"]["0-1"]["title"] == "a taken for b: 2 of 4"


def test_names_in_a_dataset_are_escaped(digits, tmp_path):
    names = tuple(f"<script>alert({number})</script>" for number in range(10))
    dataset = Dataset("</script><b>bold", names, digits.train, None, digits.test)
    html = (recorded(tmp_path / "run", dataset, tmp_path).path / "report.html").read_text(
        encoding="utf-8"
    )
    assert "<script>alert" not in html
    assert "<b>bold" not in html


def test_a_page_of_ten_thousand_incompressible_mistakes_stays_under_three_megabytes(tmp_path):
    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 256, (10_000, 28, 28), np.uint8), rng.integers(0, 10, 10_000)
    split = Split(images, labels, np.arange(10_000))
    run = recorded(
        tmp_path / "run",
        Dataset(
            "noise", tuple("0123456789"), split, None, Split(images[::-1], labels, split.index)
        ),
        tmp_path,
    )
    assert (run.path / "report.html").stat().st_size < 3e6
    galleries = re.search(
        r'id="galleries">(.*?)</script>', (run.path / "report.html").read_text(encoding="utf-8")
    )[1]
    shown = [len(gallery["items"]) for gallery in json.loads(galleries).values()]
    assert min(shown) > 5  # the room is shared out fairly


def test_the_halves_of_mnist_are_told_by_the_row():
    index = np.array([0, 5000, 5001, 9999])
    predictions = Predictions(
        index, np.array([1, 1, 1, 1]), np.array([1, 1, 0, 0]), None, None, "x"
    )
    images = np.zeros((4, 28, 28), np.uint8)
    split = Split(images, predictions.label, index)
    slices = explain_test(Dataset("mnist", ("0", "1"), split, None, split), split, predictions)[
        "slices"
    ]
    assert [(part["n"], part["accuracy"]) for part in slices] == [(2, 1.0), (2, 0.0)]


def test_a_sheet_shrinks_large_pictures_and_keeps_their_order():
    images = np.zeros((45, 100, 60), np.uint8)
    images[41] = 200
    sheet = sprite_sheet(images)
    assert (sheet.width, sheet.height, sheet.columns, sheet.rows) == (30, 50, COLUMNS, 2)
    grid = np.asarray(Image.open(io.BytesIO(sheet.png)))
    assert (grid[50:, 30:60] == 200).all()
    assert grid.sum() == 200 * 30 * 50
    assert capacity(images) > 500


def test_planted_label_errors_are_suspected(digits):
    rng = np.random.default_rng(0)
    planted = rng.choice(len(digits.test), 5, replace=False)
    labels = digits.test.labels.copy()
    labels[planted] = (labels[planted] + 3) % 10
    test = Split(digits.test.images, labels, digits.test.index)
    dataset = Dataset("digits", digits.classes, digits.train, None, test)
    found = run_experiment(
        dataset, none, Pixels(), RandomForestClassifier(100, random_state=0), seed=0, n_jobs=1
    )
    suspects = suspected_labels(found.predictions["test"], test.images, digits.train)
    positions = {suspect.position for suspect in suspects}
    assert len(positions & set(planted)) >= 3
    assert len(positions - set(planted)) <= 3


def test_the_surest_mistake_is_the_one_furthest_from_the_label():
    score = np.array([[0.0, 1.0, 0.9], [5.0, 0.0, 2.0], [0.0, 9.0, 8.9], [0.0, 1.0, 0.0]])
    found = Predictions(np.arange(4), np.array([0, 2, 2, 1]), score.argmax(1), None, score, "x")
    np.testing.assert_array_equal(surest_mistakes(found), [1, 0, 2])


def test_every_look_at_a_test_set_is_counted_once_from_many_threads(tmp_path):
    runs = [Run.claim(tmp_path / str(number), []) for number in range(20)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda run: note_test_read(tmp_path, "a" * 64, run), runs))
    assert note_test_read(tmp_path, "a" * 64, runs[0]) == 20
    assert count_test_reads(tmp_path, "b" * 64) == 0


@pytest.mark.parametrize(
    ("words", "command"),
    [
        (["model=rf"], "dataset=mnist model=rf"),
        (["dataset=auto", "seed=1"], "dataset=mnist seed=1"),
        (["dataset=idx", "dataset.path=my files"], "dataset=idx 'dataset.path=my files'"),
    ],
)
def test_the_command_that_reruns_names_the_dataset_that_auto_was(words, command):
    run = SimpleNamespace(overrides=words, config={"dataset": {"name": "mnist"}})
    assert rerun_command(run) == f"python -m mnist_exp.train {command}"


def test_the_matrix_stands_beside_its_galleries_where_there_is_room(page):
    def places(width):
        page.set_viewport_size({"width": width, "height": 900})
        boxes = [page.locator(name).first.bounding_box() for name in (".confusion", ".pairs")]
        return [(box["x"], box["y"]) for box in boxes]

    (left, top), (right, beside) = places(1200)
    assert right > left + 400
    assert abs(beside - top) < 150
    (left, top), (x, below) = places(1000)
    assert abs(x - left) < 20
    assert below > top + 300


def test_paper_shows_no_panel_and_no_cut_off_table(page):
    page.emulate_media(media="print", color_scheme="dark")
    page.set_viewport_size({"width": 700, "height": 900})  # A4 without its margins
    assert not page.locator("#panel").is_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= 700
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert background == "rgb(255, 255, 255)"
