"""What the users of a sweeper met, each with its whole kind."""

import json
import subprocess
import sys
import types
from pathlib import Path

import optuna
import pytest
from hydra.errors import CompactHydraException

from hydra_optuna_search import report, set_user_attrs
from hydra_optuna_search.space import parse, sweep_of
from hydra_optuna_search.study import open_storage
from tests.conftest import APP, SweepFolder, n_trials

STRANGER = """
import json, multiprocessing, os
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
import hydra
from hydra.core.hydra_config import HydraConfig

def square(x):
    return x * x

@hydra.main(version_base="1.3", config_path={conf!r}, config_name="config")
def main(cfg):
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("fork")) as pool:
        return sum(pool.map(square, [cfg.x, cfg.y]))
"""
GUARDED = "\nif __name__ == '__main__':\n    main()\n"
UNGUARDED = "\nmain()\n"


def run_script(folder, end, *words, timeout=90):
    script = folder / "stranger.py"
    script.write_text(STRANGER.format(conf=str(APP / "conf")) + end)
    line = [sys.executable, str(script), "-m", "hydra.sweep.dir=sweep", *words]
    return subprocess.run(line, cwd=folder, capture_output=True, text=True, timeout=timeout)


def study_of(folder, name="search"):
    return optuna.load_study(study_name=name, storage=open_storage(None, folder))


def test_a_job_in_a_worker_may_start_processes_of_its_own(tmp_path):
    done = run_script(tmp_path, GUARDED, n_trials(3), "x=interval(0,1)", "hydra.sweeper.n_jobs=2")
    assert done.returncode == 0, done.stderr
    assert SweepFolder(tmp_path / "sweep").column("state") == ["completed"] * 3


def test_workers_of_an_unguarded_script_end_the_search_with_the_reason(tmp_path):
    done = run_script(tmp_path, UNGUARDED, n_trials(3), "x=interval(0,1)", "hydra.sweeper.n_jobs=2")
    assert done.returncode != 0
    assert 'if __name__ == "__main__"' in done.stderr


def test_a_defect_leaves_its_traceback_in_the_trials_log_and_the_screen_says_where(sweep, capsys):
    def job(cfg):
        raise RuntimeError("a defect")

    with pytest.raises(CompactHydraException, match=r"its traceback is in .*0.app\.log"):
        sweep(n_trials(2), "x=interval(0,1)", "hydra.sweeper.max_failure_rate=0.5", job=job)
    folder = sweep.__closure__[0].cell_contents / "sweep"
    assert 'raise RuntimeError("a defect")' in (folder / "0" / "app.log").read_text()
    assert "a defect (RuntimeError; traceback: " in " ".join(capsys.readouterr().err.split())


def test_a_grid_over_floats_has_hydras_values(sweep):
    values = []

    def job(cfg):
        values.append(cfg.x)
        return 1.0

    sweep("x=range(0,1,0.3)", "hydra/sweeper/sampler=grid", job=job)
    assert values == pytest.approx([0, 0.3, 0.6, 0.9])


def test_a_huge_range_is_searched_but_no_grid(sweep):
    assert len(sweep(n_trials(2), "x=range(0,1,1e-9)").rows) == 2
    with pytest.raises(CompactHydraException, match="more than a million"):
        sweep("x=range(0,1,1e-9)", "hydra/sweeper/sampler=grid", folder="grid")


def test_null_and_other_values_that_are_no_text_mean_the_same_in_params(sweep):
    configs = []

    def job(cfg):
        configs.append((cfg.z, cfg.y))
        return 1.0

    params = ["+hydra.sweeper.params.z=null", "+hydra.sweeper.params.y=[null,true,1e-5]"]
    sweep(n_trials(1), "x=interval(0,1)", *params, job=job)
    assert configs == [(None, [None, True, 1e-5])]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("interval(0,inf)", "must be finite"),
        ("interval(-inf,1)", "must be finite"),
        ("range(0,inf)", "must be finite"),
        ('choice("it\'s",b)', "Hydra cannot give"),
    ],
)
def test_what_no_search_can_take_is_one_message(sweep, text, message):
    with pytest.raises(CompactHydraException, match=message):
        sweep(n_trials(1), f"x={text}")


