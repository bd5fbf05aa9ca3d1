"""What a person may set of a search, checked before anything starts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from enum import Enum
from functools import partial
from math import isfinite
from typing import Any, Literal

from omegaconf import OmegaConf

from mnist_exp.errors import UserError

DIRECTIONS = ("minimize", "maximize")
PRUNERS = ("none", "median", "hyperband", "wilcoxon")


@dataclass(frozen=True)
class Settings:
    """The keys of `hydra.sweeper`, as plain values; the plugin's config.py says what each means."""

    sampler: Any
    directions: tuple[Literal["minimize", "maximize"], ...]
    metrics: tuple[str, ...]
    storage: Any
    study_name: str | None
    n_trials: int | None
    n_jobs: int
    max_failure_rate: float
    params: Mapping[str, Any]
    custom_search_space: str | None
    timeout: float | None
    pruner: str
    default_first: bool
    typed: bool
    spaces: tuple[str, ...]
    report: bool
    refit: bool
    only_trials: tuple[str, ...]
    not_repeated: tuple[str, ...]
    not_compared: tuple[str, ...]
    plan: bool

    @classmethod
    def checked(cls, raw: Mapping[str, Any]) -> "Settings":
        """Make plain values of what Hydra hands over; raises UserError for one out of range."""
        plain = {key: _plain(value) for key, value in raw.items()}
        directions = tuple(getattr(item, "name", item) for item in _several(plain.pop("direction")))
        named = _several(plain.pop("metric"))
        plain["metrics"] = named or tuple(
            f"value_{i}" if len(directions) > 1 else "value" for i in range(len(directions))
        )
        plain |= {
            key: _several(plain[key])
            for key in ("spaces", "only_trials", "not_repeated", "not_compared")
        }
        plain["params"] = plain["params"] or {}
        if unknown := set(plain) - {field.name for field in fields(cls)}:
            raise UserError(
                f"hydra.sweeper.{min(unknown)}: there is no such key (hydra.sweeper.params holds what is searched)"
            )
        if not all(isinstance(group, str) for group in plain["spaces"]):
            raise UserError(
                f"spaces={list(plain['spaces'])}: must be names of groups, such as [model, features]"
            )
        settings = cls(directions=directions, **plain)
        settings._check()
        return settings

    def _check(self) -> None:
        if set(self.directions) - set(DIRECTIONS) or not self.directions:
            raise UserError(
                f"direction={', '.join(map(str, self.directions))}: must be minimize or maximize, or a list"
            )
        if len(self.metrics) != len(self.directions):
            raise UserError(
                f"{len(self.metrics)} metrics, but {len(self.directions)} directions: each needs one"
            )
        _whole("n_trials", self.n_trials, optional=self.grid)
        _whole("n_jobs", self.n_jobs)
        if self.pruner not in PRUNERS:
            raise UserError(f"pruner={self.pruner}: must be one of {', '.join(PRUNERS)}")
        if self.pruner != "none" and len(self.directions) > 1:
            raise UserError(
                f"pruner={self.pruner}: a trial with several objectives cannot be pruned; set pruner=none"
            )
        if not _number(self.max_failure_rate) or not 0 <= self.max_failure_rate <= 1:
            raise UserError(f"max_failure_rate={self.max_failure_rate}: must be from 0 to 1")
        if self.timeout is not None and (not _number(self.timeout) or self.timeout <= 0):
            raise UserError(f"timeout={self.timeout}: must be null or seconds, more than 0")

    @property
    def grid(self) -> bool:
        """Whether every combination is wanted rather than samples."""
        return self.kind == "GridSampler"

    @property
    def kind(self) -> str:
        """The name of the sampler's class."""
        return (
            getattr(self.sampler.func, "__name__", "") if isinstance(self.sampler, partial) else ""
        )


def _plain(value: Any) -> Any:
    if OmegaConf.is_config(value):
        return OmegaConf.to_container(value, resolve=True)
    return value


def _several(value: Any) -> tuple[Any, ...]:
    if value is None:
        return ()
    return tuple(value) if isinstance(value, Sequence) and not isinstance(value, str) else (value,)


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool | Enum) and isfinite(value)


def _whole(key: str, value: Any, optional: bool = False) -> None:
    if not (optional and value is None) and (type(value) is not int or value < 1):
        raise UserError(f"{key}={value}: must be a whole number, 1 or more")
