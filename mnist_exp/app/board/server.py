"""The board over HTTP: a page that is kept current by server-sent events, read-only throughout.

What is served is what `Folders` has listed, looked up by name: no path that is sent is ever opened.
A run's own report comes from anywhere, so the browser gets it as of no origin and without network.
"""

import asyncio
import base64
import hmac
import json
import logging
import shlex
import signal
import time
from collections.abc import AsyncIterator, Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import (
    HTMLResponse,
    PlainTextResponse,
    Response,
    StreamingResponse,
)
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from mnist_exp.app.board import pages, table
from mnist_exp.app.board.folders import STATES, Entry, Folders
from mnist_exp.comparison import display_path, printable
from mnist_exp.errors import UserError

log = logging.getLogger(__name__)

LOOK_SECONDS = 1.0
LONGEST_PAUSE_SECONDS = 5.0
SHARE_OF_CPU = 0.02  # that looking may take while nothing happens
KEEP_ALIVE_SECONDS = 15.0
MOST_LOG = 64 * 1024  # bytes of a log's end
MOST_REPORT = 64 * 2**20
MOST_COMPARED = 100
SEARCH_SECONDS = 2.0  # between two drawings of a search's page, at least

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


class Board:
    """The pages, and the one task that looks at the folders while somebody watches."""

    def __init__(self, folders: Folders) -> None:
        self.folders = folders
        self.table = table.Table(folders)
        self._watchers: set[asyncio.Event] = set()
        self._task: asyncio.Task[None] | None = None
        self._pool: ProcessPoolExecutor | None = None
        self._searches: dict[str, tuple[tuple[int, int], str]] = {}
        self._drawing = asyncio.Lock()
        self._ending = asyncio.Event()
        self._templates = Environment(
            loader=ChoiceLoader(
                [PackageLoader("mnist_exp.app.board"), PackageLoader("mnist_exp.report")]
            ),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._templates.filters["brief"] = table.brief
        self._templates.globals |= {"cell": table.cell, "path": _path}

    # -- pages -----------------------------------------------------------------------------------

    async def index(self, request: Request) -> Response:
        """The whole page."""
        return await self._table_page(request, "board.html")

    async def rows(self, request: Request) -> Response:
        """What of the page changes, for a page that is open."""
        return await self._table_page(request, "rows.html")

    async def _table_page(self, request: Request, template: str) -> Response:
        view = table.View.parse(request.query_params)
        html = await run_in_threadpool(self._table_html, request, template, view)
        return _page(html)

    def _table_html(self, request: Request, template: str, view: table.View) -> str:
        self.folders.refresh(newer_than=LOOK_SECONDS)
        groups, n_passed = self.table.groups(view)
        return self._render(
            template,
            request,
            view=view,
            groups=groups,
            n_passed=n_passed,
            n_runs=len(self.folders.entries),
            counts=self.table.counts(),
            all_columns=table.ALL_COLUMNS,
            sortable=table.SORTABLE,
            states=STATES,
            folder=display_path(self.folders.root),
            unlisted=self.folders.unlisted,
            most=table.MOST_ROWS,
        )

    async def api(self, request: Request) -> Response:
        """What the page shows as JSON, of every run that passes the filter."""
        view = table.View.parse(request.query_params)

        def read() -> bytes:
            self.folders.refresh(newer_than=LOOK_SECONDS)
            content = {"runs": self.table.rows(view), "unlisted": self.folders.unlisted}
            return json.dumps(content).encode()

        content = await run_in_threadpool(read)
        return Response(content, headers=HEADERS, media_type="application/json")

    async def run(self, request: Request) -> Response:
        """One run: how far it is, its log's end, commands to copy."""
        await run_in_threadpool(self.folders.refresh, LOOK_SECONDS)
        entry = self._entry(request)
        html = await run_in_threadpool(self._run_html, request, entry)
        return _page(html)

    def _run_html(self, request: Request, entry: Entry) -> str:
        template = "run-part.html" if "part" in request.query_params else "run.html"
        with self.folders.lock:
            row = self.table.row(entry)
        return self._render(
            template,
            request,
            row=row,
            entry=entry,
            columns=table.ALL_COLUMNS,
            commands=commands(entry),
            log=self._log_end(entry),
            has_report=self.folders.inside(entry.run.report_path) is not None,
            sweep=self.folders.sweeps.get(entry.sweep) if entry.sweep is not None else None,
        )

    def _log_end(self, entry: Entry) -> str:
        path = self.folders.inside(entry.run.log_path)
        if path is None:
            return ""
        try:
            with path.open("rb") as file:
                size = file.seek(0, 2)
                file.seek(max(0, size - MOST_LOG))
                content = file.read(MOST_LOG)
        except OSError as error:
            return f"{path.name} cannot be read: {error.strerror}"
        lines = content.decode("utf-8", "replace").splitlines()
        return "\n".join(map(printable, lines[1:] if size > MOST_LOG else lines))

    async def report(self, request: Request) -> Response:
        """A run's or a search's own report, as it is."""
        name = request.path_params["name"] or "."
        entry, sweep = self.folders.entries.get(name), self.folders.sweeps.get(name)
        if entry is None and sweep is None:
            raise HTTPException(404, "there is no such run")
        wanted = entry.run.report_path if entry else sweep.path / "report.html" if sweep else Path()

        def read() -> bytes:
            path = self.folders.inside(wanted)
            if path is None or path.stat().st_size > MOST_REPORT:
                raise HTTPException(404, "this run has no report, or one of an odd size")
            return path.read_bytes()

        policy = {"Content-Security-Policy": STRANGE_POLICY}
        return HTMLResponse(await run_in_threadpool(read), headers=HEADERS | policy)

    async def compare(self, request: Request) -> Response:
        """The comparison of the runs that were marked; the first is the baseline."""
        names = request.query_params.getlist("run")
        chosen = [self.folders.entries[n] for n in names if n in self.folders.entries]
        if not 2 <= len(chosen) <= MOST_COMPARED:
            raise UserError(f"mark 2 to {MOST_COMPARED} runs to compare them")
        for entry in chosen:
            await run_in_threadpool(self._check_links, entry)
        split = "test" if all(entry.split == "test" for entry in chosen) else "val"
        paths = [str(entry.run.path) for entry in chosen]
        return _page(await self._made(pages.comparison_page, paths, split), MADE_POLICY)

    def _check_links(self, entry: Entry) -> None:
        for path in entry.run.path.iterdir():
            if path.is_symlink() and self.folders.inside(path) is None:
                raise UserError(f"{entry.name}: {path.name} is a link that leads out of the folder")

    async def search(self, request: Request) -> Response:
        """The page of a search as far as it has come; it is drawn anew as trials end."""
        name = request.path_params["name"]
        await run_in_threadpool(self.folders.refresh, LOOK_SECONDS)
        sweep = self.folders.sweeps.get(name)
        if sweep is None:
            raise HTTPException(404, "there is no such search")
        journal = self.folders.inside(sweep.journal) if sweep.journal else None
        if journal is None:
            if sweep.has_report:
                return await self.report(request)
            raise UserError(
                f"{name}: its study lies elsewhere (search.storage=...), so its page is written "
                "when the search ends; its trials are in the table"
            )
        html = await self._search_html(name, journal)
        live = f'<script src="{_root(request)}/static/search.js"></script></body>'
        back = f'<main><p><a href="{_root(request)}/{quote_filter(name)}">Its trials</a></p>'
        return _page(html.replace("</body>", live, 1).replace("<main>", back, 1), MADE_POLICY)

    async def _search_html(self, name: str, journal: Path) -> str:
        async with self._drawing:
            status = journal.stat()
            stamp = status.st_size, status.st_mtime_ns
            drawn = self._searches.get(name)
            if drawn is None or drawn[0] != stamp:
                html = await self._made(pages.search_page, str(journal))
                self._searches = {name: (stamp, html)}
                return html
            return drawn[1]

    async def _made(self, make: Callable[..., str], *arguments: object) -> str:
        if self._pool is None:
            # Ctrl-C is for this process, which then lets the other one end.
            ignore = (signal.SIGINT, signal.SIG_IGN)
            self._pool = ProcessPoolExecutor(1, get_context("spawn"), signal.signal, ignore)
        made: asyncio.Future[str] = asyncio.wrap_future(self._pool.submit(make, *arguments))
        ending: asyncio.Future[Any] = asyncio.create_task(self._ending.wait())
        either: set[asyncio.Future[Any]] = {made, ending}
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        ending.cancel()
        if not made.done():
            raise UserError("the board ends")
        try:
            return made.result()
        except BrokenProcessPool as error:
            self._pool = None
            raise UserError("the process that makes such pages was killed; try again") from error

    # -- events ----------------------------------------------------------------------------------

    async def events(self, request: Request) -> Response:
        """The version of what there is, at once and after every change."""
        headers = HEADERS | {"X-Accel-Buffering": "no"}
        return StreamingResponse(self._changes(), headers=headers, media_type="text/event-stream")

    async def _changes(self) -> AsyncIterator[str]:
        news = asyncio.Event()
        self._watchers.add(news)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._look())
        try:
            yield f"data: {self.folders.version}\n\n"
            while not self._ending.is_set():
                try:
                    await asyncio.wait_for(news.wait(), KEEP_ALIVE_SECONDS)
                except TimeoutError:
                    yield ": still here\n\n"
                    continue
                news.clear()
                yield f"data: {self.folders.version}\n\n"
        finally:
            self._watchers.discard(news)

    async def _look(self) -> None:
        """Look at the folders as long as anybody watches; less often if it takes long for nothing.

        A look that reads what is new takes longer than those that find nothing, and says nothing
        of what these will take.
        """
        announced = self.folders.version
        while self._watchers:
            pause = LOOK_SECONDS
            try:
                version = await run_in_threadpool(self.folders.refresh, LOOK_SECONDS / 2)
                if version == announced:
                    long = self.folders.cost / SHARE_OF_CPU / 2
                    pause = min(max(LOOK_SECONDS, long), LONGEST_PAUSE_SECONDS)
                else:
                    announced = version
                    for news in self._watchers:
                        news.set()
            except Exception:  # whatever was wrong with a folder, the others are looked at again
                log.exception("the board could not look at %s", self.folders.root)
            await asyncio.sleep(pause)

    # -- parts -----------------------------------------------------------------------------------

    def _entry(self, request: Request) -> Entry:
        entry = self.folders.entries.get(request.path_params["name"] or ".")
        if entry is None:
            raise HTTPException(404, "there is no such run (any more)")
        return entry

    def _render(self, template: str, request: Request, **content: Any) -> str:
        return self._templates.get_template(template).render(root=_root(request), **content)

    async def static(self, request: Request) -> Response:
        """The page's style and scripts."""
        name = request.path_params["name"]
        types = {"board.css": "text/css", "board.js": "text/javascript"}
        types["search.js"] = "text/javascript"
        if name not in types:
            raise HTTPException(404)
        source = self._templates.get_template(name).render()
        return Response(source, headers=HEADERS, media_type=types[name])

    async def refuse(self, request: Request, error: Exception) -> Response:
        """A mistake as a page of its own."""
        status = error.status_code if isinstance(error, HTTPException) else 422
        message = error.detail if isinstance(error, HTTPException) else str(error)
        html = self._render("mistake.html", request, message=message)
        return HTMLResponse(html, status, HEADERS | {"Content-Security-Policy": PAGE_POLICY})

    def close(self) -> None:
        """End what draws pages, and the answers that would go on forever."""
        self._ending.set()
        for news in self._watchers:
            news.set()
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)


