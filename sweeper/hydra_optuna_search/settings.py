"""What a person may set of a search, checked before anything starts."""

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from math import isfinite
from typing import Any, Literal

import numpy as np
from hydra.errors import InstantiationException
from hydra.utils import get_method, instantiate
from omegaconf import OmegaConf

from hydra_optuna_search.errors import SearchError
from hydra_optuna_search.space import sweep_of
from hydra_plugins.hydra_optuna_search.config import OptunaSearch

DIRECTIONS = {"minimize", "maximize"}
PRUNERS = ("none", "median", "hyperband", "wilcoxon")
DUPLICATES = ("run", "tell")
FUNCTIONS = ("custom_search_space", "report", "estimate")
MIGRATION = "docs/migration.md of hydra-optuna-search"


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
        if "hydra_optuna_sweeper" in str(raw):
            raise SearchError(
                "hydra.sweeper names a class of hydra-optuna-sweeper (hydra_plugins."
                f"hydra_optuna_sweeper...): leave that _target_ out, see {MIGRATION}"
            )
        plain: dict[str, Any] = {
            key: OmegaConf.to_container(value, resolve=True)
            if OmegaConf.is_config(value)
            else value
            for key, value in raw.items()
        }
        settings = cls(**plain)
        if (old := settings.search_space) is not None:
            nodes = old if isinstance(old, dict) else {"": old}
            params = {key: sweep_of(node) for key, node in nodes.items()}
            warnings.warn(
                "hydra.sweeper.search_space is hydra-optuna-sweeper's old name of params"
                + (", which are taken alone" if settings.params else f": see {MIGRATION}"),
                UserWarning,
                stacklevel=2,
            )
            settings.params = settings.params or params
        settings.params = settings.params or {}
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
        n_trials_wrong = not (self.grid and self.n_trials is None) and not _is_count(self.n_trials)
        n_values, rate = len(self.directions), self.max_failure_rate
        groups_wrong = not all(isinstance(group, str) for group in self.spaces)
        mistakes = {
            f"spaces={list(self.spaces)}: must be names of groups, such as "
            "[model, features]": groups_wrong,
            f"direction={', '.join(map(str, self.directions))}: must be minimize or maximize, "
            "or a list": not self.directions or not set(self.directions) <= DIRECTIONS,
            f"{len(self.metrics)} metrics, but {n_values} directions: each needs one": (
                len(self.metrics) != n_values
            ),
            f"n_trials={self.n_trials}: must be a whole number, 1 or more": n_trials_wrong,
            f"n_jobs={self.n_jobs}: must be a whole number, 1 or more": not _is_count(self.n_jobs),
            f"pruner={self.pruner}: must be one of {', '.join(PRUNERS)}": (
                self.pruner not in PRUNERS
            ),
            f"duplicates={self.duplicates}: must be one of {', '.join(DUPLICATES)}": (
                self.duplicates not in DUPLICATES
            ),
            f"sampler={self.sampler}: must have a _target_, such as "
            "optuna.samplers.TPESampler": not self.kind,
            "sampler=motpe: The 'motpe' sampler was removed in Optuna 4.0; take "
            "hydra/sweeper/sampler=tpe, which handles several objectives": (
                self.kind == "MOTPESampler"
            ),
            f"pruner={self.pruner}: a trial with several objectives cannot be pruned; "
            "set pruner=none": self.pruner != "none" and n_values > 1,
            f"max_failure_rate={rate}: must be from 0 to 1": not (
                _is_number(rate) and 0 <= rate <= 1
            ),
            f"timeout={self.timeout}: must be null or seconds, more than 0": not (
                self.timeout is None or (_is_number(self.timeout) and self.timeout > 0)
            ),
        }
        for message, is_wrong in mistakes.items():
            if is_wrong:
                raise SearchError(message)
        for key in FUNCTIONS:
            self.function(key)

    def function(self, key: str) -> Callable[..., Any] | None:
        """The function of the application that a key names, as module.function."""
        name = getattr(self, key)
        return None if name is None else _function(key, name)

    @property
    def grid(self) -> bool:
        """Whether every combination is wanted rather than samples."""
        return self.kind == "GridSampler"

    @property
    def kind(self) -> str:
        """The name of the sampler's class."""
        target = self.sampler.get("_target_") if isinstance(self.sampler, dict) else None
        return str(target or "").rpartition(".")[2]

    @cached_property
    def sampler_class(self) -> Callable[..., Any]:
        """What makes a sampler."""
        return _named("sampler", self.sampler["_target_"])

    @cached_property
    def sampler_keywords(self) -> dict[str, Any]:
        """The sampler's keywords, its parts made; null stands for Optuna's default."""
        keywords = {
            key: _made(value)
            for key, value in self.sampler.items()
            if value is not None and key not in ("_target_", "_partial_")
        }
        if isinstance(constraints := keywords.get("constraints_func"), str):
            keywords["constraints_func"] = _function("constraints_func", constraints)
        if points := keywords.get("reference_points"):
            keywords["reference_points"] = np.array(points)
        return keywords


def _made(node: Any) -> Any:
    """Make the objects that a configuration names by class and keywords."""
    if isinstance(node, list):
        return [_made(item) for item in node]
    if not isinstance(node, dict):
        return node
    keywords = {key: _made(value) for key, value in node.items() if key != "_target_"}
    return _named("_target_", node["_target_"])(**keywords) if "_target_" in node else keywords


def _named(key: str, name: str) -> Callable[..., Any]:
    try:
        return get_method(name)
    except (ImportError, ValueError) as error:  # Hydra says it in several lines
        raise SearchError(f"{key}={name}: there is no such function (module.function)") from error


def _function(key: str, name: str) -> Callable[..., Any]:
    """A function of the application, if Hydra's own lists of what may be called allow it."""
    with warnings.catch_warnings():  # Hydra 1.4 warns where an application has no such list
        warnings.filterwarnings("ignore", message=r"hydra.utils.instantiate\(\) resolved")
        try:
            function: Callable[..., Any] = instantiate({"_target_": name, "_partial_": True})
        except InstantiationException as error:
            reason = " ".join(str(error.__cause__ or error).split())
            raise SearchError(f"{key}={name}: must be module.function: {reason}") from error
    return function


def _several(value: Any) -> tuple[Any, ...]:
    if value is None:
        return ()
    return tuple(value) if isinstance(value, Sequence) and not isinstance(value, str) else (value,)


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and isfinite(value)


def _is_count(value: Any) -> bool:
    return type(value) is int and value >= 1
