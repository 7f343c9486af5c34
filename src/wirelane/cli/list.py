"""`wirelane list`: the services of a server or of files, or the methods of one service."""

from __future__ import annotations

import click

from wirelane.cli.complete import complete_symbol
from wirelane.cli.inspect import session_and_symbol
from wirelane.cli.options import (
    ConnectionOptions,
    HeaderOptions,
    SchemaOptions,
    connection_options,
    header_options,
    schema_options,
    verbose_option,
)
from wirelane.cli.output import write
from wirelane.cli.verb import Verb

__all__ = ["command"]

_EXAMPLES = """
Examples:
  wirelane list localhost:50051
  wirelane list localhost:50051 wirelane.demo.Everything
  wirelane list --proto protos/demo
"""


@click.command("list", cls=Verb, epilog=_EXAMPLES)
@click.argument("words", metavar="[HOST:PORT] [SERVICE]", nargs=-1, shell_complete=complete_symbol)
@schema_options
@connection_options
@header_options
@verbose_option
def command(
    *,
    words: tuple[str, ...],
    schema: SchemaOptions,
    connection: ConnectionOptions,
    headers: HeaderOptions,
    verbose: bool,
) -> int:
    """List the services of a server, or the methods of one.

    One name per line, a method as `call` takes it. With --proto or --protoset no server is needed.
    """
    from wirelane._run import run

    session, service = session_and_symbol(words, schema, connection, headers, verbose=verbose)
    if service is None:
        names = run(session.services())
    else:
        names = [info.full_name for info in run(session.load(service)).methods(service)]
    for name in names:
        write(name + "\n")
    return 0
