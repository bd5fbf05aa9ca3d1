"""The pictures and the page of a search: where it looked, what it found, what mattered."""

import math
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mnist_exp.process import write_bytes, write_text
from mnist_exp.report.comparison_charts import Scale
from mnist_exp.report.figures import new_axes, png
from mnist_exp.report.page import render

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from optuna.study import Study
    from optuna.trial import FrozenTrial

# From seaborn's colour-blind palette, in which no two of these are mistaken for each other.
BLUE, ORANGE, GREY, GREEN = "#0173b2", "#d55e00", "#949494", "#029e73"


def write_report(folder: Path, study: "Study", metrics: Sequence[str], again: str | None) -> None:
    """Write every figure that this study has enough trials for, and one page with all of them.

    `again` is the command that repeats the best trial.
    """
    pictures = [(name, title, png(figure)) for name, title, figure in figures(study, metrics)]
    for name, _, picture in pictures:
        write_bytes(folder / f"{name}.png", picture)
    run = "best/report.html" if (folder / "best" / "report.html").exists() else None
    page = search_html(study, metrics, pictures, again=again, run=run, links=True)
    write_text(folder / "report.html", page)


def search_html(
    study: "Study",
    metrics: Sequence[str],
    pictures: Sequence[tuple[str, str, bytes]],
    *,
    again: str | None = None,
    run: str | None = None,
    links: bool = False,
) -> str:
    """The page as text: `pictures` are names, titles and PNGs, which `links` lead to as files."""
    from hydra_optuna_search.progress import state_word

    trials = study.get_trials(deepcopy=False)
    keys = _keys(trials)
    best = study.best_trials if any(trial.values for trial in trials) else []
    page = {
        "study": study,
        "metrics": metrics,
        "best": [(t.number, t.values, {k: _text(v) for k, v in t.params.items()}) for t in best],
        "again": again,
        "run": run,
        "pictures": pictures,
        "links": links,
        "header": ["trial", "state", *metrics, "seconds", *keys],
        "rows": [
            [
                trial.number,
                state_word(trial),
                *(f"{value:.6g}" for value in trial.values or [math.nan] * len(metrics)),
                f"{trial.duration.total_seconds():.1f}" if trial.duration else "",
                *(_text(trial.params.get(key, "")) for key in keys),
            ]
            for trial in trials
        ],
    }
    return render("search.html", page)


def figures(study: "Study", metrics: Sequence[str]) -> "Iterator[tuple[str, str, Figure]]":
    """File name, title and figure, of those that say something."""
    trials = study.get_trials(deepcopy=False)
    complete = [trial for trial in trials if trial.state.name == "COMPLETE"]
    pruned = [trial for trial in trials if trial.state.name == "PRUNED"]
    if not complete:
        return
    keys, metric = _keys(complete), metrics[0]
    maximize = study.directions[0].name == "MAXIMIZE"
    if len(metrics) > 1:
        yield "pareto", "What one objective costs the other", pareto_figure(study, metrics)
    else:
        yield (
            "history",
            "Every trial, and the best so far",
            history_figure(complete, pruned, metric, maximize),
        )
    if len(complete) > 2 and keys:
        if importance := _importances(study):
            yield "importances", "Which parameters mattered", importance_figure(importance, metric)
        yield (
            "slice",
            "Each parameter on its own",
            slice_figure(complete, keys, metric, maximize),
        )
        if len(keys) > 1:
            yield (
                "parallel",
                "All parameters together",
                parallel_figure(complete, keys, metric, maximize),
            )
    if pruned:
        yield "pruning", "What pruning saved", pruning_figure(complete, pruned)


def _keys(trials: "Sequence[FrozenTrial]") -> list[str]:
    return list(dict.fromkeys(key for trial in trials for key in trial.params))


def _text(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _axes(width: float, height: float, **labels: str) -> "tuple[Figure, Axes]":
    figure, (axes,) = new_axes(width, height)
    axes.set(**labels)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25)
    axes.set_axisbelow(True)
    return figure, axes


