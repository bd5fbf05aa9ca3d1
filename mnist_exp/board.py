"""`python -m mnist_exp.board [PATH]`: watch runs and searches while they happen."""

import argparse
import logging
import socket
import sys
import threading
import time
from pathlib import Path

from mnist_exp.errors import UserError

LOOPBACK = ("127.0.0.1", "localhost", "::1")
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
    add("--host", default="127.0.0.1", help="the address to listen on")
    add("--port", type=int, default=7870)
    add("--auth", metavar="USER:PASSWORD", help="what visitors must enter")
    add("--root-path", default="", metavar="/PATH", help="where a proxy shows the board")
    once = parser.add_mutually_exclusive_group()
    once.add_argument("--once", action="store_true", help="print the table and end")
    once.add_argument("--watch", action="store_true", help="keep the table current in a terminal")
    add("--filter", default="", help="only such runs: 'model=rf state=running accuracy>0.97'")
    add(
        "--sort", default="", metavar="COLUMN", help="accuracy, started, seconds ...; -COLUMN: down"
    )
    arguments = parser.parse_args()
    if arguments.host not in LOOPBACK and not arguments.auth:
        parser.error(
            f"--host {arguments.host} lets other machines in: give --auth USER:PASSWORD too"
        )
    if not 0 < arguments.port < 65536:
        parser.error(f"--port {arguments.port}: must be from 1 to 65535")
    if arguments.auth and not all(arguments.auth.partition(":")[::2]):
        parser.error("--auth takes USER:PASSWORD")
    arguments.root_path = arguments.root_path.rstrip("/")
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
    _check_port(arguments.host, arguments.port)
    # The first look takes as long as the imports do.
    threading.Thread(target=folders.refresh, daemon=True, name="first look").start()
    from mnist_exp.app.board.server import serve

    serve(folders, arguments.host, arguments.port, arguments.auth, arguments.root_path, began)


def _check_port(host: str, port: int) -> None:
    """Refuse a port that is in use in words."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        socket.create_server((host, port), family=family).close()
    except OSError as error:
        raise UserError(
            f"{host}:{port} cannot be used ({error}): choose another --port or --host"
        ) from error


if __name__ == "__main__":
    main()
