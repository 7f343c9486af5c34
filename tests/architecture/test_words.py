"""Nothing is left for later, and nothing depends on one machine."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from support.architecture_support import DOCUMENTS, EXAMPLES, ROOT, SOURCES, name_of

TEXTS = [
    *SOURCES,
    *DOCUMENTS,
    *EXAMPLES,
    *sorted((ROOT / "tools").iterdir()),
    ROOT / "Makefile",
    ROOT / "pyproject.toml",
]
LATER = re.compile(r"\b(?:TO" r"DO|FIX" r"ME|XX" r"X|HA" r"CK)\b")
MACHINE = re.compile(r"(?<![\w.:/-])/(?:home|root|work|mnt|Users)/\w+")


@pytest.mark.parametrize("path", [path for path in TEXTS if path.is_file()], ids=name_of)
def test_a_file_leaves_nothing_for_later_and_names_no_path_of_one_machine(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if LATER.search(line) or MACHINE.search(line)] == []
