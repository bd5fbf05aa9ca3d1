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
from subprocess import Popen

import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe
from gradio_client import Client, handle_file
from PIL import Image, ImageDraw
from playwright.sync_api import expect

from conftest import trained
from mnist_exp.app.pictures import as_drawing, drawing_ink
from mnist_exp.recognition import Reader
from mnist_exp.runs import Run

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:axe_playwright_python")
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
    press(page, "Clear")
    expect(read(page)).to_have_text("?")
    return page


def press(page, name):
    page.get_by_role("button", name=name, exact=True).click()


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
    board, below = clean.locator("#canvas .board"), clean.locator("#pictures .gr-accordion")
    assert abs(board.evaluate(left) - below.evaluate(left)) < 1


def test_steps_are_taken_back_and_made_again_and_escape_clears_only_from_the_canvas(clean):
    draw(clean, TWO)
    expect(read(clean)).to_have_text("2")
    clean.keyboard.press("Escape")
    expect(read(clean)).to_have_text("?")
    clean.keyboard.press("Control+z")
    expect(read(clean)).to_have_text("2")
    press(clean, "Undo")
    expect(read(clean)).to_have_text("?")
    press(clean, "Redo")
    clean.keyboard.press("Escape")  # on a button
    clean.wait_for_timeout(300)
    expect(read(clean)).to_have_text("2")
    before = ink(clean)
    press(clean, "Eraser")
    draw(clean, SCRIBBLE)
    press(clean, "Normal pen")
    assert ink(clean) < 0.7 * before


def ink(page):
    """How many pixels of the canvas have ink."""
    return page.get_by_test_id("canvas").evaluate(
        """canvas => canvas.getContext("2d").getImageData(0, 0, 420, 300).data
             .filter((value, i) => i % 4 === 3 && value > 127).length"""
    )


def test_a_tap_leaves_a_dot_and_arrows_move_a_sample(clean):
    clean.get_by_test_id("canvas").click(position={"x": 60, "y": 60})
    assert 250 < ink(clean) < 350  # a circle 20 px wide has 314
    press(clean, "Clear")
    clean.get_by_role("button", name="a row").focus()
    clean.keyboard.press("Enter")
    expect(read(clean)).to_have_text("25")
    before = ink(clean)
    for key in ("ArrowLeft", "ArrowDown"):
        clean.keyboard.press(key)
    expect(read(clean)).to_have_text("25")
    assert ink(clean) == before
    expect(clean.get_by_test_id("status")).to_contain_text("margins: 25")


def test_a_row_is_a_number_and_a_scribble_none(clean):
    draw(clean, TWO, -0.25)
    draw(clean, FIVE, 0.25)
    expect(read(clean)).to_have_text("25")
    press(clean, "Clear")
    draw(clean, SCRIBBLE)
    expect(read(clean)).to_have_text("not a digit")


def test_the_last_answer_is_that_of_the_last_drawing(clean):
    for points, label in ((TWO, "2"), (FIVE, "5"), (SCRIBBLE, "not a digit")) * 3:
        press(clean, "Clear")
        draw(clean, points)
        expect(read(clean)).to_have_text(label)
    clean.wait_for_timeout(600)
    expect(read(clean)).to_have_text("not a digit")


GIVE = """([how, content]) => {
  const data = new DataTransfer();
  const bytes = Uint8Array.from(atob(content), (character) => character.charCodeAt(0));
  data.items.add(new File([bytes], "two.jpg", { type: "image/jpeg" }));
  const given = how === "drop" ? { dataTransfer: data } : { clipboardData: data };
  const Kind = how === "drop" ? DragEvent : ClipboardEvent;
  document.body.dispatchEvent(new Kind(how, { bubbles: true, cancelable: true, ...given }));
}"""


