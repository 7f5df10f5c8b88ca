"""The engine under any fault script: nothing lost, nothing settled twice, the accounts add up."""

from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st

from stream_router.aws_answers import Answer
from stream_router.dead_letter_reasons import Reason
from stream_router.model import Entry
from stream_router.pipeline.delivery.blame import RetryPolicy
from stream_router.pipeline.sinks.eventbridge.publisher import CallLimits
from tests.fakes import NO_ANSWER, FakeBus, Rig, entry, refused, rig

CODES = ["", "", "", "InternalFailure", "ThrottlingException", "MalformedDetail", "Unheard"]
"""What a bus says of one entry, most often nothing."""

CALLS = ["", "", "", "500", "throttled", "expired", "no answer", "short", "html", "lost", "invalid"]
"""What happens to a whole call, most often nothing; `lost` is accepted by the bus and its answer lost."""

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


OF_ENTRIES = st.lists(st.sampled_from(CODES), min_size=1, max_size=7)
SCRIPTS = st.lists(st.tuples(st.sampled_from(CALLS), OF_ENTRIES), max_size=25)
SIZES = st.lists(st.integers(100, 3000), max_size=60)


def run(
    sizes: list[int], script: list[tuple[str, list[str]]], *, ordered: bool, keys: int, seed: int
) -> tuple[Rig, list[Entry]]:
    pipeline = rig(
        limits=CallLimits(5, 5000),
        policy=RetryPolicy(4, 8_000, 2),
        ordered=ordered,
        seed=seed,
        latency_s=lambda: 0.001 + pipeline.world.random.random() * 0.1,
    )
    judge_by(script, pipeline.bus)
    judge, flight = pipeline.bus.judge, pipeline.router.publisher.dispatcher.flight

    def bounded(call: Sequence[Entry]) -> Answer:
        assert flight.bytes < 8_000 + 5_000
        return judge(call)

    pipeline.bus.judge = bounded
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
    return pipeline, entries


def assert_accounted(pipeline: Rig, sent: list[Entry]) -> None:
    """Delivered + dead = in, each settled once; only the bus's word delivers; no data is blamed for an outage."""
    places = set(sent)
    delivered = [item for item in pipeline.tally.delivered if item in places]
    dead = [letter.entry for letter in pipeline.tally.dead if letter.entry in places]
    assert len(delivered) + len(dead) == len(sent)
    assert {*delivered, *dead} == places
    assert all(item.event.record.unsettled == 0 for item in sent)
    assert set(delivered) <= set(pipeline.bus.accepted)
    assert {letter.reason for letter in pipeline.tally.dead} <= {Reason.REFUSED, Reason.RETRIES_EXHAUSTED}


def assert_ordered(pipeline: Rig) -> None:
    """Each conversation is first accepted in the stream's order, and is at most once in any call."""
    first_accepted: dict[str, list[int]] = {}
    seen = set()
    for item in pipeline.bus.accepted:
        place = item.event.record.sequence_number
        if item.order_key and place not in seen:
            seen.add(place)
            first_accepted.setdefault(item.order_key, []).append(place)
    for places in first_accepted.values():
        assert places == sorted(places)
    for call in pipeline.bus.calls:
        named = [event.order_key for event in call if event.order_key]
        assert len(named) == len(set(named))


def assert_valid(pipeline: Rig) -> None:
    """No call has too many entries or bytes, and calls in flight keep to the policy."""
    assert pipeline.bus.most_in_flight <= 4
    for call in pipeline.bus.calls:
        assert 1 <= len(call) <= 5
        assert sum(item.size_bytes for item in call) <= 5000


@settings(max_examples=300, deadline=None)
@given(SIZES, SCRIPTS, st.booleans(), st.integers(1, 9), st.integers(0, 99))
def test_every_entry_ends_in_exactly_one_place(
    sizes: list[int], script: list[tuple[str, list[str]]], ordered: bool, keys: int, seed: int
) -> None:
    """Delivered + dead = in, each settled once, whatever the bus does; and no call is ever invalid.

    With ordering a conversation has one unsettled entry on the wire, so acceptance follows the stream.
    """
    pipeline, sent = run(sizes, script, ordered=ordered, keys=keys, seed=seed)
    assert_accounted(pipeline, sent)
    assert_valid(pipeline)
    if ordered:
        assert_ordered(pipeline)


@settings(max_examples=60, deadline=None)
@given(
    sick=st.integers(0, 80),
    poison=st.integers(0, 4),
    alone_s=st.sampled_from([1, 20, 60]),
    max_in_flight=st.sampled_from([1, 4, 16]),
    latency_s=st.sampled_from([0.005, 0.1, 1.0]),
    seed=st.integers(0, 99),
)
def test_what_is_well_gets_through_beside_what_never_does(
    sick: int, poison: int, alone_s: float, max_in_flight: int, latency_s: float, seed: int
) -> None:
    """However many sick and poisoned entries came before it, and however long they were alone."""
    pipeline = rig(policy=RetryPolicy(max_in_flight, 10**9, 4), latency_s=lambda: latency_s, seed=seed)
    entries = [entry(n) for n in range(sick + poison + 50)]
    sick_ones, poisoned = set(map(id, entries[:sick])), set(map(id, entries[sick : sick + poison]))

    def judge(call: Sequence[Entry]) -> Answer:
        if not poisoned.isdisjoint(map(id, call)):
            return refused("ValidationException")
        return pipeline.bus.answer(call, ["InternalFailure" if id(item) in sick_ones else "" for item in call])

    pipeline.bus.judge = judge
    pipeline.router.publisher.take(entries[:-50])
    pipeline.run_for(alone_s)
    pipeline.router.publisher.take(entries[-50:])
    pipeline.run_for(120.0)
    assert [item for item in entries[-50:] if item not in pipeline.bus.accepted] == []
