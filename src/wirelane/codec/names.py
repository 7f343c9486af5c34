"""The full names of message classes: "pkg.Message", whatever library made them.

No library is imported here: what is needed is at the class, or in the module that defines it.
"""

from __future__ import annotations

import sys
from typing import Any

from google.protobuf.message import Message

from wirelane.codec.protobuf import descriptor_of

__all__ = ["full_name"]


def full_name(message_type: type[Any]) -> str | None:
    """The full name of a message class, or None where the class does not know it.

    google.protobuf keeps it in the descriptor, betterproto2 in the pool that its generated modules register with.
    """
    if issubclass(message_type, Message):
        return descriptor_of(message_type).full_name
    pool = getattr(sys.modules.get(message_type.__module__), "default_message_pool", None)
    urls = getattr(pool, "type_to_url", {})
    url = urls.get(message_type) if isinstance(urls, dict) else None
    return url.rpartition("/")[2].lstrip(".") if isinstance(url, str) else None
