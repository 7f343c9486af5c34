"""The allocator keeps what large messages need."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

PROGRAM = """
import resource, sys
from wirelane.net.heap import settle_allocator
if sys.argv[1] == "settled":
    settle_allocator()
def messages():
    for _ in range(30):
        kept = []
        for _ in range(10):
            pieces = [bytes(16_384) for _ in range(64)]
            kept.append(b"".join(pieces))
messages()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
messages()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def page_faults(how: str) -> int:
    done = subprocess.run([sys.executable, "-c", PROGRAM, how], capture_output=True, text=True, check=True)
    return int(done.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="about glibc's malloc")
def test_large_messages_map_no_pages_anew() -> None:
    assert page_faults("settled") * 4 < page_faults("as it is")
