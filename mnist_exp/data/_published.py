"""Published datasets: bundled, or downloaded and verified against what was published."""

import errno
import logging
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from mnist_exp.data._dataset import Images, Labels, Part, Source
from mnist_exp.data._download import DownloadError, Mirrors
from mnist_exp.data._idx import FILES, Digest, IdxFiles, parse_idx
from mnist_exp.data._splits import part_rows
from mnist_exp.errors import UserError
from mnist_exp.handwriting import to_mnist
from mnist_exp.process import write_atomic

log = logging.getLogger(__name__)

MIRRORS_VARIABLE = "MNIST_EXP_MIRRORS"
ABANDONED_S = 3600  # no download lasts that long


@dataclass(frozen=True)
class Published:
    """IDX files that anybody may download: what they must be, and who has them."""

    name: str
    classes: tuple[str, ...]
    mirrors: tuple[str, ...]
    digests: Mapping[str, Digest]


# sha256 of the content, since mirrors compress differently.
MNIST = Published(
    "mnist",
    tuple("0123456789"),
    (
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        "https://storage.googleapis.com/cvdf-datasets/mnist/",
        "https://raw.githubusercontent.com/fgnt/mnist/master/",
    ),
    {
        "train-images-idx3-ubyte": Digest(
            "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db"
        ),
        "train-labels-idx1-ubyte": Digest(
            "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5"
        ),
        "t10k-images-idx3-ubyte": Digest(
            "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7"
        ),
        "t10k-labels-idx1-ubyte": Digest(
            "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2"
        ),
    },
)
# sha256 of the .gz: the digests that public loaders list beside the md5 of Zalando's README
# (torchvision checks those).
FASHION_MNIST = Published(
    "fashion_mnist",
    (
        "T-shirt/top",
        "Trouser",
        "Pullover",
        "Dress",
        "Coat",
        "Sandal",
        "Shirt",
        "Sneaker",
        "Bag",
        "Ankle boot",
    ),
    (
        "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
    ),
    {
        "train-images-idx3-ubyte": Digest(
            "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84", of_gz=True
        ),
        "train-labels-idx1-ubyte": Digest(
            "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845", of_gz=True
        ),
        "t10k-images-idx3-ubyte": Digest(
            "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073", of_gz=True
        ),
        "t10k-labels-idx1-ubyte": Digest(
            "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5", of_gz=True
        ),
    },
)


def digits(
    data_dir: str | Path | None = None, cache_dir: str | Path | None = None, name: str = "digits"
) -> Source:
    """Give the 1,797 8x8 digits bundled with scikit-learn, brought to 28x28 as MNIST looks.

    They are of Alpaydin and Kaynak (UCI). 500 of them, stratified, are the test part.

    Parameters
    ----------
    data_dir, cache_dir : str or Path, optional
        Not used: they are there because `dataset=auto` turns into `digits` or `mnist`.
    name : str
        What the dataset is called.

    Returns
    -------
    Source
        For `load`.

    Examples
    --------
    >>> from mnist_exp.data import load
    >>> dataset = load(digits())
    >>> dataset.train.images.shape, dataset.test.images.shape
    ((1297, 28, 28), (500, 28, 28))
    """
    return Source(name, _digits_part, lambda: tuple("0123456789"))


def _digits_part(which: Part, split_seed: int) -> tuple[Images, Labels]:
    from sklearn.datasets import load_digits

    bundled = load_digits()
    labels = bundled.target.astype(np.int64)
    rows = part_rows(labels, 500 / 1797, split_seed)[which]
    return np.stack([to_mnist(image) for image in bundled.images[rows]]), labels[rows]


def mnist(data_dir: str | Path, cache_dir: str | Path | None = None, name: str = "mnist") -> Source:
    """Give MNIST (LeCun, Cortes and Burges); what is missing or damaged is downloaded on loading.

    Parameters
    ----------
    data_dir : str or Path
        The files lie in its folder `mnist`, packed or not.
    cache_dir : str or Path, optional
        Where decoded images are kept.
    name : str
        What the dataset is called.

    Returns
    -------
    Source
        For `load`, which raises DownloadError if a file is missing and no mirror has it.

    Examples
    --------
    >>> source = mnist("data")
    >>> source.name, source.classes()[:3]
    ('mnist', ('0', '1', '2'))
    """
    return published(MNIST, data_dir, cache_dir, name)


