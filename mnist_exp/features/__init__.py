"""Features: transformers that scikit-learn lacks, and the joining of steps."""

from mnist_exp.features._learned import Dictionary, Reduced
from mnist_exp.features._transformers import Deskew, Hog, Pixels, chain

__all__ = [
    "Deskew",
    "Dictionary",
    "Hog",
    "Pixels",
    "Reduced",
    "chain",
]

# Where a class is found by configurations and model files, whichever file it lies in.
for _transformer in (Deskew, Dictionary, Hog, Pixels, Reduced):
    _transformer.__module__ = __name__
