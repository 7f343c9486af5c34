"""`wirelane completion`: the script that makes a shell complete the command."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from wirelane.cli.output import write
from wirelane.cli.verb import Verb

__all__ = ["command"]

_EXAMPLES = """
Examples:
  wirelane completion bash > ~/.local/share/bash-completion/completions/wirelane
  wirelane completion zsh > "${fpath[1]}/_wirelane"
  wirelane completion fish > ~/.config/fish/completions/wirelane.fish
  eval "$(wirelane completion bash)"

Verbs and options are completed, and for call, list and describe also the services and methods of the server.
"""


@click.command("completion", cls=Verb, epilog=_EXAMPLES)
@click.argument("shell", metavar="bash|zsh|fish", type=click.Choice(["bash", "zsh", "fish"]))
def command(shell: str) -> int:
    """Print the script that completes the command in your shell."""
    kind = get_completion_class(shell)
    assert kind is not None
    root = click.get_current_context().find_root().command
    write(kind(root, {}, "wirelane", "_WIRELANE_COMPLETE").source() + "\n")
    return 0
