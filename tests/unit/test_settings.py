"""Bad settings: refused before anything starts, in one line that names the variable, says the cure, quotes no value."""

import os

import pytest
from pydantic_settings import BaseSettings

from stream_router.cxone.settings import Cxone
from stream_router.errors import SettingsError
from stream_router.model import DeadLetterShare
from stream_router.settings import types
from stream_router.settings.common import NO_RULE
from stream_router.settings.consumer import Consumer
from stream_router.settings.environment.reading import load
from stream_router.settings.jars import Jars
from stream_router.settings.receiver import Receiver
from stream_router.settings.setup import Setup

QUEUE = "https://sqs.us-east-1.amazonaws.com/123456789012/dead"
CONSUMER = {"AWS_REGION": "us-east-1", "SQS_DLQ_URL": QUEUE}
RECEIVER = {"AWS_REGION": "us-east-1", "STREAM_ROUTER_WEBHOOK_SCHEME": "none"}
SETUP = {"AWS_REGION": "us-east-1"}
CXONE = {"CXONE_CLIENT_ID": "id", "CXONE_CLIENT_SECRET": "secret"}
GOOD: dict[type[BaseSettings], dict[str, str]] = {
    Consumer: CONSUMER,
    Receiver: RECEIVER,
    Setup: SETUP,
    Cxone: CXONE,
    Jars: {},
}

UNSET = ""
"""An empty variable counts as not set."""

