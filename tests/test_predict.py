"""`predict` reads single digits, rows, photos and standard input, and says of what is none that it
is none.
"""

import io
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont
from threadpoolctl import threadpool_limits

from conftest import trained, write_idx_part
from mnist_exp import predict as predict_module
from mnist_exp.errors import UserError
from mnist_exp.handwriting import Piece, joined, non_digits, split_lines
from mnist_exp.predict import in_words, predict
from mnist_exp.recognition import BLANK, STRANGE, Neighbours, Reader
from mnist_exp.runs import Run


@pytest.fixture(scope="module", autouse=True)
def _one_thread():
    """Threads of BLAS wait for each other where another test process has the other cpu."""
    with threadpool_limits(1):
        yield


@pytest.fixture(scope="module")
def sgd(tmp_path_factory):
    return trained(tmp_path_factory.mktemp("sgd") / "run", "model=sgd", "dataset.train_size=400")


@pytest.fixture(scope="module")
def reader(sgd):
    return Reader(sgd[0])


OLD_NAMES = {"non_digits": "strangers"}  # of the arrays in an index, up to version 0.1.0


def on_paper(images, scale=6):
    """Digits in a row, dark on white."""
    row = np.hstack([np.kron(image, np.ones((scale, scale), np.uint8)) for image in images])
    return Image.fromarray(255 - np.pad(row, 30))


def test_redrawn_digits_are_read_and_few_refused(sgd, reader):
    images, labels = sgd[1].test.images, sgd[1].test.labels
    answers = [reader.read(on_paper([image])) for image in images]
    assert np.mean([answer.guess for answer in answers] == labels) >= 0.97
    refused = [answer.label is None for answer in answers]
    assert np.mean(refused) <= 0.2  # these are 8x8 pixels; see the slow test


def test_a_row_is_read_from_left_to_right(sgd, reader):
    images, labels = sgd[1].test.images, sgd[1].test.labels
    rows = np.arange(40).reshape(10, 4)
    answers = [reader.read(on_paper(images[row])) for row in rows]
    numbers = ["".join(map(str, labels[row])) for row in rows]
    assert sum(answer.label == number for answer, number in zip(answers, numbers, strict=True)) >= 8
    assert all(len(answer.digits) == 4 for answer in answers if answer.label)


def drawn(draw):
    image = Image.new("L", (280, 280), 255)
    draw(ImageDraw.Draw(image))
    return image


def letter(text):
    return drawn(
        lambda d: d.text((140, 140), text, 0, font=ImageFont.load_default(150), anchor="mm")
    )


NO_DIGITS = {
    "M": letter("M"),
    "K": letter("K"),
    "W": letter("W"),
    "#": letter("#"),
    "R": letter("R"),
    "dot": drawn(lambda d: d.ellipse((100, 100, 130, 130), fill=0)),
    "bar": drawn(lambda d: d.rectangle((40, 130, 240, 150), fill=0)),
    "grid": drawn(
        lambda d: [
            d.line((40 * i, 20, 40 * i, 260), 0, 12) or d.line((20, 40 * i, 260, 40 * i), 0, 12)
            for i in range(1, 7)
        ]
    ),
}


@pytest.mark.parametrize("name", NO_DIGITS)
def test_what_is_no_digit_is_refused(reader, name):
    answer = reader.read(NO_DIGITS[name])
    assert answer.label is None
    assert answer.reason.startswith(STRANGE)


def test_blank_is_blank(reader):
    assert reader.read(Image.new("RGB", (280, 280), "white")).reason == BLANK
    noise = np.random.default_rng(0).integers(0, 256, (280, 280)).astype(np.uint8)
    assert reader.read(Image.fromarray(noise)).label is None
    assert reader.read(Image.new("L", (28, 28))).reason == BLANK


def test_the_index_is_kept_beside_the_model_and_used_again(sgd, reader, monkeypatch):
    assert reader.neighbours is not None
    monkeypatch.setattr(Neighbours, "of", None)
    kept = Reader(sgd[0]).neighbours
    look = kept.look(sgd[1].train.images[3], int(sgd[1].train.labels[3]))
    assert look.strangeness[0] < 0.5
    assert kept.labels[look.nearest[0]] == sgd[1].train.labels[3]


def test_an_index_knows_non_digits_of_digits_alone(sgd, reader):
    known, shown = reader.neighbours, non_digits()
    assert len(known.non_digits) >= len(np.unique(shown, axis=0)) == len(shown)  # and mirrored ones
    letters = Neighbours.of(sgd[1].train, strokes=True, digits=False)
    assert len(letters.non_digits) == 0
    as_letter, as_digit = (index.look(shown[0], 8).strangeness[0] for index in (letters, known))
    assert as_digit > 1.2 * as_letter