def history_figure(
    complete: "Sequence[FrozenTrial]", pruned: "Sequence[FrozenTrial]", metric: str, maximize: bool
) -> "Figure":
    """Value by trial, with the best so far; a pruned trial stands at the last value it reported."""
    import seaborn as sns

    figure, axes = _axes(8, 4.2, xlabel="trial", ylabel=metric)
    numbers, values = zip(*((t.number, t.values[0]) for t in complete), strict=True)
    last = {
        t.number: t.intermediate_values[max(t.intermediate_values)]
        for t in pruned
        if t.intermediate_values
    }
    best = (np.maximum if maximize else np.minimum).accumulate(values)
    axes.step(numbers, best, where="post", color=ORANGE, lw=2, label="best so far")
    sns.scatterplot(
        x=[*numbers, *last],
        y=[*values, *last.values()],
        hue=["completed"] * len(values) + ["pruned, last value"] * len(last),
        style=["completed"] * len(values) + ["pruned, last value"] * len(last),
        palette={"completed": BLUE, "pruned, last value": GREY},
        markers={"completed": "o", "pruned, last value": "X"},
        s=42,
        zorder=3,
        ax=axes,
    )
    axes.locator_params(axis="x", integer=True)
    _show_the_better(axes, values, maximize)
    axes.legend(frameon=False)
    return figure


