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

from mnist_exp.app.listening import LOOPBACK, add_options, check_options, check_port
from mnist_exp.errors import UserError

EPILOG = """Without --run it takes the latest run under --runs, or the newest; where there is
none, it trains `model=sgd` first. It listens on this machine alone; another --host needs --auth, or
--public: a page that keeps nothing, for the runs named by --run alone, with limits per visitor. Of
Gradio's variables GRADIO_SERVER_NAME, GRADIO_SERVER_PORT and GRADIO_ROOT_PATH are read."""


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
    add = parser.add_argument
    add("--run", action="append", help="the run to begin with (again: more of them)")
    add("--runs", type=Path, default=Path("outputs"), help="where runs may be chosen from")
    add_options(parser, port=7860)
    add("--public", action="store_true", help="let everybody in without --auth, and keep nothing")
    root_path = os.environ.get("GRADIO_ROOT_PATH", "")
    add("--root-path", metavar="/PATH", default=root_path, help="where a proxy shows the page")
    parser.set_defaults(host=None, port=os.environ.get("GRADIO_SERVER_PORT", "7860"))
    arguments = parser.parse_args()
    arguments.host = arguments.host or _host(bool(arguments.auth or arguments.public))
    check_options(parser, arguments, arguments.public)
    arguments.root_path = arguments.root_path.rstrip("/")
    if arguments.root_path and not arguments.root_path.startswith(("/", "http://", "https://")):
        parser.error(f"--root-path {arguments.root_path}: must begin with /")
    return arguments


def _host(guarded: bool) -> str:
    """The address of GRADIO_SERVER_NAME, if nobody comes in by it who should not."""
    host = os.environ.get("GRADIO_SERVER_NAME", LOOPBACK[0])
    if host in LOOPBACK or guarded:
        return host
    _tell(f"GRADIO_SERVER_NAME={host} is not followed without --auth or --public")
    return LOOPBACK[0]


def _serve(arguments: argparse.Namespace) -> None:
    started = time.perf_counter()
    check_port(arguments.host, arguments.port)
    from threadpoolctl import threadpool_limits

    from mnist_exp.app.feedback import Feedback
    from mnist_exp.app.loaded_runs import LoadedRuns, first_run
    from mnist_exp.app.naming import describe
    from mnist_exp.runs import open_run

    if arguments.runs.exists() and not arguments.runs.is_dir():
        raise UserError(f"--runs {arguments.runs} is a file: give the folder that runs lie in")
    words = arguments.run or (["latest"] if arguments.public else [])
    named = [open_run(word, arguments.runs) for word in words]
    runs = LoadedRuns(arguments.runs, named, only_named=arguments.public)
    first = first_run(runs)
    _tell(f"{describe(runs.listed()[first], first)}: starting the page")
    # For one picture at a time, threads cost more than they save.
    with threadpool_limits(1), _without_gradio_variables():
        from mnist_exp.app.page import Demo, serve

        feedback = None if arguments.public else Feedback(arguments.runs / "feedback")
        demo = Demo(runs, first, feedback)
        auth = tuple(arguments.auth.split(":", 1)) if arguments.auth else None
        place = arguments.host, arguments.port
        page = serve(demo, *place, auth, arguments.root_path, arguments.public)
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
