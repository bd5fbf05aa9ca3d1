"""Published datasets: bundled, or downloaded and verified against what was published."""

import errno
import functools
import logging
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal
from zipfile import BadZipFile, ZipFile

import numpy as np

from mnist_exp.data._arrays import turned
from mnist_exp.data._dataset import Images, Labels, Part, Source, given_folder
from mnist_exp.data._download import DownloadError, Limits, Mirrors
from mnist_exp.data._idx import FILES, ROLES, Digest, parse_idx, read_idx, spellings
from mnist_exp.data._mirrors import (
    FASHION_MNIST,
    KMNIST,
    MIRRORS_VARIABLE,
    MNIST,
    QMNIST,
    QMNIST_PARTS,
    Published,
    emnist_files,
)
from mnist_exp.data._splits import part_rows
from mnist_exp.errors import UserError
from mnist_exp.handwriting import to_mnist
from mnist_exp.process import write_atomic

log = logging.getLogger(__name__)

ABANDONED_S = 3600  # no download lasts that long
ARCHIVE_LIMITS = Limits(total_s=3600, max_bytes=2**30)  # EMNIST's has 562 MB


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
    images, labels = _bundled_digits()
    rows = part_rows(labels, 500 / 1797, split_seed)[which]
    return images[rows], labels[rows]


@functools.cache  # both parts are taken from it, and by every job of a grid
def _bundled_digits() -> tuple[Images, Labels]:
    from sklearn.datasets import load_digits

    bundled = load_digits()
    return np.stack([to_mnist(image) for image in bundled.images]), bundled.target.astype(np.int64)


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


def kmnist(
    data_dir: str | Path,
    cache_dir: str | Path | None = None,
    path: str | Path | None = None,
    name: str = "kmnist",
) -> Source:
    """Give Kuzushiji-MNIST (Clanuwat and others 2018): ten letters of old Japanese print.

    Parameters
    ----------
    data_dir : str or Path
        The files lie in its folder `kmnist`; what is missing is downloaded on loading.
    cache_dir : str or Path, optional
        Where decoded images are kept.
    path : str or Path, optional
        Another folder with the files; nothing is downloaded into it.
    name : str
        What the dataset is called.

    Returns
    -------
    Source
        For `load`.

    Examples
    --------
    >>> kmnist("data").classes()[:3]
    ('o', 'ki', 'su')
    """
    return published(KMNIST, data_dir, cache_dir, name, path)


def qmnist(
    data_dir: str | Path,
    cache_dir: str | Path | None = None,
    path: str | Path | None = None,
    part: str = "test",
    name: str = "qmnist",
) -> Source:
    """Give QMNIST (Yadav and Bottou 2019): MNIST rebuilt, with the 50,000 lost test digits.

    Parameters
    ----------
    data_dir : str or Path
        The files lie in its folder `qmnist`; what is missing is downloaded on loading.
    cache_dir : str or Path, optional
        Where decoded images are kept.
    path : str or Path, optional
        Another folder with the files; nothing is downloaded into it.
    part : str
        Which test digits: `test` for all 60,000, `test10k` for those that MNIST has, `test50k` for
        those that nobody has tuned to.
    name : str
        What the dataset is called.

    Returns
    -------
    Source
        For `load`.

    Examples
    --------
    >>> qmnist("data", part="test50k").name
    'qmnist'
    """
    if part not in QMNIST_PARTS:
        raise UserError(f"dataset.part={part}: must be one of {', '.join(QMNIST_PARTS)}")
    source = published(QMNIST, data_dir, cache_dir, name, path)

    def chosen(which: Part, split_seed: int) -> tuple[Images, Labels]:
        images, labels = source.part(which, split_seed)
        rows = QMNIST_PARTS[part] if which == "test" else slice(None)
        return images[rows], labels[rows]

    return Source(name, chosen, source.classes)


def emnist(
    data_dir: str | Path,
    cache_dir: str | Path | None = None,
    path: str | Path | None = None,
    split: str = "digits",
    transpose: bool = True,
    name: str = "emnist",
) -> Source:
    """Give EMNIST (Cohen and others 2017), turned upright, with its letters as class names.

    Parameters
    ----------
    data_dir : str or Path
        The files, or the published gzip.zip, lie in its folder `emnist`; the zip (562 MB) is
        downloaded on loading if neither is there.
    cache_dir : str or Path, optional
        Where decoded images are kept.
    path : str or Path, optional
        Another folder with the files; nothing is downloaded into it.
    split : str
        `digits`, `mnist`, `letters`, `balanced`, `bymerge` or `byclass`.
    transpose : bool
        Turn images about their diagonal, since the files' lie on their side. A run records it, so
        that files given to `predict` are turned as well.
    name : str
        What the dataset is called.

    Returns
    -------
    Source
        For `load`.

    Examples
    --------
    >>> "".join(emnist("data", split="letters").classes()[:5])
    'ABCDE'
    """
    return published(
        replace(emnist_files(split), transposed=transpose), data_dir, cache_dir, name, path
    )


