"""Proxies that others wrote: microsocks, Dante, tinyproxy, squid, and stunnel's SOCKS, each with settings of its own.

All are context managers that give a `Program` which listens at a port of 127.0.0.1 and reaches loopback alone. With
`hosts`, a program knows names that nobody else does: what it connects to by such a name, it has resolved itself.
"""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from support.namespaces import seeing
from support.outside_support import hosts_file, names_of, socat_pem, stunnel, with_hosts
from support.programs import Program, path_of, serving

if TYPE_CHECKING:
    from conftest import Certificates
    from support.namespaces import Network

USER = "marlene"
"""Who is let in where `password` is given."""

Words = Sequence[str | Path]


@contextmanager
def microsocks(
    *, password: str | None = None, hosts: Mapping[str, str] | None = None, within: Network | None = None
) -> Iterator[Program]:
    """Run microsocks: SOCKS 5."""

    def command(port: int, directory: Path) -> Words:
        who = () if password is None else ("-u", USER, "-P", password)
        return with_hosts(hosts, directory, ("microsocks", "-i", "127.0.0.1", "-p", str(port), *who))

    with serving(command, within=within) as program:
        yield program


_DANTE = """
logoutput: stderr
internal: 127.0.0.1 port = {port}
external: 127.0.0.1
external: ::1
clientmethod: none
socksmethod: {method}
user.privileged: {user}
user.unprivileged: {user}
client pass {{
  from: 0/0 to: 0/0
}}
{rules}
socks pass {{
  from: 0/0 to: 0/0
  protocol: tcp
  log: error connect
}}
"""


@contextmanager
def dante(
    *, password: str | None = None, hosts: Mapping[str, str] | None = None, blocked_port: int | None = None
) -> Iterator[Program]:
    """Run Dante's server: SOCKS 4 and 5.

    It asks the system for users. With `password` it sees one more in its own copy of the system's files.
    """

    def command(port: int, directory: Path) -> Words:
        rules = ""
        if blocked_port is not None:
            rules = f"socks block {{\n  from: 0/0 to: 0/0 port = {blocked_port}\n  log: connect\n}}\n"
        files = {} if hosts is None else names_of(hosts)
        if password is not None:
            files.update(_one_more_user(password))
        # Whoever makes namespaces is root in them.
        user = "root" if files else pwd.getpwuid(os.geteuid()).pw_name
        method = "none" if password is None else "username"
        config = directory / "danted.conf"
        config.write_text(_DANTE.format(port=port, rules=rules, user=user, method=method))
        words: Words = ("danted", "-f", config, "-p", directory / "danted.pid")
        return seeing(files, directory, words) if files else words

    with serving(command) as program:
        yield program


def _one_more_user(password: str) -> dict[str, str]:
    return {
        "/etc/passwd": Path("/etc/passwd").read_text() + f"{USER}:x:65530:65530::/:/bin/false\n",
        "/etc/shadow": f"{USER}:{_hashed('-6', password)}:19000:0:99999:7:::\n",
    }


def _hashed(way: str, password: str) -> str:
    command = [path_of("openssl"), "passwd", way, password]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=20)
    return done.stdout.strip()


@contextmanager
def tinyproxy(
    *, password: str | None = None, hosts: Mapping[str, str] | None = None, connect_port: int | None = None
) -> Iterator[Program]:
    """Run tinyproxy: HTTP CONNECT, to all ports or to one alone."""

    def command(port: int, directory: Path) -> Words:
        lines = [f"Port {port}", "Listen 127.0.0.1", "Timeout 60", "LogLevel Connect"]
        lines += [f"BasicAuth {USER} {password}"] if password is not None else []
        lines += [f"ConnectPort {connect_port}"] if connect_port is not None else []
        config = directory / "tinyproxy.conf"
        config.write_text("\n".join([*lines, ""]))
        return with_hosts(hosts, directory, ("tinyproxy", "-d", "-c", config))

    with serving(command) as program:
        yield program


