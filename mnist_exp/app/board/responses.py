"""Answers and what browsers may do with them; who is let in."""

import base64
import hmac
from urllib.parse import quote, urlencode

from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

# Ours: scripts that are ours alone. A page made by the report's templates carries its own in it.
PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; connect-src 'self'; "
    "img-src 'self' data:; frame-src 'self'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'self'"
)
MADE_POLICY = PAGE_POLICY.replace("script-src 'self'", "script-src 'self' 'unsafe-inline'")
STRANGE_POLICY = (
    "sandbox allow-scripts; default-src 'none'; script-src 'unsafe-inline'; "
    "style-src 'unsafe-inline'; img-src data:"
)
HEADERS = {
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}


def page(html: str, policy: str = PAGE_POLICY, status: int = 200) -> Response:
    """A page; a folder from elsewhere may hold half a character in its name."""
    content = html.encode("utf-8", "replace")
    return HTMLResponse(content, status, HEADERS | {"Content-Security-Policy": policy})


async def no_content(request: Request) -> Response:
    """Nothing, for what browsers ask for unasked."""
    return Response(status_code=204, headers=HEADERS)


def root_of(request: Request) -> str:
    """The path under which a proxy shows the board."""
    return str(request.scope.get("root_path", "")).rstrip("/")


def quote_path(name: str) -> str:
    """A run's name in an address."""
    return quote(name, safe="/")


def quote_filter(name: str) -> str:
    """The address of the runs of one sweep."""
    return "?" + urlencode({"filter": f"sweep={name}"})


class BasicAuth:
    """ASGI middleware: everything is behind one user and password."""

    def __init__(self, app: ASGIApp, credentials: str) -> None:
        self.app = app
        self._expected = b"Basic " + base64.b64encode(credentials.encode())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand on what carries them, in time that does not tell how much of them is right."""
        if scope["type"] == "http":
            given = dict(scope["headers"]).get(b"authorization", b"")
            if not hmac.compare_digest(given, self._expected):
                refusal = PlainTextResponse(
                    "user and password, please", 401, {"WWW-Authenticate": 'Basic realm="board"'}
                )
                await refusal(scope, receive, send)
                return
        await self.app(scope, receive, send)


class RootPath:
    """ASGI middleware: a proxy shows the board at this path, which it may take off or hand on."""

    def __init__(self, app: ASGIApp, path: str) -> None:
        self.app, self._path = app, path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand on, saying so."""
        await self.app(dict(scope) | {"root_path": self._path}, receive, send)
