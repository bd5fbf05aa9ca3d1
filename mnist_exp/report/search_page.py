"""The pictures and the page of a search: where it looked, what it found, what mattered."""

import math
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mnist_exp.process import write_bytes, write_text
from mnist_exp.report.comparison_charts import Scale
from mnist_exp.report.figures import png
from mnist_exp.report.page import render

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from optuna.study import Study
    from optuna.trial import FrozenTrial

# From seaborn's colour-blind palette, in which no two of these are mistaken for each other.
BLUE, ORANGE, GREY, GREEN = "#0173b2", "#d55e00", "#949494", "#029e73"
MOST_BEST = 5  # trials that share the best value and are named above the pictures


def write_report(folder: Path, study: "Study", metrics: Sequence[str], again: str | None) -> None:
    """Write every figure that this study has enough trials for, and one page with all of them.

    `again` is the command that repeats the best trial.
    """
    from mnist_exp.search.watch import state_word

    pictures = []
    for name, title, figure in figures(study, metrics):
        picture = png(figure)
        write_bytes(folder / f"{name}.png", picture)
        pictures.append((title, picture))
    trials, best = study.get_trials(deepcopy=False), study.best_trials
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
    parameters = [
        [trial.number, ", ".join(f"{key} = {_text(value)}" for key, value in trial.params.items())]
        for trial in best
    ]
    page = {
        "headline": f"{metrics[0]} {best[0].values[0]:.6g}"
        if len(metrics) == 1
        else f"{len(best)} best solutions",
        "sub": f"{len(trials)} trials · {study.study_name}",
        "best": parameters[:MOST_BEST] if len(metrics) == 1 else parameters,
        "again": again,
        "run": "best/report.html" if (folder / "best" / "report.html").exists() else None,
        "pictures": pictures,
        "header": ["trial", "state", *metrics, "seconds", *keys],
        "rows": rows,
    }
    page["more"] = len(parameters) - len(page["best"])
    write_text(folder / "report.html", render("search.html", page))


def figures(study: "Study", metrics: Sequence[str]) -> "list[tuple[str, str, Figure]]":
    """File name, title and figure, of those that say something."""
    trials = study.get_trials(deepcopy=False)
    complete = [trial for trial in trials if trial.state.name == "COMPLETE"]
    pruned = [trial for trial in trials if trial.state.name == "PRUNED"]
    keys, metric = _keys(complete), metrics[0]
    maximize = study.directions[0].name == "MAXIMIZE"
    if len(metrics) > 1:
        front = pareto_figure(study, complete, metrics)
        pages = [("pareto", "What one objective costs the other", front)]
    else:
        history = history_figure(complete, pruned, metric, maximize)
        pages = [("history", "Every trial, and the best so far", history)]
    if len(complete) > 2 and keys:
        if importance := _importances(study):
            bars = importance_figure(importance, metric)
            pages.append(("importances", "Which parameters mattered", bars))
        slices = slice_figure(complete, keys, metric, maximize)
        pages.append(("slice", "Each parameter on its own", slices))
        if len(keys) > 1:
            lines = parallel_figure(complete, keys, metric, maximize)
            pages.append(("parallel", "All parameters together", lines))
    if pruned:
        pages.append(("pruning", "What pruning saved", pruning_figure(complete, pruned)))
    return pages


def _keys(trials: "Sequence[FrozenTrial]") -> list[str]:
    return list(dict.fromkeys(key for trial in trials for key in trial.params))


