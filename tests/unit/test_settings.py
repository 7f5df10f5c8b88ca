"""What settings take: the last values on the good side, defaults, names, the region. What they refuse, line by line:
tests/unit/test_wrong_settings.py."""

from pathlib import Path

import pytest

from stream_router.checks import Verdict
from stream_router.consumer.supervisor import java
from stream_router.errors import SettingsError
from stream_router.model import DeadLetterShare
from stream_router.operate.doctor import host
from stream_router.operate.doctor.world import World
from stream_router.settings import reading
from stream_router.settings.common import Settings, variable
from stream_router.settings.consumer import Consumer
from stream_router.settings.operators import Cxone, Setup
from stream_router.settings.reading import load
from stream_router.settings.receiver import Receiver
from tests.environment import CONSUMER, CXONE, GOOD, RECEIVER, SETUP, given

pytestmark = pytest.mark.usefixtures("empty_environment")

ROWS = [(kind, name) for kind in GOOD for name in kind.model_fields]

PATH = (("~/x",), ("/tmp/a b", "a/~", "/nonexistent"))
ARN = (("https://sqs/q", "arn:"), ("arn:aws:sqs:us-east-1:123456789012:q",))
LISTEN = (("8080", ":8080", "h:65536", "h:-1", "h:²"), ("127.0.0.1:0", "[::1]:65535", "localhost:1"))


