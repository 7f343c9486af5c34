"""What the C allocator does with the memory of large messages."""

from __future__ import annotations

import functools

__all__ = ["settle_allocator"]

# Four of the longest messages that are accepted by default; the allocator follows up to 32 MiB.
_BLOCK = 16 * 1024 * 1024


@functools.cache
def settle_allocator() -> None:
    """Have the C library keep up to 32 MiB of heap between large messages. Once per process; costs microseconds.

    glibc gives the top of the heap back to the system whenever more than a threshold of it is free, 128 KiB at first,
    and takes it again for the next message: each of its pages then has to be mapped anew. Messages of 1 MiB spent more
    time on that than on everything else together. The threshold grows, to twice their size, with the largest block
    that was ever allocated apart from the heap and freed (mallopt(3), M_MMAP_THRESHOLD), so that a server would come to
    it by itself in time. Nothing is touched of this block: it costs no memory. Where malloc works otherwise, it does
    nothing.
    """
    bytes(_BLOCK)
