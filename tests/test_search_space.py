"""The spaces beside the models: each holds its defaults, and a search takes the chosen models'."""

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from optuna.distributions import IntDistribution

from hydra_optuna_search import SearchError
from hydra_optuna_search.space import Space
from mnist_exp.config import CONF, build


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
        SearchError, match=r"model\.n_treez: its space names it, but there is no such key"
    ):
        space.parameters({})


@pytest.mark.parametrize(
    "words",
    [["model=rf", "model.alpha=interval(0,1)"], ["model=sgd,rf", "model.alpha=interval(0,1)"]],
)
def test_a_key_of_another_model_is_named_with_the_valid_ones(compose_train, words):
    space = Space(words, Groups(), compose_train, ["model"])
    with pytest.raises(SearchError, match=r"model\.alpha: .*no such key") as caught:
        [space.parameters(choices) for choices in space.branches()]
    assert "n_estimators" in str(caught.value)
