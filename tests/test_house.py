"""The rooms keep their order: imports go one way, private files stay private, few know Hydra."""

import ast
import re
import tomllib
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import mnist_exp

ROOT = Path(__file__).parents[1]
KNOW_HYDRA = {f"mnist_exp.{name}" for name in ("config", "launch", "train", "trial")}
TOP_FILES = 15


def module_name(path):
    """`mnist_exp.runs._run` for a file; a package goes by its folder."""
    base = ROOT / "sweeper" if (ROOT / "sweeper") in path.parents else ROOT
    parts = path.relative_to(base).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


FILES = {
    module_name(path): path
    for folder in (ROOT / "mnist_exp", ROOT / "sweeper" / "hydra_optuna_search")
    for path in sorted(folder.rglob("*.py"))
}


def at_run_time(node):
    """Every node below that runs; what only a type checker sees is left out."""
    for child in ast.iter_child_nodes(node):
        if not (isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test)):
            yield child
            yield from at_run_time(child)


def imports_of(path):
    """The names of the modules that a file imports, inside functions too."""
    for node in at_run_time(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                yield whole if whole in FILES else node.module


IMPORTS = {name: set(imports_of(path)) for name, path in FILES.items()}


def room_of(module):
    """The folder that a module lies in; a package is a room itself."""
    return module if FILES[module].name == "__init__.py" else module.rpartition(".")[0]


def test_the_imports_are_read():
    assert "mnist_exp.errors" in IMPORTS["mnist_exp.config"]
    assert "mnist_exp.runs._run" in IMPORTS["mnist_exp.runs"]


def test_no_file_imports_itself_over_others():
    graph = {name: imports & FILES.keys() for name, imports in IMPORTS.items()}
    TopologicalSorter(graph).prepare()  # raises CycleError, which names the files of the circle


def test_private_files_are_imported_by_their_room_alone():
    trespassers = [
        f"{name} imports {imported}"
        for name, imports in IMPORTS.items()
        for imported in imports & FILES.keys()
        if imported.rpartition(".")[2].startswith("_") and room_of(name) != room_of(imported)
    ]
    assert trespassers == []


def test_few_files_know_hydra():
    knowing = {
        name
        for name, imports in IMPORTS.items()
        if any(module.split(".")[0] in ("hydra", "omegaconf") for module in imports)
    }
    assert {name for name in knowing if name.startswith("mnist_exp.")} <= KNOW_HYDRA


def test_few_files_stand_outside_the_rooms():
    assert len(list((ROOT / "mnist_exp").glob("*.py"))) <= TOP_FILES


@pytest.mark.parametrize("name", sorted(set(mnist_exp.__all__) - {"__version__"}))
def test_what_is_public_is_documented_with_an_example(name):
    documentation = getattr(mnist_exp, name).__doc__
    assert "Examples\n" in documentation
    assert ">>> " in documentation


def test_the_version_is_the_same_everywhere():
    number = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert f"version: {number}\n" in (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert f"## [{number}]" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_what_the_maps_name_is_there():
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    paths = re.findall(r"`((?:mnist_exp|sweeper|conf)/[\w./]*)`", text)
    missing = {path for path in paths if not (ROOT / path).exists()}
    assert missing <= {"conf/local/default.yaml"}  # a user's own
