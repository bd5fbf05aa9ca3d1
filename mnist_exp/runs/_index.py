"""What was read of run folders, kept from one command to the next in one file of SQLite.

It is a cache: deleting it loses nothing, and nothing in it is believed unless the files that it was
read from are still the same ones, by inode, size and times. It may be shared by any number of
processes; one that cannot be used, locked or damaged, is done without.
"""

import hashlib
import logging
import os
import sqlite3
import stat
import time
from collections.abc import Iterable, Mapping
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

log = logging.getLogger(__name__)

VERSION = 2  # of what the entries hold
FILE = f"runs-{VERSION}.sqlite"
SETTLED_NS = 2 * 10**9  # a younger file may change again within one tick of its clock
PATIENCE_SECONDS = 5
LONGEST_UNUSED_DAYS = 90
AT_ONCE = 500  # keys in one question; SQLite takes 999 and more
_DAY = 86_400


def default_cache() -> Path:
    """The cache folder, as conf/train.yaml has it."""
    from platformdirs import user_cache_dir

    return Path(os.environ.get("MNIST_EXP_CACHE") or user_cache_dir("mnist_exp", appauthor=False))


class Fingerprint(NamedTuple):
    """What the files of a run's folder were like at a moment.

    Attributes
    ----------
    key : bytes
        Equal ones mean that no file has changed, come or gone.
    settled : bool
        Whether the files had been left alone for long enough to trust that.
    links : tuple of str
        Those that are symbolic links.
    """

    key: bytes
    settled: bool
    links: tuple[str, ...]


def fingerprint(folder: str, kind: str, files: Iterable[str]) -> Fingerprint:
    """Look at files of a folder, without opening them; `kind` is what is to be read from them."""
    newest = 0
    parts: list[object] = [kind]
    links: tuple[str, ...] = ()
    for name in files:
        path = f"{folder}{os.sep}{name}"
        try:
            status = os.lstat(path)
            if stat.S_ISLNK(status.st_mode):
                links = (*links, name)
                status = os.stat(path)  # noqa: PTH116  (thousands of them)
        except (OSError, ValueError):
            parts.append(None)
            continue
        modified, changed = status.st_mtime_ns, status.st_ctime_ns
        parts += status.st_dev, status.st_ino, status.st_size, modified, changed
        newest = max(newest, modified, changed)
    key = hashlib.blake2b(repr(parts).encode(), digest_size=16).digest()
    return Fingerprint(key, newest < time.time_ns() - SETTLED_NS, links)


class Index:
    """Bytes by key; every method does its best, and none raises for what is wrong with the file.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     index = Index(Path(folder))
    ...     index.put({b"key": b"what was read"})
    ...     print(index.get([b"key", b"other"]))
    {b'key': b'what was read'}
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / FILE
        self._usable = True

    def get(self, keys: Iterable[bytes]) -> dict[bytes, bytes]:
        """The entries that there are."""
        wanted = list(keys)
        if not (wanted and self._usable and self.path.exists()):
            return {}
        entries: dict[bytes, bytes] = {}
        try:
            with closing(self._connect()) as connection:
                for first in range(0, len(wanted), AT_ONCE):
                    some = wanted[first : first + AT_ONCE]
                    marks = ",".join("?" * len(some))
                    question = f"SELECT key, value FROM entries WHERE key IN ({marks})"  # noqa: S608
                    entries |= connection.execute(question, some)
                today = int(time.time()) // _DAY
                mark = "UPDATE entries SET used = ? WHERE key = ? AND used < ?"
                # Once a week is enough to keep what is in use, and most readings write nothing.
                old = connection.execute(
                    "SELECT 1 FROM entries WHERE used < ? LIMIT 1", [today - 7]
                )
                if old.fetchone():
                    with connection:
                        connection.executemany(mark, [(today, key, today - 7) for key in entries])
        except sqlite3.Error as error:
            self._fail(error)
        return entries

    def put(self, entries: Mapping[bytes, bytes]) -> None:
        """Keep these entries, and forget those that nobody has asked for in a long time."""
        if not (entries and self._usable):
            return
        today = int(time.time()) // _DAY
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with closing(self._connect()) as connection, connection:
                connection.execute("BEGIN IMMEDIATE")
                connection.execute(
                    "CREATE TABLE IF NOT EXISTS entries "
                    "(key BLOB PRIMARY KEY, used INTEGER NOT NULL, value BLOB NOT NULL)"
                )
                connection.executemany(
                    "INSERT OR REPLACE INTO entries VALUES (?, ?, ?)",
                    [(key, today, value) for key, value in entries.items()],
                )
                connection.execute(
                    "DELETE FROM entries WHERE used < ?", [today - LONGEST_UNUSED_DAYS]
                )
        except (sqlite3.Error, OSError) as error:
            self._fail(error)

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self.path, timeout=PATIENCE_SECONDS, isolation_level=None)
        # A power cut may damage it, and then it is made anew: no need to wait for the disk.
        connection.execute("PRAGMA synchronous = OFF")
        return connection

    def _fail(self, error: Exception) -> None:
        """Make way for a new file if this one is damaged; otherwise go on without."""
        message = str(error)
        if "no such table" in message:  # another process is about to make it
            return
        damaged = isinstance(error, sqlite3.DatabaseError) and not isinstance(
            error, sqlite3.OperationalError
        )
        log.info("the index %s is %s: %s", self.path, "made anew" if damaged else "unused", message)
        if damaged:
            for ending in ("", "-journal"):
                Path(f"{self.path}{ending}").unlink(missing_ok=True)
        else:
            self._usable = False


def shared_index() -> Index:
    """The index in the default cache folder."""
    return Index(default_cache())
