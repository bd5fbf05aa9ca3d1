"""The sweeper under an application that knows nothing of mnist_exp: what users of hydra-optuna-
sweeper rely on.
"""

import math
import sys
import time

import pytest
from hydra.core.plugins import Plugins
from hydra.errors import CompactHydraException
from hydra.plugins.sweeper import Sweeper

from hydra_optuna_search import LaunchRefused, Pruned, report
from tests.conftest import APP, SweepFolder, n_trials

# -- behaviours of hydra-optuna-sweeper


def test_hydra_discovers_the_sweeper():
    assert "OptunaSearchSweeper" in [
        found.__name__ for found in Plugins.instance().discover(Sweeper)
    ]


def test_it_launches_as_many_jobs_as_it_is_told(sweep):
    jobs = []

    def job(cfg):
        jobs.append(cfg.x)
        return 1.0

    sweep(n_trials(4), "x=interval(0,1)", job=job)
    assert len(jobs) == len(set(jobs)) == 4


@pytest.mark.parametrize("sampler", ["tpe", "random", "cmaes", "qmc", "nsgaii"])
@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
def test_every_sampler_searches_and_leaves_the_results_file(sweep, sampler):
    words = ["x=interval(-5.5,5.5)", "y=interval(-5,5)", "hydra.sweeper.sampler.seed=123"]
    found = sweep(n_trials(4), f"hydra/sweeper/sampler={sampler}", *words)
    assert found.results["name"] == "optuna"
    best = found.results["best_params"]
    assert found.results["best_value"] == pytest.approx(best["x"] ** 2 + best["y"] ** 2)
    assert found.results["best_value"] == min(float(value) for value in found.column("value"))


def test_tpe_finds_the_bottom_of_a_bowl(sweep):
    found = sweep(
        n_trials(12),
        "hydra/sweeper/sampler=tpe",
        "hydra.sweeper.sampler.seed=123",
        "~z",
        "x=range(-5.5,5.5,0.5)",
        "y=choice(-5,0,5)",
    )
    assert found.results["best_value"] <= 2.27  # hydra-optuna-sweeper's own bound


def test_a_gaussian_process_closes_in_on_the_bottom(sweep):
    pytest.importorskip("torch")
    words = [
        "hydra/sweeper/sampler=gp",
        "hydra.sweeper.sampler.n_startup_trials=4",
        "y=0",
        "x=interval(-5,5)",
    ]
    assert (
        sweep(n_trials(10), *words).results["best_value"] < 0.01
    )  # the four random ones: 1.6 and worse


def test_a_gaussian_process_without_pytorch_says_how_to_get_it(sweep, monkeypatch):
    monkeypatch.setattr("hydra_optuna_search.search.find_spec", lambda name: None)
    with pytest.raises(CompactHydraException, match="pip install torch"):
        sweep(n_trials(2), "x=interval(0,1)", "hydra/sweeper/sampler=gp")


def test_a_fixed_parameter_is_no_parameter(sweep):
    found = sweep(n_trials(5), "x=choice(0,1,2)", "y=0", "+hydra.sweeper.params.y='interval(0,9)'")
    assert set(found.results["best_params"]) == {"x"}
    assert found.results["best_params"]["x"] in (0, 1, 2)


def test_params_in_the_configuration_are_a_space_and_the_command_line_wins(sweep):
    params = ["+hydra.sweeper.params.x='choice(1,2)'", "+hydra.sweeper.params.y='choice(3,4)'"]
    found = sweep(n_trials(4), *params, "y=choice(7,8)")
    assert {*found.column("x")} <= {"1", "2"}
    assert {*found.column("y")} <= {"7", "8"}


@pytest.mark.parametrize("budgets", [{5: 5, 8: 8, 20: 8}, {"null": 8}])
def test_a_grid_is_visited_once_and_wholly_if_the_budget_allows(sweep, budgets):
    words = ["hydra/sweeper/sampler=grid", "x=choice(-1,1)", "y=range(-1,1)", "z=foo,3"]
    for number, expected in budgets.items():
        found = sweep(n_trials(number), *words)
        points = [(row["x"], row["y"], row["z"]) for row in found.rows]
        assert len(points) == len(set(points)) == expected


