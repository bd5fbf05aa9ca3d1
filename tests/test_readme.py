"""Every command of the README works as pasted, in order, on a machine without MNIST and without a
network.
"""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
COMMANDS = [
    line
    for block in re.findall(r"```bash\n(.*?)```", README, re.DOTALL)
    for line in block.splitlines()
]


SCRIPTS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return tmp_path_factory.mktemp("readme")


# Minutes of training that other everyday tests cover, left to CI; no later command needs what these leave.
LONG = [
    "experiment=",
    "features=dictionary",
    "augment=none,shift",
    "search.n_jobs=2",
    "search=grid",
    "search=nsga2",
]


def marked(command):
    """The command, left to CI if it is a long one."""
    return pytest.param(
        command, marks=pytest.mark.slow if any(word in command for word in LONG) else ()
    )


@pytest.mark.parametrize(
    "command", [marked(line) for line in COMMANDS if line.startswith("python -m")]
)
def test_a_command_works_as_pasted(home, command):
    environment = os.environ | {
        "MNIST_EXP_DATA": str(home / "data"),
        "MNIST_EXP_CACHE": str(home / "cache"),
        "MNIST_EXP_MIRRORS": "http://127.0.0.1:9/",
        "PYTHONPATH": str(ROOT),
    }
    words = [sys.executable, *shlex.split(command)[1:]]
    done = subprocess.run(
        words, cwd=home, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_script_works_as_pasted(home, script):
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", script]
    done = subprocess.run(
        command, cwd=home, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_the_two_set_up_commands_are_there():
    assert (
        sum(
            "venv .venv &&" in line and "mnist_exp.train model=rf augment=shift" in line
            for line in COMMANDS
        )
        == 1
    )
    assert sum("[test]" in line and line.endswith("pytest -q") for line in COMMANDS) == 1


def test_the_map_names_every_module():
    modules = {path.name for path in (ROOT / "mnist_exp").glob("*.py")} - {
        "__init__.py",
        "errors.py",
    }
    assert {name for name in modules if name not in README} == set()


def test_every_picture_is_there():
    for name in re.findall(r"!\[.*?\]\((.*?)\)", README):
        assert (ROOT / name).is_file()
