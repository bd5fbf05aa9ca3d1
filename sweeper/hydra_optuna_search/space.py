"""Hydra's sweeps (`choice`, `range`, `interval`) as Optuna's distributions, and values as words."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from fractions import Fraction
from functools import cached_property
from itertools import islice
from math import ceil, isfinite, ulp
from typing import Any

from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import (
    IntervalSweep,
    Override,
    Quote,
    QuotedString,
    RangeSweep,
    Transformer,
)
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
    check_distribution_compatibility,
)
from optuna.trial import Trial

from hydra_optuna_search.errors import SearchError

ENUMERATED = 10_000  # values of a range of floats that Hydra is asked for, one by one
LARGEST_GRID = 10**6
_ABSENT = object()


@dataclass(frozen=True)
class Choice:
    """One of a categorical's values, in its three forms."""

    value: Any  # as Optuna stores it
    element: Any  # as a configuration holds it
    word: str  # as a command line spells it


@dataclass(frozen=True)
class Parameter:
    """A key and the values that a search may give it."""

    key: str  # as an override spells it, with + and @package where there is one
    text: str  # the sweep, as somebody wrote it
    distribution: CategoricalDistribution | IntDistribution | FloatDistribution
    choices: Sequence[Choice] = ()
    floats: RangeSweep | None = None  # Hydra's own numbers, where a range is not of whole ones
    branch: str = ""  # where the key has other values there than in another branch

    @property
    def name(self) -> str:
        """What the study calls it: under one name it takes one kind of values only."""
        return f"{self.key} ({self.branch})" if self.branch else self.key

    def suggest(self, trial: Trial) -> Any:
        """Let the study's sampler choose."""
        d = self.distribution
        if isinstance(d, CategoricalDistribution):
            return trial.suggest_categorical(self.name, d.choices)
        if isinstance(d, IntDistribution):
            return trial.suggest_int(self.name, d.low, d.high, step=d.step, log=d.log)
        return trial.suggest_float(self.name, d.low, d.high, step=d.step, log=d.log)

    def word(self, value: Any) -> str:
        """The value as an override, quoted where it has to be."""
        for choice in self.choices:
            if type(choice.value) is type(value) and choice.value == value:
                return f"{self.key}={choice.word}"
        return f"{self.key}={self.given(value)}"

    def given(self, value: Any) -> Any:
        """The value as a job gets it: for a range of floats the number that Hydra makes."""
        if self.floats is None or not isinstance(self.distribution, FloatDistribution):
            return value
        d = self.distribution
        position = round((value - d.low) / (d.step or 1))
        if self.floats.step < 0:
            position = round((d.high - value) / (d.step or 1))
        if position < ENUMERATED:
            return next(islice(self.floats.range(), position, None))
        return float(Decimal(self.floats.start or 0) + position * Decimal(self.floats.step))

    def stored(self, element: Any) -> Any:
        """A configuration's value as Optuna stores it, or _ABSENT where it lies outside."""
        is_bool = isinstance(element, bool)
        for choice in self.choices:
            if choice.element == element and isinstance(choice.element, bool) == is_bool:
                return choice.value
        if self.choices or is_bool or not isinstance(element, int | float):
            return _ABSENT
        inside = self.distribution._contains(float(element))
        return element if inside else _ABSENT

    def values(self) -> list[Any]:
        """All values, for a grid; SearchError for an interval, or more than a million."""
        d = self.distribution
        if isinstance(d, CategoricalDistribution):
            return list(d.choices)
        if "interval" in self.text:
            raise SearchError(
                f"{self.key}={self.text}: a grid needs values, not an interval; give some on "
                f"the command line, such as {self.key}=choice(...) or {self.key}=range(...), "
                "or take another search"
            )
        low, high, step = (Decimal(str(number)) for number in (d.low, d.high, d.step))
        if (high - low) / step >= LARGEST_GRID:
            raise SearchError(f"{self.key}={self.text}: the grid has more than a million points")
        points = (low + i * step for i in range(int((high - low) / step) + 1))
        return list(map(int if isinstance(d, IntDistribution) else float, points))