def fashion_mnist(
    data_dir: str | Path, cache_dir: str | Path | None = None, name: str = "fashion_mnist"
) -> Source:
    """Give Fashion-MNIST (Zalando); what is missing or damaged is downloaded on loading.

    Of files that were unpacked by hand only the structure can be checked.

    Parameters
    ----------
    data_dir : str or Path
        The files lie in its folder `fashion_mnist`, packed or not.
    cache_dir : str or Path, optional
        Where decoded images are kept.
    name : str
        What the dataset is called.

    Returns
    -------
    Source
        For `load`, which raises DownloadError if a file is missing and no mirror has it.

    Examples
    --------
    >>> fashion_mnist("data").classes()[0]
    'T-shirt/top'
    """
    return published(FASHION_MNIST, data_dir, cache_dir, name)


def published(
    files: Published, data_dir: str | Path, cache_dir: str | Path | None, name: str
) -> Source:
    """Return a source of published files; MNIST_EXP_MIRRORS may hold other base addresses."""
    mirrors = Mirrors(os.environ.get(MIRRORS_VARIABLE, "").split() or files.mirrors)
    folder = Path(data_dir).expanduser() / files.name
    downloaded = _DownloadedFiles(folder, cache_dir, files.digests, mirrors)
    return Source(name, downloaded.part, lambda: files.classes)


def decide_auto(
    data_dir: str | Path, cache_dir: str | Path | None = None
) -> Literal["mnist", "digits"]:
    """Say what `dataset=auto` stands for: MNIST if it is on disk or a mirror has it, else digits.

    The digits come with a warning. Damaged files that cannot be replaced are an error instead: who
    put them there wants MNIST. With `cache_dir` the images are decoded and cached in passing, and
    the next decision takes milliseconds.
    """
    source = mnist(data_dir, cache_dir)
    try:
        for part in FILES:
            source.part(part, 0)
    except DownloadError as error:
        log.warning(
            "MNIST IS NOT AVAILABLE: dataset=auto uses the 1,797 digits bundled with scikit-learn "
            "instead.\n%s",
            error,
        )
        return "digits"
    return "mnist"


def auto(**parameters: object) -> Source:
    """Raise: an entry point puts the choice of `decide_auto` in its place, once per command."""
    raise RuntimeError("dataset=auto must be settled with decide_auto() before it is built")


@dataclass(frozen=True)
class _DownloadedFiles(IdxFiles):
    """IDX files that are verified, and downloaded where they are missing or damaged."""

    digests: Mapping[str, Digest]
    mirrors: Mirrors

    def array(self, name: str, dimensions: int) -> Images:
        """Return the values of the first valid file, or of a new one."""
        damage = []
        for path in self.paths(name):
            try:
                return self.read(path, dimensions, self.digests[name])
            except UserError as error:
                damage.append(str(error))
        return self._download(name, dimensions, "\n".join(damage))

    def _download(self, name: str, dimensions: int, damage: str) -> Images:
        """Replace or add `name.gz`; what is there stays until the new content is verified."""
        path, digest = self.folder / f"{name}.gz", self.digests[name]
        if damage:
            log.warning("%s; it is downloaded again", damage)
        try:
            _check_writable(self.folder)
            content = self.mirrors.fetch(path.name, lambda raw: parse_idx(raw, dimensions, digest))
            self.folder.mkdir(parents=True, exist_ok=True)
            for abandoned in path.parent.glob(f".{path.name}.*.tmp"):  # by a killed process
                if time.time() - abandoned.stat().st_mtime > ABANDONED_S:
                    abandoned.unlink(missing_ok=True)
            write_atomic(path, lambda temporary: temporary.write_bytes(content))
        except (DownloadError, OSError) as error:
            reasons = f"  {self.folder}: {error.strerror}" if isinstance(error, OSError) else error
            # dataset=auto goes on without missing files, but not without damaged ones.
            kind = UserError if damage else DownloadError
            raise kind(
                f"{damage or f'{path} is missing'} and cannot be downloaded:\n{reasons}\n"
                f"Put the four files into {self.folder}, or choose dataset=digits."
            ) from error
        log.info("downloaded %s", path)
        return self.read(path, dimensions, digest)


def _check_writable(folder: Path) -> None:
    """Raise before a download what writing it would raise after it."""
    there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not there.is_dir():
        raise UserError(f"{there} is a file; data_dir must be a folder")
    if not os.access(there, os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
