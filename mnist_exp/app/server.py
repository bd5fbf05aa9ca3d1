"""What stands between the page and strangers: limits on what is sent, and one line instead of a traceback."""

import logging
import sys
import traceback
from pathlib import Path
from types import SimpleNamespace

import gradio.queueing
import gradio.routes
from starlette.types import ASGIApp, Message, Receive, Scope, Send

import mnist_exp

log = logging.getLogger(__name__)

_OURS = str(Path(mnist_exp.__file__).parent)
MAX_BODY = 12_000_000  # bytes of any request; an upload may have 10 MB


class _TooLargeError(Exception):
    pass


class BodyLimit:
    """ASGI middleware that answers 413 to a request that says it is too large, or turns out to be."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand the request on, counting its bytes."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        length = dict(scope["headers"]).get(b"content-length", b"0")
        if not length.isdigit() or int(length) > MAX_BODY:
            await _refuse(send)
            return
        received, answered = 0, False

        async def counted() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > MAX_BODY:
                raise _TooLargeError
            return message

        async def noted(message: Message) -> None:
            nonlocal answered
            answered = True
            await send(message)

        try:
            await self.app(scope, counted, noted)
        except _TooLargeError:
            if not answered:
                await _refuse(send)


async def _refuse(send: Send) -> None:
    headers = [(b"content-type", b"application/json"), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": 413, "headers": headers})
    await send({"type": "http.response.body", "body": b'{"error": "too large"}'})


def say_refusals_in_one_line() -> None:
    """Keep Gradio from printing a traceback for whatever a client got wrong.

    Gradio prints one for every exception in an event, also for its own refusals of payloads. Those of this package's
    code are defects, and keep theirs.
    """
    quiet = SimpleNamespace(print_exc=_print_refusal, format_exc=traceback.format_exc)
    for module in (gradio.queueing, gradio.routes):
        setattr(module, "traceback", quiet)  # noqa: B010  (there is no official switch)


def _print_refusal() -> None:
    error = sys.exception()
    frames = traceback.extract_tb(error.__traceback__) if error is not None else []
    if any(frame.filename.startswith(_OURS) for frame in frames):
        traceback.print_exc()
        return
    text = str(error).partition("\n")[0]
    log.warning("refused: %s: %s", type(error).__name__, text[:200].encode("ascii", "replace").decode())
