"""How a demo bears strangers: parallel clients, and malformed payloads to every endpoint.

Loopback only. python -m mnist_exp.demo --port 7860 in one terminal; python scripts/stress_demo.py
7860 in another.
"""

import argparse
import base64
import io
import json
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from typing import Any

import numpy as np
import psutil
from PIL import Image, ImageDraw, ImageFont

ODD: list[Any] = [
    None,
    "",
    5,
    -1.5,
    True,
    [],
    {},
    "x" * 5000,
    "\u0000",
    ["a"],
    {"path": "/etc/passwd"},
    [[[]]],
    10**30,
]
ODD += [
    {"path": "../../x", "meta": {"_type": "gradio.FileData"}},
    {"__type__": "update"},
    "data:image/png;base64,AAAA",
]


def post(address: str, content: bytes, kind: str = "application/json") -> tuple[int, bytes]:
    """Status and body of a POST."""
    request = urllib.request.Request(address, content, {"Content-Type": kind})  # noqa: S310  (loopback)
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


def picture(digit: int) -> bytes:
    """A printed digit as a PNG."""
    image = Image.new("L", (200, 200), 255)
    ImageDraw.Draw(image).text(
        (100, 100), str(digit), 0, font=ImageFont.load_default(150), anchor="mm"
    )
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def ask(base: str, content: bytes) -> str:
    """Upload a picture, have it read, return the last event of the stream."""
    form = (
        b'--x\r\nContent-Disposition: form-data; name="files"; filename="a.png"\r\n\r\n'
        + content
        + b"\r\n--x--\r\n"
    )
    _, body = post(f"{base}upload", form, "multipart/form-data; boundary=x")
    data = {"data": [{"path": json.loads(body)[0], "meta": {"_type": "gradio.FileData"}}]}
    status, body = post(f"{base}call/predict", json.dumps(data).encode())
    if status != 200:
        return f"status {status}: {body[:80]!r}"
    with urllib.request.urlopen(
        f"{base}call/predict/{json.loads(body)['event_id']}", timeout=60
    ) as answer:  # noqa: S310
        return str(answer.read().decode())


def crowd(base: str, clients: int, seconds: float, process: psutil.Process) -> None:
    """Count answers, mixed-up answers, and errors by kind; show memory at the start and after each
    sixth of it.
    """
    pictures = {digit: picture(digit) for digit in range(10)}
    alone = {digit: ask(base, content) for digit, content in pictures.items()}
    counts: Counter[str] = Counter()
    end = time.monotonic() + seconds

    def visit(seed: int) -> None:
        rng = np.random.default_rng(seed)
        while time.monotonic() < end:
            digit = int(rng.integers(10))
            try:
                said = ask(base, pictures[digit])
            except (OSError, ValueError) as error:
                said = f"{type(error).__name__}: {error}"
            same = (
                "right"
                if said == alone[digit]
                else "busy"
                if "full" in said
                else f"other: {said[:120]}"
            )
            counts[same] += 1

    memory = [process.memory_info().rss]
    threads = [threading.Thread(target=visit, args=(i,)) for i in range(clients)]
    for thread in threads:
        thread.start()
    for _ in range(6):
        time.sleep(seconds / 6)
        memory.append(process.memory_info().rss)
    for thread in threads:
        thread.join()
    print(f"{clients} clients, {seconds:g} s: {dict(counts)}")
    print(f"memory {' -> '.join(f'{rss / 1e6:.0f}' for rss in memory)} MB")


def nonsense(base: str, count: int) -> None:
    """Send odd values to every event of the page, by number and by name, and to every path that
    takes a POST.
    """
    rng = np.random.default_rng(0)
    with urllib.request.urlopen(base.replace("gradio_api/", "config"), timeout=60) as answer:  # noqa: S310
        events = json.loads(answer.read())["dependencies"]
    statuses: Counter[int] = Counter()
    for number in range(count):
        event = events[int(rng.integers(len(events)))]
        data = [ODD[int(rng.integers(len(ODD)))] for _ in range(int(rng.integers(0, 5)))]
        body = {"data": data, "fn_index": event["id"], "session_hash": f"s{number}"}
        body |= {"event_data": ODD[int(rng.integers(len(ODD)))]} if rng.random() < 0.3 else {}
        content = (
            json.dumps(body).encode() if rng.random() < 0.9 else base64.b64encode(rng.bytes(200))
        )
        path = (
            "queue/join",
            "run/predict",
            f"call/{event['api_name']}",
            "upload",
            "component_server",
            "reset",
        )[number % 6]
        statuses[post(base + path, content)[0]] += 1
    print(f"{count} malformed payloads: statuses {dict(statuses)}")


def main() -> None:
    """Send both, and see that the server still answers."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("port", type=int)
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--payloads", type=int, default=1000)
    arguments = parser.parse_args()
    base = f"http://127.0.0.1:{arguments.port}/gradio_api/"
    sockets = psutil.net_connections("tcp")
    listening = [
        s.pid
        for s in sockets
        if s.status == "LISTEN" and getattr(s.laddr, "port", 0) == arguments.port
    ]
    nonsense(base, arguments.payloads)
    crowd(base, arguments.clients, arguments.seconds, psutil.Process(listening[0]))
    print("still answers:", "complete" in ask(base, picture(7)))


if __name__ == "__main__":
    main()
