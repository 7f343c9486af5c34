# Written by wirelane generate; do not edit.

from __future__ import annotations

import typing

import betterproto2

# A cast, because the class does not say what it takes.
default_message_pool = typing.cast(
    "typing.Callable[[], betterproto2.MessagePool]",
    betterproto2.MessagePool,
)()
