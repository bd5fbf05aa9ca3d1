"""`python -m mnist_exp.demo`: a page on which digits are drawn, read, and explained."""

import argparse
import logging
import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mnist_exp.app.listening import add_options, check_options, check_port
from mnist_exp.errors import UserError

EPILOG = """Without --run it takes the latest run under --runs, or the newest; where there is
none, it trains `model=sgd` first. It listens on this machine alone; another --host needs --auth."""


def main() -> None:
    """Serve until Ctrl-C; exit 1 with a short message on a mistake."""
    arguments = _parse()
    logging.basicConfig(
        level=logging.INFO,
        format="[%(asctime)s] %(message)s",
        datefmt="%H:%M:%S",
        stream=sys.stderr,
    )
    logging.getLogger("httpx").setLevel(logging.WARNING)  # Gradio asks itself whether it is up
    try:
        _serve(arguments)
    except (UserError, OSError) as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit(130)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="mnist_exp.demo", description=__doc__, epilog=EPILOG)
    parser.add_argument("--run", help="the run to begin with: a folder, or latest")
    parser.add_argument(
        "--runs", type=Path, default=Path("outputs"), help="where runs may be chosen from"
    )
    add_options(parser, port=7860)
    arguments = parser.parse_args()
    check_options(parser, arguments)
    return arguments


def _serve(arguments: argparse.Namespace) -> None:
    started = time.perf_counter()
    check_port(arguments.host, arguments.port)
    from threadpoolctl import threadpool_limits

    from mnist_exp.app.feedback import Feedback
    from mnist_exp.app.loaded_runs import LoadedRuns, describe, first_run
    from mnist_exp.runs import open_run

    runs = LoadedRuns(
        arguments.runs, open_run(arguments.run, arguments.runs) if arguments.run else None
    )
    first = first_run(runs)
    _tell(f"{describe(runs.listed()[first], first)}: starting the page")
    # For one picture at a time, threads cost more than they save.
    with threadpool_limits(1), _without_gradio_variables():
        from mnist_exp.app.page import Demo, serve

        demo = Demo(runs, first, Feedback(arguments.runs / "feedback"))
        auth = tuple(arguments.auth.split(":", 1)) if arguments.auth else None
        page = serve(demo, arguments.host, arguments.port, auth)
        _tell(f"{page.local_url} after {time.perf_counter() - started:.1f} s; Ctrl-C ends it")
        threading.Thread(target=demo.warm_up, daemon=True, name="warm-up").start()
        page.block_thread()


def _tell(message: str) -> None:
    print(message, file=sys.stderr, flush=True)


@contextmanager
def _without_gradio_variables() -> Iterator[None]:
    """Serve as the arguments say: GRADIO_ALLOWED_PATHS would win over a list that is empty."""
    ignored = {
        name: os.environ.pop(name)
        for name in list(os.environ)
        if name.startswith("GRADIO_") and name != "GRADIO_TEMP_DIR"
    }
    try:
        yield
    finally:
        os.environ.update(ignored)


if __name__ == "__main__":
    main()
