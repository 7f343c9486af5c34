"""Messages that are packed (encoded, and compressed where that is asked for) where they are made, and not where they are sent.

That is what a thread does which goes through an iterable for the loop: see `wirelane.sync`. Who sends messages looks for this
class, gives it `pack`, and takes what comes as it is. So what waits to be sent can be measured in octets, and a message is as it was,
and travels as was said, when it was given.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from typing import Any, TypeAlias

__all__ = ["Packed", "PackedMessages"]

Packed: TypeAlias = tuple[bytes, bool]
"""One message, ready to be sent: payload, and whether it is compressed."""


class PackedMessages(AsyncGenerator[Any, None]):
    """Messages that come packed, if they were told by what.

    Attributes:
        pack: Set before the first is asked for. Called in another thread than the loop's; what it raises is raised in the place of
            the message.
    """

    pack: Callable[[Any], Packed] | None = None
