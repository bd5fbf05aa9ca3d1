"""Accuracy along one numeric key of the configuration, and whether more data would help."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mnist_exp.comparison._candidates import RunPredictions
from mnist_exp.comparison._changes import Config, changed_keys, describe_changes, recipe
from mnist_exp.errors import UserError
from mnist_exp.evaluation import (
    FEWEST_SIZES,
    LEVEL,
    Interval,
    difference_interval,
    fit_power_law,
    mean_interval,
    power_law,
    wilson,
)

TRAIN_SIZE = "dataset.train_size"
SEED = "seed"
SAMPLES = 500  # of the bootstrap


@dataclass(frozen=True)
class CurvePoint:
    """What one value of the key gives; accuracies are shares, gains points."""

    value: float
    runs: list[str]
    accuracy: float  # mean over seeds
    interval: Interval  # Student's t over seeds; Wilson's for a single run
    gain: float | None  # over the value before
    gain_interval: Interval | None  # paired by seed, or image by image with a single seed


@dataclass(frozen=True)
class PowerLaw:
    """error = floor + factor * n ** -exponent, and the accuracy it promises for twice the data."""

    floor: float
    factor: float
    exponent: float
    exponent_interval: Interval
    next_size: int
    next_accuracy: float
    next_interval: Interval


@dataclass(frozen=True)
class CurveLine:
    """One recipe along the key."""

    recipe: str
    points: list[CurvePoint]
    law: PowerLaw | None  # of `dataset.train_size` with at least 4 sizes


@dataclass(frozen=True)
class Curve:
    """Recipes along one numeric key, all on the same n images."""

    key: str
    split: str
    n: int
    lines: list[CurveLine]
    skipped: list[tuple[str, str]]  # a run and why it is not on the curve

    @property
    def by_decades(self) -> bool:
        """Whether a logarithmic axis shows the values better."""
        values = [point.value for line in self.lines for point in line.points]
        return min(values) > 0 and max(values) >= 10 * min(values)


def draw_curve(
    runs: Sequence[RunPredictions], skipped: list[tuple[str, str]], key: str, split: str
) -> Curve:
    """Sort runs on the same images into lines along `key`; UserError if no line has two values."""
    if key == SEED:
        raise UserError("--curve seed: runs over seeds are averaged; name another numeric key")
    by_recipe: dict[frozenset[tuple[str, str]], list[RunPredictions]] = defaultdict(list)
    for run in runs:
        if _value(run, key) is None:
            skipped.append((run.name, f"its configuration has no number as {key}"))
        else:
            by_recipe[recipe(_without(run.config, key), SEED)].append(run)
    lines = [_by_value(members, key) for members in by_recipe.values()]
    lines = [by_value for by_value in lines if len(by_value) > 1]
    if not lines:
        raise UserError(f"--curve {key}: no recipe has runs with two values of it")
    configs = [_without(next(iter(line.values()))[0].config, key) for line in lines]
    return Curve(
        key=key,
        split=split,
        n=runs[0].n,
        lines=[
            CurveLine(
                recipe=_name(config, configs),
                points=_points(line),
                law=_law(line) if key == TRAIN_SIZE and len(line) >= FEWEST_SIZES else None,
            )
            for line, config in zip(lines, configs, strict=True)
        ],
        skipped=skipped,
    )


def _value(run: RunPredictions, key: str) -> float | None:
    """The key's value; all training images are as many as there were."""
    config = run.config or {}
    value = config.get(key)
    if key == TRAIN_SIZE and key in config and value is None:
        value = run.n_train
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def _without(config: Config | None, key: str) -> Config:
    return {name: value for name, value in (config or {}).items() if name not in (key, SEED)}


def _name(config: Config, configs: Sequence[Config]) -> str:
    """What makes this recipe another than the others on the curve."""
    keys = changed_keys(configs)
    changed = {key: config[key] for key in keys if key in config}
    return describe_changes({}, changed) if changed else "accuracy"


def _by_value(runs: Sequence[RunPredictions], key: str) -> dict[float, list[RunPredictions]]:
    """The runs at each value, rising; a command given twice counts once."""
    by_value: dict[float, dict[Any, RunPredictions]] = defaultdict(dict)
    for run in runs:
        by_value[_value(run, key) or 0.0].setdefault((run.config or {}).get(SEED), run)
    return {value: list(by_value[value].values()) for value in sorted(by_value)}


