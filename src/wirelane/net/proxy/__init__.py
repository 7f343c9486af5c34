"""Proxies on the way to a server: which ones (`config`, `environment`), what is said to them (`http_connect`, `socks`), in turn (`route`).

Contract: a connection that was to go through a proxy goes through it or fails with ProxyError; there is no way back to
a direct one. What is read behind a proxy's answer belongs to the server and is kept. No user, password or header of a
proxy is part of any message, `repr` or log.
"""

from __future__ import annotations

from wirelane.net.proxy.config import ProxyConfig, ProxyKind
from wirelane.net.proxy.route import ProxyLike, Route, open_through, resolve_proxy

__all__ = ["ProxyConfig", "ProxyKind", "ProxyLike", "Route", "open_through", "resolve_proxy"]
