"""The demo as its visitors meet it: drawn on in a real browser, asked by programs, and sent
nonsense.
"""

import base64
import io
import json
import os
import re
import socket
import sys
import time
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler
from itertools import pairwise
from pathlib import Path
from subprocess import Popen

import numpy as np
import pytest
from gradio_client import Client, handle_file
from PIL import Image, ImageDraw
from playwright.sync_api import expect

from conftest import trained
from mnist_exp.app.feedback import Feedback
from mnist_exp.app.loaded_runs import LoadedRuns, first_run
from mnist_exp.app.pictures import HEIGHT, WIDTH, as_drawing, drawing_ink
from mnist_exp.config import build, compose
from mnist_exp.demo import _without_gradio_variables, main
from mnist_exp.errors import UserError
from mnist_exp.recognition import Reader
from mnist_exp.runs import Run

# The first answer waits for the training images, on a busy machine long.
expect.set_options(timeout=60_000)
TWO = [(0.4, 0.33), (0.45, 0.2), (0.55, 0.2), (0.6, 0.33), (0.54, 0.5), (0.42, 0.82), (0.62, 0.82)]
FIVE = [(0.6, 0.17), (0.43, 0.17), (0.42, 0.45), (0.52, 0.42), (0.6, 0.6), (0.53, 0.8), (0.4, 0.77)]
SCRIBBLE = [
    (0.2, 0.2),
    (0.8, 0.8),
    (0.8, 0.2),
    (0.2, 0.8),
    (0.5, 0.1),
    (0.1, 0.5),
    (0.9, 0.5),
    (0.5, 0.9),
]


@pytest.fixture(scope="module")
def outputs(tmp_path_factory):
    """Two runs on the bundled digits: `margins` without probabilities, `forest` with them."""
    folder = tmp_path_factory.mktemp("demo")
    data = ("dataset=digits", "dataset.train_size=400", "dataset.test_size=300")
    trained(folder / "margins", "model=sgd", "calibration=none", data=data)
    trained(folder / "forest", "model=rf", "model.n_estimators=20", data=data)
    return folder


@pytest.fixture(scope="module")
def reader(outputs):
    return Reader(Run(outputs / "margins"))


