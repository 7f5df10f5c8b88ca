"""`find` against the ledger of a run with faults: every fate, and what cannot be told."""

import uuid
from collections.abc import Iterator

import pytest

from tests.event_world import FAULTS, QUEUE, STREAM, EventWorld, parse_fates
from tests.fakeaws.process import FakeAwsProcess

DEAD = "in the dead-letter queue"
UNDELIVERED = "accepted by EventBridge, and undelivered at the rule's target"
WAITING = "not settled yet: the consumer's checkpoint is not past it"
PASSED_OVER = "in a damaged aggregated record: the KCL hands it to nobody"
DROPPED = "past the checkpoint, and a setting drops it"
ACCEPTED = "past the checkpoint and in no queue: accepted by EventBridge, or its letter is gone"
LETTER_GONE = "past the checkpoint, and its dead letter is gone"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EventWorld]:
    """A world in which 100 events of every fate have lived."""
    folder = tmp_path_factory.mktemp("fates")
    with FakeAwsProcess(folder / "ledger", None, 3) as fake_aws:
        world = EventWorld(fake_aws, folder, 100)
        world.plan(rules=FAULTS)
        world.start()
        world.put("delivered", "malformed", "unroutable", "refused", "dropped", "gone")
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


def test_find_is_right_for_every_fate(world: EventWorld) -> None:
    """It says what the ledger says, and never more; the queues hold as much afterwards, and nothing stays hidden."""
    before = {name: len(messages) for name, messages in world.fake_aws.queues().items()}
    never = [f"{10**9 + n:032x}" for n in range(world.count)]
    asked = [identity for ids in world.ids.values() for identity in ids]
    answer = world.run("find", *asked, *never, "--since", "1h")
    assert answer.returncode == 1, answer.stderr[-2000:]
    says, truth = parse_fates(answer.stdout), world.truth()
    by_ledger = {"accepted": ACCEPTED, "gone": LETTER_GONE, "undelivered": UNDELIVERED, "letters": DEAD}
    wanted = {
        identity: fate
        for name, fate in (("waiting", WAITING), ("dropped", DROPPED), ("passed over", PASSED_OVER))
        for identity in world.ids[name]
    }
    for name, fate in by_ledger.items():
        wanted |= dict.fromkeys(truth[name], fate)
    assert {identity: says[identity] for identity in asked} == wanted
    assert says.keys() == {*asked, *never}
    for identity in never:
        assert says[identity].startswith("not in the stream since ")
        assert says[identity].endswith("not received since then, unless a receiver's spill still has it")
    assert {name: len(messages) for name, messages in world.fake_aws.queues().items()} == before
    hidden = "ApproximateNumberOfMessagesNotVisible"
    told_by_sqs = world.sqs.get_queue_attributes(QueueUrl=QUEUE, AttributeNames=[hidden])
    assert told_by_sqs["Attributes"][hidden] == "0"


def test_find_by_conversation_and_interaction(world: EventWorld) -> None:
    """All events of a conversation; an interaction by its own name, its correlationId by the event's; dead letters."""
    for fate, says in (("waiting", WAITING), ("malformed", DEAD)):
        answer = world.run("find", "--conversation", f"{fate}-conv", "--since", "1h")
        assert (answer.returncode, parse_fates(answer.stdout)) == (0, dict.fromkeys(world.ids[fate], says))
    item = world.ids["delivered"][0]
    answer = world.run("find", "--interaction", f"int-{int(item, 16)}", "--since", "1h")
    assert (answer.returncode, parse_fates(answer.stdout)) == (0, {item: ACCEPTED})
    dead = world.ids["refused"][0]
    answer = world.run("find", str(uuid.UUID(item)), dead, "--since", "1h")
    assert parse_fates(answer.stdout) == {item: ACCEPTED, dead: DEAD}
    for words in ("refused (MalformedDetail)", "checkpoint  past it", "shard shardId-00000000000"):
        assert words in answer.stdout


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
    completed = world.run("find", world.ids["delivered"][0], *words, **settings)
    assert completed.returncode == 2, completed.stdout + completed.stderr
    assert says in " ".join((completed.stdout + completed.stderr).split())
    assert not [text for text in parse_fates(completed.stdout).values() if text == ACCEPTED]
    world.plan()


def test_what_a_replay_put_back_waits_again_until_the_consumer_has_read_it(world: EventWorld) -> None:
    """The event has two places then, and the verdict is the newest one's."""
    item = world.ids["delivered"][1]
    assert world.run("replay", "--since", "1h", "--id", item).returncode == 0
    answer = world.run("find", item, "--since", "1h")
    assert (answer.stdout.count("  stream "), parse_fates(answer.stdout)) == (2, {item: WAITING})
    world.feed()
    world.write_leases()
    assert parse_fates(world.run("find", item, "--since", "1h").stdout) == {item: ACCEPTED}
