"""Messages of betterproto2 and betterproto: dataclasses that serialize themselves, and here faster.

`find_codec` gives the codec of a message class: functions generated per class over upb (`wirelane.codec.glue`),
equal to what the library does and some fifteen times as fast, or the library's own methods for a class which
has its own ways.

Neither library is imported here. A class can only be one of theirs if the library was imported before, so it
is looked for in `sys.modules`.
"""

from __future__ import annotations

from wirelane.codec.betterproto.accelerate import Acceleration, accelerate
from wirelane.codec.betterproto.codecs import find_codec

__all__ = ["Acceleration", "accelerate", "find_codec"]