def published(
    files: Published,
    data_dir: str | Path,
    cache_dir: str | Path | None,
    name: str,
    path: str | Path | None = None,
) -> Source:
    """Return a source of published files; MNIST_EXP_MIRRORS may hold other base addresses."""
    addresses = os.environ.get(MIRRORS_VARIABLE, "").split() or files.mirrors
    limits = ARCHIVE_LIMITS if files.archive else Limits()
    mirrors = Mirrors(addresses if path is None else (), limits)
    folder = Path(data_dir).expanduser() / files.name if path is None else given_folder(path, name)
    downloaded = _DownloadedFiles(files, folder, cache_dir, mirrors, path is not None)
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
class _DownloadedFiles:
    """IDX files that are verified, and downloaded where they are missing or damaged."""

    files: Published
    folder: Path
    cache_dir: str | Path | None
    mirrors: Mirrors
    given: bool  # by the user, so that only the structure is verified, and nothing downloaded

    def part(self, which: Part, split_seed: int) -> tuple[Images, Labels]:
        """Read one part."""
        images, labels = (
            self._array(name, role)
            for name, role in zip(self.files.files[which], ROLES, strict=True)
        )
        if len(images) != len(labels):
            raise UserError(f"{self.folder}: {len(images)} images, but {len(labels)} labels")
        if self.files.transposed:
            images = turned(images)
        return images, labels - self.files.first_label if self.files.first_label else labels

    def _array(self, name: str, role: str) -> Any:
        """Return the values of the first valid file, or of a new one."""
        digest = None if self.given else self.files.digests.get(name)
        damage = []
        for path in spellings(self.folder, name):
            try:
                return read_idx(path, role, self.cache_dir, digest)
            except UserError as error:
                damage.append(str(error))
        if self.given:
            raise UserError("\n".join(damage) or f"{self.folder}: {name}.gz is missing")
        path = self._download(f"{name}.gz", role, digest, "\n".join(damage))
        return read_idx(path, role, self.cache_dir, digest)

    def _download(self, name: str, role: str, digest: Digest | None, damage: str) -> Path:
        """Replace or add a file; what is there stays until the new content is verified."""
        path, archive = self.folder / name, self.files.archive
        if damage:
            log.warning("%s; it is downloaded again", damage)
        try:
            _check_writable(self.folder)
            if archive:
                self._fetch(archive.name, archive.digest.check)
                content = _member(self.folder / archive.name, archive.member.format(name))
                write_atomic(path, lambda temporary: temporary.write_bytes(content))
            else:
                self._fetch(name, lambda raw: parse_idx(raw, role, digest), replace=True)
        except (DownloadError, OSError) as error:
            reasons = f"  {self.folder}: {error.strerror}" if isinstance(error, OSError) else error
            # dataset=auto goes on without missing files, but not without damaged ones.
            kind = UserError if damage else DownloadError
            needed = archive.name if archive else "the four files"
            raise kind(
                f"{damage or f'{path} is missing'} and cannot be downloaded:\n{reasons}\n"
                f"Put {needed} into {self.folder}, or choose dataset=digits."
            ) from error
        return path

    def _fetch(self, name: str, check: Callable[[bytes], object], replace: bool = False) -> None:
        """Download one file into the folder, unless it is there and need not be replaced."""
        path = self.folder / name
        if path.is_file() and not replace:
            return
        content = self.mirrors.fetch(name, check)
        self.folder.mkdir(parents=True, exist_ok=True)
        for abandoned in path.parent.glob(f".{name}.*.tmp"):  # by a killed process
            if time.time() - abandoned.stat().st_mtime > ABANDONED_S:
                abandoned.unlink(missing_ok=True)
        write_atomic(path, lambda temporary: temporary.write_bytes(content))
        log.info("downloaded %s", path)


def _member(archive: Path, name: str) -> bytes:
    try:
        with ZipFile(archive) as opened:
            return opened.read(name)
    except (BadZipFile, KeyError) as error:
        raise UserError(f"{archive}: no {name} in it, or damaged; remove it ({error})") from error


def _check_writable(folder: Path) -> None:
    """Raise before a download what writing it would raise after it."""
    there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not there.is_dir():
        raise UserError(f"{there} is a file; data_dir must be a folder")
    if not os.access(there, os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
