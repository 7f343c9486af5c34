from __future__ import annotations

import asyncio
import errno
import importlib
import logging
import os
import resource
import socket
import ssl
import stat

import pytest

from support.net_support import (
    LOOPBACK,
    Accepting,
    Recorder,
    descriptors,
    descriptors_back,
    echo,
    ended,
    openssl,
    read_until,
    settle,
    unix,
)
from wirelane.core.target import HostPort, parse_listen
from wirelane.errors import ConnectError, ConnectionLost, ResolveError, UsageError
from wirelane.net import TlsConfig, dial, listen
from wirelane.net.admission import Admission
from wirelane.net.resolve import Endpoint

bind_module = importlib.import_module("wirelane.net.bind")
listen_module = importlib.import_module("wirelane.net.listen")  # `wirelane.net.listen` is the function


async def answers(address) -> bool:
    """Return whether an echo server is there."""
    transport, client = await dial(Recorder, address)
    transport.write(b"hello")
    received = await client.until_received(5)
    await ended(client)
    return received == b"hello"


def resolves_to(monkeypatch, *endpoints: Endpoint) -> None:
    async def resolve(host, port, *, passive=False):
        return list(endpoints)

    monkeypatch.setattr(bind_module, "resolve", resolve)


# ---------------------------------------------------------------------- addresses


async def test_port_zero_is_a_free_port_that_is_told():
    async with await listen(echo, LOOPBACK) as listening:
        assert listening.port > 0
        assert listening.address == HostPort("127.0.0.1", listening.port)
        assert listening.addresses == (listening.address,)
        assert not listening.tls
        assert await answers(listening.address)
        assert repr(listening) == f"<Listening 127.0.0.1:{listening.port} 0 connections>"
    assert repr(listening) == "<Listening closed 0 connections>"


async def test_every_address_of_a_name_gets_the_same_port(monkeypatch):
    resolves_to(
        monkeypatch,
        Endpoint(socket.AF_INET, ("127.0.0.1", 0)),
        Endpoint(socket.AF_INET6, ("::1", 0, 0, 0)),
        Endpoint(socket.AF_INET, ("127.0.0.2", 0)),
    )
    async with await listen(echo, HostPort("many.example", 0)) as listening:
        assert len(listening.addresses) == 3
        assert {address.port for address in listening.addresses} == {listening.port}
        for address in listening.addresses:
            assert await answers(address)


@pytest.mark.parametrize("text", [":0", "*:0", "[::]:0"])
async def test_every_interface_means_both_families(text):
    async with await listen(echo, parse_listen(text)) as listening:
        assert await answers(HostPort("127.0.0.1", listening.port))
        assert await answers(HostPort("::1", listening.port))


async def test_address_that_this_machine_lacks_is_left_out_beside_others(monkeypatch):
    resolves_to(
        monkeypatch,
        Endpoint(socket.AF_INET6, ("2001:db8::1", 0, 0, 0)),
        Endpoint(socket.AF_INET, ("127.0.0.1", 0)),
    )
    async with await listen(echo, HostPort("both.example", 0)) as listening:
        assert str(listening.address) == f"127.0.0.1:{listening.port}"


async def test_address_of_another_machine_is_an_error():
    with pytest.raises(ConnectError, match=r"cannot listen at 192.0.2.1:0: cannot assign requested address"):
        await listen(echo, HostPort("192.0.2.1", 0))


async def test_port_in_use_is_an_error_that_leaves_no_socket(monkeypatch):
    async with await listen(echo, LOOPBACK) as listening:
        before = descriptors()
        with pytest.raises(ConnectError) as caught:
            await listen(echo, listening.address)
        assert str(caught.value) == (
            f"cannot listen at 127.0.0.1:{listening.port}: address already in use "
            "(another process listens there; port 0 picks a free port)"
        )
        assert caught.value.errno == errno.EADDRINUSE
        resolves_to(
            monkeypatch,
            Endpoint(socket.AF_INET, ("127.0.0.2", listening.port)),
            Endpoint(socket.AF_INET, ("127.0.0.1", listening.port)),
        )
        with pytest.raises(ConnectError):
            await listen(echo, HostPort("both.example", listening.port))
        assert descriptors() == before


