"""Runs by the names that people gave them: `best · 99.63 %`, then what it is, its date last."""

import re
from typing import NamedTuple

from mnist_exp.errors import UserError
from mnist_exp.report.page import percent
from mnist_exp.runs import Run

DATE, CLOCK = re.compile(r"\d{4}-\d{2}-\d{2}"), re.compile(r"^(\d{2})-(\d{2})-\d{2}(?=$|-\d+$)")


class Title(NamedTuple):
    """What a run is called, and the facts that tell it from others."""

    name: str
    facts: str

    def __str__(self) -> str:
        return " · ".join(filter(None, self))


def describe(run: Run, name: str) -> Title:
    """Name a run by its experiment, its folder or its model, and say the rest after it.

    A damaged run goes by its folder.
    """
    parts = name.split("/")
    folder = "/".join(part for part in parts if not (DATE.fullmatch(part) or CLOCK.match(part)))
    when = [CLOCK.sub(r"\1:\2", part) for part in parts if part not in folder.split("/")]
    try:
        words = dict(word.partition("=")[::2] for word in run.overrides)
        config, accuracy = run.config, run.metrics.get("test", {}).get("accuracy")
        model = words.get("model") or str(config["model"]["_target_"]).rpartition(".")[2]
        augment = words.get("augment") or str(config["augment"]["_target_"]).rpartition(".")[2]
        dataset = str(config["dataset"]["name"])
    except (UserError, KeyError, TypeError):
        return Title(name, "")
    called = words.get("experiment") or (model if not folder or folder.isdecimal() else folder)
    facts = [folder, model, augment if augment != "none" else "", dataset, " ".join(when)]
    short = f"{called} · {percent(accuracy)}" if accuracy is not None else called
    return Title(short, " · ".join(fact for fact in facts if fact and fact != called))
