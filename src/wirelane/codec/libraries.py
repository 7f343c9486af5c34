"""The kinds of messages that need not be taught: bytes, messages of four libraries, dataclasses."""

from __future__ import annotations

from typing import Final

from wirelane.codec import betterproto, protobuf, protobuf_py, raw
from wirelane.codec.base import MessageCodec
from wirelane.codec.registry import Finder, codec_for

__all__ = ["FINDERS"]


def _find_dataclass(message_type: type) -> MessageCodec | None:
    # Last: the messages of betterproto2 are dataclasses, too.
    if not hasattr(message_type, "__dataclass_fields__"):
        return None
    from wirelane.codec.dataclasses.plans import find_codec

    return find_codec(message_type, codec_for)


FINDERS: Final[tuple[Finder, ...]] = (
    raw.find_codec,
    protobuf.find_codec,
    betterproto.find_codec,
    protobuf_py.find_codec,
    _find_dataclass,
)
"""In the order in which they are asked."""
