"""The certificate's files, looked at every two seconds."""

import datetime as dt
from pathlib import Path

import pytest
import trustme

from stream_router.receiver.tls import Tls
from stream_router.settings.receiver import Receiver


def renew(folder: Path, days: float) -> float:
    """A pair in `folder` that ends in `days`, as `cert.pem` and `key.pem`; when it ends."""
    ends = dt.datetime.now(dt.UTC).replace(microsecond=0) + dt.timedelta(days=days)
    issued = trustme.CA().issue_cert("hooks.example.com", not_after=ends)
    issued.cert_chain_pems[0].write_to_path(str(folder / "cert.pem"))
    issued.private_key_pem.write_to_path(str(folder / "key.pem"))
    return ends.timestamp()


def reading(folder: Path, client_ca: Path | None = None) -> Tls:
    cert, key = folder / "cert.pem", folder / "key.pem"
    return Tls(Receiver(aws_region="x", webhook_scheme="none", tls_cert=cert, tls_key=key, tls_client_ca=client_ca))


@pytest.mark.parametrize("days", [90, -1])
@pytest.mark.parametrize("asks_for_one", [False, True])
def test_when_the_certificate_ends_is_known_of_what_is_in_force(
    tmp_path: Path, days: float, asks_for_one: bool
) -> None:
    """Also of one that has ended, and where senders have to show one; files that do not fit change nothing."""
    first_s = renew(tmp_path, days)
    client_ca = tmp_path / "ca.pem" if asks_for_one else None
    trustme.CA().cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    followed = reading(tmp_path, client_ca)
    assert followed.ends_s == first_s
    first_key = (tmp_path / "key.pem").read_bytes()
    second_s = renew(tmp_path, days + 30)
    second_key = (tmp_path / "key.pem").read_bytes()
    (tmp_path / "key.pem").write_bytes(first_key)
    followed.refresh()
    assert followed.ends_s == first_s
    (tmp_path / "key.pem").write_bytes(second_key)
    followed.refresh()
    assert followed.ends_s == second_s
