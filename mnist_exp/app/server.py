"""What stands between the page and the network: limits, and a reason in place of a traceback."""

import logging
import re
import traceback
from pathlib import Path
from typing import Any

import gradio as gr
from gradio_client import utils as client_utils  # type: ignore[import-untyped]
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

import mnist_exp
from mnist_exp.app.limits import MAX_BODY, refuse
from mnist_exp.errors import UserError

log = logging.getLogger(__name__)

_PACKAGE = str(Path(mnist_exp.__file__).parent)
SCRIPT = Path(__file__).parent / "templates" / "first.js"
EXAMPLE = {"path": "digit.png", "orig_name": "digit.png", "meta": {"_type": "gradio.FileData"}}
SENSELESS = "this is not what the page sends"


class GuardedBlocks(gr.Blocks):
    """Blocks whose events answer a mistake with its reason, and take no files but uploads.

    Gradio has no switch for either: it prints a traceback for every senseless payload, downloads
    what a payload names by its address without bounds, and reads any path that has no `meta`.
    """

    def get_api_info(self, all_endpoints: bool = False, page: str | None = None) -> Any:
        """Describe the API; the example is a file of the reader's, no address, which is refused."""
        info = super().get_api_info(all_endpoints, page)
        for endpoint in info["named_endpoints"].values():
            for parameter in endpoint["parameters"]:
                if client_utils.is_file_obj_with_meta(parameter["example_input"]):
                    parameter["example_input"] = EXAMPLE
        return info

    async def process_api(self, *arguments: Any, **options: Any) -> dict[str, Any]:
        """Run an event; a failure is shown to the visitor, and logged in one line."""
        try:
            return await super().process_api(*arguments, **options)
        except UserError as error:
            raise gr.Error(str(error), print_exception=False) from error
        except Exception as error:
            _log(error)
            reason = error.message if isinstance(error, gr.Error) else SENSELESS
            raise gr.Error(reason, print_exception=False) from error

    async def preprocess_data(
        self, block_fn: Any, inputs: list[Any], *arguments: Any, **options: Any
    ) -> list[Any]:
        """Check the files among the values that were sent."""
        client_utils.traverse(inputs, _check_file, client_utils.is_file_obj)
        values: list[Any] = await super().preprocess_data(block_fn, inputs, *arguments, **options)
        return values


def _check_file(file: dict[str, Any]) -> None:
    """Refuse what Gradio would download, and files that it would not check to be uploads."""
    if client_utils.is_http_url_like(file["path"]):
        raise UserError("send the picture itself, not its address")
    if not client_utils.is_file_obj_with_meta(file):
        raise UserError(SENSELESS)


class Guard:
    """ASGI middleware: 413 for a request that is too large, 400 for one that Gradio trips over."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand the request on, counting its bytes."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        length = dict(scope["headers"]).get(b"content-length", b"0")
        if not length.isdigit() or int(length) > MAX_BODY:
            await refuse(send, 413, "too large")
            return
        received, answered = 0, False

        async def counted() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > MAX_BODY:
                raise HTTPException(413, "too large")
            return message

        async def noted(message: Message) -> None:
            nonlocal answered
            answered = True
            await send(message)

        try:
            await self.app(scope, counted, noted)
        except Exception as error:  # the web server would print a traceback for each
            _log(error)
            if answered:
                await send({"type": "http.response.body", "body": b""})
            elif received > MAX_BODY:
                await refuse(send, 413, "too large")
            else:
                await refuse(send, 400, SENSELESS)


class FirstScript:
    """ASGI middleware: a page's first script is `first.js`, and Gradio's address follows it.

    Links to files that Gradio has not (a manifest, an icon) are taken away.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        script = SCRIPT.read_bytes().replace(b"\\", rb"\\")
        icon = b'<link rel="icon" href="data:,">'
        self.edits = (
            (b"<head>", b"<head>" + icon + b"<script>" + script + b"</script>"),
            (b'<link rel="manifest" href="/manifest.json" />', b""),
            (rb'const root = "[^"]*";', b"const root = gradio_config.root;"),
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Change the pages among the answers."""
        held: list[Message] = []

        async def changed(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                if headers.get("content-type", "").startswith("text/html"):
                    held.append(message)  # until its length is known
                    return
            elif held:
                body = message.get("body", b"")
                for old, new in self.edits:
                    body = re.sub(old, new, body, count=1)
                start, message = held.pop(), {**message, "body": body}
                if not message.get("more_body"):
                    MutableHeaders(scope=start)["content-length"] = str(len(body))
                await send(start)
            await send(message)

        await self.app(scope, receive, changed)


def _log(error: Exception) -> None:
    """A traceback for a defect of this package, one line for anything else."""
    files = {frame.filename for frame in traceback.extract_tb(error.__traceback__)} - {__file__}
    if any(file.startswith(_PACKAGE) for file in files):
        log.error("a defect", exc_info=error)
    else:
        reason = str(error).partition("\n")[0][:200].encode("ascii", "replace").decode()
        log.warning("refused: %s: %s", type(error).__name__, reason)
