"""What may be written under `hydra.sweeper`: hydra-optuna-sweeper's keys, and ours below them.

Hydra imports this module at the start of every application, so it imports nothing heavy.
"""

from dataclasses import dataclass, field, make_dataclass
from typing import Any

from hydra.core.config_store import ConfigStore
from omegaconf import MISSING


@dataclass
class Sampler:
    """A sampler of Optuna, made for every trial with its own seed: a resume repeats nothing."""

    _target_: str = MISSING
    _partial_: bool = True
    seed: int | None = None


GENETIC = [
    ("population_size", int, 50),
    ("mutation_prob", float | None, None),
    ("mutation", Any, None),  # a part of Optuna, as {_target_: its class, and its keywords}
    ("crossover", Any, None),  # the same
    ("crossover_prob", float, 0.9),
    ("swapping_prob", float, 0.5),
    ("constraints_func", Any, None),  # module.function (trial): numbers; above 0 is a violation
]
# The class of each sampler and its keywords with their types; null is Optuna's own default.
SAMPLERS: dict[str, tuple[str, list[tuple[str, Any, Any]]]] = {
    "random": ("RandomSampler", []),  # independent draws
    "grid": ("GridSampler", []),  # every combination of values
    "tpe": (  # Tree-structured Parzen estimator
        "TPESampler",
        [
            ("n_startup_trials", int, 10),
            ("n_ei_candidates", int, 24),
            ("prior_weight", float | None, None),
            ("consider_prior", bool | None, None),
            ("consider_magic_clip", bool | None, None),
            ("consider_endpoints", bool | None, None),
            ("multivariate", bool | None, None),
            ("group", bool | None, None),  # model each branch of a conditional space alone
            ("constant_liar", bool, True),
            ("warn_independent_sampling", bool | None, None),
            ("constraints_func", Any, None),
        ],
    ),
    "cmaes": (  # covariance matrix adaptation; all but numbers is drawn at random
        "CmaEsSampler",
        [
            ("x0", dict[str, Any] | None, None),
            ("sigma0", float | None, None),
            ("n_startup_trials", int, 1),
            ("independent_sampler", Any, None),
            ("warn_independent_sampling", bool, True),
            ("consider_pruned_trials", bool, False),
            ("restart_strategy", str | None, None),
            ("popsize", int | None, None),
            ("inc_popsize", int, -1),
            ("use_separable_cma", bool, False),
            ("with_margin", bool, False),
            ("lr_adapt", bool, False),
        ],
    ),
    "gp": (  # Gaussian process; needs PyTorch
        "GPSampler",
        [
            ("independent_sampler", Any, None),
            ("n_startup_trials", int, 10),
            ("deterministic_objective", bool, False),
            ("warn_independent_sampling", bool, True),
            ("constraints_func", Any, None),
        ],
    ),
    "qmc": (  # quasi-random points, more even than random ones; all but numbers is drawn at random
        "QMCSampler",
        [
            ("qmc_type", str, "sobol"),
            ("scramble", bool, False),
            ("independent_sampler", Any, None),
            ("warn_asynchronous_seeding", bool, True),
            ("warn_independent_sampling", bool, True),
        ],
    ),
    "nsgaii": ("NSGAIISampler", GENETIC),  # genetic algorithm for several objectives
    "nsgaiii": (  # for more than three
        "NSGAIIISampler",
        [
            *GENETIC,
            ("reference_points", list[Any] | None, None),
            ("dividing_parameter", int, 3),
        ],
    ),
    "motpe": ("MOTPESampler", []),  # gone from Optuna; refused with what takes its place
}


@dataclass
class OptunaSearch:
    """The sweeper; the keys down to `custom_search_space` are hydra-optuna-sweeper's."""

    _target_: str = "hydra_plugins.hydra_optuna_search.sweeper.OptunaSearchSweeper"
    _recursive_: bool = False  # the sampler is named by its class and keywords, and made here
    defaults: list[Any] = field(default_factory=lambda: [{"sampler": "tpe"}])
    sampler: Any = MISSING
    direction: Any = "minimize"  # or a list, one for each objective
    storage: Any = None  # null: a journal in the sweep folder; or *.journal, or Optuna's address
    study_name: str | None = None
    n_trials: int | None = 20  # in total, however often the search is resumed; null (grid): all
    n_jobs: int = 1  # worker processes
    max_failure_rate: float = 0.0
    params: Any = field(default_factory=dict)  # key -> sweep, as on the command line
    search_space: Any = None  # hydra-optuna-sweeper 1.1's params, as {type: int, low: 0, high: 9}
    custom_search_space: str | None = None  # module.function (config, trial)

    timeout: Any = None  # seconds after which no trial is started
    pruner: str = "none"  # median, hyperband, wilcoxon
    duplicates: str = "run"  # tell: a point that has a value is not run again
    default_first: bool = False  # trial 0 is the configuration as it stands
    typed: bool = False  # an interval over a key that holds a whole number means whole numbers
    spaces: Any = field(default_factory=list)  # groups whose own `space` is searched
    refit: bool = False  # run the winner once more, as `best/`
    only_trials: list[str] = field(default_factory=list)  # keys that the refit leaves out
    not_repeated: list[str] = field(default_factory=list)  # that the winner's command leaves out
    not_compared: list[str] = field(default_factory=list)  # that may differ when it is resumed
    metric: Any = None  # what the values are called
    # module.function (folder, study, metrics, again): writes report.html; `again` is the command
    # that repeats the best trial, or null where several are best
    report: str | None = None
    plan: bool = False  # print what would be done, and start nothing
    # module.function (config, n_trials, n_jobs, refit): a sentence on time and disk for the plan
    estimate: str | None = None


_store = ConfigStore.instance().store
for _name in ("optuna_search", "mnist_optuna"):  # the second is the name of 0.1.0
    _store(group="hydra/sweeper", name=_name, node=OptunaSearch, provider="hydra_optuna_search")
for _name, (_kind, _keywords) in SAMPLERS.items():
    _target = ("_target_", str, f"optuna.samplers.{_kind}")
    _node = make_dataclass(_kind, [_target, *_keywords], bases=(Sampler,))
    _store(group="hydra/sweeper/sampler", name=_name, node=_node, provider="hydra_optuna_search")
