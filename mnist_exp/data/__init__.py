"""Datasets: `load(mnist("data"), train_size=5000)` gives a `Dataset` of splits.

One function per source, one YAML for each in conf/dataset/.
"""

from mnist_exp.data._dataset import Dataset, Images, Labels, Part, Source, Split
from mnist_exp.data._doubts import doubts
from mnist_exp.data._download import DownloadError
from mnist_exp.data._file import file, table_images
from mnist_exp.data._folder import PICTURE_SUFFIXES, folder
from mnist_exp.data._idx import idx
from mnist_exp.data._published import (
    auto,
    decide_auto,
    digits,
    emnist,
    fashion_mnist,
    kmnist,
    mnist,
    qmnist,
)
from mnist_exp.data._splits import load

__all__ = [
    "PICTURE_SUFFIXES",
    "Dataset",
    "DownloadError",
    "Images",
    "Labels",
    "Part",
    "Source",
    "Split",
    "auto",
    "decide_auto",
    "digits",
    "doubts",
    "emnist",
    "fashion_mnist",
    "file",
    "folder",
    "idx",
    "kmnist",
    "load",
    "mnist",
    "qmnist",
    "table_images",
]
