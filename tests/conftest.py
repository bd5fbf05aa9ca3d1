"""What many tests share: data, finished runs, commands, a browser, servers; README.md lists it."""

import functools
import gzip
import os
import shutil
import struct
import subprocess
import threading
from contextlib import ExitStack, contextmanager
from http.server import ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from commands import ADDRESS, FORKS, Commands
from scipy import ndimage

from mnist_exp.data import digits as digits_source
from mnist_exp.data import load
from mnist_exp.runs import Run

# The files that take longest begin, so that none is left over when the other workers are through.
FIRST = (
    "test_train",
    "test_search",
    "test_demo",
    "test_launchers",
    "test_processes",
    "test_faults",
)


def pytest_xdist_auto_num_workers():
    """One worker more than there are cpus: tests of commands wait for processes half the time."""
    return (os.process_cpu_count() if hasattr(os, "process_cpu_count") else os.cpu_count()) + 1


def pytest_configure(config):
    """Where several workers test, one server starts the commands of all of them."""
    if FORKS and config.option.numprocesses and not hasattr(config, "workerinput"):
        commands = Commands()
        os.environ[ADDRESS] = commands.address()
        config.add_cleanup(commands.close)


def pytest_collection_modifyitems(items):
    items.sort(key=lambda item: FIRST.index(item.path.stem) if item.path.stem in FIRST else 99)


@pytest.fixture(scope="session")
def mnist_dir():
    """The data_dir that holds real MNIST; without it tests are skipped, but under CI they fail."""
    root = Path(
        os.environ.get("MNIST_EXP_DATA") or Path(__file__).parents[2] / "shared" / "data"
    ).absolute()
    if not any((root / "mnist").glob("train-images*")):
        reason = f"no MNIST in {root / 'mnist'}: set MNIST_EXP_DATA"
        pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)
    return root


@pytest.fixture(scope="session")
def digits():
    """A small dataset of bundled digits: 400 images for training, 100 for validation, 200 for
    testing.
    """
    return load(digits_source(), train_size=400, val_size=100, test_size=200)


@pytest.fixture(scope="session")
def images():
    """150 slanted smooth shapes of 24 x 28 pixels, read-only as a memory map is."""
    noise = ndimage.gaussian_filter(
        np.random.default_rng(3).random((150, 24, 28)), (0, 3, 1), mode="constant"
    )
    images = np.uint8(np.clip((noise - 0.35) * 1500, 0, 255))
    images.flags.writeable = False
    return images


def write_idx(path, array):
    """Write an array as an IDX file, packed if the name says so."""
    content = (
        struct.pack(f">{1 + array.ndim}I", 0x0800 + array.ndim, *array.shape)
        + array.astype(np.uint8).tobytes()
    )
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)


def write_idx_part(folder, part, images, labels):
    """Write `train` or `t10k` images and labels, packed."""
    write_idx(folder / f"{part}-images-idx3-ubyte.gz", images)
    write_idx(folder / f"{part}-labels-idx1-ubyte.gz", labels)


def trained(folder, *words, data=("dataset=digits", "dataset.test_size=100")):
    """A run with what reading pictures takes, and its dataset."""
    from omegaconf import OmegaConf

    from mnist_exp.config import build, compose

    cfg = compose([*data, "n_jobs=1", f"cache_dir='{folder.as_posix()}'", *words])
    run = Run.claim(folder, [])
    run.config_path.parent.mkdir()
    OmegaConf.save(cfg, run.config_path)
    experiment = build(cfg)
    dataset = experiment.load()
    outcome = experiment.run(dataset)
    shape = [None, *dataset.train.images.shape[1:]]
    run.save_model(outcome.pipeline, {"classes": list(dataset.classes), "input": {"shape": shape}})
    run.save_predictions("test", outcome.predictions["test"])
    run.save_metrics(outcome.metrics, {})
    run.finish("completed")
    return run, dataset


@pytest.fixture(scope="session")
def commands():
    """`commands.run("mnist_exp.compare", "outputs", cwd=folder)`, or `.start(...)`: a process."""
    commands = Commands()
    yield commands
    commands.close()


