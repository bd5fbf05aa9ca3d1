"""The former place of `report`, which is now `hydra_optuna_search.report`."""

import warnings
from typing import Any

import hydra_optuna_search


def __getattr__(name: str) -> Any:
    if name != "report":
        raise AttributeError(f"mnist_exp.search has no {name}")
    warnings.warn(
        "mnist_exp.search.report is now hydra_optuna_search.report; the old name goes with the "
        "next release",
        FutureWarning,
        stacklevel=2,
    )
    return hydra_optuna_search.report
