"""`wirelane describe`: what a service, method, message or enum is."""

from __future__ import annotations

import sys
from pathlib import Path
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
  wirelane describe localhost:50051 Summator --proto-out - > summator.proto
  wirelane describe --proto protos/demo/greeter.proto Greeter
  wirelane describe --service shop.services:orders --proto-out protos/
"""


@click.command("describe", cls=Verb, epilog=_EXAMPLES)
@click.argument("words", metavar="[HOST:PORT] [SYMBOL]", nargs=-1, shell_complete=complete_symbol)
@click.option("--template", is_flag=True, help="JSON to fill in: of a message, or of a method's request.")
@click.option("--json", "as_json", is_flag=True, help="As JSON instead of .proto text.")
@click.option("--compact", is_flag=True, help="JSON in one line.")
@click.option(
    "--proto-out",
    metavar="DIR|-",
    help="Write whole .proto files, with all that they import, for compilers; - prints the one that declares SYMBOL.",
)
@click.option("--protoset-out", metavar="FILE", help="Write the same as a descriptor set.")
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
    proto_out: str | None,
    protoset_out: str | None,
    schema: SchemaOptions,
    connection: ConnectionOptions,
    headers: HeaderOptions,
    verbose: bool,
) -> int:
    """Show services, methods and messages as .proto text or JSON.

    A symbol is a service, pkg.Service/Method, a message or an enum; of a method, its request and reply are shown too.
    Without one, every service is shown. With --proto, --protoset or --service no server is needed.
    """
    if template and as_json:
        raise UsageError("--template is JSON already: give one of --template and --json")
    if (template or as_json) and (proto_out or protoset_out):
        raise UsageError("--proto-out and --protoset-out write files; leave --template and --json out")
    known, symbol = schema_and_symbol(words, schema, connection, headers, verbose=verbose)
    if proto_out or protoset_out:
        _export(known, symbol, proto_out, protoset_out)
        return 0
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


def _export(known: Schema, symbol: str | None, proto_out: str | None, protoset_out: str | None) -> None:
    """Write files, and print the names of what was written; or print the one file that is asked for."""
    from wirelane.schema.export import files_for, pack_files, write_protos

    symbols = known.services() if symbol is None else [symbol]
    names = files_for(known, symbols)
    if protoset_out:
        Path(protoset_out).write_bytes(pack_files(known, names))
        if proto_out != "-":
            write(f"{protoset_out}\n")
    if proto_out == "-":
        declaring = {known.file_containing_symbol(known.find_symbol(each)[1]) for each in symbols}
        if len(declaring) != 1:
            raise UsageError(
                f"{len(declaring)} files do not go into one: name a symbol, or a directory for --proto-out"
            )
        write(known.proto_text(declaring.pop()))
    elif proto_out:
        for name in write_protos(known, names, Path(proto_out)):
            write(f"{Path(proto_out) / name}\n")


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
    text = f"// {name}, in {file}\n\n{known.proto_text(symbol).strip()}"
    if known.find_symbol(symbol)[0] != "message":
        return text
    extensions = [known.extension(name, number).full_name for number in known.extension_numbers(name)]
    return "\n\n".join([text, *(_text(known, each, each) for each in extensions)])