def number(low: str, high: str, below: str, above: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    return (below, above, "many", "1e3x", "nan" if "." in low else "2.5"), (low, high)


EDGES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "AWS_REGION": (("us_east_1", "US-EAST-1", "aws-global"), ("us-gov-west-1", "eusc-de-east-1", "cn-north-1")),
    "SQS_DLQ_URL": (("https://sqs/a b", "https://[::1/q", "https://h:99999/q"), ("http://127.0.0.1:4566/0/dead",)),
    "EVENTBRIDGE_TARGET_ARN": ARN,
    "CXONE_AUTH_URL": (("https://u:p@x/", "https://[::1", "ftp://x/"), ("https://x/token", "http://127.0.0.1:1/token")),
    "STREAM_ROUTER_STREAM": (("a/b", "é", "s" * 129), ("s", "s" * 128, "a.b-c_d")),
    "STREAM_ROUTER_APPLICATION": (("ab", "a" * 256), ("abc", "a" * 255)),
    "STREAM_ROUTER_EVENT_BUS": (
        ("b" * 257, "a b", "arn:aws:events:us-east-1:me:event-bus/b"),
        ("b" * 256, "aws.partner/x/y", "arn:aws:events:us-east-1:123456789012:event-bus/b"),
    ),
    "STREAM_ROUTER_RULE": (("r" * 65, "a:b"), ("r", "r" * 64, "a.b-c_d")),
    "STREAM_ROUTER_EVENT_TYPES": ((" , ", "a\tb", "t" * 129), ("t" * 128, "a,,b", " a , b ")),
    "STREAM_ROUTER_DROP_TYPES": (("t" * 129, '["a"]'), ("a,b", ",")),
    "STREAM_ROUTER_LISTEN": LISTEN,
    "STREAM_ROUTER_RECEIVER_ADMIN_LISTEN": LISTEN,
    "STREAM_ROUTER_ADMIN_LISTEN": LISTEN,
    "STREAM_ROUTER_TRUSTED_PROXIES": (("10.0.0.0/33", "proxy.example"), ("::1", "10.0.0.1, fd00::/8", ",")),
    "STREAM_ROUTER_HMAC_TEMPLATE": (
        ("{Body}", "{}{body}", "{timestamp}.${body}", "{{body}}"),
        ("{id}.{timestamp}.{body}", "v0:{body}"),
    ),
    "STREAM_ROUTER_PARTITION_PATH": (("a..b", ".a", " , ", "/a/b", "a,$.b"), ("a.b.c,d", "a b.c", "$a.b/c")),
    "STREAM_ROUTER_REPLAY_WINDOW_S": number("1", "86400", "0", "86401"),
    "STREAM_ROUTER_MAX_BODY_BYTES": number("1", "10485760", "0", "10485761"),
    "STREAM_ROUTER_MAX_HELD_BYTES": number("1048576", "9999999999", "1048575", "-1"),
    "STREAM_ROUTER_MAX_CONNECTIONS": number("1", "1000000", "0", "1000001"),
    "STREAM_ROUTER_MAX_CLIENT_CONNECTIONS": number("1", "1000000", "0", "1000001"),
    "STREAM_ROUTER_BUCKETS": number("1", "4096", "0", "9" * 5000),
    "STREAM_ROUTER_DRAIN_DELAY_S": number("0.0", "300", "-0.1", "300.1"),
    "STREAM_ROUTER_SPILL_MAX_BYTES": number("1048576", "9999999999", "1048575", "-1"),
    "STREAM_ROUTER_MAX_ENTRIES": number("1", "100", "0", "101"),
    "STREAM_ROUTER_MAX_SHARD_RATE": number("0.001", "1000000", "0", "inf"),
    "STREAM_ROUTER_MAX_RETRIES": number("0", "100", "-1", "101"),
    "STREAM_ROUTER_CHECKPOINT_S": number("0.1", "600", "0", "600.1"),
    "STREAM_ROUTER_SHARDS": number("1", "10000", "0", "10001"),
    "STREAM_ROUTER_DEAD_LETTER_LIMIT": (
        ("90%", "0%/1000/300s", "101%/1000/300s", "90%/99/300s", "90%/1000001/300s", "90%/1000/0.5s", "OFF"),
        ("off", "100%/100/1s", "0.1%/1000000/86400s"),
    ),
    "STREAM_ROUTER_OFFLOAD_BUCKET": (("ab", "Bucket", "-ab", "a" * 64), ("abc", "a" * 63)),
    "STREAM_ROUTER_WORKER": (("a b", "w" * 129), ("w" * 128, "pod-0.ns:1")),
    "STREAM_ROUTER_TAGS": (
        ("aws:x=1", "=x", "k" * 129 + "=v", "k=<v>"),
        ("team=cx", "a=1, b=", "a:b/c=x y"),
    ),
    "STREAM_ROUTER_KMS_KEY": (
        ("alias/mine", "arn:aws:kms:us-east-1:123456789012:alias/mine"),
        ("arn:aws:kms:us-east-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab",),
    ),
    "STREAM_ROUTER_TARGET_DLQ_ARN": ARN,
    **{f"STREAM_ROUTER_{name}": PATH for name in ("CONFIG", "SPILL_DIR", "STATE_DIR", "AUDIT_DIR", "TLS_KEY")},
    **{
        f"STREAM_ROUTER_{name}": ((good.split()[0].swapcase(), "nonsense", " "), tuple(good.split()))
        for name, good in {
            "LOG_LEVEL": "DEBUG INFO WARNING ERROR",
            "LOG_FORMAT": "auto json text",
            "WEAK_SECRETS": "refuse allow",
            "HMAC_ALGORITHM": "sha1 sha256 sha384 sha512",
            "HMAC_ENCODING": "hex base64",
            "UNROUTABLE": "dead-letter publish drop",
            "BUS_PROOF": "describe trust",
            "ON_OUTAGE": "hold dead-letter",
            "ORDERING": "none conversation",
        }.items()
    },
}
"""Of each setting with a form of its own: values that are refused, and the last ones on the good side."""


@pytest.mark.parametrize(("kind", "name"), ROWS, ids=str)
def test_a_setting_takes_what_its_page_says_and_nothing_else(
    monkeypatch: pytest.MonkeyPatch, kind: type[Settings], name: str
) -> None:
    """The last good values, no others; bytes that are no text are refused; an empty value is none."""
    named = variable(kind, name)
    wrong, good = EDGES.get(named, ((), ()))
    is_path = "Path" in str(kind.model_fields[name].annotation)
    for value in (*wrong, *(() if is_path else ("a\udcff",))):
        given(monkeypatch, {**GOOD[kind], named: value})
        with pytest.raises(SettingsError, match=f"^{named}: [^\n]*; [^\n]*$"):
            load(kind)
    for value in good:
        given(monkeypatch, {**GOOD[kind], named: value})
        load(kind)
    given(monkeypatch, GOOD[kind])
    if named not in GOOD[kind]:
        monkeypatch.delenv(named, raising=False)
        expected = load(kind)
        given(monkeypatch, {named: ""})
        assert load(kind) == expected


