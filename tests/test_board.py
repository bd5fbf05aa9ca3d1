"""The board: what it says of runs of any kind, what it serves, and that it follows what happens."""

import base64
import json
import os
import re
import shutil
import sqlite3
import sys
import time
import urllib.request

import optuna
import pytest
from starlette.testclient import TestClient
from test_compare import BROKEN, rewrite_status, write_run, wrong_at

from mnist_exp.app.board.folders import Folders
from mnist_exp.app.board.pages import stored_search_page
from mnist_exp.app.board.server import make_app
from mnist_exp.app.board.table import Table
from mnist_exp.app.board.view import View
from mnist_exp.board import main
from mnist_exp.comparison import compare_runs
from mnist_exp.errors import UserError
from mnist_exp.runs import Index, Progress, Run, find_runs, read_records, shared_index

BREAK_IN = "document.title='broken in'"
HOSTILE = f'<script>{BREAK_IN}</script><img src=x onerror="{BREAK_IN}">'


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty current folder with an empty index."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MNIST_EXP_CACHE", str(tmp_path / "cache"))
    (tmp_path / "runs").mkdir()
    return tmp_path


@pytest.fixture
def grid(here):
    """A grid of two forests and a run by itself."""
    for job, trees in enumerate((10, 50)):
        model = {"_target_": "s.Forest", "trees": trees}
        write_run(here / "runs" / "grid" / str(job), wrong_at((0, 100 - trees)), model=model)
    (here / "runs" / "grid" / "multirun.yaml").touch()
    write_run(here / "runs" / "single", wrong_at((0, 10)), split="val")
    return here


def look(folder, **view):
    folders = Folders(folder)
    folders.refresh()
    return {row["name"]: row for row in Table(folders).rows(View.parse(view))}


def client_of(folder, **options):
    return TestClient(make_app(Folders(folder), **options))


# -- the table -------------------------


def test_a_row_says_state_accuracy_and_what_differs(grid):
    rows = look(grid / "runs")
    job = rows["grid/1"]
    assert (job["state"], job["sweep"], job["accuracy"], job["split"]) == (
        "completed",
        "grid",
        0.975,
        "test",
    )
    assert (job["config"], rows["grid/0"]["config"]) == ({"model.trees": 50}, {"model.trees": 10})
    assert (job["run"], job["bytes"], job["stages"]) == ("runs/grid/1", 1000, {"fit": 2.0})
    assert (rows["single"]["sweep"], rows["single"]["split"]) == (None, "val")


def test_siblings_of_another_kind_are_told_by_their_option(grid):
    linear = {"_target_": "s.Linear", "rate": 0.5, "sizes": [3, 4]}
    write_run(grid / "runs" / "grid" / "2", wrong_at((0, 9)), model=linear)
    configs = {name: row["config"] for name, row in look(grid / "runs").items()}
    assert configs["grid/2"] == {"model": "Linear"}
    assert configs["grid/1"] == {"model": "Forest", "model.trees": 50}


def test_a_running_run_says_stage_share_and_validation_so_far(here):
    run = Run.claim(here / "runs" / "0", [])
    with Progress(run.path) as progress:
        progress.show("fit", 0.25, {"accuracy": 0.5})
        progress.show("fit", 0.5, {"accuracy": 0.75})
        progress.write()
        row = look(here / "runs")["0"]
    assert (row["state"], row["stage"], row["share"]) == ("running", "fit", 0.5)
    assert (row["val"], row["curve"]) == ({"accuracy": 0.75}, [(0.25, 0.5), (0.5, 0.75)])


def test_what_validation_said_on_the_way_stays_when_a_run_completes(grid):
    with Progress(grid / "runs" / "single") as progress:
        for share in (0.5, 1.0):
            progress.show("fit", share, {"accuracy": share / 2})
    assert look(grid / "runs")["single"]["curve"] == [(0.5, 0.25), (1.0, 0.5)]
    page = client_of(grid / "runs").get("/run/single").text
    assert "validation accuracy from 0.2500 to 0.5000" in page


