"""Reading files of any origin and age: bounded in size, nothing executed, addresses renewed."""

import stat
from pathlib import Path
from typing import Any
from zipfile import ZipInfo

import yaml
from numpy.lib.npyio import NpzFile

from mnist_exp.errors import UserError

# libyaml's loader, where PyYAML was built with it, is five times faster.
_YAML_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
MOST_TEXT = 64 * 2**20  # bytes of a text file in a run folder, far more than any run writes
MOST_UNPACKED = 2**30  # bytes of a predictions file
# Classes that moved: run folders of earlier versions name them by their old addresses.
MOVED = {  # version 0.1.0 -> now
    "mnist_exp.dictionary.Dictionary": "mnist_exp.features.Dictionary",
    "mnist_exp.reduction.Reduced": "mnist_exp.features.Reduced",
    "mnist_exp.random_features.RandomFeatures": "mnist_exp.models.RandomFeatures",
}


def read_text(path: Path) -> str:
    """A file's text; OSError for a device or pipe, which may never end, and for a huge file."""
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise OSError("not a regular file")
    if status.st_size > MOST_TEXT:
        raise OSError(f"{status.st_size / 1e6:.0f} MB are too many")
    return path.read_text(encoding="utf-8")


def parts(arrays: NpzFile) -> dict[str, ZipInfo]:
    """What the archive lists, before anything is unpacked."""
    return {} if arrays.zip is None else {part.filename: part for part in arrays.zip.infolist()}


def check_size(arrays: NpzFile) -> None:
    """Raise UserError for an archive that would fill the memory."""
    unpacked = sum(part.file_size for part in parts(arrays).values())
    if unpacked > MOST_UNPACKED:
        raise UserError(f"it unpacks to {unpacked / 1e6:,.0f} MB")


def parse_yaml(text: str) -> Any:
    """YAML as plain data; raises yaml.YAMLError."""
    return yaml.load(text, Loader=_YAML_LOADER)  # noqa: S506  (both are safe)


def current_targets(config: Any) -> Any:
    """A configuration, as plain data, with every `_target_` that moved at its new address.

    What YAML's aliases share stays shared: unfolded, a few lines of them would fill any memory.
    """
    converted: dict[int, Any] = {}

    def convert(node: Any) -> Any:
        if not isinstance(node, dict | list):
            return node
        if id(node) not in converted:
            converted[id(node)] = (
                [convert(item) for item in node]
                if isinstance(node, list)
                else {
                    key: MOVED.get(value, value)
                    if key == "_target_" and isinstance(value, str)
                    else convert(value)
                    for key, value in node.items()
                }
            )
        return converted[id(node)]

    return convert(config)
