"""What another person needs to know to judge whether a run can be repeated."""

import platform
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil
from threadpoolctl import threadpool_info

from mnist_exp.data import Dataset

_PACKAGES = (
    "mnist-exp",
    "hydra-core",
    "joblib",
    "matplotlib",
    "numpy",
    "omegaconf",
    "scikit-learn",
    "scipy",
    "skops",
)


def package_versions() -> dict[str, str]:
    """Versions of this package and of those whose change can change a number."""
    return {name: version(name) for name in _PACKAGES}


def describe_environment(dataset: Dataset, seeds: dict[str, int]) -> dict[str, Any]:
    """Code, versions, machine, seeds and data; None where there is no git checkout to ask."""
    splits = {"train": dataset.train, "val": dataset.val, "test": dataset.test}
    return {
        "git": _git(),
        "python": sys.version,
        "packages": package_versions(),
        "platform": platform.platform(),
        "cpu": {"name": platform.processor() or platform.machine(), "logical": psutil.cpu_count()},
        "threads": [
            {key: pool[key] for key in ("user_api", "internal_api", "version", "num_threads")}
            for pool in threadpool_info()
        ],
        "seeds": seeds,
        "data": {
            "name": dataset.name,
            **{name: split.sha256 for name, split in splits.items() if split is not None},
        },
    }


def _git() -> dict[str, Any] | None:
    words = ["git", "-C", str(Path(__file__).parent), "status", "--porcelain=v2", "--branch"]
    try:
        answer = subprocess.run(words, capture_output=True, text=True, check=True, timeout=10)
    except (OSError, subprocess.SubprocessError):
        return None  # installed from a wheel, or no git on this machine
    commit, *lines = answer.stdout.splitlines()  # "# branch.oid <sha>" comes first
    return {"sha": commit.split()[-1], "dirty": any(line[0] != "#" for line in lines)}
