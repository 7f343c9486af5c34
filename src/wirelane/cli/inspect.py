"""What `list` and `describe` share: the words `[HOST:PORT] [SYMBOL]`, and the schema that they are about."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wirelane.cli.options import ConnectionOptions, HeaderOptions, SchemaOptions
from wirelane.cli.session import Log, Session, looks_like_address
from wirelane.errors import UsageError

if TYPE_CHECKING:
    from wirelane.codec import Schema

__all__ = ["schema_and_symbol", "session_and_symbol"]


def schema_and_symbol(
    words: tuple[str, ...],
    schema: SchemaOptions,
    connection: ConnectionOptions,
    headers: HeaderOptions,
    *,
    verbose: bool,
) -> tuple[Schema, str | None]:
    """Return the schema, and the symbol if one was given; of a server, no more of it than the symbol needs.

    Raises:
        UsageError: The words are not these.
    """
    from wirelane._run import run

    session, symbol = session_and_symbol(words, schema, connection, headers, verbose=verbose)
    return run(session.load(symbol)), symbol


def session_and_symbol(
    words: tuple[str, ...],
    schema: SchemaOptions,
    connection: ConnectionOptions,
    headers: HeaderOptions,
    *,
    verbose: bool,
) -> tuple[Session, str | None]:
    """Return what to ask, and the symbol if one was given. With files no address is needed; one is ignored.

    Raises:
        UsageError: The words are not these.
    """
    if len(words) > 2:
        raise UsageError(f"one address and one name are enough; what is {words[2]!r}?")
    target: str | None = None
    rest = list(words)
    if rest and (not schema.from_files or looks_like_address(rest[0])):
        target = rest.pop(0)
    if len(rest) > 1:
        raise UsageError(f"{rest[0]!r} is no address: write host:port")
    session = Session(target, schema, connection, headers, Log(verbose=verbose))
    session.load_files()
    if session.files is None and target is None:
        raise UsageError("missing HOST:PORT, or --proto FILE")
    return session, rest[0] if rest else None
