"""The public demo behind a real nginx, as people set it up: at the root and below a path."""

import shutil
import socket
import subprocess
import sys
import time

import pytest
from playwright.sync_api import expect

from conftest import trained

HOST = "proxy_set_header Host $host:$server_port;"
FORWARDED = "proxy_set_header X-Forwarded-Host $host:$server_port"
STRIPPED = "rewrite ^/digits(/.*)$ $1 break; proxy_pass http://{demo};"
SETUPS = {
    "root, Gradio's guide": ("/", "proxy_pass http://{demo};" + HOST + FORWARDED + ";"),
    "root, plain": ("/", "proxy_pass http://{demo};"),
    "path, Gradio's guide": ("/digits/", STRIPPED + HOST + FORWARDED + ";"),
    "path, plain": ("/digits/", "proxy_pass http://{demo}/;"),
    "path in the host": ("/digits/", "proxy_pass http://{demo}/;" + FORWARDED + "/digits;"),
    "path as a prefix": (
        "/digits/",
        "proxy_pass http://{demo}/;" + HOST + "proxy_set_header X-Forwarded-Prefix /digits;",
    ),
}
CONF = """user root; pid {folder}/pid; error_log {folder}/errors; daemon off; worker_processes 1;
events {{ worker_connections 64; }}
http {{ access_log off; client_body_temp_path {folder}/a; proxy_temp_path {folder}/b;
 fastcgi_temp_path {folder}/c; uwsgi_temp_path {folder}/d; scgi_temp_path {folder}/e;
 {servers} }}"""
pytestmark = pytest.mark.cluster


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as free:
        return free.getsockname()[1]


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """A public demo's address, and the folder of its run."""
    folder = tmp_path_factory.mktemp("demo")
    data = ("dataset=digits", "dataset.train_size=400", "dataset.test_size=300")
    trained(folder / "margins", "model=sgd", data=data)
    port, log = free_port(), folder / "log"
    words = ["--run", folder / "margins", "--runs", folder, "--port", str(port), "--public"]
    with (
        log.open("w") as file,
        subprocess.Popen([sys.executable, "-m", "mnist_exp.demo", *words], stderr=file) as process,
    ):
        while "Ctrl-C ends it" not in log.read_text():
            assert process.poll() is None, log.read_text()
            time.sleep(0.1)
        yield f"127.0.0.1:{port}", folder
        process.terminate()


@pytest.fixture(scope="module")
def proxy(demo, debian_root, tmp_path_factory):
    """The address of each set-up."""
    if shutil.which("nginx") is None:
        debian_root("nginx-light")
    folder, addresses, servers = tmp_path_factory.mktemp("nginx"), {}, ""
    for name, (path, lines) in SETUPS.items():
        port = free_port()
        lines = lines.replace("{demo}", demo[0])
        servers += f"server {{ listen 127.0.0.1:{port}; location {path} {{ {lines} }} }}\n"
        addresses[name] = f"http://127.0.0.1:{port}{path}"
    (folder / "conf").write_text(CONF.format(folder=folder, servers=servers))
    with subprocess.Popen(["nginx", "-c", folder / "conf"]) as process:
        while not (folder / "pid").exists():
            assert process.poll() is None
            time.sleep(0.05)
        yield addresses
        process.terminate()


@pytest.mark.parametrize("name", SETUPS)
def test_it_reads_and_looks_well_behind_a_proxy(proxy, chromium, name):
    page, problems, address = chromium.new_page(), [], proxy[name]
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("console", lambda m: problems.append(m.text) if m.type == "error" else None)
    page.on(
        "request",
        lambda r: problems.append(r.url) if not r.url.startswith((address, "data:")) else None,
    )
    page.goto(address)
    expect(page.locator(".card .model")).to_be_visible(timeout=60_000)
    page.get_by_role("button", name="a row").click(timeout=60_000)
    expect(page.get_by_test_id("read")).to_have_text("25", timeout=60_000)
    expect(page.locator("#stage")).to_have_css("display", "grid")
    expect(page.get_by_role("button", name="Wrong? Save the right answer")).to_have_count(0)
    page.close()
    assert problems == []


def test_it_reads_in_a_frame_of_another_page(proxy, chromium):
    page = chromium.new_page()
    page.set_content(f'<iframe src="{proxy["path, plain"]}" width="800" height="700"></iframe>')
    frame = page.frame_locator("iframe")
    expect(frame.locator(".card .model")).to_be_visible(timeout=60_000)
    frame.get_by_role("button", name="a row").click(timeout=60_000)
    expect(frame.get_by_test_id("read")).to_have_text("25", timeout=60_000)
    page.close()


def test_a_public_page_keeps_nothing(demo):
    from gradio_client import Client

    client = Client(f"http://{demo[0]}/", verbose=False)
    client.close()
    assert not (demo[1] / "feedback").exists()
