"""Worker processes of one search on this machine: no barrier between trials, the dead replaced."""

import multiprocessing
import signal
import sys
import time
import traceback
from collections.abc import Callable
from multiprocessing.process import BaseProcess

import cloudpickle
from hydra.errors import CompactHydraException
from omegaconf.errors import OmegaConfBaseException

from hydra_optuna_search.errors import SearchError
from hydra_optuna_search.machine import divided_cpus
from hydra_optuna_search.task import Task

POLL_SECONDS = 0.2
GRACE_SECONDS = 10.0
DEFECT = 70  # exit status of a worker that could not go on, as opposed to one that was killed


def run_processes(
    task: Task, n_workers: int, look: Callable[[], None], recover: Callable[[], None]
) -> None:
    """Keep `n_workers` processes at work until nothing is left; `look` may raise to end them."""
    payload = cloudpickle.dumps(task)  # an application's function lies in __main__
    context = multiprocessing.get_context("spawn")

    def start() -> BaseProcess:
        process = context.Process(target=_work, args=(payload,), daemon=True)
        process.start()
        return process

    with divided_cpus(n_workers):
        workers = [start() for _ in range(n_workers)]
        try:
            while workers:
                time.sleep(POLL_SECONDS)
                look()
                ended = [worker for worker in workers if worker.exitcode is not None]
                workers = [worker for worker in workers if worker not in ended]
                for worker in ended:
                    if worker.exitcode == DEFECT:
                        raise SearchError("a worker process could not go on; it says why above")
                    if worker.exitcode:  # killed: its trial is run again, by a new process
                        recover()
                        workers.append(start())
        finally:
            _end(workers)


def _end(workers: list[BaseProcess]) -> None:
    """Have the workers close their trials; those that do not within ten seconds are killed."""
    for worker in workers:
        worker.terminate()
    deadline = time.monotonic() + GRACE_SECONDS
    for worker in workers:
        worker.join(max(0.0, deadline - time.monotonic()))
        if worker.exitcode is None:
            worker.kill()
            worker.join()


def _work(payload: bytes) -> None:
    """What a worker process does."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a trial closes as on Ctrl-C
    parent = multiprocessing.parent_process()
    try:
        task: Task = cloudpickle.loads(payload)
        task.worker().work(task.until, lambda: None, lambda: parent is None or parent.is_alive())
    except KeyboardInterrupt:
        sys.exit(143)
    except (CompactHydraException, OmegaConfBaseException, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(DEFECT)
    except Exception:
        traceback.print_exc()
        sys.exit(DEFECT)
