"""`serve`: what it answers, what it refuses, and how it ends.

The attacks are those known on such servers: DNS rebinding, requests of other pages, bombs, slow
clients.
"""

import io
import json
import re
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from http.client import HTTPConnection
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from PIL import Image

from classicnets.api.predict import Prediction, Predictor

pytest.importorskip("uvicorn", reason="the extra web is not installed")
from classicnets.web import guard, server as server_module
from classicnets.web.guard import Address
from classicnets.web.server import listen, server
from classicnets.web.service import Limits, service

HOSTILE = "../../<img src=x onerror=alert(1)>.png"

LIMITS = Limits()


class Fake(Predictor):
    """A predictor that says 7 of everything, once it may."""

    def __init__(self) -> None:
        config = SimpleNamespace(network="<b>net</b>", classes=("7", "1"))
        self.run = SimpleNamespace(config=config, directory=Path("runs/x"))
        self.may = threading.Event()
        self.may.set()
        self.sizes: list[int] = []

    def predict_files(self, files, top):
        self.sizes.append(len(files))
        assert self.may.wait(20)
        assert all(path.read_bytes() for _, path in files)
        return [Prediction(name, (("7", 0.75), ("1", 0.25))[:top]) for name, _ in files]


@contextmanager
def serving(
    predictor: Any, limits: Limits = LIMITS, token: str = "", host: str = "127.0.0.1"
) -> Iterator[Callable[..., Any]]:
    """A service in a thread, and a function that sends it a request: (status, headers, body)."""
    listening, address = listen("127.0.0.1", 0)
    app = service(predictor, Address(host, address.port, token), limits)
    running, ready = None, threading.Event()
    running = server(app, ready.set)
    thread = threading.Thread(target=running.run, args=([listening],))
    thread.start()
    assert ready.wait(20)

    def send(method: str, path: str, body: Any = None, headers: Any = None, **options: Any) -> Any:
        with closing(HTTPConnection("127.0.0.1", address.port, timeout=20)) as connection:
            connection.request(method, path, body, headers or {}, **options)
            with connection.getresponse() as answer:
                return answer.status, dict(answer.headers), answer.read()

    send.port, send.server = address.port, running
    try:
        yield send
    finally:
        running.should_exit = True
        thread.join(20)
        assert not thread.is_alive()


@pytest.fixture(scope="module")
def fake() -> Fake:
    return Fake()


@pytest.fixture(scope="module")
def send(fake) -> Iterator[Any]:
    with serving(fake, Limits(largest=100_000, waiting=8)) as send:
        yield send


def form(files: list[tuple[str, bytes]]) -> tuple[bytes, dict[str, str]]:
    """A multipart body of these files, and its headers."""
    parts = [
        b'--x\r\nContent-Disposition: form-data; name="images"; filename="%s"\r\n\r\n%s\r\n'
        % (name.encode(), content)
        for name, content in files
    ]
    return b"".join(parts) + b"--x--\r\n", {"Content-Type": "multipart/form-data; boundary=x"}


def png(size: tuple[int, int] = (28, 28), light: int = 40) -> bytes:
    file = io.BytesIO()
    Image.new("L", size, light).save(file, "PNG")
    return file.getvalue()


def test_images_are_predicted_as_predict_does_it(run, run_cli, tmp_path):
    for k in range(3):
        (tmp_path / f"{k}.png").write_bytes(png((40 + k, 30), 60 * k))
    paths = [tmp_path / f"{k}.png" for k in range(3)]
    expected = json.loads(run_cli("predict", run, *paths, "--json", "--top", 3).out)
    with serving(Predictor(run)) as send:
        body, headers = form([(path.name, path.read_bytes()) for path in paths])
        status, _, answer = send("POST", "/predict?top=3", body, headers)
        one = json.loads(send("POST", "/predict?top=3", paths[0].read_bytes())[2])
        bad = send("POST", "/predict", *form([("a.png", png()), (HOSTILE, b"no image")]))
        bomb = send("POST", "/predict", _bomb())
    assert status == 200
    assert [each["path"] for each in json.loads(answer)] == ["0.png", "1.png", "2.png"]
    assert [each["top"] for each in json.loads(answer)] == [
        [{"class": c["class"], "probability": pytest.approx(c["probability"])} for c in one["top"]]
        for one in expected
    ]
    assert one[0]["path"] == "image 0"
    assert [c["class"] for c in one[0]["top"]] == [c["class"] for c in expected[0]["top"]]
    assert bad[0] == 422
    assert json.loads(bad[2])["error"].endswith("cannot be read as an image: unknown image format")
    assert "/tmp" not in bad[2].decode()
    assert bomb[0] == 422
    assert "pixels" in json.loads(bomb[2])["error"]


def _bomb() -> bytes:
    """A PNG of a few bytes that says that it has 4 x 10^9 pixels."""
    head = b"IHDR" + struct.pack(">IIBBBBB", 65_000, 65_000, 8, 0, 0, 0, 0)
    return png()[:12] + head + struct.pack(">I", zlib.crc32(head)) + png()[33:]


