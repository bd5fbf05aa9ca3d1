"""What may be written under `hydra.launcher`: what conf/launcher/ shows, and more.

Hydra imports this module at the start of every application, so it imports nothing heavy.
"""

from dataclasses import dataclass, field
from typing import Any

from hydra.core.config_store import ConfigStore


@dataclass
class MnistJoblib:
    """Processes of this machine."""

    _target_: str = "hydra_plugins.mnist_exp_launch.launchers.MnistJoblibLauncher"
    n_jobs: int | None = None  # null: one for each job, at most one for each cpu


@dataclass
class MnistSlurm:
    """Jobs of Slurm; the keys are hydra-submitit-launcher's."""

    _target_: str = "hydra_plugins.mnist_exp_launch.launchers.MnistSlurmLauncher"
    submitit_folder: str = "${hydra.sweep.dir}/.submitit/%j"
    name: str = "${hydra.job.name}"
    cpus_per_task: int = 2
    mem_gb: float | None = 4
    timeout_min: int = 60
    array_parallelism: int = 64
    signal_delay_s: int = 30  # before the time limit, a job is told
    max_num_timeout: int = 0
    partition: str | None = None
    account: str | None = None
    qos: str | None = None
    constraint: str | None = None
    exclude: str | None = None
    setup: list[str] | None = None
    additional_parameters: dict[str, Any] = field(default_factory=dict)


_store = ConfigStore.instance().store
_store(group="hydra/launcher", name="mnist_joblib", node=MnistJoblib, provider="mnist_exp")
_store(group="hydra/launcher", name="mnist_slurm", node=MnistSlurm, provider="mnist_exp")
