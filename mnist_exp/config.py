"""Where the configuration lies, what may be written in it, and the one place where it turns into
objects.
"""

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from hydra.errors import CompactHydraException, InstantiationException
from omegaconf import DictConfig, OmegaConf, open_dict, read_write
from omegaconf.errors import OmegaConfBaseException

from mnist_exp.errors import UserError

if TYPE_CHECKING:
    from joblib import Memory
    from sklearn.base import BaseEstimator

    from mnist_exp.data import Dataset, Source
    from mnist_exp.experiment import Augmentation, OnInterim, Outcome
    from mnist_exp.process import Stages

_HERE = Path(__file__).parent
# A wheel carries conf/ inside the package, a checkout beside it.
CONF = next(folder for folder in (_HERE / "conf", _HERE.parent / "conf") if folder.is_dir())
MISTAKES = (
    UserError,
    CompactHydraException,
    OmegaConfBaseException,
    OSError,
)  # what a user can mend
SPACE = "space"  # in a group's YAML: what a search tries, from keys to sweeps
SIZES = ("train_size", "val_size", "test_size", "split_seed")


def _cpus() -> int:
    from mnist_exp.process import cpus

    return cpus()


def _user_cache() -> str:
    from platformdirs import user_cache_dir

    return str(user_cache_dir("mnist_exp", appauthor=False))


# Recorded as `${cpus:}` rather than as a number, so that a run repeated elsewhere uses the cpus it finds there.
OmegaConf.register_new_resolver("cpus", _cpus, replace=True)
OmegaConf.register_new_resolver("user_cache", _user_cache, replace=True)


@dataclass(frozen=True)
class Experiment:
    """What a configuration describes, as objects that know nothing of it."""

    source: "Source"
    sizes: dict[str, Any]
    augment: "Augmentation"
    features: "BaseEstimator"
    estimator: "BaseEstimator"
    seed: int
    n_jobs: int
    cache_dir: Path
    cache_bytes: int

    def load(self, with_test: bool = True) -> "Dataset":
        """Read the data and cut the splits."""
        from mnist_exp.data import load

        return load(self.source, **self.sizes, with_test=with_test)

    def memory(self) -> "Memory":
        """Where jobs of one command find features that another has extracted; bounded in size."""
        from joblib import Memory

        from mnist_exp.process import cache_errors_named

        folder = self.cache_dir / "features"
        with cache_errors_named(folder):
            memory = Memory(folder, mmap_mode="r", verbose=0)
            memory.reduce_size(bytes_limit=self.cache_bytes)
        return memory

    def run(
        self,
        dataset: "Dataset",
        stages: "Stages | None" = None,
        memory: "Memory | None" = None,
        on_interim: "OnInterim | None" = None,
    ) -> "Outcome":
        """Fit and evaluate; see `run_experiment`."""
        from sklearn.base import clone

        from mnist_exp.experiment import run_experiment

        return run_experiment(
            dataset,
            self.augment,
            clone(self.features),
            clone(self.estimator),
            seed=self.seed,
            n_jobs=self.n_jobs,
            stages=stages,
            memory=memory,
            on_interim=on_interim,
        )


def compose(words: Sequence[str]) -> DictConfig:
    """The configuration that `python -m mnist_exp.train WORDS` would run, with `dataset=auto`
    settled.
    """
    from hydra import compose as hydra_compose
    from hydra import initialize_config_dir

    from mnist_exp.data import decide_auto

    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = hydra_compose("train", list(words))
    if cfg.dataset.name == "auto":
        settle_auto(cfg, decide_auto(cfg.data_dir, cfg.cache_dir))
    return cfg


def settle_auto(cfg: DictConfig, choice: str) -> None:
    """Put the dataset that `auto` turned out to be in its place."""
    with read_write(cfg), open_dict(cfg):
        cfg.dataset.name = choice
        cfg.dataset["_target_"] = f"mnist_exp.data.{choice}"