def test_an_empty_space_is_said_and_refused_where_groups_or_a_grid_were_to_give_one(sweep, capsys):
    assert len(sweep(n_trials(2), "x=1").rows) == 2
    assert "nothing to search, so every trial is the same" in capsys.readouterr().err
    for word in ("hydra.sweeper.spaces=[kind]", "hydra/sweeper/sampler=grid"):
        with pytest.raises(CompactHydraException, match="nothing to search: what is chosen"):
            sweep("kind.size=1", "kind.shape=round", word, folder=word[-4:])


def test_the_number_of_an_epoch_is_no_share(sweep):
    def job(cfg):
        report(3, 0.5)

    with pytest.raises(CompactHydraException, match="share of the work"):
        sweep(n_trials(1), "x=interval(0,1)", job=job)


def test_attributes_of_a_trial_reach_the_study_with_and_without_a_pruner(sweep):
    def job(cfg):
        report(0.5, 1.0, epoch=3)
        set_user_attrs(size=7)
        return 1.0

    for pruner in ("none", "median"):
        found = sweep(
            n_trials(1), "x=interval(0,1)", f"hydra.sweeper.pruner={pruner}", job=job, folder=pruner
        )
        attributes = study_of(found.folder).trials[0].user_attrs
        assert (attributes["epoch"], attributes["size"]) == (3, 7)


def test_the_study_in_pandas_has_a_column_of_values(sweep):
    pytest.importorskip("pandas")
    folder = sweep(n_trials(2), "x=interval(0,1)").folder
    assert len(study_of(folder).trials_dataframe()["value"]) == 2


def test_the_best_trials_folder_is_right_from_a_later_command_in_another_folder(sweep, tmp_path):
    words = [
        f"hydra.sweeper.storage={tmp_path / 'one.journal'}",
        "hydra.sweeper.study_name=one",
        "hydra/sweeper/sampler=grid",
        "x=range(0,4)",
    ]
    sweep(*words, n_trials(3), folder="first", job=lambda cfg: float(cfg.x != 1) + 1)
    found = sweep(*words, n_trials(4), folder="second", job=lambda cfg: 5.0)
    results = found.results
    assert Path(results["best_folder"]).is_dir()
    assert Path(results["best_folder"]).parent == tmp_path / "first"
    assert len({row["x"] for row in found.rows}) == 4


def test_in_a_notebook_the_command_is_its_words(sweep, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "__main__", types.ModuleType("__main__"))
    monkeypatch.setattr(sys, "argv", ["ipykernel_launcher.py", "-f", "kernel.json"])
    sweep(n_trials(1), "x=choice(4)")
    assert "\nagain: x=4\n" in capsys.readouterr().err


def test_a_point_that_has_a_value_is_told_and_not_run_again_if_wanted(sweep):
    runs = []

    def job(cfg):
        runs.append(cfg.x)
        return float(cfg.x)

    found = sweep(n_trials(8), "x=choice(1,2)", "hydra.sweeper.duplicates=tell", job=job)
    assert len(runs) == len(set(runs)) <= 2
    assert found.column("state") == ["completed"] * 8


def test_a_left_over_sampler_of_the_old_sweeper_is_refused_with_the_page(sweep):
    old = "hydra.sweeper.sampler._target_=hydra_plugins.hydra_optuna_sweeper._impl.create_x"
    with pytest.raises(CompactHydraException, match=r"migration\.md"):
        sweep(n_trials(1), "x=interval(0,1)", old)


@pytest.mark.parametrize(
    "word",
    [
        "+hydra.sweeper.sampler.crossover._target_=hydra_plugins.hydra_optuna_sweeper.x",
        "+hydra.sweeper.params.x._target_=hydra_plugins.hydra_optuna_sweeper._impl.x",
    ],
)
def test_a_left_over_target_is_refused_wherever_it_stands(sweep, word):
    with pytest.raises(CompactHydraException, match=r"migration\.md"):
        sweep(n_trials(1), "hydra/sweeper/sampler=nsgaii", word)


def test_the_removed_sampler_is_refused_with_what_takes_its_place(sweep):
    with pytest.raises(CompactHydraException, match=r"motpe.*sampler=tpe"):
        sweep(n_trials(1), "x=interval(0,1)", "hydra/sweeper/sampler=motpe")


