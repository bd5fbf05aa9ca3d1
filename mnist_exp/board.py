"""`python -m mnist_exp.board [PATH]`: watch runs and searches while they happen."""

import argparse
import logging
import sys
import threading
import time
from pathlib import Path

from mnist_exp.app.listening import add_options, check_options, check_port
from mnist_exp.errors import UserError

EPILOG = """The page shows every run, grid and search below PATH and keeps itself current; it only
reads. On another machine: ssh -L 7870:localhost:7870 HOST, and start it there. It listens on this
machine alone; another --host needs --auth."""


def main() -> None:
    """Serve until Ctrl-C, or print the table; exit 1 with a short message on a mistake."""
    began = time.perf_counter()
    arguments = _parse()
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr)
    try:
        _run(arguments, began)
    except (UserError, OSError) as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit(130)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="mnist_exp.board", description=__doc__, epilog=EPILOG)
    add = parser.add_argument
    add("path", metavar="PATH", nargs="?", type=Path, default=Path("outputs"))
    add_options(parser, port=7870)
    add(
        "--root-path",
        default="",
        metavar="/PATH",
        help="where a proxy shows the board; / = at its root",
    )
    add("--storage", metavar="ADDRESS", help="where searches keep their studies (search.storage=)")
    once = parser.add_mutually_exclusive_group()
    once.add_argument("--once", action="store_true", help="print the table and end")
    once.add_argument("--watch", action="store_true", help="keep the table current in a terminal")
    add("--filter", default="", help="only such runs: 'model=rf state=running accuracy>0.97'")
    add(
        "--sort", default="", metavar="COLUMN", help="accuracy, started, seconds ...; -COLUMN: down"
    )
    arguments = parser.parse_args()
    check_options(parser, arguments)
    if arguments.root_path and not arguments.root_path.startswith("/"):
        parser.error(f"--root-path {arguments.root_path}: must begin with /")
    return arguments


def _run(arguments: argparse.Namespace, began: float) -> None:
    from mnist_exp.app.board.folders import Folders
    from mnist_exp.runs import shared_index

    folders = Folders(arguments.path, shared_index())
    if arguments.once or arguments.watch:
        from mnist_exp.app.board.terminal import show

        show(folders, arguments.filter, arguments.sort, arguments.watch)
        return
    check_port(arguments.host, arguments.port)
    # The first look takes as long as the imports do.
    threading.Thread(target=folders.refresh, daemon=True, name="first look").start()
    from mnist_exp.app.board.server import serve

    serve(folders, arguments, began)


if __name__ == "__main__":
    main()
