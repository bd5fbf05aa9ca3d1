"""Worker processes of one search on this machine: no barrier between trials, the dead replaced."""

import inspect
import io
import os
import pickle
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from multiprocessing import spawn
from pathlib import Path
from types import FunctionType
from typing import Any

import cloudpickle
import psutil
from hydra.errors import CompactHydraException
from omegaconf.errors import OmegaConfBaseException

from hydra_optuna_search.errors import SearchError
from hydra_optuna_search.machine import divided_cpus
from hydra_optuna_search.task import Task

POLL_SECONDS = 0.2
GRACE_SECONDS = 10.0
DEFECT = 70  # exit status of a worker that could not go on, as opposed to one that was killed
STARTING = "HYDRA_OPTUNA_SEARCH_STARTING"  # set in a worker while it imports the application
UNGUARDED = (
    "a script that starts the application when it is imported cannot have worker processes: "
    'put its last call below `if __name__ == "__main__":`'
)


def run_processes(
    task: Task, n_workers: int, look: Callable[[], None], recover: Callable[[], None]
) -> None:
    """Keep `n_workers` processes at work until nothing is left; `look` may raise to end them.

    They are ordinary processes, so that a job may start processes of its own.
    """
    with tempfile.TemporaryDirectory() as folder, divided_cpus(n_workers):
        payload = Path(folder) / "task"
        payload.write_bytes(_pickled(task))
        start = f"import sys; sys.path[:] = {sys.path!r}; from {__name__} import work; work()"
        command = [sys.executable, *(f"-W{option}" for option in sys.warnoptions), "-c", start]

        def begin() -> subprocess.Popen[bytes]:
            return subprocess.Popen([*command, str(payload)], stdin=subprocess.DEVNULL)

        workers = [begin() for _ in range(n_workers)]
        try:
            while workers:
                time.sleep(POLL_SECONDS)
                look()
                ended = [worker for worker in workers if worker.poll() is not None]
                workers = [worker for worker in workers if worker not in ended]
                for worker in ended:
                    if worker.returncode == DEFECT:
                        raise SearchError("a worker process could not go on; it says why above")
                    if worker.returncode and not _ready_file(payload, worker.pid).exists():
                        raise SearchError(
                            f"a worker process ended with status {worker.returncode} before it "
                            f"took a trial; what it says is above. Mind that {UNGUARDED}"
                        )
                    if worker.returncode:  # killed: its trial is run again, by a new process
                        recover()
                        workers.append(begin())
        finally:
            _end(workers)


def _end(workers: list[subprocess.Popen[bytes]]) -> None:
    """Have the workers close their trials; those that do not within ten seconds are killed."""
    for worker in workers:
        worker.terminate()
    deadline = time.monotonic() + GRACE_SECONDS
    for worker in workers:
        try:
            worker.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            with suppress(psutil.NoSuchProcess):  # it, or what its job started, ends just now
                for process in psutil.Process(worker.pid).children(recursive=True):
                    process.kill()
            worker.kill()
            worker.wait()


def work() -> None:
    """What a worker process does: it imports the application's script as multiprocessing would."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a trial closes as on Ctrl-C
    payload = Path(sys.argv[1])
    try:
        with payload.open("rb") as file:
            os.environ[STARTING] = "1"
            spawn.prepare(pickle.load(file))  # noqa: S301  (of the process that started this one)
            del os.environ[STARTING]
            if script := sys.modules.get("__mp_main__"):  # a launcher's other machine has none
                cloudpickle.register_pickle_by_value(script)
            task: Task = pickle.load(file)  # noqa: S301
        worker, supervisor = task.worker(), task.supervisor
        _ready_file(payload, os.getpid()).touch()
        worker.work(
            task.until, lambda: None, lambda: supervisor is None or not supervisor.is_dead()
        )
    except KeyboardInterrupt:
        sys.exit(143)
    except (CompactHydraException, OmegaConfBaseException, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(DEFECT)
    except Exception:
        traceback.print_exc()
        sys.exit(DEFECT)


def _ready_file(payload: Path, pid: int) -> Path:
    """What a worker makes when it has opened the study."""
    return payload.with_name(f"ready-{pid}")


class _Pickler(cloudpickle.Pickler):  # type: ignore[misc]
    """Names what the script defines, so that jobs and their own processes see one object of it."""

    def reducer_override(self, obj: Any) -> Any:
        if isinstance(obj, FunctionType | type) and obj.__module__ == "__main__":
            defined = getattr(sys.modules["__main__"], obj.__qualname__, None)
            if obj in (defined, inspect.unwrap(defined) if callable(defined) else None):
                wrapped = obj is not defined
                return _of_script, (obj.__qualname__, wrapped, cloudpickle.dumps(obj))
        return super().reducer_override(obj)


def _of_script(name: str, wrapped: bool, copy: bytes) -> Any:
    """What the script calls so; a copy where it defines it only when it is started."""
    defined = getattr(sys.modules["__main__"], name, None)
    if defined is None:
        return pickle.loads(copy)  # noqa: S301
    return inspect.unwrap(defined) if wrapped else defined


def _pickled(task: Task) -> bytes:
    preparation = spawn.get_preparation_data("worker")
    preparation.pop("authkey", None)  # a secret, which refuses to be pickled
    if preparation.get("init_main_from_path", preparation.get("init_main_from_name")) is None:
        return pickle.dumps(preparation) + bytes(cloudpickle.dumps(task))  # a notebook has no file
    buffer = io.BytesIO()
    _Pickler(buffer).dump(task)
    return pickle.dumps(preparation) + buffer.getvalue()
