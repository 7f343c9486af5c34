"""`wirelane call`: one call of any of the four kinds.

Requests are JSON documents, replies are printed as they come. Where many requests are taken, each is sent when its
document is complete, and replies do not wait for the last one.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from wirelane.cli.complete import complete_method
from wirelane.cli.details import ask_for_details
from wirelane.cli.documents import Documents, open_documents
from wirelane.cli.errors import DataError, exit_code, report_status
from wirelane.cli.options import (
    ConnectionOptions,
    HeaderOptions,
    OutputOptions,
    SchemaOptions,
    connection_options,
    header_options,
    output_options,
    parse_headers,
    schema_options,
    verbose_option,
)
from wirelane.cli.output import Printer, printer
from wirelane.cli.session import Log, Session
from wirelane.cli.verb import Verb
from wirelane.core.method import Cardinality
from wirelane.errors import CodecError, RpcError
from wirelane.status import StatusCode

if TYPE_CHECKING:
    from wirelane.codec import Schema
    from wirelane.core.metadata import Metadata
    from wirelane.grpc import Channel
    from wirelane.schema import MethodInfo

__all__ = ["command"]

_EXAMPLES = """
Examples:
  wirelane call localhost:50051 Summator/sum -d '{"value1": 5, "value2": 3}'
  wirelane call localhost:50051 pkg.Service/Method -d @request.json -H 'authorization: Bearer x'
  wirelane call localhost:50051 wirelane.demo.Everything/BidiEcho -d '{"f_int32": 1} {"f_int32": 2}'
  generate | wirelane call localhost:50051 pkg.Service/Upload -d @- --compact
  wirelane call grpcs://api.example.com:443 pkg.Service/Method --proto api.proto -I protos/
  wirelane call localhost:50051 pkg.Service/Method --envelope | jq .status

