"""Every setting with wrong, empty and borderline values: each is refused, or taken for a reason that stands here."""

from typing import NamedTuple

import pytest
from pydantic_settings import BaseSettings

from stream_router.errors import SettingsError
from stream_router.settings.common import variable
from stream_router.settings.environment.reading import load
from tests.unit import test_settings
from tests.unit.test_settings import GOOD, given

empty_environment = test_settings.empty_environment

KINDS = tuple(GOOD)


class Values(NamedTuple):
    """What is tried of one setting."""

    wrong: tuple[str, ...]
    """Refused, by a line that begins with the setting's name."""
    edge: tuple[str, ...]
    """Taken: the last values on the good side."""
    odd: tuple[str, ...] = ()
    """Taken although it looks wrong,"""
    because: str = ""
    """for this reason."""


def number(low: str, high: str, below: str, above: str, *wrong: str) -> Values:
    return Values((below, above, "many", *wrong), (low, high))


def choice(*good: str) -> Values:
    return Values(("nonsense", good[0].upper() + "!", " "), good)


READ_AT_START = "the file is opened when the program starts, which says so in one line with 78"
PATH = Values(("~", "~/state", "~someone/state"), ("/tmp/a b", "a/~"), ("/nonexistent", "relative/path"), READ_AT_START)
ARN = "arn:aws:sqs:us-east-1:123456789012:q"
HEADER = Values((), ("x",), ("not a header", "x" * 300), "receiver/auth refuses it at start (test_receiver_auth)")
LISTEN = Values(
    ("8080", ":8080", "host:", "host:65536", "host:-1", "host:eighty"),
    ("127.0.0.1:0", "[::1]:65535", "localhost:1"),
    ("no such host:80",),
    "only a look-up tells whether a host exists: the program refuses it when it binds (test_receiver_process)",
)