@pytest.mark.parametrize(
    ("words", "names"),
    [
        ("model.trees=50", ["grid/1"]),
        ("state=completed,failed sweep=grid", ["grid/1", "grid/0"]),
        ("accuracy>0.97", ["single", "grid/1"]),
        ("accuracy<=0.97 test.accuracy>=0.1", ["grid/0"]),
        ("GRID", ["grid/1", "grid/0"]),
        ("seed=0 split=val", ["single"]),
        ("nothing=1", []),
        ("accuracy>many", []),
    ],
)
def test_filters(grid, words, names):
    assert list(look(grid / "runs", filter=words)) == names


def test_sorting_puts_runs_without_a_value_last_and_senseless_addresses_ask_for_nothing(grid):
    Run.claim(grid / "runs" / "0", [])
    assert list(look(grid / "runs", sort="-accuracy")) == ["single", "grid/1", "grid/0", "0"]
    assert next(iter(look(grid / "runs", sort="accuracy"))) == "grid/0"
    assert View.parse({"sort": "no", "limit": "-1", "columns": "x,accuracy"}) == View(
        columns=("accuracy",)
    )
    view = View(filter="a=b c", sort="-accuracy", columns=("state",), limit=500)
    assert view.address() == "?filter=a%3Db+c&sort=-accuracy&columns=state&limit=500"


# -- what happens to folders -------------------------


def test_what_comes_changes_moves_and_goes_is_noticed(grid):
    folders = Folders(grid / "runs")
    table = Table(folders)

    def states():
        folders.refresh()
        return {row["name"]: (row["state"], row["accuracy"]) for row in table.rows(View())}

    assert len(states()) == 3
    version = folders.refresh()
    assert folders.refresh() == version
    running = Run.claim(grid / "runs" / "new", [])
    assert states()["new"] == ("running", None)
    running.finish("failed", "no luck")
    assert states()["new"] == ("failed", None)
    (grid / "runs" / "single").rename(grid / "runs" / "grid" / "2")
    assert {"grid/2"} == states().keys() - {"grid/0", "grid/1", "new"}
    shutil.rmtree(grid / "runs" / "grid" / "0")
    assert "grid/0" not in states()
    metrics = grid / "runs" / "grid" / "1" / "metrics.json"
    metrics.write_text(metrics.read_text().replace("0.975", "0.5"))  # in place
    assert any(states()["grid/1"][1] == 0.5 for _ in range(10))


def test_a_folder_that_goes_away_is_told_and_comes_back(grid):
    folders = Folders(grid / "runs")
    folders.refresh()
    (grid / "runs").rename(grid / "away")
    folders.refresh()
    assert (folders.entries, folders.unlisted) == ({}, ["runs: No such file or directory"])
    (grid / "away").rename(grid / "runs")
    folders.refresh()
    assert (len(folders.entries), folders.unlisted) == (3, [])


def test_a_killed_run_turns_stale(here, popen):
    code = "import sys, pathlib, mnist_exp.runs as r; r.Run.claim(pathlib.Path('runs/0'), []);"
    process = popen([sys.executable, "-c", f"{code} print(flush=True); input()"], stdin=-1)
    process.stdout.readline()
    folders = Folders(here / "runs")
    folders.refresh()
    assert folders.entries["0"].state == "running"
    process.kill()
    process.wait()
    before = folders.version
    assert folders.refresh() > before
    assert folders.entries["0"].state == "stale"


