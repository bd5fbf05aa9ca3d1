"""Train's job when a search runs it: fit, score on validation data, leave a light run folder.

The test set is not even loaded.
"""

import logging
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
from hydra.core.override_parser.overrides_parser import OverridesParser
from joblib import Memory
from omegaconf import DictConfig, OmegaConf
from sklearn.model_selection import StratifiedKFold

from hydra_optuna_search.pruning import current_reporter
from mnist_exp.config import build
from mnist_exp.data import Dataset, Split
from mnist_exp.errors import UserError
from mnist_exp.evaluation import Metrics, Predictions
from mnist_exp.experiment import Experiment, Interim, Outcome, summarize
from mnist_exp.process import Stages
from mnist_exp.report.record import record, save_metrics, times
from mnist_exp.runs import Progress, Run, find_runs

log = logging.getLogger(__name__)

VALIDATION_SHARE = 6  # a search sets a sixth of the training data aside
TIMES = (
    "load_s",
    "augment_s",
    "features_s",
    "calibrate_s",
    "fit_s",
    "predict_s",
    "total_s",
    "predict_us_per_image",
)
DIFFERENT_IMAGES = tuple(f"dataset.{size}" for size in ("val_size", "test_size", "split_seed"))
SMALLER_IS_BETTER = ("log_loss", "ece", "ece_mass", "bytes", *TIMES)
KIND = ("model", "features", "augment")  # groups that a run's time depends on, with its data
LIGHT = (".npz", ".json", ".yaml", ".log")  # a trial's files: no model, no picture, no page


def metrics_of(cfg: DictConfig) -> list[str]:
    """The metrics that a search is for; UserError for one that is unknown or of the test set."""
    wanted = cfg.search.metric
    names = list(wanted) if OmegaConf.is_list(wanted) else [wanted]
    if not names:
        raise UserError("search.metric is empty: name one, such as val.accuracy")
    known = [
        *(f"val.{field.name}" for field in fields(Metrics)),
        *(f"time.{name}" for name in TIMES),
        "model.bytes",
    ]
    for name in names:
        if str(name).startswith("test."):
            raise UserError(
                f"search.metric={name}: a search never looks at the test set; take val.{name[5:]}"
            )
        if name not in known:
            raise UserError(
                f"search.metric={name}: there is no such metric. Choices: {', '.join(known)}"
            )
    return names


def prepare(config: DictConfig) -> list[str]:
    """Settle what a search leaves open; returns the words to add to every trial's.

    The direction follows from the metric, and validation data are a sixth of the training data.
    """
    search = config.search
    names = metrics_of(config)
    if search.direction is None:
        directions = [
            "minimize" if name.rpartition(".")[2] in SMALLER_IS_BETTER else "maximize"
            for name in names
        ]
        search.direction = directions if len(directions) > 1 else directions[0]
    mistakes = {
        f"search.folds={search.folds}: must be null or a whole number, 2 or more": not (
            search.folds is None or (type(search.folds) is int and search.folds >= 2)
        ),
        f"search.keep={search.keep}: must be light or all": search.keep not in ("light", "all"),
        "search.pruner=wilcoxon compares fold with fold, and fewer than 5 cannot tell: "
        "set search.folds=5, or take median or hyperband": (
            search.pruner == "wilcoxon" and search.folds in (None, 2, 3, 4)
        ),
        f"search.pruner={search.pruner}: {names[0]} is known at the end of a trial only; "
        "set pruner=none": search.pruner != "none" and not names[0].startswith("val."),
    }
    for message, is_wrong in mistakes.items():
        if is_wrong:
            raise UserError(message)
    for override in OverridesParser.create().parse_overrides(list(config.hydra.overrides.task)):
        key = override.get_key_element().lstrip("+")
        if override.is_sweep_override() and key in ("dataset", *DIFFERENT_IMAGES):
            raise UserError(
                f"{key}: a search over it would compare scores on different images; "
                "search each on its own"
            )
        if override.is_sweep_override() and key.rpartition(".")[2] in ("seed", "random_state"):
            raise UserError(
                f"{key}: a search over it would call the luckiest seed the best; search with one, "
                f"then repeat the winner: -m {key}=0,1,2"
            )
    if search.folds is not None or config.dataset.val_size is not None:
        return []
    experiment = build(config)
    size = experiment.sizes["train_size"]
    if type(size) is not int:
        size = len(experiment.source.part("train", experiment.sizes["split_seed"])[1])
    return [f"dataset.val_size={max(1, size // VALIDATION_SHARE)}"]


def run_trial(cfg: DictConfig, run: Run, started: float, progress: Progress) -> float | list[float]:
    """Fit and score one configuration of a search; returns the value of its metric, or of each."""
    names = metrics_of(cfg)
    experiment = build(cfg)
    stages = Stages(bars=False, watcher=progress.show)
    with stages("load", cfg.dataset.name):
        dataset = experiment.load(with_test=False)
    fit = _validate if cfg.search.folds is None else _cross_validate
    outcome = fit(cfg, experiment, dataset, names[0], stages, experiment.memory())
    if cfg.search.keep == "all" or "model.bytes" in names:
        seeds = {"seed": experiment.seed, "split_seed": experiment.sizes["split_seed"]}
        metrics = record(run, dataset, outcome, stages.seconds, seeds, started, Path(cfg.outputs))
    else:
        metrics = _record(run, outcome, stages.seconds, started)
    values = [_pick(metrics, name) for name in names]
    return values if len(values) > 1 else values[0]


