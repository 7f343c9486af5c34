"""What a codec is, and how a fault inside a message finds its path.

A `MessageCodec` is a pair of functions between bytes and whatever values the user works with. `Fault` is how
the converters of this package report a bad value: it is raised where the value is, collects the steps of its
path as it passes outwards through fields, indexes and keys, and becomes a `CodecError` at the edge. So the
path costs nothing until something is wrong.
"""

from __future__ import annotations

import difflib
import reprlib
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from wirelane.errors import CodecError

if TYPE_CHECKING:
    from google.protobuf.descriptor import Descriptor

__all__ = [
    "MAX_DEPTH",
    "TOO_DEEP",
    "Fault",
    "MessageCodec",
    "describe_int",
    "describe_value",
    "index_step",
    "key_step",
    "nearest",
    "nearest_value",
]

MAX_DEPTH: Final = 100
"""How deep messages may nest below the outermost: what protobuf's own parsers accept by default."""

TOO_DEEP: Final = f"messages are nested more than {MAX_DEPTH} deep"

_FEW: Final = 12
_LONGEST_NAME: Final = 200  # of what somebody may have meant; comparing takes time by the square

_short = reprlib.Repr()
_short.maxstring = _short.maxother = _short.maxlong = 60


@dataclass(frozen=True, slots=True)
class MessageCodec:
    """One message type, both ways.

    Attributes:
        name: The full name of the message type, or of the Python type where there is no descriptor.
        encode: Value to bytes. Raises CodecError.
        decode: Bytes to value. Raises CodecError.
        parse: As `decode`, but the function of the messages' library itself, where that does all; else None.
        faults: What `parse` raises instead of CodecError; call `decode` with the same bytes for that.
        fits: Whether the type may stand for one in a schema, where its name does not tell.
    """

    name: str
    encode: Callable[[Any], bytes]
    decode: Callable[[bytes], Any]
    parse: Callable[[bytes], Any] | None = None
    faults: tuple[type[Exception], ...] = ()
    fits: Callable[[Descriptor], bool] | None = None

    def is_of(self, descriptor: Descriptor) -> bool:
        """Whether messages of this type are messages of a type in a schema."""
        return self.name == descriptor.full_name if self.fits is None else self.fits(descriptor)

    @property
    def reader(self) -> Callable[[bytes], Any]:
        """What reads every message of a call: `parse`, or `decode` where there is none."""
        return self.parse or self.decode

    def __repr__(self) -> str:
        return f"<MessageCodec {self.name}>"


class Fault(Exception):
    """A value that does not fit, on its way out to become a CodecError.

    Attributes:
        problem: What is wrong, without the path.
        steps: The path, innermost first: field names, and "[3]" or '["key"]' for what is inside them.
    """

    def __init__(self, problem: str) -> None:
        super().__init__(problem)
        self.problem = problem
        self.steps: list[str] = []

    def at(self, step: str) -> Fault:
        """The same fault, seen from one level further out."""
        self.steps.append(step)
        return self

    @property
    def path(self) -> str:
        """The path from the outermost message, as in `items[3].price`."""
        text = ""
        for step in reversed(self.steps):
            text += step if not text or step.startswith("[") else f".{step}"
        return text

    def error(self) -> CodecError:
        """The public form."""
        return CodecError(self.problem, path=self.path)


def index_step(index: int) -> str:
    """The step of a path into a list."""
    return f"[{index}]"


def key_step(key: object) -> str:
    """The step of a path into a map, the key as JSON would write it."""
    if isinstance(key, bool):
        return "[true]" if key else "[false]"
    if isinstance(key, str):
        return '["{}"]'.format(key.replace("\\", "\\\\").replace('"', '\\"'))
    return f"[{key!r}]"


def describe_value(value: object) -> str:
    """A value for an error message: short, however large it is, and with its type."""
    try:
        text = _short.repr(value)
    except ValueError:  # Python writes no int of more than 4,300 digits
        text = "..."
    return f"{text} ({type(value).__name__})"


def describe_int(number: int) -> str:
    """An integer for an error message, which may be of any size."""
    return str(number) if number.bit_length() <= 256 else f"an int of {number.bit_length()} bits"


def nearest(name: object, known: Iterable[str]) -> str:
    """A hint that ends an error message: '; did you mean "price"?', or nothing where no name is near."""
    if not isinstance(name, str) or len(name) > _LONGEST_NAME:
        return ""
    # Matched without case, so that "firstname" finds "firstName"; told as it is spelt.
    spelt = {each.lower(): each for each in known}
    found = difflib.get_close_matches(name.lower(), spelt, n=1, cutoff=0.6)
    return f'; did you mean "{spelt[found[0]]}"?' if found else ""


def nearest_value(name: str, values: Collection[str]) -> str:
    """As `nearest`, for the values of an enum: where none is near, and they are few, all of them."""
    hint = nearest(name, values)
    if hint or len(values) > _FEW:
        return hint
    return f"; it has {', '.join(values)}"