def build(cfg: DictConfig) -> Experiment:
    """Turn a composed configuration into objects, judging every value before any work starts."""
    from mnist_exp.models import check_parameters

    seed = _integer(cfg, "seed", 0, 2**32 - 1)
    n_jobs = _integer(cfg, "n_jobs", 1, 4096)
    cache_gb = _integer(cfg, "cache_gb", 0, 10**6)
    features, estimator = _instantiate(cfg, "features"), _instantiate(cfg, "model")
    check_parameters(features, "features")
    check_parameters(estimator, "model")
    return Experiment(
        source=_instantiate(cfg, "dataset", leave_out=SIZES),
        sizes={name: cfg.dataset[name] for name in SIZES},
        augment=_instantiate(cfg, "augment"),
        features=features,
        estimator=estimator,
        seed=seed,
        n_jobs=n_jobs,
        cache_dir=Path(cfg.cache_dir),
        cache_bytes=cache_gb * 2**30,
    )


def _integer(cfg: DictConfig, key: str, low: int, high: int) -> int:
    value = cfg[key]
    if type(value) is not int or not low <= value <= high:
        raise UserError(f"{key}={value}: must be a whole number from {low} to {high}")
    return value


def _instantiate(cfg: DictConfig, group: str, leave_out: tuple[str, ...] = ()) -> Any:
    from hydra.utils import instantiate

    from mnist_exp.runs import current_targets

    node = current_targets(OmegaConf.to_container(cfg[group], resolve=True))
    try:
        return instantiate(_without({*leave_out, SPACE}, node), _convert_="all")
    except InstantiationException as error:
        cause = error.__cause__
        if isinstance(cause, UserError):
            raise cause from error
        raise UserError(f"{group}: {cause or error}") from error


def _without(keys: set[str], node: dict[str, Any]) -> dict[str, Any]:
    """Leave out keys that are not the object's own, also of the parts of a chain."""
    return {
        key: _without(keys, value) if isinstance(value, dict) else value
        for key, value in node.items()
        if key not in keys
    }


def load_config(path: Path) -> DictConfig:
    """Read a run's recorded configuration."""
    config = OmegaConf.load(path)
    if not isinstance(config, DictConfig):
        raise UserError(f"{path} is not a configuration")
    return config


def explain(error: Exception) -> str:
    """One short message for a mistake: what it says, and the nearest valid key if one was
    misspelt.
    """
    if isinstance(error, OSError) and error.filename:
        return f"{error.strerror}: {error.filename}"
    cause = (
        error.__cause__ if isinstance(error, CompactHydraException) and error.__cause__ else error
    )
    if not isinstance(cause, OmegaConfBaseException):
        return str(error).partition("\nConfig search path")[
            0
        ]  # the options say it; where Hydra looked does not help
    node = cause.parent_node
    lines = str(error if isinstance(error, CompactHydraException) else cause).splitlines()
    message = lines[0] if lines else type(error).__name__
    if (first := str(cause).partition("\n")[0]) not in message:
        message += f" {first}"
    if isinstance(node, DictConfig) and cause.key is not None and cause.key not in node:
        keys = [str(key) for key in node]
        near = difflib.get_close_matches(str(cause.key), keys, n=1)
        message += f"\nDid you mean {near[0]}?" if near else ""
        message += (
            f"\nValid keys: {', '.join(keys)}. Anything else the object takes: put + in front."
        )
    return message


def load_recorded(path: Path) -> "Dataset":
    """The data that a recorded configuration describes, as they are here and now; UserError if they
    cannot be had.

    The configuration may come from anywhere, so nothing in it is called but the datasets of this
    package, and this machine's own folders take the place of those that only the other one has.
    """
    from mnist_exp.data import load

    try:
        cfg = load_config(path)
        here = OmegaConf.load(CONF / "train.yaml")
        cfg.cache_dir = here.cache_dir
        if "data_dir" not in cfg or not Path(str(cfg.data_dir)).is_dir():
            cfg.data_dir = here.data_dir
        node = cast("dict[str, Any]", OmegaConf.to_container(cfg.dataset, resolve=True))
        module, _, name = str(node["_target_"]).rpartition(".")
        if (
            module != "mnist_exp.data"
            or name.startswith("_")
            or any(isinstance(v, dict | list) for v in node.values())
        ):
            raise UserError(
                f"dataset._target_={node['_target_']}: no dataset of mnist_exp, and nothing else is called"
            )
        return load(
            _instantiate(cfg, "dataset", leave_out=SIZES), **{size: node[size] for size in SIZES}
        )
    except (OmegaConfBaseException, OSError, KeyError) as error:
        raise UserError(explain(error)) from error