async def test_unknown_host_is_a_resolve_error():
    with pytest.raises(ResolveError, match="nosuch.invalid"):
        await listen(echo, HostPort("nosuch.invalid", 0))


async def test_port_can_be_shared_with_others():
    async with (
        await listen(echo, LOOPBACK, reuse_port=True) as one,
        await listen(echo, one.address, reuse_port=True) as two,
    ):
        assert one.port == two.port


@pytest.mark.parametrize("most", [0, -1])
async def test_senseless_limit_is_refused(most):
    with pytest.raises(UsageError, match="max_connections must be at least 1"):
        await listen(echo, LOOPBACK, admission=Admission(most))


async def test_wrong_tls_settings_fail_at_once(tmp_path):
    with pytest.raises(UsageError, match="a TLS server needs a certificate"):
        await listen(echo, LOOPBACK, tls=TlsConfig())
    with pytest.raises(UsageError, match="no such file"):
        await listen(echo, LOOPBACK, tls=TlsConfig(cert=tmp_path / "nowhere.pem"))


async def test_text_is_no_address():
    with pytest.raises(UsageError, match="cannot listen at a str; parse_listen"):
        await listen(echo, "localhost:80")  # type: ignore[arg-type]


# ---------------------------------------------------------------------- unix sockets


async def test_socket_file_is_removed_on_close(tmp_path):
    address = unix(tmp_path)
    async with await listen(echo, address) as listening:
        assert stat.S_ISSOCK(os.stat(address.path).st_mode)
        assert listening.port == 0
        assert await answers(address)
    assert not os.path.exists(address.path)


async def test_socket_file_of_a_dead_server_is_replaced(tmp_path):
    address = unix(tmp_path)
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(address.path)
    async with await listen(echo, address):
        assert await answers(address)


async def test_socket_file_of_a_living_server_is_left_alone(tmp_path):
    address = unix(tmp_path)
    async with await listen(echo, address):
        with pytest.raises(ConnectError, match=r"cannot listen at unix:.*: address already in use"):
            await listen(echo, address)
        assert await answers(address)


async def test_other_file_is_never_removed(tmp_path):
    address = unix(tmp_path)
    (tmp_path / "sock").write_text("precious")
    with pytest.raises(ConnectError, match="address already in use"):
        await listen(echo, address)
    assert (tmp_path / "sock").read_text() == "precious"


async def test_socket_file_that_another_has_put_there_is_not_removed(tmp_path):
    address = unix(tmp_path)
    listening = await listen(echo, address)
    os.unlink(address.path)
    async with await listen(echo, address):
        listening.close()
        await listening.wait_closed()
        assert await answers(address)


async def test_socket_file_removed_by_hand_does_no_harm(tmp_path):
    address = unix(tmp_path)
    async with await listen(echo, address):
        os.unlink(address.path)
    assert not os.path.exists(address.path)
    async with await listen(echo, address):
        assert await answers(address)


# ---------------------------------------------------------------------- accepting


async def test_connections_above_the_limit_are_closed_and_counted(caplog):
    caplog.set_level(logging.INFO, "wirelane.net")
    accepting = Accepting(echo)
    async with await listen(accepting, LOOPBACK, admission=Admission(2)) as listening:
        _, one = await dial(Recorder, listening.address)
        _, two = await dial(Recorder, listening.address)
        first, second = await accepting.one(), await accepting.one()
        for _ in range(3):
            _, three = await dial(Recorder, listening.address)
            await three.until_lost()
        assert (listening.connections, listening.accepted, listening.rejected) == (2, 2, 3)
        assert caplog.text.count("is full (max_connections=2)") == 1
        await ended(one, first)
        assert listening.connections == 1
        assert await answers(listening.address)
        await ended(two, second)
        await settle()
        assert listening.connections == 0


