"""When the receiver's certificate begins and ends: TLS itself serves on with one that has ended."""

import ssl
from pathlib import Path

DAY_S = 24 * 3600
SOON_DAYS = 7
"""What renews certificates by itself does so weeks before: one with so little left is one that nobody renews."""

_NO_CHECK_TIME = 0x200000
"""X509_V_FLAG_NO_CHECK_TIME of OpenSSL, which `ssl` does not name: the dates are to be read, whatever they are."""


def dates(context: ssl.SSLContext, cert: Path) -> tuple[float, float]:
    """When the certificate of a server's context begins and ends, epoch seconds.

    As a client of our own hears it, in memory. `cert` is the certificate's file; raises OSError where it is not that.
    """
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname = False
    client.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN | ssl.VerifyFlags(_NO_CHECK_TIME)
    client.load_verify_locations(cert)
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    serving = context.wrap_bio(to_server, to_client, server_side=True)
    asking = client.wrap_bio(to_client, to_server)
    for side in (asking, serving, asking, serving, asking):  # TLS 1.2, where it is the most that may be, takes them all
        try:
            side.do_handshake()
        except ssl.SSLError:  # it wants more, or a certificate of ours, which comes after the one that is looked at
            continue
    seen = asking.getpeercert() or {}
    return ssl.cert_time_to_seconds(str(seen["notBefore"])), ssl.cert_time_to_seconds(str(seen["notAfter"]))