def test_an_index_of_version_0_1_is_read(sgd, reader, tmp_path):
    arrays = reader.neighbours.arrays()
    old = Run(shutil.copytree(sgd[0].path, tmp_path / "old"))
    old.save_neighbours({OLD_NAMES.get(name, name): array for name, array in arrays.items()})
    assert "strangers" in old.load_neighbours()
    kept = Reader(old).neighbours.arrays()
    assert kept.keys() == arrays.keys()
    for name, array in arrays.items():
        np.testing.assert_array_equal(kept[name], array)
    assert "strangers" in old.load_neighbours()  # it was not built anew


@pytest.fixture
def small(idx_files, tmp_path):
    """A run on 20x16 images, whose index is built quickly."""
    data = ("dataset=idx", f"dataset.path={idx_files}")
    return trained(tmp_path / "small", "model=sgd", data=data)[0]


def test_a_damaged_index_is_built_anew(small):
    arrays = Reader(small).neighbours.arrays()
    path = small.path / "neighbours.npz"
    path.write_bytes(path.read_bytes()[:1000])
    assert small.load_neighbours() is None
    assert Reader(small).neighbours.images.shape == arrays["images"].shape
    assert small.load_neighbours().keys() == arrays.keys()


def test_arrays_that_do_not_fit_together_are_no_index(small):
    arrays = Reader(small).neighbours.arrays()
    with pytest.raises(ValueError, match="do not fit together"):
        Neighbours(**(arrays | {"labels": arrays["labels"][:5]}))
    odd = {
        "limits": [0.0, np.nan],
        "labels": np.full(len(arrays["labels"]), -1),
        "codes": arrays["codes"].astype(str),
    }
    odd |= {"mean": arrays["mean"][:10], "axes": arrays["axes"][:, :10]}
    for names in (["limits"], ["labels"], ["codes"], ["mean", "axes"]):
        with pytest.raises(ValueError, match="its"):
            Neighbours(**(arrays | {name: np.asarray(odd[name]) for name in names}))


def test_without_the_data_blots_are_still_refused_and_the_reason_is_logged(sgd, tmp_path, caplog):
    run = Run(tmp_path)
    for name in ("model.skops", "model.json", "status.json"):
        (tmp_path / name).write_bytes((sgd[0].path / name).read_bytes())
    (tmp_path / ".hydra").mkdir()
    run.config_path.write_text(
        "dataset: {_target_: mnist_exp.data.folder, path: gone, split_seed: 0, train_size: null,"
        " val_size: null, test_size: null}"
    )
    reader = Reader(run)
    assert reader.read(NO_DIGITS["dot"]).label is None
    assert reader.read(on_paper(sgd[1].test.images[:1])).label is not None
    assert "no training images" in caplog.text


def test_probabilities_are_given_where_there_are_any(sgd, reader):
    answer = reader.read(on_paper(sgd[1].test.images[:1]))
    assert sum(answer.probabilities.values()) == pytest.approx(1)
    assert answer.scores is None
    assert "%" in in_words(answer)


def test_scores_are_never_called_probabilities(sgd, reader, tmp_path):
    words = "model=sgd", "calibration=none", "dataset.train_size=400"
    run, dataset = trained(tmp_path / "run", *words)
    run.save_neighbours(reader.neighbours.arrays())  # it is of the same images
    content = Reader(run).read(on_paper(dataset.test.images[:1])).as_json("a.png")
    assert content["probabilities"] is None
    assert len(content["scores"]) == 10