A call that fails prints ERROR and its status, and exits with 64 + the status (69: NOT_FOUND).
"""


@click.command("call", cls=Verb, epilog=_EXAMPLES)
@click.argument("target", metavar="HOST:PORT")
@click.argument("method", metavar="PKG.SERVICE/METHOD", shell_complete=complete_method)
@click.option(
    "-d",
    "--data",
    metavar="JSON|@FILE|@-",
    help="The request; for methods that take many, one after another. Without it: an empty one.",
)
@schema_options
@connection_options
@header_options
@output_options
@verbose_option
def command(
    *,
    target: str,
    method: str,
    data: str | None,
    schema: SchemaOptions,
    connection: ConnectionOptions,
    headers: HeaderOptions,
    output: OutputOptions,
    verbose: bool,
) -> int:
    """Call a method of any of the four kinds, with JSON.

    The schema comes from the server's reflection, or from --proto or --protoset. Without TLS unless an option or
    the address (https://, grpcs://) asks for it. Replies go to standard output, everything else to standard error.
    """
    from wirelane._run import run

    documents = open_documents(data)
    session = Session(target, schema, connection, headers, Log(verbose=verbose))
    session.load_files()
    if session.files is not None:
        session.files.find_method(method)
    return run(_connect_and_call(session, method, documents, output))


async def _connect_and_call(
    session: Session, method: str, documents: Documents, output: OutputOptions
) -> int:
    async with session.channel(method) as (channel, schema):
        call = _Call(session, channel, schema, schema.find_method(method), documents, output)
        call.tell_what_is_called()
        return await call.run()


@dataclass(slots=True)
class _Call:
    session: Session
    channel: Channel
    schema: Schema
    info: MethodInfo
    documents: Documents
    output: OutputOptions
    sent: int = 0
    received: int = 0

    def tell_what_is_called(self) -> None:
        info, log = self.info, self.session.log
        client, server = (
            "stream " if streaming else ""
            for streaming in (info.cardinality.client_streaming, info.cardinality.server_streaming)
        )
        log.line("*", f"{info.full_name}({client}{info.input_type}) returns ({server}{info.output_type})")
        log.metadata(">", self.channel.metadata.merged(self.metadata()))

    def metadata(self) -> list[tuple[str, str | bytes]]:
        return parse_headers(self.session.headers.rpc_header, "--rpc-header")

    async def run(self) -> int:
        out = printer(self.output)
        forms = {
            Cardinality.UNARY: self.unary,
            Cardinality.SERVER_STREAM: self.server_stream,
            Cardinality.CLIENT_STREAM: self.client_stream,
            Cardinality.BIDI_STREAM: self.bidi_stream,
        }
        try:
            trailers = await forms[self.info.cardinality](out)
        except RpcError as error:
            if not self.received:
                self.session.log.metadata("<", error.initial_metadata)
            details = await ask_for_details(error.details, self.schema, self.session, self.channel)
            self.ended(out, error, details, error.metadata)
            report_status(error, details)
            return exit_code(error)
        self.ended(out, None, (), trailers)
        return 0

    def ended(
        self, out: Printer, error: RpcError | None, details: Sequence[object], trailers: Metadata | None
    ) -> None:
        log = self.session.log
        if error is None:
            code = StatusCode.OK
            out.ended(code, "", (), trailers)
        else:
            code = error.code
            out.ended(code, error.message, details, trailers)
        log.metadata("<", trailers)
        seconds = log.lap()
        log.line("*", f"{code.name}: {self.sent} sent, {self.received} received, in {seconds * 1000:.1f} ms")

    # The four kinds. Each returns the trailing metadata, and raises RpcError if the call fails.

    async def unary(self, out: Printer) -> Metadata | None:
        call = self.channel.unary(
            self.info.full_name, await self.only(), timeout=self.session.left, metadata=self.metadata()
        )
        reply = await call
        self.headers(out, await call.initial_metadata())
        self.reply(out, reply)
        return call.trailing_metadata

    async def server_stream(self, out: Printer) -> Metadata | None:
        request = await self.only()
        async with self.channel.server_stream(
            self.info.full_name, request, timeout=self.session.left, metadata=self.metadata()
        ) as stream:
            self.headers(out, await stream.initial_metadata())
            async for message in stream:
                self.reply(out, message)
            return stream.trailing_metadata

    async def client_stream(self, out: Printer) -> Metadata | None:
        call = self.channel.client_stream(
            self.info.full_name, self.messages(), timeout=self.session.left, metadata=self.metadata()
        )
        reply = await call
        self.headers(out, await call.initial_metadata())
        self.reply(out, reply)
        return call.trailing_metadata

    async def bidi_stream(self, out: Printer) -> Metadata | None:
        async with self.channel.bidi_stream(
            self.info.full_name, self.messages(), timeout=self.session.left, metadata=self.metadata()
        ) as stream:
            self.headers(out, await stream.initial_metadata())
            async for message in stream:
                self.reply(out, message)
            return stream.trailing_metadata

    def headers(self, out: Printer, metadata: Metadata) -> None:
        self.session.log.metadata("<", metadata)
        out.headers(metadata)

    def reply(self, out: Printer, message: object) -> None:
        self.received += 1
        options = self.output
        out.message(
            self.schema.to_json(
                self.info.output_type,
                message,
                emit_defaults=options.emit_defaults,
                json_names=options.json_names,
            )
        )

    # Requests

    async def messages(self) -> AsyncIterator[object]:
        async for content in self.documents:
            self.sent += 1
            yield self.request(content)

    async def only(self) -> object:
        """Return the one request of a method that takes one; an empty one if none was given."""
        request: object = None
        async for content in self.documents:
            self.sent += 1
            if self.sent > 1:
                raise DataError(
                    f"{self.info.full_name} takes one message, and {self.documents.name} has several"
                )
            request = self.request(content)
        self.sent = 1
        return request

    def request(self, content: object) -> object:
        try:
            return self.schema.from_json(self.info.input_type, content)
        except CodecError as error:
            which = f"message {self.sent}: " if self.info.cardinality.client_streaming else ""
            raise DataError(f"{self.documents.name}: {which}{error}") from error