def test_a_picture_is_uploaded_dropped_or_pasted_and_follows_the_colours(clean):
    ink = drawing_ink(as_drawing(digit_picture()))
    file = io.BytesIO()
    Image.fromarray(255 - ink).convert("RGB").save(file, "JPEG")
    picker = clean.locator("input[type=file]").first
    picker.set_input_files({"name": "two.jpg", "mimeType": "image/jpeg", "buffer": file.getvalue()})
    expect(read(clean)).to_have_text("2")
    for how in ("drop", "paste"):
        press(clean, "Clear")
        expect(read(clean)).to_have_text("?")
        clean.evaluate(GIVE, [how, base64.b64encode(file.getvalue()).decode()])
        expect(read(clean)).to_have_text("2")
    clean.emulate_media(color_scheme="dark")
    expect(clean.get_by_test_id("canvas")).to_have_css("filter", "invert(1)")
    clean.emulate_media(color_scheme="light")
    expect(clean.get_by_test_id("canvas")).to_have_css("filter", "none")


def test_a_picture_that_is_none_gives_one_message(clean):
    picker = clean.locator("input[type=file]").first
    picker.set_input_files({"name": "a.heic", "mimeType": "image/heic", "buffer": b"x" * 99})
    expect(clean.get_by_text("HEIC is not read: save it as JPEG or PNG")).to_be_visible()
    expect(clean.locator(".toast-body")).to_have_count(1)
    clean.locator(".toast-close").click()


def test_a_server_that_does_not_answer_is_named_and_the_drawing_outlives_it(clean):
    draw(clean, TWO, -0.25)
    expect(read(clean)).to_have_text("2")
    clean.context.set_offline(True)
    draw(clean, FIVE, 0.25)
    expect(clean.locator("#status .pill")).to_contain_text("The server does not answer")
    expect(clean.locator("#answer")).to_have_attribute("data-stale", "")
    clean.context.set_offline(False)  # whereupon the page is loaded anew
    expect(read(clean)).to_have_text("25")
    expect(clean.locator("#answer[data-stale]")).to_have_count(0)


def test_while_a_model_is_awaited_the_card_is_dimmed_and_says_which(clean):
    draw(clean, TWO)
    expect(read(clean)).to_have_text("2")
    asked = []  # as if the server took its time
    clean.route("**/queue/join*", lambda route: asked.append(route))
    choose(clean, "#first", "forest")
    expect(clean.locator("#status .pill")).to_contain_text("Loading forest")
    expect(clean.locator("#answer")).to_have_attribute("data-stale", "")
    clean.unroute("**/queue/join*")  # lets go what was held
    expect(clean.locator(".card .model")).to_contain_text("forest")
    expect(clean.locator("#answer[data-stale]")).to_have_count(0)
    choose(clean, "#first", "margins")
    expect(clean.locator(".card .model")).to_contain_text("margins")


def choose(page, where, name):
    page.locator(f"{where} input").click()
    page.get_by_role("option", name=re.compile(name)).click()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_wrong(clean, scheme):
    clean.emulate_media(color_scheme=scheme)
    clean.wait_for_timeout(500)  # in which the colours change
    assert axe_says(clean) == []
    draw(clean, TWO)
    expect(clean.get_by_test_id("why")).to_be_visible()
    for name in ("Try what it got wrong", "Wrong? Save the right answer"):
        clean.get_by_role("button", name=name).click()
    clean.wait_for_timeout(300)
    assert axe_says(clean) == []
    for name in ("Try what it got wrong", "Wrong? Save the right answer"):
        clean.get_by_role("button", name=name).click()
    clean.emulate_media(color_scheme="light")


def axe_says(page):
    violations = Axe().run(page, options={"resultTypes": ["violations"]}).response["violations"]
    return [(v["id"], [node["target"] for node in v["nodes"]][:3]) for v in violations]


def test_a_mistake_of_the_model_can_be_tried(clean):
    clean.get_by_role("button", name="Try what it got wrong").click()
    tried = clean.locator("#examples button").first
    wrong = tried.locator("span").text_content().partition(" as ")[2]
    tried.click()
    expect(clean.locator(".seen img").first).to_be_visible()
    expect(clean.locator("#answer")).to_contain_text(wrong)


