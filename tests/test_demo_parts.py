"""The parts of the demo: pictures, runs, corrections, and how it is started."""

import asyncio
import base64
import io
import os
import shutil
import socket
import sys
import types
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from conftest import trained
from mnist_exp.app.explanation import Explainer
from mnist_exp.app.feedback import Feedback
from mnist_exp.app.limits import PerVisitor
from mnist_exp.app.loaded_runs import LoadedRuns, first_run
from mnist_exp.app.naming import Title, describe
from mnist_exp.app.pictures import HEIGHT, WIDTH, as_drawing, drawing_ink
from mnist_exp.app.views import Reading, cards, reasons
from mnist_exp.config import build, compose
from mnist_exp.demo import _parse, _without_gradio_variables, main
from mnist_exp.errors import UserError
from mnist_exp.recognition import Answer, Reader
from mnist_exp.runs import Run


@pytest.fixture(scope="module")
def outputs(tmp_path_factory):
    """Two runs on the bundled digits."""
    folder = tmp_path_factory.mktemp("demo")
    for name in ("margins", "forest"):
        trained(folder / name, "model=sgd", data=("dataset=digits", "dataset.train_size=400"))
    return folder


@pytest.fixture(scope="module")
def reader(outputs):
    return Reader(Run(outputs / "margins"))


def digit_picture():
    """Ink of a two."""
    picture = Image.new("L", (140, 200))
    places = [(2, 55), (33, 23), (95, 23), (126, 55), (89, 98), (14, 178), (138, 178)]
    ImageDraw.Draw(picture).line(places, 255, 20, joint="curve")
    return np.asarray(picture)


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


@pytest.mark.parametrize(
    ("name", "words", "title"),
    [
        ("2026-11-25/20-45-04", ["model=rf"], "rf · digits · 2026-11-25 20:45"),
        ("2026-11-25/20-45-04-2", ["experiment=best"], "best · SGDClassifier · digits · 2026"),
        ("2026-11-25/20-45-04/3", ["model=rf", "augment=shift"], "rf · 3 · shift · digits · 2026"),
        ("mine", ["model=rf"], "mine · rf · digits"),
        ("2026-11-25/20-45-04/best", [], "best · SGDClassifier · digits · 2026-11-25 20:45"),
    ],
)
def test_a_run_is_called_what_its_maker_called_it_and_its_date_comes_last(
    tmp_path, name, words, title
):
    (tmp_path / ".hydra").mkdir()
    (tmp_path / ".hydra" / "overrides.yaml").write_text(str(words))
    (tmp_path / ".hydra" / "config.yaml").write_text(
        "{model: {_target_: a.SGDClassifier}, augment: {_target_: a.none}, dataset: {name: digits}}"
    )
    (tmp_path / "metrics.json").write_text("{}")
    assert str(describe(Run(tmp_path), name)).startswith(title)


def test_the_newest_run_takes_the_place_of_a_start_run_that_is_deleted(outputs, tmp_path):
    from mnist_exp.app.page import Demo

    demo = Demo(LoadedRuns(outputs), "gone", Feedback(tmp_path))
    models, _ = demo.refresh("gone")
    assert models.value == next(iter(demo.runs.listed()))
    assert demo.refresh("margins")[0].value == "margins"


def test_a_damaged_run_says_so_on_its_card_without_a_path(outputs, tmp_path):
    from mnist_exp.app.page import Demo

    shutil.copytree(outputs / "margins", tmp_path / "broken")
    (tmp_path / "broken" / "model.skops").write_bytes(b"damaged")
    demo = Demo(LoadedRuns(tmp_path), "broken", Feedback(tmp_path))
    card = demo.read(as_drawing(digit_picture()), "broken", "gone")
    assert "This model cannot be loaded, its files are damaged: choose another." in card
    assert "This model is not there any more" in card
    assert str(tmp_path) not in card
    assert demo.explain("", "broken", "") == ""


def readings(probabilities, threshold):
    run = types.SimpleNamespace(model_card={"confidence": {"threshold": threshold}})
    explainer = Explainer(types.SimpleNamespace(run=run, classes=tuple("0123456789")))
    return [Reading(Title("m", ""), Answer("4", probabilities=probabilities), explainer)]


