"""Connects republishers to AWS, with the consumer's settings and by the consumer's own calls."""

import time

from stream_router.aws.signed_calls import MAX_ANSWER_BYTES
from stream_router.consumer.bus_proof import BusProof
from stream_router.consumer.destinations import Destinations
from stream_router.consumer.transform_config import transform_config
from stream_router.control.republish.republisher import Republisher, token_of
from stream_router.pipeline.transform import Transform
from stream_router.process import now_ms
from stream_router.settings.consumer import Consumer


class Connection(Destinations):
    """One command's calls. Raises SettingsError, CredentialsError where the settings cannot be used."""

    def __init__(self, settings: Consumer, max_answer_bytes: int = MAX_ANSWER_BYTES) -> None:
        super().__init__(settings, max_answer_bytes)
        self.proof = BusProof(None, self.ask_for_bus)

    def transform(self, replayed: str = "") -> Transform:
        """The consumer's transform; with `replayed` it writes that mark into each event."""
        made = Transform(transform_config(self.settings), now_ms)
        return made.marked(replayed) if replayed else made

    def republisher(self, rate: float) -> Republisher:
        """Publishes at most `rate` events a second (0.0: as fast as the bus takes them)."""
        publisher = self.publisher(token_of, rate, outage_gives_up=True)
        return Republisher(publisher, self.claim_check(), self.proof, self.wait, time.monotonic)

    def wait(self, seconds: float) -> None:
        """Move every call on; wait at most so long."""
        self.transport.pump(seconds)
