"""Models come back from their files with the same answers; crafted ones are refused."""

import hashlib
import io
import json
import pickle
import re
import zipfile

import numpy as np
import pytest
import skops.io
from sklearn.ensemble import (
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
)
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.svm import SVC

from mnist_exp import models
from mnist_exp.config import build, compose
from mnist_exp.errors import UserError
from mnist_exp.features import Pixels, Reduced
from mnist_exp.models import dump_model, load_model
from mnist_exp.runs import Run

SMALL = ["dataset=digits", "dataset.train_size=200", "dataset.test_size=50", "n_jobs=1"]
TREES = [
    "model=knn +model.leaf_size=5 model.algorithm=kd_tree",
    "model=knn model.algorithm=ball_tree model.p=1",
]


def stored(pipeline, folder):
    """A run folder's two files that concern the model."""
    Run(folder).save_model(pipeline, {"classes": []})
    return Run(folder)


@pytest.mark.parametrize("words", TREES)  # every file of conf/ is stored in test_conf.py
def test_search_trees_come_back_with_the_same_answers(tmp_path, words):
    experiment = build(compose([*SMALL, f"cache_dir='{tmp_path.as_posix()}'", *words.split()]))
    dataset = experiment.load()
    pipeline = experiment.run(dataset).pipeline
    loaded = stored(pipeline, tmp_path).load_model()
    for before, after in zip(
        models.predict(pipeline, dataset.test.images),
        models.predict(loaded, dataset.test.images),
        strict=True,
    ):
        np.testing.assert_array_equal(before, after)


def test_a_file_that_was_swapped_is_refused(tmp_path, digits):
    run = stored(Pixels().fit(digits.train.images), tmp_path)
    dump_model(Pixels(), run.model_path)
    with pytest.raises(UserError, match=r"model.skops is not the file that model.json describes"):
        run.load_model()


class Evil:
    """A pickle of it would write a file."""

    def __reduce__(self):
        return (open, ("owned", "w"))