@pytest.mark.parametrize(("threshold", "sure"), [(0.9, False), (0.5, True), (None, True)])
def test_a_model_below_its_threshold_is_not_sure_and_names_both(threshold, sure):
    html = cards(readings({"4": 0.6, "9": 0.3, "1": 0.1}, threshold))
    assert ("Not sure: 4 or 9" in html) is not sure
    assert ("not sure: 4 or 9" in html) is not sure  # what is spoken


def test_a_row_with_one_doubtful_digit_shows_it():
    digits = [Answer(label, None if label else "not a digit") for label in ("2", "0", None, "6")]
    html = cards([Reading(Title("m", ""), Answer(None, "20?6", digits=digits))])
    assert ">20?6<" in html
    assert "draw that one anew" in html


def test_reasons_that_two_models_share_are_shown_once(outputs):
    readers = [Reader(Run(outputs / name)) for name in ("margins", "forest")]
    ink = np.pad(digit_picture(), 40)
    html = reasons(
        [
            Reading(Title(f"run {i}", ""), reader.read_ink(ink), Explainer(reader))
            for i, reader in enumerate(readers)
        ]
    )
    assert html.count("<figcaption>") == 2 + 8 + 6  # two of importance, and of each strip one


@pytest.mark.parametrize("name", ["a.heic", "a.AVIF", "b.svg"])
def test_what_phones_save_is_to_be_saved_anew(name):
    from mnist_exp.app.page import _stored

    with pytest.raises(UserError, match="save it as JPEG or PNG"):
        _stored({"path": name})


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


def test_variables_of_gradio_that_other_programs_set_are_followed_or_named(monkeypatch, capsys):
    for name, value in {"SERVER_NAME": "0.0.0.0", "SERVER_PORT": "7000"}.items():
        monkeypatch.setenv(f"GRADIO_{name}", value)
    monkeypatch.setenv("GRADIO_ROOT_PATH", "/digits/")
    monkeypatch.setattr(sys, "argv", ["demo", "--public"])
    arguments = _parse()
    assert (arguments.host, arguments.port, arguments.root_path) == ("0.0.0.0", 7000, "/digits")
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(sys, "argv", ["demo"])
    assert _parse().host == "127.0.0.1"
    assert "GRADIO_SERVER_NAME=0.0.0.0 is not followed" in capsys.readouterr().err


def test_a_public_page_lists_the_named_runs_alone_and_keeps_nothing(outputs):
    from mnist_exp.app.page import Demo

    runs = LoadedRuns(outputs, [Run(outputs / "margins")], only_named=True)
    assert set(runs.listed()) == {"margins"}
    with pytest.raises(UserError, match="runs listed"):
        runs.reader("forest")
    with pytest.raises(UserError, match="keeps nothing"):
        Demo(runs, "margins", None).correct("", "margins", "7", True)


def test_one_visitor_alone_is_held_back_who_asks_too_much():
    now, statuses = [0.0], []

    async def app(scope, receive, send):
        statuses.append(200)

    async def send(message):
        statuses.extend([message["status"]] if "status" in message else [])

    limited = PerVisitor(app, clock=lambda: now[0])

    def ask(address):
        scope = {"type": "http", "method": "POST", "client": (address, 1)}
        with ThreadPoolExecutor(1) as pool:  # the browser's loop runs in this thread
            pool.submit(asyncio.run, limited(scope, None, send)).result()
        return statuses[-1]

    assert [ask("192.0.2.1") for _ in range(62)] == [200] * 60 + [429] * 2
    assert ask("192.0.2.2") == ask("127.0.0.1") == 200
    now[0] = 0.2
    assert [ask("192.0.2.1") for _ in range(4)] == [200] * 3 + [429]


def test_a_file_as_the_folder_of_runs_is_named_at_once(monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    monkeypatch.setattr(sys, "argv", ["demo", "--runs", str(tmp_path / "file")])
    with pytest.raises(SystemExit, match="file is a file: give the folder"):
        main()


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
