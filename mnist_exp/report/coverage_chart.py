"""Accuracy against the share of images answered, of several runs in one figure."""

from collections.abc import Sequence
from typing import Any

from mnist_exp.comparison import ComparedRun
from mnist_exp.evaluation import Predictions, coverage_curve
from mnist_exp.report.comparison_charts import Scale


def coverage_chart(runs: Sequence[tuple[ComparedRun, Predictions]]) -> dict[str, Any] | None:
    """A line for each run that has probabilities; None if none has."""
    curves = [
        (
            run,
            [
                (100 * share, 100 * accuracy)
                for share, accuracy in coverage_curve(
                    predictions.confidence, predictions.label == predictions.prediction
                )
            ],
        )
        for run, predictions in runs
        if predictions.probability is not None
    ]
    if not curves:
        return None
    y = Scale.around([accuracy for _, curve in curves for _, accuracy in curve])
    return {
        "y_ticks": y.ticks,
        "lines": [
            {
                "name": run.name,
                "points": [(share, y.place(accuracy)) for share, accuracy in curve],
                "coverage": run.coverage,
                "interval": run.coverage_interval,
                "hue": round(360 * number / len(curves)),
            }
            for number, (run, curve) in enumerate(curves)
        ],
    }
