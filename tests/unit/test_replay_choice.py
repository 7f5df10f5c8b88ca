"""Which events a replay takes, what it leaves out and why, and what its dry run and its summary say of them."""

from collections import Counter

import orjson
import pytest

from stream_router.control.replay import replay_report
from stream_router.control.replay.choice import Choice, Chosen, Failed
from stream_router.control.replay.dry_run import DryRun
from stream_router.control.replay.replay_report import MOST_LISTED
from stream_router.control.stream.reader import Span
from stream_router.model import PROBE_TYPE
from stream_router.pipeline.transform import Transform
from tests.events import config_of, consumer
from tests.unit.test_replay import NOW_MS, SHARD, event, piece

ID = "0123456789abcdef0123456789abcdef"


def choice(event_types: frozenset[str] = frozenset(), ids: frozenset[str] = frozenset()) -> Choice:
    config = config_of()._replace(unroutable="publish", drop_types=frozenset({"typing"}))
    return Choice(Transform(config, lambda: NOW_MS), event_types, ids)


def chosen(by: Choice, *lines: bytes) -> list[Chosen | Failed]:
    return list(by.chosen(piece(1, b"\n".join(lines))))


def types(found: list[Chosen | Failed]) -> list[str]:
    return [one.entry.detail_type if isinstance(one, Chosen) else one.reason for one in found]


def test_without_a_wish_every_event_is_taken_and_what_cannot_be_published_is_told() -> None:
    """A failure says where the event is, and quotes nothing of it."""
    found = chosen(choice(), event(), b'{"secret":', event("other"))
    assert types(found) == ["interaction.created", "malformed_json", "other"]
    failure = found[1]
    assert isinstance(failure, Failed)
    assert (failure.shard_id, failure.sequence_number, failure.line) == (SHARD.shard_id, 1, 1)
    assert "secret" not in failure.message
    first = found[0]
    assert isinstance(first, Chosen)
    assert (first.shard_id, first.raw, first.arrived_at_ms) == (SHARD.shard_id, event(), piece(1, b"").reached_ms)


def test_an_event_that_waits_keeps_its_own_line_alone() -> None:
    """Some 2,000 wait for a low rate, each perhaps the one that is chosen of a large record."""
    (found,) = chosen(choice(frozenset({"other"})), event("other"), *[event()] * 99)
    assert isinstance(found, Chosen)
    assert (found.raw, found.entry.event.record.data) == (event("other"), b"")


def test_only_the_types_that_are_asked_for_are_taken() -> None:
    """What is not asked for is in no number."""
    by = choice(frozenset({"other"}))
    assert types(chosen(by, event(), event("other"), b"{")) == ["other"]
    assert by.left_out == {}


def test_a_probe_and_what_a_setting_drops_are_left_out_and_counted() -> None:
    """Neither is anybody's event."""
    by = choice()
    assert types(chosen(by, event(PROBE_TYPE), event("typing"), event())) == ["interaction.created"]
    assert sum(by.left_out.values()) == 2
    assert any("typing" in why for why in by.left_out)
    assert any("probe" in why for why in by.left_out)


def test_only_the_ids_that_are_asked_for_are_taken_and_those_not_met_are_known() -> None:
    """So the operator hears of an id that is not in the span."""
    known = [one.entry.event.event_id for one in chosen(choice(), event(n=1), event(n=2)) if isinstance(one, Chosen)]
    by = choice(ids=frozenset({known[1], ID}))
    (found,) = chosen(by, event(n=1), event(n=2))
    assert isinstance(found, Chosen)
    assert found.entry.event.event_id == known[1]
    assert by.unmet == {ID}


