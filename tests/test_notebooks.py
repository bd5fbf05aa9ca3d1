"""The notebooks run from top to bottom on the bundled digits, are short, and are committed without
outputs.
"""

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


def test_there_are_three():
    assert [path.stem for path in NOTEBOOKS] == [
        "01_Data_Exploration",
        "02_Model_Training",
        "03_Error_Analysis",
    ]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_short_and_carries_no_outputs(path):
    cells = nbformat.read(path, as_version=4).cells
    assert len(cells) < 30
    for cell in cells:
        assert len(cell.source.splitlines()) <= 15
        assert not cell.get("outputs")
        assert cell.get("execution_count") is None


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs_without_mnist_and_without_a_network(path, tmp_path, monkeypatch):
    monkeypatch.setenv("MNIST_EXP_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("MNIST_EXP_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("MNIST_EXP_MIRRORS", "http://127.0.0.1:9/")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # work this small is slower on more
    notebook = nbformat.read(path, as_version=4)
    NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(tmp_path)}}).execute()
    pictures = [
        output
        for cell in notebook.cells
        for output in cell.get("outputs", [])
        if "image/png" in output.get("data", {})
    ]
    assert pictures
