r"""A terminal that is typed on and printed on at once: lines with editing and history, replies above them.

Made of prompt_toolkit; where that is not installed, `Editor.open` says so once and the terminal is used as it is. What a peer
sends is shown, not obeyed: control characters are written as "\x1b".

The part of the last line that has come is the prompt, as servers mean it ("login: ").
"""

from __future__ import annotations

import asyncio
import codecs
import os
import sys
from collections.abc import AsyncGenerator, Iterable, Iterator
from contextlib import contextmanager, redirect_stderr
from pathlib import Path
from typing import TYPE_CHECKING, Final, cast

from wirelane.cli.errors import one_line, say, visible
from wirelane.errors import UsageError

if TYPE_CHECKING:
    from typing import TextIO

    from prompt_toolkit import PromptSession
    from prompt_toolkit.buffer import Buffer
    from prompt_toolkit.history import History

    from wirelane.cli.tcptext import TextOptions

__all__ = ["Editor", "Interrupted", "LineFile", "history_path"]

_PROMPT: Final = "> "
_MOST_LINES: Final = 1000  # bash's HISTSIZE is 500, and zsh's SAVEHIST is often 1000
_MOST_PENDING: Final = 500
"""Characters without a newline that are shown as a prompt; more of them are a line."""


class Interrupted(Exception):
    """Somebody pressed Ctrl-C."""


def history_path() -> Path | None:
    """Return where lines are kept: WIRELANE_HISTORY, or a file of the user's state (XDG); None if that is empty."""
    named = os.environ.get("WIRELANE_HISTORY")
    if named is not None:
        return Path(named).expanduser() if named else None
    state = os.environ.get("XDG_STATE_HOME")
    # Relative paths are to be ignored, says the XDG Base Directory Specification.
    base = Path(state) if state and Path(state).is_absolute() else Path.home() / ".local" / "state"
    return base / "wirelane" / "tcp_history"


