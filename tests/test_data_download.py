"""Downloads against real servers on the loopback interface: good, wrong, slow, dead, and two
processes at once.
"""

import gzip
import hashlib
import logging
import os
import subprocess
import sys
import time
from dataclasses import replace
from functools import partial
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler
from pathlib import Path
from zipfile import ZipFile

import numpy as np
import pytest

from conftest import write_idx, write_idx_part
from mnist_exp.data import (
    DownloadError,
    _mirrors,
    _published,
    decide_auto,
    emnist,
    fashion_mnist,
    kmnist,
    load,
    mnist,
    qmnist,
)
from mnist_exp.data._download import Limits, Mirrors
from mnist_exp.data._idx import Digest
from mnist_exp.data._mirrors import KMNIST, QMNIST, Published, emnist_files
from mnist_exp.data._published import published
from mnist_exp.errors import UserError

NOWHERE = "http://127.0.0.1:9/"  # the discard port: nothing listens
NAME = "train-images-idx3-ubyte.gz"


class Answer(BaseHTTPRequestHandler):
    """Answers with what the class says, and counts."""

    status, body, promised, pause_s, requests = 200, b"", None, 0.0, 0

    def do_GET(self):
        type(self).requests += 1
        self.send_response(self.status)
        self.send_header("Content-Length", str(self.promised or len(self.body)))
        self.end_headers()
        for start in range(0, len(self.body), 100) if self.pause_s else [None]:
            self.wfile.write(self.body if start is None else self.body[start : start + 100])
            time.sleep(self.pause_s)

    def log_message(self, *args):
        """Say nothing."""


def answer(**attributes):
    return type("Answers", (Answer,), attributes)


class Files(SimpleHTTPRequestHandler):
    """Serves a folder."""

    def log_message(self, *args):
        """Say nothing."""


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")


@pytest.fixture
def tiny(idx_files, serve, tmp_path):
    """A small published dataset and a mirror that has it; `tiny()` makes its source, with other
    mirrors if given.
    """
    packed = sorted(idx_files.glob("*.gz"))
    digests = {
        path.stem: Digest(hashlib.sha256(gzip.decompress(path.read_bytes())).hexdigest())
        for path in packed
    }
    good = serve(partial(Files, directory=idx_files))

    def make(*mirrors):
        files = Published("tiny", ("0", "1", "2"), mirrors or (good,), digests)
        return published(files, tmp_path / "data", None, "tiny")

    make.good, make.folder, make.origin = good, tmp_path / "data" / "tiny", idx_files
    return make


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_missing_files_are_downloaded_once(tiny):
    first = load(tiny())
    assert names(tiny.folder) == names(tiny.origin)
    assert load(tiny(NOWHERE)).train.sha256 == first.train.sha256


def test_only_the_parts_asked_for_are_downloaded(tiny):
    load(tiny(), with_test=False)
    assert all(name.startswith("train") for name in names(tiny.folder))


def test_the_first_mirror_that_has_the_right_file_wins_and_a_bad_one_is_asked_once(tiny, serve):
    broken = [
        answer(status=404),
        answer(body=gzip.compress(b"a page of some captive portal")),
        answer(promised=10**6),
    ]
    assert len(load(tiny(NOWHERE, *map(serve, broken), tiny.good)).train) == 60
    assert [handler.requests for handler in broken] == [1, 1, 1]


def test_failure_names_every_mirror_its_reason_and_the_two_ways_out(tiny, serve):
    mirrors = [
        NOWHERE,
        serve(answer(status=404)),
        serve(answer(body=b"hello")),
        serve(answer(body=b"x", promised=99)),
    ]
    with pytest.raises(DownloadError) as error:
        load(tiny(*mirrors))
    lines = str(error.value).splitlines()
    assert lines[0] == f"{tiny.folder / NAME} is missing and cannot be downloaded:"
    reasons = [
        "connection refused",
        "404 Client Error: Not Found",
        "truncated: 5 bytes",
        "the connection broke off",
    ]
    for line, mirror, reason in zip(lines[1:5], mirrors, reasons, strict=True):
        assert line.startswith(f"  {mirror}: {reason}")
    assert lines[5] == f"Put the four files into {tiny.folder}, or choose dataset=digits."
    assert not tiny.folder.exists()


@pytest.mark.parametrize(
    ("handler", "limits", "reason"),
    [
        (answer(body=b"x"), Limits(max_bytes=0), "more than 0 bytes"),
        (answer(body=bytes(9_000), pause_s=0.05), Limits(grace_s=0.2), "too slow"),
        (answer(body=bytes(9_000), pause_s=0.05), Limits(total_s=0.2), "not done within 0.2 s"),
        (answer(body=bytes(200), pause_s=1.5), Limits(read_s=0.2), "it stopped answering"),
    ],
)
def test_a_download_that_leads_nowhere_is_given_up(serve, handler, limits, reason):
    started = time.monotonic()
    with pytest.raises(DownloadError, match=reason):
        Mirrors([serve(handler)], limits).fetch(NAME, len)
    assert time.monotonic() - started < 2


