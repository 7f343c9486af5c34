"""Whatever is wrong, the command says so in one line, with the right exit code."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from support.cli_support import EVERYTHING, Served, serving, wirelane


@pytest.fixture(scope="module")
def served():
    with serving() as server:
        yield server


@pytest.fixture
def closed_port():
    """A port of this machine at which nobody listens, and at which nobody else can begin to."""
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{holder.getsockname()[1]}"


# The network: exit code 1


def test_a_host_that_does_not_exist() -> None:
    wirelane("call", "no-such-host.invalid:50051", "a/b").failed(1, "no-such-host.invalid")


@pytest.mark.parametrize("verb", [("call", "a/b"), ("list",), ("describe",)])
def test_a_port_that_is_closed(closed_port: str, verb: tuple[str, ...]) -> None:
    wirelane(verb[0], closed_port, *verb[1:]).failed(1, "refused")


def test_a_tcp_port_that_is_closed(closed_port: str) -> None:
    wirelane("tcp", closed_port, "-d", "x").failed(1, "refused")


@pytest.mark.parametrize("option", ["--tls", "--insecure"])
def test_tls_to_a_plaintext_server(served: Served, option: str) -> None:
    wirelane("call", served.grpc, "Summator/sum", option).failed(1, "use --plaintext")


def test_plaintext_to_a_tls_server(served: Served) -> None:
    wirelane("call", served.tls, "Summator/sum").failed(1, "use --tls")


def test_an_authority_that_did_not_sign_the_certificate(served: Served) -> None:
    wirelane("call", served.tls, "Summator/sum", "--tls").failed(1, "--cacert FILE")


def test_a_certificate_for_another_name(served: Served) -> None:
    done = wirelane(
        "call", served.tls, "Summator/sum", "--cacert", str(served.ca), "--server-name", "other.example"
    )
    done.failed(1, "--server-name localhost")


def test_a_server_that_does_not_speak_http2(served: Served) -> None:
    wirelane("call", served.tcp, "Summator/sum").failed(1, "does not speak HTTP/2")


def test_a_server_that_answers_http1(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        import threading

        def answer() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(24)
                connection.sendall(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n")
                connection.recv(1024)

        thread = threading.Thread(target=answer)
        thread.start()
        wirelane("list", f"127.0.0.1:{listener.getsockname()[1]}").failed(1, "HTTP/1")
        thread.join()


def test_a_server_that_never_answers_is_given_up_after_max_time() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        done = wirelane("list", f"127.0.0.1:{listener.getsockname()[1]}", "--max-time", "0.3")
    assert (done.code, done.out) == (68, "")
    assert done.err.count("\n") == 1
    assert "--max-time" in done.err


def test_a_server_that_never_answers_is_given_up_after_connect_timeout() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = f"127.0.0.1:{listener.getsockname()[1]}"
        wirelane("list", address, "--connect-timeout", "300ms").failed(1, "0.3 s")


# The command line: exit code 2


@pytest.mark.parametrize("address", ["nowhere", "host:port:1", "127.0.0.1:99999", "ftp://host:1", ""])
def test_an_address_that_is_none(address: str) -> None:
    wirelane("call", address, "a/b").failed(2, "no address")


@pytest.mark.parametrize(
    ("method", "hint"),
    [
        ("Sumator/sum", '"Summator"'),
        ("Summator/summ", '"sum"'),
        ("wirelane.demo.Everything/BidiEko", '"BidiEcho"'),
        ("Summator", "pkg.Service/Method"),
    ],
)
def test_a_method_that_is_not_there(served: Served, method: str, hint: str) -> None:
    wirelane("call", served.grpc, method).failed(2, hint)


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        ('{"value1": 5,\n "value2" 3}', "-d:2:11: "),
        ('{"value1": 5', "-d:1:13: "),
        ("{'value1': 5}", "-d:1:2: "),
        ("hello", "-d:1:1: "),
        ('{"value1": NaN}', '"NaN" in quotes'),
        ('{"value1": 1, "value1": 2}', "given twice"),
        ("[" * 100_000, "nested too deep"),
        ("[1]", "JSON object"),
        ('{"valeu1": 5}', 'did you mean "value1"?'),
        ('{"value1": "five"}', "value1"),
        ('{"value1": 1e99}', "value1"),
        ("{} {}", "one message"),
        ("@/no/such/file.json", "No such file"),
        ("@/", "directory"),
    ],
)
def test_data_that_cannot_be_sent(served: Served, data: str, problem: str) -> None:
    wirelane("call", served.grpc, "Summator/sum", "-d", data).failed(2, problem)


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        ('{"f_int32": 3000000000}', "f_int32: "),
        ('{"f_items": [{}, {"tags": [1]}]}', "f_items[1].tags"),
        ('{"f_enum": "GREEEN"}', '"GREEN"'),
        ('{"f_bytes": "%%"}', "base64"),
        ('{"any": {"@type": "type.googleapis.com/no.Such"}}', "no.Such"),
    ],
)
def test_the_field_that_does_not_fit_is_named(served: Served, data: str, problem: str) -> None:
    wirelane("call", served.grpc, f"{EVERYTHING}/Echo", "-d", data).failed(2, problem)


def test_data_that_is_no_utf8(served: Served) -> None:
    done = wirelane("call", served.grpc, "Summator/sum", "-d", "@-", stdin=b'{"value1": 1, "\xff": 2}')
    done.failed(2, "<stdin>: no UTF-8: byte 0xff")


def test_malformed_data_is_found_before_anything_is_connected(closed_port: str) -> None:
    wirelane("call", closed_port, "a/b", "-d", "{").failed(2, "-d:1:2: ")


def test_a_method_that_the_given_files_do_not_have_is_found_before_anything_is_connected(
    closed_port: str, tmp_path: Path
) -> None:
    file = tmp_path / "a.proto"
    file.write_text('syntax = "proto3"; message M {} service Shop { rpc Buy(M) returns (M); }')
    wirelane("call", closed_port, "Shop/Buyy", "--proto", str(file)).failed(2, '"Buy"')


def test_a_proto_file_that_does_not_compile(tmp_path: Path) -> None:
    file = tmp_path / "broken.proto"
    file.write_text('syntax = "proto3";\nmessage A {\n  int32 x = 1\n}\n')
    wirelane("list", "--proto", str(file)).failed(2, "broken.proto:4:1: ")


def test_all_that_is_wrong_in_a_proto_file_is_told(tmp_path: Path) -> None:
    file = tmp_path / "broken.proto"
    file.write_text('syntax = "proto3";\nmessage A {\n  Foo x = 1;\n  Bar y = 2;\n}\n')
    done = wirelane("list", "--proto", str(file))
    assert (done.code, done.out) == (2, "")
    first, second = done.err.splitlines()
    assert first.startswith("error: broken.proto:3:3: ")
    assert second.startswith("       broken.proto:4:3: ")


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["--proto", "/no/such.proto"], "/no/such.proto"),
        (["--protoset", "/no/such.set"], "/no/such.set"),
        (["--proto", "x.proto", "-I", "/no/such/dir"], "/no/such/dir"),
        (["--proto", "x.proto", "--reflection"], "--reflection"),
        (["--plaintext", "--cacert", "x"], "--plaintext"),
        (["--insecure", "--cacert", "x"], "--insecure"),
        (["--key", "x"], "--cert"),
        (["--cacert", "/no/such.pem"], "--cacert: no such file"),
        (["--cert", "/no/such.pem", "--key", "/no/such.key"], "--cert: no such file"),
        (["-H", "nocolon"], "name: value"),
        (["-H", "x y: 1"], "metadata name"),
        (["-H", "grpc-timeout: 1"], "reserved"),
        (["-H", "x-bin: %%%"], "base64"),
        (["--rpc-header", "nocolon"], "--rpc-header"),
        (["--max-time", "soon"], "'--max-time'"),
        (["--max-time", "0"], "--max-time"),
        (["--connect-timeout", "0"], "--connect-timeout"),
    ],
)
def test_options_that_make_no_sense(served: Served, arguments: list[str], problem: str) -> None:
    wirelane("call", served.grpc, "Summator/sum", *arguments).failed(2, problem)


def test_tls_by_the_address_and_plaintext_by_an_option(served: Served) -> None:
    wirelane("call", f"grpcs://{served.tls}", "a/b", "--plaintext").failed(2, "--plaintext contradicts")


def test_a_serve_port_that_is_taken(served: Served) -> None:
    port = served.grpc.rpartition(":")[2]
    wirelane("serve", "--port", port, "--tls-port", "0", "--tcp-port", "0").failed(1, f"127.0.0.1:{port}")
