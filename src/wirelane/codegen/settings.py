"""What is to be generated."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from wirelane.errors import UsageError

__all__ = ["Messages", "Settings"]


class Messages(StrEnum):
    """The library that messages are generated for."""

    BETTERPROTO2 = "betterproto2"
    PROTOBUF = "protobuf"
    BETTERPROTO = "betterproto"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Settings:
    """What is to be generated.

    Attributes:
        messages: The library of the messages; NONE: no classes, messages are dicts.
        services: Write stubs and service bases.
        sync: Write those for `wirelane.sync`, too.
    """

    messages: Messages = Messages.BETTERPROTO2
    services: bool = True
    sync: bool = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "messages", _messages(self.messages))
        for name in ("services", "sync"):
            if not isinstance(getattr(self, name), bool):
                raise UsageError(f"{name} is True or False, not {getattr(self, name)!r}")
        if self.messages is Messages.NONE and not self.services:
            raise UsageError("without messages and without services there is nothing to write")

    @classmethod
    def of_parameter(cls, parameter: str) -> Settings:
        """Return the settings that a protoc plugin was given, as in "messages=protobuf,sync=false".

        Raises:
            UsageError: An option or its value is not known.
        """
        given: dict[str, str | bool] = {}
        for part in filter(None, (each.strip() for each in parameter.split(","))):
            name, _, value = part.partition("=")
            if name == "messages":
                given[name] = value
            elif name in ("services", "sync"):
                given[name] = _flag(name, value or "true")
            else:
                raise UsageError(f"there is no option {name!r}; there are messages, services and sync")
        return cls(**given)  # type: ignore[arg-type]  # checked by it


def _messages(value: str) -> Messages:
    try:
        return Messages(value)
    except ValueError:
        raise UsageError(f"messages is one of {', '.join(Messages)}, not {value!r}") from None


def _flag(name: str, value: str) -> bool:
    if value not in ("true", "false"):
        raise UsageError(f"{name} is true or false, not {value!r}")
    return value == "true"