def parse(
    words: Sequence[str],
    loader: ConfigLoader | None,
    default: Callable[[str], Any] = lambda key: _ABSENT,
) -> tuple[dict[str, Parameter], dict[str, str]]:
    """Split overrides into parameters to search and fixed words, by key; a later word wins.

    `default` gives the configuration's value of a key: where that is a whole number, an interval
    with whole bounds means whole numbers.
    """
    searched: dict[str, Parameter] = {}
    fixed: dict[str, str] = {}
    for override in OverridesParser.create(config_loader=loader).parse_overrides(list(words)):
        key = override.get_key_element()
        searched.pop(key, None)
        fixed.pop(key, None)
        if override.is_sweep_override():
            searched[key] = parameter(override, whole=type(default(key)) is int)
        else:
            fixed[key] = override.input_line or f"{key}={override.get_value_element_as_str()}"
    return searched, fixed


def parameter(override: Override, whole: bool = False) -> Parameter:
    """Turn one sweep into a parameter; `whole`: whole bounds of an interval mean whole numbers."""
    key, text = override.get_key_element(), (override.input_line or "").partition("=")[2]
    sweep = override.value()
    try:
        if isinstance(sweep, IntervalSweep):
            return Parameter(key, text, _interval(sweep, whole))
        if isinstance(sweep, RangeSweep):
            numbers = _range(sweep)
            # Hydra 1.4 casts the numbers of a range, as in int(range(0,5,1.5)), one by one.
            if numbers and not sweep.shuffle and not getattr(sweep, "transformers", ()):
                floats = sweep if isinstance(numbers, FloatDistribution) else None
                return Parameter(key, text, numbers, floats=floats)
        choices = [_choice(element) for element in override.sweep_iterator()]
        distribution = CategoricalDistribution([choice.value for choice in choices])
        return Parameter(key, text, distribution, choices)
    except ValueError as error:
        raise SearchError(f"{key}={text}: {error}") from error


def _choice(element: Any) -> Choice:
    word, plain = Transformer.str(element), _plain(element)
    try:
        OverridesParser.create().parse_override(f"key={word}")
    except HydraException as error:
        raise ValueError(
            f"Hydra cannot give {plain!r} to a job; in quotes and outside of choice() it may"
        ) from error
    return Choice(word if isinstance(plain, list | dict) else plain, plain, word)


def _plain(element: Any) -> Any:
    if isinstance(element, QuotedString):
        return element.text
    if isinstance(element, list):
        return [_plain(item) for item in element]
    if isinstance(element, dict):
        return {_plain(key): _plain(value) for key, value in element.items()}
    return element