def _text(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _figure(width: float, height: float) -> "Figure":
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def history_figure(
    complete: "Sequence[FrozenTrial]", pruned: "Sequence[FrozenTrial]", metric: str, maximize: bool
) -> "Figure":
    """Value by trial, with the best so far; a pruned trial stands at the last value it reported."""
    import seaborn as sns

    figure = _figure(8, 4.2)
    axes = figure.subplots()
    states = {
        "completed": {t.number: t.values[0] for t in complete},
        "pruned, last value": {
            t.number: t.intermediate_values[max(t.intermediate_values)]
            for t in pruned
            if t.intermediate_values
        },
    }
    points = {
        "trial": [number for values in states.values() for number in values],
        metric: [value for values in states.values() for value in values.values()],
        "state": [state for state, values in states.items() for _ in values],
    }
    numbers, values = zip(*states["completed"].items(), strict=True)
    best = (np.maximum if maximize else np.minimum).accumulate(values)
    axes.step(numbers, best, where="post", color=ORANGE, lw=2, label="best so far")
    sns.scatterplot(
        points,
        x="trial",
        y=metric,
        hue="state",
        style="state",
        palette=dict(zip(states, (BLUE, GREY), strict=True)),
        markers=dict(zip(states, "oX", strict=True)),
        s=42,
        zorder=3,
        ax=axes,
    )
    axes.locator_params(axis="x", integer=True)
    _show_the_better(axes, values, maximize)
    sns.despine(ax=axes)
    axes.grid(alpha=0.25)
    axes.legend(frameon=False)
    return figure


def _importances(study: "Study") -> dict[str, float]:
    from optuna.importance import get_param_importances

    from mnist_exp.search.study import quiet

    sign = -1 if study.directions[0].name == "MAXIMIZE" else 1
    target = None if len(study.directions) == 1 else (lambda trial: sign * trial.values[0])
    # What few trials say is inaccurate, and the figure shows how few they are.
    with quiet(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*importance", category=UserWarning)
        return dict(get_param_importances(study, target=target))


def importance_figure(importance: dict[str, float], metric: str) -> "Figure":
    """PED-ANOVA: by how much a parameter's values in good trials differ from those in all."""
    import seaborn as sns

    figure = _figure(8, 1.2 + 0.36 * len(importance))
    axes = figure.subplots()
    sns.barplot(x=list(importance.values()), y=list(importance), color=BLUE, ax=axes)
    axes.bar_label(axes.containers[0], fmt="%.2f", padding=3)
    limits = 0, 1.08 * max(importance.values()) + 1e-9
    axes.set(xlabel=f"share of importance for {metric} (PED-ANOVA)", xlim=limits)
    sns.despine(ax=axes)
    return figure


def slice_figure(
    complete: "Sequence[FrozenTrial]", keys: Sequence[str], metric: str, maximize: bool
) -> "Figure":
    """Value against each parameter; colour is time, from early trials (light) to late (dark)."""
    import seaborn as sns

    columns = min(4, len(keys))
    rows = math.ceil(len(keys) / columns)
    figure = _figure(3.0 * columns + 0.8, 2.7 * rows + 0.3)
    grid = figure.subplots(rows, columns, sharey=True, squeeze=False)
    style = {"palette": "flare", "s": 36, "edgecolor": "white", "linewidth": 0.5, "legend": False}
    for axes, key in zip(grid.flat, keys, strict=False):
        having = [trial for trial in complete if key in trial.params]
        place, ticks = _parameter_axis(having, key)
        x, y = [place(trial.params[key]) for trial in having], [t.values[0] for t in having]
        sns.scatterplot(x=x, y=y, hue=[trial.number for trial in having], ax=axes, **style)
        long = sum(len(label) for _, label in ticks) > 24
        rotation = {"rotation": 35, "ha": "right"} if long else {}
        axes.set_xticks(*zip(*ticks, strict=True), **rotation)
        axes.set(xlabel=key, ylabel=metric, xlim=(-3, 103))
        axes.grid(alpha=0.25)
        sns.despine(ax=axes)
    for axes in grid.flat[len(keys) :]:
        axes.set_axis_off()
    _show_the_better(grid[0, 0], [trial.values[0] for trial in complete], maximize)
    return figure


def _show_the_better(axes: "Axes", values: Sequence[float], maximize: bool) -> None:
    """Leave a few hopeless trials out, so that the others do not lie in one line; a note counts."""
    sign = 1 if maximize else -1
    signed = sign * np.asarray(values)
    low, best = np.quantile(signed, 0.15), signed.max()
    edge = low - 0.5 * (best - low)
    if (hidden := int((signed < edge).sum())) and best > low:
        axes.set_ylim(*sorted((sign * edge, sign * (best + 0.06 * (best - edge)))))
        note = f"{hidden} {'below' if maximize else 'above'}"
        corner = 0.99, 0.02 if maximize else 0.95
        style = {"ha": "right", "fontsize": 8, "color": "dimgray"}
        axes.annotate(note, corner, xycoords="axes fraction", **style)


def _parameter_axis(
    trials: "Sequence[FrozenTrial]", key: str
) -> tuple[Callable[[Any], float], list[tuple[float, str]]]:
    """Where values of a parameter lie on its axis, 0 to 100, and the axis' marks."""
    from optuna.distributions import CategoricalDistribution

    distribution: Any = trials[0].distributions[key]
    if isinstance(distribution, CategoricalDistribution):
        choices = [str(choice) for choice in distribution.choices]
        step = 100 / len(choices)
        places = {choice: (number + 0.5) * step for number, choice in enumerate(choices)}
        return (lambda value: places[str(value)]), [(at, name) for name, at in places.items()]
    bounds = distribution.low, distribution.high
    scale = Scale.around(bounds, by_decades=getattr(distribution, "log", False))
    return scale.place, scale.ticks


def parallel_figure(
    complete: "Sequence[FrozenTrial]", keys: Sequence[str], metric: str, maximize: bool
) -> "Figure":
    """One line for each trial through its parameters; it skips those that a trial does not have.

    Dark is good, and the best lies on top; the worst tenth share the lightest colour.
    """
    from matplotlib import colormaps
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize
    from matplotlib.patheffects import withStroke

    figure = _figure(max(7.0, 1.4 * len(keys) + 1.5), 4.4)
    axes = figure.subplots()
    trials = sorted(complete, key=lambda trial: trial.values[0], reverse=not maximize)
    values = [trial.values[0] for trial in trials]
    worst, best = np.quantile(values, [0.1, 1.0] if maximize else [0.0, 0.9])
    norm = Normalize(worst, max(best, worst + 1e-9), clip=True)
    colours = "viridis_r" if maximize else "viridis"
    lines: dict[int, list[tuple[int, float]]] = {trial.number: [] for trial in trials}
    style = {"fontsize": 8, "va": "center", "zorder": 4}
    outline = [withStroke(linewidth=3, foreground="white")]
    for column, key in enumerate(keys):
        having = [trial for trial in trials if key in trial.params]
        place, ticks = _parameter_axis(having, key)
        for trial in having:
            lines[trial.number].append((column, place(trial.params[key])))
        for height, label in ticks:
            axes.text(column + 0.04, height, label, path_effects=outline, **style)
    for trial, value in zip(trials, values, strict=True):
        width = 3.5 if trial is trials[-1] else 1.2
        colour = colormaps[colours](norm(value))
        axes.plot(*zip(*lines[trial.number], strict=True), color=colour, marker="o", lw=width)
    axes.set_xticks(range(len(keys)), [key.replace(".", ".\n", 1) for key in keys], fontsize=9)
    axes.tick_params(axis="x", length=0)
    axes.set(yticks=[], xlim=(-0.2, len(keys) - 0.6), ylim=(-2, 102))
    axes.grid(axis="x", color="#888", lw=1)
    axes.spines[:].set_visible(False)
    figure.colorbar(ScalarMappable(norm, colours), ax=axes, label=metric)
    return figure


def pareto_figure(
    study: "Study", complete: "Sequence[FrozenTrial]", metrics: Sequence[str]
) -> "Figure":
    """The first two objectives of every trial; those that none beats in all are joined."""
    import seaborn as sns

    figure = _figure(7, 4.6)
    axes = figure.subplots()
    front = sorted(study.best_trials, key=lambda trial: trial.values[0])
    x, y, *_ = zip(*(trial.values for trial in complete), strict=True)
    sns.scatterplot(x=x, y=y, color=GREY, s=36, label="trials", ax=axes)
    best_x, best_y, *_ = zip(*(trial.values for trial in front), strict=True)
    axes.plot(best_x, best_y, color=ORANGE, marker="o", ms=6, lw=1, label="beaten by none")
    style = {"xytext": (4, 4), "textcoords": "offset points", "fontsize": 8}
    for trial in front:
        axes.annotate(str(trial.number), trial.values[:2], **style)
    axes.set(xlabel=metrics[0], ylabel=metrics[1])
    if 0 < 20 * min(y) < max(y):
        axes.set_yscale("log")
    sns.despine(ax=axes)
    axes.grid(alpha=0.25)
    axes.legend(frameon=False)
    return figure


def pruning_figure(complete: "Sequence[FrozenTrial]", pruned: "Sequence[FrozenTrial]") -> "Figure":
    """Seconds spent, and those that the pruned trials would have taken at the pace they had."""
    from mnist_exp.search.reporting import SAVED

    figure = _figure(8, 1.9)
    axes = figure.subplots()
    spent, lost = (
        sum(trial.duration.total_seconds() for trial in trials if trial.duration)
        for trials in (complete, pruned)
    )
    # Nothing is known of the trials that a job ended by itself.
    saved = sum(trial.user_attrs.get(SAVED, 0.0) for trial in pruned)
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
