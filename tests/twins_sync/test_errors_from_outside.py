"""Every error that calls and channels meet outside is typed, clear and complete.

Made of `tests/twins` by tools/make_sync.py; do not edit.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from support.errors_support import Place, check
from twins_sync.grpc_errors import TABLE

if TYPE_CHECKING:
    from conftest import Certificates


@pytest.mark.parametrize("name", TABLE)
def test_an_error_from_outside_is_typed_clear_and_complete(
    name: str, ca: Certificates, other_ca: Certificates, tmp_path: Path
) -> None:
    kind, provoke = TABLE[name]
    provoked = provoke(Place(ca, other_ca, tmp_path))
    check(provoked, kind)
