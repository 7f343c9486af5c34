"""The full names of message classes: "pkg.Message", whatever library made them.

No library is imported here: what is needed is at the class, or in the module that defines it.
"""

from __future__ import annotations

from typing import Any

from google.protobuf.message import Message

from wirelane.codec.betterproto.bases import library_of
from wirelane.codec.protobuf import descriptor_of
from wirelane.codec.protobuf_py import is_message as is_message_of_buf

__all__ = ["full_name"]


def full_name(message_type: type[Any]) -> str | None:
    """The full name of a message class, or None where the class does not know it.

    google.protobuf and protobuf-py keep it in the descriptor, betterproto2 in the pool that its generated modules
    register with.
    """
    if issubclass(message_type, Message):
        return descriptor_of(message_type).full_name
    if is_message_of_buf(message_type):
        name: str = message_type.desc().type_name
        return name
    if library_of(message_type) != "betterproto2":
        return None
    from wirelane.codec.betterproto.names import is_registered, message_name

    return message_name(message_type)[1] if is_registered(message_type) else None
