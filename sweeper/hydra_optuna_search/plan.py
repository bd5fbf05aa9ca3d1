"""`plan=true`: what a search would do, without starting it."""

from rich.table import Table

from hydra_optuna_search.machine import console
from hydra_optuna_search.settings import Settings
from hydra_optuna_search.space import Space


def show_plan(space: Space, settings: Settings, n_trials: int) -> None:
    """Print the space, the number of trials, and what the application expects of its jobs."""
    title = f"a search of {n_trials} trials"
    table = Table("where", "key", "values", title=title, title_justify="left")
    for key, parameter in space.choices.items():
        table.add_row("always", key, parameter.text)
    for choices in space.branches():
        for key, parameter in space.parameters(choices).items():
            table.add_row(_branch(choices) or "always", key, parameter.text)
    console.print(table)
    if estimate := settings.function("estimate"):
        refit = settings.refit and len(settings.directions) == 1
        for choices in space.branches():
            expected = estimate(space.config(choices), n_trials, settings.n_jobs, refit)
            console.print(f"{_branch(choices) or 'this search'}: {expected}", soft_wrap=True)


def _branch(choices: dict[str, object]) -> str:
    return " ".join(f"{key}={value}" for key, value in choices.items())
