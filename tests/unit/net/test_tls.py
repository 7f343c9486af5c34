from __future__ import annotations

import os
import pickle
import ssl
import subprocess
from dataclasses import FrozenInstanceError, replace

import pytest

from support.net_support import split_pem
from wirelane.errors import UsageError
from wirelane.net import TlsConfig, resolve_tls
from wirelane.net.tls import client_context, offered_alpn, server_context


@pytest.fixture
def blob(authority) -> bytes:
    return authority.issue("localhost")


@pytest.fixture
def files(authority, blob, tmp_path):
    key, chain = split_pem(blob)
    for name, pem in (("ca", authority.pem), ("key", key), ("cert", chain), ("both", blob)):
        (tmp_path / f"{name}.pem").write_bytes(pem)
    return tmp_path


@pytest.mark.parametrize(
    "as_type", [str, os.fspath, lambda path: path, lambda p: p.read_bytes(), lambda p: p.read_text()]
)
def test_certificates_come_as_path_text_or_bytes(files, as_type):
    config = TlsConfig(
        ca=as_type(files / "ca.pem"), cert=as_type(files / "cert.pem"), key=as_type(files / "key.pem")
    )
    assert config.client_context().cert_store_stats()["x509_ca"] == 1
    assert config.server_context().verify_mode is ssl.CERT_REQUIRED


@pytest.mark.parametrize("read", [lambda path: path, lambda path: path.read_bytes()])
def test_one_pem_may_hold_certificate_and_key(files, read):
    assert TlsConfig(cert=read(files / "both.pem")).server_context().verify_mode is ssl.CERT_NONE


def test_home_directory_is_expanded(files, monkeypatch):
    monkeypatch.setenv("HOME", str(files))
    assert TlsConfig(ca="~/ca.pem").client_context().cert_store_stats()["x509_ca"] == 1


def test_directory_of_plain_files_is_a_ca(authority, stranger, tmp_path):
    (tmp_path / "one.pem").write_bytes(authority.pem)
    (tmp_path / "two.crt").write_bytes(stranger.pem)
    assert TlsConfig(ca=tmp_path).client_context().cert_store_stats()["x509_ca"] == 2


def test_directory_without_certificates_is_an_error(tmp_path):
    with pytest.raises(UsageError, match=f"TlsConfig ca: no certificates .* in directory '{tmp_path}'"):
        TlsConfig(ca=tmp_path).client_context()


def test_encrypted_key_needs_its_password(blob):
    key, chain = split_pem(blob)
    secret = subprocess.run(
        ["openssl", "pkey", "-aes256", "-passout", "pass:sesame"], input=key, capture_output=True, check=True
    ).stdout
    assert b"ENCRYPTED" in secret
    TlsConfig(cert=chain, key=secret, key_password="sesame").server_context()
    TlsConfig(cert=chain, key=secret, key_password=b"sesame").server_context()
    with pytest.raises(UsageError, match="TlsConfig key is encrypted: give key_password="):
        TlsConfig(cert=chain, key=secret).server_context()
    with pytest.raises(UsageError, match="key_password is wrong"):
        TlsConfig(cert=chain, key=secret, key_password="nonsense").server_context()


@pytest.mark.parametrize("field", ["ca", "cert", "key"])
def test_missing_file_is_named_with_its_field(files, field):
    config = TlsConfig(**{"cert": files / "cert.pem", "key": files / "key.pem", field: files / "nowhere.pem"})
    with pytest.raises(UsageError, match=rf"TlsConfig {field}: no such file: '{files}/nowhere.pem'"):
        config.client_context()


def test_making_a_config_touches_no_file():
    assert TlsConfig(ca="/nowhere/ca.pem", cert="/nowhere/cert.pem").ca == "/nowhere/ca.pem"


def test_broken_files_are_named(files):
    (files / "bad.pem").write_text("no PEM at all")
    with pytest.raises(UsageError, match=r"TlsConfig ca: no usable certificate in '.*bad.pem'"):
        TlsConfig(ca=files / "bad.pem").client_context()
    with pytest.raises(UsageError, match=r"TlsConfig cert: cannot use '.*bad.pem' and key '.*key.pem'"):
        TlsConfig(cert=files / "bad.pem", key=files / "key.pem").client_context()
    with pytest.raises(UsageError, match="is a directory"):
        TlsConfig(cert=files).client_context()


def test_certificate_file_without_a_key_says_what_is_missing(files):
    with pytest.raises(
        UsageError, match="does not hold both a certificate and its private key in PEM; give key="
    ):
        TlsConfig(cert=files / "cert.pem").server_context()


