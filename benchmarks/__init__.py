"""wirelane beside its peers, in one run on one machine: `python -m benchmarks --help`."""

from __future__ import annotations