def _record(
    run: Run, outcome: Outcome, seconds: dict[str, float], started: float
) -> dict[str, Any]:
    """Write all that a trial's folder holds besides log and configuration; returns the metrics."""
    run.save_predictions("val", outcome.predictions["val"])
    metrics = {**outcome.metrics, "time": times(outcome, seconds)}
    save_metrics(run, outcome, metrics, started)
    return metrics


def _pick(metrics: Mapping[str, Any], name: str) -> float:
    group, _, key = name.partition(".")
    if key not in metrics[group]:
        raise UserError(
            f"{name}: this model has none (it gives no probabilities); "
            f"it has {', '.join(metrics[group])}"
        )
    return float(metrics[group][key])


def _validate(
    cfg: DictConfig,
    experiment: Experiment,
    dataset: Dataset,
    name: str,
    stages: Stages,
    memory: Memory,
) -> Outcome:
    """Fit once, reporting on the way what a pruner may judge by."""
    reporter = current_reporter()
    if reporter is None:
        return experiment.run(dataset, stages, memory, None)

    def on_interim(interim: Interim) -> None:
        value = _pick({"val": interim.metrics}, name)
        reporter.stage(interim.stage, interim.share, value, interim.seconds)

    return experiment.run(dataset, stages, memory, on_interim)


def _cross_validate(
    cfg: DictConfig,
    experiment: Experiment,
    dataset: Dataset,
    name: str,
    stages: Stages,
    memory: Memory,
) -> Outcome:
    """Fit once for each fold on the others; every training image is predicted unseen."""
    reporter, folds = current_reporter(), bounded_folds(dataset, cfg.search.folds)
    outcomes, scores = [], []
    seconds: dict[str, float] = {}
    for fold in split_folds(dataset, folds, experiment.sizes["split_seed"]):
        outcomes.append(experiment.run(fold, stages, memory, None))
        for stage, value in stages.seconds.items():
            if stage != "load":
                seconds[stage] = seconds.get(stage, 0.0) + value
        if reporter:
            scores.append(_pick(outcomes[-1].metrics, name))
            reporter.fold(scores, folds)
    stages.seconds |= seconds
    return join_folds(outcomes, dataset, experiment.seed)


def bounded_folds(dataset: Dataset, folds: int) -> int:
    """At most as many folds as the smallest class has images, so that each fold has one of it."""
    smallest = max(2, int(np.bincount(dataset.train.labels).min()))
    if folds > smallest:
        message = "search.folds=%d is more than the smallest class has images: %d is taken"
        log.warning(message, folds, smallest)
    return min(folds, smallest)


def split_folds(dataset: Dataset, folds: int, split_seed: int) -> Iterator[Dataset]:
    """Yield a dataset for each fold, stratified: it validates on the fold, trains on the others."""
    train = dataset.train
    parts = StratifiedKFold(folds, shuffle=True, random_state=split_seed)
    for rows in parts.split(np.zeros(len(train)), train.labels):
        rest, fold = (Split(train.images[i], train.labels[i], train.index[i]) for i in rows)
        yield Dataset(dataset.name, dataset.classes, rest, fold, None)


def join_folds(outcomes: Sequence[Outcome], dataset: Dataset, seed: int) -> Outcome:
    """One outcome of all folds' predictions, in the order of the training images."""
    parts = [outcome.predictions["val"] for outcome in outcomes]
    order = np.argsort(np.concatenate([part.index for part in parts]), kind="stable")
    arrays: dict[str, Any] = {
        name: None
        if getattr(parts[0], name) is None
        else np.concatenate([getattr(part, name) for part in parts])[order]
        for name in ("index", "label", "prediction", "probability", "score")
    }
    joined = Predictions(**arrays, split_sha256=dataset.train.sha256)
    n_augmented = int(outcomes[0].metrics["data"]["n_augmented"])
    return summarize(outcomes[-1].pipeline, dataset, {"val": joined}, n_augmented, seed)


def estimate(cfg: DictConfig, n_trials: int, n_jobs: int, refit: bool) -> str:
    """What earlier runs of the same kind say of a search's time and disk.

    The time is that of a fit for each trial and fold, and of one more for the winner.
    """
    groups = (*KIND, "dataset")
    kind = _kind({name: OmegaConf.to_container(cfg[name], resolve=True) for name in groups})
    like = [run for run in find_runs(Path(cfg.outputs)) if _is_like(run, kind)]
    if not like:
        return "time and disk unknown: no completed run of this kind to judge by; train one first"
    n_fits = n_trials * (cfg.search.folds or 1) / n_jobs + refit
    minutes = statistics.median(run.metrics["time"]["total_s"] for run in like) * n_fits / 60
    sizes = [
        sum(path.stat().st_size for path in run.path.rglob("*") if path.suffix in LIGHT)
        for run in like
    ]
    megabytes = n_trials * statistics.median(sizes) / 1e6
    return f"about {minutes:.1f} min, {megabytes:.1f} MB, judging by {len(like)} earlier runs"


def _kind(config: Mapping[str, Any]) -> tuple[Any, ...]:
    """What a run's time depends on most."""
    dataset = config.get("dataset") or {}
    targets = ((config.get(name) or {}).get("_target_") for name in KIND)
    return (*targets, dataset.get("name"), dataset.get("train_size"))


def _is_like(run: Run, kind: tuple[Any, ...]) -> bool:
    try:
        completed = run.state == "completed" and _kind(run.config) == kind
        return completed and "total_s" in run.metrics["time"]
    except UserError:  # a folder that somebody emptied says nothing of time
        return False
