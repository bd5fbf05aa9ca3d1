"""What the examples in docstrings need: a folder in which `latest` is a run."""

import os
from pathlib import Path

import pytest

# The workers of xdist share the cores: threads of BLAS and OpenMP would only wait for each other.
os.environ |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


@pytest.fixture(autouse=True)
def _where_examples_run(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if not isinstance(request.node, pytest.DoctestItem) or "load_reader" not in request.node.name:
        return
    from omegaconf import OmegaConf  # noqa: TID251  (writes the run's configuration)

    from mnist_exp.config import build, compose
    from mnist_exp.recognition import Neighbours
    from mnist_exp.runs import Run, point_latest

    monkeypatch.chdir(request.getfixturevalue("tmp_path"))
    outputs = Path("outputs").absolute()
    cfg = compose(["dataset=digits", "model=sgd", "n_jobs=1", f"cache_dir='{outputs.as_posix()}'"])
    run = Run.claim(outputs / "first", [])
    run.config_path.parent.mkdir()
    OmegaConf.save(cfg, run.config_path)
    experiment = build(cfg)
    dataset = experiment.load()
    card = {"classes": list(dataset.classes), "input": {"shape": [None, 28, 28]}}
    run.save_model(experiment.run(dataset).pipeline, card)
    run.save_neighbours(Neighbours.of(dataset.train, strokes=True, digits=False).arrays())
    run.finish("completed")
    point_latest(outputs, run)