HALF = {
    "half a status": lambda run: (run / "status.json").write_text('{"schema": 1, "run_id": "'),
    "half a progress": lambda run: [
        rewrite_status(run, state="failed"),
        (run / "progress.json").write_text('{"stage": "f'),
    ],
    "odd progress": lambda run: [
        rewrite_status(run, state="failed"),
        (run / "progress.json").write_text(
            '{"stage": 3, "share": 7, "val": [1], "curve": {"a": 1}, "seconds": "x"}'
        ),
    ],
    "a status of other types": lambda run: rewrite_status(
        run, started=3, ended="yesterday", error=["x"], argv=7, host=None, state="new"
    ),
    "a folder that is a link": lambda run: [
        shutil.move(run / ".hydra", run / "elsewhere"),
        (run / ".hydra").symlink_to("elsewhere"),
    ],
    "status out of the folder": lambda run: [
        shutil.copy(run / "status.json", run.parents[2] / "secret.json"),
        (run / "status.json").unlink(),
        (run / "status.json").symlink_to(run.parents[2] / "secret.json"),
    ],
    "a name that is no text": lambda run: run.rename(
        os.fsdecode(os.fsencode(run.parent) + b"/\xff\xfe\x1b[2J")
    ),
    "a name of markup": lambda run: run.rename(run.parent / "<i>a&b?c#d'\" [red]"),
}


@pytest.mark.parametrize("kind", BROKEN | HALF)
def test_the_board_goes_on_and_says_what_is_wrong_with_which(grid, kind, capsys, monkeypatch):
    run = write_run(grid / "runs" / "strange", wrong_at((0, 5)))
    (BROKEN | HALF)[kind](run.path)
    client = client_of(grid / "runs")
    for address in ("/", "/rows?sort=accuracy&filter=s", "/api/runs"):
        assert client.get(address).status_code == 200
    rows = {row["name"]: row for row in client.get("/api/runs").json()["runs"]}
    assert {"grid/0", "grid/1", "single"} < rows.keys()
    assert len(rows) == 4
    (strange,) = rows.keys() - {"grid/0", "grid/1", "single"}
    page = client.get(f"/run/{urllib.request.quote(strange)}")
    assert page.status_code == 200
    assert "<i>" not in page.text
    if rows[strange]["state"] == "unreadable":
        assert rows[strange]["message"]
    monkeypatch.setattr(sys, "argv", ["board", "runs", "--once"])
    main()
    assert "\x1b[2J" not in capsys.readouterr().out


def test_a_link_out_of_the_folder_is_not_followed(grid):
    (grid / "secret.html").write_text("secret")
    (grid / "runs" / "single" / "report.html").symlink_to(grid / "secret.html")
    (grid / "runs" / "single" / "train.log").symlink_to(grid / "secret.html")
    (grid / "runs" / "loop").symlink_to(grid / "runs")
    client = client_of(grid / "runs")
    assert client.get("/report/single").status_code == 404
    assert "secret" not in client.get("/run/single").text
    assert len(client.get("/api/runs").json()["runs"]) == 3
    answer = client.get("/compare?run=single&run=grid/0")
    assert (answer.status_code, "leads out" in answer.text) == (422, True)


# -- the index -------------------------


def settle(folder):
    """As if every file had been left alone for long."""
    for path in folder.rglob("*"):
        if path.is_file():
            os.utime(path, (1, 1))


@pytest.fixture
def settled(monkeypatch):
    """Files of a moment ago are taken for old ones."""
    monkeypatch.setattr("mnist_exp.runs._index.SETTLED_NS", -(10**12))


def test_what_was_read_comes_from_the_index_unless_a_file_changed(grid, settled):
    index = Index(grid / "cache")
    run = Run(grid / "runs" / "grid" / "0")
    assert read_records([run], index)[0].details.metrics["test"]["accuracy"] == 0.955
    with sqlite3.connect(index.path) as connection:
        connection.execute(
            "UPDATE entries SET value = CAST(replace(value, '0.955', '0.111') AS BLOB)"
        )
    connection.close()
    assert read_records([Run(run.path)], index)[0].details.metrics["test"]["accuracy"] == 0.111
    (run.path / "metrics.json").write_text('{"test": {"accuracy": 0.5}}')
    assert read_records([Run(run.path)], index)[0].details.metrics["test"]["accuracy"] == 0.5