def _range(sweep: RangeSweep) -> IntDistribution | FloatDistribution | None:
    """The stop is not a value of it, as in Hydra (and hydra-optuna-sweeper from 1.4 on).

    None if its step is too fine for such large floats: Optuna would change the bounds.
    """
    start, stop, step = sweep.start or 0, sweep.stop or 0, sweep.step
    if step == 0 or not all(map(isfinite, (start, stop, step))):
        raise ValueError("the step must not be 0, and all numbers must be finite")
    values = sweep.range()
    if isinstance(values, range):
        size = max(0, -(-(values.stop - values.start) // values.step))
    else:
        size = sum(1 for _ in islice(values, ENUMERATED))
        if size == ENUMERATED:
            size = ceil((Fraction(stop) - Fraction(start)) / Fraction(step))
    if not size:
        raise ValueError("there is no value in it")
    first = Decimal(str(start))
    low, high = sorted((first, first + (size - 1) * Decimal(str(step))))
    if isinstance(values, range):
        return IntDistribution(int(low), int(high), step=abs(values.step))
    if size < ENUMERATED and abs(step) < 4 * ulp(max(-low, high)):
        return None
    return FloatDistribution(float(low), float(high), step=abs(step))


def sweep_of(node: Any) -> str:
    """A parameter as hydra-optuna-sweeper wrote it up to 1.1, as a sweep."""
    if not isinstance(node, dict):
        raise SearchError(
            f"hydra.sweeper.search_space: {node} is one value; write sweeps in hydra.sweeper.params"
        )
    kind = getattr(node.get("type"), "name", node.get("type"))
    if kind == "categorical":
        choices = [
            QuotedString(choice, Quote.single).with_quotes()
            if isinstance(choice, str)
            else Transformer.str(choice)
            for choice in node["choices"]
        ]
        return f"choice({','.join(choices)})"
    cast = {"int": int, "float": float}.get(kind or "")
    low, high, step = (node.get(key) for key in ("low", "high", "step"))
    if cast is None or low is None or high is None:
        raise SearchError(f"search_space: {dict(node)} is not a categorical, int or float")
    if step is not None and not node.get("log"):
        first, width = Decimal(str(low)), Decimal(str(step))
        stop = first + (Decimal(str(high)) - first) // width * width + width  # is left out
        return f"range({cast(low)},{cast(stop)},{cast(step)})"
    interval = f"{kind}(interval({cast(low)},{cast(high)}))"
    return f"tag(log,{interval})" if node.get("log") else interval


def _interval(sweep: IntervalSweep, whole: bool) -> IntDistribution | FloatDistribution:
    low, high, log = sweep.start, sweep.end, "log" in sweep.tags
    if low is None or high is None or not (isfinite(low) and isfinite(high)):
        raise ValueError("both bounds are needed, and must be finite")
    if type(low) is type(high) is int or (whole and low == int(low) and high == int(high)):
        return IntDistribution(int(low), int(high), log=log)
    return FloatDistribution(low, high, log=log)


class Space:
    """What a search tries: groups, then what the configuration composed of them says of itself.

    A configuration group's YAML may hold a mapping `space`, from its own keys to sweeps; the groups
    in `groups`, and those that are swept, are searched that way. Sweeps and fixed words of the
    command line come before it.
    """

    def __init__(
        self,
        words: Sequence[str],
        loader: ConfigLoader,
        compose: Callable[[list[str]], DictConfig],
        groups: Sequence[str] = (),
        typed: bool = False,
    ) -> None:
        self._loader, self._compose, self._typed = loader, compose, typed
        swept, self.fixed = parse(words, loader)
        for key, parameter in swept.items():
            if "space" in key.split("."):
                plain = ".".join(part for part in key.split(".") if part != "space")
                raise SearchError(
                    f"{key}={parameter.text}: to search other values, write "
                    f"{plain}={parameter.text}"
                )
        self.choices = {
            key: parameter
            for key, parameter in swept.items()
            if not key.startswith("~") and loader.get_group_options(_group(key))
        }
        self._given = [
            f"{key}={parameter.text}" for key, parameter in swept.items() if key not in self.choices
        ]
        self._groups = groups
        self._searched_groups = sorted({*groups, *map(_group, self.choices)}) if groups else []
        self._known: dict[tuple[str, ...], tuple[dict[str, Parameter], DictConfig]] = {}

    def parameters(self, choices: Mapping[str, Any]) -> dict[str, Parameter]:
        """What these choices of groups leave to search; SearchError for a key that is not there."""
        parameters = self._at(choices)[0]
        return {
            key: replace(parameter, branch=self._branch(key, choices))
            if key in self._clashing
            else parameter
            for key, parameter in parameters.items()
        }

    @cached_property
    def _clashing(self) -> set[str]:
        """Keys that have another kind of values, or other choices, in another branch."""
        first: dict[str, BaseDistribution] = {}
        clashing = set()
        for choices in self.branches():
            for key, parameter in self._at(choices)[0].items():
                try:
                    check_distribution_compatibility(
                        first.setdefault(key, parameter.distribution), parameter.distribution
                    )
                except ValueError:
                    clashing.add(key)
        return clashing

    def _branch(self, key: str, choices: Mapping[str, Any]) -> str:
        """The choice of the group that a key belongs to; all choices if it belongs to none."""
        words = {group: f"{group}={value}" for group, value in choices.items()}
        belonging = [words[group] for group in words if key.startswith(f"{_group(group)}.")]
        return " ".join(belonging or words.values())

    def by_key(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """A trial's parameters under the keys of the configuration."""
        parameters = self.parameters({key: params[key] for key in self.choices})
        keys = {parameter.name: key for key, parameter in parameters.items()}
        by_key = {keys.get(name, name): value for name, value in params.items()}
        return {
            key: parameters[key].given(value) if key in parameters else value
            for key, value in by_key.items()
        }

    def default(self, choices: Mapping[str, Any]) -> dict[str, Any]:
        """The composed configuration's values of the parameters, those that the space contains."""
        values = {
            parameter.name: parameter.stored(_lookup(self.config(choices), key))
            for key, parameter in self.parameters(choices).items()
        }
        inside = {name: value for name, value in values.items() if value is not _ABSENT}
        return {**choices, **inside}

    def check_groups(self) -> None:
        """SearchError for a group asked for that no branch of the configuration has."""
        for group in self._groups:
            path = group.replace("/", ".")
            if not any(
                isinstance(_lookup(self.config(choices), path), dict) for choices in self.branches()
            ):
                raise SearchError(
                    f"spaces: there is no group at {path} in the configuration, so it has no space"
                )

    def config(self, choices: Mapping[str, Any]) -> DictConfig:
        """The composed configuration of these choices."""
        return self._at(choices)[1]

    def branches(self) -> Iterator[dict[str, Any]]:
        """The first choice of every group, then each other choice of one group at a time."""
        first = {key: parameter.choices[0].value for key, parameter in self.choices.items()}
        yield first
        for key, parameter in self.choices.items():
            yield from ({**first, key: choice.value} for choice in parameter.choices[1:])

    def _at(self, choices: Mapping[str, Any]) -> tuple[dict[str, Parameter], DictConfig]:
        words = tuple(self.choices[key].word(value) for key, value in choices.items())
        if words not in self._known:
            cfg = self._compose([*self.fixed.values(), *words])
            self._known[words] = (self._read(cfg, " ".join(words)), cfg)
        return self._known[words]

    def _read(self, cfg: DictConfig, branch: str) -> dict[str, Parameter]:
        def default(key: str) -> Any:
            return _lookup(cfg, key) if self._typed else _ABSENT

        in_yaml: dict[str, str] = {}
        for group in self._searched_groups:
            path = group.replace("/", ".")
            if isinstance(node := _lookup(cfg, path), dict):
                in_yaml |= _spaces(path, node)
        words = [f"{key}={text}" for key, text in in_yaml.items()]
        searched, stated = parse([*words, *self._given], self._loader, default)
        if stated:
            raise SearchError(
                f"space: {next(iter(stated.values()))} is one value; "
                "write choice(...) or interval(...)"
            )
        searched = {key: searched[key] for key in searched if key not in self.fixed}
        for key in searched:
            if not key.startswith(("+", "~")) and _lookup(cfg, key) is _ABSENT:
                source = "its space names it" if key in in_yaml else "it is to be searched"
                raise SearchError(_unknown(cfg, key, branch, source))
        return searched


def _group(key: str) -> str:
    """The configuration group that an override's key names."""
    return key.lstrip("+").partition("@")[0]


def _lookup(cfg: DictConfig, key: str) -> Any:
    node = OmegaConf.select(cfg, key.lstrip("+"), default=_ABSENT)
    return OmegaConf.to_container(node, resolve=True) if OmegaConf.is_config(node) else node


def _spaces(path: str, node: Mapping[str, Any]) -> dict[str, str]:
    """Every `space` at or below a node, also in parts of a chain: full key to sweep."""
    spaces = {f"{path}.{key}": str(value) for key, value in (node.get("space") or {}).items()}
    for key, value in node.items():
        if isinstance(value, dict) and key != "space":
            spaces |= _spaces(f"{path}.{key}", value)
    return spaces


def _unknown(cfg: DictConfig, key: str, branch: str, source: str) -> str:
    group = key.rpartition(".")[0]
    node = _lookup(cfg, group) if group else dict(cfg)
    keys = (
        [str(name) for name in node if name not in ("space", "_target_")]
        if isinstance(node, dict)
        else []
    )
    where = f" with {branch}" if branch else ""
    ways = f"\nKeys of {group or 'the configuration'}{where}: {', '.join(keys)}. " if keys else "\n"
    return (
        f"{key}: {source}, but there is no such key{where}.{ways}"
        f"Anything else the object takes: +{key}=..."
    )
