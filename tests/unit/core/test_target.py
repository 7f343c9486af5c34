from __future__ import annotations

import pytest

from wirelane.core.target import HostPort, Target, UnixPath, parse_listen, parse_target
from wirelane.errors import UsageError


@pytest.mark.parametrize(
    ("text", "addresses", "tls", "authority"),
    [
        ("localhost:50051", [HostPort("localhost", 50051)], None, "localhost:50051"),
        ("10.0.0.1:1", [HostPort("10.0.0.1", 1)], None, "10.0.0.1:1"),
        ("[::1]:80", [HostPort("::1", 80)], None, "[::1]:80"),
        ("[fe80::1%eth0]:80", [HostPort("fe80::1%eth0", 80)], None, "[fe80::1]:80"),
        ("my_service:65535", [HostPort("my_service", 65535)], None, "my_service:65535"),
        ("host.test.:1", [HostPort("host.test.", 1)], None, "host.test.:1"),
        ("bücher.test:1", [HostPort("xn--bcher-kva.test", 1)], None, "xn--bcher-kva.test:1"),
        ("dns:///h:1", [HostPort("h", 1)], None, "h:1"),
        ("dns:h:1", [HostPort("h", 1)], None, "h:1"),
        ("DNS:///h:1", [HostPort("h", 1)], None, "h:1"),
        ("dns:53", [HostPort("dns", 53)], None, "dns:53"),
        ("unix:/run/x.sock", [UnixPath("/run/x.sock")], None, "localhost"),
        ("unix:///run/x.sock", [UnixPath("/run/x.sock")], None, "localhost"),
        ("unix:x@y.sock", [UnixPath("x@y.sock")], None, "localhost"),
        ("unix-abstract:x", [UnixPath("\0x")], None, "localhost"),
        ("static:///a:1,b:2,[::1]:3", [HostPort("a", 1), HostPort("b", 2), HostPort("::1", 3)], None, "a:1"),
        ("ipv4:1.2.3.4:5,6.7.8.9:1", [HostPort("1.2.3.4", 5), HostPort("6.7.8.9", 1)], None, "1.2.3.4:5"),
        ("ipv6:[::1]:5", [HostPort("::1", 5)], None, "[::1]:5"),
        ("grpc://h:1", [HostPort("h", 1)], False, "h:1"),
        ("grpcs://h:1", [HostPort("h", 1)], True, "h:1"),
        ("grpcs://[::1]:1/", [HostPort("::1", 1)], True, "[::1]:1"),
        ("http://h:1", [HostPort("h", 1)], False, "h:1"),
        ("http://h", [HostPort("h", 80)], False, "h"),
        ("https://h", [HostPort("h", 443)], True, "h"),
        ("https://h/", [HostPort("h", 443)], True, "h"),
        ("https://[::1]", [HostPort("::1", 443)], True, "[::1]"),
        ("https://h:443", [HostPort("h", 443)], True, "h"),
        ("https://h:80", [HostPort("h", 80)], True, "h:80"),
    ],
)
def test_a_grpc_target_is_addresses_tls_and_authority(text, addresses, tls, authority):
    assert parse_target(text) == Target(text, tuple(addresses), tls, authority)


@pytest.mark.parametrize(
    ("text", "address", "tls"),
    [
        ("h:1", HostPort("h", 1), None),
        ("[::1]:1", HostPort("::1", 1), None),
        ("tcp://h:1", HostPort("h", 1), False),
        ("tls://h:1", HostPort("h", 1), True),
        ("unix:/p", UnixPath("/p"), None),
    ],
)
def test_a_tcp_target_is_one_address(text, address, tls):
    target = parse_target(text, kind="tcp")
    assert (target.addresses, target.tls) == ((address,), tls)


