"""ProxyConfig, proxies from the environment, and SocketOptions: what is taken, what is refused, what is shown."""

from __future__ import annotations

import pickle
import socket
import ssl

import pytest

from wirelane import ProxyConfig, SocketOptions, TlsConfig, UsageError
from wirelane.core.target import HostPort, UnixPath
from wirelane.net.proxy import resolve_proxy
from wirelane.net.proxy.environment import Environment, Exceptions

TARGET = HostPort("db.example.com", 5432)


@pytest.mark.parametrize(
    ("url", "shown", "kind", "host", "port"),
    [
        ("socks5://proxy.test", "socks5://proxy.test:1080", "socks5", "proxy.test", 1080),
        ("SOCKS5H://Proxy.Test:9/", "socks5h://Proxy.Test:9", "socks5h", "Proxy.Test", 9),
        ("socks4a://10.0.0.1:80", "socks4a://10.0.0.1:80", "socks4a", "10.0.0.1", 80),
        ("http://[::1]", "http://[::1]:80", "http", "::1", 80),
        ("https://proxy.test", "https://proxy.test:443", "https", "proxy.test", 443),
        ("http://bücher.test:1", "http://xn--bcher-kva.test:1", "http", "xn--bcher-kva.test", 1),
    ],
)
def test_a_url_says_what_and_where(url: str, shown: str, kind: str, host: str, port: int) -> None:
    config = ProxyConfig(url)
    assert (str(config), config.kind, config.host, config.port) == (shown, kind, host, port)


@pytest.mark.parametrize(
    ("url", "user", "password"),
    [
        ("http://ann:secret@p:1", "ann", "secret"),
        ("http://ann@p:1", "ann", None),
        ("http://ann:@p:1", "ann", ""),
        ("http://a%40b:c%3A%2F%3f@p:1", "a@b", "c:/?"),
        ("http://a@b:p@ss@p:1", "a@b", "p@ss"),
        ("http://j%C3%BCrgen:%E2%82%AC@p:1", "jürgen", "€"),
        ("socks4://uid@p:1", "uid", None),
    ],
)
def test_a_user_in_the_url_is_taken_out_of_it(url: str, user: str, password: str | None) -> None:
    config = ProxyConfig(url)
    assert (config.username, config.password) == (user, password)
    assert "@" not in config.url


@pytest.mark.parametrize(
    ("url", "options", "problem"),
    [
        ("proxy.test:1080", {}, "no scheme"),
        ("ftp://proxy.test", {}, "scheme"),
        ("socks5://", {}, "no host"),
        ("socks5://:1080", {}, "no host"),
        ("socks5://p:0", {}, "no host"),
        ("socks5://p:99999", {}, "no host"),
        ("http://p:1/path", {}, "no host"),
        ("http://p:1?x", {}, "no host"),
        ("http://unix:/tmp/x", {}, "no host"),
        ("http://tcp://p:1", {}, "no host"),
        ("http://a\r\nX: y@p:1", {}, "control"),
        ("http://p:1\r\nX: y", {}, "no host"),
        ("http://%0d%0a:x@p:1", {}, "username"),
        ("http://a%ff:x@p:1", {}, "UTF-8"),
        ("http://a\udcff:x@p:1", {}, "UTF-8"),
        ("http://p:1", {"username": "a", "password": "\udcff"}, "surrogate"),
        ("socks5://ann@p:1", {}, "username and a password"),
        ("socks5://ann:@p:1", {}, "username and a password"),
        ("socks4://ann:secret@p:1", {}, "user id alone"),
        ("socks5://p:1", {"username": "a" * 256, "password": "b"}, "255"),
        ("socks5://p:1", {"username": "é", "password": "b"}, "ASCII"),
        ("socks4://p:1", {"username": "a\0b"}, "control"),
        ("http://p:1", {"username": "a:b", "password": "c"}, "colon"),
        ("http://p:1", {"password": "c"}, "no username"),
        ("http://ann@p:1", {"username": "bob"}, "give one"),
        ("http://p:1", {"tls": TlsConfig()}, "https://"),
        ("https://p:1", {"tls": True}, "TlsConfig"),
        ("socks5://p:1", {"headers": {"X": "y"}}, "headers"),
        ("http://p:1", {"headers": {"X": "y\r\nZ: w"}}, "'X'"),
        ("http://p:1", {"headers": {"X\n": "y"}}, "name"),
        ("http://p:1", {"headers": {"Host": "y"}}, "'Host'"),
        ("http://p:1", {"headers": "X: y"}, "pairs"),
        ("socks4://p:1", {"remote_dns": True}, "socks4a"),
        ("socks5://p:1", {"remote_dns": 1}, "remote_dns"),
        (b"http://p:1", {}, "URL"),
    ],
)
def test_what_cannot_be_is_refused_at_once(url, options, problem: str) -> None:
    with pytest.raises(UsageError, match=problem):
        ProxyConfig(url, **options)