def test_key_of_another_certificate_is_told(files, authority):
    other, _ = split_pem(authority.issue("other.example"))
    with pytest.raises(UsageError, match="the key does not belong to the certificate"):
        TlsConfig(cert=files / "cert.pem", key=other).server_context()


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"min_version": "1.1"}, "min_version must be '1.2' or '1.3', not '1.1'"),
        ({"verify": None}, "verify must be True or False"),
        ({"verify": "/etc/ca.pem"}, "for a CA give ca="),
        ({"ca": ""}, "ca must not be empty"),
        ({"ca": 5}, "ca must be a path or PEM text or bytes, not int"),
        ({"ca": b"/etc/ca.pem"}, "ca as bytes must be PEM"),
        ({"key": "/k.pem"}, "has a key but no cert"),
        ({"cert": "-----BEGIN CERTIFICATE-----\n"}, "the PEM of cert holds no private key: give key="),
        ({"server_name": ""}, "server_name must not be empty"),
        ({"alpn": "h2"}, "alpn must be a tuple of names"),
        ({"alpn": ("",)}, "alpn must be a tuple of names"),
        ({"alpn": ("x" * 256,)}, "alpn must be a tuple of names"),
    ],
)
def test_senseless_values_are_refused_by_name(settings, said):
    with pytest.raises(UsageError) as caught:
        TlsConfig(**settings)
    assert said in str(caught.value)


def test_server_needs_a_certificate_and_verifies_if_it_has_a_ca(blob, authority):
    with pytest.raises(UsageError, match="a TLS server needs a certificate"):
        TlsConfig().server_context()
    with pytest.raises(UsageError, match="exclude each other on a server"):
        TlsConfig(cert=blob, ca=authority.pem, verify=False).server_context()


def test_repr_shows_no_secret_and_shows_loudly_what_is_not_verified(blob):
    config = TlsConfig(cert=blob, key_password="sesame", verify=False, server_name="x", min_version="1.3")
    assert repr(config) == (
        "TlsConfig(verify=False (NOT VERIFIED: any certificate is accepted), cert=<PEM>, server_name='x', "
        "min_version='1.3', key_password=<hidden>)"
    )
    assert repr(TlsConfig(ca="/etc/ca.pem")) == "TlsConfig(ca='/etc/ca.pem')"
    assert repr(TlsConfig()) == "TlsConfig()"


def test_config_is_a_frozen_value(blob):
    config = TlsConfig(cert=blob, alpn=("h2",))
    config.server_context()
    with pytest.raises(FrozenInstanceError):
        config.verify = False  # type: ignore[misc]
    assert pickle.loads(pickle.dumps(config)) == config == replace(config)
    assert hash(config) == hash(replace(config))
    assert config != replace(config, alpn=())


def test_context_is_made_once_until_a_file_changes(files, authority):
    config = TlsConfig(cert=files / "both.pem")
    first = config.server_context(("h2",))
    assert config.server_context(("h2",)) is first
    assert config.server_context() is not first
    (files / "both.pem").write_bytes(authority.issue("other.example", "more.example"))
    assert config.server_context(("h2",)) is not first


def test_contexts_of_ours_are_strict(blob):
    for context in (TlsConfig().client_context(), TlsConfig(cert=blob).server_context()):
        assert context.minimum_version is ssl.TLSVersion.TLSv1_2
        assert not context.options & ssl.OP_IGNORE_UNEXPECTED_EOF
        assert context.options & ssl.OP_NO_RENEGOTIATION
    client = TlsConfig(min_version="1.3").client_context()
    assert client.minimum_version is ssl.TLSVersion.TLSv1_3
    assert client.check_hostname
    assert client.verify_mode is ssl.CERT_REQUIRED
    unverified = TlsConfig(verify=False).client_context()
    assert not unverified.check_hostname
    assert unverified.verify_mode is ssl.CERT_NONE


def test_key_log_file_is_honoured(monkeypatch, tmp_path):
    monkeypatch.setenv("SSLKEYLOGFILE", str(tmp_path / "keys"))
    assert TlsConfig().client_context().keylog_filename == str(tmp_path / "keys")


def test_key_given_as_bytes_leaves_no_file_behind(blob, tmp_path, monkeypatch):
    monkeypatch.setattr("wirelane.net.tls._MEMORY", str(tmp_path / "not here"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    TlsConfig(cert=blob).server_context()
    assert list(tmp_path.iterdir()) == []


def test_resolve_tls_takes_what_users_pass():
    context = ssl.create_default_context()
    config = TlsConfig(verify=False)
    assert resolve_tls(True) == TlsConfig()
    assert resolve_tls(False, default=True) is None
    assert resolve_tls(None) is resolve_tls(None, default=False) is None
    assert resolve_tls(None, default=True) == TlsConfig()
    assert resolve_tls(config) is config
    assert resolve_tls(context) is context
    with pytest.raises(
        UsageError, match="tls must be True, False, a TlsConfig or an ssl.SSLContext, not str"
    ):
        resolve_tls("yes")  # type: ignore[arg-type]


def test_alpn_of_the_config_comes_first(blob):
    context = ssl.create_default_context()
    assert offered_alpn(TlsConfig(), ("h2",)) == ("h2",)
    assert offered_alpn(TlsConfig(alpn=()), ("h2",)) == ()
    assert offered_alpn(TlsConfig(alpn=("x",)), ("h2",)) == ("x",)
    assert offered_alpn(context, ("h2",)) == ("h2",)
    assert client_context(context, ("h2",)) is context
    assert server_context(context, ()) is context
