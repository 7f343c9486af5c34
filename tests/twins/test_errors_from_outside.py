"""Every error of the tree as a user meets it, provoked over real sockets and files: written once, run with asyncio and without.

Each row of the tables provokes one error and says what its text must name (host, limit, path, place in a file) and what its fields
hold; for all of them the test checks that the text is one line for a person, and that a pickled error is the same error.
`WirelaneError` itself is never raised; it is what all of them are caught by.
"""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import wirelane.errors
from support.errors_support import Place, check
from twins import grpc_errors, tcp_errors
from wirelane import WirelaneError

if TYPE_CHECKING:
    from conftest import Certificates

TABLE = {**grpc_errors.TABLE, **tcp_errors.TABLE}
CLASSES = {
    value for value in map(vars(wirelane.errors).get, wirelane.errors.__all__) if inspect.isclass(value)
}


def test_the_tables_provoke_every_error_but_the_base() -> None:
    assert {kind for kind, _ in TABLE.values()} == CLASSES - {WirelaneError}
    assert all(issubclass(kind, WirelaneError) for kind in CLASSES)
    assert len(TABLE) == len(grpc_errors.TABLE) + len(tcp_errors.TABLE)


@pytest.mark.parametrize("name", TABLE)
async def test_an_error_from_outside_is_typed_clear_and_complete(
    name: str, ca: Certificates, other_ca: Certificates, tmp_path: Path
) -> None:
    kind, provoke = TABLE[name]
    provoked = await provoke(Place(ca, other_ca, tmp_path))
    check(provoked, kind)
