"""The comparison's page in a real browser: sort, filter, click a cell, see the right digits."""

import base64
import io
import json
import re

import numpy as np
import pytest
from PIL import Image

from mnist_exp.comparison import compare_runs
from mnist_exp.config import load_recorded
from mnist_exp.data import digits, load
from mnist_exp.evaluation import Predictions
from mnist_exp.report.comparison_charts import Scale
from mnist_exp.report.comparison_page import comparison_html, write_page
from mnist_exp.runs import Run

DATASET = {
    "_target_": "mnist_exp.data.digits",
    "name": "digits",
    "train_size": 100,
    "val_size": None,
    "test_size": 200,
}
DATASET |= {"split_seed": 0}
BREAK_IN = "document.title='broken in'"
HOSTILE = f'</script><script>{BREAK_IN}</script><img src=x onerror="{BREAK_IN}">'
FOUR, NINE = 4, 9


@pytest.fixture(scope="module")
def test_split():
    return load(digits(), train_size=100, test_size=200).test


def write_run(folder, split, prediction, note="plain", seed=0, dataset=DATASET):
    run = Run.claim(folder, [])
    probability = np.full((len(split), 10), 0.02)
    probability[np.arange(len(split)), prediction] = 0.82
    run.save_predictions(
        "test", Predictions(split.index, split.labels, prediction, probability, None, split.sha256)
    )
    accuracy = float(np.mean(prediction == split.labels))
    times = {"fit_s": 1.0 + accuracy, "predict_us_per_image": 10.0}
    run.save_metrics(
        {"test": {"accuracy": accuracy}, "time": times, "model": {"bytes": 10_000}}, {}
    )
    (folder / ".hydra").mkdir()
    config = {"seed": seed, "dataset": dataset, "model": {"_target_": "s.Forest", "note": note}}
    (folder / ".hydra" / "config.yaml").write_text(json.dumps(config))
    run.finish("completed")


def write_runs(root, split, **config):
    """The baseline takes six fours for nines; run 1 does so with two of them, and a nine for a
    four; run 2 is worse.
    """
    fours, nines = np.flatnonzero(split.labels == FOUR), np.flatnonzero(split.labels == NINE)
    base, better, worse = split.labels.copy(), split.labels.copy(), split.labels.copy()
    base[fours[:6]] = NINE
    better[fours[:2]], better[nines[0]] = NINE, FOUR
    worse[:60] = (worse[:60] + 1) % 10
    write_run(root / "0", split, base, **config)
    write_run(root / "1", split, better, note=HOSTILE, **config)
    write_run(root / "2", split, worse, seed=1, **config)
    return {"gone": fours[2:6], "new": nines[:1], "both": fours[:2]}


@pytest.fixture
def runs(tmp_path, monkeypatch, test_split):
    monkeypatch.chdir(tmp_path)
    return write_runs(tmp_path / "runs", test_split)


@pytest.fixture(scope="module")
def written(tmp_path_factory, test_split):
    """The page of three runs, and the positions of what changed; written once."""
    folder = tmp_path_factory.mktemp("tree")
    changed = write_runs(folder / "runs", test_split)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        write_page(compare_runs("runs"), folder / "page.html")
    return folder / "page.html", changed


@pytest.fixture
def page(written, open_page):
    page = open_page(written[0], width=1280)
    yield page
    assert page.title() != "broken in"


def order(page):
    return page.locator("#runs tbody th").evaluate_all("cells => cells.map(c => c.dataset.value)")


def pictures(page, where):
    """The digits shown in an element, cut out of the sheet as the browser does, and their
    captions.
    """
    sheet = base64.b64decode(re.search(r"url\(data:image/png;base64,([^)]+)\)", page.content())[1])
    sheet = np.array(Image.open(io.BytesIO(sheet)))
    found = []
    for figure in page.locator(f"{where} figure").all():
        x, y = figure.locator(".digit").evaluate(
            "d => [d.style.getPropertyValue('--x'), d.style.getPropertyValue('--y')].map(Number)"
        )
        found.append(
            (
                sheet[28 * y : 28 * y + 28, 28 * x : 28 * x + 28],
                figure.locator("figcaption").text_content(),
            )
        )
    return found


def test_the_table_sorts_both_ways_and_keeps_empty_cells_last(page):
    page.get_by_role("button", name="accuracy").click()
    assert order(page) == ["runs/1", "runs/0", "runs/2"]
    page.get_by_role("button", name="accuracy").click()
    assert order(page) == ["runs/2", "runs/0", "runs/1"]
    for expected in (["runs/1", "runs/2", "runs/0"], ["runs/2", "runs/1", "runs/0"]):
        page.get_by_role("button", name="difference, points").click()
        assert order(page) == expected


def test_the_table_filters_by_words(page):
    page.locator("#filter").fill("WORSE runs/2")
    assert page.locator("#runs tbody tr:visible th").evaluate_all(
        "cells => cells.map(c => c.dataset.value)"
    ) == ["runs/2"]
    assert page.locator("#shown").text_content() == "1 of 3 runs"
    page.locator("#filter").fill("")
    assert page.locator("#runs tbody tr:visible").count() == 3


def test_a_click_on_a_cell_shows_the_images_behind_it(page, written, test_split):
    cell = page.get_by_role("button", name="4 taken for 9: -4")
    cell.click()
    assert (
        page.locator("#panel h3").text_content()
        == "4 taken for 9: 6 times in the baseline, 2 in this run (4 no longer, 0 new)"
    )
    shown = pictures(page, "#panel")
    assert [test_split.index[position] for position in written[1]["gone"]] == [
        int(re.search(r"#(\d+)", text)[1]) for _, text in shown
    ]
    for (picture, caption), position in zip(shown, written[1]["gone"], strict=True):
        np.testing.assert_array_equal(picture, test_split.images[position])
        assert "9\xa0(82\xa0%)\n→\xa04\xa0(82\xa0%)" in caption


