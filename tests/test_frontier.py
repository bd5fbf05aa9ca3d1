"""The frontier script: rows are means over seeds with their interval; a child that fails ends the
script.
"""

import importlib.util
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def frontier():
    spec = importlib.util.spec_from_file_location("frontier", ROOT / "scripts" / "frontier.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def point(preset, seed, accuracy, train_s):
    costs = {"train_s": train_s, "forest_s": 20.0, "model_mb": 3.0, "peak_mb": 900}
    return {"preset": preset, "seed": seed, "accuracy": accuracy, "n_test": 10_000, **costs}


def test_a_row_is_the_mean_over_seeds_and_its_interval(frontier):
    row = frontier.summarize(
        [point("fast", seed, 0.99 + seed / 1000, 10 + seed) for seed in range(3)]
    )
    assert (row["accuracy"], row["ratio"], row["seeds"]) == pytest.approx((99.1, 0.55, 3))
    assert (row["low"], row["high"]) == pytest.approx(
        (99.1 - 0.2484, 99.1 + 0.2484), abs=1e-3
    )  # t with 2 degrees


def test_one_seed_has_the_interval_of_its_images(frontier):
    row = frontier.summarize([point("seed_rf", 0, 0.97, 20)])
    assert (row["low"], row["high"]) == pytest.approx((96.65, 97.32), abs=0.01)


def test_the_table_stands_between_the_marks_of_the_readme_and_the_plot_is_a_png(frontier):
    rows = {"fast": frontier.summarize([point("fast", 0, 0.993, 10)])}
    assert (
        "| `fast` | 99.30 % [99.12, 99.45] | 1 | 0.50 | 10 | 0.9 GB | 3.0 MB |"
        in frontier.table(rows)
    )
    assert len(frontier.TABLE.findall((ROOT / "README.md").read_text(encoding="utf-8"))) == 1
    assert frontier.plot(rows).startswith(b"\x89PNG")


def test_a_child_that_fails_is_named_with_its_errors(frontier):
    assert frontier.run_child([sys.executable, "-c", "print(3)"])[0] == "3"
    with pytest.raises(SystemExit, match=r"failed:\nno such thing"):
        frontier.run_child([sys.executable, "-c", "import sys; sys.exit('no such thing')"])
