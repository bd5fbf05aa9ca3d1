"""How soon the demo is there, and how soon it answers: `python scripts/benchmark_demo.py RUN`.

Starts the page on a run, times its port against `import gradio`, then draws in Chromium with a
mouse, and with a finger on a phone's screen, and prints the milliseconds from pen-up to the last
change of the answer on the page. Each answer that stays is compared with what the model says of the
picture on the canvas, and requests to other machines are listed.
"""

import argparse
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from playwright.sync_api import Browser, Page, sync_playwright

from mnist_exp.app.pictures import drawing_ink
from mnist_exp.recognition import BLANK, Reader
from mnist_exp.runs import open_run

PATHS = {  # the strokes of digits, in a box of one by one
    "0": [
        (0.5, 0),
        (0.2, 0.15),
        (0.1, 0.5),
        (0.25, 0.9),
        (0.5, 1),
        (0.8, 0.85),
        (0.9, 0.5),
        (0.75, 0.1),
        (0.5, 0),
    ],
    "1": [(0.3, 0.2), (0.5, 0), (0.5, 0.5), (0.5, 1)],
    "2": [
        (0.15, 0.2),
        (0.4, 0),
        (0.75, 0.1),
        (0.75, 0.4),
        (0.4, 0.75),
        (0.1, 1),
        (0.5, 0.97),
        (0.9, 1),
    ],
    "6": [
        (0.7, 0),
        (0.35, 0.3),
        (0.15, 0.7),
        (0.35, 1),
        (0.75, 0.95),
        (0.8, 0.7),
        (0.5, 0.58),
        (0.2, 0.75),
    ],
    "7": [(0.1, 0.05), (0.5, 0.03), (0.85, 0), (0.6, 0.45), (0.4, 1)],
    "9": [
        (0.8, 0.2),
        (0.5, 0),
        (0.2, 0.2),
        (0.4, 0.45),
        (0.75, 0.3),
        (0.8, 0.1),
        (0.75, 0.6),
        (0.65, 1),
    ],
}
WATCH = """() => {
  window.up = window.changed = 0;
  addEventListener("pointerup", () => { window.up = performance.now(); window.changed = 0; }, true);
  new MutationObserver(() => requestAnimationFrame(() => setTimeout(() => { window.changed = performance.now(); })))
    .observe(document.querySelector("#answer"), { childList: true, subtree: true, characterData: true });
}"""  # a change counts once the frame that shows it has been drawn
SETTLED = 1.5  # seconds after pen-up in which an answer must have come


def main() -> None:
    """Measure, with a page in a process of its own."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run")
    parser.add_argument("--outputs", type=Path, default=Path("outputs"))
    parser.add_argument("--drawings", type=int, default=50, help="with each of mouse and finger")
    arguments = parser.parse_args()
    run = open_run(arguments.run, arguments.outputs)
    reader = Reader(run)
    reader.neighbours  # noqa: B018  (kept beside the model, so that the page finds it)
    importing = _seconds([sys.executable, "-c", "import gradio"])
    with _page(run.path) as (address, seconds), sync_playwright() as playwright:
        print(
            f"port: {seconds:.1f} s after the command, import gradio takes {importing:.1f} s",
            flush=True,
        )
        options = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=options)
        _draw_many("mouse", _desktop(browser), address, reader, arguments.drawings)
        _draw_many("finger", _phone(browser), address, reader, arguments.drawings)
        browser.close()


def _seconds(command: list[str]) -> float:
    began = time.perf_counter()
    subprocess.run(command, check=True)
    return time.perf_counter() - began


@contextmanager
def _page(run: Path) -> Iterator[tuple[str, float]]:
    """The address of a demo, and the seconds until its port answered."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with tempfile.TemporaryFile() as log:
        command = [
            sys.executable,
            "-m",
            "mnist_exp.demo",
            "--runs",
            str(run.parent),
            "--run",
            str(run),
        ]
        began = time.perf_counter()
        with subprocess.Popen([*command, "--port", str(port)], stderr=log, stdout=log) as process:
            while not _answers(port):
                if process.poll() is not None:
                    log.seek(0)
                    raise SystemExit(log.read().decode())
                time.sleep(0.02)
            yield f"http://127.0.0.1:{port}/", time.perf_counter() - began
            process.terminate()