def test_a_grid_over_an_interval_is_refused(sweep):
    with pytest.raises(CompactHydraException, match="x=interval"):
        sweep("hydra/sweeper/sampler=grid", "x=interval(0,1)")


@pytest.mark.parametrize("sampler", ["nsgaii", "tpe"])
def test_several_objectives_leave_the_solutions_that_none_dominates(sweep, sampler):
    words = [
        "hydra.sweeper.direction=[minimize,minimize]",
        "x=interval(-5,5)",
        f"hydra/sweeper/sampler={sampler}",
    ]
    found = sweep(n_trials(7), *words, job=lambda cfg: [cfg.x**2, (cfg.x - 2) ** 2])
    values = [tuple(solution["values"]) for solution in found.results["solutions"]]
    assert len(values) > 1
    assert not any(a != b and a[0] <= b[0] and a[1] <= b[1] for a in values for b in values)
    assert {"value_0", "value_1"} <= set(found.rows[0])


def test_a_custom_search_space_is_called_with_every_trial(sweep, monkeypatch):
    monkeypatch.syspath_prepend(str(APP))
    found = sweep(
        n_trials(4),
        "x=interval(0,1)",
        "hydra.sweeper.custom_search_space=app.near_x",
        job=lambda cfg: cfg.w + cfg.z,
    )
    assert all(abs(float(row["z"]) - float(row["x"])) <= 0.3 for row in found.rows)
    assert 0 <= found.results["best_params"]["+w"] <= 1


def test_a_custom_search_space_must_not_search_what_is_fixed(sweep, monkeypatch):
    monkeypatch.syspath_prepend(str(APP))
    with pytest.raises(CompactHydraException, match="z: fixed on the command line and searched"):
        sweep(n_trials(2), "x=interval(0,1)", "z=5", "hydra.sweeper.custom_search_space=app.near_x")


def test_failures_up_to_the_rate_are_borne(sweep):
    def job(cfg):
        if cfg.x < 3:
            raise RuntimeError("too small")
        return cfg.x

    found = sweep(
        "hydra/sweeper/sampler=grid", "x=range(0,5)", "hydra.sweeper.max_failure_rate=0.8", job=job
    )
    assert found.column("state").count("failed") == 3
    assert found.results["best_value"] == 3


def test_more_failures_end_the_search_and_the_first_reason_is_told(sweep):
    def job(cfg):
        raise RuntimeError(f"no good: {cfg.x}")

    for rate, message in {0.5: r"RuntimeError: no good: 0", 1.0: "no trial has a value"}.items():
        with pytest.raises(CompactHydraException, match=message):
            sweep(
                "hydra/sweeper/sampler=grid",
                "x=range(0,4)",
                f"hydra.sweeper.max_failure_rate={rate}",
                job=job,
                folder=f"sweep{rate}",
            )
    assert len(list(sweep.__closure__[0].cell_contents.glob("sweep0.5/[0-9]*"))) < 4


def test_sys_exit_or_a_value_that_is_no_number_fails_the_trial_alone(sweep):
    returned = {2: math.nan, 3: None, 4: "word", 5: [1.0, 2.0]}

    def job(cfg):
        if cfg.x == 6:
            sys.exit("enough")
        return returned.get(cfg.x, 1.0)

    words = ["hydra/sweeper/sampler=grid", "x=range(0,8)", "hydra.sweeper.max_failure_rate=0.8"]
    states = sweep(*words, job=job).column("state")
    assert states == ["completed", "completed", *["failed"] * 5, "completed"]


# -- what hydra-optuna-sweeper does not do


