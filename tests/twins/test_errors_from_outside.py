"""Every error that calls and channels meet outside is typed, clear and complete: written once, run with asyncio and without."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from support.errors_support import Place, check
from twins.grpc_errors import TABLE

if TYPE_CHECKING:
    from conftest import Certificates


@pytest.mark.parametrize("name", TABLE)
async def test_an_error_from_outside_is_typed_clear_and_complete(
    name: str, ca: Certificates, other_ca: Certificates, tmp_path: Path
) -> None:
    kind, provoke = TABLE[name]
    provoked = await provoke(Place(ca, other_ca, tmp_path))
    check(provoked, kind)
