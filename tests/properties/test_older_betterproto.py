"""Messages of betterproto 1.2 and 2.0: what the glue does means what the library does."""

from __future__ import annotations

import pytest

from support.codec_support import ROOT
from support.older_support import VERSIONS, run_with


@pytest.mark.timeout(600)
@pytest.mark.parametrize("version", VERSIONS)
def test_messages_of_older_versions_are_taken_as_they_are(version: str) -> None:
    run_with(version, ROOT / "tests" / "support" / "older_cases.py")
