"""What a person may set of a search, checked before anything starts."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import partial
from math import isfinite
from typing import Any, Literal

from hydra.utils import get_method
from omegaconf import OmegaConf

from hydra_optuna_search.errors import SearchError
from hydra_plugins.hydra_optuna_search.config import OptunaSearch

DIRECTIONS = ("minimize", "maximize")
PRUNERS = ("none", "median", "hyperband", "wilcoxon")
FUNCTIONS = ("custom_search_space", "report", "estimate")


@dataclass
class Settings(OptunaSearch):
    """The keys of `hydra.sweeper` as plain values."""

    directions: tuple[Literal["minimize", "maximize"], ...] = ()
    metrics: tuple[str, ...] = ()

    @classmethod
    def checked(cls, raw: Mapping[str, Any]) -> "Settings":
        """Make plain values of what Hydra hands over; SearchError for one out of range."""
        if unknown := set(raw) - {field.name for field in fields(OptunaSearch)}:
            raise SearchError(
                f"hydra.sweeper.{min(unknown)}: there is no such key "
                "(hydra.sweeper.params holds what is searched)"
            )
        plain: dict[str, Any] = {
            key: OmegaConf.to_container(value, resolve=True)
            if OmegaConf.is_config(value)
            else value
            for key, value in raw.items()
        }
        settings = cls(**plain)
        settings.spaces = _several(settings.spaces)
        settings.directions = tuple(
            getattr(item, "name", item) for item in _several(settings.direction)
        )
        n_values = len(settings.directions)
        settings.metrics = _several(settings.metric) or (
            ("value",) if n_values == 1 else tuple(f"value_{i}" for i in range(n_values))
        )
        settings._check()
        return settings

    def _check(self) -> None:
        for key in FUNCTIONS:
            self.function(key)
        if not all(isinstance(group, str) for group in self.spaces):
            raise SearchError(
                f"spaces={list(self.spaces)}: must be names of groups, such as [model, features]"
            )
        if set(self.directions) - set(DIRECTIONS) or not self.directions:
            raise SearchError(
                f"direction={', '.join(map(str, self.directions))}: "
                "must be minimize or maximize, or a list"
            )
        if len(self.metrics) != len(self.directions):
            raise SearchError(
                f"{len(self.metrics)} metrics, but {len(self.directions)} directions: each needs "
                "one"
            )
        _whole("n_trials", self.n_trials, optional=self.grid)
        _whole("n_jobs", self.n_jobs)
        if self.pruner not in PRUNERS:
            raise SearchError(f"pruner={self.pruner}: must be one of {', '.join(PRUNERS)}")
        if self.pruner != "none" and len(self.directions) > 1:
            raise SearchError(
                f"pruner={self.pruner}: a trial with several objectives cannot be pruned; "
                "set pruner=none"
            )
        if not _number(self.max_failure_rate) or not 0 <= self.max_failure_rate <= 1:
            raise SearchError(f"max_failure_rate={self.max_failure_rate}: must be from 0 to 1")
        if self.timeout is not None and (not _number(self.timeout) or self.timeout <= 0):
            raise SearchError(f"timeout={self.timeout}: must be null or seconds, more than 0")

    def function(self, key: str) -> Callable[..., Any] | None:
        """The function of the application that a key names, as module.function."""
        name = getattr(self, key)
        try:
            return None if name is None else get_method(name)
        except (ImportError, ValueError) as error:  # Hydra says it in several lines
            raise SearchError(
                f"{key}={name}: there is no such function (module.function)"
            ) from error

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


def _several(value: Any) -> tuple[Any, ...]:
    if value is None:
        return ()
    return tuple(value) if isinstance(value, Sequence) and not isinstance(value, str) else (value,)


def _number(value: Any) -> bool:
    return type(value) in (int, float) and isfinite(value)


def _whole(key: str, value: Any, optional: bool = False) -> None:
    if not (optional and value is None) and (type(value) is not int or value < 1):
        raise SearchError(f"{key}={value}: must be a whole number, 1 or more")
