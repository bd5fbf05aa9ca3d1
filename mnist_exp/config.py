"""Where the configuration lies, and the one place where it turns into objects."""

import difflib
import os
import re
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from hydra.errors import CompactHydraException, InstantiationException
from omegaconf import DictConfig, OmegaConf, open_dict, read_write
from omegaconf.errors import OmegaConfBaseException
from platformdirs import user_cache_dir

from mnist_exp.errors import UserError

if TYPE_CHECKING:
    from mnist_exp.data import Dataset
    from mnist_exp.experiment import Experiment

_HERE = Path(__file__).parent
# A wheel carries conf/ inside the package, a checkout beside it.
CONF = next(folder for folder in (_HERE / "conf", _HERE.parent / "conf") if folder.is_dir())
LOCAL = CONF / "local" / "default.yaml"  # a user's own defaults, if there are any
MISTAKES = (UserError, CompactHydraException, OmegaConfBaseException, OSError)  # the user's to mend
SPACE = "space"  # in a group's YAML: what a search tries, from keys to sweeps
PATHS = ("dataset.path", "data_dir", "cache_dir", "outputs")  # keys whose values are paths
SIZES = ("train_size", "val_size", "test_size", "split_seed")


def _cpus() -> int:
    from mnist_exp.process import cpus

    return cpus()


# Recorded as `${cpus:}` rather than as a number: a run repeated elsewhere uses the cpus there.
OmegaConf.register_new_resolver("cpus", _cpus, replace=True)
OmegaConf.register_new_resolver(
    "user_cache", partial(user_cache_dir, "mnist_exp", appauthor=False), replace=True
)


def compose(words: Sequence[str]) -> DictConfig:
    """Return the configuration that `python -m mnist_exp.train WORDS` would run.

    Parameters
    ----------
    words
        `group=option` and `key=value`, as on the command line.

    Returns
    -------
    DictConfig
        With the dataset that `auto` stands for here.

    Raises
    ------
    Exception
        One of `MISTAKES`, if a word is misspelt; `explain` makes a message of it.

    Examples
    --------
    >>> compose(["dataset=digits", "model=sgd"]).model._target_
    'sklearn.linear_model.SGDClassifier'
    """
    import hydra

    from mnist_exp.data import decide_auto

    with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = hydra.compose("train", as_typed(words))
    if cfg.dataset.name == "auto":
        settle_auto(cfg, decide_auto(cfg.data_dir, cfg.cache_dir))
    return cfg


def as_typed(words: Sequence[str]) -> list[str]:
    """Quote the paths that exist as they were typed, so that Hydra reads `digits (1)` or `2024`.

    The data's path becomes absolute: that is what a run records, and can be repeated from anywhere.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     Path(folder, "a, b").mkdir()
    ...     words = as_typed(["model=sgd", f"outputs={folder}/a, b"])
    >>> words[0], words[1].replace(folder, "FOLDER")
    ('model=sgd', "outputs='FOLDER/a, b'")
    """
    return [_as_typed(word) for word in words]


def _as_typed(word: str) -> str:
    key, _, value = word.partition("=")
    if key not in PATHS or not value:
        return word
    plain = value[1:-1] if value[0] in "'\"" and value[0] == value[-1] else value
    path = Path(os.path.expanduser(plain))  # noqa: PTH111  (a user who is not here is no error)
    if not path.exists():
        return word
    path = path.absolute() if key == "dataset.path" else path
    return f"{key}={_quoted(str(path))}"


