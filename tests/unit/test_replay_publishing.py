"""A replay's publishing over a fake bus, in virtual time."""

from stream_router.control.replay.choice import Chosen
from stream_router.control.replay.publishing import Publishing
from stream_router.control.republish.patience import PATIENCE_S, patience_at
from stream_router.control.republish.republisher import Again
from stream_router.core.model import Entry
from tests.fakes import event
from tests.unit.test_republisher import Rig


def chosen(number: int) -> Chosen:
    record = Again(b"", f"shard-1:{number}:0:", number)
    record.expect(1)
    made = event(number, record=record)
    return Chosen(Entry(made, "interaction.created", b"{}", 0.0, 500, ""), "shard-1", 1_000, b"")


def test_a_low_rate_is_no_standstill() -> None:
    """A full call of ten events at one in ten seconds is followed by a rest of 100 s: longer than the patience."""
    rate = 0.1
    rig = Rig(rate=rate)
    publishing = Publishing(rig.republisher, lambda: False, lambda _: "", rig.world.clock, patience_at(rate, "default"))
    publishing.take(chosen(n) for n in range(30))
    publishing.finish()
    assert publishing.ended_because == ""
    assert publishing.published == 30


def test_the_patience_grows_with_the_rest_after_a_full_call() -> None:
    """A call to a v2 bus holds a hundred events, so that one a second is slow enough to look like a standstill."""
    v2 = "arn:aws:eventbridge:us-east-1:123456789012:event-busv2/abc"
    assert patience_at(0.0, "default") == PATIENCE_S
    assert patience_at(0.1, "default") == PATIENCE_S + 100
    assert patience_at(1.0, v2) == PATIENCE_S + 100
