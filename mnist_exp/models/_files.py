"""Models on disk: skops files, which hold no code, instead of pickles, which run it."""

import io
import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mnist_exp.errors import UserError

# What a model file may hold beyond the numbers, containers and estimators that skops itself allows.
# A new estimator or transformer adds its types here. Where compiled code follows indices or sizes
# that the file holds, mnist_exp/models/_checks.py has to check them too.
ALLOWED = (
    "mnist_exp.features.Deskew",
    "mnist_exp.features.Dictionary",
    "mnist_exp.features.Hog",
    "mnist_exp.features.Pixels",
    "mnist_exp.features.Reduced",
    "mnist_exp.models.Calibrated",
    "mnist_exp.models.Isotonic",
    "mnist_exp.models.RandomFeatures",
    "mnist_exp.models.Temperature",
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
_SCHEMA = "schema.json"  # where skops says what is in its file


def dump_model(pipeline: Any, path: Path) -> None:
    """Write a fitted pipeline as a skops file.

    Deflated at the fastest level: forests shrink sixfold, and higher levels gain little.

    Parameters
    ----------
    pipeline
        Whatever `load_model` shall return: a pipeline, a transformer, an estimator.
    path
        The file; overwritten, not atomically.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> from mnist_exp.features import Hog
    >>> from mnist_exp.models import dump_model, load_model
    >>> with TemporaryDirectory() as folder:
    ...     path = Path(folder) / "model.skops"
    ...     dump_model(Hog(cell=7), path)
    ...     load_model(path.read_bytes(), path.name)
    Hog(cell=7)
    """
    import skops.io

    # The suffix of a temporary name means nothing to skops, which a file object keeps from looking.
    with path.open("wb") as file:
        skops.io.dump(pipeline, file, compression=zipfile.ZIP_DEFLATED, compresslevel=1)


def load_model(content: bytes, name: str, moved: Mapping[str, str] | None = None) -> Any:
    """Return the pipeline in a skops file; example: see `dump_model`.

    No type is built that is not allowed, and what compiled code would follow blindly is checked.

    Parameters
    ----------
    content
        The file's bytes and not its path, so that what was checked before (its sha256) is what is
        loaded.
    name
        The file's name, for messages.
    moved
        Addresses of classes in files of earlier versions, and their new ones.

    Raises
    ------
    UserError
        If the file is no skops file, is damaged, or is not safe to use.
    """
    import skops.io
    from skops.io.exceptions import UntrustedTypesFoundException

    from mnist_exp.models._checks import check_model

    try:
        _check_size(content, name)
        pipeline = skops.io.loads(_at_new_addresses(content, moved or {}), trusted=list(ALLOWED))
        check_model(pipeline)
    except UntrustedTypesFoundException as error:
        types = str(error).partition("\n")[0].partition("file: ")[2].rstrip(".")
        raise UserError(
            f"{name}: holds types that are not allowed: {types} (see mnist_exp/models/_files.py)"
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
    if unpacked > max(2**26, _UNPACKED * len(content)):  # 64 MB do no harm
        raise UserError(f"{name}: would unpack to {unpacked / 1e6:,.0f} MB, and is not opened")


def _at_new_addresses(content: bytes, moved: Mapping[str, str]) -> bytes:
    """Return a skops file in which every class stands at the address that it has now."""

    def renamed(node: dict[str, Any]) -> dict[str, Any]:
        address = moved.get(f"{node.get('__module__')}.{node.get('__class__')}")
        if address is not None:
            node["__module__"], _, node["__class__"] = address.rpartition(".")
        return node

    with zipfile.ZipFile(io.BytesIO(content)) as packed:
        schema = packed.read(_SCHEMA).decode()
        if not any(f'"{old.rpartition(".")[0]}"' in schema for old in moved):
            return content
        schema = json.dumps(json.loads(schema, object_hook=renamed))
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as rewritten:
            for name in packed.namelist():
                rewritten.writestr(name, schema if name == _SCHEMA else packed.read(name))
    return buffer.getvalue()