BAD: list[tuple[type[BaseSettings], str, str]] = [
    (Consumer, "SQS_DLQ_URL", UNSET),
    (Consumer, "SQS_DLQ_URL", "arn:aws:sqs:us-east-1:123456789012:dead"),
    (Consumer, "SQS_DLQ_URL", "https://sqs/with a space"),
    (Consumer, "SQS_DLQ_URL", "https://sqs.us-east-1.amazonaws.com/123456789012/dead.fifo"),
    (Setup, "SQS_DLQ_URL", "arn:aws:sqs:us-east-1:123456789012:dead"),
    (Setup, "SQS_DLQ_URL", "https://sqs.us-east-1.amazonaws.com/123456789012/dead.fifo"),
    (Consumer, "STREAM_ROUTER_STREAM", "no/slash"),
    (Consumer, "STREAM_ROUTER_STREAM", "s" * 129),
    (Consumer, "STREAM_ROUTER_APPLICATION", "ab"),
    (Consumer, "STREAM_ROUTER_APPLICATION", "blank inside"),
    (Consumer, "STREAM_ROUTER_RULE", "r" * 65),
    (Consumer, "STREAM_ROUTER_RULE", "no:colon"),
    (Consumer, "STREAM_ROUTER_EVENT_BUS", "b" * 1601),
    (Consumer, "STREAM_ROUTER_UNROUTABLE", "ignore"),
    (Consumer, "STREAM_ROUTER_MAX_ENTRIES", "0"),
    (Consumer, "STREAM_ROUTER_MAX_ENTRIES", "101"),
    (Consumer, "STREAM_ROUTER_MAX_ENTRIES", "ten"),
    (Consumer, "STREAM_ROUTER_MAX_ENTRIES", "2.5"),
    (Consumer, "STREAM_ROUTER_MAX_REQUEST_BYTES", "1023"),
    (Consumer, "STREAM_ROUTER_MAX_REQUEST_BYTES", "1MB"),
    (Consumer, "STREAM_ROUTER_MAX_IN_FLIGHT", "0"),
    (Consumer, "STREAM_ROUTER_MAX_IN_FLIGHT", "257"),
    (Consumer, "STREAM_ROUTER_MAX_RETRIES", "-1"),
    (Consumer, "STREAM_ROUTER_MAX_RETRIES", "101"),
    (Consumer, "STREAM_ROUTER_CHECKPOINT_S", "0"),
    (Consumer, "STREAM_ROUTER_CHECKPOINT_S", "nan"),
    (Consumer, "STREAM_ROUTER_CHECKPOINT_S", "601"),
    (Consumer, "STREAM_ROUTER_WINDOW_BYTES", "1048575"),
    (Consumer, "STREAM_ROUTER_WINDOW_BYTES", "64MiB"),
    (Consumer, "STREAM_ROUTER_WINDOW_SPAN_S", "4.9"),
    (Consumer, "STREAM_ROUTER_WINDOW_SPAN_S", "86401"),
    (Consumer, "STREAM_ROUTER_MAX_SHARD_RATE", "0"),
    (Consumer, "STREAM_ROUTER_MAX_SHARD_RATE", "inf"),
    (Consumer, "STREAM_ROUTER_DEAD_LETTER_LIMIT", "90/1000/300"),
    (Consumer, "STREAM_ROUTER_DEAD_LETTER_LIMIT", "0%/500/300s"),
    (Consumer, "STREAM_ROUTER_DEAD_LETTER_LIMIT", "100.1%/1000/300s"),
    (Consumer, "STREAM_ROUTER_DEAD_LETTER_LIMIT", "90%/99/300s"),
    (Consumer, "STREAM_ROUTER_DEAD_LETTER_LIMIT", "90%/1000001/300s"),
    (Consumer, "STREAM_ROUTER_DEAD_LETTER_LIMIT", "90%/1000/0.5s"),
    (Consumer, "STREAM_ROUTER_DEAD_LETTER_LIMIT", "90%/1000/86401s"),
    (Consumer, "STREAM_ROUTER_BUS_PROOF", "believe"),
    (Consumer, "STREAM_ROUTER_WORKER", "pod 7"),
    (Consumer, "STREAM_ROUTER_WORKER", "w" * 129),
    (Consumer, "STREAM_ROUTER_ON_OUTAGE", "drop"),
    (Consumer, "STREAM_ROUTER_ORDERING", "strict"),
    (Consumer, "STREAM_ROUTER_ADMIN_LISTEN", "9464"),
    (Consumer, "STREAM_ROUTER_ADMIN_LISTEN", "127.0.0.1:port"),
    (Consumer, "STREAM_ROUTER_ADMIN_LISTEN", "127.0.0.1:65536"),
    (Consumer, "STREAM_ROUTER_LOG_LEVEL", "LOUD"),
    (Receiver, "STREAM_ROUTER_WEBHOOK_SCHEME", "magic"),
    (Receiver, "STREAM_ROUTER_LISTEN", "localhost"),
    (Receiver, "STREAM_ROUTER_LISTEN", ":8080"),
    (Receiver, "STREAM_ROUTER_RECEIVER_ADMIN_LISTEN", "127.0.0.1:-1"),
    (Receiver, "STREAM_ROUTER_HMAC_ALGORITHM", "md5"),
    (Receiver, "STREAM_ROUTER_HMAC_ENCODING", "base32"),
    (Receiver, "STREAM_ROUTER_REPLAY_WINDOW_S", "0"),
    (Receiver, "STREAM_ROUTER_REPLAY_WINDOW_S", "86401"),
    (Receiver, "STREAM_ROUTER_MAX_BODY_BYTES", "0"),
    (Receiver, "STREAM_ROUTER_MAX_BODY_BYTES", "10485761"),
    (Receiver, "STREAM_ROUTER_BUCKETS", "0"),
    (Receiver, "STREAM_ROUTER_BUCKETS", "4097"),
    (Receiver, "STREAM_ROUTER_LINGER_MS", "-0.1"),
    (Receiver, "STREAM_ROUTER_LINGER_MS", "501"),
    (Receiver, "STREAM_ROUTER_SPILL_MAX_BYTES", "1048575"),
    (Receiver, "STREAM_ROUTER_PARTITION_PATH", "a..b"),
    (Receiver, "STREAM_ROUTER_PARTITION_PATH", " , "),
    (Receiver, "STREAM_ROUTER_PARTITION_PATH", "a.\udcff"),
    (Receiver, "STREAM_ROUTER_WEBHOOK_SECRETS", "tops\udcffecret"),
    (Consumer, "STREAM_ROUTER_MASKING_KEY", "\udcff"),
    (Consumer, "STREAM_ROUTER_AUDIT_KEY", "\udcff"),
    (Consumer, "STREAM_ROUTER_EVENT_TYPES", "a," + "x" * 129),
    (Consumer, "STREAM_ROUTER_EVENT_TYPES", "a,b\tc"),
    (Consumer, "STREAM_ROUTER_EVENT_TYPES", "a,\udcff"),
    (Setup, "STREAM_ROUTER_EVENT_TYPES", " , "),
    (Setup, "STREAM_ROUTER_RULE", "none"),
    (Setup, "EVENTBRIDGE_TARGET_ARN", "my-function"),
    (Setup, "STREAM_ROUTER_TARGET_DLQ_ARN", "https://sqs.example/undelivered"),
    (Setup, "STREAM_ROUTER_SHARDS", "0"),
    (Cxone, "CXONE_CLIENT_ID", UNSET),
    (Cxone, "CXONE_CLIENT_SECRET", UNSET),
    (Cxone, "CXONE_CLIENT_SECRET", "se\udcffcret"),
    (Cxone, "CXONE_AUTH_URL", "ftp://cxone.example/token"),
    (Cxone, "CXONE_AUTH_URL", "https://user:pw@cxone.example/"),
    (Cxone, "CXONE_AUTH_URL", "https://[::1"),
    (Cxone, "CXONE_AUTH_URL", "http://cxone.example/token"),
    (Cxone, "CXONE_ISSUER", "https:///no-host"),
    (Cxone, "CXONE_ISSUER", "cxone.niceincontact.com"),
]

