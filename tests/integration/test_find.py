"""`find` against the ledger of a run with faults: every fate, and what cannot be told."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.event_world import FAULTS, SHARDS, STREAM, EventWorld, told
from tests.fakeaws.process import FakeAwsProcess

DEAD = "in the dead-letter queue"
UNDELIVERED = "accepted by EventBridge, and undelivered at the rule's target"
WAITING = "not settled yet: the consumer's checkpoint is not past it"
PASSED_OVER = "in a damaged aggregated record: the KCL hands it to nobody"
DROPPED = "past the checkpoint, and a setting drops it"
ACCEPTED = "past the checkpoint and in no queue: accepted by EventBridge, or its letter is gone"
LETTER_GONE = "past the checkpoint, and its dead letter is gone"
UNKNOWN = "cannot be judged"


def lived(folder: Path, count: int, delivered: int = 0) -> Iterator[EventWorld]:
    """A world in which events of every fate have lived: `count` of each, and `delivered` times so many beside them."""
    with FakeAwsProcess(folder / "ledger", None, 3) as fake_aws:
        world = EventWorld(fake_aws, folder, count)
        world.plan(rules=FAULTS)
        world.start()
        world.put("delivered", "malformed", "unroutable", "refused", "dropped", "gone", *["delivered"] * delivered)
        world.put_passed_over()
        world.feed()
        world.plan(undelivered={"queue": f"{STREAM}-undelivered", "code": "NO_PERMISSIONS", "message": "it may not"})
        world.put("undelivered")
        world.feed()
        world.write_leases()
        world.plan()
        world.put("waiting")
        world.purge_letters(world.ids["gone"])
        yield world
        world.close()


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EventWorld]:
    yield from lived(tmp_path_factory.mktemp("fates"), 100)


def assert_found_right(world: EventWorld, each: int = 1_000) -> None:
    """`find` of so many events of each fate says what the ledger says, and never more."""
    never = [f"{10**9 + n:032x}" for n in range(min(each, world.count))]
    asked = [identity for ids in world.ids.values() for identity in ids[-each:]]
    answer = world.run("find", *asked, *never, "--since", "1h")
    assert answer.returncode == 1, answer.stderr[-2000:]
    says, truth = told(answer.stdout), world.truth()
    assert len(says) == len(asked) + len(never)
    for identity in asked:
        fate = says[identity]
        if identity in truth["letters"]:
            assert fate == DEAD
        elif identity in truth["undelivered"]:
            assert fate == UNDELIVERED
        elif identity in truth["gone"]:
            assert fate == LETTER_GONE
        elif identity in truth["accepted"]:
            assert fate == ACCEPTED
        else:
            made_for = next(name for name, ids in world.ids.items() if identity in ids)
            assert fate == {"waiting": WAITING, "dropped": DROPPED, "passed over": PASSED_OVER}[made_for]
    for identity in never:
        assert says[identity].startswith("not in the stream since ")
        assert says[identity].endswith("not received since then, unless a receiver's spill still has it")


def test_find_is_right_for_every_fate(world: EventWorld) -> None:
    """100 events of each fate, over records of several events, under faults."""
    assert_found_right(world)


def test_find_by_conversation_and_interaction(world: EventWorld) -> None:
    """All events of a conversation; an interaction by its own name, its correlationId by the event's."""
    answer = world.run("find", "--conversation", "waiting-conv", "--since", "1h")
    assert answer.returncode == 0
    assert told(answer.stdout) == dict.fromkeys(world.ids["waiting"], WAITING)
    one = world.ids["delivered"][0]
    answer = world.run("find", "--interaction", f"int-{int(one, 16)}", "--since", "1h")
    assert (answer.returncode, told(answer.stdout)) == (0, {one: ACCEPTED})
    assert "shard shardId-00000000000" in answer.stdout
    correlation = f"{one[:8]}-{one[8:12]}-{one[12:16]}-{one[16:20]}-{one[20:]}"
    assert told(world.run("find", correlation, "--since", "1h").stdout) == {one: ACCEPTED}
    nobody = world.run("find", "--conversation", "nobody's", "--since", "1h")
    assert nobody.returncode == 1
    assert "conversation nobody's: not in the stream since" in nobody.stdout


def test_a_dead_letter_is_said_with_its_place_and_why(world: EventWorld) -> None:
    """The queue says why it died, the stream where it stands."""
    one = world.ids["refused"][0]
    answer = world.run("find", one, "--since", "1h")
    assert (answer.returncode, told(answer.stdout)) == (0, {one: DEAD})
    assert "refused (MalformedDetail)" in answer.stdout
    assert "checkpoint  past it" in answer.stdout


