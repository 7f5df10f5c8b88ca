"""Proves every few seconds that the event bus exists: PutEvents to a bus that is gone answers success.

The proof is the file `bus-proof` in the state folder. Its text is the `time.monotonic()` (seconds, one clock for all
processes of a host) of the moment before a question that the bus answered was sent, and when the bus was made (epoch
seconds, 0.0 where the answer does not tell). A child settles only what was accepted before that moment, by that bus.

While the bus cannot be asked (no answer, throttled, denied), the file `bus-unasked` holds the monotonic time since
when. A child then goes on with a bus that accepts, up to UNASKED_SPAN_S, and its checkpoint stands at the last proof.
"""

import logging
import threading
import time
from collections.abc import Callable
from enum import Enum

from botocore.config import Config

from stream_router import limits
from stream_router.aws import credentials, endpoints
from stream_router.consumer.bus_proof import UNASKED_SPAN_S, SeenBus
from stream_router.consumer.state_dir import BUS_GONE, BUS_PROOF, BUS_UNASKED, StateDir
from stream_router.errors import ABSENT, DENIED, bus_made_s, code_of
from stream_router.log import Seldom
from stream_router.process import backoff_s, failpoint
from stream_router.settings.consumer import Consumer

log = logging.getLogger(__name__)

FIRST_RETRY_S = 1.0
OFTENEST_S, RAREST_S = 1.0, 10.0
"""Bounds of how often the bus is asked. All of an account share some 50 calls a second of the control plane; and
a child takes a proof older than 15 s (`bus_proof.STALE_S`) for none, however rare its checkpoints are."""

HURRY_FOR_S = 10.0
"""Longer than children that are told to stop have for their last checkpoint."""

TRUSTED = (
    "the event bus is not asked whether it exists (STREAM_ROUTER_BUS_PROOF=trust): if it is deleted, it goes on "
    "answering success, and what is sent to it meanwhile is lost, with the checkpoint past it"
)
"""Said once at start, where the bus may not be described."""


def ask_every_s(checkpoint_s: float) -> float:
    """How often the bus is asked: as often as a checkpoint wants a new proof, within reason."""
    return min(max(checkpoint_s, OFTENEST_S), RAREST_S)


_WRONG_NAME = frozenset({"ValidationException", "InvalidInputException"})


class Proof(Enum):
    """The prover's report: the first proof is there, or there will be none (`BusProver.refusal` says why)."""

    FIRST = "first"
    REFUSED = "refused"


def describer(settings: Consumer) -> Callable[[], float]:
    """A question to the bus, which raises unless it exists: DescribeEventBus of a classic or of a v2 bus.

    It returns when the bus was made (epoch seconds), 0.0 where the answer does not tell. One attempt, at most 8 s.
    A bus that is trusted (`STREAM_ROUTER_BUS_PROOF=trust`) is not asked: each proof is as fresh as if it had answered.
    Raises SettingsError where there are no credentials or the environment cannot be used.
    """
    session = endpoints.session(settings.aws_region)
    credentials.find(session)
    if settings.bus_proof == "trust":
        return lambda: 0.0
    config = Config(connect_timeout=3, read_timeout=5, retries={"total_max_attempts": 1})
    bus = settings.event_bus
    if limits.is_v2_bus(bus):
        v2 = endpoints.client(session, "eventbridgev2", config)
        return lambda: bus_made_s(v2.describe_event_bus(EventBusArn=bus))
    classic = endpoints.client(session, "events", config)
    return lambda: bus_made_s(classic.describe_event_bus(Name=bus))


