"""One schema from one http(s) URL, fetched because the user wrote it; nothing is ever fetched for an import."""

from __future__ import annotations

import base64
import http.client
import socket
import threading
import urllib.error
import urllib.request
from typing import IO, TYPE_CHECKING, Final
from urllib.parse import unquote, urlsplit

from wirelane._version import __version__
from wirelane.core.deadline import Deadline
from wirelane.errors import LimitExceeded, SchemaError
from wirelane.schema.urls import is_url, without_password

if TYPE_CHECKING:
    from http.client import HTTPMessage

__all__ = ["fetch"]

_CHUNK: Final = 64 * 1024


def fetch(url: str, *, most: int, deadline: Deadline) -> bytes:
    """Return the body that a URL answers with. Blocks until the deadline at most, names being resolved aside.

    Redirects are followed to http and https only, and from https to https only; user and password of the URL go to
    its own host only; the system's proxy settings hold.

    Raises:
        SchemaError: No answer, not in time, or one that is no success.
        LimitExceeded: The body has more than `most` bytes.
    """
    shown = without_password(url)
    lines = _Lines()
    # A server that sends a byte now and then would keep any timeout per read from firing, so time cuts the line.
    watch = threading.Timer(deadline.remaining(), lines.cut)
    watch.daemon = True
    watch.start()
    try:
        with _opener(lines).open(_request(url), timeout=max(deadline.remaining(), 0.001)) as answer:
            body = _read(answer, most, shown)
            short = answer.length
    except urllib.error.HTTPError as error:
        with error:
            raise SchemaError(f"{shown} answers {error.code} {error.reason}") from None
    except (OSError, http.client.HTTPException, ValueError) as error:
        if deadline.expired():
            raise SchemaError(f"{shown} did not answer in time") from error
        reason = error.reason if isinstance(error, urllib.error.URLError) else error
        raise SchemaError(f"{shown} cannot be fetched: {reason or type(error).__name__}") from error
    finally:
        watch.cancel()
        watch.join()
        lines.close()
    if deadline.expired():
        # A line that was cut can look like one that ended.
        raise SchemaError(f"{shown} did not answer in time")
    if short:
        raise SchemaError(f"{shown} ended {short} bytes early")
    return body


def _request(url: str) -> urllib.request.Request:
    request = urllib.request.Request(  # noqa: S310 - the caller saw to the scheme
        without_password(url), headers={"User-Agent": f"wirelane/{__version__}"}
    )
    parts = urlsplit(url)
    if parts.username is not None:
        pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}".encode()
        request.add_unredirected_header("Authorization", "Basic " + base64.b64encode(pair).decode("ascii"))
    return request


def _read(answer: http.client.HTTPResponse, most: int, shown: str) -> bytes:
    body = bytearray()
    while chunk := answer.read1(_CHUNK):
        body += chunk
        if len(body) > most:
            raise LimitExceeded(
                f"{shown} is larger than max_url_bytes={most}",
                limit="max_url_bytes",
                maximum=most,
                seen=len(body),
            )
    return bytes(body)


class _Lines:
    """Second handles on the sockets of a fetch, by which another thread may cut them at any moment.

    The connection objects are no use for that: they let go of their socket once the response has begun, and during
    a TLS handshake nobody outside has it.
    """

    def __init__(self) -> None:
        self._handles: list[socket.socket] = []
        self._lock = threading.Lock()
        self._is_cut = False

    def note(self, line: socket.socket) -> None:
        with self._lock:
            self._handles.append(line.dup())
        if self._is_cut:
            self.cut()

    def cut(self) -> None:
        self._is_cut = True
        with self._lock:
            for handle in self._handles:
                try:
                    handle.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass  # it is not connected any more, which is all that is wanted

    def close(self) -> None:
        with self._lock:
            for handle in self._handles:
                handle.close()
            self._handles.clear()


class _Redirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        if not is_url(newurl) or (
            req.full_url.lower().startswith("https:") and newurl.lower().startswith("http:")
        ):
            fp.close()  # urllib closes it on its own errors only
            raise SchemaError(f"{req.full_url} redirects to {without_password(newurl)}; refused")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _opener(lines: _Lines) -> urllib.request.OpenerDirector:
    class Plain(http.client.HTTPConnection):
        def connect(self) -> None:
            super().connect()
            lines.note(self.sock)

    # HTTPSConnection connects by way of the next class, which is Plain, and shakes hands after that.
    class Secure(http.client.HTTPSConnection, Plain):
        pass

    class PlainHandler(urllib.request.HTTPHandler):
        def http_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
            return self.do_open(Plain, req)

    class SecureHandler(urllib.request.HTTPSHandler):
        def https_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
            return self.do_open(Secure, req)

    opener = urllib.request.OpenerDirector()
    # By hand, since build_opener would add handlers for file:, ftp: and data:.
    for handler in (
        urllib.request.ProxyHandler(),
        PlainHandler(),
        SecureHandler(),
        _Redirects(),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPErrorProcessor(),
    ):
        opener.add_handler(handler)
    return opener