@pytest.fixture(scope="module")
def demo(outputs):
    """The address of a demo in a process of its own, and the file with all that it printed."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    log = outputs / "demo.log"
    command = [sys.executable, "-m", "mnist_exp.demo", "--run", str(outputs / "margins")]
    command += ["--runs", str(outputs), "--port", str(port)]
    bold = {"GRADIO_ALLOWED_PATHS": "/etc", "GRADIO_DEBUG": "1", "GRADIO_SERVER_NAME": "0.0.0.0"}
    with (
        log.open("w") as file,
        Popen(command, stderr=file, stdout=file, cwd=outputs, env=os.environ | bold) as process,
    ):
        while b"Ctrl-C ends it" not in log.read_bytes():
            assert process.poll() is None, log.read_text()
            time.sleep(0.1)
        yield f"http://127.0.0.1:{port}/", log
        assert process.poll() is None, "the server died"
        process.terminate()
    assert "Traceback" not in log.read_text()


@pytest.fixture(scope="module")
def page(demo, chromium):
    page = chromium.new_page(viewport={"width": 1280, "height": 1000})
    problems = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on(
        "request",
        lambda r: (
            problems.append(r.url) if not r.url.startswith((demo[0], "data:", "blob:")) else None
        ),
    )
    page.goto(demo[0])
    settled_box(page)
    yield page
    page.close()
    assert problems == []


def settled_box(page):
    """The place of the canvas, once nothing above it moves it any more."""
    canvas = page.get_by_test_id("canvas")
    canvas.wait_for()
    expect(page.locator("#first input")).not_to_have_value("")
    boxes = [None, canvas.bounding_box()]
    while boxes[-1] != boxes[-2]:
        page.wait_for_timeout(200)
        boxes.append(canvas.bounding_box())
    return boxes[-1]


@pytest.fixture
def clean(page):
    """The page with an empty canvas."""
    page.keyboard.press("Escape")
    expect(read(page)).to_have_text("?")
    return page


def read(page):
    return page.get_by_test_id("read").first


def draw(page, points, shift=0.0):
    box = page.get_by_test_id("canvas").bounding_box()
    places = [
        (box["x"] + (x + shift) * box["width"], box["y"] + y * box["height"]) for x, y in points
    ]
    page.mouse.move(*places[0])
    page.mouse.down()
    for place in places[1:]:
        page.mouse.move(*place, steps=4)
    page.mouse.up()


def test_a_drawing_is_read_and_explained_as_margins(clean):
    draw(clean, TWO)
    expect(read(clean)).to_have_text("2")
    expect(clean.get_by_test_id("bars")).to_contain_text("this model has no probabilities")
    why = clean.get_by_test_id("why")
    for title in ("What mattered", "Nearest training images"):
        expect(why).to_contain_text(title)


def test_the_page_has_its_width_before_any_answer_and_its_edges_line_up(clean):
    left = "element => element.getBoundingClientRect().left"
    width = "document.querySelector('.gradio-container').getBoundingClientRect().width"
    assert clean.evaluate(width) == min(1160, clean.viewport_size["width"])
    board, below = clean.locator("#canvas .board"), clean.locator(".gr-accordion").first
    assert abs(board.evaluate(left) - below.evaluate(left)) < 1


def test_escape_clears_and_ctrl_z_brings_back(clean):
    draw(clean, TWO)
    expect(read(clean)).to_have_text("2")
    clean.keyboard.press("Escape")
    expect(read(clean)).to_have_text("?")
    clean.keyboard.press("Control+z")
    expect(read(clean)).to_have_text("2")
    clean.get_by_role("button", name="Undo").click()
    expect(read(clean)).to_have_text("?")


def test_a_row_is_a_number_and_a_scribble_none(clean):
    draw(clean, TWO, -0.25)
    draw(clean, FIVE, 0.25)
    expect(read(clean)).to_have_text("25")
    clean.get_by_role("button", name="Clear").click()
    draw(clean, SCRIBBLE)
    expect(read(clean)).to_have_text("not a digit")


def test_the_last_answer_is_that_of_the_last_drawing(clean):
    for points, label in ((TWO, "2"), (FIVE, "5"), (SCRIBBLE, "not a digit")) * 3:
        clean.keyboard.press("Escape")
        draw(clean, points)
        expect(read(clean)).to_have_text(label)
    clean.wait_for_timeout(600)
    expect(read(clean)).to_have_text("not a digit")


def test_an_upload_lands_on_the_canvas(clean):
    clean.get_by_role("button", name="Upload a picture").click()
    ink = drawing_ink(as_drawing(digit_picture()))
    file = io.BytesIO()
    Image.fromarray(255 - ink).convert("RGB").save(file, "JPEG")
    picker = clean.locator("input[type=file]").first
    picker.set_input_files({"name": "two.jpg", "mimeType": "image/jpeg", "buffer": file.getvalue()})
    expect(read(clean)).to_have_text("2")


def test_a_mistake_of_the_model_can_be_tried(clean):
    clean.get_by_role("button", name="Try what it got wrong").click()
    tried = clean.locator("#examples button").first
    wrong = tried.locator("span").text_content().partition(" as ")[2]
    tried.click()
    expect(clean.locator(".seen img").first).to_be_visible()
    expect(clean.locator("#answer")).to_contain_text(wrong)


def test_two_models_side_by_side(clean, outputs):
    draw(clean, TWO)
    clean.locator("#second input").click()
    clean.get_by_role("option", name=re.compile("forest")).click()
    expect(clean.get_by_test_id("bars")).to_have_count(2)
    expect(clean.get_by_test_id("bars").nth(1)).to_contain_text("Probability")
    clean.locator("#second input").click()
    clean.get_by_role("option", name="none").click()
    expect(clean.get_by_test_id("bars")).to_have_count(1)


def test_a_correction_is_kept_only_after_opting_in(clean, outputs):
    draw(clean, TWO)
    expect(read(clean)).to_have_text("2")
    clean.get_by_role("button", name="Was it wrong").click()
    clean.get_by_label("It should have been").click()
    clean.get_by_role("option", name="7", exact=True).click()
    clean.get_by_role("button", name="Keep this drawing").click()
    expect(clean.get_by_text("nothing is kept unless you tick the box")).to_be_visible()
    assert not (outputs / "feedback").exists()
    clean.get_by_label("Keep my corrections").check()
    clean.get_by_role("button", name="Keep this drawing").click()
    expect(clean.locator("#thanks")).to_contain_text("Kept as 7")
    (line,) = (outputs / "feedback" / "corrections.jsonl").read_text().splitlines()
    noted = json.loads(line)
    assert (noted["label"], noted["read"]) == ("7", "2")
    assert (outputs / "feedback" / "pictures" / "7" / noted["picture"]).is_file()


def test_a_finger_draws_on_a_dark_phone_without_scrolling(demo, chromium):
    context = chromium.new_context(
        viewport={"width": 390, "height": 700}, has_touch=True, is_mobile=True, color_scheme="dark"
    )
    page = context.new_page()
    page.goto(demo[0])
    box = settled_box(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    touch = context.new_cdp_session(page)
    places = [{"x": box["x"] + x * box["width"], "y": box["y"] + y * box["height"]} for x, y in TWO]
    touch.send("Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": places[:1]})
    for start, end in pairwise(places):
        for share in (0.25, 0.5, 0.75, 1):
            point = {key: start[key] + share * (end[key] - start[key]) for key in "xy"}
            touch.send("Input.dispatchTouchEvent", {"type": "touchMove", "touchPoints": [point]})
    touch.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    expect(read(page)).to_have_text("2")
    assert page.evaluate("window.scrollY") == 0
    context.close()


# -- programs ------------------------------------------------------------


def digit_picture():
    """Ink of a two."""
    picture = Image.new("L", (140, 200))
    xs, ys = np.transpose(TWO)
    places = zip(620 * xs - 246, 250 * ys - 27, strict=True)
    ImageDraw.Draw(picture).line(list(places), 255, 20, joint="curve")
    return np.asarray(picture)


def test_the_api_answers_as_predict_does(demo, reader, tmp_path):
    paper = tmp_path / "two.png"
    Image.fromarray(255 - np.pad(digit_picture(), 40)).save(paper)
    client = Client(demo[0], verbose=False)
    answer = client.predict(handle_file(paper), api_name="/predict")
    client.close()
    expected = reader.read(Image.open(paper)).as_json("two.png")
    assert answer["label"] == expected["label"] == "2"
    assert answer["scores"] == pytest.approx(expected["scores"])
    assert answer["image"] == "two.png"


def send(address, content, kind="application/json"):
    """The status and the body of a POST."""
    request = urllib.request.Request(address, content, {"Content-Type": kind})
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()
    except (urllib.error.URLError, ConnectionError) as error:  # it hung up before all was sent
        return 0, str(error).encode()


def call(address, name, data):
    """What a named endpoint says: the last event of its stream."""
    status, body = send(f"{address}gradio_api/call/{name}", json.dumps({"data": data}).encode())
    if status != 200:
        return status, body.decode()
    event = json.loads(body)["event_id"]
    with urllib.request.urlopen(f"{address}gradio_api/call/{name}/{event}", timeout=20) as answer:
        return 200, answer.read().decode()


NONSENSE = [
    [], None, [None], [1], ["x"], [[]], [{}], [True, False], ["\u0000"], [1e308], {"a": 1},
    [{"path": "/etc/passwd"}], [{"path": "../../etc/passwd"}], [{"path": 5}],
    [{"path": "a" * 10_000}], [{"meta": {"_type": "gradio.FileData"}, "path": "/etc/hostname"}],
    [{"url": "http://127.0.0.1:9/"}], [{"path": None, "url": "data:image/png;base64,AAAA"}],
]  # fmt: skip


@pytest.mark.parametrize("data", NONSENSE, ids=range(len(NONSENSE)))
def test_nonsense_is_refused_without_a_traceback(demo, data):
    status, body = call(demo[0], "predict", data)
    assert status != 200 or "event: error" in body
    assert "root:" not in body
    assert "Traceback" not in body + demo[1].read_text()


@pytest.mark.parametrize("index", [True, None, "0", -1, [0], {}])
def test_an_example_that_is_none_is_refused(demo, index):
    with urllib.request.urlopen(demo[0] + "config", timeout=20) as answer:
        events = json.loads(answer.read())["dependencies"]
    number = next(event["id"] for event in events if event["api_name"] == "put_example")
    data = {
        "data": ["margins"],
        "fn_index": number,
        "session_hash": "odd",
        "event_data": {"index": index},
    }
    assert send(demo[0] + "gradio_api/queue/join", json.dumps(data).encode())[0] == 200
    with urllib.request.urlopen(
        demo[0] + "gradio_api/queue/data?session_hash=odd", timeout=20
    ) as answer:
        stream = answer.read().decode()
    assert "choose one of the examples" in stream
    assert "Traceback" not in demo[1].read_text()


def test_what_gradio_trips_over_is_refused_with_a_reason(demo):
    base = demo[0] + "gradio_api/"
    asked = [
        (f"{base}{path}", json.dumps(data).encode(), "application/json")
        for path in (
            "queue/join",
            "run/predict",
            "call/v2/predict",
            "call/v2/correct",
            "reset",
            "cancel",
        )
        for data in (
            {"data": ["x"], "fn_index": 999, "session_hash": "q"},
            {"data": ["x"], "fn_index": -1, "session_hash": "q"},
            {"data": []},
            {"session_hash": "q", "fn_index": 0, "event_id": "zz"},
            [float("inf")],
        )
    ]
    asked += [
        (base + path, b"\xff\xfe", "multipart/form-data; boundary=x")
        for path in ("upload", "component_server")
    ]
    for address, content, kind in asked:
        status, body = send(address, content, kind)
        assert status < 500, (address, content, body)
    for path in (
        "call/predict/zzz",
        "queue/data?session_hash=zz",
    ):  # streams, which begin before it is looked for
        with urllib.request.urlopen(base + path, timeout=20) as answer:
            assert "404: Not Found" in answer.read().decode()
    assert "Traceback" not in demo[1].read_text()


def test_a_refusal_has_a_reason(demo):
    _, body = call(
        demo[0], "predict", [{"path": "/etc/passwd", "meta": {"_type": "gradio.FileData"}}]
    )
    assert "this is not what the page sends" in body


def test_no_address_is_fetched_for_a_visitor(demo, serve):
    asked = []

    class Bait(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_response(404)
            self.end_headers()

    bait = serve(Bait)
    for picture in ({"path": f"{bait}a.png"}, {"path": f"{bait}b.png", "url": f"{bait}b.png"}):
        _, body = call(demo[0], "predict", [picture | {"meta": {"_type": "gradio.FileData"}}])
        assert "send the picture itself" in body
    assert asked == []


@pytest.mark.parametrize("meta", [{}, {"meta": {"_type": "gradio.FileData"}}])
def test_only_an_upload_is_read(demo, tmp_path, meta):
    Image.fromarray(255 - np.pad(digit_picture(), 40)).save(tmp_path / "private.png")
    _, body = call(demo[0], "predict", [{"path": str(tmp_path / "private.png")} | meta])
    assert "this is not what the page sends" in body


def upload(address, content, name="a.png"):
    body = (
        b'--x\r\nContent-Disposition: form-data; name="files"; filename="'
        + name.encode()
        + b'"\r\n\r\n'
        + content
    )
    return send(
        f"{address}gradio_api/upload", body + b"\r\n--x--\r\n", "multipart/form-data; boundary=x"
    )


def test_a_picture_of_100_megapixels_and_a_huge_upload_are_refused(demo):
    bomb = io.BytesIO()
    Image.new("1", (10_000, 10_000)).save(bomb, "PNG")
    status, body = upload(demo[0], bomb.getvalue())
    assert status == 200
    stored = json.loads(body)[0]
    _, answer = call(demo[0], "predict", [{"path": stored, "meta": {"_type": "gradio.FileData"}}])
    assert "event: error" in answer
    status, _ = upload(demo[0], bytes(30_000_000))
    assert status in (0, 400, 413)


def test_a_body_that_is_no_json_is_refused(demo):
    for content in (b"", b"{", b"\xff\xfe", b"[" * 10_000, b'{"data": 1' * 1000):
        for path in (
            "gradio_api/queue/join",
            "gradio_api/call/predict",
            "gradio_api/run/predict",
            "gradio_api/api/x",
        ):
            status, body = send(demo[0] + path, content)
            assert status >= 400
            assert b"Traceback" not in body


@pytest.mark.parametrize(
    "path", ["gradio_api/file=/etc/passwd", "gradio_api/file=../../etc/passwd", "file=/etc/passwd"]
)
def test_no_file_of_the_machine_is_served(demo, path):
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(demo[0] + path, timeout=10)
    with refused.value:
        assert refused.value.code in (403, 404)


# -- the parts -----------------------------------------------------------


def png_uri(image):
    file = io.BytesIO()
    image.save(file, "PNG")
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()


BAD_DRAWINGS = {
    "a number": 5,
    "a list": ["data:image/png;base64,"],
    "another kind": "data:image/svg+xml;base64,AAAA",
    "a path": "/etc/passwd",
    "no base64": "data:image/png;base64,%%%",
    "no picture": "data:image/png;base64,AAAA",
    "too long": "data:image/png;base64," + "A" * 500_000,
    "cut off": png_uri(Image.new("RGBA", (WIDTH, HEIGHT)))[:-400],
    "too large": png_uri(Image.new("RGBA", (5000, 5000))),
    "without alpha": png_uri(Image.new("RGB", (WIDTH, HEIGHT))),
}


@pytest.mark.parametrize("name", BAD_DRAWINGS)
def test_only_a_drawing_is_taken_for_one(name):
    with pytest.raises(UserError):
        drawing_ink(BAD_DRAWINGS[name])


def test_a_drawing_keeps_its_ink():
    ink = drawing_ink(as_drawing(digit_picture()))
    assert ink.shape == (HEIGHT, WIDTH)
    assert 0.2 < (ink > 127).mean() / ((digit_picture() > 127).mean()) < 0.6
    assert not drawing_ink("").any()


@pytest.mark.parametrize(
    "name", ["..", "../margins", "/etc", "", None, 5, ["margins"], "margins/../forest"]
)
def test_only_a_listed_run_can_be_chosen(outputs, name):
    with pytest.raises(UserError, match="runs listed"):
        LoadedRuns(outputs).reader(name)


def test_completed_runs_with_models_inside_the_folder_are_listed(outputs, tmp_path):
    assert set(LoadedRuns(outputs).listed()) == {"margins", "forest"}
    Run.claim(tmp_path / "runs" / "failed", []).finish("failed")
    (tmp_path / "runs" / "link").symlink_to(outputs / "margins", target_is_directory=True)
    assert LoadedRuns(tmp_path / "runs").listed() == {}
    with pytest.raises(UserError, match="no completed run"):
        LoadedRuns(tmp_path / "runs").preferred()


def test_feedback_is_bounded_and_names_are_its_own(reader, tmp_path, monkeypatch):
    ink = np.pad(digit_picture(), 40)
    feedback, answer = Feedback(tmp_path / "feedback"), reader.read_ink(ink)
    for label in ("../x", "", None, "11", "/"):
        with pytest.raises(UserError, match="choose"):
            feedback.save(ink, label, reader.classes, answer, "m")
    saved = [feedback.save(ink, label, reader.classes, answer, "m") for label in "77221133"]
    assert all(path.parent.parent == tmp_path / "feedback" / "pictures" for path in saved)
    monkeypatch.setattr("mnist_exp.app.feedback.MAX_PICTURES", 8)
    with pytest.raises(UserError, match="no room"):
        feedback.save(ink, "7", reader.classes, answer, "m")


def test_a_folder_that_takes_no_corrections_is_named(reader, tmp_path):
    ink = np.pad(digit_picture(), 40)
    (tmp_path / "feedback").touch()
    with pytest.raises(UserError, match=r"feedback takes no corrections: .*irectory"):
        Feedback(tmp_path / "feedback").save(ink, "7", reader.classes, reader.read_ink(ink), "m")
    with pytest.raises(UserError, match="draw a digit first"):
        Feedback(tmp_path / "f").save(0 * ink, "7", reader.classes, reader.read_ink(0 * ink), "m")


def test_feedback_is_a_dataset(reader, tmp_path):
    ink = np.pad(digit_picture(), 40)
    answer = reader.read_ink(ink)
    for label in "7777722222":
        Feedback(tmp_path / "feedback").save(ink, label, reader.classes, answer, "m")
    folders = [f"outputs='{tmp_path.as_posix()}'", f"cache_dir='{tmp_path.as_posix()}'"]
    dataset = build(compose(["dataset=feedback", *folders])).load()
    assert dataset.classes == ("2", "7")
    assert (len(dataset.train), len(dataset.test)) == (8, 2)


@pytest.mark.parametrize(
    "words", [["--host", "0.0.0.0"], ["--host", "0.0.0.0", "--auth", "user:"], ["--auth", "x"]]
)
def test_no_door_is_opened_without_a_password(monkeypatch, capsys, words):
    monkeypatch.setattr(sys, "argv", ["demo", *words])
    with pytest.raises(SystemExit):
        main()
    assert "USER:PASSWORD" in capsys.readouterr().err


def test_a_port_that_is_taken_is_named(monkeypatch, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        monkeypatch.setattr(sys, "argv", ["demo", "--runs", str(tmp_path), "--port", str(port)])
        with pytest.raises(
            SystemExit, match=rf"error: 127.0.0.1:{port} cannot be used .* choose another --port"
        ):
            main()


def test_a_run_that_is_not_there_is_named_without_gradio(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "gradio", None)  # to import it is an error now
    monkeypatch.setattr(sys, "argv", ["demo", "--run", "gone", "--runs", str(tmp_path)])
    with pytest.raises(SystemExit, match="error: no run at gone"):
        main()


def test_settings_of_gradio_do_not_count_while_the_page_is_served(monkeypatch):
    monkeypatch.setenv("GRADIO_ALLOWED_PATHS", "/etc")
    monkeypatch.setenv("GRADIO_TEMP_DIR", "elsewhere")
    with _without_gradio_variables():
        assert [name for name in os.environ if "GRADIO" in name] == ["GRADIO_TEMP_DIR"]
    assert os.environ["GRADIO_ALLOWED_PATHS"] == "/etc"


def test_without_any_run_one_is_trained_first_and_the_data_named(tmp_path, monkeypatch, capfd):
    monkeypatch.setenv("MNIST_EXP_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("MNIST_EXP_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("MNIST_EXP_MIRRORS", "http://127.0.0.1:9/")
    runs = LoadedRuns(tmp_path / "out")
    name = first_run(runs)
    assert Path(name).name in {run.path.name for run in runs.listed().values()}
    printed = capfd.readouterr().err
    assert "training model=sgd first" in printed
    assert "bundled with scikit-learn" in printed