def test_a_pickle_is_never_opened(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    content = pickle.dumps(Evil())
    (tmp_path / "model.skops").write_bytes(content)
    (tmp_path / "model.json").write_text(
        json.dumps({"sha256": hashlib.sha256(content).hexdigest()})
    )
    with pytest.raises(UserError, match="a pickle is never opened"):
        Run(tmp_path).load_model()
    assert not (tmp_path / "owned").exists()


def repacked(content, change):
    """A skops file whose schema was edited by hand."""
    packed = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(packed, "w") as new:
        for member in old.infolist():
            data = old.read(member)
            new.writestr(
                member.filename,
                change(data.decode()).encode() if member.filename == "schema.json" else data,
            )
    return packed.getvalue()


def test_a_file_of_before_a_class_moved_comes_back(digits):
    fitted = Reduced(Pixels(), n_components=5, random_state=0).fit(digits.train.images)
    old = repacked(
        skops.io.dumps(make_pipeline(fitted)),
        lambda text: re.sub(r'("Reduced",\s+"__module__": )"mnist_exp.features"', r'\1"old"', text),
    )
    loaded = load_model(old, "model.skops", {"old.Reduced": "mnist_exp.features.Reduced"})
    np.testing.assert_array_equal(
        loaded.transform(digits.test.images), fitted.transform(digits.test.images)
    )
    with pytest.raises(UserError, match=r"types that are not allowed.*old.Reduced"):
        load_model(old, "model.skops")


@pytest.mark.parametrize("named", ["os.system", "builtins.eval", "subprocess.Popen"])
def test_an_unknown_type_is_named_and_not_built(named):
    module, _, name = named.rpartition(".")
    content = repacked(
        skops.io.dumps(Pixels()),
        lambda text: text.replace('"mnist_exp.features"', f'"{module}"').replace(
            '"Pixels"', f'"{name}"'
        ),
    )
    with pytest.raises(UserError, match=f"types that are not allowed.*{named}"):
        load_model(content, "model.skops")


def test_a_bomb_and_a_broken_file_are_refused():
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("schema.json", b" " * 2**27)
    with pytest.raises(UserError, match="would unpack to 134 MB"):
        load_model(packed.getvalue(), "bomb.skops")
    with pytest.raises(UserError, match="not a sound model"):
        load_model(repacked(skops.io.dumps(Pixels()), lambda text: text[:50]), "broken.skops")


@pytest.fixture(scope="module")
def numbers():
    rng = np.random.default_rng(0)
    return rng.random((90, 6)), np.arange(90) % 3


def crafted(tree, **changes):
    """A tree with some of its raw numbers changed."""
    state = tree.__getstate__()
    nodes = state["nodes"].copy()
    for name, value in changes.items():
        if name == "node_count":
            state["node_count"] = value
        else:
            nodes[name][0] = value
    state["nodes"] = nodes
    tree.__setstate__(state)


@pytest.mark.parametrize(
    "estimator", [RandomForestClassifier(3), GradientBoostingClassifier(n_estimators=2)]
)
@pytest.mark.parametrize(
    "change",
    [{"left_child": 10**6}, {"right_child": 0}, {"feature": 6}, {"feature": -5}, {"node_count": 5}],
)
def test_a_tree_that_leads_out_of_its_bounds_is_refused(numbers, estimator, change):
    pipeline = make_pipeline(estimator.fit(*numbers))
    load_model(skops.io.dumps(pipeline), "sound.skops")
    crafted(np.ravel(estimator.estimators_)[0].tree_, **change)
    with pytest.raises(UserError, match="not a sound model"):
        load_model(skops.io.dumps(pipeline), "crafted.skops")


def test_trees_wider_than_their_forest_are_refused(numbers):
    forest = RandomForestClassifier(3).fit(*numbers)
    forest.n_features_in_ = 2  # it would then hand two columns on to trees that ask for six
    with pytest.raises(UserError, match="columns that are not there"):
        load_model(skops.io.dumps(forest), "crafted.skops")


@pytest.mark.parametrize(
    "change", [{"left": 10**6}, {"right": 0}, {"feature_idx": 6}, {"is_categorical": 1}]
)
def test_a_boosted_tree_that_leads_out_of_its_bounds_is_refused(numbers, change):
    boosted = HistGradientBoostingClassifier(max_iter=2, min_samples_leaf=5).fit(*numbers)
    load_model(skops.io.dumps(boosted), "sound.skops")
    for name, value in change.items():
        boosted._predictors[1][2].nodes[name][0] = value
    with pytest.raises(UserError, match="not a sound model"):
        load_model(skops.io.dumps(boosted), "crafted.skops")


SWAPS = {
    "_n_support": np.array([30, 30, 10**6], np.int32),
    "_dual_coef_": np.zeros((1, 3)),
    "_intercept_": np.zeros(1),
    "support_vectors_": np.zeros((3, 2)),
    "_probA": np.zeros(1),
}


@pytest.mark.parametrize("name", SWAPS)
def test_support_vectors_that_do_not_fit_are_refused(numbers, name):
    machine = SVC().fit(*numbers)
    load_model(skops.io.dumps(Pipeline([("m", machine)])), "sound.skops")
    setattr(machine, name, SWAPS[name])
    with pytest.raises(UserError, match="not a sound model"):
        load_model(skops.io.dumps(machine), "crafted.skops")


def test_neighbours_of_unknown_classes_are_refused_and_search_trees_built_afresh(numbers):
    model = KNeighborsClassifier(algorithm="kd_tree").fit(*numbers)
    other = KNeighborsClassifier(algorithm="kd_tree").fit(numbers[0][:30], numbers[1][:30])
    expected = model.predict(numbers[0])
    model._tree = other._tree
    np.testing.assert_array_equal(
        load_model(skops.io.dumps(model), "m").predict(numbers[0]), expected
    )
    model._y = model._y + 10**6
    with pytest.raises(UserError, match="a class that is not there"):
        load_model(skops.io.dumps(model), "crafted.skops")
