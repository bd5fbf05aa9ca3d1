"""The board over HTTP: a page that is kept current by server-sent events, read-only throughout.

What is served is what `Folders` has listed, looked up by name: no path that is sent is ever opened.
A run's own report comes from anywhere, so the browser gets it as of no origin and without network.
"""

import argparse
import asyncio
import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response, StreamingResponse
from starlette.routing import Route

from mnist_exp.app.board import cells, pages
from mnist_exp.app.board.commands import commands
from mnist_exp.app.board.differences import study_name
from mnist_exp.app.board.drawing import Drawing
from mnist_exp.app.board.entry import STATES, Entry
from mnist_exp.app.board.folders import Folders
from mnist_exp.app.board.live import LOOK_SECONDS, Live
from mnist_exp.app.board.responses import (
    HEADERS,
    MADE_POLICY,
    STRANGE_POLICY,
    BasicAuth,
    RootPath,
    no_content,
    page,
    quote_filter,
    quote_path,
    root_of,
)
from mnist_exp.app.board.table import Table
from mnist_exp.app.board.view import ALL_COLUMNS, MOST_ROWS, SORTABLE, View
from mnist_exp.comparison import display_path, printable
from mnist_exp.errors import UserError

MOST_LOG = 64 * 1024  # bytes of a log's end
MOST_REPORT = 64 * 2**20
MOST_COMPARED = 100
SEARCH_SECONDS = 2.0  # between two drawings of a search's page, at least


class Board:
    """The pages, and the one task that looks at the folders while somebody watches."""

    def __init__(self, folders: Folders, storage: str | None) -> None:
        self.folders, self.storage = folders, storage
        self.table = Table(folders)
        self.live, self.drawing = Live(folders), Drawing()
        self._drawn: tuple[str, object, str] = ("", None, "")
        self._one_at_a_time = asyncio.Lock()
        self._templates = Environment(
            loader=ChoiceLoader(
                [PackageLoader("mnist_exp.app.board"), PackageLoader("mnist_exp.report")]
            ),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._templates.filters["brief"] = cells.brief
        self._templates.globals |= {"cell": cells.cell, "path": quote_path}

    # -- pages -----------------------------------------------------------------------------------

    async def index(self, request: Request) -> Response:
        """The whole page."""
        return await self._table_page(request, "board.html")

    async def rows(self, request: Request) -> Response:
        """What of the page changes, for a page that is open."""
        return await self._table_page(request, "rows.html")

    async def _table_page(self, request: Request, template: str) -> Response:
        view = View.parse(request.query_params)
        html = await run_in_threadpool(self._table_html, request, template, view)
        return page(html)

    def _table_html(self, request: Request, template: str, view: View) -> str:
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
            all_columns=ALL_COLUMNS,
            sortable=SORTABLE,
            states=STATES,
            folder=display_path(self.folders.root),
            unlisted=self.folders.unlisted,
            most=MOST_ROWS,
        )

    async def api(self, request: Request) -> Response:
        """What the page shows as JSON, of every run that passes the filter."""
        view = View.parse(request.query_params)

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
        return page(html)

    def _run_html(self, request: Request, entry: Entry) -> str:
        template = "run-part.html" if "part" in request.query_params else "run.html"
        with self.folders.lock:
            row = self.table.row(entry)
        return self._render(
            template,
            request,
            row=row,
            entry=entry,
            columns=ALL_COLUMNS,
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
        return page(await self.drawing(pages.comparison_page, paths, split), MADE_POLICY)

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
        if journal:
            status = journal.stat()
            stamp: object = (status.st_size, status.st_mtime_ns)
            html = await self._search_html(name, stamp, pages.search_page, str(journal))
        elif self.storage:
            trials = [e for e in self.folders.entries.values() if e.sweep == name]
            stamp = [(trial.name, trial.state) for trial in trials]
            folder = sweep.path.resolve().relative_to(Path(self.folders.real_root).parent)
            study = next(map(study_name, trials), None)
            make = pages.stored_search_page
            html = await self._search_html(
                name, stamp, make, self.storage, study, folder.as_posix()
            )
        elif sweep.has_report:
            return await self.report(request)
        else:
            raise UserError(
                f"{name}: its study lies elsewhere (search.storage=...): start the board with "
                "--storage ADDRESS to see this page live, or wait for the end of the search; "
                "its trials are in the table"
            )
        live = f'<script src="{root_of(request)}/static/search.js"></script></body>'
        back = f'<main><p><a href="{root_of(request)}/{quote_filter(name)}">Its trials</a></p>'
        return page(html.replace("</body>", live, 1).replace("<main>", back, 1), MADE_POLICY)

    async def _search_html(
        self, name: str, stamp: object, make: Callable[..., str], *arguments: object
    ) -> str:
        """The page of a search, drawn again only if its stamp is another."""
        async with self._one_at_a_time:
            if self._drawn[:2] != (name, stamp):
                self._drawn = name, stamp, await self.drawing(make, *arguments)
            return self._drawn[2]

    async def events(self, request: Request) -> Response:
        """The version of what there is, at once and after every change."""
        headers = HEADERS | {"X-Accel-Buffering": "no"}
        changes = self.live.changes()
        return StreamingResponse(changes, headers=headers, media_type="text/event-stream")

    # -- parts -----------------------------------------------------------------------------------

    def _entry(self, request: Request) -> Entry:
        entry = self.folders.entries.get(request.path_params["name"] or ".")
        if entry is None:
            raise HTTPException(404, "there is no such run (any more)")
        return entry

    def _render(self, template: str, request: Request, **content: Any) -> str:
        return self._templates.get_template(template).render(root=root_of(request), **content)

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
        return page(self._render("mistake.html", request, message=message), status=status)

    def close(self) -> None:
        """End what goes on forever."""
        self.live.close()
        self.drawing.close()


def make_app(
    folders: Folders,
    auth: str | None = None,
    hosts: list[str] | None = None,
    storage: str | None = None,
    root_path: str = "",
) -> Starlette:
    """The application; `hosts` are the only names by which it may be asked, if given.

    Without this, a page from elsewhere could ask a board on the loopback interface by a name of
    its own that it lets point there.
    """
    board = Board(folders, storage)
    middleware = [Middleware(GZipMiddleware, minimum_size=2_000)]
    if root_path:
        middleware.insert(0, Middleware(RootPath, path=root_path))
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


def serve(folders: Folders, arguments: argparse.Namespace, began: float) -> None:
    """Serve until Ctrl-C."""
    import sys

    import uvicorn

    host, auth, root_path = arguments.host, arguments.auth, arguments.root_path.rstrip("/")
    loopback = ["127.0.0.1", "localhost", "[::1]"]
    hosts = None if auth or arguments.root_path else loopback
    app = make_app(folders, auth, hosts, arguments.storage, root_path)
    config = uvicorn.Config(
        app,
        host=host,
        port=arguments.port,
        log_level="warning",
        server_header=False,
        timeout_graceful_shutdown=1,
    )
    seconds = time.perf_counter() - began
    where = f"[{host}]" if ":" in host else host
    print(
        f"http://{where}:{arguments.port}{root_path} after {seconds:.1f} s; Ctrl-C ends it",
        file=sys.stderr,
        flush=True,
    )

    class Server(uvicorn.Server):
        async def shutdown(self, sockets: Any = None) -> None:
            app.state.board.close()
            await super().shutdown(sockets)

    Server(config).run()