COMMON_WORDS = {"0", "ab", "-1", "ten", "drop", "2.5", "none"}
"""Values too short to be looked for in a sentence."""


@pytest.fixture(autouse=True)
def empty_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No setting of this machine reaches a test."""
    for name in os.environ:
        if name.startswith(("STREAM_ROUTER_", "AWS_", "CXONE_", "SQS_", "EVENTBRIDGE_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")


def given(monkeypatch: pytest.MonkeyPatch, values: dict[str, str]) -> None:
    for name, value in values.items():
        monkeypatch.setenv(name, value)


@pytest.mark.parametrize(("kind", "name", "value"), BAD)
def test_a_bad_setting_is_one_line_that_names_it(
    monkeypatch: pytest.MonkeyPatch, kind: type[BaseSettings], name: str, value: str
) -> None:
    """One line `VARIABLE: problem; cure`, without the value, whatever is wrong."""
    given(monkeypatch, {**GOOD[kind], name: value})
    with pytest.raises(SettingsError) as error:
        load(kind)
    text = str(error.value)
    assert "\n" not in text
    assert text.startswith(f"{name}: ")
    problem, _, cure = text.partition("; ")
    assert len(problem) > len(name) + 2
    assert cure
    if value and value not in COMMON_WORDS:
        assert value not in text


def test_there_are_enough_bad_settings() -> None:
    """The table above has at least the forty rows that were promised."""
    assert len(BAD) >= 40
    assert len({(kind, name, value) for kind, name, value in BAD}) == len(BAD)


@pytest.mark.parametrize("kind", GOOD, ids=lambda kind: kind.__name__)
def test_the_smallest_good_environment_loads(monkeypatch: pytest.MonkeyPatch, kind: type[BaseSettings]) -> None:
    """Each program starts with only what it must have."""
    given(monkeypatch, GOOD[kind])
    assert isinstance(load(kind), kind)


@pytest.mark.parametrize("kind", [Consumer, Receiver, Setup], ids=lambda kind: kind.__name__)
def test_a_missing_region_is_one_line(monkeypatch: pytest.MonkeyPatch, kind: type[BaseSettings]) -> None:
    """Without any region the line says which variable to set."""
    given(monkeypatch, {name: value for name, value in GOOD[kind].items() if name != "AWS_REGION"})
    with pytest.raises(SettingsError, match=r"^AWS_REGION: is not set; set AWS_REGION, for example us-east-1$"):
        load(kind)


def test_a_profile_that_is_not_there_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """botocore is asked for the region, and what it cannot read is a setting like any other."""
    given(monkeypatch, {"AWS_PROFILE": "nope"})
    with pytest.raises(SettingsError, match=r"^AWS_REGION: is not set, .*nope.*; set AWS_REGION"):
        load(Setup)


def test_the_region_may_come_from_where_boto3_reads_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """AWS_DEFAULT_REGION stands in for AWS_REGION."""
    given(monkeypatch, {"SQS_DLQ_URL": QUEUE, "AWS_DEFAULT_REGION": "eu-west-1"})
    assert load(Consumer).aws_region == "eu-west-1"


@pytest.mark.parametrize("pair", ["CXONE_CLIENT", "CXONE_ACCESS_KEY"])
@pytest.mark.parametrize(("given_half", "missing"), [("_ID", "_SECRET"), ("_SECRET", "_ID")])
def test_half_a_pair_of_cxone_credentials_names_the_other_half(
    monkeypatch: pytest.MonkeyPatch, pair: str, given_half: str, missing: str
) -> None:
    """An id without its secret, or the other way round, is refused by the name of what is missing."""
    given(monkeypatch, {pair + given_half: "lonely"})
    with pytest.raises(SettingsError, match=f"^{pair}{missing}: is not set; ") as error:
        load(Cxone)
    assert "lonely" not in str(error.value)


def test_an_access_key_needs_no_client(monkeypatch: pytest.MonkeyPatch) -> None:
    """NICE's key flow works without a registered application."""
    given(monkeypatch, {"CXONE_ACCESS_KEY_ID": "k", "CXONE_ACCESS_KEY_SECRET": "s"})
    assert load(Cxone).client_id is None


