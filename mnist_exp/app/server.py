"""What stands between the page and strangers: limits on what is sent and fetched, one line instead
of a traceback.
"""

import json
import logging
import sys
import traceback
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NoReturn

import gradio as gr
import gradio.processing_utils
import gradio.queueing
import gradio.routes
import gradio.utils
from starlette.types import ASGIApp, Message, Receive, Scope, Send

import mnist_exp

log = logging.getLogger(__name__)

_OURS = str(Path(mnist_exp.__file__).parent)
MAX_BODY = 12_000_000  # bytes of any request; an upload may have 10 MB
SENSELESS = "this is not what the page sends"


class _TooLargeError(Exception):
    pass


class Guard:
    """ASGI middleware: 413 for a request that is too large or turns out to be, 400 for one that
    Gradio trips over.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand the request on, counting its bytes."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        length = dict(scope["headers"]).get(b"content-length", b"0")
        if not length.isdigit() or int(length) > MAX_BODY:
            await _refuse(send, 413, "too large")
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
                await _refuse(send, 413, "too large")
        except Exception:  # an unknown event, a body that is no text: the web server would print a traceback for each
            _print_refusal()
            if answered:
                await send({"type": "http.response.body", "body": b""})
            else:
                await _refuse(send, 400, SENSELESS)


async def _refuse(send: Send, status: int, reason: str) -> None:
    headers = [(b"content-type", b"application/json"), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": json.dumps({"error": reason}).encode()})


def tame() -> None:
    """Change three habits of Gradio for which there is no official switch.

    It prints a traceback for every exception in an event, also for its own refusals of payloads:
    those get one line here, and a reason for the client where there was none. Those of this
    package's code are defects, and keep theirs. And it downloads what a payload names by its
    address, without bounds.
    """
    quiet = SimpleNamespace(print_exc=_print_refusal, format_exc=traceback.format_exc)
    for module in (gradio.queueing, gradio.routes):
        setattr(module, "traceback", quiet)  # noqa: B010
    explained = _with_reason(gradio.utils.error_payload)
    for module in (gradio.queueing, gradio.utils):
        setattr(module, "error_payload", explained)  # noqa: B010
    gradio.processing_utils.async_ssrf_protected_download = _fetch_nothing_later
    gradio.processing_utils.save_url_to_cache = _fetch_nothing


def _with_reason(payload: Any) -> Any:
    def explained(error: BaseException | None, show_error: bool) -> dict[str, Any]:
        content: dict[str, Any] = payload(error, show_error)
        return content | {"error": content["error"] or SENSELESS}

    return explained


def _fetch_nothing(*_: object, **__: object) -> NoReturn:
    raise gr.Error("send the picture itself, not its address", print_exception=False)


async def _fetch_nothing_later(*_: object, **__: object) -> NoReturn:
    _fetch_nothing()


def _print_refusal() -> None:
    error = sys.exception()
    frames = traceback.extract_tb(error.__traceback__) if error is not None else []
    ours = {frame.filename for frame in frames if frame.filename.startswith(_OURS)} - {
        __file__
    }  # which only guards
    if ours:
        traceback.print_exc()
        return
    text = str(error).partition("\n")[0]
    log.warning(
        "refused: %s: %s", type(error).__name__, text[:200].encode("ascii", "replace").decode()
    )
