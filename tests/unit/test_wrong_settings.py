"""Wrong settings, through the command itself: each is a line that names setting, trouble and cure; exit 78."""

import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from stream_router import process
from stream_router.cli import main
from tests.environment import CONSUMER, CXONE, RECEIVER, SETUP, given

pytestmark = pytest.mark.usefixtures("empty_environment")

STRONG = "0123456789abcdef"
SIGNED = {**RECEIVER, "STREAM_ROUTER_WEBHOOK_SCHEME": "hmac", "STREAM_ROUTER_WEBHOOK_SECRETS": STRONG}
COMMANDS = {"receive": SIGNED, "consume": CONSUMER, "setup": SETUP, "cxone token": CXONE}


class Wrong(NamedTuple):
    """A command, the variable (`STREAM_ROUTER_` is added), its value, the trouble and the cure. `file` is written."""

    command: str
    name: str
    value: str
    trouble: str
    cure: str
    file: str = ""
    beside: dict[str, str] = {}  # noqa: RUF012 - never changed


CONFIG = "CONFIG"
BUS = "arn:aws:events:eu-west-1:123456789012:event-bus/b"
KEY = "arn:aws:kms:eu-west-1:123456789012:key/1234abcd"
FILE = "FILE"
"""The path of the row's file."""
SOURCE = '[[cxone.sources]]\nname = "a"\ntype = "webhook"\nurl = "https://x/"\nscheme = "{}"\n'
RULE = "STREAM_ROUTER_EVENT_BUS"