async def test_handshakes_count_as_connections(authority):
    tls = authority.server()
    async with await listen(echo, LOOPBACK, tls=tls, admission=Admission(1)) as listening:
        _, silent = await dial(Recorder, listening.address)
        await until(lambda: listening.connections == 1)
        _, other = await dial(Recorder, listening.address)
        await other.until_lost()
        assert listening.rejected == 1
        await ended(silent)
        await until(lambda: listening.connections == 0)


async def test_connections_of_one_peer_are_limited_beside_those_of_others(caplog):
    """Every address of 127.0.0.0/8 is this machine's: clients can come from several."""
    caplog.set_level(logging.INFO, "wirelane.net")
    accepting = Accepting(echo)
    async with await listen(accepting, LOOPBACK, admission=Admission(None, 2)) as listening:
        at = ("127.0.0.1", listening.port)
        clients = [socket.create_connection(at, source_address=("127.0.0.2", 0)) for _ in range(2)]
        servers = [await accepting.one() for _ in clients]
        for _ in range(3):
            with socket.create_connection(at, source_address=("127.0.0.2", 0)) as refused:
                assert await asyncio.to_thread(refused.recv, 1) == b""
        with socket.create_connection(at, source_address=("127.0.0.3", 0)) as other:
            other.sendall(b"hello")
            assert await asyncio.to_thread(other.recv, 5) == b"hello"
            servers.append(await accepting.one())
        assert (listening.accepted, listening.rejected) == (3, 3)
        assert listening.refusals == {"max_connections_per_peer": 3}
        assert caplog.text.count("there are enough of its address (max_connections_per_peer=2)") == 1
        for client in clients:
            client.close()
        await until(lambda: listening.connections == 0)
        with socket.create_connection(at, source_address=("127.0.0.2", 0)) as again:
            again.sendall(b"hello")
            assert await asyncio.to_thread(again.recv, 5) == b"hello"
        servers.append(await accepting.one())
        await ended(*servers)


async def test_a_limit_holds_for_all_listeners_that_share_it():
    admission = Admission(None, 1)
    async with (
        await listen(echo, LOOPBACK, admission=admission) as one,
        await listen(echo, LOOPBACK, admission=admission) as two,
    ):
        _, client = await dial(Recorder, one.address)
        await until(lambda: one.connections == 1)
        _, refused = await dial(Recorder, two.address)
        await refused.until_lost()
        assert (one.rejected, two.rejected, repr(admission)) == (0, 1, "<Admission 1 connections>")
        await ended(client)
        await until(lambda: admission.open == 0)
        assert await answers(two.address)


async def until(condition) -> None:
    while not condition():
        await asyncio.sleep(0)


async def test_accepting_survives_running_out_of_descriptors(monkeypatch, caplog):
    monkeypatch.setattr(listen_module, "_RETRY_ACCEPT", 0.02)
    async with await listen(echo, LOOPBACK) as listening:
        client = socket.create_connection(("127.0.0.1", listening.port))
        limits = resource.getrlimit(resource.RLIMIT_NOFILE)
        fillers: list[int] = []
        try:
            resource.setrlimit(
                resource.RLIMIT_NOFILE, (max(map(int, os.listdir("/proc/self/fd"))) + 8, limits[1])
            )
            with pytest.raises(OSError, match="Too many open files"):
                while True:
                    fillers.append(os.dup(client.fileno()))
            await until(lambda: "pauses for 0.02 s: Too many open files" in caplog.text)
            assert listening.accepted == 0
            await until(lambda: listening._log_sampler.held == 3)
            assert caplog.text.count("pauses for") == 1, "clients must not be able to fill the log"
        finally:
            for filler in fillers:
                os.close(filler)
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        await until(lambda: listening.accepted == 1)
        assert await answers(listening.address)
        client.close()
        await until(lambda: listening.connections == 0)