def test_a_dry_run_names_the_first_and_the_last_by_when_they_arrived() -> None:
    """Shards are read side by side, so the first that it meets need not be the first."""
    dry = DryRun(consumer(), "replay/1")
    made = [one for at in (5, 2, 9, 7) for one in choice().chosen(piece(at, event(n=at))) if isinstance(one, Chosen)]
    dry.note(made)
    assert (dry.first, dry.last) == (made[1], made[2])
    said = dry.lines(Span(1_000, 2_000), Counter({"a reason": 3}))
    assert said[0].startswith("would publish 4 events of ")
    assert "would leave out 3: a reason" in said
    ids = {line.split()[0]: line.split()[-1] for line in said if line.startswith(("first ", "last "))}
    assert ids == {"first": made[1].entry.event.event_id, "last": made[2].entry.event.event_id}


def test_a_dry_run_shows_no_event_that_cannot_be_masked() -> None:
    """What was chosen by the mapping of before may be none by the time it is shown."""
    (found,) = (one for one in chosen(choice(), event()) if isinstance(one, Chosen))
    for raw in (b"{", event("other")):
        dry = DryRun(consumer(), "replay/1")
        dry.note([found._replace(raw=raw)])
        assert dry.lines(Span(1, 2), Counter())[-1] == "the first event cannot be shown masked, so it is not shown"


@pytest.mark.parametrize(("masking", "said"), [("off", "masked here only"), ("default", "masked")])
def test_a_dry_run_shows_nothing_private_before_or_after(masking: str, said: str) -> None:
    """Where no policy is set, `default` masks what is shown; what would be published is unmasked then."""
    dry = DryRun(consumer(masking=masking), "replay/1")
    dry.note(chosen(choice(), event(name="Anna")))
    shown = "\n".join(dry.lines(Span(0, 1), Counter()))
    assert f"before (the first event, as it is in the stream, {said}):" in shown
    assert "Anna" not in shown
    assert shown.count("[REDACTED]") == 2


def test_a_dry_run_shows_an_event_that_no_receiver_sealed_as_it_would_be_published() -> None:
    """One of an array, of several in a record: its id and its time are those of its place, not those of its text."""
    dry = DryRun(consumer(masking="default"), "replay/1")
    body = b'{"contactId":"7","eventTime":"2026-11-24T09:30:00Z"}'
    found = choice().chosen(piece(1, b'[{"no":"shape"},' + body + b"]"))
    one = next(each for each in found if isinstance(each, Chosen))
    dry.note([one])
    shown = "\n".join(dry.lines(Span(0, 1), Counter()))
    sent = orjson.loads(one.entry.detail)
    for name in ("eventId", "receivedAt"):
        assert f'"{name}": "{sent[name]}"' in shown.split("after")[1]


class Told:
    """What a publishing tells the summary."""

    ended_because = "broken off"

    def __init__(self, failures: int) -> None:
        self.published = 3
        self.types = Counter({"interaction.created": 2, "other": 1})
        self.failures = [Failed(f"id-{n}", "shard-1", n, 0, "refused", "Code", "why") for n in range(failures)]
        self.failed = Counter({"refused (Code)": failures} if failures else {})


@pytest.mark.parametrize(("failures", "more"), [(0, ""), (MOST_LISTED, ""), (MOST_LISTED + 2, "  and 2 more")])
def test_a_summary_lists_failures_up_to_a_number_and_says_how_many_more(failures: int, more: str) -> None:
    """With where each is, and why; and how to go on, where something is left."""
    made = replay_report.lines(Told(failures), Counter(), "replay/1", "the command")  # type: ignore[arg-type]
    assert made[0] == "published 3 events as replay/1"
    assert made[-2:] == ["not all: broken off", "go on with: the command"]
    listed = [line for line in made if line.startswith("  id-")]
    assert len(listed) == min(failures, MOST_LISTED)
    assert not failures or listed[0] == "  id-0  shard-1 0 line 0"
    assert made.count("      refused (Code): why") == len(listed)
    assert [line for line in made if "more" in line] == ([more] if more else [])
    assert (f"failed {failures:,}: refused (Code); no dead letter was written" in made) is bool(failures)
