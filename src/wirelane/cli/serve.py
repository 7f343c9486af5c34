"""`wirelane serve`: the demo server, until Ctrl-C or SIGTERM."""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING

import click

from wirelane.cli.style import style
from wirelane.cli.verb import Verb
from wirelane.core.target import Address, HostPort
from wirelane.errors import UsageError

if TYPE_CHECKING:
    from wirelane.cli.demo.server import DemoServer

__all__ = ["command"]

_EXAMPLES = """
Examples:
  wirelane serve
  wirelane serve --port 0 --tcp-port 0 --tls-port 0 -v
  wirelane serve --host 0.0.0.0 --cert server.pem --key server.key --cacert clients.pem
"""

_PORT = click.IntRange(0, 65535)


@click.command("serve", cls=Verb, epilog=_EXAMPLES)
@click.option(
    "--host", default="127.0.0.1", show_default=True, help="Where to listen; '' is every interface."
)
@click.option("--port", type=_PORT, default=50051, show_default=True, help="gRPC; 0 picks a free port.")
@click.option("--tls-port", type=_PORT, default=50052, show_default=True, help="gRPC over TLS.")
@click.option("--tcp-port", type=_PORT, default=4242, show_default=True, help="TCP echo.")
@click.option("--cert", metavar="FILE", help="The certificate for TLS; without it one is made for localhost.")
@click.option("--key", metavar="FILE", help="Its private key.")
@click.option(
    "--cacert", metavar="FILE", help="Clients of the TLS port must show a certificate signed by one of these."
)
@click.option("-v", "--verbose", is_flag=True, help="Tell of every call.")
def command(
    *,
    host: str,
    port: int,
    tls_port: int,
    tcp_port: int,
    cert: str | None,
    key: str | None,
    cacert: str | None,
    verbose: bool,
) -> int:
    """Run the demo server: gRPC, gRPC over TLS, and TCP echo.

    It has reflection and health, and the services Summator, Greeter and wirelane.demo.Everything. Ctrl-C or SIGTERM
    ends it: calls in flight may finish; a second one ends it at once.
    """
    from wirelane._run import run
    from wirelane.cli.demo.server import DemoServer

    if key and not cert:
        raise UsageError("--key needs --cert")
    if verbose:
        logging.basicConfig(
            stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S"
        )
        logging.getLogger("asyncio").setLevel(logging.WARNING)
    server = DemoServer(
        host, port=port, tls_port=tls_port, tcp_port=tcp_port, cert=cert, key=key, client_ca=cacert
    )
    run(_serve(server))
    return 0


async def _serve(server: DemoServer) -> None:
    from wirelane.net.signals import stop_signals

    with stop_signals() as signals:
        async with server:
            signals.again = server.abort
            _announce(server)
            await signals.stopped.wait()
            _say("stopping: calls in flight may finish; once more ends them")
    _say("stopped")


def _announce(server: DemoServer) -> None:
    addresses = server.addresses
    _say(f"gRPC           {_shown(addresses.grpc)}")
    if addresses.tls is not None:
        trust = f"trust {server.ca_file}" if server.ca_file else "with your certificate"
        clients = ", clients need a certificate" if server.client_ca else ""
        _say(f"gRPC over TLS  {_shown(addresses.tls)}  ({trust}{clients})")
    if addresses.tcp is not None:
        _say(f"TCP echo       {_shown(addresses.tcp)}")
    _say("")
    _say("Try, in another terminal:")
    for line in _suggestions(server):
        _say(f"  {line}")
    _say("")
    _say(style("Ctrl-C ends it.", "dim", sys.stderr))


def _suggestions(server: DemoServer) -> list[str]:
    addresses = server.addresses
    plain = _reachable(addresses.grpc)
    lines = [
        f"wirelane list {plain}",
        f"wirelane describe {plain} wirelane.demo.Everything",
        f"""wirelane call {plain} Summator/sum -d '{{"value1": 5, "value2": 3}}'""",
        f"""wirelane call {plain} wirelane.demo.Everything/ServerStream -d '{{"count": 3}}' --compact""",
    ]
    if addresses.tls is not None and server.ca_file is not None and server.client_ca is None:
        lines.append(f"wirelane call {_reachable(addresses.tls)} Greeter/SayHello --cacert {server.ca_file}")
    if addresses.tcp is not None:
        lines.append(f"wirelane tcp {_reachable(addresses.tcp)} -d 'Echo this!'")
    return lines


def _reachable(address: Address) -> str:
    """Return the address as a client on this machine would write it."""
    if isinstance(address, HostPort) and address.host in {"", "0.0.0.0", "::"}:  # noqa: S104  (compared, not bound)
        return f"localhost:{address.port}"
    return str(address)


def _shown(address: Address) -> str:
    return style(str(address), "bold", sys.stderr)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
