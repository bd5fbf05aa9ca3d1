"""A Hydra application that knows nothing of mnist_exp: what the sweeper is to any other project."""

import os
import signal
import sys
import time
from pathlib import Path

import hydra
from omegaconf import DictConfig

LENGTHS = (1, 1, 1, 5, 1, 1, 1, 5)


@hydra.main(config_path="conf", config_name="config", version_base="1.3")
def sphere(cfg: DictConfig) -> float | list[float]:
    """X² + y², or as the configuration has it: slowly, failing, killed."""
    if cfg.log:
        with Path(cfg.log).open("a") as file:
            file.write(f"{os.getpid()}\n")
    time.sleep(cfg.sleep * (LENGTHS[int(cfg.x) % 8] if cfg.uneven else 1))
    if cfg.error == "raise":
        raise RuntimeError("cfg.error is set")
    if cfg.error == "exit":
        sys.exit("enough")
    if cfg.error == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if cfg.error == "nan":
        return float("nan")
    return (
        [float(cfg.x) ** 2, (float(cfg.x) - 2) ** 2]
        if cfg.two
        else float(cfg.x) ** 2 + float(cfg.y) ** 2
    )


def near_x(cfg: DictConfig, trial) -> None:
    """A space that hydra-optuna-sweeper calls custom: z is drawn near x, w is no key of the
    configuration.
    """
    x = trial.params["x"]
    trial.suggest_float("z", x - cfg.near, x + cfg.near)
    trial.suggest_float("+w", 0.0, 1.0)


def positive(trial) -> list[float]:
    """A constraint: x is at least 0."""
    return [-trial.params["x"]]


if __name__ == "__main__":
    sphere()