VALUES: dict[str, Values] = {
    "AWS_REGION": Values(
        ("frankfurt", "us-east", "us_east_1", "us-east-1 ", "US-EAST-1", "a b"),
        ("us-east-1", "us-gov-west-1", "eusc-de-east-1", "us-isob-east-1", "ap-southeast-11"),
        ("xx-nowhere-9",),
        "AWS makes new regions faster than a list of ours would be shipped",
    ),
    "STREAM_ROUTER_STREAM": Values(("a/b", "a b", "s" * 129, "é"), ("s", "s" * 128, "a.b-c_d")),
    "STREAM_ROUTER_APPLICATION": Values(("ab", "a b c", "a" * 256, "a/b/c"), ("abc", "a" * 255)),
    "STREAM_ROUTER_EVENT_BUS": Values(
        (
            *("b" * 257, "a b", "arn:x", "arn:aws:sqs:us-east-1:123456789012:q", "é"),
            *("arn:aws:events:us-east-1:me:event-bus/b", "arn:aws:events:eu-west-1:123456789012:event-bus/b"),
            "arn:aws:events:us-east-1:123456789012:rule/b",
        ),
        ("b", "b" * 256, "aws.partner/x/y", "arn:aws:events:us-east-1:123456789012:event-bus/b"),
    ),
    "STREAM_ROUTER_RULE": Values(("r" * 65, "a:b", "a b"), ("r", "r" * 64, "a.b-c_d")),
    "STREAM_ROUTER_EVENT_TYPES": Values(
        (" , ", "a\tb", "t" * 129, "a,stream_router.probe"),
        ("a", "t" * 128, "a,,b", " a , b "),
        ("a,a",),
        "naming a type twice is the same rule",
    ),
    "STREAM_ROUTER_LOG_LEVEL": choice("DEBUG", "INFO", "WARNING", "ERROR"),
    "STREAM_ROUTER_LOG_FORMAT": choice("auto", "json", "text"),
    "STREAM_ROUTER_CONFIG": PATH,
    "STREAM_ROUTER_UNKNOWN": choice("refuse", "warn"),
    "STREAM_ROUTER_WEAK_SECRETS": choice("refuse", "allow"),
    "STREAM_ROUTER_LISTEN": LISTEN,
    "STREAM_ROUTER_RECEIVER_ADMIN_LISTEN": LISTEN._replace(odd=(), because=""),
    "STREAM_ROUTER_ADMIN_LISTEN": LISTEN._replace(odd=(), because=""),
    "STREAM_ROUTER_ADMIN_TOKEN": Values(
        ("\udcff",), ("t" * 16, "file:/nonexistent"), ("t",), "on loopback, where nobody else can try one out"
    ),
    "STREAM_ROUTER_TLS_CERT": PATH,
    "STREAM_ROUTER_TLS_KEY": PATH,
    "STREAM_ROUTER_TLS_CLIENT_CA": PATH,
    "STREAM_ROUTER_TRUSTED_PROXIES": Values(
        ("10.0.0.1/8", "10.0.0.0/33", "proxy.example"), ("10.0.0.0/8", "::1", "10.0.0.1, fd00::/8", ",")
    ),
    "STREAM_ROUTER_WEBHOOK_SCHEME": Values(
        ("magic", "HMAC", "none "), ("none",), ("hmac", "basic"), "the secrets' own check says that there is none"
    ),
    "STREAM_ROUTER_WEBHOOK_SECRETS": Values(
        ("\udcff",), ("s" * 16, "file:/nonexistent"), ("s", "/etc/secrets"), "scheme `none` uses no secret"
    ),
    "STREAM_ROUTER_HMAC_HEADER": HEADER,
    "STREAM_ROUTER_HMAC_TIMESTAMP_HEADER": HEADER,
    "STREAM_ROUTER_HMAC_ID_HEADER": HEADER,
    "STREAM_ROUTER_HMAC_ALGORITHM": choice("sha1", "sha256", "sha384", "sha512"),
    "STREAM_ROUTER_HMAC_ENCODING": choice("hex", "base64"),
    "STREAM_ROUTER_HMAC_PREFIX": Values((), ("sha256=", "v" * 1000), (" ",), "a sender may sign with anything before"),
    "STREAM_ROUTER_HMAC_TEMPLATE": Values(
        ("{nonce}{body}", "{Body}", "{}{body}", "{timestamp}.${body}", "{{body}}"),
        ("{body}", "{id}.{timestamp}.{body}"),
        ("no body", "{ {body}"),
        "whether it signs the body is asked where the scheme is hmac; a lone brace is a text like any other",
    ),
    "STREAM_ROUTER_REPLAY_WINDOW_S": number("1", "86400", "0", "86401", "1.5"),
    "STREAM_ROUTER_MAX_BODY_BYTES": number("1", "10485760", "0", "10485761", "1MB"),
    "STREAM_ROUTER_MAX_HELD_BYTES": number("1048576", "9999999999", "1048575", "-1", "64MiB"),
    "STREAM_ROUTER_MAX_HEADER_BYTES": number("8192", "1048576", "8191", "1048577"),
    "STREAM_ROUTER_MAX_CONNECTIONS": number("1", "1000000", "0", "1000001"),
    "STREAM_ROUTER_HEADER_TIMEOUT_S": number("0.1", "3600", "0.09", "3600.1", "nan", "inf"),
    "STREAM_ROUTER_BODY_TIMEOUT_S": number("0.1", "3600", "0.09", "3600.1", "nan", "inf"),
    "STREAM_ROUTER_BUCKETS": number("1", "4096", "0", "4097"),
    "STREAM_ROUTER_LINGER_MS": number("0", "500", "-0.1", "500.1", "nan", "inf"),
    "STREAM_ROUTER_PARTITION_PATH": Values(
        ("a..b", ".a", " , ", "a.\udcff", "$.a", "a,$.b", "/a/b"), ("a", "a.b.c,d", "a b.c", "$a.b/c")
    ),
    "STREAM_ROUTER_SPILL_DIR": PATH,
    "STREAM_ROUTER_SPILL_MAX_BYTES": number("1048576", "9999999999", "1048575", "-1", "1GiB"),
    "SQS_DLQ_URL": Values(
        (
            *("arn:aws:sqs:us-east-1:123456789012:dead", "https://sqs/a b", "dead-letters"),
            "https://sqs.us-east-1.amazonaws.com/123456789012/dead.fifo",
            *("https://[::1/dead", "https://localhost:99999/1/dead"),
        ),
        ("http://127.0.0.1:4566/000000000000/dead",),
        ("https://sqs.eu-west-1.amazonaws.com/123456789012/dead",),
        "an endpoint of our own has any host; the check at start asks the queue itself",
    ),
    "STREAM_ROUTER_UNROUTABLE": choice("dead-letter", "publish", "drop"),
    "STREAM_ROUTER_MAX_ENTRIES": number("1", "100", "0", "101", "2.5"),
    "STREAM_ROUTER_MAX_REQUEST_BYTES": Values(
        ("1023", "-1", "1MB"), ("1024",), ("999999999",), "the region's own limit wins over a larger wish"
    ),
    "STREAM_ROUTER_MAX_IN_FLIGHT": number("1", "256", "0", "257"),
    "STREAM_ROUTER_WINDOW_BYTES": number("1048576", "9999999999", "1048575", "-1", "64MiB"),
    "STREAM_ROUTER_WINDOW_SPAN_S": number("5", "86400", "4.9", "86401", "nan", "inf"),
    "STREAM_ROUTER_MAX_SHARD_RATE": number("0.001", "1000000", "0", "-1", "nan", "inf"),
    "STREAM_ROUTER_DEAD_LETTER_LIMIT": Values(
        ("90%", "90/1000/300", "0%/1000/300s", "101%/1000/300s", "90%/99/300s", "90%/1000/0s", "OFF"),
        ("off", "100%/100/1s", "0.1%/1000000/86400s"),
    ),
    "STREAM_ROUTER_MAX_RETRIES": number("0", "100", "-1", "101"),
    "STREAM_ROUTER_CHECKPOINT_S": number("0.1", "600", "0", "600.1", "nan", "inf"),
    "STREAM_ROUTER_BUS_PROOF": choice("describe", "trust"),
    "STREAM_ROUTER_ON_OUTAGE": choice("hold", "dead-letter"),
    "STREAM_ROUTER_ORDERING": choice("none", "conversation"),
    "STREAM_ROUTER_MASKING": Values((), ("off", "default"), ("Default", "/nonexistent"), READ_AT_START),
    "STREAM_ROUTER_MASKING_KEY": Values(("\udcff", "k" * 16), (), (), ""),
    "STREAM_ROUTER_MASKING_REGIONS": Values(("DE", "DE,FR"), (" , ",), (), ""),
    "STREAM_ROUTER_OFFLOAD_BUCKET": Values(("ab", "Bucket", "a/b", "-ab", "a" * 64), ("abc", "a" * 63)),
    "STREAM_ROUTER_AUDIT_DIR": PATH,
    "STREAM_ROUTER_AUDIT_KEY": Values(("\udcff", "k" * 16), (), (), ""),
    "STREAM_ROUTER_STATE_DIR": PATH,
    "STREAM_ROUTER_WORKER": Values(("a b", "w" * 129, "a/b"), ("w", "w" * 128, "pod-0.ns:1")),
    "STREAM_ROUTER_PROPERTIES": PATH,
    "STREAM_ROUTER_JVM_OPTIONS": Values((), ("-Xmx1g",), ('"', "-Xmx1banana"), READ_AT_START),
    "STREAM_ROUTER_METRICS_S": number("0.1", "3600", "0", "3600.1", "nan", "inf"),
    "EVENTBRIDGE_TARGET_ARN": Values(("my-function", "arn:", "arn:a b"), (ARN,), ("arn:x",), "`setup` looks closer"),
    "STREAM_ROUTER_TARGET_DLQ_ARN": Values(("https://sqs/q", "arn:"), (ARN,), ("arn:x",), "`setup` looks closer"),
    "STREAM_ROUTER_TARGET_ROLE_ARN": Values(("role", "arn:"), (ARN,), ("arn:x",), "`setup` looks closer"),
    "STREAM_ROUTER_SHARDS": number("1", "10000", "0", "10001", "two"),
    "STREAM_ROUTER_TAGS": Values(
        (
            "team",
            "a=1,a=2",
            "aws:x=1",
            "=x",
            "k" * 129 + "=v",
            "k=" + "v" * 257,
            "k=<v>",
            ",".join(f"k{n}=v" for n in range(41)),
        ),
        ("team=cx", "a=1, b=", "a:b/c=x y", ",".join(f"k{n}=v" for n in range(40))),
    ),
    "STREAM_ROUTER_KMS_KEY": Values(
        (
            *("alias/mine", "1234abcd-12ab-34cd-56ef-1234567890ab", "arn:aws:kms:us-east-1:123456789012:alias/mine"),
            "arn:aws:kms:eu-west-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab",
        ),
        ("arn:aws:kms:us-east-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab",),
    ),
    "STREAM_ROUTER_JARS_FROM": Values(
        (), ("/tmp", "http://127.0.0.1:1/maven"), ("ftp://x", "/nonexistent"), "`jars` refuses it (test_fetch_jars)"
    ),
    "STREAM_ROUTER_MAX_CLIENT_CONNECTIONS": number("1", "1000000", "0", "1000001"),
    "STREAM_ROUTER_DRAIN_DELAY_S": number("0", "300", "-0.1", "300.1", "nan", "inf"),
    "STREAM_ROUTER_DROP_TYPES": Values((), ("a", "a,b"), (",", "t" * 129), "a type that never comes is dropped never"),
    "AWS_CA_BUNDLE": PATH,
    "SSL_CERT_FILE": PATH,
    "SSL_CERT_DIR": PATH,
    "CXONE_CLIENT_ID": Values((), ("id",), (" ", "é" * 500), "NICE makes it; only the token endpoint knows"),
    "CXONE_CLIENT_SECRET": Values(("\udcff",), ("secret",), ("s",), "NICE makes it"),
    "CXONE_ACCESS_KEY_ID": Values((), (), (), ""),
    "CXONE_ACCESS_KEY_SECRET": Values(("\udcff",), (), (), ""),
    "CXONE_AUTH_URL": Values(
        ("ftp://x/token", "http://cxone.example/token", "https://u:p@x/", "x", "https://[::1"),
        ("https://x/token", "http://127.0.0.1:1/token"),
    ),
    "CXONE_ISSUER": Values(("cxone.example", "https:///x", "http://cxone.example"), ("https://x",)),
    "CXONE_SCOPE": Values((), ("a", "a b"), ("é", " "), "NICE names the scopes; only the token endpoint knows"),
}