@pytest.mark.parametrize(
    ("text", "port"),
    [("h", 7), ("h:1", 1), ("[::1]", 7), ("dns:///h", 7), ("grpcs://h", 7), ("https://h", 443)],
)
def test_a_default_port_serves_a_host_without_one(text, port):
    (address,) = parse_target(text, default_port=7).addresses
    assert isinstance(address, HostPort)
    assert address.port == port


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "empty"),
        ("  ", "empty"),
        ("h", "no port"),
        ("h:", "port ''"),
        (":1", "no host"),
        ("h:0", "port '0'"),
        ("h:65536", "port '65536'"),
        ("h:-1", "port '-1'"),
        ("h:1.5", "port"),
        ("h:٣", "port"),
        ("h:" + "9" * 5000, "port"),
        ("h:http", "port"),
        (" h:1", "blank"),
        ("h:1\n", "blank"),
        ("h\r\nx: y:1", "blank"),
        ("h\0:1", "control character"),
        ("::1:50051", "brackets"),
        ("[::1:50051", r"\[::1\]:50051"),
        ("[::1]50051", r"\[::1\]:50051"),
        ("[::g]:1", "no IPv6"),
        ("[]:1", "no IPv6"),
        ("-h:1", "host"),
        ("a..b:1", "host"),
        ("a/b:1", "host"),
        ("a" * 254 + ":1", "longer"),
        ("a." + "b" * 64 + ".test:1", "longer than 63"),
        ("\u3002\u3002:1", "internationalised"),
        ("ftp://h:1", "ftp://"),
        ("tcp://h:1", "tcp://"),
        ("grpc://h", "no port"),
        ("https://h/path", "more than a host"),
        ("https://h?x", "more than a host"),
        ("https://h#x", "more than a host"),
        ("dns://8.8.8.8/h:1", "three slashes"),
        ("dns://h:1", "three slashes"),
        ("static:///", "no host"),
        ("static:///a:1,,b:2", "no host"),
        ("unix:", "no path"),
        ("unix:///", "no path"),
        ("unix://relative", "unix:///absolute"),
        ("unix-abstract:", "no name"),
    ],
)
def test_what_is_no_grpc_target_says_what_is_wrong_and_shows_the_forms(text, problem):
    with pytest.raises(UsageError, match=problem) as caught:
        parse_target(text)
    assert "dns:///host:port" in str(caught.value)
    assert len(str(caught.value)) < 700


@pytest.mark.parametrize("text", ["grpc://h:1", "https://h", "dns:///h:1", "static:///h:1,i:2"])
def test_grpc_forms_are_no_tcp_target(text):
    with pytest.raises(UsageError, match="tls://host:port"):
        parse_target(text, kind="tcp")


@pytest.mark.parametrize(
    "text",
    ["user:hush@h:1", "grpc://user:hush@h:1", "https://user:hu/hush@h", "user:x@hush@h", "http://hush@h"],
)
def test_a_password_is_refused_and_never_repeated(text):
    with pytest.raises(UsageError, match="password has no place") as caught:
        parse_target(text)
    assert "hush" not in str(caught.value)
    assert "user" not in str(caught.value).replace("a user or password", "")


def test_a_target_is_a_str():
    with pytest.raises(UsageError, match="int"):
        parse_target(50051)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:0", HostPort("127.0.0.1", 0)),
        ("[::]:50051", HostPort("::", 50051)),
        (":50051", HostPort("", 50051)),
        ("*:50051", HostPort("", 50051)),
        ("localhost:1", HostPort("localhost", 1)),
        ("tcp://0.0.0.0:1", HostPort("0.0.0.0", 1)),
        ("grpc://0.0.0.0:1", HostPort("0.0.0.0", 1)),
        ("unix:/run/x", UnixPath("/run/x")),
    ],
)
def test_an_address_to_listen_at(text, address):
    assert parse_listen(text) == address


@pytest.mark.parametrize(
    "text", ["", "h", "50051", "https://h:1", "tls://h:1", "static:///h:1", "h:-1", "h:65536"]
)
def test_what_nobody_can_listen_at_is_refused(text):
    with pytest.raises(UsageError, match="port 0 picks a free one"):
        parse_listen(text)


@pytest.mark.parametrize(
    ("address", "text"),
    [
        (HostPort("::1", 80), "[::1]:80"),
        (HostPort("h", 80), "h:80"),
        (HostPort("", 80), ":80"),
        (UnixPath("/p"), "unix:/p"),
        (UnixPath("\0p"), "unix-abstract:p"),
    ],
)
def test_an_address_prints_as_it_is_written(address, text):
    assert str(address) == text
    assert parse_listen(text) == address


def test_a_target_prints_as_it_was_written():
    assert str(parse_target("dns:///h:1")) == "dns:///h:1"