def test_find_runs_takes_from_the_index_what_it_would_read(grid, settled, monkeypatch):
    plain = [(run.config, run.metrics) for run in find_runs("runs")]
    read_records([Run(run.path) for run in find_runs("runs")], shared_index())
    monkeypatch.setattr("mnist_exp.runs._run.parse_yaml", None)
    assert [(run.config, run.metrics) for run in find_runs("runs")] == plain


def test_files_of_a_moment_ago_and_running_runs_are_not_indexed(grid):
    index = Index(grid / "cache")
    read_records([Run(grid / "runs" / "grid" / "0")], index)
    assert not index.path.exists()


def test_compare_says_the_same_with_and_without_an_index(grid, settled):
    first, second = compare_runs("runs/grid"), compare_runs("runs/grid")
    assert Index(grid / "cache").path.exists()
    for one, other in zip(first.runs, second.runs, strict=True):
        assert (one.name, one.accuracy, one.changes, one.config, one.time, one.bytes) == (
            other.name,
            other.accuracy,
            other.changes,
            other.config,
            other.time,
            other.bytes,
        )
        assert one.difference == other.difference


@pytest.mark.parametrize("damage", [b"no database at all", b"SQLite format 3\x00" + b"\x01" * 5000])
def test_a_damaged_index_is_made_anew(grid, damage, settled):
    index = Index(grid / "cache")
    index.path.parent.mkdir()
    index.path.write_bytes(damage)
    for _ in range(2):
        assert len(compare_runs("runs/grid").runs) == 2
    assert index.path.read_bytes()[:15] == b"SQLite format 3"
    assert len(look(grid / "runs")) == 3


def test_a_cache_folder_that_cannot_be_written_to_disturbs_nobody(grid, monkeypatch, settled):
    (grid / "file").touch()
    monkeypatch.setenv("MNIST_EXP_CACHE", str(grid / "file" / "cache"))
    assert len(compare_runs("runs/grid").runs) == 2


def test_many_processes_share_an_index(grid, popen, settled):
    code = (
        "import sys; from pathlib import Path; from mnist_exp.runs import Index\n"
        "index = Index(Path('cache'))\n"
        "for i in range(40):\n"
        "    index.put({f'{sys.argv[1]}-{i}'.encode(): bytes(1000)})\n"
        "    assert len(index.get([f'{sys.argv[1]}-{i}'.encode()])) == 1"
    )
    processes = [popen([sys.executable, "-c", code, str(number)]) for number in range(4)]
    for process in processes:
        assert (process.communicate()[1], process.returncode) == ("", 0)
    keys = [f"{process}-{i}".encode() for process in range(4) for i in range(40)]
    assert len(Index(grid / "cache").get(keys)) == 160


# -- the server -------------------------


def test_pages_of_a_run_a_comparison_and_a_mistake(grid):
    (grid / "runs" / "single" / "report.html").write_text(HOSTILE)
    (grid / "runs" / "single" / "train.log").write_text("x" * 100_000 + "\nthe end \x1b[2J")
    client = client_of(grid / "runs")
    page = client.get("/run/single").text
    assert "the end" in page
    assert "\x1b" not in page
    assert "python -m mnist_exp.verify runs/single" in page
    report = client.get("/report/single")
    assert report.text == HOSTILE
    assert report.headers["content-security-policy"].startswith("sandbox allow-scripts; default-")
    for address in ("/run/nothing", "/report/grid/0", "/search/grid/9", "/report/..%2f..%2fsecret"):
        assert client.get(address).status_code == 404
    assert client.get("/compare?run=single").status_code == 422
    assert client.post("/").status_code == 405


