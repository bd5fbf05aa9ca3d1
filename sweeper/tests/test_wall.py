"""The package stands alone: it imports no application, and its modules in one direction only."""

import ast
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import hydra_optuna_search
import hydra_plugins.hydra_optuna_search as plugin

PACKAGES = [Path(package.__file__).parent for package in (hydra_optuna_search, plugin)]
ALLOWED = {
    *("cloudpickle", "filelock", "hydra", "hydra_optuna_search", "hydra_plugins", "joblib"),
    *("numpy", "omegaconf", "optuna", "psutil", "rich", "sqlalchemy", "yaml"),
}


def imports():
    """Module name to the names that it imports."""
    found = {}
    for path in (path for package in PACKAGES for path in package.glob("*.py")):
        parts = path.with_suffix("").parts
        names = parts[parts.index("hydra_plugins") if "hydra_plugins" in parts else -2 :]
        module = ".".join(names).removesuffix(".__init__")
        found[module] = set()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom):
                found[module].add(node.module)
            elif isinstance(node, ast.Import):
                found[module].update(alias.name for alias in node.names)
    return found


def test_only_the_dependencies_are_imported():
    roots = {name.partition(".")[0] for names in imports().values() for name in names}
    assert roots - sys.stdlib_module_names <= ALLOWED


def test_no_module_imports_itself_through_others():
    modules = imports()
    TopologicalSorter({name: names & modules.keys() for name, names in modules.items()}).prepare()