def _answers(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


def _desktop(browser: Browser) -> Page:
    return browser.new_page(viewport={"width": 1280, "height": 1000})


def _phone(browser: Browser) -> Page:
    return browser.new_page(viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)


def _draw_many(hand: str, page: Page, address: str, reader: Reader, count: int) -> None:
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(f"error on the page: {error}"))
    page.on(
        "request",
        lambda r: None if r.url.startswith((address, "data:", "blob:")) else problems.append(r.url),
    )
    page.goto(address)
    page.get_by_test_id("canvas").wait_for()
    page.evaluate(WATCH)
    rng = np.random.default_rng(0)
    times, stale, silent = [], [], 0
    finger = page.context.new_cdp_session(page) if hand == "finger" else None
    for number in range(-3, count):  # the first three find a server that has yet to read its index
        drawn = str(rng.choice(list(PATHS)))
        page.evaluate("scrollTo(0, 0)")
        _stroke(page, _places(page, PATHS[drawn], rng), finger)
        time.sleep(SETTLED)
        up, changed, scrolled = page.evaluate("[window.up, window.changed, scrollY]")
        uri = page.evaluate("document.querySelector('#canvas canvas').toDataURL('image/png')")
        said, wanted = page.get_by_test_id("read").first.inner_text(), _said(reader, uri)
        if scrolled:
            problems.append(f"the page scrolled by {scrolled} px")
        if number >= 0:
            if changed:
                times.append(changed - up)
            silent += not changed
            stale += [f"{said} for {wanted}"] if said != wanted else []
        page.keyboard.press("Escape")
        time.sleep(0.4)
    quartiles = statistics.quantiles(times, n=20)
    print(
        f"{hand}: median {statistics.median(times):.0f} ms from pen-up to answer, 95 % within {quartiles[-1]:.0f} ms, "
        f"of {count} drawings; {silent} answers were there before; {len(stale)} stale {stale or ''}",
        flush=True,
    )
    print(
        f"{hand}: {'; '.join(problems) or 'no request to another machine, no error, no scrolling'}",
        flush=True,
    )


def _places(
    page: Page, path: list[tuple[float, float]], rng: np.random.Generator
) -> list[tuple[float, float]]:
    """A stroke's way over the canvas, in px of the page: somewhere, of some size."""
    box: Any = page.get_by_test_id("canvas").bounding_box()
    side = min(box["width"], box["height"]) * rng.uniform(0.4, 0.75)
    left = box["x"] + 0.05 * box["width"] + rng.uniform(0, 0.9 * box["width"] - side)
    top = box["y"] + 0.1 * box["height"] + rng.uniform(0, 0.8 * box["height"] - side)
    knots = np.asarray(path) + rng.normal(0, 0.02, (len(path), 2))
    steps = np.linspace(0, len(knots) - 1, 8 * len(knots))
    points = np.stack(
        [np.interp(steps, range(len(knots)), knots[:, axis]) for axis in (0, 1)], axis=1
    )
    return [(float(left + 0.7 * side * x), float(top + side * y)) for x, y in points]


def _stroke(page: Page, places: list[tuple[float, float]], finger: Any) -> None:
    """Draw at about the pace of a hand."""
    for number, (x, y) in enumerate(places):
        if finger is not None:
            kind = "touchMove" if number else "touchStart"
            finger.send(
                "Input.dispatchTouchEvent", {"type": kind, "touchPoints": [{"x": x, "y": y}]}
            )
        else:
            page.mouse.move(x, y)
            if not number:
                page.mouse.down()
        time.sleep(0.008)
    if finger is not None:
        finger.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    else:
        page.mouse.up()


def _said(reader: Reader, uri: str) -> str:
    """What the card shows of a canvas."""
    answer = reader.read_ink(drawing_ink(uri))
    if answer.reason == BLANK:
        return "?"
    return answer.label if answer.label is not None else (answer.reason or "").partition(":")[0]


if __name__ == "__main__":
    main()