def test_mirrors_that_never_answer_share_one_limit(serve):
    class Silent(Answer):
        def do_GET(self):
            time.sleep(3)

    mirrors = Mirrors([serve(Silent) for _ in range(5)], Limits(answer_s=1.0))
    started = time.monotonic()
    with pytest.raises(DownloadError, match=r"no answer within 0.2 s"):
        mirrors.fetch(NAME, len)
    assert time.monotonic() - started < 2.5
    with pytest.raises(DownloadError):
        mirrors.fetch("another file", len)
    assert time.monotonic() - started < 2.6


def test_a_damaged_file_is_replaced_by_a_verified_one(tiny, caplog):
    load(tiny())
    path = tiny.folder / NAME
    path.write_bytes(path.read_bytes()[:1000])
    assert len(load(tiny()).train) == 60
    assert path.read_bytes() == (tiny.origin / NAME).read_bytes()
    assert f"{path}: truncated gzip data" in caplog.text


def test_a_damaged_file_that_cannot_be_replaced_is_named_and_stays(tiny):
    load(tiny())
    path = tiny.folder / NAME
    path.write_bytes(b"damaged")
    with pytest.raises(UserError, match=r"damaged|truncated") as error:
        load(tiny(NOWHERE))
    assert str(error.value).startswith(str(path))
    assert not isinstance(error.value, DownloadError)
    assert path.read_bytes() == b"damaged"


def test_an_unpacked_file_will_do_and_a_valid_one_beats_a_damaged_one(tiny):
    load(tiny())
    (tiny.folder / NAME).rename(tiny.folder / "packed")
    (tiny.folder / "train-images.idx3-ubyte").write_bytes(
        gzip.decompress((tiny.folder / "packed").read_bytes())
    )
    (tiny.folder / NAME).write_bytes(b"damaged")
    assert len(load(tiny(NOWHERE)).train) == 60


def test_what_a_killed_download_left_goes_when_it_is_old(tiny):
    tiny.folder.mkdir(parents=True)
    old, young = tiny.folder / f".{NAME}.11111111.tmp", tiny.folder / f".{NAME}.22222222.tmp"
    for path in (old, young):
        path.touch()
    os.utime(old, (0, 0))
    load(tiny())
    assert young.exists()
    assert not old.exists()


@pytest.mark.skipif(
    not Path("/proc/self").is_dir(), reason="needs a folder that not even root can write to"
)
def test_a_folder_that_cannot_be_written_is_named(tiny):
    files = Published("tiny", ("0", "1", "2"), (tiny.good,), {NAME.removesuffix(".gz"): Digest("")})
    with pytest.raises(DownloadError, match="/proc/tiny"):
        load(published(files, "/proc", None, "tiny"))


def test_a_file_in_place_of_the_folder_is_an_error_for_auto_as_well(tmp_path):
    (tmp_path / "data").write_text("")
    with pytest.raises(UserError, match="data is a file; data_dir must be a folder"):
        decide_auto(tmp_path / "data")


def test_auto_falls_back_on_digits_with_a_warning(tmp_path, monkeypatch, caplog):
    monkeypatch.setenv("MNIST_EXP_MIRRORS", NOWHERE)
    assert decide_auto(tmp_path / "data") == "digits"
    (record,) = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert "connection refused" in record.getMessage()
    assert not (tmp_path / "data").exists()


def test_auto_insists_on_mnist_where_somebody_put_it(tmp_path, monkeypatch):
    monkeypatch.setenv("MNIST_EXP_MIRRORS", NOWHERE)
    (tmp_path / "mnist").mkdir()
    (tmp_path / "mnist" / NAME).write_bytes(b"half a download of yesterday")
    with pytest.raises(UserError, match="not an IDX file"):
        decide_auto(tmp_path)


