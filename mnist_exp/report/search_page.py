"""The pictures and the page of a search: where it looked, what it found, what mattered."""

import math
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mnist_exp.process import write_bytes, write_text
from mnist_exp.report.figures import png
from mnist_exp.report.page import render

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from optuna.study import Study
    from optuna.trial import FrozenTrial

BLUE, ORANGE, GREY, GREEN = "#1f6fb4", "#d95f02", "#9a9a9a", "#2a8a4a"


def write_report(folder: Path, study: "Study", metrics: Sequence[str], again: str | None) -> None:
    """Write every figure that this study has enough trials for, and one page with all of them.

    `again` is the command that repeats the best trial.
    """
    from hydra_optuna_search.progress import state_word

    pictures = []
    for name, title, figure in figures(study, metrics):
        picture = png(figure)
        write_bytes(folder / f"{name}.png", picture)
        pictures.append((title, picture))
    trials = study.get_trials(deepcopy=False)
    keys = _keys(trials)
    rows = [
        [
            trial.number,
            state_word(trial),
            *(f"{value:.6g}" for value in trial.values or [math.nan] * len(metrics)),
            f"{trial.duration.total_seconds():.1f}" if trial.duration else "",
            *(_text(trial.params.get(key, "")) for key in keys),
        ]
        for trial in trials
    ]
    best = study.best_trials
    page = {
        "headline": f"{metrics[0]} {best[0].values[0]:.6g}"
        if len(metrics) == 1
        else f"{len(best)} best solutions",
        "sub": f"{len(trials)} trials · {study.study_name}",
        "best": [
            [trial.number, ", ".join(f"{k} = {_text(v)}" for k, v in trial.params.items())]
            for trial in best
        ],
        "again": again,
        "run": "best/report.html" if (folder / "best" / "report.html").exists() else None,
        "pictures": pictures,
        "header": ["trial", "state", *metrics, "seconds", *keys],
        "rows": rows,
    }
    write_text(folder / "report.html", render("search.html", page))


def figures(study: "Study", metrics: Sequence[str]) -> "list[tuple[str, str, Figure]]":
    """File name, title and figure, of those that say something."""
    trials = study.get_trials(deepcopy=False)
    complete = [trial for trial in trials if trial.state.name == "COMPLETE"]
    pruned = [trial for trial in trials if trial.state.name == "PRUNED"]
    keys = _keys(complete)
    maximize = study.directions[0].name == "MAXIMIZE"
    found = []
    if len(metrics) > 1:
        found.append(
            (
                "pareto",
                "What one objective costs the other",
                pareto_figure(study, complete, metrics),
            )
        )
    else:
        found.append(
            (
                "history",
                "Every trial, and the best so far",
                history_figure(study, trials, metrics[0]),
            )
        )
    if len(complete) > 2 and keys:
        importance = _importances(study)
        if importance:
            found.append(
                (
                    "importances",
                    "Which parameters mattered",
                    importance_figure(importance, metrics[0]),
                )
            )
        found.append(
            (
                "slice",
                "Each parameter on its own",
                slice_figure(complete, keys, metrics[0], maximize),
            )
        )
        if len(keys) > 1:
            title = "All parameters together"
            found.append(("parallel", title, parallel_figure(complete, keys, metrics[0], maximize)))
    if pruned:
        found.append(("pruning", "What pruning saved", pruning_figure(complete, pruned)))
    return found


def _keys(trials: "Sequence[FrozenTrial]") -> list[str]:
    return list(dict.fromkeys(key for trial in trials for key in trial.params))