def test_requests_that_come_together_are_one_batch(fake, send):
    fake.may.clear()
    fake.sizes.clear()
    answers: list[Any] = []
    threads = [
        threading.Thread(target=lambda k=k: answers.append(send("POST", f"/predict?top={k}", b"x")))
        for k in (1, 2, 1, 2, 2)
    ]
    threads[0].start()
    _until(lambda: fake.sizes)
    for thread in threads[1:]:
        thread.start()
    _until(lambda: json.loads(send("GET", "/health")[2])["waiting"] == 4)
    fake.may.set()
    for thread in threads:
        thread.join()
    assert fake.sizes == [1, 4]
    tops = sorted(len(json.loads(body)[0]["top"]) for status, _, body in answers if status == 200)
    assert tops == [1, 1, 2, 2, 2]


def test_a_full_queue_is_status_429_and_nothing_is_lost(fake, send):
    fake.may.clear()
    fake.sizes.clear()
    answers: list[Any] = []
    body, headers = form([(f"{k}.png", b"x") for k in range(7)])

    def ask(*request: Any) -> threading.Thread:
        thread = threading.Thread(target=lambda: answers.append(send("POST", "/predict", *request)))
        thread.start()
        return thread

    first = ask(b"x")
    _until(lambda: fake.sizes)
    second = ask(body, headers)
    _until(lambda: json.loads(send("GET", "/health")[2])["waiting"] == 7)
    status, answer, text = send("POST", "/predict", body, headers)
    assert (status, answer["retry-after"]) == (429, "1")
    assert json.loads(text)["error"] == "8 images wait already"
    fake.may.set()
    first.join(), second.join()
    assert [status for status, _, _ in answers] == [200, 200]


def test_what_takes_too_long_is_status_503():
    fake = Fake()
    fake.may.clear()
    with serving(fake, Limits(seconds=0.1)) as send:
        status, _, body = send("POST", "/predict", b"x")
        fake.may.set()
    assert (status, "more than 0.1 seconds" in body.decode()) == (503, True)


def test_what_is_in_flight_is_answered_before_the_server_ends():
    fake = Fake()
    fake.may.clear()
    answers: list[Any] = []
    with serving(fake) as send:
        thread = threading.Thread(target=lambda: answers.append(send("POST", "/predict", b"x")))
        thread.start()
        _until(lambda: fake.sizes)
        send.server.should_exit = True
        time.sleep(0.3)
        assert not answers
        fake.may.set()
        thread.join(20)
    assert [status for status, _, _ in answers] == [200]


@pytest.mark.parametrize(
    ("method", "headers", "expected"),
    [
        ("GET", {"Host": "evil.example"}, 421),  # a name that resolves to 127.0.0.1
        ("GET", {"Host": "127.0.0.1.evil.example:80"}, 421),
        ("GET", {"Host": "x@127.0.0.1"}, 421),
        ("GET", {"Host": "localhost"}, 200),
        ("GET", {"Host": "[::1]:9"}, 200),
        ("GET", {"Origin": "http://evil.example"}, 403),
        ("POST", {"Origin": "null"}, 403),
        ("POST", {"Origin": "http://127.0.0.1:1"}, 403),  # a page of another server here
        ("POST", {"Sec-Fetch-Site": "cross-site"}, 403),
        ("POST", {"Sec-Fetch-Site": "same-site"}, 403),
        ("POST", {"Content-Length": "200000"}, 413),
    ],
)
def test_only_its_own_pages_and_programs_are_answered(send, method, headers, expected):
    path = "/health" if method == "GET" else "/predict"
    status, answer, _ = send(method, path, None if method == "GET" else b"", headers)
    assert status == expected
    assert answer["x-content-type-options"] == "nosniff"
    assert "default-src 'none'" in answer["content-security-policy"]
    assert "access-control-allow-origin" not in answer


def test_two_hosts_are_refused(send):
    with socket.create_connection(("127.0.0.1", send.port)) as sent:
        sent.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n")
        assert sent.recv(100).split()[1] in (b"400", b"421")


def test_a_body_without_a_length_is_counted(send):
    blocks = iter([b"x" * 40_000] * 3)
    status, _, body = send("POST", "/predict", blocks, encode_chunked=True)
    assert (status, json.loads(body)["error"]) == (413, "a request has at most 100,000 bytes")


@pytest.mark.parametrize(
    ("path", "body", "headers", "status", "words"),
    [
        ("", b"", {}, 422, "the request is empty"),
        ("", *form([]), 400, ""),
        ("", *form([(f"{k}", b"x") for k in range(65)]), 400, "Too many files"),
        ("?top=0", b"x", {}, 422, "top cannot be '0'"),
        ("?top=many", b"x", {}, 422, "top cannot be 'many'"),
    ],
)
def test_a_request_that_cannot_be_answered_is_refused_in_one_sentence(
    send, path, body, headers, status, words
):
    found = send("POST", f"/predict{path}", body, headers)
    assert found[0] in (status, 422)
    assert words in json.loads(found[2])["error"]


