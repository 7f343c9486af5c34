"""`wirelane demo`: the tour."""

from __future__ import annotations

import click

from wirelane.cli.verb import Verb

__all__ = ["command"]

_EXAMPLES = """
Examples:
  wirelane demo
  NO_COLOR=1 wirelane demo
  wirelane demo > tour.txt && echo 'all as it should be'

To play with the same server yourself: wirelane serve
"""


@click.command("demo", cls=Verb, epilog=_EXAMPLES)
def command() -> int:
    """Take the tour: a server, and every kind of call to it.

    Starts the demo server inside this process, on free ports of this machine, makes every kind of call to it over real
    sockets, checks each result, and prints what it saw. Exits with 0 only if every step gave what it should.
    """
    from wirelane._run import run
    from wirelane.cli.demo.tour import take_tour

    return run(take_tour())
