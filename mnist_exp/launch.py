"""What happens once per command, before the first job: settle the dataset, claim the folder."""

import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from shutil import which
from typing import Any, cast

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf, open_dict, read_write

from mnist_exp.config import explain, settle_auto
from mnist_exp.errors import UserError

# Hydra's name of a launcher -> ours, which is its extra's too, and the plugin that the extra brings.
NEEDS = {
    "mnist_joblib": ("joblib", "hydra_joblib_launcher"),
    "mnist_slurm": ("slurm", "hydra_submitit_launcher"),
}


@dataclass
class Launched:
    """What this process launched; the entry point reads it when all is over."""

    folder: Path | None = None
    fell_back: bool = False
    searching: bool = False


launched = Launched()


class Launch(Callback):
    """Hydra's hook; it swallows every Exception of a hook, so a mistake leaves as SystemExit."""

    def on_run_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Settle `dataset=auto` in the composed configuration and claim the run's folder."""
        with _starting(), read_write(config), open_dict(config):
            if extra := NEEDS.get(_launcher(config)):
                raise UserError(
                    f"launcher={extra[0]} is for -m or search=...: leave it out of a single run"
                )
            if config.dataset.name == "auto":
                settle_auto(config, _decide(config))
            from mnist_exp.runs import claim_run

            launched.folder = claim_run(
                Path(config.hydra.run.dir), named="hydra.run.dir" in _keys(config)
            )
            config.hydra.run.dir = str(launched.folder)

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Do the same for a sweep, through the words from which every job's configuration is
        composed.
        """
        with _starting(), read_write(config), open_dict(config):
            _check_launcher(config)
            words = task_words(config)
            _check_swept(words)
            launched.searching = config.get("search") is not None
            if config.dataset.name == "auto" or any(
                re.match(r"dataset=.*\bauto\b", word) for word in words
            ):
                choice = _decide(config)
                words = config.hydra.overrides.task = _settle(words, choice)
                settle_auto(config, choice)
            if launched.searching:
                from mnist_exp.trial import prepare

                config.hydra.overrides.task = [*words, *prepare(config)]
                if config.search.plan:
                    return
            from mnist_exp.runs import claim_sweep, enter_search

            named = "hydra.sweep.dir" in _keys(config)
            claim = enter_search if launched.searching and named else claim_sweep
            launched.folder = claim(Path(config.hydra.sweep.dir), named)
            config.hydra.sweep.dir = str(launched.folder)
            quoted = str(launched.folder).replace("\\", "\\\\").replace("'", "\\'")
            config.hydra.overrides.hydra.append(f"hydra.sweep.dir='{quoted}'")


def _launcher(config: DictConfig) -> str:
    return str(config.hydra.runtime.choices["hydra/launcher"])


def _check_launcher(config: DictConfig) -> None:
    """Refuse a launcher that is not installed, or that cannot do what is asked, before a folder is
    claimed.
    """
    launcher, search = _launcher(config), config.get("search")
    if launcher in NEEDS:
        extra, plugin = NEEDS[launcher]
        if find_spec(f"hydra_plugins.{plugin}") is None:
            raise UserError(f'launcher={extra} is an extra: pip install "mnist-exp[{extra}]"')
    if launcher == "mnist_joblib":
        if search is not None:
            raise UserError(
                "launcher=joblib is for grids; a search has its own processes: leave it out, set search.n_jobs"
            )
        n_jobs = config.hydra.launcher.n_jobs
        if n_jobs is not None and n_jobs < 1:
            raise UserError(
                f"hydra.launcher.n_jobs={n_jobs}: must be null or a whole number, 1 or more"
            )
    if launcher == "mnist_slurm":
        if which("sbatch") is None:
            raise UserError(
                "launcher=slurm: sbatch is not found here; start this on a machine that submits to Slurm"
            )
        _check_accounting()
        if search is not None and search.pruner != "none":
            raise UserError(
                f"search.pruner={search.pruner}: a trial that is a job of Slurm cannot be pruned; "
                "set search.pruner=none, or make jobs of whole workers instead (docs/scale.md)"
            )


def _check_accounting() -> None:
    """The end of a job that leaves no result is known from accounting alone: without it, it would
    be waited for.
    """
    command = ["sacct", "-n", "-X"]
    try:
        asked = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise UserError(
            f"launcher=slurm needs Slurm's accounting (slurmdbd), and sacct does not run: {error}"
        ) from error
    if asked.returncode:
        raise UserError(
            f"launcher=slurm needs Slurm's accounting (slurmdbd): sacct says {asked.stderr.strip()!r}"
        )


def _check_swept(words: list[str]) -> None:
    """A search is one thing: its keys cannot be searched or swept themselves."""
    for word in OverridesParser.create().parse_overrides(words):
        key = word.get_key_element().lstrip("+")
        if word.is_sweep_override() and (key == "search" or key.startswith("search.")):
            raise UserError(
                f"{word.input_line}: a search has one value for this; start one command for each"
            )


@contextmanager
def _starting() -> Iterator[None]:
    """Let SIGTERM end the command in order from here on, and a mistake end it at once."""
    from mnist_exp.process import raise_on_sigterm

    raise_on_sigterm()
    try:
        yield
    except (UserError, OSError) as error:
        raise SystemExit(f"error: {explain(error)}") from error


def task_words(config: DictConfig) -> list[str]:
    """The words of the command line as they were written: `${oc.env:...}` may stand for a
    password.
    """
    return cast("list[str]", OmegaConf.to_container(config.hydra.overrides.task, resolve=False))


def _keys(config: DictConfig) -> set[str]:
    words = cast("list[str]", OmegaConf.to_container(config.hydra.overrides.hydra, resolve=False))
    return {word.lstrip("+~").partition("=")[0] for word in words}


def _decide(config: DictConfig) -> str:
    from mnist_exp.data import decide_auto

    choice: str = decide_auto(config.data_dir, config.cache_dir)
    launched.fell_back = choice == "digits"
    return choice


def _settle(words: list[str], choice: str) -> list[str]:
    """Put the decision where the words say `auto`, or leave it to the end where they say
    nothing.
    """
    settled = [
        re.sub(r"\bauto\b", choice, word) if word.startswith("dataset=") else word for word in words
    ]
    return (
        settled
        if any(word.startswith("dataset=") for word in words)
        else [*settled, f"dataset={choice}"]
    )
