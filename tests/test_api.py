"""The public API: `run` does what the command line does, and every name is documented."""

import inspect
import logging
import signal
import subprocess
import sys

import pytest
import yaml
from hydra import compose, initialize_config_dir
from hydra.core.hydra_config import HydraConfig

import mnist_exp
from mnist_exp.config import CONF
from mnist_exp.errors import UserError
from mnist_exp.runs import open_run

SMALL = ["dataset=digits", "dataset.train_size=200", "dataset.test_size=100", "model=sgd"]


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MNIST_EXP_CACHE", str(tmp_path / "cache"))
    return tmp_path


def process_state():
    logger = logging.getLogger("mnist_exp")
    return (
        logger.handlers[:],
        logger.level,
        signal.getsignal(signal.SIGTERM),
        HydraConfig.initialized(),
    )


def test_run_leaves_what_the_command_line_leaves(here, commands):
    done = commands.run("mnist_exp.train", *SMALL, cwd=here)
    assert done.returncode == 0, done.stderr
    first = open_run(done.stdout.strip())
    before = process_state()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        second = mnist_exp.run(*SMALL)
        assert compose("train", ["seed=3"]).seed == 3  # Hydra is as it was
    assert process_state() == before
    assert (second.state, open_run("latest").path) == ("completed", second.path.resolve())
    names = [sorted(str(p.relative_to(r.path)) for p in r.path.rglob("*")) for r in (first, second)]
    assert names[0] == names[1]
    assert (first.config, first.choices) == (second.config, second.choices)
    assert list(first.predictions("test").prediction) == list(second.predictions("test").prediction)
    lines = [len((r.path / "train.log").read_text().splitlines()) for r in (first, second)]
    assert lines[0] == lines[1] > 3
    texts = [(r.path / ".hydra" / "hydra.yaml").read_text() for r in (first, second)]
    assert yaml.safe_load(texts[0].replace(first.path.name, second.path.name)) == yaml.safe_load(
        texts[1]
    )


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["-m", "seed=1,2"], "call it in a loop"),
        (["search=tpe"], "call it in a loop"),
        (["model=nothing"], "Could not find 'model/nothing'"),
        (["seed=x"], "seed=x: must be a whole number"),
        (["launcher=joblib"], "launcher=joblib is for -m"),
    ],
)
def test_a_mistake_is_a_user_error_with_the_way_out(here, words, reason):
    with pytest.raises(UserError, match=reason):
        mnist_exp.run("dataset=digits", *words)


def test_every_public_name_is_documented_with_an_example():
    for name in set(mnist_exp.__all__) - {"__version__"}:
        assert ">>> " in inspect.getdoc(getattr(mnist_exp, name)), name


def test_the_package_lists_its_commands_and_its_version():
    def printed(*words):
        line = [sys.executable, "-X", "importtime", "-m", "mnist_exp", *words]
        done = subprocess.run(line, capture_output=True, text=True, check=True)
        assert " numpy\n" not in done.stderr
        return done.stdout

    assert "mnist_exp.compare " in printed()
    assert printed("--version") == f"mnist_exp {mnist_exp.__version__}\n"
