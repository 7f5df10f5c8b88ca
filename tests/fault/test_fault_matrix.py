"""The fault matrix: one row a kind of error code and a fault of the fake AWS. Who ends where, in how many attempts.

The child is the real process; each row is one batch of ten events, one call, unless it says otherwise.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest

from tests.fault.bench import V2_BUS, Account, Bench, place

STRUCK = 4
"""The place of the event that a row about a single entry strikes."""

NEIGHBOURS = [at for at in range(10) if at != STRUCK]
PASSING = ["InternalFailure", "SomethingNew"]
"""Codes of a single entry's trouble (docs/contract.md); all codes of each kind are in unit/test_aws_answers.py."""


def fixture(name: str, **environment: str) -> Any:
    """A bench with these settings, for all tests of the file that name it."""

    @pytest.fixture(scope="module", name=name)
    def created(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
        with Bench(tmp_path_factory.mktemp(name), **environment) as bench:
            yield bench

    return created


CLASSIC = fixture("bench")
NO_RETRIES = fixture("no_retries", STREAM_ROUTER_MAX_RETRIES="0")
V2 = fixture("v2", STREAM_ROUTER_EVENT_BUS=V2_BUS)


def check_all_delivered(account: Account, tries: int) -> None:
    """Nothing dead, every event in exactly `tries` attempts, accepted in the order of the stream."""
    account.check_nothing_lost()
    assert account.letters == {}
    assert account.tries == dict.fromkeys(range(account.events), tries)
    assert account.first_order == sorted(account.first_order)


def check_struck(account: Account, tries: int, reason: str | None, code: str = "") -> None:
    """The neighbours are delivered at once and in order; the struck one ends as the row says."""
    account.check_nothing_lost()
    assert [at for at in account.first_order if at != STRUCK] == NEIGHBOURS
    assert account.tries == {**dict.fromkeys(NEIGHBOURS, 1), STRUCK: tries}
    reasons = {at: (letter["reason"], letter["error"]["code"]) for at, letter in account.letters.items()}
    assert reasons == ({STRUCK: (reason, code)} if reason else {})


# --- Whole calls -------------------------------------------------------------------------------------------------


class Fault(NamedTuple):
    """A row: the rules, and how often each event is on the wire."""

    rules: list[dict[str, Any]]
    tries: int


def refused(code: str, times: int, **more: Any) -> Fault:
    """So many calls are refused, then one is taken."""
    return Fault([{"fault": "call_error", "code": code, "next": times, **more}], times + 1)


WHOLE_CALLS = {
    "throttled": refused("ThrottlingException", 2),
    "access denied": refused("AccessDeniedException", 2),
    "a missing bus": refused("ResourceNotFoundException", 2),
    "an expired token": refused("ExpiredTokenException", 2),
    "a code that nobody knows": refused("SomethingNew", 2),
    "a code of data": refused("MalformedDetail", 2),
    "HTTP 503": refused("ServiceUnavailable", 2, status=503),
    "a ValidationException with a 500": refused("ValidationException", 2, status=500),
    "500 after it was accepted": refused("InternalException", 1, accept=True),
    "reset after it was accepted": Fault([{"fault": "reset", "next": 1}], 2),
    "reset before it was accepted": Fault([{"fault": "reset", "accept": False, "next": 2}], 3),
    "silence after it was accepted": Fault([{"fault": "stall", "next": 1}], 2),
    "HTML with a 200": Fault([{"fault": "html", "next": 2}], 3),
    "HTML with a 404": Fault([{"fault": "html", "status": 404, "next": 1}], 2),
    "an answer short of one entry": Fault([{"fault": "short", "next": 2}], 3),
    "a shuffled answer": Fault([{"fault": "shuffle"}], 1),
    "a wrong clock": Fault(
        [{"fault": "skew", "seconds": -3600, "next": 1}, *refused("InvalidSignatureException", 1).rules], 2
    ),
}


@pytest.mark.parametrize("name", WHOLE_CALLS)
def test_what_strikes_whole_calls_loses_and_buries_nothing(bench: Bench, name: str) -> None:
    """All delivered in the row's attempts, in order, none dead."""
    row = WHOLE_CALLS[name]
    check_all_delivered(bench.run(row.rules), row.tries)


@pytest.mark.parametrize("code", ["ThrottlingException", "NotAuthorizedForSourceException"])
def test_every_entry_struck_is_an_outage_and_no_data(bench: Bench, code: str) -> None:
    """Where all entries of thirty attempts fail alone, systemically, all are delivered in ten more and none is dead."""
    account = bench.run([{"fault": "entry_error", "code": code, "next": 30}])
    account.check_nothing_lost()
    assert account.letters == {}
    assert sum(account.tries.values()) == 40


def test_retry_after_is_obeyed(bench: Bench) -> None:
    """Told to wait two seconds the child waits two seconds."""
    rule = {"fault": "call_error", "code": "ThrottlingException", "status": 503, "retry_after": 2, "next": 1}
    account = bench.run([rule])
    check_all_delivered(account, 2)
    assert account.seconds >= 2


@pytest.mark.parametrize("mode", ["answer", "refuse"])
def test_an_outage_is_held_through(bench: Bench, mode: str) -> None:
    """503 to everything, or nothing listening, for three seconds: then all is delivered, after few attempts."""
    account = bench.run([{"fault": "outage", "how": mode, "from_s": 0, "to_s": 3}], count=100)
    account.check_nothing_lost()
    assert account.letters == {}
    assert account.seconds >= 2.5
    # Ten calls may be under way when it begins; from the third failure on it is one probe at a time, two a second.
    refused_calls = len(account.entries) - 10
    assert refused_calls <= 10 + 2 * account.seconds


# --- Single entries ------------------------------------------------------------------------------------------------


def test_an_entry_refused_for_its_data_is_buried_at_once(bench: Bench) -> None:
    """One attempt, one letter, reason `refused` with AWS's code; its neighbours are not touched."""
    account = bench.run([{"fault": "entry_error", "code": "MalformedDetail", "where": place(STRUCK)}])
    check_struck(account, 1, "refused", "MalformedDetail")
    assert account.letters[STRUCK]["attempts"] == 1


@pytest.mark.parametrize("code", ["ThrottlingException", "ValidationException", *PASSING])
def test_an_entry_in_passing_trouble_is_retried(bench: Bench, code: str) -> None:
    """Struck once it is delivered at the second attempt, none dead, its neighbours are not sent again."""
    check_struck(bench.run([{"fault": "entry_error", "code": code, "where": place(STRUCK), "next": 1}]), 2, None)


@pytest.mark.parametrize("code", PASSING)
def test_an_entry_whose_budget_is_spent_is_buried(no_retries: Bench, code: str) -> None:
    """With no retries allowed it is `retries_exhausted` as soon as others are accepted, whose calls were sent since."""
    account = no_retries.run([{"fault": "entry_error", "code": code, "where": place(STRUCK)}], company=True)
    check_struck(account, account.tries[STRUCK], "retries_exhausted", code)
    assert account.tries[STRUCK] <= 5


@pytest.mark.parametrize("culprits", [(STRUCK,), (2, 7)])
def test_the_entry_for_which_calls_are_refused_is_found(bench: Bench, culprits: tuple[int, ...]) -> None:
    """Halving leaves the culprit alone in a few calls: it is buried, all others are delivered, none of them dead."""
    rules = [{"fault": "call_error", "code": "ValidationException", "where": place(at)} for at in culprits]
    account = bench.run(rules)
    account.check_nothing_lost()
    assert {at: letter["reason"] for at, letter in account.letters.items()} == dict.fromkeys(culprits, "refused")
    assert max(account.tries.values()) <= 6


# --- The dead-letter queue -------------------------------------------------------------------------------------------

QUEUE_FAULTS = {
    "a message in trouble, twice": Fault([{"fault": "entry_error", "code": "InternalError", "next": 2}], 3),
    "a throttled message": Fault([{"fault": "entry_error", "code": "RequestThrottled", "next": 1}], 2),
    "a message blamed on its sender": Fault([{"fault": "sender_fault", "code": "InvalidParameterValue", "next": 1}], 2),
    "a wrong MD5": Fault([{"fault": "wrong_md5", "next": 1}], 2),
    "access denied": refused("AccessDeniedException", 2, status=403),
    "a missing queue": refused("QueueDoesNotExist", 2),
    "HTTP 500, five times": refused("InternalFailure", 5, status=500),
    "reset after it was accepted": Fault([{"fault": "reset", "next": 1}], 2),
    "HTML with a 200": Fault([{"fault": "html", "next": 1}], 2),
    "an answer short of one message": Fault([{"fault": "short", "next": 1}], 2),
}


@pytest.mark.parametrize("name", QUEUE_FAULTS)
def test_a_dead_letter_is_stored_whatever_the_queue_does(bench: Bench, name: str) -> None:
    """The poison is stored in the row's attempts, with its reason, and no good event waits for it or is sent again."""
    row = QUEUE_FAULTS[name]
    account = bench.run([{"operation": "SendMessageBatch", **rule} for rule in row.rules], poison=(STRUCK,))
    account.check_nothing_lost()
    assert {at: letter["reason"] for at, letter in account.letters.items()} == {STRUCK: "schema_mismatch"}
    assert account.letter_tries == {STRUCK: row.tries}
    assert account.tries == {**dict.fromkeys(NEIGHBOURS, 1), STRUCK: 0}
    assert account.first_order == NEIGHBOURS


def test_bus_and_queue_down_together_lose_nothing(bench: Bench) -> None:
    """While neither accepts anything the child holds; afterwards everything is where it belongs."""
    account = bench.run([{"operation": "*", "fault": "outage", "to_s": 3}], count=30, poison=(3, 17))
    account.check_nothing_lost()
    assert set(account.letters) == {3, 17}


# --- The v2 bus ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", ["reset", "html", "short"])
def test_what_a_v2_bus_accepted_unheard_is_published_once(v2: Bench, fault: str) -> None:
    """Sent again with its deduplication id an event that was accepted is not published twice."""
    before = v2.fake_aws.stats()["items"].get("PutEventsV2", {}).get("deduplicated", 0)
    account = v2.run([{"operation": "PutEventsV2", "fault": fault, "next": 1}])
    check_all_delivered(account, 2)
    assert v2.fake_aws.stats()["items"]["PutEventsV2"]["deduplicated"] == before + 10


def test_a_v2_culprit_is_found(v2: Bench) -> None:
    """InvalidInputException for one entry's content is bisected like a ValidationException."""
    rule = {"operation": "PutEventsV2", "fault": "call_error", "code": "InvalidInputException", "where": place(STRUCK)}
    account = v2.run([rule], count=25)
    account.check_nothing_lost()
    assert {at: letter["reason"] for at, letter in account.letters.items()} == {STRUCK: "refused"}


def test_a_call_carries_what_its_bus_takes(bench: Bench, v2: Bench) -> None:
    """Asked for 25 a classic bus gets the ten that it takes, a v2 bus all of them."""
    for bus, calls in ((bench, [10] * 5), (v2, [25, 25])):
        account = bus.run([], count=50)
        account.check_nothing_lost()  # five calls at once reach the bus in any order
        assert account.tries == dict.fromkeys(range(50), 1)
        assert [len(call) for call in account.entries] == calls
