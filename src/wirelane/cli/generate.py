"""`wirelane generate`: messages, typed stubs and service bases, as files."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from wirelane.cli.errors import say, visible
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
from wirelane.cli.session import Log, Session, looks_like_address
from wirelane.cli.verb import Verb
from wirelane.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from google.protobuf.compiler.plugin_pb2 import CodeGeneratorRequest

    from wirelane.codegen import Changes

__all__ = ["command"]

_EXAMPLES = """
Examples:
  wirelane generate protos/ --out src/app/rpc
  wirelane generate protos/shop.proto -I protos --out src/app/rpc --messages protobuf
  wirelane generate localhost:50051 --out src/app/rpc
  wirelane generate shop.binpb --out src/app/rpc --messages none
  wirelane generate protos/ --out src/app/rpc --check

Then:
  from app.rpc import SummatorStub, SumRequest
  reply = await SummatorStub(channel).sum(SumRequest(value1=5, value2=3), timeout=2.0)

--out belongs to one command: what it wrote before and writes no more is removed. Nobody else's files are touched.
"""

_MANY = 50  # files; fewer are written before anybody wonders


@click.command("generate", cls=Verb, epilog=_EXAMPLES)
@click.argument("sources", metavar="[SOURCE]...", nargs=-1)
@click.option(
    "-o", "--out", metavar="DIR", required=True, help="Where the package goes; imports in it are relative."
)
@click.option(
    "--messages",
    type=click.Choice(["betterproto2", "protobuf", "betterproto", "none"]),
    default="betterproto2",
    show_default=True,
    help="The library of the messages; none: requests and replies are dicts.",
)
@click.option(
    "--services/--no-services", default=True, show_default=True, help="Stubs, and bases of services."
)
@click.option(
    "--sync/--no-sync",
    default=True,
    show_default=True,
    help="The same for wirelane.sync, in modules beside them.",
)
@click.option("--check", is_flag=True, help="Write nothing; exit with 1 if something would change. For CI.")
@click.option("--dry-run", is_flag=True, help="Write nothing; list the files.")
@click.option("--force", is_flag=True, help="Replace files in the way that were not written by this command.")
@schema_options
@connection_options
@header_options
@verbose_option
def command(
    *,
    sources: tuple[str, ...],
    out: str,
    messages: str,
    services: bool,
    sync: bool,
    check: bool,
    dry_run: bool,
    force: bool,
    schema: SchemaOptions,
    connection: ConnectionOptions,
    headers: HeaderOptions,
    verbose: bool,
) -> int:
    """Write messages, typed stubs and service bases for .proto files.

    A SOURCE is a .proto file, a directory of them, a descriptor set, a URL, or HOST:PORT of a server with reflection.
    The same sources give the same files, to the octet, in any order and on any machine.
    """
    # Heavy, and `wirelane generate --help` needs none of it.
    from wirelane.codegen import Messages, Settings, compare, generate
    from wirelane.codegen import write as write_tree

    if check and dry_run:
        raise UsageError("--check and --dry-run both write nothing: give one of them")
    if not out:
        raise UsageError("--out is empty: give it a directory")
    settings = Settings(messages=Messages(messages), services=services, sync=sync)
    log = Log(verbose=verbose)
    request = _request(sources, schema, connection, headers, log)
    log.line(
        "*",
        f"{len(request.file_to_generate)} files of {len(request.proto_file)} in {log.lap() * 1000:.1f} ms",
    )
    root = Path(out)
    files = generate(request, settings)
    log.line("*", f"{len(files)} files generated in {log.lap() * 1000:.1f} ms")
    changes = compare(root, files)
    if check or dry_run:
        return _tell(root, changes, check=check)
    write_tree(root, files, changes, force=force, progress=_progress())
    for what, paths in (
        ("wrote", changes.missing + changes.differing + changes.foreign),
        ("removed", changes.stale),
    ):
        for path in paths:
            log.line("*", f"{what} {root / path}")
    print(f"{visible(str(root))}: {_summary(changes)}", file=sys.stderr)
    return 0


def _request(
    sources: tuple[str, ...],
    schema: SchemaOptions,
    connection: ConnectionOptions,
    headers: HeaderOptions,
    log: Log,
) -> CodeGeneratorRequest:
    """Return what to generate code for: from files, or from the server that is named."""
    from wirelane.codegen import request_of_schema, request_of_sources

    servers = [source for source in sources if _is_address(source)]
    files = [source for source in sources if source not in servers]
    given = [*files, *schema.proto, *schema.protoset]
    if servers and given:
        raise UsageError(f"{servers[0]!r} is a server, and {given[0]!r} is not: give one or the other")
    if len(servers) > 1:
        raise UsageError(f"one server at a time; what is {servers[1]!r}?")
    if servers:
        from wirelane._run import run

        session = Session(servers[0], schema, connection, headers, log)
        return request_of_schema(run(session.load()))
    if not given:
        raise UsageError("missing SOURCE: a .proto file, a directory, a descriptor set, a URL, or HOST:PORT")
    if schema.reflection:
        raise UsageError("--reflection asks a server: give its HOST:PORT")
    return request_of_sources(given, import_paths=schema.import_path)


def _is_address(source: str) -> bool:
    """Whether a source is a server: it has a colon, and is neither a URL of a file nor a path that is there."""
    web = source.startswith(("http://", "https://")) and source.count("/") > 2
    return looks_like_address(source) and not web and not Path(source).exists()


def _tell(root: Path, changes: Changes, *, check: bool) -> int:
    """Say what would change; return the exit code."""
    kinds = {
        "missing": changes.missing,
        "differs": changes.differing,
        "stale": changes.stale,
        "not ours": changes.foreign,
    }
    if not check:
        kinds["unchanged"] = changes.unchanged
    for kind, paths in kinds.items():
        for path in paths:
            write(f"{kind}: {visible(str(root / path))}\n")
    if check and changes:
        say(f"{root} is not what the sources say: {_summary(changes)}; run the same command without --check")
        return 1
    return 0


def _summary(changes: Changes) -> str:
    counts = (
        (len(changes.missing), "new"),
        (len(changes.differing) + len(changes.foreign), "changed"),
        (len(changes.stale), "removed"),
        (len(changes.unchanged), "unchanged"),
    )
    return ", ".join(f"{count} {what}" for count, what in counts if count) or "nothing to do"


def _progress() -> Callable[[int, int], None]:
    """Return what tells how far writing is, where somebody watches and there is much to write."""
    shown = sys.stderr.isatty()

    def tell(done: int, all_: int) -> None:
        if shown and all_ >= _MANY and (done % 10 == 0 or done == all_):
            sys.stderr.write(f"\r{done} of {all_} files" + ("\r\033[K" if done == all_ else ""))
            sys.stderr.flush()

    return tell
