"""Hydra's sweeps become Optuna's distributions, and a trial's values become words again."""

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from hydra_optuna_search import SearchError
from hydra_optuna_search.space import parameter, parse


def read(text, **options):
    return parameter(OverridesParser.create().parse_override(f"key={text}"), **options)


DISTRIBUTIONS = {
    "choice(1,2)": CategoricalDistribution([1, 2]),
    "a,null,1e-5": CategoricalDistribution(["a", None, 1e-5]),
    "choice(true, false)": CategoricalDistribution([True, False]),
    "choice('hello', 'wo,rld')": CategoricalDistribution(["hello", "wo,rld"]),
    "choice([1,2],[3])": CategoricalDistribution(["[1,2]", "[3]"]),
    "range(1,3)": IntDistribution(1, 2),
    "range(0,8,3)": IntDistribution(0, 6, step=3),
    "range(3,0,-1)": IntDistribution(1, 3),
    "range(0,1000000000000)": IntDistribution(0, 999999999999),
    "range(0.5, 5.5, step=1)": FloatDistribution(0.5, 4.5, step=1),
    "range(0,1,0.1)": FloatDistribution(0, 0.9, step=0.1),
    "interval(1, 5)": FloatDistribution(1, 5),
    "int(interval(1, 5))": IntDistribution(1, 5),
    "tag(log, interval(1, 5))": FloatDistribution(1, 5, log=True),
    "tag(log, int(interval(1, 5)))": IntDistribution(1, 5, log=True),
}


@pytest.mark.parametrize("text", DISTRIBUTIONS)
def test_a_sweep_becomes_a_distribution(text):
    assert read(text).distribution == DISTRIBUTIONS[text]


def test_a_shuffled_range_is_a_choice():
    assert set(read("shuffle(range(1,4))").distribution.choices) == {1, 2, 3}


def test_an_interval_over_a_whole_number_means_whole_numbers_only_with_whole_bounds():
    assert read("interval(1, 5)", whole=True).distribution == IntDistribution(1, 5)
    assert read("interval(1, 5.5)", whole=True).distribution == FloatDistribution(1, 5.5)


@pytest.mark.parametrize(
    "text",
    ["range(0,1,0)", "range(0,0)", "range(3,1)", "tag(log, interval(0, 1))", "interval(5, 1)"],
)
def test_an_impossible_sweep_is_named(text):
    with pytest.raises(SearchError, match="key="):
        read(text)


@pytest.mark.parametrize(
    "text", ["'wo,rld',b", "'1',1", "[1,2],[a b]", "null,true", "'{x}',c", "1e-7,0.1"]
)
def test_every_choice_comes_back_as_the_word_that_means_it(text):
    parser = OverridesParser.create()
    found = read(text)
    for choice in found.choices:
        again = parser.parse_override(found.word(choice.value))
        assert not again.is_sweep_override()
        assert (again.value(), type(again.value())) == (choice.element, type(choice.element))


def test_a_later_word_replaces_an_earlier_one_and_removals_stay():
    searched, fixed = parse(["x=range(0,3)", "y=choice(1,2)", "x=7", "~z", "+w=choice(1,2)"], None)
    assert (set(searched), fixed) == ({"y", "+w"}, {"x": "x=7", "~z": "~z"})


@pytest.mark.parametrize(
    ("text", "values"),
    [("range(0,2)", [0, 1]), ("range(0,1,0.5)", [0.0, 0.5]), ("b,a", ["b", "a"])],
)
def test_a_grid_takes_every_value(text, values):
    assert read(text).values() == values


def test_a_grid_refuses_an_interval():
    with pytest.raises(SearchError, match="a grid needs values"):
        read("int(interval(1,3))").values()