def test_a_form_of_very_many_fields_is_refused(send):
    field = b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n'
    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    status, _, body = send("POST", "/predict", field * 1000 + b"--x--\r\n", headers)
    assert (status, "Too many fields" in body.decode()) == (400, True)


def test_a_slow_client_does_not_hold_a_connection(monkeypatch):
    monkeypatch.setattr(server_module, "PATIENCE", 0.2)
    monkeypatch.setattr(guard, "PATIENCE", 0.2)
    with serving(Fake()) as send:
        with socket.create_connection(("127.0.0.1", send.port), timeout=5) as head:
            head.sendall(b"GET /health HTTP/1.1\r\nHost: loc")
            assert head.recv(100) == b""
        with socket.create_connection(("127.0.0.1", send.port), timeout=5) as body:
            body.sendall(b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\nx")
            assert body.recv(100).split()[1] == b"408"


def test_beyond_this_machine_it_needs_the_token():
    with serving(Fake(), token="secret", host="0.0.0.0") as send:
        assert send("GET", "/health")[0] == 401
        assert send("GET", "/health?token=wrong")[0] == 401
        assert send("POST", "/predict?token=secret", b"x")[0] == 401
        assert send("GET", "/health", headers={"Authorization": "Bearer sécret"})[0] == 401
        assert send("GET", "/health", headers={"Authorization": "Bearer secret"})[0] == 200
        assert send("GET", "/health", headers={"Host": "evil.example"})[0] == 421
        assert send("GET", "//evil.example/?token=secret")[1]["location"] == "/evil.example/"
        status, headers, _ = send("GET", "/docs?a=1&token=secret")
        cookie = headers["set-cookie"]
        assert (status, headers["location"]) == (303, "/docs?a=1")
        assert "HttpOnly" in cookie
        assert "SameSite=strict" in cookie
        own = {"Cookie": cookie.partition(";")[0], "Host": "192.168.0.7:80"}
        assert send("GET", "/health", headers=own)[0] == 200


def test_a_token_is_made_for_addresses_that_others_reach():
    for host, has in (("127.0.0.1", False), ("0.0.0.0", True)):
        listening, address = listen(host, 0)
        with listening:
            assert bool(address.token) is has
            assert f":{address.port}/" in address.url
            with pytest.raises(ValueError, match=r"cannot listen at .*--port takes another"):
                listen(host, address.port)


def test_its_page_and_its_metrics_load_nothing_and_take_names_for_text(send):
    page = send("GET", "/docs")[2]
    text = page.decode()
    assert "POST /predict" in text
    assert "&lt;b&gt;net" in text
    assert re.findall(r'(?:src|href)="([^"]*)"', text) == ["openapi.json"]
    assert "script" not in text
    schema = json.loads(send("GET", "/openapi.json")[2])
    assert schema["paths"].keys() == {"/predict", "/health", "/metrics"}
    send("POST", "/predict", *form([(HOSTILE, b"x")]))
    metrics = send("GET", "/metrics")[2].decode()
    for line in metrics.splitlines():
        assert re.fullmatch(r"# (HELP|TYPE) \w+ .+|\w+(\{\w+=\"[^\"]+\"\})? [\d.]+", line), line
    counts = dict(line.rsplit(" ", 1) for line in metrics.splitlines() if line[0] != "#")
    assert int(counts["classicnets_images_total"]) > 0
    assert (
        counts["classicnets_request_seconds_count"]
        == counts['classicnets_request_seconds_bucket{le="+Inf"}']
    )


def test_the_command_serves_until_it_is_told_to_stop(run):
    command = [sys.executable, "-m", "classicnets", "serve", str(run), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        line = process.stdout.readline()
        port = int(re.search(r"http://127\.0\.0\.1:(\d+)/ ", line)[1])  # pyright: ignore
        with closing(HTTPConnection("127.0.0.1", port, timeout=20)) as connection:
            connection.request("POST", "/predict", png())
            with connection.getresponse() as answer:
                assert answer.status == 200
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--max-upload", "much"], "memory is a number and a unit"),
        (["--max-pixels", "0"], "must be a whole number of pixels"),
        (["--port", "70000"], "--port"),
        (["--host", "256.1.1.1"], "cannot listen at 256.1.1.1:8000"),
    ],
)
def test_a_mistake_is_one_line(run_cli, run, words, message):
    status, out, err = run_cli("serve", run, *words)
    assert (status, out, len(err.splitlines())) == (2, "", 1)
    assert message in err


def test_a_missing_package_is_named(run_cli, run, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    for verb in (["serve", run], ["web"]):
        status, _, err = run_cli(*verb)
        assert (status, "pip install 'classicnets[web]'" in err) == (2, True)


def _until(fact: Callable[[], object]) -> None:
    """Waits until something holds."""
    end = time.monotonic() + 20
    while not fact():
        assert time.monotonic() < end
        time.sleep(0.01)