@pytest.mark.parametrize(
    "url",
    [
        "ann:secret-word@proxy.test:1",
        "ftp://ann:secret-word@proxy.test",
        "http://ann:secret-word@proxy test:1",
        "socks4://ann:secret-word@p:1",
        "socks5://a%ff:secret-word@p:1",
        "secret-word",
        "http://ann:secret-word@p:1@",
        "http://p:1:ann:secret-word",
        "p:1:ann:secret-word",
        "socks5://p:secret-word",
        "http://p:1?user=ann&password=secret-word",
        "http://p:1/#secret-word",
    ],
)
def test_an_error_shows_no_secret(url: str) -> None:
    with pytest.raises(UsageError) as caught:
        ProxyConfig(url)
    if url != "secret-word":  # nobody can know that this is one
        assert "secret-word" not in str(caught.value)
        assert "ann" not in str(caught.value)
    assert "secret" not in repr(caught.value.__context__)


def test_repr_shows_no_secret_and_a_pickle_keeps_it() -> None:
    config = ProxyConfig("http://ann:secret-word@p:1", headers={"X-Token": "other-secret"})
    for text in (repr(config), str(config)):
        assert "ann" not in text
        assert "secret" not in text
    assert pickle.loads(pickle.dumps(config)) == config


def test_a_context_of_the_standard_library_does_for_an_https_proxy() -> None:
    assert ProxyConfig("https://p", tls=ssl.create_default_context()).kind == "https"


@pytest.mark.parametrize(
    ("proxy", "problem"),
    [
        ([], "chain of 0"),
        (["http://p"] * 3, "chain of 3"),
        (["http://p", "env"], "alone"),
        (5, "not int"),
        ("", "scheme"),
    ],
)
def test_a_route_has_one_or_two_proxies(proxy, problem: str) -> None:
    with pytest.raises(UsageError, match=problem):
        resolve_proxy(proxy)


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, None),
        ({"ALL_PROXY": "socks5://a:1"}, "socks5://a:1"),
        ({"all_proxy": "socks5://b:1", "ALL_PROXY": "socks5://a:1"}, "socks5://b:1"),
        ({"HTTPS_PROXY": "http://c:3128", "ALL_PROXY": "socks5://a:1"}, "http://c:3128"),
        ({"HTTPS_PROXY": "c:3128"}, "http://c:3128"),
        ({"HTTP_PROXY": "http://d:1"}, None),
        ({"ALL_PROXY": ""}, None),
        ({"ALL_PROXY": "socks5://a:1", "NO_PROXY": "example.com"}, None),
        ({"ALL_PROXY": "socks5://a:1", "no_proxy": "other.test, *"}, None),
    ],
)
def test_the_environment_names_a_proxy(environ, expected: str | None) -> None:
    proxy = Environment.read(environ).proxy_for(TARGET)
    assert (None if proxy is None else proxy.url) == expected


