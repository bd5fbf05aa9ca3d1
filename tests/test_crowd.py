"""A crowd at the demo: each client gets the answer to its own picture, or hears of the queue."""

import sys
import time
import urllib.request
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest
from PIL import Image, ImageDraw, ImageFont

from conftest import trained

CLIENTS, SECONDS = 16, 15


@pytest.fixture
def address(tmp_path, popen):
    run, _ = trained(tmp_path / "outputs" / "run", "model=sgd")
    words = ["--run", str(run.path), "--runs", str(tmp_path / "outputs"), "--port", "7873"]
    process = popen([sys.executable, "-m", "mnist_exp.demo", *words])
    for _ in range(600):
        assert process.poll() is None, process.communicate()[1]
        try:
            urllib.request.urlopen("http://127.0.0.1:7873/", timeout=5).close()
        except OSError:
            time.sleep(0.1)
        else:
            break
    return "http://127.0.0.1:7873/"


def digits_in(folder):
    font = ImageFont.load_default(150)
    for digit in range(10):
        image = Image.new("L", (200, 200), 255)
        ImageDraw.Draw(image).text((100, 100), str(digit), 0, font=font, anchor="mm")
        image.save(folder / f"{digit}.png")
        yield str(folder / f"{digit}.png")


@pytest.mark.slow
@pytest.mark.filterwarnings("default")  # those of the client's libraries
def test_no_client_gets_the_answer_to_another(address, tmp_path):
    from gradio_client import Client, handle_file
    from gradio_client.exceptions import AppError

    def ask(client, picture):
        try:
            return client.predict(handle_file(picture), api_name="/predict")
        except AppError as error:
            return str(error)

    pictures = list(digits_in(tmp_path))
    client = Client(address, verbose=False)
    alone = {picture: ask(client, picture) for picture in pictures}
    assert all("probabilities" in answer for answer in alone.values())
    end = time.monotonic() + SECONDS

    def visit(seed):
        client, counts = Client(address, verbose=False), Counter()
        while time.monotonic() < end:
            picture = pictures[(seed + counts.total()) % 10]
            answer = ask(client, picture)
            counts["right" if answer == alone[picture] else f"other: {answer}"] += 1
        return counts

    with ThreadPoolExecutor(CLIENTS) as threads:
        counts = sum(threads.map(visit, range(CLIENTS)), Counter())
    assert counts["right"] > CLIENTS
    assert all(kind == "right" or "full" in kind for kind in counts), counts
    assert ask(client, pictures[7]) == alone[pictures[7]]
