"""What happens once per command, before the first job: settle the dataset, claim the folder."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.experimental.callback import Callback
from hydra.utils import get_class
from omegaconf import DictConfig, OmegaConf, open_dict, read_write

from mnist_exp.config import explain, settle_auto
from mnist_exp.errors import UserError


@dataclass(frozen=True)
class Launched:
    """What a command launched."""

    folder: Path
    fell_back: bool  # from MNIST to the bundled digits
    searching: bool


launched: ContextVar[Launched | None] = ContextVar("launched", default=None)


class Launch(Callback):
    """Hydra's hook; it swallows every Exception of a hook, so a mistake leaves as SystemExit."""

    def on_run_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Settle `dataset=auto` in the composed configuration and claim the run's folder."""
        with _starting(), read_write(config), open_dict(config):
            if name := getattr(get_class(config.hydra.launcher._target_), "name", None):
                raise UserError(
                    f"launcher={name} is for -m or search=...: leave it out of a single run"
                )
            choice = None
            if config.dataset.name == "auto":
                choice = _decide(config)
                settle_auto(config, choice)
            from mnist_exp.runs import claim_run

            named = "hydra.run.dir" in _keys(config)
            folder = claim_run(Path(config.hydra.run.dir), named)
            config.hydra.run.dir = str(folder)
            launched.set(Launched(folder, fell_back=choice == "digits", searching=False))

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Do the same for a sweep, in the words from which every job's configuration is made."""
        searching = config.get("search") is not None
        with _starting(), read_write(config), open_dict(config):
            # A launcher of ours refuses what it cannot do before a folder is claimed.
            if check := getattr(get_class(config.hydra.launcher._target_), "check", None):
                check(config.hydra.launcher, config.get("search"))
            words = task_words(config)
            _check_swept(words)
            choice = None
            if config.dataset.name == "auto" or any(
                re.match(r"dataset=.*\bauto\b", word) for word in words
            ):
                choice = _decide(config)
                words = config.hydra.overrides.task = _settle(words, choice)
                settle_auto(config, choice)
            if searching:
                from mnist_exp.trial import prepare

                config.hydra.overrides.task = [*words, *prepare(config)]
                if config.search.plan:
                    return
            from mnist_exp.runs import claim_sweep, enter_search

            named = "hydra.sweep.dir" in _keys(config)
            claim = enter_search if searching and named else claim_sweep
            folder = claim(Path(config.hydra.sweep.dir), named)
            config.hydra.sweep.dir = str(folder)
            quoted = str(folder).replace("\\", "\\\\").replace("'", "\\'")
            config.hydra.overrides.hydra.append(f"hydra.sweep.dir='{quoted}'")
            launched.set(Launched(folder, fell_back=choice == "digits", searching=searching))


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
    """The words of the command line as written: `${oc.env:...}` may stand for a password."""
    return cast("list[str]", OmegaConf.to_container(config.hydra.overrides.task, resolve=False))


def _keys(config: DictConfig) -> set[str]:
    words = cast("list[str]", OmegaConf.to_container(config.hydra.overrides.hydra, resolve=False))
    return {word.lstrip("+~").partition("=")[0] for word in words}


def _decide(config: DictConfig) -> str:
    from mnist_exp.data import decide_auto

    return decide_auto(config.data_dir, config.cache_dir)


def _settle(words: list[str], choice: str) -> list[str]:
    """Put the decision where the words say `auto`, or at the end where they say nothing."""
    if not any(word.startswith("dataset=") for word in words):
        return [*words, f"dataset={choice}"]
    return [
        re.sub(r"\bauto\b", choice, word) if word.startswith("dataset=") else word for word in words
    ]
