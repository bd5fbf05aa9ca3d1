"""Every command of the README and of docs/ works as pasted, without MNIST and without a network."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from mnist_exp.config import compose

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = {path.name: path.read_text(encoding="utf-8") for path in sorted(ROOT.glob("docs/*.md"))}
TEXTS = [README, *PAGES.values()]


def blocks(language):
    """The code blocks in one language, of the README first."""
    return [
        block for text in TEXTS for block in re.findall(rf"```{language}\n(.*?)```", text, re.S)
    ]


LINES = [line for block in blocks("bash") for line in block.splitlines()]
COMMANDS = [line for line in LINES if line.startswith("python -m")]
TRAINING = [line for line in COMMANDS if "mnist_exp.train" in line and "--help" not in line]


def offline(home):
    """An environment in which no data are at hand and no mirror answers."""
    return os.environ | {
        "MNIST_EXP_DATA": str(home / "data"),
        "MNIST_EXP_CACHE": str(home / "cache"),
        "MNIST_EXP_MIRRORS": "http://127.0.0.1:9/",
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "sweeper")]),
    }


def works(home, words):
    """Run python in `home`, whose runs those before left; what it prints on stderr is the reason if
    it fails.
    """
    command = [sys.executable, *words]
    done = subprocess.run(
        command, cwd=home, env=offline(home), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return tmp_path_factory.mktemp("readme")


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_works_as_pasted(home, command):
    works(home, shlex.split(command)[1:])


@pytest.mark.slow
@pytest.mark.parametrize("script", blocks("python"))
def test_a_script_works_as_pasted_beside_the_runs_of_the_commands(home, script):
    works(home, ["-c", script])


@pytest.mark.parametrize("command", TRAINING)
def test_every_training_command_composes(command):
    words = [word for word in shlex.split(command)[3:] if word != "-m"]
    first = [word if "[" in word else word.split(",")[0] for word in words]
    cfg = compose(first)  # refuses unknown choices and keys
    assert cfg.model._target_


def test_the_two_set_up_commands_are_there():
    assert (
        sum(
            "venv .venv &&" in line and "mnist_exp.train model=rf augment=shift" in line
            for line in LINES
        )
        == 1
    )
    assert sum("[test]" in line and line.endswith("pytest -q") for line in LINES) == 1


def test_the_map_names_every_room_and_every_file_beside_them():
    paths = [path for path in (ROOT / "mnist_exp").iterdir() if not path.name.startswith("_")]
    names = {f"{path.name}/" if path.is_dir() else path.name for path in paths} - {
        *("errors.py", "py.typed"),
        *(f"{name}.py" for name in ("compare", "board", "predict", "explore", "verify", "demo")),
    }
    tree = re.search(r"```text\nconf/.*?```", README, re.S)[0]
    assert {name for name in names if f"  {name}" not in tree} == set()
    commands = re.search(r"the commands: (.*?);", tree)[1].split(", ")
    assert {(ROOT / "mnist_exp" / f"{name}.py").is_file() for name in commands} == {True}


def test_the_readme_is_a_tour_and_no_manual():
    lines = README.splitlines()
    assert len(lines) < 200
    assert max(len(line) for line in lines) <= 120


def test_every_picture_and_every_page_is_there():
    for folder, text in [(ROOT, README), *((ROOT / "docs", text) for text in PAGES.values())]:
        for name in re.findall(r'\]\(([^)#:]+)\)|src="(.*?)"', text):
            assert (folder / "".join(name)).is_file()
