"""How large uploads and requests may be, and how much one visitor of a public page may ask."""

import ipaddress
import json
import time
from collections import OrderedDict
from collections.abc import Callable

from starlette.types import ASGIApp, Receive, Scope, Send

MAX_UPLOAD = 10_000_000  # bytes
MAX_BODY = 12_000_000  # bytes of any request: an upload and what the browser adds
PER_SECOND, BURST = 15, 60  # a stroke asks seven times a second
MAX_VISITORS = 10_000  # those who asked last are remembered


class PerVisitor:
    """ASGI middleware: 429 for an address that asks more than a page does.

    The machine's own requests are not counted: they come from a proxy that names no visitors. One
    that does, by X-Forwarded-For, is believed where it runs on this machine (uvicorn sees to that).
    """

    def __init__(self, app: ASGIApp, clock: Callable[[], float] = time.monotonic) -> None:
        self.app, self.clock = app, clock
        self._asked: OrderedDict[str, tuple[float, float]] = OrderedDict()  # tokens, when

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand the request on, unless its visitor asked too much."""
        visitor = (scope.get("client") or ("",))[0]
        if scope["type"] == "http" and scope["method"] == "POST" and self._too_much(visitor):
            await refuse(send, 429, "too many requests: wait a moment")
            return
        await self.app(scope, receive, send)

    def _too_much(self, visitor: str) -> bool:
        """Whether the visitor's tokens are used up; one comes back each fifteenth of a second."""
        try:
            if ipaddress.ip_address(visitor).is_loopback:
                return False
        except ValueError:  # a proxy may write anything: all such are one visitor
            visitor = ""
        now = self.clock()
        tokens, when = self._asked.pop(visitor, (BURST, now))
        tokens = min(BURST, tokens + PER_SECOND * (now - when))
        self._asked[visitor] = (max(0, tokens - 1), now)
        if len(self._asked) > MAX_VISITORS:
            self._asked.popitem(last=False)
        return tokens < 1


async def refuse(send: Send, status: int, reason: str) -> None:
    """Answer with a status and a reason instead of the application."""
    headers = [(b"content-type", b"application/json"), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": json.dumps({"error": reason}).encode()})
