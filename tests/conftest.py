"""What every test gets: certificates, a private cache, no proxies from outside, and a check that nothing leaks.

After each asynchronous test, its fixtures included, no task may be left in the loop; sockets, transports and loops
that were dropped without being closed warn as they are collected, and warnings are errors (see pyproject.toml).
`--loop=uvloop` runs the same suite on uvloop.
"""

from __future__ import annotations

import asyncio
import gc
import inspect
import logging
import os
import ssl
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import hypothesis
import pytest
import trustme

# No test depends on speed: a machine that is busy with something else is not a failure.
hypothesis.settings.register_profile("wirelane", deadline=None)
hypothesis.settings.load_profile("wirelane")

# A cleanly closed connection still needs a few turns of the loop for its connection_lost; a leaked task needs more
# than any number of them.
_TURNS_TO_SETTLE = 20

_PROXY_VARIABLES = ("http_proxy", "https_proxy", "all_proxy", "grpc_proxy", "no_proxy")


@dataclass(frozen=True)
class Certificates:
    """One certificate authority with a server's and a client's certificate, all as PEM files.

    The server's certificate is good for localhost, 127.0.0.1, ::1 and example.test; the client's for a client named
    client@example.test. A certificate file holds the whole chain; `server_pem` and `client_pem` hold key and chain.
    """

    authority: trustme.CA
    ca: Path
    server_cert: Path
    server_key: Path
    client_cert: Path
    client_key: Path

    def server_context(
        self, alpn: tuple[str, ...] = (), *, client_certificates: bool = False
    ) -> ssl.SSLContext:
        """Return a server's context; with `client_certificates`, clients must show one of this authority."""
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(self.server_cert, self.server_key)
        if client_certificates:
            context.load_verify_locations(self.ca)
            context.verify_mode = ssl.CERT_REQUIRED
        if alpn:
            context.set_alpn_protocols(list(alpn))
        return context

    def client_context(self, alpn: tuple[str, ...] = (), *, certificate: bool = False) -> ssl.SSLContext:
        """Return a client's context that trusts this authority; with `certificate`, it shows the client's own."""
        context = ssl.create_default_context(cafile=str(self.ca))
        if certificate:
            context.load_cert_chain(self.client_cert, self.client_key)
        if alpn:
            context.set_alpn_protocols(list(alpn))
        return context


def _issue(directory: Path, name: str) -> Certificates:
    authority = trustme.CA(organization_name=name)
    server = authority.issue_cert("localhost", "127.0.0.1", "::1", "example.test")
    client = authority.issue_cert("client@example.test")
    paths = {
        part: directory / f"{part}.pem"
        for part in ("ca", "server_cert", "server_key", "client_cert", "client_key")
    }
    authority.cert_pem.write_to_path(paths["ca"])
    for leaf, part in ((server, "server"), (client, "client")):
        leaf.private_key_pem.write_to_path(paths[f"{part}_key"])
        for blob in leaf.cert_chain_pems:
            blob.write_to_path(paths[f"{part}_cert"], append=True)
    return Certificates(authority, **paths)


@pytest.fixture(scope="session")
def ca(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """Return the certificates that the tests trust."""
    return _issue(tmp_path_factory.mktemp("ca"), "wirelane tests")


@pytest.fixture(scope="session")
def other_ca(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """Return certificates of an authority that nobody trusts."""
    return _issue(tmp_path_factory.mktemp("other_ca"), "somebody else")


@pytest.fixture(scope="session", autouse=True)
def _private_surroundings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep the user's cache and proxies out of the tests, and of the programs that the tests start."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WIRELANE_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("xdg-cache")))
        for name in [name for name in os.environ if name.lower() in _PROXY_VARIABLES]:
            patch.delenv(name)
        yield


def _not_of_grpcio(record: logging.LogRecord) -> bool:
    error = record.exc_info[1] if record.exc_info else None
    late = isinstance(error, RuntimeError) and str(error) == "Event loop is closed"
    return not (late and "PollerCompletionQueue._handle_events" in record.getMessage())


@pytest.fixture(scope="session", autouse=True)
def _late_events_of_grpcio() -> Iterator[None]:
    """Keep one thing that grpcio does out of the log of whatever test runs then.

    Its one queue for all loops hands an event of an earlier test to that test's loop, which is closed.
    """
    logger = logging.getLogger("asyncio")
    logger.addFilter(_not_of_grpcio)
    yield
    logger.removeFilter(_not_of_grpcio)


@pytest.fixture
async def _no_leaks() -> AsyncIterator[None]:
    """Fail an asynchronous test that leaves a task in its loop, or a transport that nobody closed."""
    before = asyncio.all_tasks()
    # What is older than this test is not looked at again: a full collection after each of thousands of tests would
    # otherwise take longer than the tests.
    gc.freeze()
    yield
    for _ in range(_TURNS_TO_SETTLE):
        left = asyncio.all_tasks() - before - {asyncio.current_task()}
        # grpc.aio ends tasks of its calls some time after the calls; they are not ours to wait for.
        left = {task for task in left if "_AioCall." not in repr(task)}
        if not left:
            break
        await asyncio.sleep(0)
    # What was dropped unclosed warns now, inside the test that dropped it, not in some later one.
    gc.collect()
    assert not left, f"the test left {len(left)} task(s) behind: " + "; ".join(map(repr, left))


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--loop", choices=("asyncio", "uvloop"), default="asyncio", help="the event loop to test on"
    )


def pytest_asyncio_loop_factories(
    config: pytest.Config,
) -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Give pytest-asyncio the one loop that was asked for."""
    if config.getoption("--loop") == "uvloop":
        import uvloop

        return {"uvloop": uvloop.new_event_loop}
    return {"asyncio": asyncio.new_event_loop}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the leak check around the fixtures of every asynchronous test: first set up, last torn down."""
    for item in items:
        function = getattr(item, "function", None)
        function = getattr(getattr(function, "hypothesis", None), "inner_test", function)
        if inspect.iscoroutinefunction(function) and isinstance(item, pytest.Function):
            item.fixturenames.insert(0, "_no_leaks")


def pytest_collection_finish() -> None:
    """Set aside all that was imported so far, so that collecting garbage after each test costs next to nothing."""
    gc.collect()
    gc.freeze()
