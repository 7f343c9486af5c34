"""`wirelane describe`: what a service, method, message or enum is."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from wirelane.cli.complete import complete_symbol
from wirelane.cli.inspect import schema_and_symbol
from wirelane.cli.options import (
    ConnectionOptions,
    HeaderOptions,
    SchemaOptions,
    connection_options,
    header_options,
    schema_options,
    verbose_option,
)
from wirelane.cli.output import json_text, write
from wirelane.cli.verb import Verb
from wirelane.errors import UsageError

if TYPE_CHECKING:
    from wirelane.codec import Schema

__all__ = ["command"]

_EXAMPLES = """
Examples:
  wirelane describe localhost:50051 Summator/sum
  wirelane describe localhost:50051 wirelane.demo.AllKinds
  wirelane describe localhost:50051 Summator/sum --template > request.json
  wirelane describe localhost:50051 wirelane.demo.Everything --json | jq '.methods[].name'
  wirelane describe --proto protos/demo/greeter.proto Greeter
"""


@click.command("describe", cls=Verb, epilog=_EXAMPLES)
@click.argument("words", metavar="[HOST:PORT] [SYMBOL]", nargs=-1, shell_complete=complete_symbol)
@click.option("--template", is_flag=True, help="JSON to fill in: of a message, or of a method's request.")
@click.option("--json", "as_json", is_flag=True, help="As JSON instead of .proto text.")
@click.option("--compact", is_flag=True, help="JSON in one line.")
@schema_options
@connection_options
@header_options
@verbose_option
def command(
    *,
    words: tuple[str, ...],
    template: bool,
    as_json: bool,
    compact: bool,
    schema: SchemaOptions,
    connection: ConnectionOptions,
    headers: HeaderOptions,
    verbose: bool,
) -> int:
    """Show services, methods and messages as .proto text or JSON.

    A symbol is a service, pkg.Service/Method, a message or an enum; of a method, its request and reply are shown too.
    Without one, every service is shown. With --proto or --protoset no server is needed.
    """
    if template and as_json:
        raise UsageError("--template is JSON already: give one of --template and --json")
    known, symbol = schema_and_symbol(words, schema, connection, headers, verbose=verbose)
    if template:
        write(json_text(_template(known, symbol), compact=compact, file=sys.stdout) + "\n")
        return 0
    symbols = known.services() if symbol is None else [symbol]
    if as_json:
        described = [known.describe(each).to_dict() for each in symbols]
        write(
            json_text(described if symbol is None else described[0], compact=compact, file=sys.stdout) + "\n"
        )
        return 0
    write("\n\n".join(text for each in symbols for text in _texts(known, each)) + "\n")
    return 0


def _template(known: Schema, symbol: str | None) -> dict[str, object]:
    if symbol is None:
        raise UsageError("--template needs the name of a message or a method")
    kind, _ = known.find_symbol(symbol)
    message = known.find_method(symbol).input_type if kind == "method" else symbol
    return known.template(message, json=True)


def _texts(known: Schema, symbol: str) -> list[str]:
    """Return the .proto text of a symbol; of a method, its messages follow."""
    kind, name = known.find_symbol(symbol)
    if kind != "method":
        return [_text(known, symbol, name)]
    method = known.find_method(symbol)
    messages = dict.fromkeys((method.input_type, method.output_type))
    return [_text(known, symbol, method.full_name), *(_text(known, each, each) for each in messages)]


def _text(known: Schema, symbol: str, name: str) -> str:
    file = known.file_containing_symbol(name.replace("/", "."))
    return f"// {name}, in {file}\n\n{known.proto_text(symbol).strip()}"
