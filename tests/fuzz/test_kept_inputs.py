"""Every input that a search begins with or that it kept goes through every target again, without the search.

`make fuzz` searches for more; CONTRIBUTING.md tells how. An input that was made for one target is as good as any for the
others.
"""

from __future__ import annotations

import base64

import pytest

from fuzz import kept
from fuzz.seeds import seeds
from fuzz.targets import TARGETS


@pytest.mark.parametrize("name", TARGETS)
def test_a_target_takes_what_was_kept_for_any(name: str) -> None:
    target = TARGETS[name]
    for source, first in seeds().items():
        for data in [*first, *kept.read(source)]:
            try:
                target(data)
            except Exception as error:
                error.add_note(f"the input is {base64.b64encode(data).decode()}, kept for {source}")
                raise


@pytest.mark.parametrize("name", TARGETS)
def test_inputs_are_kept_and_sorted_as_they_would_be_written(name: str) -> None:
    inputs = kept.read(name)
    assert inputs
    assert kept.path_of(name).read_text(encoding="ascii") == kept.text_of(inputs)


def test_the_corpus_stays_small() -> None:
    assert sum(kept.path_of(name).stat().st_size for name in TARGETS) < 320 * 1024