@pytest.mark.parametrize(
    ("node", "text"),
    [
        ({"type": "categorical", "choices": ["a b", 2]}, "choice('a b',2)"),
        ({"type": "int", "low": 0, "high": 11, "step": 4}, "range(0,12,4)"),
        ({"type": "float", "low": 0, "high": 1, "step": 0.3}, "range(0.0,1.2,0.3)"),
        ({"type": "float", "low": 1, "high": 9, "log": True}, "tag(log,float(interval(1.0,9.0)))"),
    ],
)
def test_a_search_space_of_before_params_is_read(node, text):
    assert sweep_of(node) == text


def test_params_come_before_a_search_space_with_a_warning(sweep):
    old = "hydra.sweeper.search_space={y:{type:int,low:0,high:3}}"
    with pytest.warns(UserWarning, match="old name of params"):
        assert "y" in sweep(n_trials(1), old).results["best_params"]


def test_a_rejected_value_fails_the_trial_but_not_the_search(sweep):
    values = iter([float("nan"), [1.0, 2.0], 3.0])
    found = sweep(n_trials(3), "x=interval(0,1)", job=lambda cfg: next(values))
    assert found.column("state") == ["failed", "failed", "completed"]


def test_a_function_that_hydra_forbids_is_no_search_space(sweep):
    with pytest.raises(CompactHydraException, match=r"must be module\.function"):
        sweep(n_trials(1), "x=interval(0,1)", "hydra.sweeper.custom_search_space=no.such")


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("range(-1000000000000000.0,-999999999999999.5,0.3)", [-1e15, -999999999999999.8]),
        ("range(0,1,0.25)", [0.0, 0.25, 0.5, 0.75]),
    ],
)
def test_a_step_too_fine_for_its_floats_is_a_choice_of_hydras_numbers(text, values):
    searched = parse([f"x={text}"], None)[0]["x"]
    assert [searched.given(value) for value in searched.values()] == values


def test_the_old_name_works_with_one_warning(sweep):
    with pytest.warns(FutureWarning, match="optuna_search") as warned:
        sweep(n_trials(1), "x=interval(0,1)", "hydra/sweeper=mnist_optuna")
    assert len(warned) == 1


def test_parts_of_a_sampler_and_constraints_are_named(sweep, monkeypatch):
    monkeypatch.syspath_prepend(str(APP))
    words = [
        "hydra.sweeper.direction=[minimize,minimize]",
        "x=interval(-5,5)",
        "hydra.sweeper.sampler.population_size=4",
        "+hydra.sweeper.sampler.crossover._target_=optuna.samplers.nsgaii.UniformCrossover",
        "hydra.sweeper.sampler.constraints_func=app.positive",
    ]
    for sampler in ("nsgaii", "nsgaiii"):
        found = sweep(
            n_trials(6),
            f"hydra/sweeper/sampler={sampler}",
            *words,
            job=lambda cfg: [cfg.x**2, (cfg.x - 2) ** 2],
            folder=sampler,
        )
        assert all(solution["params"]["x"] >= 0 for solution in found.results["solutions"])


FOUR = ["hydra/sweeper/sampler=grid", "x=range(0,8)", "hydra.sweeper.study_name=one"]


def test_four_processes_in_four_folders_on_one_new_database_keep_to_the_budget(start, tmp_path):
    storage = f"hydra.sweeper.storage=sqlite:///{(tmp_path / 'new.db').as_posix()}"
    processes = [start(*FOUR, storage, folder=f"sweep{i}") for i in range(4)]
    for process in processes:
        _, stderr = process.communicate(timeout=120)
        assert process.returncode == 0, stderr
    study = optuna.load_study(study_name="one", storage=f"sqlite:///{tmp_path / 'new.db'}")
    assert sorted(trial.params["x"] for trial in study.trials) == list(range(8))
    for trial in study.trials:
        assert json.loads(json.dumps(trial.user_attrs["folder"])).endswith(f"/{trial.number}")
        assert Path(trial.user_attrs["folder"]).is_dir()


def test_the_words_of_a_choice_may_be_parsed_again():
    searched, _ = parse(["x='it\\'s',b"], None)
    assert searched["x"].word("it's") == "x='it\\'s'"
