"""`search=` as a person meets it: a process of its own, on the bundled digits."""

import csv
import json
import logging
import os
import shlex
import signal
import time
from pathlib import Path

import numpy as np
import pytest
import yaml
from hydra import compose, initialize_config_dir
from hydra._internal.hydra import Hydra
from hydra._internal.utils import create_config_search_path
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import CompactHydraException
from omegaconf.errors import OmegaConfBaseException
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import SGDClassifier
from sklearn.neural_network import MLPClassifier

from hydra_optuna_search import Pruned
from mnist_exp import models, train
from mnist_exp.config import CONF, build, explain
from mnist_exp.data import digits as digits_source
from mnist_exp.data import load
from mnist_exp.runs import Run, find_runs
from mnist_exp.trial import bounded_folds, join_folds, split_folds

DIGITS = ["dataset=digits", "n_jobs=1", "hydra.sweep.dir=sweep"]
SMALL = [*DIGITS, "dataset.train_size=100", "dataset.test_size=50"]
FOREST = [*DIGITS, "model=rf", "dataset.train_size=300", "model.n_estimators=interval(5,15)"]


@pytest.fixture
def here(tmp_path, monkeypatch):
    """Search in this process: a function from words to the sweep folder; figures on request."""
    monkeypatch.setenv("MNIST_EXP_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)

    def run(*words, figures=False):
        options = ["hydra.job.chdir=false"]
        if not figures and "hydra/sweeper=basic" not in words:
            options.append("hydra.sweeper.report=null")
        GlobalHydra.instance().clear()
        hydra = Hydra.create_main_hydra2("train", create_config_search_path(str(CONF)))
        try:
            hydra.multirun("train", train.job.__wrapped__, [*words, *options])
        finally:
            GlobalHydra.instance().clear()
        return tmp_path / "sweep"

    yield run
    logging.shutdown()


def rows(folder):
    with (folder / "summary.csv").open() as file:
        return list(csv.DictReader(file))


def test_a_search_over_models_leaves_light_trials_the_winner_and_a_report(finish):
    small = ["dataset.train_size=400", "dataset.test_size=100"]
    words = [*DIGITS, *small, "model=sgd,knn", "search=tpe", "search.n_trials=5"]
    done = finish(*words)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "sweep\n"
    sweep = finish.home / "sweep"
    expected = "best optimization_results.yaml summary.csv report.html"
    pictures = {f"{name}.png" for name in ("history", "importances", "parallel", "slice")}
    assert {*expected.split(), *pictures} <= {path.name for path in sweep.iterdir()}
    for row in rows(sweep):
        run = Run(sweep / row["folder"])
        assert float(row["value"]) == run.metrics["val"]["accuracy"]
        assert run.metrics["data"]["n_val"] == run.config["dataset"]["val_size"] == 400 // 6
        assert run.metrics["data"]["n_test"] == 0
        light = ".hydra status.json metrics.json intervals.json predictions_val.npz train.log"
        assert {path.name for path in run.path.iterdir()} == set(light.split())
    assert rows(sweep)[0]["model"] == "sgd"
    assert float(rows(sweep)[0]["model.alpha"]) == build_sgd().estimator.alpha
    results = yaml.safe_load((sweep / "optimization_results.yaml").read_text())
    assert results["best_value"] == max(float(row["value"]) for row in rows(sweep))
    check_the_winner(finish, sweep, done.stderr)


def build_sgd():
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return build(compose("train", ["dataset=digits", "model=sgd"]))


def check_the_winner(finish, sweep, stderr):
    """`best/` is an ordinary run on all training data, `latest` points there, and the command told
    repeats it.
    """
    best = Run(sweep / "best")
    assert best.state == "completed"
    assert (best.metrics["data"]["n_train"], best.metrics["data"]["n_test"]) == (400, 100)
    assert (best.path / "model.skops").exists()
    assert (finish.home / "outputs" / "latest").resolve() == best.path.resolve()
    command = next(line for line in stderr.splitlines() if line.startswith("again: ")).split()[1:]
    assert command[:3] == ["python", "-m", "mnist_exp.train"]
    with initialize_config_dir(str(CONF), version_base="1.3"):
        again = build(compose("train", command[3:]))
    predictions = again.run(again.load()).predictions["test"]
    np.testing.assert_array_equal(predictions.prediction, best.predictions("test").prediction)


def test_features_are_extracted_once_in_a_search_and_shared_by_its_workers(here):
    words = ["search=random", "search.n_trials=4", "search.n_jobs=2", "search.refit=false"]
    sweep = here(*DIGITS, "dataset.train_size=100", "model=sgd", *words)
    logs = [(run.path / "train.log").read_text() for run in find_runs(sweep)]
    assert len(logs) == 4
    assert sum("features " in log for log in logs) == 1
    assert len({run.status.pid for run in find_runs(sweep)}) == 2
    assert not (sweep / "best").exists()


@pytest.mark.parametrize(
    ("pruner", "given", "share"),
    [
        ("median", ["search.metric=val.log_loss", "model.n_estimators=50"], 0.8),
        ("hyperband", ["search.folds=5", "model.n_estimators=5"], 0.4),
    ],
)
def test_the_worse_trials_are_pruned_and_say_so_everywhere(here, pruner, given, share):
    words = [
        "model=rf",
        "model.max_depth=int(interval(1,16))",
        "search=random",
        "search.refit=false",
        "search.n_trials=8",
        f"search.pruner={pruner}",
        "dataset.train_size=200",
        *given,
    ]
    sweep = here(*DIGITS, *words, figures=True)
    pruned = [row for row in rows(sweep) if row["state"] == "pruned"]
    assert pruned
    statuses = [Run(sweep / row["folder"]).status for row in pruned]
    assert {(status.state, status.error) for status in statuses} == {
        ("pruned", f"pruned after {share:.0%}")
    }
    completed = [row for row in rows(sweep) if row["state"] == "completed"]
    depth, of_pruned = (
        np.mean([int(row["model.max_depth"]) for row in group]) for group in (completed, pruned)
    )
    assert of_pruned < depth
    assert (sweep / "pruning.png").exists()


def test_folds_score_every_training_image_unseen(here):
    words = [
        *FOREST,
        "search=random",
        "search.folds=5",
        "search.pruner=wilcoxon",
        "search.n_trials=2",
        "search.refit=false",
    ]
    sweep = here(*words)
    first = Run(sweep / "0")
    assert (first.metrics["data"]["n_val"], first.config["dataset"]["val_size"]) == (300, None)
    predictions = first.predictions("val")
    assert len(set(predictions.index)) == 300
    assert float(rows(sweep)[0]["value"]) == pytest.approx(
        (predictions.label == predictions.prediction).mean()
    )


def test_two_objectives_leave_a_front(here):
    words = [
        *FOREST,
        "search=nsga2",
        "search.n_trials=5",
        "search.metric=[val.accuracy,model.bytes]",
    ]
    sweep = here(*words, figures=True)
    solutions = yaml.safe_load((sweep / "optimization_results.yaml").read_text())["solutions"]
    assert solutions
    assert all(
        float(row["value_1"]) == Run(sweep / row["folder"]).metrics["model"]["bytes"]
        for row in rows(sweep)
    )
    assert (sweep / "pareto.png").exists()


@pytest.mark.skipif(os.name == "nt", reason="SIGKILL")
@pytest.mark.slow
def test_a_killed_search_resumes_and_no_folder_is_overwritten(start, finish):
    words = [*FOREST, "search=random", "search.n_trials=5", "search.refit=false"]
    process = start(*words)
    journal = start.home / "sweep" / "study.journal"
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and not (
        journal.exists() and journal.read_text().count('"worker"') >= 3
    ):
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    before = {path: path.read_bytes() for path in (start.home / "sweep").glob("[01]/status.json")}
    done = finish(*words)
    assert done.returncode == 0, done.stderr
    assert all(path.read_bytes() == content for path, content in before.items())
    found = rows(start.home / "sweep")
    assert sum(row["state"] == "completed" for row in found) == 5
    for row in found:
        folder = start.home / "sweep" / row["folder"]
        assert not folder.exists() or Run(folder).state in (row["state"], "stale")
    refused = finish(*words, "model.criterion=gini")
    assert refused.returncode != 0
    assert "model.criterion" in refused.stderr
    assert "begun with choice(gini, entropy)" in refused.stderr


def test_a_search_does_not_enter_a_folder_that_holds_a_grid(here):
    here(*SMALL, "hydra/sweeper=basic", "model=rf", "model.n_estimators=2,3")
    with pytest.raises(SystemExit, match="holds a sweep already"):
        here(*FOREST, "search=random")


def test_models_that_search_one_key_in_other_ways_are_searched_together(here, capsys):
    words = [*DIGITS, "dataset.train_size=100", "model=svm,random_features", "features=pixels"]
    sweep = here(*words, "search=random", "search.n_trials=6", "search.refit=false")
    found = rows(sweep)
    assert {row["model"] for row in found} == {"svm", "random_features"}
    for row in found:
        own, other = (
            f"model.gamma (model={model})"
            for model in sorted({"svm", "random_features"}, key=row["model"].__ne__)
        )
        assert row[own]
        assert not row[other]
    assert (
        "model.gamma"
        in yaml.safe_load((sweep / "optimization_results.yaml").read_text())["best_params"]
    )
    messages = capsys.readouterr().err
    assert " model.gamma=" in messages[messages.index("again: ") :]
    assert "folder: sweep/" in messages


def test_a_grid_that_is_enlarged_goes_on_with_the_points_that_are_left(here):
    words = [
        *SMALL,
        "model=rf",
        "model.n_estimators=3,4,5,6",
        "search=grid",
    ]
    here(*words, "search.refit=false", "search.n_trials=2")
    sweep = here(*words, "search.refit=false")
    assert sorted(row["model.n_estimators"] for row in rows(sweep)) == ["3", "4", "5", "6"]


def test_a_plan_starts_nothing(here, capsys):
    sweep = here(*DIGITS, "model=sgd,rf", "search=tpe", "search.plan=true")
    output = capsys.readouterr()
    for part in ("30 trials", "model.alpha", "model.n_estimators", "time and disk unknown"):
        assert part in output.err
    assert output.out == ""
    assert not sweep.exists()


MISTAKES = {
    "search=nothing": ["nothing", "tpe"],
    "search.metric=test.accuracy": ["test.accuracy", "never looks at the test set"],
    "search.metric=val.acuracy": ["val.acuracy", "val.accuracy"],
    "model.alpha=interval(0,1)": ["model.alpha", "n_estimators"],
    "search.spaces=[]": ["nothing to search"],
    "search=grid": ["nothing to search", "model.max_depth=4,8"],
    "search.timeout=soon": ["timeout=soon"],
    "search.n_trials=many": ["n_trials", "many"],
    "search.n_trials=2.5": ["search.n_trials", "2.5"],
    "search.spaces=[model,modle]": ["spaces", "modle"],
    "search.spaces=[model,seed]": ["spaces", "seed"],
    "search.spaces=[[model]]": ["spaces", "[model, features]"],
    "+hydra.sweeper.sampler.foo=1": ["hydra.sweeper.sampler", "foo"],
    "search.folds=3 search.pruner=wilcoxon": ["search.pruner=wilcoxon", "search.folds=5"],
    "dataset.split_seed=0,1": ["dataset.split_seed", "different images"],
    "'dataset.val_size=choice(50,100)'": ["dataset.val_size", "different images"],
    "+hydra.sweeper.search_space.x=3": ["hydra.sweeper.search_space", "hydra.sweeper.params"],
    "search.n_trialz=3": ["n_trialz", "n_trials"],
    "search.pruner=sharp": ["pruner=sharp", "hyperband"],
    "search.folds=1": ["search.folds=1"],
    "search.pruner=wilcoxon": ["search.pruner=wilcoxon", "search.folds=5"],
    "search.pruner=median search.metric=time.fit_s": [
        "search.pruner=median",
        "time.fit_s",
        "pruner=none",
    ],
    "search.storage='sqlite:////no/such/folder/a.db'": ["storage=sqlite", "cannot be opened"],
    "dataset=digits,mnist": ["dataset: a search over it"],
    "search=random,tpe": ["search=random,tpe", "one command for each"],
    "search.metric=val.accuracy,val.macro_f1": ["search.metric", "one value"],
    "search.metric=[]": ["search.metric is empty"],
    "model.space.n_estimators=interval(5,9)": ["write model.n_estimators=interval(5,9)"],
    "search=cmaes search.metric=[val.accuracy,time.fit_s]": ["CMA-ES", "nsga2"],
    "search.storage=sqlite://": ["in memory"],
    "search.storage=odd.journal": ["storage=odd.journal", "cannot be opened"],
    "search.timeout=0.001": ["timeout=0.001"],
    "hydra.sweeper.custom_search_space=os.nope": ["custom_search_space=os.nope"],
    "'hydra.sweep.subdir=t${hydra.job.num}'": ["hydra.sweep.subdir"],
}


@pytest.mark.parametrize("word", MISTAKES)
def test_a_mistake_is_named_in_a_short_message(here, word):
    Path("odd.journal").write_text("{no journal\n")
    with pytest.raises((SystemExit, CompactHydraException, OmegaConfBaseException)) as caught:
        here(*DIGITS, "model=rf", "search=random", *shlex.split(word))
    message = str(caught.value) if caught.type is SystemExit else explain(caught.value)
    assert len(message.replace("\n\n", "\n").splitlines()) <= 10
    for culprit in MISTAKES[word]:
        assert culprit in message
    assert not find_runs(Path.cwd())


def test_a_parameter_that_the_model_refuses_fails_every_trial_and_the_reason_is_told(finish):
    done = finish(
        *DIGITS,
        "model=rf",
        "model.criterion=choice(nonsense,folly)",
        "search=random",
        "search.n_trials=9",
    )
    assert done.returncode != 0
    assert "Traceback" not in done.stderr
    assert "The first, trial 0" in done.stderr
    assert "The 'criterion' parameter" in done.stderr
    states = [run.state for run in find_runs(finish.home)]
    assert set(states) == {"failed"}
    assert len(states) < 9


# -- parts


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize(
    "estimator",
    [
        SGDClassifier(max_iter=7, tol=None, average=True, random_state=0),
        MLPClassifier([16], max_iter=7, n_iter_no_change=7, random_state=0),
    ],
)
def test_a_fit_by_epochs_reports_on_the_way_and_learns_as_well(digits, estimator):
    X, y = digits.train.images.reshape(400, -1) / 255.0, digits.train.labels
    test = digits.test.images.reshape(200, -1) / 255.0
    told = []
    models.fit(estimator, X, y, lambda share: None, lambda *stage: told.append(stage))
    staged = (estimator.predict(test) == digits.test.labels).mean()
    assert told == [(1, 1 / 7), (2, 2 / 7), (4, 4 / 7)]
    assert estimator.get_params()["random_state"] == 0
    at_once = (estimator.fit(X, y).predict(test) == digits.test.labels).mean()
    assert abs(staged - at_once) < 0.05


def test_a_model_that_stops_by_itself_is_fitted_at_once():
    rng = np.random.default_rng(0)
    X, y = rng.random((60, 4)), rng.integers(0, 3, 60)
    told = []
    models.fit(
        SGDClassifier(tol=1e-3, random_state=0),
        X,
        y,
        lambda share: None,
        lambda *stage: told.append(stage),
    )
    assert told == []


def test_forests_of_any_size_are_judged_at_the_same_numbers_of_trees_and_come_out_the_same(digits):
    X, y = digits.train.images.reshape(400, -1) / 255.0, digits.train.labels
    told = []
    forest = RandomForestClassifier(90, random_state=0)
    models.fit(
        forest,
        X,
        y,
        lambda share: None,
        lambda *stage: told.append((*stage, len(forest.estimators_))),
    )
    assert told == [(1, 1 / 9, 10), (2, 2 / 9, 20), (4, 4 / 9, 40), (8, 8 / 9, 80)]
    at_once = RandomForestClassifier(90, random_state=0).fit(X, y)
    np.testing.assert_array_equal(forest.predict_proba(X), at_once.predict_proba(X))


def test_the_report_of_a_run_can_end_it(tmp_path):
    run = Run.claim(tmp_path, [])
    with pytest.raises(Pruned), run.recording(Pruned):
        raise Pruned("pruned after 20%")
    assert (run.state, json.loads((tmp_path / "status.json").read_text())["error"]) == (
        "pruned",
        "pruned after 20%",
    )


def test_cached_validation_features_give_the_same_bits_as_the_pipeline(tmp_path):
    with initialize_config_dir(str(CONF), version_base="1.3"):
        words = [
            "dataset=digits",
            "dataset.train_size=150",
            "dataset.val_size=50",
            "n_jobs=2",
            "model=knn",
        ]
        experiment = build(compose("train", [*words, f"cache_dir='{tmp_path.as_posix()}'"]))
    dataset = experiment.load(with_test=False)
    plain = experiment.run(dataset).predictions["val"]
    for _ in range(2):
        cached = experiment.run(dataset, memory=experiment.memory()).predictions["val"]
        np.testing.assert_array_equal(plain.probability, cached.probability)


def test_folds_are_no_more_than_the_smallest_class_has_images(caplog):
    dataset = load(digits_source(), train_size=45, with_test=False)
    assert [bounded_folds(dataset, folds) for folds in (3, 4, 10)] == [3, 4, 4]
    assert caplog.messages == [
        "search.folds=10 is more than the smallest class has images: 4 is taken"
    ]


def test_folds_cover_the_training_data_once():
    dataset = load(digits_source(), train_size=100, with_test=False)
    folds = list(split_folds(dataset, 4, 0))
    assert [len(fold.train) + len(fold.val) for fold in folds] == [100] * 4
    assert sorted(np.concatenate([fold.val.index for fold in folds])) == sorted(dataset.train.index)
    with initialize_config_dir(str(CONF), version_base="1.3"):
        experiment = build(compose("train", ["dataset=digits", "model=sgd", "n_jobs=1"]))
    joined = join_folds([experiment.run(fold) for fold in folds], dataset, 0)
    np.testing.assert_array_equal(joined.predictions["val"].label, dataset.train.labels)
    assert joined.metrics["val"]["accuracy"] > 0.8
