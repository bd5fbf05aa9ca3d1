"""Files from the first mirror that has the right ones, and a quick, plain answer if none has."""

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from threading import Event, Thread

from mnist_exp.errors import UserError
from mnist_exp.process import progress_bar

log = logging.getLogger(__name__)


class DownloadError(UserError):
    """No mirror gave the file: the message has a line for each of them."""


@dataclass(frozen=True)
class Limits:
    """When to give up: offline, all mirrors are through in `answer_s` seconds, DNS included."""

    connect_s: float = 3.0
    read_s: float = 10.0  # between two pieces of an answer
    answer_s: float = 10.0  # until all mirrors have begun an answer; a third of it for each at most
    grace_s: float = 10.0
    slowest: float = 32e3  # bytes/s after the grace; MNIST's 12 MB would take longer than `total_s`
    total_s: float = 300.0  # for everything that one source downloads
    max_bytes: int = 2**26


class Mirrors:
    """Addresses of the same files, the preferred first; one that failed is not asked again."""

    def __init__(self, addresses: Sequence[str], limits: Limits | None = None) -> None:
        self._addresses = addresses
        self._limits = limits or Limits()
        self._failed: dict[str, str] = {}
        self._left_s = self._limits.total_s

    def fetch(self, name: str, check: Callable[[bytes], object]) -> bytes:
        """Return a file's bytes that `check` accepts; DownloadError with each mirror's reason."""
        for address in self._addresses:
            if address in self._failed:
                continue
            started = time.monotonic()
            try:
                content = self._transfer(f"{address.rstrip('/')}/{name}")
                check(content)
            except (OSError, ValueError) as error:  # all of requests' are one or the other
                self._failed[address] = _reason(error)
                log.info("%s from %s: %s", name, address, self._failed[address])
            else:
                return content
            finally:
                self._left_s -= time.monotonic() - started
        reasons = [f"  {address}: {reason}" for address, reason in self._failed.items()]
        raise DownloadError("\n".join(reasons))

    def _transfer(self, url: str) -> bytes:
        """Watch a download in a thread, which is left behind if need be: DNS knows no time-out."""
        limits = self._limits
        transfer = _Transfer(url, limits)
        answer_s = limits.answer_s / max(3, len(self._addresses))
        started = time.monotonic()
        with progress_bar(url.rpartition("/")[2]) as show:
            while not transfer.done.wait(0.05):
                seconds, size = time.monotonic() - started, len(transfer.content)
                if transfer.total is None and seconds > answer_s:
                    transfer.give_up(f"no answer within {answer_s:.3g} s")
                elif seconds > limits.grace_s and size < limits.slowest * seconds:
                    transfer.give_up(f"too slow ({size / seconds / 1e3:.3g} kB/s)")
                elif seconds > self._left_s:
                    transfer.give_up(f"not done within {limits.total_s:.3g} s")
                show(size, transfer.total or 0)
        if transfer.error:
            raise transfer.error
        return bytes(transfer.content)


class _Transfer:
    """One download into memory, where it stays until it is verified."""

    def __init__(self, url: str, limits: Limits) -> None:
        self.content = bytearray()
        self.done = Event()
        self.error: Exception | None = None
        self.total: int | None = None  # bytes, once the server answers; 0 if it does not say
        Thread(target=self._run, args=[url, limits], daemon=True).start()

    def give_up(self, reason: str) -> None:
        """Stop waiting; the thread ends at its next piece of data, if it ever gets one."""
        self.error = TimeoutError(reason)
        self.done.set()

    def _run(self, url: str, limits: Limits) -> None:
        import requests

        try:
            times = (limits.connect_s, limits.read_s)
            with requests.get(url, stream=True, timeout=times) as response:
                response.raise_for_status()
                self.total = int(response.headers.get("content-length", 0))
                for piece in response.iter_content(2**14):
                    self.content += piece
                    if len(self.content) > limits.max_bytes:
                        self.give_up(f"more than {limits.max_bytes:,} bytes")
                    if self.done.is_set():
                        break
        except Exception as error:  # handed to the thread that waits
            self.error = self.error or error
        self.done.set()


def _reason(error: Exception) -> str:
    """A few words; an exception of requests holds those of urllib3 and of the system as text."""
    text = str(error)
    known = {
        "NameResolution": "its name was not found",
        "refused": "connection refused",
        "unreachable": "network unreachable",
        "ConnectTimeout": "no connection",
        "timed out": "it stopped answering",
        "CERTIFICATE": "its certificate is not trusted",
        "Incomplete": "the connection broke off",
        "ended prematurely": "the connection broke off",
    }
    return next(
        (words for sign, words in known.items() if sign in text),
        text.partition(" for url")[0][:120],
    )
