"""Where a server of this package listens, and whom it lets in: what its commands share."""

import argparse
import socket

from mnist_exp.errors import UserError

LOOPBACK = ("127.0.0.1", "localhost", "::1")


def add_options(parser: argparse.ArgumentParser, port: int) -> None:
    """Add --host, --port and --auth."""
    parser.add_argument("--host", default="127.0.0.1", help="the address to listen on")
    parser.add_argument("--port", type=int, default=port)
    parser.add_argument("--auth", metavar="USER:PASSWORD", help="what visitors must enter")


def check_options(
    parser: argparse.ArgumentParser, arguments: argparse.Namespace, public: bool = False
) -> None:
    """Refuse what would let anybody in who is not invited, or makes no sense."""
    if public and arguments.auth:
        parser.error("--public lets everybody in: leave out --auth, or --public")
    if arguments.host not in LOOPBACK and not (arguments.auth or public):
        parser.error(
            f"--host {arguments.host} lets other machines in: give --auth USER:PASSWORD too"
        )
    if not 0 < arguments.port < 65536:
        parser.error(f"--port {arguments.port}: must be from 1 to 65535")
    if arguments.auth and not all(arguments.auth.partition(":")[::2]):
        parser.error("--auth takes USER:PASSWORD")


def check_port(host: str, port: int) -> None:
    """Refuse a port that is in use, before seconds of imports."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        socket.create_server((host, port), family=family).close()
    except OSError as error:
        raise UserError(
            f"{host}:{port} cannot be used ({error}): choose another --port or --host"
        ) from error