def _quoted(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def settle_auto(cfg: DictConfig, choice: str) -> None:
    """Put the dataset that `auto` turned out to be in its place."""
    with read_write(cfg), open_dict(cfg):
        cfg.dataset.name = choice
        cfg.dataset["_target_"] = f"mnist_exp.data.{choice}"


def build(cfg: DictConfig) -> "Experiment":
    """Turn a composed configuration into objects, judging every value before any work starts.

    Parameters
    ----------
    cfg
        From `compose`, or recorded by a run.

    Raises
    ------
    UserError
        If a value is of a wrong type or out of range, or an object refuses it.

    Examples
    --------
    >>> build(compose(["dataset=digits", "model=rf", "model.n_estimators=10", "seed=3"])).estimator
    RandomForestClassifier(n_estimators=10, n_jobs=..., random_state=3)
    """
    from mnist_exp.experiment import Experiment
    from mnist_exp.models import check_parameters

    seed = _integer(cfg, "seed", 0, 2**32 - 1)
    n_jobs = _integer(cfg, "n_jobs", 1, 4096)
    cache_bytes = _integer(cfg, "cache_gb", 0, 10**6) * 2**30
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
        cache_bytes=cache_bytes,
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
        if isinstance(error.__cause__, UserError):
            raise error.__cause__ from error
        raise UserError(f"{group}: {error.__cause__ or error}") from error


def _without(keys: set[str], node: dict[str, Any]) -> dict[str, Any]:
    """Leave out keys that are not the object's own, also in the parts of a chain."""
    return {
        key: _without(keys, value) if isinstance(value, dict) else value
        for key, value in node.items()
        if key not in keys
    }


def load_config(path: Path) -> DictConfig:
    """Read a run's recorded configuration; its data's path counts from where the run was made."""
    config = OmegaConf.load(path)
    if not isinstance(config, DictConfig):
        raise UserError(f"{path} is not a configuration")
    data, hydra = OmegaConf.select(config, "dataset.path"), path.with_name("hydra.yaml")
    if data and not Path(str(data)).is_absolute() and hydra.exists():
        folder = OmegaConf.select(OmegaConf.load(hydra), "hydra.runtime.cwd", default="")
        config.dataset.path = str(Path(folder, str(data)))
    return config


def explain(error: Exception) -> str:
    """Return one short message for a mistake, with the nearest valid key if one was misspelt."""
    if isinstance(error, OSError) and error.filename:
        return f"{error.strerror}: {error.filename}"
    cause = (isinstance(error, CompactHydraException) and error.__cause__) or error
    if not isinstance(cause, OmegaConfBaseException):
        # The options are in the message; where Hydra looked for them does not help.
        message = str(error).partition("\nConfig search path")[0]
        word = re.search(r"(?:override '|argument '|Exception: )([\w.]+=.*?)'?\n", message)
        given = word[1] if word else getattr(error, "override", None) or ""
        key, _, path = given.partition("=")
        if key in PATHS:
            return (
                f"{key}={path}: there is no such file or folder. Hydra reads some of its "
                f'characters otherwise; such a path is written "{key}={_quoted(path)}"'
            )
        return message if word or not given else f"{given}: {message}"
    message = str(error).partition("\n")[0] or type(error).__name__
    if (detail := str(cause).partition("\n")[0]) not in message:
        message += f" {detail}"
    node = cause.parent_node
    if isinstance(node, DictConfig) and cause.key is not None and cause.key not in node:
        keys = [str(key) for key in node]
        for near in difflib.get_close_matches(str(cause.key), keys, n=1):
            message += f"\nDid you mean {near}?"
        message += (
            f"\nValid keys: {', '.join(keys)}. Anything else the object takes: put + in front."
        )
    return message


def load_recorded(path: Path) -> "Dataset":
    """Load the data that a recorded configuration describes, as they are here and now.

    The configuration may come from anywhere, so nothing in it is called but the datasets of this
    package, and this machine's own folders take the place of those that only the other one has.

    Raises
    ------
    UserError
        If the data cannot be loaded.
    """
    from mnist_exp.data import load

    try:
        cfg = load_config(path)
        defaults = [file for file in (CONF / "train.yaml", LOCAL) if file.is_file()]
        here = OmegaConf.merge(*map(OmegaConf.load, defaults))
        cfg.cache_dir = here.cache_dir
        if "data_dir" not in cfg or not Path(str(cfg.data_dir)).is_dir():
            cfg.data_dir = here.data_dir
        node = cast("dict[str, Any]", OmegaConf.to_container(cfg.dataset, resolve=True))
        module, _, name = str(node["_target_"]).rpartition(".")
        nested = any(
            isinstance(value, dict)
            or (isinstance(value, list) and any(isinstance(item, dict | list) for item in value))
            for value in node.values()
        )
        if module != "mnist_exp.data" or name.startswith("_") or nested:
            raise UserError(
                f"dataset._target_={node['_target_']}: no dataset of mnist_exp, and nothing else "
                "is called"
            )
        return load(
            _instantiate(cfg, "dataset", leave_out=SIZES), **{size: node[size] for size in SIZES}
        )
    except (OmegaConfBaseException, OSError, KeyError) as error:
        raise UserError(explain(error)) from error