def test_one_json_list_in_the_order_given(sgd, tmp_path, monkeypatch, capsys):
    for i in range(3):
        on_paper(sgd[1].test.images[[i]]).save(tmp_path / f"{i}.png")
    file = io.BytesIO()
    on_paper(sgd[1].test.images[:2]).save(file, "JPEG")
    file.seek(0)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(file))
    names = ["-", str(tmp_path / "2.png"), str(tmp_path / "[01].png")]
    monkeypatch.setattr(sys, "argv", ["predict", str(sgd[0].path), *names, "--json"])
    predict_module.main()
    entries = json.loads(capsys.readouterr().out)
    in_order = ["-", *(str(tmp_path / f"{i}.png") for i in (2, 0, 1))]
    assert [entry["image"] for entry in entries] == in_order
    assert all({"label", "probabilities", "scores", "reason"} <= entry.keys() for entry in entries)
    assert entries[0]["label"] == "".join(digit["label"] for digit in entries[0]["digits"])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["gone.png"], "gone.png"),
        (["*.gif"], "no picture matches"),
        (["-", "-"], "only once"),
        (["text.png"], "not a readable"),
    ],
)
def test_a_mistake_is_one_short_message(sgd, tmp_path, monkeypatch, capsys, words, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text.png").write_text("hello")
    monkeypatch.setattr(sys, "argv", ["predict", str(sgd[0].path), *words])
    with pytest.raises(SystemExit, match=message):
        predict_module.main()


def called(monkeypatch, capsys, *words):
    """The objects that `predict --json` prints, and its message where it fails."""
    monkeypatch.setattr(sys, "argv", ["predict", *map(str, words), "--json"])
    message = ""
    try:
        predict_module.main()
    except SystemExit as stopped:
        message = stopped.code
    return json.loads(capsys.readouterr().out), message


def test_one_broken_file_costs_only_its_own_answer_whatever_the_exception(
    sgd, tmp_path, monkeypatch, capsys
):
    (tmp_path / "text.png").write_text("hello")
    picture = on_paper(sgd[1].test.images[:1])
    picture.save(tmp_path / "seven.png")
    picture.resize((90, 91)).save(tmp_path / "odd.png")
    read = Reader.read

    def fail(self, image):
        return read(self, image) if image.height != 91 else {}["no such key"]

    monkeypatch.setattr(Reader, "read", fail)
    (tmp_path / "IMG_2.HEIC").write_bytes(b"\0\0\0\x18ftypheic")
    reasons = {
        "text.png": "not a readable picture",
        "odd.png": "KeyError: 'no such key'",
        "gone.png": "No such file",
        "IMG_2.HEIC": "a HEIC, AVIF or video file: save it as JPEG or PNG",
    }
    names = [str(tmp_path / name) for name in (*reasons, "seven.png")]
    entries, message = called(monkeypatch, capsys, sgd[0].path, *names)
    assert [entry["image"] for entry in entries] == names
    for name, entry, reason in zip(names[:-1], entries, reasons.values(), strict=False):
        assert entry["label"] is None
        assert entry["reason"].startswith(f"unreadable: {reason}")
        assert f"error: {name}: {reason}" in message
    assert entries[-1]["label"] == str(sgd[1].test.labels[0])


def test_a_folder_and_a_pattern_in_any_case_stand_for_their_pictures(
    sgd, tmp_path, monkeypatch, capsys
):
    names = "IMG_1.JPG", "b/IMG_2.jpeg", "b/deep er/3.png", ".hidden/4.png", "__MACOSX/5.png"
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True, parents=True)
        on_paper(sgd[1].test.images[:1]).convert("RGB").save(tmp_path / name)
    (tmp_path / "notes.txt").write_text("hello")
    entries, message = called(monkeypatch, capsys, sgd[0].path, tmp_path, tmp_path / "*_[0-9].jp*g")
    there = [str(tmp_path / name) for name in ("IMG_1.JPG", "b/IMG_2.jpeg", "b/deep er/3.png")]
    assert [entry["image"] for entry in entries] == [*there, there[0]]
    assert ({entry["reason"] for entry in entries}, message) == ({None}, "")
    (tmp_path / "empty").mkdir()
    entries, message = called(monkeypatch, capsys, sgd[0].path, tmp_path / "empty")
    assert message.endswith("empty: no pictures in it; it holds nothing")
    assert entries[0]["label"] is None


@pytest.mark.parametrize("suffix", ["tif", "gif"])
def test_each_page_has_its_answer(sgd, tmp_path, monkeypatch, capsys, suffix):
    first, second = (on_paper(sgd[1].test.images[[i]]) for i in (0, 1))
    blank = Image.new("L", first.size, 255)
    path = tmp_path / f"scan.{suffix}"
    first.save(path, save_all=True, append_images=[blank, second])
    entries, _ = called(monkeypatch, capsys, sgd[0].path, path)
    assert [entry["image"] for entry in entries] == [f"{path}[{i}]" for i in (1, 2, 3)]
    labels = sgd[1].test.labels
    assert [entry["label"] for entry in entries] == [str(labels[0]), None, str(labels[1])]
    path.write_bytes(path.read_bytes()[:-300])
    entries, message = called(monkeypatch, capsys, sgd[0].path, path)
    assert "damaged" in message or entries[0]["label"] == str(labels[0])


