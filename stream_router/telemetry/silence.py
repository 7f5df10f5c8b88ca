"""Detection of AWS services that do not answer, from the calls that a program makes anyway."""

import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

SILENT_AFTER_S = 3.0
"""Seconds without an answer after which a service counts as silent. A service that is only slow answers before."""


class Silence(NamedTuple):
    """A service that does not answer, and the beginning of its silence (epoch seconds)."""

    service: str
    since_s: float


class Answers:
    """Record of which boto3 calls are answered. Any thread may use it. `clock` is monotonic, `now_s` the wall clock.

    A service is silent if a call to it was sent at least SILENT_AFTER_S ago, and no call to it was answered since then.
    Whether that call is still open, timed out, or found no connection makes no difference. A refusal is an answer.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic, now_s: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._now_s = now_s
        self._lock = threading.Lock()
        self._unanswered: dict[str, float] = {}
        """Time of the first call since the latest answer, by service."""

    def follow(self, client: Any, service: str) -> Any:
        """Follow the calls of a client, and return it."""

        def on_request(**_: Any) -> None:
            self.record_request(service)

        def on_response(response_dict: Any = None, **_: Any) -> None:
            if response_dict is not None:  # None if the call failed without an answer
                self.record_answer(service)

        client.meta.events.register("before-send", on_request)
        client.meta.events.register("response-received", on_response)
        return client

    def record_request(self, service: str) -> None:
        """Record that a call was sent."""
        with self._lock:
            self._unanswered.setdefault(service, self._clock())

    def record_answer(self, service: str) -> None:
        """Record that a call was answered, by a success or a refusal."""
        with self._lock:
            self._unanswered.pop(service, None)

    def silent_services(self) -> list[Silence]:
        """Return the services that are silent, the longest first."""
        now, wall_s = self._clock(), self._now_s()
        with self._lock:
            waits_s = {service: now - at for service, at in self._unanswered.items()}
        silences = [Silence(service, wall_s - s) for service, s in waits_s.items() if s >= SILENT_AFTER_S]
        return sorted(silences, key=lambda silence: silence.since_s)


def join_service_names(silences: Sequence[Silence]) -> str:
    """Return the names of the services, as a list in a sentence."""
    names = list(dict.fromkeys(silence.service for silence in silences))
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
