"""One trial: fit, score on validation data, leave a light run folder.

The test set is not even loaded.
"""

from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, OmegaConf

from mnist_exp.errors import UserError
from mnist_exp.runs import Run

if TYPE_CHECKING:
    from joblib import Memory

    from mnist_exp.config import Experiment
    from mnist_exp.data import Dataset
    from mnist_exp.experiment import Interim, Outcome
    from mnist_exp.process import Stages

VALIDATION_SHARE = 6  # a search sets a sixth of the training data aside
TIMES = (
    "load_s",
    "augment_s",
    "features_s",
    "fit_s",
    "predict_s",
    "total_s",
    "predict_us_per_image",
)
DIFFERENT_IMAGES = tuple(f"dataset.{size}" for size in ("val_size", "test_size", "split_seed"))
SMALLER_IS_BETTER = ("log_loss", "ece", "bytes", *TIMES)


def metrics_of(cfg: DictConfig) -> list[str]:
    """The metrics that a search is for; UserError for one that does not exist or looks at the test
    set.
    """
    from mnist_exp.evaluation import Metrics

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
    """Settle what a search leaves open, in the composed configuration; returns the words to add to
    every trial's.

    The direction follows from the metric, and validation data are a sixth of the training data.
    """
    names = metrics_of(config)
    if config.search.direction is None:
        found = [
            "minimize" if name.rpartition(".")[2] in SMALLER_IS_BETTER else "maximize"
            for name in names
        ]
        config.search.direction = found if len(found) > 1 else found[0]
    folds = config.search.folds
    if folds is not None and (type(folds) is not int or folds < 2):
        raise UserError(f"search.folds={folds}: must be null or a whole number, 2 or more")
    if config.search.keep not in ("light", "all"):
        raise UserError(f"search.keep={config.search.keep}: must be light or all")
    for override in OverridesParser.create().parse_overrides(list(config.hydra.overrides.task)):
        key = override.get_key_element().lstrip("+")
        if override.is_sweep_override() and key in ("dataset", *DIFFERENT_IMAGES):
            raise UserError(
                f"{key}: a search over it would compare scores on different images; search each on its own"
            )
    _check_pruner(config.search.pruner, names, folds)
    if folds is not None or config.dataset.val_size is not None:
        return []
    return [f"dataset.val_size={_sixth(config)}"]


def _check_pruner(pruner: str, names: Sequence[str], folds: int | None) -> None:
    if pruner == "wilcoxon" and (folds is None or folds < 5):
        raise UserError(
            "search.pruner=wilcoxon compares fold with fold, and fewer than 5 cannot tell: set search.folds=5, "
            "or take median or hyperband"
        )
    if pruner != "none" and not names[0].startswith("val."):
        raise UserError(
            f"search.pruner={pruner}: {names[0]} is known at the end of a trial only; set pruner=none"
        )


def _sixth(config: DictConfig) -> int:
    from mnist_exp.config import build

    experiment = build(config)
    size = experiment.sizes["train_size"]
    if type(size) is not int:
        size = len(experiment.source.part("train", experiment.sizes["split_seed"])[1])
    return max(1, size // VALIDATION_SHARE)


def run_trial(cfg: DictConfig, run: Run, started: float) -> float | list[float]:
    """Fit and score one configuration of a search; returns the value of its metric, or of each."""
    from mnist_exp.config import build
    from mnist_exp.process import Stages
    from mnist_exp.report.record import record, record_trial

    names = metrics_of(cfg)
    experiment = build(cfg)
    stages = Stages(bars=False)
    with stages("load", cfg.dataset.name):
        dataset = experiment.load(with_test=False)
    memory = experiment.memory()
    if cfg.search.folds is None:
        outcome = _validate(experiment, dataset, names[0], stages, memory)
    else:
        outcome = _cross_validate(experiment, dataset, names[0], cfg.search.folds, stages, memory)
    if cfg.search.keep == "all" or "model.bytes" in names:
        seeds = {"seed": experiment.seed, "split_seed": experiment.sizes["split_seed"]}
        metrics = record(run, dataset, outcome, stages.seconds, seeds, started, Path(cfg.outputs))
    else:
        metrics = record_trial(run, outcome, stages.seconds, started)
    values = [_pick(metrics, name) for name in names]
    return values if len(values) > 1 else values[0]


def _pick(metrics: Mapping[str, Any], name: str) -> float:
    group, _, key = name.partition(".")
    if key not in metrics[group]:
        raise UserError(
            f"{name}: this model has none (it gives no probabilities); it has {', '.join(metrics[group])}"
        )
    return float(metrics[group][key])


def _validate(
    experiment: "Experiment", dataset: "Dataset", name: str, stages: "Stages", memory: "Memory"
) -> "Outcome":
    from hydra_optuna_search.pruning import current_reporter

    reporter = current_reporter()
    if reporter is None:
        return experiment.run(dataset, stages, memory, None)

    def tell(interim: "Interim") -> None:
        value = _pick({"val": interim.metrics}, name)
        reporter.stage(interim.stage, interim.share, value, interim.seconds)

    return experiment.run(dataset, stages, memory, tell)


def _cross_validate(
    experiment: "Experiment",
    dataset: "Dataset",
    name: str,
    folds: int,
    stages: "Stages",
    memory: "Memory",
) -> "Outcome":
    """Fit once for each fold on the others; the outcome is of all training images, each predicted
    unseen.
    """
    from mnist_exp._folds_tmp import join_folds, split_folds
    from hydra_optuna_search.pruning import current_reporter

    reporter = current_reporter()
    outcomes, scores = [], []
    seconds: dict[str, float] = {}
    for fold in split_folds(dataset, folds, experiment.sizes["split_seed"]):
        outcomes.append(experiment.run(fold, stages, memory, None))
        seconds = {
            stage: seconds.get(stage, 0.0) + value
            for stage, value in stages.seconds.items()
            if stage != "load"
        }
        if reporter:
            scores.append(_pick(outcomes[-1].metrics, name))
            reporter.fold(scores, folds)
    stages.seconds |= seconds
    return join_folds(outcomes, dataset, experiment.seed)
