"""Messages to bytes and back.

Dicts by a runtime schema (`Schema`), typed messages of google.protobuf, betterproto2, betterproto and protobuf-py by their
class (`codec_for`, `encode`, `decode`), and bytes as they are. Importing this package imports no betterproto.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from wirelane._lazy import lazy
from wirelane.codec.base import MessageCodec
from wirelane.codec.details import StatusDetail, decode_status_details, encode_status_details
from wirelane.codec.embedded import EmbeddedSchema
from wirelane.codec.formats import DictFormat
from wirelane.codec.libraries import FINDERS
from wirelane.codec.nano import NanoDatetime, NanoTimedelta
from wirelane.codec.registry import codec_for, decode, encode, know, register
from wirelane.codec.schema import Schema

if TYPE_CHECKING:
    from wirelane.codec.betterproto.acceleration import Acceleration as Acceleration
    from wirelane.codec.betterproto.acceleration import accelerate as accelerate
else:
    __getattr__, __dir__ = lazy(__name__)

__all__ = [
    "Acceleration",
    "DictFormat",
    "EmbeddedSchema",
    "MessageCodec",
    "NanoDatetime",
    "NanoTimedelta",
    "Schema",
    "StatusDetail",
    "accelerate",
    "codec_for",
    "decode",
    "decode_status_details",
    "encode",
    "encode_status_details",
    "register",
]

know(FINDERS)