ROWS = [
    # F10: a region that botocore does not know, and no endpoint
    Wrong("receive", "AWS_REGION", "eu-centrall-1", "is no region that botocore", "did you mean eu-central-1?"),
    Wrong("consume", "AWS_REGION", "frankfurt", "is no region that botocore", "give one, for example"),
    Wrong("setup", "AWS_REGION", "us-east-1 ", "is no region that botocore", "did you mean us-east-1?"),
    Wrong("setup", "AWS_REGION", "", "is not set", "set AWS_REGION, for example"),
    # F11
    Wrong("consume", "EVENT_TYPES", '["interaction.created"]', "is a list in brackets", "write the bare types"),
    Wrong("consume", "EVENT_TYPES", "a,'b'", "is a list in brackets", "write the bare types"),
    # F13: TOML, with the parser's reason and place
    Wrong("consume", CONFIG, FILE, "is no TOML: Invalid value (at line 2, column 5)", "correct", "a = 1\nb = x"),
    Wrong("receive", CONFIG, FILE, "is no TOML: Unterminated string (at end", "correct the file", 'a = "secret'),
    Wrong("receive", CONFIG, FILE, "is no TOML: Cannot declare ('a',) twice (at line 2", "correct", "[a]\n[a]"),
    Wrong("receive", CONFIG, "/nowhere.toml", "cannot be read (No such file", "name a readable TOML file"),
    Wrong("consume", CONFIG, FILE, "shapes: is a table, and a list", "write [[shapes]] above", '[shapes]\nname = "x"'),
    Wrong("consume", CONFIG, FILE, "shapes[0].feilds: is no", "did you mean fields?", '[[shapes]]\nname="x"\nfeilds=1'),
    Wrong("consume", CONFIG, FILE, "shapes[0].name: is missing", "correct this key", "[[shapes]]\nwhen = []"),
    Wrong("receive", CONFIG, FILE, "cxone.sources[0].scheme: should be 'expert'", "'hmac'", SOURCE.format("magic")),
    Wrong("receive", CONFIG, FILE, "cxone.sources[0].shceme: is no key", "did you mean scheme?",
          SOURCE.format("hmac").replace("scheme", "shceme")),
    Wrong("receive", CONFIG, FILE, "cxone.sources: 1 of them", "give each its own name", SOURCE.format("hmac") * 2),
    Wrong("receive", CONFIG, FILE, "cxone.source: is no key", "did you mean sources?", "[cxone]\nsource = []"),
    # F13: quotes that no shell took away, also around a number
    Wrong("consume", "MAX_ENTRIES", '"25"', "stands in quotes", "take them away"),
    Wrong("receive", "SPILL_DIR", "'/var/spill'", "stands in quotes", "take them away"),
    Wrong("cxone token", "CXONE_CLIENT_ID", '"id"', "stands in quotes", "take them away"),
    # F13: the bad half of a TLS pair
    Wrong("receive", "TLS_CERT", "/nowhere.pem", "cannot be read (No such file", "give a readable PEM file",
          beside={"STREAM_ROUTER_TLS_KEY": "/nowhere.pem"}),
    Wrong("receive", "TLS_CERT", FILE, "holds no certificate in PEM", "give the certificate", "no pem",
          beside={"STREAM_ROUTER_TLS_KEY": __file__}),
    Wrong("receive", "TLS_KEY", "", "is not set", "TLS needs", beside={"STREAM_ROUTER_TLS_CERT": __file__}),
    # names
    Wrong("receive", "SPIL_DIR", "/x", "is no setting that this", "did you mean STREAM_ROUTER_SPILL_DIR?"),
    Wrong("consume", "sqs_dlq_url", "x", "is no setting that this", "did you mean SQS_DLQ_URL?"),
    Wrong("consume", "LINGER_MS", "5", "is no setting that this version knows", "unset it; `stream-router config`"),
    Wrong("setup", "TARGET_ARN", "arn:x", "is no setting that this", "did you mean EVENTBRIDGE_TARGET_ARN?"),
    # forms and bounds
    Wrong("consume", "SQS_DLQ_URL", "", "is not set", "`stream-router setup` makes one"),
    Wrong("consume", "SQS_DLQ_URL", "arn:aws:sqs:us-east-1:1:q", "is no URL", "give the dead-letter queue's"),
    Wrong("consume", "SQS_DLQ_URL", "https://sqs.x/1/q.fifo", "is a FIFO queue", "standard, not FIFO"),
    Wrong("consume", "EVENT_BUS", BUS, "is not in AWS_REGION", "name a bus of this region"),
    Wrong("consume", "EVENT_BUS", "arn:x", "has not the form", "give an event bus's name or ARN"),
    Wrong("consume", "MAX_ENTRIES", "101", "should be less than or equal to 100", "give 1 to 100"),
    Wrong("consume", "MAX_ENTRIES", "ten", "should be a valid integer", "give 1 to 100"),
    Wrong("consume", "CHECKPOINT_S", "nan", "should be less than or equal to 600", "give 0.1 to 600"),
    Wrong("consume", "ON_OUTAGE", "drop", "is none of the words that are known here", "hold or dead-letter"),
    Wrong("consume", "DEAD_LETTER_LIMIT", "90/1000", "is not SHARE%/EVENTS/SECONDSs", "90%/1000/300s, or off"),
    Wrong("consume", "STATE_DIR", "~/state", "begins with ~", "write the whole path"),
    Wrong("consume", "ADMIN_LISTEN", "9464", "has no host, or no port", "give HOST:PORT"),
    Wrong("receive", "PARTITION_PATH", "$.a", "begins with $.", "comma-separated dotted paths"),
    Wrong("receive", "TRUSTED_PROXIES", "10.0.0.1/8", "has an item that is no CIDR", "for example 10.0.0.0/8"),
    Wrong("receive", "HMAC_TEMPLATE", "{nonce}{body}", "has not the form", "{id}, {timestamp}, {body}"),
    Wrong("receive", "SPILL_DIR", "/nowhere", "is no folder that can be written to", "make it"),
    Wrong("setup", "RULE", "none", "is none, so there is no rule", "name it"),
    Wrong("setup", "KMS_KEY", KEY, "is not in AWS_REGION", "name a key of this region"),
    Wrong("setup", "TAGS", "team", "has an item that is no key=value", "give key=value,…"),
    Wrong("cxone token", "CXONE_AUTH_URL", "http://x/token", "is no https:// URL", "give an https:// URL"),
    # one setting against another
    Wrong("consume", "ADMIN_TOKEN", "", "is not set, and STREAM_ROUTER_ADMIN_LISTEN is beyond loopback", "set a token",
          beside={"STREAM_ROUTER_ADMIN_LISTEN": "0.0.0.0:9464"}),
    Wrong("consume", "AUDIT_KEY", STRONG, "is set, but STREAM_ROUTER_AUDIT_DIR is not", "set both, or none"),
    Wrong("receive", "WEBHOOK_SCHEME", "bearer", "would send the secret itself over plain HTTP", "or name the",
          beside={"STREAM_ROUTER_LISTEN": "0.0.0.0:8080"}),
    Wrong("receive", "WEBHOOK_SECRETS", "short", "has a secret of less than 16 bytes", "give a longer one"),
    Wrong("receive", "WEBHOOK_SECRETS", "/etc/secrets", "would itself be the secret", "write file:PATH"),
    Wrong("receive", "WEBHOOK_SECRETS", "file:/nowhere", "its file cannot be read", "give a readable UTF-8 file"),
    Wrong("receive", "WEBHOOK_SECRETS", "", "no secret is set", "set at least one"),
]  # fmt: skip

