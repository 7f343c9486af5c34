"""Completion of services and methods, by asking the server or the files that the command line names so far."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from wirelane.errors import WirelaneError

if TYPE_CHECKING:
    import click
    from click.shell_completion import CompletionItem

    from wirelane.codec import Schema

__all__ = ["complete_method", "complete_symbol"]

_PATIENCE = 1.5
"""Seconds that somebody who pressed Tab waits at most for a server."""


def complete_method(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Offer the methods that begin like `incomplete`."""
    from click.shell_completion import CompletionItem

    schema = _schema(ctx.params)
    if schema is None:
        return []
    methods = [info for service in schema.services() for info in schema.methods(service)]
    return [
        CompletionItem(info.full_name, help=f"{info.input_type} -> {info.output_type}")
        for info in methods
        if info.full_name.startswith(incomplete)
    ]


def complete_symbol(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Offer services and messages, and the methods of a service that is written out."""
    from click.shell_completion import CompletionItem

    schema = _schema(ctx.params)
    if schema is None:
        return []
    found = [CompletionItem(name) for name in schema.symbols() if name.startswith(incomplete)]
    return found + (complete_method(ctx, param, incomplete) if "/" in incomplete else [])


def _schema(given: dict[str, Any]) -> Schema | None:
    """Return the schema of what was typed so far; None where that does not work: completion never complains."""
    from wirelane._run import run
    from wirelane.cli.options import ConnectionOptions, SchemaOptions
    from wirelane.grpc.options import ChannelOptions
    from wirelane.grpc.shortcuts import reflect

    try:
        files = SchemaOptions(
            proto=given.get("proto") or (),
            import_path=given.get("import_path") or (),
            protoset=given.get("protoset") or (),
            reflection=False,
            service=given.get("service") or (),
        ).load()
        target = given.get("target") or next(iter(given.get("words") or ()), None)
        if files is not None or target is None:
            return files
        connection = ConnectionOptions(
            plaintext=bool(given.get("plaintext")),
            tls=bool(given.get("tls")),
            insecure=bool(given.get("insecure")),
            cacert=given.get("cacert"),
            cert=given.get("cert"),
            key=given.get("key"),
            server_name=given.get("server_name"),
            proxy=given.get("proxy") or (),
            local_address=given.get("local_address"),
            connect_timeout=_PATIENCE,
        )
        return run(
            reflect(
                target,
                tls=connection.tls_settings(),
                proxy=connection.proxies(),
                limits=connection.limits(),
                options=ChannelOptions(socket=connection.socket()),
                timeout=_PATIENCE,
            )
        )
    except (WirelaneError, OSError):
        return None
