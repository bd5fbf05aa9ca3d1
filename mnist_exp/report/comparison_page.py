"""The comparison's page: which runs differ, by how much, at what cost, and on which pictures."""

from pathlib import Path
from typing import Any

from mnist_exp.comparison import (
    PAIR_HEAD,
    ComparedRun,
    Comparison,
    basis,
    headline,
    pair_rows,
    recipe_cells,
    run_cells,
    sentence,
)
from mnist_exp.data import Images
from mnist_exp.errors import UserError
from mnist_exp.process import write_text
from mnist_exp.report.comparison_charts import Scale, cost_chart, edges, strips
from mnist_exp.report.comparison_pairs import compare_pair, read_whole
from mnist_exp.report.galleries import place, placed
from mnist_exp.report.page import render

MOST_ROWS = 2_000  # a browser sorts so many in an instant
MOST_PAIRS = 8  # runs whose pictures and confusions the page carries, in the order of the table
INLINE = 18  # pictures of each kind that are shown without a click
COSTS = {
    "fit_s": "time to fit, s",
    "predict_us_per_image": "time to predict an image, µs",
    "bytes": "model, bytes",
}


def write_page(comparison: Comparison, path: Path) -> None:
    """Write the page as one file that needs no network."""
    # A folder from elsewhere may hold half a character in its name.
    write_text(path, comparison_html(comparison).encode("utf-8", "replace").decode())


def comparison_html(comparison: Comparison) -> str:
    """The page as text."""
    images, without = pictures_at_hand(comparison)
    pairs, damaged = _pairs(comparison)
    galleries = {key: gallery for pair in pairs for key, gallery in pair["galleries"].items()}
    rows = comparison.runs[:MOST_ROWS]
    scale = Scale.around([0.0, *edges(r.difference.delta_interval for r in rows if r.difference)])
    content: dict[str, Any] = {
        "headline": headline(comparison),
        "basis": basis(comparison),
        "comparison": comparison,
        "rows": [_row(run, scale) for run in rows],
        "zero": scale.place(0.0),
        "left_out": len(comparison.runs) - len(rows),
        "strips": strips(comparison.groups),
        "recipes": [recipe_cells(group) for group in comparison.groups],
        "pair_head": PAIR_HEAD,
        "all_pairs": pair_rows(comparison),
        "most_rows": MOST_ROWS,
        "inline": INLINE,
        "costs": [chart for key, title in COSTS.items() if (chart := cost_chart(rows, key, title))],
        "pairs": pairs,
        "sentences": [sentence(p["run"], comparison.n, comparison.classes) for p in pairs],
        "not_detailed": len(comparison.runs) - 1 - len(pairs),
        "without_pictures": without,
        "damaged": damaged,
        "galleries": placed(galleries, {}),
    }
    if images is not None:
        first = {k: galleries.pop(k) for k in list(galleries) if k.endswith(("fixed", "broke"))}
        content["sheet"], content["galleries"] = place(images, first, galleries)
    return render("comparison.html", content)


def pictures_at_hand(comparison: Comparison) -> tuple[Images | None, str]:
    """The images of the compared split, or None and why they are not at hand.

    They are loaded from the dataset that the baseline's configuration names.
    """
    from mnist_exp.config import load_recorded

    try:
        dataset = load_recorded(comparison.baseline.run.config_path)
    except UserError as error:
        return None, f"the dataset is not at hand ({error})"
    split = dataset.val if comparison.split == "val" else dataset.test
    if split is None or split.sha256 != comparison.split_sha256:
        others = "are not those that these runs answered (their sha256 differs)"
        return None, f"the {dataset.name} data at hand {others}"
    return split.images, ""


def _row(run: ComparedRun, scale: Scale) -> dict[str, Any]:
    """A line of the table; a cell is what it sorts by, if there is anything, and what it shows."""
    difference, time = run.difference, run.time
    name, accuracy, delta, _, p, verdict, fit, predict, size, changes = run_cells(run)
    fixed, broke = (difference.fixed, difference.broke) if difference else ("", "")
    return {
        "name": name,
        "changes": changes,
        "verdict": verdict,
        "bar": scale.bar(difference.delta, difference.delta_interval) if difference else None,
        "delta": (difference.delta if difference else "", delta),
        "accuracy": (run.accuracy, accuracy),
        "more": [
            (fixed, fixed),
            (broke, broke),
            (difference.p_holm if difference else "", p),
            (time.get("fit_s", ""), fit),
            (time.get("predict_us_per_image", ""), predict),
            ("" if run.bytes is None else run.bytes, size),
        ],
    }


def _pairs(comparison: Comparison) -> tuple[list[dict[str, Any]], list[str]]:
    """The runs to look at closely, and why some of them cannot be."""
    pairs: list[dict[str, Any]] = []
    damaged: list[str] = []
    split, n = comparison.split, comparison.n
    try:
        before = read_whole(comparison.baseline.run, split, n)
    except UserError as error:
        return [], [str(error)]
    for run in [run for run in comparison.runs if run.difference][:MOST_PAIRS]:
        try:
            after = read_whole(run.run, split, n)
        except UserError as error:
            damaged.append(str(error))
        else:
            prefix = f"{len(pairs)}-"
            pairs.append(compare_pair(run, before, after, comparison.classes, prefix))
    return pairs, damaged