@pytest.fixture(scope="session")
def finished_run(commands, tmp_path_factory):
    """`finished_run("model=sgd")` is a run of `train` on 300 bundled digits, to read and not to
    change: the same words give the same run for the whole session.
    """
    home = tmp_path_factory.mktemp("runs")
    words = ["dataset=digits", "n_jobs=1", "dataset.train_size=300", "dataset.test_size=100"]

    @functools.cache
    def train(*more):
        environment = os.environ | {"MNIST_EXP_CACHE": str(home / "cache")}
        done = commands.run("mnist_exp.train", *words, *more, cwd=home, env=environment)
        assert done.returncode == 0, done.stderr
        return Run(home / done.stdout.strip())

    return train


@pytest.fixture
def start(commands, tmp_path, monkeypatch):
    """Start a command in an empty folder, `start.home`, with an empty cache; none outlives the
    test.
    """
    monkeypatch.setenv("MNIST_EXP_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("HYDRA_FULL_ERROR", raising=False)
    processes = []

    def start_command(*words, module="train", **options):
        options = {"cwd": start_command.home} | options
        processes.append(commands.start(f"mnist_exp.{module}", *words, **options))
        return processes[-1]

    start_command.home = tmp_path / "home"
    start_command.home.mkdir()
    yield start_command
    for process in processes:
        process.kill()
        process.communicate()


@pytest.fixture
def finish(start):
    """The same, and wait for its exit status and output."""

    def run_command(*words, timeout=180, **options):
        process = start(*words, **options)
        stdout, stderr = process.communicate(timeout=timeout)
        return subprocess.CompletedProcess(words, process.returncode, stdout, stderr)

    run_command.home = start.home
    return run_command


@pytest.fixture
def idx_files(tmp_path):
    """A folder with four IDX files: 60 + 30 images of 20x16 pixels in 3 classes, told by the row
    that is lit.
    """
    folder = tmp_path / "idx"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for part, n in (("train", 60), ("t10k", 30)):
        labels = np.arange(n) % 3
        images = rng.integers(0, 60, (n, 20, 16))
        images[np.arange(n), 4 + 5 * labels] += 180
        write_idx_part(folder, part, images, labels)
    return folder


@pytest.fixture(scope="session")
def debian_root():
    """Whoever may install Debian packages and start servers as other users; elsewhere tests are
    skipped.
    """
    if shutil.which("apt-get") is None or os.geteuid() != 0:
        reason = "only root on Debian installs and starts the servers"
        pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)
    return install


def install(package):
    """Install a Debian package."""
    quiet = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    subprocess.run(["apt-get", "update", "-qq"], check=True)
    subprocess.run(
        ["apt-get", "install", "-y", "-qq", "--no-install-recommends", package],
        env=quiet,
        check=True,
    )


@pytest.fixture
def popen():
    """Start a process, whose output is kept; none outlives the test."""
    processes = []

    def start(line, **options):
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        processes.append(subprocess.Popen(line, **pipes | options))
        return processes[-1]

    yield start
    for process in processes:
        process.kill()
        process.communicate()


@pytest.fixture(scope="session")
def chromium():
    """A real browser; without Debian's chromium tests are skipped, but under CI they fail."""
    executable = shutil.which("chromium")
    if executable is None:
        reason = "no chromium on this machine"
        pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)
    arguments = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=arguments)
        yield browser
        browser.close()


@pytest.fixture
def open_page(chromium):
    """`open_page(path, width=390)` shows a file in the browser; it must write nothing to the
    console, fail nowhere, and ask the network for nothing.
    """
    pages, problems = [], []

    def open_file(path, width=390):
        page = chromium.new_page(viewport={"width": width, "height": 900})
        page.on("console", lambda message: problems.append(message.text))
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on(
            "request",
            lambda request: (
                problems.append(request.url) if request.url.startswith("http") else None
            ),
        )
        page.goto(path.as_uri())
        pages.append(page)
        return page

    yield open_file
    for page in pages:
        page.close()
    assert problems == []


@pytest.fixture
def serve():
    """Start HTTP servers on the loopback interface: `serve(handler_class)` returns the base
    address.
    """
    with ExitStack() as servers:
        yield lambda handler: servers.enter_context(_serving(handler))


@contextmanager
def _serving(handler):
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.block_on_close = False  # a test of a server that hangs must not wait for it
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()
