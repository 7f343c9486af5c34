"""`python -m wirelane.testing.interop server|client`: see the package's docstring."""

from __future__ import annotations

import argparse
import asyncio
import re
import sys
from typing import TYPE_CHECKING, Any, Final

from wirelane._run import run
from wirelane.errors import UsageError, WirelaneError
from wirelane.grpc import Channel, ChannelOptions
from wirelane.net.signals import stop_signals
from wirelane.net.tls import TlsConfig
from wirelane.testing.interop.cases import CASES
from wirelane.testing.interop.server import interop_schema, make_server
from wirelane.testing.interop.soak import SOAKS, SoakSettings

if TYPE_CHECKING:
    from collections.abc import Awaitable, Sequence

    from wirelane.testing.interop.soak import Dial

__all__ = ["main"]

_NAMES: Final = (*CASES, *SOAKS)
_CASE_TIMEOUT: Final = 180.0  # seconds; that of the official runner (tools/run_tests/run_interop_tests.py)


def _boolean(text: str) -> bool:
    """The official programs take `--use_tls`, `--use_tls=true` and `--use_tls true`."""
    if text.lower() in ("true", "1", "yes"):
        return True
    if text.lower() in ("false", "0", "no"):
        return False
    raise argparse.ArgumentTypeError(f"true or false, not {text!r}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m wirelane.testing.interop", description="gRPC interoperability tests"
    )
    modes = parser.add_subparsers(dest="mode", required=True)
    flag: dict[str, Any] = {"type": _boolean, "nargs": "?", "const": True, "default": False}

    server = modes.add_parser("server", help="serve grpc.testing.TestService", allow_abbrev=False)
    server.add_argument("--port", type=int, default=10_000, help="0: a free one, which is printed")
    server.add_argument("--host", default="127.0.0.1", help="address to listen on (default: 127.0.0.1)")
    server.add_argument("--use_tls", **flag)
    server.add_argument("--tls_cert_file", help="certificate chain, PEM")
    server.add_argument("--tls_key_file", help="private key, PEM")
    server.add_argument("--tls_client_ca_file", help="require client certificates of this CA (mutual TLS)")

    client = modes.add_parser("client", help="run test cases against a server", allow_abbrev=False)
    client.add_argument("--server_host", default="localhost")
    client.add_argument("--server_port", type=int, default=10_000)
    client.add_argument(
        "--server_host_override", help="the name to expect in the certificate, and to send as :authority"
    )
    client.add_argument(
        "--test_case",
        default="large_unary",
        metavar="NAME[,NAME...]",
        help=f"'all', or of: {', '.join(_NAMES)}",
    )
    client.add_argument("--use_tls", **flag)
    client.add_argument("--use_test_ca", **flag, help="trust the CA of --ca_file, and no other")
    client.add_argument("--ca_file", help="certificates to trust, PEM; without it, the system's")
    client.add_argument("--tls_cert_file", help="client certificate, PEM (mutual TLS)")
    client.add_argument("--tls_key_file", help="its private key, PEM")
    _add_soak_flags(client.add_argument_group("the soak cases, as grpc-go's client takes them"))
    return parser


def _add_soak_flags(group: argparse._ArgumentGroup) -> None:
    usual = SoakSettings()
    group.add_argument("--soak_iterations", type=int, default=usual.iterations)
    group.add_argument("--soak_max_failures", type=int, default=usual.max_failures)
    group.add_argument(
        "--soak_per_iteration_max_acceptable_latency_ms", type=int, default=int(usual.max_latency * 1000)
    )
    group.add_argument("--soak_overall_timeout_seconds", type=int, default=int(usual.overall_timeout))
    group.add_argument("--soak_min_time_ms_between_rpcs", type=int, default=0)
    group.add_argument("--soak_request_size", type=int, default=usual.request_size)
    group.add_argument("--soak_response_size", type=int, default=usual.response_size)
    group.add_argument("--soak_num_threads", type=int, default=usual.num_threads)


