"""The board in a real browser while a search runs: trials appear, a killed one turns stale."""

import json
import os
import signal
import socket
import sys
import time
import urllib.request
from contextlib import contextmanager
from datetime import datetime

import pytest
from axe_playwright_python.sync_playwright import Axe
from test_compare import write_run, wrong_at

from mnist_exp.runs import Run, find_runs

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:axe_playwright_python")
N_TRIALS = 6
SEARCH = (
    "dataset=digits",
    "dataset.train_size=500",
    "n_jobs=1",
    "model=mlp",
    "search=random",
    f"search.n_trials={N_TRIALS}",
    "search.n_jobs=2",
    "search.pruner=median",
    "search.refit=false",
)
NOTE_TIMES = """
window.ended = {};
new MutationObserver(() => {
  for (const row of document.querySelectorAll('tr[id^="run "]'))
    if (!["running", "stale", "unreadable"].includes(row.className.split(" ")[0]))
      window.ended[row.id.slice(4)] ??= Date.now() / 1000;
}).observe(document.getElementById("live"), { subtree: true, childList: true, attributes: true });
"""


@contextmanager
def board(start, *words):
    """The address of a board of `start.home`'s outputs."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    process = start("--port", str(port), *words, module="board")
    address = f"http://127.0.0.1:{port}"
    deadline = time.monotonic() + 30
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            break
        except OSError:
            assert process.poll() is None, process.communicate()[1]
            assert time.monotonic() < deadline
            time.sleep(0.02)
    yield address
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=20) in (0, 130)
    assert "Traceback" not in process.communicate()[1]


@pytest.fixture
def page(chromium):
    context = chromium.new_context(viewport={"width": 1280, "height": 900})
    page = context.new_page()
    problems = []
    page.on("console", lambda message: problems.append(message.text))
    page.on("pageerror", lambda error: problems.append(str(error)))
    yield page
    context.close()
    assert problems == []


def wait_for(condition, seconds=120):
    deadline = time.monotonic() + seconds
    while not (answer := condition()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return answer


def running(folder):
    return [run for run in find_runs(folder) if run.exists and run.state == "running"]


def axe_says(page):
    results = Axe().run(page, options={"resultTypes": ["violations"]})
    return [
        (violation["id"], [node["target"] for node in violation["nodes"]][:3])
        for violation in results.response["violations"]
    ]


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="kills by signal")
def test_a_search_is_watched_trial_by_trial_also_when_a_worker_is_killed(start, page):
    (start.home / "outputs").mkdir()
    with board(start) as address:
        page.goto(address)
        page.get_by_text("There is no run here yet").wait_for()
        page.evaluate(NOTE_TIMES)
        search = start(*SEARCH)
        trial = wait_for(lambda: next(iter(running(start.home / "outputs")), None))
        name = trial.path.relative_to(start.home / "outputs").as_posix()
        row = page.locator(f'tr[id="run {name}"]')
        row.locator(".state.running").wait_for()
        os.kill(trial.status.pid, signal.SIGKILL)
        row.locator(".state.stale").wait_for(timeout=5_000)
        sweep = name.rpartition("/")[0]
        wait_for(lambda: page.locator(".state.completed").count())
        live = page.context.new_page()
        live.goto(f"{address}/search/{sweep}")
        live.get_by_role("heading", name="Every trial").wait_for()
        first = live.locator("img.plot").first.get_attribute("src")
        assert search.wait(timeout=120) == 0
        runs = [run for run in find_runs(start.home / "outputs") if run.state != "stale"]
        assert len(runs) == N_TRIALS
        names = {run.path.relative_to(start.home / "outputs").as_posix(): run for run in runs}
        wait_for(lambda: names.keys() <= page.evaluate("window.ended").keys(), 10)
        for shown, seen in page.evaluate("window.ended").items():
            ended = datetime.fromisoformat(names[shown].status.ended).timestamp()
            assert seen - ended < 2, shown
        wait_for(lambda: live.locator("img.plot").first.get_attribute("src") != first, 20)
        assert live.locator("tbody tr").count() == N_TRIALS + 1  # the killed one and its repetition
        for watching in (page, live):
            assert axe_says(watching) == []
            watching.goto("about:blank")  # else it misses the board, which ends now


def test_the_page_sorts_filters_marks_compares_and_keeps_it_in_its_address(start, page):
    outputs = start.home / "outputs"
    for job, trees in enumerate((10, 50, 90)):
        model = {"_target_": "s.Forest", "trees": trees}
        write_run(outputs / "grid" / str(job), wrong_at((0, 100 - trees)), model=model)
    (outputs / "grid" / "multirun.yaml").touch()
    (outputs / "grid" / "0" / "report.html").write_text("<title>report</title><p>of run 0")
    with board(start, "--auth", "me:secret") as address:
        with pytest.raises(urllib.error.HTTPError, match="401"):
            urllib.request.urlopen(address)
        page.set_extra_http_headers({"Authorization": "Basic bWU6c2VjcmV0"})
        page.goto(address)
        names = page.locator("tbody th[scope=row] a")
        page.get_by_label("Filter").fill("model.trees=50,90")
        wait_for(lambda: names.count() == 2)
        page.get_by_role("link", name="accuracy, %").click()
        wait_for(lambda: "sort=-accuracy" in page.url)
        assert names.all_inner_texts() == ["grid/2", "grid/1"]
        page.locator("summary").click()
        page.get_by_label("size").uncheck()
        wait_for(lambda: page.get_by_role("link", name="size").count() == 0)
        address_of_this = page.url
        page.goto(address_of_this)
        assert names.all_inner_texts() == ["grid/2", "grid/1"]
        assert page.get_by_role("link", name="size").count() == 0
        for box in page.locator("[data-mark]").all():
            box.check()
        write_run(outputs / "grid" / "3", wrong_at((0, 1)), model={"_target_": "s", "trees": 90})
        wait_for(lambda: names.count() == 3, 5)
        assert page.locator("[data-mark]:checked").count() == 2
        page.get_by_role("button", name="Compare 2 marked").click()
        page.wait_for_url("**/compare?*")
        page.get_by_role("heading", level=1).wait_for()
        assert "grid/1" in page.locator("main").inner_text()
        page.goto(f"{address}/run/grid/0")
        assert "of run 0" in page.frame_locator("iframe").locator("p").inner_text()
        page.get_by_role("button", name="Copy").first.click()
        page.get_by_role("button", name="Copied").wait_for()
        assert json.loads(
            page.evaluate(f"fetch('{address}/api/runs').then(answer => answer.text())")
        )["runs"]
        page.goto("about:blank")


def test_the_page_is_accessible_in_light_and_dark_wide_and_narrow(start, page):
    outputs = start.home / "outputs"
    for number, state in enumerate(("completed", "failed", "pruned", "interrupted")):
        write_run(outputs / "grid" / str(number), wrong_at((0, 9)), state=state, seed=number)
    (outputs / "grid" / "multirun.yaml").touch()
    Run.claim(outputs / "running", [])
    (outputs / "odd").mkdir()
    (outputs / "odd" / "status.json").write_text("{")
    with board(start) as address:
        for path in ("/", "/run/grid/0", "/run/running", "/run/odd", "/?filter=nothing"):
            page.goto(address + path)
            for width, scheme in ((1280, "light"), (390, "dark")):
                page.set_viewport_size({"width": width, "height": 800})
                page.emulate_media(color_scheme=scheme)
                assert axe_says(page) == []
                overflow = "document.documentElement.scrollWidth - innerWidth"
                assert page.evaluate(overflow) <= 0
        page.goto(address)
        for _ in range(3):
            page.keyboard.press("Tab")
        Run.claim(outputs / "another", [])  # focus and page stay where they are when a run appears
        page.locator('tr[id="run another"]').wait_for(state="attached")
        assert page.locator(":focus-visible").count() == 1
        page.goto("about:blank")