def test_the_galleries_show_what_was_fixed_broken_and_wrong_in_both(page, written, test_split):
    for kind, key in (("fixed", "gone"), ("broke", "new"), ("both", "both")):
        found = pictures(page, f"#pair-0 .{kind}")
        expected = test_split.images[written[1][key]]
        np.testing.assert_array_equal(np.stack([picture for picture, _ in found]), expected)


def test_the_class_table_says_how_recall_changed(page):
    row = page.locator("#pair-0 .per-class tr", has=page.get_by_role("rowheader", name="4"))
    cells = [text.split() for text in row.locator("td").all_inner_texts()]
    n = int(cells[0][0])
    assert cells[1:3] == [[f"{100 * (n - wrong) / n:.2f}", "%"] for wrong in (2, 6)]
    assert cells[3][0] == f"{100 * 4 / n:+.2f}"


def test_another_run_can_be_looked_at(page):
    page.locator("#pair").select_option("1")
    assert page.locator(".pair:visible").get_attribute("id") == "pair-1"
    assert page.locator(".pair:visible #panel").count() == 1
    page.get_by_role("button", name="show all").first.click()
    assert page.locator("#panel figure").count() == len(pictures(page, "#panel")) >= 50


def test_the_page_fits_a_phone_in_the_dark(page):
    page.set_viewport_size({"width": 390, "height": 800})
    page.emulate_media(color_scheme="dark")
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    classes = page.locator(".pair:visible .per-class")
    assert classes.evaluate(
        "table => table.parentElement.scrollWidth <= table.parentElement.clientWidth"
    )
    assert "[" in classes.locator("td small").first.text_content()


def test_what_a_configuration_says_is_shown_as_text(page):
    assert HOSTILE in page.locator("#runs tbody").text_content()


def test_costs_and_seeds_are_drawn(runs, tmp_path, test_split):
    write_run(tmp_path / "runs" / "3", test_split, test_split.labels, seed=1)
    html = comparison_html(compare_runs("runs"))
    assert html.count('<figure class="chart">') == 3
    assert html.count('<div class="strip">') == 2  # the baseline's recipe, and the scale
    assert "<h2>Over seed</h2>" in html


def test_without_the_data_the_page_says_so_and_is_complete_otherwise(
    tmp_path, monkeypatch, test_split
):
    monkeypatch.chdir(tmp_path)
    write_runs(tmp_path / "runs", test_split, dataset=DATASET | {"test_size": 100})
    html = comparison_html(compare_runs("runs"))
    assert "No pictures: the digits data at hand are not those that these runs answered" in html
    assert "4 taken for 9: 6 times in the baseline" in html


def test_folders_of_another_machine_give_way_to_those_of_this_one(tmp_path, monkeypatch, mnist_dir):
    monkeypatch.setenv("MNIST_EXP_DATA", str(mnist_dir))
    monkeypatch.setenv("MNIST_EXP_CACHE", str(tmp_path / "cache"))
    dataset = DATASET | {"_target_": "mnist_exp.data.mnist", "name": "mnist"}
    dataset |= {"data_dir": "${data_dir}", "cache_dir": "${cache_dir}"}
    elsewhere = tmp_path / "home" / "alice"
    config = {
        "data_dir": str(elsewhere / "data"),
        "cache_dir": str(elsewhere / "cache"),
        "dataset": dataset,
    }
    (tmp_path / "config.yaml").write_text(json.dumps(config))
    assert len(load_recorded(tmp_path / "config.yaml").test) == 200
    assert not elsewhere.exists()


@pytest.mark.parametrize(
    "dataset",
    [
        {"_target_": "os.system", "command": "touch owned"},
        DATASET | {"data_dir": {"_target_": "os.abort"}},
    ],
)
def test_a_configuration_from_elsewhere_calls_nothing_but_datasets(
    tmp_path, monkeypatch, test_split, dataset
):
    monkeypatch.chdir(tmp_path)
    write_runs(tmp_path / "runs", test_split, dataset=dataset)
    assert "no dataset of mnist_exp, and nothing else is called" in comparison_html(
        compare_runs("runs")
    )
    assert not (tmp_path / "owned").exists()


def test_a_run_whose_probabilities_are_damaged_is_left_out_of_the_closer_look(runs, tmp_path):
    path = tmp_path / "runs" / "1" / "predictions_test.npz"
    arrays = dict(np.load(path))
    np.savez(path, **(arrays | {"probability": arrays["probability"][:5]}))
    html = comparison_html(compare_runs("runs"))
    assert (
        "No closer look: runs/1: predictions of test do not hold a row for each of 200 images"
        in html
    )
    assert html.count('<article class="pair"') == 1


@pytest.mark.parametrize(
    "values", [(105.0, 157.0), (1e5, 1.1e8), (0.9, 2.0), (16.0, 16.0), (2e-3, 9e3)]
)
@pytest.mark.parametrize("by_decades", [True, False])
def test_a_scale_has_a_few_ticks_within_it(values, by_decades):
    ticks = Scale.around(values, by_decades).ticks
    assert 2 <= len(ticks) <= 6
    assert all(0 <= place <= 100 for place, _ in ticks)
    assert len({text for _, text in ticks}) == len(ticks)