_SQUID = """
{listen}
{rules}
http_access allow all
pid_filename none
access_log stdio:{logs}/access.log
cache_log {logs}/cache.log
logfile_rotate 0
cache deny all
cache_mem 0
memory_pools off
shutdown_lifetime 0 seconds
coredump_dir {logs}
netdb_filename none
icon_directory {logs}
icp_port 0
pinger_enable off
max_filedescriptors 1024
hosts_file {hosts}
dns_nameservers 127.0.0.1
dns_timeout 1 second
"""


@contextmanager
def squid(
    *,
    password: str | None = None,
    hosts: Mapping[str, str] | None = None,
    tls: Certificates | None = None,
    blocked_port: int | None = None,
) -> Iterator[Program]:
    """Run squid: HTTP CONNECT, over TLS with `tls`. What it says about each request is in its log."""

    def command(port: int, directory: Path) -> Words:
        logs = directory / "logs"
        logs.mkdir()
        if os.geteuid() == 0:
            shutil.chown(logs, "proxy")  # whom it becomes
        # Read back through links in the directory of the program.
        for log in ("access.log", "cache.log"):
            (directory / log).symlink_to(logs / log)
        known = directory / "hosts"
        known.write_text(hosts_file(hosts or {}))
        listen = f"http_port 127.0.0.1:{port}"
        if tls is not None:
            pem = socat_pem(tls, directory)
            listen = f"https_port 127.0.0.1:{port} tls-cert={pem}"
        config = directory / "squid.conf"
        config.write_text(
            _SQUID.format(
                listen=listen, logs=logs, hosts=known, rules=_squid_rules(password, blocked_port, directory)
            )
        )
        return ("squid", "-N", "-n", name, "-f", config)

    # Its memory of the machine is called by its name, and stays when it is killed.
    name = f"wirelane{secrets.token_hex(6)}"
    try:
        with serving(command) as program:
            yield program
    finally:
        for left in Path("/dev/shm").glob(f"{name}-*"):
            left.unlink()


def _squid_rules(password: str | None, blocked_port: int | None, directory: Path) -> str:
    rules = []
    if blocked_port is not None:
        rules += [f"acl blocked port {blocked_port}", "http_access deny blocked"]
    if password is not None:
        users = directory / "users"
        users.write_text(f"{USER}:{_hashed('-apr1', password)}\n")
        users.chmod(0o644)
        rules += [
            f"auth_param basic program /usr/lib/squid/basic_ncsa_auth {users}",
            "auth_param basic children 1 startup=1",
            "acl known proxy_auth REQUIRED",
            "http_access deny !known",
        ]
    return "\n".join(rules)


@contextmanager
def stunnel_socks(ca: Certificates, *, hosts: Mapping[str, str], within: Network) -> Iterator[Program]:
    """Run stunnel as a SOCKS proxy: 4, 4a and 5. It speaks it in TLS alone, so another one in front takes that off.

    It does not connect to loopback, so it needs a network that has more.
    """
    service = f"protocol = socks\ncert = {ca.server_cert}\nkey = {ca.server_key}\n"
    with stunnel("accept = 127.0.0.1:{port}\n" + service, hosts=hosts, within=within) as behind:
        front = f"client = yes\naccept = 127.0.0.1:{{port}}\nconnect = {behind.address}\n"
        with stunnel(front, also=behind, within=within) as program:
            yield program


@contextmanager
def tls_in_front(ca: Certificates, proxy: Program) -> Iterator[Program]:
    """Run stunnel in front of a proxy, which makes an HTTPS proxy of an HTTP one."""
    service = f"connect = {proxy.address}\ncert = {ca.server_cert}\nkey = {ca.server_key}\n"
    with stunnel("accept = 127.0.0.1:{port}\n" + service, also=proxy) as program:
        yield program
