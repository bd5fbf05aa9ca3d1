"""The comparison's page: which runs differ, by how much, at what cost, and the pictures behind
every difference.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

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
from mnist_exp.report.comparison_charts import Scale, cost_chart, strips
from mnist_exp.report.page import render
from mnist_exp.report.comparison_pairs import Compared, Gallery, compare_pair, read_whole
from mnist_exp.report.sprites import capacity, sprite_sheet

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
    text = comparison_html(comparison)
    write_text(
        path, text.encode("utf-8", "replace").decode()
    )  # a folder from elsewhere may hold half a character


def comparison_html(comparison: Comparison) -> str:
    """The page as text."""
    images, without = pictures_at_hand(comparison)
    pairs, damaged = _pairs(comparison)
    places = _places(pairs, capacity(images)) if images is not None else {}
    galleries = [_items(pair.galleries, places) for pair in pairs]
    rows = comparison.runs[:MOST_ROWS]
    differences = [run.difference.delta_interval for run in rows if run.difference]
    scale = Scale.around([0.0, *(i.low for i in differences), *(i.high for i in differences)])
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
        "pairs": list(zip(pairs, galleries, strict=True)),
        "cells": [_cells(pair, number) for number, pair in enumerate(pairs)],
        "not_detailed": len(comparison.runs) - 1 - len(pairs),
        "without_pictures": without,
        "damaged": damaged,
        "galleries": {
            f"{number}-{key}": gallery
            for number, found in enumerate(galleries)
            for key, gallery in found.items()
        },
    }
    if images is not None:
        content["sheet"] = sprite_sheet(images[np.array(list(places), np.int64)])
    return render("comparison.html", content)


def pictures_at_hand(comparison: Comparison) -> tuple[Images | None, str]:
    """The images that were answered, from the dataset that the baseline's configuration names, or
    why they are not.
    """
    from mnist_exp.config import load_recorded

    try:
        dataset = load_recorded(comparison.baseline.run.config_path)
    except UserError as error:
        return None, f"the dataset is not at hand ({error})"
    split = dataset.val if comparison.split == "val" else dataset.test
    if split is None or split.sha256 != comparison.split_sha256:
        return (
            None,
            f"the {dataset.name} data at hand are not those that these runs answered (their sha256 differs)",
        )
    return split.images, ""


def _row(run: ComparedRun, scale: Scale) -> dict[str, Any]:
    """A line of the table: what it sorts by, where there is anything, and what it shows."""
    found = run.difference
    name, accuracy, difference, _, p, verdict, fit, predict, size, changes = run_cells(run)
    return {
        "name": name,
        "changes": changes,
        "verdict": verdict,
        "accuracy": run.accuracy,
        "accuracy_text": accuracy,
        "delta": found.delta if found else "",
        "delta_text": difference,
        "bar": scale.bar(found.delta, found.delta_interval) if found else None,
        "fixed": found.fixed if found else "",
        "broke": found.broke if found else "",
        "p": found.p_holm if found else "",
        "p_text": p,
        "fit": run.time.get("fit_s", ""),
        "fit_text": fit,
        "predict": run.time.get("predict_us_per_image", ""),
        "predict_text": predict,
        "bytes": "" if run.bytes is None else run.bytes,
        "bytes_text": size,
    }


def _pairs(comparison: Comparison) -> tuple[list[Compared], list[str]]:
    """The runs to look at closely, and why some of them cannot be."""
    found: list[Compared] = []
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
            about = sentence(run, n, comparison.classes)
            found.append(
                compare_pair(run.name, run.changes, about, before, after, comparison.classes)
            )
    return found, damaged


def _cells(pair: Compared, number: int) -> list[list[dict[str, Any]]]:
    """The cells of one matrix among several: their galleries go by the number of the pair."""
    return [
        [cell | {"gallery": cell["gallery"] and f"{number}-{cell['gallery']}"} for cell in row]
        for row in pair.cells
    ]


def _places(pairs: Sequence[Compared], room: int) -> dict[int, int]:
    """Where in the sheet each picture lies: what any pair fixed or broke first, as many as there is
    room for.
    """
    first = [
        position
        for pair in pairs
        for key in ("fixed", "broke")
        for position, _ in pair.galleries[key].items
    ]
    then = [
        position
        for pair in pairs
        for gallery in pair.galleries.values()
        for position, _ in gallery.items
    ]
    chosen = list(dict.fromkeys([*first, *then]))[:room]
    return {position: place for place, position in enumerate(chosen)}


def _items(
    galleries: Mapping[str, Gallery], places: Mapping[int, int]
) -> dict[str, dict[str, Any]]:
    """The galleries as the page's script wants them; a title says when not all pictures had
    room.
    """
    found = {}
    for key, gallery in galleries.items():
        items = [
            (places[position], caption) for position, caption in gallery.items if position in places
        ]
        missing = (
            f", {len(items):,} of {len(gallery.items):,} shown"
            if len(items) < len(gallery.items)
            else ""
        )
        found[key] = {"title": gallery.title + missing, "items": items, "n": len(gallery.items)}
    return found