def test_the_same_seed_gives_the_same_trials_and_another_other_ones(sweep):
    def trials(seed):
        words = [
            "hydra/sweeper/sampler=tpe",
            "hydra.sweeper.sampler.n_startup_trials=2",
            "x=interval(-5,5)",
            "y=choice(1,2,3)",
            f"hydra.sweeper.sampler.seed={seed}",
        ]
        return [
            (row["x"], row["y"])
            for row in sweep(n_trials(4), *words, folder=f"{seed}-{time.time_ns()}").rows
        ]

    assert trials(3) == trials(3) != trials(4)


def test_a_resumed_search_goes_on_to_the_same_total_and_repeats_nothing(sweep):
    words = ["x=interval(-5,5)", "hydra/sweeper/sampler=tpe"]
    whole = sweep(n_trials(5), *words, folder="whole")
    sweep(n_trials(2), *words)
    resumed = sweep(n_trials(5), *words)
    assert resumed.column("x") == whole.column("x")
    assert sorted(path.name for path in resumed.folder.glob("[0-9]*")) == [str(i) for i in range(5)]
    assert sweep(n_trials(5), *words).rows == resumed.rows


def test_another_search_is_refused_with_the_difference(sweep):
    differences = {
        r"x: begun with interval\(0,1\), now interval\(0,2\)": ["x=interval(0,2)"],
        r"y: begun with nothing, now choice\(1,2\)": ["y=choice(1,2)"],
        r"z: begun with nothing, now 4": ["z=4"],
        "metric: begun with value, now loss": ["hydra.sweeper.metric=loss"],
        "begun with nothing, now operator.eq": ["hydra.sweeper.custom_search_space=operator.eq"],
    }
    sweep(n_trials(1), "x=interval(0,1)")
    for message, changed in differences.items():
        words = changed if changed[0].startswith("x=") else ["x=interval(0,1)", *changed]
        with pytest.raises(CompactHydraException, match=message):
            sweep(n_trials(4), *words)


def test_the_first_trial_is_the_default_also_where_that_is_null(sweep):
    words = ["error=a,b,null", "hydra.sweeper.default_first=true", n_trials(1)]
    assert sweep(*words, job=lambda cfg: float(cfg.error is None)).results["best_value"] == 1


def test_a_number_may_come_from_the_environment(sweep, monkeypatch):
    monkeypatch.setenv("N", "3")
    assert len(sweep("x=interval(0,1)", "hydra.sweeper.n_trials=${oc.env:N}").rows) == 3


def test_a_conditional_space_samples_the_chosen_group_alone(sweep):
    words = [
        "kind=a,b",
        "hydra.sweeper.spaces=[kind]",
        "hydra/sweeper/sampler=tpe",
        "hydra.sweeper.default_first=true",
    ]
    found = sweep(
        n_trials(6), *words, job=lambda cfg: cfg.kind.get("size", 0) + cfg.kind.get("weight", 0)
    )
    assert (found.rows[0]["kind"], found.rows[0]["kind.size"], found.rows[0]["kind.shape"]) == (
        "a",
        "3.0",
        "round",
    )
    for row in found.rows:
        assert (
            bool(row["kind.size"])
            == bool(row["kind.shape"])
            == (row["kind"] == "a")
            != bool(row["kind.weight"])
        )
    assert set(found.column("kind")) == {"a", "b"}


def test_a_job_may_report_and_be_pruned(sweep):
    stages = []

    def job(cfg):
        for stage in range(1, 11):
            report(stage / 10, cfg.x)
            stages.append(cfg.x)
        return float(cfg.x)

    found = sweep(
        "hydra/sweeper/sampler=grid", "x=range(0,8)", "hydra.sweeper.pruner=median", job=job
    )
    assert "pruned" in found.column("state")
    assert len(stages) < 66


