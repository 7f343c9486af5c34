"""URLs as text; `fetch` does the rest."""

from __future__ import annotations

from typing import Final
from urllib.parse import urlsplit, urlunsplit

__all__ = ["is_url", "without_password"]

_SCHEMES: Final = ("http://", "https://")


def is_url(text: str) -> bool:
    """Whether `text` is an http(s) URL, as far as its beginning tells."""
    return text[:8].lower().startswith(_SCHEMES) and not any(char.isspace() for char in text)


def without_password(url: str) -> str:
    """Return the URL as it may be shown: without user and password."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