def test_a_broken_variable_is_named_without_its_secret() -> None:
    with pytest.raises(UsageError, match="HTTPS_PROXY") as caught:
        Environment.read({"HTTPS_PROXY": "foo://ann:secret-word@p"})
    assert "secret-word" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "host", "port", "direct"),
    [
        ("example.com", "example.com", 1, True),
        ("example.com", "DB.Example.COM.", 1, True),
        ("example.com", "notexample.com", 1, False),
        (".example.com", "example.com", 1, False),
        (".example.com", "a.b.example.com", 1, True),
        ("*.example.com", "a.example.com", 1, True),
        ("*.example.com", "example.com", 1, False),
        ("example.com:443", "example.com", 443, True),
        ("example.com:443", "example.com", 80, False),
        ("10.0.0.0/8", "10.1.2.3", 1, True),
        ("10.0.0.0/8", "11.1.2.3", 1, False),
        ("10.0.0.1/8", "10.1.2.3", 1, True),
        ("10.0.0.0/8", "::ffff:10.1.2.3", 1, True),
        ("10.0.0.0/8", "fd00::1", 1, False),
        ("fd00::/8", "fd00::1", 1, True),
        ("fd00::/8", "fd00::1%eth0", 1, True),
        ("192.0.2.1", "192.0.2.1", 1, True),
        ("192.0.2.1:5", "192.0.2.1", 6, False),
        ("192.0.2.1:5", "192.0.2.1", 5, True),
        ("::1", "::1", 1, True),
        ("[::1]:5", "::1", 5, True),
        ("[::1]:5", "::1", 6, False),
        ("a.test b.test,c.test", "c.test", 1, True),
        ("a.test/nonsense", "a.test", 1, False),
        ("a.test:", "a.test", 1, True),
        ("a.test:8O", "a.test", 80, False),
        ("a.test:99999999", "a.test", 1, False),
        ("192.0.2.1:80x", "192.0.2.1", 80, False),
        ("[::1]x", "::1", 1, False),
        ("[::1", "::1", 1, False),
        ("[a.test]", "a.test", 1, False),
        ("*a.test", "a.test", 1, False),
        ("*.*.test", "a.b.test", 1, False),
        ("fe80::1", "fe80::1%eth0", 1, True),
        ("localhost", "localhost", 1, True),
        ("", "localhost", 1, False),
        (" , ,", "example.com", 1, False),
    ],
)
def test_no_proxy_follows_its_rules(text: str, host: str, port: int, direct: bool) -> None:
    assert Exceptions.parse(text).hold_for(HostPort(host, port)) is direct


def test_the_environment_says_nothing_about_unix_sockets(monkeypatch) -> None:
    monkeypatch.setenv("ALL_PROXY", "socks5://a:1")
    assert resolve_proxy("env").to(UnixPath("/tmp/x")) == ()


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"local_address": "localhost"}, "local_address"),
        ({"local_address": "127.0.0.1:x"}, "local_address"),
        ({"local_address": "127.0.0.1:65536"}, "local_address"),
        ({"nodelay": 1}, "nodelay"),
        ({"keepalive": 0}, "keepalive"),
        ({"keepalive": -1.0}, "keepalive"),
        ({"user_timeout": 0}, "user_timeout"),
        ({"user_timeout": True}, "user_timeout"),
        ({"receive_buffer": 0}, "receive_buffer"),
        ({"receive_buffer": 2**31}, "receive_buffer"),
        ({"keepalive": 32768}, "keepalive"),
        ({"user_timeout": 2**31 / 1000}, "user_timeout"),
        ({"send_buffer": 1.5}, "send_buffer"),
    ],
)
def test_socket_options_that_cannot_be_are_refused(options, problem: str) -> None:
    with pytest.raises(UsageError, match=problem):
        SocketOptions(**options)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("127.0.0.1", ("127.0.0.1", 0)),
        ("127.0.0.1:5", ("127.0.0.1", 5)),
        ("::1", ("::1", 0)),
        ("[::1]", ("::1", 0)),
        ("[::1]:5", ("::1", 5)),
    ],
)
def test_a_local_address_has_a_port_or_any(text: str, expected: tuple[str, int]) -> None:
    assert SocketOptions(local_address=text).bind_address == expected


def test_the_most_that_socket_options_allow_the_system_takes() -> None:
    options = SocketOptions(keepalive=32_767, user_timeout=2_147_483, receive_buffer=2**31 - 1)
    with socket.socket() as sock:
        options.apply(sock)
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 32_767
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 2_147_483_000


def test_socket_options_reach_the_socket() -> None:
    options = SocketOptions(keepalive=30, user_timeout=2.5, receive_buffer=65536)
    with socket.socket() as sock:
        options.apply(sock)
        tcp = socket.IPPROTO_TCP
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
        assert sock.getsockopt(tcp, socket.TCP_KEEPIDLE) == 30
        assert sock.getsockopt(tcp, socket.TCP_KEEPINTVL) == 3
        assert sock.getsockopt(tcp, socket.TCP_USER_TIMEOUT) == 2500
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) >= 65536
    with socket.socket() as sock:
        SocketOptions(keepalive=False).apply(sock)
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 0