def commands(entry: Entry) -> dict[str, str]:
    """What to type to make this run, to repeat it, and to draw with its model."""
    where = shlex.quote(display_path(entry.run.path))
    python = "python -m mnist_exp."
    made, words = list(entry.argv), [w for w in entry.overrides if not w.startswith("search=")]
    found = {}
    if made and Path(made[0]).name == "train.py":
        found["The command that made it"] = shlex.join(
            ["python", "-m", "mnist_exp.train", *made[1:]]
        )
    elif made and made[0] == "-c":
        pass  # a worker of a search or a grid: its command line says nothing
    elif made:
        found["The command that made it"] = shlex.join(made)
    found["The command that repeats it"] = f"{python}train {shlex.join(words)}".rstrip()
    if entry.state == "completed":
        found["Repeat it and check that everything is the same"] = f"{python}verify {where}"
        if entry.run.has_model:
            found["Draw with this model"] = f"{python}demo --run {where}"
    return found


async def no_content(request: Request) -> Response:
    """Nothing, for what browsers ask for unasked."""
    return Response(status_code=204, headers=HEADERS)


def quote_filter(name: str) -> str:
    """The address of the runs of one sweep."""
    return "?" + urlencode({"filter": f"sweep={name}"})


def _path(name: str) -> str:
    return quote(name, safe="/")


