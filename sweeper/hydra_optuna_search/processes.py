"""Worker processes of one search on this machine: no barrier between trials, and one that dies is
replaced.
"""

import multiprocessing
import sys
import time
import traceback
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from typing import TYPE_CHECKING

from mnist_exp.errors import UserError
from mnist_exp.process import divided

if TYPE_CHECKING:
    from hydra_optuna_search.search import Task

POLL_SECONDS = 0.2
DEFECT = 70  # exit status of a worker that could not go on, as opposed to one that was killed


def run_pool(
    task: "Task", n_workers: int, look: Callable[[], None], recover: Callable[[], None]
) -> None:
    """Keep `n_workers` processes at work until they find nothing left to do; `look` may raise to
    end them.
    """
    import cloudpickle

    payload = cloudpickle.dumps(
        task
    )  # an application's function lives in __main__, which pickle cannot name
    context = multiprocessing.get_context("spawn")

    def start() -> BaseProcess:
        process = context.Process(target=_work, args=(payload,), daemon=True)
        process.start()
        return process

    with divided(n_workers):
        workers = [start() for _ in range(n_workers)]
        try:
            while workers:
                time.sleep(POLL_SECONDS)
                look()
                ended = [worker for worker in workers if worker.exitcode is not None]
                workers = [worker for worker in workers if worker not in ended]
                for worker in ended:
                    if worker.exitcode == DEFECT:
                        raise UserError("a worker process could not go on; it says why above")
                    if worker.exitcode:  # killed: its trial is run again, by a new process
                        recover()
                        workers.append(start())
        finally:
            _end(workers)


def _end(workers: list[BaseProcess]) -> None:
    """Have the workers close their trials; those that do not within ten seconds are killed."""
    for worker in workers:
        worker.terminate()
    deadline = time.monotonic() + 10
    for worker in workers:
        worker.join(max(0.0, deadline - time.monotonic()))
        if worker.exitcode is None:
            worker.kill()
            worker.join()


def _work(payload: bytes) -> None:
    """What a worker process does."""
    import cloudpickle

    from mnist_exp.config import MISTAKES, explain
    from mnist_exp.process import raise_on_sigterm

    raise_on_sigterm()
    parent = multiprocessing.parent_process()
    try:
        task: Task = cloudpickle.loads(payload)
        task.worker().work(task.until, lambda: None, lambda: parent is None or parent.is_alive())
    except KeyboardInterrupt:
        sys.exit(143)
    except MISTAKES as error:
        print(f"error: {explain(error)}", file=sys.stderr)
        sys.exit(DEFECT)
    except Exception:
        traceback.print_exc()
        sys.exit(DEFECT)
