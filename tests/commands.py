"""Commands as processes of their own that start in milliseconds: a server has made the imports, and
forks.

Each connection to the server brings one command. The process forked for it takes over the streams,
folder, environment and arguments that a shell would have given it, and calls the module's `main()`.
So commands share no state with the tests or with each other, and end and are killed as ever.
"""

import contextlib
import gc
import importlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[1]
FORKS = sys.platform == "linux"  # elsewhere a command is started as usual
ADDRESS = "MNIST_EXP_TEST_COMMANDS"  # the socket of a server that several processes of tests share
IMPORTS = """mnist_exp.train mnist_exp.compare mnist_exp.board mnist_exp.predict
    mnist_exp.explore mnist_exp.verify mnist_exp.augment mnist_exp.experiment
    mnist_exp.recognition PIL.GifImagePlugin
    PIL.JpegImagePlugin PIL.PpmImagePlugin hydra._internal.hydra hydra._internal.logging_config
    importlib.readers jinja2 matplotlib.backends.backend_agg matplotlib.figure optuna.storages
    rich.progress rich.table scipy.ndimage skops.io sklearn.ensemble sklearn.linear_model
    sklearn.model_selection sklearn.neighbors sqlalchemy.orm"""


class Commands:
    """Starts `python -W error -m MODULE WORD...`."""

    def __init__(self):
        self._address = os.environ.get(ADDRESS)
        self._server = self._folder = None

    def start(self, module, *words, cwd=None, env=None, stdin=None, warnings="error", fork=FORKS):
        """A process with the methods of `subprocess.Popen`; its output is kept.

        `fork=False` starts Python itself, for what depends on it: imports, its own end.
        """
        words, cwd = [str(word) for word in words], str(cwd or Path.cwd())
        environment = {**(os.environ if env is None else env), "PYTHONPATH": str(ROOT)}
        if not fork:
            command = [sys.executable, "-W", warnings, "-m", module, *words]
            pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
            return subprocess.Popen(command, cwd=cwd, env=environment, stdin=stdin, **pipes)
        request = {"module": module, "words": words, "cwd": cwd, "env": environment}
        return Command(self.address(), request | {"warnings": warnings}, stdin)

    def run(self, module, *words, timeout=180, **options):
        """Exit status and output of the command, when it has ended."""
        process = self.start(module, *words, **options)
        stdout, stderr = process.communicate(timeout=timeout)
        return subprocess.CompletedProcess(words, process.returncode, stdout, stderr)

    def address(self):
        """The socket of the server, which is started at the first call."""
        if self._address is None:
            self._folder = tempfile.TemporaryDirectory(prefix="commands")
            self._address = str(Path(self._folder.name) / "socket")
            command = [sys.executable, "-W", "error", __file__, self._address]
            pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
            options = {"env": os.environ | {"PYTHONPATH": str(ROOT)}, "start_new_session": True}
            self._server = subprocess.Popen(command, **pipes, **options)
            assert self._server.stdout.readline() == b"listening\n"
        return self._address

    def close(self):
        """End the server, if it is this object's own."""
        if self._server is not None:
            self._server.communicate()
            self._folder.cleanup()


class Command:
    """A process that the server forked, with the methods of `subprocess.Popen` that tests use."""

    def __init__(self, address, request, stdin):
        self.args, self.returncode, self._texts = request["words"], None, None
        self._output = [tempfile.TemporaryFile("w+") for _ in range(2)]  # noqa: SIM115
        self._connection = socket.socket(socket.AF_UNIX)
        self._connection.connect(address)
        message = json.dumps(request).encode()
        with open(os.devnull) as nothing:  # noqa: PTH123
            files = [stream.fileno() for stream in (stdin or nothing, *self._output)]
            socket.send_fds(self._connection, [len(message).to_bytes(8)], files)
            self._connection.sendall(message)
            self.pid = self._number()

    def poll(self):
        """The exit status, or None while it runs."""
        return self._ended(0)

    def wait(self, timeout=None):
        """The exit status, when it has ended."""
        if self._ended(timeout) is None:
            raise subprocess.TimeoutExpired(self.args, timeout)
        return self.returncode

    def communicate(self, timeout=None):
        """What it wrote to stdout and stderr."""
        self.wait(timeout)
        if self._texts is None:
            for file in self._output:
                file.seek(0)
            self._texts = tuple(file.read() for file in self._output)
            for file in self._output:
                file.close()
        return self._texts

    def send_signal(self, number):
        """Send it a signal, if it still runs."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self):
        """End it at once."""
        self.send_signal(signal.SIGKILL)

    def terminate(self):
        """Ask it to end."""
        self.send_signal(signal.SIGTERM)

    def _ended(self, timeout):
        if self.returncode is None and select.select([self._connection], [], [], timeout)[0]:
            self.returncode = os.waitstatus_to_exitcode(self._number())
            self._connection.close()
        return self.returncode

    def _number(self):
        return int.from_bytes(self._connection.recv(8, socket.MSG_WAITALL))


def serve(listener):
    """Wait for commands until stdin is closed; returns in the process that is to run one."""
    while sys.stdin not in select.select([listener, sys.stdin], [], [])[0]:
        connection, _ = listener.accept()
        with connection:
            if fork() == 0 and (request := begin(connection)):
                listener.close()
                return request
        collect_ended()
    collect_ended()
    os._exit(0)


def begin(connection):
    """Fork the command and tell of its end; returns the request in the command's process."""
    length, files, _, _ = socket.recv_fds(connection, 8, 3)
    message = connection.recv(int.from_bytes(length), socket.MSG_WAITALL)
    pid = fork()
    if pid == 0:
        for number, file in enumerate(files):
            os.dup2(file, number)
            os.close(file)
        return json.loads(message)
    connection.sendall(pid.to_bytes(8))
    connection.sendall(os.waitpid(pid, 0)[1].to_bytes(8))
    os._exit(0)


def collect_ended():
    """Leave no zombies, and have their time counted."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def fork():
    with warnings.catch_warnings():  # of threads: numpy's, which survive it
        warnings.simplefilter("ignore", DeprecationWarning)
        return os.fork()


def warm_up():
    """Do what every run would do for the first time: read the digits, load fonts, compile."""
    for name in IMPORTS.split():
        importlib.import_module(name)
    from hydra.core.plugins import Plugins

    from mnist_exp.data import digits, load
    from mnist_exp.models._fast_forest import kernels
    from mnist_exp.report.figures import confusion_figure, png

    Plugins.instance()
    load(digits(), train_size=20)
    kernels()
    png(confusion_figure(np.eye(2, dtype=int), ("0", "1"), "warm"))
    gc.collect()
    gc.freeze()  # else a command that ends spends half a second on looking through the imports


def main():
    """Be the server, and in the processes that it forks the command."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(sys.argv[1])
    listener.listen(64)
    print("listening", flush=True)  # commands may queue while it warms up
    warm_up()
    request = serve(listener)
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["env"])
    sys.warnoptions[:] = [request["warnings"]]
    warnings.resetwarnings()
    warnings.simplefilter(request["warnings"])
    sys.path[0] = request["cwd"]
    module = sys.modules["__main__"] = importlib.import_module(request["module"])
    sys.argv[:] = [module.__file__, *request["words"]]
    module.main()


if __name__ == "__main__":
    main()
