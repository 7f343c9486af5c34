"""From a plan to functions that encode and decode: descriptors and source are made at first use of a class.

Everything is made under one lock and published by one store; what is published never changes. It is kept in an
attribute of the class: a table with weak keys would keep a class for ever, since the functions refer to it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, NoReturn

from google.protobuf.message import DecodeError, EncodeError, Message

from wirelane.codec.base import TOO_DEEP, Fault, describe_value
from wirelane.codec.glue.careful import fill
from wirelane.codec.glue.careful_read import read
from wirelane.codec.glue.plan import Inside, Plan
from wirelane.codec.glue.source import Source
from wirelane.codec.glue.wire import Wire
from wirelane.errors import CodecError

__all__ = ["Glue", "closure", "glue_of", "kept_glue"]

_ATTRIBUTE = "__wirelane_glue__"
_lock = threading.RLock()
_wire = Wire()


class Glue:
    """One class between its objects and bytes.

    Attributes:
        plan: What it was made from.
        encode: An object to bytes. Raises CodecError with the path of what does not fit.
        decode: Bytes to a new object. Raises CodecError.
        write: Stores an object in an empty upb message.
        read: The object of a upb message.
    """

    __slots__ = ("_message_class", "decode", "encode", "plan", "read", "write")

    def __init__(self, plan: Plan, source: Source, message_class: type[Message]) -> None:
        self.plan = plan
        self.write = source.write
        self.read = source.read
        self._message_class = message_class
        self.encode = self.encoder(self.encode_carefully, self.encode_carefully)
        self.decode = self.decoder(self.refuse)

    def __repr__(self) -> str:
        return f"<Glue of {self.plan.python_name}>"

    def encoder(
        self, other: Callable[[Any], bytes], failed: Callable[[Any], bytes]
    ) -> Callable[[Any], bytes]:
        """A function that serializes objects.

        Args:
            other: Serializes what is not exactly of the class, or raises.
            failed: Serializes an object that was too much for the generated function, or raises.
        """
        kind, message_class, write = self.plan.kind, self._message_class, self.write
        serialize = message_class.SerializeToString

        def encode(value: Any) -> bytes:
            if type(value) is not kind:
                return other(value)
            try:
                message = message_class()
                write(value, message)
                return serialize(message)
            except Exception:  # noqa: BLE001 - a wrong value fails in whatever way it comes to
                return failed(value)

        return encode

    def decoder(self, failed: Callable[[bytes, Exception], Any]) -> Callable[[bytes], Any]:
        """A function that makes an object of its serialized form.

        Args:
            failed: Called with the bytes and what they led to: makes an object after all, or raises.
        """
        parse, read = self._message_class.FromString, self.read

        def decode(data: bytes) -> Any:
            try:
                return read(parse(data))
            except Exception as error:  # noqa: BLE001 - conversions and checks are not ours, and raise what they like
                return failed(data, error)

        return decode

    def refuse(self, data: bytes, error: Exception) -> NoReturn:
        """Raise what is wrong with bytes that made no object.

        Raises:
            CodecError: They are no message, or one that is no object: then with the path of the value.
        """
        name = self.plan.python_name
        if isinstance(error, DecodeError):
            # upb: "Error parsing message with type 'x.Y': Wire format was corrupt".
            reason = str(error).rpartition("': ")[2]
            raise CodecError(f"{len(data)} bytes are no valid {name}: {reason}") from error
        message = self._message_class()
        try:
            message.MergeFromString(data)
            read(self.plan, message)
        except Fault as fault:
            found = fault.error()
            raise found if found.path else CodecError(f"no valid {name}: {found.message}") from error
        except RecursionError:
            raise CodecError(f"no valid {name}: {TOO_DEEP}") from error
        raise CodecError(f"{len(data)} bytes are no valid {name}: {type(error).__name__}: {error}") from error

    def encode_carefully(self, value: Any) -> bytes:
        """As `encode`, one value after the other.

        Raises:
            CodecError: A value does not fit; `.path` names it.
        """
        message = self._message_class()
        try:
            fill(self.plan, value, message)
            return message.SerializeToString()
        except Fault as fault:
            raise fault.error() from fault.__cause__
        except RecursionError:
            raise CodecError(f"{describe_value(value)}: {TOO_DEEP}") from None
        except EncodeError as error:
            raise CodecError(f"{self.plan.python_name} does not encode: {error}") from error


def kept_glue(kind: type) -> Glue | None:
    """The glue of a class, if it has been made."""
    glue: Glue | None = kind.__dict__.get(_ATTRIBUTE)
    return glue


def glue_of(plan: Plan) -> Glue:
    """The glue of a class, made if it is not there yet. Safe to call from any thread.

    Raises:
        Unplannable: The class, or one inside it, cannot be expressed. Nothing was made.
    """
    glue = kept_glue(plan.kind)
    if glue is None:
        with _lock:
            glue = kept_glue(plan.kind) or _make(plan)
    return glue


def _make(plan: Plan) -> Glue:
    global _wire  # noqa: PLW0603 - under the lock
    plans = closure(plan)
    if _wire.spent:
        _wire = Wire()
    _wire.describe(plans)
    made: dict[type, Glue] = {}
    sources: list[Source] = []
    # Innermost first: protobuf makes a class with those of all fields, one inside the other, as deep as it goes.
    for each in reversed(plans):
        if kept_glue(each.kind) is None:
            message_class = _wire.message_class(each)
            sources.append(Source(each, message_class))
            made[each.kind] = Glue(each, sources[-1], message_class)

    def link(inner: Plan) -> tuple[Any, Any]:
        glue = made.get(inner.kind) or kept_glue(inner.kind)
        assert glue is not None
        return glue.write, glue.read

    for source in sources:
        source.link(link)
    for kind, glue in made.items():
        setattr(kind, _ATTRIBUTE, glue)
    return made[plan.kind]


def closure(*roots: Plan, opaque: bool = False) -> list[Plan]:
    """Plans and all that are inside them, each after one that it is inside of.

    Args:
        roots: Where to begin.
        opaque: Whether to go into what the glue does not go into, for `files_of`.
    """
    found = {plan.kind: plan for plan in roots}
    waiting = list(found.values())
    while waiting:
        for field in waiting.pop().fields:
            if field.inside is None or isinstance(field.inside, Inside) or (field.opaque and not opaque):
                continue
            inner = field.inside()
            if inner.kind not in found:
                found[inner.kind] = inner
                waiting.append(inner)
    return list(found.values())
