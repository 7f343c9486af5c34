"""Messages of betterproto2 and betterproto: dataclasses that serialize themselves, and here faster.

`find_codec` gives the codec of a message class: functions generated per class over upb (`wirelane.codec.glue`),
equal to what the library does and some fifteen times as fast, or the library's own methods for a class which
has its own ways. `plans` and `older` say what the glue has to know of a class, `describe` writes its .proto files,
`acceleration` gives the speed to code that uses betterproto2 without wirelane.

Neither library is imported here, and nothing that is only needed for their messages before there is one.
"""

from __future__ import annotations

from wirelane.codec.base import MessageCodec
from wirelane.codec.betterproto.bases import library_of

__all__ = ["find_codec"]


def find_codec(message_type: type) -> MessageCodec | None:
    """The codec of a subclass of betterproto2.Message or betterproto.Message."""
    if library_of(message_type) is None:
        return None
    from wirelane.codec.betterproto.codecs import codec_of

    return codec_of(message_type)