def _text(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _figure(width: float, height: float) -> "Figure":
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def history_figure(study: "Study", trials: "Sequence[FrozenTrial]", metric: str) -> "Figure":
    """Value by trial, with the best so far; a pruned trial stands at the last value it reported."""
    figure = _figure(8, 4.2)
    axes = figure.subplots()
    complete = [trial for trial in trials if trial.state.name == "COMPLETE"]
    pruned = [
        trial for trial in trials if trial.state.name == "PRUNED" and trial.intermediate_values
    ]
    values = [trial.values[0] for trial in complete]
    best = (
        np.maximum.accumulate(values)
        if study.direction.name == "MAXIMIZE"
        else np.minimum.accumulate(values)
    )
    axes.step([t.number for t in complete], best, where="post", color=ORANGE, label="best so far")
    axes.scatter(
        [t.number for t in complete], values, color=BLUE, s=28, label="completed", zorder=3
    )
    if pruned:
        last = [trial.intermediate_values[max(trial.intermediate_values)] for trial in pruned]
        axes.scatter(
            [t.number for t in pruned],
            last,
            color=GREY,
            marker="x",
            s=28,
            label="pruned, last value",
        )
    axes.set(xlabel="trial", ylabel=metric)
    axes.locator_params(axis="x", integer=True)
    _show_the_better(axes, values, study.direction.name == "MAXIMIZE")
    axes.grid(alpha=0.25)
    axes.legend(frameon=False)
    return figure


def _importances(study: "Study") -> dict[str, float]:
    from optuna.importance import get_param_importances

    from hydra_optuna_search.study import quiet

    sign = -1 if study.directions[0].name == "MAXIMIZE" else 1
    target = None if len(study.directions) == 1 else (lambda trial: sign * trial.values[0])
    with (
        quiet(),
        warnings.catch_warnings(),
    ):  # what few trials say is inaccurate, and the figure shows how few they are
        warnings.filterwarnings("ignore", message=".*importance", category=UserWarning)
        return dict(get_param_importances(study, target=target))


def importance_figure(importance: dict[str, float], metric: str) -> "Figure":
    """PED-ANOVA: how much better than chance the good trials' values of each parameter are
    concentrated.
    """
    names = list(importance)[::-1]
    figure = _figure(8, 1.2 + 0.36 * len(names))
    axes = figure.subplots()
    bars = axes.barh(names, [importance[name] for name in names], color=BLUE)
    axes.bar_label(bars, fmt="%.2f", padding=3)
    axes.set(
        xlabel=f"share of importance for {metric} (PED-ANOVA)",
        xlim=(0, 1.08 * max(importance.values()) + 1e-9),
    )
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def slice_figure(
    complete: "Sequence[FrozenTrial]", keys: Sequence[str], metric: str, maximize: bool
) -> "Figure":
    """Value against each parameter; colour is time, from early trials (light) to late ones
    (dark).
    """
    columns = min(4, len(keys))
    rows = math.ceil(len(keys) / columns)
    figure = _figure(3.0 * columns + 0.8, 2.7 * rows + 0.3)
    grid = figure.subplots(rows, columns, sharey=True, squeeze=False)
    for axes, key in zip(grid.flat, keys, strict=False):
        having = [trial for trial in complete if key in trial.params]
        places = _place(axes, having, key)
        values, numbers = [trial.values[0] for trial in having], [trial.number for trial in having]
        axes.scatter(
            places,
            values,
            c=numbers,
            cmap="Blues",
            vmin=-len(complete) / 3,
            s=24,
            edgecolors="#444",
            linewidths=0.4,
        )
        axes.set_xlabel(key)
        axes.grid(alpha=0.25)
    for axes in grid.flat[len(keys) :]:
        axes.set_axis_off()
    for axes in grid[:, 0]:
        axes.set_ylabel(metric)
    _show_the_better(grid[0, 0], [trial.values[0] for trial in complete], maximize)
    return figure


def _show_the_better(axes: "Axes", values: Sequence[float], maximize: bool) -> None:
    """Keep a few hopeless trials from pressing all others into a line: they fall off, and a note
    counts them.
    """
    sign = 1 if maximize else -1
    signed = sign * np.asarray(values)
    low, best = np.quantile(signed, 0.15), signed.max()
    edge = low - 0.5 * (best - low)
    if (hidden := int((signed < edge).sum())) and best > low:
        limits = sorted((sign * edge, sign * (best + 0.06 * (best - edge))))
        axes.set_ylim(*limits)
        axes.annotate(
            f"{hidden} {'below' if maximize else 'above'}",
            (0.99, 0.02 if maximize else 0.95),
            xycoords="axes fraction",
            ha="right",
            fontsize=8,
            color="dimgray",
        )


def _place(axes: "Axes", trials: "Sequence[FrozenTrial]", key: str) -> list[float]:
    """Where the trials lie on an axis for this parameter, which gets the right scale and names."""
    from optuna.distributions import CategoricalDistribution

    distribution = trials[0].distributions[key]
    if isinstance(distribution, CategoricalDistribution):
        choices = [str(choice) for choice in distribution.choices]
        long = max(map(len, choices)) * len(choices) > 24
        axes.set_xticks(
            range(len(choices)),
            choices,
            rotation=35 if long else 0,
            ha="right" if long else "center",
        )
        axes.set_xlim(-0.5, len(choices) - 0.5)
        return [choices.index(str(trial.params[key])) for trial in trials]
    low, high = distribution.low, distribution.high  # type: ignore[attr-defined]
    if getattr(distribution, "log", False):
        axes.set_xscale("log")
        margin = (high / low) ** 0.05
        axes.set_xlim(low / margin, high * margin)
    elif high > low:
        axes.set_xlim(low - 0.05 * (high - low), high + 0.05 * (high - low))
    return [float(trial.params[key]) for trial in trials]


def parallel_figure(
    complete: "Sequence[FrozenTrial]", keys: Sequence[str], metric: str, maximize: bool
) -> "Figure":
    """One line for each trial through its parameters; it passes by those that a trial does not
    have.

    Dark is good, and the best lies on top; the worst tenth share the lightest colour.
    """
    from matplotlib import colormaps
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    figure = _figure(max(7.0, 1.4 * len(keys) + 1.5), 4.4)
    axes = figure.subplots()
    sign = 1 if maximize else -1
    trials = sorted(complete, key=lambda trial: sign * trial.values[0])
    bounds = np.quantile(
        [trial.values[0] for trial in trials], [0.1, 1.0] if maximize else [0.0, 0.9]
    )
    norm = Normalize(bounds[0], max(bounds[1], bounds[0] + 1e-9), clip=True)
    colours = "viridis_r" if maximize else "viridis"
    heights = {key: _heights(complete, key) for key in keys}
    for trial in trials:
        columns = [column for column, key in enumerate(keys) if key in trial.params]
        line = [heights[keys[column]][0][trial.number] for column in columns]
        width = 3.5 if trial is trials[-1] else 1.2
        axes.plot(
            columns,
            line,
            color=colormaps[colours](norm(trial.values[0])),
            marker="o",
            ms=2.5 * width**0.5,
            lw=width,
        )
    for column, key in enumerate(keys):
        _label_axis(axes, column, heights[key][1])
    axes.set_xticks(range(len(keys)), [key.replace(".", ".\n", 1) for key in keys], fontsize=9)
    axes.tick_params(axis="x", length=0, pad=14)
    axes.set(yticks=[], xlim=(-0.2, len(keys) - 0.6), ylim=(-0.02, 1.02))
    axes.grid(axis="x", color="#888", lw=1)
    axes.spines[:].set_visible(False)
    figure.colorbar(ScalarMappable(norm, colours), ax=axes, label=metric)
    return figure


def _label_axis(axes: "Axes", column: int, labels: Sequence[tuple[float, str]]) -> None:
    """Names of values on an upright axis: the ends above and below, where no line passes, the
    others beside it.
    """
    from matplotlib.patheffects import withStroke

    for height, name in labels:
        end = {0.0: -1, 1.0: 1}.get(height, 0)
        axes.annotate(
            name,
            (column, height),
            xytext=(0 if end else 6, 6 * end),
            textcoords="offset points",
            fontsize=8,
            ha="center" if end else "left",
            va={-1: "top", 0: "center", 1: "bottom"}[end],
            path_effects=[withStroke(linewidth=3, foreground="white")],
            zorder=4,
        )


def _heights(
    trials: "Sequence[FrozenTrial]", key: str
) -> tuple[dict[int, float], list[tuple[float, str]]]:
    """Each trial's place on the axis of a parameter, 0..1, and the axis's labels."""
    from optuna.distributions import CategoricalDistribution

    having = [trial for trial in trials if key in trial.params]
    distribution = having[0].distributions[key]
    if isinstance(distribution, CategoricalDistribution):
        choices = [str(choice) for choice in distribution.choices]
        top = max(1, len(choices) - 1)
        labels = [(i / top, choice) for i, choice in enumerate(choices)]
        return {
            trial.number: choices.index(str(trial.params[key])) / top for trial in having
        }, labels
    scale = math.log if getattr(distribution, "log", False) else float
    low, high = scale(distribution.low), scale(distribution.high)  # type: ignore[attr-defined]
    span = (high - low) or 1.0
    places = {trial.number: (scale(trial.params[key]) - low) / span for trial in having}
    return places, [(0.0, _text(distribution.low)), (1.0, _text(distribution.high))]  # type: ignore[attr-defined]


def pareto_figure(
    study: "Study", complete: "Sequence[FrozenTrial]", metrics: Sequence[str]
) -> "Figure":
    """The first two objectives of every trial; those that none beats in all objectives are
    joined.
    """
    figure = _figure(7, 4.6)
    axes = figure.subplots()
    front = sorted(study.best_trials, key=lambda trial: trial.values[0])
    axes.scatter(
        [t.values[0] for t in complete],
        [t.values[1] for t in complete],
        color=GREY,
        s=24,
        label="trials",
    )
    x, y = [t.values[0] for t in front], [t.values[1] for t in front]
    axes.plot(x, y, color=ORANGE, marker="o", ms=6, lw=1, label="beaten by none")
    for trial in front:
        axes.annotate(
            str(trial.number),
            trial.values[:2],
            xytext=(4, 4),
            textcoords="offset points",
            fontsize=8,
        )
    axes.set(xlabel=metrics[0], ylabel=metrics[1])
    if min(t.values[1] for t in complete) > 0 and max(t.values[1] for t in complete) > 20 * min(
        t.values[1] for t in complete
    ):
        axes.set_yscale("log")
    axes.grid(alpha=0.25)
    axes.legend(frameon=False)
    return figure


def pruning_figure(complete: "Sequence[FrozenTrial]", pruned: "Sequence[FrozenTrial]") -> "Figure":
    """Seconds spent, and those that the pruned trials would have taken, had each gone on as fast as
    it began.
    """
    from hydra_optuna_search.pruning import SAVED

    figure = _figure(8, 1.9)
    axes = figure.subplots()
    spent = sum(trial.duration.total_seconds() for trial in complete if trial.duration)
    lost = sum(trial.duration.total_seconds() for trial in pruned if trial.duration)
    saved = sum(
        trial.user_attrs.get(SAVED, 0.0) for trial in pruned
    )  # none known of those that a job ended by itself
    left = 0.0
    for seconds, name, colour in (
        (spent, f"{len(complete)} completed", BLUE),
        (lost, f"{len(pruned)} pruned", GREY),
        (saved, "saved (estimate)", GREEN),
    ):
        axes.barh([0], [seconds], left=left, color=colour, label=f"{name}: {seconds:.0f} s")
        left += seconds
    axes.set(xlabel="seconds", yticks=[])
    axes.spines[["top", "right", "left"]].set_visible(False)
    figure.legend(loc="outside upper left", ncols=3, frameon=False)
    return figure
