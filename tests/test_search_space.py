"""Hydra's sweeps become Optuna's distributions, and a trial's values become words of a command line
again.
"""

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from mnist_exp.config import CONF, build
from mnist_exp.errors import UserError
from hydra_optuna_search.space import Space, parameter, parse


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
    with pytest.raises(UserError, match="key="):
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
    with pytest.raises(UserError, match="a grid needs values"):
        read("int(interval(1,3))").values()


# -- the spaces beside the models ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def compose_train():
    def composed(words):
        return compose("train", ["dataset=digits", *words])

    with initialize_config_dir(str(CONF), version_base="1.3"):
        yield composed


class Groups:
    """The part of Hydra's loader that a space asks."""

    def get_group_options(self, group, results_filter=None):
        return sorted(path.stem for path in (CONF / group).glob("*.yaml"))


def spaces():
    paths = [
        path for group in ("model", "features", "augment") for path in (CONF / group).glob("*.yaml")
    ]
    return [
        f"{path.parent.name}={path.stem}"
        for path in paths
        if "space" in (OmegaConf.load(path) or {})
    ]


@pytest.mark.parametrize("choice", spaces())
def test_every_space_holds_its_default_and_an_end_of_each_is_accepted(compose_train, choice):
    space = Space([choice], Groups(), compose_train, [choice.partition("=")[0]], typed=True)
    found = space.parameters({})
    assert space.default({}).keys() == found.keys()
    words = [
        found[key].word(ends(found[key].distribution)[-(i % 2)]) for i, key in enumerate(found)
    ]
    build(compose_train([choice, *words]))


def ends(distribution):
    return getattr(distribution, "choices", None) or [distribution.low, distribution.high]


def test_a_space_is_that_of_the_models_chosen(compose_train):
    space = Space(
        ["model=sgd,rf", "features=pca,hog"], Groups(), compose_train, ["model"], typed=True
    )
    assert list(space.branches()) == [
        {"model": "sgd", "features": "pca"},
        {"model": "rf", "features": "pca"},
        {"model": "sgd", "features": "hog"},
    ]
    keys = set(space.parameters({"model": "rf", "features": "hog"}))
    assert {"model.n_estimators", "features.cell"} <= keys
    assert not keys & {"model.alpha", "features.pca.n_components"}


def test_the_command_line_overrides_fixes_and_adds(compose_train):
    words = [
        "model=rf",
        "model.n_estimators=interval(5,9)",
        "model.criterion=gini",
        "+model.max_leaf_nodes=choice(10,20)",
    ]
    found = Space(words, Groups(), compose_train, ["model"], typed=True).parameters({})
    assert found["model.n_estimators"].distribution == IntDistribution(5, 9)
    assert "model.criterion" not in found
    assert "+model.max_leaf_nodes" in found


def test_glob_means_every_option(compose_train):
    space = Space(["model=glob([r*,s*])"], Groups(), compose_train, ["model"])
    assert {choice.value for choice in space.choices["model"].choices} == {
        "random_features",
        "rf",
        "sgd",
        "svm",
    }


def test_a_space_that_names_no_key_of_its_model_is_refused(compose_train):
    space = Space(
        ["model=rf", "+model.space.n_treez='choice(1,2)'"], Groups(), compose_train, ["model"]
    )
    with pytest.raises(
        UserError, match=r"model\.n_treez: its space names it, but there is no such key"
    ):
        space.parameters({})


@pytest.mark.parametrize(
    "words",
    [["model=rf", "model.alpha=interval(0,1)"], ["model=sgd,rf", "model.alpha=interval(0,1)"]],
)
def test_a_key_of_another_model_is_named_with_the_valid_ones(compose_train, words):
    space = Space(words, Groups(), compose_train, ["model"])
    with pytest.raises(UserError, match=r"model\.alpha: .*no such key") as caught:
        [space.parameters(choices) for choices in space.branches()]
    assert "n_estimators" in str(caught.value)
