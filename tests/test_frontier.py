"""The frontier script: means over seeds, their interval, children that fail."""

import sys
from pathlib import Path

import pytest

import frontier
from _measure import run_child

ROOT = Path(__file__).parents[1]


def point(preset, seed, accuracy, train_s):
    costs = {"train_s": train_s, "forest_s": 20.0, "model_mb": 3.0, "peak_mb": 900}
    return {"preset": preset, "seed": seed, "accuracy": accuracy, "n_test": 10_000, **costs}


def test_a_row_is_the_mean_over_seeds_and_its_interval():
    row = frontier.summarize(
        [point("fast", seed, 0.99 + seed / 1000, 10 + seed) for seed in range(3)]
    )
    assert (row["accuracy"], row["ratio"], row["seeds"]) == pytest.approx((99.1, 0.55, 3))
    assert (row["low"], row["high"]) == pytest.approx(
        (99.1 - 0.2484, 99.1 + 0.2484), abs=1e-3
    )  # t with 2 degrees


def test_one_seed_has_the_interval_of_its_images():
    row = frontier.summarize([point("seed_rf", 0, 0.97, 20)])
    assert (row["low"], row["high"]) == pytest.approx((96.65, 97.32), abs=0.01)


def test_the_table_stands_between_its_marks_and_the_plot_is_a_png():
    rows = {"fast": frontier.summarize([point("fast", 0, 0.993, 10)])}
    assert (
        "| `fast` | 99.30 % [99.12, 99.45] | 1 | 0.50 | 10 | 0.9 GB | 3.0 MB |"
        in frontier.table(rows)
    )
    page = ROOT / "docs" / "training.md"
    assert len(frontier.TABLE.findall(page.read_text(encoding="utf-8"))) == 1
    assert frontier.plot(rows).startswith(b"\x89PNG")


def test_a_child_that_fails_is_named_with_its_errors():
    assert run_child([sys.executable, "-c", "print(3)"]).output == "3"
    with pytest.raises(SystemExit, match=r"failed:\nno such thing"):
        run_child([sys.executable, "-c", "import sys; sys.exit('no such thing')"])


def test_a_child_has_a_peak_memory_of_its_own():
    held = b"x" * 200_000_000
    child = run_child([sys.executable, "-c", "b'x' * 30_000_000"])
    assert len(held) / 1e6 > child.peak_mb > 30
    assert child.seconds > 0