WORDS = {"short", "drop", "ten", "none", "id", "arn:x", "bearer", "101", "5", "nan", "x"}
"""Values too short to be looked for in a sentence."""


def whole(name: str) -> str:
    return name if name.startswith(("AWS_", "SQS_", "CXONE_")) else f"STREAM_ROUTER_{name}"


def lines_of(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], command: str, settings: dict[str, str]
) -> list[str]:
    """What the command says as it refuses these settings."""
    given(monkeypatch, {**COMMANDS[command], **settings})
    monkeypatch.setattr(process, "end_at_early_stop", lambda **_: None)  # this process has signals of its own
    monkeypatch.setattr(sys, "argv", ["stream-router", *command.split()])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 78
    said = capsys.readouterr()
    assert "Traceback" not in said.err
    return [line.removeprefix("stream-router: ") for line in said.err.splitlines()]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.command}-{row.name}-{row.value[:20]}-{row.trouble[:20]}")
def test_a_wrong_setting_is_a_line_that_names_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path, row: Wrong
) -> None:
    """Variable, trouble, cure, in one line and without the value; the program does not begin."""
    (tmp_path / "file").write_text(row.file)
    value = str(tmp_path / "file") if row.value == FILE else row.value
    (line,) = lines_of(monkeypatch, capsys, row.command, {**row.beside, whole(row.name): value})
    assert line.startswith(f"{whole(row.name)}: ")
    assert row.trouble in line
    assert row.cure in line
    if row.value not in (*WORDS, FILE, "/nowhere.toml", "") and not row.trouble.startswith("is no region"):
        assert row.value not in line


def test_all_that_is_wrong_is_said_at_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Names, values, one against another, and what files hold: a line each, and none that only follows from another."""
    (tmp_path / "config").write_text(
        '[[cxone.sources]]\nname = "a"\ntype = "mail"\n[[cxone.sources]]\ntype = "webhook"\n'
    )
    wrong = {
        "AWS_REGION": "eu-centrall-1",
        "STREAM_ROUTER_SPIL_DIR": "/x",
        "STREAM_ROUTER_BUCKETS": "0",
        "STREAM_ROUTER_RECEIVER_ADMIN_LISTEN": "0.0.0.0:1",
        "STREAM_ROUTER_WEBHOOK_SCHEME": "magic",
        "STREAM_ROUTER_HMAC_TEMPLATE": "{nonce}",
        "STREAM_ROUTER_HMAC_TIMESTAMP_HEADER": "x-time",
        "STREAM_ROUTER_CONFIG": str(tmp_path / "config"),
        "STREAM_ROUTER_TLS_CERT": "/nowhere.pem",
    }
    lines = lines_of(monkeypatch, capsys, "receive", wrong)
    names = [line.partition(":")[0] for line in lines]
    config = "STREAM_ROUTER_CONFIG"
    assert sorted(set(names)) == sorted(
        {*wrong, "STREAM_ROUTER_ADMIN_TOKEN", "STREAM_ROUTER_TLS_KEY"}
        - {"STREAM_ROUTER_RECEIVER_ADMIN_LISTEN", "STREAM_ROUTER_HMAC_TIMESTAMP_HEADER", "STREAM_ROUTER_TLS_CERT"}
    )
    assert names.count(config) == 4, "of one file every key"
    assert "give one of 'webhook', 'data-stream', 'digital'" in next(line for line in lines if "[0]" in line)


def test_a_program_ends_with_78_and_no_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also as it is really started."""
    given(monkeypatch, {**CONSUMER, "STREAM_ROUTER_MAX_ENTRIES": "0", "STREAM_ROUTER_ORDERING": "strict"})
    for module in (["stream_router", "consume"], ["stream_router.consumer.child"]):
        done = subprocess.run([sys.executable, "-m", *module], capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 78, done.stderr
        assert [line.split("STREAM_ROUTER_")[1].split(":")[0] for line in done.stderr.splitlines()] == [
            "MAX_ENTRIES",
            "ORDERING",
        ]
