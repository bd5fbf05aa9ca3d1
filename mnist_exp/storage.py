"""Models on disk: skops files, which hold no code, instead of pickles, which run it."""

import zipfile
from pathlib import Path
from typing import Any


def dump_model(pipeline: Any, path: Path) -> None:
    """Write a fitted pipeline, deflated at the fastest level: forests shrink sixfold, and higher levels gain little."""
    import skops.io

    # The suffix of a temporary name means nothing to skops, and a file object keeps it from caring.
    with path.open("wb") as file:
        skops.io.dump(pipeline, file, compression=zipfile.ZIP_DEFLATED, compresslevel=1)