def test_a_study_in_a_database_is_shown_where_the_board_may_read_it(grid):
    (grid / "runs" / "grid" / "multirun.yaml").write_text("seed: 0\nsearch:\n")
    assert "--storage" in client_of(grid / "runs").get("/search/grid").text
    storage = "sqlite:///study.db"
    with pytest.raises(UserError, match="cannot be read"):
        stored_search_page(storage, None, "runs/grid")
    assert not (grid / "study.db").exists()
    study = optuna.create_study(storage=storage, study_name=str(grid / "runs" / "grid"))
    study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=2)
    assert "Every trial" in stored_search_page(storage, None, "runs/grid")
    with pytest.raises(UserError, match="no study of this search"):
        stored_search_page(storage, "another", "runs/grid")


def test_everything_is_escaped(grid):
    write_run(grid / "runs" / "grid" / "2", wrong_at((0, 1)), model={"_target_": HOSTILE})
    rewrite_status(grid / "runs" / "single", state="failed", error=HOSTILE, argv=[HOSTILE])
    client = client_of(grid / "runs")
    for address in ("/", "/run/single", "/run/grid/2"):
        assert "<script>document" not in client.get(address).text
        assert "<img src=x" not in client.get(address).text


def test_user_and_password_are_asked_for_everywhere(grid):
    client = client_of(grid / "runs", auth="me:pass:word")
    for address in ("/", "/api/runs", "/events", "/static/board.js", "/nothing"):
        assert client.get(address).status_code == 401
    wrong = base64.b64encode(b"me:pass").decode()
    right = base64.b64encode(b"me:pass:word").decode()
    assert client.get("/", headers={"authorization": f"Basic {wrong}"}).status_code == 401
    assert client.get("/", headers={"authorization": f"Basic {right}"}).status_code == 200


def test_a_board_on_the_loopback_answers_to_its_own_names_alone(grid):
    client = client_of(grid / "runs", hosts=["127.0.0.1", "localhost", "[::1]"])
    assert client.get("/", headers={"host": "elsewhere.example"}).status_code == 400
    assert client.get("/", headers={"host": "localhost:7870"}).status_code == 200


def test_behind_a_sub_path_every_link_leads_there(grid):
    client = client_of(grid / "runs", root_path="/board")
    for given in ("/board/", "/"):  # as proxies hand it on, with the path and without
        page = client.get(given).text
        links = re.findall(r'(?:href|src|action)="([^"]*)"', page)
        assert links
        assert [link for link in links if not link.startswith(("/board/", "data:"))] == []


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--host", "0.0.0.0"], "give --auth"),
        (["--port", "0"], "must be from 1"),
        (["--auth", "me"], "USER:PASSWORD"),
        (["--root-path", "x"], "must begin with /"),
        (["nowhere"], "there is no such folder"),
        (["--once", "--sort", "x"], "must be one of"),
    ],
)
def test_mistakes_are_told(grid, words, message, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["board", *words])
    (grid / "outputs").mkdir()
    with pytest.raises(SystemExit) as ended:
        main()
    assert message in capsys.readouterr().err + str(ended.value)


def test_the_terminal_shows_the_same_table(grid, monkeypatch, capsys):
    rewrite_status(grid / "runs" / "single", state="failed", error="no luck")
    monkeypatch.setattr(sys, "argv", ["board", "runs", "--once", "--filter", "state=completed"])
    main()
    shown = capsys.readouterr().out
    assert re.search(r"runs/grid/1 +completed +97.50 +model.trees=50 ", shown)
    assert "2 runs in runs: 2 completed, 1 failed" in shown
    assert "single" not in shown


def test_a_folder_that_is_missing_is_a_mistake(here):
    with pytest.raises(UserError, match="no such folder"):
        Folders(here / "nowhere")


def test_ten_thousand_settled_runs_would_be_looked_at_often_enough(grid):
    folders = Folders(grid / "runs")
    for number in range(300):
        shutil.copytree(grid / "runs" / "grid" / "0", grid / "runs" / "many" / str(number))
    folders.refresh()
    started = time.process_time()
    for _ in range(10):
        folders.refresh()
    assert (time.process_time() - started) / 10 < 0.03
    assert json.dumps(Table(folders).rows(View()))
