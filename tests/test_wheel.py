"""What a person gets who installs a wheel: configuration, types and console scripts."""

import os
import subprocess
import sys
import venv
from pathlib import Path
from zipfile import ZipFile

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.slow
def test_a_wheel_carries_the_configuration_and_the_console_scripts(tmp_path):
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    subprocess.run(
        [*pip, "wheel", "--no-deps", "--wheel-dir", str(tmp_path), str(ROOT)], check=True
    )
    venv.create(tmp_path / "venv", with_pip=True)
    scripts = tmp_path / "venv" / ("Scripts" if os.name == "nt" else "bin")
    (wheel,) = tmp_path.glob("*.whl")
    assert {"mnist_exp/py.typed", "mnist_exp/conf/train.yaml"} <= set(ZipFile(wheel).namelist())
    subprocess.run([scripts / "pip", "install", "--quiet", str(wheel)], check=True)
    words = ["dataset=digits", "model=sgd", f"cache_dir='{(tmp_path / 'cache').as_posix()}'"]
    done = subprocess.run(
        [scripts / "mnist-exp-train", *words],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / done.stdout.strip() / "report.html").exists()
    assert (
        subprocess.run(
            [scripts / "mnist-exp-verify", "latest"], cwd=tmp_path, check=False
        ).returncode
        == 0
    )
    search = [
        scripts / "mnist-exp-train",
        *words,
        "search=tpe",
        "search.n_trials=2",
        "search.n_jobs=2",
    ]
    done = subprocess.run(search, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / done.stdout.strip() / "best" / "report.html").exists()