def test_a_submission_numbers_the_rows_of_tables_and_names_pictures(sgd, tmp_path, monkeypatch):
    on_paper(sgd[1].test.images[:1]).save(tmp_path / "a#1.png")
    np.save(tmp_path / "x_test.npy", sgd[1].test.images[:2])
    paths = [str(tmp_path / name) for name in ("a#1.png", "x_test.npy")]
    monkeypatch.setattr(
        sys, "argv", ["predict", str(sgd[0].path), *paths, "--csv", str(tmp_path / "s.csv")]
    )
    predict_module.main()
    first, second = map(str, sgd[1].test.labels[:2])
    rows = (tmp_path / "s.csv").read_text().splitlines()
    assert rows == ["ImageId,Label", f"{paths[0]},{first}", f"1,{first}", f"2,{second}"]


def test_images_that_came_after_training_are_no_training_images(idx_files, tmp_path, caplog):
    data = ("dataset=idx", f"dataset.path={idx_files}")
    run, dataset = trained(tmp_path / "run", "model=sgd", data=data)
    run.save_environment({"data": {"train": dataset.train.sha256}})
    assert len(Reader(run).neighbours.images) == 48
    (run.path / "neighbours.npz").unlink()
    images = np.concatenate([dataset.train.images, dataset.train.images[:5] // 2])
    labels = np.concatenate([dataset.train.labels, np.full(5, 7)])
    write_idx_part(idx_files, "train", images, labels)  # a class came: those of before are known
    assert len(Reader(run).neighbours.images) == 48
    (run.path / "neighbours.npz").unlink()
    write_idx_part(idx_files, "train", dataset.train.images[::-1], dataset.train.labels)
    assert Reader(run).neighbours is None
    assert "the data are not those that the run was trained on" in caplog.text


@pytest.mark.parametrize(
    ("to", "code", "message"), [("/dev/full", 1, "error: [Errno 28] No space left"), ("", 0, "")]
)
def test_a_full_disk_or_a_closed_pipe_is_no_traceback(sgd, tmp_path, to, code, message):
    on_paper(sgd[1].test.images[:1]).save(tmp_path / "seven.png")
    words = [str(sgd[0].path), str(tmp_path / "seven.png")]
    command = [sys.executable, "-m", "mnist_exp.predict", *words]
    read, write = os.pipe()
    os.close(read)  # nobody reads
    output = os.open(to, os.O_WRONLY) if to else write
    done = subprocess.run(command, stdout=output, stderr=subprocess.PIPE, text=True, check=False)
    assert (done.returncode, message in done.stderr) == (code, True)
    assert "Traceback" not in done.stderr


def test_latest_needs_a_run(tmp_path):
    with pytest.raises(UserError, match="no run at"):
        list(predict("latest", ["a.png"], tmp_path))


def test_a_detached_bar_is_joined_to_its_digit():
    ink = np.zeros((100, 260), np.uint8)
    ink[30:90, 20:40] = ink[30:90, 120:140] = 255
    ink[10:20, 30:70] = 255
    (line,) = split_lines(ink)
    assert [joined(part).ink.shape for part in (line[:2], line[2:])] == [(80, 50), (60, 20)]
    assert isinstance(line[0], Piece)


@pytest.mark.slow
def test_redrawn_mnist_is_read_and_what_is_no_digit_refused(mnist_dir, tmp_path):
    """The figures of scripts/benchmark_reading.py on the default model of the demo, trained on a
    quarter of MNIST.
    """
    environment = os.environ | {"MNIST_EXP_DATA": str(mnist_dir)}
    train = [
        "mnist_exp.train",
        "model=sgd",
        "dataset=mnist",
        "dataset.train_size=15000",
        f"outputs={tmp_path}",
    ]
    subprocess.run([sys.executable, "-m", *train], env=environment, check=True, capture_output=True)
    script = Path(__file__).parents[1] / "scripts" / "benchmark_reading.py"
    drawn = [
        "plain-dark",
        "plain-white",
        "thin-strokes",
        "wide-strokes",
        "pen-6",
        "pen-20",
        "pen-32",
        "plain-photo",
    ]
    kinds = ["--kinds", *drawn, "row", "letters"]
    command = [sys.executable, str(script), "latest", "--outputs", str(tmp_path), *kinds]
    done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    right = {kind: float(share) for kind, share in re.findall(r"\| (\S+) \| ([\d.]+)", done.stdout)}
    assert min(right[kind] for kind in drawn[:2]) >= 95
    assert min(right[kind] for kind in drawn[2:]) >= 90
    assert right["row"] >= 85
    # A quarter of the training images makes a coarser index: all of them refuse 95.
    assert right["letters"] >= 85
