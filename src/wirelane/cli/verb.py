"""What a verb is to click: a command whose examples are shown as they are written."""

from __future__ import annotations

import textwrap

import click

__all__ = ["Verb", "write_verbatim"]


class Verb(click.Command):
    """A command whose epilog, the examples, is printed verbatim."""

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        write_verbatim(formatter, self.epilog)


def write_verbatim(formatter: click.HelpFormatter, text: str | None) -> None:
    """Write a text without wrapping it."""
    if text:
        formatter.write_paragraph()
        formatter.write(textwrap.dedent(text).strip("\n") + "\n")
