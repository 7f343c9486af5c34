"""The outermost frame of the command: an exit code for whatever comes out of a verb.

| comes out | exit code |
|---|---|
| a number | that number |
| nothing | 0 |
| Ctrl-C | 130, without a word |
| standard output is closed (`| head`) | 1, without a word |
| an error that the library raises on purpose, an OSError | see `errors.exit_code`; one line |
| anything else | 1, one line, and where it came from with WIRELANE_DEBUG=1 |
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable
from typing import Final

import click

__all__ = ["INTERRUPTED", "guarded"]

INTERRUPTED: Final = 130  # 128 + SIGINT, as shells report it

_OUR_EXTRAS: Final = {"rich": "cli", "trustme": "cli", "cryptography": "cli", "uvloop": "uvloop"}


def guarded(run: Callable[[], object]) -> int:
    """Run a command line to its end and return its exit code."""
    _mend_streams()
    try:
        code = _code_of(run)
        sys.stdout.flush()
    except (KeyboardInterrupt, click.Abort):
        code = INTERRUPTED
    except BrokenPipeError:
        code = _output_closed()
    return code


def _mend_streams() -> None:
    """See that printing cannot fail for what is printed: closed streams swallow it, odd characters are escaped."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            # The lowest number that is free is this one. A socket must not get it: libuv aborts when it closes one.
            os.open(os.devnull, os.O_RDWR)
    if sys.stdin is None:
        sys.stdin = open(os.devnull)  # noqa: SIM115  (for the rest of the process)
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115  (for the rest of the process)
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _code_of(run: Callable[[], object]) -> int:
    try:
        result = run()
        return result if isinstance(result, int) else 0
    except click.ClickException as error:
        return _usage(error)
    except (KeyboardInterrupt, click.Abort, BrokenPipeError):
        raise
    except ModuleNotFoundError as error:
        extra = _OUR_EXTRAS.get(error.name or "")
        if extra is None:
            raise
        print(f"wirelane: {error.name} is not installed: pip install 'wirelane[{extra}]'", file=sys.stderr)
        return 2
    except Exception as error:  # noqa: BLE001  (the last frame: a traceback is no answer to a user)
        from wirelane.cli.errors import report

        if os.environ.get("WIRELANE_DEBUG"):
            import traceback

            traceback.print_exception(error)
        return report(error)


def _usage(error: click.ClickException) -> int:
    """Say in one line what was wrong with the command line, and where the help is."""
    from wirelane.cli.errors import say

    context = getattr(error, "ctx", None)
    path = context.command_path if context is not None else "wirelane"
    text = error.format_message().rstrip(".")
    say(f"{text[:1].lower()}{text[1:]}; see {path} --help")
    return error.exit_code


def _output_closed() -> int:
    """Whoever read our output has left: say nothing, also not when Python flushes at its end."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
    return 1
