"""The options that several verbs share, and the values they become.

Each group is a frozen dataclass whose fields are the names of its options; the decorator of the same name adds the
options to a verb and hands it the group as one argument.
"""

from __future__ import annotations

import base64
import binascii
import functools
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Final

import click

from wirelane.errors import UsageError

if TYPE_CHECKING:
    from wirelane.codec import Schema
    from wirelane.core.limits import Limits
    from wirelane.net.options import SocketOptions
    from wirelane.net.tls import TlsConfig

__all__ = [
    "ConnectionOptions",
    "HeaderOptions",
    "OutputOptions",
    "SchemaOptions",
    "Seconds",
    "connection_options",
    "header_options",
    "output_options",
    "parse_headers",
    "schema_options",
    "verbose_option",
]

Function = Callable[..., Any]
Headers = list[tuple[str, str | bytes]]

_DURATION: Final = re.compile(r"(\d{1,9}(?:\.\d*)?|\.\d+)(ms|s|m|h)?")
_UNITS: Final = {None: 1.0, "ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


if TYPE_CHECKING:
    _ParamType = click.ParamType[float]
else:  # generic since click 8.5
    _ParamType = click.ParamType


class Seconds(_ParamType):
    """A time: plain seconds, or a number with ms, s, m or h."""

    name = "seconds"

    def get_metavar(self, param: click.Parameter, ctx: click.Context | None = None) -> str:
        return "SECONDS"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        if isinstance(value, float):
            return value
        match = _DURATION.fullmatch(str(value).strip())
        if match is None:
            self.fail(f"{value!r} is no time; write seconds, or a number with ms, s, m or h", param, ctx)
        return float(match[1]) * _UNITS[match[2]]


def _group(
    kind: type[Any], name: str, options: Sequence[Callable[[Function], Function]]
) -> Callable[[Function], Function]:
    """Return the decorator that adds options to a verb and gives them to it as one `kind`."""

    def decorate(function: Function) -> Function:
        @functools.wraps(function)
        def gathered(**values: Any) -> Any:
            values[name] = kind(**{field.name: values.pop(field.name) for field in fields(kind)})
            return function(**values)

        decorated: Function = gathered
        for option in reversed(options):
            decorated = option(decorated)
        return decorated

    return decorate


# ------------------------------------------------------------------------------------------------ schema


@dataclass(frozen=True, slots=True)
class SchemaOptions:
    """Where services and messages are described."""

    proto: tuple[str, ...]
    import_path: tuple[str, ...]
    protoset: tuple[str, ...]
    reflection: bool
    service: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.reflection and self.from_files:
            raise UsageError(
                "--reflection asks the server, --proto and --protoset do not: give one or the other"
            )
        if self.service and (self.proto or self.protoset):
            raise UsageError("--service is a schema by itself: leave --proto and --protoset out")

    @property
    def from_files(self) -> bool:
        """Whether the schema comes from files or from Python, and the server is not asked."""
        return bool(self.proto or self.protoset or self.service)

    def load(self) -> Schema | None:
        """Return the schema of the files, None if the server is to be asked. Blocks.

        Raises:
            SchemaError: A file is missing or does not compile.
        UsageError: There is no such service in Python.
        """
        if not self.from_files:
            return None
        if self.service:
            from wirelane.cli.services import load_services

            return load_services(self.service)
        from wirelane.codec import Schema

        return Schema.load([*self.proto, *self.protoset], import_paths=self.import_path)


schema_options: Final = _group(
    SchemaOptions,
    "schema",
    [
        click.option(
            "--proto",
            multiple=True,
            metavar="FILE",
            help="A .proto file, a directory of them, or a URL. Repeatable.",
        ),
        click.option(
            "-I",
            "--import-path",
            multiple=True,
            metavar="DIR",
            help="Where imports are looked for. Repeatable.",
        ),
        click.option("--protoset", multiple=True, metavar="FILE", help="A descriptor set. Repeatable."),
        click.option(
            "--service",
            multiple=True,
            metavar="MODULE[:NAME]",
            help="A grpc.Service or grpc.Server of a Python module. Repeatable.",
        ),
        click.option("--reflection", is_flag=True, help="Ask the server; the default without a file."),
    ],
)


# -------------------------------------------------------------------------------------------- connection


@dataclass(frozen=True, slots=True)
class ConnectionOptions:
    """How to connect, with TLS or without."""

    plaintext: bool
    tls: bool
    insecure: bool
    cacert: str | None
    cert: str | None
    key: str | None
    server_name: str | None
    proxy: tuple[str, ...]
    local_address: str | None
    connect_timeout: float

    def __post_init__(self) -> None:
        asked = self._asks_for_tls()
        if self.plaintext and asked:
            raise UsageError(f"--plaintext is without TLS, and {asked[0]} is for TLS: give one or the other")
        if self.insecure and self.cacert:
            raise UsageError(
                "--insecure verifies nothing, and --cacert is for verifying: give one or the other"
            )
        if self.key and not self.cert:
            raise UsageError("--key needs --cert")
        if not self.connect_timeout > 0:
            raise UsageError("--connect-timeout must be more than 0")

    def _asks_for_tls(self) -> list[str]:
        given = {
            "--tls": self.tls,
            "--insecure": self.insecure,
            "--cacert": self.cacert,
            "--cert": self.cert,
            "--key": self.key,
            "--server-name": self.server_name,
        }
        return [option for option, value in given.items() if value]

    def tls_settings(self) -> TlsConfig | bool | None:
        """Return what the library takes as `tls=`: settings, False, or None for what the address says."""
        if self.plaintext:
            return False
        if not self._asks_for_tls():
            return None
        from wirelane.net.tls import TlsConfig

        return TlsConfig(
            ca=self.cacert,
            cert=self.cert,
            key=self.key,
            server_name=self.server_name,
            verify=not self.insecure,
        )

    def proxies(self) -> str | tuple[str, ...] | None:
        """Return what the library takes as `proxy=`."""
        return self.proxy[0] if len(self.proxy) == 1 else self.proxy or None

    def way(self) -> str:
        """Return what a message says about the way to the server; empty for a direct one."""
        if not self.proxy:
            return ""
        from wirelane.net.proxy import resolve_proxy

        return f" (proxy: {resolve_proxy(self.proxies())})"

    def socket(self) -> SocketOptions | None:
        """Return the settings of the socket; None for the defaults."""
        if self.local_address is None:
            return None
        from wirelane.net.options import SocketOptions

        return SocketOptions(local_address=self.local_address)

    def limits(self) -> Limits:
        """Return the library's limits, with the time for connecting."""
        from wirelane.core.limits import Limits

        return Limits(connect_timeout=self.connect_timeout)


connection_options: Final = _group(
    ConnectionOptions,
    "connection",
    [
        click.option(
            "--plaintext", is_flag=True, help="Without TLS: the default, unless the address says https or so."
        ),
        click.option("--tls", is_flag=True, help="With TLS, verified; implied by the options below."),
        click.option(
            "-k", "--insecure", is_flag=True, help="With TLS, without verifying the server: for tests only."
        ),
        click.option("--cacert", metavar="FILE", help="Trust these certificates instead of the system's."),
        click.option("--cert", metavar="FILE", help="Our own certificate, for mutual TLS."),
        click.option("--key", metavar="FILE", help="Its private key."),
        click.option("--server-name", metavar="NAME", help="The name that the certificate must have."),
        click.option(
            "--proxy",
            multiple=True,
            metavar="URL|env",
            help="Go through socks5://user:pw@host:port, socks4, socks4a, socks5h, http or https; twice for a chain of two. "
            "env: what HTTPS_PROXY, ALL_PROXY and NO_PROXY say.",
        ),
        click.option(
            "--local-address", metavar="IP[:PORT]", help="Where the connection comes from on this machine."
        ),
        click.option(
            "--connect-timeout", type=Seconds(), default=10.0, show_default=True, help="For connecting."
        ),
    ],
)


@dataclass(frozen=True, slots=True)
class HeaderOptions:
    """What goes along with calls, and for how long they may take."""

    header: tuple[str, ...]
    rpc_header: tuple[str, ...]
    reflect_header: tuple[str, ...]
    authority: str | None
    max_time: float | None


header_options: Final = _group(
    HeaderOptions,
    "headers",
    [
        click.option(
            "-H",
            "--header",
            multiple=True,
            metavar="'NAME: VALUE'",
            help="Metadata; values of -bin names in base64. Repeatable.",
        ),
        click.option(
            "--rpc-header", multiple=True, metavar="'NAME: VALUE'", help="The same, not for reflection."
        ),
        click.option(
            "--reflect-header", multiple=True, metavar="'NAME: VALUE'", help="The same, for reflection alone."
        ),
        click.option("--authority", metavar="NAME", help="What :authority says instead of the address."),
        click.option("--max-time", type=Seconds(), help="For all of it; the call's deadline."),
    ],
)


def parse_headers(given: Sequence[str], option: str) -> Headers:
    """Return the pairs of `name: value` texts.

    Raises:
        UsageError: One has no colon, or the value of a -bin name is no base64.
    """
    return [_parse_header(text, option) for text in given]


def _parse_header(text: str, option: str) -> tuple[str, str | bytes]:
    name, colon, value = text.partition(":")
    name, value = name.strip().lower(), value.strip()
    if not colon or not name:
        raise UsageError(f"{option} {text!r} is no header: write 'name: value'")
    if not name.endswith("-bin"):
        return name, value
    plain = value.rstrip("=")
    try:
        return name, base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)
    except binascii.Error:
        raise UsageError(f"{option}: the value of {name!r} must be base64, because of its -bin") from None


# ------------------------------------------------------------------------------------------------ output


@dataclass(frozen=True, slots=True)
class OutputOptions:
    """How replies are printed."""

    compact: bool
    emit_defaults: bool
    json_names: bool
    envelope: bool


output_options: Final = _group(
    OutputOptions,
    "output",
    [
        click.option("--compact", is_flag=True, help="One message per line."),
        click.option("--emit-defaults", is_flag=True, help="Also the fields that have their default value."),
        click.option(
            "--json-names", is_flag=True, help="lowerCamelCase names, not those of the .proto file."
        ),
        click.option(
            "--envelope", is_flag=True, help="One object with headers, messages, trailers and status."
        ),
    ],
)

verbose_option: Final = click.option(
    "-v", "--verbose", is_flag=True, help="Tell on standard error what is done, sent and received."
)
