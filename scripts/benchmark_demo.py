"""How soon the demo is there, and how soon it answers: `python scripts/benchmark_demo.py RUN`.

Starts the page on a run, times its port against `import gradio`, then draws in Chromium with a
mouse. Prints the milliseconds from pen-up to the last change of the answer on the page. What the
page answers, to a finger and to malformed requests too, is tested in tests/test_demo.py; how it
bears a crowd, in tests/test_crowd.py.
"""

import shutil
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
import psutil
from numpy.typing import NDArray
from playwright.sync_api import sync_playwright

from _measure import arguments_of, run_child
from mnist_exp.recognition import Reader
from mnist_exp.runs import open_run

# The strokes of three digits, x and y in percent of a box.
STROKES = (
    "15 20  40 0  75 10  75 40  40 75  10 100  50 97  90 100",
    "70 0  35 30  15 70  35 100  75 95  80 70  50 58  20 75",
    "10 5  50 3  85 0  60 45  40 100",
)
WATCH = """() => {
  window.up = window.changed = 0;
  addEventListener("pointerup", () => { window.up = performance.now(); window.changed = 0; }, true);
  new MutationObserver(() => requestAnimationFrame(() => setTimeout(() => {
    window.changed = performance.now();
  }))).observe(document.querySelector("#answer"), {
    childList: true, subtree: true, characterData: true
  });
}"""  # a change counts once the frame that shows it has been drawn
CHROMIUM = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]


def main() -> None:
    """Measure, with a page in a process of its own."""
    parser = arguments_of(__doc__)
    parser.add_argument("run")
    parser.add_argument("--outputs", type=Path, default=Path("outputs"))
    parser.add_argument("--drawings", type=int, default=50)
    parser.add_argument("--port", type=int, default=7861)
    arguments = parser.parse_args()
    run = open_run(arguments.run, arguments.outputs)
    Reader(run).neighbours  # noqa: B018  (writes the index that the page will find)
    with page_of(run.path, arguments.port) as address:
        measure(address, arguments.drawings)


@contextmanager
def page_of(run: Path, port: int) -> Iterator[str]:
    """A demo's address; prints the seconds until its port answered."""
    importing = run_child([sys.executable, "-c", "import gradio"]).seconds
    places = ["--runs", str(run.parent), "--run", str(run), "--port", str(port)]
    command = [sys.executable, "-m", "mnist_exp.demo", *places]
    with tempfile.TemporaryFile() as log:
        started = time.perf_counter()
        with subprocess.Popen(command, stderr=log, stdout=log) as process:
            server = psutil.Process(process.pid)
            while process.poll() is None and not server.net_connections("tcp"):
                time.sleep(0.02)
            if process.returncode is not None:
                log.seek(0)
                raise SystemExit(log.read().decode())
            seconds = time.perf_counter() - started
            print(f"port: {seconds:.1f} s after the command; import gradio: {importing:.1f} s")
            yield f"http://127.0.0.1:{port}/"
            process.terminate()


def measure(address: str, count: int) -> None:
    """Draw, and print the times from pen-up to the answer."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=CHROMIUM
        )
        page = browser.new_page(viewport={"width": 1280, "height": 1000})
        page.goto(address)
        page.get_by_test_id("canvas").wait_for()
        page.evaluate(WATCH)
        box, rng, times = page.get_by_test_id("canvas").bounding_box(), np.random.default_rng(0), []
        for number in range(-3, count):  # the first three wait for a server that reads its index
            places = stroke_in(box, rng).tolist()
            page.mouse.move(*places[0])
            page.mouse.down()
            for x, y in places[1:]:
                page.mouse.move(x, y)
                time.sleep(0.008)  # about the pace of a hand
            page.mouse.up()
            time.sleep(1.5)  # in which an answer must have come
            milliseconds = page.evaluate("window.changed - window.up")
            if number >= 0 and milliseconds > 0:
                times.append(milliseconds)
            page.keyboard.press("Escape")
            time.sleep(0.4)
        browser.close()
    median, slow = statistics.median(times), statistics.quantiles(times, n=20)[-1]
    print(
        f"median {median:.0f} ms from pen-up to answer, 95 % within {slow:.0f} ms, "
        f"of {count} drawings; {count - len(times)} answers were there before"
    )


def stroke_in(box: Any, rng: np.random.Generator) -> NDArray[np.float64]:
    """A stroke's way over the canvas, in px of the page: somewhere, of some size."""
    side = min(box["width"], box["height"]) * rng.uniform(0.4, 0.75)
    left = box["x"] + 0.05 * box["width"] + rng.uniform(0, 0.9 * box["width"] - side)
    top = box["y"] + 0.1 * box["height"] + rng.uniform(0, 0.8 * box["height"] - side)
    knots = np.array(STROKES[rng.integers(len(STROKES))].split(), float).reshape(-1, 2) / 100
    knots += rng.normal(0, 0.02, knots.shape)
    steps = np.linspace(0, len(knots) - 1, 8 * len(knots))
    points = np.stack([np.interp(steps, range(len(knots)), axis) for axis in knots.T], axis=1)
    return np.asarray([left, top] + side * points * [0.7, 1])


if __name__ == "__main__":
    main()