def test_looking_gives_every_message_back(world: EventWorld) -> None:
    """The queues hold as much after as before, and nothing of it stays hidden."""
    before = {name: len(messages) for name, messages in world.fake_aws.queues().items()}
    world.run("find", world.ids["malformed"][0])
    assert {name: len(messages) for name, messages in world.fake_aws.queues().items()} == before
    attributes = world.sqs.get_queue_attributes(
        QueueUrl="https://sqs.us-east-1.amazonaws.com/123456789012/dead-letters",
        AttributeNames=["ApproximateNumberOfMessagesNotVisible"],
    )["Attributes"]
    assert attributes["ApproximateNumberOfMessagesNotVisible"] == "0"


@pytest.mark.parametrize(
    ("words", "settings", "says"),
    [
        (("--since", "8d"), {}, "--since is older than what stream cxone-events keeps (168 hours)"),
        (("--since", "1h"), {"STREAM_ROUTER_STREAM": "missing"}, "there is no stream missing"),
        (("--since", "1h"), {"STREAM_ROUTER_APPLICATION": "never-ran"}, "there is no lease table never-ran"),
        (("--since", "1h"), {"SQS_DLQ_URL": "https://sqs.us-east-1.amazonaws.com/1/missing"}, "the queue missing"),
    ],
)
def test_what_cannot_be_read_cannot_be_judged(
    world: EventWorld, words: tuple[str, ...], settings: dict[str, str], says: str
) -> None:
    """2, with the reason and the cure, where stream, leases or queue cannot be read: never a guess."""
    world.plan(missing=["missing"])
    found = world.run("find", world.ids["delivered"][0], *words, **settings)
    assert found.returncode == 2, found.stdout + found.stderr
    assert says in " ".join((found.stdout + found.stderr).split())
    assert not [text for text in told(found.stdout).values() if text == ACCEPTED]
    world.plan()


def test_a_checkpoint_that_is_a_word_tells_nothing(world: EventWorld) -> None:
    """A consumer that began at LATEST has passed something over, but its row does not say what."""
    before = world.leases()
    for shard in SHARDS:
        world.put_lease(shard, "LATEST")
    answer = world.run("find", world.ids["delivered"][0], "--since", "1h")
    assert (answer.returncode, list(told(answer.stdout).values())) == (2, [UNKNOWN])
    for shard in SHARDS:
        world.put_lease(shard, before[shard])
    assert world.run("find", world.ids["delivered"][0], "--since", "1h").returncode == 0


def test_a_dead_letter_that_mapping_refused_is_found_by_its_names(world: EventWorld) -> None:
    """It was answered 202, and is not "not received": what it would be known by stands in what was sent."""
    one = world.ids["malformed"][3]
    answer = world.run("find", "--interaction", f"int-{int(one, 16)}", "--since", "1h")
    assert (answer.returncode, told(answer.stdout)) == (0, {one: DEAD})
    answer = world.run("find", "--conversation", "malformed-conv", "--since", "1h")
    assert (answer.returncode, told(answer.stdout)) == (0, dict.fromkeys(world.ids["malformed"], DEAD))


def test_what_a_replay_put_back_is_told_and_its_place_is_the_newest(world: EventWorld) -> None:
    """The event has two places then; the verdict is the later one's, before and after the consumer has read it."""
    one = world.ids["delivered"][1]
    assert world.run("replay", "--since", "1h", "--id", one).returncode == 0
    answer = world.run("find", one, "--since", "1h")
    assert (answer.returncode, told(answer.stdout)) == (0, {one: WAITING})
    assert answer.stdout.count("  stream ") == 2
    assert "; put back by replay (run " in answer.stdout
    world.feed()
    world.write_leases()
    assert told(world.run("find", one, "--since", "1h").stdout) == {one: ACCEPTED}
    world.put_lease(SHARDS[0], "TRIM_HORIZON")
    world.put_lease(SHARDS[1], "TRIM_HORIZON")
    assert told(world.run("find", one, "--since", "1h").stdout) == {one: WAITING}
    world.write_leases()


@pytest.mark.long
def test_one_event_among_50000_is_found_within_20_s(tmp_path: Path) -> None:
    """500 of each of eight fates, 46,000 that were delivered, and some that never were; by id, and by interaction."""
    for world in lived(tmp_path, 500, 92):
        begun_s = time.monotonic()
        assert_found_right(world, each=1)
        assert time.monotonic() - begun_s < 20
        one, begun_s = world.ids["malformed"][-1], time.monotonic()
        answer = world.run("find", "--interaction", f"int-{int(one, 16)}", "--since", "1h")
        assert told(answer.stdout) == {one: DEAD}
        assert time.monotonic() - begun_s < 20