def _points(line: Mapping[float, Sequence[RunPredictions]]) -> list[CurvePoint]:
    points: list[CurvePoint] = []
    before: Mapping[Any, RunPredictions] = {}
    for value, runs in line.items():
        accuracies = np.array([run.accuracy for run in runs])
        by_seed = {(run.config or {}).get(SEED): run for run in runs}
        gain, gain_interval = _gain(
            [(before[seed], run) for seed, run in by_seed.items() if seed in before]
        )
        points.append(
            CurvePoint(
                value=value,
                runs=[run.name for run in runs],
                accuracy=float(accuracies.mean()),
                interval=mean_interval(accuracies, step=1 / runs[0].n)
                if len(runs) > 1
                else wilson(runs[0].hits, runs[0].n),
                gain=gain,
                gain_interval=gain_interval,
            )
        )
        before = by_seed
    return points


def _gain(
    pairs: Sequence[tuple[RunPredictions, RunPredictions]],
) -> tuple[float | None, Interval | None]:
    """Points won from the first to the second of each pair, one pair for each seed."""
    if not pairs:
        return None, None
    n = pairs[0][0].n
    gains = np.array([100 * (after.hits - before.hits) / n for before, after in pairs])
    if len(pairs) > 1:
        return float(gains.mean()), mean_interval(gains, step=100 / n)
    ((before, after),) = pairs
    fixed, broke = (
        int(np.bitwise_count(bits).sum())
        for bits in (~before.correct & after.correct, before.correct & ~after.correct)
    )
    interval = difference_interval(fixed, broke, n)
    low, high = 100 * interval.low, 100 * interval.high
    return float(gains[0]), Interval(low, high, interval.level, interval.method)


def _law(line: Mapping[float, Sequence[RunPredictions]]) -> PowerLaw:
    """The fitted law; its intervals come from drawing images and seeds anew, the same everywhere.

    Where no seed was run at every size, only images are drawn.
    """
    sizes = np.array(list(line))
    wrong = _wrong(line)  # (sizes, seeds, images)
    n = wrong.shape[2]
    generator = np.random.default_rng(0)
    images = generator.poisson(1, (SAMPLES, n)).astype(np.float32)
    images /= images.sum(axis=1, keepdims=True)
    seeds = generator.multinomial(
        wrong.shape[1], np.full(wrong.shape[1], 1 / wrong.shape[1]), SAMPLES
    )
    errors = np.einsum("bn,skn->bsk", images, wrong, optimize=True)
    drawn = np.einsum("bsk,bk->bs", errors, seeds) / wrong.shape[1]
    least = 0.5 / n  # an error of 0 has no logarithm
    law = fit_power_law(sizes, np.maximum(wrong.mean(axis=(1, 2)), least))
    laws = fit_power_law(sizes, np.maximum(drawn, least))
    floor, factor, exponent = law.tolist()
    next_size = int(2 * sizes[-1])
    return PowerLaw(
        floor=floor,
        factor=factor,
        exponent=exponent,
        exponent_interval=_middle(laws[:, 2]),
        next_size=next_size,
        next_accuracy=1 - float(power_law(law, next_size)),
        next_interval=_middle(1 - power_law(laws, next_size)),
    )


def _wrong(line: Mapping[float, Sequence[RunPredictions]]) -> NDArray[np.float32]:
    """Which images each run gets wrong, by size and seed; a mean where sizes share no seed."""
    by_seed = [{(run.config or {}).get(SEED): run for run in runs} for runs in line.values()]
    shared = [seed for seed in by_seed[0] if all(seed in runs for runs in by_seed)]
    if not shared:
        means = [np.mean([_wrong_images(run) for run in runs], axis=0) for runs in line.values()]
        return np.array(means, np.float32)[:, None]
    return np.array([[_wrong_images(seeds[seed]) for seed in shared] for seeds in by_seed])


def _wrong_images(run: RunPredictions) -> NDArray[np.float32]:
    return 1 - np.unpackbits(run.correct, count=run.n).astype(np.float32)


def _middle(values: NDArray[np.floating]) -> Interval:
    low, high = np.quantile(values, [(1 - LEVEL) / 2, (1 + LEVEL) / 2]).tolist()
    return Interval(low, high, LEVEL, "bootstrap")
