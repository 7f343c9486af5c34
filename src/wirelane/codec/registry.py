"""Which codec a Python type has, by asking finders: those of `libraries`, and those that users add.

A finder takes a type and gives its codec, or None if the type is not its business. Those of users are asked
first, the latest before the others. A codec is for its type alone: a subclass is asked for on its own, so there
is no order of bases and subclasses to keep.

What was found is kept with the type, in an attribute, and goes when the type goes. All of this may be used from
any thread; two that ask for a new type at once may get two codecs, which do the same.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, Final, TypeVar
from weakref import WeakKeyDictionary

from wirelane.codec.base import MessageCodec
from wirelane.errors import CodecError, UsageError

__all__ = ["Finder", "codec_for", "codec_of_message", "decode", "encode", "know", "register"]

Finder = Callable[[type], MessageCodec | None]
_T = TypeVar("_T")

_ATTRIBUTE: Final = "__wirelane_codec__"
_PYTHON: Final = frozenset({"builtins", "datetime", "collections", "types", "decimal", "enum"})

# Replaced, never changed: what is being read stays as it is.
_finders: tuple[Finder, ...] = ()
_lock = threading.Lock()
# Types that take no attributes: bytes.
_found: WeakKeyDictionary[type, tuple[tuple[Finder, ...], MessageCodec]] = WeakKeyDictionary()


def register(finder: Finder) -> Callable[[], None]:
    """Teach every channel and server of this process a further kind of message.

    Args:
        finder: Type to codec, or None for types that are not its business. It is asked once per type.

    Returns:
        A function that takes the finder out again.
    """
    mine = _Registered(finder)
    _change(lambda finders: (mine, *finders))
    return lambda: _change(lambda finders: tuple(each for each in finders if each is not mine))


def know(finders: tuple[Finder, ...]) -> None:
    """Put finders behind all others, for good."""
    _change(lambda known: (*known, *finders))


class _Registered:
    """A finder, told apart from the same one registered again."""

    def __init__(self, finder: Finder) -> None:
        self._finder = finder

    def __call__(self, message_type: type) -> MessageCodec | None:
        return self._finder(message_type)


def _change(change: Callable[[tuple[Finder, ...]], tuple[Finder, ...]]) -> None:
    global _finders  # noqa: PLW0603 - under the lock
    with _lock:
        _finders = change(_finders)


def codec_for(message_type: type) -> MessageCodec:
    """The codec of a message type.

    Raises:
        UsageError: No library that is known here makes such types.
    """
    if not isinstance(message_type, type):
        raise UsageError(f"a message type is a class, not {message_type!r}")
    finders = _finders
    kept = message_type.__dict__.get(_ATTRIBUTE) or _found.get(message_type)
    if kept is not None and kept[0] is finders:
        known: MessageCodec = kept[1]
        return known
    codec = next((made for finder in finders if (made := finder(message_type)) is not None), None)
    if codec is None:
        raise UsageError(
            f"{message_type.__module__}.{message_type.__qualname__} is no message type: accepted are bytes, "
            "subclasses of google.protobuf.message.Message, betterproto2.Message, betterproto.Message and "
            "protobuf.Message (protobuf-py), dataclasses, and what wirelane.codec.register() has taught; dicts need a Schema"
        )
    try:
        # What was found by other finders is found again.
        setattr(message_type, _ATTRIBUTE, (finders, codec))
    except (TypeError, AttributeError):
        _found[message_type] = finders, codec
    return codec


def codec_of_message(value: object) -> MessageCodec | None:
    """The codec of an object, if it is a typed message rather than a value of Python's own: a str, a dict, a datetime."""
    kind = type(value)
    if kind.__module__ in _PYTHON:
        return None
    try:
        return codec_for(kind)
    except UsageError:
        return None


def encode(message: Any) -> bytes:
    """Serialize a typed message of any library.

    Raises:
        UsageError: Its type is not known; a dict needs `Schema.encode`.
        CodecError: It does not encode.
    """
    return codec_for(type(message)).encode(message)


def decode(message_type: type[_T], data: bytes) -> _T:
    """Parse a typed message of any library.

    Raises:
        UsageError: The type is not known.
        CodecError: The bytes are no message of this type.
    """
    message = codec_for(message_type).decode(data)
    if not isinstance(message, message_type):
        raise CodecError(f"the codec of {message_type.__qualname__} gave {type(message).__qualname__}")
    return message