def _importances(study: "Study") -> dict[str, float]:
    from optuna.importance import get_param_importances

    from hydra_optuna_search.study import quiet

    sign = -1 if study.directions[0].name == "MAXIMIZE" else 1
    target = None if len(study.directions) == 1 else (lambda trial: sign * trial.values[0])
    # What few trials say is inaccurate, and the figure shows how few they are.
    with quiet(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*importance", category=UserWarning)
        return dict(get_param_importances(study, target=target))


def importance_figure(importance: dict[str, float], metric: str) -> "Figure":
    """PED-ANOVA: by how much a parameter's values in good trials differ from those in all."""
    figure, axes = _axes(
        8,
        1.2 + 0.36 * len(importance),
        xlabel=f"share of importance for {metric} (PED-ANOVA)",
    )
    bars = axes.barh(list(importance)[::-1], list(importance.values())[::-1], color=BLUE)
    axes.bar_label(bars, fmt="%.2f", padding=3)
    axes.set_xlim(0, 1.08 * max(importance.values()) + 1e-9)
    return figure


def slice_figure(
    complete: "Sequence[FrozenTrial]", keys: Sequence[str], metric: str, maximize: bool
) -> "Figure":
    """Value against each parameter; colour is time, from early trials (light) to late (dark)."""
    import seaborn as sns
    from matplotlib.figure import Figure

    columns, rows = min(4, len(keys)), math.ceil(len(keys) / 4)
    figure = Figure(figsize=(3.0 * columns + 0.8, 2.7 * rows + 0.3), layout="constrained")
    for number, key in enumerate(keys):
        axes = figure.add_subplot(
            rows, columns, number + 1, sharey=figure.axes[0] if number else None
        )
        place, ticks = _parameter_axis(complete, key)
        x, y, trial = zip(
            *((place(t.params[key]), t.values[0], t.number) for t in complete if key in t.params),
            strict=True,
        )
        sns.scatterplot(
            x=x,
            y=y,
            hue=trial,
            palette="flare",
            s=40,
            edgecolor="w",
            linewidth=0.5,
            legend=False,
            ax=axes,
        )
        slant = 35 if sum(len(label) for _, label in ticks) > 24 else 0
        axes.set_xticks(
            *zip(*ticks, strict=True), rotation=slant, ha="right" if slant else "center"
        )
        axes.set(xlabel=key, ylabel="" if number % columns else metric, xlim=(-3, 103))
        axes.grid(alpha=0.25)
        sns.despine(ax=axes)
    _show_the_better(figure.axes[0], [trial.values[0] for trial in complete], maximize)
    return figure


def _show_the_better(axes: "Axes", values: Sequence[float], maximize: bool) -> None:
    """Leave a few hopeless trials out, so that the others do not lie in one line; a note counts."""
    sign = 1 if maximize else -1
    signed = sign * np.asarray(values)
    low, best = np.quantile(signed, 0.15), signed.max()
    edge = low - 0.5 * (best - low)
    if (hidden := int((signed < edge).sum())) and best > low:
        axes.set_ylim(*sorted((sign * edge, sign * (best + 0.06 * (best - edge)))))
        axes.annotate(
            f"{hidden} {'below' if maximize else 'above'}",
            (0.99, 0.02 if maximize else 0.95),
            xycoords="axes fraction",
            ha="right",
            fontsize=8,
            color="dimgray",
        )


def _parameter_axis(
    trials: "Sequence[FrozenTrial]", key: str
) -> tuple[Callable[[Any], float], list[tuple[float, str]]]:
    """Where values of a parameter lie on its axis, 0 to 100, and the axis' marks."""
    from optuna.distributions import CategoricalDistribution

    distribution: Any = next(trial.distributions[key] for trial in trials if key in trial.params)
    if isinstance(distribution, CategoricalDistribution):
        step = 100 / len(distribution.choices)
        places = {str(name): (i + 0.5) * step for i, name in enumerate(distribution.choices)}
        return (lambda value: places[str(value)]), [(at, name) for name, at in places.items()]
    scale = Scale.around((distribution.low, distribution.high), distribution.log)
    return scale.place, scale.ticks


def parallel_figure(
    complete: "Sequence[FrozenTrial]", keys: Sequence[str], metric: str, maximize: bool
) -> "Figure":
    """One line for each trial through its parameters; it skips those that a trial does not have.

    Dark is good, and the best lies on top; the worst tenth share the lightest colour.
    """
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize
    from matplotlib.patheffects import withStroke

    figure, axes = _axes(max(7.0, 1.4 * len(keys) + 1.5), 4.4)
    trials = sorted(complete, key=lambda trial: trial.values[0], reverse=not maximize)
    values = [trial.values[0] for trial in trials]
    worst, best = np.quantile(values, [0.1, 1.0] if maximize else [0.0, 0.9])
    norm = Normalize(worst, max(best, worst + 1e-9), clip=True)
    colours = ScalarMappable(norm, "viridis_r" if maximize else "viridis")
    places, ticks = zip(*(_parameter_axis(complete, key) for key in keys), strict=True)
    for trial, colour in zip(trials, colours.to_rgba(np.array(values)), strict=True):
        line = [
            (column, places[column](trial.params[key]))
            for column, key in enumerate(keys)
            if key in trial.params
        ]
        axes.plot(
            *zip(*line, strict=True),
            color=colour,
            marker="o",
            lw=3.5 if trial is trials[-1] else 1.2,
        )
    outline = [withStroke(linewidth=3, foreground="white")]
    for column, marks in enumerate(ticks):
        for height, label in marks:
            axes.text(column + 0.04, height, label, fontsize=8, va="center", path_effects=outline)
    axes.set_xticks(range(len(keys)), [key.replace(".", ".\n", 1) for key in keys], fontsize=9)
    axes.set(yticks=[], xlim=(-0.2, len(keys) - 0.6), ylim=(-2, 102))
    axes.grid(axis="x", color="#888", alpha=1)
    axes.spines[:].set_visible(False)
    figure.colorbar(colours, ax=axes, label=metric)
    return figure


def pareto_figure(study: "Study", metrics: Sequence[str]) -> "Figure":
    """The first two objectives of every trial; those that none beats in all are joined."""
    figure, axes = _axes(7, 4.6, xlabel=metrics[0], ylabel=metrics[1])
    values = np.array([trial.values for trial in study.get_trials(deepcopy=False) if trial.values])
    front = sorted(study.best_trials, key=lambda trial: trial.values[0])
    axes.scatter(values[:, 0], values[:, 1], color=GREY, s=36, label="trials")
    axes.plot(
        *np.array([trial.values[:2] for trial in front]).T,
        color=ORANGE,
        marker="o",
        lw=1,
        label="beaten by none",
    )
    for trial in front:
        axes.annotate(
            str(trial.number),
            trial.values[:2],
            xytext=(4, 4),
            textcoords="offset points",
            fontsize=8,
        )
    if 0 < 20 * values[:, 1].min() < values[:, 1].max():
        axes.set_yscale("log")
    axes.legend(frameon=False)
    return figure


def pruning_figure(complete: "Sequence[FrozenTrial]", pruned: "Sequence[FrozenTrial]") -> "Figure":
    """Seconds spent, and those that the pruned trials would have taken at the pace they had."""
    from hydra_optuna_search.pruning import SAVED

    figure, axes = _axes(8, 1.9, xlabel="seconds")
    spent, lost = (
        sum(trial.duration.total_seconds() for trial in trials if trial.duration)
        for trials in (complete, pruned)
    )
    # Nothing is known of the trials that a job ended by itself.
    saved = sum(trial.user_attrs.get(SAVED, 0.0) for trial in pruned)
    for left, seconds, name, colour in (
        (0.0, spent, f"{len(complete)} completed", BLUE),
        (spent, lost, f"{len(pruned)} pruned", GREY),
        (spent + lost, saved, "saved (estimate)", GREEN),
    ):
        axes.barh([0], [seconds], left=left, color=colour, label=f"{name}: {seconds:.0f} s")
    axes.set_yticks([])
    figure.legend(loc="outside upper left", ncols=3, frameon=False)
    return figure