def test_defaults_are_the_contracts(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is not set has the promised default."""
    given(monkeypatch, {**CONSUMER, **RECEIVER})
    consumer, receiver = load(Consumer), load(Receiver)
    assert (consumer.stream, consumer.application) == ("cxone-events", "cxone-event-router")
    assert consumer.event_type_list == ("interaction.created", "conversation.updated", "agent.status.changed")
    assert (consumer.max_entries, consumer.max_in_flight, consumer.max_retries) == (25, 128, 4)
    assert (consumer.checkpoint_s, consumer.on_outage, consumer.ordering, consumer.masking) == (
        5,
        "hold",
        "none",
        "off",
    )
    assert (consumer.unroutable, consumer.admin_listen) == ("dead-letter", "127.0.0.1:9464")
    assert (consumer.window_bytes, consumer.window_span_s, consumer.max_shard_rate) == (64 * 1024**2, 120, None)
    assert consumer.dead_letter_share == DeadLetterShare(0.9, 1000, 300)
    assert (consumer.bus_proof, consumer.worker) == ("describe", None)
    assert (receiver.listen, receiver.receiver_admin_listen) == ("127.0.0.1:8080", "127.0.0.1:9465")
    assert (receiver.max_body_bytes, receiver.buckets, receiver.linger_ms) == (716_800, 8, 5)
    assert (receiver.replay_window_s, receiver.spill_max_bytes) == (300, 1024**3)
    assert (receiver.hmac_header, receiver.hmac_template) == ("x-signature", "{body}")


def test_the_limit_on_dead_letters_can_be_given_and_turned_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """A share of events over seconds, or no limit at all."""
    given(monkeypatch, {**CONSUMER, "STREAM_ROUTER_DEAD_LETTER_LIMIT": "12.5%/200/60s"})
    assert load(Consumer).dead_letter_share == DeadLetterShare(0.125, 200, 60)
    given(monkeypatch, {"STREAM_ROUTER_DEAD_LETTER_LIMIT": "off"})
    assert load(Consumer).dead_letter_share is None


def test_the_consumer_may_have_no_rule(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the rules are others', only `setup` has nothing to do."""
    given(monkeypatch, {**CONSUMER, "STREAM_ROUTER_RULE": NO_RULE})
    assert load(Consumer).rule == NO_RULE


@pytest.mark.parametrize("listen", ["0.0.0.0:9464", "[::]:9464", "10.1.2.3:9464", "host.example:9464"])
def test_an_admin_port_beyond_loopback_needs_a_token(monkeypatch: pytest.MonkeyPatch, listen: str) -> None:
    """Anybody who reaches it would read the numbers."""
    given(monkeypatch, {**CONSUMER, "STREAM_ROUTER_ADMIN_LISTEN": listen})
    with pytest.raises(SettingsError, match=r"^STREAM_ROUTER_ADMIN_TOKEN: is not set, and .*; set a token, or listen"):
        load(Consumer)
    given(monkeypatch, {"STREAM_ROUTER_ADMIN_TOKEN": "a token of many bytes"})
    assert load(Consumer).admin_listen == listen


@pytest.mark.parametrize("listen", ["127.0.0.1:0", "localhost:9464", "[::1]:9464"])
def test_an_admin_port_on_loopback_needs_none(monkeypatch: pytest.MonkeyPatch, listen: str) -> None:
    """Only this machine reaches it."""
    given(monkeypatch, {**CONSUMER, "STREAM_ROUTER_ADMIN_LISTEN": listen})
    assert load(Consumer).admin_token is None


def test_the_bus_decides_what_a_call_may_carry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Asked for 25, a classic bus gives 10 and a v2 bus 25; the region's limit wins over a larger wish."""
    given(monkeypatch, CONSUMER)
    assert load(Consumer).entries_per_call == 10
    assert load(Consumer).bytes_per_call == 1_000_000
    given(
        monkeypatch,
        {
            "STREAM_ROUTER_EVENT_BUS": "arn:aws:events:mx-central-1:123456789012:event-busv2/b/" + "a" * 25,
            "STREAM_ROUTER_MAX_REQUEST_BYTES": "9000000",
            "AWS_REGION": "mx-central-1",
        },
    )
    assert load(Consumer).entries_per_call == 25
    assert load(Consumer).bytes_per_call == 262_144


def test_secrets_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither repr nor str of the settings holds a secret."""
    given(monkeypatch, {**RECEIVER, **CXONE, **CONSUMER, "STREAM_ROUTER_WEBHOOK_SECRETS": "c4n4ry-1 is long enough"})
    given(monkeypatch, {"CXONE_CLIENT_SECRET": "c4n4ry-2", "STREAM_ROUTER_AUDIT_KEY": "c4n4ry-3 is long enough"})
    given(monkeypatch, {"STREAM_ROUTER_AUDIT_DIR": "/tmp"})
    shown = "".join(f"{made!r}{made}" for made in (load(Receiver), load(Cxone), load(Consumer)))
    assert "c4n4ry" not in shown


@pytest.mark.parametrize(
    ("text", "host", "port"), [("127.0.0.1:80", "127.0.0.1", 80), ("[::1]:8080", "::1", 8080), ("host:0", "host", 0)]
)
def test_host_and_port_are_split(text: str, host: str, port: int) -> None:
    """IPv6 hosts stand in brackets."""
    assert types.split_host_port(text) == (host, port)


@pytest.mark.parametrize(
    ("kind", "name", "value", "line"),
    [
        (Receiver, "STREAM_ROUTER_LISTEN", "8080", "has no host, or no port from 0 to 65535; give HOST:PORT"),
        (Receiver, "STREAM_ROUTER_LISTEN", "127.0.0.1:²", "has no host, or no port from 0 to 65535; give HOST:PORT"),
        (Receiver, "STREAM_ROUTER_BUCKETS", "0", "is too small; give ordering buckets, 1 to 4096"),
        (
            Receiver,
            "STREAM_ROUTER_BUCKETS",
            "9" * 5000,
            "is no number that can be used; give ordering buckets, 1 to 4096",
        ),
        (Receiver, "STREAM_ROUTER_BUCKETS", "1e3", "is no whole number; give ordering buckets, 1 to 4096"),
        (Receiver, "STREAM_ROUTER_METRICS_S", "60s", "is no number; give seconds between metrics, 0.1 to 3600"),
        (
            Receiver,
            "STREAM_ROUTER_LOG_LEVEL",
            "debug",
            "is none of the words that are known here; give DEBUG, INFO, WARNING or ERROR",
        ),
        (
            Receiver,
            "STREAM_ROUTER_STREAM",
            "a b",
            "has not the form that is needed here; give 1 to 128 of A-Z a-z 0-9 _ . -",
        ),
        (
            Consumer,
            "SQS_DLQ_URL",
            UNSET,
            "is not set; give the dead-letter queue's URL (standard, not FIFO); `stream-router setup` makes one",
        ),
    ],
)
def test_a_line_says_what_to_give_in_no_words_of_a_library(
    monkeypatch: pytest.MonkeyPatch, kind: type[BaseSettings], name: str, value: str, line: str
) -> None:
    """Who reads it knows neither pydantic nor its patterns."""
    given(monkeypatch, {**GOOD[kind], name: value})
    with pytest.raises(SettingsError) as error:
        load(kind)
    assert str(error.value) == f"{name}: {line}"


@pytest.mark.parametrize("quote", ['"', "'"])
@pytest.mark.parametrize(
    ("kind", "name", "value"),
    [
        (Consumer, "STREAM_ROUTER_EVENT_TYPES", "interaction.created,conversation.updated"),
        (Consumer, "STREAM_ROUTER_DROP_TYPES", "typing"),
        (Consumer, "STREAM_ROUTER_STATE_DIR", "/var/lib/stream-router"),
        (Consumer, "STREAM_ROUTER_MASKING", "default"),
        (Receiver, "STREAM_ROUTER_SPILL_DIR", "/var/lib/stream-router"),
        (Receiver, "STREAM_ROUTER_HMAC_PREFIX", "sha256="),
        (Receiver, "STREAM_ROUTER_PARTITION_PATH", "conversationId"),
        (Cxone, "CXONE_CLIENT_ID", "id"),
    ],
)
def test_quotes_that_no_shell_took_away_are_refused(
    monkeypatch: pytest.MonkeyPatch, kind: type[BaseSettings], name: str, value: str, quote: str
) -> None:
    """Docker's files of variables keep them: a folder of another name would be made, or no event type ever fit."""
    given(monkeypatch, {**GOOD[kind], name: f"{quote}{value}{quote}"})
    with pytest.raises(SettingsError, match=f"^{name}: stands in quotes, .*; take them away; give "):
        load(kind)
    given(monkeypatch, {name: value})
    load(kind)


def test_options_of_the_jvm_may_be_quoted(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are taken apart as a shell does it."""
    given(monkeypatch, {**CONSUMER, "STREAM_ROUTER_JVM_OPTIONS": '"-Dx=a b"'})
    assert load(Consumer).jvm_options == '"-Dx=a b"'
