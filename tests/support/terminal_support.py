"""The command on a terminal: a pseudo-terminal of which the tests hold the other end."""

from __future__ import annotations

import fcntl
import os
import re
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager

from support.cli_support import PATIENCE, environment

# Makes the terminal its own, so that Ctrl-C is a signal for it.
_OWNING = "import fcntl, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); from wirelane.cli import main; main()"
_SEQUENCE = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|[@-Z\\-_=>]|\].*?(?:\x07|\x1b\\))")


class Terminal:
    """A command that runs on a terminal of its own."""

    def __init__(self, process: subprocess.Popen[bytes], master: int) -> None:
        self.process = process
        self.raw = ""
        self._master = master
        self._seen = 0

    @property
    def text(self) -> str:
        """All that was printed, without what moves the cursor and colours it."""
        return _SEQUENCE.sub("", self.raw)

    def type(self, text: str) -> None:
        """Press keys."""
        os.write(self._master, text.encode())

    def until(self, wanted: str) -> None:
        """Read on until something is printed that was not there at the last call."""
        deadline = time.monotonic() + PATIENCE
        while (place := self.text.find(wanted, self._seen)) < 0:
            if not self._read(deadline - time.monotonic()):
                raise AssertionError(f"{wanted!r} did not come: {self.text[self._seen :]!r}")
        self._seen = place + len(wanted)

    def rest(self) -> str:
        """Read to the end, and return all of it."""
        deadline = time.monotonic() + PATIENCE
        while self._read(deadline - time.monotonic()):
            pass
        return self.text

    def code(self) -> int:
        """Return the exit code, waiting for it; what it prints until then is read."""
        self.rest()
        return self.process.wait(PATIENCE)

    def modes(self) -> int:
        """Return the terminal's local modes: whether it echoes, and gathers lines."""
        return int(termios.tcgetattr(self._master)[3])

    def _read(self, seconds: float) -> bool:
        if seconds <= 0 or not select.select([self._master], [], [], seconds)[0]:
            return False
        try:
            data = os.read(self._master, 65536)
        except OSError:  # EIO: nobody has the other end open any more
            return False
        self.raw += data.decode(errors="replace")
        return bool(data)


@contextmanager
def terminal(*arguments: str, env: dict[str, str] | None = None, columns: int = 120) -> Iterator[Terminal]:
    """Run the command on a terminal for a block; whatever is left of it then is killed."""
    master, slave = os.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    try:
        # The terminal answers no questions, so it is asked none about where the cursor is.
        settings = {"TERM": "xterm", "PROMPT_TOOLKIT_NO_CPR": "1", "NO_COLOR": "1", **(env or {})}
        process = subprocess.Popen(
            [sys.executable, "-c", _OWNING, *arguments],
            stdin=slave, stdout=slave, stderr=slave,
            env=environment(**settings),
            start_new_session=True,
        )  # fmt: skip
    except BaseException:
        os.close(master)
        raise
    finally:
        os.close(slave)
    try:
        yield Terminal(process, master)
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        os.close(master)