def _soak_settings(arguments: argparse.Namespace) -> SoakSettings:
    return SoakSettings(
        iterations=arguments.soak_iterations,
        max_failures=arguments.soak_max_failures,
        max_latency=arguments.soak_per_iteration_max_acceptable_latency_ms / 1000,
        overall_timeout=arguments.soak_overall_timeout_seconds,
        min_time_between_rpcs=arguments.soak_min_time_ms_between_rpcs / 1000,
        request_size=arguments.soak_request_size,
        response_size=arguments.soak_response_size,
        num_threads=arguments.soak_num_threads,
    )


def _with_two_dashes(argument: str) -> str:
    """Go's flags may be written with one dash."""
    return f"-{argument}" if re.match(r"-[a-z_]{2}", argument) else argument


def _address(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


async def _serve(arguments: argparse.Namespace) -> int:
    tls = None
    if arguments.use_tls:
        if not (arguments.tls_cert_file and arguments.tls_key_file):
            return _misused("--use_tls needs --tls_cert_file and --tls_key_file")
        tls = TlsConfig(
            cert=arguments.tls_cert_file, key=arguments.tls_key_file, ca=arguments.tls_client_ca_file
        )
    server = make_server(tls)
    with stop_signals() as signals:
        async with server.listen(_address(arguments.host, arguments.port)) as listening:
            signals.again = server.abort
            print(f"listening on port {listening.port}", flush=True)
            await signals.stopped.wait()
    return 0


async def _check(arguments: argparse.Namespace) -> int:
    names = _NAMES if arguments.test_case == "all" else arguments.test_case.split(",")
    for name in names:
        if name not in _NAMES:
            return _misused(f"unknown test case {name!r}; known are {', '.join(_NAMES)}")
    if arguments.use_test_ca and not arguments.ca_file:
        return _misused(
            "--use_test_ca needs --ca_file: the test CA of the official programs is not part of this one"
        )
    try:
        soak = _soak_settings(arguments)
    except UsageError as error:
        return _misused(str(error))
    dial = _dialler(arguments)
    async with dial() as channel:
        await channel.connect()
        passed = [
            await _passes(name, SOAKS[name](dial, soak) if name in SOAKS else CASES[name](channel))
            for name in names
        ]
    return 0 if all(passed) else 1


def _dialler(arguments: argparse.Namespace) -> Dial:
    tls: TlsConfig | bool = False
    if arguments.use_tls:
        tls = TlsConfig(ca=arguments.ca_file, cert=arguments.tls_cert_file, key=arguments.tls_key_file)
    override = arguments.server_host_override or None
    address = _address(arguments.server_host, arguments.server_port)
    options = ChannelOptions(server_name=override, authority=override)
    schema = interop_schema()
    return lambda: Channel(address, schema=schema, tls=tls, options=options)


async def _passes(name: str, case: Awaitable[None]) -> bool:
    try:
        async with asyncio.timeout(_CASE_TIMEOUT):
            await case
    except (AssertionError, WirelaneError) as error:
        _say(f"{name}: FAILED: {type(error).__name__}: {error}")
        return False
    except TimeoutError:
        _say(f"{name}: FAILED: not over after {_CASE_TIMEOUT:g} s")
        return False
    _say(f"{name}: passed")
    return True


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _misused(text: str) -> int:
    _say(text)
    return 2


def main(argv: Sequence[str] | None = None) -> int:
    """Run one of the programs; returns its exit status."""
    given = sys.argv[1:] if argv is None else argv
    arguments = _parser().parse_args([_with_two_dashes(argument) for argument in given])
    try:
        return run(_serve(arguments) if arguments.mode == "server" else _check(arguments))
    except (WirelaneError, OSError) as error:
        _say(str(error))
        return 1


if __name__ == "__main__":
    sys.exit(main())
