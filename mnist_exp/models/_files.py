"""Models on disk: skops files, which hold no code, instead of pickles, which run it."""

import io
import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mnist_exp.errors import UserError

# What may stand in a model file beyond the numbers, containers and scikit-learn estimators that skops allows itself.
# A new estimator or transformer adds its types here. Where compiled code follows indices or sizes that a file holds,
# mnist_exp/models/_checks.py has to check them too.
ALLOWED = (
    "mnist_exp.features.Deskew",
    "mnist_exp.features.Dictionary",
    "mnist_exp.features.Hog",
    "mnist_exp.features.Pixels",
    "mnist_exp.features.Reduced",
    "mnist_exp.models.RandomFeatures",
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
    "sklearn.metrics._dist_metrics.EuclideanDistance64",
    "sklearn.metrics._dist_metrics.ManhattanDistance64",
    "sklearn.metrics._dist_metrics.MinkowskiDistance64",
    "sklearn.neighbors._ball_tree.BallTree",
    "sklearn.neighbors._kd_tree.KDTree",
    "sklearn.neural_network._stochastic_optimizers.AdamOptimizer",
    "sklearn.neural_network._stochastic_optimizers.SGDOptimizer",
    "sklearn.tree._tree.Tree",
)
_UNPACKED = 100  # times the file's size; forests unpack to six times, and a bomb to a thousand
_SMALL = 2**26
SCHEMA = "schema.json"  # where skops says what is in its file


def dump_model(pipeline: Any, path: Path) -> None:
    """Write a fitted pipeline, deflated at the fastest level: forests shrink sixfold, and higher
    levels gain little.
    """
    import skops.io

    # The suffix of a temporary name means nothing to skops, and a file object keeps it from caring.
    with path.open("wb") as file:
        skops.io.dump(pipeline, file, compression=zipfile.ZIP_DEFLATED, compresslevel=1)


def load_model(content: bytes, name: str, moved: Mapping[str, str] | None = None) -> Any:
    """The pipeline in a skops file's bytes; UserError, with the file's name, for anything not safe
    to use.

    `moved` maps addresses of classes in files of earlier versions to their new ones. No type is
    built that is not allowed, and what compiled code would follow blindly is checked. The bytes and
    not the path, so that what was checked before (its sha256) is what is loaded.
    """
    import skops.io
    from skops.io.exceptions import UntrustedTypesFoundException

    from mnist_exp.models._checks import check_sound

    try:
        _check_size(content, name)
        pipeline = skops.io.loads(_with_new_addresses(content, moved or {}), trusted=list(ALLOWED))
        check_sound(pipeline)
    except UntrustedTypesFoundException as error:
        found = str(error).partition("\n")[0].partition("file: ")[2].rstrip(".")
        raise UserError(
            f"{name}: holds types that are not allowed: {found} (see mnist_exp/models/_files.py)"
        ) from error
    except zipfile.BadZipFile as error:
        raise UserError(
            f"{name}: not a skops file; a pickle is never opened, since it would run code"
        ) from error
    except UserError:
        raise
    except Exception as error:  # a crafted file fails in as many ways as it has parts
        raise UserError(f"{name}: not a sound model ({type(error).__name__}: {error})") from error
    return pipeline


def _check_size(content: bytes, name: str) -> None:
    with zipfile.ZipFile(io.BytesIO(content)) as packed:
        unpacked = sum(member.file_size for member in packed.infolist())
    if unpacked > max(_SMALL, _UNPACKED * len(content)):
        raise UserError(f"{name}: would unpack to {unpacked / 1e6:,.0f} MB, and is not opened")


def _with_new_addresses(content: bytes, moved: Mapping[str, str]) -> bytes:
    """Return a skops file in which every class stands under the address that it has now."""

    def renamed(node: dict[str, Any]) -> dict[str, Any]:
        address = moved.get(f"{node.get('__module__')}.{node.get('__class__')}")
        if address is None:
            return node
        module, _, name = address.rpartition(".")
        return {**node, "__module__": module, "__class__": name}

    with zipfile.ZipFile(io.BytesIO(content)) as packed:
        schema = packed.read(SCHEMA).decode()
        if not any(f'"{old.rpartition(".")[0]}"' in schema for old in moved):
            return content
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as rewritten:
            for name in packed.namelist():
                if name != SCHEMA:
                    rewritten.writestr(name, packed.read(name))
            rewritten.writestr(SCHEMA, json.dumps(json.loads(schema, object_hook=renamed)))
    return buffer.getvalue()
