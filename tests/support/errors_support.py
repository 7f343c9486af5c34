"""For tests that provoke errors from outside: what a row of their tables may use, what it gives, and what is checked of it."""

from __future__ import annotations

import pickle
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from conftest import Certificates


@dataclass(frozen=True)
class Place:
    """What a row may use."""

    ca: Certificates
    other_ca: Certificates
    files: Path


@dataclass
class Provoked:
    """What came of it.

    Attributes:
        error: As it was caught.
        says: What its text must name.
        fields: What its attributes must hold; a callable judges its attribute.
    """

    error: BaseException
    says: tuple[str, ...]
    fields: dict[str, Any] = field(default_factory=dict)


def check(provoked: Provoked, kind: type[BaseException]) -> None:
    """The error is of this class, reads well, has what it should, and survives pickling."""
    error = provoked.error
    assert type(error) is kind
    check_text(error, provoked.says)
    for attribute, expected in provoked.fields.items():
        value = getattr(error, attribute)
        assert expected(value) if callable(expected) else value == expected, (attribute, value)
    check_pickle(error)


def check_text(error: BaseException, says: tuple[str, ...]) -> None:
    """One line, of a length that a person reads, with the things that matter in it and none that do not."""
    text = str(error)
    assert [part for part in says if part.lower() not in text.lower()] == [], text
    assert text == text.strip()
    assert text
    assert "\n" not in text
    assert len(text) < 400
    assert not re.search(r"0x[0-9a-f]{6}|Traceback|_ssl\.c|\bNone\b|Errno|<class", text), text


def check_pickle(error: BaseException) -> None:
    twin = pickle.loads(pickle.dumps(error))
    assert type(twin) is type(error)
    assert (str(twin), repr(twin), twin.args) == (str(error), repr(error), error.args)
    # Exceptions inside (ConnectError.attempts) are equal to nothing but themselves.
    assert repr(vars(twin)) == repr(vars(error))