async def test_closing_while_out_of_descriptors_is_quiet(monkeypatch, caplog):
    async with await listen(echo, LOOPBACK) as listening:
        client = socket.create_connection(("127.0.0.1", listening.port))
        limits = resource.getrlimit(resource.RLIMIT_NOFILE)
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (3, limits[1]))
            await until(lambda: "Too many open files" in caplog.text)
            listening.close()
            await listening.wait_closed()
            caplog.clear()
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        client.close()
        assert (listening.accepted, caplog.text) == (0, "")


async def test_factory_that_raises_costs_one_connection(caplog):
    calls = []

    def factory() -> Recorder:
        calls.append(1)
        if len(calls) == 1:
            raise ZeroDivisionError
        return echo()

    async with await listen(factory, LOOPBACK) as listening:
        _, client = await dial(Recorder, listening.address)
        await client.until_lost()
        assert "could not be opened" in caplog.text
        assert "ZeroDivisionError" in caplog.text
        assert await answers(listening.address)


async def test_factory_that_raises_after_the_handshake_costs_one_connection(authority, caplog):
    def factory() -> Recorder:
        raise ZeroDivisionError

    async with await listen(factory, LOOPBACK, tls=authority.server()) as listening:
        _, client = await dial(Recorder, listening.address, tls=authority.client())
        assert await client.until_lost() is not None
        assert "ZeroDivisionError" in caplog.text
        await settle()
        assert listening.connections == 0


async def test_client_that_is_gone_at_once_does_no_harm():
    accepting = Accepting(echo)
    async with await listen(accepting, LOOPBACK) as listening:
        for _ in range(5):
            sock = socket.create_connection(("127.0.0.1", listening.port))
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            sock.close()
        assert await answers(listening.address)
        await until(lambda: listening.connections == 0)


# ---------------------------------------------------------------------- closing


async def test_close_stops_accepting_and_lets_connections_go_on():
    accepting = Accepting(echo)
    listening = await listen(accepting, LOOPBACK)
    transport, client = await dial(Recorder, listening.address)
    server = await accepting.one()
    waiting = asyncio.create_task(listening.wait_closed())
    await settle()
    assert not waiting.done()
    listening.close()
    listening.close()
    await waiting
    with pytest.raises(ConnectError, match="connection refused"):
        await dial(Recorder, listening.address)
    transport.write(b"still here")
    assert await client.until_received(10) == b"still here"
    assert listening.connections == 1
    await ended(client, server)
    assert listening.connections == 0


async def test_close_cuts_handshakes_that_are_not_over(authority):
    before = descriptors()
    listening = await listen(echo, LOOPBACK, tls=authority.server())
    _, silent = await dial(Recorder, listening.address)
    await until(lambda: listening.connections == 1)
    listening.close()
    await listening.wait_closed()
    await silent.until_lost()
    await descriptors_back(before)
    assert listening.connections == 0


async def test_close_cuts_clients_that_are_being_told_why_their_handshake_failed(authority):
    before = descriptors()
    listening = await listen(echo, LOOPBACK, tls=authority.server())
    _, client = await dial(lambda: Recorder(keep_open=True), listening.address)
    try:
        client.transport.write(b"no TLS at all")
        await client.until(lambda r: r.ended)  # after the alert
        assert (listening.handshakes, listening.connections) == (0, 1)
        listening.close()
        await listening.wait_closed()
        await settle()
        assert listening.connections == 0
    finally:
        await ended(client)
    await descriptors_back(before)


async def test_client_that_is_accepted_while_closing_is_dropped():
    accepting = Accepting(echo)
    listening = await listen(accepting, LOOPBACK)
    sock = socket.create_connection(("127.0.0.1", listening.port))
    await until(lambda: listening.accepted == 1)
    listening.close()
    await listening.wait_closed()
    await settle()
    for server in accepting.made:
        await ended(server)
    sock.close()
    assert listening.connections == 0


