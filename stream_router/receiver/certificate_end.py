"""Says that the receiver's certificate ends soon, and that it has ended, while there is time to renew it."""

import logging
import time
from collections.abc import Callable

from stream_router.log import Seldom
from stream_router.process import iso
from stream_router.receiver.http.certificate import DAY_S, SOON_DAYS

log = logging.getLogger(__name__)


class _Daily(Seldom):
    EVERY_S = DAY_S


class CertificateEnd:
    """Callable, again and again: says it once a day, and at once when the certificate has ended.

    `ends_s` tells when it does, epoch seconds, None where there is none. `clock` is monotonic, `now_s` the wall clock.
    """

    def __init__(
        self,
        ends_s: Callable[[], float | None],
        clock: Callable[[], float] = time.monotonic,
        now_s: Callable[[], float] = time.time,
    ) -> None:
        self._ends_s = ends_s
        self._now_s = now_s
        self._said = _Daily(clock)
        self._ended = False

    def __call__(self) -> None:
        ends_s = self._ends_s()
        if ends_s is None:
            return
        left_s = ends_s - self._now_s()
        if left_s >= SOON_DAYS * DAY_S or self._ended != (left_s <= 0):
            self._said.over()  # what is new is said at once
        self._ended = left_s <= 0
        if left_s >= SOON_DAYS * DAY_S or not self._said():
            return
        if self._ended:
            log.error(
                "the TLS certificate ended at %s: senders refuse the connection; renew it",
                iso(ends_s * 1000),
                extra={"event": "tls-certificate-ended"},
            )
        else:
            log.warning(
                "the TLS certificate ends at %s; renew it", iso(ends_s * 1000), extra={"event": "tls-certificate-ends"}
            )
