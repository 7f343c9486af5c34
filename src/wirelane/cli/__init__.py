"""The `wirelane` command: one module per verb, which parses, calls the library and prints.

What every verb keeps to: results go to standard output and everything else to standard error; a failure is one line
that says what to do, never a traceback; the exit code is 0, 1 (network or runtime), 2 (usage), 130 (Ctrl-C) or 64 plus the gRPC status
of a failed call. `app` is the command itself, `options`, `output`, `errors`, `session` and `documents` are what verbs share.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from wirelane.cli.app import main
else:
    try:
        from wirelane.cli.app import main
    except ModuleNotFoundError as error:
        if error.name != "click":
            raise

        def main(*_: object, **__: object) -> None:
            """Say what is missing, where click is not installed."""
            print(
                "wirelane: the command line needs more packages: pip install 'wirelane[cli]'", file=sys.stderr
            )
            sys.exit(2)


__all__ = ["main"]