class LineFile:
    """The lines of the last times, for the user alone. What does not work is told once, and then left alone."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._broken = False

    def load(self) -> list[str]:
        """Return the lines, oldest first; a file that has grown long is made short again."""
        try:
            lines = self._path.read_text("utf-8", "surrogateescape").splitlines()
            if len(lines) > 2 * _MOST_LINES:
                lines = lines[-_MOST_LINES:]
                fresh = self._path.with_name(f"{self._path.name}.{os.getpid()}")
                self._write(fresh, "w", lines)
                fresh.replace(self._path)
        except FileNotFoundError:
            return []
        except OSError as error:
            self._fail(error)
            return []
        return lines[-_MOST_LINES:]

    def append(self, line: str) -> None:
        """Keep a line. One that begins with a space is not kept, as in shells."""
        if self._broken or not line.strip() or line[0].isspace():
            return
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._write(self._path, "a", [" ".join(line.splitlines())])
        except OSError as error:
            self._fail(error)

    @staticmethod
    def _write(path: Path, mode: str, lines: Iterable[str]) -> None:
        text = "".join(f"{line}\n" for line in lines)
        with open(
            path,
            mode,
            encoding="utf-8",
            errors="surrogateescape",
            opener=lambda name, flags: os.open(name, flags, 0o600),
        ) as file:
            file.write(text)

    def _fail(self, error: OSError) -> None:
        if not self._broken:
            self._broken = True
            print(one_line(f"* lines are not kept: {self._path}: {error.strerror}"), file=sys.stderr)


class Editor:
    """One session of typing. Enter `above` around all that prints meanwhile."""

    def __init__(self, session: PromptSession[str], text: TextOptions) -> None:
        self._session = session
        self._text = text
        self._decoder = codecs.getincrementaldecoder(sys.stdout.encoding)("backslashreplace")
        self._pending = ""
        self._over = False
        self._typed: asyncio.Queue[str | None] = asyncio.Queue()
        # The prompt goes on after a line: between two of them the terminal would take Ctrl-D for itself.
        session.default_buffer.accept_handler = self._accept

    @classmethod
    def open(cls, text: TextOptions, history: Path | None) -> Editor | None:
        """Return an editor if standard input and output are a terminal that can do it, and prompt_toolkit is here."""
        if not (sys.stdin.isatty() and sys.stdout.isatty()) or os.environ.get("TERM", "dumb") in {
            "dumb",
            "unknown",
        }:
            return None
        try:
            from prompt_toolkit import PromptSession
        except ModuleNotFoundError as error:
            if error.name != "prompt_toolkit":
                raise
            print(
                "* lines without editing: prompt_toolkit is not installed (pip install 'wirelane[cli]')",
                file=sys.stderr,
            )
            return None
        kept = None if history is None else _kept(LineFile(history))
        session: PromptSession[str] = PromptSession(history=kept, erase_when_done=True)
        return cls(session, text)

    async def lines(self) -> AsyncGenerator[bytes, None]:
        """Yield the lines that are typed, as bytes, until Ctrl-D on an empty one. Close it when it is left early.

        Raises:
            Interrupted: Ctrl-C.
        """
        prompting = asyncio.create_task(self._prompt(), name="wirelane tcp: the line that is typed")
        prompting.add_done_callback(lambda _: self._typed.put_nowait(None))
        try:
            while (typed := await self._typed.get()) is not None:
                try:
                    data = self._text.line(typed)
                except UsageError as error:
                    say(str(error))
                    continue
                yield data
            prompting.result()
        finally:
            prompting.cancel()
            await asyncio.wait((prompting,))
            self._over = True

    async def _prompt(self) -> None:
        try:
            await self._session.prompt_async(self._message)
        except EOFError:
            return
        except KeyboardInterrupt:  # out of a task it would stop the loop
            raise Interrupted from None

    def _message(self) -> str:
        return _shown(self._pending) or _PROMPT

    def _accept(self, buffer: Buffer) -> bool:
        """Take a line that was typed, and leave it on the screen."""
        self.print(sys.stdout, f"{self._message()}{_shown(buffer.text)}\n")
        self._pending = ""
        self._typed.put_nowait(buffer.text)
        return False

    @contextmanager
    def above(self) -> Iterator[None]:
        """Print standard error above the line that is typed, if it is the same terminal."""
        if not sys.stderr.isatty():
            yield
            return
        with redirect_stderr(cast("TextIO", _Above(self, sys.stderr))):
            yield

    def show(self, data: bytes) -> None:
        """Print what came: whole lines above, the rest as the prompt."""
        *whole, rest = (self._pending + self._decoder.decode(data)).split("\n")
        text = "".join(f"{_shown(line)}\n" for line in whole)
        self._pending = "" if self._over or len(rest) > _MOST_PENDING else rest
        if rest and not self._pending:
            text += _shown(rest) if self._over else f"{_shown(rest)}\n"
        self.print(sys.stdout, text)

    def print(self, file: TextIO, text: str) -> None:
        """Print above the line that is typed, which is drawn anew."""
        app = self._session.app
        if app.is_running and text:
            app.renderer.erase()
        file.write(text)
        file.flush()
        app.invalidate()

    def end(self) -> None:
        """Print what has come of a line that is not whole: it was a prompt."""
        if self._pending:
            self.print(sys.stdout, f"{_shown(self._pending)}\n")


class _Above:
    """Standard error while somebody types."""

    def __init__(self, editor: Editor, file: TextIO) -> None:
        self._editor = editor
        self._file = file
        self._begun = ""

    def write(self, text: str) -> int:
        *whole, self._begun = (self._begun + text).split("\n")
        if whole:
            self._editor.print(self._file, "".join(f"{line}\n" for line in whole))
        return len(text)

    def flush(self) -> None:
        """Lines are printed when they are whole."""

    def isatty(self) -> bool:
        return True


def _shown(line: str) -> str:
    """Return a line as it is printed: without the CR at its end, tabs as they are."""
    return "\t".join(map(visible, line.removesuffix("\r").split("\t")))


def _kept(lines: LineFile) -> History:
    from prompt_toolkit.history import History

    class Kept(History):
        def load_history_strings(self) -> Iterable[str]:
            return reversed(lines.load())

        def store_string(self, string: str) -> None:
            lines.append(string)

    return Kept()
