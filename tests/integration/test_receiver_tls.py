"""TLS files that the server cannot use are refused in one line, before anything starts."""

import subprocess
from pathlib import Path
from typing import Any

import pytest

from stream_router.errors import SettingsError
from stream_router.receiver import tls
from stream_router.settings.receiver import Receiver

CERT = "STREAM_ROUTER_TLS_CERT"
KEY = "STREAM_ROUTER_TLS_KEY"
CLIENT_CA = "STREAM_ROUTER_TLS_CLIENT_CA"
CURVE = "ec -pkeyopt ec_paramgen_curve:"


def make(folder: Path, kind: str, *more: str) -> None:
    """A key of some kind and its own certificate, as `<folder>/key.pem` and `cert.pem`."""
    key, cert = str(folder / "key.pem"), str(folder / "cert.pem")
    command = ["openssl", "req", "-x509", "-newkey", *kind.split(), "-keyout", key, "-out", cert, "-subj", "/CN=x"]
    subprocess.run([*command, *(more or ("-nodes",))], check=True, capture_output=True)


def check(folder: Path, client_ca: Path | None = None) -> None:
    files: dict[str, Any] = {"tls_cert": folder / "cert.pem", "tls_key": folder / "key.pem", "tls_client_ca": client_ca}
    tls.check(Receiver(aws_region="x", webhook_scheme="none", **files))


def refused(folder: Path, client_ca: Path | None = None) -> str:
    with pytest.raises(SettingsError) as caught:
        check(folder, client_ca)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("kind", ["rsa:2048", f"{CURVE}P-256", f"{CURVE}P-384", f"{CURVE}P-521", "ed25519"])
def test_the_usual_keys_pass(tmp_path: Path, kind: str) -> None:
    """RSA and what senders know of elliptic curves."""
    make(tmp_path, kind)
    check(tmp_path, tmp_path / "cert.pem")


def test_an_encrypted_key_is_refused_without_a_question(tmp_path: Path) -> None:
    """Nobody sits at a server's terminal to type a passphrase."""
    make(tmp_path, "rsa:2048", "-passout", "pass:secret")
    assert refused(tmp_path).startswith(f"{KEY}: is encrypted")


@pytest.mark.parametrize(
    ("name", "says"),
    [("cert.pem", f"{CERT}: holds no certificate in PEM"), ("key.pem", f"{KEY}: holds no private key in PEM")],
)
def test_the_half_of_a_pair_that_is_no_pem_is_named(tmp_path: Path, name: str, says: str) -> None:
    """OpenSSL tells the same of both."""
    make(tmp_path, f"{CURVE}P-256")
    (tmp_path / name).write_text("no PEM")
    assert refused(tmp_path).startswith(says)


def test_a_key_of_another_certificate_is_named(tmp_path: Path) -> None:
    """Both are good, and do not belong together."""
    (tmp_path / "other").mkdir()
    for folder in (tmp_path, tmp_path / "other"):
        make(folder, f"{CURVE}P-256")
    (tmp_path / "other" / "key.pem").rename(tmp_path / "key.pem")
    assert refused(tmp_path).startswith(f"{KEY}: is not the key of {CERT}")


def test_a_client_ca_that_is_no_pem_is_refused(tmp_path: Path) -> None:
    """As the pair is."""
    make(tmp_path, f"{CURVE}P-256")
    (tmp_path / "ca.pem").write_text("no PEM")
    assert refused(tmp_path, tmp_path / "ca.pem").startswith(f"{CLIENT_CA}: is no readable PEM file")