def test_two_processes_download_real_mnist_at_once(mnist_dir, tmp_path, serve):
    origin = tmp_path / "mirror"
    origin.mkdir()
    for path in (mnist_dir / "mnist").iterdir():
        packed = path if path.suffix == ".gz" else None
        content = packed.read_bytes() if packed else gzip.compress(path.read_bytes(), 1)
        (origin / f"{path.name.removesuffix('.gz')}.gz").write_bytes(content)
    mirror = serve(partial(Files, directory=origin))
    code = "import sys; from mnist_exp.data import decide_auto; print(decide_auto(*sys.argv[1:]))"
    command = [
        sys.executable,
        "-W",
        "error",
        "-c",
        code,
        str(tmp_path / "data"),
        str(tmp_path / "cache"),
    ]
    environment = os.environ | {
        "MNIST_EXP_MIRRORS": mirror,
        "PYTHONPATH": str(Path(__file__).parents[1]),
    }
    both = [
        subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    assert [process.communicate(timeout=60)[0] for process in both] == ["mnist\n", "mnist\n"]
    assert names(tmp_path / "data" / "mnist") == names(origin)
    assert len(load(mnist(tmp_path / "data", tmp_path / "cache")).train) == 60_000


def test_fashion_mnist_is_verified_packed_and_by_structure_unpacked(tmp_path, monkeypatch):
    monkeypatch.setenv("MNIST_EXP_MIRRORS", NOWHERE)
    folder = tmp_path / "fashion_mnist"
    folder.mkdir()
    write_idx_part(folder, "t10k", np.zeros((10_000, 28, 28), np.uint8), np.arange(10_000) % 10)
    source = fashion_mnist(tmp_path)
    with pytest.raises(UserError, match="not the published file: its sha256 differs"):
        source.part("test", 0)
    for path in list(folder.glob("*.gz")):
        path.with_suffix("").write_bytes(gzip.decompress(path.read_bytes()))
    assert source.part("test", 0)[0].shape == (10_000, 28, 28)


def made_dataset(folder, names, images, labels):
    """Write made-up files under published names, and return their digests."""
    for name, array in zip(names, (images, labels), strict=True):
        write_idx(folder / f"{name}.gz", array)
    return {
        name: Digest(hashlib.md5((folder / f"{name}.gz").read_bytes()).hexdigest(), of_gz=True)  # noqa: S324
        for name in names
    }


def test_qmnist_has_three_test_parts_and_labels_of_eight_columns(tmp_path, serve, monkeypatch):
    (origin := tmp_path / "origin").mkdir()
    rng = np.random.default_rng(0)
    digests = {}
    for part, names in QMNIST.files.items():
        n = 40 if part == "train" else 10_030
        images = rng.integers(0, 256, (n, 4, 4), np.uint8)
        labels = np.tile(np.arange(n)[:, None] % 10, (1, 8))
        digests |= made_dataset(origin, names, images, labels)
    monkeypatch.setattr(_published, "QMNIST", replace(QMNIST, digests=digests))
    monkeypatch.setenv("MNIST_EXP_MIRRORS", serve(partial(Files, directory=origin)))
    sizes = {
        part: len(load(qmnist(tmp_path / "data", tmp_path / "cache", part=part)).test)
        for part in ("test", "test10k", "test50k")
    }
    assert sizes == {"test": 10_030, "test10k": 10_000, "test50k": 30}
    with pytest.raises(UserError, match=r"dataset.part=nist: must be one of test, test10k"):
        qmnist(tmp_path, part="nist")


def test_kmnist_is_downloaded_verified_and_named(tmp_path, serve, monkeypatch):
    (origin := tmp_path / "origin").mkdir()
    images, labels = np.zeros((20, 4, 4)), np.arange(20) % 10
    digests = {}
    for names in KMNIST.files.values():
        digests |= made_dataset(origin, names, images, labels)
    monkeypatch.setenv("MNIST_EXP_MIRRORS", serve(partial(Files, directory=origin)))
    with pytest.raises(DownloadError, match="its sha256 differs"):
        load(kmnist(tmp_path / "data"))
    monkeypatch.setattr(_published, "KMNIST", replace(KMNIST, digests=digests))
    assert load(kmnist(tmp_path / "data")).classes[:2] == ("o", "ki")


def test_emnist_comes_out_of_its_zip_upright_with_letters(tmp_path, serve, monkeypatch):
    (origin := tmp_path / "origin").mkdir()
    images = np.random.default_rng(0).integers(0, 256, (52, 5, 5), np.uint8)
    labels = np.arange(52) % 26 + 1
    with ZipFile(origin / "gzip.zip", "w") as archive:
        for names in emnist_files("letters").files.values():
            made_dataset(origin, names, images.swapaxes(1, 2), labels)
            for name in names:
                archive.write(origin / f"{name}.gz", f"gzip/{name}.gz")
                (origin / f"{name}.gz").unlink()
    digest = Digest(hashlib.sha256((origin / "gzip.zip").read_bytes()).hexdigest())
    monkeypatch.setattr(_mirrors, "_EMNIST_ZIP", replace(_mirrors._EMNIST_ZIP, digest=digest))
    monkeypatch.setenv("MNIST_EXP_MIRRORS", serve(partial(Files, directory=origin)))
    dataset = load(emnist(tmp_path / "data", split="letters"))
    np.testing.assert_array_equal(dataset.train.images, images)
    assert "".join(dataset.classes) == "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    # What lies on disk needs no mirror, and what somebody unpacked elsewhere no checksum.
    monkeypatch.setenv("MNIST_EXP_MIRRORS", NOWHERE)
    again = load(emnist("gone", path=tmp_path / "data" / "emnist", split="letters"))
    assert again.train.sha256 == dataset.train.sha256
    with pytest.raises(UserError, match=r"no gzip/emnist-digits-train-images"):
        load(emnist(tmp_path / "data", split="digits"))