def _root(request: Request) -> str:
    return str(request.scope.get("root_path", "")).rstrip("/")


def _page(html: str, policy: str = PAGE_POLICY) -> Response:
    # A folder from elsewhere may hold half a character in its name.
    content = html.encode("utf-8", "replace")
    return HTMLResponse(content, headers=HEADERS | {"Content-Security-Policy": policy})


def make_app(
    folders: Folders, auth: str | None = None, hosts: list[str] | None = None
) -> Starlette:
    """The application; `hosts` are the only names by which it may be asked, if given.

    Without this, a page from elsewhere could ask a board on the loopback interface by a name of
    its own that it lets point there.
    """
    board = Board(folders)
    middleware = [Middleware(GZipMiddleware, minimum_size=2_000)]
    if hosts:
        middleware.insert(0, Middleware(TrustedHostMiddleware, allowed_hosts=hosts))
    if auth:
        middleware.insert(0, Middleware(BasicAuth, credentials=auth))
    refusals: Mapping[Any, Any] = {HTTPException: board.refuse, UserError: board.refuse}
    app = Starlette(
        routes=[
            Route("/", board.index),
            Route("/rows", board.rows),
            Route("/events", board.events),
            Route("/api/runs", board.api),
            Route("/compare", board.compare),
            Route("/static/{name}", board.static),
            Route("/favicon.ico", no_content),
            Route("/run/{name:path}", board.run),
            Route("/report/{name:path}", board.report),
            Route("/search/{name:path}", board.search),
        ],
        middleware=middleware,
        exception_handlers=refusals,
    )
    app.state.board = board
    return app


def serve(
    folders: Folders, host: str, port: int, auth: str | None, root_path: str, began: float
) -> None:
    """Serve until Ctrl-C."""
    import sys

    import uvicorn

    loopback = ["127.0.0.1", "localhost", "[::1]"]
    app = make_app(folders, auth, None if auth or root_path else loopback)
    config = uvicorn.Config(
        app,
        host=host,
        port=port,
        root_path=root_path,
        log_level="warning",
        server_header=False,
        timeout_graceful_shutdown=1,
    )
    seconds = time.perf_counter() - began
    where = f"[{host}]" if ":" in host else host
    print(
        f"http://{where}:{port}{root_path} after {seconds:.1f} s; Ctrl-C ends it",
        file=sys.stderr,
        flush=True,
    )

    class Server(uvicorn.Server):
        async def shutdown(self, sockets: Any = None) -> None:
            app.state.board.close()
            await super().shutdown(sockets)

    Server(config).run()
