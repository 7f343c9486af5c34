"""Schemas by URL, from real servers on sockets: good ones, slow ones, and those that lead astray."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from support.schema_support import ORDERS, file_names, message
from wirelane.core.limits import Limits
from wirelane.errors import LimitExceeded, SchemaError
from wirelane.schema import load

Answer = Callable[[BaseHTTPRequestHandler], None]


@contextmanager
def serving(answer: Answer) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answer(self)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the signature is http.server's
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def content(data: bytes, status: int = 200, **headers: str) -> Answer:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name, value)
        handler.send_header("Content-Length", str(len(data)))
        handler.end_headers()
        handler.wfile.write(data)

    return answer


def failure(url: str, **options: object) -> SchemaError:
    with pytest.raises(SchemaError) as caught:
        load(url, **options)  # type: ignore[arg-type]
    return caught.value


def test_text_is_compiled_under_its_own_name() -> None:
    with serving(content(ORDERS.encode())) as url:
        loaded = load(f"{url}/protos/orders.proto?raw=1")
    assert file_names(loaded.data)[-1] == "orders.proto"
    assert loaded.origin.startswith("http://127.0.0.1:")


def test_a_descriptor_set_is_taken_as_it_is() -> None:
    data = load(ORDERS).data
    with serving(content(data)) as url:
        assert load(url).data == data


def test_a_mapping_may_hold_urls() -> None:
    with serving(content(message("B").encode())) as url:
        loaded = load({"a.proto": message("A", "sub/b.proto"), "sub/b.proto": url})
    assert file_names(loaded.data) == ["sub/b.proto", "a.proto"]


def test_a_password_is_not_shown() -> None:
    with serving(content(b"", 404)) as url:
        error = failure(url.replace("http://", "http://me:hush@") + "/x.proto")
    assert "hush" not in repr(error)


def test_a_password_goes_to_its_own_host_only() -> None:
    seen: list[str | None] = []

    def target(handler: BaseHTTPRequestHandler) -> None:
        seen.append(handler.headers.get("Authorization"))
        content(ORDERS.encode())(handler)

    with serving(target) as other:

        def redirecting(handler: BaseHTTPRequestHandler) -> None:
            seen.append(handler.headers.get("Authorization"))
            content(b"", 302, Location=other)(handler)

        with serving(redirecting) as url:
            loaded = load(url.replace("http://", "http://me:hu%40sh@"))
    assert seen == ["Basic bWU6aHVAc2g=", None]
    assert loaded.origin == url


def test_a_status_that_is_no_success() -> None:
    with serving(content(b"", 404)) as url:
        assert str(failure(f"{url}/x.proto")) == f"{url}/x.proto answers 404 Not Found"


def test_a_web_page_is_told_from_a_schema() -> None:
    with serving(content(b"<!DOCTYPE html><html>")) as url:
        assert "raw .proto" in str(failure(url))


def test_what_is_too_large_is_not_read_to_the_end() -> None:
    def endless(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.end_headers()
        try:
            while True:
                handler.wfile.write(bytes(65_536))
        except OSError:
            pass  # cut off, as it should be

    with serving(endless) as url, pytest.raises(LimitExceeded, match="max_url_bytes=100000"):
        load(url, limits=Limits(max_url_bytes=100_000))


def test_redirects_within_http_are_followed() -> None:
    with serving(content(ORDERS.encode())) as target, serving(content(b"", 302, Location=target)) as url:
        assert load(url).data


@pytest.mark.parametrize(
    "target", ["file:///etc/passwd", "ftp://127.0.0.1/x", "data:text/plain,message", "gopher://x/"]
)
def test_redirects_to_anything_else_are_refused(target: str) -> None:
    with serving(content(b"", 302, Location=target)) as url:
        assert "not allowed" in str(failure(url)) or "refused" in str(failure(url))


def test_redirects_in_a_circle_end() -> None:
    def again(handler: BaseHTTPRequestHandler) -> None:
        content(b"", 302, Location=handler.path)(handler)

    with serving(again) as url:
        assert "302" in str(failure(f"{url}/x"))


@pytest.mark.parametrize("scheme", ["file:///etc/hostname", "ftp://127.0.0.1/x.proto", "FILE:/etc/hostname"])
def test_no_other_scheme_is_a_url(scheme: str) -> None:
    assert "no such file" in str(failure(scheme))


def test_nobody_listening() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
        assert "cannot be fetched: " in str(failure(f"http://127.0.0.1:{port}/x.proto"))


@pytest.mark.parametrize("stage", ["silent", "headers", "body"])
def test_a_server_that_trickles_is_cut_off(stage: str) -> None:
    """A byte now and then would reset any timeout per read; the deadline holds all the same."""
    stop = threading.Event()

    def trickle(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(65_536)
            if stage == "headers":
                connection.sendall(b"HTTP/1.1 200 OK\r\n")
            elif stage == "body":
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
            while stage != "silent" and not stop.wait(0.02):
                try:
                    connection.sendall(b"x")
                except OSError:
                    return
            stop.wait(30)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=trickle, args=(listener,))
        thread.start()
        try:
            error = failure(f"http://127.0.0.1:{listener.getsockname()[1]}/x.proto", timeout=0.3)
        finally:
            stop.set()
            thread.join()
    assert "in time" in str(error)


@pytest.mark.parametrize(
    "answer",
    [b"SSH-2.0 hello\r\n", b"\x16\x03\x01\x02", b"", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort"],
)
def test_what_is_no_http_is_an_error(answer: bytes) -> None:
    def speak(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(65_536)
            connection.sendall(answer)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=speak, args=(listener,))
        thread.start()
        error = failure(f"http://127.0.0.1:{listener.getsockname()[1]}/x.proto")
        thread.join()
    assert "127.0.0.1" in str(error)
