"""`--filter KEY=VALUE`: which runs take part."""

from collections.abc import Sequence

from mnist_exp.comparison._answers import Answers
from mnist_exp.comparison._changes import TARGET, text
from mnist_exp.errors import UserError


def keep(answers: Sequence[Answers], filters: Sequence[str]) -> list[Answers]:
    """The runs that every filter lets through; UserError for a filter that no run of these could
    ever match.
    """
    kept = list(answers)
    for one in filters:
        key, equals, value = one.partition("=")
        if not equals or not key:
            raise UserError(
                f"--filter {one}: must be KEY=VALUE, for example model=rf or model.n_estimators=100"
            )
        values = [_value(run, key) for run in kept]
        known = sorted({found for found in values if found is not None})
        if answers and not known:
            raise UserError(f"--filter {one}: no run has the key {key}")
        kept = [run for run, found in zip(kept, values, strict=True) if found == value]
        if not kept:
            raise UserError(f"--filter {one}: {key} is one of {', '.join(known[:20])}")
    return kept


def _value(answers: Answers, key: str) -> str | None:
    """A configuration key's value as the command line writes it; of a group, the option that was
    chosen.
    """
    config = answers.config or {}
    if key in config:
        return text(config[key])
    return answers.run.choices.get(key) if f"{key}.{TARGET}" in config else None