async def test_cancelled_wait_closed_changes_nothing():
    async with await listen(echo, LOOPBACK) as listening:
        waiting = asyncio.create_task(listening.wait_closed())
        await settle()
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert await answers(listening.address)


# ---------------------------------------------------------------------- TLS


async def test_client_that_does_not_shake_hands_is_closed_in_time(authority, caplog):
    caplog.set_level(logging.INFO, "wirelane.net")
    async with await listen(echo, LOOPBACK, tls=authority.server(), handshake_timeout=0.05) as listening:
        _, silent = await dial(Recorder, listening.address)
        await silent.until_lost()
        await settle()
        assert listening.connections == 0
        assert listening.failed_handshakes == 1
    assert "did not finish the TLS handshake within 0.05 s" in caplog.text


async def test_client_that_drips_its_hello_is_closed_in_time(authority):
    async with await listen(echo, LOOPBACK, tls=authority.server(), handshake_timeout=0.2) as listening:
        transport, drip = await dial(Recorder, listening.address)
        transport.write(b"\x16\x03\x01\x02\x00")
        while not drip.lost:
            transport.write(b"\x01")
            await asyncio.sleep(0.005)
        await settle()
        assert listening.connections == 0


async def test_changed_certificate_is_taken_for_new_connections(authority, stranger, tmp_path, caplog):
    caplog.set_level(logging.INFO, "wirelane.net")
    path = tmp_path / "server.pem"
    path.write_bytes(authority.issue("localhost", "one.example"))
    async with await listen(echo, LOOPBACK, tls=TlsConfig(cert=path)) as listening:
        assert "one.example" in await names(authority, listening)
        path.write_bytes(authority.issue("localhost", "number.two.example"))
        assert "number.two.example" in await names(authority, listening)
        path.write_bytes(b"half written")
        assert "number.two.example" in await names(authority, listening)
        assert "new certificates cannot be used, the old ones stay" in caplog.text
        path.write_bytes(authority.issue("localhost", "the.third.example"))
        assert "the.third.example" in await names(authority, listening)


async def names(authority, listening) -> list[str]:
    transport, client = await dial(
        Recorder, listening.address, tls=authority.client(), server_name="localhost"
    )
    found = [name for _, name in transport.get_extra_info("peercert")["subjectAltName"]]
    await ended(client)
    return found


@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
async def test_talks_to_an_openssl_client(authority, tmp_path, version):
    (tmp_path / "ca.pem").write_bytes(authority.pem)
    accepting = Accepting(echo)
    async with await listen(accepting, LOOPBACK, tls=authority.server(), alpn=("h2",)) as listening:
        arguments = (
            "-connect",
            str(listening.address),
            "-CAfile",
            tmp_path / "ca.pem",
            "-alpn",
            "h2",
            "-verify_return_error",
        )
        async with openssl("s_client", version, *arguments) as process:
            assert process.stdin is not None
            process.stdin.write(b"are you there\n")
            await read_until(process, rb"ALPN protocol: h2(?s:.*)are you there")
            server = await accepting.one()
            assert server.transport.get_extra_info("alpn") == "h2"
            process.stdin.write(b"Q\n")  # quit: close_notify, then FIN
            assert await server.until_lost() is None
            assert server.ended


@pytest.mark.parametrize("offer", [(), ("-alpn", "http/1.1")], ids=["nothing", "http/1.1"])
async def test_openssl_client_without_the_required_protocol_is_closed_and_logged_once(
    authority, tmp_path, caplog, offer
):
    """As grpc-go does by default (GRPC_ENFORCE_ALPN_ENABLED): no protocol is ever made for such a client."""
    caplog.set_level(logging.INFO, logger="wirelane.net")
    (tmp_path / "ca.pem").write_bytes(authority.pem)
    accepting = Accepting(echo)
    required = {"tls": authority.server(), "alpn": ("h2",), "alpn_required": True}
    async with await listen(accepting, LOOPBACK, **required) as listening:
        for _ in range(2):
            arguments = ("-connect", str(listening.address), "-CAfile", tmp_path / "ca.pem", *offer)
            async with openssl("s_client", *arguments) as process:
                await read_until(process, rb"No ALPN negotiated")
                await process.wait()
        assert (accepting.made, listening.failed_handshakes) == ([], 2)
    (record,) = [record for record in caplog.records if "did not offer h2 (ALPN)" in record.getMessage()]
    assert record.levelno == logging.INFO


