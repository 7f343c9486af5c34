"""Finding a name among many, and naming the nearest ones when it is not there."""

from __future__ import annotations

import difflib
import heapq
from collections.abc import Collection, Iterable

__all__ = ["by_suffix", "did_you_mean", "nearest"]

# difflib compares character by character: on a schema of 100,000 names an error message would take seconds.
_COMPARED = 2000


def by_suffix(name: str, names: Iterable[str]) -> list[str]:
    """Return the dotted names that end with `name` at a dot: "Summator" finds "pkg.Summator"."""
    tail = "." + name
    return [known for known in names if known.endswith(tail)]


def nearest(name: str, names: Collection[str], *, count: int = 3) -> list[str]:
    """Return up to `count` of `names` that somebody who wrote `name` may have meant, the likeliest first."""
    folded = name.lower()
    separator = "/" if "/" in name or name.endswith(".proto") else "."
    short = folded.rpartition(separator)[2]
    found = [known for known in names if known.lower() == folded]
    found += [
        known for known in names if known.lower().rpartition(separator)[2] == short and known not in found
    ]
    if len(found) < count:
        close = _alike(name, names)
        found += [known for known in difflib.get_close_matches(name, close, n=count) if known not in found]
    if len(found) < count:
        # The package may be wrong, or not there, and the rest nearly right: compare last parts alone.
        tails = {known.rpartition(separator)[2]: known for known in sorted(names, reverse=True)}
        close = _alike(short, tails)
        matches = difflib.get_close_matches(name.rpartition(separator)[2], close, n=count)
        found += [tails[tail] for tail in matches if tails[tail] not in found]
    return found[:count]


def _alike(name: str, names: Collection[str]) -> Collection[str]:
    """Return those of `names` that are about as long as `name`, if there are too many to compare them all."""
    if len(names) <= _COMPARED:
        return names
    return heapq.nsmallest(_COMPARED, names, key=lambda known: abs(len(known) - len(name)))


def did_you_mean(name: str, names: Collection[str]) -> str:
    """Return '; did you mean "x" or "y"?', or nothing when no name is near."""
    found = nearest(name, names)
    if not found:
        return ""
    return "; did you mean " + " or ".join(f'"{known}"' for known in found) + "?"