def test_defaults_are_the_contracts(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is not set has the promised default."""
    given(monkeypatch, {**CONSUMER, **RECEIVER})
    consumer, receiver = load(Consumer), load(Receiver)
    assert (consumer.stream, consumer.application) == ("cxone-events", "cxone-event-router")
    assert consumer.event_type_list == ("interaction.created", "conversation.updated", "agent.status.changed")
    assert (consumer.max_entries, consumer.max_retries, consumer.checkpoint_s) == (25, 4, 5)
    assert (consumer.on_outage, consumer.ordering, consumer.masking) == ("hold", "none", "off")
    assert (consumer.unroutable, consumer.bus_proof) == ("dead-letter", "describe")
    assert consumer.dead_letter_share == DeadLetterShare(0.9, 1000, 300)
    assert (consumer.max_shard_rate, consumer.worker) == (None, None)
    assert [consumer.admin_listen, receiver.receiver_admin_listen] == ["127.0.0.1:9464", "127.0.0.1:9465"]
    assert (receiver.listen, receiver.max_body_bytes, receiver.buckets) == ("127.0.0.1:8080", 716_800, 8)
    assert (receiver.replay_window_s, receiver.spill_max_bytes) == (300, 1024**3)
    assert (receiver.hmac_header, receiver.hmac_template) == ("x-signature", "{body}")


def test_the_bus_and_the_region_decide_what_a_call_may_carry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Asked for 25, a classic bus gives 10 and a v2 bus 25."""
    given(monkeypatch, CONSUMER)
    assert (load(Consumer).entries_per_call, load(Consumer).bytes_per_call) == (10, 1_000_000)
    bus = "arn:aws:events:mx-central-1:123456789012:event-busv2/b/" + "a" * 25
    given(monkeypatch, {"STREAM_ROUTER_EVENT_BUS": bus, "AWS_REGION": "mx-central-1"})
    assert (load(Consumer).entries_per_call, load(Consumer).bytes_per_call) == (25, 262_144)


def test_the_region_comes_from_where_boto3_reads_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """AWS_REGION, AWS_DEFAULT_REGION, the profile's; a profile that is not there is one line."""
    (tmp_path / "config").write_text("[default]\nregion = eu-west-3\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    assert load(Setup).aws_region == "eu-west-3"
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    assert load(Setup).aws_region == "eu-west-1"
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    monkeypatch.setenv("AWS_PROFILE", "nope")
    with pytest.raises(SettingsError, match=r"^AWS_REGION: is not set, .*nope.*; set AWS_REGION"):
        load(Setup)


@pytest.mark.parametrize("variable", ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_KINESIS"])
def test_a_region_that_botocore_does_not_know_needs_an_endpoint(monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    """An emulator, or a region that is newer than botocore; but a region's form it has."""
    given(monkeypatch, {"AWS_REGION": "xx-nowhere-9", variable: "http://127.0.0.1:1"})
    assert load(Setup).aws_region == "xx-nowhere-9"
    monkeypatch.setenv("AWS_REGION", "frankfurt")
    with pytest.raises(SettingsError, match=r"^AWS_REGION: is no region"):
        load(Setup)


@pytest.mark.parametrize("listen", ["127.0.0.1:0", "localhost:9464", "[::1]:9464"])
def test_an_admin_port_on_loopback_needs_no_token(monkeypatch: pytest.MonkeyPatch, listen: str) -> None:
    """Only this machine reaches it."""
    given(monkeypatch, {**CONSUMER, "STREAM_ROUTER_ADMIN_LISTEN": listen})
    assert load(Consumer).admin_token is None


def test_secrets_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither repr nor str of the settings holds a secret."""
    given(monkeypatch, {**RECEIVER, **CXONE, **CONSUMER, "STREAM_ROUTER_WEBHOOK_SECRETS": "c4n4ry-1 is long enough"})
    given(monkeypatch, {"CXONE_CLIENT_SECRET": "c4n4ry-2", "STREAM_ROUTER_AUDIT_KEY": "c4n4ry-3 is long enough"})
    given(monkeypatch, {"STREAM_ROUTER_AUDIT_DIR": "/tmp"})
    assert "c4n4ry" not in "".join(f"{made!r}{made}" for made in (load(Receiver), load(Cxone), load(Consumer)))


# --- names


def test_what_one_program_reads_the_others_know(monkeypatch: pytest.MonkeyPatch) -> None:
    """They share environments: a setting of another program is nobody's fault, nor is a wrong one of it; nor is what a
    newer template left empty."""
    given(monkeypatch, {**SETUP, "STREAM_ROUTER_SPILL_DIR": "/x", "STREAM_ROUTER_CHECKPOINT_S": "no"})
    given(monkeypatch, {"STREAM_ROUTER_OF_TOMORROW": "", "CXONE_OF_TOMORROW": ""})
    load(Setup)
    assert not reading.warnings()


def test_what_kubernetes_puts_there_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """A Service called stream-router, or stream-router-receiver, is the likeliest of all."""
    ends = ("SERVICE_HOST", "SERVICE_PORT", "SERVICE_PORT_HTTP", "PORT", "PORT_8080_TCP", "PORT_443_TCP_PROTO")
    for name in ("STREAM_ROUTER_", "STREAM_ROUTER_RECEIVER_"):
        given(monkeypatch, {**SETUP, **{name + end: "tcp://10.0.0.1:8080" for end in ends}})
    load(Setup)
    assert not list(reading.unknown())


def test_what_does_nothing_and_may_stay_is_warned_of(monkeypatch: pytest.MonkeyPatch) -> None:
    """An unknown CXone name, since other tools have some; settings of another scheme than the one in use."""
    given(monkeypatch, {**RECEIVER, "CXONE_CLIENT_SECRT": "s", "STREAM_ROUTER_HMAC_PREFIX": "v1="})
    given(monkeypatch, {"STREAM_ROUTER_HMAC_ID_HEADER": "x-id"})
    told = [line.partition(": ")[0] for line in reading.warnings(load(Receiver))]
    assert told == ["CXONE_CLIENT_SECRT", "STREAM_ROUTER_HMAC_PREFIX"], "scheme none makes use of a delivery id"
    assert reading.warnings()[0].endswith("did you mean CXONE_CLIENT_SECRET?")
    given(monkeypatch, {"STREAM_ROUTER_WEBHOOK_SCHEME": "standard-webhooks"})
    assert len(reading.warnings(load(Receiver))) == 3
    found = [one for one in host.SETTINGS.look(World(offline=True)) if one.code == "SR004"]
    assert (found[0].verdict, found[0].setting) == (Verdict.WARNING, "CXONE_CLIENT_SECRT")


def test_cxone_reads_no_name_but_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """AUTH_URL may be any program's: CXone's credentials would be sent there."""
    given(monkeypatch, {**CXONE, "AUTH_URL": "https://elsewhere.example", "STREAM_ROUTER_AUTH_URL": ""})
    assert load(Cxone).auth_url is None


def test_a_child_gets_the_settings_of_its_supervisor(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Region and state folder as the supervisor found them, all else as it is set."""
    given(monkeypatch, {**CONSUMER, "STREAM_ROUTER_STATE_DIR": str(tmp_path), "STREAM_ROUTER_ORDERING": "conversation"})
    made = java.environment(load(Consumer), tmp_path / "state")
    assert made["STREAM_ROUTER_STATE_DIR"] == str(tmp_path / "state")
    assert (made["AWS_REGION"], made["STREAM_ROUTER_ORDERING"]) == ("us-east-1", "conversation")


# --- addresses


def test_a_missing_setting_is_not_said_beside_its_mistyped_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """`is not set` would send the operator the wrong way: it is set, under another name."""
    given(monkeypatch, {"AWS_REGION": "us-east-1", "STREAM_ROUTER_SQS_DLQ_URL": "x"})
    with pytest.raises(SettingsError, match=r"^STREAM_ROUTER_SQS_DLQ_URL: [^\n]*did you mean SQS_DLQ_URL\?$"):
        load(Consumer)