def test_a_failed_trial_does_not_compete(sweep):
    def job(cfg):
        for stage in range(1, 11):
            report(stage / 10, cfg.x)
        if cfg.x == 0:
            raise RuntimeError("the best until its end")
        return float(cfg.x)

    words = ["hydra/sweeper/sampler=grid", "x=range(0,5)", "hydra.sweeper.max_failure_rate=0.5"]
    found = sweep(*words, "hydra.sweeper.pruner=hyperband", job=job)
    assert found.column("state") == ["failed", "completed", *["pruned"] * 3]


def test_a_pruner_that_learns_nothing_is_told(sweep, capsys):
    sweep(n_trials(2), "x=interval(0,1)", "hydra.sweeper.pruner=median")
    assert "so none could be pruned" in " ".join(capsys.readouterr().err.split())


def test_pruned_counts_towards_the_budget_and_may_be_raised_by_hand(sweep):
    from optuna import TrialPruned

    def job(cfg):
        if cfg.x > 0:
            raise Pruned("hopeless") if cfg.x > 1 else TrialPruned
        return 1.0

    found = sweep("hydra/sweeper/sampler=grid", "x=range(0,3)", job=job)
    assert found.column("state") == ["completed", "pruned", "pruned"]


def test_a_database_serves_as_well_and_keeps_the_study(sweep, tmp_path):
    address = f"sqlite:///{(tmp_path / 'study.db').as_posix()}"
    words = [
        "x=interval(0,1)",
        f"hydra.sweeper.storage='{address}'",
        "hydra.sweeper.study_name=mine",
    ]
    sweep(n_trials(2), *words)
    assert len(sweep(n_trials(3), *words).rows) == 3
    from optuna import load_study

    study = load_study(study_name="mine", storage=address)
    assert [trial.state.name for trial in study.trials] == ["COMPLETE"] * 3


MISTAKES = {
    "nokey=interval(0,1)": "nokey",
    "x=range(0,0)": "x=range",
    "hydra.sweeper.n_trials=0": "n_trials=0",
    "hydra.sweeper.pruner=sharp": "pruner=sharp.*median",
    "hydra.sweeper.direction=up": "direction=up",
    "hydra.sweeper.max_failure_rate=2": "max_failure_rate=2",
    "hydra.sweeper.storage='sqlite:////no/such/folder.db'": "storage=sqlite.*cannot be opened",
    "hydra.sweeper.storage='nonsense://x'": "storage=nonsense.*cannot be opened",
    "hydra.sweeper.storage='mysql+pymysql://host/db'": "storage=mysql.*lock that all processes",
    "hydra.sweeper.storage='postgresql://me:secret@host/db'": "password.*environment",
}


@pytest.mark.parametrize("word", MISTAKES)
def test_a_mistake_is_named_before_anything_runs(sweep, word):
    jobs = []
    with pytest.raises(CompactHydraException, match=MISTAKES[word]) as caught:
        sweep("x=interval(0,1)", word, job=jobs.append)
    assert not jobs
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("rest", ["S3cr:et@x@127.0.0.1:9/db", "S3cr@et?x@127.0.0.1:9/db"])
def test_a_password_with_an_at_sign_is_refused_and_not_shown(sweep, monkeypatch, rest):
    monkeypatch.setenv("STUDY", f"postgresql://me:{rest}")
    with pytest.raises(CompactHydraException, match="%40") as caught:
        sweep("x=interval(0,1)", "hydra.sweeper.storage='${oc.env:STUDY}'")
    assert not any(part in str(caught.value) for part in ("S3cr", "et@", "et?", "127"))


def test_a_launcher_that_refuses_ends_the_search_which_resumes_to_its_total(sweep, tmp_path):
    def refused(cfg):
        raise LaunchRefused("no such partition")

    words = ["x=interval(0,1)", "hydra.sweeper.max_failure_rate=1", n_trials(2)]
    with pytest.raises(CompactHydraException, match="no such partition"):
        sweep(*words, job=refused)
    assert SweepFolder(tmp_path / "sweep").column("state") == ["stale"]
    assert sweep(*words).column("state") == ["stale", "completed", "completed"]