ROWS = [(kind, variable(kind, name)) for kind in KINDS for name in kind.model_fields]
LOOSE = {
    ("Cxone", "STREAM_ROUTER_STREAM"): "only named in its report",
    ("Cxone", "STREAM_ROUTER_EVENT_TYPES"): "the sources' types are held against it, whatever it holds",
}
"""Where a program takes what another refuses, and why."""


def test_the_table_has_every_setting_and_no_other() -> None:
    """A new setting has to say here what it refuses."""
    assert VALUES.keys() == {name for _, name in ROWS}


def test_what_looks_wrong_and_is_taken_has_a_reason() -> None:
    """In words."""
    assert all(bool(values.odd) == bool(values.because) for values in VALUES.values())


def of(kind: type[BaseSettings], name: str) -> tuple[Values, bool]:
    return VALUES[name], (kind.__name__, name) in LOOSE


@pytest.mark.parametrize(("kind", "name"), ROWS)
def test_wrong_values_are_refused_by_the_settings_name(
    monkeypatch: pytest.MonkeyPatch, kind: type[BaseSettings], name: str
) -> None:
    """`VARIABLE: problem; cure`, one line, by every program that reads it."""
    values, loose = of(kind, name)
    for value in () if loose else values.wrong:
        given(monkeypatch, {**GOOD[kind], name: value})
        with pytest.raises(SettingsError) as error:
            load(kind)
        assert str(error.value).startswith(f"{name}: "), (value, str(error.value))
        assert "; " in str(error.value)
        assert "\n" not in str(error.value)


