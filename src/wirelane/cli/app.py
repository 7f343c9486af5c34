"""The command itself: finds the verb, runs it, and turns whatever goes wrong into one line and an exit code.

A verb is imported when it is used: `wirelane --version` and completion stay quick. `VERBS` is the one list of them.
"""

from __future__ import annotations

import difflib
import sys
from importlib import import_module
from typing import Any, Final, NoReturn

import click

from wirelane._version import __version__
from wirelane.cli.guard import guarded
from wirelane.cli.verb import write_verbatim

__all__ = ["VERBS", "Wirelane", "main"]

VERBS: Final = {
    "call": ("wirelane.cli.call", "Call a method of any of the four kinds, with JSON."),
    "list": ("wirelane.cli.list", "List the services of a server, or the methods of one."),
    "describe": ("wirelane.cli.describe", "Show services, methods and messages as .proto text or JSON."),
    "generate": ("wirelane.cli.generate", "Write messages, typed stubs and service bases for .proto files."),
    "tcp": ("wirelane.cli.tcp", "Send bytes over TCP or TLS, and print the reply."),
    "serve": ("wirelane.cli.serve", "Run the demo server: gRPC, gRPC over TLS, and TCP echo."),
    "demo": ("wirelane.cli.demo.command", "Take the tour: a server, and every kind of call to it."),
    "completion": ("wirelane.cli.completion", "Print the script that completes the command in your shell."),
}
"""Verb -> (module with its `command`, what it does)."""

_EXAMPLES: Final = """
Examples:
  wirelane demo
  wirelane serve
  wirelane list localhost:50051
  wirelane call localhost:50051 Summator/sum -d '{"value1": 5, "value2": 3}'
  wirelane generate protos/ --out src/app/rpc
  wirelane tcp localhost:4242 -d 'Echo this!'

Exit codes: 0; 1 network or runtime; 2 usage; 130 Ctrl-C; 64 + gRPC status of a failed call (69: NOT_FOUND).
"""


class Wirelane(click.Group):
    """The group of all verbs."""

    def __call__(self, *args: Any, **options: Any) -> NoReturn:
        """Run the command line, and exit with its code. `main` is what click makes of it: it lets errors through."""
        options = {"prog_name": "wirelane", **options, "standalone_mode": False}
        sys.exit(guarded(lambda: self.main(*args, **options)))

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in VERBS:
            return None
        command = import_module(VERBS[cmd_name][0]).command
        assert isinstance(command, click.Command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in VERBS and not args[0].startswith("-") and not ctx.resilient_parsing:
            near = difflib.get_close_matches(args[0].lower(), VERBS, n=1, cutoff=0.5)
            hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(VERBS)}"
            raise click.UsageError(f"no verb is called {args[0]!r}; {hint}", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Verbs"):
            formatter.write_dl([(name, text) for name, (_, text) in VERBS.items()])

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        write_verbatim(formatter, self.epilog)


@click.group(
    cls=Wirelane,
    epilog=_EXAMPLES,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    subcommand_metavar="VERB ...",
    invoke_without_command=True,
)
@click.version_option(__version__, prog_name="wirelane", message="%(prog)s %(version)s")
@click.pass_context
def main(context: click.Context) -> None:
    """Talk gRPC and TCP from the command line: no generated code, .proto files or server reflection."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help(), err=True)
        context.exit(2)