async def test_client_with_the_required_protocol_is_served(authority):
    """Beside those that are closed."""
    required = {"tls": authority.server(), "alpn": ("h2",), "alpn_required": True}
    async with await listen(echo, LOOPBACK, **required) as listening:
        transport, client = await dial(Recorder, listening.address, tls=authority.client())
        await client.until_lost()
        transport, client = await dial(Recorder, listening.address, tls=authority.client(), alpn=("h2",))
        transport.write(b"hello")
        assert await client.until_received(5) == b"hello"
        await ended(client)


async def test_a_client_in_the_kernels_queue_is_served_by_a_listener_that_closes_and_finishes():
    """It has connected, and does not know that nobody has accepted it."""
    before = descriptors()
    listening = await listen(echo, LOOPBACK)
    with socket.create_connection(("127.0.0.1", listening.port)) as queued:
        assert listening.connections == 0
        listening.close(finish=True)
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", listening.port)
        queued.sendall(b"hello")
        assert await asyncio.to_thread(queued.recv, 5) == b"hello"
        await listening.wait_closed()
    await descriptors_back(before)
    assert listening.connections == 0


async def test_a_handshake_goes_on_when_the_listener_closes_and_finishes(authority):
    """Until the listener is closed for good, which cuts it."""
    accepting = Accepting(echo)
    listening = await listen(accepting, LOOPBACK, tls=authority.server())
    with socket.create_connection(("127.0.0.1", listening.port)) as slow:
        _transport, client = await dial(Recorder, listening.address, tls=authority.client())
        listening.close(finish=True)
        closed = asyncio.create_task(listening.wait_closed())
        await settle()
        assert not closed.done()
        context = authority.client().client_context()
        with await asyncio.to_thread(context.wrap_socket, slow, server_hostname="127.0.0.1") as secured:
            await asyncio.to_thread(secured.sendall, b"hello")
            assert await asyncio.to_thread(secured.recv, 5) == b"hello"
        await closed
    await ended(client)


async def test_a_silent_handshake_is_cut_when_the_listener_is_closed_for_good(authority):
    """Finishing is a favour, and may be ended at any time."""
    listening = await listen(echo, LOOPBACK, tls=authority.server())
    with socket.create_connection(("127.0.0.1", listening.port)) as silent:
        listening.close(finish=True)
        closed = asyncio.create_task(listening.wait_closed())
        await settle()
        assert not closed.done()
        listening.close()
        await closed
        assert await asyncio.to_thread(silent.recv, 1) == b""


async def test_openssl_client_that_is_killed_is_a_lost_connection(authority, tmp_path):
    accepting = Accepting(echo)
    async with await listen(accepting, LOOPBACK, tls=authority.server()) as listening:
        async with openssl("s_client", "-connect", str(listening.address)) as process:
            server = await accepting.one()
            process.kill()
            assert isinstance(await server.until_lost(), ConnectionLost | ConnectionResetError)


async def test_context_of_the_user_is_accepted(authority):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.ca.issue_cert("localhost", "127.0.0.1").configure_cert(context)
    async with await listen(echo, LOOPBACK, tls=context, alpn=("h2",)) as listening:
        assert repr(listening) == f"<Listening {listening.address} TLS 0 connections>"
        transport, client = await dial(Recorder, listening.address, tls=authority.client(), alpn=("h2",))
        assert transport.get_extra_info("alpn") == "h2"
        await ended(client)
