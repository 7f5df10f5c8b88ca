"""The engine under any fault script: nothing lost, nothing settled twice, the accounts add up."""

from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st

from stream_router.errors import Answer
from stream_router.model import Entry, Reason
from stream_router.pipeline.delivery.blame import Policy
from stream_router.pipeline.sinks.eventbridge.publisher import CallLimits
from tests.fakes import NO_ANSWER, FakeBus, Rig, entry, refused, rig
from tests.strategies import CALL_FAULTS, ENTRY_CODES

FAULTS = {
    "500": refused("InternalException", 500),
    "throttled": refused("ThrottlingException"),
    "expired": refused("ExpiredTokenException"),
    "no answer": NO_ANSWER,
    "html": Answer(200, b"<html>", {}, ""),
    "invalid": refused("ValidationException"),
}


def judge_by(script: list[tuple[str, list[str]]], bus: FakeBus) -> None:
    """Follow the script call by call; when it is over everything is accepted."""
    calls = iter(script)

    def judge(call: Sequence[Entry]) -> Answer:
        fault, codes = next(calls, ("", [""]))
        if fault in FAULTS:
            return FAULTS[fault]
        answer = bus.answer(call, [codes[n % len(codes)] for n in range(len(call))])
        if fault == "lost":
            return NO_ANSWER
        if fault == "short":
            return answer._replace(body=b'{"Entries":[{"EventId":"e"}]}' if len(call) != 1 else b'{"Entries":[]}')
        return answer

    bus.judge = judge


SCRIPTS = st.lists(st.tuples(CALL_FAULTS, st.lists(ENTRY_CODES, min_size=1, max_size=7)), max_size=25)
SIZES = st.lists(st.integers(100, 3000), max_size=60)


def run(sizes: list[int], script: list[tuple[str, list[str]]], *, ordered: bool, keys: int, seed: int) -> Rig:
    pipeline = rig(
        limits=CallLimits(5, 5000),
        policy=Policy(4, 20_000, 2),
        ordered=ordered,
        seed=seed,
        latency_s=lambda: 0.001 + pipeline.world.random.random() * 0.1,
    )
    judge_by(script, pipeline.bus)
    entries = [entry(n, f"c{n % keys}" if ordered else "", size) for n, size in enumerate(sizes)]
    for at in range(0, len(entries), 7):
        pipeline.router.publisher.take(entries[at : at + 7])
        pipeline.run_once()
    # Something good keeps coming, as it does on a shard that lives: a lone refusal must not be held for ever.
    for round_number in range(200):
        if not pipeline.router.backlog:
            break
        pipeline.router.publisher.take([entry(10_000 + round_number)])
        pipeline.run_for(5)
    pipeline.drain()
    pipeline.sent = entries  # type: ignore[attr-defined]
    return pipeline


def assert_accounted(pipeline: Rig) -> None:
    """Delivered + dead = in, each settled once; only the bus's word delivers; no data is blamed for an outage."""
    sent: list[Entry] = pipeline.sent  # type: ignore[attr-defined]
    places = set(sent)
    delivered = [one for one in pipeline.tally.delivered if one in places]
    dead = [letter.entry for letter in pipeline.tally.dead if letter.entry in places]
    assert len(delivered) + len(dead) == len(sent)
    assert {*delivered, *dead} == places
    assert all(one.event.record.unsettled == 0 for one in sent)
    assert set(delivered) <= set(pipeline.bus.accepted)
    assert {letter.reason for letter in pipeline.tally.dead} <= {Reason.REFUSED, Reason.RETRIES_EXHAUSTED}


def assert_ordered(pipeline: Rig) -> None:
    """Each conversation is first accepted in the stream's order, and is at most once in any call."""
    first_accepted: dict[str, list[int]] = {}
    seen = set()
    for one in pipeline.bus.accepted:
        place = one.event.record.sequence_number
        if one.order_key and place not in seen:
            seen.add(place)
            first_accepted.setdefault(one.order_key, []).append(place)
    for places in first_accepted.values():
        assert places == sorted(places)
    for call in pipeline.bus.calls:
        named = [one.order_key for one in call if one.order_key]
        assert len(named) == len(set(named))


def assert_valid(pipeline: Rig) -> None:
    """No call has too many entries or bytes, and calls in flight keep to the policy."""
    assert pipeline.bus.most_in_flight <= 4
    for call in pipeline.bus.calls:
        assert 1 <= len(call) <= 5
        assert sum(one.size_bytes for one in call) <= 5000


@settings(max_examples=250, deadline=None)
@given(SIZES, SCRIPTS, st.booleans(), st.integers(1, 9), st.integers(0, 99))
def test_every_entry_ends_in_exactly_one_place(
    sizes: list[int], script: list[tuple[str, list[str]]], ordered: bool, keys: int, seed: int
) -> None:
    """Delivered + dead = in, each settled once, whatever the bus does; and no call is ever invalid."""
    pipeline = run(sizes, script, ordered=ordered, keys=keys, seed=seed)
    assert_accounted(pipeline)
    assert_valid(pipeline)


@settings(max_examples=250, deadline=None)
@given(SIZES, SCRIPTS, st.integers(1, 4), st.integers(0, 99))
def test_a_conversation_is_accepted_in_the_streams_order(
    sizes: list[int], script: list[tuple[str, list[str]]], keys: int, seed: int
) -> None:
    """With ordering a conversation has one unsettled entry on the wire, so acceptance follows the stream."""
    assert_ordered(run(sizes, script, ordered=True, keys=keys, seed=seed))