@pytest.mark.parametrize(("kind", "name"), ROWS)
def test_the_last_good_values_are_taken(monkeypatch: pytest.MonkeyPatch, kind: type[BaseSettings], name: str) -> None:
    """Nothing is refused that the settings page allows."""
    values, loose = of(kind, name)
    for value in (*values.edge, *values.odd, *(values.wrong if loose else ())):
        given(monkeypatch, {**GOOD[kind], name: value})
        if kind.__name__ == "Setup" and name == "STREAM_ROUTER_RULE" and value == "none":
            continue
        load(kind)


@pytest.mark.parametrize(("kind", "name"), ROWS)
def test_an_empty_value_is_no_value(monkeypatch: pytest.MonkeyPatch, kind: type[BaseSettings], name: str) -> None:
    """As in a template whose variable was left out: the default holds, and what must be set is asked for."""
    without = {other: value for other, value in GOOD[kind].items() if other != name}
    monkeypatch.delenv(name, raising=False)
    given(monkeypatch, without)
    try:
        expected: object = load(kind)
    except SettingsError as error:
        expected = str(error)
    given(monkeypatch, {name: ""})
    try:
        found: object = load(kind)
    except SettingsError as error:
        found = str(error)
    assert found == expected


@pytest.mark.parametrize(("kind", "name"), [(kind, name) for kind, name in ROWS if VALUES[name] is not PATH], ids=str)
def test_bytes_that_are_no_text_are_refused(
    monkeypatch: pytest.MonkeyPatch, kind: type[BaseSettings], name: str
) -> None:
    """The environment may hold any bytes; a path alone may too. Taken, they would fail only where they are used."""
    given(monkeypatch, {**GOOD[kind], name: "a\udcff"})
    with pytest.raises(SettingsError, match=f"^{name}: "):
        load(kind)
