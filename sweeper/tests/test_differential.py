"""Random lists of overrides give the jobs that Hydra's own sweeper gives, or both refuse them."""

import random
from functools import cache, partial

import pytest
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra._internal.hydra import Hydra
from hydra._internal.utils import create_config_search_path
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import QuotedString
from hydra.errors import HydraException
from hydra.types import RunMode

from hydra_optuna_search import SearchError
from hydra_optuna_search.space import Space
from hydra_optuna_search.task import combinations
from tests.conftest import APP

N_LISTS = 500
KEYS = ["x", "y", "z", "near", "+w", "kind", "log"]
TEXTS = ["a", "null", "true", "1", "-2.5", "1e-7", "'a b'", '"c,d"', "'1'", "x_y", "a.b", "''"]


def value(rng, depth=0):
    kind = rng.random()
    if depth < 2 and kind < 0.08:
        return f"[{','.join(value(rng, depth + 1) for _ in range(rng.randint(0, 3)))}]"
    if depth < 2 and kind < 0.16:
        pairs = (f"{key}:{value(rng, depth + 1)}" for key in rng.sample("abc", rng.randint(0, 2)))
        return f"{{{','.join(pairs)}}}"
    return rng.choice(TEXTS)


def numbers(rng):
    digits = rng.choice([0, 0, 1, 2])
    start, stop = (round(rng.uniform(-2, 4), digits) for _ in range(2))
    step = round(rng.choice([-1, 1, 1]) * rng.choice([0.25, 0.3, 0.5, 1, 1.5, 2]), digits or 1)
    if digits == 0:
        start, stop, step = int(start), int(stop), rng.choice([-2, -1, 1, 2, 3])
    return f"range({start},{stop},{step})"


def word(rng, key):
    if key == "kind":
        return f"kind={rng.choice(['a', 'b', 'a,b', 'choice(b,a)', 'glob(*)'])}"
    kind = rng.random()
    if kind < 0.25:
        return f"{key}={numbers(rng)}"
    if kind < 0.45:
        return f"{key}={','.join(value(rng) for _ in range(rng.randint(2, 3)))}"
    if kind < 0.65:
        return f"{key}=choice({','.join(value(rng) for _ in range(rng.randint(1, 3)))})"
    if kind < 0.7:
        return f"{key}=sort({','.join(map(str, rng.sample(range(9), 3)))},reverse=true)"
    if kind < 0.75:
        return f"{key}=int(range({rng.randint(0, 2)}.5,4.0))"
    return f"{key}={value(rng)}"


def plain(element):
    """A parsed value with its type, its quotes gone."""
    if isinstance(element, QuotedString):
        return ("str", element.text)
    if isinstance(element, list):
        return [plain(item) for item in element]
    if isinstance(element, dict):
        return {repr(plain(key)): plain(item) for key, item in element.items()}
    return (type(element).__name__, element)


def job(parser, words):
    """What a job's words mean, by key."""
    overrides = parser.parse_overrides(list(words))
    assert not any(override.is_sweep_override() for override in overrides)
    return repr(sorted((word.get_key_element(), repr(plain(word.value()))) for word in overrides))


def jobs_of_hydra(parser, words):
    return BasicSweeper.split_arguments(parser.parse_overrides(words), None)[0]


def jobs_of_ours(compose, loader, words):
    space = Space(words, loader, compose)
    for point in combinations(space):
        choices = {key: point[key] for key in space.choices}
        parameters = space.parameters(choices).values()
        yield [
            *space.fixed.values(),
            *(space.choices[key].word(value) for key, value in choices.items()),
            *(parameter.word(point[parameter.name]) for parameter in parameters),
        ]


@pytest.fixture(scope="module")
def loader():
    GlobalHydra.instance().clear()
    hydra = Hydra.create_main_hydra2("app", create_config_search_path(str(APP / "conf")))
    yield hydra.config_loader
    GlobalHydra.instance().clear()


def outcome(make, parser):
    """What the jobs mean, or None where the list is refused."""
    try:
        return sorted(job(parser, words) for words in make()) or None
    except (HydraException, SearchError):
        return None


def test_lists_of_overrides_give_hydras_jobs(loader):
    parser = OverridesParser.create(config_loader=loader)
    master = loader.load_configuration("config", [], RunMode.MULTIRUN)

    @cache
    def composed(groups):
        return loader.load_sweep_config(master, list(groups))

    def compose(words):
        return composed(tuple(word for word in words if word.startswith("kind=")))

    different, refused = [], 0
    for number in range(N_LISTS):
        rng = random.Random(number)
        words = [word(rng, key) for key in rng.sample(KEYS, rng.randint(1, 3))]
        theirs = outcome(partial(jobs_of_hydra, parser, words), parser)
        ours = outcome(partial(jobs_of_ours, compose, loader, words), parser)
        refused += theirs is None
        if theirs != ours:
            different.append((words, theirs and theirs[:3], ours and ours[:3]))
    assert not different
    assert refused < N_LISTS / 4
