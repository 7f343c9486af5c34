"""The seventeen status codes of gRPC.

Numbers and names are those of `google.rpc.Code` (https://grpc.io/docs/guides/status-codes/). This module is
the bottom of the house: it imports nothing of ours.
"""

from __future__ import annotations

from enum import IntEnum

__all__ = ["StatusCode"]


class StatusCode(IntEnum):
    """How a call ended. An `int`, so that it compares with the number on the wire."""

    OK = 0
    CANCELLED = 1
    UNKNOWN = 2
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    ALREADY_EXISTS = 6
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    ABORTED = 10
    OUT_OF_RANGE = 11
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    DATA_LOSS = 15
    UNAUTHENTICATED = 16

    @classmethod
    def of(cls, value: int | str | StatusCode) -> StatusCode:
        """Return the code for a number, a name in any case, or a code.

        A number that gRPC does not define is UNKNOWN, as every gRPC library reads one from a peer; a name
        that it does not define is a mistake of the caller. The text of a number (`"5"`) counts as the number.

        Raises:
            ValueError: `value` is a text that names no status code.
        """
        if isinstance(value, StatusCode):
            return value
        if isinstance(value, int):
            return _BY_NUMBER.get(value, cls.UNKNOWN)
        text = value.strip()
        if text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS:
            return _BY_NUMBER.get(int(text), cls.UNKNOWN)
        # The two spellings of the one code whose name the languages disagree about.
        name = text.upper().replace("-", "_").replace(" ", "_")
        code = _BY_NAME.get("CANCELLED" if name == "CANCELED" else name)
        if code is None:
            raise ValueError(f"no gRPC status code is named {value!r}; the names are {', '.join(_BY_NAME)}")
        return code


_BY_NUMBER = {int(code): code for code in StatusCode}
_BY_NAME = {code.name: code for code in StatusCode}
_MOST_DIGITS = 10  # int() of a hostile text is quadratic; no code has more than two digits.