def test_two_models_side_by_side(clean, outputs):
    draw(clean, TWO)
    choose(clean, "#second", "forest")
    expect(clean.get_by_test_id("bars")).to_have_count(2)
    expect(clean.get_by_test_id("bars").nth(1)).to_contain_text("Probability")
    expect(clean.get_by_role("heading", name="Nearest training images")).to_have_count(1)
    choose(clean, "#second", "none")
    expect(clean.get_by_test_id("bars")).to_have_count(1)


def test_a_correction_is_kept_only_after_opting_in(clean, outputs):
    draw(clean, TWO)
    expect(read(clean)).to_have_text("2")
    clean.get_by_role("button", name="Wrong? Save the right answer").click()
    clean.get_by_label("The right answer").click()
    clean.get_by_role("option", name="7", exact=True).click()
    clean.get_by_role("button", name="Save", exact=True).click()
    expect(clean.get_by_text("nothing is kept unless you tick the box")).to_be_visible()
    expect(clean.locator(".toast-body")).to_have_count(1)
    clean.locator(".toast-close").click()
    assert not (outputs / "feedback").exists()
    clean.get_by_label("Keep my drawing").check()
    clean.get_by_role("button", name="Save", exact=True).click()
    expect(clean.locator("#thanks")).to_contain_text("Kept as 7")
    (line,) = (outputs / "feedback" / "corrections.jsonl").read_text().splitlines()
    noted = json.loads(line)
    assert (noted["label"], noted["read"]) == ("7", "2")
    assert (outputs / "feedback" / "pictures" / "7" / noted["picture"]).is_file()


@pytest.fixture
def phone(demo, chromium):
    """The page on a small dark phone whose owner speaks German."""
    context = chromium.new_context(
        viewport={"width": 375, "height": 553},
        has_touch=True,
        is_mobile=True,
        color_scheme="dark",
        locale="de-DE",
    )
    page = context.new_page()
    page.goto(demo[0])
    settled_box(page)
    yield page
    context.close()


def test_a_finger_draws_on_a_phone_without_scrolling_even_if_another_rests(phone):
    box = phone.get_by_test_id("canvas").bounding_box()
    assert box["width"] > 345
    assert phone.evaluate("document.documentElement.scrollWidth") <= 375
    touch = phone.context.new_cdp_session(phone)
    places = [{"x": box["x"] + x * box["width"], "y": box["y"] + y * box["height"]} for x, y in TWO]
    rest = {"x": box["x"] + 20, "y": box["y"] + 20, "id": 1}

    def send(kind, *points):
        points = [rest, *({**point, "id": 2} for point in points)] if kind != "touchEnd" else []
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    send("touchStart")
    send("touchStart", places[0])
    for start, end in pairwise(places):
        for share in (0.25, 0.5, 0.75, 1):
            send("touchMove", {key: start[key] + share * (end[key] - start[key]) for key in "xy"})
    send("touchEnd")
    expect(read(phone)).to_have_text("2")
    assert phone.evaluate("window.scrollY") == 0
    answer = read(phone).bounding_box()
    assert answer["y"] + answer["height"] < 553
    assert answer["y"] - box["y"] - box["height"] < 90  # the tools alone are between


def test_the_page_speaks_english_whatever_the_browser_does(phone):
    assert phone.evaluate("document.documentElement.lang") == "en"
    phone.set_viewport_size({"width": 1280, "height": 900})
    expect(phone.get_by_text("Use via API")).to_be_visible()


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
    (parameter,) = client.view_api(return_format="dict")["named_endpoints"]["/predict"][
        "parameters"
    ]
    answer = client.predict(handle_file(paper), api_name="/predict")
    client.close()
    assert parameter["example_input"]["path"] == "digit.png"  # what the page tells to paste
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