class BusProver:
    """Asks in a thread of its own until closed, and keeps the proof fresh.

    `report` is called once with FIRST when the bus has answered, or with REFUSED where, before that, it is said to be
    gone, or is still forbidden after half a minute. Later on a bus that cannot be asked leaves the last proof as it is,
    and the children are told since when. One that is gone, or was made again, is told to them too, since no later proof
    covers what they sent meanwhile: they leave.
    """

    def __init__(
        self,
        state: StateDir,
        bus: str,
        describe: Callable[[], float],
        report: Callable[[Proof], None],
        clock: Callable[[], float] = time.monotonic,
        every_s: float = RAREST_S,
    ) -> None:
        self._state = state
        self._bus = bus
        self._describe = describe
        self._report = report
        self._clock = clock
        self._every_s = every_s
        self._stop, self._wake = threading.Event(), threading.Event()
        self._hurry_until = -HURRY_FOR_S
        self._proven = False
        self._seen = SeenBus()
        self.gone = False
        """Whether the bus, after its first proof, was last found gone, or made again."""
        self._unasked_since: float | None = None
        self._to_be_logged, self._unwritten_to_be_logged = Seldom(clock), Seldom(clock)
        self.refusal = ""
        self._thread = threading.Thread(target=self._run, name="bus-proof", daemon=True)

    def start(self) -> None:
        """Begin asking."""
        self._thread.start()

    def close(self) -> None:
        """Stop asking; a question that is under way is not waited for."""
        self._stop.set()
        self._wake.set()

    def hasten(self) -> None:
        """Children stop, and wait for a proof of what they sent last: ask now, and every second for a while."""
        self._hurry_until = self._clock() + HURRY_FOR_S
        self._wake.set()

    def rest_s(self, asked: int) -> float:
        """How long to wait after so many questions."""
        if not self._proven:
            return backoff_s(asked, FIRST_RETRY_S, RAREST_S)
        return min(self._every_s, OFTENEST_S) if self._clock() < self._hurry_until else self._every_s

    def _run(self) -> None:
        asked = 0
        while not self._stop.is_set():
            self.prove_once()
            if self.refusal:
                return
            asked += 1
            self._wake.wait(self.rest_s(asked))
            self._wake.clear()

    def prove_once(self) -> None:
        """Ask once, and write the proof or log the trouble."""
        asked = self._clock()
        try:
            made_s = self._describe()
        except Exception as error:  # noqa: BLE001 - botocore's chain raises what it likes; unasked, no start, no proof
            self._failed(error, asked)
            return
        self._answered(asked)
        if self._seen.is_another(made_s) and self._proven and not self.gone:
            log.error("the event bus was deleted and made again", extra={"event": "bus-made-again", "bus": self._bus})
            self._lost()
            return
        failpoint("bus_proven_before_written")
        if not self._written(lambda: self._state.write(BUS_PROOF, f"{asked!r} {made_s!r}\n")):
            return
        self.gone = False
        if not self._proven:
            self._proven = True
            self._report(Proof.FIRST)

    def doubt(self) -> None:
        """A child found the bus gone: so it is until it is proven anew."""
        self.gone = True

    def _failed(self, error: Exception, asked: float) -> None:
        code = code_of(error)
        if not self._proven and (refusal := self._refusal(code, asked)):
            self.refusal = refusal
            self._report(Proof.REFUSED)
        elif code in ABSENT:
            self._answered(asked)
            self._lost()
            if self._to_be_logged():
                log.error(
                    "the event bus does not exist; it is waited for", extra={"event": "bus-missing", "bus": self._bus}
                )
        else:
            self._unasked(code_of(error), asked)

    def _unasked(self, said: str, asked: float) -> None:
        """It did not say whether it exists: the children are told since when."""
        if self._unasked_since is None:
            self._unasked_since = asked
        self._written(lambda: self._state.write(BUS_UNASKED, f"{self._unasked_since!r}\n"))
        if not self._to_be_logged():
            return
        told = {"bus": self._bus, "forS": round(asked - self._unasked_since, 1)}
        if self._proven:
            log.error(
                "the event bus cannot be asked whether it exists: %s; events go on while it accepts them, for %d "
                "minutes in all, and the checkpoint stands at the last answer; then the shards hold until it answers",
                *(said, UNASKED_SPAN_S // 60),
                extra={"event": "bus-not-asked", **told},
            )
        else:
            log.error(
                "the event bus cannot be asked whether it exists: %s; the start waits for it",
                said,
                extra={"event": "bus-not-asked-at-start", **told},
            )

    def _answered(self, asked: float) -> None:
        if self._unasked_since is not None:
            log.warning(
                "the event bus answers again",
                extra={"event": "bus-answers", "afterS": round(asked - self._unasked_since, 1)},
            )
            self._unasked_since = None
            self._written(lambda: self._state.discard(BUS_UNASKED))

    def _lost(self) -> None:
        """Once: the children are told, and what they sent since the last proof comes again."""
        if not self.gone:
            self.gone = True
            self._written(lambda: self._state.write(BUS_GONE, "gone\n"))

    def _written(self, write: Callable[[], object]) -> bool:
        """Whether the state folder took it; one that is full or gone is no fault of the bus."""
        try:
            write()
        except OSError as error:
            if self._unwritten_to_be_logged():
                log.error(  # noqa: TRY400 - its own text says it all
                    "the state folder cannot be written: %s; the children are not told of the event bus, so the "
                    "checkpoint stands until they are: make room",
                    error.strerror,
                    extra={"event": "bus-state-not-written", "state": str(self._state.path)},
                )
            return False
        return True

    def _refusal(self, code: str, asked: float) -> str:
        """The line to end with, where waiting cannot help before the first record is read.

        A policy that was granted with this start is waited for: IAM takes seconds to tell all its servers.
        """
        waited_s = 0.0 if self._unasked_since is None else asked - self._unasked_since
        if code in ABSENT:
            return "STREAM_ROUTER_EVENT_BUS: no such event bus; run `stream-router setup`, or name one that exists"
        if code in DENIED and waited_s >= credentials.PATIENCE_S:
            return "STREAM_ROUTER_EVENT_BUS: not allowed to look at it; allow events:DescribeEventBus to this role"
        if code in _WRONG_NAME:
            return "STREAM_ROUTER_EVENT_BUS: is no bus name or ARN; name one that exists"
        return ""
